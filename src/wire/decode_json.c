// decode_json.c - a JSON body into a structure (json-1.0, json-1.1, rest-json).
//
// Strict about types as AWS is: a number where a string belongs is a SerializationException.
// Members the model does not know are ignored, null is absent.
#include "wire/wire_impl.h"

#include "base/base64.h"
#include "base/json.h"
#include "base/timefmt.h"

#include <math.h>

static int value(struct walk *w, const struct json_value *v, const struct wire_member *ref,
                 const struct wire_shape *sh, void *at);

static const char *wanted_name(enum wire_type type)
{
    static const char *const names[] = {
        [WIRE_STRUCTURE] = "structure",
        [WIRE_LIST] = "list",
        [WIRE_MAP] = "map",
        [WIRE_STRING] = "String",
        [WIRE_BLOB] = "Blob",
        [WIRE_BOOLEAN] = "Boolean",
        [WIRE_INTEGER] = "Integer",
        [WIRE_LONG] = "Long",
        [WIRE_FLOAT] = "Float",
        [WIRE_DOUBLE] = "Double",
        [WIRE_TIMESTAMP] = "Timestamp",
        [WIRE_DOCUMENT] = "Document",
    };
    return names[type];
}

static int wrong_type(struct walk *w, const struct json_value *v, const struct wire_shape *sh)
{
    switch (v->type) {
    case JSON_OBJECT:
        return walk_malformed(w, "Start of structure or map found where not expected.");
    case JSON_ARRAY:
        return walk_malformed(w, "Start of list found where not expected");
    case JSON_NULL:
    case JSON_BOOL:
        if (sh->type >= WIRE_STRING)
            return walk_malformed(w, "%s can not be converted to a%s %s",
                                  v->type == JSON_NULL ? "NULL_VALUE"
                                  : v->boolean         ? "TRUE_VALUE"
                                                       : "FALSE_VALUE",
                                  sh->type == WIRE_INTEGER ? "n" : "",
                                  wanted_name((enum wire_type)sh->type));
        break;
    case JSON_NUMBER:
    case JSON_STRING:
        if (sh->type >= WIRE_STRING)
            return walk_malformed(w, "%s can not be converted to a%s %s",
                                  v->type == JSON_NUMBER ? "NUMBER_VALUE" : "STRING_VALUE",
                                  sh->type == WIRE_INTEGER ? "n" : "",
                                  wanted_name((enum wire_type)sh->type));
        break;
    }
    return walk_malformed(w, "Unexpected field type");
}

static const struct wire_member *member_named(struct walk *w, const struct wire_shape *sh,
                                              struct str key, size_t *hint)
{
    const struct wire_member *m = wire_members_of(w->s, sh);

    // Clients mostly write members in the model's order: look where the last one was found first.
    for (size_t i = 0; i < sh->n_members; i++) {
        size_t at = (*hint + i) % sh->n_members;

        if (str_eq(wire_text(w->s, m[at].wire_name), key)) {
            *hint = at + 1;
            return &m[at];
        }
    }
    return NULL;
}

static int structure(struct walk *w, const struct json_value *v, const struct wire_shape *sh,
                     void *at)
{
    bool top = w->depth == 1 && w->protocol == WIRE_REST_JSON;
    size_t hint = 0;

    json_each(child, v)
    {
        const struct wire_member *m = member_named(w, sh, child->key, &hint);
        const struct wire_shape *inner;
        void *place;
        int r;

        if (!m || (top && m->location != WIRE_IN_BODY))
            continue;
        inner = wire_shape_of(w->s, m);
        if (child->type == JSON_NULL && inner->type != WIRE_DOCUMENT)
            continue;
        place = walk_open(w, m, at);
        if (!place)
            return -ENOMEM;
        r = value(w, child, m, inner, place);
        if (r < 0)
            return r;
    }
    return 0;
}

static int list(struct walk *w, const struct json_value *v, const struct wire_shape *sh, void *at)
{
    const struct wire_member *m = wire_members_of(w->s, sh);
    struct wire_run *run = at;
    size_t n = 0;
    int r;

    r = walk_array(w, sh, v->children.n, at);
    if (r < 0)
        return r;
    json_each(child, v)
    {
        void *place;

        if (child->type == JSON_NULL && wire_shape_of(w->s, m)->type != WIRE_DOCUMENT) {
            n += (sh->flags & WIRE_SPARSE) ? 1 : 0;
            continue;
        }
        place = walk_element(w, sh, at, n++);
        if (!place)
            return -ENOMEM;
        r = value(w, child, m, wire_shape_of(w->s, m), place);
        if (r < 0)
            return r;
    }
    run->n = n;
    return 0;
}

