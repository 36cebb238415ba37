// test_protocols.c - the public protocol cases, read backwards: what clients send is decoded, what
// they expect is encoded. The walkers are the ones that serve requests; only the tables are made
// here, from each case's own shapes.
#include "case_compare.h"
#include "case_model.h"
#include "read_file.h"
#include "wire/wire_impl.h"

#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#define CASES TESTDATA "/protocols"

// Cases that do not pass, and why that is right.
static const struct {
    const char *id, *reason;
} known[] = {
    {"AwsJson11DateTimeWithNegativeOffset", "the same moment, which we write in UTC"},
    {"AwsJson11DateTimeWithPositiveOffset", "the same moment, which we write in UTC"},
    {"AwsQueryDateTimeWithNegativeOffset", "the same moment, which we write in UTC"},
    {"AwsQueryDateTimeWithPositiveOffset", "the same moment, which we write in UTC"},
    {"RestJsonDateTimeWithNegativeOffset", "the same moment, which we write in UTC"},
    {"RestJsonDateTimeWithPositiveOffset", "the same moment, which we write in UTC"},
    {"RestXmlDateTimeWithNegativeOffset", "the same moment, which we write in UTC"},
    {"RestXmlDateTimeWithPositiveOffset", "the same moment, which we write in UTC"},
    {"handles_unexpected_json_output", "what a client must put up with; we never send it"},
    {"AwsJson10HandlesUnexpectedJsonOutput", "what a client must put up with; we never send it"},
    {"AwsJson11DeserializeIgnoreType", "what a client must put up with; we never send it"},
    {"AwsJson10DeserializeIgnoreType", "what a client must put up with; we never send it"},
    {"RestJsonDeserializeIgnoreType", "what a client must put up with; we never send it"},
    {"AwsJson11StructuresDontDeserializeNullValues",
     "what a client must put up with; we never send it"},
    {"AwsJson10DeserializeAllowNulls", "what a client must put up with; we never send it"},
    {"RestJsonDeserializesDenseSetMapAndSkipsNull",
     "what a client must put up with; we never send it"},
    {"RestJsonDoesntDeserializeNullStructureValues",
     "what a client must put up with; we never send it"},
    {"SDKAppliedContentEncoding_awsJson1_1",
     "the case gives no body: it is about compression by the client"},
    {"SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsJson1_1",
     "the case gives no body: it is about compression by the client"},
    {"SDKAppliedContentEncoding_awsJson1_0",
     "the case gives no body: it is about compression by the client"},
    {"SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsJson1_0",
     "the case gives no body: it is about compression by the client"},
    {"SDKAppliedContentEncoding_awsQuery",
     "the case gives no body: it is about compression by the client"},
    {"SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsQuery",
     "the case gives no body: it is about compression by the client"},
    {"SDKAppliedContentEncoding_restJson1",
     "the case gives no body: it is about compression by the client"},
    {"SDKAppendedGzipAfterProvidedEncoding_restJson1",
     "the case gives no body: it is about compression by the client"},
    {"SDKAppliedContentEncoding_restXml",
     "the case gives no body: it is about compression by the client"},
    {"SDKAppendedGzipAfterProvidedEncoding_restXml",
     "the case gives no body: it is about compression by the client"},
    {"RestJsonAllQueryStringTypes",
     "wants bound parameters in the map too; the same case of rest-xml does not"},
    {"RestJsonQueryStringEscaping",
     "wants bound parameters in the map too; the same case of rest-xml does not"},
    {"RestJsonSupportsNaNFloatQueryValues",
     "wants bound parameters in the map too; the same case of rest-xml does not"},
    {"RestJsonSupportsInfinityFloatQueryValues",
     "wants bound parameters in the map too; the same case of rest-xml does not"},
    {"RestJsonSupportsNegativeInfinityFloatQueryValues",
     "wants bound parameters in the map too; the same case of rest-xml does not"},
    {"RestJsonZeroAndFalseQueryValues",
     "wants bound parameters in the map too; the same case of rest-xml does not"},
    {"RestJsonHostWithPath", "the client's endpoint has a path of its own"},
    {"RestJsonQueryPrecedence", "what loses on the client is not on the wire"},
    {"RestXmlQueryPrecedence", "what loses on the client is not on the wire"},
};

struct run {
    struct arena arena; // one case
    unsigned passed, listed, failed;
};

static const char *reason_for(struct str id)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (str_eq(str_from(known[i].id), id))
            return known[i].reason;
    }
    return NULL;
}

static enum wire_protocol protocol_of(const struct json_value *suite)
{
    const struct json_value *metadata = json_get(suite, "metadata");
    struct str p = json_get_or(metadata, "protocol", STR(""));

