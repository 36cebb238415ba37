// resources.c - see resources.h.

#include "services/gateway/resources.h"

#include "os/random.h"
#include "wire/gen/apigatewayv2.h"
#include "wire/wire.h"

#include <errno.h>
#include <stdio.h>

#define MAX_RECORD_BYTES ((size_t)2 << 20)
#define DEFAULT_PAGE 100
#define MAX_PAGE 500

static struct store *the_store;
static void (*changed_fn)(const struct resource_event *e);

static const struct store_migration migrations[] = {
    {"gateway resources", "CREATE TABLE resource ("
                          " account TEXT NOT NULL,"
                          " region TEXT NOT NULL,"
                          " kind TEXT NOT NULL,"
                          " parent TEXT NOT NULL,"
                          " id TEXT NOT NULL,"
                          " body TEXT NOT NULL,"
                          " created_ms BIGINT NOT NULL,"
                          " PRIMARY KEY (account, region, kind, parent, id));"
                          "CREATE INDEX resource_parent ON resource (account, region, parent);"},
    {"unique names below an API",
     "ALTER TABLE resource ADD COLUMN name TEXT;"
     "CREATE INDEX resource_name ON resource (account, region, kind, parent, name);"},
};

// One route of before there was a column for their keys. 1, or 0 when there is none (any more).
static int name_old_route(struct store_tx *tx, struct arena *a, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *st = NULL;
    const struct json_value *v;
    struct str at[4];
    int64_t r;

    r = store_select(tx, &st, err,
                     "SELECT account, region, parent, id, body FROM resource"
                     " WHERE kind = 'route' AND name IS NULL LIMIT 1");
    if (r == 0)
        r = store_step(st, err);
    if (r <= 0 || store_tx_mode(tx) == STORE_READ)
        return (int)r;
    for (int i = 0; i < 4; i++)
        at[i] = store_take_str(st, i, a);
    r = json_parse(a, store_take_str(st, 4, a), &v, err);
    if (r == 0)
        r = store_exec(tx, err,
                       "UPDATE resource SET name = ? WHERE account = ? AND region = ?"
                       " AND kind = 'route' AND parent = ? AND id = ?",
                       SQL_STR(json_get_or(v, "routeKey", STR(""))), SQL_STR(at[0]), SQL_STR(at[1]),
                       SQL_STR(at[2]), SQL_STR(at[3]));
    return r < 0 ? (int)r : 1;
}

static int name_old_routes(struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *look = NULL;
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct arena a;

    int r = store_begin(the_store, STORE_READ, &look, err);
    if (r == 0)
        r = name_old_route(look, NULL, err);
    if (r <= 0)
        return r;
    arena_init(&a, (size_t)1 << 30);
    r = store_begin(the_store, STORE_WRITE, &tx, err);
    if (r == 0)
        while ((r = name_old_route(tx, &a, err)) > 0)
            ;
    arena_finish(&a);
    return r < 0 ? r : store_commit(&tx, err);
}

int resources_open(const char *path, struct err *err)
{
    int r = store_open(path, migrations, ARRAY_LEN(migrations), &the_store, err);

    return r < 0 ? r : name_old_routes(err);
}

void resources_close(void)
{
    store_close(the_store);
    the_store = NULL;
}

struct store *resources_store(void)
{
    return the_store;
}

void resources_on_change(void (*fn)(const struct resource_event *e))
{
    changed_fn = fn;
}

struct str resource_new_id(struct arena *a, unsigned chars)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    char *id = arena_alloc(a, chars + 1);

    if (!id)
        return STR_NULL;
    for (unsigned i = 0; i < chars; i++)
        id[i] = alphabet[os_random_below(i == 0 ? 26 : sizeof(alphabet) - 1)];
    id[chars] = 0;
    return (struct str){id, chars};
}

// ---- JSON
// ----------------------------------------------------------------------------------------

struct str resource_overlay(struct arena *a, const struct json_value *under,
                            const struct json_value *over)
{
    struct json_writer w;
    struct buf b;

    buf_init(&b, MAX_RECORD_BYTES);
    w = json_writer(&b);
    jw_object_begin(&w);
    json_each(m, under)
    {
        if (json_get_str(over, m->key))
            continue;
        jw_key(&w, m->key);
        jw_raw(&w, m->raw);
    }
    json_each(m, over)
    {
        if (json_is_null(m))
            continue;
        jw_key(&w, m->key);
        jw_raw(&w, m->raw);
    }
    jw_object_end(&w);
    struct str s = b.failed ? STR_NULL : arena_str(a, buf_str(&b));
    buf_finish(&b);
    return s;
}

