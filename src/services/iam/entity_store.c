// entity_store.c - the tables of db/iam.db and the SQL of entities, tags and pages.
#include "services/iam/iam_impl.h"

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/percent.h"
#include "os/random.h"

#include <errno.h>

struct store *iam_store;

static const struct store_migration migrations[] = {
    {"entities",
     "CREATE TABLE entity (id TEXT PRIMARY KEY, account TEXT NOT NULL, kind BIGINT NOT NULL,"
     " name_key TEXT NOT NULL, name TEXT NOT NULL, path TEXT NOT NULL, created_ms BIGINT NOT NULL,"
     " updated_ms BIGINT NOT NULL, description TEXT, document TEXT, max_session_s BIGINT NOT NULL,"
     " boundary TEXT, default_version BIGINT NOT NULL, latest_version BIGINT NOT NULL,"
     " UNIQUE (account, kind, name_key));"
     "CREATE TABLE tag (entity TEXT NOT NULL, tag TEXT NOT NULL, value TEXT NOT NULL,"
     " PRIMARY KEY (entity, tag)) {clustered};"
     "CREATE TABLE inline_policy (entity TEXT NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL,"
     " PRIMARY KEY (entity, name)) {clustered};"
     "CREATE TABLE attachment (entity TEXT NOT NULL, arn TEXT NOT NULL,"
     " PRIMARY KEY (entity, arn)) {clustered};"
     "CREATE INDEX attachment_arn ON attachment (arn, entity);"
     "CREATE TABLE member (owner TEXT NOT NULL, entity TEXT NOT NULL,"
     " PRIMARY KEY (owner, entity)) {clustered};"
     "CREATE INDEX member_entity ON member (entity, owner);"
     "CREATE TABLE policy_version (policy TEXT NOT NULL, number BIGINT NOT NULL,"
     " document TEXT NOT NULL, created_ms BIGINT NOT NULL, PRIMARY KEY (policy, number))"
     " {clustered};"
     "CREATE TABLE access_key (id TEXT PRIMARY KEY, entity TEXT NOT NULL, secret TEXT NOT NULL,"
     " active BIGINT NOT NULL, created_ms BIGINT NOT NULL);"
     "CREATE INDEX access_key_entity ON access_key (entity, id);"
     "CREATE TABLE account_alias (account TEXT PRIMARY KEY, alias TEXT NOT NULL);"},
};

int iam_store_open(const char *path, struct store **out, struct err *err)
{
    return store_open(path, migrations, ARRAY_LEN(migrations), out, err);
}

static const struct {
    struct str word; // in ARNs
    const char *prefix;
    const char *missing; // NoSuchEntity, with the name
    const char *exists;  // EntityAlreadyExists, with the name
} kinds[] = {
    [IAM_ROLE] = {STR_INIT("role"), "AROA", "The role with name %.*s cannot be found.",
                  "Role with name %.*s already exists."},
    [IAM_USER] = {STR_INIT("user"), "AIDA", "The user with name %.*s cannot be found.",
                  "User with name %.*s already exists."},
    [IAM_GROUP] = {STR_INIT("group"), "AGPA", "The group with name %.*s cannot be found.",
                   "Group with name %.*s already exists."},
    [IAM_POLICY] = {STR_INIT("policy"), "ANPA", "Policy %.*s was not found.",
                    "A policy called %.*s already exists. Duplicate names are not allowed."},
    [IAM_PROFILE] = {STR_INIT("instance-profile"), "AIPA", "Instance Profile %.*s cannot be found.",
                     "Instance Profile %.*s already exists."},
};

struct str iam_kind_word(enum iam_kind kind)
{
    return kinds[kind].word;
}

struct str iam_arn(struct arena *a, const struct iam_entity *e)
{
    return arena_printf(a, "arn:aws:iam::%.*s:%.*s%.*s%.*s", STR_ARG(e->account),
                        STR_ARG(kinds[e->kind].word), STR_ARG(e->path), STR_ARG(e->name));
}

struct str iam_unique_id(struct arena *a, const char *prefix, unsigned n_random)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    uint8_t random[32];
    char text[32];
    os_random(random, sizeof(random));
    for (unsigned i = 0; i < n_random; i++)
        text[i] = letters[random[i] & 31];
    return arena_printf(a, "%s%.*s", prefix, (int)n_random, text);
}

