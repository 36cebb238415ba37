// openapi_yaml.c - see openapi_yaml.h.
//
// Reading: libyaml's events are written down as JSON, which json.h then reads; so there is one tree
// and one set of rules for what stands in it. An alias repeats the text of its anchor. Everything
// that grows is bounded: text, values, depth, anchors.

#include "services/gateway/openapi_yaml.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

struct anchor {
    struct str name; // in the arena
    size_t start, end;
    unsigned values; // in it
    bool open;
};

struct level {
    bool mapping, at_value; // at_value: a key was read
    int anchor;             // that ends with it; -1: none
};

struct reading {
    struct arena *a;
    struct buf text;
    struct json_writer w;
    struct level levels[OPENAPI_YAML_MAX_DEPTH];
    unsigned depth, values;
    struct anchor *anchors;
    unsigned n_anchors;
    bool done; // the document has ended
};

#define BAD(...) err_set(err, -EINVAL, __VA_ARGS__)
#define TOO_BIG(...) err_set(err, -E2BIG, __VA_ARGS__)

// ---- scalars
// -------------------------------------------------------------------------------------

static bool one_of(struct str s, const char *const *words)
{
    for (; *words; words++)
        if (str_eq(s, str_from(*words)))
            return true;
    return false;
}

static size_t digits(struct str s, size_t at)
{
    size_t n = 0;

    while (at + n < s.len && s.ptr[at + n] >= '0' && s.ptr[at + n] <= '9')
        n++;
    return n;
}

// 0o17, 0x1F: what fits into 63 bits.
static bool radix_number(struct str s, char *out, size_t room)
{
    char copy[24], *end;

    if (s.len < 3 || s.len >= sizeof(copy) || s.ptr[0] != '0' ||
        (s.ptr[1] != 'o' && s.ptr[1] != 'x') || s.ptr[2] == '-' || s.ptr[2] == '+')
        return false;
    memcpy(copy, s.ptr + 2, s.len - 2);
    copy[s.len - 2] = 0;
    errno = 0;
    unsigned long long n = strtoull(copy, &end, s.ptr[1] == 'o' ? 8 : 16);
    if (errno != 0 || *end != 0 || n > INT64_MAX)
        return false;
    snprintf(out, room, "%llu", n);
    return true;
}

// A number of the core schema as JSON writes it: no plus, no leading zeros, digits on both sides
// of the point.
static bool decimal_number(struct str s, char *out, size_t room)
{
    size_t at = s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+'), n = 0;
    size_t whole = digits(s, at), start = at, point, part = 0;

    if (s.len + 4 > room)
        return false;
    at += whole;
    point = at < s.len && s.ptr[at] == '.';
    if (point)
        part = digits(s, at + 1);
    if (whole + part == 0)
        return false;
    if (s.ptr[0] == '-')
        out[n++] = '-';
    while (whole > 1 && s.ptr[start] == '0') {
        start++;
        whole--;
    }
    if (whole == 0)
        out[n++] = '0';
    memcpy(out + n, s.ptr + start, whole);
    n += whole;
    if (point) {
        out[n++] = '.';
        if (part == 0)
            out[n++] = '0';
        memcpy(out + n, s.ptr + at + 1, part);
        n += part;
        at += 1 + part;
    }
    if (at < s.len && (s.ptr[at] == 'e' || s.ptr[at] == 'E')) {
        size_t from = at++;
        at += at < s.len && (s.ptr[at] == '-' || s.ptr[at] == '+');
        if (digits(s, at) == 0)
            return false;
        at += digits(s, at);
        memcpy(out + n, s.ptr + from, at - from);
        n += at - from;
    }
    out[n] = 0;
    return at == s.len;
}

static void plain_scalar(struct json_writer *w, struct str s)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    char number[80];

    if (one_of(s, nulls))
        jw_null(w);
    else if (one_of(s, trues))
        jw_bool(w, true);
    else if (one_of(s, falses))
        jw_bool(w, false);
    else if (radix_number(s, number, sizeof(number)) || decimal_number(s, number, sizeof(number)))
        jw_raw(w, str_from(number));
    else
        jw_str(w, s);
}

