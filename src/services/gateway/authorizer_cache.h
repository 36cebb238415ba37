// authorizer_cache.h - what an authorizer decided, kept for a while. Thread-safe, bounded.
#ifndef LAMBKIN_SERVICES_GATEWAY_AUTHORIZER_CACHE_H
#define LAMBKIN_SERVICES_GATEWAY_AUTHORIZER_CACHE_H

#include "base/arena.h"

#define AUTHORIZER_CACHE_MAX 4096 // decisions; when it is full, it is emptied

struct authorizer_cache;

struct authorizer_decision {
    bool allowed;
    struct str policy;  // absent: `allowed` says it; else a policy document, asked for each route
    struct str context; // JSON for requestContext.authorizer, may be absent
};

struct authorizer_cache *authorizer_cache_create(void); // NULL when out of memory
void authorizer_cache_destroy(struct authorizer_cache *c);
// Keys are secrets (tokens): only their digest is kept. False: not there, or too old.
bool authorizer_cache_find(struct authorizer_cache *c, struct str key, int64_t now_ms,
                           struct arena *a, struct authorizer_decision *out);
void authorizer_cache_add(struct authorizer_cache *c, struct str key, int64_t until_ms,
                          const struct authorizer_decision *d);

#endif
