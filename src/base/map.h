// map.h - a hash table from strings to pointers.
//
// Open addressing, linear probing, at most three quarters full. Keys are borrowed: a key must live
// in the value it leads to, or otherwise as long as its entry. Not thread-safe. Iteration is in
// no particular order and must not be mixed with changes, but map_remove of the current entry
// after having taken the next one is not safe either: collect first.
#ifndef LAMBKIN_BASE_MAP_H
#define LAMBKIN_BASE_MAP_H

#include "str.h"

struct map_entry {
    struct str key; // ptr NULL: free
    void *value;
    uint64_t hash;
};

struct map {
    struct map_entry *entries; // a power of two of them, or NULL
    size_t cap, n;
};

void map_init(struct map *m); // a zeroed map is as good
void map_finish(struct map *m);
void *map_get(const struct map *m, struct str key); // NULL when there is none
// Sets or replaces; *old (may be NULL) receives what was there. 0 or -ENOMEM. The key of a
// replaced entry is replaced too. Values are not NULL; keys are not absent.
int map_set(struct map *m, struct str key, void *value, void **old);
void *map_remove(struct map *m, struct str key); // the value that was there, or NULL
void map_clear(struct map *m);
// size_t at = 0; while ((e = map_next(&m, &at))) …
const struct map_entry *map_next(const struct map *m, size_t *at);

#endif
