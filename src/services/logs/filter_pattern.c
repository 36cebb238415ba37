// filter_pattern.c - compiles filter patterns: a small recursive descent, bounded in depth.
#include "services/logs/filter_pattern.h"

#include <errno.h>
#include <stdlib.h>

struct parser {
    struct arena *arena;
    struct str in;
    size_t at;
    struct filter_pattern *pattern;
    bool columns; // operands are column names, not selectors
    unsigned depth;
    struct err *err;
};

static int invalid(struct parser *p, const char *why)
{
    return err_set(p->err, -EINVAL, "invalid filter pattern at %zu: %s", p->at, why);
}

static int no_memory(struct parser *p)
{
    return err_set(p->err, -ENOMEM, "filter pattern: out of memory");
}

static char peek(const struct parser *p)
{
    return p->at < p->in.len ? p->in.ptr[p->at] : '\0';
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(struct parser *p)
{
    while (p->at < p->in.len && is_space(p->in.ptr[p->at]))
        p->at++;
}

static bool eat(struct parser *p, struct str token)
{
    if (!str_starts(str_slice(p->in, p->at, p->in.len), token))
        return false;
    p->at += token.len;
    return true;
}

// A keyword in any case that is not the beginning of a longer word.
static bool eat_word(struct parser *p, struct str word)
{
    struct str rest = str_slice(p->in, p->at, p->in.len);
    if (rest.len < word.len || !str_eq_nocase(str_slice(rest, 0, word.len), word))
        return false;
    if (rest.len > word.len && !is_space(rest.ptr[word.len]) &&
        !strchr(")}&|,]", rest.ptr[word.len]))
        return false;
    p->at += word.len;
    return true;
}

// "…" with \" and \\ taken for what they stand for; the cursor is on the opening quote.
static int quoted(struct parser *p, struct str *out)
{
    char *text = arena_alloc(p->arena, p->in.len + 1);
    size_t n = 0;
    if (!text)
        return no_memory(p);
    for (p->at++; p->at < p->in.len; p->at++) {
        char c = p->in.ptr[p->at];
        if (c == '"') {
            p->at++;
            *out = (struct str){text, n};
            return 0;
        }
        if (c == '\\' && p->at + 1 < p->in.len &&
            (p->in.ptr[p->at + 1] == '"' || p->in.ptr[p->at + 1] == '\\'))
            c = p->in.ptr[++p->at];
        text[n++] = c;
    }
    return invalid(p, "a quote is not closed");
}

// The class escapes that CloudWatch has and POSIX has not, as bracket expressions.
static const char *class_escape(char c, bool in_brackets)
{
    switch (c) {
    case 'd':
        return in_brackets ? "0-9" : "[0-9]";
    case 'w':
        return in_brackets ? "a-zA-Z0-9_" : "[a-zA-Z0-9_]";
    case 's':
        return in_brackets ? " \t\r\n\f\v" : "[ \t\r\n\f\v]";
    case 'D':
        return in_brackets ? NULL : "[^0-9]";
    case 'W':
        return in_brackets ? NULL : "[^a-zA-Z0-9_]";
    case 'S':
        return in_brackets ? NULL : "[^ \t\r\n\f\v]";
    case 't':
        return "\t";
    case 'n':
        return "\n";
    case 'r':
        return "\r";
    default:
        return NULL;
    }
}

static bool regex_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           strchr("_#=@/;,- ^$?[]{}|\\*+.:'<>!&~\"`", c) != NULL;
}

