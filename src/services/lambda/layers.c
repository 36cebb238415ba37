// layers.c - layers and their versions.
//
// A deleted version stays in the tables, marked, because functions that hold it keep working and
// may be updated; it can no longer be found by name, nor be added to a function. Its row stays, so
// that its number is never given again; its code goes at a start when no function holds it.
#include "services/lambda/lambda_impl.h"

#include "base/timefmt.h"
#include "services/lambda/policies.h"
#include "services/lambda/unpack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

// --- versions in memory ---

void layer_version_unref(struct layer_version *v)
{
    if (!v || atomic_fetch_sub(&v->refs, 1) != 1)
        return;
    arena_finish(&v->arena);
    free(v);
}

static void layer_version_unrefp(struct layer_version **v)
{
    layer_version_unref(*v);
}

static void release(void *p)
{
    layer_version_unref(p);
}

static void hold(struct call *c, struct layer_version *v)
{
    atomic_fetch_add(&v->refs, 1);
    call_defer(c, release, v);
}

static struct layer_version *layer_get(struct lambda *l, struct str account, struct str region,
                                       struct str name, uint64_t number)
{
    char key[256];
    int n = snprintf(key, sizeof(key), "%.*s/%.*s/%.*s/%llu", STR_ARG(account), STR_ARG(region),
                     STR_ARG(name), (unsigned long long)number);

    if (n < 0 || (size_t)n >= sizeof(key))
        return NULL;
    return map_get(&l->layers, (struct str){key, (size_t)n});
}

struct layer_row {
    struct str account, region, name, sha256, doc, policy, policy_revision;
    uint64_t number, unpacked_bytes;
    bool deleted;
};

static int layer_version_new(const struct layer_row *row, struct layer_version **out,
                             struct err *err)
{
    _cleanup_(layer_version_unrefp) struct layer_version *v = calloc(1, sizeof(*v));

    if (!v)
        return err_set(err, -ENOMEM, "out of memory");
    atomic_init(&v->refs, 1);
    arena_init(&v->arena, 4 * LAMBDA_MAX_DOC_BYTES);
    v->account = arena_str(&v->arena, row->account);
    v->region = arena_str(&v->arena, row->region);
    v->name = arena_str(&v->arena, row->name);
    v->number = row->number;
    v->key = arena_printf(&v->arena, "%.*s/%.*s/%.*s/%llu", STR_ARG(v->account), STR_ARG(v->region),
                          STR_ARG(v->name), (unsigned long long)v->number);
    snprintf(v->sha256, sizeof(v->sha256), "%.*s", STR_ARG(row->sha256));
    v->unpacked_bytes = row->unpacked_bytes;
    v->deleted = row->deleted;
    if (!str_is_null(row->policy)) {
        v->policy = arena_str(&v->arena, row->policy);
        v->policy_revision = arena_str(&v->arena, row->policy_revision);
    }
    struct lambda_get_layer_version_response *value =
        arena_new(&v->arena, struct lambda_get_layer_version_response);
    if (!value || str_is_null(v->key))
        return err_set(err, -ENOMEM, "out of memory");
    int r = wire_shape_from_json(&wire_lambda, LAMBDA_SHAPE_GET_LAYER_VERSION_RESPONSE,
                                 arena_str(&v->arena, row->doc), &v->arena, value, err);
    if (r < 0)
        return r;
    v->value = value;
    *out = TAKE_PTR(v);
    return 0;
}

// Takes the reference. Under `table` exclusively, or at start.
static int layer_put(struct lambda *l, struct layer_version *v)
{
    void *old = NULL;
    int r = map_set(&l->layers, v->key, v, &old);

    if (r < 0)
        layer_version_unref(v);
    else
        layer_version_unref(old);
    return r;
}

// --- the store ---

static int store_layer(struct store_tx *tx, const struct layer_version *v, struct str doc,
                       struct err *err)
{
    int64_t n = store_exec(
        tx, err,
        "INSERT INTO layers (account, region, name, number, sha256, unpacked, deleted, doc,"
        " policy, policy_revision) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (account, region, name, number) DO UPDATE SET deleted = excluded.deleted,"
        " policy = excluded.policy, policy_revision = excluded.policy_revision",
        SQL_STR(v->account), SQL_STR(v->region), SQL_STR(v->name), SQL_I64((int64_t)v->number),
        SQL_CSTR(v->sha256), SQL_I64((int64_t)v->unpacked_bytes), SQL_I64(v->deleted), SQL_STR(doc),
        SQL_STR(v->policy), SQL_STR(v->policy_revision));
    return n < 0 ? (int)n : 0;
}

