// test_jwt.c - tokens of each family of algorithms hold; whatever is changed in them does not.
#include "services/gateway/jwt.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

// Made with keys that were thrown away. They end in 2096.
static const char key_set[] =
    "{\"keys\":[{\"kid\":\"r\",\"kty\":\"RSA\",\"use\":\"sig\",\"n\":\"wl0YmkoVNhv_"
    "4R1cYvFESwblNAIsi_tfZMS9_Tk"
    "EQfZU9tgjB7lN7isfnz1soYYcyuu6bAqCe3KAXz5IkFXDFqyZq7WL8G83keMqQPiIa6nTTVbEgTKjSPs6qE43iHC"
    "EuDCE8otbj3laCWDCxIXoxOE83i_0-R1xPbFICbbL-e3C6VI2UJap5Ry0mxacvYPO7-jEq2i6EcHvjQumgosUnKB"
    "_rxNW3vpJ6U4xtXAthERuB1KEN9g-Pwh3CtRrQXfE_ol_RHrIHHRl25Cwxx23-v0EtazTjyd1msvzcKKhlOe5wEj"
    "FBzuMDoNyBkMaUq4OZsF-08t_JASnRzaQrCIZyQ\",\"e\":\"AQAB\"},{\"kid\":\"e\",\"kty\":\"EC\","
    "\"crv\":\"P-256\""
    ",\"x\":\"axKgn8TrMjbrr1FUmkA7Yw2XOOH9WOwVdOgRKcU6ihc\",\"y\":"
    "\"jmSFuZQExWq5XKA7HgdPzAYIgyt2FKCm"
    "r5fDX6erX_Y\"}]}";

static const char *const tokens[] = {
    "eyJhbGciOiAiUlMyNTYiLCAidHlwIjogIkpXVCIsICJraWQiOiAiciJ9.eyJpc3MiOiAiaHR0cHM6Ly9pc3N1ZXI"
    "uZXhhbXBsZSIsICJhdWQiOiAibWUiLCAic3ViIjogInVzZXIiLCAiaWF0IjogMTcwMDAwMDAwMCwgImV4cCI6IDQ"
    "wMDAwMDAwMDAsICJzY29wZSI6ICJyZWFkIHdyaXRlIn0.pPmDRWnikiM4l3i04AQFRhPOB29UPBSAk83GgJUKxV-"
    "5hc31b0LEhDcFp-F9M4Pu1d_Iv7FCMaGa0X7Hjhcuu9AUlEwZfIvcgqgpElwsWh3IpMw5QbCW-mTeICRnRz-X7dD"
    "ai9PAtkPF-9uVcn-NR9hmvOlnGEOjNTm0r5D0SOddZxRleOijH9Yr9LxBIQjPm8W3gnl-EU68xGaoEQ2VzAW5-yJ"
    "Ei6INPmshzI7BC4jBm9K36KmGvE-usZq78ViSea1et6YDb2ohJJQVLEnewM7hrtV6Ogf2vFAXfWgEAZkN0bHeFTQ"
    "P3VUFtng8EpttI_tPuKL6HMeG_cAH6xD-Nw",
    "eyJhbGciOiAiUFMyNTYiLCAidHlwIjogIkpXVCIsICJraWQiOiAiciJ9.eyJpc3MiOiAiaHR0cHM6Ly9pc3N1ZXI"
    "uZXhhbXBsZSIsICJhdWQiOiAibWUiLCAic3ViIjogInVzZXIiLCAiaWF0IjogMTcwMDAwMDAwMCwgImV4cCI6IDQ"
    "wMDAwMDAwMDAsICJzY29wZSI6ICJyZWFkIHdyaXRlIn0.IucVE73cqkTcr5Dci-XAxZk804NIevhYukOOSv63f8r"
    "MJTTLYv3Ne9tc3jtnQH9THEJ8OVHnHX_gI-N5zBKbc6WMr7oHTT5Hny1YRFJxua3TjqDJ9_ZJQabovj3EEuwqFeY"
    "poOC2oLmKwoHz11eYTYir--99hHwQqZq08zczT9X4_JkVNkK9mpsNvkYYKWe8B81AATQ0fKdlyoQ3xg021-fdHQn"
    "RV3yJiVo7M5aAemMeQf3g4pGaia1K_-55CS89jcz6aXG_0BLl7SO8GpgqMUwnKQ611jkRyfnrtnsuoTolilVHB_Y"
    "EyTa5V_AYNotHG97pgUu7wphrjE5DkPeBFg",
    "eyJhbGciOiAiRVMyNTYiLCAidHlwIjogIkpXVCIsICJraWQiOiAiZSJ9.eyJpc3MiOiAiaHR0cHM6Ly9pc3N1ZXI"
    "uZXhhbXBsZSIsICJhdWQiOiAibWUiLCAic3ViIjogInVzZXIiLCAiaWF0IjogMTcwMDAwMDAwMCwgImV4cCI6IDQ"
    "wMDAwMDAwMDAsICJzY29wZSI6ICJyZWFkIHdyaXRlIn0.igE7m6rg9frdc93E0ALtb2IpdbgQ33HMo7hlxaZ3esO"
    "ViJlfOOU3JQ_zJ0SP38a5lgVy8sMSMu4oiAQuWzxUXQ",
};

#define NOW_MS 1800000000000

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 8 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_finish(&arena);
    return 0;
}

static const struct json_value *parsed(const char *text)
{
    const struct json_value *v = NULL;

    assert_int_equal(json_parse(&arena, str_from(text), &v, NULL), 0);
    return v;
}

