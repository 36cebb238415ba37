// arrivals.c - see arrivals.h.

#include "runtime/arrivals.h"

#define FIRST_MS 10.0
#define GROWTH 1.189207115 // the fourth root of two
#define CUT_PERCENT 5      // of the idle times at either end do not count

static double lower_edge(unsigned bin)
{
    double ms = FIRST_MS;

    for (unsigned i = 0; i < bin; i++)
        ms *= GROWTH;
    return ms;
}

void arrivals_add(struct arrivals *a, int64_t idle_ms)
{
    double edge = FIRST_MS * GROWTH;
    unsigned bin = 0;

    while (bin + 1 < ARRIVALS_BINS && (double)idle_ms >= edge) {
        edge *= GROWTH;
        bin++;
    }
    if (a->n >= ARRIVALS_MOST) {
        a->n = 0;
        for (unsigned i = 0; i < ARRIVALS_BINS; i++) {
            a->bins[i] /= 2;
            a->n += a->bins[i];
        }
    }
    a->bins[bin]++;
    a->n++;
}

bool arrivals_expect(const struct arrivals *a, int64_t *from_ms, int64_t *to_ms)
{
    unsigned cut = a->n * CUT_PERCENT / 100, first = 0, last = ARRIVALS_BINS - 1, seen = 0;

    if (a->n < ARRIVALS_FEWEST)
        return false;
    if (cut == 0 && a->n >= 2 * ARRIVALS_FEWEST)
        cut = 1; // one that was out of the order
    while (seen + a->bins[first] <= cut)
        seen += a->bins[first++];
    seen = 0;
    while (seen + a->bins[last] <= cut)
        seen += a->bins[last--];
    double from = lower_edge(first), to = lower_edge(last + 1);
    if (last < first || to > from * ARRIVALS_SPREAD)
        return false;
    *from_ms = (int64_t)from;
    *to_ms = (int64_t)to;
    return true;
}
