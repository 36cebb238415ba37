// decode_xml.c - an XML body into a structure (rest-xml).
#include "wire/wire_impl.h"

#include "base/xml.h"

static int value(struct walk *w, const struct xml_node *n, const struct wire_member *ref,
                 const struct wire_shape *sh, void *at);

// How many siblings from n on have that name.
static size_t count_named(const struct xml_node *n, struct str name)
{
    size_t count = 0;

    for (; n; n = n->next)
        count += str_eq(n->name, name);
    return count;
}

static struct str local_name(struct walk *w, const struct wire_member *m)
{
    struct str name = wire_text(w->s, m->wire_name);
    ptrdiff_t colon = str_find_char(name, ':');

    return colon < 0 ? name : str_slice(name, (size_t)colon + 1, name.len);
}

// Elements called `name` among the siblings from `first` on.
static int list(struct walk *w, const struct xml_node *first, struct str name,
                const struct wire_shape *sh, void *at)
{
    const struct wire_member *m = wire_members_of(w->s, sh);
    size_t i = 0;
    int r = walk_array(w, sh, count_named(first, name), at);

    for (const struct xml_node *n = first; n && r >= 0; n = n->next) {
        void *place;

        if (!str_eq(n->name, name))
            continue;
        place = walk_element(w, sh, at, i++);
        r = place ? value(w, n, m, wire_shape_of(w->s, m), place) : -ENOMEM;
    }
    return r;
}

static int map(struct walk *w, const struct xml_node *first, struct str name,
               const struct wire_shape *sh, void *at)
{
    const struct wire_member *key = wire_members_of(w->s, sh), *val = key + 1;
    size_t i = 0;
    int r = walk_array(w, sh, count_named(first, name), at);

    for (const struct xml_node *n = first; n && r >= 0; n = n->next) {
        const struct xml_node *k, *v;
        void *place;

        if (!str_eq(n->name, name))
            continue;
        k = xml_child(n, local_name(w, key));
        v = xml_child(n, local_name(w, val));
        *walk_key(sh, at, i) = k ? k->text : STR("");
        place = walk_element(w, sh, at, i++);
        if (!place)
            return -ENOMEM;
        if (v)
            r = value(w, v, val, wire_shape_of(w->s, val), place);
    }
    return r;
}

static bool is_flat(struct walk *w, const struct wire_member *m)
{
    return ((m->flags | wire_shape_of(w->s, m)->flags) & WIRE_FLATTENED) != 0;
}

static int member(struct walk *w, const struct xml_node *n, const struct wire_member *m, void *base)
{
    const struct wire_shape *sh = wire_shape_of(w->s, m);
    struct str name = local_name(w, m);
    const struct xml_node *child;
    void *place;

    if (m->flags & WIRE_XML_ATTRIBUTE) {
        struct str text = xml_attribute_get(n, name);

        if (str_is_null(text))
            return 0;
        place = walk_open(w, m, base);
        return place ? scalar_from_text(w, m, SCALAR_BODY, text, place) : -ENOMEM;
    }
    child = xml_child(n, name);
    if (!child)
        return 0;
    place = walk_open(w, m, base);
    if (!place)
        return -ENOMEM;
    if (is_flat(w, m) && sh->type == WIRE_LIST)
        return list(w, child, name, sh, place);
    if (is_flat(w, m) && sh->type == WIRE_MAP)
        return map(w, child, name, sh, place);
    return value(w, child, m, sh, place);
}

static int structure(struct walk *w, const struct xml_node *n, const struct wire_shape *sh,
                     void *at)
{
    const struct wire_member *m = wire_members_of(w->s, sh);
    int r = 0;

    for (size_t i = 0; i < sh->n_members && r >= 0; i++, m++) {
        if (w->depth > 1 || m->location == WIRE_IN_BODY)
            r = member(w, n, m, at);
    }
    return r;
}

static int value(struct walk *w, const struct xml_node *n, const struct wire_member *ref,
                 const struct wire_shape *sh, void *at)
{
    int r;

    if (sh->type > WIRE_MAP)
        return scalar_from_text(w, ref, SCALAR_BODY, n->text, at);
    if (++w->depth > WALK_MAX_DEPTH)
        return walk_malformed(w, "The input is nested too deeply.");
    if (sh->type == WIRE_STRUCTURE)
        r = structure(w, n, sh, at);
    else if (sh->type == WIRE_LIST)
        r = list(w, n->children, local_name(w, wire_members_of(w->s, sh)), sh, at);
    else
        r = map(w, n->children, STR("entry"), sh, at);
    w->depth--;
    return r;
}

int decode_xml_body(struct walk *w, struct str body, const struct wire_shape *sh,
                    const struct wire_member *ref, void *at)
{
    struct xml_node *root;
    struct err why = ERR_INIT;
    int r;

    if (str_trim(body).len == 0)
        return 0;
    r = xml_parse(w->arena, body, &root, &why);
    if (r == -ENOMEM)
        return walk_oom(w);
    if (r < 0)
        return walk_malformed(w, "The XML you provided was not well-formed or did not validate "
                                 "against our published schema");
    return value(w, root, ref, sh, at);
}
