// json.c - reading JSON into a tree.
//
// Invariants: nothing is built that the text did not pay for byte by byte, so memory is bounded
// by a multiple of its length (and by the arena); recursion is bounded by JSON_MAX_DEPTH.
// With a == NULL the same code only checks.
#include "json.h"
#include "hash.h"
#include "utf8.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

struct parser {
    struct arena *a;
    const char *at, *end, *start;
    struct err *err;
    unsigned depth;
};

static int fail(struct parser *p, const char *what)
{
    return err_set(p->err, -EINVAL, "%s at byte %zu", what, (size_t)(p->at - p->start));
}

static int no_memory(struct parser *p)
{
    return err_set(p->err, -ENOMEM, "JSON needs too much memory");
}

static void skip_space(struct parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\r' || *p->at == '\t'))
        p->at++;
}

// --- strings ---

static int read_hex4(struct parser *p, uint32_t *out)
{
    uint32_t v = 0;

    if (p->end - p->at < 4)
        return fail(p, "unfinished \\u escape");
    for (int i = 0; i < 4; i++, p->at++) {
        char c = *p->at;
        uint32_t d;
        if (c >= '0' && c <= '9')
            d = (uint32_t)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            d = (uint32_t)((c | 32) - 'a') + 10;
        else
            return fail(p, "bad \\u escape");
        v = v << 4 | d;
    }
    *out = v;
    return 0;
}

// After "\u". Surrogates must come in pairs: a lone one has no UTF-8.
static int read_unicode_escape(struct parser *p, char **o)
{
    uint32_t c, low;
    char out[4];
    unsigned n;
    int r;

    r = read_hex4(p, &c);
    if (r < 0)
        return r;
    if (c >= 0xdc00 && c <= 0xdfff)
        return fail(p, "lone low surrogate");
    if (c >= 0xd800 && c <= 0xdbff) {
        if (p->end - p->at < 2 || p->at[0] != '\\' || p->at[1] != 'u')
            return fail(p, "lone high surrogate");
        p->at += 2;
        r = read_hex4(p, &low);
        if (r < 0)
            return r;
        if (low < 0xdc00 || low > 0xdfff)
            return fail(p, "lone high surrogate");
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    n = utf8_put(out, c);
    if (*o) {
        memcpy(*o, out, n);
        *o += n;
    }
    return 0;
}

// After a backslash; *o is NULL when only checking.
static int read_escape(struct parser *p, char **o)
{
    char c;

    if (p->at == p->end)
        return fail(p, "unfinished string");
    switch (*p->at) {
    case '"':
    case '\\':
    case '/':
        c = *p->at;
        break;
    case 'b':
        c = '\b';
        break;
    case 'f':
        c = '\f';
        break;
    case 'n':
        c = '\n';
        break;
    case 'r':
        c = '\r';
        break;
    case 't':
        c = '\t';
        break;
    case 'u':
        p->at++;
        return read_unicode_escape(p, o);
    default:
        return fail(p, "unknown escape");
    }
    p->at++;
    if (*o)
        *(*o)++ = c;
    return 0;
}

// The rest of a string that has escapes. What was read so far is start..p->at.
static int read_escaped_string(struct parser *p, const char *start, struct str *out)
{
    const char *close;
    char *text = NULL, *o;
    uint32_t c;
    unsigned n;
    int r;

    if (p->a) {
        // Unescaping never makes it longer; the closing quote bounds it.
        for (close = p->at; close < p->end && *close != '"'; close++) {
            if (*close == '\\')
                close++;
        }
        if (close > p->end)
            close = p->end;
        text = arena_alloc(p->a, (size_t)(close - start) + 1);
        if (!text)
            return no_memory(p);
        memcpy(text, start, (size_t)(p->at - start));
    }
    o = text ? text + (p->at - start) : NULL;
    while (p->at < p->end && *p->at != '"') {
        if (*p->at == '\\') {
            p->at++;
            r = read_escape(p, &o);
            if (r < 0)
                return r;
            continue;
        }
        if ((unsigned char)*p->at < 0x20)
            return fail(p, "control character in a string");
        n = utf8_next((struct str){p->at, (size_t)(p->end - p->at)}, &c);
        if (n == 0)
            return fail(p, "bad UTF-8");
        if (o) {
            memcpy(o, p->at, n);
            o += n;
        }
        p->at += n;
    }
    if (p->at == p->end)
        return fail(p, "unfinished string");
    p->at++;
    if (o)
        *o = '\0';
    *out = (struct str){text, o ? (size_t)(o - text) : 0};
    return 0;
}

// p->at is behind the opening quote.
static int read_string(struct parser *p, struct str *out)
{
    const char *start = p->at;
    uint32_t c;
    unsigned n;

    while (p->at < p->end && *p->at != '"' && *p->at != '\\') {
        unsigned char u = (unsigned char)*p->at;
        if (u < 0x20)
            return fail(p, "control character in a string");
        n = u < 0x80 ? 1 : utf8_next((struct str){p->at, (size_t)(p->end - p->at)}, &c);
        if (n == 0)
            return fail(p, "bad UTF-8");
        p->at += n;
    }
    if (p->at == p->end)
        return fail(p, "unfinished string");
    if (*p->at == '\\')
        return read_escaped_string(p, start, out);
    *out = (struct str){start, (size_t)(p->at - start)};
    p->at++;
    return 0;
}

// --- numbers and words ---

static bool at_digit(const struct parser *p)
{
    return p->at < p->end && *p->at >= '0' && *p->at <= '9';
}

static int check_number(struct parser *p)
{
    if (*p->at == '-')
        p->at++;
    if (!at_digit(p))
        return fail(p, "bad number");
    if (*p->at == '0')
        p->at++;
    else
        while (at_digit(p))
            p->at++;
    if (at_digit(p))
        return fail(p, "number with a leading zero");
    if (p->at < p->end && *p->at == '.') {
        p->at++;
        if (!at_digit(p))
            return fail(p, "bad number");
        while (at_digit(p))
            p->at++;
    }
    if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        p->at++;
        if (p->at < p->end && (*p->at == '+' || *p->at == '-'))
            p->at++;
        if (!at_digit(p))
            return fail(p, "bad number");
        while (at_digit(p))
            p->at++;
    }
    return 0;
}