int layers_store_load(struct lambda *l, struct store_tx *tx, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r = store_select(tx, &s, err,
                         "SELECT account, region, name, number, sha256, unpacked, deleted, doc,"
                         " policy, policy_revision FROM layers");

    if (r < 0)
        return r;
    while ((r = store_step(s, err)) > 0) {
        const struct layer_row row = {
            .account = store_col_str(s, 0),
            .region = store_col_str(s, 1),
            .name = store_col_str(s, 2),
            .number = (uint64_t)store_col_i64(s, 3),
            .sha256 = store_col_str(s, 4),
            .unpacked_bytes = (uint64_t)store_col_i64(s, 5),
            .deleted = store_col_i64(s, 6) != 0,
            .doc = store_col_str(s, 7),
            .policy = store_col_str(s, 8),
            .policy_revision = store_col_str(s, 9),
        };
        struct layer_version *v;
        r = layer_version_new(&row, &v, err);
        if (r < 0)
            return r;
        if (layer_put(l, v) < 0)
            return err_set(err, -ENOMEM, "out of memory");
    }
    return r;
}

void layers_finish(struct lambda *l)
{
    const struct map_entry *e;
    size_t at = 0;

    while ((e = map_next(&l->layers, &at)) != NULL)
        layer_version_unref(e->value);
    map_finish(&l->layers);
}