// %regex%, the cursor on the first percent sign. Groups are not part of the language, and
// repetition counts are kept small, so a pattern cannot make the matcher explode.
static int regex(struct parser *p, struct filter_regex **out)
{
    struct filter_pattern *pattern = p->pattern;
    char *posix = arena_alloc(p->arena, p->in.len * 16 + 16);
    struct filter_regex *r = arena_new(p->arena, struct filter_regex);
    size_t n = 0;
    bool brackets = false;
    if (!posix || !r)
        return no_memory(p);
    if (pattern->n_regexes == FILTER_MAX_REGEXES)
        return invalid(p, "more than two regular expressions");

    size_t end = p->at + 1;
    while (end < p->in.len && p->in.ptr[end] != '%')
        end += p->in.ptr[end] == '\\' ? 2 : 1;
    if (end >= p->in.len)
        return invalid(p, "a regular expression is not closed");
    for (size_t i = p->at + 1; i < end; i++) {
        char c = p->in.ptr[i];
        if (c != '\\') {
            if (!regex_char(c) && (unsigned char)c < 0x80)
                return invalid(p, "a character that regular expressions here do not have");
            if (c == '{' && !brackets) {
                int64_t most = 0;
                size_t j = i + 1;
                for (; j < end && p->in.ptr[j] != '}'; j++) {
                    if (p->in.ptr[j] == ',')
                        most = 0;
                    else if (p->in.ptr[j] < '0' || p->in.ptr[j] > '9' ||
                             (most = most * 10 + (p->in.ptr[j] - '0')) > 100)
                        return invalid(p, "a repetition count");
                }
            }
            if (c == '[' && !brackets)
                brackets = true;
            else if (c == ']' && brackets)
                brackets = false;
            posix[n++] = c;
            continue;
        }
        if (++i >= end)
            return invalid(p, "a backslash at the end of a regular expression");
        c = p->in.ptr[i];
        const char *class = class_escape(c, brackets);
        if (class) {
            size_t len = strlen(class);
            memcpy(posix + n, class, len);
            n += len;
        } else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) {
            return invalid(p, "an unknown escape in a regular expression");
        } else {
            if (!brackets)
                posix[n++] = '\\';
            posix[n++] = c;
        }
    }
    posix[n] = '\0';
    if (regcomp(&r->compiled, posix, REG_EXTENDED | REG_NOSUB) != 0)
        return invalid(p, "a regular expression");
    pattern->regexes[pattern->n_regexes++] = r;
    p->at = end + 1;
    *out = r;
    return 0;
}

// --- terms ---

static int parse_term(struct parser *p, struct filter_term **out)
{
    struct filter_term *t = arena_new(p->arena, struct filter_term);
    int r;
    if (!t)
        return no_memory(p);
    if (eat(p, STR("-")))
        t->kind = TERM_MUST_NOT;
    else if (eat(p, STR("?")))
        t->kind = TERM_ANY;
    if (peek(p) == '"') {
        r = quoted(p, &t->text);
        if (r < 0)
            return r;
    } else if (peek(p) == '%') {
        r = regex(p, &t->regex);
        if (r < 0)
            return r;
    } else {
        size_t from = p->at;
        while (p->at < p->in.len && !is_space(peek(p)) && !strchr("\"{}[]", peek(p)))
            p->at++;
        t->text = str_slice(p->in, from, p->at);
        if (t->text.len == 0)
            return invalid(p, "a term is expected");
    }
    if (p->at < p->in.len && !is_space(peek(p)))
        return invalid(p, "terms with special characters need quotes");
    *out = t;
    return 0;
}

static int parse_terms(struct parser *p)
{
    struct filter_term **tail = &p->pattern->terms;
    p->pattern->kind = FILTER_TERMS;
    p->pattern->only_any = true;
    for (skip_space(p); p->at < p->in.len; skip_space(p)) {
        int r = parse_term(p, tail);
        if (r < 0)
            return r;
        if ((*tail)->kind != TERM_ANY)
            p->pattern->only_any = false;
        tail = &(*tail)->next;
    }
    return 0;
}

// --- expressions: or := and ('||' and)*, and := operand ('&&' operand)* ---

static int parse_or(struct parser *p, struct filter_node **out);

// $, then .name, .['name'], ["name"], [3], [*] in any number.
static int parse_path(struct parser *p, struct filter_step **out)
{
    struct filter_step **tail = out;
    if (!eat(p, STR("$")))
        return invalid(p, "a selector begins with $");
    for (;;) {
        bool dot = eat(p, STR("."));
        struct filter_step *s;
        if (!dot && peek(p) != '[')
            break;
        s = arena_new(p->arena, struct filter_step);
        if (!s)
            return no_memory(p);
        if (eat(p, STR("["))) {
            char q = peek(p);
            size_t from;
            if (q == '"' || q == '\'') {
                from = ++p->at;
                while (p->at < p->in.len && peek(p) != q)
                    p->at++;
                s->name = str_slice(p->in, from, p->at);
                p->at++;
            } else if (eat(p, STR("*"))) {
                s->index = -1;
            } else {
                from = p->at;
                while (peek(p) >= '0' && peek(p) <= '9')
                    p->at++;
                if (str_to_i64(str_slice(p->in, from, p->at), &s->index) < 0)
                    return invalid(p, "an array index");
            }
            if (!eat(p, STR("]")))
                return invalid(p, "] is expected");
        } else {
            size_t from = p->at;
            while (p->at < p->in.len && !is_space(peek(p)) && !strchr("=!<>&|().[]{}\"%", peek(p)))
                p->at++;
            s->name = str_slice(p->in, from, p->at);
            if (s->name.len == 0)
                return invalid(p, "a property name is expected");
        }
        *tail = s;
        tail = &s->next;
    }
    return *out ? 0 : invalid(p, "a selector names no property");
}

