// api_model.c - see api_model.h.

#include "services/gateway/api_model.h"

#include "os/log.h"
#include "services/gateway/api_compile.h"
#include "services/gateway/authorizer_cache.h"
#include "services/gateway/kinds.h"

#include <errno.h>

#define MAX_MODEL_BYTES ((size_t)256 << 20)
// Routes that changed leave memory behind in the model: then it is compiled anew.
#define MAX_CHANGES(n_routes) (256 + (n_routes))

struct domain {
    struct arena arena;
    struct str name;
    struct api_domain_target *targets;
    unsigned n_targets;
};

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
// Held from reading the records to publishing the model: the last reload has read the last change.
static pthread_mutex_t reloading = PTHREAD_MUTEX_INITIALIZER;
static struct map models;  // API id -> struct api
static struct map domains; // host -> struct domain

// ---- loading
// -------------------------------------------------------------------------------------

struct list_builder {
    struct buf b;
    struct json_writer w;
};

static int list_add(void *ctx, struct str id, struct str json, struct err *err)
{
    struct list_builder *l = ctx;

    (void)id;
    (void)err;
    jw_raw(&l->w, json);
    return 0;
}

static struct str text(const struct json_value *v, const char *key)
{
    return json_get_or(v, key, STR_NULL);
}

static void list_begin(struct list_builder *l)
{
    buf_init(&l->b, MAX_MODEL_BYTES);
    l->w = json_writer(&l->b);
    jw_array_begin(&l->w);
}

// Parses what was listed into the model's arena. `r`: what listing it said.
static int list_end(struct list_builder *l, struct api *api, int r, const struct json_value **out,
                    struct err *err)
{
    jw_array_end(&l->w);
    struct str s = r < 0 || l->b.failed ? STR_NULL : arena_str(&api->arena, buf_str(&l->b));
    buf_finish(&l->b);
    if (r < 0)
        return r;
    return s.ptr ? json_parse(&api->arena, s, out, err) : err_set(err, -ENOMEM, "out of memory");
}

// All records of a kind, parsed into the model's arena.
static int load_list(struct store_tx *tx, struct api *api, const struct resource_kind *k,
                     struct str parent, const struct json_value **out, struct err *err)
{
    struct list_builder l;

    list_begin(&l);
    int r = resource_each(tx, api->account, api->region, k, parent, list_add, &l, err);
    return list_end(&l, api, r, out, err);
}

static int load_one(struct store_tx *tx, struct api *api, const struct resource_kind *k,
                    struct str parent, struct str id, const struct json_value **out,
                    struct err *err)
{
    struct call as = {.arena = &api->arena, .account = api->account, .region = api->region};

    return resource_load(&as, tx, k, parent, id, out, err);
}

// The same as a list of it, or of nothing.
static int load_one_listed(struct store_tx *tx, struct api *api, const struct resource_kind *k,
                           struct str id, const struct json_value **out, struct err *err)
{
    const struct json_value *record;
    struct list_builder l;

    int r = id.len > 0 ? load_one(tx, api, k, api->id, id, &record, err) : 0;
    if (r <= 0)
        return r;
    list_begin(&l);
    jw_raw(&l.w, record->raw);
    return list_end(&l, api, 0, out, err);
}

static int load_records(struct store_tx *tx, struct api *api, struct api_records *p,
                        struct err *err)
{
    struct list_builder l;

    int r = load_list(tx, api, &kind_route, api->id, &p->routes, err);
    if (r == 0)
        r = load_list(tx, api, &kind_integration, api->id, &p->integrations, err);
    if (r == 0)
        r = load_list(tx, api, &kind_authorizer, api->id, &p->authorizers, err);
    if (r < 0 || !api->websocket)
        return r;
    list_begin(&l);
    r = resource_each_below(tx, api->account, api->region, &kind_integration_response, api->id,
                            list_add, &l, err);
    r = list_end(&l, api, r, &p->responses, err);
    return r == 0 ? load_list(tx, api, &kind_model, api->id, &p->models, err) : r;
}

static void api_free(struct api *a)
{
    for (struct api_authorizer *auth = a->authorizers; auth; auth = auth->next)
        authorizer_cache_destroy(auth->cache);
    api_compile_forget(a);
    pthread_rwlock_destroy(&a->routes_lock);
    arena_finish(&a->arena);
    free(a);
}

