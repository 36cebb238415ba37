// packages.h - deployment packages: unpacked once, named by their content, shared by versions.
//
// <data_dir>/code/<sha256> is the unpacked tree, <data_dir>/code/<sha256>.zip what was uploaded.
// A name that exists is complete and on the disk. collect.c removes what no version and no layer
// refers to.
#ifndef LAMBKIN_SERVICES_LAMBDA_PACKAGES_H
#define LAMBKIN_SERVICES_LAMBDA_PACKAGES_H

#include "base/arena.h"
#include "base/err.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/map.h"

#define PACKAGE_SHA_BASE64_BYTES 45

struct package {
    bool image;                                   // a container image: sha256 is its digest
    char sha256[SHA256_HEX_BYTES];                // lower case hex
    char sha256_base64[PACKAGE_SHA_BASE64_BYTES]; // CodeSha256
    uint64_t zip_bytes, unpacked_bytes;
    struct str hot_folder; // hot.c: a folder of the host that is the code; else absent
};

// Sets the digests and the size of these bytes.
void package_digests(struct str zip, struct package *p);

// Unpacks `zip` below code_dir (or finds it there) and answers its facts; durable on return.
// AWS's errors for what is wrong with it. `max_bytes` is what it may unpack to.
int package_store(const char *code_dir, struct str zip, uint64_t max_bytes, struct package *out,
                  struct err *err);
// The facts of the zip without keeping it (DryRun): it is unpacked and thrown away.
int package_check(const char *code_dir, struct str zip, uint64_t max_bytes, struct package *out,
                  struct err *err);
// Regular files of an unpacked tree together; what package_store said. 0 when it is not there.
uint64_t package_unpacked_bytes(const char *code_dir, const char *sha256);
// Opens the zip for a download: a descriptor, or -ENOENT.
int package_open_zip(const char *code_dir, struct str sha256, uint64_t *bytes, struct err *err);
// Removes what was left by a crash and whatever is not in `used` (keys: sha256). At start.
void package_collect(const char *code_dir, const struct map *used);
// Everything of a tree to the disk; `entries` are how many it has.
int package_sync_tree(int fd, unsigned entries, struct err *err);
// layer_trees.c: the tree of these layers together, lowest first, made when it is not there yet:
// its name, which is that of a single layer itself, or "" for none. The name is set even when
// making it failed. Blocks.
int layer_tree_make(const char *code_dir, const char (*layers)[SHA256_HEX_BYTES], unsigned n,
                    char tree[static SHA256_HEX_BYTES], struct err *err);
// "CodeSha256" to the name of the tree. False when it is none.
bool package_name(struct str sha256_base64, char out[static SHA256_HEX_BYTES]);

enum package_language { PACKAGE_PYTHON, PACKAGE_NODE };
// bytecode.c: compiles the sources of a tree with the interpreter that will run them, in a sandbox:
// Python's modules, or the longer CommonJS scripts of Node.js. Blocks; what fails is left to the
// interpreter at run time.
void package_compile(const char *code_dir, const char *sha256, enum package_language language,
                     const char *interpreter, const char *inside);

#endif
