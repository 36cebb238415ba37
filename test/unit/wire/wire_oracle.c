// wire_oracle.c - the codecs behind standard input and output, for comparison with botocore's
// (test/sdk/test_wire_botocore.py). A line is a JSON object, and so is its answer.
//
//   {"do":"decode","service","protocol","method","path","query","headers":{},"body":base64}
//     → {"operation","value"}           value: the input structure as JSON
//   {"do":"encode","service","protocol","operation","value"}
//     → {"status","headers":{},"body":base64}
#include "base/base64.h"
#include "base/json.h"
#include "wire/gen/apigatewaymanagementapi.h"
#include "wire/gen/apigatewayv2.h"
#include "wire/gen/iam.h"
#include "wire/gen/lambda.h"
#include "wire/gen/logs.h"
#include "wire/gen/sqs.h"
#include "wire/gen/sts.h"

#include <stdio.h>
#include <stdlib.h>

static const struct wire_service *service_of(const struct json_value *v)
{
    static const struct wire_service *const all[] = {
        &wire_lambda,
        &wire_logs,
        &wire_sqs,
        &wire_sts,
        &wire_iam,
        &wire_apigatewayv2,
        &wire_apigatewaymanagementapi,
    };
    struct str name = json_get_or(v, "service", STR(""));

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (str_eq(str_from(all[i]->name), name))
            return all[i];
    }
    return NULL;
}

static struct str bytes(struct arena *a, const struct json_value *v, const char *key)
{
    struct str out;

    return base64_decode(a, json_get_or(v, key, STR("")), &out) == 0 ? out : STR("");
}

static void request_of(struct arena *a, const struct json_value *v, struct wire_http_in *in)
{
    const struct json_value *headers = json_get(v, "headers");
    struct wire_header *h = arena_new_array(a, struct wire_header, json_count(headers) + 1);

    *in = (struct wire_http_in){
        .method = json_get_or(v, "method", STR("")),
        .path = json_get_or(v, "path", STR("")),
        .query = json_get_or(v, "query", STR("")),
        .headers = h,
        .body = bytes(a, v, "body"),
    };
    json_each(child, headers)
    {
        h[in->n_headers].name = child->key;
        json_str(child, &h[in->n_headers++].value);
    }
}

static int decode(struct arena *a, const struct json_value *v, struct json_writer *w,
                  struct err *err)
{
    const struct wire_service *s = service_of(v);
    const struct wire_operation *op;
    struct wire_http_in in;
    enum wire_protocol p;
    struct buf json;
    void *value;

    request_of(a, v, &in);
    if (wire_protocol_of(s, &in, &p, err) < 0 || wire_route(s, p, &in, a, &op, err) < 0)
        return -1;
    value = arena_zalloc(a, wire_in_bytes(op));
    if (wire_decode(op, p, &in, a, value, err) < 0)
        return -1;
    buf_init(&json, (size_t)64 << 20);
    wire_shape_to_json(s, op->in, value, &json);
    jw_member_str(w, "operation", str_from(op->name));
    jw_key(w, STR("value"));
    jw_raw(w, buf_str(&json));
    buf_finish(&json);
    return 0;
}

static int encode(struct arena *a, const struct json_value *v, struct json_writer *w,
                  struct err *err)
{
    const struct wire_service *s = service_of(v);
    const struct wire_operation *op = wire_operation_named(s, json_get_or(v, "operation", STR("")));
    enum wire_protocol p = (enum wire_protocol)json_get_i64_or(v, "protocol", 0);
    void *value = arena_zalloc(a, wire_out_bytes(op));
    struct wire_http_out out;

    if (wire_shape_from_json(s, op->out, json_get(v, "value")->raw, a, value, err) < 0)
        return -1;
    wire_http_out_init(&out, a, (size_t)64 << 20);
    if (wire_encode(op, p, value, STR("request-id"), &out, err) < 0)
        return -1;
    jw_member_i64(w, "status", out.status);
    jw_key(w, STR("headers"));
    jw_object_begin(w);
    for (size_t i = 0; i < out.n_headers; i++) {
        jw_key(w, out.headers[i].name);
        jw_str(w, out.headers[i].value);
    }
    jw_object_end(w);
    jw_key(w, STR("body"));
    jw_str(w, base64_arena(a, buf_str(&out.body)));
    wire_http_out_finish(&out);
    return 0;
}

static void answer(struct str line, struct buf *out)
{
    struct json_writer w = json_writer(out);
    const struct json_value *v;
    struct err err = ERR_INIT;
    struct arena a;
    int r;

    arena_init(&a, (size_t)256 << 20);
    jw_object_begin(&w);
    r = json_parse(&a, line, &v, &err);
    if (r == 0)
        r = str_eq(json_get_or(v, "do", STR("")), STR("decode")) ? decode(&a, v, &w, &err)
                                                                 : encode(&a, v, &w, &err);
    if (r < 0)
        jw_member_str(&w, "error", str_from(err.message));
    jw_object_end(&w);
    buf_add_char(out, '\n');
    arena_finish(&a);
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;

    while ((n = getline(&line, &cap, stdin)) > 0) {
        struct buf out;

        buf_init(&out, (size_t)64 << 20);
        answer((struct str){line, (size_t)n}, &out);
        fwrite(out.ptr, 1, out.len, stdout);
        fflush(stdout);
        buf_finish(&out);
    }
    free(line);
    return 0;
}
