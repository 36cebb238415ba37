// sigv4.h - AWS Signature Version 4: verifying what clients send, signing what we send.
//
// Verification takes two steps, so that the caller can look up the secret in between:
// sigv4_parse() finds the claim, sigv4_verify() checks it. Pure but for a small cache of derived
// keys, one for each thread; safe on every thread. Comparisons take constant time.
#ifndef LAMBKIN_WIRE_SIGV4_H
#define LAMBKIN_WIRE_SIGV4_H

#include "base/arena.h"
#include "base/err.h"
#include "wire/wire.h"

#define SIGV4_MAX_SKEW_MS ((int64_t)15 * 60 * 1000)
#define SIGV4_MAX_EXPIRES_S 604800
#define SIGV4_MAX_SIGNED_HEADERS 128

enum sigv4_kind {
    SIGV4_NONE,   // no signature at all
    SIGV4_HEADER, // Authorization: AWS4-HMAC-SHA256 …
    SIGV4_QUERY,  // presigned
};

enum sigv4_payload {
    SIGV4_PAYLOAD_HASH,           // the body's SHA-256 is signed
    SIGV4_PAYLOAD_UNSIGNED,       // UNSIGNED-PAYLOAD
    SIGV4_PAYLOAD_CHUNKS,         // STREAMING-AWS4-HMAC-SHA256-PAYLOAD
    SIGV4_PAYLOAD_CHUNKS_TRAILER, // …-TRAILER
    SIGV4_PAYLOAD_PLAIN_TRAILER,  // STREAMING-UNSIGNED-PAYLOAD-TRAILER
};

// What a request claims; strings borrow from the request or from the arena.
struct sigv4_claim {
    enum sigv4_kind kind;
    enum sigv4_payload payload;
    struct str access_key, date, region, service; // credential scope; date is yyyymmdd
    struct str signed_headers;                    // "host;x-amz-date"
    struct str signature;                         // 64 hex digits
    struct str session_token;                     // absent without one
    struct str timestamp;                         // yyyymmddThhmmssZ
    struct str content_sha256;                    // x-amz-content-sha256, or absent
    int64_t signed_ms;
    int64_t expires_s; // presigned only
};

// 0 with claim->kind set (SIGV4_NONE for an unsigned request); -EBADMSG for a malformed claim:
// IncompleteSignatureException, AuthorizationQueryParametersError (S3)…
int sigv4_parse(const struct wire_http_in *in, struct arena *a, struct sigv4_claim *claim,
                struct err *err);

struct sigv4_secret {
    struct str secret_key;
    struct str session_token; // absent for long-lived keys; otherwise must be what was sent
    int64_t expires_ms;       // 0: never
};

// Checks date, session token and signature at now_ms (region and service are the caller's to
// judge). `body_sha256` is the body's digest (32 bytes) when the caller has it (a spooled body),
// else absent: in->body is hashed. Chunked payloads are checked afterwards by sigv4_chunks_*. For
// services that S3 speaks for (claim->service is "s3") the path is taken as sent, for others
// encoded once more. -EBADMSG: SignatureDoesNotMatch/InvalidSignatureException, RequestExpired,
// ExpiredToken, …
int sigv4_verify(const struct sigv4_claim *claim, const struct sigv4_secret *secret,
                 const struct wire_http_in *in, struct str body_sha256, int64_t now_ms,
                 struct arena *a, struct err *err);

// Errors, each in the two spellings of json-like and query/XML protocols where they differ.
extern const struct aws_error SIGV4_INCOMPLETE_SIGNATURE; // 400 IncompleteSignatureException
extern const struct aws_error SIGV4_MISSING_TOKEN;        // 403 MissingAuthenticationToken
extern const struct aws_error SIGV4_INVALID_SIGNATURE;    // 403 InvalidSignatureException
extern const struct aws_error SIGV4_UNRECOGNIZED_CLIENT;  // 403 UnrecognizedClientException
extern const struct aws_error SIGV4_EXPIRED_TOKEN;        // 403 ExpiredTokenException
extern const struct aws_error SIGV4_REQUEST_EXPIRED;      // 403
extern const struct aws_error SIGV4_BODY_MISMATCH;        // 400 XAmzContentSHA256Mismatch
extern const struct aws_error SIGV4_INVALID_CHUNK;        // 400, 403

// Takes aws-chunked framing apart and checks each chunk's signature. Feed it pieces of the body
// in order; it holds at most one chunk header line. Zero-copy: *data borrows from the piece.
struct sigv4_chunks {
    enum sigv4_payload payload;
    unsigned char key[32];
    char previous[65]; // signature before
    char timestamp[20];
    char scope[160];
    int state;
    uint64_t left, total; // bytes left in this chunk; of data so far
    char line[512];       // header or trailer line so far
    size_t line_len;
    char chunk_signature[65];
    void *digest;        // of the chunk so far
    struct buf trailers; // canonical "name:value\n" lines
    bool trailer_signature_seen;
};
int sigv4_chunks_init(struct sigv4_chunks *c, const struct sigv4_claim *claim, struct str secret,
                      struct err *err);
void sigv4_chunks_finish(struct sigv4_chunks *c);
// Consumes from the front of *in; *data gets the next run of payload bytes (possibly empty).
// 1: all of the body was seen, 0: call again (with more input once *in is empty), negative: bad.
int sigv4_chunks_feed(struct sigv4_chunks *c, struct str *in, struct str *data, struct err *err);
// The trailers seen, as "name:value\n" lines (checksums), once feed answered 1.
struct str sigv4_chunks_trailers(const struct sigv4_chunks *c);

struct sigv4_signer {
    struct str access_key, secret_key, session_token; // token absent without one
    struct str region, service;
    int64_t now_ms;
    bool plain_path; // S3: neither normalised nor encoded twice
};
// Headers to add to a request whose `in` has at least host: X-Amz-Date, X-Amz-Security-Token,
// X-Amz-Content-Sha256 (S3) and Authorization, in that order. Answers how many (at most 4), or
// -ENOMEM. Every header of `in` is signed but those that proxies change.
int sigv4_sign(const struct sigv4_signer *s, const struct wire_http_in *in, struct arena *a,
               struct wire_header out[4], struct err *err);
// The query string, signature included, that makes a presigned URL of `in` (its headers must be
// sent as they are; normally host only). unsigned_payload: S3 and our download URLs.
int sigv4_presign(const struct sigv4_signer *s, const struct wire_http_in *in, int64_t expires_s,
                  bool unsigned_payload, struct arena *a, struct str *query, struct err *err);

#endif