// *text: is it a string by its tag?
static int check_tag(const yaml_char_t *tag, const char *const *allowed, bool *text,
                     struct err *err)
{
    static const char core[] = "tag:yaml.org,2002:";
    struct str t = tag ? str_from((const char *)tag) : STR("");

    *text = str_eq(t, STR("!"));
    if (t.len == 0 || *text)
        return 0;
    if (!str_starts(t, str_from(core)) || !one_of(str_slice(t, strlen(core), t.len), allowed))
        return BAD("the tag %.*s is not supported", STR_ARG(t));
    *text = str_eq(str_slice(t, strlen(core), t.len), STR("str"));
    return 0;
}

// ---- reading
// -------------------------------------------------------------------------------------

static struct level *top(struct reading *r)
{
    return r->depth > 0 ? &r->levels[r->depth - 1] : NULL;
}

static bool wants_key(struct reading *r)
{
    return top(r) && top(r)->mapping && !top(r)->at_value;
}

// A value is complete.
static void value_done(struct reading *r)
{
    if (top(r))
        top(r)->at_value = false;
}

// Before a value's text. *anchor: of the anchor that was opened, or -1.
static int value_begin(struct reading *r, const yaml_char_t *name, int *anchor, struct err *err)
{
    *anchor = -1;
    if (wants_key(r))
        return BAD("a key must be a scalar");
    if (++r->values > OPENAPI_YAML_MAX_VALUES)
        return TOO_BIG("more than %d values", OPENAPI_YAML_MAX_VALUES);
    if (!name)
        return 0;
    if (r->n_anchors == OPENAPI_YAML_MAX_ANCHORS)
        return TOO_BIG("more than %d anchors", OPENAPI_YAML_MAX_ANCHORS);
    struct str copy = arena_str(r->a, str_from((const char *)name));
    if (!copy.ptr)
        return err_set(err, -ENOMEM, "out of memory");
    *anchor = (int)r->n_anchors;
    r->anchors[r->n_anchors++] = (struct anchor){
        .name = copy,
        .start = r->text.len + (r->w.comma ? 1 : 0),
        .values = r->values - 1,
        .open = true,
    };
    return 0;
}

static void anchor_end(struct reading *r, int anchor)
{
    if (anchor < 0)
        return;
    r->anchors[anchor].end = r->text.len;
    r->anchors[anchor].values = r->values - r->anchors[anchor].values;
    r->anchors[anchor].open = false;
}

static int on_key(struct reading *r, const yaml_event_t *e, struct err *err)
{
    struct str key = {(const char *)e->data.scalar.value, e->data.scalar.length};

    if (e->data.scalar.anchor)
        return BAD("anchors of keys are not supported");
    if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && str_eq(key, STR("<<")))
        return BAD("merge keys (<<) are not supported");
    jw_key(&r->w, key);
    top(r)->at_value = true;
    return 0;
}

static int on_scalar(struct reading *r, const yaml_event_t *e, struct err *err)
{
    static const char *const tags[] = {"str", "int", "float", "bool", "null", NULL};
    struct str s = {(const char *)e->data.scalar.value, e->data.scalar.length};
    bool text;
    int anchor;

    int rc = check_tag(e->data.scalar.tag, tags, &text, err);
    if (rc < 0)
        return rc;
    if (wants_key(r))
        return on_key(r, e, err);
    rc = value_begin(r, e->data.scalar.anchor, &anchor, err);
    if (rc < 0)
        return rc;
    if (text || (e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE && !e->data.scalar.tag))
        jw_str(&r->w, s);
    else
        plain_scalar(&r->w, s);
    anchor_end(r, anchor);
    value_done(r);
    return 0;
}

