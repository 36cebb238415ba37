// heap.c - a binary heap in an array.
//
// Invariant: nodes[i]->place == i + 1, and no node's key is smaller than its parent's.
#include "heap.h"

#include <errno.h>
#include <stdlib.h>

void heap_init(struct heap *h)
{
    *h = (struct heap){0};
}

void heap_finish(struct heap *h)
{
    for (size_t i = 0; i < h->n; i++)
        h->nodes[i]->place = 0;
    free(h->nodes);
    heap_init(h);
}

static void put(struct heap *h, size_t i, struct heap_node *node)
{
    h->nodes[i] = node;
    node->place = i + 1;
}

static void rise(struct heap *h, size_t i)
{
    struct heap_node *node = h->nodes[i];

    while (i > 0 && node->key < h->nodes[(i - 1) / 2]->key) {
        put(h, i, h->nodes[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(h, i, node);
}

static void sink(struct heap *h, size_t i)
{
    struct heap_node *node = h->nodes[i];

    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->n)
            break;
        if (child + 1 < h->n && h->nodes[child + 1]->key < h->nodes[child]->key)
            child++;
        if (h->nodes[child]->key >= node->key)
            break;
        put(h, i, h->nodes[child]);
        i = child;
    }
    put(h, i, node);
}

int heap_add(struct heap *h, struct heap_node *node, int64_t key)
{
    if (h->n == h->cap) {
        size_t cap = h->cap > 0 ? h->cap * 2 : 16;
        struct heap_node **nodes = reallocarray(h->nodes, cap, sizeof(*nodes));
        if (!nodes)
            return -ENOMEM;
        h->nodes = nodes;
        h->cap = cap;
    }
    node->key = key;
    put(h, h->n++, node);
    rise(h, h->n - 1);
    return 0;
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    size_t i = node->place - 1;
    struct heap_node *last;

    if (node->place == 0)
        return;
    node->place = 0;
    last = h->nodes[--h->n];
    if (last == node)
        return;
    put(h, i, last);
    rise(h, i);
    sink(h, last->place - 1);
}

void heap_move(struct heap *h, struct heap_node *node, int64_t key)
{
    node->key = key;
    rise(h, node->place - 1);
    sink(h, node->place - 1);
}
