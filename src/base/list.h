// list.h - intrusive doubly linked lists: a `struct list` is a head or a link in a member.
//
// A link that is in no list points to itself once list_init was called on it; a zeroed link is in
// no list either. Not thread-safe.
#ifndef LAMBKIN_BASE_LIST_H
#define LAMBKIN_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define LIST_INIT(name)                                                                            \
    {                                                                                              \
        &(name), &(name)                                                                           \
    }

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head || head->next == NULL;
}

static inline bool list_linked(const struct list *link)
{
    return !list_empty(link);
}

static inline void list_insert_after(struct list *at, struct list *link)
{
    link->next = at->next;
    link->prev = at;
    at->next->prev = link;
    at->next = link;
}

static inline void list_push(struct list *head, struct list *link) // at the front
{
    list_insert_after(head, link);
}

static inline void list_append(struct list *head, struct list *link) // at the end
{
    list_insert_after(head->prev, link);
}

// Harmless when it is in no list.
static inline void list_remove(struct list *link)
{
    if (!list_linked(link))
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

static inline struct list *list_pop(struct list *head) // the first, or NULL
{
    struct list *link = head->next;
    if (list_empty(head))
        return NULL;
    list_remove(link);
    return link;
}

// Moves everything in `from` to the end of `to`.
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define LIST_ENTRY(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))
#define list_each(link, head)                                                                      \
    for (struct list *link = (head)->next; link != (head) && link; link = link->next)
// The current link may be removed or freed.
#define list_each_safe(link, head)                                                                 \
    for (struct list *link = (head)->next, *link##_next = link ? link->next : NULL;                \
         link != (head) && link; link = link##_next, link##_next = link->next)

#endif
