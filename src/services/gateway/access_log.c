// access_log.c - a line per request of an API's stage, in the format its owner wrote.
//
// Lines go to the CloudWatch Logs group that the stage names.

#include "services/gateway/api_request.h"
#include "services/gateway/variable_text.h"

#include "os/time.h"
#include "runtime/log_sink.h"

void access_log_add(const struct api *api, const struct api_stage *stage, struct arena *a,
                    const struct variable_source *from)
{
    bool json = str_starts(str_trim(stage->log_format), STR("{"));

    if (stage->log_group.len == 0)
        return;
    const struct log_sink_line line = {
        os_now_ms(), variable_text_expand(a, stage->log_format, from, STR("-"), json)};
    const struct log_sink_batch batch = {
        .account = api->account,
        .region = api->region,
        .group = stage->log_group,
        .stream = arena_printf(a, "%.*s/%.*s", STR_ARG(api->id), STR_ARG(stage->name)),
        .lines = &line,
        .n_lines = 1,
    };
    log_sink_append(&batch);
}

static struct str value_of(void *ctx, struct str expression)
{
    return api_variable(ctx, expression);
}

void access_log_write(struct api_request *r, int status, size_t body_bytes)
{
    const struct variable_source from = {value_of, r};

    r->status = status;
    r->answer_bytes = body_bytes;
    access_log_add(r->api, r->stage, r->c->arena, &from);
}
