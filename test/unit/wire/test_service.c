// test_service.c - the generated tables: sound, routable, and right in the answers clients see.
#include "wire/gen/apigatewaymanagementapi.h"
#include "wire/gen/apigatewayv2.h"
#include "wire/gen/iam.h"
#include "wire/gen/lambda.h"
#include "wire/gen/lambda_handlers.h"
#include "wire/gen/logs.h"
#include "wire/gen/sqs.h"
#include "wire/gen/sts.h"
#include "wire/wire_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static const struct wire_service *const services[] = {
    &wire_lambda,
    &wire_logs,
    &wire_sqs,
    &wire_sts,
    &wire_iam,
    &wire_apigatewayv2,
    &wire_apigatewaymanagementapi,
};

static struct arena arena;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)64 << 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_finish(&arena);
    return 0;
}

static void tables_are_sound(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof(services) / sizeof(services[0]); k++) {
        const struct wire_service *s = services[k];

        for (unsigned i = 0; i < s->n_patterns; i++) {
            if (!wire_pattern_compiles(s, i))
                fail_msg("%s: %s", s->name, s->strings + s->patterns[i]);
        }
        for (unsigned i = 0; i < s->n_operations; i++) {
            const struct wire_operation *op = &s->operations[i];

            assert_ptr_equal(op->service, s);
            assert_int_equal(op->index, i);
            assert_ptr_equal(wire_operation_named(s, str_from(op->name)), op);
            assert_int_equal(s->shapes[op->in].type, WIRE_STRUCTURE);
        }
        for (unsigned i = 0; i < s->n_shapes; i++) {
            const struct wire_shape *sh = &s->shapes[i];
            const struct wire_member *m = wire_members_of(s, sh);

            for (unsigned n = 0; n < sh->n_members && sh->type == WIRE_STRUCTURE; n++)
                assert_true(m[n].shape < s->n_shapes && m[n].offset < sh->size &&
                            m[n].has < sh->size);
        }
    }
}

static const struct wire_operation *route(const struct wire_service *s, const char *method,
                                          const char *path, const char *query)
{
    struct wire_http_in in = {
        .method = str_from(method), .path = str_from(path), .query = str_from(query)};
    const struct wire_operation *op = NULL;
    enum wire_protocol p;

    assert_int_equal(wire_protocol_of(s, &in, &p, NULL), 0);
    return wire_route(s, p, &in, &arena, &op, NULL) == 0 ? op : NULL;
}

static void routes_to(const struct wire_service *s, const char *method, const char *path,
                      const char *name)
{
    const struct wire_operation *op = route(s, method, path, NULL);

    if (!op || strcmp(op->name, name) != 0)
        fail_msg("%s %s: %s", method, path, op ? op->name : "nothing");
}

static void routing(void **state)
{
    (void)state;
    routes_to(&wire_lambda, "POST", "/2015-03-31/functions", "CreateFunction");
    routes_to(&wire_lambda, "POST", "/2015-03-31/functions/", "CreateFunction");
    routes_to(&wire_lambda, "GET", "/2015-03-31/functions/", "ListFunctions");
    routes_to(&wire_lambda, "GET", "/2015-03-31/functions/f", "GetFunction");
    routes_to(&wire_lambda, "GET",
              "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A0%3Afunction%3Af",
              "GetFunction");
    routes_to(&wire_lambda, "POST", "/2015-03-31/functions/f/invocations", "Invoke");
    routes_to(&wire_lambda, "POST", "/2021-11-15/functions/f/response-streaming-invocations",
              "InvokeWithResponseStream");
    routes_to(&wire_lambda, "GET", "/2015-03-31/functions/f/aliases/a", "GetAlias");
    routes_to(&wire_lambda, "GET", "/2018-10-31/layers/l/versions/3", "GetLayerVersion");
    routes_to(&wire_lambda, "GET", "/2017-03-31/tags/arn%3Aaws%3Alambda", "ListTags");
    routes_to(&wire_apigatewayv2, "GET", "/v2/apis/x/routes/y", "GetRoute");
    routes_to(&wire_apigatewaymanagementapi, "POST", "/@connections/abc%3D", "PostToConnection");
    assert_null(route(&wire_lambda, "GET", "/nonsense", NULL));
    assert_null(route(&wire_lambda, "PATCH", "/2015-03-31/functions/f", NULL));
}

