// authorize.c - may this request pass? AWS_IAM, JWT and Lambda authorizers of HTTP APIs.
//
// A token is checked on a worker (its issuer may have to be asked), a Lambda authorizer is an
// invocation on the loop; both leave their decision in the authorizer's cache, a token's until it
// expires, a function's for its time to live.

#include "services/gateway/api_request.h"
#include "services/gateway/websocket_api.h"

#include "base/wildcard.h"
#include "engine/auth.h"
#include "os/time.h"
#include "services/gateway/authorizer_cache.h"
#include "services/gateway/jwt.h"

#include <errno.h>
#include <stdlib.h>

#define AUTHORIZER_TIMEOUT_MS 10000 // API Gateway's limit for Lambda authorizers
#define MAX_EVENT_BYTES ((size_t)4 << 20)
#define MAX_CONTEXT_BYTES ((size_t)256 << 10)

// ---- AWS_IAM
// -------------------------------------------------------------------------------------

static void authorize_iam(struct api_request *r)
{
    struct err err = ERR_INIT;

    if (engine_authenticate(r->c, "execute-api", &err) < 0) {
        api_refuse(r, 403, "Forbidden");
        return;
    }
    r->principal_arn = r->c->principal.arn;
    r->authorizer = http_event_caller(r->c->arena, &r->c->principal);
    r->authorized = HTTP_AUTHORIZER_IAM;
    api_authorized(r);
}

// ---- identity sources
// ----------------------------------------------------------------------------

// All of them, each with its length: no value can look like two. Absent when one is missing.
static struct str identity_of(struct api_request *r)
{
    const struct api_authorizer *a = r->route->authorizer;
    struct str all = STR("");

    for (unsigned i = 0; i < a->n_sources; i++) {
        struct str value = api_variable(r, a->sources[i]);
        if (value.len == 0)
            return STR_NULL;
        r->identities[i] = value;
        all = arena_printf(r->c->arena, "%.*s%zu:%.*s", STR_ARG(all), value.len, STR_ARG(value));
    }
    return all;
}

// ---- JWT
// -----------------------------------------------------------------------------------------

// {"claims": {name: text}, "scopes": list or null}
static struct str jwt_context(struct arena *a, const struct jwt *t)
{
    struct str scope = json_get_or(t->claims, "scope", STR_NULL), one;
    struct buf b;

    buf_init(&b, MAX_CONTEXT_BYTES);
    struct json_writer w = json_writer(&b);
    jw_object_begin(&w);
    jw_key(&w, STR("claims"));
    jw_object_begin(&w);
    json_each(m, t->claims)
    {
        struct str text;
        jw_key(&w, m->key);
        jw_str(&w, json_str(m, &text) ? text : m->raw);
    }
    jw_object_end(&w);
    jw_key(&w, STR("scopes"));
    if (scope.len == 0) {
        jw_null(&w);
    } else {
        jw_array_begin(&w);
        while (str_next(&scope, ' ', &one))
            if (one.len > 0)
                jw_str(&w, one);
        jw_array_end(&w);
    }
    jw_object_end(&w);
    struct str s = b.failed ? STR_NULL : arena_str(a, buf_str(&b));
    buf_finish(&b);
    return s;
}

static int check_token(struct api_request *r, struct jwt *t, struct err *err)
{
    const struct api_authorizer *a = r->route->authorizer;
    const struct json_value *keys;
    struct arena *arena = r->c->arena;

    int rc = jwt_parse(arena, r->identity, t, err);
    if (rc == 0)
        rc = jwt_check_claims(t, a->issuer, a->audience, os_now_ms(), err);
    if (rc == 0)
        rc = jwks_get(a->issuer, false, arena, &keys, err);
    if (rc < 0)
        return rc;
    rc = jwt_verify(t, keys, arena, err);
    if (rc == -ENOENT && jwks_get(a->issuer, true, arena, &keys, err) == 0)
        rc = jwt_verify(t, keys, arena, err);
    return rc;
}

