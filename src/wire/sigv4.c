// sigv4.c - finding the claim in a request and checking it.
#include "wire/sigv4_impl.h"

#include "base/cleanup.h"
#include "base/percent.h"
#include "base/timefmt.h"

#define MAX_CANONICAL_BYTES ((size_t)1 << 20)

const struct aws_error SIGV4_INCOMPLETE_SIGNATURE = {"IncompleteSignatureException",
                                                     "IncompleteSignature", 400, true};
const struct aws_error SIGV4_MISSING_TOKEN = {"MissingAuthenticationTokenException",
                                              "MissingAuthenticationToken", 403, true};
const struct aws_error SIGV4_INVALID_SIGNATURE = {"InvalidSignatureException",
                                                  "SignatureDoesNotMatch", 403, true};
const struct aws_error SIGV4_UNRECOGNIZED_CLIENT = {"UnrecognizedClientException",
                                                    "InvalidClientTokenId", 403, true};
const struct aws_error SIGV4_EXPIRED_TOKEN = {"ExpiredTokenException", "ExpiredToken", 403, true};
const struct aws_error SIGV4_REQUEST_EXPIRED = {"RequestExpired", "RequestExpired", 403, true};
const struct aws_error SIGV4_BODY_MISMATCH = {"XAmzContentSHA256Mismatch",
                                              "XAmzContentSHA256Mismatch", 400, true};
const struct aws_error SIGV4_INVALID_CHUNK = {"InvalidChunk", "InvalidChunk", 400, true};

#define MISMATCH                                                                                   \
    "The request signature we calculated does not match the signature you provided. Check your "   \
    "AWS Secret Access Key and signing method. Consult the service documentation for details."
#define REQUIRES(name) "Authorization header requires '" name "' parameter. "
#define INVALID_TOKEN "The security token included in the request is invalid."

static bool is_hex_digest(struct str s)
{
    if (s.len != 64)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
    }
    return true;
}