static int compile_api(struct store_tx *tx, struct api *api, struct err *err)
{
    const struct json_value *record, *stages;
    struct api_records live = {0};

    int r = load_one(tx, api, &kind_api, STR(""), api->id, &record, err);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    api->name = text(record, "name");
    api->websocket = str_eq(text(record, "protocolType"), STR("WEBSOCKET"));
    api->disabled = json_get_bool_or(record, "disableExecuteApiEndpoint", false);
    api->selection = text(record, "routeSelectionExpression");
    const struct json_value *cors = json_get(record, "corsConfiguration");
    api->has_cors = cors && cors_read(&api->arena, cors->raw, &api->cors);
    r = load_records(tx, api, &live, err);
    if (r == 0)
        r = load_list(tx, api, &kind_vpc_link, STR(""), &live.links, err);
    if (r == 0)
        r = load_list(tx, api, &kind_stage, api->id, &stages, err);
    if (r < 0)
        return r;
    json_each(s, stages)
    {
        const struct json_value *frozen = NULL;
        struct str deployment = text(s, "deploymentId");
        if (deployment.len > 0)
            r = load_one(tx, api, &kind_frozen, api->id, deployment, &frozen, err);
        if (r >= 0) {
            const struct api_records p = {
                .routes = json_get(frozen, "routes"),
                .integrations = json_get(frozen, "integrations"),
                .authorizers = json_get(frozen, "authorizers"),
                .responses = json_get(frozen, "responses"),
                .models = json_get(frozen, "models"),
                .links = live.links,
            };
            r = api_compile_stage(api, s, &live, frozen ? &p : NULL);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

// A route of an API that is served was made, changed or deleted. False: compile it anew.
static bool change_route(struct str api_id, struct str id)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct api *api = api_get(api_id);
    const struct json_value *record = NULL;
    struct api_records from = {0};
    struct err err = ERR_INIT;
    bool done = false;

    if (!api || api->websocket || api->n_changes > MAX_CHANGES(api->n_routes))
        goto out;
    int r = store_begin(resources_store(), STORE_READ, &tx, &err);
    if (r == 0)
        r = load_one(tx, api, &kind_route, api->id, id, &record, &err);
    if (r > 0) {
        struct str target = text(record, "target");
        if (str_starts(target, STR("integrations/")))
            target = str_slice(target, strlen("integrations/"), target.len);
        r = load_one_listed(tx, api, &kind_integration, target, &from.integrations, &err);
        if (r == 0)
            r = load_one_listed(tx, api, &kind_authorizer, text(record, "authorizerId"),
                                &from.authorizers, &err);
        if (r == 0)
            r = load_list(tx, api, &kind_vpc_link, STR(""), &from.links, &err);
    }
    if (r == 0)
        r = api_compile_route(api, arena_str(&api->arena, id), record, &from);
    done = r == 0;
out:
    api_unref(api);
    return done;
}

static void reload_api(struct str account, struct str region, struct str id)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct api *api = calloc(1, sizeof(*api)), *old = NULL;
    struct err err = ERR_INIT;

    if (!api)
        return;
    arena_init(&api->arena, MAX_MODEL_BYTES);
    atomic_init(&api->refs, 1);
    pthread_rwlock_init(&api->routes_lock, NULL);
    api->id = arena_str(&api->arena, id);
    api->account = arena_str(&api->arena, account);
    api->region = arena_str(&api->arena, region);
    int r = store_begin(resources_store(), STORE_READ, &tx, &err);
    if (r == 0)
        r = compile_api(tx, api, &err);
    if (r < 0 && r != -ENOENT)
        log_error("API %.*s: %s", STR_ARG(id), err.message);
    pthread_rwlock_wrlock(&lock);
    if (r == 0)
        r = map_set(&models, api->id, api, (void **)&old);
    else if (r == -ENOENT)
        old = map_remove(&models, id);
    pthread_rwlock_unlock(&lock);
    api_unref(old);
    if (r < 0)
        api_free(api);
}

// ---- custom domains
// ------------------------------------------------------------------------------

static void domain_free(struct domain *d)
{
    if (!d)
        return;
    arena_finish(&d->arena);
    free(d);
}

static int add_target(void *ctx, struct str id, struct str json, struct err *err)
{
    struct domain *d = ctx;
    const struct json_value *v;

    (void)id;
    int r = json_parse(&d->arena, arena_str(&d->arena, json), &v, err);
    if (r < 0)
        return r;
    struct api_domain_target *all =
        arena_new_array(&d->arena, struct api_domain_target, d->n_targets + 1);
    if (!all)
        return err_set(err, -ENOMEM, "out of memory");
    if (d->n_targets > 0)
        memcpy(all, d->targets, d->n_targets * sizeof(*all));
    all[d->n_targets++] = (struct api_domain_target){text(v, "apiId"), text(v, "stage"),
                                                     json_get_or(v, "apiMappingKey", STR(""))};
    d->targets = all;
    return 0;
}

static void reload_domain(struct str account, struct str region, struct str name)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct domain *d = calloc(1, sizeof(*d)), *old = NULL;
    struct err err = ERR_INIT;

    if (!d)
        return;
    arena_init(&d->arena, 1 << 24);
    d->name = arena_str(&d->arena, name);
    int r = store_begin(resources_store(), STORE_READ, &tx, &err);
    if (r == 0)
        r = resource_each(tx, account, region, &kind_api_mapping, name, add_target, d, &err);
    pthread_rwlock_wrlock(&lock);
    if (r == 0 && d->n_targets > 0)
        r = map_set(&domains, d->name, d, (void **)&old);
    else
        old = map_remove(&domains, name);
    bool kept = map_get(&domains, d->name) == d;
    pthread_rwlock_unlock(&lock);
    domain_free(old);
    if (!kept)
        domain_free(d);
}

