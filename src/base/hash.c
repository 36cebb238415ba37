// hash.c - digests over libcrypto, CRC-32 by tables, SipHash for hash tables.
//
// Algorithms are fetched once: OpenSSL 3 would otherwise search its providers at every call,
// which costs more than hashing a short string. They are never given back.
#include "hash.h"
#include "hex.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdlib.h>

static const EVP_MD *algorithms[3]; // by enum hash_kind
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

static void fetch(void)
{
    static const char *const names[] = {"SHA256", "SHA1", "MD5"};

    for (size_t i = 0; i < 3; i++) {
        algorithms[i] = EVP_MD_fetch(NULL, names[i], NULL);
        if (!algorithms[i])
            abort();
    }
}

static void digest(enum hash_kind kind, struct str data, uint8_t *out)
{
    pthread_once(&fetched, fetch);
    if (EVP_Digest(data.len > 0 ? data.ptr : "", data.len, out, NULL, algorithms[kind], NULL) != 1)
        abort();
}

void hash_sha256(struct str data, uint8_t out[static SHA256_BYTES])
{
    digest(HASH_SHA256, data, out);
}

void hash_sha1(struct str data, uint8_t out[static SHA1_BYTES])
{
    digest(HASH_SHA1, data, out);
}

void hash_md5(struct str data, uint8_t out[static MD5_BYTES])
{
    digest(HASH_MD5, data, out);
}

void hash_sha256_hex(struct str data, char out[static SHA256_HEX_BYTES])
{
    uint8_t raw[SHA256_BYTES];

    hash_sha256(data, raw);
    hex_encode(raw, sizeof(raw), out);
}

void hash_md5_hex(struct str data, char out[static MD5_HEX_BYTES])
{
    uint8_t raw[MD5_BYTES];

    hash_md5(data, raw);
    hex_encode(raw, sizeof(raw), out);
}

// RFC 2104, by hand over one context: OpenSSL's HMAC() fetches its algorithm at every call.
void hash_hmac_sha256(struct str key, struct str data, uint8_t out[static SHA256_BYTES])
{
    uint8_t block[64] = {0}, pad[64];
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok;

    pthread_once(&fetched, fetch);
    if (key.len > sizeof(block))
        hash_sha256(key, block);
    else if (key.len > 0)
        memcpy(block, key.ptr, key.len);
    for (size_t i = 0; i < sizeof(pad); i++)
        pad[i] = block[i] ^ 0x36;
    ok = c && EVP_DigestInit_ex(c, algorithms[HASH_SHA256], NULL) == 1 &&
         EVP_DigestUpdate(c, pad, sizeof(pad)) == 1 &&
         EVP_DigestUpdate(c, data.len > 0 ? data.ptr : "", data.len) == 1 &&
         EVP_DigestFinal_ex(c, out, NULL) == 1;
    for (size_t i = 0; i < sizeof(pad); i++)
        pad[i] = block[i] ^ 0x5c;
    ok = ok && EVP_DigestInit_ex(c, NULL, NULL) == 1 &&
         EVP_DigestUpdate(c, pad, sizeof(pad)) == 1 &&
         EVP_DigestUpdate(c, out, SHA256_BYTES) == 1 && EVP_DigestFinal_ex(c, out, NULL) == 1;
    EVP_MD_CTX_free(c);
    explicit_bzero(block, sizeof(block));
    explicit_bzero(pad, sizeof(pad));
    if (!ok)
        abort();
}

// --- piece by piece ---

struct hash {
    EVP_MD_CTX *ctx;
    enum hash_kind kind;
};

struct hash *hash_create(enum hash_kind kind)
{
    struct hash *h = calloc(1, sizeof(*h));

    pthread_once(&fetched, fetch);
    if (!h)
        return NULL;
    h->kind = kind;
    h->ctx = EVP_MD_CTX_new();
    if (!h->ctx || EVP_DigestInit_ex(h->ctx, algorithms[kind], NULL) != 1) {
        hash_destroy(h);
        return NULL;
    }
    return h;
}

void hash_add(struct hash *h, struct str data)
{
    if (data.len > 0 && EVP_DigestUpdate(h->ctx, data.ptr, data.len) != 1)
        abort();
}

size_t hash_result(struct hash *h, uint8_t out[static HASH_MAX_BYTES])
{
    unsigned n = 0;

    if (EVP_DigestFinal_ex(h->ctx, out, &n) != 1 ||
        EVP_DigestInit_ex(h->ctx, algorithms[h->kind], NULL) != 1)
        abort();
    return n;
}

void hash_destroy(struct hash *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->ctx);
    free(h);
}

void hash_destroyp(struct hash **h)
{
    hash_destroy(*h);
    *h = NULL;
}

// --- CRC-32, eight bytes at a time ---

static uint32_t crc_tables[8][256];
static pthread_once_t crc_made = PTHREAD_ONCE_INIT;

static void make_crc_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
        crc_tables[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int t = 1; t < 8; t++) {
            uint32_t c = crc_tables[t - 1][i];
            crc_tables[t][i] = c >> 8 ^ crc_tables[0][c & 255];
        }
    }
}

uint32_t hash_crc32(uint32_t crc, struct str data)
{
    const unsigned char *p = (const unsigned char *)data.ptr;
    size_t n = data.len;

    pthread_once(&crc_made, make_crc_tables);
    crc = ~crc;
    for (; n >= 8; n -= 8, p += 8) {
        uint32_t low = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                              (uint32_t)p[3] << 24);
        crc = crc_tables[7][low & 255] ^ crc_tables[6][low >> 8 & 255] ^
              crc_tables[5][low >> 16 & 255] ^ crc_tables[4][low >> 24] ^ crc_tables[3][p[4]] ^
              crc_tables[2][p[5]] ^ crc_tables[1][p[6]] ^ crc_tables[0][p[7]];
    }
    for (; n > 0; n--, p++)
        crc = crc >> 8 ^ crc_tables[0][(crc ^ *p) & 255];
    return ~crc;
}

// --- SipHash-1-3 (Aumasson and Bernstein; the variant that hash tables use) ---

static uint64_t seed[2] = {0x6c616d626b696e00ULL, 0x9e3779b97f4a7c15ULL};

void hash_seed(uint64_t a, uint64_t b)
{
    seed[0] = a;
    seed[1] = b;
}

static inline uint64_t rotate(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

uint64_t hash_table(struct str data)
{
    uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575ULL, seed[1] ^ 0x646f72616e646f6dULL,
                     seed[0] ^ 0x6c7967656e657261ULL, seed[1] ^ 0x7465646279746573ULL};
    uint64_t m = 0;
    size_t n = data.len;
    const char *p = data.ptr;

    for (; n >= 8; n -= 8, p += 8) {
        memcpy(&m, p, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    m = (uint64_t)data.len << 56;
    for (size_t i = 0; i < n; i++)
        m |= (uint64_t)(unsigned char)p[i] << (8 * i);
    v[3] ^= m;
    sip_round(v);
    v[0] ^= m;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
