// event_pattern.c - compiles and matches event patterns.
//
// A pattern is a tree of fields. A field leads either to a deeper object of fields or to a list of
// tests of which one has to hold. `$or` is a list of objects of which one has to hold, beside the
// other fields of its object.
//
// Wildcards are matched without recursion (the last `*` is the only place to come back to), so a
// hostile pattern costs at most pattern × text.

#include "base/event_pattern.h"

#include "base/wildcard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>

#define MAX_TESTS_PER_PATTERN 2048 // what one compile may build, beside the text's own limit
#define NUMERIC_LIMIT 5.0e9        // EventBridge: numbers between -5.0e9 and 5.0e9

enum test_kind {
    TEST_STRING,
    TEST_NUMBER,
    TEST_BOOL,
    TEST_NULL,
    TEST_PREFIX,
    TEST_SUFFIX,
    TEST_EQUALS_NOCASE,
    TEST_WILDCARD,
    TEST_NUMERIC,
    TEST_CIDR,
    TEST_EXISTS,
    TEST_ANYTHING_BUT, // of the tests in `but`
};

struct cidr {
    int family;
    uint8_t address[16];
    unsigned bits;
};

struct test {
    enum test_kind kind;
    bool nocase; // prefix and suffix
    bool flag;   // TEST_BOOL, TEST_EXISTS
    struct str text;
    bool has_low, has_high, low_open, high_open; // TEST_NUMERIC
    double low, high;                            // TEST_NUMBER: low
    struct cidr cidr;
    const struct test *but;
    const struct test *next;
};

struct field {
    struct str name;
    const struct event_pattern *object; // or tests
    const struct test *tests;
    const struct field *next;
};

struct alternative {
    const struct event_pattern *object;
    const struct alternative *next;
};

struct event_pattern {
    const struct field *fields;
    const struct alternative *alternatives; // of $or
};

struct compiler {
    struct arena *arena;
    unsigned n_tests;
};

// ---- compiling ---------------------------------------------------------------------------------

static struct test *new_test(struct compiler *c, enum test_kind kind, struct err *err)
{
    if (++c->n_tests > MAX_TESTS_PER_PATTERN) {
        err_set(err, -EINVAL, "Rule is too complex");
        return NULL;
    }
    struct test *t = arena_new(c->arena, struct test);
    if (!t) {
        err_set(err, -ENOMEM, "out of memory");
        return NULL;
    }
    t->kind = kind;
    return t;
}

static int compile_literal(struct compiler *c, const struct json_value *v, struct test **out,
                           struct err *err)
{
    static const enum test_kind kinds[] = {
        [JSON_NULL] = TEST_NULL,
        [JSON_BOOL] = TEST_BOOL,
        [JSON_NUMBER] = TEST_NUMBER,
        [JSON_STRING] = TEST_STRING,
    };

    if (v->type >= JSON_ARRAY)
        return err_set(err, -EINVAL, "Match value must be String, number, true, false, or null");
    struct test *t = new_test(c, kinds[v->type], err);
    if (!t)
        return err->code;
    json_str(v, &t->text);
    json_bool(v, &t->flag);
    json_f64(v, &t->low);
    *out = t;
    return 0;
}

static int compile_string_test(struct compiler *c, enum test_kind kind, const struct json_value *v,
                               const char *name, struct test **out, struct err *err)
{
    struct str text;
    bool nocase = false;

    if (kind != TEST_EQUALS_NOCASE && kind != TEST_WILDCARD && json_is(v, JSON_OBJECT)) {
        const struct json_value *inner = json_get(v, "equals-ignore-case");
        if (!inner || json_count(v) != 1)
            return err_set(err, -EINVAL, "Unsupported anything-but, prefix or suffix pattern");
        v = inner;
        nocase = true;
    }
    if (!json_str(v, &text))
        return err_set(err, -EINVAL, "%s match pattern must be a string", name);
    if (kind == TEST_WILDCARD) {
        for (size_t i = 0; i < text.len; i++) {
            if (text.ptr[i] == '*' && i + 1 < text.len && text.ptr[i + 1] == '*')
                return err_set(err, -EINVAL, "Consecutive wildcard characters at pos %zu", i);
            if (text.ptr[i] != '\\')
                continue;
            if (i + 1 >= text.len || (text.ptr[i + 1] != '*' && text.ptr[i + 1] != '\\'))
                return err_set(err, -EINVAL, "Invalid escape character at pos %zu", i);
            i++;
        }
    }
    struct test *t = new_test(c, kind, err);
    if (!t)
        return err->code;
    t->text = text;
    t->nocase = nocase;
    *out = t;
    return 0;
}

