// test_names.c - names and ARNs of functions and layers, in all forms, right and wrong.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "services/lambda/names.h"

#define LONG64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

struct name_case {
    const char *text;
    const char *name, *qualifier, *account, *region; // name NULL: refused
};

static const struct name_case cases[] = {
    {"hello", "hello", NULL, NULL, NULL},
    {"Hello_2-x", "Hello_2-x", NULL, NULL, NULL},
    {"hello:7", "hello", "7", NULL, NULL},
    {"hello:$LATEST", "hello", "$LATEST", NULL, NULL},
    {"hello:live", "hello", "live", NULL, NULL},
    {"function:hello", "hello", NULL, NULL, NULL},
    {"function:hello:live", "hello", "live", NULL, NULL},
    {"000000000000:function:hello", "hello", NULL, "000000000000", NULL},
    {"000000000000:function:hello:3", "hello", "3", "000000000000", NULL},
    {"us-east-1:000000000000:function:hello", "hello", NULL, "000000000000", "us-east-1"},
    {"arn:aws:lambda:us-east-1:000000000000:function:hello", "hello", NULL, "000000000000",
     "us-east-1"},
    {"arn:aws:lambda:us-gov-west-1:123456789012:function:hello:PROD", "hello", "PROD",
     "123456789012", "us-gov-west-1"},
    {"arn:aws-cn:lambda:cn-north-1:123456789012:function:hello:$LATEST", "hello", "$LATEST",
     "123456789012", "cn-north-1"},
    {"123456789012", "123456789012", NULL, NULL, NULL},
    {"123456789012:live", "123456789012", "live", NULL, NULL},
    {LONG64, LONG64, NULL, NULL, NULL},
    {LONG64 "a", NULL, NULL, NULL, NULL},
    {"", NULL, NULL, NULL, NULL},
    {":", NULL, NULL, NULL, NULL},
    {"hello:", NULL, NULL, NULL, NULL},
    {":hello", NULL, NULL, NULL, NULL},
    {"hel lo", NULL, NULL, NULL, NULL},
    {"hello/..", NULL, NULL, NULL, NULL},
    {"../hello", NULL, NULL, NULL, NULL},
    {"hello.txt", NULL, NULL, NULL, NULL},
    {"hello:a b", NULL, NULL, NULL, NULL},
    {"hello:$latest", NULL, NULL, NULL, NULL},
    {"hello:1:2", NULL, NULL, NULL, NULL},
    {"12345678901:function:hello", NULL, NULL, NULL, NULL},
    {"arn:aws:sqs:us-east-1:000000000000:function:hello", NULL, NULL, NULL, NULL},
    {"arn:aws:lambda:us-east-1:000000000000:layer:hello", NULL, NULL, NULL, NULL},
    {"arn:aws:lambda:us-east-1:000000000000:function", NULL, NULL, NULL, NULL},
    {"arn:aws:lambda:us-east-1:00000000000x:function:hello", NULL, NULL, NULL, NULL},
    {"arn:aws:lambda::000000000000:function:hello", NULL, NULL, NULL, NULL},
    {"arn:aws:lambda:us-east-1:000000000000:function:hello:1:2", NULL, NULL, NULL, NULL},
    {"arn:gcp:lambda:us-east-1:000000000000:function:hello", NULL, NULL, NULL, NULL},
    {"arn:", NULL, NULL, NULL, NULL},
    {"arn:aws:lambda:", NULL, NULL, NULL, NULL},
};

static void check(struct str got, const char *want, const char *text)
{
    if (want ? !str_eq(got, str_from(want)) : !str_is_null(got))
        fail_msg("%s: got '%.*s', not '%s'", text, STR_ARG(got), want ? want : "(absent)");
}

static void functions(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct lambda_name n = {0};
        bool ok = lambda_name_parse(str_from(cases[i].text), &n);
        if (ok != (cases[i].name != NULL))
            fail_msg("%s: %s", cases[i].text, ok ? "taken" : "refused");
        check(n.name, cases[i].name, cases[i].text);
        check(n.qualifier, cases[i].qualifier, cases[i].text);
        check(n.account, cases[i].account, cases[i].text);
        check(n.region, cases[i].region, cases[i].text);
    }
}

static void bytes(void **state)
{
    struct lambda_name n;

    (void)state;
    assert_false(lambda_name_parse((struct str){"a\0b", 3}, &n));
    assert_false(lambda_name_parse((struct str){"a\xc3\xa4", 3}, &n));
}

static void qualifiers(void **state)
{
    (void)state;
    assert_true(lambda_version_number(STR("1")) == 1);
    assert_true(lambda_version_number(STR("4294967296")) == 4294967296U);
    assert_true(lambda_version_number(STR("0")) == 0);
    assert_true(lambda_version_number(STR("01")) == 0);
    assert_true(lambda_version_number(STR("-1")) == 0);
    assert_true(lambda_version_number(STR("1a")) == 0);
    assert_true(lambda_version_number(STR("99999999999999999999999")) == 0);
    assert_true(lambda_version_number(STR_NULL) == 0);
    assert_true(lambda_alias_valid(STR("live")));
    assert_true(lambda_alias_valid(STR("1a")));
    assert_false(lambda_alias_valid(STR("12")));
    assert_false(lambda_alias_valid(STR("")));
    assert_false(lambda_alias_valid(STR("$LATEST")));
    assert_false(lambda_alias_valid(STR("a:b")));
}

static void layers(void **state)
{
    struct layer_name n;

    (void)state;
    assert_true(layer_name_parse(STR("base"), &n));
    assert_true(str_is_null(n.account) && n.version == 0);
    assert_true(layer_name_parse(STR("arn:aws:lambda:us-east-1:000000000000:layer:base:12"), &n));
    assert_true(str_eq(n.name, STR("base")) && n.version == 12);
    assert_true(str_eq(n.account, STR("000000000000")));
    assert_true(layer_name_parse(STR("arn:aws:lambda:us-east-1:000000000000:layer:base"), &n));
    assert_true(n.version == 0);
    static const char *const bad[] = {
        "",
        "base:1",
        "a/b",
        "arn:aws:lambda:us-east-1:000000000000:layer:base:0",
        "arn:aws:lambda:us-east-1:000000000000:layer:base:x",
        "arn:aws:lambda:us-east-1:000000000000:layer:base:1:2",
        "arn:aws:lambda:us-east-1:000000000000:function:base:1",
        "arn:aws:lambda:us-east-1:00:layer:base:1",
        "arn:aws:s3:::bucket",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (layer_name_parse(str_from(bad[i]), &n))
            fail_msg("%s: taken", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions),
        cmocka_unit_test(bytes),
        cmocka_unit_test(qualifiers),
        cmocka_unit_test(layers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
