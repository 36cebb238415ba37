// unpack.h - a zip archive from a stranger into a directory, or AWS's error.
#ifndef LAMBKIN_SERVICES_LAMBDA_UNPACK_H
#define LAMBKIN_SERVICES_LAMBDA_UNPACK_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

// AWS's quotas for a deployment package: 50 MB zipped in a request, 250 MB unpacked (function and
// layers together). The number of entries is ours: node_modules folders have some ten thousand.
#define PACKAGE_MAX_ZIP_BYTES ((uint64_t)50 << 20)
#define PACKAGE_MAX_UNPACKED_BYTES ((uint64_t)262144000)
#define PACKAGE_MAX_ENTRIES 100000
#define PACKAGE_MAX_DEPTH 64
#define PACKAGE_MAX_NAME_BYTES 1024

struct unpacked {
    uint64_t bytes; // of regular files
    unsigned entries;
};

// Unpacks into the directory `dir_fd`, which is empty and nobody else's. Files become 0644 or
// 0755, directories 0755, whatever the archive says. Refused: absolute names, "..", symbolic links
// that leave the tree, hard links, devices, sockets, encrypted entries, what breaks a limit.
// On failure the directory holds part of the archive; the caller removes it.
// `max_bytes` is what the files may have together.
int unpack_zip(int dir_fd, struct str zip, uint64_t max_bytes, struct unpacked *out,
               struct err *err);

// Whether a link at `path` (relative to the tree) with this target stays inside the tree, judged by
// the text alone. For tests.
bool unpack_link_stays(struct str path, struct str target);

extern const struct aws_error PACKAGE_INVALID; // InvalidParameterValueException, 400

#endif
