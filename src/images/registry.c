// registry.c - images from a registry, fetched by skopeo where it is installed: registries,
// credentials and trust are its business.
#include "images/images_impl.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "os/spawn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define FETCH_TIMEOUT_MS 300000

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

int image_fetch(struct str name, const char *folder, const char *architecture, struct err *err)
{
    _cleanup_(buf_finishp) struct buf output = {0};
    char from[1100], to[1100];
    int status = 0;

    if (!installed("skopeo"))
        return image_invalid(err,
                             "Source image %.*s cannot be fetched: skopeo is not installed here. "
                             "Give the image as oci:/path, docker-archive:/path.tar or "
                             "oci-archive:/path.tar, or install skopeo.",
                             (int)(name.len > 200 ? 200 : name.len), name.ptr);
    snprintf(from, sizeof(from), "docker://%.*s", STR_ARG(name));
    snprintf(to, sizeof(to), "oci:%s:image", folder);
    const char *const argv[] = {"skopeo",
                                "--insecure-policy",
                                "--override-os",
                                "linux",
                                "--override-arch",
                                architecture,
                                "copy",
                                "--quiet",
                                from,
                                to,
                                NULL};
    const struct spawn s = {.path = "skopeo", .argv = (char *const *)argv, .new_group = true};
    buf_init(&output, 4096);
    int r = spawn_run(&s, FETCH_TIMEOUT_MS, &output, &status, err);
    if (r == -ETIMEDOUT)
        return image_invalid(err, "Source image %.*s could not be fetched within %d seconds.",
                             (int)(name.len > 200 ? 200 : name.len), name.ptr,
                             FETCH_TIMEOUT_MS / 1000);
    if (r < 0)
        return r;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return image_invalid(err, "Source image %.*s could not be fetched: %.*s",
                             (int)(name.len > 200 ? 200 : name.len), name.ptr,
                             (int)(output.len > 200 ? 200 : output.len), buf_str(&output).ptr);
    return 0;
}