static int on_start(struct reading *r, bool mapping, const yaml_char_t *name,
                    const yaml_char_t *tag, struct err *err)
{
    static const char *const tags[] = {"map", "seq", NULL};
    bool text;
    int anchor;

    int rc = check_tag(tag, tags, &text, err);
    if (rc == 0)
        rc = value_begin(r, name, &anchor, err);
    if (rc < 0)
        return rc;
    if (r->depth == OPENAPI_YAML_MAX_DEPTH)
        return TOO_BIG("deeper than %d levels", OPENAPI_YAML_MAX_DEPTH);
    r->levels[r->depth++] = (struct level){.mapping = mapping, .anchor = anchor};
    if (mapping)
        jw_object_begin(&r->w);
    else
        jw_array_begin(&r->w);
    return 0;
}

static void on_end(struct reading *r)
{
    struct level ended = r->levels[--r->depth];

    if (ended.mapping)
        jw_object_end(&r->w);
    else
        jw_array_end(&r->w);
    anchor_end(r, ended.anchor);
    value_done(r);
}

static int on_alias(struct reading *r, const yaml_event_t *e, struct err *err)
{
    struct str name = str_from((const char *)e->data.alias.anchor);
    const struct anchor *found = NULL;
    int none;

    // The last one of a name counts.
    for (unsigned i = r->n_anchors; i > 0 && !found; i--)
        if (str_eq(r->anchors[i - 1].name, name))
            found = &r->anchors[i - 1];
    if (!found || found->open)
        return BAD(found ? "the anchor %.*s contains itself" : "there is no anchor %.*s",
                   STR_ARG(name));
    int rc = value_begin(r, NULL, &none, err);
    if (rc < 0)
        return rc;
    r->values += found->values - 1;
    if (r->values > OPENAPI_YAML_MAX_VALUES)
        return TOO_BIG("more than %d values", OPENAPI_YAML_MAX_VALUES);
    // A copy: the buffer may move while it grows.
    size_t n = found->end - found->start;
    char *copy = malloc(n + 1);
    if (!copy)
        return err_set(err, -ENOMEM, "out of memory");
    memcpy(copy, r->text.ptr + found->start, n);
    jw_raw(&r->w, (struct str){copy, n});
    free(copy);
    value_done(r);
    return 0;
}

static int on_event(struct reading *r, const yaml_event_t *e, struct err *err)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(r, e, err);
    case YAML_ALIAS_EVENT:
        return on_alias(r, e, err);
    case YAML_SEQUENCE_START_EVENT:
        return on_start(r, false, e->data.sequence_start.anchor, e->data.sequence_start.tag, err);
    case YAML_MAPPING_START_EVENT:
        return on_start(r, true, e->data.mapping_start.anchor, e->data.mapping_start.tag, err);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        on_end(r);
        return 0;
    case YAML_DOCUMENT_START_EVENT:
        return r->done ? BAD("there is a second document") : 0;
    case YAML_DOCUMENT_END_EVENT:
        r->done = true;
        return 0;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
        return 0;
    }
    return 0;
}

static int read_events(struct reading *r, yaml_parser_t *p, struct err *err)
{
    bool more = true;

    while (more) {
        yaml_event_t e;
        if (!yaml_parser_parse(p, &e))
            return BAD("%s in line %zu", p->problem ? p->problem : "not YAML",
                       p->problem_mark.line + 1);
        more = e.type != YAML_STREAM_END_EVENT;
        int rc = on_event(r, &e, err);
        yaml_event_delete(&e);
        if (rc < 0)
            return rc;
        if (r->text.failed)
            return TOO_BIG("more than %zu bytes", OPENAPI_YAML_MAX_JSON_BYTES);
    }
    return r->done ? 0 : BAD("there is no document");
}

int openapi_yaml_read(struct arena *a, struct str text, const struct json_value **out,
                      struct err *err)
{
    struct reading *r = arena_new(a, struct reading);
    yaml_parser_t parser;

