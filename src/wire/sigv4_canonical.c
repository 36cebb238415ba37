// sigv4_canonical.c - canonical requests, string to sign and keys of Signature Version 4.
//
// Derived keys are kept per thread in a small direct-mapped table: a client signs thousands of
// requests with one scope, and deriving takes four HMACs.
#include "wire/sigv4_impl.h"

#include "base/cleanup.h"
#include "base/hex.h"
#include "base/percent.h"

#include <stdlib.h>

#define KEY_SLOTS 16
#define KEY_NAME_BYTES 320

struct key_slot {
    size_t len;
    char name[KEY_NAME_BYTES]; // secret, date, region and service, each followed by NUL
    uint8_t key[SHA256_BYTES];
};

static _Thread_local struct key_slot key_slots[KEY_SLOTS];

// RFC 3986 section 5.2.4 and empty segments out, as AWS does.
static struct str normalise(struct str path, struct arena *a)
{
    char *out = arena_alloc(a, path.len + 2);
    struct str rest = path, segment;
    bool slash_last = path.len > 0 && path.ptr[path.len - 1] == '/';
    size_t n = 0;

    if (!out)
        return path;
    while (str_next(&rest, '/', &segment)) {
        bool last = str_is_null(rest);

        if (str_eq(segment, STR(".")) || str_eq(segment, STR(".."))) {
            if (segment.len == 2) {
                while (n && out[n - 1] != '/')
                    n--;
                n -= n ? 1 : 0;
            }
            slash_last |= last;
        } else if (segment.len) {
            out[n++] = '/';
            memcpy(out + n, segment.ptr, segment.len);
            n += segment.len;
        }
    }
    if (n == 0 || slash_last)
        out[n++] = '/';
    return (struct str){out, n};
}

void sigv4_canonical_path(struct str path, enum sigv4_path how, struct arena *a, struct buf *out)
{
    struct str plain;

    if (path.len == 0)
        path = STR("/");
    switch (how) {
    case SIGV4_PATH_NORMALISED:
        percent_encode_path(out, normalise(path, a));
        break;
    case SIGV4_PATH_ENCODED:
        percent_encode_path(out, path);
        break;
    case SIGV4_PATH_AS_SENT:
        buf_add(out, path);
        break;
    case SIGV4_PATH_REENCODED:
        if (percent_decode(a, path, PERCENT_PATH, &plain) == 0)
            percent_encode_path(out, plain);
        break;
    }
}

struct pair {
    struct str name, value; // encoded
};

static int by_name_and_value(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    int c = str_cmp(x->name, y->name);

    return c ? c : str_cmp(x->value, y->value);
}

// Decoded and encoded again, so that every spelling comes out the same.
static int recode(struct str s, struct arena *a, struct str *out)
{
    _cleanup_(buf_finishp) struct buf text = {0};
    struct str plain;
    bool clean = true;

    for (size_t i = 0; i < s.len && clean; i++) {
        char c = s.ptr[i];

        clean = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                c == '-' || c == '_' || c == '.' || c == '~';
    }
    if (clean) {
        *out = str_is_null(s) ? STR("") : s;
        return 0;
    }
    if (percent_decode(a, s, PERCENT_PATH, &plain) < 0)
        plain = s; // a stray '%' is signed as what it is
    buf_init(&text, plain.len * 3 + 16);
    percent_encode(&text, plain);
    *out = arena_str(a, buf_str(&text));
    return text.failed || !out->ptr ? -ENOMEM : 0;
}

int sigv4_canonical_query(struct str query, struct str without, struct arena *a, struct buf *out)
{
    struct str rest = query, name, value;
    struct pair *pairs;
    size_t n = 0, most = 1;

    if (query.len == 0)
        return 0;
    for (size_t i = 0; i < query.len; i++)
        most += query.ptr[i] == '&';
    pairs = arena_new_array(a, struct pair, most);
    if (!pairs)
        return -ENOMEM;
    while (n < most && percent_next_pair(&rest, &name, &value)) {
        if (str_eq(name, STR("X-Amz-Signature")) || (without.len && str_eq(name, without)))
            continue;
        if (recode(name, a, &pairs[n].name) < 0 || recode(value, a, &pairs[n].value) < 0)
            return -ENOMEM;
        n++;
    }
    qsort(pairs, n, sizeof(*pairs), by_name_and_value);
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_add_char(out, '&');
        buf_add(out, pairs[i].name);
        buf_add_char(out, '=');
        buf_add(out, pairs[i].value);
    }
    return 0;
}