// A changed copy of a version replaces it, in the store and then in the table.
static int replace(struct lambda *l, struct call *c, const struct layer_version *old, bool deleted,
                   struct str policy, struct str revision, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    _cleanup_(layer_version_unrefp) struct layer_version *v = NULL;
    _cleanup_(buf_finishp) struct buf doc = {0};

    (void)c;
    buf_init(&doc, LAMBDA_MAX_DOC_BYTES);
    int r =
        wire_shape_to_json(&wire_lambda, LAMBDA_SHAPE_GET_LAYER_VERSION_RESPONSE, old->value, &doc);
    if (r < 0 || doc.failed)
        return err_set(err, -ENOMEM, "out of memory");
    const struct layer_row row = {
        .account = old->account,
        .region = old->region,
        .name = old->name,
        .number = old->number,
        .sha256 = str_from(old->sha256),
        .unpacked_bytes = old->unpacked_bytes,
        .deleted = deleted,
        .doc = buf_str(&doc),
        .policy = policy,
        .policy_revision = revision,
    };
    r = layer_version_new(&row, &v, err);
    if (r == 0)
        r = store_begin(l->store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = store_layer(tx, v, row.doc, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r < 0)
        return r;
    pthread_rwlock_wrlock(&l->table);
    layer_put(l, TAKE_PTR(v)); // the key is there already: cannot fail
    pthread_rwlock_unlock(&l->table);
    return 0;
}

// --- finding ---

int layer_find(struct lambda *l, struct call *c, struct str arn, struct layer_version **out,
               struct err *err)
{
    struct layer_name n;

    if (!layer_name_parse(arn, &n) || n.version == 0 || str_is_null(n.account))
        return lambda_invalid(err, "Invalid layer version ARN: %.*s",
                              (int)(arn.len > 140 ? 140 : arn.len), arn.ptr);
    struct layer_version *v = layer_get(l, n.account, n.region, n.name, n.version);
    if (!v || v->deleted || !str_eq(n.region, c->region) ||
        (!str_eq(n.account, c->account) && str_is_null(v->policy)))
        return lambda_invalid(err, "Layer version %.*s does not exist.", STR_ARG(arn));
    *out = v;
    return 0;
}

static int layer_not_found(struct err *err)
{
    err_field(err, "Type", "User");
    return err_aws(err, &LAMBDA_RESOURCE_NOT_FOUND_EXCEPTION,
                   "The resource you requested does not exist.");
}

static int parse_layer(struct call *c, struct str given, struct layer_name *n, struct err *err)
{
    if (!layer_name_parse(given, n))
        return err_aws(err, wire_lambda.validation,
                       "1 validation error detected: Value '%.*s' at 'layerName' failed to satisfy "
                       "constraint: Member must satisfy regular expression pattern: "
                       "(arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\\d{12}:layer:[a-zA-Z0-9-_]+)|"
                       "[a-zA-Z0-9-_]+",
                       (int)(given.len > 140 ? 140 : given.len), given.ptr);
    if (str_is_null(n->account))
        n->account = c->account;
    if (str_is_null(n->region))
        n->region = c->region;
    return 0;
}

static int find_version(struct lambda *l, struct call *c, struct str given, int64_t number,
                        struct layer_version **out, struct err *err)
{
    struct layer_name n;
    int r = parse_layer(c, given, &n, err);

    if (r < 0)
        return r;
    *out = number > 0 ? layer_get(l, n.account, n.region, n.name, (uint64_t)number) : NULL;
    if (!*out || (*out)->deleted || (!str_eq(n.account, c->account) && str_is_null((*out)->policy)))
        return layer_not_found(err);
    return 0;
}

// --- operations ---

int lambda_publish_layer_version(struct call *c, const struct lambda_publish_layer_version_in *in,
                                 struct lambda_publish_layer_version_out *out, struct err *err)
{
    _cleanup_(deploy_endp) struct lambda *l = deploy_begin(lambda_of(c));
    struct layer_name n;
    struct package package;
    int r = parse_layer(c, in->layer_name, &n, err);

    if (r == 0 && (n.version > 0 || !str_eq(n.account, c->account)))
        r = lambda_invalid(err, "A layer is published under its name or unversioned ARN.");
    if (r < 0)
        return r;
    const struct lambda_layer_version_content_input *content = in->content;
    const struct code_source code = {content ? content->zip_file : STR_NULL,
                                     content ? content->s3_bucket : STR_NULL,
                                     content ? content->s3_key : STR_NULL,
                                     content ? content->s3_object_version : STR_NULL, STR_NULL};
    r = code_store(l, c, &code, PACKAGE_MAX_UNPACKED_BYTES, false, &package, err);
    if (r < 0)
        return r;

    _cleanup_(lambda_change_end) struct lambda *locked = lambda_change(c);
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    _cleanup_(layer_version_unrefp) struct layer_version *v = NULL;
    _cleanup_(buf_finishp) struct buf doc = {0};
    uint64_t number = 1;
    const struct map_entry *e;
    size_t at = 0;
    while ((e = map_next(&locked->layers, &at)) != NULL) {
        const struct layer_version *o = e->value;
        if (o->number >= number && str_eq(o->name, n.name) && str_eq(o->account, c->account) &&
            str_eq(o->region, c->region))
            number = o->number + 1;
    }
    char created[TIMEFMT_BYTES];
    out->layer_arn = call_arn(c, "lambda", "layer:%.*s", STR_ARG(n.name));
    out->layer_version_arn =
        arena_printf(c->arena, "%.*s:%llu", STR_ARG(out->layer_arn), (unsigned long long)number);
    out->description = str_is_null(in->description) ? STR("") : in->description;
    out->created_date = arena_str(c->arena, timefmt_lambda(c->now_ms, created));
    WIRE_SET(out, version, (int64_t)number);
    out->compatible_runtimes = in->compatible_runtimes;
    out->compatible_architectures = in->compatible_architectures;
    out->license_info = in->license_info;
    out->content = arena_new(c->arena, struct lambda_layer_version_content_output);
    if (!out->content)
        return err_set(err, -ENOMEM, "out of memory");
    out->content->code_sha256 = arena_str(c->arena, str_from(package.sha256_base64));
    WIRE_SET(out->content, code_size, (int64_t)package.zip_bytes);

    buf_init(&doc, LAMBDA_MAX_DOC_BYTES);
    r = wire_shape_to_json(&wire_lambda, LAMBDA_SHAPE_PUBLISH_LAYER_VERSION_RESPONSE, out, &doc);
    if (r < 0 || doc.failed)
        return err_set(err, -ENOMEM, "out of memory");
    const struct layer_row row = {
        .account = c->account,
        .region = c->region,
        .name = n.name,
        .number = number,
        .sha256 = str_from(package.sha256),
        .unpacked_bytes = package.unpacked_bytes,
        .doc = buf_str(&doc),
    };
    r = layer_version_new(&row, &v, err);
    if (r == 0)
        r = store_begin(l->store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = store_layer(tx, v, row.doc, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r < 0)
        return r;
    pthread_rwlock_wrlock(&l->table);
    r = layer_put(l, TAKE_PTR(v));
    pthread_rwlock_unlock(&l->table);
    if (r < 0)
        return err_set(err, -ENOMEM, "out of memory");
    return code_location(l, c, package.sha256, &out->content->location, err);
}

static int answer_version(struct lambda *l, struct call *c, struct layer_version *v,
                          struct lambda_get_layer_version_response *out, struct err *err)
{
    hold(c, v);
    *out = *v->value;
    out->content = arena_new(c->arena, struct lambda_layer_version_content_output);
    if (!out->content)
        return err_set(err, -ENOMEM, "out of memory");
    if (v->value->content)
        *out->content = *v->value->content;
    return code_location(l, c, v->sha256, &out->content->location, err);
}

int lambda_get_layer_version(struct call *c, const struct lambda_get_layer_version_in *in,
                             struct lambda_get_layer_version_out *out, struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    struct layer_version *v;
    int r = find_version(l, c, in->layer_name, WIRE_GET(in, version_number, 0), &v, err);

    return r < 0 ? r : answer_version(l, c, v, out, err);
}

int lambda_get_layer_version_by_arn(struct call *c,
                                    const struct lambda_get_layer_version_by_arn_in *in,
                                    struct lambda_get_layer_version_by_arn_out *out,
                                    struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    struct layer_name n;
    struct layer_version *v;
    int r = parse_layer(c, in->arn, &n, err);

    if (r < 0)
        return r;
    r = find_version(l, c, in->arn, (int64_t)n.version, &v, err);
    return r < 0 ? r : answer_version(l, c, v, out, err);
}

int lambda_delete_layer_version(struct call *c, const struct lambda_delete_layer_version_in *in,
                                struct lambda_delete_layer_version_out *out, struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    struct layer_name n;
    int r = parse_layer(c, in->layer_name, &n, err);

    (void)out;
    if (r < 0)
        return r;
    struct layer_version *v =
        layer_get(l, n.account, n.region, n.name, (uint64_t)WIRE_GET(in, version_number, 0));
    if (!v || v->deleted || !str_eq(n.account, c->account))
        return 0; // as on AWS: 204 also when there is none
    return replace(l, c, v, true, STR_NULL, STR_NULL, err);
}

// --- lists ---

static int by_name_then_number(const void *a, const void *b)
{
    const struct layer_version *x = *(struct layer_version *const *)a;
    const struct layer_version *y = *(struct layer_version *const *)b;
    int r = str_cmp(x->name, y->name);

    if (r != 0)
        return r;
    return x->number < y->number ? 1 : x->number > y->number ? -1 : 0; // newest first
}

static bool lists(const struct str *ptr, size_t n, struct str wanted)
{
    if (wanted.len == 0)
        return true;
    for (size_t i = 0; i < n; i++)
        if (str_eq(ptr[i], wanted))
            return true;
    return false;
}

static int visible(struct lambda *l, struct call *c, struct str runtime, struct str architecture,
                   struct layer_version ***out, size_t *n)
{
    struct layer_version **list =
        arena_new_array(c->arena, struct layer_version *, l->layers.n + 1);
    const struct map_entry *e;
    size_t at = 0;

    *n = 0;
    if (!list)
        return -ENOMEM;
    while ((e = map_next(&l->layers, &at)) != NULL) {
        struct layer_version *v = e->value;
        const struct lambda_get_layer_version_response *value = v->value;
        if (!v->deleted && str_eq(v->account, c->account) && str_eq(v->region, c->region) &&
            lists(value->compatible_runtimes.ptr, value->compatible_runtimes.n, runtime) &&
            lists(value->compatible_architectures.ptr, value->compatible_architectures.n,
                  architecture))
            list[(*n)++] = v;
    }
    qsort(list, *n, sizeof(*list), by_name_then_number);
    *out = list;
    return 0;
}

static void list_item(struct call *c, struct layer_version *v,
                      struct lambda_layer_versions_list_item *out)
{
    const struct lambda_get_layer_version_response *value = v->value;

    hold(c, v);
    out->layer_version_arn = value->layer_version_arn;
    WIRE_SET(out, version, (int64_t)v->number);
    out->description = value->description;
    out->created_date = value->created_date;
    out->compatible_runtimes = value->compatible_runtimes;
    out->license_info = value->license_info;
    out->compatible_architectures = value->compatible_architectures;
}

int lambda_list_layers(struct call *c, const struct lambda_list_layers_in *in,
                       struct lambda_list_layers_out *out, struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    size_t max = (size_t)WIRE_GET(in, max_items, LAMBDA_PAGE_DEFAULT), n, count = 0;
    struct layer_version **list;

    if (visible(l, c, in->compatible_runtime, in->compatible_architecture, &list, &n) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    out->layers.ptr = arena_new_array(c->arena, struct lambda_layers_list_item, n + 1);
    if (!out->layers.ptr)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && str_eq(list[i]->name, list[i - 1]->name))
            continue;
        if (page_skips(in->marker, list[i]->name))
            continue;
        if (count == max) {
            out->next_marker = arena_str(c->arena, out->layers.ptr[count - 1].layer_name);
            break;
        }
        struct lambda_layers_list_item *item = &out->layers.ptr[count++];
        item->layer_name = list[i]->name;
        item->layer_arn = list[i]->value->layer_arn;
        item->latest_matching_version = arena_new(c->arena, struct lambda_layer_versions_list_item);
        if (!item->latest_matching_version)
            return err_set(err, -ENOMEM, "out of memory");
        list_item(c, list[i], item->latest_matching_version);
    }
    out->layers.n = count;
    return 0;
}

int lambda_list_layer_versions(struct call *c, const struct lambda_list_layer_versions_in *in,
                               struct lambda_list_layer_versions_out *out, struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    size_t max = (size_t)WIRE_GET(in, max_items, LAMBDA_PAGE_DEFAULT), n, count = 0;
    uint64_t before = lambda_version_number(in->marker);
    struct layer_version **list;
    struct layer_name name;
    int r = parse_layer(c, in->layer_name, &name, err);

    if (r < 0)
        return r;
    if (visible(l, c, in->compatible_runtime, in->compatible_architecture, &list, &n) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    out->layer_versions.ptr =
        arena_new_array(c->arena, struct lambda_layer_versions_list_item, n + 1);
    if (!out->layer_versions.ptr)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(list[i]->name, name.name) || (before > 0 && list[i]->number >= before))
            continue;
        if (count == max) {
            out->next_marker = arena_printf(c->arena, "%lld",
                                            (long long)out->layer_versions.ptr[count - 1].version);
            break;
        }
        list_item(c, list[i], &out->layer_versions.ptr[count++]);
    }
    out->layer_versions.n = count;
    return 0;
}

