// validate.c - the model's constraints, with the messages AWS gives for broken ones.
#include "wire/wire_impl.h"

#include "base/cleanup.h"
#include "base/utf8.h"

#include <stdio.h>

#define MAX_PATH_BYTES 256
#define MAX_FINDINGS 20
// How much of a value is repeated in a message.
#define MAX_VALUE_BYTES 200

struct check {
    const struct wire_service *s;
    struct buf findings;
    unsigned n;
    char path[MAX_PATH_BYTES];
    size_t path_len;
    unsigned depth;
    const char *missing; // the first required top-level member that is absent
};

static void value(struct check *c, const struct wire_shape *sh, const struct wire_member *ref,
                  const void *at);

// Appends ".name" (first letter in lower case, as AWS shows members) and answers what to go back
// to.
static size_t descend(struct check *c, struct str name, bool member)
{
    size_t back = c->path_len;
    int n =
        snprintf(c->path + back, sizeof(c->path) - back, "%s%.*s", back ? "." : "", STR_ARG(name));

    if (n > 0)
        c->path_len = back + (size_t)n < sizeof(c->path) ? back + (size_t)n : sizeof(c->path) - 1;
    if (member && c->path_len > back) {
        char *first = c->path + back + (back ? 1 : 0);

        if (*first >= 'A' && *first <= 'Z')
            *first = (char)(*first + 32);
    }
    return back;
}

static void ascend(struct check *c, size_t back)
{
    c->path_len = back;
    c->path[back] = '\0';
}

// The value as AWS prints it: 'text', '[a, b]', 3, null; nothing for secrets and structures.
static void show(struct check *c, const struct wire_shape *sh, const struct wire_member *ref,
                 const void *at)
{
    struct walk w = {.s = c->s};
    struct buf text;

    if (((ref ? ref->flags : 0) | sh->flags) & WIRE_SENSITIVE) {
        buf_add(&c->findings, STR("Value "));
        return;
    }
    buf_init(&text, 1 << 20);
    if (sh->type == WIRE_LIST) {
        const struct wire_run *run = at;
        const struct wire_member *m = wire_members_of(c->s, sh);

        buf_add_char(&text, '[');
        for (size_t i = 0; i < run->n && text.len < MAX_VALUE_BYTES; i++) {
            const void *element = wire_element(c->s, sh, at, i);

            if (i)
                buf_add(&text, STR(", "));
            if (element)
                scalar_to_text(&w, m, SCALAR_BODY, element, &text);
        }
        buf_add_char(&text, ']');
    } else if (ref && sh->type > WIRE_MAP && sh->type != WIRE_BLOB) {
        scalar_to_text(&w, ref, SCALAR_BODY, at, &text);
    }
    buf_addf(&c->findings, "Value '%.*s' ", STR_ARG(utf8_cut(buf_str(&text), MAX_VALUE_BYTES)));
    buf_finish(&text);
}

static bool found(struct check *c)
{
    if (c->n++ >= MAX_FINDINGS)
        return false;
    if (c->n > 1)
        buf_add(&c->findings, STR("; "));
    return true;
}

static void finding(struct check *c, const struct wire_shape *sh, const struct wire_member *ref,
                    const void *at, const char *format, ...) __attribute__((format(printf, 5, 6)));

static void finding(struct check *c, const struct wire_shape *sh, const struct wire_member *ref,
                    const void *at, const char *format, ...)
{
    va_list args;

    if (!found(c))
        return;
    show(c, sh, ref, at);
    buf_addf(&c->findings, "at '%s' failed to satisfy constraint: ", c->path);
    va_start(args, format);
    buf_vaddf(&c->findings, format, args);
    va_end(args);
}

static void missing(struct check *c, const struct wire_member *m)
{
    size_t back = descend(c, wire_text(c->s, m->name), true);

    if (c->depth == 1 && !c->missing)
        c->missing = c->s->strings + m->name;
    if (found(c))
        buf_addf(&c->findings,
                 "Value null at '%s' failed to satisfy constraint: Member must not be null",
                 c->path);
    ascend(c, back);
}

static void length(struct check *c, const struct wire_shape *sh, const struct wire_member *ref,
                   const void *at, size_t n)
{
    if ((sh->flags & WIRE_HAS_MAX) && n > (uint64_t)sh->max)
        finding(c, sh, ref, at, "Member must have length less than or equal to %lld",
                (long long)sh->max);
    if ((sh->flags & WIRE_HAS_MIN) && n < (uint64_t)sh->min)
        finding(c, sh, ref, at, "Member must have length greater than or equal to %lld",
                (long long)sh->min);
}

static void enumeration(struct check *c, const struct wire_shape *sh, const struct wire_member *ref,
                        const struct str *text)
{
    const uint32_t *all = c->s->enums + sh->first_enum;
    struct buf set;

    for (size_t i = 0; i < sh->n_enums; i++) {
        if (str_eq(wire_text(c->s, all[i]), *text))
            return;
    }
    buf_init(&set, 1 << 16);
    for (size_t i = 0; i < sh->n_enums; i++)
        buf_addf(&set, "%s%s", i ? ", " : "", c->s->strings + all[i]);
    finding(c, sh, ref, text, "Member must satisfy enum value set: [%.*s]", STR_ARG(buf_str(&set)));
    buf_finish(&set);
}

