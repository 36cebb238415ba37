// plain.c - see plain.h.
#include "sandbox/plain.h"

#include "base/cleanup.h"
#include "os/fd.h"

#include <errno.h>
#include <stdio.h>

// The real folder of a name below code/: it has been opened beneath, so its path is no surprise.
static int real_path(struct keeper *k, const char *name, bool hot, char *out, size_t room,
                     struct err *err)
{
    _cleanup_close_ int fd = root_open_code(&k->root, name, hot, err);
    if (fd < 0)
        return fd;
    int n = hot ? snprintf(out, room, "%s", name)
                : snprintf(out, room, "%s/code/%s", k->config.data_dir, name);
    return n < 0 || (size_t)n >= room ? err_set(err, -ENAMETOOLONG, "path is too long") : 0;
}

int plain_bind(struct keeper *k, struct slot *s, const struct sandbox_binding *b, struct err *err)
{
    int r = 0;
    if (b->code_dir && b->code_dir[0])
        r = real_path(k, b->code_dir, b->hot, s->task_root, sizeof(s->task_root), err);
    if (r >= 0 && b->layer_dir && b->layer_dir[0])
        r = real_path(k, b->layer_dir, false, s->layer_root, sizeof(s->layer_root), err);
    return r;
}

void plain_paths_init(struct keeper *k, struct slot *s, const struct sandbox_binding *b,
                      struct plain_paths *out)
{
    // What the template of a sandbox with mounts shows (root.c), file by file.
    static const char *const system[] = {
        "/usr",
        "/bin",
        "/sbin",
        "/lib",
        "/lib64",
        "/dev",
        "/proc",
        "/etc/ld.so.cache",
        "/etc/ssl/certs",
        "/etc/ssl/openssl.cnf", // Node.js ends when it may not be read
        "/etc/alternatives",
        "/etc/passwd",
        "/etc/group",
        "/etc/nsswitch.conf",
        "/etc/hosts",
        "/etc/host.conf",
        "/etc/resolv.conf",
        "/etc/mime.types",
        "/etc/protocols",
        "/etc/services",
        "/etc/java-17-openjdk",
        "/etc/java-21-openjdk",
        "/etc/java-25-openjdk",
    };
    static const char *const writable[] = {"/tmp", "/dev/null", "/dev/shm", NULL};
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(system); i++)
        out->readable[n++] = system[i];
    for (unsigned i = 0; i < k->config.n_interpreters; i++) {
        char *p = out->prefixes[i];
        snprintf(p, sizeof(out->prefixes[i]), "%s", k->config.interpreters[i]);
        for (int up = 0; up < 2; up++) {
            char *slash = strrchr(p, '/');
            if (slash)
                *slash = '\0';
        }
        if (p[0])
            out->readable[n++] = p;
    }
    out->readable[n++] = k->config.runtime_dir;
    if (b && plain_bind(k, s, b, NULL) >= 0) {
        if (s->task_root[0])
            out->readable[n++] = s->task_root;
        if (s->layer_root[0])
            out->readable[n++] = s->layer_root;
    }
    out->readable[n] = NULL;
    memcpy(out->writable, writable, sizeof(writable));
}

struct replacement {
    struct str from;
    char to[SANDBOX_MAX_PATH];
    bool path; // only where a path starts and the name ends there
};

static const struct replacement *match(const struct replacement *all, size_t n, const char *start,
                                       const char *at)
{
    for (size_t i = 0; i < n; i++) {
        const struct replacement *r = &all[i];
        if (!r->to[0] || strncmp(at, r->from.ptr, r->from.len) != 0)
            continue;
        char before = at > start ? at[-1] : ':', after = at[r->from.len];
        if (!r->path ||
            ((before == ':' || before == '=') && (after == '\0' || after == '/' || after == ':')))
            return r;
    }
    return NULL;
}

static const char *rewrite(const struct replacement *all, size_t n, const char *text, char **room,
                           const char *end)
{
    char *to = *room;
    const char *result = to;
    for (const char *at = text; *at && to < end;) {
        const struct replacement *r = match(all, n, text, at);
        size_t len = r ? strlen(r->to) : 1;
        if ((size_t)(end - to) <= len)
            return NULL;
        memcpy(to, r ? r->to : at, len);
        to += len;
        at += r ? r->from.len : 1;
    }
    if (to >= end)
        return NULL;
    *to++ = '\0';
    *room = to;
    return result;
}

int plain_program(const struct keeper *k, const struct slot *s, struct sandbox_program *p)
{
    static char room[PROTOCOL_MAX_BYTES];
    struct replacement all[] = {{STR_INIT("/var/task"), "", true},
                                {STR_INIT("/opt"), "", true},
                                {STR_INIT("/var/runtime"), "", true},
                                {STR_INIT("127.0.0.1:9001"), "", false},
                                {STR_INIT("127.0.0.1:4566"), "", false}};
    char *at = room;
    snprintf(all[0].to, sizeof(all[0].to), "%s", s->task_root);
    snprintf(all[1].to, sizeof(all[1].to), "%s", s->layer_root);
    snprintf(all[2].to, sizeof(all[2].to), "%s", k->config.runtime_dir);
    snprintf(all[3].to, sizeof(all[3].to), "127.0.0.1:%u", s->net.runtime_api_port);
    snprintf(all[4].to, sizeof(all[4].to), "127.0.0.1:%u", s->net.endpoint_port);
    for (unsigned i = 0; i < p->n_argv; i++)
        if (!(p->argv[i] = rewrite(all, ARRAY_LEN(all), p->argv[i], &at, room + sizeof(room))))
            return -E2BIG;
    for (unsigned i = 0; i < p->n_env; i++)
        if (!(p->env[i] = rewrite(all, ARRAY_LEN(all), p->env[i], &at, room + sizeof(room))))
            return -E2BIG;
    if (!(p->cwd = rewrite(all, ARRAY_LEN(all), p->cwd, &at, room + sizeof(room))))
        return -E2BIG;
    return 0;
}
