// api_compile.c - see api_compile.h.

#include "services/gateway/api_compile.h"

#include "base/cleanup.h"

#include "os/log.h"
#include "services/gateway/authorizer_cache.h"
#include "services/gateway/service_integration.h"
#include "services/lambda/names.h"

#include <errno.h>
#include <stdlib.h>

#define LINK_TARGET_TAG "lambkin:target"
#define MAX_URI 4096

// What a stage was made of, by id. Kept where routes may still change.
struct stage_parts {
    struct map integrations; // -> struct api_integration
    struct map authorizers;  // -> struct api_authorizer
    struct map routes;       // -> struct api_route
    const struct json_value *settings;
    struct route_table *table;
};

struct compiling {
    struct api *api;
    struct api_stage *stage;
    struct stage_parts *parts;
    const struct api_records *from;
    struct map records; // integrations' records by id; empty: they are few
};

static struct str text(const struct json_value *v, const char *key)
{
    return json_get_or(v, key, STR_NULL);
}

static const struct json_value *record_of(const struct json_value *list, const char *key,
                                          struct str id)
{
    json_each(v, list) if (str_eq(text(v, key), id)) return v;
    return NULL;
}

// ---- integrations
// --------------------------------------------------------------------------------

static struct str variable_of(const struct api_stage *s, struct str name)
{
    for (size_t i = 0; i < s->n_variables; i++)
        if (str_eq(s->variables[i].name, name))
            return s->variables[i].value;
    return STR("");
}

// "${stageVariables.x}" becomes the stage's value.
static struct str with_variables(struct compiling *c, struct str uri)
{
    const struct str mark = STR("${stageVariables.");
    struct buf b;

    if (str_find(uri, mark) < 0)
        return uri;
    buf_init(&b, MAX_URI);
    for (;;) {
        ptrdiff_t at = str_find(uri, mark);
        struct str rest = at < 0 ? STR_NULL : str_slice(uri, (size_t)at + mark.len, uri.len);
        ptrdiff_t end = at < 0 ? -1 : str_find_char(rest, '}');
        if (end < 0)
            break;
        buf_add(&b, str_slice(uri, 0, (size_t)at));
        buf_add(&b, variable_of(c->stage, str_slice(rest, 0, (size_t)end)));
        uri = str_slice(rest, (size_t)end + 1, rest.len);
    }
    buf_add(&b, uri);
    struct str s = b.failed ? STR_NULL : arena_str(&c->api->arena, buf_str(&b));
    buf_finish(&b);
    return s;
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

// Behind a VPC link there is a load balancer's listener, of which we know nothing; a tag of the
// link says where it would lead to. A URI that is a URL is taken as it is.
static void through_link(struct compiling *c, struct api_integration *i, const struct json_value *v)
{
    const struct json_value *link = record_of(c->from->links, "vpcLinkId", text(v, "connectionId"));

    if (str_starts(i->uri, STR("http://")) || str_starts(i->uri, STR("https://")))
        return;
    i->uri = json_get_or(json_get(link, "tags"), LINK_TARGET_TAG, STR_NULL);
    if (!link)
        i->problem = STR("The VPC link does not exist");
    else if (!str_starts(i->uri, STR("http://")) && !str_starts(i->uri, STR("https://")))
        i->problem = STR("The VPC link has no tag " LINK_TARGET_TAG
                         " that says which http:// or https:// address its listener is");
}

static enum integration_kind kind_of(const struct json_value *v)
{
    struct str type = text(v, "integrationType");

    if (str_eq(type, STR("MOCK")))
        return INTEGRATION_MOCK;
    if (str_starts(type, STR("HTTP")))
        return INTEGRATION_HTTP;
    return text(v, "integrationSubtype").ptr ||
                   str_find(text(v, "integrationUri"), STR(":lambda:")) < 0
               ? INTEGRATION_SERVICE
               : INTEGRATION_LAMBDA;
}

static void responses_of(struct compiling *c, struct api_integration *i)
{
    size_t n = json_count(c->from->responses);

    i->responses = n == 0 ? NULL : arena_alloc(&c->api->arena, n * sizeof(*i->responses));
    if (!i->responses)
        return;
    json_each(v, c->from->responses)
    {
        if (str_eq(text(v, "integrationId"), i->id))
            i->responses[i->n_responses++] = v;
    }
}

static struct api_integration *compile_integration(struct compiling *c, const struct json_value *v)
{
    struct api_integration *i = arena_new(&c->api->arena, struct api_integration);

