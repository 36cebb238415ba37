// heap.h - a priority queue of intrusive nodes, smallest key first: timers, due dates.
//
// The heap keeps pointers to nodes that live in their owners; a node knows its place, so removing
// one from the middle is O(log n). Not thread-safe.
#ifndef LAMBKIN_BASE_HEAP_H
#define LAMBKIN_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    int64_t key;
    size_t place; // 1-based; 0 when it is in no heap
};

struct heap {
    struct heap_node **nodes;
    size_t n, cap;
};

void heap_init(struct heap *h); // a zeroed heap is as good
void heap_finish(struct heap *h);
// 0 or -ENOMEM. The node must not be in a heap.
int heap_add(struct heap *h, struct heap_node *node, int64_t key);
// Harmless when the node is in no heap.
void heap_remove(struct heap *h, struct heap_node *node);
// Gives a node that is in the heap another key.
void heap_move(struct heap *h, struct heap_node *node, int64_t key);
static inline struct heap_node *heap_first(const struct heap *h)
{
    return h->n > 0 ? h->nodes[0] : NULL;
}

#endif
