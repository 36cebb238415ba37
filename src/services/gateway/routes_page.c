// routes_page.c - see routes_page.h.

#include "services/gateway/routes_page.h"

#include "engine/engine.h"
#include "services/gateway/api_model.h"
#include "services/gateway/connections.h"
#include "services/gateway/gateway.h"
#include "services/gateway/service_integration.h"

struct page {
    struct call *c;
    struct json_writer *w;
};

static void target_of(struct json_writer *w, const struct api_integration *i)
{
    switch (i->kind) {
    case INTEGRATION_LAMBDA:
        jw_member_str(w, "function", i->function.name);
        break;
    case INTEGRATION_HTTP:
        jw_member_str(w, "target", i->uri.ptr ? i->uri : i->problem);
        break;
    case INTEGRATION_SERVICE:
        jw_member_str(w, "target",
                      i->action ? str_from(service_action_name(i->action)) : STR("nothing"));
        break;
    case INTEGRATION_MOCK:
        jw_member_str(w, "target", STR("mock"));
        break;
    }
}

static void one_route(struct json_writer *w, const struct api_route *r)
{
    const struct api_integration *i = r->integration;

    jw_object_begin(w);
    jw_member_str(w, "key", r->key);
    if (!i)
        jw_member_str(w, "target", STR("nothing"));
    else
        target_of(w, i);
    if (i && i->kind == INTEGRATION_LAMBDA && i->function.qualifier.len > 0)
        jw_member_str(w, "qualifier", i->function.qualifier);
    switch (r->authorization) {
    case AUTHORIZATION_NONE:
        jw_member_str(w, "authorization", STR("none"));
        break;
    case AUTHORIZATION_IAM:
        jw_member_str(w, "authorization", STR("iam"));
        break;
    case AUTHORIZATION_AUTHORIZER:
        jw_member_str(w, "authorization", r->authorizer ? r->authorizer->name : STR("broken"));
        break;
    }
    jw_object_end(w);
}

// Under the models' lock.
static void one_api(void *ctx, const struct api *a)
{
    struct page *p = ctx;
    struct json_writer *w = p->w;

    if (!str_eq(a->account, p->c->account) || !str_eq(a->region, p->c->region))
        return;
    jw_object_begin(w);
    jw_member_str(w, "id", a->id);
    jw_member_str(w, "name", a->name);
    jw_member_str(w, "protocol", a->websocket ? STR("WEBSOCKET") : STR("HTTP"));
    jw_member_str(w, "endpoint", gateway_endpoint(p->c, a->id, a->websocket));
    jw_key(w, STR("stages"));
    jw_array_begin(w);
    pthread_rwlock_rdlock((pthread_rwlock_t *)&a->routes_lock);
    for (const struct api_stage *s = a->stages; s; s = s->next) {
        jw_object_begin(w);
        jw_member_str(w, "name", s->name);
        jw_key(w, STR("routes"));
        jw_array_begin(w);
        for (const struct api_route *r = s->list; r; r = r->next)
            one_route(w, r);
        jw_array_end(w);
        jw_object_end(w);
    }
    pthread_rwlock_unlock((pthread_rwlock_t *)&a->routes_lock);
    jw_array_end(w);
    jw_object_end(w);
}

// Under the models' lock.
static void one_domain(void *ctx, struct str domain, const struct api_domain_target *t)
{
    struct page *p = ctx;
    struct json_writer *w = p->w;

    jw_object_begin(w);
    struct str address = gateway_address(p->c, domain, false);
    jw_member_str(w, "url",
                  arena_printf(p->c->arena, "%.*s/%.*s", STR_ARG(address), STR_ARG(t->key)));
    jw_member_str(w, "api", t->api_id);
    jw_member_str(w, "stage", t->stage);
    jw_object_end(w);
}

static int write_routes(struct call *c, struct json_writer *w, struct err *err)
{
    struct page p = {.c = c, .w = w};

    (void)err;
    jw_key(w, STR("apis"));
    jw_array_begin(w);
    api_models_each(one_api, &p);
    jw_array_end(w);
    jw_key(w, STR("domains"));
    jw_array_begin(w);
    api_domains_each(one_domain, &p);
    jw_array_end(w);
    jw_member_i64(w, "webSocketConnections", connections_count());
    return 0;
}

int routes_page_register(struct engine *e, struct err *err)
{
    static const struct engine_operator_page page = {"GET", "/_lambkin/routes", write_routes};

    return engine_add_operator_page(e, &page, err);
}
