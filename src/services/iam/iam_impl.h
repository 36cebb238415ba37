// iam_impl.h - what the files of IAM share.
//
// Roles, users, groups, policies and instance profiles are rows of one table, `entity`: they have a
// name (unique without regard to case), a path, an id and tags in common. Everything is in
// db/iam.db and keyed by account; there are no regions.
#ifndef LAMBKIN_IAM_IAM_IMPL_H
#define LAMBKIN_IAM_IAM_IMPL_H

#include "engine/call.h"
#include "engine/engine.h"
#include "services/iam/iam.h"
#include "store/store.h"
#include "wire/gen/iam_handlers.h"

#define IAM_MAX_PAGE 1000
#define IAM_MAX_TAGS 50
#define IAM_MAX_POLICY_VERSIONS 5
#define IAM_MAX_ACCESS_KEYS 2
#define IAM_MAX_ATTACHED 20

enum iam_kind { IAM_ROLE, IAM_USER, IAM_GROUP, IAM_POLICY, IAM_PROFILE };

struct iam_entity {
    struct str id; // AROA…, AIDA…, AGPA…, ANPA…, AIPA…
    struct str account;
    enum iam_kind kind;
    struct str name, path; // the path begins and ends with '/'
    int64_t created_ms, updated_ms;
    struct str description;  // or absent
    struct str document;     // of a role: who may assume it
    int64_t max_session_s;   // of a role
    struct str boundary;     // ARN or absent
    int64_t default_version; // of a policy
    int64_t latest_version;  // of a policy
};

extern struct store *iam_store;

int iam_store_open(const char *path, struct store **out, struct err *err);

// --- entities ---
// NoSuchEntity in AWS's words for the kind, with -ENOENT.
int iam_find(struct store_tx *tx, struct arena *a, struct str account, enum iam_kind kind,
             struct str name, struct iam_entity *out, struct err *err);
int iam_find_by_id(struct store_tx *tx, struct arena *a, struct str id, struct iam_entity *out,
                   struct err *err);
// A customer's policy by ARN; NoSuchEntity.
int iam_find_policy(struct store_tx *tx, struct arena *a, struct str account, struct str arn,
                    struct iam_entity *out, struct err *err);
// Fills id, account, times and path (default "/") and inserts; EntityAlreadyExists.
int iam_insert(struct store_tx *tx, struct call *c, struct iam_entity *e,
               const struct iam_tag_list_type *tags, struct err *err);
int iam_update(struct store_tx *tx, const struct iam_entity *e, struct err *err);
int iam_delete(struct store_tx *tx, const struct iam_entity *e, struct err *err);
struct str iam_arn(struct arena *a, const struct iam_entity *e);
struct str iam_kind_word(enum iam_kind kind); // "role", as in ARNs
void iam_read_entity(struct store_stmt *s, int first, struct arena *a, struct iam_entity *out);
// The columns that iam_read_entity reads.
#define IAM_COLUMNS                                                                                \
    "e.id, e.account, e.kind, e.name, e.path, e.created_ms, e.updated_ms, e.description,"          \
    " e.document, e.max_session_s, e.boundary, e.default_version, e.latest_version"
#define IAM_N_COLUMNS 13
// How many rows of "SELECT COUNT(*) … WHERE x = ?" there are.
int iam_count(struct store_tx *tx, const char *sql, struct str arg, int64_t *out, struct err *err);

// --- documents ---
// MalformedPolicyDocument unless it is JSON of a policy.
int iam_check_document(struct call *c, struct str document, struct err *err);
// Percent-encoded, as IAM answers documents.
struct str iam_document(struct call *c, struct str document);

// --- paging: keys in ascending order, the marker is the last key that was shown ---
struct iam_page {
    struct str after; // "" at the beginning
    int64_t max;
};
int iam_page_begin(struct call *c, struct str marker, bool has_max, int64_t max,
                   struct iam_page *out, struct err *err);
struct str iam_page_marker(struct call *c, struct str last_key);
// For an output with is_truncated and marker.
#define IAM_PAGE_END(c, out, truncated, last_key)                                                  \
    do {                                                                                           \
        WIRE_SET((out), is_truncated, (truncated));                                                \
        if (truncated)                                                                             \
            (out)->marker = iam_page_marker((c), (last_key));                                      \
    } while (0)

// A page of the entities of a kind under a path; the marker and the number are the client's.
struct iam_entities {
    struct iam_entity *list;
    size_t n;
    bool more;
    struct str last; // key
};
int iam_list_page(struct store_tx *tx, struct call *c, enum iam_kind kind, struct str path_prefix,
                  struct str marker, bool has_max, int64_t max, struct iam_entities *out,
                  struct err *err);
#define IAM_LIST(tx, c, kind, in, out, err)                                                        \
    iam_list_page((tx), (c), (kind), (in)->path_prefix, (in)->marker, (in)->has_max_items,         \
                  (in)->max_items, (out), (err))

// --- tags ---
int iam_tags_read(struct store_tx *tx, struct arena *a, struct str id,
                  struct iam_tag_list_type *out, struct err *err);
int iam_tags_put(struct store_tx *tx, struct str id, const struct iam_tag_list_type *tags,
                 struct err *err);

// --- what answers show ---
int iam_show_role(struct store_tx *tx, struct call *c, const struct iam_entity *e,
                  struct iam_role *out, struct err *err);
void iam_show_user(struct call *c, const struct iam_entity *e, struct iam_user *out);
void iam_show_group(struct call *c, const struct iam_entity *e, struct iam_group *out);
struct iam_attached_permissions_boundary *iam_show_boundary(struct call *c, struct str arn);

// Runs fn in a write transaction and commits.
typedef int (*iam_change_fn)(struct store_tx *tx, struct call *c, const void *in, void *out,
                             struct err *err);
int iam_change(struct call *c, iam_change_fn fn, const void *in, void *out, struct err *err);
// Runs fn in a read transaction.
int iam_look(struct call *c, iam_change_fn fn, const void *in, void *out, struct err *err);

// --- access keys in memory, for the signature checks on loop threads ---
int iam_keys_load(struct err *err);
int iam_keys_register(struct engine *e, struct err *err);
void iam_keys_forget(void);
// "AKIA" + 16, "AROA" + 17: prefix and random letters of the alphabet that AWS uses.
struct str iam_unique_id(struct arena *a, const char *prefix, unsigned n_random);

#endif
