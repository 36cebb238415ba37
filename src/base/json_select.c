// json_select.c - see json_select.h.

#include "base/json_select.h"

static const struct json_value *element(const struct json_value *v, struct str number)
{
    int64_t n;

    if (!json_is(v, JSON_ARRAY) || str_to_i64(number, &n) < 0 || n < 0)
        return NULL;
    json_each(e, v) if (n-- == 0) return e;
    return NULL;
}

// "[0]", "['name']", "[\"name\"]" at the beginning of *path.
static const struct json_value *bracketed(const struct json_value *v, struct str *path)
{
    char quote = path->len > 1 ? path->ptr[1] : 0;
    bool quoted = quote == '\'' || quote == '"';
    size_t from = quoted ? 2 : 1, end = from;

    while (end < path->len && path->ptr[end] != (quoted ? quote : ']'))
        end++;
    size_t close = end + quoted;
    if (close >= path->len || path->ptr[close] != ']')
        return NULL;
    struct str inside = str_slice(*path, from, end);
    *path = str_slice(*path, close + 1, path->len);
    return quoted ? json_get_str(v, inside) : element(v, inside);
}

const struct json_value *json_select(const struct json_value *v, struct str path)
{
    bool bare = path.len == 0 || path.ptr[0] != '$'; // the first name needs no dot

    if (!bare)
        path = str_slice(path, 1, path.len);
    while (v && path.len > 0) {
        size_t end = 0;
        if (path.ptr[0] == '[') {
            v = bracketed(v, &path);
            bare = false;
            continue;
        }
        if (path.ptr[0] == '.')
            path = str_slice(path, 1, path.len);
        else if (!bare)
            return NULL;
        while (end < path.len && path.ptr[end] != '.' && path.ptr[end] != '[')
            end++;
        if (end == 0)
            return NULL;
        v = json_get_str(v, str_slice(path, 0, end));
        path = str_slice(path, end, path.len);
        bare = false;
    }
    return v;
}

struct str json_text(const struct json_value *v)
{
    struct str text;

    return !v ? STR_NULL : json_str(v, &text) ? text : v->raw;
}
