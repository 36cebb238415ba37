// access_log.c - a line per request of an API's stage, in the format its owner wrote.
//
// $context.status and $context.responseLength are only known here, at the end; the rest is
// request_variables.c. Lines go to the CloudWatch Logs group that the stage names.

#include "services/gateway/api_request.h"

#include "os/time.h"
#include "runtime/log_sink.h"

static struct str replaced(struct arena *a, struct str text, struct str what, long long n)
{
    ptrdiff_t at = str_find(text, what);

    if (at < 0)
        return text;
    return arena_printf(a, "%.*s%lld%.*s", STR_ARG(str_slice(text, 0, (size_t)at)), n,
                        STR_ARG(str_slice(text, (size_t)at + what.len, text.len)));
}

void access_log_write(struct api_request *r, int status, size_t body_bytes)
{
    struct arena *a = r->c->arena;

    if (r->stage->log_group.len == 0)
        return;
    struct str text = replaced(a, r->stage->log_format, STR("$context.status"), status);
    text = replaced(a, text, STR("$context.integration.status"), status);
    text = replaced(a, text, STR("$context.integrationStatus"), status);
    text = replaced(a, text, STR("$context.responseLength"), (long long)body_bytes);
    bool json = str_starts(str_trim(text), STR("{"));
    const struct log_sink_line line = {os_now_ms(), api_expand(r, text, json)};
    const struct log_sink_batch batch = {
        .account = r->api->account,
        .region = r->api->region,
        .group = r->stage->log_group,
        .stream = arena_printf(a, "%.*s/%.*s", STR_ARG(r->api->id), STR_ARG(r->stage->name)),
        .lines = &line,
        .n_lines = 1,
    };
    log_sink_append(&batch);
}