static int read_word(struct parser *p, struct str word)
{
    if (!str_starts((struct str){p->at, (size_t)(p->end - p->at)}, word))
        return fail(p, p->at == p->end ? "unfinished JSON" : "unexpected character");
    p->at += word.len;
    return 0;
}

// --- arrays and objects ---

// Unlinks every member whose key comes again later. Small objects by comparing, large ones by a
// table in the arena, so that a hostile object costs no more than its length.
static int drop_repeated(struct parser *p, struct json_value *object)
{
    size_t n = object->children.n, cap = 16;
    struct json_value **table, **link;

    if (n < 2)
        return 0;
    if (n <= 8) {
        for (link = &object->children.first; *link;) {
            struct json_value *later = (*link)->next;
            while (later && !str_eq(later->key, (*link)->key))
                later = later->next;
            if (later) {
                *link = (*link)->next;
                object->children.n--;
            } else {
                link = &(*link)->next;
            }
        }
        return 0;
    }
    while (cap < 2 * n)
        cap *= 2;
    table = arena_new_array(p->a, struct json_value *, cap);
    if (!table)
        return no_memory(p);
    for (struct json_value *v = object->children.first; v; v = v->next) {
        size_t i = hash_table(v->key) & (cap - 1);
        while (table[i] && !str_eq(table[i]->key, v->key))
            i = (i + 1) & (cap - 1);
        table[i] = v; // the last of its key stays
    }
    for (link = &object->children.first; *link;) {
        struct json_value *v = *link;
        size_t i = hash_table(v->key) & (cap - 1);
        while (!str_eq(table[i]->key, v->key))
            i = (i + 1) & (cap - 1);
        if (table[i] == v) {
            link = &v->next;
        } else {
            *link = v->next;
            object->children.n--;
        }
    }
    return 0;
}

static int read_value(struct parser *p, struct json_value *out);

// p->at is behind the opening bracket.
static int read_children(struct parser *p, struct json_value *out, char close)
{
    struct json_value scratch, *child, **link = &out->children.first;
    bool object = close == '}';
    int r;

    if (++p->depth > JSON_MAX_DEPTH)
        return err_set(p->err, -E2BIG, "JSON is nested more than %d deep", JSON_MAX_DEPTH);
    out->children.first = NULL;
    out->children.n = 0;
    skip_space(p);
    if (p->at < p->end && *p->at == close) {
        p->at++;
        p->depth--;
        return 0;
    }
    for (;;) {
        child = p->a ? arena_new(p->a, struct json_value) : &scratch;
        if (!child)
            return no_memory(p);
        *child = (struct json_value){0};
        if (object) {
            skip_space(p);
            if (p->at == p->end || *p->at != '"')
                return fail(p, p->at == p->end ? "unfinished object" : "expected a key");
            p->at++;
            r = read_string(p, &child->key);
            if (r < 0)
                return r;
            skip_space(p);
            if (p->at == p->end || *p->at != ':')
                return fail(p, "expected ':'");
            p->at++;
        }
        r = read_value(p, child);
        if (r < 0)
            return r;
        if (p->a) {
            *link = child;
            link = &child->next;
            out->children.n++;
        }
        skip_space(p);
        if (p->at == p->end)
            return fail(p, object ? "unfinished object" : "unfinished array");
        if (*p->at == close)
            break;
        if (*p->at != ',')
            return fail(p, object ? "expected ',' or '}'" : "expected ',' or ']'");
        p->at++;
    }
    p->at++;
    p->depth--;
    return object && p->a ? drop_repeated(p, out) : 0;
}

