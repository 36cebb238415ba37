// test_mapping_template.c - what templates make, and which are refused; paths into JSON.
#include "base/json_select.h"
#include "services/gateway/mapping_template.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define BODY "{\"a\": {\"b\": [1, {\"c d\": \"x\"}]}, \"t\": \"q\\\"\\n\", \"n\": null}"

static struct str lookup(void *ctx, struct str name)
{
    (void)ctx;
    if (str_eq(name, STR("context.id")))
        return STR("ID");
    if (str_eq(name, STR("stageVariables.v-1")))
        return STR("V");
    return str_eq(name, STR("params.p")) ? STR("P") : STR_NULL;
}

static void made(void **state)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"plain # $ text$", "plain # $ text$"},
        {"$context.id.", "ID."},
        {"${context.id}x $!context.none|", "IDx |"},
        {"$stageVariables.v-1 ${stageVariables['v-1']}", "V V"},
        {"$input.params('p')$input.params(\"none\")", "P"},
        {"$input.json('$.a.b')", "[1, {\"c d\": \"x\"}]"},
        {"$input.json('$.none')", "\"\""},
        {"$input.path('$.a.b[1]')", "{\"c d\": \"x\"}"},
        {"$input.path('$.a').b[0]!", "1!"},
        {"$input.path('$.t')", "q\"\n"},
        {"$util.escapeJavaScript($input.path('$.t'))", "q\\\"\\n"},
        {"$util.base64Encode('hi')$util.base64Decode('aGk=')", "aGk=hi"},
        {"$util.urlEncode('a&b')$util.urlDecode('a%26b+c')", "a%26ba&b c"},
        {"\\$context.id \\#set", "$context.id #set"},
        {"$foo.bar ${foo}", "$foo.bar ${foo}"},
        {"a## comment\nb#* more\n *#c", "abc"},
        {"$util.urlEncode($util.base64Encode($context.id))", "SUQ%3D"},
        {"$input.body", BODY},
    };
    const struct template_source from = {STR(BODY), lookup, NULL};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = ERR_INIT;
        struct arena a;
        struct str out;
        arena_init(&a, 1 << 20);
        assert_int_equal(mapping_template_check(str_from(cases[i][0]), &err), 0);
        assert_int_equal(mapping_template_render(&a, str_from(cases[i][0]), &from, &out, &err), 0);
        if (!str_eq(out, str_from(cases[i][1])))
            fail_msg("%s made %.*s", cases[i][0], STR_ARG(out));
        arena_finish(&a);
    }
}

static void refused(void **state)
{
    static const char *const cases[] = {
        "#set($a = 1)",
        "x #if(true)y#end",
        "#foreach($e in $input.path('$'))#end",
        "#{else}",
        "$util.parseJson('{}')",
        "$input",
        "$input.foo",
        "$input.json",
        "$input.json('$.a'",
        "$input.params()",
        "$util",
        "$util.urlEncode($x)",
        "${input.body",
        "$util.urlEncode('a','b')",
        "$input.path('$').size()",
        "$util.urlEncode($util.urlEncode($util.urlEncode($util.urlEncode($util.urlEncode("
        "$util.urlEncode($util.urlEncode($util.urlEncode($util.urlEncode($util.urlEncode("
        "$util.urlEncode($util.urlEncode($util.urlEncode($util.urlEncode($util.urlEncode("
        "$util.urlEncode($util.urlEncode('x')))))))))))))))))",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = ERR_INIT;
        if (mapping_template_check(str_from(cases[i]), &err) != -EINVAL)
            fail_msg("%s was taken", cases[i]);
        assert_true(err.message[0] != 0);
    }
}

static void paths(void **state)
{
    static const char *const cases[][2] = {
        {"$", BODY},
        {"", BODY},
        {"$.a.b[0]", "1"},
        {"a.b[1]['c d']", "x"},
        {"$['a']['b'][0]", "1"},
        {"[\"a\"].b[0]", "1"},
        {".a.b[0]", "1"},
        {"$.n", "null"},
        {"$.none", NULL},
        {"$.a.b[2]", NULL},
        {"$.a.b[-1]", NULL},
        {"$.a[0]", NULL},
        {"$..a", NULL},
        {"$.a.", NULL},
        {"$a", NULL},
        {"$['a'", NULL},
        {"$[", NULL},
        {"$.a.b[x]", NULL},
    };
    const struct json_value *v;
    struct arena a;

    (void)state;
    arena_init(&a, 1 << 20);
    assert_int_equal(json_parse(&a, STR(BODY), &v, NULL), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct str found = json_text(json_select(v, str_from(cases[i][0])));
        if (cases[i][1] ? !str_eq(found, str_from(cases[i][1])) : found.ptr != NULL)
            fail_msg("%s led to %.*s", cases[i][0], STR_ARG(found));
    }
    arena_finish(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made),
        cmocka_unit_test(refused),
        cmocka_unit_test(paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
