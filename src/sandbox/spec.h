// spec.h - what the server may ask the keeper for: one sandbox, described by value.
//
// A spec names directories relative to the data directory's own `code` folder, never absolute
// paths; the keeper resolves them beneath it and refuses everything else. All sizes are bounded
// here, on both sides of the socket. Strings are borrowed by the encoder for the call only.
#ifndef LAMBKIN_SANDBOX_SPEC_H
#define LAMBKIN_SANDBOX_SPEC_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define SANDBOX_MAX_ARGS 32       // argv entries
#define SANDBOX_MAX_ENV 256       // variables; AWS bounds their bytes (4 KiB) and not their number
#define SANDBOX_MAX_PATH 1024     // bytes of one path
#define SANDBOX_MAX_OUTBOUND 32   // destinations in an allow-list
#define SANDBOX_MIN_MEMORY_MB 128 // AWS: 128 to 10,240
#define SANDBOX_MAX_MEMORY_MB 10240
#define SANDBOX_MIN_TMP_MB 512 // AWS: EphemeralStorage 512 to 10,240
#define SANDBOX_MAX_TMP_MB 10240
#define SANDBOX_VCPU_MEMORY_MB 1769 // AWS: this much memory is one vCPU

// Where a managed runtime finds its framed control socket.
#define SANDBOX_CONTROL_FD 3
// Ports on the sandbox's own loopback.
#define SANDBOX_RUNTIME_API_PORT 9001
#define SANDBOX_ENDPOINT_PORT 4566

enum sandbox_degree {
    SANDBOX_STRICT = 0,      // every protection, or refuse to start
    SANDBOX_BEST_EFFORT = 1, // what this host offers; what is missing is reported
    SANDBOX_NONE = 2,        // plain processes: for debugging, and the control of the hostile tests
};
const char *sandbox_degree_name(enum sandbox_degree d); // "strict", "best-effort", "none"
int sandbox_degree_parse(struct str s, enum sandbox_degree *out);

// The programs of a sandbox: argv[0] is the path to execute, as seen inside. It is a listed
// interpreter or below /var/task, /opt or /var/runtime. env entries are "NAME=value".
struct sandbox_program {
    const char *argv[SANDBOX_MAX_ARGS];
    unsigned n_argv;
    const char *env[SANDBOX_MAX_ENV];
    unsigned n_env;
    const char *cwd; // inside; NULL or "": /var/task once code is there, else /
};

// What makes a sandbox one function's: given at START, or later by INJECT to a waiting one.
struct sandbox_binding {
    // Names below <data-dir>/code, such as "ab/abcdef…". code_dir NULL or "": no code (yet).
    const char *code_dir;
    // A name below <data-dir>/images: the sandbox's root file system, in place of the host's /usr
    // and our /etc; then code_dir is empty, and any program of it may run. With START only.
    const char *image_dir;
    // The same for what is shown at /opt: the function's layers, merged by who stored them.
    const char *layer_dir;
    uint32_t memory_mb; // limit of memory; CPU follows it. 0: SANDBOX_MIN_MEMORY_MB
    uint32_t tmp_mb;    // size of /tmp. 0: SANDBOX_MIN_TMP_MB
    uint32_t pids;      // processes and threads. 0: 1024, as on AWS
    // The working directory behind SANDBOX_HOT code (the local loop) is not below code/ but one
    // of the directories the operator listed at start, or below one; code_dir is then absolute.
    bool hot;
    // Networks that may be reached, "10.0.0.0/8", "1.2.3.4", "0.0.0.0/0" (outbound.h); none: no
    // network but the sandbox's own loopback.
    const char *outbound[SANDBOX_MAX_OUTBOUND];
    unsigned n_outbound;
};

struct sandbox_spec {
    uint64_t id; // chosen by the client, unique among its live sandboxes, not 0
    struct sandbox_binding binding;
    // n_argv 0: nothing is executed; pid 1 waits for INJECT or EXEC (the spare of a custom
    // runtime).
    struct sandbox_program program;
    bool want_control;   // socket pair, inside as SANDBOX_CONTROL_FD of the main program
    bool keep_on_exit;   // the main program's end does not end the sandbox (extensions get to shut
                         // down): the client kills it
    bool ptrace_allowed; // `lambkin invoke --debug`: programs inside may trace each other
};

// Whether a spec is within its bounds: the same check runs on both sides. -EINVAL with the reason.
int sandbox_spec_check(const struct sandbox_spec *s, struct err *err);
int sandbox_binding_check(const struct sandbox_binding *b, const struct sandbox_program *p,
                          struct err *err);
// A fresh spec: zeroed, with the default sizes.
void sandbox_spec_init(struct sandbox_spec *s);

#endif