static int read_value(struct parser *p, struct json_value *out)
{
    const char *start;
    int r;

    skip_space(p);
    if (p->at == p->end)
        return fail(p, "unfinished JSON");
    start = p->at;
    switch (*p->at) {
    case '{':
        out->type = JSON_OBJECT;
        p->at++;
        r = read_children(p, out, '}');
        break;
    case '[':
        out->type = JSON_ARRAY;
        p->at++;
        r = read_children(p, out, ']');
        break;
    case '"':
        out->type = JSON_STRING;
        p->at++;
        r = read_string(p, &out->string);
        break;
    case 't':
        out->type = JSON_BOOL;
        out->boolean = true;
        r = read_word(p, STR("true"));
        break;
    case 'f':
        out->type = JSON_BOOL;
        out->boolean = false;
        r = read_word(p, STR("false"));
        break;
    case 'n':
        out->type = JSON_NULL;
        r = read_word(p, STR("null"));
        break;
    default:
        out->type = JSON_NUMBER;
        if (*p->at != '-' && !at_digit(p))
            return fail(p, "unexpected character");
        r = check_number(p);
    }
    out->raw = (struct str){start, (size_t)(p->at - start)};
    return r;
}

static int parse(struct arena *a, struct str text, struct json_value *v, struct err *err)
{
    struct parser p = {.a = a, .at = text.ptr, .start = text.ptr, .err = err};
    int r;

    p.end = text.ptr ? text.ptr + text.len : NULL;
    r = read_value(&p, v);
    if (r < 0)
        return r;
    skip_space(&p);
    if (p.at != p.end)
        return fail(&p, "something follows the JSON value");
    return 0;
}

int json_parse(struct arena *a, struct str text, const struct json_value **out, struct err *err)
{
    struct json_value *v = arena_new(a, struct json_value);
    int r;

    if (!v)
        return err_set(err, -ENOMEM, "JSON needs too much memory");
    r = parse(a, text, v, err);
    if (r == 0)
        *out = v;
    return r;
}

bool json_valid(struct str text)
{
    struct json_value v = {0};

    return parse(NULL, text, &v, NULL) == 0;
}

// --- looking at the tree ---

const char *json_type_name(enum json_type type)
{
    static const char *const names[] = {"null", "boolean", "number", "string", "array", "object"};
    return names[type];
}

const struct json_value *json_get_str(const struct json_value *v, struct str key)
{
    if (!v || v->type != JSON_OBJECT)
        return NULL;
    json_each(child, v)
    {
        if (str_eq(child->key, key))
            return child;
    }
    return NULL;
}

const struct json_value *json_get(const struct json_value *v, const char *key)
{
    return json_get_str(v, str_from(key));
}

const struct json_value *json_path(const struct json_value *v, ...)
{
    const char *key;
    va_list keys;

    va_start(keys, v);
    while (v && (key = va_arg(keys, const char *)))
        v = json_get(v, key);
    va_end(keys);
    return v;
}

bool json_is(const struct json_value *v, enum json_type type)
{
    return v && v->type == type;
}

bool json_is_null(const struct json_value *v)
{
    return !v || v->type == JSON_NULL;
}

bool json_str(const struct json_value *v, struct str *out)
{
    if (!json_is(v, JSON_STRING))
        return false;
    *out = v->string;
    return true;
}

bool json_bool(const struct json_value *v, bool *out)
{
    if (!json_is(v, JSON_BOOL))
        return false;
    *out = v->boolean;
    return true;
}

bool json_f64(const struct json_value *v, double *out)
{
    char text[64], *copy = text;

    if (!json_is(v, JSON_NUMBER))
        return false;
    if (v->raw.len >= sizeof(text)) {
        copy = malloc(v->raw.len + 1);
        if (!copy)
            return false;
    }
    memcpy(copy, v->raw.ptr, v->raw.len);
    copy[v->raw.len] = '\0';
    *out = strtod(copy, NULL);
    if (copy != text)
        free(copy);
    return true;
}

bool json_i64(const struct json_value *v, int64_t *out)
{
    double d;
    int r;

    if (!json_is(v, JSON_NUMBER))
        return false;
    r = str_to_i64(v->raw, out);
    if (r != -EINVAL)
        return r == 0;
    // A decimal point or an exponent. 2^63 itself does not fit.
    if (!json_f64(v, &d) || d != trunc(d) || d < -0x1p63 || d >= 0x1p63)
        return false;
    *out = (int64_t)d;
    return true;
}

struct str json_get_or(const struct json_value *v, const char *key, struct str otherwise)
{
    json_str(json_get(v, key), &otherwise);
    return otherwise;
}

int64_t json_get_i64_or(const struct json_value *v, const char *key, int64_t otherwise)
{
    json_i64(json_get(v, key), &otherwise);
    return otherwise;
}

bool json_get_bool_or(const struct json_value *v, const char *key, bool otherwise)
{
    json_bool(json_get(v, key), &otherwise);
    return otherwise;
}
