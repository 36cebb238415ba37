// test_host.c - what host names say.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "engine/sites.h"

struct host_case {
    const char *host;
    const char *label, *service, *region; // NULL: absent; service NULL: says nothing
};

static void check(struct str got, const char *want, const char *host)
{
    if (want ? !str_eq(got, str_from(want)) : !str_is_null(got))
        fail_msg("%s: got '%.*s', not '%s'", host, STR_ARG(got), want ? want : "(absent)");
}

static void hosts(void **state)
{
    static const struct host_case cases[] = {
        {"abc.lambda-url.us-east-1.localhost:4566", "abc", "lambda-url", "us-east-1"},
        {"abc.lambda-url.us-east-1.on.aws", "abc", "lambda-url", "us-east-1"},
        {"abc.execute-api.localhost", "abc", "execute-api", NULL},
        {"abc123.execute-api.eu-west-3.localhost:80", "abc123", "execute-api", "eu-west-3"},
        {"sqs.us-east-1.localhost", NULL, "sqs", "us-east-1"},
        {"sqs.us-east-1.localhost.localstack.cloud:4566", NULL, "sqs", "us-east-1"},
        {"us-east-1.queue.localhost", NULL, "queue", "us-east-1"},
        {"lambda.us-gov-west-1.amazonaws.com", NULL, "lambda", "us-gov-west-1"},
        {"my.bucket.s3.us-east-1.amazonaws.com", "my.bucket", "s3", "us-east-1"},
        {"ABC.Lambda-URL.us-east-1.LOCALHOST", "ABC", "Lambda-URL", "us-east-1"},
        {"sqs.us-east-1.localhost.", NULL, "sqs", "us-east-1"},
        {"localhost:4566", NULL, NULL, NULL},
        {"127.0.0.1:4566", NULL, NULL, NULL},
        {"[::1]:4566", NULL, NULL, NULL},
        {"", NULL, NULL, NULL},
        {".", NULL, NULL, NULL},
        {".localhost", NULL, NULL, NULL},
        {"a..lambda-url.us-east-1.localhost", NULL, NULL, NULL},
        {"example.com", NULL, NULL, NULL},
        {"unknown.localhost", NULL, NULL, NULL},
        {"abc.lambda-url.us-east-1.example.com", NULL, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct host_name h = {0};
        bool says = host_name_parse(str_from(cases[i].host), &h);
        if (says != (cases[i].service != NULL))
            fail_msg("%s: says %d", cases[i].host, says);
        check(h.label, cases[i].label, cases[i].host);
        check(h.service, cases[i].service, cases[i].host);
        check(h.region, cases[i].region, cases[i].host);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hosts)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
