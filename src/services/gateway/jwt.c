// jwt.c - see jwt.h: parsing, signatures, claims.

#include "services/gateway/jwt.h"

#include "base/base64.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#define MIN_RSA_BYTES 256  // 2048 bits
#define MAX_RSA_BYTES 1024 // 8192 bits: verifying must stay cheap

int jwt_parse(struct arena *a, struct str token, struct jwt *out, struct err *err)
{
    struct str rest = token, header, payload, signature;
    const struct json_value *head;

    if (token.len > JWT_MAX_BYTES)
        return err_set(err, -EINVAL, "the token is too long");
    if (!str_next(&rest, '.', &header) || !str_next(&rest, '.', &payload) ||
        !str_next(&rest, '.', &signature) || rest.ptr)
        return err_set(err, -EINVAL, "the token does not have three parts");
    out->signed_part = str_slice(token, 0, header.len + 1 + payload.len);
    if (base64url_decode(a, header, &header) < 0 || base64url_decode(a, payload, &payload) < 0 ||
        base64url_decode(a, signature, &out->signature) < 0)
        return err_set(err, -EINVAL, "a part of the token is not base64url");
    if (json_parse(a, header, &head, NULL) < 0 || json_parse(a, payload, &out->claims, NULL) < 0 ||
        !json_is(head, JSON_OBJECT) || !json_is(out->claims, JSON_OBJECT))
        return err_set(err, -EINVAL, "a part of the token is not a JSON object");
    if (json_get(head, "crit"))
        return err_set(err, -EINVAL, "the token has critical extensions");
    out->algorithm = json_get_or(head, "alg", STR(""));
    out->key_id = json_get_or(head, "kid", STR_NULL);
    return 0;
}

// ---- algorithms and keys
// -------------------------------------------------------------------------

struct algorithm {
    const char *name, *key_type, *curve, *group; // JWK's and OpenSSL's names of the curve
    const char *digest;
    bool pss;
    size_t number_bytes; // ES: of r and of s
};

static const struct algorithm algorithms[] = {
    {"RS256", "RSA", NULL, NULL, "SHA256", false, 0},
    {"RS384", "RSA", NULL, NULL, "SHA384", false, 0},
    {"RS512", "RSA", NULL, NULL, "SHA512", false, 0},
    {"PS256", "RSA", NULL, NULL, "SHA256", true, 0},
    {"PS384", "RSA", NULL, NULL, "SHA384", true, 0},
    {"PS512", "RSA", NULL, NULL, "SHA512", true, 0},
    {"ES256", "EC", "P-256", "prime256v1", "SHA256", false, 32},
    {"ES384", "EC", "P-384", "secp384r1", "SHA384", false, 48},
    {"ES512", "EC", "P-521", "secp521r1", "SHA512", false, 66},
};

static const struct algorithm *algorithm_named(struct str name)
{
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++)
        if (str_eq(name, str_from(algorithms[i].name)))
            return &algorithms[i];
    return NULL;
}

static EVP_PKEY *key_from(const char *type, OSSL_PARAM_BLD *build)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;

    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *rsa_key(struct arena *a, const struct json_value *jwk)
{
    struct str n, e;

    if (base64url_decode(a, json_get_or(jwk, "n", STR("")), &n) < 0 ||
        base64url_decode(a, json_get_or(jwk, "e", STR("")), &e) < 0 || n.len < MIN_RSA_BYTES ||
        n.len > MAX_RSA_BYTES || e.len == 0 || e.len > 8)
        return NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *bn_n = BN_bin2bn((const unsigned char *)n.ptr, (int)n.len, NULL);
    BIGNUM *bn_e = BN_bin2bn((const unsigned char *)e.ptr, (int)e.len, NULL);
    EVP_PKEY *key = NULL;
    if (build && bn_n && bn_e && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, bn_n) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, bn_e))
        key = key_from("RSA", build);
    BN_free(bn_n);
    BN_free(bn_e);
    OSSL_PARAM_BLD_free(build);
    return key;
}

static EVP_PKEY *ec_key(struct arena *a, const struct json_value *jwk, const struct algorithm *alg)
{
    unsigned char point[1 + 2 * 66];
    struct str x, y;

    if (!str_eq(json_get_or(jwk, "crv", STR("")), str_from(alg->curve)) ||
        base64url_decode(a, json_get_or(jwk, "x", STR("")), &x) < 0 ||
        base64url_decode(a, json_get_or(jwk, "y", STR("")), &y) < 0 || x.len != alg->number_bytes ||
        y.len != alg->number_bytes)
        return NULL;
    point[0] = 4; // uncompressed
    memcpy(point + 1, x.ptr, x.len);
    memcpy(point + 1 + x.len, y.ptr, y.len);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (build &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, alg->group, 0) &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + x.len + y.len))
        key = key_from("EC", build);
    OSSL_PARAM_BLD_free(build);
    return key;
}

// r and s, one after the other (RFC 7518 section 3.4), as the DER that OpenSSL wants.
static struct str ecdsa_der(struct arena *a, struct str raw, size_t number_bytes)
{
    struct str der = STR_NULL;