    if (!i)
        return NULL;
    *i = (struct api_integration){
        .id = text(v, "integrationId"),
        .kind = kind_of(v),
        .proxy = str_ends(text(v, "integrationType"), STR("_PROXY")),
        .action = service_action_named(text(v, "integrationSubtype")),
        .uri = with_variables(c, text(v, "integrationUri")),
        .method = text(v, "integrationMethod"),
        .server_name = text(json_get(v, "tlsConfig"), "serverNameToVerify"),
        .format = str_eq(text(v, "payloadFormatVersion"), STR("2.0")) ? 2 : 1,
        .timeout_ms = json_get_i64_or(v, "timeoutInMillis", 30000),
        .request_parameters = json_get(v, "requestParameters"),
        .response_parameters = json_get(v, "responseParameters"),
        .passthrough = json_get_or(v, "passthroughBehavior", STR("WHEN_NO_MATCH")),
        .template_selection = text(v, "templateSelectionExpression"),
        .content_handling = text(v, "contentHandlingStrategy"),
        .request_templates = json_get(v, "requestTemplates"),
    };
    if (c->api->websocket)
        responses_of(c, i);
    if (i->kind == INTEGRATION_LAMBDA && !function_of(i->uri, c->api, &i->function))
        i->problem = STR("The integration's URI names no function");
    if (str_eq(text(v, "connectionType"), STR("VPC_LINK")))
        through_link(c, i, v);
    return i;
}

static struct api_integration *integration_get(struct compiling *c, struct str target)
{
    struct str id = str_starts(target, STR("integrations/"))
                        ? str_slice(target, strlen("integrations/"), target.len)
                        : STR_NULL;
    struct api_integration *i = id.len > 0 ? map_get(&c->parts->integrations, id) : NULL;
    const struct json_value *v = i || id.len == 0 ? NULL : map_get(&c->records, id);

    if (!i && !v && id.len > 0 && c->records.n == 0)
        v = record_of(c->from->integrations, "integrationId", id);
    if (v && (i = compile_integration(c, v)))
        map_set(&c->parts->integrations, i->id, i, NULL);
    return i;
}

// ---- authorizers
// ---------------------------------------------------------------------------------

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

static struct api_authorizer *authorizer_get(struct compiling *c, struct str id)
{
    struct api_authorizer *a = map_get(&c->parts->authorizers, id);
    const struct json_value *v = a ? NULL : record_of(c->from->authorizers, "authorizerId", id);

    if (v && (a = compile_authorizer(c->api, v)))
        map_set(&c->parts->authorizers, a->id, a, NULL);
    return a;
}

// ---- routes
// --------------------------------------------------------------------------------------

static struct token_bucket *route_bucket(struct api *api, const struct json_value *settings,
                                         struct str key)
{
    const struct json_value *mine = json_get_str(settings, key);
    double rate = 0;

    if (!mine || !json_f64(json_get(mine, "throttlingRateLimit"), &rate) || rate <= 0)
        return NULL;
    struct token_bucket *b = arena_new(&api->arena, struct token_bucket);
    if (b)
        token_bucket_init(b, mine);
    return b;
}

static struct api_route *compile_route(struct compiling *c, const struct json_value *v)
{
    struct api_route *r = arena_new(&c->api->arena, struct api_route);
    struct str type = json_get_or(v, "authorizationType", STR("NONE"));

