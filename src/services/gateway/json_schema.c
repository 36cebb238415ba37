// json_schema.c - see json_schema.h.

#include "services/gateway/json_schema.h"

#include "services/gateway/text_pattern.h"

#include <math.h>

#define MAX_STEPS 100000
#define MAX_NESTING 64
#define PATTERN_STEPS 100 // what compiling a pattern counts

struct check {
    const struct json_value *root;
    unsigned steps, nesting;
};

static bool fits(struct check *c, const struct json_value *schema, const struct json_value *v);

// ---- type, enum
// ----------------------------------------------------------------------------------

static bool is_type(struct str type, const struct json_value *v)
{
    double number;

    if (str_eq(type, STR("integer")))
        return json_is(v, JSON_NUMBER) && json_f64(v, &number) && floor(number) == number;
    if (str_eq(type, STR("any")))
        return true;
    return str_eq(type, str_from(json_type_name(v->type)));
}

static bool has_type(const struct json_value *type, const struct json_value *v)
{
    struct str name;

    if (json_str(type, &name))
        return is_type(name, v);
    json_each(t, type) if (json_str(t, &name) && is_type(name, v)) return true;
    return false;
}

static bool equal(const struct json_value *a, const struct json_value *b)
{
    struct str x, y;
    double m, n;

    if (a->type != b->type || json_count(a) != json_count(b))
        return false;
    if (json_str(a, &x) && json_str(b, &y))
        return str_eq(x, y);
    if (json_is(a, JSON_NUMBER))
        return json_f64(a, &m) && json_f64(b, &n) && m == n;
    if (json_is(a, JSON_OBJECT)) {
        json_each(member, a)
        {
            const struct json_value *other = json_get_str(b, member->key);
            if (!other || !equal(member, other))
                return false;
        }
        return true;
    }
    if (json_is(a, JSON_ARRAY)) {
        const struct json_value *other = json_first(b);
        json_each(e, a)
        {
            if (!equal(e, other))
                return false;
            other = other->next;
        }
        return true;
    }
    return str_eq(a->raw, b->raw);
}

static bool among(const struct json_value *list, const struct json_value *v)
{
    json_each(e, list) if (equal(e, v)) return true;
    return false;
}

// ---- the parts of a schema, each about one type
// --------------------------------------------------

static bool within(const struct json_value *schema, const char *min, const char *max, double n)
{
    double limit;

    return !(json_f64(json_get(schema, min), &limit) && n < limit) &&
           !(json_f64(json_get(schema, max), &limit) && n > limit);
}

static bool number_fits(const struct json_value *schema, const struct json_value *v)
{
    double n, limit;

    if (!json_f64(v, &n) || !within(schema, "minimum", "maximum", n))
        return false;
    if (json_get_bool_or(schema, "exclusiveMinimum", false) &&
        json_f64(json_get(schema, "minimum"), &limit) && n <= limit)
        return false;
    if (json_get_bool_or(schema, "exclusiveMaximum", false) &&
        json_f64(json_get(schema, "maximum"), &limit) && n >= limit)
        return false;
    return !json_f64(json_get(schema, "multipleOf"), &limit) || limit <= 0 ||
           fabs(remainder(n, limit)) < 1e-9;
}

static bool pattern_fits(struct check *c, struct str pattern, struct str text)
{
    c->steps += PATTERN_STEPS;
    return c->steps <= MAX_STEPS && text_pattern_matches(pattern, text, true);
}

static bool text_fits(struct check *c, const struct json_value *schema, const struct json_value *v)
{
    struct str text = STR(""), pattern;
    size_t characters = 0;

    json_str(v, &text);
    for (size_t i = 0; i < text.len; i++)
        characters += ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
    return within(schema, "minLength", "maxLength", (double)characters) &&
           (!json_str(json_get(schema, "pattern"), &pattern) || pattern_fits(c, pattern, text));
}

static bool member_fits(struct check *c, const struct json_value *schema,
                        const struct json_value *member)
{
    const struct json_value *own = json_get_str(json_get(schema, "properties"), member->key);
    const struct json_value *more = json_get(schema, "additionalProperties");
    bool known = own != NULL, allowed;

    if (own && !fits(c, own, member))
        return false;
    json_each(p, json_get(schema, "patternProperties"))
    {
        if (!pattern_fits(c, p->key, member->key))
            continue;
        known = true;
        if (!fits(c, p, member))
            return false;
    }
    if (known || !more)
        return true;
    return json_bool(more, &allowed) ? allowed : fits(c, more, member);
}

static bool object_fits(struct check *c, const struct json_value *schema,
                        const struct json_value *v)
{
    struct str name;

    json_each(r, json_get(schema, "required"))
    {
        if (json_str(r, &name) && !json_get_str(v, name))
            return false;
    }
    json_each(m, v) if (!member_fits(c, schema, m)) return false;
    return within(schema, "minProperties", "maxProperties", (double)json_count(v));
}

