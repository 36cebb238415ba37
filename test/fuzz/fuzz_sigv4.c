// fuzz_sigv4.c - claims in headers and query strings, and aws-chunked bodies, of any kind.
#include "fuzz.h"
#include "wire/sigv4.h"

static void chunks(struct str body, size_t piece, enum sigv4_payload payload)
{
    static const char seed[] = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
    struct sigv4_claim claim = {.payload = payload, .signature = {seed, 64}};
    struct err err = ERR_INIT;
    struct sigv4_chunks c;
    size_t got = 0;
    int r = sigv4_chunks_init(&c, &claim, STR("secret"), &err);

    for (size_t at = 0; at < body.len && r == 0; at += piece) {
        struct str in = str_slice(body, at, at + piece), data;

        while (r == 0 && in.len) {
            size_t before = in.len;

            r = sigv4_chunks_feed(&c, &in, &data, &err);
            got += r >= 0 ? data.len : 0;
            FUZZ_CHECK(r != 0 || in.len < before);
        }
    }
    FUZZ_CHECK(got <= body.len);
    sigv4_chunks_finish(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_header headers[5] = {{STR("host"), STR("localhost")}};
    static const char *const names[] = {"authorization", "x-amz-date", "x-amz-security-token",
                                        "x-amz-content-sha256"};
    struct wire_http_in in = {.method = STR("GET"), .headers = headers, .n_headers = 1};
    const struct sigv4_secret secret = {.secret_key = STR("secret")};
    struct str rest = fuzz_input(data, size), line;
    struct sigv4_claim claim;
    struct err err = ERR_INIT;
    struct arena a;

    if (!str_next(&rest, '\n', &in.path) || !str_next(&rest, '\n', &in.query))
        return 0;
    for (size_t i = 0; i < 4 && str_next(&rest, '\n', &line); i++) {
        if (line.len)
            headers[in.n_headers++] = (struct wire_header){str_from(names[i]), line};
    }
    in.body = str_is_null(rest) ? STR("") : rest;
    arena_init(&a, 16 << 20);
    if (sigv4_parse(&in, &a, &claim, &err) == 0 && claim.kind != SIGV4_NONE) {
        FUZZ_CHECK(claim.access_key.len > 0);
        // Nobody guesses a signature.
        FUZZ_CHECK(sigv4_verify(&claim, &secret, &in, STR_NULL, claim.signed_ms, &a, &err) < 0);
    }
    arena_finish(&a);
    chunks(in.body, 1 + size % 7, SIGV4_PAYLOAD_PLAIN_TRAILER);
    chunks(in.body, 1000, SIGV4_PAYLOAD_CHUNKS);
    return 0;
}
