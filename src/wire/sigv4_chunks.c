// sigv4_chunks.c - the aws-chunked body: framing, chunk signatures, signed or plain trailers.
//
//   HEAD ──size──▶ DATA ──all of it──▶ DATA_END ──CRLF──▶ HEAD
//   HEAD ──size 0──▶ TRAILER ──empty line──▶ DONE
//
// step_line() runs HEAD and TRAILER, sigv4_chunks_feed() the others.
#include "wire/sigv4_impl.h"

#include "base/cleanup.h"
#include "base/hex.h"

#include <stdio.h>
#include <stdlib.h>

enum { HEAD, DATA, DATA_END, TRAILER, DONE };

#define MAX_CHUNK_BYTES ((uint64_t)1 << 34)
#define MAX_TRAILER_BYTES 4096

static bool is_signed(const struct sigv4_chunks *c)
{
    return c->payload != SIGV4_PAYLOAD_PLAIN_TRAILER;
}

int sigv4_chunks_init(struct sigv4_chunks *c, const struct sigv4_claim *claim, struct str secret,
                      struct err *err)
{
    *c = (struct sigv4_chunks){.payload = claim->payload, .state = HEAD};
    buf_init(&c->trailers, MAX_TRAILER_BYTES);
    if (claim->signature.len != 64 || claim->timestamp.len >= sizeof(c->timestamp))
        return err_aws(err, &SIGV4_INCOMPLETE_SIGNATURE, "The seed signature is malformed.");
    memcpy(c->previous, claim->signature.ptr, 64);
    if (claim->timestamp.len)
        memcpy(c->timestamp, claim->timestamp.ptr, claim->timestamp.len);
    if (snprintf(c->scope, sizeof(c->scope), "%.*s/%.*s/%.*s/" SIGV4_TERMINATOR,
                 STR_ARG(claim->date), STR_ARG(claim->region),
                 STR_ARG(claim->service)) >= (int)sizeof(c->scope))
        return err_aws(err, &SIGV4_INCOMPLETE_SIGNATURE, "The credential scope is too long.");
    sigv4_key(secret, claim->date, claim->region, claim->service, c->key);
    c->digest = hash_create(HASH_SHA256);
    return c->digest ? 0 : err_set(err, -ENOMEM, "out of memory for a digest");
}

void sigv4_chunks_finish(struct sigv4_chunks *c)
{
    hash_destroy(c->digest);
    c->digest = NULL;
    buf_finish(&c->trailers);
}

struct str sigv4_chunks_trailers(const struct sigv4_chunks *c)
{
    return buf_str(&c->trailers);
}

static int malformed(struct err *err)
{
    return err_aws(err, &SIGV4_INVALID_CHUNK, "The aws-chunked body is malformed.");
}

static int check_signature(struct sigv4_chunks *c, struct str given, struct str text,
                           struct err *err)
{
    char hex[SHA256_HEX_BYTES];

    sigv4_hex_hmac(c->key, text, hex);
    if (!str_eq_secret(str_from(hex), given))
        return err_aws(err, &SIGV4_INVALID_SIGNATURE,
                       "The request signature we calculated does not match the signature you "
                       "provided. Check your key and signing method.");
    memcpy(c->previous, hex, sizeof(c->previous));
    return 0;
}