    if (r)
        *r = (struct reading){.a = a};
    if (!r || !(r->anchors = arena_new_array(a, struct anchor, OPENAPI_YAML_MAX_ANCHORS)) ||
        !yaml_parser_initialize(&parser))
        return err_set(err, -ENOMEM, "out of memory");
    buf_init(&r->text, OPENAPI_YAML_MAX_JSON_BYTES);
    r->w = json_writer(&r->text);
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.ptr ? text.ptr : ""),
                                 text.len);
    int rc = read_events(r, &parser, err);
    yaml_parser_delete(&parser);
    struct str json = rc < 0 ? STR_NULL : arena_str(a, buf_str(&r->text));
    buf_finish(&r->text);
    if (rc < 0)
        return rc;
    return json.ptr ? json_parse(a, json, out, err) : err_set(err, -ENOMEM, "out of memory");
}

// ---- writing
// -------------------------------------------------------------------------------------

// In double quotes, as JSON has it, and with escapes for what YAML does not let stand as it is or
// would take for the end of a line (YAML 1.2 sections 5.1 and 5.4).
static void write_quoted(struct buf *b, struct str s)
{
    struct buf json;
    uint32_t c = 0;

    buf_init(&json, b->max_bytes);
    json_quote(&json, s);
    for (struct str rest = buf_str(&json); rest.len > 0;) {
        unsigned n = utf8_next(rest, &c);
        if (n == 0) // json_quote has left none
            break;
        bool escaped = (c >= 0x7f && c <= 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
                       c == 0xfffe || c == 0xffff;
        if (escaped)
            buf_addf(b, "\\u%04x", (unsigned)c);
        else
            buf_add(b, (struct str){rest.ptr, n});
        rest = str_slice(rest, n, rest.len);
    }
    b->failed = b->failed || json.failed;
    buf_finish(&json);
}

// May a key stand there without quotes, and be read back as the same text?
static bool plain_key(struct str s)
{
    if (s.len == 0 || s.len > 128 || (s.ptr[0] >= '0' && s.ptr[0] <= '9'))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool letter =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '/' || c == '$';
        if (!letter && (i == 0 || !((c >= '0' && c <= '9') || strchr("-+.{}", c))))
            return false;
    }
    return true;
}

static void write_key(struct buf *b, struct str key)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no",
                                        "on",   "off",   "y",    "n",   NULL};
    bool word = false;

    for (const char *const *w = words; *w && !word; w++)
        word = str_eq_nocase(key, str_from(*w));
    if (plain_key(key) && !word)
        buf_add(b, key);
    else
        write_quoted(b, key);
    buf_add_char(b, ':');
}

static void indent(struct buf *b, unsigned levels)
{
    for (unsigned i = 0; i < levels; i++)
        buf_add(b, STR("  "));
}

static bool has_lines(const struct json_value *v)
{
    return json_count(v) > 0;
}

static void write_scalar(struct buf *b, const struct json_value *v)
{
    struct str s;

    if (json_str(v, &s))
        write_quoted(b, s);
    else if (v->type == JSON_OBJECT)
        buf_add(b, STR("{}"));
    else if (v->type == JSON_ARRAY)
        buf_add(b, STR("[]"));
    else
        buf_add(b, v->raw);
    buf_add_char(b, '\n');
}

static void write_lines(struct buf *b, const struct json_value *v, unsigned level, bool behind_dash)
{
    json_each(m, v)
    {
        if (!behind_dash)
            indent(b, level);
        behind_dash = false;
        if (v->type == JSON_OBJECT) {
            write_key(b, m->key);
            buf_add_char(b, has_lines(m) ? '\n' : ' ');
            if (has_lines(m)) // a list stands as far in as its key
                write_lines(b, m, m->type == JSON_OBJECT ? level + 1 : level, false);
            else
                write_scalar(b, m);
        } else {
            buf_add(b, STR("- "));
            if (has_lines(m))
                write_lines(b, m, level + 1, true);
            else
                write_scalar(b, m);
        }
    }
}

void openapi_yaml_write(struct buf *b, const struct json_value *v)
{
    buf_add(b, STR("---\n"));
    if (has_lines(v))
        write_lines(b, v, 0, false);
    else
        write_scalar(b, v);
}
