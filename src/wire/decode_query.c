// decode_query.c - an x-www-form-urlencoded body into a structure (the query protocol).
//
// Parameters are sorted once; a member is then a range of the sorted names that share a prefix:
// "Attribute.1.Name" lies within "Attribute." within "". Lists and maps count from 1; gaps end
// nothing, as AWS takes the numbers only as an order.
#include "wire/wire_impl.h"

#include "base/percent.h"

#include <stdlib.h>

struct parameter {
    struct str name, value;
};

struct range {
    const struct parameter *first;
    size_t n;
};

#define MAX_PARAMETERS 100000

static int value(struct walk *w, struct range r, size_t prefix, const struct wire_member *ref,
                 const struct wire_shape *sh, bool flat, void *at);

// The dot sorts before everything else, so that what lies below a name follows it at once.
static int by_name(const void *a, const void *b)
{
    struct str x = ((const struct parameter *)a)->name, y = ((const struct parameter *)b)->name;
    size_t n = x.len < y.len ? x.len : y.len;

    for (size_t i = 0; i < n; i++) {
        int c = x.ptr[i] == '.' ? -1 : (unsigned char)x.ptr[i];
        int d = y.ptr[i] == '.' ? -1 : (unsigned char)y.ptr[i];

        if (c != d)
            return c - d;
    }
    return x.len < y.len ? -1 : x.len > y.len;
}

// The parameters of r whose name goes on with `part` after `prefix` bytes; exactly that name, or
// followed by a dot. *next is the prefix of what lies below.
static struct range below(struct range r, size_t prefix, struct str part, size_t *next)
{
    struct range out = {NULL, 0};

    for (size_t i = 0; i < r.n; i++) {
        struct str rest = str_slice(r.first[i].name, prefix, r.first[i].name.len);
        if (!str_starts(rest, part) || (rest.len != part.len && rest.ptr[part.len] != '.'))
            continue;
        if (!out.first)
            out.first = &r.first[i];
        out.n++;
    }
    *next = prefix + part.len + 1;
    return out;
}

static struct str first_component(struct str name, size_t prefix)
{
    struct str rest = str_slice(name, prefix, name.len);
    ptrdiff_t dot = str_find_char(rest, '.');

    return dot < 0 ? rest : str_slice(rest, 0, (size_t)dot);
}

struct numbered {
    uint64_t number;
    struct range range;
};

static int by_number(const void *a, const void *b)
{
    uint64_t x = ((const struct numbered *)a)->number, y = ((const struct numbered *)b)->number;

    return x < y ? -1 : x > y;
}

// Splits r into the runs of names that share a number after the prefix.
static int split(struct walk *w, struct range r, size_t prefix, struct numbered **out, size_t *n)
{
    struct numbered *all = arena_new_array(w->arena, struct numbered, r.n ? r.n : 1);
    size_t count = 0;

    if (!all)
        return walk_oom(w);
    for (size_t i = 0; i < r.n; i++) {
        uint64_t number;

        if (r.first[i].name.len < prefix ||
            str_to_u64(first_component(r.first[i].name, prefix), &number) < 0)
            continue;
        if (count && all[count - 1].number == number) {
            all[count - 1].range.n = (size_t)(&r.first[i] - all[count - 1].range.first) + 1;
            continue;
        }
        all[count++] = (struct numbered){number, {&r.first[i], 1}};
    }
    qsort(all, count, sizeof(*all), by_number);
    *out = all;
    *n = count;
    return 0;
}

static size_t past_number(struct numbered *one, size_t prefix)
{
    return prefix + first_component(one->range.first->name, prefix).len + 1;
}

static bool is_flat(const struct wire_service *s, const struct wire_member *m)
{
    return ((m->flags | wire_shape_of(s, m)->flags) & WIRE_FLATTENED) != 0;
}

