// filter_match.c - matches compiled filter patterns against messages. Never fails: what cannot be
// read as the pattern wants it does not match.
#include "services/logs/filter_pattern.h"

#include "base/json.h"
#include "base/wildcard.h"

#include <stdlib.h>

bool filter_number(struct str s, double *out)
{
    char copy[64], *end;
    bool digit = false;
    if (s.len == 0 || s.len >= sizeof(copy))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c >= '0' && c <= '9')
            digit = true;
        else if (!strchr("+-.eE", c))
            return false;
    }
    if (!digit || s.ptr[0] == 'e' || s.ptr[0] == 'E')
        return false;
    memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    double v = strtod(copy, &end);
    if (*end != '\0')
        return false;
    *out = v;
    return true;
}

// A terminated copy, because regexec() wants one; a NUL in the text matches nothing in particular.
static bool regex_matches(const struct filter_regex *r, struct str text, struct arena *scratch)
{
    char *copy = arena_alloc(scratch, text.len + 1);
    if (!copy)
        return false;
    for (size_t i = 0; i < text.len; i++)
        copy[i] = text.ptr[i] ? text.ptr[i] : '\x01';
    copy[text.len] = '\0';
    return regexec(&r->compiled, copy, 0, NULL, 0) == 0;
}

static bool compare_numbers(double a, enum filter_compare compare, double b)
{
    switch (compare) {
    case CMP_EQ:
        return !(a < b) && !(a > b);
    case CMP_NE:
        return a < b || a > b;
    case CMP_LT:
        return a < b;
    case CMP_LE:
        return a <= b;
    case CMP_GT:
        return a > b;
    case CMP_GE:
        return a >= b;
    }
    return false;
}

static bool compare_text(const struct filter_node *n, struct str text, struct arena *scratch)
{
    bool same =
        n->regex ? regex_matches(n->regex, text, scratch) : wildcard_match(n->text, text, 0);
    return n->compare == CMP_NE ? !same : n->compare == CMP_EQ && same;
}

// --- JSON ---

static bool compare_json(const struct filter_node *n, const struct json_value *v,
                         struct arena *scratch)
{
    double number;
    struct str text;
    if (json_str(v, &text)) {
        if (n->is_number && n->compare != CMP_EQ && n->compare != CMP_NE)
            return filter_number(text, &number) && compare_numbers(number, n->compare, n->number);
        return compare_text(n, text, scratch);
    }
    if (json_f64(v, &number)) {
        if (n->is_number)
            return compare_numbers(number, n->compare, n->number);
        return compare_text(n, v->raw, scratch);
    }
    if (json_is(v, JSON_BOOL) && !n->is_number)
        return compare_text(n, v->raw, scratch);
    return n->compare == CMP_NE && !json_is(v, JSON_NULL);
}

static bool test_value(const struct filter_node *n, const struct json_value *v,
                       struct arena *scratch)
{
    bool b;
    switch (n->kind) {
    case NODE_COMPARE:
        return compare_json(n, v, scratch);
    case NODE_IS_NULL:
        return json_is(v, JSON_NULL);
    case NODE_IS_TRUE:
        return json_bool(v, &b) && b;
    case NODE_IS_FALSE:
        return json_bool(v, &b) && !b;
    case NODE_EXISTS:
    case NODE_NOT_EXISTS:
        return true;
    case NODE_AND:
    case NODE_OR:
        break;
    }
    return false;
}

// True when a value at the end of the path passes; a value that is not there does not.
static bool walk(const struct filter_node *n, const struct filter_step *s,
                 const struct json_value *v, struct arena *scratch)
{
    if (!s)
        return test_value(n, v, scratch);
    if (!str_is_null(s->name)) {
        const struct json_value *child = json_get_str(v, s->name);
        return child && walk(n, s->next, child, scratch);
    }
    if (!json_is(v, JSON_ARRAY))
        return false;
    int64_t i = 0;
    json_each(element, v)
    {
        if ((s->index == -1 || s->index == i) && walk(n, s->next, element, scratch))
            return true;
        i++;
    }
    return false;
}

static bool match_json(const struct filter_node *n, const struct json_value *v,
                       struct arena *scratch)
{
    if (n->kind == NODE_AND)
        return match_json(n->left, v, scratch) && match_json(n->right, v, scratch);
    if (n->kind == NODE_OR)
        return match_json(n->left, v, scratch) || match_json(n->right, v, scratch);
    bool found = walk(n, n->path, v, scratch);
    return n->kind == NODE_NOT_EXISTS ? !found : found;
}

