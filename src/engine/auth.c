// auth.c - who signed a request.
//
// The root credentials of the configuration come first, then the providers. With no_auth nothing
// is refused: whoever signs is root of the default account.
#include "engine/engine_impl.h"

#include "base/cleanup.h"
#include "base/hash.h"
#include "os/fd.h"
#include "wire/sigv4.h"

#include <errno.h>
#include <stdlib.h>

static bool find_root(void *ctx, struct arena *arena, struct str access_key,
                      struct str session_token, struct credential *out)
{
    struct engine *e = ctx;
    struct str account = str_from(e->config.account);

    (void)session_token;
    if (!str_eq(access_key, str_from(e->config.root_access_key)))
        return false;
    *out = (struct credential){
        .secret = str_from(e->config.root_secret),
        .principal = {.kind = PRINCIPAL_ROOT,
                      .account = account,
                      .arn = arena_printf(arena, "arn:aws:iam::%.*s:root", STR_ARG(account)),
                      .user_id = account,
                      .access_key = access_key},
    };
    return true;
}

int engine_add_auth_provider(struct engine *e, struct auth_provider provider, struct err *err)
{
    int r = 0;

    pthread_mutex_lock(&e->adding);
    if (e->n_providers < ENGINE_MAX_PROVIDERS)
        e->providers[e->n_providers++] = provider;
    else
        r = err_set(err, -ENOSPC, "too many credential providers");
    pthread_mutex_unlock(&e->adding);
    return r;
}

static bool find_credential(struct call *c, const struct sigv4_claim *claim, struct credential *out)
{
    struct engine *e = c->engine;

    if (find_root(e, c->arena, claim->access_key, claim->session_token, out))
        return true;
    for (unsigned i = 0; i < e->n_providers; i++)
        if (e->providers[i].find(e->providers[i].ctx, c->arena, claim->access_key,
                                 claim->session_token, out))
            return true;
    return false;
}

// A region becomes part of keys and ARNs.
static bool region_usable(struct str region)
{
    if (region.len == 0 || region.len > 32)
        return false;
    for (size_t i = 0; i < region.len; i++) {
        char ch = region.ptr[i];
        if (!(ch >= 'a' && ch <= 'z') && !(ch >= '0' && ch <= '9') && ch != '-')
            return false;
    }
    return true;
}

static int digest_spooled(struct http_request *req, uint8_t out[static HASH_MAX_BYTES],
                          struct err *err)
{
    enum { PIECE = 256 * 1024 };
    _cleanup_(hash_destroyp) struct hash *h = hash_create(HASH_SHA256);
    _cleanup_free_ char *piece = malloc(PIECE);
    uint64_t at = 0;

    if (!h || !piece)
        return err_set(err, -ENOMEM, "out of memory");
    while (at < req->body.size_bytes) {
        ssize_t n = fd_pread_full(req->body.fd, piece, PIECE, at);
        if (n < 0)
            return err_errno(err, (int)-n, "read spooled body");
        if (n == 0)
            break;
        hash_add(h, (struct str){piece, (size_t)n});
        at += (uint64_t)n;
    }
    hash_result(h, out);
    return 0;
}

// An aws-chunked body: its signatures are checked and the framing is taken off.
static int unchunk(struct call *c, const struct sigv4_claim *claim, struct str secret,
                   struct err *err)
{
    struct call_run *r = run_of(c);
    struct sigv4_chunks chunks;
    _cleanup_(buf_finishp) struct buf plain = {0};
    struct str body, data;
    int rc;

    rc = http_body_read(c->http, ENGINE_MAX_BODY_BYTES, &body, err);
    if (rc < 0)
        return rc;
    buf_init(&plain, ENGINE_MAX_BODY_BYTES);
    rc = sigv4_chunks_init(&chunks, claim, secret, err);
    if (rc < 0)
        return rc;
    do {
        size_t before = body.len;
        rc = sigv4_chunks_feed(&chunks, &body, &data, err);
        buf_add(&plain, data);
        if (rc == 0 && body.len == 0 && before == 0)
            rc = err_aws(err, &SIGV4_INVALID_CHUNK, "The request body ended in a chunk.");
    } while (rc == 0 && !plain.failed);
    sigv4_chunks_finish(&chunks);
    if (rc < 0)
        return rc;
    r->http_in.body = arena_str(c->arena, buf_str(&plain));
    if (str_is_null(r->http_in.body))
        return err_set(err, -ENOMEM, "out of memory");
    return 0;
}

