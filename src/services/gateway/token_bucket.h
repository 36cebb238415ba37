// token_bucket.h - how many requests a second, and how many at once.
#ifndef LAMBKIN_SERVICES_GATEWAY_TOKEN_BUCKET_H
#define LAMBKIN_SERVICES_GATEWAY_TOKEN_BUCKET_H

#include "base/json.h"

#include <pthread.h>

struct token_bucket {
    double rate, burst; // per second; rate 0: no limit
    double tokens;
    int64_t at_ns;
    pthread_mutex_t lock;
};

// By the members throttlingRateLimit and throttlingBurstLimit of route settings (may be NULL).
void token_bucket_init(struct token_bucket *b, const struct json_value *settings);
// True when there is a token. Any thread.
bool token_bucket_take(struct token_bucket *b);

#endif
