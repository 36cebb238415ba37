// sigv4_sign.c - signing our own requests and URLs.
#include "wire/sigv4_impl.h"

#include "base/cleanup.h"
#include "base/percent.h"
#include "base/timefmt.h"

#include <stdlib.h>

#define MAX_CANONICAL_BYTES ((size_t)1 << 20)
#define MAX_SIGNED 64

// Headers that proxies and clients change on the way.
static bool is_left_out(struct str name)
{
    static const struct str names[] = {
        STR_INIT("authorization"), STR_INIT("user-agent"),        STR_INIT("connection"),
        STR_INIT("expect"),        STR_INIT("transfer-encoding"), STR_INIT("x-amzn-trace-id"),
        STR_INIT("accept"),        STR_INIT("accept-encoding"),
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_eq_nocase(name, names[i]))
            return true;
    }
    return false;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct wire_header *)a)->name, ((const struct wire_header *)b)->name);
}

static struct str lower(struct arena *a, struct str s)
{
    char *out = arena_cstr(a, s);

    for (size_t i = 0; out && i < s.len; i++)
        out[i] = (char)(out[i] >= 'A' && out[i] <= 'Z' ? out[i] + 32 : out[i]);
    return (struct str){out, s.len};
}

struct signing {
    const struct sigv4_signer *s;
    struct arena *arena;
    struct wire_header headers[MAX_SIGNED]; // what is signed, sorted, names in lower case
    size_t n;
    struct str timestamp, date, signed_headers;
};

static int collect(struct signing *g, const struct wire_http_in *in)
{
    for (size_t i = 0; i < in->n_headers; i++) {
        if (is_left_out(in->headers[i].name))
            continue;
        if (g->n == MAX_SIGNED)
            return -E2BIG;
        g->headers[g->n].name = lower(g->arena, in->headers[i].name);
        g->headers[g->n].value = in->headers[i].value;
        if (!g->headers[g->n++].name.ptr)
            return -ENOMEM;
    }
    return 0;
}

static int set_times(struct signing *g)
{
    char *text = arena_alloc(g->arena, TIMEFMT_BYTES);

    if (!text)
        return -ENOMEM;
    g->timestamp = timefmt_basic(g->s->now_ms, text);
    g->date = str_slice(g->timestamp, 0, 8);
    return 0;
}

static int name_headers(struct signing *g)
{
    _cleanup_(buf_finishp) struct buf names = {0};

    // Stable for equal names: their values are joined in the order they were given.
    for (size_t i = 1; i < g->n; i++) {
        for (size_t k = i; k > 0 && by_name(&g->headers[k - 1], &g->headers[k]) > 0; k--) {
            struct wire_header swap = g->headers[k];

            g->headers[k] = g->headers[k - 1];
            g->headers[k - 1] = swap;
        }
    }
    buf_init(&names, 16384);
    for (size_t i = 0; i < g->n; i++) {
        if (i && str_eq(g->headers[i].name, g->headers[i - 1].name))
            continue;
        if (i)
            buf_add_char(&names, ';');
        buf_add(&names, g->headers[i].name);
    }
    g->signed_headers = arena_str(g->arena, buf_str(&names));
    return names.failed || !g->signed_headers.ptr ? -ENOMEM : 0;
}

static int signature(struct signing *g, const struct wire_http_in *in, struct str query,
                     struct str payload, char hex[static SHA256_HEX_BYTES])
{
    _cleanup_(buf_finishp) struct buf b = {0}, scope = {0};
    struct wire_http_in signed_in = {.headers = g->headers, .n_headers = g->n};
    uint8_t key[SHA256_BYTES];

    buf_init(&b, MAX_CANONICAL_BYTES);
    buf_init(&scope, 1024);
    buf_add(&b, in->method);
    buf_add_char(&b, '\n');
    sigv4_canonical_path(in->path, g->s->plain_path ? SIGV4_PATH_AS_SENT : SIGV4_PATH_NORMALISED,
                         g->arena, &b);
    buf_add_char(&b, '\n');
    if (sigv4_canonical_query(query, STR_NULL, g->arena, &b) < 0)
        return -ENOMEM;
    buf_add_char(&b, '\n');
    sigv4_canonical_headers(&signed_in, g->signed_headers, &b);
    buf_add_char(&b, '\n');
    buf_add(&b, g->signed_headers);
    buf_add_char(&b, '\n');
    buf_add(&b, payload);
    sigv4_scope(&scope, g->date, g->s->region, g->s->service);
    if (b.failed || scope.failed)
        return -ENOMEM;
    sigv4_key(g->s->secret_key, g->date, g->s->region, g->s->service, key);
    sigv4_signature(buf_str(&b), g->timestamp, buf_str(&scope), key, hex);
    return 0;
}

