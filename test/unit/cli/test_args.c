// test_args.c - flags and words of the client verbs.
#include "base/cleanup.h"
#include "cli/args.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct parsed {
    bool follow, debug;
    const char *port;
    const char *since;
    struct arg_values env;
    struct arg_words words;
    struct err err;
};

static int parse(struct parsed *p, const char *const *argv)
{
    const struct arg table[] = {
        {.name = "--follow", .brief = "-f", .flag = &p->follow},
        {.name = "--since", .value = &p->since},
        {.name = "--env", .values = &p->env},
        {.name = "--debug", .flag = &p->debug, .value = &p->port},
    };
    int argc = 0;

    *p = (struct parsed){0};
    while (argv[argc])
        argc++;
    return args_parse(argc, (char **)argv, table, ARRAY_LEN(table), &p->words, &p->err);
}

#define PARSE(p, ...) parse(p, (const char *const[]){"verb", __VA_ARGS__, NULL})

static void test_flags_and_words_in_any_order(void **state)
{
    struct parsed p;

    (void)state;
    assert_int_equal(PARSE(&p, "a", "-f", "b", "--since=1h", "--env", "X=1", "--env=Y=2"), 0);
    assert_true(p.follow);
    assert_string_equal(p.since, "1h");
    assert_int_equal(p.env.n, 2);
    assert_string_equal(p.env.values[0], "X=1");
    assert_string_equal(p.env.values[1], "Y=2");
    assert_int_equal(p.words.n, 2);
    assert_string_equal(p.words.words[1], "b");
}

static void test_a_number_may_follow(void **state)
{
    struct parsed p;

    (void)state;
    assert_int_equal(PARSE(&p, "--debug", "5678", "hello"), 0);
    assert_true(p.debug);
    assert_string_equal(p.port, "5678");
    assert_int_equal(p.words.n, 1);
    assert_int_equal(PARSE(&p, "hello", "--debug", "{}"), 0);
    assert_true(p.debug);
    assert_null(p.port);
    assert_int_equal(p.words.n, 2);
    assert_int_equal(PARSE(&p, "hello", "--debug"), 0);
    assert_true(p.debug && !p.port);
    assert_int_equal(PARSE(&p, "--debug=99", "1"), 0);
    assert_string_equal(p.port, "99");
    assert_int_equal(p.words.n, 1);
}

static void test_two_dashes_end_the_flags(void **state)
{
    struct parsed p;

    (void)state;
    assert_int_equal(PARSE(&p, "-", "--", "--follow"), 0);
    assert_false(p.follow);
    assert_int_equal(p.words.n, 2);
    assert_string_equal(p.words.words[0], "-");
    assert_string_equal(p.words.words[1], "--follow");
}

static void test_mistakes_are_named(void **state)
{
    struct parsed p;

    (void)state;
    assert_true(PARSE(&p, "--nonsense") < 0);
    assert_non_null(strstr(p.err.message, "--nonsense"));
    assert_true(PARSE(&p, "--since") < 0);
    assert_non_null(strstr(p.err.message, "needs a value"));
    assert_true(PARSE(&p, "--follow=yes") < 0);
    assert_non_null(strstr(p.err.message, "takes no value"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flags_and_words_in_any_order),
        cmocka_unit_test(test_a_number_may_follow),
        cmocka_unit_test(test_two_dashes_end_the_flags),
        cmocka_unit_test(test_mistakes_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
