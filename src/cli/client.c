// client.c - signed calls to a daemon, and what is said when they fail.
#include "cli/client.h"

#include "base/cleanup.h"
#include "base/percent.h"
#include "os/time.h"
#include "wire/sigv4.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LONGEST_MS ((int64_t)15 * 60 * 1000 + 30000)
#define MAX_ANSWER_BYTES ((size_t)256 << 20)
#define MAX_HEADERS 12

static const char *from_environment(const char *name, const char *otherwise)
{
    const char *value = getenv(name);

    return value && value[0] ? value : otherwise;
}

void client_init(struct client *c)
{
    *c = (struct client){0};
    arena_init(&c->arena, ARENA_DEFAULT_MAX_BYTES);
}

void client_settle(struct client *c)
{
    if (!c->endpoint)
        c->endpoint = from_environment(
            "LAMBKIN_ENDPOINT", from_environment("AWS_ENDPOINT_URL", "http://127.0.0.1:4566"));
    if (!c->region)
        c->region =
            from_environment("AWS_REGION", from_environment("AWS_DEFAULT_REGION", "us-east-1"));
    c->json = c->json || !isatty(STDOUT_FILENO);
    c->terminal = isatty(STDERR_FILENO);
}

void client_finish(struct client *c)
{
    arena_finish(&c->arena);
}

// "http://host:port/…" to "host:port"; a trailing slash is dropped from *base.
static struct str host_of(struct str base)
{
    ptrdiff_t scheme = str_find(base, STR("://"));
    struct str host = scheme < 0 ? base : str_slice(base, (size_t)scheme + 3, base.len);
    ptrdiff_t slash = str_find_char(host, '/');

    return slash < 0 ? host : str_slice(host, 0, (size_t)slash);
}

// {"__type": "…#Code", "message": "…"}, with the type in a header for rest-json.
static int api_error(struct client *c, const struct http_client_response *answer, struct err *err)
{
    const struct json_value *body = NULL;
    struct err ignored = ERR_INIT;
    struct str type = http_client_header(answer, STR("x-amzn-errortype")), message = STR_NULL, cut;

    if (json_parse(&c->arena, answer->body, &body, &ignored) == 0) {
        if (type.len == 0)
            type = json_get_or(body, "__type", STR_NULL);
        message = json_get_or(body, "message", json_get_or(body, "Message", STR_NULL));
    }
    ptrdiff_t hash = str_find_char(type, '#');
    if (hash >= 0)
        type = str_slice(type, (size_t)hash + 1, type.len);
    if (type.len > 0 && str_next(&type, ':', &cut))
        type = cut;
    if (type.len == 0)
        type = STR("HTTP error");
    return err_set(err, -EREMOTEIO, "%.*s (%d)%s%.*s", STR_ARG(type), answer->status,
                   message.len ? ": " : "", STR_ARG(message));
}

int client_call(struct client *c, const struct client_call *call,
                struct http_client_response *answer, struct err *err)
{
    struct str base = str_from(c->endpoint), path, query;
    const char *url;
    struct wire_header headers[MAX_HEADERS], signature[4];
    struct http_header sent[MAX_HEADERS];
    const char *token = getenv("AWS_SESSION_TOKEN");
    unsigned n = 0;
    int r;

    while (base.len > 0 && base.ptr[base.len - 1] == '/')
        base.len--;
    query = call->target;
    str_next(&query, '?', &path);
    headers[n++] = (struct wire_header){STR("host"), host_of(base)};
    for (unsigned i = 0; i < call->n_headers; i++)
        headers[n++] = (struct wire_header){call->headers[i].name, call->headers[i].value};
    const struct wire_http_in in = {.method = str_from(call->method),
                                    .path = path,
                                    .query = query,
                                    .headers = headers,
                                    .n_headers = n,
                                    .body = call->body};
    const struct sigv4_signer signer = {
        .access_key = str_from(from_environment("AWS_ACCESS_KEY_ID", "test")),
        .secret_key = str_from(from_environment("AWS_SECRET_ACCESS_KEY", "test")),
        .session_token = token && token[0] ? str_from(token) : STR_NULL,
        .region = str_from(c->region),
        .service = str_from(call->service),
        .now_ms = os_now_ms(),
    };
    int signed_with = sigv4_sign(&signer, &in, &c->arena, signature, err);
    if (signed_with < 0)
        return signed_with;
    for (int i = 0; i < signed_with; i++)
        headers[n++] = signature[i];
    for (unsigned i = 0; i < n; i++)
        sent[i] = (struct http_header){headers[i].name, headers[i].value};
    url = arena_cstr(&c->arena,
                     arena_printf(&c->arena, "%.*s%.*s", STR_ARG(base), STR_ARG(call->target)));
    if (!url)
        return err_set(err, -ENOMEM, "out of memory");
    const struct http_client_request request = {
        .method = call->method,
        .url = url,
        .headers = sent + 1, // the host is in the URL
        .n_headers = n - 1,
        .body = call->body,
        .timeout_ms = call->timeout_ms ? call->timeout_ms : LONGEST_MS,
        .max_response_bytes = MAX_ANSWER_BYTES,
        .insecure = true, // the daemon's certificate is its own
        .http1_only = true,
    };
    r = http_client_perform(&request, answer, err);
    if (r == -ECONNREFUSED)
        return err_set(err, r, "no daemon answers at %.*s; start one with `lambkin serve`",
                       STR_ARG(base));
    if (r < 0)
        return err_wrap(err, "%s", c->endpoint);
    return answer->status >= 400 ? api_error(c, answer, err) : 0;
}

int client_call_json(struct client *c, const char *service, const char *target, struct str body,
                     struct http_client_response *answer, struct err *err)
{
    const struct client_call call = {
        .service = service,
        .method = "POST",
        .target = STR("/"),
        .body = body,
        .headers = {{STR("content-type"), STR("application/x-amz-json-1.1")},
                    {STR("x-amz-target"), str_from(target)}},
        .n_headers = 2,
    };

    return client_call(c, &call, answer, err);
}

struct str client_function_path(struct client *c, const char *version, const char *name,
                                const char *rest)
{
    struct buf b;
    struct str path;

    buf_init(&b, 16 * 1024);
    buf_addf(&b, "/%s/functions/", version);
    percent_encode(&b, str_from(name));
    buf_add(&b, str_from(rest));
    path = arena_str(&c->arena, buf_str(&b));
    buf_finish(&b);
    return path;
}

int client_parse(struct client *c, const struct http_client_response *answer,
                 const struct json_value **out, struct err *err)
{
    int r = json_parse(&c->arena, answer->body, out, err);

    return r < 0 ? err_wrap(err, "the daemon's answer") : 0;
}

void client_progress(struct client *c, const char *format, ...)
{
    va_list args;

    if (!c->terminal)
        return;
    fputs("\r\033[K", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fflush(stderr);
}

void client_progress_end(struct client *c)
{
    if (c->terminal)
        fputs("\r\033[K", stderr);
}
