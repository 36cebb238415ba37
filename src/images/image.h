// image.h - container images on disk: found, checked, unpacked once, named by their content.
//
// <images_dir>/<hex> holds one image: root/, its file system with every layer applied, and
// config.json, the image's own configuration as it was written by its builder. <hex> is the SHA-256
// of the manifest (of the configuration where a `docker save` archive has no manifest). A name that
// exists is complete and on the disk. Who stores functions removes images that none refers to, when
// no environment can run from them any more.
//
// Formats: OCI Image Specification 1.1 (layout, index, manifest, config, layer), and the archive
// that `docker save` writes. What a stranger's image can do is bounded: see images_impl.h.
#ifndef LAMBKIN_IMAGES_IMAGE_H
#define LAMBKIN_IMAGES_IMAGE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/map.h"

// AWS: the uncompressed size of an image is at most 10 GB.
#define IMAGE_MAX_UNPACKED_BYTES ((uint64_t)10 << 30)

struct image {
    char name[SHA256_HEX_BYTES];            // folder below images_dir, and the digest
    struct str architecture;                // as the image says it: "amd64", "arm64"
    struct str *entrypoint, *command, *env; // env: "NAME=value"
    size_t n_entrypoint, n_command, n_env;
    struct str working_dir; // "" for /
};

// The image behind a URI, unpacked below images_dir, which exists; strings in the arena. URIs:
//   oci:/path[:tag]             a folder in OCI image layout; also oci:/path@sha256:…
//   oci-archive:/path.tar[:tag] the same as a tar file
//   docker-archive:/path.tar[:name:tag]
//   /path                       any of them
//   registry/name[:tag]         through skopeo, where it is installed
// `architecture` ("amd64", "arm64") chooses from an index of several, and must be the image's.
// Blocks for as long as unpacking takes. Errors: -EBADMSG with a message for the client when the
// image or its URI is at fault, anything else is ours.
int image_store(const char *images_dir, struct str uri, const char *architecture, struct arena *a,
                struct image *out, struct err *err);
// Whether such a URI names a place on this host's disk, and not a registry.
bool image_uri_is_path(struct str uri);
// One that was stored before, by its name. -ENOENT.
int image_load(const char *images_dir, const char *name, struct arena *a, struct image *out,
               struct err *err);
// Finds a program of the image as its own exec would: `program` may be absolute, relative to
// working_dir when it holds a slash, else it is looked for in the folders of `path` ("/bin:…").
// Answers the absolute path inside; false when there is none.
bool image_program(const char *images_dir, const char *name, struct str program,
                   struct str working_dir, struct str path, struct arena *a, struct str *out);
// Removes what was left by a crash, and whatever is not in `used` (keys: names). At start.
void image_collect(const char *images_dir, const struct map *used);

#endif
