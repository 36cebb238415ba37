// xml.c - a recursive-descent reader over the text; no state outside the stack.
#include "xml.h"

#include "utf8.h"

#include <errno.h>

struct reader {
    struct arena *arena;
    struct str text;
    size_t at;
    unsigned depth;
    struct err *err;
};

static int malformed(struct reader *r, const char *what)
{
    return err_set(r->err, -EINVAL, "%s at byte %zu", what, r->at);
}

static struct str rest(const struct reader *r)
{
    return str_slice(r->text, r->at, r->text.len);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(struct reader *r)
{
    while (r->at < r->text.len && is_space(r->text.ptr[r->at]))
        r->at++;
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == ':' || (unsigned char)c >= 0x80;
}

// The whole name; false when there is none.
static bool read_name(struct reader *r, struct str *name)
{
    size_t from = r->at;

    while (r->at < r->text.len && is_name_char(r->text.ptr[r->at]))
        r->at++;
    *name = str_slice(r->text, from, r->at);
    return name->len > 0 && !(name->ptr[0] >= '0' && name->ptr[0] <= '9') && name->ptr[0] != '-' &&
           name->ptr[0] != '.' && name->ptr[0] != ':' && name->ptr[name->len - 1] != ':';
}

static struct str local_part(struct str name)
{
    ptrdiff_t colon = str_find_char(name, ':');