// Names are unique without regard to case.
static struct str name_key(struct arena *a, struct str name)
{
    char *key = arena_alloc(a, name.len + 1);
    for (size_t i = 0; key && i < name.len; i++)
        key[i] =
            (char)(name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? name.ptr[i] | 0x20 : name.ptr[i]);
    return (struct str){key, key ? name.len : 0};
}

void iam_read_entity(struct store_stmt *s, int first, struct arena *a, struct iam_entity *out)
{
    out->id = store_take_str(s, first, a);
    out->account = store_take_str(s, first + 1, a);
    out->kind = (enum iam_kind)store_col_i64(s, first + 2);
    out->name = store_take_str(s, first + 3, a);
    out->path = store_take_str(s, first + 4, a);
    out->created_ms = store_col_i64(s, first + 5);
    out->updated_ms = store_col_i64(s, first + 6);
    out->description = store_take_str(s, first + 7, a);
    out->document = store_take_str(s, first + 8, a);
    out->max_session_s = store_col_i64(s, first + 9);
    out->boundary = store_take_str(s, first + 10, a);
    out->default_version = store_col_i64(s, first + 11);
    out->latest_version = store_col_i64(s, first + 12);
}

static int missing(enum iam_kind kind, struct str name, struct err *err)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    err_aws(err, &IAM_NO_SUCH_ENTITY_EXCEPTION, kinds[kind].missing, STR_ARG(name));
#pragma GCC diagnostic pop
    return -ENOENT;
}

int iam_find(struct store_tx *tx, struct arena *a, struct str account, enum iam_kind kind,
             struct str name, struct iam_entity *out, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r = store_select(tx, &s, err,
                         "SELECT " IAM_COLUMNS
                         " FROM entity e WHERE account = ? AND kind = ? AND name_key = ?",
                         SQL_STR(account), SQL_I64(kind), SQL_STR(name_key(a, name)));
    if (r == 0)
        r = store_step(s, err);
    if (r < 0)
        return r;
    if (r == 0)
        return missing(kind, name, err);
    iam_read_entity(s, 0, a, out);
    return str_is_null(out->name) ? err_set(err, -ENOMEM, "iam: out of memory") : 0;
}

int iam_find_by_id(struct store_tx *tx, struct arena *a, struct str id, struct iam_entity *out,
                   struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r =
        store_select(tx, &s, err, "SELECT " IAM_COLUMNS " FROM entity e WHERE id = ?", SQL_STR(id));
    if (r == 0)
        r = store_step(s, err);
    if (r < 0)
        return r;
    if (r == 0)
        return err_set(err, -ENOENT, "no IAM entity %.*s", STR_ARG(id));
    iam_read_entity(s, 0, a, out);
    return 0;
}

int iam_find_policy(struct store_tx *tx, struct arena *a, struct str account, struct str arn,
                    struct iam_entity *out, struct err *err)
{
    struct str part, rest = arn, owner = STR_NULL;
    ptrdiff_t slash = -1;
    for (int i = 0; i < 5; i++) {
        if (!str_next(&rest, ':', &part))
            return missing(IAM_POLICY, arn, err);
        owner = part;
    }
    for (size_t i = 0; i < rest.len; i++) {
        if (rest.ptr[i] == '/')
            slash = (ptrdiff_t)i;
    }
    if (slash < 0 || !str_starts(rest, STR("policy/")) || !str_eq(owner, account))
        return missing(IAM_POLICY, arn, err);
    struct err ignored = ERR_INIT;
    int r = iam_find(tx, a, account, IAM_POLICY, str_slice(rest, (size_t)slash + 1, rest.len), out,
                     &ignored);
    if (r == -ENOENT || (r == 0 && !str_eq(iam_arn(a, out), arn)))
        return missing(IAM_POLICY, arn, err);
    return r < 0 ? err_set(err, r, "%s", ignored.message) : 0;
}

int iam_count(struct store_tx *tx, const char *sql, struct str arg, int64_t *out, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r = store_select(tx, &s, err, sql, SQL_STR(arg));
    if (r == 0)
        r = store_step(s, err);
    *out = r > 0 ? store_col_i64(s, 0) : 0;
    return r < 0 ? r : 0;
}

static int done(int64_t changes)
{
    return changes < 0 ? (int)changes : 0;
}

