// sigv4_impl.h - the canonical request and the key, shared by verifying, signing and chunks.
#ifndef LAMBKIN_WIRE_SIGV4_IMPL_H
#define LAMBKIN_WIRE_SIGV4_IMPL_H

#include "base/buf.h"
#include "base/hash.h"
#include "wire/sigv4.h"

#include <errno.h>

#define SIGV4_ALGORITHM "AWS4-HMAC-SHA256"
#define SIGV4_TERMINATOR "aws4_request"
#define SIGV4_EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"

// How a path becomes canonical. Clients differ, and the signature covers the path in any case.
enum sigv4_path {
    SIGV4_PATH_NORMALISED, // dot segments and double slashes out, then encoded (once more)
    SIGV4_PATH_ENCODED,    // encoded as it stands
    SIGV4_PATH_AS_SENT,    // S3
    SIGV4_PATH_REENCODED,  // S3, from a client that left characters raw
};

void sigv4_canonical_path(struct str path, enum sigv4_path how, struct arena *a, struct buf *out);
// Sorted and encoded; parameters called X-Amz-Signature, and `without`, are left out. -ENOMEM.
int sigv4_canonical_query(struct str query, struct str without, struct arena *a, struct buf *out);
// "name:value\n" of each signed header ("a;b;c", in that order). False when one is missing.
bool sigv4_canonical_headers(const struct wire_http_in *in, struct str signed_headers,
                             struct buf *out);
// date/region/service/aws4_request
void sigv4_scope(struct buf *out, struct str date, struct str region, struct str service);
// The key derived from the secret; kept for the next request of the same scope (per thread).
void sigv4_key(struct str secret, struct str date, struct str region, struct str service,
               uint8_t key[static SHA256_BYTES]);
// hex(hmac(key, text))
void sigv4_hex_hmac(const uint8_t key[static SHA256_BYTES], struct str text,
                    char out[static SHA256_HEX_BYTES]);
// The signature of a canonical request.
void sigv4_signature(struct str canonical, struct str timestamp, struct str scope,
                     const uint8_t key[static SHA256_BYTES], char out[static SHA256_HEX_BYTES]);

#endif
