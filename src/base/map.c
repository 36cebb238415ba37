// map.c - open addressing with linear probing and backward-shift deletion.
//
// Invariant: no free entry lies between an entry and the place its hash points to, so a search may
// stop at the first free one; there are no tombstones.
#include "map.h"
#include "hash.h"

#include <errno.h>
#include <stdlib.h>

#define MAP_FIRST_ENTRIES ((size_t)8)

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_finish(struct map *m)
{
    free(m->entries);
    map_init(m);
}

void map_clear(struct map *m)
{
    if (m->entries)
        memset(m->entries, 0, m->cap * sizeof(*m->entries));
    m->n = 0;
}

// The entry of key, or the free one where it would go. There is always a free one.
static struct map_entry *find(const struct map *m, struct str key, uint64_t hash)
{
    size_t i = hash & (m->cap - 1);

    while (m->entries[i].key.ptr && !(m->entries[i].hash == hash && str_eq(m->entries[i].key, key)))
        i = (i + 1) & (m->cap - 1);
    return &m->entries[i];
}

void *map_get(const struct map *m, struct str key)
{
    return m->n > 0 ? find(m, key, hash_table(key))->value : NULL;
}

static int grow(struct map *m)
{
    struct map bigger = {.cap = m->cap > 0 ? m->cap * 2 : MAP_FIRST_ENTRIES, .n = m->n};

    bigger.entries = calloc(bigger.cap, sizeof(*bigger.entries));
    if (!bigger.entries)
        return -ENOMEM;
    for (size_t i = 0; i < m->cap; i++) {
        if (m->entries[i].key.ptr)
            *find(&bigger, m->entries[i].key, m->entries[i].hash) = m->entries[i];
    }
    free(m->entries);
    *m = bigger;
    return 0;
}

int map_set(struct map *m, struct str key, void *value, void **old)
{
    uint64_t hash = hash_table(key);
    struct map_entry *e;

    if (old)
        *old = NULL;
    e = m->cap > 0 ? find(m, key, hash) : NULL;
    if (!e || (!e->key.ptr && m->n + 1 > m->cap - m->cap / 4)) {
        if (grow(m) < 0)
            return -ENOMEM;
        e = find(m, key, hash);
    }
    if (e->key.ptr) {
        if (old)
            *old = e->value;
    } else {
        m->n++;
    }
    *e = (struct map_entry){key, value, hash};
    return 0;
}

void *map_remove(struct map *m, struct str key)
{
    size_t mask = m->cap - 1, hole, i;
    struct map_entry *e;
    void *value;

    if (m->n == 0)
        return NULL;
    e = find(m, key, hash_table(key));
    if (!e->key.ptr)
        return NULL;
    value = e->value;
    hole = i = (size_t)(e - m->entries);
    for (;;) {
        size_t home;
        i = (i + 1) & mask;
        if (!m->entries[i].key.ptr)
            break;
        home = m->entries[i].hash & mask;
        // Only an entry whose way leads over the hole may move into it.
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->entries[hole] = m->entries[i];
            hole = i;
        }
    }
    m->entries[hole] = (struct map_entry){0};
    m->n--;
    return value;
}

const struct map_entry *map_next(const struct map *m, size_t *at)
{
    while (*at < m->cap) {
        const struct map_entry *e = &m->entries[(*at)++];
        if (e->key.ptr)
            return e;
    }
    return NULL;
}