static void token_checked(struct loop_task *t)
{
    struct api_request *r = (struct api_request *)((char *)t - offsetof(struct api_request, task));

    r->authorized = r->verdict == 0 ? HTTP_AUTHORIZER_JWT : HTTP_AUTHORIZER_NONE;
    if (r->verdict == 0)
        api_authorized(r);
    else
        api_refuse(r, r->verdict, r->verdict == 401 ? "Unauthorized" : "Forbidden");
}

static bool scope_fits(struct api_request *r, const struct jwt *t)
{
    return json_count(r->route->scopes) == 0 || jwt_has_scope(t, r->route->scopes);
}

static void token_work(struct work *w)
{
    struct api_request *r = (struct api_request *)((char *)w - offsetof(struct api_request, work));
    struct err err = ERR_INIT;
    struct jwt t = {0};

    if (check_token(r, &t, &err) < 0) {
        r->verdict = 401;
        r->error = arena_cstr(r->c->arena, str_from(err.message));
    } else {
        r->authorizer = jwt_context(r->c->arena, &t);
        const struct authorizer_decision d = {.allowed = true, .context = r->authorizer};
        authorizer_cache_add(r->route->authorizer->cache, r->identity, jwt_expires_ms(&t), &d);
        r->verdict = scope_fits(r, &t) ? 0 : 403;
    }
    r->task = (struct loop_task){.run = token_checked};
    loop_post(r->http->loop, &r->task);
}

static void authorize_jwt(struct api_request *r)
{
    struct str token = identity_of(r).ptr ? r->identities[0] : STR_NULL;
    struct authorizer_decision d;

    if (token.len > 7 && str_eq_nocase(str_slice(token, 0, 7), STR("Bearer ")))
        token = str_trim(str_slice(token, 7, token.len));
    if (token.len == 0) {
        api_refuse(r, 401, "Unauthorized");
        return;
    }
    r->identity = token;
    if (authorizer_cache_find(r->route->authorizer->cache, token, os_now_ms(), r->c->arena, &d)) {
        struct jwt t;
        r->authorizer = d.context;
        r->authorized = HTTP_AUTHORIZER_JWT;
        // Routes differ in the scopes they want: those are looked at each time.
        if (json_count(r->route->scopes) > 0 &&
            (jwt_parse(r->c->arena, token, &t, NULL) < 0 || !scope_fits(r, &t)))
            api_refuse(r, 403, "Forbidden");
        else
            api_authorized(r);
        return;
    }
    r->work = (struct work){.run = token_work};
    work_submit(&r->work);
}

// ---- a function decides
// --------------------------------------------------------------------------

static struct str route_arn(struct api_request *r)
{
    if (r->api->websocket)
        return arena_printf(r->c->arena, "arn:aws:execute-api:%.*s:%.*s:%.*s/%.*s/%.*s",
                            STR_ARG(r->api->region), STR_ARG(r->api->account), STR_ARG(r->api->id),
                            STR_ARG(r->stage->name), STR_ARG(r->route->key));
    return arena_printf(r->c->arena, "arn:aws:execute-api:%.*s:%.*s:%.*s/%.*s/%.*s%.*s",
                        STR_ARG(r->api->region), STR_ARG(r->api->account), STR_ARG(r->api->id),
                        STR_ARG(r->stage->name), STR_ARG(r->http->method), STR_ARG(r->path));
}

