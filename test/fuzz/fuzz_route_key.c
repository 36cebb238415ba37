// fuzz_route_key.c - keys of routes, a line each; the last line is a request.
#include "fuzz.h"
#include "services/gateway/route_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = fuzz_input(data, size), line, method;
    struct err err = ERR_INIT;
    struct route_match m;
    struct arena a;

    arena_init(&a, 8 << 20);
    struct route_table *t = route_table_new(&a);
    while (t && str_next(&rest, '\n', &line) && rest.ptr) {
        int r = route_table_add(t, line, "route", &err);
        FUZZ_CHECK(route_key_valid(line) == (r == 0 || r == -17 || r == -12));
    }
    if (t && str_next(&line, ' ', &method) && line.ptr && route_table_match(t, method, line, &m)) {
        FUZZ_CHECK(m.route != NULL && m.n_parameters <= ROUTE_MAX_PARAMETERS);
        for (unsigned i = 0; i < m.n_parameters; i++)
            FUZZ_CHECK(m.parameters[i].value.ptr >= line.ptr &&
                       m.parameters[i].value.ptr + m.parameters[i].value.len <=
                           line.ptr + line.len);
    }
    arena_finish(&a);
    return 0;
}
