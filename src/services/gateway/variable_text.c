// variable_text.c - see variable_text.h.

#include "services/gateway/variable_text.h"

#include "base/buf.h"
#include "base/json.h"

#define MAX_TEXT_BYTES ((size_t)12 << 20)

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

bool variable_text_is_one(struct str text)
{
    bool plain = text.len > 1 && text.ptr[0] == '$' && text.ptr[1] != '{';

    if (str_starts(text, STR("${")))
        return str_find_char(text, '}') == (ptrdiff_t)text.len - 1;
    for (size_t i = 1; plain && i < text.len; i++)
        plain = name_char(text.ptr[i]) || text.ptr[i] == '[' || text.ptr[i] == ']';
    return plain;
}

static void add_escaped(struct buf *b, struct str value)
{
    size_t from = b->len;

    json_quote(b, value);
    if (b->failed)
        return;
    b->len--; // the quotes are there already
    memmove(b->ptr + from, b->ptr + from + 1, b->len - from - 1);
    b->len--;
}

struct str variable_text_expand(struct arena *a, struct str text,
                                const struct variable_source *from, struct str missing, bool quoted)
{
    struct buf b;

    buf_init(&b, MAX_TEXT_BYTES);
    for (size_t i = 0; i < text.len;) {
        size_t end = i + 1;
        if (text.ptr[i] == '$' && end < text.len && text.ptr[end] == '{') {
            while (end < text.len && text.ptr[end] != '}')
                end++;
            end += end < text.len;
        } else if (text.ptr[i] == '$') {
            while (end < text.len && name_char(text.ptr[end]))
                end++;
        }
        struct str part = str_slice(text, i, end);
        bool variable = text.ptr[i] == '$' && part.len > 1;
        struct str value = variable ? from->value(from->ctx, part) : part;
        value = value.ptr ? value : missing;
        if (quoted && variable)
            add_escaped(&b, value);
        else
            buf_add(&b, value);
        i = end;
    }
    struct str out = b.failed ? STR_NULL : arena_str(a, buf_str(&b));
    buf_finish(&b);
    return out;
}