static int map(struct walk *w, const struct json_value *v, const struct wire_shape *sh, void *at)
{
    const struct wire_member *m = wire_members_of(w->s, sh) + 1;
    struct wire_run *run = at;
    size_t n = 0;
    int r;

    r = walk_array(w, sh, v->children.n, at);
    if (r < 0)
        return r;
    json_each(child, v)
    {
        void *place;

        if (child->type == JSON_NULL && wire_shape_of(w->s, m)->type != WIRE_DOCUMENT) {
            if (sh->flags & WIRE_SPARSE)
                *walk_key(sh, at, n++) = child->key;
            continue;
        }
        *walk_key(sh, at, n) = child->key;
        place = walk_element(w, sh, at, n++);
        if (!place)
            return -ENOMEM;
        r = value(w, child, m, wire_shape_of(w->s, m), place);
        if (r < 0)
            return r;
    }
    run->n = n;
    return 0;
}

static int number(struct walk *w, const struct json_value *v, const struct wire_shape *sh, void *at)
{
    int64_t n;

    if (sh->type == WIRE_FLOAT || sh->type == WIRE_DOUBLE) {
        struct str text;

        if (json_f64(v, at))
            return 0;
        if (!json_str(v, &text))
            return wrong_type(w, v, sh);
        if (str_eq(text, STR("NaN")))
            *(double *)at = (double)NAN;
        else if (str_eq(text, STR("Infinity")))
            *(double *)at = (double)INFINITY;
        else if (str_eq(text, STR("-Infinity")))
            *(double *)at = (double)-INFINITY;
        else
            return wrong_type(w, v, sh);
        return 0;
    }
    if (v->type != JSON_NUMBER || !json_i64(v, &n))
        return wrong_type(w, v, sh);
    if (sh->type == WIRE_INTEGER && (n < INT32_MIN || n > INT32_MAX))
        return walk_malformed(w, "Number %lld is out of range for an Integer", (long long)n);
    *(int64_t *)at = n;
    return 0;
}

static int scalar(struct walk *w, const struct json_value *v, const struct wire_member *ref,
                  const struct wire_shape *sh, void *at)
{
    struct str text;
    int r;

    switch ((enum wire_type)sh->type) {
    case WIRE_STRING:
        if ((sh->flags & WIRE_BIG_NUMBER) && v->type == JSON_NUMBER)
            *(struct str *)at = v->raw;
        else if (!json_str(v, at))
            return wrong_type(w, v, sh);
        return 0;
    case WIRE_DOCUMENT:
        *(struct str *)at = v->raw;
        return 0;
    case WIRE_BLOB:
        if (!json_str(v, &text))
            return wrong_type(w, v, sh);
        r = base64_decode(w->arena, text, at);
        if (r == -ENOMEM)
            return walk_oom(w);
        return r < 0 ? walk_malformed(w, "Invalid base64 in %s.", w->s->strings + ref->name) : 0;
    case WIRE_BOOLEAN:
        return json_bool(v, at) ? 0 : wrong_type(w, v, sh);
    case WIRE_TIMESTAMP:
        if (v->type == JSON_NUMBER)
            return timefmt_parse_epoch(v->raw, at) ? 0 : wrong_type(w, v, sh);
        if (!json_str(v, &text))
            return wrong_type(w, v, sh);
        return scalar_from_text(w, ref, SCALAR_BODY, text, at);
    case WIRE_INTEGER:
    case WIRE_LONG:
    case WIRE_FLOAT:
    case WIRE_DOUBLE:
        return number(w, v, sh, at);
    case WIRE_STRUCTURE:
    case WIRE_LIST:
    case WIRE_MAP:
        break;
    }
    return wrong_type(w, v, sh);
}

static int value(struct walk *w, const struct json_value *v, const struct wire_member *ref,
                 const struct wire_shape *sh, void *at)
{
    enum json_type wanted = sh->type == WIRE_LIST ? JSON_ARRAY : JSON_OBJECT;
    int r;

    if (sh->type > WIRE_MAP)
        return scalar(w, v, ref, sh, at);
    if (v->type != wanted)
        return wrong_type(w, v, sh);
    if (++w->depth > WALK_MAX_DEPTH)
        return walk_malformed(w, "The input is nested too deeply.");
    if (sh->type == WIRE_STRUCTURE)
        r = structure(w, v, sh, at);
    else
        r = sh->type == WIRE_LIST ? list(w, v, sh, at) : map(w, v, sh, at);
    w->depth--;
    return r;
}

int decode_json_body(struct walk *w, struct str body, const struct wire_shape *sh,
                     const struct wire_member *ref, void *at)
{
    const struct json_value *v;
    struct err why = ERR_INIT;
    int r;

    if (str_trim(body).len == 0)
        return 0;
    r = json_parse(w->arena, body, &v, &why);
    if (r == -ENOMEM)
        return walk_oom(w);
    if (r < 0)
        return walk_malformed(w, "Could not parse request body into json: %s", why.message);
    return value(w, v, ref, sh, at);
}