static int authorizer_event(struct api_request *r, struct err *err)
{
    const struct api_authorizer *a = r->route->authorizer;
    struct str joined = r->identities[0];
    struct http_event event;
    struct buf plain;

    if (r->api->websocket)
        return websocket_authorizer_event(r, route_arn(r), err);
    api_event(r, &event);
    buf_init(&plain, MAX_EVENT_BYTES);
    int rc = a->format == 1 ? http_event_v1(&event, r->c->arena, &plain, err)
                            : http_event_v2(&event, r->c->arena, &plain, err);
    if (rc == 0) {
        struct json_writer w = json_writer(&r->authorizer_event);
        jw_object_begin(&w);
        jw_member_str(&w, "type", STR("REQUEST"));
        jw_member_str(&w, a->format == 1 ? "methodArn" : "routeArn", route_arn(r));
        jw_key(&w, STR("identitySource"));
        if (a->format == 1) {
            for (unsigned i = 1; i < a->n_sources; i++)
                joined = arena_printf(r->c->arena, "%.*s,%.*s", STR_ARG(joined),
                                      STR_ARG(r->identities[i]));
            jw_str(&w, joined);
            jw_member_str(&w, "authorizationToken", joined);
        } else {
            jw_array_begin(&w);
            for (unsigned i = 0; i < a->n_sources; i++)
                jw_str(&w, r->identities[i]);
            jw_array_end(&w);
        }
        buf_add_char(&r->authorizer_event, ',');
        buf_add(&r->authorizer_event, str_slice(buf_str(&plain), 1, plain.len));
        rc = r->authorizer_event.failed ? err_set(err, -ENOMEM, "out of memory") : 0;
    }
    buf_finish(&plain);
    return rc;
}

static bool any_matches(const struct json_value *v, struct str arn)
{
    struct str one;

    if (json_str(v, &one))
        return wildcard_match(one, arn, WILDCARD_ONE);
    json_each(e, v) if (json_str(e, &one) && wildcard_match(one, arn, WILDCARD_ONE)) return true;
    return false;
}

static bool policy_allows(const struct json_value *policy, struct str arn)
{
    const struct json_value *statements = json_get(policy, "Statement");
    bool allowed = false;

    for (const struct json_value *s = json_is(statements, JSON_ARRAY) ? json_first(statements)
                                                                      : statements;
         s; s = json_is(statements, JSON_ARRAY) ? s->next : NULL) {
        if (!any_matches(json_get(s, "Action"), STR("execute-api:Invoke")) ||
            !any_matches(json_get(s, "Resource"), arn))
            continue;
        if (str_eq(json_get_or(s, "Effect", STR("")), STR("Deny")))
            return false;
        allowed = allowed || str_eq(json_get_or(s, "Effect", STR("")), STR("Allow"));
    }
    return allowed;
}

// {"principalId": …} and the members of the context that the function gave.
static struct str function_context(struct arena *a, const struct json_value *v)
{
    struct buf b;

    buf_init(&b, MAX_CONTEXT_BYTES);
    struct json_writer w = json_writer(&b);
    jw_object_begin(&w);
    jw_member_str(&w, "principalId", json_get_or(v, "principalId", STR("")));
    json_each(m, json_get(v, "context"))
    {
        jw_key(&w, m->key);
        jw_raw(&w, m->raw);
    }
    jw_object_end(&w);
    struct str s = b.failed ? STR_NULL : arena_str(a, buf_str(&b));
    buf_finish(&b);
    return s;
}

// 0 and *d, or -EINVAL for an answer that decides nothing.
static int read_decision(struct api_request *r, struct str response, struct authorizer_decision *d)
{
    const struct api_authorizer *a = r->route->authorizer;
    const struct json_value *v;

    if (json_parse(r->c->arena, arena_str(r->c->arena, response), &v, NULL) < 0)
        return -EINVAL;
    if (a->simple) {
        if (!json_bool(json_get(v, "isAuthorized"), &d->allowed))
            return -EINVAL;
    } else {
        const struct json_value *policy = json_get(v, "policyDocument");
        if (!json_is(policy, JSON_OBJECT))
            return -EINVAL;
        d->policy = policy->raw;
    }
    d->context = function_context(r->c->arena, v);
    return 0;
}

// A policy is asked for every route: what was kept may stem from another one.
static bool allows(struct api_request *r, const struct authorizer_decision *d)
{
    const struct json_value *policy;

    if (!d->policy.ptr)
        return d->allowed;
    return json_parse(r->c->arena, d->policy, &policy, NULL) == 0 &&
           policy_allows(policy, route_arn(r));
}

static void decided(struct api_request *r, const struct authorizer_decision *d)
{
    if (!allows(r, d)) {
        api_refuse(r, 403, "Forbidden");
        return;
    }
    r->authorizer = d->context;
    r->authorized = HTTP_AUTHORIZER_LAMBDA;
    api_authorized(r);
}