// ["=", n] or one or two bounds: [">", 0, "<=", 5].
static int compile_numeric(struct compiler *c, const struct json_value *v, struct test **out,
                           struct err *err)
{
    struct test *t = new_test(c, TEST_NUMERIC, err);
    if (!t)
        return err->code;
    size_t n = json_count(v);
    if (!json_is(v, JSON_ARRAY) || n == 0)
        return err_set(err, -EINVAL, "Invalid member in numeric match: must be an array");
    if (n != 2 && n != 4)
        return err_set(err, -EINVAL, "Too many or too few elements in numeric expression");
    for (const struct json_value *op = json_first(v); op; op = op->next->next) {
        const struct json_value *bound = op->next;
        struct str o;
        double d;

        if (!json_str(op, &o))
            return err_set(err, -EINVAL, "Invalid member in numeric match: operator expected");
        if (!json_f64(bound, &d))
            return err_set(err, -EINVAL, "Value of %.*s must be numeric", STR_ARG(o));
        if (!(fabs(d) <= NUMERIC_LIMIT))
            return err_set(err, -EINVAL, "Value must be between -5.0E9 and 5.0E9, inclusive");
        bool equal = str_eq(o, STR("=")), above = str_starts(o, STR(">"));
        bool open = o.len == 1;
        if (!equal && !above && !str_starts(o, STR("<")))
            return err_set(err, -EINVAL, "Unrecognized numeric range operator: %.*s", STR_ARG(o));
        if (o.len > 2 || (o.len == 2 && o.ptr[1] != '=') || (equal && n != 2))
            return err_set(err, -EINVAL, "Unrecognized numeric range operator: %.*s", STR_ARG(o));
        if ((above && t->has_low) || (!above && !equal && t->has_high))
            return err_set(err, -EINVAL, "Too many terms in numeric range expression");
        if (equal || above) {
            t->has_low = true;
            t->low = d;
            t->low_open = above && open;
        }
        if (equal || !above) {
            t->has_high = true;
            t->high = d;
            t->high_open = !equal && open;
        }
    }
    if (t->has_low && t->has_high &&
        (t->low > t->high || (t->low == t->high && (t->low_open || t->high_open))))
        return err_set(err, -EINVAL, "Bottom must be less than top");
    *out = t;
    return 0;
}

static bool parse_address(struct str s, struct cidr *out)
{
    char text[INET6_ADDRSTRLEN];

    if (s.len == 0 || s.len >= sizeof(text) || memchr(s.ptr, 0, s.len))
        return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = 0;
    *out = (struct cidr){.family = str_find_char(s, ':') >= 0 ? AF_INET6 : AF_INET};
    out->bits = out->family == AF_INET ? 32 : 128;
    return inet_pton(out->family, text, out->address) == 1;
}

static int compile_cidr(struct compiler *c, const struct json_value *v, struct test **out,
                        struct err *err)
{
    struct str text, rest, address;
    uint64_t bits;

    struct test *t = new_test(c, TEST_CIDR, err);
    if (!t)
        return err->code;
    if (!json_str(v, &text))
        return err_set(err, -EINVAL, "CIDR match pattern must be a string");
    rest = text;
    str_next(&rest, '/', &address);
    if (!parse_address(address, &t->cidr) || str_to_u64(rest, &bits) < 0 || bits > t->cidr.bits)
        return err_set(err, -EINVAL, "Malformed CIDR, expected format is IP/MASKBITS: %.*s",
                       STR_ARG(text));
    t->cidr.bits = (unsigned)bits;
    *out = t;
    return 0;
}

static int compile_test(struct compiler *c, const struct json_value *v, struct test **out,
                        struct err *err);

