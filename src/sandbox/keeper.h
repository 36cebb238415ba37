// keeper.h - the keeper process: creates, freezes and kills sandboxes; trusts nobody.
//
// Single-threaded, one poll loop. It holds the privilege of the daemon and speaks a dozen bounded
// messages over seqpacket sockets (message.h): `main` attaches connections, the server's ask for
// sandboxes. A malformed message is fatal to the connection it came over; with a connection end
// the sandboxes that it asked for. When the keeper dies, every sandbox dies with it.
#ifndef LAMBKIN_SANDBOX_KEEPER_H
#define LAMBKIN_SANDBOX_KEEPER_H

#include "sandbox/spec.h"

#define KEEPER_MAX_INTERPRETERS 32
#define KEEPER_MAX_HOT_DIRS 16
#define KEEPER_MAX_SANDBOXES 4096
#define KEEPER_NO_SPARES 0xffffffffu

struct keeper_config {
    const char *data_dir; // absolute; <data_dir>/code is where code may come from (created here)
    const char
        *runtime_dir; // absolute; bound read-only at /var/runtime. Default <data_dir>/runtime
    enum sandbox_degree degree; // strict: keeper_main fails when a protection is missing
    // Absolute paths of the interpreters that may be run; the directory tree of one that is not
    // below /usr (its prefix: the parent of its bin folder) is bound read-only at the same place.
    const char *interpreters[KEEPER_MAX_INTERPRETERS];
    unsigned n_interpreters;
    // Directories that `binding.hot` may name, and any below them: absolute, without symbolic
    // links.
    const char *hot_dirs[KEEPER_MAX_HOT_DIRS];
    unsigned n_hot_dirs;
    unsigned max_sandboxes; // 0: KEEPER_MAX_SANDBOXES
    // Whole sandboxes held ready, without code. 0: 8; KEEPER_NO_SPARES: each is made when asked
    // for.
    unsigned spare_slots;
    // Sandbox n runs as first_uid + n where the keeper is root. 0: 200000
    unsigned first_uid;
    // Per sandbox and disk, per second and direction; 0: no limit. The disks are those with code,
    // images, bootstraps and /usr.
    uint64_t io_bytes, io_operations;
    // CPU no more than memory's share of 1,769 MB, from keeper_settle() on. Else that is only the
    // weight, and the cap at least one processor.
    bool cpu_proportional;
};

// Runs until main_fd (main's seqpacket connection) is closed or asks for the end; then everything
// it made is gone (processes, mounts, cgroups). main_fd is also an ordinary connection: requests
// are served on it. Answers an exit status: 0, or 1 after saying why on stderr.
int keeper_main(const struct keeper_config *config, int main_fd);

// For `main`: hands the far end of a new connection (say a fresh server's) to the keeper. Blocking,
// does not wait for an answer. client_fd stays the caller's and may be closed at once.
int keeper_attach(int main_fd, int client_fd, struct err *err);

#endif