static bool parse_comparison(struct parser *p, enum filter_compare *out)
{
    static const struct {
        struct str token;
        enum filter_compare compare;
    } table[] = {
        {STR_INIT("!="), CMP_NE}, {STR_INIT("<="), CMP_LE}, {STR_INIT(">="), CMP_GE},
        {STR_INIT("=="), CMP_EQ}, {STR_INIT("="), CMP_EQ},  {STR_INIT("<"), CMP_LT},
        {STR_INIT(">"), CMP_GT},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (eat(p, table[i].token)) {
            *out = table[i].compare;
            return true;
        }
    }
    return false;
}

static int parse_value(struct parser *p, struct filter_node *n)
{
    skip_space(p);
    if (peek(p) == '"') {
        n->quoted = true;
        return quoted(p, &n->text);
    }
    if (peek(p) == '%') {
        if (n->compare != CMP_EQ && n->compare != CMP_NE)
            return invalid(p, "a regular expression is compared with = or !=");
        return regex(p, &n->regex);
    }
    size_t from = p->at;
    const char *stop = p->columns ? ",]()&|\"" : "(){}&|\"";
    while (p->at < p->in.len && !is_space(peek(p)) && !strchr(stop, peek(p)))
        p->at++;
    n->text = str_slice(p->in, from, p->at);
    if (n->text.len == 0)
        return invalid(p, "a value is expected");
    n->is_number = filter_number(n->text, &n->number);
    if (!n->is_number && n->compare != CMP_EQ && n->compare != CMP_NE)
        return invalid(p, "a number is expected");
    return 0;
}

static int parse_condition(struct parser *p, struct filter_node **out)
{
    struct filter_node *n = arena_new(p->arena, struct filter_node);
    int r;
    if (!n)
        return no_memory(p);
    if (p->columns) {
        size_t from = p->at;
        while (p->at < p->in.len && !is_space(peek(p)) && !strchr("=!<>&|(),[]\"%", peek(p)))
            p->at++;
        n->column_name = str_slice(p->in, from, p->at);
        if (n->column_name.len == 0)
            return invalid(p, "a column name is expected");
    } else {
        r = parse_path(p, &n->path);
        if (r < 0)
            return r;
    }
    skip_space(p);
    *out = n;
    if (!p->columns) {
        if (eat_word(p, STR("EXISTS"))) {
            n->kind = NODE_EXISTS;
            return 0;
        }
        if (eat_word(p, STR("NOT"))) {
            skip_space(p);
            n->kind = NODE_NOT_EXISTS;
            return eat_word(p, STR("EXISTS")) ? 0 : invalid(p, "NOT EXISTS is expected");
        }
        if (eat_word(p, STR("IS"))) {
            skip_space(p);
            if (eat_word(p, STR("NULL")))
                n->kind = NODE_IS_NULL;
            else if (eat_word(p, STR("TRUE")))
                n->kind = NODE_IS_TRUE;
            else if (eat_word(p, STR("FALSE")))
                n->kind = NODE_IS_FALSE;
            else
                return invalid(p, "NULL, TRUE or FALSE is expected");
            return 0;
        }
    }
    n->kind = NODE_COMPARE;
    if (!parse_comparison(p, &n->compare))
        return invalid(p, "a comparison is expected");
    return parse_value(p, n);
}

static int parse_operand(struct parser *p, struct filter_node **out)
{
    int r;
    skip_space(p);
    if (!eat(p, STR("(")))
        return parse_condition(p, out);
    if (++p->depth > FILTER_MAX_DEPTH)
        return invalid(p, "too many parentheses");
    r = parse_or(p, out);
    if (r < 0)
        return r;
    p->depth--;
    skip_space(p);
    return eat(p, STR(")")) ? 0 : invalid(p, ") is expected");
}

static int parse_chain(struct parser *p, struct str token, enum filter_node_kind kind,
                       int (*part)(struct parser *, struct filter_node **),
                       struct filter_node **out)
{
    struct filter_node *left = NULL;
    int r = part(p, &left);
    while (r == 0) {
        skip_space(p);
        if (!eat(p, token))
            break;
        struct filter_node *n = arena_new(p->arena, struct filter_node);
        if (!n)
            return no_memory(p);
        n->kind = kind;
        n->left = left;
        r = part(p, &n->right);
        left = n;
    }
    *out = left;
    return r;
}

static int parse_and(struct parser *p, struct filter_node **out)
{
    return parse_chain(p, STR("&&"), NODE_AND, parse_operand, out);
}

