// images_impl.h - what the files of this room share, and the bounds on what an image may be.
#ifndef LAMBKIN_IMAGES_IMAGES_IMPL_H
#define LAMBKIN_IMAGES_IMAGES_IMPL_H

#include "images/image.h"

#include <stdbool.h>

#define IMAGE_MAX_JSON_BYTES ((uint64_t)4 << 20) // index, manifest, config; registries say 4 MiB
#define IMAGE_MAX_LAYERS 127                     // Docker's own bound
#define IMAGE_MAX_ENTRIES 2000000                // of all layers together
#define IMAGE_MAX_NAME_BYTES 4095                // of a path in a layer
#define IMAGE_MAX_DEPTH 128                      // folders of a path
#define IMAGE_MAX_SYMLINKS 40                    // followed in one look-up, as the kernel does
#define IMAGE_MAX_INDEX_DEPTH 3                  // an index that points to an index …
#define IMAGE_MAX_WORDS 256                      // of an entrypoint, a command, an environment

// What the client sees: InvalidParameterValueException. Answers -EBADMSG.
int image_invalid(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

// ---- reference.c: which image is meant; pure ----

enum image_place {
    IMAGE_ANY_PATH, // a folder or an archive of either kind
    IMAGE_OCI_LAYOUT,
    IMAGE_OCI_ARCHIVE,
    IMAGE_DOCKER_ARCHIVE,
    IMAGE_REGISTRY,
};
struct image_reference {
    enum image_place place;
    struct str path;   // or the registry's name of it
    struct str tag;    // absent: the only one
    struct str digest; // hex; absent: by tag
};
int image_reference_parse(struct str uri, struct image_reference *out, struct err *err);
// "sha256:" and 64 lower-case digits, and nothing else: digests become parts of paths.
bool image_digest_parse(struct str text, char hex[static SHA256_HEX_BYTES]);

// ---- manifest.c: the JSON documents; pure ----

struct image_blob {
    struct str path;            // in the layout, relative
    char hex[SHA256_HEX_BYTES]; // "" when nobody said
    int64_t bytes;              // -1 when nobody said
};
struct image_manifest {
    struct image_blob config, layers[IMAGE_MAX_LAYERS];
    unsigned n_layers;
};
struct image_config {
    struct image image; // without a name
    char diff_ids[IMAGE_MAX_LAYERS][SHA256_HEX_BYTES];
    unsigned n_layers;
};
// The entry of an index that is meant; it may be an index again.
int image_index_choose(struct arena *a, struct str text, const struct image_reference *wanted,
                       const char *architecture, struct image_blob *out, struct err *err);
// Whether a document is an index, by what is in it.
bool image_is_index(struct arena *a, struct str text);
int image_manifest_parse(struct arena *a, struct str text, struct image_manifest *out,
                         struct err *err);
// manifest.json of `docker save`.
int image_docker_parse(struct arena *a, struct str text, const struct image_reference *wanted,
                       struct image_manifest *out, struct err *err);
int image_config_parse(struct arena *a, struct str text, struct image_config *out, struct err *err);

// ---- inside.c: opening a path of a tree that a stranger made ----

// As if `root` were the root folder: absolute symbolic links and ".." stay inside. `flags` as of
// open(); O_NOFOLLOW is about the last part. A descriptor or -errno.
int image_open_inside(int root, const char *path, int flags);
// The same without openat2(), for kernels and filters that lack it. Not for trees that somebody
// else changes meanwhile.
int image_open_inside_by_parts(int root, const char *path, int flags);

// ---- layer.c: one layer into the tree ----

struct unpacking {
    int root;         // descriptor of the tree
    uint64_t left;    // bytes of tar streams that may still come
    uint64_t entries; // of all layers
    uint64_t dropped; // devices, pipes, sockets
    bool by_parts;    // for tests: as without openat2()
};
// Reads the blob `fd` twice: first its digests are checked and what it deletes is deleted, then
// what it adds is added, so that deletions reach only what lower layers brought. blob_hex and
// diff_hex may be NULL: not checked.
int image_layer_apply(struct unpacking *u, int fd, const char *blob_hex, const char *diff_hex,
                      struct err *err);
// A tar archive that is no layer (of a whole layout): nothing in it deletes anything.
int image_archive_unpack(struct unpacking *u, int fd, struct err *err);
// Makes the places that every sandbox mounts something on.
int image_finish_root(int root, struct err *err);

// ---- registry.c ----

// Copies from a registry by skopeo into `folder`, which exists: its blobs by their digests' digits,
// and what the registry has as their manifest in IMAGE_FETCHED_MANIFEST.
#define IMAGE_FETCHED_MANIFEST "manifest.json"
int image_fetch(struct str name, const char *folder, const char *architecture, struct err *err);

#endif