    if (str_eq(p, STR("rest-json")))
        return WIRE_REST_JSON;
    if (str_eq(p, STR("rest-xml")))
        return WIRE_REST_XML;
    if (str_eq(p, STR("query")))
        return WIRE_QUERY;
    if (str_eq(p, STR("json")))
        return str_eq(json_get_or(metadata, "jsonVersion", STR("")), STR("1.0")) ? WIRE_JSON_1_0
                                                                                 : WIRE_JSON_1_1;
    return WIRE_RPC_V2_CBOR;
}

static struct str lower(struct arena *a, struct str s)
{
    char *out = arena_cstr(a, s);

    for (size_t i = 0; i < s.len; i++)
        out[i] = (char)(out[i] >= 'A' && out[i] <= 'Z' ? out[i] + 32 : out[i]);
    return (struct str){out, s.len};
}

static struct str body_of(struct arena *a, const struct json_value *v, enum wire_protocol p)
{
    struct str body = json_get_or(v, "body", STR("")), bytes;

    if (p == WIRE_RPC_V2_CBOR && base64_decode(a, body, &bytes) == 0)
        return bytes;
    return body;
}

static void request_of(struct arena *a, const struct json_value *v, struct str name,
                       enum wire_protocol p, struct wire_http_in *in)
{
    const struct json_value *headers = json_get(v, "headers");
    struct wire_header *h = arena_new_array(a, struct wire_header, json_count(headers) + 2);
    struct str uri = json_get_or(v, "uri", STR("/"));
    ptrdiff_t mark = str_find_char(uri, '?');

    *in = (struct wire_http_in){
        .method = json_get_or(v, "method", STR("")),
        .path = mark < 0 ? uri : str_slice(uri, 0, (size_t)mark),
        .query = mark < 0 ? STR_NULL : str_slice(uri, (size_t)mark + 1, uri.len),
        .headers = h,
        .body = body_of(a, v, p),
    };
    json_each(child, headers)
    {
        h[in->n_headers].name = lower(a, child->key);
        json_str(child, &h[in->n_headers++].value);
    }
    // Cases about hosts leave out what every JSON request has.
    if (p == WIRE_JSON_1_0 && in->n_headers == 0) {
        h[in->n_headers++] = (struct wire_header){STR("x-amz-target"), name};
        h[in->n_headers++] =
            (struct wire_header){STR("content-type"), STR("application/x-amz-json-1.0")};
    }
}

static bool input_case(struct arena *a, const struct json_value *suite, const struct json_value *c,
                       char why[static 256])
{
    enum wire_protocol p = protocol_of(suite), seen;
    const struct wire_service *s = case_service(a, suite, json_get(c, "given"));
    const struct wire_operation *op;
    struct wire_http_in in;
    struct err err = ERR_INIT;
    void *out;

    request_of(a, json_get(c, "serialized"), json_get_or(json_get(c, "given"), "name", STR("")), p,
               &in);
    if (wire_protocol_of(s, &in, &seen, &err) < 0 || (seen != p)) {
        snprintf(why, 256, "taken for protocol %d: %.200s", (int)seen, err.message);
        return false;
    }
    if (wire_route(s, p, &in, a, &op, &err) < 0) {
        snprintf(why, 256, "not routed: %.200s", err.message);
        return false;
    }
    out = arena_zalloc(a, wire_in_bytes(op));
    if (wire_decode(op, p, &in, a, out, &err) < 0) {
        snprintf(why, 256, "not decoded: %.200s", err.message);
        return false;
    }
    return case_same(s, op->in, json_get(c, "params"), out, true, why);
}

static struct str header_of(const struct wire_http_out *out, struct str name)
{
    for (size_t i = 0; i < out->n_headers; i++) {
        if (str_eq_nocase(out->headers[i].name, name))
            return out->headers[i].value;
    }
    return STR_NULL;
}

static bool same_headers(const struct json_value *want, const struct wire_http_out *out,
                         char why[static 256])
{
    json_each(child, want)
    {
        struct str value = STR_NULL, ours = header_of(out, child->key);

        json_str(child, &value);
        if (str_eq_nocase(child->key, STR("content-type")) ||
            str_eq_nocase(child->key, STR("content-length")) ||
            str_eq_nocase(child->key, STR("x-amz-target")) || // of requests
            str_eq_nocase(child->key, STR("x-amzn-requestid")))
            continue;
        if (str_is_null(ours) || !str_eq(str_trim(ours), str_trim(value))) {
            snprintf(why, 256, "header %.*s: '%.*s'", STR_ARG(child->key), STR_ARG(ours));
            return false;
        }
    }
    return true;
}

