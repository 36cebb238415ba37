// case_compare.c - see case_compare.h.
#include "case_compare.h"

#include "wire/wire_impl.h"

#include <math.h>
#include <stdio.h>

static double real(const struct json_value *v)
{
    struct str text = STR_NULL;
    double d = 0;

    if (json_f64(v, &d))
        return d;
    json_str(v, &text);
    if (str_eq(text, STR("NaN")))
        return (double)NAN;
    return str_eq(text, STR("Infinity")) ? (double)INFINITY : (double)-INFINITY;
}

static void fill_value(const struct wire_service *s, const struct wire_shape *sh,
                       const struct json_value *v, struct arena *a, void *at)
{
    struct walk w = {.s = s, .arena = a};
    size_t i = 0;
    double d;

    switch ((enum wire_type)sh->type) {
    case WIRE_STRUCTURE:
        json_each(child, v)
        {
            const struct wire_member *m = wire_members_of(s, sh);

            for (size_t k = 0; k < sh->n_members; k++, m++) {
                if (str_eq(wire_text(s, m->name), child->key) && child->type != JSON_NULL)
                    fill_value(s, wire_shape_of(s, m), child, a, walk_open(&w, m, at));
            }
        }
        break;
    case WIRE_LIST:
    case WIRE_MAP:
        walk_array(&w, sh, json_count(v), at);
        json_each(child, v)
        {
            const struct wire_member *m = wire_members_of(s, sh) + (sh->type == WIRE_MAP ? 1 : 0);

            if (sh->type == WIRE_MAP)
                *walk_key(sh, at, i) = child->key;
            if (child->type != JSON_NULL)
                fill_value(s, wire_shape_of(s, m), child, a, walk_element(&w, sh, at, i));
            i++;
        }
        break;
    case WIRE_STRING:
    case WIRE_BLOB:
        if (!json_str(v, at))
            *(struct str *)at = v->raw;
        break;
    case WIRE_DOCUMENT:
        *(struct str *)at = v->raw;
        break;
    case WIRE_BOOLEAN:
        json_bool(v, at);
        break;
    case WIRE_INTEGER:
    case WIRE_LONG:
        json_i64(v, at);
        break;
    case WIRE_FLOAT:
    case WIRE_DOUBLE:
        d = real(v);
        memcpy(at, &d, sizeof(d));
        break;
    case WIRE_TIMESTAMP:
        *(int64_t *)at = (int64_t)llround(real(v) * 1000.0);
        break;
    }
}

void case_fill(const struct wire_service *s, unsigned shape, const struct json_value *v,
               struct arena *a, void *out)
{
    fill_value(s, &s->shapes[shape], v, a, out);
}

static bool differs(char *why, struct str where, const char *what)
{
    snprintf(why, 256, "%.*s: %s", STR_ARG(where), what);
    return false;
}

static bool is_empty(const struct json_value *v)
{
    return json_is_null(v) || (v->type >= JSON_ARRAY && json_count(v) == 0);
}

// A structure with no member present.
static bool is_bare(const struct wire_service *s, const struct wire_shape *sh, const void *at)
{
    const struct wire_member *m = wire_members_of(s, sh);

    for (size_t i = 0; i < sh->n_members; i++) {
        if (wire_present(&m[i], at))
            return false;
    }
    return true;
}

static bool same_value(const struct wire_service *s, const struct wire_shape *sh, struct str where,
                       const struct json_value *v, const void *at, bool loose, char *why);

static bool same_structure(const struct wire_service *s, const struct wire_shape *sh,
                           const struct json_value *v, const void *at, bool loose, char *why)
{
    const struct wire_member *m = wire_members_of(s, sh);

    for (size_t i = 0; i < sh->n_members; i++, m++) {
        struct str name = wire_text(s, m->name);
        const struct json_value *want = json_get_str(v, name);
        bool here = wire_present(m, at);

        if (!here && (json_is_null(want) || (loose && is_empty(want))))
            continue;
        // What a client makes up when the caller gives no token.
        if (here && json_is_null(want) && (m->flags & WIRE_TOKEN))
            continue;
        if (here && json_is_null(want)) {
            const struct wire_run *run = wire_value(s, m, at);
            enum wire_type type = (enum wire_type)wire_shape_of(s, m)->type;

            if (loose && (type == WIRE_LIST || type == WIRE_MAP) && run->n == 0)
                continue;
            if (loose && type == WIRE_STRUCTURE && is_bare(s, wire_shape_of(s, m), run))
                continue;
            return differs(why, name, "there, but should not be");
        }
        if (!here)
            return differs(why, name, "absent");
        if (!same_value(s, wire_shape_of(s, m), name, want, wire_value(s, m, at), loose, why))
            return false;
    }
    return true;
}

static const struct json_value *at_index(const struct json_value *v, size_t i)
{
    const struct json_value *c = json_first(v);

    while (c && i--)
        c = c->next;
    return c;
}

