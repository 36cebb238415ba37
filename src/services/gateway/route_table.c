// route_table.c - see route_table.h.
//
// A tree with a level per segment. Each node has children by name, one for a parameter, and the
// routes that end in a greedy parameter there. Matching tries them in that order and comes back
// where a choice leads nowhere; MAX_STEPS bounds that for tables made to be slow.
//
// What is compared lies where it is found (the hash beside the pointer, a node's name within it),
// and nothing is larger than it has to be: in a large table a look-up costs by what is not in the
// processor's cache.

#include "services/gateway/route_table.h"

#include "base/map.h"

#include <errno.h>

#define MAX_STEPS 20000

struct endpoint { // the routes of one path, by method
    struct str method;
    const void *route;
    struct endpoint *next;
    unsigned n_names;
    struct str names[]; // of the parameters, in order
};

struct slot {
    uint32_t hash;
    struct node *node; // NULL: free
};

struct node {
    struct slot *slots; // children by name, open addressing; at most half are taken
    uint32_t n_slots;   // a power of two, or 0
    uint32_t n_children;
    struct node *parameter;
    struct endpoint *ends;   // routes that end here
    struct endpoint *greedy; // routes whose last segment is {name+} here
    size_t name_len;
    char name[];
};

struct route_table {
    struct arena *arena;
    struct node *root;
    const void *fallback; // $default
};

static struct node *node_new(struct arena *a, struct str name)
{
    struct node *n = arena_alloc(a, sizeof(*n) + name.len);

    if (!n)
        return NULL;
    *n = (struct node){.name_len = name.len};
    if (name.len > 0)
        memcpy(n->name, name.ptr, name.len);
    return n;
}

struct route_table *route_table_new(struct arena *a)
{
    struct route_table *t = arena_new(a, struct route_table);

    if (!t)
        return NULL;
    t->arena = a;
    t->root = node_new(a, STR(""));
    return t->root ? t : NULL;
}

// ---- keys
// ----------------------------------------------------------------------------------------

// *m becomes a text of ours: every look-up reads it, and one that all routes share is near.
static bool method_valid(struct str *m)
{
    static const char *const methods[] = {"ANY",  "GET",    "POST",  "PUT",
                                          "HEAD", "DELETE", "PATCH", "OPTIONS"};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (str_eq(*m, str_from(methods[i]))) {
            *m = str_from(methods[i]);
            return true;
        }
    return false;
}

enum segment_kind { SEGMENT_NAMED, SEGMENT_PARAMETER, SEGMENT_GREEDY, SEGMENT_BAD };

static enum segment_kind segment(struct str s, struct str *name)
{
    if (s.len == 0 || s.ptr[0] != '{') {
        *name = s;
        return str_find_char(s, '{') >= 0 || str_find_char(s, '}') >= 0 ? SEGMENT_BAD
                                                                        : SEGMENT_NAMED;
    }
    bool greedy = str_ends(s, STR("+}"));
    *name = str_slice(s, 1, s.len - (greedy ? 2 : 1));
    if (!str_ends(s, STR("}")) || name->len == 0)
        return SEGMENT_BAD;
    for (size_t i = 0; i < name->len; i++)
        if (strchr("{}+/", name->ptr[i]))
            return SEGMENT_BAD;
    return greedy ? SEGMENT_GREEDY : SEGMENT_PARAMETER;
}

static bool split_key(struct str key, struct str *method, struct str *path)
{
    struct str rest = key;

    return str_next(&rest, ' ', method) && rest.ptr && (*path = rest, true) &&
           method_valid(method) && path->len > 0 && path->ptr[0] == '/';
}