    if (!r)
        return NULL;
    r->id = text(v, "routeId");
    r->key = text(v, "routeKey");
    ptrdiff_t space = str_find_char(r->key, ' ');
    r->resource = space < 0 ? r->key : str_slice(r->key, (size_t)space + 1, r->key.len);
    r->operation_name = text(v, "operationName");
    r->authorization = str_eq(type, STR("NONE"))      ? AUTHORIZATION_NONE
                       : str_eq(type, STR("AWS_IAM")) ? AUTHORIZATION_IAM
                                                      : AUTHORIZATION_AUTHORIZER;
    r->scopes = json_get(v, "authorizationScopes");
    r->bucket = route_bucket(c->api, c->parts->settings, r->key);
    r->two_way = text(v, "routeResponseSelectionExpression").len > 0;
    r->model_selection = text(v, "modelSelectionExpression");
    r->request_models = json_get(v, "requestModels");
    r->parameters = json_get(v, "requestParameters");
    r->integration = integration_get(c, text(v, "target"));
    if (r->authorization == AUTHORIZATION_AUTHORIZER)
        r->authorizer = authorizer_get(c, text(v, "authorizerId"));
    return r;
}

static int serve_route(struct compiling *c, struct api_route *r, struct err *err)
{
    int rc = c->api->websocket ? 0 : route_table_add(c->parts->table, r->key, r, err);

    r->next = c->stage->list;
    c->stage->list = r;
    map_set(&c->parts->routes, r->id, r, NULL);
    c->api->n_routes++;
    return rc;
}

static void parts_free(struct stage_parts *p)
{
    if (!p)
        return;
    map_finish(&p->integrations);
    map_finish(&p->authorizers);
    map_finish(&p->routes);
    free(p);
}

static int compile_routes(struct compiling *c)
{
    json_each(i, c->from->integrations)
        map_set(&c->records, text(i, "integrationId"), (void *)i, NULL);
    json_each(v, c->from->routes)
    {
        struct err err = ERR_INIT;
        struct api_route *r = compile_route(c, v);
        if (!r)
            return -ENOMEM;
        if (serve_route(c, r, &err) < 0)
            log_warn("API %.*s: route %.*s: %s", STR_ARG(c->api->id), STR_ARG(r->key), err.message);
    }
    c->stage->models = c->from->models;
    return 0;
}

// `live`: routes may change later.
static int compile_parts(struct api *api, struct api_stage *s, const struct api_records *from,
                         const struct json_value *settings, bool live)
{
    struct stage_parts *parts = calloc(1, sizeof(*parts));
    struct compiling c = {.api = api, .stage = s, .parts = parts, .from = from};

    if (!parts)
        return -ENOMEM;
    parts->settings = settings;
    s->routes = parts->table = route_table_new(&api->arena);
    int r = parts->table ? compile_routes(&c) : -ENOMEM;
    map_finish(&c.records);
    if (live)
        s->parts = parts;
    else
        parts_free(parts);
    return r;
}

static void unlist(struct api *api, struct api_stage *s, const struct api_route *r)
{
    for (struct api_route **at = &s->list; *at; at = &(*at)->next) {
        if (*at != r)
            continue;
        *at = r->next;
        api->n_routes--;
        return;
    }
}

int api_compile_route(struct api *api, struct str id, const struct json_value *record,
                      const struct api_records *from)
{
    struct err err = ERR_INIT;
    int rc = 0;

    for (struct api_stage *s = api->stages; s && rc == 0; s = s->next) {
        struct compiling c = {.api = api, .stage = s, .parts = s->parts, .from = from};
        if (!s->parts)
            continue;
        struct api_route *made = record ? compile_route(&c, record) : NULL;
        if (record && !made)
            return -ENOMEM;
        pthread_rwlock_wrlock(&api->routes_lock);
        struct api_route *old = map_remove(&s->parts->routes, id);
        if (old) {
            route_table_remove(s->parts->table, old->key);
            unlist(api, s, old);
        }
        if (made)
            rc = serve_route(&c, made, &err);
        pthread_rwlock_unlock(&api->routes_lock);
    }
    api->n_changes++;
    return rc;
}

void api_compile_forget(struct api *api)
{
    for (struct api_stage *s = api->stages; s; s = s->next) {
        parts_free(s->parts);
        s->parts = NULL;
    }
}

// ---- stages
// --------------------------------------------------------------------------------------

static struct str log_group_of(struct str arn)
{
    struct str part = arn;

    for (int i = 0; i < 6 && arn.ptr; i++)
        if (!str_next(&arn, ':', &part))
            return part;
    ptrdiff_t star = str_find(arn, STR(":*"));
    return star < 0 ? arn : str_slice(arn, 0, (size_t)star);
}

int api_compile_stage(struct api *api, const struct json_value *v, const struct api_records *live,
                      const struct api_records *frozen)
{
    struct api_stage *s = arena_new(&api->arena, struct api_stage);
    const struct json_value *settings = json_get(v, "routeSettings");
    const struct json_value *variables = json_get(v, "stageVariables");
    const struct json_value *log = json_get(v, "accessLogSettings");
    bool automatic = json_get_bool_or(v, "autoDeploy", false);

    if (!s)
        return -ENOMEM;
    s->name = text(v, "stageName");
    token_bucket_init(&s->bucket, json_get(v, "defaultRouteSettings"));
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
    s->next = api->stages;
    api->stages = s;
    if (automatic)
        return compile_parts(api, s, live, settings, !api->websocket);
    return frozen ? compile_parts(api, s, frozen, settings, false) : 0;
}
