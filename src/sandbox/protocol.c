// protocol.c - see protocol.h. Every field is bounded before it is believed.
#include "sandbox/protocol.h"

#include <errno.h>
#include <stdio.h>
#include <sys/types.h>

static void put(struct protocol_writer *w, const void *bytes, size_t n)
{
    if (w->failed || n > PROTOCOL_MAX_BYTES - w->len) {
        w->failed = true;
        return;
    }
    memcpy(w->at + w->len, bytes, n);
    w->len += n;
}

void protocol_begin(struct protocol_writer *w, char *room, enum protocol_kind kind, uint64_t id,
                    uint32_t serial)
{
    *w = (struct protocol_writer){.at = room};
    struct protocol_header h = {
        .magic = PROTOCOL_MAGIC, .kind = (uint32_t)kind, .id = id, .serial = serial};
    put(w, &h, sizeof(h));
}

void protocol_put_u32(struct protocol_writer *w, uint32_t v)
{
    put(w, &v, sizeof(v));
}

void protocol_put_u64(struct protocol_writer *w, uint64_t v)
{
    put(w, &v, sizeof(v));
}

void protocol_put_text(struct protocol_writer *w, const char *s)
{
    size_t len = s ? strlen(s) : 0;
    if (len > PROTOCOL_MAX_BYTES) {
        w->failed = true;
        return;
    }
    protocol_put_u32(w, (uint32_t)len);
    put(w, s ? s : "", len);
    put(w, "", 1);
}

ssize_t protocol_end(struct protocol_writer *w)
{
    if (w->failed)
        return -EMSGSIZE;
    uint32_t len = (uint32_t)w->len;
    memcpy(w->at + offsetof(struct protocol_header, bytes), &len, sizeof(len));
    return (ssize_t)w->len;
}

int protocol_open(struct protocol_reader *r, char *bytes, size_t len, struct protocol_header *h)
{
    if (len < sizeof(*h) || len > PROTOCOL_MAX_BYTES)
        return -EPROTO;
    memcpy(h, bytes, sizeof(*h));
    if (h->magic != PROTOCOL_MAGIC || h->bytes != len)
        return -EPROTO;
    *r = (struct protocol_reader){.at = bytes + sizeof(*h), .end = bytes + len};
    return 0;
}

static bool get(struct protocol_reader *r, void *to, size_t n)
{
    if (r->failed || (size_t)(r->end - r->at) < n) {
        r->failed = true;
        memset(to, 0, n);
        return false;
    }
    memcpy(to, r->at, n);
    r->at += n;
    return true;
}

uint32_t protocol_get_u32(struct protocol_reader *r)
{
    uint32_t v;
    get(r, &v, sizeof(v));
    return v;
}

uint64_t protocol_get_u64(struct protocol_reader *r)
{
    uint64_t v;
    get(r, &v, sizeof(v));
    return v;
}

const char *protocol_get_text(struct protocol_reader *r, size_t max)
{
    uint32_t len = protocol_get_u32(r);
    if (r->failed || len > max || (size_t)(r->end - r->at) < (size_t)len + 1 ||
        r->at[len] != '\0' || memchr(r->at, '\0', len)) {
        r->failed = true;
        return "";
    }
    const char *s = r->at;
    r->at += len + 1;
    return s;
}

int protocol_close(const struct protocol_reader *r)
{
    return r->failed || r->at != r->end ? -EPROTO : 0;
}

// ---- binding and program ----

void protocol_put_binding(struct protocol_writer *w, const struct sandbox_binding *b)
{
    protocol_put_text(w, b->code_dir);
    protocol_put_text(w, b->image_dir);
    protocol_put_text(w, b->layer_dir);
    protocol_put_u32(w, b->memory_mb);
    protocol_put_u32(w, b->tmp_mb);
    protocol_put_u32(w, b->pids);
    protocol_put_u32(w, b->hot);
    protocol_put_u32(w, b->n_outbound);
    for (unsigned i = 0; i < b->n_outbound && i < SANDBOX_MAX_OUTBOUND; i++)
        protocol_put_text(w, b->outbound[i]);
}

static unsigned get_count(struct protocol_reader *r, unsigned max)
{
    uint32_t n = protocol_get_u32(r);
    if (n > max) {
        r->failed = true;
        return 0;
    }
    return n;
}

static bool get_flag(struct protocol_reader *r)
{
    uint32_t v = protocol_get_u32(r);
    if (v > 1)
        r->failed = true;
    return v == 1;
}

void protocol_get_binding(struct protocol_reader *r, struct sandbox_binding *b)
{
    *b = (struct sandbox_binding){0};
    b->code_dir = protocol_get_text(r, SANDBOX_MAX_PATH - 1);
    b->image_dir = protocol_get_text(r, SANDBOX_MAX_PATH - 1);
    b->layer_dir = protocol_get_text(r, SANDBOX_MAX_PATH - 1);
    b->memory_mb = protocol_get_u32(r);
    b->tmp_mb = protocol_get_u32(r);
    b->pids = protocol_get_u32(r);
    b->hot = get_flag(r);
    b->n_outbound = get_count(r, SANDBOX_MAX_OUTBOUND);
    for (unsigned i = 0; i < b->n_outbound; i++)
        b->outbound[i] = protocol_get_text(r, 127);
}