    return colon < 0 ? name : str_slice(name, (size_t)colon + 1, name.len);
}

static bool skip_until(struct reader *r, struct str end)
{
    ptrdiff_t at = str_find(rest(r), end);

    if (at < 0)
        return false;
    r->at += (size_t)at + end.len;
    return true;
}

// One entity after '&': writes its character, answers bytes used of `s` (with ';'), 0 for bad.
static size_t entity(struct str s, char *out, size_t *n)
{
    static const struct {
        struct str name;
        char c;
    } named[] = {{STR_INIT("lt;"), '<'},
                 {STR_INIT("gt;"), '>'},
                 {STR_INIT("amp;"), '&'},
                 {STR_INIT("quot;"), '"'},
                 {STR_INIT("apos;"), '\''}};
    uint32_t code = 0;
    size_t i = 2;
    bool hex;

    for (size_t k = 0; k < sizeof(named) / sizeof(named[0]); k++) {
        if (str_starts(s, named[k].name)) {
            out[0] = named[k].c;
            *n = 1;
            return named[k].name.len;
        }
    }
    if (s.len < 3 || s.ptr[0] != '#')
        return 0;
    hex = s.ptr[1] == 'x';
    if (!hex)
        i = 1;
    for (; i < s.len && i < 10 && s.ptr[i] != ';'; i++) {
        char c = s.ptr[i];
        uint32_t digit;

        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if (hex && ((c | 32) >= 'a' && (c | 32) <= 'f'))
            digit = (uint32_t)((c | 32) - 'a' + 10);
        else
            return 0;
        code = code * (hex ? 16 : 10) + digit;
    }
    if (i >= s.len || s.ptr[i] != ';' || code == 0 || i == (hex ? 2u : 1u))
        return 0;
    *n = utf8_put(out, code);
    return *n ? i + 1 : 0;
}

// Character data with its references resolved and line ends made '\n' (XML 1.0, 2.11).
static int unescape(struct reader *r, struct str raw, struct str *out)
{
    char *copy;
    size_t n = 0;

    if (str_find_char(raw, '&') < 0 && str_find_char(raw, '\r') < 0) {
        *out = raw;
        return 0;
    }
    copy = arena_alloc(r->arena, raw.len + 1);
    if (!copy)
        return err_set(r->err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < raw.len;) {
        size_t used, wrote;

        if (raw.ptr[i] == '\r') {
            copy[n++] = '\n';
            i += i + 1 < raw.len && raw.ptr[i + 1] == '\n' ? 2 : 1;
            continue;
        }
        if (raw.ptr[i] != '&') {
            copy[n++] = raw.ptr[i++];
            continue;
        }
        used = entity(str_slice(raw, i + 1, raw.len), copy + n, &wrote);
        if (used == 0)
            return malformed(r, "unknown entity");
        n += wrote;
        i += used + 1;
    }
    *out = (struct str){copy, n};
    return 0;
}

static int read_attributes(struct reader *r, struct xml_node *node)
{
    struct xml_attribute **tail = &node->attributes;

    for (;;) {
        struct str name, raw, value;
        size_t from;
        char quote;
        int rc;

        skip_space(r);
        if (r->at >= r->text.len)
            return malformed(r, "unfinished tag");
        if (r->text.ptr[r->at] == '>' || r->text.ptr[r->at] == '/')
            return 0;
        if (!read_name(r, &name))
            return malformed(r, "bad attribute name");
        skip_space(r);
        if (r->at >= r->text.len || r->text.ptr[r->at] != '=')
            return malformed(r, "attribute without value");
        r->at++;
        skip_space(r);
        quote = r->at < r->text.len ? r->text.ptr[r->at] : '\0';
        if (quote != '"' && quote != '\'')
            return malformed(r, "attribute value without quotes");
        from = ++r->at;
        while (r->at < r->text.len && r->text.ptr[r->at] != quote && r->text.ptr[r->at] != '<')
            r->at++;
        if (r->at >= r->text.len || r->text.ptr[r->at] != quote)
            return malformed(r, "unfinished attribute value");
        raw = str_slice(r->text, from, r->at++);
        rc = unescape(r, raw, &value);
        if (rc < 0)
            return rc;
        if (str_eq(name, STR("xmlns")) || str_starts(name, STR("xmlns:")))
            continue;
        *tail = arena_new(r->arena, struct xml_attribute);
        if (!*tail)
            return err_set(r->err, -ENOMEM, "out of memory");
        (*tail)->name = local_part(name);
        (*tail)->value = value;
        tail = &(*tail)->next;
    }
}

// Skips what is neither element nor text. 1 skipped something, 0 nothing there, negative bad.
static int skip_other(struct reader *r)
{
    struct str s = rest(r);

    if (str_starts(s, STR("<!--")))
        return skip_until(r, STR("-->")) ? 1 : malformed(r, "unfinished comment");
    if (str_starts(s, STR("<?")))
        return skip_until(r, STR("?>")) ? 1 : malformed(r, "unfinished processing instruction");
    if (str_starts(s, STR("<!")) && !str_starts(s, STR("<![CDATA[")))
        return malformed(r, "document types are not accepted");
    return 0;
}

static int add_text(struct reader *r, struct xml_node *node, struct str more)
{
    char *joined;

    if (more.len == 0)
        return 0;
    if (node->text.len == 0) {
        node->text = more;
        return 0;
    }
    // Text in several pieces is rare: a comment or CDATA between.
    joined = arena_alloc(r->arena, node->text.len + more.len);
    if (!joined)
        return err_set(r->err, -ENOMEM, "out of memory");
    memcpy(joined, node->text.ptr, node->text.len);
    memcpy(joined + node->text.len, more.ptr, more.len);
    node->text = (struct str){joined, node->text.len + more.len};
    return 0;
}

static int read_element(struct reader *r, struct xml_node **out);

static int read_text(struct reader *r, struct xml_node *node)
{
    size_t from = r->at;
    struct str piece;
    int rc;

    if (str_starts(rest(r), STR("<![CDATA["))) {
        from += sizeof("<![CDATA[") - 1;
        if (!skip_until(r, STR("]]>")))
            return malformed(r, "unfinished CDATA");
        return add_text(r, node, str_slice(r->text, from, r->at - 3));
    }
    while (r->at < r->text.len && r->text.ptr[r->at] != '<')
        r->at++;
    rc = unescape(r, str_slice(r->text, from, r->at), &piece);
    return rc < 0 ? rc : add_text(r, node, piece);
}

static int read_content(struct reader *r, struct xml_node *node, struct str whole_name)
{
    struct xml_node **tail = &node->children;

    for (;;) {
        struct str s = rest(r), name;
        int rc;

        if (s.len == 0)
            return malformed(r, "element without end");
        if (str_starts(s, STR("</"))) {
            r->at += 2;
            if (!read_name(r, &name) || !str_eq(name, whole_name))
                return malformed(r, "end tag of another element");
            skip_space(r);
            if (r->at >= r->text.len || r->text.ptr[r->at] != '>')
                return malformed(r, "unfinished end tag");
            r->at++;
            return 0;
        }
        rc = skip_other(r);
        if (rc != 0) {
            if (rc < 0)
                return rc;
            continue;
        }
        if (s.ptr[0] != '<' || str_starts(s, STR("<![CDATA["))) {
            rc = read_text(r, node);
        } else {
            rc = read_element(r, tail);
            if (rc == 0)
                tail = &(*tail)->next;
        }
        if (rc < 0)
            return rc;
    }
}

static int read_element(struct reader *r, struct xml_node **out)
{
    struct xml_node *node = arena_new(r->arena, struct xml_node);
    struct str whole_name;
    int rc;

    if (!node)
        return err_set(r->err, -ENOMEM, "out of memory");
    if (++r->depth > XML_MAX_DEPTH)
        return err_set(r->err, -E2BIG, "elements nested too deeply");
    r->at++; // '<'
    if (!read_name(r, &whole_name))
        return malformed(r, "bad element name");
    node->name = local_part(whole_name);
    node->text = STR("");
    rc = read_attributes(r, node);
    if (rc < 0)
        return rc;
    if (r->text.ptr[r->at] == '/') {
        r->at++;
        if (r->at >= r->text.len || r->text.ptr[r->at] != '>')
            return malformed(r, "unfinished tag");
        r->at++;
    } else {
        r->at++;
        rc = read_content(r, node, whole_name);
        if (rc < 0)
            return rc;
    }
    r->depth--;
    *out = node;
    return 0;
}

int xml_parse(struct arena *a, struct str text, struct xml_node **root, struct err *err)
{
    struct reader r = {.arena = a, .text = text, .err = err};
    struct xml_node *made = NULL;
    int rc;

    if (!utf8_valid(text))
        return err_set(err, -EINVAL, "not UTF-8");
    if (str_starts(text, STR("\xef\xbb\xbf")))
        r.at = 3;
    for (;;) {
        skip_space(&r);
        rc = skip_other(&r);
        if (rc < 0)
            return rc;
        if (rc > 0)
            continue;
        if (r.at >= text.len)
            break;
        if (made || text.ptr[r.at] != '<')
            return malformed(&r, "text outside the element");
        rc = read_element(&r, &made);
        if (rc < 0)
            return rc;
    }
    if (!made)
        return malformed(&r, "no element");
    *root = made;
    return 0;
}

struct xml_node *xml_child(const struct xml_node *n, struct str name)
{
    for (struct xml_node *c = n ? n->children : NULL; c; c = c->next) {
        if (str_eq(c->name, name))
            return c;
    }
    return NULL;
}

struct str xml_attribute_get(const struct xml_node *n, struct str name)
{
    for (const struct xml_attribute *a = n ? n->attributes : NULL; a; a = a->next) {
        if (str_eq(a->name, name))
            return a->value;
    }
    return STR_NULL;
}

void xml_escape(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.len;) {
        uint32_t code;
        unsigned n = utf8_next(str_slice(s, i, s.len), &code);

        if (n == 0) {
            buf_add(out, STR("\xef\xbf\xbd")); // not UTF-8
            i++;
            continue;
        }
        if (code == '<')
            buf_add(out, STR("&lt;"));
        else if (code == '>')
            buf_add(out, STR("&gt;"));
        else if (code == '&')
            buf_add(out, STR("&amp;"));
        else if (code == '"')
            buf_add(out, STR("&quot;"));
        else if ((code < 32 && code != '\n' && code != '\t') || code == 0x85 || code == 0x2028)
            buf_addf(out, "&#x%X;", (unsigned)code); // readers would change or refuse it
        else
            buf_add(out, str_slice(s, i, i + n));
        i += n;
    }
}