static int structure(struct walk *w, struct range r, size_t prefix, const struct wire_shape *sh,
                     void *at)
{
    const struct wire_member *m = wire_members_of(w->s, sh);

    for (size_t i = 0; i < sh->n_members; i++, m++) {
        const struct wire_shape *inner = wire_shape_of(w->s, m);
        struct str name = wire_body_name(w, m);
        bool flat = inner->type > WIRE_STRUCTURE && inner->type <= WIRE_MAP && is_flat(w->s, m);
        struct range sub;
        size_t next;
        void *place;
        int rc;

        sub = below(r, prefix, name, &next);
        if (sub.n == 0)
            continue;
        place = walk_open(w, m, at);
        if (!place)
            return -ENOMEM;
        rc = value(w, sub, next, m, inner, flat, place);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int list(struct walk *w, struct range r, size_t prefix, const struct wire_shape *sh,
                bool flat, void *at)
{
    const struct wire_member *m = wire_members_of(w->s, sh);
    struct numbered *all = NULL;
    size_t n = 0;
    int rc;

    if (!flat)
        r = below(r, prefix, wire_body_name(w, m), &prefix);
    rc = split(w, r, prefix, &all, &n);
    if (rc < 0)
        return rc;
    rc = walk_array(w, sh, n, at);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < n; i++) {
        void *place = walk_element(w, sh, at, i);

        if (!place)
            return -ENOMEM;
        rc = value(w, all[i].range, past_number(&all[i], prefix), m, wire_shape_of(w->s, m),
                   is_flat(w->s, m), place);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int map(struct walk *w, struct range r, size_t prefix, const struct wire_shape *sh,
               bool flat, void *at)
{
    const struct wire_member *key = wire_members_of(w->s, sh), *val = key + 1;
    struct numbered *all = NULL;
    size_t n = 0;
    int rc;

    if (!flat)
        r = below(r, prefix, STR("entry"), &prefix);
    rc = split(w, r, prefix, &all, &n);
    if (rc < 0)
        return rc;
    rc = walk_array(w, sh, n, at);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < n; i++) {
        size_t entry = past_number(&all[i], prefix), next;
        struct range sub = below(all[i].range, entry, wire_body_name(w, key), &next);
        void *place = walk_element(w, sh, at, i);

        if (!place)
            return -ENOMEM;
        *walk_key(sh, at, i) = sub.n ? sub.first->value : STR("");
        sub = below(all[i].range, entry, wire_body_name(w, val), &next);
        if (sub.n == 0)
            continue;
        rc = value(w, sub, next, val, wire_shape_of(w->s, val), is_flat(w->s, val), place);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int value(struct walk *w, struct range r, size_t prefix, const struct wire_member *ref,
                 const struct wire_shape *sh, bool flat, void *at)
{
    int rc;

    if (sh->type > WIRE_MAP) {
        // The parameter itself, not one below it.
        if (r.first->name.len + 1 != prefix)
            return walk_malformed(w, "Value of %s cannot be read.", w->s->strings + ref->name);
        return scalar_from_text(w, ref, SCALAR_BODY, r.first->value, at);
    }
    if (++w->depth > WALK_MAX_DEPTH)
        return walk_malformed(w, "The input is nested too deeply.");
    // "Attributes=" alone is how clients write an empty list or map.
    if (sh->type == WIRE_STRUCTURE)
        rc = structure(w, r, prefix, sh, at);
    else if (sh->type == WIRE_LIST)
        rc = list(w, r, prefix, sh, flat, at);
    else
        rc = map(w, r, prefix, sh, flat, at);
    w->depth--;
    return rc;
}

int decode_query_body(struct walk *w, struct str form, const struct wire_shape *sh, void *at)
{
    struct str rest = form, name, text;
    struct parameter *all;
    size_t n = 0, most = 1;

    for (size_t i = 0; i < form.len; i++)
        most += form.ptr[i] == '&';
    if (most > MAX_PARAMETERS)
        return walk_malformed(w, "Too many parameters.");
    all = arena_new_array(w->arena, struct parameter, most);
    if (!all)
        return walk_oom(w);
    while (n < most && percent_next_pair(&rest, &name, &text)) {
        int r = percent_decode(w->arena, name, PERCENT_FORM, &all[n].name);

        if (r == 0 && !str_is_null(text))
            r = percent_decode(w->arena, text, PERCENT_FORM, &all[n].value);
        else if (r == 0)
            all[n].value = STR("");
        if (r == -ENOMEM)
            return walk_oom(w);
        if (r < 0)
            return walk_malformed(w, "The request body is not a valid form.");
        n++;
    }
    qsort(all, n, sizeof(*all), by_name);
    w->depth = 1;
    return structure(w, (struct range){all, n}, 0, sh, at);
}
