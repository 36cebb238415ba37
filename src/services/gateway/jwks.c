// jwks.c - issuers' keys: found by OpenID Connect discovery, kept for an hour.
//
// A token with a key id that we do not know makes us look again, at most once a minute for an
// issuer, so that strangers' tokens cannot make us hammer it. At most MAX_ISSUERS are kept; when
// there are more, all are forgotten.

#include "services/gateway/jwt.h"

#include "base/map.h"
#include "http/client.h"
#include "os/time.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define KEEP_MS (60 * 60 * 1000)
#define REFRESH_MS (60 * 1000)
#define AFTER_FAILURE_MS 2000 // an issuer that does not answer must not hold all workers
#define FETCH_TIMEOUT_MS 5000
#define MAX_KEY_SET_BYTES (256 * 1024)
#define MAX_ISSUERS 64

struct issuer {
    char *keys; // JSON, or NULL
    size_t len;
    int64_t fetched_ms; // monotonic
    int64_t failed_ms;  // the last try did; 0: it did not
    char name[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map issuers;

static int fetch(const char *url, struct arena *a, struct str *out, struct err *err)
{
    const struct http_client_request request = {
        .url = url,
        .timeout_ms = FETCH_TIMEOUT_MS,
        .connect_timeout_ms = FETCH_TIMEOUT_MS,
        .max_response_bytes = MAX_KEY_SET_BYTES,
    };
    struct http_client_response response = {0};

    int r = http_client_perform(&request, &response, err);
    if (r == 0 && response.status != 200)
        r = err_set(err, -EPROTO, "%s answered %d", url, response.status);
    if (r == 0)
        *out = arena_str(a, response.body);
    http_client_response_finish(&response);
    return r;
}

static int discover(struct str issuer, struct arena *a, struct str *keys, struct err *err)
{
    const struct json_value *v;
    struct str document, uri;

    while (str_ends(issuer, STR("/")))
        issuer.len--;
    struct str url = arena_printf(a, "%.*s/.well-known/openid-configuration", STR_ARG(issuer));
    int r = url.ptr ? fetch(url.ptr, a, &document, err) : -ENOMEM;
    if (r < 0)
        return r;
    if (json_parse(a, document, &v, NULL) < 0 || !json_str(json_get(v, "jwks_uri"), &uri))
        return err_set(err, -EPROTO, "the issuer's configuration names no jwks_uri");
    r = fetch(arena_cstr(a, uri), a, keys, err);
    return r == 0 && !json_valid(*keys) ? err_set(err, -EPROTO, "the issuer's keys are not JSON")
                                        : r;
}

static void issuer_free(struct issuer *i)
{
    if (!i)
        return;
    free(i->keys);
    free(i);
}

static void empty(void)
{
    const struct map_entry *e;
    size_t at = 0;

    while ((e = map_next(&issuers, &at)))
        issuer_free(e->value);
    map_finish(&issuers);
    map_init(&issuers);
}

void jwks_forget(void)
{
    pthread_mutex_lock(&lock);
    empty();
    pthread_mutex_unlock(&lock);
}

// Keeps what was fetched; keys absent: that there was nothing to get.
static void remember(struct str name, struct str keys)
{
    struct issuer *i = calloc(1, sizeof(*i) + name.len + 1);
    void *old = NULL;

    if (!i)
        return;
    memcpy(i->name, name.ptr, name.len);
    i->keys = malloc(keys.len + 1);
    if (i->keys && keys.len > 0)
        memcpy(i->keys, keys.ptr, keys.len);
    i->len = keys.len;
    i->fetched_ms = os_mono_ms();
    i->failed_ms = keys.ptr ? 0 : i->fetched_ms;
    if (issuers.n >= MAX_ISSUERS)
        empty();
    if (!i->keys || map_set(&issuers, (struct str){i->name, name.len}, i, &old) < 0)
        old = i;
    issuer_free(old);
}

// The lock is held while keys are fetched: tokens of other issuers wait at most FETCH_TIMEOUT_MS,
// and nobody fetches the same keys twice.
int jwks_get(struct str issuer, bool refresh, struct arena *a, const struct json_value **key_set,
             struct err *err)
{
    struct str keys = STR_NULL;
    int r = 0;

    pthread_mutex_lock(&lock);
    struct issuer *i = map_get(&issuers, issuer);
    int64_t age = i ? os_mono_ms() - i->fetched_ms : INT64_MAX;
    if (i && i->failed_ms && os_mono_ms() - i->failed_ms < AFTER_FAILURE_MS) {
        if (i->len > 0)
            keys = arena_str(a, (struct str){i->keys, i->len});
        else
            r = err_set(err, -EHOSTUNREACH, "the issuer did not answer just now");
    } else if (i && i->len > 0 && age < (refresh ? REFRESH_MS : KEEP_MS)) {
        keys = arena_str(a, (struct str){i->keys, i->len});
    } else {
        r = discover(issuer, a, &keys, err);
        if (r == 0)
            remember(issuer, keys);
        else if (!i)
            remember(issuer, STR_NULL);
        else
            i->failed_ms = os_mono_ms();
        if (r < 0 && i && i->len > 0) { // better old keys than none
            keys = arena_str(a, (struct str){i->keys, i->len});
            r = keys.ptr ? 0 : r;
        }
    }
    pthread_mutex_unlock(&lock);
    if (r < 0)
        return r;
    return keys.ptr ? json_parse(a, keys, key_set, err) : err_set(err, -ENOMEM, "out of memory");
}