// An authorizer that was asked. It has memory of its own, for the function goes on after its time
// has passed and the request was answered.
struct authorizer_call {
    struct invocation invocation;
    struct lambda_target target;
    struct buf event;
    struct loop_timer timer;
    struct api_request *request; // NULL: nobody waits any more
};

static void authorizer_failed(struct api_request *r)
{
    r->error = "Authorizer error";
    api_refuse(r, 500, "Internal Server Error");
}

static void authorizer_call_free(struct authorizer_call *k)
{
    invocation_finish(&k->invocation);
    if (k->target.config)
        function_config_unref(k->target.config);
    buf_finish(&k->event);
    free(k);
}

static void authorizer_late(struct loop_timer *t)
{
    struct authorizer_call *k =
        (struct authorizer_call *)((char *)t - offsetof(struct authorizer_call, timer));
    struct api_request *r = k->request;

    k->request = NULL;
    authorizer_failed(r);
}

static void authorizer_done(struct invocation *inv)
{
    struct authorizer_call *k = inv->user;
    struct api_request *r = k->request;
    struct authorizer_decision d = {0};

    if (!r) {
        authorizer_call_free(k);
        return;
    }
    const struct api_authorizer *a = r->route->authorizer;
    loop_timer_stop(r->http->loop, &k->timer);
    int rc = inv->status == INVOCATION_OK ? read_decision(r, inv->response, &d) : -EINVAL;
    authorizer_call_free(k);
    if (rc < 0) {
        authorizer_failed(r);
        return;
    }
    if (a->ttl_s > 0 && r->identity.len > 0)
        authorizer_cache_add(a->cache, r->identity, os_now_ms() + 1000 * a->ttl_s, &d);
    decided(r, &d);
}

static void ask_authorizer(struct api_request *r)
{
    const struct api_authorizer *a = r->route->authorizer;
    struct authorizer_call *k = calloc(1, sizeof(*k));
    struct err err = ERR_INIT;

    buf_init(&r->authorizer_event, MAX_EVENT_BYTES);
    int rc = k ? authorizer_event(r, &err) : -ENOMEM;
    if (rc == 0)
        rc = lambda_resolve(r->c->engine, a->function.account, a->function.region, a->function.name,
                            a->function.qualifier, &k->target, &err);
    if (rc < 0) {
        buf_finish(&r->authorizer_event);
        free(k);
        authorizer_failed(r);
        return;
    }
    k->event = r->authorizer_event;
    k->request = r;
    k->invocation = (struct invocation){
        .loop = r->http->loop,
        .function = k->target.config,
        .payload = buf_str(&k->event),
        .invoked_arn = str_from(k->target.arn),
        .done = authorizer_done,
        .user = k,
    };
    loop_timer_start(r->http->loop, &k->timer,
                     engine_scaled_ms(r->c->engine, AUTHORIZER_TIMEOUT_MS), authorizer_late);
    invocation_submit(&k->invocation);
}

static void authorize_function(struct api_request *r)
{
    const struct api_authorizer *a = r->route->authorizer;
    struct authorizer_decision d;

    r->identity = identity_of(r);
    if (!r->identity.ptr) {
        api_refuse(r, 401, "Unauthorized");
        return;
    }
    if (a->ttl_s > 0 && r->identity.len > 0 &&
        authorizer_cache_find(a->cache, r->identity, os_now_ms(), r->c->arena, &d)) {
        decided(r, &d);
        return;
    }
    ask_authorizer(r);
}

void api_authorize(struct api_request *r)
{
    if (r->route->authorization != AUTHORIZATION_NONE)
        r->authorizer_ns = os_mono_ns();
    switch (r->route->authorization) {
    case AUTHORIZATION_NONE:
        api_authorized(r);
        break;
    case AUTHORIZATION_IAM:
        authorize_iam(r);
        break;
    case AUTHORIZATION_AUTHORIZER:
        if (!r->route->authorizer)
            api_refuse(r, 500, "Internal Server Error");
        else if (r->route->authorizer->jwt)
            authorize_jwt(r);
        else
            authorize_function(r);
        break;
    }
}