static int check_free(struct store_tx *tx, struct call *c, const struct iam_entity *e,
                      struct err *err)
{
    struct err ignored = ERR_INIT;
    struct iam_entity have;
    int r = iam_find(tx, c->arena, c->account, e->kind, e->name, &have, &ignored);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return err_set(err, r, "%s", ignored.message);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    return err_aws(err, &IAM_ENTITY_ALREADY_EXISTS_EXCEPTION, kinds[e->kind].exists,
                   STR_ARG(e->name));
#pragma GCC diagnostic pop
}

int iam_insert(struct store_tx *tx, struct call *c, struct iam_entity *e,
               const struct iam_tag_list_type *tags, struct err *err)
{
    int r = check_free(tx, c, e, err);
    if (r < 0)
        return r;
    e->id = iam_unique_id(c->arena, kinds[e->kind].prefix, 17);
    e->account = c->account;
    e->created_ms = e->updated_ms = c->now_ms / 1000 * 1000; // as answers show it
    if (e->path.len == 0)
        e->path = STR("/");
    r = done(store_exec(
        tx, err,
        "INSERT INTO entity (id, account, kind, name_key, name, path, created_ms, updated_ms,"
        " description, document, max_session_s, boundary, default_version, latest_version)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        SQL_STR(e->id), SQL_STR(e->account), SQL_I64(e->kind), SQL_STR(name_key(c->arena, e->name)),
        SQL_STR(e->name), SQL_STR(e->path), SQL_I64(e->created_ms), SQL_I64(e->updated_ms),
        SQL_STR(e->description), SQL_STR(e->document), SQL_I64(e->max_session_s),
        SQL_STR(e->boundary), SQL_I64(e->default_version), SQL_I64(e->latest_version)));
    return r < 0 || !tags ? r : iam_tags_put(tx, e->id, tags, err);
}

int iam_update(struct store_tx *tx, const struct iam_entity *e, struct err *err)
{
    struct arena a = {0};
    arena_init(&a, 4096);
    int r = done(store_exec(
        tx, err,
        "UPDATE entity SET name_key = ?, name = ?, path = ?, updated_ms = ?, description = ?,"
        " document = ?, max_session_s = ?, boundary = ?, default_version = ?, latest_version = ?"
        " WHERE id = ?",
        SQL_STR(name_key(&a, e->name)), SQL_STR(e->name), SQL_STR(e->path), SQL_I64(e->updated_ms),
        SQL_STR(e->description), SQL_STR(e->document), SQL_I64(e->max_session_s),
        SQL_STR(e->boundary), SQL_I64(e->default_version), SQL_I64(e->latest_version),
        SQL_STR(e->id)));
    arena_finish(&a);
    return r;
}

int iam_delete(struct store_tx *tx, const struct iam_entity *e, struct err *err)
{
    int64_t n = store_exec(tx, err, "DELETE FROM tag WHERE entity = ?", SQL_STR(e->id));
    if (n >= 0)
        n = store_exec(tx, err, "DELETE FROM entity WHERE id = ?", SQL_STR(e->id));
    return done(n);
}

// --- documents ---

int iam_check_document(struct call *c, struct str document, struct err *err)
{
    const struct json_value *v, *statements;
    if (json_parse(c->arena, document, &v, NULL) < 0)
        return err_aws(err, &IAM_MALFORMED_POLICY_DOCUMENT_EXCEPTION,
                       "This policy contains invalid Json");
    statements = json_get(v, "Statement");
    if (!json_is(v, JSON_OBJECT) ||
        (!json_is(statements, JSON_ARRAY) && !json_is(statements, JSON_OBJECT)))
        return err_aws(err, &IAM_MALFORMED_POLICY_DOCUMENT_EXCEPTION, "Syntax errors in policy.");
    return 0;
}

struct str iam_document(struct call *c, struct str document)
{
    _cleanup_(buf_finishp) struct buf b = {0};
    buf_init(&b, (size_t)1 << 20);
    percent_encode(&b, document);
    return b.failed ? STR_NULL : arena_str(c->arena, buf_str(&b));
}

// --- pages ---

