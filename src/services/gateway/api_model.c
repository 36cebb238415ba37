// api_model.c - see api_model.h.

#include "services/gateway/api_model.h"

#include "os/log.h"
#include "os/time.h"
#include "services/gateway/authorizer_cache.h"
#include "services/gateway/kinds.h"
#include "services/lambda/names.h"

#include <errno.h>

#define MAX_MODEL_BYTES ((size_t)256 << 20)

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

// ---- token buckets
// -------------------------------------------------------------------------------

static void bucket_init(struct token_bucket *b, const struct json_value *settings)
{
    pthread_mutex_init(&b->lock, NULL);
    json_f64(json_get(settings, "throttlingRateLimit"), &b->rate);
    json_f64(json_get(settings, "throttlingBurstLimit"), &b->burst);
    if (b->burst < 1)
        b->burst = b->rate > 1 ? b->rate : 1;
    b->tokens = b->burst;
    b->at_ns = os_mono_ns();
}

bool token_bucket_take(struct token_bucket *b)
{
    if (b->rate <= 0)
        return true;
    pthread_mutex_lock(&b->lock);
    int64_t now = os_mono_ns();
    b->tokens += (double)(now - b->at_ns) / 1e9 * b->rate;
    b->at_ns = now;
    if (b->tokens > b->burst)
        b->tokens = b->burst;
    bool taken = b->tokens >= 1;
    if (taken)
        b->tokens -= 1;
    pthread_mutex_unlock(&b->lock);
    return taken;
}

// ---- compiling
// -----------------------------------------------------------------------------------

// The records that a stage serves, as lists.
struct parts {
    const struct json_value *routes, *integrations, *authorizers;
};

static struct str text(const struct json_value *v, const char *key)
{
    return json_get_or(v, key, STR_NULL);
}

// "arn:aws:lambda:…" or "arn:aws:apigateway:<region>:lambda:path/…/functions/<arn>/invocations".
static bool function_of(struct str uri, const struct api *api, struct function_reference *out)
{
    struct lambda_name name;
    ptrdiff_t at = str_find(uri, STR("/functions/"));

    if (at >= 0) {
        uri = str_slice(uri, (size_t)at + strlen("/functions/"), uri.len);
        ptrdiff_t end = str_find(uri, STR("/invocations"));
        if (end >= 0)
            uri = str_slice(uri, 0, (size_t)end);
    }
    if (!lambda_name_parse(uri, &name))
        return false;
    *out = (struct function_reference){
        .account = name.account.ptr ? name.account : api->account,
        .region = name.region.ptr ? name.region : api->region,
        .name = name.name,
        .qualifier = name.qualifier,
    };
    return true;
}

static const struct json_value *record_of(const struct json_value *list, const char *key,
                                          struct str id)
{
    json_each(v, list) if (str_eq(text(v, key), id)) return v;
    return NULL;
}

static struct api_integration *compile_integration(struct api *api, const struct json_value *v)
{
    struct api_integration *i = arena_new(&api->arena, struct api_integration);

    if (!i)
        return NULL;
    *i = (struct api_integration){
        .id = text(v, "integrationId"),
        .lambda = str_eq(text(v, "integrationType"), STR("AWS_PROXY")),
        .mock = str_eq(text(v, "integrationType"), STR("MOCK")),
        .uri = text(v, "integrationUri"),
        .method = text(v, "integrationMethod"),
        .format = str_eq(text(v, "payloadFormatVersion"), STR("2.0")) ? 2 : 1,
        .timeout_ms = json_get_i64_or(v, "timeoutInMillis", 30000),
        .request_parameters = json_get(v, "requestParameters"),
        .response_parameters = json_get(v, "responseParameters"),
    };
    if (i->lambda && !function_of(i->uri, api, &i->function))
        return NULL;
    return i;
}

static struct api_authorizer *compile_authorizer(struct api *api, const struct json_value *v)
{
    struct api_authorizer *a = arena_new(&api->arena, struct api_authorizer);
    const struct json_value *jwt = json_get(v, "jwtConfiguration");

    if (!a)
        return NULL;
    *a = (struct api_authorizer){
        .id = text(v, "authorizerId"),
        .name = text(v, "name"),
        .jwt = str_eq(text(v, "authorizerType"), STR("JWT")),
        .ttl_s = json_get_i64_or(v, "authorizerResultTtlInSeconds", 300),
        .issuer = text(jwt, "issuer"),
        .audience = json_get(jwt, "audience"),
        .simple = json_get_bool_or(v, "enableSimpleResponses", false),
        .format = str_eq(text(v, "authorizerPayloadFormatVersion"), STR("2.0")) ? 2 : 1,
        .cache = authorizer_cache_create(),
        .next = api->authorizers,
    };
    api->authorizers = a;
    json_each(s, json_get(v, "identitySource"))
    {
        if (a->n_sources < ARRAY_LEN(a->sources) && json_str(s, &a->sources[a->n_sources]))
            a->n_sources++;
    }
    if (!a->jwt && !function_of(text(v, "authorizerUri"), api, &a->function))
        return NULL;
    return a;
}

