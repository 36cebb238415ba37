// token_bucket.c - see token_bucket.h.

#include "services/gateway/token_bucket.h"

#include "os/time.h"

void token_bucket_init(struct token_bucket *b, const struct json_value *settings)
{
    pthread_mutex_init(&b->lock, NULL);
    json_f64(json_get(settings, "throttlingRateLimit"), &b->rate);
    json_f64(json_get(settings, "throttlingBurstLimit"), &b->burst);
    if (b->burst < 1)
        b->burst = b->rate > 1 ? b->rate : 1;
    b->tokens = b->burst;
    b->at_ns = os_mono_ns();
}

bool token_bucket_take(struct token_bucket *b)
{
    if (b->rate <= 0)
        return true;
    pthread_mutex_lock(&b->lock);
    int64_t now = os_mono_ns();
    b->tokens += (double)(now - b->at_ns) / 1e9 * b->rate;
    b->at_ns = now;
    if (b->tokens > b->burst)
        b->tokens = b->burst;
    bool taken = b->tokens >= 1;
    if (taken)
        b->tokens -= 1;
    pthread_mutex_unlock(&b->lock);
    return taken;
}