int iam_page_begin(struct call *c, struct str marker, bool has_max, int64_t max,
                   struct iam_page *out, struct err *err)
{
    *out = (struct iam_page){STR(""), has_max ? max : 100};
    if (out->max < 1 || out->max > IAM_MAX_PAGE)
        out->max = IAM_MAX_PAGE;
    if (!str_is_null(marker) && base64url_decode(c->arena, marker, &out->after) < 0)
        return err_aws(err, &WIRE_VALIDATION_ERROR, "Invalid Marker.");
    return 0;
}

struct str iam_page_marker(struct call *c, struct str last_key)
{
    _cleanup_(buf_finishp) struct buf b = {0};
    buf_init(&b, 4096);
    base64url_encode(&b, last_key);
    return arena_str(c->arena, buf_str(&b));
}

// --- tags ---

int iam_tags_read(struct store_tx *tx, struct arena *a, struct str id,
                  struct iam_tag_list_type *out, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r = store_select(tx, &s, err, "SELECT tag, value FROM tag WHERE entity = ? ORDER BY tag",
                         SQL_STR(id));
    struct iam_tag *tags = arena_new_array(a, struct iam_tag, IAM_MAX_TAGS);
    if (!tags)
        return err_set(err, -ENOMEM, "tags: out of memory");
    out->n = 0;
    while (r >= 0 && out->n < IAM_MAX_TAGS && (r = store_step(s, err)) > 0) {
        tags[out->n].key = store_take_str(s, 0, a);
        tags[out->n++].value = store_take_str(s, 1, a);
    }
    out->ptr = out->n > 0 ? tags : NULL;
    return r < 0 ? r : 0;
}

int iam_tags_put(struct store_tx *tx, struct str id, const struct iam_tag_list_type *tags,
                 struct err *err)
{
    int64_t n = 0;
    int r;
    for (size_t i = 0; n >= 0 && i < tags->n; i++)
        n = store_exec(tx, err,
                       "INSERT INTO tag (entity, tag, value) VALUES (?, ?, ?)"
                       " ON CONFLICT (entity, tag) DO UPDATE SET value = excluded.value",
                       SQL_STR(id), SQL_STR(tags->ptr[i].key), SQL_STR(tags->ptr[i].value));
    if (n < 0)
        return (int)n;
    r = iam_count(tx, "SELECT COUNT(*) FROM tag WHERE entity = ?", id, &n, err);
    if (r == 0 && n > IAM_MAX_TAGS)
        return err_aws(err, &IAM_LIMIT_EXCEEDED_EXCEPTION,
                       "The number of tags has reached the maximum limit.");
    return r;
}

// --- transactions ---

int iam_change(struct call *c, iam_change_fn fn, const void *in, void *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int r = store_begin(iam_store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = fn(tx, c, in, out, err);
    return r < 0 ? r : store_commit(&tx, err);
}

int iam_look(struct call *c, iam_change_fn fn, const void *in, void *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int r = store_begin(iam_store, STORE_READ, &tx, err);
    return r < 0 ? r : fn(tx, c, in, out, err);
}

int iam_list_page(struct store_tx *tx, struct call *c, enum iam_kind kind, struct str path_prefix,
                  struct str marker, bool has_max, int64_t max, struct iam_entities *out,
                  struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    struct iam_page page;
    int r = iam_page_begin(c, marker, has_max, max, &page, err);

    *out = (struct iam_entities){0};
    if (r == 0)
        r = store_select(tx, &s, err,
                         "SELECT " IAM_COLUMNS ", e.name_key FROM entity e WHERE account = ? AND"
                         " kind = ? AND name_key > ? AND substr(path, 1, ?) = ?"
                         " ORDER BY name_key LIMIT ?",
                         SQL_STR(c->account), SQL_I64(kind), SQL_STR(page.after),
                         SQL_I64((int64_t)path_prefix.len),
                         SQL_STR(path_prefix.len > 0 ? path_prefix : STR("")),
                         SQL_I64(page.max + 1));
    if (r < 0)
        return r;
    out->list = arena_new_array(c->arena, struct iam_entity, (size_t)page.max);
    if (!out->list)
        return err_set(err, -ENOMEM, "iam: out of memory");
    while ((r = store_step(s, err)) > 0) {
        out->more = out->n == (size_t)page.max;
        if (out->more)
            return 0;
        iam_read_entity(s, 0, c->arena, &out->list[out->n++]);
        out->last = store_take_str(s, IAM_N_COLUMNS, c->arena);
    }
    return r;
}
