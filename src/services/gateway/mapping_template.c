// mapping_template.c - see mapping_template.h.

#include "services/gateway/mapping_template.h"

#include "base/cleanup.h"
#include "base/base64.h"
#include "base/json_select.h"
#include "base/percent.h"

#include <errno.h>

#define MAX_OUTPUT_BYTES ((size_t)1 << 20)
#define MAX_NESTING 16

struct rendering {
    struct arena *arena;
    struct str text;
    size_t at;
    const struct template_source *from; // NULL: the template is only checked
    const struct json_value *body;      // parsed when it is first asked for
    bool parsed;
    unsigned nesting;
    struct err *err;
};

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool name_char(char c)
{
    return letter(c) || (c >= '0' && c <= '9') || c == '-';
}

static char peek(const struct rendering *r, size_t ahead)
{
    return r->at + ahead < r->text.len ? r->text.ptr[r->at + ahead] : 0;
}

static struct str take_name(struct rendering *r)
{
    size_t from = r->at;

    while (name_char(peek(r, 0)))
        r->at++;
    return str_slice(r->text, from, r->at);
}

static int bad(struct rendering *r, const char *what, struct str name)
{
    return err_set(r->err, -EINVAL, "%s %.*s is not supported in templates here", what,
                   STR_ARG(name));
}

static const struct json_value *body_json(struct rendering *r)
{
    if (!r->parsed && r->from && json_parse(r->arena, r->from->body, &r->body, NULL) < 0)
        r->body = NULL;
    r->parsed = true;
    return r->body;
}

// ---- $util
// ---------------------------------------------------------------------------------------

static struct str escaped_script(struct arena *a, struct str s)
{
    struct buf b;

    buf_init(&b, MAX_OUTPUT_BYTES);
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '\n' || c == '\r' || c == '\t')
            buf_addf(&b, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (c == '"' || c == '\'' || c == '\\' || c == '/')
            buf_addf(&b, "\\%c", c);
        else if ((unsigned char)c < ' ')
            buf_addf(&b, "\\u%04X", (unsigned)c);
        else
            buf_add_char(&b, c);
    }
    struct str out = b.failed ? STR_NULL : arena_str(a, buf_str(&b));
    buf_finish(&b);
    return out;
}

static struct str url_encoded(struct arena *a, struct str s)
{
    struct buf b;

    buf_init(&b, MAX_OUTPUT_BYTES);
    percent_encode(&b, s);
    struct str out = b.failed ? STR_NULL : arena_str(a, buf_str(&b));
    buf_finish(&b);
    return out;
}

static struct str base64_decoded(struct arena *a, struct str s)
{
    struct str out;

    return base64_decode(a, s, &out) < 0 ? STR_NULL : out;
}

static struct str url_decoded(struct arena *a, struct str s)
{
    struct str out;

    return percent_decode(a, s, PERCENT_FORM, &out) < 0 ? STR_NULL : out;
}

static const struct {
    const char *name;
    struct str (*fn)(struct arena *a, struct str s);
} functions[] = {
    {"escapeJavaScript", escaped_script}, {"base64Encode", base64_arena},
    {"base64Decode", base64_decoded},     {"urlEncode", url_encoded},
    {"urlDecode", url_decoded},
};

// ---- references
// ----------------------------------------------------------------------------------

static int reference(struct rendering *r, struct str *value, bool *known);

// "('text')", "($reference)", "()".
static int argument(struct rendering *r, struct str *value)
{
    bool known;
    char quote;
    int rc = 0;

    *value = STR("");
    if (peek(r, 0) != '(')
        return bad(r, "Reference", str_slice(r->text, 0, r->at));
    r->at++;
    while (peek(r, 0) == ' ')
        r->at++;
    quote = peek(r, 0);
    if (quote == '\'' || quote == '"') {
        size_t from = ++r->at;
        while (peek(r, 0) && peek(r, 0) != quote)
            r->at++;
        *value = str_slice(r->text, from, r->at);
        r->at++;
    } else if (quote == '$') {
        rc = reference(r, value, &known);
        if (rc == 0 && !known)
            rc = bad(r, "Variable", *value);
    }
    while (peek(r, 0) == ' ')
        r->at++;
    if (rc == 0 && peek(r, 0) != ')')
        rc = err_set(r->err, -EINVAL, "a parenthesis is not closed, or holds more than one value");
    r->at++;
    return rc;
}

static int input_reference(struct rendering *r, struct str *value)
{
    struct str what, arg;
    int rc;

    if (peek(r, 0) != '.')
        return bad(r, "Reference", STR("$input"));
    r->at++;
    what = take_name(r);
    if (str_eq(what, STR("body"))) {
        *value = r->from ? r->from->body : STR("");
        return 0;
    }
    bool params = str_eq(what, STR("params")), json = str_eq(what, STR("json"));
    if (!params && !json && !str_eq(what, STR("path")))
        return bad(r, "Function", arena_printf(r->arena, "$input.%.*s", STR_ARG(what)));
    rc = argument(r, &arg);
    if (rc < 0)
        return rc;
    if (params) {
        if (arg.len == 0)
            return bad(r, "Function", STR("$input.params()"));
        *value = r->from ? r->from->lookup(r->from->ctx,
                                           arena_printf(r->arena, "params.%.*s", STR_ARG(arg)))
                         : STR("");
        return 0;
    }
    const struct json_value *v = json_select(body_json(r), arg);
    while (!json && (peek(r, 0) == '.' || peek(r, 0) == '[')) { // $input.path('$.a').b[0]
        size_t from = r->at;
        if (peek(r, 0) == '.' && !letter(peek(r, 1)))
            break;
        r->at++;
        while (name_char(peek(r, 0)))
            r->at++;
        if (peek(r, 0) == ']')
            r->at++;
        else if (peek(r, 0) == '(')
            return bad(r, "Method", str_slice(r->text, from, r->at));
        v = json_select(v,
                        arena_printf(r->arena, "$%.*s", STR_ARG(str_slice(r->text, from, r->at))));
    }
    *value = json ? (v ? v->raw : STR("\"\"")) : json_text(v);
    return 0;
}