static bool same_json_body(struct arena *a, struct str want, struct str ours, char why[static 256])
{
    const struct json_value *x, *y;

    if (str_trim(want).len == 0)
        want = STR("{}");
    if (ours.len == 0)
        ours = STR("{}");
    if (json_parse(a, ours, &y, NULL) < 0 || json_parse(a, want, &x, NULL) < 0)
        return str_eq(want, ours) || (snprintf(why, 256, "no JSON: %.*s", STR_ARG(ours)), false);
    if (case_json_same(x, y))
        return true;
    snprintf(why, 256, "body %.*s", STR_ARG(str_slice(ours, 0, 200)));
    return false;
}

// The query protocol's ResponseMetadata is ours alone in the cases.
static void drop_child(struct xml_node *n, struct str name)
{
    for (struct xml_node **at = &n->children; *at; at = &(*at)->next) {
        if (str_eq((*at)->name, name)) {
            *at = (*at)->next;
            return;
        }
    }
}

static bool same_xml_body(struct arena *a, struct str want, struct str ours, char why[static 256])
{
    struct xml_node *x, *y;

    // Cases without a result leave out the envelope of the query protocol.
    if (str_trim(want).len == 0 && xml_parse(a, ours, &y, NULL) == 0)
        return true;
    if (str_trim(want).len == 0)
        return ours.len == 0 || (snprintf(why, 256, "a body: %.*s", STR_ARG(ours)), false);
    if (xml_parse(a, ours, &y, NULL) < 0 || xml_parse(a, want, &x, NULL) < 0)
        return str_eq(want, ours) || (snprintf(why, 256, "no XML: %.*s", STR_ARG(ours)), false);
    drop_child(y, STR("ResponseMetadata"));
    drop_child(x, STR("ResponseMetadata"));
    // Clients do not look at the name of the root element.
    y->name = x->name;
    if (case_xml_same(x, y))
        return true;
    snprintf(why, 256, "body %.*s", STR_ARG(str_slice(ours, 0, 200)));
    return false;
}

// CBOR has many spellings: both bodies are read and compared with the case's structure.
static bool same_cbor_body(struct arena *a, const struct wire_service *s,
                           const struct wire_operation *op, struct str want, struct str ours,
                           const struct json_value *result, char why[static 256])
{
    const struct str both[] = {want, ours};

    for (size_t i = 0; i < 2; i++) {
        struct err err = ERR_INIT;
        struct walk w = {.s = s, .arena = a, .err = &err, .protocol = WIRE_RPC_V2_CBOR};
        void *out = arena_zalloc(a, wire_out_bytes(op));

        if (decode_cbor_body(&w, both[i], &s->shapes[op->out], out) < 0) {
            snprintf(why, 256, "%s: %.200s", i ? "ours" : "theirs", err.message);
            return false;
        }
        if (!case_same(s, op->out, result, out, true, why))
            return false;
    }
    return true;
}

static bool output_case(struct arena *a, const struct json_value *suite, const struct json_value *c,
                        struct wire_http_out *out, char why[static 256])
{
    const struct json_value *response = json_get(c, "response"), *result = json_get(c, "result");
    enum wire_protocol p = protocol_of(suite);
    const struct wire_service *s = case_service(a, suite, json_get(c, "given"));
    const struct wire_operation *op = s->operations;
    struct str want = body_of(a, response, p), ours;
    void *value = arena_zalloc(a, wire_out_bytes(op));
    struct err err = ERR_INIT;

    case_fill(s, op->out, result, a, value);
    if (wire_encode(op, p, value, STR("id"), out, &err) < 0) {
        snprintf(why, 256, "not encoded: %.200s", err.message);
        return false;
    }
    ours = buf_str(&out->body);
    if (out->status != json_get_i64_or(response, "status_code", 200)) {
        snprintf(why, 256, "status %d", out->status);
        return false;
    }
    if (!same_headers(json_get(response, "headers"), out, why))
        return false;
    switch (p) {
    case WIRE_REST_JSON:
    case WIRE_JSON_1_0:
    case WIRE_JSON_1_1:
        return same_json_body(a, want, ours, why);
    case WIRE_REST_XML:
    case WIRE_QUERY:
        return same_xml_body(a, want, ours, why);
    case WIRE_RPC_V2_CBOR:
        return same_cbor_body(a, s, op, want, ours, result, why);
    case WIRE_PROTOCOLS:
        break;
    }
    return false;
}

// Fills err from the case's error: its message, and members that are text.
static void error_of(const struct wire_service *s, struct arena *a, const struct json_value *c,
                     struct err *err)
{
    struct str code = json_get_or(c, "errorCode", STR(""));
    struct str message = json_get_or(c, "errorMessage", STR(""));

    *err = (struct err)ERR_INIT;
    for (unsigned i = 0; i < s->n_errors; i++) {
        if (str_eq(str_from(s->errors[i]->code), code) ||
            str_eq(str_from(s->errors[i]->query_code), code))
            err_aws(err, s->errors[i], "%.*s", STR_ARG(message));
    }
    json_each(child, json_get(c, "error"))
    {
        struct str text;

        if (json_str(child, &text) && !str_eq_nocase(child->key, STR("message")))
            err_field(err, arena_cstr(a, child->key), "%.*s", STR_ARG(text));
    }
}

