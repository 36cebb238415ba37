// store_objects.h - large objects as files: written aside, synced, then named.
//
// Invariant: a name that can be opened has complete, durable content; a crash leaves at most
// temporary files, which the next store_objects_open removes. Content never changes under a name
// that was given by content. Any thread may use it; a writer belongs to one thread at a time.
#ifndef LAMBKIN_STORE_STORE_OBJECTS_H
#define LAMBKIN_STORE_STORE_OBJECTS_H

#include "base/err.h"
#include "base/str.h"

struct store_objects;
struct store_object_writer;

#define STORE_OBJECT_NAME_MAX 128 // letters, digits, '.', '_', '-'; does not begin with '.'
#define STORE_OBJECT_NAME_BYTES (STORE_OBJECT_NAME_MAX + 1)

// Makes the directory (mode 0700) when it is not there; its parent must exist.
int store_objects_open(const char *dir, bool ephemeral, struct store_objects **out,
                       struct err *err);
void store_objects_close(struct store_objects *o); // accepts NULL

int store_object_begin(struct store_objects *o, struct store_object_writer **out, struct err *err);
int store_object_write(struct store_object_writer *w, struct str data, struct err *err);
int64_t store_object_written(const struct store_object_writer *w);
// Both consume *w whatever the answer. By content: `name` receives the SHA-256 in hexadecimal
// (64 digits); an object of that content that is there already is as good. By name: replaces.
int store_object_commit(struct store_object_writer **w, char name[static STORE_OBJECT_NAME_BYTES],
                        struct err *err);
int store_object_commit_as(struct store_object_writer **w, const char *name, struct err *err);
void store_object_abort(struct store_object_writer *w); // accepts NULL
void store_object_abortp(struct store_object_writer **w);
// All of it in one go, by content.
int store_object_put(struct store_objects *o, struct str data,
                     char name[static STORE_OBJECT_NAME_BYTES], struct err *err);

// *fd is read-only and close-on-exec, the caller's; -ENOENT when there is none.
int store_object_open(struct store_objects *o, const char *name, int *fd, int64_t *bytes,
                      struct err *err);
bool store_object_exists(struct store_objects *o, const char *name);
// 0 also when it was not there. Readers that have it open keep it.
int store_object_remove(struct store_objects *o, const char *name, struct err *err);
// Absolute or relative as `dir` was; false when it does not fit or the name is not one.
bool store_object_path(struct store_objects *o, const char *name, char *out, size_t size);

struct store_object_info {
    const char *name;
    int64_t bytes, modified_ms;
};
// In no order. A visitor that answers non-zero ends it, and that is the answer.
typedef int (*store_object_visit_fn)(void *ctx, const struct store_object_info *info);
int store_objects_each(struct store_objects *o, store_object_visit_fn visit, void *ctx,
                       struct err *err);
// Removes what was last modified before `before_ms` and is not in use. The age keeps apart what
// was just written but is not yet referred to. Answers how many went, or negative.
typedef bool (*store_object_used_fn)(void *ctx, const char *name);
int64_t store_objects_collect(struct store_objects *o, int64_t before_ms, store_object_used_fn used,
                              void *ctx, struct err *err);

#endif