void protocol_put_program(struct protocol_writer *w, const struct sandbox_program *p)
{
    protocol_put_u32(w, p->n_argv);
    for (unsigned i = 0; i < p->n_argv && i < SANDBOX_MAX_ARGS; i++)
        protocol_put_text(w, p->argv[i]);
    protocol_put_u32(w, p->n_env);
    for (unsigned i = 0; i < p->n_env && i < SANDBOX_MAX_ENV; i++)
        protocol_put_text(w, p->env[i]);
    protocol_put_text(w, p->cwd);
}

void protocol_get_program(struct protocol_reader *r, struct sandbox_program *p)
{
    *p = (struct sandbox_program){0};
    p->n_argv = get_count(r, SANDBOX_MAX_ARGS);
    for (unsigned i = 0; i < p->n_argv; i++)
        p->argv[i] = protocol_get_text(r, PROTOCOL_MAX_BYTES);
    p->n_env = get_count(r, SANDBOX_MAX_ENV);
    for (unsigned i = 0; i < p->n_env; i++)
        p->env[i] = protocol_get_text(r, PROTOCOL_MAX_BYTES);
    p->cwd = protocol_get_text(r, SANDBOX_MAX_PATH - 1);
}

// ---- whole messages ----

ssize_t protocol_write_start(char *room, uint32_t serial, const struct sandbox_spec *s)
{
    struct protocol_writer w;
    protocol_begin(&w, room, PROTOCOL_START, s->id, serial);
    protocol_put_binding(&w, &s->binding);
    protocol_put_program(&w, &s->program);
    protocol_put_u32(&w, s->want_control);
    protocol_put_u32(&w, s->keep_on_exit);
    protocol_put_u32(&w, s->ptrace_allowed);
    return protocol_end(&w);
}

int protocol_read_start(struct protocol_reader *r, uint64_t id, struct sandbox_spec *s)
{
    *s = (struct sandbox_spec){.id = id};
    protocol_get_binding(r, &s->binding);
    protocol_get_program(r, &s->program);
    s->want_control = get_flag(r);
    s->keep_on_exit = get_flag(r);
    s->ptrace_allowed = get_flag(r);
    return protocol_close(r);
}

// The flags of a status in wire order.
#define STATUS_FLAGS(X)                                                                            \
    X(complete)                                                                                    \
    X(mounts)                                                                                      \
    X(pids)                                                                                        \
    X(net)                                                                                         \
    X(users)                                                                                       \
    X(seccomp)                                                                                     \
    X(landlock)                                                                                    \
    X(cgroup_memory)                                                                               \
    X(cgroup_cpu) X(cgroup_pids) X(cgroup_io) X(freezer) X(inject) X(cpu_proportional)

ssize_t protocol_write_status(char *room, const struct keeper_status *s)
{
    struct protocol_writer w;
    protocol_begin(&w, room, PROTOCOL_HELLO, 0, 0);
    protocol_put_u32(&w, (uint32_t)s->asked);
#define X(flag) protocol_put_u32(&w, s->flag);
    STATUS_FLAGS(X)
#undef X
    protocol_put_text(&w, s->cgroup);
    protocol_put_text(&w, s->missing);
    return protocol_end(&w);
}

int protocol_read_status(struct protocol_reader *r, struct keeper_status *s)
{
    *s = (struct keeper_status){.connected = true};
    uint32_t asked = protocol_get_u32(r);
    if (asked > SANDBOX_NONE)
        r->failed = true;
    s->asked = (enum sandbox_degree)asked;
#define X(flag) s->flag = get_flag(r);
    STATUS_FLAGS(X)
#undef X
    snprintf(s->cgroup, sizeof(s->cgroup), "%s", protocol_get_text(r, sizeof(s->cgroup) - 1));
    snprintf(s->missing, sizeof(s->missing), "%s", protocol_get_text(r, sizeof(s->missing) - 1));
    return protocol_close(r);
}

ssize_t protocol_write_exit(char *room, const struct sandbox_exit *e)
{
    struct protocol_writer w;
    protocol_begin(&w, room, PROTOCOL_EXITED, e->id, 0);
    protocol_put_u32(&w, e->program);
    protocol_put_u32(&w, (uint32_t)e->reason);
    protocol_put_u32(&w, (uint32_t)e->status);
    protocol_put_u64(&w, e->peak_memory_bytes);
    protocol_put_u32(&w, e->oom_kills);
    protocol_put_text(&w, e->what);
    return protocol_end(&w);
}

int protocol_read_exit(struct protocol_reader *r, uint64_t id, struct sandbox_exit *e)
{
    *e = (struct sandbox_exit){.id = id};
    e->program = protocol_get_u32(r);
    uint32_t reason = protocol_get_u32(r);
    if (reason > SANDBOX_FAILED)
        r->failed = true;
    e->reason = (enum sandbox_exit_reason)reason;
    e->status = (int)protocol_get_u32(r);
    e->peak_memory_bytes = protocol_get_u64(r);
    e->oom_kills = protocol_get_u32(r);
    snprintf(e->what, sizeof(e->what), "%s", protocol_get_text(r, sizeof(e->what) - 1));
    return protocol_close(r);
}

int protocol_read_exec(struct protocol_reader *r, struct sandbox_program *p, bool *own_output)
{
    protocol_get_program(r, p);
    *own_output = get_flag(r);
    return protocol_close(r);
}

int protocol_read_connect(struct protocol_reader *r, uint16_t *port)
{
    uint32_t v = protocol_get_u32(r);
    if (v == 0 || v > UINT16_MAX)
        r->failed = true;
    *port = (uint16_t)v;
    return protocol_close(r);
}