// Compiles a record once per stage source: `made` maps ids to what was compiled.
static struct api_authorizer *authorizer_get(struct api *api, const struct parts *p,
                                             struct map *made, struct str id)
{
    struct api_authorizer *a = map_get(made, id);
    const struct json_value *v = a ? NULL : record_of(p->authorizers, "authorizerId", id);

    if (v && (a = compile_authorizer(api, v)))
        map_set(made, a->id, a, NULL);
    return a;
}

static struct api_integration *integration_get(struct api *api, struct map *integrations,
                                               struct map *made, struct str target)
{
    struct str id = str_starts(target, STR("integrations/"))
                        ? str_slice(target, strlen("integrations/"), target.len)
                        : STR_NULL;
    struct api_integration *i = id.len > 0 ? map_get(made, id) : NULL;
    const struct json_value *v = i || id.len == 0 ? NULL : map_get(integrations, id);

    if (v && (i = compile_integration(api, v)))
        map_set(made, i->id, i, NULL);
    return i;
}

static struct token_bucket *route_bucket(struct api *api, const struct json_value *settings,
                                         struct str key)
{
    const struct json_value *mine = json_get_str(settings, key);
    double rate = 0;

    if (!mine || !json_f64(json_get(mine, "throttlingRateLimit"), &rate) || rate <= 0)
        return NULL;
    struct token_bucket *b = arena_new(&api->arena, struct token_bucket);
    if (b)
        bucket_init(b, mine);
    return b;
}

static struct api_route *compile_route(struct api *api, const struct json_value *v,
                                       const struct json_value *settings)
{
    struct api_route *r = arena_new(&api->arena, struct api_route);
    struct str type = json_get_or(v, "authorizationType", STR("NONE"));

    if (!r)
        return NULL;
    r->key = text(v, "routeKey");
    ptrdiff_t space = str_find_char(r->key, ' ');
    r->resource = space < 0 ? r->key : str_slice(r->key, (size_t)space + 1, r->key.len);
    r->operation_name = text(v, "operationName");
    r->authorization = str_eq(type, STR("NONE"))      ? AUTHORIZATION_NONE
                       : str_eq(type, STR("AWS_IAM")) ? AUTHORIZATION_IAM
                                                      : AUTHORIZATION_AUTHORIZER;
    r->scopes = json_get(v, "authorizationScopes");
    r->bucket = route_bucket(api, settings, r->key);
    r->two_way = text(v, "routeResponseSelectionExpression").len > 0;
    return r;
}

static void compile_routes(struct api *api, struct api_stage *s, const struct parts *p,
                           const struct json_value *settings)
{
    struct map integrations = {0}, made_integrations = {0}, made_authorizers = {0};
    struct route_table *t = route_table_new(&api->arena);
    struct err err = ERR_INIT;

    json_each(i, p->integrations) map_set(&integrations, text(i, "integrationId"), (void *)i, NULL);
    json_each(v, p->routes)
    {
        struct api_route *r = t ? compile_route(api, v, settings) : NULL;
        if (!r)
            break;
        r->integration = integration_get(api, &integrations, &made_integrations, text(v, "target"));
        if (r->authorization == AUTHORIZATION_AUTHORIZER)
            r->authorizer = authorizer_get(api, p, &made_authorizers, text(v, "authorizerId"));
        r->next = s->list;
        s->list = r;
        if (!api->websocket && route_table_add(t, r->key, r, &err) < 0)
            log_warn("API %.*s: route %.*s: %s", STR_ARG(api->id), STR_ARG(r->key), err.message);
    }
    map_finish(&integrations);
    map_finish(&made_integrations);
    map_finish(&made_authorizers);
    s->routes = t;
}

static struct str log_group_of(struct str arn)
{
    struct str part = arn;

    for (int i = 0; i < 6 && arn.ptr; i++)
        if (!str_next(&arn, ':', &part))
            return part;
    ptrdiff_t star = str_find(arn, STR(":*"));
    return star < 0 ? arn : str_slice(arn, 0, (size_t)star);
}

