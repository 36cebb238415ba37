// service.c - STS: who am I, and temporary credentials.
//
// Trust policies are kept by IAM and not evaluated: whoever may call STS may assume a role that
// exists.
#include "services/sts/sts.h"

#include "base/cleanup.h"
#include "engine/auth.h"
#include "engine/engine.h"
#include "services/iam/iam.h"
#include "wire/gen/sts_handlers.h"

#include <errno.h>

static const struct aws_error ACCESS_DENIED = {"AccessDenied", NULL, 403, true};

// --- sessions as credentials, for the engine ---

static bool find_credential(void *ctx, struct arena *arena, struct str access_key,
                            struct str session_token, struct credential *out)
{
    struct sts_session s;
    (void)ctx;
    if (!str_starts(access_key, STR("ASIA")) || str_is_null(session_token) ||
        sts_session_open(arena, session_token, &s, NULL) < 0 ||
        !str_eq(s.access_key_id, access_key))
        return false;
    *out = (struct credential){
        .secret = s.secret_key,
        .session_token = s.token,
        .expires_ms = s.expires_ms,
        .principal = {.kind = str_find(s.principal_arn, STR(":assumed-role/")) >= 0 ? PRINCIPAL_ROLE
                              : str_ends(s.principal_arn, STR(":root"))             ? PRINCIPAL_ROOT
                                                                        : PRINCIPAL_USER,
                      .account = s.account,
                      .arn = s.principal_arn,
                      .user_id = s.user_id,
                      .access_key = s.access_key_id},
    };
    return true;
}

static int show(struct call *c, const struct sts_session *s, struct sts_credentials **out,
                struct err *err)
{
    *out = arena_new(c->arena, struct sts_credentials);
    if (!*out)
        return err_set(err, -ENOMEM, "session: out of memory");
    (*out)->access_key_id = s->access_key_id;
    (*out)->secret_access_key = s->secret_key;
    (*out)->session_token = s->token;
    WIRE_SET(*out, expiration, s->expires_ms / 1000 * 1000);
    return 0;
}

// --- operations ---

int sts_get_caller_identity(struct call *c, const struct sts_get_caller_identity_in *in,
                            struct sts_get_caller_identity_out *out, struct err *err)
{
    (void)in;
    (void)err;
    out->account = c->principal.account;
    out->arn = c->principal.arn;
    out->user_id = c->principal.user_id;
    return 0;
}

struct role_arn {
    struct str account, name; // of arn:aws:iam::<account>:role/<path><name>
};

static bool parse_role(struct str arn, struct role_arn *out)
{
    struct str part, rest = arn;
    size_t from = 0;
    for (int i = 0; i < 5; i++) {
        if (!str_next(&rest, ':', &part) || (i == 2 && !str_eq(part, STR("iam"))))
            return false;
    }
    out->account = part;
    if (!str_starts(rest, STR("role/")))
        return false;
    for (size_t i = 0; i < rest.len; i++) {
        if (rest.ptr[i] == '/')
            from = i + 1;
    }
    out->name = str_slice(rest, from, rest.len);
    return out->name.len > 0;
}

static int assume(struct call *c, struct str arn, struct str session_name, bool has_duration,
                  int64_t duration_s, const char *action, struct sts_credentials **credentials,
                  struct sts_assumed_role_user **user, struct err *err)
{
    struct str role_id, role_arn;
    struct err missing = ERR_INIT;
    struct sts_session session;
    struct role_arn role;
    int64_t max_s;
    if (!parse_role(arn, &role))
        return err_aws(err, &WIRE_VALIDATION_ERROR, "%.*s is invalid", STR_ARG(arn));
    int r = iam_role_find(c->arena, role.account, role.name, &role_id, &role_arn, &max_s, &missing);
    if (r == -ENOENT || (r == 0 && !str_eq(role_arn, arn)))
        return err_aws(err, &ACCESS_DENIED,
                       "User: %.*s is not authorized to perform: sts:%s on resource: %.*s",
                       STR_ARG(c->principal.arn), action, STR_ARG(arn));
    if (r < 0)
        return err_set(err, r, "%s", missing.message);
    if (!has_duration)
        duration_s = 3600;
    // A role that assumes a role is limited to an hour.
    if (c->principal.kind == PRINCIPAL_ROLE && duration_s > 3600)
        return err_aws(err, &WIRE_VALIDATION_ERROR,
                       "The requested DurationSeconds exceeds the 1 hour session limit for roles "
                       "assumed by role chaining.");
    if (duration_s > max_s)
        return err_aws(err, &WIRE_VALIDATION_ERROR,
                       "The requested DurationSeconds exceeds the MaxSessionDuration set for this "
                       "role.");
    struct str principal =
        arena_printf(c->arena, "arn:aws:sts::%.*s:assumed-role/%.*s/%.*s", STR_ARG(role.account),
                     STR_ARG(role.name), STR_ARG(session_name));
    struct str user_id =
        arena_printf(c->arena, "%.*s:%.*s", STR_ARG(role_id), STR_ARG(session_name));
    r = sts_session_make(c->arena, role.account, principal, user_id, c->now_ms + duration_s * 1000,
                         &session, err);
    if (r == 0)
        r = show(c, &session, credentials, err);
    if (r < 0)
        return r;
    *user = arena_new(c->arena, struct sts_assumed_role_user);
    if (!*user)
        return err_set(err, -ENOMEM, "session: out of memory");
    (*user)->arn = principal;
    (*user)->assumed_role_id = user_id;
    return 0;
}