static bool add(struct signing *g, struct wire_header *out, int *n, struct str name,
                struct str value)
{
    if (g->n == MAX_SIGNED)
        return false;
    out[(*n)++] = (struct wire_header){name, value};
    g->headers[g->n].name = lower(g->arena, name);
    g->headers[g->n].value = value;
    return g->headers[g->n++].name.ptr != NULL;
}

int sigv4_sign(const struct sigv4_signer *s, const struct wire_http_in *in, struct arena *a,
               struct wire_header out[4], struct err *err)
{
    struct signing g = {.s = s, .arena = a};
    struct str given = wire_header_get(in, STR("x-amz-content-sha256")), payload;
    char body[SHA256_HEX_BYTES], hex[SHA256_HEX_BYTES];
    struct str authorization;
    bool good;
    int n = 0;

    if (str_is_null(given))
        hash_sha256_hex(in->body, body);
    payload = str_is_null(given) ? arena_str(a, str_from(body)) : given;
    if (collect(&g, in) < 0 || set_times(&g) < 0 || !payload.ptr)
        return err_set(err, -ENOMEM, "too many headers to sign, or out of memory");
    good = true;
    if (str_is_null(wire_header_get(in, STR("x-amz-date"))))
        good = add(&g, out, &n, STR("X-Amz-Date"), g.timestamp);
    if (good && !str_is_null(s->session_token))
        good = add(&g, out, &n, STR("X-Amz-Security-Token"), s->session_token);
    if (good && s->plain_path && str_is_null(given))
        good = add(&g, out, &n, STR("X-Amz-Content-Sha256"), payload);
    if (!good || name_headers(&g) < 0 || signature(&g, in, in->query, payload, hex) < 0)
        return err_set(err, -ENOMEM, "out of memory while signing");
    authorization = arena_printf(a,
                                 SIGV4_ALGORITHM " Credential=%.*s/%.*s/%.*s/%.*s/" SIGV4_TERMINATOR
                                                 ", SignedHeaders=%.*s, Signature=%s",
                                 STR_ARG(s->access_key), STR_ARG(g.date), STR_ARG(s->region),
                                 STR_ARG(s->service), STR_ARG(g.signed_headers), hex);
    if (!authorization.ptr)
        return err_set(err, -ENOMEM, "out of memory while signing");
    out[n++] = (struct wire_header){STR("Authorization"), authorization};
    return n;
}

static void parameter(struct buf *b, const char *name, struct str value)
{
    if (b->len)
        buf_add_char(b, '&');
    buf_addf(b, "%s=", name);
    percent_encode(b, value);
}

int sigv4_presign(const struct sigv4_signer *s, const struct wire_http_in *in, int64_t expires_s,
                  bool unsigned_payload, struct arena *a, struct str *query, struct err *err)
{
    _cleanup_(buf_finishp) struct buf b = {0}, scope = {0};
    struct signing g = {.s = s, .arena = a};
    char body[SHA256_HEX_BYTES], hex[SHA256_HEX_BYTES];
    struct str expires, payload = STR(SIGV4_UNSIGNED);

    if (collect(&g, in) < 0 || set_times(&g) < 0 || name_headers(&g) < 0)
        return err_set(err, -ENOMEM, "too many headers to sign, or out of memory");
    expires = arena_printf(a, "%lld", (long long)expires_s);
    if (!unsigned_payload) {
        hash_sha256_hex(in->body, body);
        payload = str_from(body);
    }
    buf_init(&b, MAX_CANONICAL_BYTES);
    buf_init(&scope, 1024);
    buf_add(&scope, s->access_key);
    buf_add_char(&scope, '/');
    sigv4_scope(&scope, g.date, s->region, s->service);
    buf_add(&b, in->query);
    parameter(&b, "X-Amz-Algorithm", STR(SIGV4_ALGORITHM));
    // S3 takes it for granted; other services hash the body unless told.
    if (unsigned_payload && !str_eq(s->service, STR("s3")))
        parameter(&b, "X-Amz-Content-Sha256", payload);
    parameter(&b, "X-Amz-Credential", buf_str(&scope));
    parameter(&b, "X-Amz-Date", g.timestamp);
    parameter(&b, "X-Amz-Expires", expires);
    if (!str_is_null(s->session_token))
        parameter(&b, "X-Amz-Security-Token", s->session_token);
    parameter(&b, "X-Amz-SignedHeaders", g.signed_headers);
    if (b.failed || scope.failed || !expires.ptr ||
        signature(&g, in, buf_str(&b), payload, hex) < 0)
        return err_set(err, -ENOMEM, "out of memory while signing");
    *query = arena_printf(a, "%.*s&X-Amz-Signature=%s", STR_ARG(buf_str(&b)), hex);
    return query->ptr ? 0 : err_set(err, -ENOMEM, "out of memory while signing");
}