static int compile_stage(struct api *api, const struct json_value *v, const struct parts *live,
                         const struct parts *frozen)
{
    struct api_stage *s = arena_new(&api->arena, struct api_stage);
    const struct json_value *settings = json_get(v, "routeSettings");
    const struct json_value *variables = json_get(v, "stageVariables");
    const struct json_value *log = json_get(v, "accessLogSettings");

    if (!s)
        return -ENOMEM;
    s->name = text(v, "stageName");
    bucket_init(&s->bucket, json_get(v, "defaultRouteSettings"));
    s->variables = arena_new_array(&api->arena, struct http_event_pair, json_count(variables));
    json_each(m, variables)
    {
        struct str value;
        if (s->variables && json_str(m, &value))
            s->variables[s->n_variables++] = (struct http_event_pair){m->key, value};
    }
    if (text(log, "destinationArn").len > 0 && text(log, "format").len > 0) {
        s->log_group = log_group_of(text(log, "destinationArn"));
        s->log_format = text(log, "format");
    }
    if (json_get_bool_or(v, "autoDeploy", false))
        compile_routes(api, s, live, settings);
    else if (frozen)
        compile_routes(api, s, frozen, settings);
    s->next = api->stages;
    api->stages = s;
    return 0;
}

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

// All records of a kind, parsed into the model's arena.
static int load_list(struct store_tx *tx, struct api *api, const struct resource_kind *k,
                     const struct json_value **out, struct err *err)
{
    struct list_builder l;

    buf_init(&l.b, MAX_MODEL_BYTES);
    l.w = json_writer(&l.b);
    jw_array_begin(&l.w);
    int r = resource_each(tx, api->account, api->region, k, api->id, list_add, &l, err);
    jw_array_end(&l.w);
    struct str s = r < 0 || l.b.failed ? STR_NULL : arena_str(&api->arena, buf_str(&l.b));
    buf_finish(&l.b);
    if (r < 0)
        return r;
    return s.ptr ? json_parse(&api->arena, s, out, err) : err_set(err, -ENOMEM, "out of memory");
}

static int load_one(struct store_tx *tx, struct api *api, const struct resource_kind *k,
                    struct str parent, struct str id, const struct json_value **out,
                    struct err *err)
{
    struct call as = {.arena = &api->arena, .account = api->account, .region = api->region};

    return resource_load(&as, tx, k, parent, id, out, err);
}

static int load_parts(struct store_tx *tx, struct api *api, struct parts *p, struct err *err)
{
    int r = load_list(tx, api, &kind_route, &p->routes, err);

    if (r == 0)
        r = load_list(tx, api, &kind_integration, &p->integrations, err);
    return r == 0 ? load_list(tx, api, &kind_authorizer, &p->authorizers, err) : r;
}

static void api_free(struct api *a)
{
    for (struct api_authorizer *auth = a->authorizers; auth; auth = auth->next)
        authorizer_cache_destroy(auth->cache);
    arena_finish(&a->arena);
    free(a);
}

static int compile_api(struct store_tx *tx, struct api *api, struct err *err)
{
    const struct json_value *record, *stages;
    struct parts live = {0};

    int r = load_one(tx, api, &kind_api, STR(""), api->id, &record, err);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    api->name = text(record, "name");
    api->websocket = str_eq(text(record, "protocolType"), STR("WEBSOCKET"));
    api->disabled = json_get_bool_or(record, "disableExecuteApiEndpoint", false);
    api->selection = text(record, "routeSelectionExpression");
    const struct json_value *cors = json_get(record, "corsConfiguration");
    api->has_cors = cors && cors_read(&api->arena, cors->raw, &api->cors);
    r = load_parts(tx, api, &live, err);
    if (r == 0)
        r = load_list(tx, api, &kind_stage, &stages, err);
    if (r < 0)
        return r;
    json_each(s, stages)
    {
        const struct json_value *frozen = NULL;
        struct str deployment = text(s, "deploymentId");
        if (deployment.len > 0)
            r = load_one(tx, api, &kind_frozen, api->id, deployment, &frozen, err);
        if (r >= 0) {
            const struct parts p = {json_get(frozen, "routes"), json_get(frozen, "integrations"),
                                    json_get(frozen, "authorizers")};
            r = compile_stage(api, s, &live, frozen ? &p : NULL);
        }
        if (r < 0)
            return r;
    }
    return 0;
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

const struct api_route *api_websocket_route(const struct api_stage *s, struct str key)
{
    for (const struct api_route *r = s->list; r; r = r->next)
        if (str_eq(r->key, key))
            return r;
    return NULL;
}

void api_models_changed(struct str account, struct str region, struct str parent, bool below_api)
{
    pthread_mutex_lock(&reloading);
    if (below_api)
        reload_api(account, region, parent);
    else
        reload_domain(account, region, parent);
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
        api_models_changed(k->account, k->region, k->id, k->api);
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