static void string(struct check *c, const struct wire_shape *sh, const struct wire_member *ref,
                   const struct str *text)
{
    if (sh->flags & (WIRE_HAS_MIN | WIRE_HAS_MAX))
        length(c, sh, ref, text, utf8_count(*text));
    if (sh->n_enums)
        enumeration(c, sh, ref, text);
    if (sh->pattern && !pattern_matches(c->s, sh->pattern - 1u, *text))
        finding(c, sh, ref, text, "Member must satisfy regular expression pattern: %s",
                c->s->strings + c->s->patterns[sh->pattern - 1]);
}

static void number(struct check *c, const struct wire_shape *sh, const struct wire_member *ref,
                   const void *at)
{
    bool real = sh->type == WIRE_FLOAT || sh->type == WIRE_DOUBLE;
    double d = real ? *(const double *)at : (double)*(const int64_t *)at;

    if ((sh->flags & WIRE_HAS_MAX) && d > (double)sh->max)
        finding(c, sh, ref, at, "Member must have value less than or equal to %lld",
                (long long)sh->max);
    if ((sh->flags & WIRE_HAS_MIN) && d < (double)sh->min)
        finding(c, sh, ref, at, "Member must have value greater than or equal to %lld",
                (long long)sh->min);
}

static void structure(struct check *c, const struct wire_shape *sh, const void *at)
{
    const struct wire_member *m = wire_members_of(c->s, sh);

    c->depth++;
    for (size_t i = 0; i < sh->n_members && c->n < MAX_FINDINGS; i++, m++) {
        size_t back;

        if (!wire_present(m, at)) {
            if (m->flags & WIRE_REQUIRED)
                missing(c, m);
            continue;
        }
        back = descend(c, wire_text(c->s, m->name), true);
        value(c, wire_shape_of(c->s, m), m, wire_value(c->s, m, at));
        ascend(c, back);
    }
    c->depth--;
}

static void elements(struct check *c, const struct wire_shape *sh, const void *at)
{
    const struct wire_member *m = wire_members_of(c->s, sh) + (sh->type == WIRE_MAP ? 1 : 0);
    size_t n = ((const struct wire_run *)at)->n;

    c->depth++;
    for (size_t i = 0; i < n && c->n < MAX_FINDINGS; i++) {
        const void *element = wire_element(c->s, sh, at, i);
        char number_text[32];
        size_t back, further;

        if (sh->type == WIRE_MAP) {
            const struct wire_member *k = wire_members_of(c->s, sh);
            const struct str *key = wire_key(sh, at, i);

            value(c, wire_shape_of(c->s, k), k, key);
            back = descend(c, *key, false);
        } else {
            snprintf(number_text, sizeof(number_text), "%zu", i + 1);
            back = descend(c, str_from(number_text), false);
        }
        further = descend(c, STR("member"), false);
        if (element)
            value(c, wire_shape_of(c->s, m), m, element);
        ascend(c, further);
        ascend(c, back);
    }
    c->depth--;
}

static void value(struct check *c, const struct wire_shape *sh, const struct wire_member *ref,
                  const void *at)
{
    if (c->depth > WALK_MAX_DEPTH)
        return;
    switch ((enum wire_type)sh->type) {
    case WIRE_STRUCTURE:
        structure(c, sh, at);
        break;
    case WIRE_LIST:
    case WIRE_MAP:
        length(c, sh, ref, at, ((const struct wire_run *)at)->n);
        elements(c, sh, at);
        break;
    case WIRE_STRING:
        if (*(char *const *)at)
            string(c, sh, ref, at);
        break;
    case WIRE_BLOB:
        length(c, sh, ref, at, ((const struct str *)at)->len);
        break;
    case WIRE_INTEGER:
    case WIRE_LONG:
    case WIRE_FLOAT:
    case WIRE_DOUBLE:
        number(c, sh, ref, at);
        break;
    case WIRE_BOOLEAN:
    case WIRE_TIMESTAMP:
    case WIRE_DOCUMENT:
        break;
    }
}

int wire_validate(const struct wire_operation *op, const void *in, struct arena *a, struct err *err)
{
    const struct wire_service *s = op->service;
    struct check c = {.s = s};
    int r = 0;

    (void)a;
    buf_init(&c.findings, 1 << 16);
    structure(&c, &s->shapes[op->in], in);
    if (c.missing && s->missing)
        r = err_aws(err, s->missing, "The request must contain the parameter %s.", c.missing);
    else if (c.n)
        r = err_aws(err, s->validation, "%u validation error%s detected: %.*s", c.n,
                    c.n == 1 ? "" : "s", STR_ARG(buf_str(&c.findings)));
    buf_finish(&c.findings);
    return r;
}
