// test_json_schema.c - which documents fit which schemas, and that none takes long.
#include "services/gateway/json_schema.h"
#include "services/gateway/text_pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct wanted {
    const char *schema, *document;
    bool fits;
};

static const struct wanted cases[] = {
    {"{}", "1", true},
    {"{\"type\": \"string\"}", "\"a\"", true},
    {"{\"type\": \"string\"}", "1", false},
    {"{\"type\": [\"string\", \"null\"]}", "null", true},
    {"{\"type\": \"integer\"}", "3", true},
    {"{\"type\": \"integer\"}", "3.5", false},
    {"{\"type\": \"number\", \"minimum\": 2, \"exclusiveMinimum\": true}", "2", false},
    {"{\"minimum\": 2}", "2", true},
    {"{\"maximum\": 2, \"exclusiveMaximum\": true}", "2", false},
    {"{\"multipleOf\": 0.5}", "1.5", true},
    {"{\"multipleOf\": 0.5}", "1.2", false},
    {"{\"enum\": [1, \"a\", {\"b\": [2]}]}", "{\"b\": [2]}", true},
    {"{\"enum\": [1, \"a\", {\"b\": [2]}]}", "{\"b\": [3]}", false},
    {"{\"minLength\": 2, \"maxLength\": 3}", "\"\xc3\xa4\xc3\xb6\"", true},
    {"{\"minLength\": 2}", "\"\xc3\xa4\"", false},
    {"{\"pattern\": \"b+\"}", "\"abc\"", true},
    {"{\"pattern\": \"^b+$\"}", "\"abc\"", false},
    {"{\"required\": [\"a\"]}", "{\"a\": null}", true},
    {"{\"required\": [\"a\"]}", "{}", false},
    {"{\"required\": [\"a\"]}", "[]", true},
    {"{\"properties\": {\"a\": {\"type\": \"string\"}}}", "{\"a\": 1}", false},
    {"{\"properties\": {\"a\": {}}, \"additionalProperties\": false}", "{\"b\": 1}", false},
    {"{\"additionalProperties\": {\"type\": \"number\"}}", "{\"b\": 1}", true},
    {"{\"additionalProperties\": {\"type\": \"number\"}}", "{\"b\": \"1\"}", false},
    {"{\"patternProperties\": {\"^x\": {\"type\": \"number\"}}, \"additionalProperties\": false}",
     "{\"x1\": 1}", true},
    {"{\"patternProperties\": {\"^x\": {\"type\": \"number\"}}}", "{\"x1\": \"a\"}", false},
    {"{\"minProperties\": 1, \"maxProperties\": 1}", "{\"a\": 1, \"b\": 2}", false},
    {"{\"items\": {\"type\": \"number\"}}", "[1, 2]", true},
    {"{\"items\": {\"type\": \"number\"}}", "[1, \"2\"]", false},
    {"{\"items\": [{\"type\": \"number\"}], \"additionalItems\": false}", "[1, 2]", false},
    {"{\"items\": [{\"type\": \"number\"}], \"additionalItems\": false}", "[1]", true},
    {"{\"items\": [{\"type\": \"number\"}]}", "[1, \"x\"]", true},
    {"{\"minItems\": 1, \"maxItems\": 2}", "[]", false},
    {"{\"uniqueItems\": true}", "[1, 2, 1]", false},
    {"{\"uniqueItems\": true}", "[1, 2, 3]", true},
    {"{\"allOf\": [{\"minimum\": 1}, {\"maximum\": 3}]}", "4", false},
    {"{\"anyOf\": [{\"type\": \"string\"}, {\"maximum\": 3}]}", "2", true},
    {"{\"anyOf\": [{\"type\": \"string\"}, {\"maximum\": 3}]}", "4", false},
    {"{\"oneOf\": [{\"minimum\": 1}, {\"maximum\": 3}]}", "2", false},
    {"{\"oneOf\": [{\"minimum\": 1}, {\"maximum\": 3}]}", "4", true},
    {"{\"not\": {\"type\": \"string\"}}", "\"a\"", false},
    {"{\"$ref\": \"#/definitions/a\", \"definitions\": {\"a\": {\"type\": \"null\"}}}", "null",
     true},
    {"{\"$ref\": \"#/definitions/b\", \"definitions\": {\"a\": {}}}", "null", false},
    {"{\"$ref\": \"http://elsewhere\"}", "null", false},
    {"{\"$ref\": \"#\"}", "1", false},
    {"{\"properties\": {\"next\": {\"$ref\": \"#\"}}, \"additionalProperties\": false}",
     "{\"next\": {\"next\": {}}}", true},
    {"{\"properties\": {\"next\": {\"$ref\": \"#\"}}, \"additionalProperties\": false}",
     "{\"next\": {\"other\": {}}}", false},
    // The same question twice at each level: without a bound, two to the power of the depth.
    {"{\"anyOf\": [{\"allOf\": [{\"$ref\": \"#\"}]}, {\"allOf\": [{\"$ref\": \"#\"}]}]}", "1",
     false},
};

static void fitting(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct json_value *schema, *document;
        struct arena a;
        arena_init(&a, 1 << 20);
        assert_int_equal(json_parse(&a, str_from(cases[i].schema), &schema, NULL), 0);
        assert_int_equal(json_parse(&a, str_from(cases[i].document), &document, NULL), 0);
        if (json_schema_fits(schema, document) != cases[i].fits)
            fail_msg("%s and %s", cases[i].schema, cases[i].document);
        arena_finish(&a);
    }
}

static void patterns(void **state)
{
    (void)state;
    assert_true(text_pattern_matches(STR("2\\d\\d"), STR("204"), false));
    assert_false(text_pattern_matches(STR("2\\d\\d"), STR("2040"), false));
    assert_true(text_pattern_matches(STR("d"), STR("order"), true));
    assert_false(text_pattern_matches(STR("("), STR("("), true));
    assert_false(
        text_pattern_matches(STR("(a+)+$"), STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"), true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fitting),
        cmocka_unit_test(patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