static int append_test(struct compiler *c, const struct json_value *v, bool literals_only,
                       const struct test ***tail, struct err *err)
{
    struct test *t = NULL;
    int r = literals_only ? compile_literal(c, v, &t, err) : compile_test(c, v, &t, err);
    if (r < 0)
        return r;
    **tail = t;
    *tail = (const struct test **)&t->next;
    return 0;
}

// A literal, a list of literals, or one string test whose value may be a list itself.
static int compile_anything_but(struct compiler *c, const struct json_value *v, struct test **out,
                                struct err *err)
{
    static const struct {
        const char *name;
        enum test_kind kind;
    } allowed[] = {
        {"prefix", TEST_PREFIX},
        {"suffix", TEST_SUFFIX},
        {"equals-ignore-case", TEST_EQUALS_NOCASE},
        {"wildcard", TEST_WILDCARD},
    };
    struct test *t = new_test(c, TEST_ANYTHING_BUT, err);
    if (!t)
        return err->code;
    const struct test **tail = &t->but;
    *out = t;
    if (json_is(v, JSON_ARRAY)) {
        if (json_count(v) == 0)
            return err_set(err, -EINVAL, "Empty arrays are not allowed");
        enum json_type type = json_first(v)->type;
        json_each(e, v)
        {
            if (e->type != type || (type != JSON_STRING && type != JSON_NUMBER))
                return err_set(err, -EINVAL,
                               "Inside anything but list, either all values are number or string, "
                               "mixed type is not supported");
            int r = append_test(c, e, true, &tail, err);
            if (r < 0)
                return r;
        }
        return 0;
    }
    if (!json_is(v, JSON_OBJECT)) {
        if (v->type != JSON_STRING && v->type != JSON_NUMBER)
            return err_set(err, -EINVAL,
                           "Value of anything-but must be an array or single "
                           "string/number value.");
        return append_test(c, v, true, &tail, err);
    }
    const struct json_value *inner = json_first(v);
    for (size_t i = 0; json_count(v) == 1 && i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        if (!str_eq(inner->key, str_from(allowed[i].name)))
            continue;
        bool list = json_is(inner, JSON_ARRAY);
        if (list && json_count(inner) == 0)
            return err_set(err, -EINVAL, "Empty arrays are not allowed");
        for (const struct json_value *e = list ? json_first(inner) : inner; e;
             e = list ? e->next : NULL) {
            struct test *part = NULL;
            int r = compile_string_test(c, allowed[i].kind, e, allowed[i].name, &part, err);
            if (r < 0)
                return r;
            if (part->kind != TEST_WILDCARD && part->text.len == 0)
                return err_set(err, -EINVAL, "Null %s not allowed", allowed[i].name);
            *tail = part;
            tail = &part->next;
        }
        return 0;
    }
    return err_set(err, -EINVAL, "Unsupported anything-but pattern");
}

static int compile_test(struct compiler *c, const struct json_value *v, struct test **out,
                        struct err *err)
{
    if (!json_is(v, JSON_OBJECT))
        return compile_literal(c, v, out, err);
    if (json_count(v) != 1)
        return err_set(err, -EINVAL, "Only one key allowed in match expression");
    const struct json_value *m = json_first(v);
    if (str_eq(m->key, STR("prefix")))
        return compile_string_test(c, TEST_PREFIX, m, "prefix", out, err);
    if (str_eq(m->key, STR("suffix")))
        return compile_string_test(c, TEST_SUFFIX, m, "suffix", out, err);
    if (str_eq(m->key, STR("equals-ignore-case")))
        return compile_string_test(c, TEST_EQUALS_NOCASE, m, "equals-ignore-case", out, err);
    if (str_eq(m->key, STR("wildcard")))
        return compile_string_test(c, TEST_WILDCARD, m, "wildcard", out, err);
    if (str_eq(m->key, STR("numeric")))
        return compile_numeric(c, m, out, err);
    if (str_eq(m->key, STR("cidr")))
        return compile_cidr(c, m, out, err);
    if (str_eq(m->key, STR("anything-but")))
        return compile_anything_but(c, m, out, err);
    if (!str_eq(m->key, STR("exists")))
        return err_set(err, -EINVAL, "Unrecognized match type %.*s", STR_ARG(m->key));
    bool flag;
    if (!json_bool(m, &flag))
        return err_set(err, -EINVAL, "exists match pattern must be either true or false.");
    *out = new_test(c, TEST_EXISTS, err);
    if (!*out)
        return err->code;
    (*out)->flag = flag;
    return 0;
}