static void decodes_lambda(void **state)
{
    const struct wire_header headers[] = {{STR("content-type"), STR("application/json")}};
    struct wire_http_in in = {
        .method = STR("POST"),
        .path = STR("/2015-03-31/functions"),
        .headers = headers,
        .n_headers = 1,
        .body =
            STR("{\"FunctionName\":\"f\",\"Runtime\":\"python3.12\",\"Role\":\"r\",\"Timeout\":7,"
                "\"Code\":{\"ZipFile\":\"aGVsbG8=\"},\"Environment\":{\"Variables\":{\"A\":\"1\","
                "\"B\":\"\"}},\"Publish\":true,\"Layers\":[\"x\"],\"Unknown\":[1,{}]}"),
    };
    const struct wire_operation *op = route(&wire_lambda, "POST", "/2015-03-31/functions", NULL);
    struct lambda_create_function_in f = {0};
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(wire_in_bytes(op), sizeof(f));
    assert_int_equal(wire_decode(op, WIRE_REST_JSON, &in, &arena, &f, &err), 0);
    assert_true(str_eq(f.function_name, STR("f")));
    assert_true(f.has_timeout && f.timeout == 7 && f.has_publish && f.publish);
    assert_false(f.has_memory_size);
    assert_int_equal(WIRE_GET(&f, memory_size, 128), 128);
    assert_true(str_eq(f.code->zip_file, STR("hello")));
    assert_int_equal(f.environment->variables.n, 2);
    assert_true(str_eq(f.environment->variables.ptr[1].key, STR("B")));
    assert_non_null(f.environment->variables.ptr[1].value.ptr);
    assert_int_equal(f.layers.n, 1);
    assert_null(f.tags.ptr);
}

static void refuses_wrong_types(void **state)
{
    static const struct {
        const char *body, *message;
    } cases[] = {
        {"{\"FunctionName\":3}", "NUMBER_VALUE can not be converted to a String"},
        {"{\"Timeout\":\"3\"}", "STRING_VALUE can not be converted to an Integer"},
        {"{\"Timeout\":3.5}", "NUMBER_VALUE can not be converted to an Integer"},
        {"{\"Timeout\":3000000000}", "out of range"},
        {"{\"Layers\":{}}", "Start of structure or map found where not expected."},
        {"{\"Code\":[]}", "Start of list found where not expected"},
        {"{\"Code\":{\"ZipFile\":\"a\"}}", "Invalid base64"},
        {"{\"FunctionName\":", "Could not parse request body into json"},
        {"[]", "Start of list found where not expected"},
    };
    const struct wire_operation *op = wire_operation_named(&wire_lambda, STR("CreateFunction"));

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wire_http_in in = {.path = STR("/2015-03-31/functions"),
                                  .body = str_from(cases[i].body)};
        struct lambda_create_function_in f = {0};
        struct err err = ERR_INIT;

        assert_int_equal(wire_decode(op, WIRE_REST_JSON, &in, &arena, &f, &err), -EBADMSG);
        assert_ptr_equal(err.aws, &WIRE_SERIALIZATION_EXCEPTION);
        if (!strstr(err.message, cases[i].message))
            fail_msg("%s: %s", cases[i].body, err.message);
    }
}

static struct str header(const struct wire_http_out *o, const char *name)
{
    for (size_t i = 0; i < o->n_headers; i++) {
        if (str_eq_nocase(o->headers[i].name, str_from(name)))
            return o->headers[i].value;
    }
    return STR_NULL;
}

static void encodes_lambda(void **state)
{
    const struct wire_operation *op = wire_operation_named(&wire_lambda, STR("CreateFunction"));
    struct lambda_create_function_out f = {.function_name = STR("f"), .layers = {WIRE_EMPTY, 0}};
    struct lambda_function_configuration back = {0};
    struct wire_http_out out;

    (void)state;
    WIRE_SET(&f, timeout, 3);
    wire_http_out_init(&out, &arena, 1 << 20);
    assert_int_equal(wire_encode(op, WIRE_REST_JSON, &f, STR("id"), &out, NULL), 0);
    assert_int_equal(out.status, 201);
    assert_true(
        str_eq(buf_str(&out.body), STR("{\"FunctionName\":\"f\",\"Timeout\":3,\"Layers\":[]}")));
    assert_true(str_eq(header(&out, "x-amzn-requestid"), STR("id")));
    wire_http_out_finish(&out);
    // What the store keeps.
    wire_http_out_init(&out, &arena, 1 << 20);
    assert_int_equal(
        wire_shape_to_json(&wire_lambda, LAMBDA_SHAPE_FUNCTION_CONFIGURATION, &f, &out.body), 0);
    assert_int_equal(wire_shape_from_json(&wire_lambda, LAMBDA_SHAPE_FUNCTION_CONFIGURATION,
                                          buf_str(&out.body), &arena, &back, NULL),
                     0);
    assert_int_equal(back.timeout, 3);
    wire_http_out_finish(&out);
}

