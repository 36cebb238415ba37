// registry.c - images from a registry, fetched by skopeo where it is installed: registries,
// credentials and trust are its business.
#include "images/images_impl.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "os/spawn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define FETCH_TIMEOUT_MS 300000

extern char **environ;

static bool installed(const char *name)
{
    const char *path = getenv("PATH");
    struct str rest = str_from(path ? path : "/usr/local/bin:/usr/bin:/bin"), folder;
    char full[1024];

    while (str_next(&rest, ':', &folder))
        if (snprintf(full, sizeof(full), "%.*s/%s", STR_ARG(folder), name) < (int)sizeof(full) &&
            access(full, X_OK) == 0)
            return true;
    return false;
}

// Registries of this host speak plain HTTP more often than not, and nobody can listen in between:
// as everywhere with containers, TLS is tried and not insisted on.
static bool is_local(struct str name)
{
    struct str rest = name, host = name;
    struct in_addr v4;
    char text[INET_ADDRSTRLEN];

    str_next(&rest, '/', &host);
    if (str_starts(host, STR("[::1]")))
        return true;
    rest = host;
    str_next(&rest, ':', &host);
    if (str_eq(host, STR("localhost")) || str_ends(host, STR(".localhost")))
        return true;
    // An address, and not a name that begins like one.
    return snprintf(text, sizeof(text), "%.*s", STR_ARG(host)) < (int)sizeof(text) &&
           inet_pton(AF_INET, text, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

// Our environment for skopeo: proxies, certificates, REGISTRY_AUTH_FILE. A daemon that was started
// as root has root's folders in it, which the server's user cannot enter, and skopeo fails on them.
// HOME must be something; `home` is our own folder of this fetch.
static char **environment(struct arena *a, const char *home)
{
    static const char *const folders[] = {"HOME=", "XDG_CONFIG_HOME=", "XDG_RUNTIME_DIR="};
    size_t n = 0, out = 0;

    while (environ[n])
        n++;
    char **list = arena_new_array(a, char *, n + 2);
    if (!list)
        return NULL;
    bool has_home = false;
    for (size_t i = 0; i < n; i++) {
        bool keep = true;
        for (size_t k = 0; k < ARRAY_LEN(folders); k++)
            if (str_starts(str_from(environ[i]), str_from(folders[k])))
                keep = access(environ[i] + strlen(folders[k]), R_OK | X_OK) == 0;
        has_home = has_home || (keep && str_starts(str_from(environ[i]), STR("HOME=")));
        if (keep)
            list[out++] = environ[i];
    }
    if (!has_home && !(list[out++] = arena_cstr(a, arena_printf(a, "HOME=%s", home))))
        return NULL;
    return list;
}

// What skopeo says went wrong, of the line that it logs: time="…" level=fatal msg="…".
static struct str reason(struct arena *a, struct str output)
{
    ptrdiff_t at = str_find(output, STR("level=fatal msg=\""));

    if (at < 0)
        return str_trim(output);
    struct str text = str_slice(output, (size_t)at + 17, output.len);
    char *plain = arena_alloc(a, text.len + 1);
    size_t n = 0;
    if (!plain)
        return str_trim(output);
    for (size_t i = 0; i < text.len && text.ptr[i] != '"' && text.ptr[i] != '\n'; i++) {
        if (text.ptr[i] == '\\' && i + 1 < text.len)
            i++;
        plain[n++] = text.ptr[i];
    }
    return (struct str){plain, n};
}

int image_fetch(struct str name, const char *folder, const char *architecture, struct err *err)
{
    _cleanup_(buf_finishp) struct buf output = {0};
    char from[1100], to[4200];
    int status = 0;

    if (!installed("skopeo"))
        return image_invalid(err,
                             "Source image %.*s cannot be fetched: skopeo is not installed here. "
                             "Give the image as oci:/path, docker-archive:/path.tar or "
                             "oci-archive:/path.tar, or install skopeo.",
                             (int)(name.len > 200 ? 200 : name.len), name.ptr);
    snprintf(from, sizeof(from), "docker://%.*s", STR_ARG(name));
    snprintf(to, sizeof(to), "dir:%s", folder); // keeps the manifest, so its digest, as it is
    const char *const argv[] = {"skopeo",
                                "--insecure-policy",
                                "--override-os",
                                "linux",
                                "--override-arch",
                                architecture,
                                "copy",
                                "--quiet",
                                is_local(name) ? "--src-tls-verify=false" : "--src-tls-verify=true",
                                from,
                                to,
                                NULL};
    _cleanup_(arena_finish) struct arena a = {0};
    arena_init(&a, 1 << 20);
    const struct spawn s = {.path = "skopeo",
                            .argv = (char *const *)argv,
                            .envp = environment(&a, folder),
                            .new_group = true};
    if (!s.envp)
        return err_set(err, -ENOMEM, "out of memory");
    buf_init(&output, 4096);
    int r = spawn_run(&s, FETCH_TIMEOUT_MS, &output, &status, err);
    if (r == -ETIMEDOUT)
        return image_invalid(err, "Source image %.*s could not be fetched within %d seconds.",
                             (int)(name.len > 200 ? 200 : name.len), name.ptr,
                             FETCH_TIMEOUT_MS / 1000);
    if (r < 0)
        return r;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    struct str why = reason(&a, buf_str(&output));
    return image_invalid(err, "Source image %.*s could not be fetched: %.*s",
                         (int)(name.len > 200 ? 200 : name.len), name.ptr,
                         (int)(why.len > 300 ? 300 : why.len), why.ptr);
}