static int compile_object(struct compiler *c, const struct json_value *v, bool inside_or,
                          const struct event_pattern **out, struct err *err);

// AWS takes $or for the operator when it is a list of at least two objects that are no tests.
static bool is_or(const struct json_value *m)
{
    if (!str_eq(m->key, STR("$or")) || !json_is(m, JSON_ARRAY) || json_count(m) < 2)
        return false;
    json_each(e, m) if (!json_is(e, JSON_OBJECT) || json_count(e) == 0) return false;
    return true;
}

static int compile_or(struct compiler *c, const struct json_value *m, struct event_pattern *p,
                      struct err *err)
{
    const struct alternative **tail = &p->alternatives;

    json_each(e, m)
    {
        struct alternative *a = arena_new(c->arena, struct alternative);
        if (!a)
            return err_set(err, -ENOMEM, "out of memory");
        int r = compile_object(c, e, true, &a->object, err);
        if (r < 0)
            return r;
        *tail = a;
        tail = (const struct alternative **)&a->next;
    }
    return 0;
}

static int compile_field(struct compiler *c, const struct json_value *m, struct field *f,
                         struct err *err)
{
    f->name = m->key;
    if (json_is(m, JSON_OBJECT))
        return compile_object(c, m, false, &f->object, err);
    if (!json_is(m, JSON_ARRAY))
        return err_set(err, -EINVAL, "\"%.*s\" must be an object or an array", STR_ARG(m->key));
    if (json_count(m) == 0)
        return err_set(err, -EINVAL, "Empty arrays are not allowed");
    const struct test **tail = &f->tests;
    json_each(e, m)
    {
        int r = append_test(c, e, false, &tail, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int compile_object(struct compiler *c, const struct json_value *v, bool inside_or,
                          const struct event_pattern **out, struct err *err)
{
    struct event_pattern *p = arena_new(c->arena, struct event_pattern);
    const struct field **tail;

    if (!p)
        return err_set(err, -ENOMEM, "out of memory");
    if (json_count(v) == 0)
        return err_set(err, -EINVAL,
                       inside_or ? "Empty objects are not allowed inside $or"
                                 : "Empty objects are not allowed");
    tail = &p->fields;
    json_each(m, v)
    {
        int r;
        if (is_or(m)) {
            r = compile_or(c, m, p, err);
        } else {
            struct field *f = arena_new(c->arena, struct field);
            if (!f)
                return err_set(err, -ENOMEM, "out of memory");
            r = compile_field(c, m, f, err);
            *tail = f;
            tail = (const struct field **)&f->next;
        }
        if (r < 0)
            return r;
    }
    *out = p;
    return 0;
}

int event_pattern_compile(struct arena *a, struct str text, const struct event_pattern **out,
                          struct err *err)
{
    struct compiler c = {.arena = a};
    const struct json_value *v;
    struct err local = ERR_INIT;

    if (!err)
        err = &local;
    int r = json_parse(a, text, &v, err);
    if (r < 0)
        return r == -ENOMEM ? r : err_set(err, -EINVAL, "Unable to parse the event pattern");
    if (!json_is(v, JSON_OBJECT))
        return err_set(err, -EINVAL, "Filter is not an object");
    return compile_object(&c, v, false, out, err);
}

// ---- matching ----------------------------------------------------------------------------------

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static bool cidr_match(const struct cidr *net, struct str text)
{
    struct cidr a;

    if (!parse_address(text, &a) || a.family != net->family)
        return false;
    unsigned whole = net->bits / 8, rest = net->bits % 8;
    if (memcmp(a.address, net->address, whole) != 0)
        return false;
    return rest == 0 || (a.address[whole] ^ net->address[whole]) >> (8 - rest) == 0;
}

static bool affix_match(const struct test *t, struct str part)
{
    if (!t->nocase)
        return str_eq(part, t->text);
    for (size_t i = 0; i < part.len; i++)
        if (lower(part.ptr[i]) != lower(t->text.ptr[i]))
            return false;
    return true;
}

static bool string_test(const struct test *t, struct str s)
{
    switch (t->kind) {
    case TEST_STRING:
        return str_eq(s, t->text);
    case TEST_PREFIX:
        return s.len >= t->text.len && affix_match(t, str_slice(s, 0, t->text.len));
    case TEST_SUFFIX:
        return s.len >= t->text.len && affix_match(t, str_slice(s, s.len - t->text.len, s.len));
    case TEST_EQUALS_NOCASE:
        return str_eq_nocase(s, t->text);
    case TEST_WILDCARD:
        return wildcard_match(t->text, s, WILDCARD_ESCAPE);
    case TEST_CIDR:
        return cidr_match(&t->cidr, s);
    case TEST_NUMBER:
    case TEST_BOOL:
    case TEST_NULL:
    case TEST_NUMERIC:
    case TEST_EXISTS:
    case TEST_ANYTHING_BUT:
        return false;
    }
    return false;
}

static bool number_test(const struct test *t, double d)
{
    if (t->kind == TEST_NUMBER)
        return d == t->low;
    if (t->kind != TEST_NUMERIC)
        return false;
    if (t->has_low && !(t->low_open ? d > t->low : d >= t->low))
        return false;
    return !t->has_high || (t->high_open ? d < t->high : d <= t->high);
}

// One value that is neither object nor array.
static bool leaf_test(const struct test *t, const struct json_value *v)
{
    struct str s;
    bool b;
    double d;

    if (t->kind == TEST_EXISTS)
        return t->flag;
    if (t->kind == TEST_ANYTHING_BUT) {
        for (const struct test *but = t->but; but; but = but->next)
            if (leaf_test(but, v))
                return false;
        return true;
    }
    if (json_str(v, &s))
        return string_test(t, s);
    if (json_f64(v, &d))
        return number_test(t, d);
    if (json_bool(v, &b))
        return t->kind == TEST_BOOL && t->flag == b;
    return t->kind == TEST_NULL && v->type == JSON_NULL;
}

// A value of the event, arrays looked into; objects are no leaves.
static bool value_test(const struct test *t, const struct json_value *v)
{
    if (json_is(v, JSON_OBJECT))
        return false;
    if (!json_is(v, JSON_ARRAY))
        return leaf_test(t, v);
    json_each(e, v) if (value_test(t, e)) return true;
    return false;
}

static bool has_leaf(const struct json_value *v)
{
    if (!v || v->type == JSON_OBJECT)
        return false;
    if (v->type != JSON_ARRAY)
        return true;
    json_each(e, v) if (has_leaf(e)) return true;
    return false;
}

static bool field_match(const struct field *f, const struct json_value *v);

// `object` is an object, or NULL where the event has none (only exists:false can hold then).
static bool object_match(const struct event_pattern *p, const struct json_value *object)
{
    for (const struct field *f = p->fields; f; f = f->next)
        if (!field_match(f, json_get_str(object, f->name)))
            return false;
    if (!p->alternatives)
        return true;
    for (const struct alternative *a = p->alternatives; a; a = a->next)
        if (object_match(a->object, object))
            return true;
    return false;
}

static bool field_match(const struct field *f, const struct json_value *v)
{
    if (f->object) {
        if (!json_is(v, JSON_ARRAY))
            return object_match(f->object, json_is(v, JSON_OBJECT) ? v : NULL);
        json_each(e, v)
        {
            const struct field in_element = {.name = f->name, .object = f->object};
            if (field_match(&in_element, e))
                return true;
        }
        return false;
    }
    bool leaf = has_leaf(v);
    for (const struct test *t = f->tests; t; t = t->next) {
        if (t->kind == TEST_EXISTS && !t->flag) {
            if (!leaf)
                return true;
        } else if (leaf && value_test(t, v)) {
            return true;
        }
    }
    return false;
}

bool event_pattern_match(const struct event_pattern *p, const struct json_value *event)
{
    return json_is(event, JSON_OBJECT) && object_match(p, event);
}
