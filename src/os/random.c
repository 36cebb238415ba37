// random.c - the kernel's random bytes.
//
// Invariants: bytes are given out once and wiped from the stock; a forked child starts with an
// empty stock (the generation differs), so that parent and child never share bytes.
#include "os/random.h"

#include "base/cleanup.h"
#include "os/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#define STOCK_BYTES 256 // getrandom() is never interrupted for up to this many

static atomic_uint fork_generation = 1;

static _Thread_local struct {
    unsigned char bytes[STOCK_BYTES];
    unsigned left;
    unsigned generation;
} stock;

static void after_fork(void)
{
    atomic_fetch_add_explicit(&fork_generation, 1, memory_order_relaxed);
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, after_fork);
}

static void fill(void *to, size_t bytes)
{
    size_t done = 0;

    while (done < bytes) {
        ssize_t n = getrandom((char *)to + done, bytes - done, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            log_error("getrandom: %s", strerror(errno));
            abort();
        }
        done += (size_t)n;
    }
}

void os_random(void *to, size_t bytes)
{
    unsigned generation = atomic_load_explicit(&fork_generation, memory_order_relaxed);

    if (bytes > STOCK_BYTES / 4) {
        fill(to, bytes);
        return;
    }
    if (bytes == 0)
        return;
    if (stock.left < bytes || stock.generation != generation) {
        fill(stock.bytes, STOCK_BYTES);
        stock.left = STOCK_BYTES;
        stock.generation = generation;
    }
    stock.left -= (unsigned)bytes;
    memcpy(to, stock.bytes + stock.left, bytes);
    explicit_bzero(stock.bytes + stock.left, bytes);
}

uint64_t os_random_u64(void)
{
    uint64_t v;

    os_random(&v, sizeof v);
    return v;
}

uint64_t os_random_below(uint64_t below)
{
    // Values under 2^64 mod `below` would make the small results likelier.
    uint64_t least = (0 - below) % below;
    uint64_t v;

    do
        v = os_random_u64();
    while (v < least);
    return v % below;
}