bool api_domains_exist(void)
{
    pthread_rwlock_rdlock(&lock);
    bool any = domains.n > 0;
    pthread_rwlock_unlock(&lock);
    return any;
}

void api_domains_each(void (*each)(void *ctx, struct str domain, const struct api_domain_target *t),
                      void *ctx)
{
    const struct map_entry *e;
    size_t at = 0;

    pthread_rwlock_rdlock(&lock);
    while ((e = map_next(&domains, &at))) {
        const struct domain *d = e->value;
        for (unsigned i = 0; i < d->n_targets; i++)
            each(ctx, d->name, &d->targets[i]);
    }
    pthread_rwlock_unlock(&lock);
}

bool api_domain_find(struct arena *a, struct str host, struct str path,
                     struct api_domain_target *out, size_t *prefix)
{
    const struct api_domain_target *best = NULL;
    struct str rest = host;

    str_next(&rest, ':', &host);
    pthread_rwlock_rdlock(&lock);
    const struct domain *d = map_get(&domains, host);
    for (unsigned i = 0; d && i < d->n_targets; i++) {
        const struct api_domain_target *t = &d->targets[i];
        struct str below = str_slice(path, 1, path.len);
        bool mine = t->key.len == 0 || (str_starts(below, t->key) &&
                                        (below.len == t->key.len || below.ptr[t->key.len] == '/'));
        if (mine && (!best || t->key.len > best->key.len))
            best = t;
    }
    if (best) {
        *prefix = best->key.len > 0 ? best->key.len + 1 : 0;
        *out = (struct api_domain_target){arena_str(a, best->api_id), arena_str(a, best->stage),
                                          arena_str(a, best->key)};
    }
    pthread_rwlock_unlock(&lock);
    return best != NULL;
}

// ---- the face
// ------------------------------------------------------------------------------------

struct api *api_get(struct str id)
{
    pthread_rwlock_rdlock(&lock);
    struct api *a = map_get(&models, id);
    if (a)
        atomic_fetch_add(&a->refs, 1);
    pthread_rwlock_unlock(&lock);
    return a;
}

struct api *api_ref(struct api *a)
{
    atomic_fetch_add(&a->refs, 1);
    return a;
}

void api_unref(struct api *a)
{
    if (a && atomic_fetch_sub(&a->refs, 1) == 1)
        api_free(a);
}

const struct api_stage *api_stage_get(const struct api *a, struct str name)
{
    for (const struct api_stage *s = a->stages; s; s = s->next)
        if (str_eq(s->name, name))
            return s;
    return NULL;
}

bool api_route_match(const struct api *a, const struct api_stage *s, struct str method,
                     struct str path, struct route_match *out)
{
    pthread_rwlock_t *l = (pthread_rwlock_t *)&a->routes_lock;

    if (!s->routes)
        return false;
    pthread_rwlock_rdlock(l);
    bool found = route_table_match(s->routes, method, path, out);
    pthread_rwlock_unlock(l);
    return found;
}