static void errors(void **state)
{
    const struct wire_operation *op = wire_operation_named(&wire_lambda, STR("Invoke"));
    struct wire_http_out out;
    struct err err = ERR_INIT;

    (void)state;
    err_aws(&err, &LAMBDA_TOO_MANY_REQUESTS_EXCEPTION, "Rate Exceeded.");
    err_field(&err, "Reason", "ReservedFunctionConcurrentInvocationLimitExceeded");
    err_field(&err, "retryAfterSeconds", "1");
    wire_http_out_init(&out, &arena, 1 << 20);
    assert_int_equal(wire_encode_error(&wire_lambda, op, WIRE_REST_JSON, &err, STR("id"), &out), 0);
    assert_int_equal(out.status, 429);
    assert_true(str_eq(header(&out, "x-amzn-errortype"), STR("TooManyRequestsException")));
    assert_true(str_eq(header(&out, "retry-after"), STR("1")));
    assert_true(str_eq(buf_str(&out.body),
                       STR("{\"Reason\":\"ReservedFunctionConcurrentInvocationLimitExceeded\","
                           "\"Type\":\"User\",\"message\":\"Rate Exceeded.\"}")));
    wire_http_out_finish(&out);
    // Our own failure says nothing, under the service's own name.
    err = (struct err)ERR_INIT;
    err_set(&err, -EIO, "open /secret: no such file");
    wire_http_out_init(&out, &arena, 1 << 20);
    assert_int_equal(wire_encode_error(&wire_lambda, op, WIRE_REST_JSON, &err, STR("id"), &out), 0);
    assert_int_equal(out.status, 500);
    assert_true(str_eq(header(&out, "x-amzn-errortype"), STR("ServiceException")));
    assert_true(str_find(buf_str(&out.body), STR("secret")) < 0);
    wire_http_out_finish(&out);
}

static void sqs_in_both_protocols(void **state)
{
    const struct wire_operation *op = wire_operation_named(&wire_sqs, STR("SendMessageBatch"));
    struct wire_http_in in = {
        .method = STR("POST"),
        .path = STR("/"),
        .body = STR(
            "Action=SendMessageBatch&Version=2012-11-05&QueueUrl=q&"
            "SendMessageBatchRequestEntry.1.Id=a&SendMessageBatchRequestEntry.1.MessageBody=x%20y&"
            "SendMessageBatchRequestEntry.1.MessageAttribute.1.Name=n&"
            "SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.DataType=Binary&"
            "SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.BinaryValue=aGk%3D&"
            "SendMessageBatchRequestEntry.10.Id=c&SendMessageBatchRequestEntry.2.Id=b&"
            "SendMessageBatchRequestEntry.2.DelaySeconds=5"),
    };
    struct sqs_send_message_batch_in batch = {0};
    struct sqs_receive_message_out received = {0};
    struct sqs_message_system_attribute_map_entry attribute = {STR("SenderId"), STR("me")};
    struct sqs_message message = {
        .message_id = STR("1"), .body = STR("<&>"), .attributes = {&attribute, 1}};
    struct wire_http_out out;
    struct err err = ERR_INIT;
    enum wire_protocol p;

    (void)state;
    assert_int_equal(wire_protocol_of(&wire_sqs, &in, &p, &err), 0);
    assert_int_equal(p, WIRE_QUERY);
    assert_int_equal(wire_decode(op, p, &in, &arena, &batch, &err), 0);
    assert_int_equal(batch.entries.n, 3);
    assert_true(str_eq(batch.entries.ptr[0].message_body, STR("x y")));
    assert_true(
        str_eq(batch.entries.ptr[0].message_attributes.ptr[0].value.binary_value, STR("hi")));
    assert_true(str_eq(batch.entries.ptr[1].id, STR("b")));
    assert_int_equal(batch.entries.ptr[1].delay_seconds, 5);
    assert_true(str_eq(batch.entries.ptr[2].id, STR("c")));
    received.messages.ptr = &message;
    received.messages.n = 1;
    op = wire_operation_named(&wire_sqs, STR("ReceiveMessage"));
    wire_http_out_init(&out, &arena, 1 << 20);
    assert_int_equal(wire_encode(op, WIRE_QUERY, &received, STR("id"), &out, &err), 0);
    assert_true(
        str_find(
            buf_str(&out.body),
            STR("<ReceiveMessageResult><Message><MessageId>1</MessageId><Body>&lt;&amp;&gt;</Body>"
                "<Attribute><Name>SenderId</Name><Value>me</Value></Attribute></Message>"
                "</ReceiveMessageResult>")) > 0);
    wire_http_out_finish(&out);
    wire_http_out_init(&out, &arena, 1 << 20);
    assert_int_equal(wire_encode(op, WIRE_JSON_1_0, &received, STR("id"), &out, &err), 0);
    assert_true(str_eq(buf_str(&out.body), STR("{\"Messages\":[{\"MessageId\":\"1\",\"Body\":\"<&>"
                                               "\",\"Attributes\":{\"SenderId\":\"me\"}}]}")));
    wire_http_out_finish(&out);
    // Errors are spelled as each protocol wants them.
    err_aws(&err, &SQS_QUEUE_DOES_NOT_EXIST, "The specified queue does not exist.");
    wire_http_out_init(&out, &arena, 1 << 20);
    assert_int_equal(wire_encode_error(&wire_sqs, op, WIRE_JSON_1_0, &err, STR("id"), &out), 0);
    assert_true(str_eq(header(&out, "x-amzn-query-error"),
                       STR("AWS.SimpleQueueService.NonExistentQueue;Sender")));
    assert_true(str_find(buf_str(&out.body), STR("com.amazonaws.sqs#QueueDoesNotExist")) > 0);
    wire_http_out_finish(&out);
    wire_http_out_init(&out, &arena, 1 << 20);
    assert_int_equal(wire_encode_error(&wire_sqs, op, WIRE_QUERY, &err, STR("id"), &out), 0);
    assert_true(str_find(buf_str(&out.body),
                         STR("<Code>AWS.SimpleQueueService.NonExistentQueue</Code>")) > 0);
    wire_http_out_finish(&out);
}

