// route.c - which service a request is for, in the order in which AWS's clients say it: credential
// scope, X-Amz-Target, Smithy path, host, path, Action with its Version.
#include "engine/engine_impl.h"

#include "base/buf.h"
#include "base/json.h"
#include "os/log.h"
#include "wire/sigv4.h"

#include <stdio.h>

static const struct wire_service *wire_of(struct engine *e, unsigned i)
{
    return e->slots[i].service->wire;
}

// "/2015-03-31/functions/…": a date, then one of Lambda's collections.
static bool lambda_path(struct str path)
{
    static const char *const collections[] = {"functions",
                                              "layers",
                                              "event-source-mappings",
                                              "tags",
                                              "account-settings",
                                              "code-signing-configs",
                                              "layers-by-version",
                                              "durable-executions"};
    struct str rest = path, part, date;

    if (!str_next(&rest, '/', &part) || part.len != 0 || !str_next(&rest, '/', &date) ||
        date.len != 10 || date.ptr[4] != '-' || date.ptr[7] != '-' || !str_next(&rest, '/', &part))
        return false;
    for (size_t i = 0; i < sizeof(collections) / sizeof(collections[0]); i++)
        if (str_eq(part, str_from(collections[i])))
            return true;
    return false;
}

// Paths that only one service has, for services that share a signing name and for the unsigned.
static bool path_says(const struct wire_service *w, struct str path)
{
    if (strcmp(w->name, "lambda") == 0)
        return lambda_path(path);
    if (strcmp(w->name, "apigatewayv2") == 0)
        return str_starts(path, STR("/v2/"));
    if (strcmp(w->name, "apigateway") == 0)
        return str_starts(path, STR("/restapis"));
    return false;
}

static struct engine_slot *by_signing_name(struct engine *e, struct str name, struct str path)
{
    struct engine_slot *found = NULL;

    for (unsigned i = 0; i < e->n_slots; i++) {
        if (!str_eq(name, str_from(wire_of(e, i)->signing_name)))
            continue;
        if (path_says(wire_of(e, i), path))
            return &e->slots[i];
        if (!found)
            found = &e->slots[i];
    }
    return found;
}

static struct str scope_service(const struct wire_http_in *in, struct arena *a)
{
    struct str header = wire_header_get(in, STR("authorization")), scope = STR_NULL, part;
    ptrdiff_t at = str_find(header, STR("Credential="));

    if (at >= 0) {
        scope = str_slice(header, (size_t)at + 11, header.len);
        for (size_t i = 0; i < scope.len; i++)
            if (scope.ptr[i] == ',' || scope.ptr[i] == ' ') {
                scope.len = i;
                break;
            }
    } else if (wire_query_get(in->query, STR("X-Amz-Credential"), a, &scope) < 0) {
        return STR_NULL;
    }
    // key/date/region/service/aws4_request
    for (int i = 0; i < 4; i++)
        if (!str_next(&scope, '/', &part))
            return STR_NULL;
    return part;
}

static struct engine_slot *by_target(struct engine *e, struct str target)
{
    ptrdiff_t dot = -1;

    for (size_t i = 0; i < target.len; i++) // the prefix itself may have dots
        if (target.ptr[i] == '.')
            dot = (ptrdiff_t)i;
    if (dot <= 0)
        return NULL;
    target.len = (size_t)dot;
    for (unsigned i = 0; i < e->n_slots; i++) {
        const char *prefix = wire_of(e, i)->target_prefix;
        if (prefix && str_eq(target, str_from(prefix)))
            return &e->slots[i];
    }
    return NULL;
}

// rpc-v2-cbor: /service/<target prefix>/operation/<name>, possibly behind a prefix.
static struct engine_slot *by_smithy_path(struct engine *e, struct str path)
{
    struct str rest = path, part, service;

    if (!str_next(&rest, '/', &part) || !str_next(&rest, '/', &part) ||
        !str_eq(part, STR("service")) || !str_next(&rest, '/', &service) ||
        !str_next(&rest, '/', &part) || !str_eq(part, STR("operation")))
        return NULL;
    for (unsigned i = 0; i < e->n_slots; i++) {
        const char *prefix = wire_of(e, i)->target_prefix;
        if (prefix && str_eq(service, str_from(prefix)))
            return &e->slots[i];
    }
    return NULL;
}

static struct engine_slot *by_host(struct engine *e, const struct host_name *host, struct str path)
{
    struct str name = host->service;

    if (str_is_null(name))
        return NULL;
    if (str_eq(name, STR("queue")))
        name = STR("sqs");
    struct engine_slot *slot = by_signing_name(e, name, path);
    if (slot)
        return slot;
    for (unsigned i = 0; i < e->n_slots; i++)
        if (str_eq(name, str_from(wire_of(e, i)->endpoint_prefix)))
            return &e->slots[i];
    return NULL;
}