static int parse_or(struct parser *p, struct filter_node **out)
{
    return parse_chain(p, STR("||"), NODE_OR, parse_and, out);
}

static int parse_json(struct parser *p)
{
    int r;
    p->pattern->kind = FILTER_JSON;
    p->at++;
    r = parse_or(p, &p->pattern->root);
    if (r < 0)
        return r;
    skip_space(p);
    if (!eat(p, STR("}")))
        return invalid(p, "} is expected");
    skip_space(p);
    return p->at == p->in.len ? 0 : invalid(p, "nothing may follow the closing brace");
}

// --- columns ---

// The column that a condition speaks of; names of the conditions in parentheses count as well.
static struct str first_column(const struct filter_node *n)
{
    while (n->kind == NODE_AND || n->kind == NODE_OR)
        n = n->left;
    return n->column_name;
}

static int resolve(struct parser *p, struct filter_node *n, unsigned own)
{
    if (n->kind == NODE_AND || n->kind == NODE_OR) {
        int r = resolve(p, n->left, own);
        return r < 0 ? r : resolve(p, n->right, own);
    }
    if (str_eq(n->column_name, p->pattern->columns[own])) {
        n->column = own;
        return 0;
    }
    for (unsigned i = 0; i < p->pattern->n_columns; i++) {
        if (str_eq(p->pattern->columns[i], n->column_name)) {
            n->column = i;
            return 0;
        }
    }
    return invalid(p, "a condition names a column that is not there");
}

static int parse_column(struct parser *p)
{
    struct filter_pattern *f = p->pattern;
    if (eat(p, STR("..."))) {
        if (f->ellipsis >= 0)
            return invalid(p, "a second ellipsis");
        f->ellipsis = (int)f->n_columns;
        return 0;
    }
    if (f->n_columns == FILTER_MAX_COLUMNS)
        return invalid(p, "too many columns");

    // A bare name, or a condition.
    size_t from = p->at, end = from;
    while (end < p->in.len && !strchr(",]=!<>()&|\"%", p->in.ptr[end]))
        end++;
    char next = end < p->in.len ? p->in.ptr[end] : '\0';
    if (next == ',' || next == ']') {
        f->columns[f->n_columns++] = str_trim(str_slice(p->in, from, end));
        p->at = end;
        return 0;
    }
    int r = parse_or(p, &f->conditions[f->n_columns]);
    if (r < 0)
        return r;
    f->columns[f->n_columns] = first_column(f->conditions[f->n_columns]);
    f->n_columns++;
    return 0;
}

static int parse_columns(struct parser *p)
{
    struct filter_pattern *f = p->pattern;
    f->kind = FILTER_COLUMNS;
    p->columns = true;
    p->at++;
    skip_space(p);
    while (!eat(p, STR("]"))) {
        int r = parse_column(p);
        if (r < 0)
            return r;
        skip_space(p);
        if (eat(p, STR(",")))
            skip_space(p);
        else if (peek(p) != ']')
            return invalid(p, ", or ] is expected");
    }
    skip_space(p);
    if (p->at != p->in.len)
        return invalid(p, "nothing may follow the closing bracket");
    for (unsigned i = 0; i < f->n_columns; i++) {
        if (f->conditions[i]) {
            int r = resolve(p, f->conditions[i], i);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

int filter_pattern_compile(struct arena *arena, struct str text, struct filter_pattern **out,
                           struct err *err)
{
    struct parser p = {.arena = arena, .in = str_trim(text), .err = err};
    int r = 0;
    p.pattern = arena_new(arena, struct filter_pattern);
    if (!p.pattern)
        return no_memory(&p);
    p.pattern->ellipsis = -1;
    if (p.in.len > FILTER_MAX_PATTERN_BYTES)
        return invalid(&p, "it is too long");
    if (p.in.len == 0)
        p.pattern->kind = FILTER_EVERYTHING;
    else if (p.in.ptr[0] == '{')
        r = parse_json(&p);
    else if (p.in.ptr[0] == '[')
        r = parse_columns(&p);
    else
        r = parse_terms(&p);
    if (r < 0) {
        filter_pattern_finish(p.pattern);
        return r;
    }
    *out = p.pattern;
    return 0;
}

void filter_pattern_finish(struct filter_pattern *p)
{
    if (!p)
        return;
    for (unsigned i = 0; i < p->n_regexes; i++)
        regfree(&p->regexes[i]->compiled);
    p->n_regexes = 0;
}

void filter_pattern_finishp(struct filter_pattern **p)
{
    filter_pattern_finish(*p);
}