int sts_assume_role(struct call *c, const struct sts_assume_role_in *in,
                    struct sts_assume_role_out *out, struct err *err)
{
    out->source_identity = in->source_identity;
    return assume(c, in->role_arn, in->role_session_name, in->has_duration_seconds,
                  in->duration_seconds, "AssumeRole", &out->credentials, &out->assumed_role_user,
                  err);
}

// There are no identity providers yet, so no token can be checked: only what needs none is given.
int sts_assume_role_with_web_identity(struct call *c,
                                      const struct sts_assume_role_with_web_identity_in *in,
                                      struct sts_assume_role_with_web_identity_out *out,
                                      struct err *err)
{
    (void)c;
    (void)in;
    (void)out;
    return err_aws(err, &STS_INVALID_IDENTITY_TOKEN_EXCEPTION,
                   "No OpenIDConnect provider found in your account for the token's issuer");
}

int sts_get_session_token(struct call *c, const struct sts_get_session_token_in *in,
                          struct sts_get_session_token_out *out, struct err *err)
{
    struct sts_session s;
    int64_t seconds =
        WIRE_GET(in, duration_seconds, c->principal.kind == PRINCIPAL_ROOT ? 3600 : 43200);
    if (c->principal.kind != PRINCIPAL_ROOT && c->principal.kind != PRINCIPAL_USER)
        return err_aws(err, &ACCESS_DENIED, "Cannot call GetSessionToken with session credentials");
    int r = sts_session_make(c->arena, c->principal.account, c->principal.arn, c->principal.user_id,
                             c->now_ms + seconds * 1000, &s, err);
    return r < 0 ? r : show(c, &s, &out->credentials, err);
}

int sts_get_federation_token(struct call *c, const struct sts_get_federation_token_in *in,
                             struct sts_get_federation_token_out *out, struct err *err)
{
    struct sts_session s;
    struct str account = c->principal.account;
    struct str arn = arena_printf(c->arena, "arn:aws:sts::%.*s:federated-user/%.*s",
                                  STR_ARG(account), STR_ARG(in->name));
    struct str id = arena_printf(c->arena, "%.*s:%.*s", STR_ARG(account), STR_ARG(in->name));
    if (c->principal.kind != PRINCIPAL_ROOT && c->principal.kind != PRINCIPAL_USER)
        return err_aws(err, &ACCESS_DENIED,
                       "Cannot call GetFederationToken with session credentials");
    int64_t seconds = WIRE_GET(in, duration_seconds, 43200);
    int r = sts_session_make(c->arena, account, arn, id, c->now_ms + seconds * 1000, &s, err);
    if (r == 0)
        r = show(c, &s, &out->credentials, err);
    if (r < 0)
        return r;
    out->federated_user = arena_new(c->arena, struct sts_federated_user);
    if (!out->federated_user)
        return err_set(err, -ENOMEM, "session: out of memory");
    out->federated_user->arn = arn;
    out->federated_user->federated_user_id = id;
    return 0;
}

// A long-term key is looked up; temporary ones carry their account in a token that is not at hand,
// so they are taken for the caller's own account, which is the only one that makes them here.
int sts_get_access_key_info(struct call *c, const struct sts_get_access_key_info_in *in,
                            struct sts_get_access_key_info_out *out, struct err *err)
{
    struct iam_key key;
    const struct engine_config *config = engine_config(c->engine);
    if (iam_access_key_find(c->arena, in->access_key_id, &key, NULL) == 0)
        out->account = key.account;
    else if (str_eq(in->access_key_id, str_from(config->root_access_key)) ||
             str_starts(in->access_key_id, STR("ASIA")))
        out->account = c->account;
    else
        return err_aws(err, &WIRE_VALIDATION_ERROR, "Invalid Access Key ID: %.*s",
                       STR_ARG(in->access_key_id));
    return 0;
}

static const struct engine_op ops[] = {
    ENGINE_OP("GetCallerIdentity", sts_get_caller_identity),
    ENGINE_OP("AssumeRole", sts_assume_role),
    ENGINE_OP_NO_AUTH("AssumeRoleWithWebIdentity", sts_assume_role_with_web_identity),
    ENGINE_OP("GetSessionToken", sts_get_session_token),
    ENGINE_OP("GetFederationToken", sts_get_federation_token),
    ENGINE_OP("GetAccessKeyInfo", sts_get_access_key_info),
};

static int start(struct engine *e, struct err *err)
{
    int r = sts_keys_open(engine_config(e)->data_dir, err);
    return r < 0 ? r
                 : engine_add_auth_provider(e, (struct auth_provider){find_credential, NULL}, err);
}

const struct engine_service sts_service = {
    .wire = &wire_sts,
    .ops = ops,
    .n_ops = ARRAY_LEN(ops),
    .start = start,
};