static int util_reference(struct rendering *r, struct str *value)
{
    struct str name, arg;

    if (peek(r, 0) != '.')
        return bad(r, "Reference", STR("$util"));
    r->at++;
    name = take_name(r);
    for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
        if (!str_eq(name, str_from(functions[i].name)))
            continue;
        int rc = argument(r, &arg);
        if (rc == 0)
            *value = functions[i].fn(r->arena, arg.ptr ? arg : STR(""));
        return rc;
    }
    return bad(r, "Function", arena_printf(r->arena, "$util.%.*s", STR_ARG(name)));
}

// ".a.b" or "['a']" after $context or $stageVariables.
static int variable_reference(struct rendering *r, struct str root, struct str *value)
{
    struct str name = root;

    while ((peek(r, 0) == '.' && letter(peek(r, 1))) || peek(r, 0) == '[') {
        bool bracket = peek(r, 0) == '[';
        r->at += bracket ? 2 : 1;
        struct str part = take_name(r);
        name = arena_printf(r->arena, "%.*s.%.*s", STR_ARG(name), STR_ARG(part));
        r->at += bracket ? 2 : 0;
    }
    *value = r->from ? r->from->lookup(r->from->ctx, name) : STR("");
    return 0;
}

// At a '$'. `known` false: no reference of ours, *value is its text.
static int reference(struct rendering *r, struct str *value, bool *known)
{
    size_t from = r->at++;
    int rc;

    if (++r->nesting > MAX_NESTING)
        return err_set(r->err, -EINVAL, "the template is nested too deeply");
    if (peek(r, 0) == '!')
        r->at++;
    bool braced = peek(r, 0) == '{';
    r->at += braced;
    struct str root = take_name(r);
    *known = true;
    if (str_eq(root, STR("input"))) {
        rc = input_reference(r, value);
    } else if (str_eq(root, STR("util"))) {
        rc = util_reference(r, value);
    } else if (str_eq(root, STR("context")) || str_eq(root, STR("stageVariables"))) {
        rc = variable_reference(r, root, value);
    } else { // Velocity shows a variable that is not defined as it is written
        *known = false;
        *value = str_slice(r->text, from, r->at);
        r->nesting--;
        return 0;
    }
    if (rc == 0 && braced && peek(r, 0) != '}')
        rc = bad(r, "Expression", str_slice(r->text, from, r->at));
    r->at += braced;
    r->nesting--;
    return rc;
}

// At a '#': a comment is skipped, anything that is a directive refused.
static int directive(struct rendering *r, struct buf *out)
{
    size_t from = r->at;

    if (peek(r, 1) == '#') {
        while (peek(r, 0) && peek(r, 0) != '\n')
            r->at++;
        r->at += peek(r, 0) == '\n';
        return 0;
    }
    if (peek(r, 1) == '*') {
        ptrdiff_t end = str_find(str_slice(r->text, r->at, r->text.len), STR("*#"));
        r->at = end < 0 ? r->text.len : r->at + (size_t)end + 2;
        return 0;
    }
    if (letter(peek(r, 1)) || peek(r, 1) == '{' || peek(r, 1) == '@') {
        r->at++;
        take_name(r);
        return bad(r, "Directive", str_slice(r->text, from, r->at));
    }
    buf_add_char(out, '#');
    r->at++;
    return 0;
}

static int render(struct rendering *r, struct buf *out)
{
    while (r->at < r->text.len) {
        char c = peek(r, 0);
        struct str value = STR_NULL;
        bool known;
        int rc = 0;
        if (c == '\\' && (peek(r, 1) == '$' || peek(r, 1) == '#')) {
            buf_add_char(out, peek(r, 1));
            r->at += 2;
        } else if (c == '#') {
            rc = directive(r, out);
        } else if (c == '$') {
            rc = reference(r, &value, &known);
            if (rc == 0 && value.ptr)
                buf_add(out, value);
        } else {
            buf_add_char(out, c);
            r->at++;
        }
        if (rc < 0)
            return rc;
    }
    return out->failed ? err_set(r->err, -EFBIG, "what the template makes is too long") : 0;
}

int mapping_template_check(struct str text, struct err *err)
{
    struct arena a;
    struct buf b;

    arena_init(&a, 4 * MAX_OUTPUT_BYTES);
    buf_init(&b, MAX_OUTPUT_BYTES);
    struct rendering r = {.arena = &a, .text = text, .err = err};
    int rc = render(&r, &b);
    buf_finish(&b);
    arena_finish(&a);
    return rc;
}

int mapping_template_render(struct arena *a, struct str text, const struct template_source *from,
                            struct str *out, struct err *err)
{
    struct rendering r = {.arena = a, .text = text, .from = from, .err = err};
    struct buf b;

    buf_init(&b, MAX_OUTPUT_BYTES);
    int rc = render(&r, &b);
    *out = rc < 0 ? STR_NULL : arena_str(a, buf_str(&b));
    buf_finish(&b);
    return rc < 0 ? rc : out->ptr ? 0 : err_set(err, -ENOMEM, "out of memory");
}