static bool error_case(struct arena *a, const struct json_value *suite, const struct json_value *c,
                       struct wire_http_out *out, char why[static 256])
{
    const struct json_value *response = json_get(c, "response");
    enum wire_protocol p = protocol_of(suite);
    const struct wire_service *s = case_service(a, suite, json_get(c, "given"));
    struct str code = json_get_or(c, "errorCode", STR(""));
    struct err err;

    error_of(s, a, c, &err);
    if (!err.aws) {
        snprintf(why, 256, "no error shape of that code");
        return false;
    }
    if (wire_encode_error(s, s->operations, p, &err, STR("id"), out) < 0) {
        snprintf(why, 256, "not encoded");
        return false;
    }
    if (out->status != json_get_i64_or(response, "status_code", 200)) {
        snprintf(why, 256, "status %d", out->status);
        return false;
    }
    // The code stands where clients of the protocol look for it.
    if (p == WIRE_REST_JSON)
        return str_eq(header_of(out, STR("x-amzn-errortype")), code);
    if (str_find(buf_str(&out->body), str_from(err.aws->code)) >= 0)
        return !s->query_compatible || str_starts(header_of(out, STR("x-amzn-query-error")), code);
    snprintf(why, 256, "body %.200s", buf_str(&out->body).ptr);
    return false;
}

static void one_case(struct run *run, const char *file, const struct json_value *suite,
                     const struct json_value *c, bool input)
{
    struct str id = json_get_or(c, "id", STR(""));
    const char *reason = reason_for(id);
    char why[256] = "";
    struct wire_http_out out;
    bool good;

    wire_http_out_init(&out, &run->arena, 1 << 20);
    if (input)
        good = input_case(&run->arena, suite, c, why);
    else if (json_get(c, "error") || json_get(c, "errorCode"))
        good = error_case(&run->arena, suite, c, &out, why);
    else
        good = output_case(&run->arena, suite, c, &out, why);
    wire_http_out_finish(&out);
    if (good && reason) {
        print_message("%s %.*s passes, but is listed\n", file, STR_ARG(id));
        run->failed++;
    } else if (good) {
        run->passed++;
    } else if (reason) {
        run->listed++;
    } else {
        print_message("%s %.*s: %s\n", file, STR_ARG(id), why);
        run->failed++;
    }
}

static void cases_of(const char *direction, const char *const *files, size_t n, unsigned at_least)
{
    struct run run = {0};

    for (size_t i = 0; i < n; i++) {
        const struct json_value *suites;
        struct arena text;
        char path[1024];
        struct str json;

        arena_init(&text, (size_t)256 << 20);
        snprintf(path, sizeof(path), CASES "/%s/%s.json", direction, files[i]);
        json = read_file(&text, path);
        if (str_is_null(json)) {
            arena_finish(&text);
            fail_msg("%s is not there", path);
        }
        assert_int_equal(json_parse(&text, json, &suites, NULL), 0);
        json_each(suite, suites)
        {
            json_each(c, json_get(suite, "cases"))
            {
                arena_init(&run.arena, (size_t)64 << 20);
                one_case(&run, files[i], suite, c, strcmp(direction, "input") == 0);
                arena_finish(&run.arena);
            }
        }
        arena_finish(&text);
    }
    print_message("%s: %u pass, %u listed with a reason, %u fail\n", direction, run.passed,
                  run.listed, run.failed);
    assert_int_equal(run.failed, 0);
    assert_true(run.passed >= at_least);
}

static const char *const files[] = {
    "json",
    "json_1_0",
    "json_1_0-query-compatible",
    "query",
    "rest-json",
    "rest-xml",
    "smithy-rpc-v2-cbor",
    "smithy-rpc-v2-cbor-query-compatible",
    "smithy-rpc-v2-cbor-non-query-compatible",
};

static void input_cases(void **state)
{
    (void)state;
    cases_of("input", files, sizeof(files) / sizeof(files[0]), 300);
}

static void output_cases(void **state)
{
    (void)state;
    cases_of("output", files, sizeof(files) / sizeof(files[0]), 250);
}

// Exit status that meson shows as skipped.
#define SKIPPED 77

int main(void)
{
    FILE *there = fopen(CASES "/input/json.json", "rb");

    const struct CMUnitTest tests[] = {
        cmocka_unit_test(input_cases),
        cmocka_unit_test(output_cases),
    };

    if (!there) {
        fprintf(stderr, "skipped: no protocol cases in %s\n", CASES);
        return SKIPPED;
    }
    fclose(there);
    return cmocka_run_group_tests_name("protocols", tests, NULL, NULL);
}