const struct api_route *api_websocket_route(const struct api_stage *s, struct str key)
{
    for (const struct api_route *r = s->list; r; r = r->next)
        if (str_eq(r->key, key))
            return r;
    return NULL;
}

bool api_route_admits(const struct api_stage *s, const struct api_route *r)
{
    return token_bucket_take(r && r->bucket ? r->bucket : (struct token_bucket *)&s->bucket);
}

void api_models_reload(struct str account, struct str region, struct str api_id)
{
    pthread_mutex_lock(&reloading);
    reload_api(account, region, api_id);
    pthread_mutex_unlock(&reloading);
}

static bool is(const struct resource_event *e, const struct resource_kind *k)
{
    return strcmp(e->kind->name, k->name) == 0;
}

// A link's tags say where integrations lead to.
static void link_changed(const struct resource_event *e)
{
    const struct map_entry *entry;
    struct arena a;
    struct str *ids = NULL;
    unsigned n = 0;
    size_t at = 0;

    arena_init(&a, 1 << 24);
    pthread_rwlock_rdlock(&lock);
    ids = arena_new_array(&a, struct str, models.n + 1);
    while (ids && (entry = map_next(&models, &at))) {
        const struct api *api = entry->value;
        if (str_eq(api->account, e->account) && str_eq(api->region, e->region))
            ids[n++] = arena_str(&a, api->id);
    }
    pthread_rwlock_unlock(&lock);
    for (unsigned i = 0; i < n; i++)
        reload_api(e->account, e->region, ids[i]);
    arena_finish(&a);
}

void api_models_changed(const struct resource_event *e)
{
    // Nothing can refer yet to what has just got its id.
    if (e->created && (is(e, &kind_integration) || is(e, &kind_authorizer) ||
                       is(e, &kind_deployment) || is(e, &kind_vpc_link)))
        return;
    pthread_mutex_lock(&reloading);
    if (is(e, &kind_domain_name) || is(e, &kind_api_mapping))
        reload_domain(e->account, e->region, is(e, &kind_domain_name) ? e->id : e->parent);
    else if (is(e, &kind_vpc_link))
        link_changed(e);
    else if (is(e, &kind_api))
        reload_api(e->account, e->region, e->id);
    else if (!is(e, &kind_route) || !change_route(e->parent, e->id))
        reload_api(e->account, e->region, e->parent);
    pthread_mutex_unlock(&reloading);
}

void api_models_each(void (*each)(void *ctx, const struct api *a), void *ctx)
{
    const struct map_entry *e;
    size_t at = 0;

    pthread_rwlock_rdlock(&lock);
    while ((e = map_next(&models, &at)))
        each(ctx, e->value);
    pthread_rwlock_unlock(&lock);
}

struct found {
    struct arena arena;
    struct key {
        struct str account, region, id;
        bool api;
        struct key *next;
    } * keys;
};

static int find_all(struct found *f, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    _cleanup_(store_resetp) struct store_stmt *st = NULL;

    int r = store_begin(resources_store(), STORE_READ, &tx, err);
    if (r == 0)
        r = store_select(tx, &st, err,
                         "SELECT account, region, id, kind FROM resource WHERE parent = ''"
                         " AND kind IN ('api', 'domain')");
    while (r == 0 && (r = store_step(st, err)) > 0) {
        struct key *k = arena_new(&f->arena, struct key);
        r = 0;
        if (!k)
            return err_set(err, -ENOMEM, "out of memory");
        *k = (struct key){store_take_str(st, 0, &f->arena), store_take_str(st, 1, &f->arena),
                          store_take_str(st, 2, &f->arena),
                          str_eq(store_col_str(st, 3), STR("api")), f->keys};
        f->keys = k;
    }
    return r;
}

int api_models_load(struct err *err)
{
    struct found f = {0};

    arena_init(&f.arena, MAX_MODEL_BYTES);
    int r = find_all(&f, err);
    for (struct key *k = f.keys; r == 0 && k; k = k->next)
        if (k->api)
            reload_api(k->account, k->region, k->id);
        else
            reload_domain(k->account, k->region, k->id);
    arena_finish(&f.arena);
    return r;
}

void api_models_free(void)
{
    const struct map_entry *e;
    size_t at = 0;

    while ((e = map_next(&models, &at)))
        api_unref(e->value);
    map_finish(&models);
    at = 0;
    while ((e = map_next(&domains, &at)))
        domain_free(e->value);
    map_finish(&domains);
}
