// json.h - strict JSON (RFC 8259): a reader to a tree, and a writer.
//
// The tree lives in an arena and borrows from the text it was read from, which must live as long.
// Depth is bounded (JSON_MAX_DEPTH) and so is memory (by the arena). When an object names a key
// twice the last one counts, and only that one is in the tree.
#ifndef LAMBKIN_BASE_JSON_H
#define LAMBKIN_BASE_JSON_H

#include "arena.h"
#include "buf.h"
#include "err.h"

#define JSON_MAX_DEPTH 128

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_value {
    enum json_type type;
    struct str raw; // as it stood in the text, without white space around it
    struct str key; // of a member of an object, unescaped
    union {
        bool boolean;
        struct str string; // unescaped, UTF-8; may contain NUL when the text said \u0000
        struct {
            struct json_value *first;
            size_t n;
        } children;
    };
    struct json_value *next; // the next element or member
};

// -EINVAL malformed (err says what and at which byte), -E2BIG too deep, -ENOMEM.
int json_parse(struct arena *a, struct str text, const struct json_value **out, struct err *err);
// The same without building anything: is this one valid JSON value?
bool json_valid(struct str text);

const char *json_type_name(enum json_type type); // "object"

// All of these accept NULL for v, which then answers as if it were of the wrong type.
// The member called key, or NULL when there is none or v is no object. Linear.
const struct json_value *json_get(const struct json_value *v, const char *key);
const struct json_value *json_get_str(const struct json_value *v, struct str key);
// Down a path of keys: json_path(v, "requestContext", "http", "method", NULL).
const struct json_value *json_path(const struct json_value *v, ...) __attribute__((sentinel));
bool json_is(const struct json_value *v, enum json_type type);
bool json_is_null(const struct json_value *v); // JSON's null or no value at all
// False, and *out untouched, when v is of another type.
bool json_str(const struct json_value *v, struct str *out);
bool json_bool(const struct json_value *v, bool *out);
// Whole numbers in range only; 1.0 and 1e3 are whole.
bool json_i64(const struct json_value *v, int64_t *out);
bool json_f64(const struct json_value *v, double *out);
// With a value for when it is absent or of another type.
struct str json_get_or(const struct json_value *v, const char *key, struct str otherwise);
int64_t json_get_i64_or(const struct json_value *v, const char *key, int64_t otherwise);
bool json_get_bool_or(const struct json_value *v, const char *key, bool otherwise);

// Elements or members in the order of the text.
static inline const struct json_value *json_first(const struct json_value *v)
{
    return v && v->type >= JSON_ARRAY ? v->children.first : NULL;
}
static inline size_t json_count(const struct json_value *v)
{
    return v && v->type >= JSON_ARRAY ? v->children.n : 0;
}
#define json_each(child, v)                                                                        \
    for (const struct json_value *child = json_first(v); child; child = child->next)

// --- writing ---
//
// Puts commas where they belong; nesting must be right, which the writer does not check. Failure
// is the buffer's: check out->failed at the end. Strings that are not UTF-8 get U+FFFD for each
// bad byte. The absent string is written as "".

struct json_writer {
    struct buf *out;
    bool comma; // the next key or element needs one in front
};

static inline struct json_writer json_writer(struct buf *out)
{
    return (struct json_writer){out, false};
}

void jw_object_begin(struct json_writer *w);
void jw_object_end(struct json_writer *w);
void jw_array_begin(struct json_writer *w);
void jw_array_end(struct json_writer *w);
void jw_key(struct json_writer *w, struct str key);
void jw_str(struct json_writer *w, struct str s);
void jw_strf(struct json_writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void jw_i64(struct json_writer *w, int64_t n);
void jw_u64(struct json_writer *w, uint64_t n);
// Shortest form that reads back the same. "NaN", "Infinity", "-Infinity" as strings, as AWS does.
void jw_f64(struct json_writer *w, double n);
void jw_bool(struct json_writer *w, bool b);
void jw_null(struct json_writer *w);
// One value that is JSON already.
void jw_raw(struct json_writer *w, struct str json);
// The value as compact JSON.
void jw_value(struct json_writer *w, const struct json_value *v);
// Milliseconds since the epoch as seconds with up to three decimals: AWS's JSON timestamp.
void jw_epoch_ms(struct json_writer *w, int64_t ms);
// A member in one go: jw_member_str(w, "FunctionName", name).
void jw_member_str(struct json_writer *w, const char *key, struct str s);
void jw_member_i64(struct json_writer *w, const char *key, int64_t n);
void jw_member_bool(struct json_writer *w, const char *key, bool b);
// Only the quoted, escaped string; no comma handling.
void json_quote(struct buf *out, struct str s);

#endif