    if (raw.len != 2 * number_bytes)
        return der;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn((const unsigned char *)raw.ptr, (int)number_bytes, NULL);
    BIGNUM *s = BN_bin2bn((const unsigned char *)raw.ptr + number_bytes, (int)number_bytes, NULL);
    if (sig && r && s && ECDSA_SIG_set0(sig, r, s)) {
        unsigned char *out = NULL;
        int n = i2d_ECDSA_SIG(sig, &out);
        if (n > 0)
            der = arena_str(a, (struct str){(const char *)out, (size_t)n});
        OPENSSL_free(out);
    } else {
        BN_free(r);
        BN_free(s);
    }
    ECDSA_SIG_free(sig);
    return der;
}

static bool signature_holds(const struct jwt *t, const struct algorithm *alg, EVP_PKEY *key,
                            struct str signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pkey = NULL;
    bool ok = ctx && EVP_DigestVerifyInit_ex(ctx, &pkey, alg->digest, NULL, NULL, key, NULL) == 1;

    if (ok && alg->pss)
        ok = EVP_PKEY_CTX_set_rsa_padding(pkey, RSA_PKCS1_PSS_PADDING) > 0 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey, RSA_PSS_SALTLEN_DIGEST) > 0;
    ok = ok && EVP_DigestVerify(ctx, (const unsigned char *)signature.ptr, signature.len,
                                (const unsigned char *)t->signed_part.ptr, t->signed_part.len) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static const struct json_value *key_for(const struct jwt *t, const struct algorithm *alg,
                                        const struct json_value *key_set)
{
    json_each(k, json_get(key_set, "keys"))
    {
        struct str id = json_get_or(k, "kid", STR_NULL), use = json_get_or(k, "use", STR("sig"));
        struct str only = json_get_or(k, "alg", t->algorithm);
        if (t->key_id.ptr && !str_eq(id, t->key_id))
            continue;
        if (str_eq(json_get_or(k, "kty", STR("")), str_from(alg->key_type)) &&
            str_eq(use, STR("sig")) && str_eq(only, t->algorithm))
            return k;
    }
    return NULL;
}

int jwt_verify(const struct jwt *t, const struct json_value *key_set, struct arena *a,
               struct err *err)
{
    const struct algorithm *alg = algorithm_named(t->algorithm);
    const struct json_value *jwk;

    if (!alg)
        return err_set(err, -EINVAL, "the algorithm %.*s is not accepted", STR_ARG(t->algorithm));
    jwk = key_for(t, alg, key_set);
    if (!jwk)
        return err_set(err, -ENOENT, "the issuer has no such key");
    EVP_PKEY *key = alg->number_bytes ? ec_key(a, jwk, alg) : rsa_key(a, jwk);
    if (!key)
        return err_set(err, -EINVAL, "the issuer's key is not usable");
    struct str signature =
        alg->number_bytes ? ecdsa_der(a, t->signature, alg->number_bytes) : t->signature;
    bool ok = signature.len > 0 && signature_holds(t, alg, key, signature);
    EVP_PKEY_free(key);
    return ok ? 0 : err_set(err, -EACCES, "the signature is wrong");
}

// ---- claims
// --------------------------------------------------------------------------------------

static bool in_list(const struct json_value *list, struct str wanted)
{
    json_each(e, list)
    {
        struct str s;
        if (json_str(e, &s) && str_eq(s, wanted))
            return true;
    }
    return false;
}

static bool audience_fits(const struct json_value *claims, const struct json_value *accepted)
{
    const struct json_value *aud = json_get(claims, "aud");
    struct str one;

    if (json_str(aud, &one))
        return in_list(accepted, one);
    json_each(e, aud) if (json_str(e, &one) && in_list(accepted, one)) return true;
    return json_is_null(aud) && json_str(json_get(claims, "client_id"), &one) &&
           in_list(accepted, one);
}

static bool seconds(const struct json_value *claims, const char *name, double *out)
{
    return json_f64(json_get(claims, name), out);
}

int64_t jwt_expires_ms(const struct jwt *t)
{
    double s;

    return seconds(t->claims, "exp", &s) && s > 0 && s < 1e12 ? (int64_t)(s * 1000) : 0;
}

int jwt_check_claims(const struct jwt *t, struct str issuer, const struct json_value *audience,
                     int64_t now_ms, struct err *err)
{
    double now = (double)now_ms / 1000, at;

    if (!str_eq(json_get_or(t->claims, "iss", STR("")), issuer))
        return err_set(err, -EACCES, "the issuer is another one");
    if (!audience_fits(t->claims, audience))
        return err_set(err, -EACCES, "the audience does not fit");
    if (!seconds(t->claims, "exp", &at) || at + JWT_LEEWAY_S <= now)
        return err_set(err, -EACCES, "the token has expired");
    if (seconds(t->claims, "nbf", &at) && at > now + JWT_LEEWAY_S)
        return err_set(err, -EACCES, "the token is not valid yet");
    if (seconds(t->claims, "iat", &at) && at > now + JWT_LEEWAY_S)
        return err_set(err, -EACCES, "the token was issued in the future");
    return 0;
}

bool jwt_has_scope(const struct jwt *t, const struct json_value *scopes)
{
    struct str text = json_get_or(t->claims, "scope", STR("")), one;

    while (str_next(&text, ' ', &one))
        if (one.len > 0 && in_list(scopes, one))
            return true;
    json_each(e, json_get(t->claims, "scp")) if (json_str(e, &one) &&
                                                 in_list(scopes, one)) return true;
    return false;
}
