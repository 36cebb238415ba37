// hash.h - digests: SHA-256, SHA-1, MD5, HMAC-SHA-256 by libcrypto, CRC-32 by ourselves.
//
// libcrypto fails here only when memory runs out; the one-shot functions then abort, because an
// unset digest would be worse. All of it may be called from any thread.
#ifndef LAMBKIN_BASE_HASH_H
#define LAMBKIN_BASE_HASH_H

#include "str.h"

#define SHA256_BYTES 32
#define SHA1_BYTES 20
#define MD5_BYTES 16
#define HASH_MAX_BYTES 32
#define SHA256_HEX_BYTES (2 * SHA256_BYTES + 1)
#define MD5_HEX_BYTES (2 * MD5_BYTES + 1)

void hash_sha256(struct str data, uint8_t out[static SHA256_BYTES]);
void hash_sha1(struct str data, uint8_t out[static SHA1_BYTES]);
void hash_md5(struct str data, uint8_t out[static MD5_BYTES]);
void hash_sha256_hex(struct str data, char out[static SHA256_HEX_BYTES]);
void hash_md5_hex(struct str data, char out[static MD5_HEX_BYTES]);
void hash_hmac_sha256(struct str key, struct str data, uint8_t out[static SHA256_BYTES]);
// The usual reflected CRC-32 (IEEE 802.3). Start with 0 and feed the result back in to continue.
uint32_t hash_crc32(uint32_t crc, struct str data);
// A keyed hash for hash tables (SipHash-1-3): unpredictable once hash_seed was called.
uint64_t hash_table(struct str data);
// Once, at the start of a process, before any map exists.
void hash_seed(uint64_t a, uint64_t b);

// Piece by piece.
enum hash_kind { HASH_SHA256, HASH_SHA1, HASH_MD5 };
struct hash;
struct hash *hash_create(enum hash_kind kind); // NULL when out of memory
void hash_add(struct hash *h, struct str data);
// Answers the number of bytes written to out. The hash then starts anew.
size_t hash_result(struct hash *h, uint8_t out[static HASH_MAX_BYTES]);
void hash_destroy(struct hash *h);
void hash_destroyp(struct hash **h);

#endif