static int end_of_chunk(struct sigv4_chunks *c, struct err *err)
{
    uint8_t digest[HASH_MAX_BYTES];
    char hex[SHA256_HEX_BYTES], text[512];

    if (!is_signed(c))
        return 0;
    hash_result(c->digest, digest);
    for (size_t i = 0; i < SHA256_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    snprintf(text, sizeof(text), "AWS4-HMAC-SHA256-PAYLOAD\n%s\n%s\n%s\n" SIGV4_EMPTY_SHA256 "\n%s",
             c->timestamp, c->scope, c->previous, hex);
    return check_signature(c, str_from(c->chunk_signature), str_from(text), err);
}

static int chunk_head(struct sigv4_chunks *c, struct str line, struct err *err)
{
    struct str rest = line, size, extension;
    uint64_t n = 0;

    str_next(&rest, ';', &size);
    if (size.len == 0 || size.len > 16)
        return malformed(err);
    for (size_t i = 0; i < size.len; i++) {
        char ch = size.ptr[i];

        if (ch >= '0' && ch <= '9')
            n = n << 4 | (uint64_t)(ch - '0');
        else if ((ch | 32) >= 'a' && (ch | 32) <= 'f')
            n = n << 4 | (uint64_t)((ch | 32) - 'a' + 10);
        else
            return malformed(err);
    }
    if (n > MAX_CHUNK_BYTES)
        return malformed(err);
    c->chunk_signature[0] = '\0';
    while (!str_is_null(rest) && str_next(&rest, ';', &extension)) {
        if (str_starts(extension, STR("chunk-signature=")) && extension.len == 16 + 64) {
            memcpy(c->chunk_signature, extension.ptr + 16, 64);
            c->chunk_signature[64] = '\0';
        }
    }
    if (is_signed(c) && !c->chunk_signature[0])
        return malformed(err);
    c->left = n;
    c->total += n;
    c->state = DATA;
    if (n == 0) {
        c->state = TRAILER;
        return end_of_chunk(c, err);
    }
    return 0;
}

static int trailer_line(struct sigv4_chunks *c, struct str line, struct err *err)
{
    struct str rest = line, name;
    char hex[SHA256_HEX_BYTES], text[512];

    if (line.len == 0) {
        if (c->payload == SIGV4_PAYLOAD_CHUNKS_TRAILER && !c->trailer_signature_seen)
            return malformed(err);
        c->state = DONE;
        return 0;
    }
    if (c->payload == SIGV4_PAYLOAD_CHUNKS || !str_next(&rest, ':', &name) || str_is_null(rest))
        return malformed(err);
    if (str_eq_nocase(name, STR("x-amz-trailer-signature"))) {
        hash_sha256_hex(buf_str(&c->trailers), hex);
        snprintf(text, sizeof(text), "AWS4-HMAC-SHA256-TRAILER\n%s\n%s\n%s\n%s", c->timestamp,
                 c->scope, c->previous, hex);
        c->trailer_signature_seen = true;
        return check_signature(c, str_trim(rest), str_from(text), err);
    }
    for (size_t i = 0; i < name.len; i++) {
        char ch = name.ptr[i];

        buf_add_char(&c->trailers, (char)(ch >= 'A' && ch <= 'Z' ? ch + 32 : ch));
    }
    buf_add_char(&c->trailers, ':');
    buf_add(&c->trailers, str_trim(rest));
    buf_add_char(&c->trailers, '\n');
    return c->trailers.failed ? malformed(err) : 0;
}

// Collects bytes up to the line's end. 1 a line is complete, 0 more bytes needed, negative bad.
static int take_line(struct sigv4_chunks *c, struct str *in, struct err *err)
{
    ptrdiff_t end = str_find_char(*in, '\n');
    size_t n = end < 0 ? in->len : (size_t)end + 1;

    if (n > sizeof(c->line) - c->line_len)
        return malformed(err);
    if (n)
        memcpy(c->line + c->line_len, in->ptr, n);
    c->line_len += n;
    *in = str_slice(*in, n, in->len);
    if (end < 0)
        return 0;
    c->line_len--;
    if (c->line_len && c->line[c->line_len - 1] == '\r')
        c->line_len--;
    return 1;
}

static int step_line(struct sigv4_chunks *c, struct str *in, struct err *err)
{
    struct str line;
    int r = take_line(c, in, err);

    if (r <= 0)
        return r;
    line = (struct str){c->line, c->line_len};
    c->line_len = 0;
    if (c->state == HEAD)
        return chunk_head(c, line, err);
    if (c->state == TRAILER)
        return trailer_line(c, line, err);
    if (line.len) // DATA_END
        return malformed(err);
    c->state = HEAD;
    return end_of_chunk(c, err);
}

int sigv4_chunks_feed(struct sigv4_chunks *c, struct str *in, struct str *data, struct err *err)
{
    *data = STR("");
    while (c->state != DONE && in->len) {
        int r;

        if (c->state != DATA) {
            r = step_line(c, in, err);
            if (r < 0)
                return r;
            continue;
        }
        *data = str_slice(*in, 0, c->left < in->len ? (size_t)c->left : in->len);
        *in = str_slice(*in, data->len, in->len);
        c->left -= data->len;
        if (is_signed(c))
            hash_add(c->digest, *data);
        if (c->left == 0)
            c->state = DATA_END;
        return 0;
    }
    return c->state == DONE;
}