static int set_payload(struct sigv4_claim *c, struct err *err)
{
    static const struct {
        struct str text;
        enum sigv4_payload kind;
    } known[] = {
        {STR_INIT(SIGV4_UNSIGNED), SIGV4_PAYLOAD_UNSIGNED},
        {STR_INIT("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), SIGV4_PAYLOAD_CHUNKS},
        {STR_INIT("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"), SIGV4_PAYLOAD_CHUNKS_TRAILER},
        {STR_INIT("STREAMING-UNSIGNED-PAYLOAD-TRAILER"), SIGV4_PAYLOAD_PLAIN_TRAILER},
    };

    c->payload = SIGV4_PAYLOAD_HASH;
    if (str_is_null(c->content_sha256)) {
        // A presigned S3 URL says nothing about the body.
        if (c->kind == SIGV4_QUERY && str_eq(c->service, STR("s3")))
            c->payload = SIGV4_PAYLOAD_UNSIGNED;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (str_eq(c->content_sha256, known[i].text)) {
            c->payload = known[i].kind;
            return 0;
        }
    }
    if (!is_hex_digest(c->content_sha256))
        return err_aws(err, &SIGV4_BODY_MISMATCH,
                       "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, "
                       "STREAMING-AWS4-HMAC-SHA256-PAYLOAD or a valid sha256 value.");
    return 0;
}

// keyid/date/region/service/aws4_request; the key id may hold slashes of its own.
static int set_scope(struct sigv4_claim *c, struct str credential, struct err *err)
{
    struct str parts[4], rest = credential;

    for (size_t i = ARRAY_LEN(parts); i-- > 0;) {
        size_t at = rest.len;

        while (at > 0 && rest.ptr[at - 1] != '/')
            at--;
        if (at == 0)
            return err_aws(err, &SIGV4_INCOMPLETE_SIGNATURE,
                           "Credential must have exactly 5 slash-delimited elements, e.g. "
                           "keyid/date/region/service/term, got '%.*s'",
                           STR_ARG(str_slice(credential, 0, 200)));
        parts[i] = str_slice(rest, at, rest.len);
        rest = str_slice(rest, 0, at - 1);
    }
    if (!str_eq(parts[3], STR(SIGV4_TERMINATOR)))
        return err_aws(err, &SIGV4_INVALID_SIGNATURE,
                       "Credential should be scoped with a valid terminator: 'aws4_request', not "
                       "'%.*s'.",
                       STR_ARG(str_slice(parts[3], 0, 64)));
    c->access_key = rest;
    c->date = parts[0];
    c->region = parts[1];
    c->service = parts[2];
    if (rest.len == 0 || rest.len > 128 || c->region.len > 64 || c->service.len > 64)
        return err_aws(err, &SIGV4_INCOMPLETE_SIGNATURE,
                       "Credential must have exactly 5 slash-delimited elements, e.g. "
                       "keyid/date/region/service/term, got '%.*s'",
                       STR_ARG(str_slice(credential, 0, 200)));
    return 0;
}

static int set_time(struct sigv4_claim *c, struct str timestamp, struct err *err)
{
    if (str_is_null(timestamp))
        return err_aws(err, &SIGV4_INCOMPLETE_SIGNATURE,
                       "Authorization header requires existence of either a 'X-Amz-Date' or a "
                       "'Date' header.");
    if (!timefmt_parse_basic(timestamp, &c->signed_ms))
        return err_aws(err, &SIGV4_INCOMPLETE_SIGNATURE,
                       "Date must be in ISO-8601 'basic format'. Got '%.*s'. See "
                       "http://en.wikipedia.org/wiki/ISO_8601",
                       STR_ARG(str_slice(timestamp, 0, 64)));
    c->timestamp = timestamp;
    if (!str_starts(timestamp, c->date) || c->date.len != 8)
        return err_aws(err, &SIGV4_INVALID_SIGNATURE,
                       "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of "
                       "date from HTTP: '%.*s' != '%.*s', from '%.*s'.",
                       STR_ARG(str_slice(c->date, 0, 32)), STR_ARG(str_slice(timestamp, 0, 8)),
                       STR_ARG(timestamp));
    return 0;
}

static int count_signed_headers(struct str list)
{
    int n = list.len ? 1 : 0;

    for (size_t i = 0; i < list.len; i++)
        n += list.ptr[i] == ';';
    return n;
}

static int parse_header(const struct wire_http_in *in, struct str authorization, struct arena *a,
                        struct sigv4_claim *c, struct err *err)
{
    struct str rest = str_slice(authorization, sizeof(SIGV4_ALGORITHM) - 1, authorization.len);
    struct str part, credential = STR_NULL, date;
    int r;

    while (str_next(&rest, ',', &part)) {
        struct str name, value = str_trim(part);

        if (!str_next(&value, '=', &name))
            continue;
        if (str_eq(name, STR("Credential")))
            credential = value;
        else if (str_eq(name, STR("SignedHeaders")))
            c->signed_headers = value;
        else if (str_eq(name, STR("Signature")))
            c->signature = value;
    }
    if (str_is_null(credential) || str_is_null(c->signature) || str_is_null(c->signed_headers))
        return err_aws(err, &SIGV4_INCOMPLETE_SIGNATURE, "%s%s%sAuthorization=" SIGV4_ALGORITHM,
                       str_is_null(credential) ? REQUIRES("Credential") : "",
                       str_is_null(c->signature) ? REQUIRES("Signature") : "",
                       str_is_null(c->signed_headers) ? REQUIRES("SignedHeaders") : "");
    c->kind = SIGV4_HEADER;
    r = set_scope(c, credential, err);
    if (r < 0)
        return r;
    date = wire_header_get(in, STR("x-amz-date"));
    if (str_is_null(date)) {
        // The older Date header, in either form.
        int64_t ms;

        date = wire_header_get(in, STR("date"));
        if (timefmt_parse_http(date, &ms)) {
            char *text = arena_alloc(a, TIMEFMT_BYTES);

            if (!text)
                return err_set(err, -ENOMEM, "out of memory");
            date = timefmt_basic(ms, text);
        }
    }
    r = set_time(c, date, err);
    if (r < 0)
        return r;
    c->session_token = wire_header_get(in, STR("x-amz-security-token"));
    c->content_sha256 = wire_header_get(in, STR("x-amz-content-sha256"));
    return set_payload(c, err);
}

static int query_value(const struct wire_http_in *in, const char *name, struct arena *a,
                       struct str *out)
{
    return wire_query_get(in->query, str_from(name), a, out);
}

static int parse_query(const struct wire_http_in *in, struct arena *a, struct sigv4_claim *c,
                       struct err *err)
{
    struct str algorithm, credential, date, expires;
    int r;

    if (query_value(in, "X-Amz-Algorithm", a, &algorithm) < 0 ||
        query_value(in, "X-Amz-Credential", a, &credential) < 0 ||
        query_value(in, "X-Amz-Date", a, &date) < 0 ||
        query_value(in, "X-Amz-Expires", a, &expires) < 0 ||
        query_value(in, "X-Amz-SignedHeaders", a, &c->signed_headers) < 0 ||
        query_value(in, "X-Amz-Signature", a, &c->signature) < 0 ||
        query_value(in, "X-Amz-Security-Token", a, &c->session_token) < 0 ||
        query_value(in, "X-Amz-Content-Sha256", a, &c->content_sha256) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    if (!str_eq(algorithm, STR(SIGV4_ALGORITHM)) || str_is_null(credential) || str_is_null(date) ||
        str_is_null(c->signed_headers) || str_is_null(c->signature))
        return err_aws(err, &SIGV4_INCOMPLETE_SIGNATURE,
                       "Query-string authentication version 4 requires the X-Amz-Algorithm, "
                       "X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and "
                       "X-Amz-Expires parameters.");
    c->kind = SIGV4_QUERY;
    r = set_scope(c, credential, err);
    if (r == 0)
        r = set_time(c, date, err);
    if (r < 0)
        return r;
    // Services other than S3 accept URLs without it, which then live as long as the skew allows.
    c->expires_s = SIGV4_MAX_SKEW_MS / 1000;
    if (!str_is_null(expires) && (str_to_i64(expires, &c->expires_s) < 0 || c->expires_s < 0 ||
                                  c->expires_s > SIGV4_MAX_EXPIRES_S))
        return err_aws(err, &SIGV4_INCOMPLETE_SIGNATURE,
                       "X-Amz-Expires must be a number between 0 and %d seconds",
                       SIGV4_MAX_EXPIRES_S);
    if (str_is_null(c->content_sha256))
        c->content_sha256 = wire_header_get(in, STR("x-amz-content-sha256"));
    return set_payload(c, err);
}

int sigv4_parse(const struct wire_http_in *in, struct arena *a, struct sigv4_claim *claim,
                struct err *err)
{
    struct str authorization = wire_header_get(in, STR("authorization"));
    int r = 0;

    *claim = (struct sigv4_claim){.kind = SIGV4_NONE};
    if (str_starts(authorization, STR(SIGV4_ALGORITHM " ")) ||
        str_eq(authorization, STR(SIGV4_ALGORITHM)))
        r = parse_header(in, authorization, a, claim, err);
    else if (str_find(in->query, STR("X-Amz-Algorithm=")) >= 0)
        r = parse_query(in, a, claim, err);
    else if (str_starts(authorization, STR("AWS4-")))
        r = err_aws(err, &SIGV4_INCOMPLETE_SIGNATURE, "Unsupported AWS 'algorithm': '%.*s'.",
                    STR_ARG(str_slice(authorization, 0, 32)));
    if (r < 0)
        return r;
    if (claim->kind != SIGV4_NONE &&
        count_signed_headers(claim->signed_headers) > SIGV4_MAX_SIGNED_HEADERS)
        return err_aws(err, &SIGV4_INCOMPLETE_SIGNATURE, "Too many signed headers.");
    return 0;
}

static int check_time(const struct sigv4_claim *c, int64_t now_ms, struct err *err)
{
    char signed_text[TIMEFMT_BYTES], bound[TIMEFMT_BYTES], now[TIMEFMT_BYTES];
    int64_t lives_ms = c->kind == SIGV4_QUERY ? c->expires_s * 1000 : SIGV4_MAX_SKEW_MS;

    if (c->signed_ms + lives_ms >= now_ms && c->signed_ms <= now_ms + SIGV4_MAX_SKEW_MS)
        return 0;
    timefmt_basic(c->signed_ms, signed_text);
    timefmt_basic(now_ms, now);
    if (c->signed_ms + lives_ms < now_ms) {
        if (c->kind == SIGV4_QUERY && str_eq(c->service, STR("s3")))
            return err_aws(err, &SIGV4_REQUEST_EXPIRED, "Request has expired");
        timefmt_basic(now_ms - lives_ms, bound);
        return err_aws(err, &SIGV4_INVALID_SIGNATURE,
                       "Signature expired: %s is now earlier than %s (%s - %lld min.)", signed_text,
                       bound, now, (long long)(lives_ms / 60000));
    }
    timefmt_basic(now_ms + SIGV4_MAX_SKEW_MS, bound);
    return err_aws(err, &SIGV4_INVALID_SIGNATURE,
                   "Signature not yet current: %s is still later than %s (%s + 15 min.)",
                   signed_text, bound, now);
}

static int check_token(const struct sigv4_claim *c, const struct sigv4_secret *s, int64_t now_ms,
                       struct err *err)
{
    if (str_is_null(s->session_token)) {
        // An empty header is what a client with an empty setting sends.
        if (c->session_token.len)
            return err_aws(err, &SIGV4_UNRECOGNIZED_CLIENT, "%s", INVALID_TOKEN);
        return 0;
    }
    if (str_is_null(c->session_token) || !str_eq_secret(c->session_token, s->session_token))
        return err_aws(err, &SIGV4_UNRECOGNIZED_CLIENT, "%s", INVALID_TOKEN);
    if (s->expires_ms && s->expires_ms <= now_ms)
        return err_aws(err, &SIGV4_EXPIRED_TOKEN,
                       "The security token included in the request is expired");
    return 0;
}

// The signed payload hash, and whether the body has it.
static int payload_hash(const struct sigv4_claim *c, const struct wire_http_in *in,
                        struct str body_sha256, char hex[static SHA256_HEX_BYTES], struct str *out,
                        struct err *err)
{
    static const char digits[] = "0123456789abcdef";

    if (c->payload != SIGV4_PAYLOAD_HASH) {
        *out = str_is_null(c->content_sha256) ? STR(SIGV4_UNSIGNED) : c->content_sha256;
        return 0;
    }
    if (str_is_null(body_sha256)) {
        hash_sha256_hex(in->body, hex);
    } else {
        if (body_sha256.len != SHA256_BYTES)
            return err_set(err, -EINVAL, "a body digest of %zu bytes", body_sha256.len);
        for (size_t i = 0; i < SHA256_BYTES; i++) {
            hex[2 * i] = digits[(uint8_t)body_sha256.ptr[i] >> 4];
            hex[2 * i + 1] = digits[(uint8_t)body_sha256.ptr[i] & 15];
        }
        hex[SHA256_HEX_BYTES - 1] = '\0';
    }
    *out = str_from(hex);
    if (!str_is_null(c->content_sha256) && !str_eq(c->content_sha256, *out))
        return err_aws(err, &SIGV4_BODY_MISMATCH,
                       "The provided 'x-amz-content-sha256' header does not match what was "
                       "computed.");
    return 0;
}

// One way to make the request canonical. 1 matches, 0 does not, negative failed.
static int attempt(const struct sigv4_claim *c, const struct wire_http_in *in, struct str payload,
                   const uint8_t key[static SHA256_BYTES], struct str scope, enum sigv4_path how,
                   struct str without, struct arena *a)
{
    _cleanup_(buf_finishp) struct buf b = {0};
    char hex[SHA256_HEX_BYTES];

    buf_init(&b, MAX_CANONICAL_BYTES);
    buf_add(&b, in->method);
    buf_add_char(&b, '\n');
    sigv4_canonical_path(in->path, how, a, &b);
    buf_add_char(&b, '\n');
    if (sigv4_canonical_query(in->query, without, a, &b) < 0)
        return -ENOMEM;
    buf_add_char(&b, '\n');
    if (!sigv4_canonical_headers(in, c->signed_headers, &b))
        return 0;
    buf_add_char(&b, '\n');
    buf_add(&b, c->signed_headers);
    buf_add_char(&b, '\n');
    buf_add(&b, payload);
    if (b.failed)
        return -ENOMEM;
    sigv4_signature(buf_str(&b), c->timestamp, scope, key, hex);
    return str_eq_secret(str_from(hex), c->signature);
}

int sigv4_verify(const struct sigv4_claim *claim, const struct sigv4_secret *secret,
                 const struct wire_http_in *in, struct str body_sha256, int64_t now_ms,
                 struct arena *a, struct err *err)
{
    static const enum sigv4_path s3[] = {SIGV4_PATH_AS_SENT, SIGV4_PATH_REENCODED};
    static const enum sigv4_path others[] = {SIGV4_PATH_NORMALISED, SIGV4_PATH_ENCODED,
                                             SIGV4_PATH_AS_SENT};
    bool is_s3 = str_eq(claim->service, STR("s3"));
    const enum sigv4_path *ways = is_s3 ? s3 : others;
    size_t n_ways = is_s3 ? ARRAY_LEN(s3) : ARRAY_LEN(others);
    struct str token = STR("X-Amz-Security-Token"), payload = STR_NULL;
    bool presigned_token = claim->kind == SIGV4_QUERY && claim->session_token.len;
    _cleanup_(buf_finishp) struct buf scope = {0};
    uint8_t key[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES];
    int r;

    r = check_token(claim, secret, now_ms, err);
    if (r == 0)
        r = check_time(claim, now_ms, err);
    if (r == 0)
        r = payload_hash(claim, in, body_sha256, hex, &payload, err);
    if (r < 0)
        return r;
    buf_init(&scope, 1024);
    sigv4_scope(&scope, claim->date, claim->region, claim->service);
    sigv4_key(secret->secret_key, claim->date, claim->region, claim->service, key);
    r = 0;
    for (size_t i = 0; i < n_ways && r == 0; i++) {
        // Only a path that these treat differently is worth another attempt.
        if (i > 0 && str_eq(in->path, STR("/")))
            break;
        r = attempt(claim, in, payload, key, buf_str(&scope), ways[i], STR_NULL, a);
        // Some signers add the token to a presigned URL afterwards.
        if (r == 0 && presigned_token)
            r = attempt(claim, in, payload, key, buf_str(&scope), ways[i], token, a);
    }
    if (r < 0)
        return err_set(err, -ENOMEM, "out of memory while checking a signature");
    return r ? 0 : err_aws(err, &SIGV4_INVALID_SIGNATURE, "%s", MISMATCH);
}
