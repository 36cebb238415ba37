// recursion.c - see recursion.h.

#include "triggers/recursion.h"

#include "base/buf.h"
#include "base/hash.h"

#include <stdio.h>

#define ID_CHARS 8

struct reached {
    struct str id;
    uint64_t count;
};

static unsigned read_lineage(struct str lineage, struct reached out[RECURSION_MAX_FUNCTIONS])
{
    struct str entry, id;
    unsigned n = 0;

    while (n < RECURSION_MAX_FUNCTIONS && str_next(&lineage, '|', &entry)) {
        uint64_t count;
        if (str_next(&entry, ':', &id) && id.len == ID_CHARS && str_to_u64(entry, &count) == 0 &&
            count < 1000)
            out[n++] = (struct reached){id, count};
    }
    return n;
}

struct str recursion_step(struct arena *a, struct str trace, struct str function_arn,
                          unsigned *count)
{
    struct reached reached[RECURSION_MAX_FUNCTIONS];
    char digest[SHA256_HEX_BYTES];
    struct str rest = trace, part, out;
    unsigned n = 0, mine;
    struct buf b;

    hash_sha256_hex(function_arn, digest);
    const struct str id = {digest, ID_CHARS};
    buf_init(&b, RECURSION_MAX_HEADER);
    while (trace.len <= RECURSION_MAX_HEADER && str_next(&rest, ';', &part)) {
        part = str_trim(part);
        if (str_starts(part, STR("Lineage="))) {
            n = read_lineage(str_slice(part, strlen("Lineage="), part.len), reached);
        } else if (part.len > 0) {
            buf_add(&b, part);
            buf_add_char(&b, ';');
        }
    }
    for (mine = 0; mine < n && !str_eq(reached[mine].id, id); mine++)
        ;
    if (mine == n && n == RECURSION_MAX_FUNCTIONS) {
        memmove(reached, reached + 1, (n - 1) * sizeof(reached[0]));
        mine = --n;
    }
    if (mine == n)
        reached[n++] = (struct reached){id, 0};
    *count = (unsigned)++reached[mine].count;
    buf_add(&b, STR("Lineage="));
    for (unsigned i = 0; i < n; i++)
        buf_addf(&b, "%s%.*s:%llu", i > 0 ? "|" : "", STR_ARG(reached[i].id),
                 (unsigned long long)reached[i].count);
    out = b.failed ? trace : arena_str(a, buf_str(&b));
    buf_finish(&b);
    return out;
}
