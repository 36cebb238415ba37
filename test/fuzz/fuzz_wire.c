// fuzz_wire.c - requests in every protocol: decoded, validated, and what was decoded comes back
// from its own JSON as it was.
//
// The first byte chooses the protocol, the second the operation; then path, query string, a header
// and body follow, a line each.
#include "fuzz.h"
#include "wire/gen/iam.h"
#include "wire/gen/lambda.h"
#include "wire/gen/logs.h"
#include "wire/gen/sqs.h"

static void again(const struct wire_operation *op, const void *value, struct arena *a)
{
    void *back = arena_zalloc(a, wire_in_bytes(op));
    struct err err = ERR_INIT;
    struct buf one, two;

    buf_init(&one, 64 << 20);
    buf_init(&two, 64 << 20);
    if (wire_shape_to_json(op->service, op->in, value, &one) == 0 && back &&
        wire_shape_from_json(op->service, op->in, buf_str(&one), a, back, &err) == 0 &&
        wire_shape_to_json(op->service, op->in, back, &two) == 0)
        FUZZ_CHECK(str_eq(buf_str(&one), buf_str(&two)));
    buf_finish(&one);
    buf_finish(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct wire_service *const services[] = {&wire_lambda, &wire_sqs, &wire_iam,
                                                          &wire_logs};
    const struct wire_service *s;
    const struct wire_operation *op, *routed;
    struct wire_header header = {STR("x-amz-invocation-type"), STR("")};
    struct wire_http_in in = {.method = STR("POST"), .headers = &header, .n_headers = 1};
    struct err err = ERR_INIT;
    struct str rest;
    struct arena a;
    void *value;
    int r;

    if (size < 2)
        return 0;
    s = services[data[0] / 8 % 4];
    op = &s->operations[data[1] % s->n_operations];
    rest = fuzz_input(data + 2, size - 2);
    if (!str_next(&rest, '\n', &in.path) || !str_next(&rest, '\n', &in.query) ||
        !str_next(&rest, '\n', &header.value))
        return 0;
    in.body = str_is_null(rest) ? STR("") : rest;
    arena_init(&a, 64 << 20);
    (void)!wire_route(s, (enum wire_protocol)(data[0] % WIRE_PROTOCOLS), &in, &a, &routed, &err);
    value = arena_zalloc(&a, wire_in_bytes(op));
    r = wire_decode(op, (enum wire_protocol)(data[0] % WIRE_PROTOCOLS), &in, &a, value, &err);
    if (r == 0) {
        r = wire_validate(op, value, &a, &err);
        FUZZ_CHECK(r == 0 || err.aws);
        again(op, value, &a);
    } else {
        FUZZ_CHECK(err.code < 0);
    }
    arena_finish(&a);
    return 0;
}