static int verify(struct call *c, const struct sigv4_claim *claim, struct err *err)
{
    struct call_run *r = run_of(c);
    struct credential found = {0};
    uint8_t digest[HASH_MAX_BYTES];
    struct str body_digest = STR_NULL;
    int rc;

    if (!find_credential(c, claim, &found))
        return err_aws(err, &SIGV4_UNRECOGNIZED_CLIENT,
                       "The security token included in the request is invalid.");
    if (!str_is_null(found.environment) && !str_is_null(c->http->origin) &&
        !str_eq(found.environment, c->http->origin))
        return err_aws(err, &SIGV4_UNRECOGNIZED_CLIENT,
                       "The security token included in the request is invalid.");
    if (found.inactive)
        return err_aws(err, &SIGV4_UNRECOGNIZED_CLIENT,
                       "The security token included in the request is invalid");
    if (claim->payload == SIGV4_PAYLOAD_HASH && c->http->body.fd >= 0) {
        rc = digest_spooled(c->http, digest, err);
        if (rc < 0)
            return rc;
        body_digest = (struct str){(const char *)digest, SHA256_BYTES};
    }
    const struct sigv4_secret secret = {found.secret, found.session_token, found.expires_ms};
    rc = sigv4_verify(claim, &secret, &r->http_in, body_digest, c->arrived_ms, c->arena, err);
    if (rc < 0)
        return rc;
    if (claim->payload != SIGV4_PAYLOAD_HASH && claim->payload != SIGV4_PAYLOAD_UNSIGNED) {
        rc = unchunk(c, claim, found.secret, err);
        if (rc < 0)
            return rc;
    }
    c->principal = found.principal;
    if (str_is_null(c->principal.access_key))
        c->principal.access_key = claim->access_key;
    return 0;
}

int engine_authenticate(struct call *c, const char *service, struct err *err)
{
    struct call_run *r = run_of(c);
    struct engine *e = c->engine;
    struct sigv4_claim claim = {0};
    int rc;

    if (!call_http_in(r))
        return err_set(err, -ENOMEM, "out of memory");
    rc = sigv4_parse(&r->http_in, c->arena, &claim, err);
    if (e->config.no_auth) {
        struct credential root;
        if (rc == 0 && region_usable(claim.region))
            c->region = claim.region;
        if (err)
            *err = (struct err)ERR_INIT;
        // An environment or a user that did sign stays who it is.
        if (rc == 0 && claim.kind != SIGV4_NONE && verify(c, &claim, err) == 0) {
            c->account = c->principal.account;
            return 0;
        }
        if (err)
            *err = (struct err)ERR_INIT;
        find_root(e, c->arena, str_from(e->config.root_access_key), STR_NULL, &root);
        c->principal = root.principal;
        c->account = c->principal.account;
        return 0;
    }
    if (rc < 0)
        return rc;
    if (claim.kind == SIGV4_NONE) {
        err_aws(err, &SIGV4_MISSING_TOKEN, "Missing Authentication Token");
        return -ENOENT;
    }
    if (service && !str_eq(claim.service, str_from(service)))
        return err_aws(err, &SIGV4_INVALID_SIGNATURE,
                       "Credential should be scoped to correct service: '%s'.", service);
    if (!region_usable(claim.region))
        return err_aws(err, &SIGV4_INCOMPLETE_SIGNATURE,
                       "Credential should be scoped to a valid region.");
    rc = verify(c, &claim, err);
    if (rc < 0)
        return rc;
    c->region = claim.region;
    c->account = c->principal.account;
    return 0;
}