// Trimmed, runs of white space made one space.
static void add_value(struct buf *out, struct str value)
{
    bool space = false;

    value = str_trim(value);
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];

        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            space = true;
            continue;
        }
        if (space)
            buf_add_char(out, ' ');
        space = false;
        buf_add_char(out, c);
    }
}

bool sigv4_canonical_headers(const struct wire_http_in *in, struct str signed_headers,
                             struct buf *out)
{
    struct str rest = signed_headers, name;

    while (str_next(&rest, ';', &name)) {
        bool found = false;

        buf_add(out, name);
        buf_add_char(out, ':');
        for (size_t i = 0; i < in->n_headers; i++) {
            if (!str_eq(in->headers[i].name, name))
                continue;
            if (found)
                buf_add_char(out, ',');
            add_value(out, in->headers[i].value);
            found = true;
        }
        buf_add_char(out, '\n');
        if (!found)
            return false;
    }
    return true;
}

void sigv4_scope(struct buf *out, struct str date, struct str region, struct str service)
{
    buf_addf(out, "%.*s/%.*s/%.*s/" SIGV4_TERMINATOR, STR_ARG(date), STR_ARG(region),
             STR_ARG(service));
}

static void derive(struct str secret, struct str date, struct str region, struct str service,
                   uint8_t key[static SHA256_BYTES])
{
    _cleanup_(buf_finishp) struct buf first = {0};
    uint8_t next[SHA256_BYTES];

    buf_init(&first, 4096);
    buf_add(&first, STR("AWS4"));
    buf_add(&first, secret);
    hash_hmac_sha256(buf_str(&first), date, key);
    hash_hmac_sha256((struct str){(char *)key, SHA256_BYTES}, region, next);
    hash_hmac_sha256((struct str){(char *)next, SHA256_BYTES}, service, key);
    hash_hmac_sha256((struct str){(char *)key, SHA256_BYTES}, STR(SIGV4_TERMINATOR), next);
    memcpy(key, next, SHA256_BYTES);
}

void sigv4_key(struct str secret, struct str date, struct str region, struct str service,
               uint8_t key[static SHA256_BYTES])
{
    const struct str parts[] = {secret, date, region, service};
    char name[KEY_NAME_BYTES];
    struct key_slot *slot;
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (parts[i].len + 1 > sizeof(name) - n) {
            derive(secret, date, region, service, key);
            return;
        }
        if (parts[i].len)
            memcpy(name + n, parts[i].ptr, parts[i].len);
        n += parts[i].len;
        name[n++] = '\0';
    }
    slot = &key_slots[hash_table((struct str){name, n}) % KEY_SLOTS];
    if (slot->len != n || memcmp(slot->name, name, n) != 0) {
        derive(secret, date, region, service, slot->key);
        memcpy(slot->name, name, n);
        slot->len = n;
    }
    memcpy(key, slot->key, SHA256_BYTES);
}

static void to_hex(const uint8_t in[static SHA256_BYTES], char out[static SHA256_HEX_BYTES])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < SHA256_BYTES; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[SHA256_HEX_BYTES - 1] = '\0';
}

void sigv4_hex_hmac(const uint8_t key[static SHA256_BYTES], struct str text,
                    char out[static SHA256_HEX_BYTES])
{
    uint8_t mac[SHA256_BYTES];

    hash_hmac_sha256((struct str){(const char *)key, SHA256_BYTES}, text, mac);
    to_hex(mac, out);
}

void sigv4_signature(struct str canonical, struct str timestamp, struct str scope,
                     const uint8_t key[static SHA256_BYTES], char out[static SHA256_HEX_BYTES])
{
    _cleanup_(buf_finishp) struct buf text = {0};
    char digest[SHA256_HEX_BYTES];

    hash_sha256_hex(canonical, digest);
    buf_init(&text, 4096);
    buf_addf(&text, SIGV4_ALGORITHM "\n%.*s\n%.*s\n%s", STR_ARG(timestamp), STR_ARG(scope), digest);
    sigv4_hex_hmac(key, buf_str(&text), out);
}