// --- permissions ---

int lambda_add_layer_version_permission(struct call *c,
                                        const struct lambda_add_layer_version_permission_in *in,
                                        struct lambda_add_layer_version_permission_out *out,
                                        struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    _cleanup_(buf_finishp) struct buf statement = {0};
    struct layer_version *v;
    struct str policy;
    int r = find_version(l, c, in->layer_name, WIRE_GET(in, version_number, 0), &v, err);

    if (r == 0)
        r = revision_check(in->revision_id, v->policy_revision, err);
    if (r < 0)
        return r;
    const struct policy_grant grant = {
        .sid = in->statement_id,
        .principal = in->principal,
        .action = in->action,
        .resource = v->value->layer_version_arn,
        .organization = in->organization_id,
    };
    buf_init(&statement, (size_t)1 << 20);
    policy_statement(&statement, &grant);
    r = policy_add(c, v->policy, in->statement_id, buf_str(&statement), &policy, err);
    if (r < 0)
        return r;
    out->statement = arena_str(c->arena, buf_str(&statement));
    out->revision_id = lambda_uuid(c->arena);
    return replace(l, c, v, false, policy, out->revision_id, err);
}

int lambda_remove_layer_version_permission(
    struct call *c, const struct lambda_remove_layer_version_permission_in *in,
    struct lambda_remove_layer_version_permission_out *out, struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    struct layer_version *v;
    struct str policy;
    int r = find_version(l, c, in->layer_name, WIRE_GET(in, version_number, 0), &v, err);

    (void)out;
    if (r == 0)
        r = revision_check(in->revision_id, v->policy_revision, err);
    if (r == 0)
        r = policy_remove(c, v->policy, in->statement_id, &policy, err);
    if (r < 0)
        return r;
    return replace(l, c, v, false, policy, lambda_uuid(c->arena), err);
}

int lambda_get_layer_version_policy(struct call *c,
                                    const struct lambda_get_layer_version_policy_in *in,
                                    struct lambda_get_layer_version_policy_out *out,
                                    struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    struct layer_version *v;
    int r = find_version(l, c, in->layer_name, WIRE_GET(in, version_number, 0), &v, err);

    if (r < 0)
        return r;
    if (str_is_null(v->policy)) {
        err_field(err, "Type", "User");
        return err_aws(err, &LAMBDA_RESOURCE_NOT_FOUND_EXCEPTION,
                       "No policy is associated with the given resource.");
    }
    hold(c, v);
    out->policy = v->policy;
    out->revision_id = v->policy_revision;
    return 0;
}
