// fuzz_jwt.c - a token and, on the next line, the keys it is checked against.
#include "fuzz.h"
#include "services/gateway/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = fuzz_input(data, size), token;
    const struct json_value *keys, *audience;
    struct err err = ERR_INIT;
    struct jwt t = {0};
    struct arena a;

    arena_init(&a, 1 << 20);
    str_next(&rest, '\n', &token);
    if (jwt_parse(&a, token, &t, &err) == 0) {
        FUZZ_CHECK(json_is(t.claims, JSON_OBJECT));
        FUZZ_CHECK(token.len <= JWT_MAX_BYTES);
        if (rest.len > 0 && json_parse(&a, rest, &keys, &err) == 0)
            jwt_verify(&t, keys, &a, &err);
        if (json_parse(&a, STR("[\"me\"]"), &audience, &err) == 0 &&
            jwt_check_claims(&t, STR("https://issuer.example"), audience, 1700000000000, &err) == 0)
            FUZZ_CHECK(jwt_expires_ms(&t) + 1000 * JWT_LEEWAY_S >= 1700000000000 ||
                       jwt_expires_ms(&t) == 0);
        jwt_has_scope(&t, audience);
    }
    arena_finish(&a);
    return 0;
}