bool route_key_valid(struct str key)
{
    struct str method, path, rest, part, name;
    unsigned segments = 0, parameters = 0;

    if (str_eq(key, STR("$default")))
        return true;
    if (!split_key(key, &method, &path))
        return false;
    rest = str_slice(path, 1, path.len);
    while (str_next(&rest, '/', &part)) {
        enum segment_kind kind = segment(part, &name);
        if (kind == SEGMENT_BAD || ++segments > ROUTE_MAX_SEGMENTS)
            return false;
        if (kind != SEGMENT_NAMED && ++parameters > ROUTE_MAX_PARAMETERS)
            return false;
        if (kind == SEGMENT_GREEDY && rest.ptr)
            return false;
    }
    return true;
}

// ---- building
// ------------------------------------------------------------------------------------

static uint32_t name_hash(struct str s)
{
    uint32_t h = 2166136261u; // FNV-1a: tables are the owner's own, not a stranger's

    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.ptr[i]) * 16777619u;
    return h;
}

// The slot that has the name, or the free one where it would go.
static struct slot *slot_of(const struct node *n, struct str name, uint32_t hash)
{
    uint32_t mask = n->n_slots - 1;

    for (uint32_t i = hash & mask;; i = (i + 1) & mask) {
        struct slot *s = &n->slots[i];
        if (!s->node ||
            (s->hash == hash && str_eq((struct str){s->node->name, s->node->name_len}, name)))
            return s;
    }
}

static struct node *child_find(const struct node *n, struct str name)
{
    return n->n_slots > 0 ? slot_of(n, name, name_hash(name))->node : NULL;
}

static bool grow(struct route_table *t, struct node *n)
{
    struct node bigger = {.n_slots = n->n_slots ? 2 * n->n_slots : 4};

    bigger.slots = arena_new_array(t->arena, struct slot, bigger.n_slots);
    if (!bigger.slots)
        return false;
    for (uint32_t i = 0; i < n->n_slots; i++) {
        const struct node *child = n->slots[i].node;
        if (child)
            *slot_of(&bigger, (struct str){child->name, child->name_len}, n->slots[i].hash) =
                n->slots[i];
    }
    n->slots = bigger.slots;
    n->n_slots = bigger.n_slots;
    return true;
}

static struct node *child_get(struct route_table *t, struct node *n, struct str name)
{
    struct node *found = child_find(n, name);

    if (found)
        return found;
    if (2 * (n->n_children + 1) > n->n_slots && !grow(t, n))
        return NULL;
    struct node *node = node_new(t->arena, name);
    if (!node)
        return NULL;
    uint32_t hash = name_hash(name);
    *slot_of(n, name, hash) = (struct slot){hash, node};
    n->n_children++;
    return node;
}

static int add_end(struct route_table *t, struct endpoint **ends, const struct endpoint *made,
                   const struct str *names, struct err *err)
{
    for (; *ends; ends = &(*ends)->next)
        if (str_eq((*ends)->method, made->method))
            return err_set(err, -EEXIST, "there is such a route already");
    *ends = arena_alloc(t->arena, sizeof(*made) + made->n_names * sizeof(*names));
    if (!*ends)
        return err_set(err, -ENOMEM, "out of memory");
    **ends = *made;
    if (made->n_names > 0)
        memcpy((*ends)->names, names, made->n_names * sizeof(*names));
    return 0;
}

int route_table_add(struct route_table *t, struct str key, const void *route, struct err *err)
{
    struct endpoint made = {.route = route};
    struct node *n = t->root;
    struct str names[ROUTE_MAX_PARAMETERS], path, rest, part, name;

    if (!route_key_valid(key))
        return err_set(err, -EINVAL, "not a route key: %.*s", STR_ARG(key));
    key = arena_str(t->arena, key);
    if (!key.ptr)
        return err_set(err, -ENOMEM, "out of memory");
    if (str_eq(key, STR("$default"))) {
        if (t->fallback)
            return err_set(err, -EEXIST, "there is such a route already");
        t->fallback = route;
        return 0;
    }
    split_key(key, &made.method, &path);
    rest = str_slice(path, 1, path.len);
    while (n && str_next(&rest, '/', &part)) {
        switch (segment(part, &name)) {
        case SEGMENT_NAMED:
            n = child_get(t, n, name);
            break;
        case SEGMENT_PARAMETER:
            names[made.n_names++] = name;
            if (!n->parameter)
                n->parameter = node_new(t->arena, STR(""));
            n = n->parameter;
            break;
        case SEGMENT_GREEDY:
            names[made.n_names++] = name;
            return add_end(t, &n->greedy, &made, names, err);
        case SEGMENT_BAD:
            return -EINVAL;
        }
    }
    return n ? add_end(t, &n->ends, &made, names, err) : err_set(err, -ENOMEM, "out of memory");
}

