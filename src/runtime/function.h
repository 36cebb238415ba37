// function.h - a version of a function as its environments see it: an immutable snapshot.
//
// services/lambda builds one whenever a version changes (create, update, publish): allocate with
// function_config_new(), fill the members with strings from config->arena, function_config_seal().
// After sealing nothing changes, so any thread may read it; the last unref frees it. Environments
// keep the snapshot they were started with; a snapshot with a newer generation of the same version
// makes the runtime retire the environments of the older one as they become idle.
#ifndef LAMBKIN_RUNTIME_FUNCTION_H
#define LAMBKIN_RUNTIME_FUNCTION_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#include <stdatomic.h>

#define FUNCTION_MAX_EXTENSIONS 10          // AWS: extensions of a function, internal ones included
#define FUNCTION_MAX_RESPONSE_BYTES 6291556 // AWS: 6 MB and 100 bytes

enum function_log_level {
    FUNCTION_LOG_TRACE,
    FUNCTION_LOG_DEBUG,
    FUNCTION_LOG_INFO,
    FUNCTION_LOG_WARN,
    FUNCTION_LOG_ERROR,
    FUNCTION_LOG_FATAL
};

struct function_variable {
    struct str name, value;
};

struct function_config {
    struct arena arena; // owns every string below
    atomic_uint refs;
    struct function_config *shared; // holds what the strings of a copy lie in; else NULL
    // What function_config_again() copies begins here and ends before `pool`.
    uint64_t generation; // set by seal: larger is newer, unique in the process

    struct str account, region;
    struct str name;    // "hello"
    struct str version; // "$LATEST" or "7"
    struct str arn;     // arn:aws:lambda:<region>:<account>:function:<name>, unqualified
    struct str role_arn;

    struct str runtime;                  // "python3.12"; absent for PackageType Image
    struct str handler;                  // "app.handler"
    struct str architecture;             // "x86_64" | "arm64"
    unsigned memory_mb;                  // 128–10,240
    unsigned tmp_mb;                     // 512–10,240
    unsigned timeout_ms;                 // 1,000–900,000
    struct function_variable *variables; // decrypted
    size_t n_variables;

    struct str code_dir;  // absolute, unpacked; becomes /var/task
    struct str layer_dir; // its layers, merged; becomes /opt. Absent without layers

    struct str log_group; // "/aws/lambda/<name>" or LoggingConfig's
    bool log_json;        // LoggingConfig.LogFormat JSON
    enum function_log_level app_log_level, system_log_level; // with log_json only; INFO by default
    bool tracing_active;
    bool snap_start; // ApplyOn PublishedVersions, and this is a published version
    bool network;    // outbound network granted

    // PackageType Image: its root below <data-dir>/images, there is no code_dir then. The program
    // is the entrypoint's words and the command's; the first of them is an absolute path inside.
    struct str image_dir;
    struct str *entrypoint, *command;
    size_t n_entrypoint, n_command;
    struct str working_dir;                    // absolute; absent: /
    struct function_variable *image_variables; // the image's own, under the function's
    size_t n_image_variables;

    // --- the runtime's own, set by seal ---
    bool own_start;          // needs a process started for it: no spare can become it
    bool bootstrap_in_layer; // provided.*: /opt/bootstrap
    bool bootstrap_missing;  // provided.*: neither /var/task/bootstrap nor /opt/bootstrap
    struct str extensions[FUNCTION_MAX_EXTENSIONS]; // names of files in /opt/extensions
    unsigned n_extensions;
    _Atomic(void *) pool; // where its environments are, once asked for
    // Of function_config_debugged() only: no time limits, and a debugger may attach at that port of
    // the host's loopback. 0: none.
    uint16_t debug_port;
};

// NULL when out of memory. One reference, the caller's.
struct function_config *function_config_new(void);
// Copies `s` into the config's arena.
struct str function_config_str(struct function_config *f, struct str s);
// A copy that shares everything with `f` but is newer, and sealed: what code_dir holds has changed.
// NULL when out of memory.
struct function_config *function_config_again(struct function_config *f);
// Newer than all that were sealed before; for one that nobody else has yet.
void function_config_renew(struct function_config *f);
// Looks into code_dir and layer_dir (which are complete by now): may block on the disk.
void function_config_seal(struct function_config *f);
struct function_config *function_config_ref(struct function_config *f);
// The same for one invocation under a debugger. NULL when out of memory.
struct function_config *function_config_debugged(struct function_config *f, uint16_t port);
void function_config_unref(struct function_config *f); // accepts NULL
void function_config_unrefp(struct function_config **f);

#endif
