// json_writer.c - writing JSON into a buffer.
#include "json.h"
#include "timefmt.h"
#include "utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

// In front of every element, or of a key.
static void separate(struct json_writer *w)
{
    if (w->comma)
        buf_add_char(w->out, ',');
    w->comma = true;
}

void jw_object_begin(struct json_writer *w)
{
    separate(w);
    buf_add_char(w->out, '{');
    w->comma = false;
}

void jw_object_end(struct json_writer *w)
{
    buf_add_char(w->out, '}');
    w->comma = true;
}

void jw_array_begin(struct json_writer *w)
{
    separate(w);
    buf_add_char(w->out, '[');
    w->comma = false;
}

void jw_array_end(struct json_writer *w)
{
    buf_add_char(w->out, ']');
    w->comma = true;
}

void jw_key(struct json_writer *w, struct str key)
{
    separate(w);
    json_quote(w->out, key);
    buf_add_char(w->out, ':');
    w->comma = false;
}

static void add_escape(struct buf *out, unsigned char c)
{
    switch (c) {
    case '"':
        buf_add(out, STR("\\\""));
        return;
    case '\\':
        buf_add(out, STR("\\\\"));
        return;
    case '\n':
        buf_add(out, STR("\\n"));
        return;
    case '\r':
        buf_add(out, STR("\\r"));
        return;
    case '\t':
        buf_add(out, STR("\\t"));
        return;
    case '\b':
        buf_add(out, STR("\\b"));
        return;
    case '\f':
        buf_add(out, STR("\\f"));
        return;
    default:
        buf_addf(out, "\\u%04x", c);
    }
}

void json_quote(struct buf *out, struct str s)
{
    size_t from = 0, i = 0; // from..i is still to be copied
    uint32_t c;

    buf_add_char(out, '"');
    while (i < s.len) {
        unsigned char u = (unsigned char)s.ptr[i];
        unsigned n;
        if (u >= 0x20 && u < 0x80 && u != '"' && u != '\\') {
            i++;
            continue;
        }
        n = u < 0x80 ? 0 : utf8_next(str_slice(s, i, s.len), &c);
        if (n > 0) {
            i += n;
            continue;
        }
        buf_add(out, str_slice(s, from, i));
        if (u < 0x80)
            add_escape(out, u);
        else
            buf_add(out, STR("\xef\xbf\xbd"));
        from = ++i;
    }
    buf_add(out, str_slice(s, from, s.len));
    buf_add_char(out, '"');
}

void jw_str(struct json_writer *w, struct str s)
{
    separate(w);
    json_quote(w->out, s);
}

void jw_strf(struct json_writer *w, const char *format, ...)
{
    struct buf text;
    va_list args;

    buf_init(&text, w->out->max_bytes);
    va_start(args, format);
    buf_vaddf(&text, format, args);
    va_end(args);
    if (text.failed)
        w->out->failed = true;
    jw_str(w, buf_str(&text));
    buf_finish(&text);
}

void jw_i64(struct json_writer *w, int64_t n)
{
    separate(w);
    buf_addf(w->out, "%lld", (long long)n);
}

void jw_u64(struct json_writer *w, uint64_t n)
{
    separate(w);
    buf_addf(w->out, "%llu", (unsigned long long)n);
}

void jw_f64(struct json_writer *w, double n)
{
    char text[32];

    if (isnan(n)) {
        jw_str(w, STR("NaN"));
        return;
    }
    if (isinf(n)) {
        jw_str(w, n < 0 ? STR("-Infinity") : STR("Infinity"));
        return;
    }
    separate(w);
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, n);
        if (digits == 17 || strtod(text, NULL) == n)
            break;
    }
    buf_add(w->out, str_from(text));
}

void jw_bool(struct json_writer *w, bool b)
{
    separate(w);
    buf_add(w->out, b ? STR("true") : STR("false"));
}

void jw_null(struct json_writer *w)
{
    separate(w);
    buf_add(w->out, STR("null"));
}

void jw_raw(struct json_writer *w, struct str json)
{
    separate(w);
    buf_add(w->out, json);
}

void jw_value(struct json_writer *w, const struct json_value *v)
{
    if (!v) {
        jw_null(w);
        return;
    }
    switch (v->type) {
    case JSON_NULL:
        jw_null(w);
        return;
    case JSON_BOOL:
        jw_bool(w, v->boolean);
        return;
    case JSON_NUMBER:
        jw_raw(w, v->raw);
        return;
    case JSON_STRING:
        jw_str(w, v->string);
        return;
    case JSON_ARRAY:
        jw_array_begin(w);
        json_each(child, v) jw_value(w, child);
        jw_array_end(w);
        return;
    case JSON_OBJECT:
        jw_object_begin(w);
        json_each(child, v)
        {
            jw_key(w, child->key);
            jw_value(w, child);
        }
        jw_object_end(w);
        return;
    }
}

void jw_epoch_ms(struct json_writer *w, int64_t ms)
{
    char text[TIMEFMT_BYTES];

    jw_raw(w, timefmt_epoch(ms, text));
}

void jw_member_str(struct json_writer *w, const char *key, struct str s)
{
    jw_key(w, str_from(key));
    jw_str(w, s);
}

void jw_member_i64(struct json_writer *w, const char *key, int64_t n)
{
    jw_key(w, str_from(key));
    jw_i64(w, n);
}

void jw_member_bool(struct json_writer *w, const char *key, bool b)
{
    jw_key(w, str_from(key));
    jw_bool(w, b);
}
