// test_route.c - which service a request is for, in every way that clients say it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "engine/engine_impl.h"
#include "wire/gen/iam.h"
#include "wire/gen/lambda.h"
#include "wire/gen/logs.h"
#include "wire/gen/sqs.h"
#include "wire/gen/sts.h"

static const struct engine_service services[] = {
    {.wire = &wire_lambda}, {.wire = &wire_logs}, {.wire = &wire_sqs},
    {.wire = &wire_sts},    {.wire = &wire_iam},
};
static struct engine engine;

struct route_case {
    const char *what;
    const char *method, *path, *query;
    const char *header, *value; // one more header
    const char *host;
    const char *body;
    const char *service; // NULL: none
};

#define SCOPE(service)                                                                             \
    "AWS4-HMAC-SHA256 Credential=AKID/20261121/us-east-1/" service                                 \
    "/aws4_request, SignedHeaders=host, Signature=00"

static const struct route_case cases[] = {
    {"scope", "POST", "/", NULL, "authorization", SCOPE("sqs"), NULL, NULL, "sqs"},
    {"scope before path", "GET", "/2015-03-31/functions/", NULL, "authorization", SCOPE("logs"),
     NULL, NULL, "logs"},
    {"unknown scope", "GET", "/2015-03-31/functions/", NULL, "authorization", SCOPE("s9"), NULL,
     NULL, NULL},
    {"presigned", "GET", "/",
     "Action=GetCallerIdentity&X-Amz-Credential=AKID%2F20261121%2Fus-east-1%2Fsts%2Faws4_request",
     NULL, NULL, NULL, NULL, "sts"},
    {"target", "POST", "/", NULL, "x-amz-target", "Logs_20140328.DescribeLogGroups", NULL, NULL,
     "logs"},
    {"target sqs", "POST", "/", NULL, "x-amz-target", "AmazonSQS.SendMessage", NULL, NULL, "sqs"},
    {"unknown target", "POST", "/", NULL, "x-amz-target", "Nothing.At", NULL, NULL, NULL},
    {"target without a dot", "POST", "/", NULL, "x-amz-target", "AmazonSQS", NULL, NULL, NULL},
    {"host", "POST", "/", NULL, NULL, NULL, "sqs.us-east-1.localhost:4566", NULL, "sqs"},
    {"old queue host", "GET", "/000000000000/q", NULL, NULL, NULL, "us-east-1.queue.amazonaws.com",
     NULL, "sqs"},
    {"path", "GET", "/2015-03-31/functions/x", NULL, NULL, NULL, NULL, NULL, "lambda"},
    {"layers path", "GET", "/2018-10-31/layers", NULL, NULL, NULL, NULL, NULL, "lambda"},
    {"no lambda path", "GET", "/2018-10-31/other", NULL, NULL, NULL, NULL, NULL, NULL},
    {"action in the query", "GET", "/", "Action=ListQueues&Version=2012-11-05", NULL, NULL, NULL,
     NULL, "sqs"},
    {"action in the form", "POST", "/", NULL, NULL, NULL, NULL,
     "Action=GetCallerIdentity&Version=2011-06-15", "sts"},
    {"iam by its version", "POST", "/", NULL, NULL, NULL, NULL,
     "Action=ListRoles&Version=2010-05-08", "iam"},
    {"queue url", "POST", "/000000000000/q", NULL, NULL, NULL, NULL, "Foo=bar", "sqs"},
    {"nothing", "GET", "/", NULL, NULL, NULL, NULL, NULL, NULL},
    {"broken scope", "GET", "/", NULL, "authorization", "AWS4-HMAC-SHA256 Credential=a/b", NULL,
     NULL, NULL},
};

static void routes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct route_case *c = &cases[i];
        const struct wire_header headers[] = {
            {str_from(c->header ? c->header : "accept"), str_from(c->value ? c->value : "*/*")}};
        const struct wire_http_in in = {
            .method = str_from(c->method),
            .path = str_from(c->path),
            .query = str_from(c->query),
            .headers = headers,
            .n_headers = 1,
            .body = str_from(c->body),
        };
        struct host_name host = {0};
        struct arena a;
        arena_init(&a, 1 << 20);
        host_name_parse(str_from(c->host ? c->host : "127.0.0.1:4566"), &host);
        const struct engine_slot *slot = route_service(&engine, &in, &host, &a);
        const char *got = slot ? slot->service->wire->name : NULL;
        if ((got == NULL) != (c->service == NULL) || (got && strcmp(got, c->service) != 0))
            fail_msg("%s: %s, not %s", c->what, got ? got : "none",
                     c->service ? c->service : "none");
        arena_finish(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(routes)};

    for (size_t i = 0; i < ARRAY_LEN(services); i++)
        engine.slots[engine.n_slots++].service = &services[i];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
