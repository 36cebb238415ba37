// deploy.h - bringing a folder or a zip into a function, for `deploy` and for `dev`.
#ifndef LAMBKIN_CLI_DEPLOY_H
#define LAMBKIN_CLI_DEPLOY_H

#include "cli/client.h"
#include "cli/package.h"

struct deploy {
    struct client client;
    const char *name; // NULL: the folder's
    const char *runtime, *handler, *timeout, *memory, *role, *architecture;
    struct arg_values env;
    const char
        *hot; // the folder by its full name: the daemon runs it from there, and gets no package
    struct package_kind kind;
    struct str zip; // only while it is being sent
    uint64_t sent;  // of the package that is in place; 0: none
    bool created;
};

// Room for these flags: DEPLOY_ARGS(&d) after CLIENT_ARGS(&d.client).
#define DEPLOY_ARGS(d)                                                                             \
    {.name = "--name", .value = &(d)->name}, {.name = "--runtime", .value = &(d)->runtime},        \
        {.name = "--handler", .value = &(d)->handler},                                             \
        {.name = "--timeout", .value = &(d)->timeout},                                             \
        {.name = "--memory", .value = &(d)->memory}, {.name = "--role", .value = &(d)->role},      \
        {.name = "--architecture", .value = &(d)->architecture},                                   \
    {                                                                                              \
        .name = "--env", .values = &(d)->env                                                       \
    }

// The folder's or zip's own name, with what no function may be called replaced.
const char *deploy_name(struct arena *a, const char *path);
// What can be said of the flags without a daemon; -EINVAL.
int deploy_check(const struct deploy *d, struct err *err);
// Creates the function or updates it, and waits until it is in place. *configuration is then its
// configuration as JSON, in the client's arena.
int deploy_run(struct deploy *d, const char *path, struct str *configuration, struct err *err);
// Only the code, as quickly as it can be done, for a function that deploy_run() has seen: 1 when
// the new code is in place (hot code is so by itself), 0 when the package is the same as before,
// -ENOENT when the function is gone or a file vanished while it was being packed.
int deploy_code(struct deploy *d, const char *path, struct err *err);
// Of the function; absent when it has none.
struct str deploy_url(struct deploy *d);

#endif