static void unknown_actions(void **state)
{
    struct wire_http_in in = {
        .method = STR("POST"), .path = STR("/"), .body = STR("Action=Nope&Version=2011-06-15")};
    const struct wire_operation *op;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(wire_route(&wire_sts, WIRE_QUERY, &in, &arena, &op, &err), -EBADMSG);
    assert_string_equal(err.message, "Could not find operation Nope for version 2011-06-15");
    in.body = STR("x=y");
    assert_int_equal(wire_route(&wire_sts, WIRE_QUERY, &in, &arena, &op, &err), -EBADMSG);
    assert_ptr_equal(err.aws, &WIRE_MISSING_ACTION);
}

// A request for each protocol, decoded with ever more memory until it is enough.
static void memory_runs_out(void **state)
{
    static const struct {
        enum wire_protocol protocol;
        const char *body;
    } cases[] = {
        {WIRE_REST_JSON, "{\"Code\":{\"ZipFile\":\"aGVsbG8=\"},\"Tags\":{\"a\":\"\\u0041\"},"
                         "\"Layers\":[\"x\",\"y\"]}"},
        {WIRE_QUERY, "Code.ZipFile=aGVsbG8%3D&Tags.entry.1.key=a%20b&Tags.entry.1.value=c&"
                     "Layers.member.1=x"},
        {WIRE_REST_XML, "<a><Code><ZipFile>aGVsbG8=</ZipFile></Code><Tags><entry><key>a&lt;</key>"
                        "<value>b</value></entry></Tags></a>"},
        {WIRE_RPC_V2_CBOR, "\xbf\x64"
                           "Code\xa1\x67"
                           "ZipFile\x5f\x41"
                           "a\xff\x64"
                           "Tags\xa1\x61"
                           "a\x61"
                           "b\xff"},
    };
    const struct wire_operation *op = wire_operation_named(&wire_lambda, STR("CreateFunction"));

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wire_http_in in = {.path = STR("/2015-03-31/functions"),
                                  .body = str_from(cases[i].body)};
        int r = -ENOMEM;

        for (size_t bytes = 0; r != 0; bytes += 16) {
            struct lambda_create_function_in f = {0};
            struct err err = ERR_INIT;
            struct arena small;

            arena_init(&small, bytes);
            r = wire_decode(op, cases[i].protocol, &in, &small, &f, &err);
            if (r != 0 && r != -ENOMEM)
                fail_msg("case %zu with %zu bytes: %s", i, bytes, err.message);
            arena_finish(&small);
            assert_true(bytes < (1 << 20));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(memory_runs_out, begin, end),
        cmocka_unit_test_setup_teardown(tables_are_sound, begin, end),
        cmocka_unit_test_setup_teardown(routing, begin, end),
        cmocka_unit_test_setup_teardown(decodes_lambda, begin, end),
        cmocka_unit_test_setup_teardown(refuses_wrong_types, begin, end),
        cmocka_unit_test_setup_teardown(encodes_lambda, begin, end),
        cmocka_unit_test_setup_teardown(errors, begin, end),
        cmocka_unit_test_setup_teardown(sqs_in_both_protocols, begin, end),
        cmocka_unit_test_setup_teardown(unknown_actions, begin, end),
    };

    return cmocka_run_group_tests_name("service", tests, NULL, NULL);
}