static bool knows_action(const struct wire_service *w, struct str action)
{
    return (w->protocols & (1U << WIRE_QUERY)) && wire_operation_named(w, action);
}

static struct engine_slot *by_action(struct engine *e, const struct wire_http_in *in,
                                     struct arena *a)
{
    struct str action = STR_NULL, version = STR_NULL, form = in->query;

    if (wire_query_get(form, STR("Action"), a, &action) < 0)
        return NULL;
    if (str_is_null(action)) {
        form = in->body;
        if (str_is_null(form) || wire_query_get(form, STR("Action"), a, &action) < 0 ||
            str_is_null(action))
            return NULL;
    }
    if (wire_query_get(form, STR("Version"), a, &version) < 0)
        return NULL;
    struct engine_slot *found = NULL;
    for (unsigned i = 0; i < e->n_slots; i++) {
        if (!knows_action(wire_of(e, i), action))
            continue;
        if (str_eq(version, str_from(wire_of(e, i)->api_version)))
            return &e->slots[i];
        if (!found)
            found = &e->slots[i];
    }
    return found;
}

// A queue's URL without anything else: /<account>/<name>.
static bool queue_path(struct str path)
{
    struct str rest = path, part, account;

    return str_next(&rest, '/', &part) && part.len == 0 && str_next(&rest, '/', &account) &&
           account.len == 12 && account.ptr[0] >= '0' && account.ptr[0] <= '9' &&
           str_next(&rest, '/', &part) && part.len > 0 && str_is_null(rest);
}

struct engine_slot *route_service(struct engine *e, const struct wire_http_in *in,
                                  const struct host_name *host, struct arena *a)
{
    struct engine_slot *slot = NULL;
    struct str scope = scope_service(in, a);

    if (scope.len > 0)
        return by_signing_name(e, scope, in->path);
    struct str target = wire_header_get(in, STR("x-amz-target"));
    if (target.len > 0)
        return by_target(e, target);
    slot = by_smithy_path(e, in->path);
    if (!slot)
        slot = by_host(e, host, in->path);
    for (unsigned i = 0; i < e->n_slots && !slot; i++)
        if (path_says(wire_of(e, i), in->path))
            slot = &e->slots[i];
    if (!slot)
        slot = by_action(e, in, a);
    if (!slot && queue_path(in->path))
        slot = by_signing_name(e, STR("sqs"), in->path);
    return slot;
}

void route_refuse(struct call_run *r)
{
    struct call *c = &r->call;
    struct buf body;
    struct str type = wire_header_get(&r->http_in, STR("content-type"));
    struct str scope = scope_service(&r->http_in, c->arena);
    bool xml = str_starts(type, STR("application/x-www-form-urlencoded"));
    int status = 404;
    const char *code = "UnknownOperationException";
    struct str message;

    if (r->err.code && r->err.aws) {
        status = r->err.aws->status;
        code = r->err.aws->code;
        message = arena_printf(c->arena, "%s", r->err.message);
    } else if (scope.len > 0) {
        message = arena_printf(c->arena, "Lambkin has no service '%.*s'.",
                               (int)(scope.len > 64 ? 64 : scope.len), scope.ptr);
    } else {
        message = STR("The request names no service: it has neither a credential scope, an "
                      "X-Amz-Target, a known path nor an Action.");
    }
    log_debug("no service for %.*s %.*s: %s", STR_ARG(r->http_in.method), STR_ARG(r->http_in.path),
              code);
    buf_init(&body, 8192);
    if (xml) {
        // The message holds only what the client itself put into its credential scope.
        buf_addf(&body, "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>", code);
        for (size_t i = 0; i < message.len; i++) {
            char ch = message.ptr[i];
            if (ch == '<' || ch == '>' || ch == '&' || (unsigned char)ch < 0x20)
                ch = '?';
            buf_add_char(&body, ch);
        }
        buf_addf(&body, "</Message></Error><RequestId>%.*s</RequestId></ErrorResponse>",
                 STR_ARG(c->request_id));
    } else {
        struct json_writer w = json_writer(&body);
        jw_object_begin(&w);
        jw_member_str(&w, "__type", str_from(code));
        jw_member_str(&w, "message", message);
        jw_object_end(&w);
        call_header(c, "x-amzn-ErrorType", str_from(code));
    }
    call_respond(c, status, xml ? STR("text/xml") : STR("application/json"),
                 arena_str(c->arena, buf_str(&body)));
    buf_finish(&body);
}
