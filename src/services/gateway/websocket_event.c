// websocket_event.c - the events of WebSocket APIs: CONNECT, MESSAGE, DISCONNECT.

#include "services/gateway/websocket_api.h"

#include "base/base64.h"
#include "base/timefmt.h"
#include "os/time.h"

static void context(struct json_writer *w, const struct connection *c,
                    const struct websocket_message *m)
{
    char time[TIMEFMT_BYTES];
    int64_t now = os_now_ms();

    jw_key(w, STR("requestContext"));
    jw_object_begin(w);
    jw_member_str(w, "routeKey", m->route_key);
    if (c->authorizer.ptr) {
        jw_key(w, STR("authorizer"));
        jw_raw(w, c->authorizer);
    }
    if (m->message_id.ptr)
        jw_member_str(w, "messageId", m->message_id);
    if (m->disconnect_code) {
        jw_member_i64(w, "disconnectStatusCode", m->disconnect_code);
        jw_member_str(w, "disconnectReason", m->disconnect_reason);
    }
    jw_member_str(w, "eventType", str_from(m->type));
    jw_member_str(w, "extendedRequestId", m->request_id);
    jw_member_str(w, "requestTime", timefmt_access(now, time));
    jw_member_str(w, "messageDirection", STR("IN"));
    jw_member_str(w, "stage", c->stage);
    jw_member_i64(w, "connectedAt", c->connected_ms);
    jw_member_i64(w, "requestTimeEpoch", now);
    jw_key(w, STR("identity"));
    jw_object_begin(w);
    if (c->user_agent.len > 0)
        jw_member_str(w, "userAgent", c->user_agent);
    jw_member_str(w, "sourceIp", c->source_ip);
    jw_object_end(w);
    jw_member_str(w, "requestId", m->request_id);
    jw_member_str(w, "domainName", c->domain);
    jw_member_str(w, "connectionId", str_from(c->id));
    jw_member_str(w, "apiId", c->api);
    jw_object_end(w);
}

void websocket_event_members(struct json_writer *w, struct arena *a, const struct connection *c,
                             const struct websocket_message *m)
{
    if (m->http)
        http_event_request_members(w, a, m->http, STR_NULL);
    if (m->stage && m->stage->n_variables > 0) {
        jw_key(w, STR("stageVariables"));
        jw_object_begin(w);
        for (size_t i = 0; i < m->stage->n_variables; i++) {
            jw_key(w, m->stage->variables[i].name);
            jw_str(w, m->stage->variables[i].value);
        }
        jw_object_end(w);
    }
    context(w, c, m);
    if (m->has_body) {
        struct str body = m->body;
        jw_key(w, STR("body"));
        if (m->binary)
            body = base64_arena(a, m->body);
        jw_str(w, body);
    }
    jw_member_bool(w, "isBase64Encoded", m->binary);
}