static void remove_end(struct endpoint **ends, struct str method)
{
    for (; *ends; ends = &(*ends)->next) {
        if (!str_eq((*ends)->method, method))
            continue;
        *ends = (*ends)->next;
        return;
    }
}

void route_table_remove(struct route_table *t, struct str key)
{
    struct str method, path, rest, part, name;
    struct node *n = t->root;

    if (str_eq(key, STR("$default")))
        t->fallback = NULL;
    if (!route_key_valid(key) || !split_key(key, &method, &path))
        return;
    rest = str_slice(path, 1, path.len);
    while (n && str_next(&rest, '/', &part)) {
        switch (segment(part, &name)) {
        case SEGMENT_NAMED:
            n = child_find(n, name);
            break;
        case SEGMENT_PARAMETER:
            n = n->parameter;
            break;
        case SEGMENT_GREEDY:
            remove_end(&n->greedy, method);
            return;
        case SEGMENT_BAD:
            return;
        }
    }
    if (n)
        remove_end(&n->ends, method);
}

// ---- matching
// ------------------------------------------------------------------------------------

struct matcher {
    struct str method;
    struct str values[ROUTE_MAX_PARAMETERS];
    unsigned n_values;
    unsigned steps;
    const struct endpoint *found;
};

static const struct endpoint *by_method(const struct endpoint *ends, struct str method)
{
    const struct endpoint *any = NULL;

    for (; ends; ends = ends->next) {
        if (str_eq(ends->method, method))
            return ends;
        if (str_eq(ends->method, STR("ANY")))
            any = ends;
    }
    return any;
}

// `rest` is what follows the slash that led here; absent at the end of the path.
static bool walk(struct matcher *m, const struct node *n, struct str rest)
{
    struct str part, after = rest;

    if (++m->steps > MAX_STEPS)
        return false;
    if (!str_next(&after, '/', &part)) {
        m->found = by_method(n->ends, m->method);
        return m->found != NULL;
    }
    const struct node *named = child_find(n, part);
    if (named && walk(m, named, after))
        return true;
    if (m->n_values == ROUTE_MAX_PARAMETERS)
        return false;
    unsigned mark = m->n_values;
    if (n->parameter && part.len > 0) {
        m->values[m->n_values++] = part;
        if (walk(m, n->parameter, after))
            return true;
        m->n_values = mark;
    }
    const struct endpoint *greedy = rest.len > 0 ? by_method(n->greedy, m->method) : NULL;
    if (!greedy)
        return false;
    m->values[m->n_values++] = rest;
    m->found = greedy;
    return true;
}

bool route_table_match(const struct route_table *t, struct str method, struct str path,
                       struct route_match *out)
{
    struct matcher m = {.method = method};

    *out = (struct route_match){.route = t->fallback};
    if (path.len > 0 && path.ptr[0] == '/' && walk(&m, t->root, str_slice(path, 1, path.len))) {
        out->route = m.found->route;
        for (unsigned i = 0; i < m.n_values && i < m.found->n_names; i++)
            out->parameters[out->n_parameters++] =
                (struct route_parameter){m.found->names[i], m.values[i]};
    }
    return out->route != NULL;
}
