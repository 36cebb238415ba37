// scalar.c - scalars as text, the way headers, labels, query strings, forms and XML carry them.
#include "wire/wire_impl.h"

#include "base/base64.h"
#include "base/timefmt.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum wire_time scalar_time(const struct wire_service *s, const struct wire_member *m,
                           enum wire_protocol p, enum scalar_place place)
{
    if (m->time != WIRE_TIME_DEFAULT)
        return (enum wire_time)m->time;
    if (wire_shape_of(s, m)->time != WIRE_TIME_DEFAULT)
        return (enum wire_time)wire_shape_of(s, m)->time;
    if (place == SCALAR_HEADER)
        return WIRE_TIME_RFC822;
    if (place == SCALAR_LABEL || p == WIRE_QUERY || p == WIRE_REST_XML)
        return WIRE_TIME_ISO8601;
    return WIRE_TIME_UNIX;
}

static bool double_from_text(struct str text, double *out)
{
    char copy[64], *end;

    if (str_eq(text, STR("NaN"))) {
        *out = NAN;
        return true;
    }
    if (str_eq(text, STR("Infinity")) || str_eq(text, STR("-Infinity"))) {
        *out = text.ptr[0] == '-' ? -INFINITY : INFINITY;
        return true;
    }
    if (text.len == 0 || text.len >= sizeof(copy))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!strchr("0123456789+-.eE", text.ptr[i]) || text.ptr[i] == '\0')
            return false;
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    *out = strtod(copy, &end);
    return *end == '\0';
}

static bool time_from_text(struct str text, enum wire_time format, int64_t *ms)
{
    switch (format) {
    case WIRE_TIME_ISO8601:
        if (timefmt_parse_iso(text, ms))
            return true;
        break;
    case WIRE_TIME_RFC822:
        if (timefmt_parse_http(text, ms))
            return true;
        break;
    case WIRE_TIME_UNIX:
        if (timefmt_parse_epoch(text, ms))
            return true;
        break;
    case WIRE_TIME_DEFAULT:
        break;
    }
    return timefmt_parse_any(text, ms); // clients are not always exact
}

int scalar_from_text(struct walk *w, const struct wire_member *m, enum scalar_place place,
                     struct str text, void *at)
{
    const struct wire_shape *sh = wire_shape_of(w->s, m);
    bool good = true;
    int64_t n;
    int r;

    switch ((enum wire_type)sh->type) {
    case WIRE_STRING:
        if (place == SCALAR_HEADER && (m->flags & WIRE_JSON_VALUE)) {
            r = base64_decode(w->arena, text, at);
            if (r == -ENOMEM)
                return walk_oom(w);
            good = r == 0;
            break;
        }
        *(struct str *)at = text;
        break;
    case WIRE_DOCUMENT:
        *(struct str *)at = text;
        break;
    case WIRE_BLOB:
        r = base64_decode(w->arena, str_trim(text), at);
        if (r == -ENOMEM)
            return walk_oom(w);
        good = r == 0;
        break;
    case WIRE_BOOLEAN:
        text = str_trim(text);
        good = str_eq_nocase(text, STR("true")) || str_eq_nocase(text, STR("false"));
        *(bool *)at = str_eq_nocase(text, STR("true"));
        break;
    case WIRE_INTEGER:
    case WIRE_LONG:
        good = str_to_i64(str_trim(text), &n) == 0;
        if (good && sh->type == WIRE_INTEGER)
            good = n >= INT32_MIN && n <= INT32_MAX;
        if (good)
            *(int64_t *)at = n;
        break;
    case WIRE_FLOAT:
    case WIRE_DOUBLE:
        good = double_from_text(str_trim(text), at);
        break;
    case WIRE_TIMESTAMP:
        good = time_from_text(str_trim(text), scalar_time(w->s, m, w->protocol, place), at);
        break;
    case WIRE_STRUCTURE:
    case WIRE_LIST:
    case WIRE_MAP:
        good = false;
        break;
    }
    if (!good)
        return walk_malformed(w, "Value '%.*s' of %s cannot be read.",
                              STR_ARG(str_slice(text, 0, 64)), w->s->strings + m->name);
    return 0;
}

void scalar_time_to_text(int64_t ms, enum wire_time format, struct buf *out)
{
    char text[TIMEFMT_BYTES];

    switch (format) {
    case WIRE_TIME_RFC822:
        buf_add(out, timefmt_http(ms, text));
        break;
    case WIRE_TIME_UNIX:
        buf_add(out, timefmt_epoch(ms, text));
        break;
    case WIRE_TIME_DEFAULT:
    case WIRE_TIME_ISO8601:
        buf_add(out, ms % 1000 ? timefmt_iso(ms, text) : timefmt_iso_sec(ms, text));
        break;
    }
}

static void double_to_text(double d, struct buf *out)
{
    char text[40];

    if (isnan(d) || isinf(d)) {
        buf_add(out, isnan(d) ? STR("NaN") : d < 0 ? STR("-Infinity") : STR("Infinity"));
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, d);
        if (strtod(text, NULL) == d)
            break;
    }
    buf_add(out, str_from(text));
}

void scalar_to_text(const struct walk *w, const struct wire_member *m, enum scalar_place place,
                    const void *at, struct buf *out)
{
    const struct wire_shape *sh = wire_shape_of(w->s, m);

    switch ((enum wire_type)sh->type) {
    case WIRE_STRING:
        if (place == SCALAR_HEADER && (m->flags & WIRE_JSON_VALUE))
            base64_encode(out, *(const struct str *)at);
        else
            buf_add(out, *(const struct str *)at);
        break;
    case WIRE_DOCUMENT:
        buf_add(out, *(const struct str *)at);
        break;
    case WIRE_BLOB:
        base64_encode(out, *(const struct str *)at);
        break;
    case WIRE_BOOLEAN:
        buf_add(out, *(const bool *)at ? STR("true") : STR("false"));
        break;
    case WIRE_INTEGER:
    case WIRE_LONG:
        buf_addf(out, "%lld", (long long)*(const int64_t *)at);
        break;
    case WIRE_FLOAT:
    case WIRE_DOUBLE:
        double_to_text(*(const double *)at, out);
        break;
    case WIRE_TIMESTAMP:
        scalar_time_to_text(*(const int64_t *)at, scalar_time(w->s, m, w->protocol, place), out);
        break;
    case WIRE_STRUCTURE:
    case WIRE_LIST:
    case WIRE_MAP:
        break;
    }
}
