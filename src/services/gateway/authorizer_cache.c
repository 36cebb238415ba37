// authorizer_cache.c - see authorizer_cache.h.

#include "services/gateway/authorizer_cache.h"

#include "base/hash.h"
#include "base/map.h"

#include <pthread.h>
#include <stdlib.h>

struct entry {
    char digest[SHA256_HEX_BYTES];
    int64_t until_ms;
    bool allowed, has_policy, has_context;
    size_t policy_len, context_len;
    char text[]; // the policy, then the context
};

struct authorizer_cache {
    pthread_mutex_t lock;
    struct map entries;
};

struct authorizer_cache *authorizer_cache_create(void)
{
    struct authorizer_cache *c = calloc(1, sizeof(*c));

    if (c)
        pthread_mutex_init(&c->lock, NULL);
    return c;
}

static void empty(struct authorizer_cache *c)
{
    const struct map_entry *e;
    size_t at = 0;

    while ((e = map_next(&c->entries, &at)))
        free(e->value);
    map_finish(&c->entries);
    map_init(&c->entries);
}

void authorizer_cache_destroy(struct authorizer_cache *c)
{
    if (!c)
        return;
    empty(c);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

bool authorizer_cache_find(struct authorizer_cache *c, struct str key, int64_t now_ms,
                           struct arena *a, struct authorizer_decision *out)
{
    char digest[SHA256_HEX_BYTES];
    bool found = false;

    if (!c)
        return false;
    hash_sha256_hex(key, digest);
    pthread_mutex_lock(&c->lock);
    struct entry *e = map_get(&c->entries, str_from(digest));
    if (e && e->until_ms > now_ms) {
        struct str policy = {e->text, e->policy_len};
        struct str context = {e->text + e->policy_len, e->context_len};
        *out = (struct authorizer_decision){
            .allowed = e->allowed,
            .policy = e->has_policy ? arena_str(a, policy) : STR_NULL,
            .context = e->has_context ? arena_str(a, context) : STR_NULL,
        };
        found = true;
    } else if (e) {
        map_remove(&c->entries, str_from(digest));
        free(e);
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

void authorizer_cache_add(struct authorizer_cache *c, struct str key, int64_t until_ms,
                          const struct authorizer_decision *d)
{
    struct entry *e = c ? malloc(sizeof(*e) + d->policy.len + d->context.len) : NULL;
    void *old = NULL;

    if (!e)
        return;
    hash_sha256_hex(key, e->digest);
    e->until_ms = until_ms;
    e->allowed = d->allowed;
    e->has_context = d->context.ptr != NULL;
    e->has_policy = d->policy.ptr != NULL;
    e->policy_len = d->policy.len;
    e->context_len = d->context.len;
    if (e->policy_len > 0)
        memcpy(e->text, d->policy.ptr, e->policy_len);
    if (e->context_len > 0)
        memcpy(e->text + e->policy_len, d->context.ptr, e->context_len);
    pthread_mutex_lock(&c->lock);
    if (c->entries.n >= AUTHORIZER_CACHE_MAX)
        empty(c);
    if (map_set(&c->entries, str_from(e->digest), e, &old) < 0)
        old = e;
    pthread_mutex_unlock(&c->lock);
    free(old);
}