static void tokens_hold(void **state)
{
    const struct json_value *keys = parsed(key_set), *me = parsed("[\"you\",\"me\"]");
    struct err err = ERR_INIT;
    struct jwt t;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(jwt_parse(&arena, str_from(tokens[i]), &t, &err), 0);
        assert_int_equal(jwt_verify(&t, keys, &arena, &err), 0);
        assert_int_equal(jwt_check_claims(&t, STR("https://issuer.example"), me, NOW_MS, &err), 0);
        assert_int_equal(jwt_expires_ms(&t), 4000000000000);
        assert_true(jwt_has_scope(&t, parsed("[\"x\",\"write\"]")));
        assert_false(jwt_has_scope(&t, parsed("[\"rea\",\"readwrite\"]")));
        assert_int_equal(jwt_verify(&t, parsed("{\"keys\":[]}"), &arena, &err), -ENOENT);
        assert_int_equal(jwt_verify(&t, parsed("7"), &arena, &err), -ENOENT);
    }
}

// Every character of a token counts.
static void changed_tokens_do_not(void **state)
{
    const struct json_value *keys = parsed(key_set);
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        size_t len = strlen(tokens[i]);
        for (size_t at = 0; at < len; at += 3) {
            struct arena a;
            struct jwt t;
            char copy[2048];
            assert_true(len < sizeof(copy));
            memcpy(copy, tokens[i], len);
            copy[at] = copy[at] == 'A' ? 'Q' : 'A';
            arena_init(&a, 1 << 20);
            if (jwt_parse(&a, (struct str){copy, len}, &t, &err) == 0)
                assert_true(jwt_verify(&t, keys, &a, &err) < 0);
            arena_finish(&a);
        }
    }
}

static void claims(void **state)
{
    static const struct {
        const char *claims;
        int result;
    } cases[] = {
        {"{\"iss\":\"i\",\"aud\":\"me\",\"exp\":1800000100}", 0},
        {"{\"iss\":\"i\",\"aud\":[\"x\",\"me\"],\"exp\":1800000100.5}", 0},
        {"{\"iss\":\"i\",\"client_id\":\"me\",\"exp\":1800000100}", 0},
        {"{\"iss\":\"i\",\"aud\":\"x\",\"client_id\":\"me\",\"exp\":1800000100}", -EACCES},
        {"{\"iss\":\"j\",\"aud\":\"me\",\"exp\":1800000100}", -EACCES},
        {"{\"aud\":\"me\",\"exp\":1800000100}", -EACCES},
        {"{\"iss\":\"i\",\"aud\":\"me\"}", -EACCES},
        {"{\"iss\":\"i\",\"aud\":\"me\",\"exp\":\"1800000100\"}", -EACCES},
        {"{\"iss\":\"i\",\"aud\":\"me\",\"exp\":1799999980}", 0}, // clocks differ
        {"{\"iss\":\"i\",\"aud\":\"me\",\"exp\":1799999960}", -EACCES},
        {"{\"iss\":\"i\",\"aud\":\"me\",\"exp\":1800000100,\"nbf\":1800000090}", -EACCES},
        {"{\"iss\":\"i\",\"aud\":\"me\",\"exp\":1800000100,\"nbf\":1800000010}", 0},
        {"{\"iss\":\"i\",\"aud\":\"me\",\"exp\":1800000100,\"iat\":1800000090}", -EACCES},
        {"{\"iss\":\"i\",\"aud\":[[\"me\"]],\"exp\":1800000100}", -EACCES},
    };
    const struct json_value *me = parsed("[\"me\"]");
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct jwt t = {.claims = parsed(cases[i].claims)};
        int r = jwt_check_claims(&t, STR("i"), me, NOW_MS, &err);
        if (r != cases[i].result)
            fail_msg("%s: %d", cases[i].claims, r);
    }
}

static void malformed(void **state)
{
    static const char *const bad[] = {"",
                                      ".",
                                      "..",
                                      "a.b",
                                      "e30.e30.AA.",
                                      "e30.e30.A",
                                      "e30.e30.A=A=",
                                      "W10.e30.AA",
                                      "e30.W10.AA",
                                      "e30.bm8.AA",
                                      "eyJjcml0IjpbXX0.e30.AA"}; // {"crit":[]}
    struct err err = ERR_INIT;
    struct jwt t;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (jwt_parse(&arena, str_from(bad[i]), &t, &err) == 0)
            fail_msg("accepted: %s", bad[i]);
    char *huge = arena_alloc(&arena, JWT_MAX_BYTES + 1);
    memset(huge, 'A', JWT_MAX_BYTES + 1);
    assert_int_equal(jwt_parse(&arena, (struct str){huge, JWT_MAX_BYTES + 1}, &t, &err), -EINVAL);
    // {"alg":"none"} and {"alg":"HS256"}
    assert_int_equal(jwt_parse(&arena, STR("eyJhbGciOiJub25lIn0.e30."), &t, &err), 0);
    assert_int_equal(jwt_verify(&t, parsed(key_set), &arena, &err), -EINVAL);
    assert_int_equal(jwt_parse(&arena, STR("eyJhbGciOiJIUzI1NiJ9.e30.AA"), &t, &err), 0);
    assert_int_equal(jwt_verify(&t, parsed(key_set), &arena, &err), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tokens_hold, setup, teardown),
        cmocka_unit_test_setup_teardown(changed_tokens_do_not, setup, teardown),
        cmocka_unit_test_setup_teardown(claims, setup, teardown),
        cmocka_unit_test_setup_teardown(malformed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