static bool same_run(const struct wire_service *s, const struct wire_shape *sh, struct str where,
                     const struct json_value *v, const void *at, bool loose, char *why)
{
    bool is_map = sh->type == WIRE_MAP;
    const struct wire_member *m = wire_members_of(s, sh) + (is_map ? 1 : 0);
    size_t n = ((const struct wire_run *)at)->n;

    if (n != json_count(v))
        return differs(why, where, "another number of elements");
    for (size_t i = 0; i < n; i++) {
        const void *element = wire_element(s, sh, at, i);
        const struct json_value *want =
            is_map ? json_get_str(v, *wire_key(sh, at, i)) : at_index(v, i);

        if (!want)
            return differs(why, where, "a key that should not be there");
        if (!element || want->type == JSON_NULL) {
            if (element || want->type != JSON_NULL)
                return differs(why, where, "null on one side");
            continue;
        }
        if (!same_value(s, wire_shape_of(s, m), where, want, element, loose, why))
            return false;
    }
    return true;
}

static bool same_scalar(const struct wire_shape *sh, const struct json_value *v, const void *at)
{
    const struct json_value *ours;
    struct str text;
    struct arena a;
    int64_t n;
    double d;
    bool b, same;

    switch ((enum wire_type)sh->type) {
    case WIRE_STRING:
    case WIRE_BLOB:
        if (!json_str(v, &text))
            text = v->raw;
        return str_eq(text, *(const struct str *)at);
    case WIRE_DOCUMENT:
        arena_init(&a, 1 << 20);
        same = json_parse(&a, *(const struct str *)at, &ours, NULL) == 0 && case_json_same(ours, v);
        arena_finish(&a);
        return same;
    case WIRE_BOOLEAN:
        return json_bool(v, &b) && b == *(const bool *)at;
    case WIRE_INTEGER:
    case WIRE_LONG:
        return json_i64(v, &n) && n == *(const int64_t *)at;
    case WIRE_FLOAT:
    case WIRE_DOUBLE:
        d = real(v);
        return isnan(d)
                   ? isnan(*(const double *)at)
                   : d == *(const double *)at || fabs(d - *(const double *)at) < 1e-6 * fabs(d);
    case WIRE_TIMESTAMP:
        return llround(real(v) * 1000.0) == *(const int64_t *)at;
    case WIRE_STRUCTURE:
    case WIRE_LIST:
    case WIRE_MAP:
        break;
    }
    return false;
}

static bool same_value(const struct wire_service *s, const struct wire_shape *sh, struct str where,
                       const struct json_value *v, const void *at, bool loose, char *why)
{
    if (sh->type == WIRE_STRUCTURE)
        return same_structure(s, sh, v, at, loose, why);
    if (sh->type == WIRE_LIST || sh->type == WIRE_MAP)
        return same_run(s, sh, where, v, at, loose, why);
    return same_scalar(sh, v, at) || differs(why, where, "another value");
}

bool case_same(const struct wire_service *s, unsigned shape, const struct json_value *v,
               const void *at, bool loose, char why[static 256])
{
    return same_structure(s, &s->shapes[shape], v, at, loose, why);
}

bool case_json_same(const struct json_value *a, const struct json_value *b)
{
    double x, y;

    if (a->type != b->type)
        return false;
    switch (a->type) {
    case JSON_NULL:
        return true;
    case JSON_BOOL:
        return a->boolean == b->boolean;
    case JSON_NUMBER:
        return str_eq(a->raw, b->raw) || (json_f64(a, &x) && json_f64(b, &y) && x == y);
    case JSON_STRING:
        return str_eq(a->string, b->string);
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    if (json_count(a) != json_count(b))
        return false;
    if (a->type == JSON_OBJECT) {
        json_each(child, a)
        {
            const struct json_value *other = json_get_str(b, child->key);

            if (!other || !case_json_same(child, other))
                return false;
        }
        return true;
    }
    for (const struct json_value *p = json_first(a), *q = json_first(b); p;
         p = p->next, q = q->next) {
        if (!case_json_same(p, q))
            return false;
    }
    return true;
}

static size_t children(const struct xml_node *n)
{
    size_t count = 0;

    for (const struct xml_node *c = n->children; c; c = c->next)
        count++;
    return count;
}

// The kth child of that name.
static const struct xml_node *named(const struct xml_node *n, struct str name, size_t k)
{
    for (const struct xml_node *c = n->children; c; c = c->next) {
        if (str_eq(c->name, name) && k-- == 0)
            return c;
    }
    return NULL;
}

bool case_xml_same(const struct xml_node *a, const struct xml_node *b)
{
    if (!str_eq(a->name, b->name) || children(a) != children(b))
        return false;
    if (!a->children && !str_eq(str_trim(a->text), str_trim(b->text)))
        return false;
    for (const struct xml_attribute *x = a->attributes; x; x = x->next) {
        if (!str_eq(xml_attribute_get(b, x->name), x->value))
            return false;
    }
    for (const struct xml_node *c = a->children; c; c = c->next) {
        const struct xml_node *other;
        size_t before = 0;

        for (const struct xml_node *p = a->children; p != c; p = p->next)
            before += str_eq(p->name, c->name);
        other = named(b, c->name, before);
        if (!other || !case_xml_same(c, other))
            return false;
    }
    return true;
}