static bool array_fits(struct check *c, const struct json_value *schema, const struct json_value *v)
{
    const struct json_value *items = json_get(schema, "items");
    const struct json_value *more = json_get(schema, "additionalItems");
    const struct json_value *by_place = json_is(items, JSON_ARRAY) ? json_first(items) : NULL;
    bool allowed;

    if (!within(schema, "minItems", "maxItems", (double)json_count(v)))
        return false;
    json_each(e, v)
    {
        const struct json_value *s = json_is(items, JSON_ARRAY) ? by_place : items;
        if (json_is(items, JSON_ARRAY) && !by_place) {
            if (json_bool(more, &allowed) && !allowed)
                return false;
            s = json_is(more, JSON_OBJECT) ? more : NULL;
        }
        if (s && !fits(c, s, e))
            return false;
        by_place = by_place ? by_place->next : NULL;
        for (const struct json_value *other = e->next;
             other && json_get_bool_or(schema, "uniqueItems", false); other = other->next)
            if (++c->steps > MAX_STEPS || equal(e, other))
                return false;
    }
    return true;
}

// ---- combined
// ------------------------------------------------------------------------------------

static bool combined(struct check *c, const struct json_value *schema, const struct json_value *v)
{
    const struct json_value *any = json_get(schema, "anyOf"), *one = json_get(schema, "oneOf");
    const struct json_value *not = json_get(schema, "not");
    unsigned n_any = 0, n_one = 0;

    json_each(s, json_get(schema, "allOf")) if (!fits(c, s, v)) return false;
    json_each(s, any) n_any += fits(c, s, v);
    json_each(s, one) n_one += fits(c, s, v);
    return (!any || n_any > 0) && (!one || n_one == 1) && (!not || !fits(c, not, v));
}

// "#", "#/definitions/x"; NULL: not inside of the schema.
static const struct json_value *referred(struct check *c, struct str ref)
{
    const struct json_value *at = c->root;
    struct str step;

    if (ref.len == 0 || ref.ptr[0] != '#')
        return NULL;
    ref = str_slice(ref, ref.len > 1 && ref.ptr[1] == '/' ? 2 : 1, ref.len);
    while (at && ref.len > 0 && str_next(&ref, '/', &step))
        at = json_get_str(at, step);
    return at;
}

static bool fits_here(struct check *c, const struct json_value *schema, const struct json_value *v)
{
    const struct json_value *type = json_get(schema, "type"), *values = json_get(schema, "enum");
    struct str ref;

    if (json_str(json_get(schema, "$ref"), &ref)) {
        const struct json_value *to = referred(c, ref);
        return to && fits(c, to, v);
    }
    if ((type && !has_type(type, v)) || (values && !among(values, v)))
        return false;
    if (json_is(v, JSON_NUMBER) && !number_fits(schema, v))
        return false;
    if (json_is(v, JSON_STRING) && !text_fits(c, schema, v))
        return false;
    if (json_is(v, JSON_OBJECT) && !object_fits(c, schema, v))
        return false;
    if (json_is(v, JSON_ARRAY) && !array_fits(c, schema, v))
        return false;
    return combined(c, schema, v);
}

static bool fits(struct check *c, const struct json_value *schema, const struct json_value *v)
{
    if (++c->steps > MAX_STEPS || c->nesting >= MAX_NESTING)
        return false;
    c->nesting++;
    bool yes = fits_here(c, schema, v);
    c->nesting--;
    return yes;
}

bool json_schema_fits(const struct json_value *schema, const struct json_value *document)
{
    struct check c = {.root = schema};

    return document && fits(&c, schema, document);
}

// ---- templates
// -----------------------------------------------------------------------------------

static void add_template(struct json_writer *w, const struct json_value *schema, unsigned depth)
{
    struct str type = json_get_or(schema, "type", STR("object"));

    if (str_eq(type, STR("array"))) {
        jw_array_begin(w);
        jw_array_end(w);
    } else if (str_eq(type, STR("string"))) {
        jw_str(w, STR(""));
    } else if (str_eq(type, STR("number")) || str_eq(type, STR("integer"))) {
        jw_i64(w, 0);
    } else if (str_eq(type, STR("boolean"))) {
        jw_bool(w, true);
    } else {
        jw_object_begin(w);
        json_each(p, depth < MAX_NESTING ? json_get(schema, "properties") : NULL)
        {
            jw_key(w, p->key);
            add_template(w, p, depth + 1);
        }
        jw_object_end(w);
    }
}

struct str model_template(struct arena *a, const struct json_value *schema)
{
    struct buf b;

    buf_init(&b, 1 << 20);
    struct json_writer w = json_writer(&b);
    add_template(&w, schema, 0);
    struct str s = b.failed ? STR_NULL : arena_str(a, buf_str(&b));
    buf_finish(&b);
    return s;
}
