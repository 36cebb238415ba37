// root.h - what a function sees of the file system: a root made from nothing, and its mounts.
//
// The keeper builds one template, in a mount namespace of its own: a read-only tmpfs with /usr and
// a minimal /etc and /dev. A new mount namespace comes with a copy of it, so a sandbox only adds
// what is private to it (proc, /tmp, /dev/shm, its line in passwd) and pivots. Code and layers are
// moved into the live namespace by root_bind(), before or after programs run inside.
#ifndef LAMBKIN_SANDBOX_ROOT_H
#define LAMBKIN_SANDBOX_ROOT_H

#include "sandbox/keeper.h"

#define ROOT_USER_INSIDE 993 // the uid inside where there is a user namespace; as on AWS

struct root {
    const struct keeper_config *config;
    bool nested;    // sandboxes have a user namespace of their own
    int own_mounts; // /proc/self/ns/mnt of the keeper
    int code_dir;   // <data-dir>/code
    int images_dir; // <data-dir>/images
    char base[512]; // a tmpfs only the keeper sees: base/root the template, base/id the users
};

// Leaves the calling process in a private mount namespace. Needs the right to mount.
int root_prepare(struct root *r, const struct keeper_config *config, bool nested, struct err *err);
void root_finish(struct root *r);
// In the new pid 1, already in its namespaces: makes the template's copy the root, or `image` (a
// tree of root_image(); -1: none) with the template's /proc, /tmp and so on. Only async-signal-safe
// calls. 0, or -errno with *step set to a constant.
int root_enter(const struct root *r, unsigned slot, int image, const char **step);
// In the keeper: a detached, read-only mount of a container image's root; the descriptor.
int root_image(struct root *r, const char *name, struct err *err);
// In the keeper: the passwd file of a slot's user, once.
int root_user(struct root *r, unsigned slot, unsigned uid, struct err *err);
// In the keeper: mounts the code and layers of `b` into that mount namespace (a descriptor), and
// gives /tmp its size.
int root_bind(struct root *r, int mounts, const struct sandbox_binding *b, struct err *err);
// The folder behind a binding's name, opened beneath code/ (or listed, for hot code).
int root_open_code(struct root *r, const char *name, bool hot, struct err *err);

#endif
