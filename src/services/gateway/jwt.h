// jwt.h - JSON Web Tokens (RFC 7519) signed with RS, PS or ES algorithms (RFC 7518), checked
// against an issuer's keys (RFC 7517), found by OpenID Connect discovery.
//
// What is never accepted: alg "none", the HS algorithms (a public key is no secret), a token whose
// header names another key type than its key has, tokens over JWT_MAX_BYTES.
#ifndef LAMBKIN_SERVICES_GATEWAY_JWT_H
#define LAMBKIN_SERVICES_GATEWAY_JWT_H

#include "base/json.h"

#define JWT_MAX_BYTES (16 * 1024)
#define JWT_LEEWAY_S 30 // clocks differ

struct jwt {
    struct str algorithm, key_id; // key_id may be absent
    struct str signed_part;       // header.payload as they came
    struct str signature;         // decoded
    const struct json_value *claims;
};

// Takes a token apart; nothing is verified yet. Pure; all in the arena. -EINVAL.
int jwt_parse(struct arena *a, struct str token, struct jwt *out, struct err *err);
// Verifies the signature with the key of a JWK set. -ENOENT: no such key; -EINVAL: the key does
// not fit the algorithm; -EACCES: the signature is wrong.
int jwt_verify(const struct jwt *t, const struct json_value *key_set, struct arena *a,
               struct err *err);
// iss, aud or client_id, exp, nbf, iat. -EACCES with the reason.
int jwt_check_claims(const struct jwt *t, struct str issuer, const struct json_value *audience,
                     int64_t now_ms, struct err *err);
// Whether the token has one of the scopes (in "scope", separated by spaces, or the list "scp").
bool jwt_has_scope(const struct jwt *t, const struct json_value *scopes);
// When it ends, in ms since the epoch.
int64_t jwt_expires_ms(const struct jwt *t);

// The issuer's keys: from memory, or fetched (blocks; on a worker). `refresh` fetches even when
// there are keys, at most once a minute for an issuer. Parsed into the arena.
int jwks_get(struct str issuer, bool refresh, struct arena *a, const struct json_value **key_set,
             struct err *err);
void jwks_forget(void);

#endif
