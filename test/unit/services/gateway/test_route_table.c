// test_route_table.c - the most specific route wins, and none is slow.
#include "services/gateway/route_table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const char *const keys[] = {
    "GET /pets",
    "ANY /pets",
    "GET /pets/{id}",
    "GET /pets/dog",
    "ANY /pets/{p+}",
    "POST /pets/{id}/x",
    "GET /",
    "PUT /{a}/{b}/{c}",
    "GET /files/{f+}",
    "GET /pets/dog/legs",
    "DELETE /pets/{id}/{part}",
};

struct wanted {
    const char *method, *path, *key, *parameters;
};

static const struct wanted cases[] = {
    {"GET", "/pets", "GET /pets", ""},
    {"POST", "/pets", "ANY /pets", ""},
    {"GET", "/pets/7", "GET /pets/{id}", "id=7;"},
    {"GET", "/pets/dog", "GET /pets/dog", ""},
    {"POST", "/pets/dog", "ANY /pets/{p+}", "p=dog;"},
    {"POST", "/pets/7/x", "POST /pets/{id}/x", "id=7;"},
    {"GET", "/pets/7/x", "ANY /pets/{p+}", "p=7/x;"},
    {"GET", "/pets/dog/legs", "GET /pets/dog/legs", ""},
    {"GET", "/pets/dog/tail/end", "ANY /pets/{p+}", "p=dog/tail/end;"},
    {"DELETE", "/pets/dog/legs", "DELETE /pets/{id}/{part}", "id=dog;part=legs;"},
    {"GET", "/", "GET /", ""},
    {"PUT", "/1/2/3", "PUT /{a}/{b}/{c}", "a=1;b=2;c=3;"},
    {"GET", "/files/a/b%2Fc", "GET /files/{f+}", "f=a/b%2Fc;"},
    {"GET", "/files/", NULL, ""},
    {"GET", "/files", NULL, ""},
    {"GET", "/pets/", "ANY /pets", NULL},
    {"GET", "", NULL, ""},
};

static void specific_wins(void **state)
{
    struct route_table *t;
    struct route_match m;
    struct err err = ERR_INIT;
    struct arena a;

    (void)state;
    arena_init(&a, 1 << 20);
    t = route_table_new(&a);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        assert_int_equal(route_table_add(t, str_from(keys[i]), keys[i], &err), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct wanted *w = &cases[i];
        char seen[200] = "";
        if (!w->parameters)
            continue;
        bool found = route_table_match(t, str_from(w->method), str_from(w->path), &m);
        if (found != (w->key != NULL) || (found && strcmp(m.route, w->key) != 0))
            fail_msg("%s %s took %s", w->method, w->path,
                     found ? (const char *)m.route : "nothing");
        for (unsigned k = 0; k < m.n_parameters; k++)
            snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%.*s=%.*s;",
                     STR_ARG(m.parameters[k].name), STR_ARG(m.parameters[k].value));
        assert_string_equal(seen, w->parameters);
    }
    assert_int_equal(route_table_add(t, STR("$default"), "default", &err), 0);
    assert_true(route_table_match(t, STR("GET"), STR("/files"), &m));
    assert_string_equal(m.route, "default");
    arena_finish(&a);
}

static void malformed_keys(void **state)
{
    static const char *const bad[] = {
        "",        "GET",     "GET ",      "GET pets",    "get /pets", "BREW /pets", "GET /{}",
        "GET /{a", "GET /a}", "GET /a{b}", "GET /{a+}/b", "GET /{+}",  "$connect x"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (route_key_valid(str_from(bad[i])))
            fail_msg("accepted: %s", bad[i]);
}

static void doubles_are_refused(void **state)
{
    struct err err = ERR_INIT;
    struct arena a;

    (void)state;
    arena_init(&a, 1 << 20);
    struct route_table *t = route_table_new(&a);
    assert_int_equal(route_table_add(t, STR("GET /a/{x}"), "1", &err), 0);
    assert_int_equal(route_table_add(t, STR("GET /a/{y}"), "2", &err), -EEXIST);
    assert_int_equal(route_table_add(t, STR("POST /a/{y}"), "3", &err), 0);
    arena_finish(&a);
}

// Each level offers a name and a parameter that lead nowhere: without a bound, two to the power
// of the depth.
static void no_path_is_slow(void **state)
{
    char key[1000] = "GET ", path[1000] = "";
    struct route_match m;
    struct err err = ERR_INIT;
    struct arena a;

    (void)state;
    arena_init(&a, 64 << 20);
    struct route_table *t = route_table_new(&a);
    for (unsigned mask = 0; mask < 1024; mask++) {
        snprintf(key, sizeof(key), "GET ");
        for (unsigned bit = 0; bit < 10; bit++)
            snprintf(key + strlen(key), sizeof(key) - strlen(key), "%s",
                     mask >> bit & 1 ? "/a" : "/{p}");
        assert_int_equal(route_table_add(t, str_from(key), "x", &err), 0);
    }
    for (unsigned i = 0; i < 10; i++)
        snprintf(path + strlen(path), sizeof(path) - strlen(path), "/a");
    snprintf(path + strlen(path), sizeof(path) - strlen(path), "/none");
    assert_false(route_table_match(t, STR("GET"), str_from(path), &m));
    arena_finish(&a);
}

// What was taken away is not found, and nothing else is lost.
static void removed(void **state)
{
    struct route_match m;
    struct err err = ERR_INIT;
    struct arena a;

    (void)state;
    arena_init(&a, 1 << 20);
    struct route_table *t = route_table_new(&a);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        assert_int_equal(route_table_add(t, str_from(keys[i]), keys[i], &err), 0);
    assert_int_equal(route_table_add(t, STR("$default"), "fallback", &err), 0);
    route_table_remove(t, STR("GET /pets/dog"));
    route_table_remove(t, STR("GET /pets/none/at/all"));
    route_table_remove(t, STR("PATCH /pets"));
    route_table_remove(t, STR("no key"));
    assert_true(route_table_match(t, STR("GET"), STR("/pets/dog"), &m));
    assert_string_equal(m.route, "GET /pets/{id}");
    assert_true(route_table_match(t, STR("GET"), STR("/pets/dog/legs"), &m));
    assert_string_equal(m.route, "GET /pets/dog/legs");
    assert_int_equal(route_table_add(t, STR("GET /pets/dog"), "again", &err), 0);
    assert_true(route_table_match(t, STR("GET"), STR("/pets/dog"), &m));
    assert_string_equal(m.route, "again");
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        route_table_remove(t, str_from(keys[i]));
    assert_true(route_table_match(t, STR("GET"), STR("/files/a"), &m));
    assert_string_equal(m.route, "fallback");
    route_table_remove(t, STR("$default"));
    assert_false(route_table_match(t, STR("GET"), STR("/files/a"), &m));
    arena_finish(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(specific_wins),
        cmocka_unit_test(malformed_keys),
        cmocka_unit_test(doubles_are_refused),
        cmocka_unit_test(no_path_is_slow),
        cmocka_unit_test(removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
