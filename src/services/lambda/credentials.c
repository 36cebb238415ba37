// credentials.c - the temporary credentials of execution environments.
//
// Each environment gets its own when it starts and loses them when it ends: they are in this table
// and nowhere else, so a leaked key is worth nothing once its environment is gone. An environment
// signs as its function's role.
#include "services/lambda/lambda_impl.h"

#include "engine/auth.h"
#include "os/random.h"
#include "os/time.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define VALID_MS ((int64_t)36 * 3600 * 1000)

struct environment_key {
    char access_key[24];
    char secret[48];
    char token[200];
    char environment[96];
    char account[16], role[160], role_id[24], session[72], function_arn[200];
    int64_t expires_ms;
};

static struct {
    pthread_mutex_t lock;
    struct map by_key, by_environment; // the same objects
} keys = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void random_text(char *out, size_t n, const char *letters, size_t n_letters)
{
    for (size_t i = 0; i < n; i++)
        out[i] = letters[os_random_below(n_letters)];
    out[n] = 0;
}

static const char upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
static const char mixed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int issue(void *ctx, const struct function_config *f, struct str environment_id,
                 struct runtime_credentials *out, struct err *err)
{
    struct environment_key *k = calloc(1, sizeof(*k));
    struct environment_key *old = NULL;

    (void)ctx;
    if (!k)
        return err_set(err, -ENOMEM, "out of memory");
    memcpy(k->access_key, "ASIA", 4);
    random_text(k->access_key + 4, 16, upper, sizeof(upper) - 1);
    random_text(k->secret, 40, mixed, sizeof(mixed) - 1);
    random_text(k->token, 180, mixed, sizeof(mixed) - 1);
    k->expires_ms = os_now_ms() + VALID_MS;
    snprintf(k->environment, sizeof(k->environment), "%.*s", STR_ARG(environment_id));
    snprintf(k->account, sizeof(k->account), "%.*s", STR_ARG(f->account));
    snprintf(k->session, sizeof(k->session), "%.*s", STR_ARG(f->name));
    snprintf(k->function_arn, sizeof(k->function_arn), "%.*s", STR_ARG(f->arn));
    // The role's name is what follows the last slash of its ARN.
    struct str role = f->role_arn, part;
    while (str_next(&role, '/', &part))
        snprintf(k->role, sizeof(k->role), "%.*s", STR_ARG(part));
    char sha[SHA256_HEX_BYTES];
    hash_sha256_hex(f->role_arn, sha);
    snprintf(k->role_id, sizeof(k->role_id), "AROA%.17s", sha);
    for (char *c = k->role_id; *c; c++)
        if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');

    pthread_mutex_lock(&keys.lock);
    int r = map_set(&keys.by_key, str_from(k->access_key), k, NULL);
    if (r == 0) {
        r = map_set(&keys.by_environment, str_from(k->environment), k, (void **)&old);
        if (r < 0)
            map_remove(&keys.by_key, str_from(k->access_key));
    }
    if (old)
        map_remove(&keys.by_key, str_from(old->access_key));
    pthread_mutex_unlock(&keys.lock);
    free(old);
    if (r < 0) {
        free(k);
        return err_set(err, -ENOMEM, "out of memory");
    }
    snprintf(out->access_key, sizeof(out->access_key), "%s", k->access_key);
    snprintf(out->secret, sizeof(out->secret), "%s", k->secret);
    snprintf(out->token, sizeof(out->token), "%s", k->token);
    out->expires_ms = k->expires_ms;
    return 0;
}

static void release(void *ctx, struct str environment_id)
{
    (void)ctx;
    pthread_mutex_lock(&keys.lock);
    struct environment_key *k = map_remove(&keys.by_environment, environment_id);
    if (k)
        map_remove(&keys.by_key, str_from(k->access_key));
    pthread_mutex_unlock(&keys.lock);
    free(k);
}

static bool find(void *ctx, struct arena *arena, struct str access_key, struct str session_token,
                 struct credential *out)
{
    (void)ctx;
    (void)session_token;
    pthread_mutex_lock(&keys.lock);
    const struct environment_key *k = map_get(&keys.by_key, access_key);
    if (k) {
        *out = (struct credential){
            .secret = arena_str(arena, str_from(k->secret)),
            .session_token = arena_str(arena, str_from(k->token)),
            .expires_ms = k->expires_ms,
            .environment = arena_str(arena, str_from(k->environment)),
            .principal = {.kind = PRINCIPAL_FUNCTION,
                          .account = arena_str(arena, str_from(k->account)),
                          .arn = arena_printf(arena, "arn:aws:sts::%s:assumed-role/%s/%s",
                                              k->account, k->role, k->session),
                          .user_id = arena_printf(arena, "%s:%s", k->role_id, k->session),
                          .access_key = arena_str(arena, access_key),
                          .function_arn = arena_str(arena, str_from(k->function_arn))},
        };
    }
    pthread_mutex_unlock(&keys.lock);
    return k != NULL;
}

int lambda_credentials_open(struct engine *e, struct err *err)
{
    runtime_set_credentials_provider(
        (struct runtime_credentials_provider){.issue = issue, .release = release});
    return engine_add_auth_provider(e, (struct auth_provider){.find = find}, err);
}