// `text` over `under`; both are objects that we made.
static int overlay_text(struct arena *a, struct str text, const struct json_value **record,
                        struct err *err)
{
    const struct json_value *over;

    if (text.len == 0)
        return 0;
    int r = json_parse(a, text, &over, err);
    if (r < 0)
        return r;
    struct str merged = resource_overlay(a, *record, over);
    return merged.ptr ? json_parse(a, merged, record, err)
                      : err_aws(err, &APIGATEWAYV2_BAD_REQUEST_EXCEPTION, "The request is too big");
}

static int input_json(struct call *c, const void *in, struct str *out, struct err *err)
{
    struct buf b;

    buf_init(&b, MAX_RECORD_BYTES);
    int r = wire_shape_to_json(&wire_apigatewayv2, c->op->in, in, &b);
    *out = r < 0 || b.failed ? STR_NULL : arena_str(c->arena, buf_str(&b));
    buf_finish(&b);
    return out->ptr ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int answer(struct call *c, const struct json_value *record, void *out, struct err *err)
{
    return wire_shape_from_json(&wire_apigatewayv2, c->op->out, record->raw, c->arena, out, err);
}

// ---- rows
// ----------------------------------------------------------------------------------------

int resource_load(struct call *c, struct store_tx *tx, const struct resource_kind *k,
                  struct str parent, struct str id, const struct json_value **record,
                  struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *st = NULL;
    int r;

    r = store_select(tx, &st, err,
                     "SELECT body FROM resource WHERE account = ? AND region = ? AND kind = ?"
                     " AND parent = ? AND id = ?",
                     SQL_STR(c->account), SQL_STR(c->region), SQL_CSTR(k->name), SQL_STR(parent),
                     SQL_STR(id));
    if (r == 0)
        r = store_step(st, err);
    if (r <= 0)
        return r;
    struct str body = store_take_str(st, 0, c->arena);
    if (!body.ptr)
        return err_set(err, -ENOMEM, "out of memory");
    r = json_parse(c->arena, body, record, err);
    return r < 0 ? r : 1;
}

int resource_store(struct call *c, struct store_tx *tx, const struct resource_kind *k,
                   struct str parent, struct str id, struct str json, struct err *err)
{
    const struct json_value *v = NULL;
    int64_t r = k->unique_key ? json_parse(c->arena, json, &v, err) : 0;

    if (r == 0)
        r = store_exec(tx, err,
                       "INSERT INTO resource (account, region, kind, parent, id, body,"
                       " created_ms, name) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                       " ON CONFLICT (account, region, kind, parent, id)"
                       " DO UPDATE SET body = excluded.body, name = excluded.name",
                       SQL_STR(c->account), SQL_STR(c->region), SQL_CSTR(k->name), SQL_STR(parent),
                       SQL_STR(id), SQL_STR(json), SQL_I64(c->now_ms),
                       SQL_STR(v ? json_get_or(v, k->unique_key, STR_NULL) : STR_NULL));
    return r < 0 ? (int)r : 0;
}

int resource_find(struct call *c, struct store_tx *tx, const struct resource_kind *k,
                  struct str parent, struct str value, struct str *id, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *st = NULL;
    int r;

    r = store_select(tx, &st, err,
                     "SELECT id FROM resource WHERE account = ? AND region = ? AND kind = ?"
                     " AND parent = ? AND name = ?",
                     SQL_STR(c->account), SQL_STR(c->region), SQL_CSTR(k->name), SQL_STR(parent),
                     SQL_STR(value));
    if (r == 0)
        r = store_step(st, err);
    if (r > 0)
        *id = store_take_str(st, 0, c->arena);
    return r;
}

static int each_row(struct store_stmt *st, int r,
                    int (*each)(void *ctx, struct str id, struct str json, struct err *err),
                    void *ctx, struct err *err)
{
    while (r == 0 && (r = store_step(st, err)) > 0)
        r = each(ctx, store_col_str(st, 0), store_col_str(st, 1), err);
    return r;
}

int resource_each(struct store_tx *tx, struct str account, struct str region,
                  const struct resource_kind *k, struct str parent,
                  int (*each)(void *ctx, struct str id, struct str json, struct err *err),
                  void *ctx, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *st = NULL;
    int r;

    r = store_select(tx, &st, err,
                     "SELECT id, body FROM resource WHERE account = ? AND region = ? AND kind = ?"
                     " AND parent = ? ORDER BY created_ms, id",
                     SQL_STR(account), SQL_STR(region), SQL_CSTR(k->name), SQL_STR(parent));
    return each_row(st, r, each, ctx, err);
}

int resource_each_below(struct store_tx *tx, struct str account, struct str region,
                        const struct resource_kind *k, struct str parent,
                        int (*each)(void *ctx, struct str id, struct str json, struct err *err),
                        void *ctx, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *st = NULL;
    char from[64], to[64]; // "kind/…": '0' follows '/'
    int r;

    snprintf(from, sizeof(from), "%s/", k->name);
    snprintf(to, sizeof(to), "%s0", k->name);
    r = store_select(tx, &st, err,
                     "SELECT id, body FROM resource WHERE account = ? AND region = ? AND kind > ?"
                     " AND kind < ? AND parent = ? ORDER BY created_ms, id",
                     SQL_STR(account), SQL_STR(region), SQL_CSTR(from), SQL_CSTR(to),
                     SQL_STR(parent));
    return each_row(st, r, each, ctx, err);
}

static int not_found(const struct resource_kind *k, struct str id, struct err *err)
{
    return err_aws(err, &APIGATEWAYV2_NOT_FOUND_EXCEPTION, "Invalid %s identifier specified %.*s",
                   k->noun, STR_ARG(id));
}

// The parent of what stands below an API must be there.
static int check_parent(struct call *c, struct store_tx *tx, const struct resource_kind *k,
                        struct str parent, struct err *err)
{
    static const struct resource_kind api = {.name = "api", .noun = "API"};
    const struct json_value *record = NULL;

    if (!k->below_api)
        return 0;
    int r = resource_load(c, tx, &api, STR(""), parent, &record, err);
    return r == 0 ? not_found(&api, parent, err) : r < 0 ? r : 0;
}

static void changed(struct call *c, const struct resource_kind *k, struct str parent, struct str id,
                    bool created, bool deleted)
{
    const struct resource_event e = {
        .account = c->account,
        .region = c->region,
        .parent = parent,
        .id = id,
        .kind = k,
        .created = created,
        .deleted = deleted,
    };

    if (changed_fn)
        changed_fn(&e);
}

void resource_announce(struct call *c, const struct resource_kind *k, struct str parent,
                       struct str id)
{
    changed(c, k, parent, id, false, false);
}

// Nobody else below the parent may be called the same.
static int check_unique(const struct resource_change *r, const struct resource_kind *k,
                        struct err *err)
{
    struct str value = k->unique_key ? json_get_or(r->after, k->unique_key, STR_NULL) : STR_NULL;
    struct str id;

    int rc = value.ptr ? resource_find(r->c, r->tx, k, r->parent, value, &id, err) : 0;
    if (rc <= 0 || str_eq(id, r->id))
        return rc < 0 ? rc : 0;
    return err_aws(err, &APIGATEWAYV2_CONFLICT_EXCEPTION,
                   "%s with %s %.*s already exists for this API", k->noun,
                   strcmp(k->unique_key, "routeKey") == 0 ? "key" : k->unique_key, STR_ARG(value));
}

static int save(const struct resource_change *r, const struct resource_kind *k, struct err *err)
{
    int rc = k->check ? k->check(r, err) : 0;

    if (rc == 0)
        rc = check_unique(r, k, err);
    return rc < 0 ? rc : resource_store(r->c, r->tx, k, r->parent, r->id, r->after->raw, err);
}

int resource_put(struct call *c, struct store_tx *tx, const struct resource_kind *k,
                 struct str parent, struct str id, struct str json, bool check, struct err *err)
{
    struct resource_change change = {.c = c, .tx = tx, .parent = parent, .id = id};
    int r =
        overlay_text(c->arena, k->defaults ? str_from(k->defaults) : STR("{}"), &change.after, err);

    if (r == 0)
        r = overlay_text(c->arena, json, &change.after, err);
    if (r < 0)
        return r;
    return check ? save(&change, k, err)
                 : resource_store(c, tx, k, parent, id, change.after->raw, err);
}

int resource_clear(struct call *c, struct store_tx *tx, const struct resource_kind *k,
                   struct str parent, struct err *err)
{
    int64_t r =
        store_exec(tx, err,
                   "DELETE FROM resource WHERE account = ? AND region = ? AND kind = ?"
                   " AND parent = ?",
                   SQL_STR(c->account), SQL_STR(c->region), SQL_CSTR(k->name), SQL_STR(parent));
    return r < 0 ? (int)r : 0;
}

// ---- the five operations
// -------------------------------------------------------------------------

static struct str named_id(const struct resource_kind *k, const struct json_value *record)
{
    return json_get_or(record, k->name_key, STR_NULL);
}

int resource_create(struct call *c, const struct resource_kind *k, struct str parent,
                    const void *in, struct str extra, void *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct resource_change change = {.c = c, .parent = parent};
    const struct json_value *record = NULL, *there;
    struct str said;
    int r;

    r = input_json(c, in, &said, err);
    if (r == 0)
        r = overlay_text(c->arena, k->defaults ? str_from(k->defaults) : STR("{}"), &record, err);
    if (r == 0)
        r = overlay_text(c->arena, said, &record, err);
    if (r == 0)
        r = overlay_text(c->arena, extra, &record, err);
    if (r < 0)
        return r;
    change.id = k->name_key ? named_id(k, record) : resource_new_id(c->arena, k->id_chars);
    if (change.id.len == 0)
        return err_aws(err, &APIGATEWAYV2_BAD_REQUEST_EXCEPTION, "%s is required", k->name_key);
    r = overlay_text(c->arena,
                     arena_printf(c->arena, "{\"%s\":\"%.*s\"}", k->id_key, STR_ARG(change.id)),
                     &record, err);
    if (r == 0)
        r = store_begin(the_store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = check_parent(c, tx, k, parent, err);
    if (r == 0)
        r = resource_load(c, tx, k, parent, change.id, &there, err);
    if (r > 0)
        r = err_aws(err, &APIGATEWAYV2_CONFLICT_EXCEPTION, "%s %.*s already exists", k->noun,
                    STR_ARG(change.id));
    if (r < 0)
        return r;
    change.tx = tx;
    change.after = record;
    r = save(&change, k, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r < 0)
        return r;
    changed(c, k, parent, change.id, true, false);
    return answer(c, record, out, err);
}

int resource_get(struct call *c, const struct resource_kind *k, struct str parent, struct str id,
                 void *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    const struct json_value *record = NULL;
    int r;

    r = store_begin(the_store, STORE_READ, &tx, err);
    if (r == 0)
        r = check_parent(c, tx, k, parent, err);
    if (r == 0)
        r = resource_load(c, tx, k, parent, id, &record, err);
    if (r <= 0)
        return r < 0 ? r : not_found(k, id, err);
    return answer(c, record, out, err);
}

// Changes what is there by what make() says.
static int change_record(struct call *c, const struct resource_kind *k, struct str parent,
                         struct str id,
                         int (*make)(void *ctx, struct arena *a, const struct json_value **record,
                                     struct err *err),
                         void *ctx, const struct json_value **record, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct resource_change change = {.c = c, .parent = parent, .id = id};
    int r;

    r = store_begin(the_store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = check_parent(c, tx, k, parent, err);
    if (r == 0)
        r = resource_load(c, tx, k, parent, id, &change.before, err);
    if (r <= 0)
        return r < 0 ? r : not_found(k, id, err);
    change.tx = tx;
    change.after = change.before;
    r = make(ctx, c->arena, &change.after, err);
    if (r == 0)
        r = save(&change, k, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r < 0)
        return r;
    changed(c, k, parent, id, false, false);
    *record = change.after;
    return 0;
}

struct update {
    struct str said, extra;
};

static int make_update(void *ctx, struct arena *a, const struct json_value **record,
                       struct err *err)
{
    const struct update *u = ctx;
    int r = overlay_text(a, u->said, record, err);

    return r < 0 ? r : overlay_text(a, u->extra, record, err);
}

int resource_update(struct call *c, const struct resource_kind *k, struct str parent, struct str id,
                    const void *in, struct str extra, void *out, struct err *err)
{
    struct update u = {.extra = extra};
    const struct json_value *record = NULL;
    int r;

    r = input_json(c, in, &u.said, err);
    if (r == 0)
        r = change_record(c, k, parent, id, make_update, &u, &record, err);
    return r < 0 ? r : answer(c, record, out, err);
}

struct drop {
    const char *member;
    struct str entry;
};

static int make_drop(void *ctx, struct arena *a, const struct json_value **record, struct err *err)
{
    const struct drop *d = ctx;
    const struct json_value *map = json_get(*record, d->member);
    struct buf b;

    buf_init(&b, MAX_RECORD_BYTES);
    struct json_writer w = json_writer(&b);
    jw_object_begin(&w);
    json_each(m, *record)
    {
        if (m == map && !d->entry.ptr)
            continue;
        jw_key(&w, m->key);
        if (m != map) {
            jw_raw(&w, m->raw);
            continue;
        }
        jw_object_begin(&w);
        json_each(e, map)
        {
            if (str_eq(e->key, d->entry))
                continue;
            jw_key(&w, e->key);
            jw_raw(&w, e->raw);
        }
        jw_object_end(&w);
    }
    jw_object_end(&w);
    struct str s = b.failed ? STR_NULL : arena_str(a, buf_str(&b));
    buf_finish(&b);
    return s.ptr ? json_parse(a, s, record, err) : err_set(err, -ENOMEM, "out of memory");
}

int resource_drop_member(struct call *c, const struct resource_kind *k, struct str parent,
                         struct str id, const char *member, struct str entry, struct err *err)
{
    struct drop d = {member, entry};
    const struct json_value *record = NULL;

    return change_record(c, k, parent, id, make_drop, &d, &record, err);
}

int resource_delete(struct call *c, const struct resource_kind *k, struct str parent, struct str id,
                    struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int64_t r;

    r = store_begin(the_store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = check_parent(c, tx, k, parent, err);
    if (r == 0)
        r = store_exec(tx, err,
                       "DELETE FROM resource WHERE account = ? AND region = ? AND kind = ?"
                       " AND parent = ? AND id = ?",
                       SQL_STR(c->account), SQL_STR(c->region), SQL_CSTR(k->name), SQL_STR(parent),
                       SQL_STR(id));
    if (r == 0)
        return not_found(k, id, err);
    // What stood below it goes with it.
    if (r > 0 && parent.len == 0)
        r = store_exec(tx, err,
                       "DELETE FROM resource WHERE account = ? AND region = ? AND parent = ?",
                       SQL_STR(c->account), SQL_STR(c->region), SQL_STR(id));
    if (r >= 0)
        r = store_commit(&tx, err);
    if (r < 0)
        return (int)r;
    changed(c, k, parent, id, false, true);
    return 0;
}

int resource_list(struct call *c, const struct resource_kind *k, struct str parent,
                  struct str max_results, struct str next_token, void *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    _cleanup_(store_resetp) struct store_stmt *st = NULL;
    int64_t limit = DEFAULT_PAGE, offset = 0, n = 0;
    struct buf b;
    int r;

    if ((max_results.len > 0 && (str_to_i64(max_results, &limit) < 0 || limit < 1)) ||
        (next_token.len > 0 && (str_to_i64(next_token, &offset) < 0 || offset < 0)))
        return err_aws(err, &APIGATEWAYV2_BAD_REQUEST_EXCEPTION, "Invalid paging parameter");
    if (limit > MAX_PAGE)
        limit = MAX_PAGE;
    r = store_begin(the_store, STORE_READ, &tx, err);
    if (r == 0)
        r = check_parent(c, tx, k, parent, err);
    if (r == 0)
        r = store_select(tx, &st, err,
                         "SELECT body FROM resource WHERE account = ? AND region = ? AND kind = ?"
                         " AND parent = ? ORDER BY created_ms, id LIMIT ? OFFSET ?",
                         SQL_STR(c->account), SQL_STR(c->region), SQL_CSTR(k->name),
                         SQL_STR(parent), SQL_I64(limit + 1), SQL_I64(offset));
    if (r < 0)
        return r;
    buf_init(&b, 64 * MAX_RECORD_BYTES);
    struct json_writer w = json_writer(&b);
    jw_object_begin(&w);
    jw_key(&w, STR("items"));
    jw_array_begin(&w);
    while ((r = store_step(st, err)) > 0 && ++n <= limit)
        jw_raw(&w, store_col_str(st, 0));
    jw_array_end(&w);
    if (n > limit) {
        jw_key(&w, STR("nextToken"));
        jw_strf(&w, "%lld", (long long)(offset + limit));
    }
    jw_object_end(&w);
    if (r >= 0) {
        struct str text = b.failed ? STR_NULL : arena_str(c->arena, buf_str(&b));
        r = text.ptr
                ? wire_shape_from_json(&wire_apigatewayv2, c->op->out, text, c->arena, out, err)
                : err_set(err, -ENOMEM, "out of memory");
    }
    buf_finish(&b);
    return r;
}