// --- columns ---

// The next column: a run without spaces, or what stands in "…" or […]. False at the end.
static bool next_column(struct str *rest, struct str *out)
{
    size_t from = 0, to;
    while (from < rest->len && strchr(" \t\r\n", rest->ptr[from]))
        from++;
    if (from == rest->len)
        return false;
    char close = rest->ptr[from] == '"' ? '"' : rest->ptr[from] == '[' ? ']' : '\0';
    if (close) {
        ptrdiff_t end = str_find_char(str_slice(*rest, from + 1, rest->len), close);
        if (end >= 0) {
            *out = str_slice(*rest, from + 1, from + 1 + (size_t)end);
            *rest = str_slice(*rest, from + 2 + (size_t)end, rest->len);
            return true;
        }
    }
    for (to = from; to < rest->len && !strchr(" \t\r\n", rest->ptr[to]); to++)
        ;
    *out = str_slice(*rest, from, to);
    *rest = str_slice(*rest, to, rest->len);
    return true;
}

static bool match_condition(const struct filter_node *n, const struct str *values,
                            struct arena *scratch)
{
    if (n->kind == NODE_AND)
        return match_condition(n->left, values, scratch) &&
               match_condition(n->right, values, scratch);
    if (n->kind == NODE_OR)
        return match_condition(n->left, values, scratch) ||
               match_condition(n->right, values, scratch);
    double number;
    if (n->is_number && filter_number(values[n->column], &number))
        return compare_numbers(number, n->compare, n->number);
    return compare_text(n, values[n->column], scratch);
}

// Columns before the ellipsis are counted from the front, those after it from the back; so the
// last ones seen are kept in a ring.
static bool match_columns(const struct filter_pattern *p, struct str message, struct arena *scratch)
{
    struct str values[FILTER_MAX_COLUMNS], ring[FILTER_MAX_COLUMNS], rest = message, value;
    size_t n = 0;
    unsigned front = p->ellipsis < 0 ? p->n_columns : (unsigned)p->ellipsis;
    unsigned back = p->n_columns - front;
    while (next_column(&rest, &value)) {
        if (n < front)
            values[n] = value;
        else if (p->ellipsis < 0)
            return false;
        else if (back > 0)
            ring[(n - front) % back] = value;
        n++;
    }
    if (n < p->n_columns)
        return false;
    for (unsigned i = 0; i < back; i++)
        values[front + i] = ring[(n - front - back + i) % back];
    for (unsigned i = 0; i < p->n_columns; i++) {
        if (p->conditions[i] && !match_condition(p->conditions[i], values, scratch))
            return false;
    }
    return true;
}

// --- terms ---

// `?a ?b` is any of them; beside other terms AWS ignores the question marks' terms.
static bool match_terms(const struct filter_pattern *p, struct str message, struct arena *scratch)
{
    for (const struct filter_term *t = p->terms; t; t = t->next) {
        if (t->kind == TERM_ANY && !p->only_any)
            continue;
        bool found =
            t->regex ? regex_matches(t->regex, message, scratch) : str_find(message, t->text) >= 0;
        if (t->kind == TERM_ANY && found)
            return true;
        if (t->kind == TERM_MUST && !found)
            return false;
        if (t->kind == TERM_MUST_NOT && found)
            return false;
    }
    return !p->only_any;
}

static bool match(const struct filter_pattern *p, struct str message, struct arena *scratch)
{
    const struct json_value *v;
    switch (p->kind) {
    case FILTER_EVERYTHING:
        return true;
    case FILTER_TERMS:
        return match_terms(p, message, scratch);
    case FILTER_COLUMNS:
        return match_columns(p, message, scratch);
    case FILTER_JSON:
        // Cheap refusal of the many lines that are no objects.
        message = str_trim(message);
        if (message.len == 0 || message.ptr[0] != '{')
            return false;
        return json_parse(scratch, message, &v, NULL) == 0 && match_json(p->root, v, scratch);
    }
    return false;
}

bool filter_pattern_match(const struct filter_pattern *p, struct str message, struct arena *scratch)
{
    bool matches = match(p, message, scratch);
    if (p->kind == FILTER_JSON || p->n_regexes > 0)
        arena_reset(scratch);
    return matches;
}
