// encode_json.c - a structure as JSON (json-1.0, json-1.1, rest-json, and what the store keeps).
#include "wire/wire_impl.h"

#include "base/base64.h"
#include "base/json.h"

static void value(struct walk *w, struct json_writer *jw, const struct wire_member *ref,
                  const struct wire_shape *sh, const void *at);

static void structure(struct walk *w, struct json_writer *jw, const struct wire_shape *sh,
                      const void *at)
{
    bool top = w->depth == 1 && w->protocol == WIRE_REST_JSON;
    const struct wire_member *m = wire_members_of(w->s, sh);

    jw_object_begin(jw);
    for (size_t i = 0; i < sh->n_members; i++, m++) {
        if ((top && !wire_in_answer_body(m)) || !wire_present(m, at))
            continue;
        jw_key(jw, wire_text(w->s, m->wire_name));
        value(w, jw, m, wire_shape_of(w->s, m), wire_value(w->s, m, at));
    }
    jw_object_end(jw);
}

static void run(struct walk *w, struct json_writer *jw, const struct wire_shape *sh, const void *at)
{
    bool is_map = sh->type == WIRE_MAP;
    const struct wire_member *m = wire_members_of(w->s, sh) + (is_map ? 1 : 0);
    size_t n = ((const struct wire_run *)at)->n;

    if (is_map)
        jw_object_begin(jw);
    else
        jw_array_begin(jw);
    for (size_t i = 0; i < n; i++) {
        const void *element = wire_element(w->s, sh, at, i);

        if (is_map)
            jw_key(jw, *wire_key(sh, at, i));
        if (element)
            value(w, jw, m, wire_shape_of(w->s, m), element);
        else
            jw_null(jw);
    }
    if (is_map)
        jw_object_end(jw);
    else
        jw_array_end(jw);
}

static void timestamp(struct walk *w, struct json_writer *jw, const struct wire_member *ref,
                      int64_t ms)
{
    enum wire_time format = ref ? scalar_time(w->s, ref, w->protocol, SCALAR_BODY) : WIRE_TIME_UNIX;
    struct buf text;

    if (format == WIRE_TIME_UNIX) {
        jw_epoch_ms(jw, ms);
        return;
    }
    buf_init(&text, 64);
    scalar_time_to_text(ms, format, &text);
    jw_str(jw, buf_str(&text));
    buf_finish(&text);
}

static void value(struct walk *w, struct json_writer *jw, const struct wire_member *ref,
                  const struct wire_shape *sh, const void *at)
{
    const struct str *text = at;
    struct buf encoded;

    switch ((enum wire_type)sh->type) {
    case WIRE_STRUCTURE:
        w->depth++;
        structure(w, jw, sh, at);
        w->depth--;
        break;
    case WIRE_LIST:
    case WIRE_MAP:
        w->depth++;
        run(w, jw, sh, at);
        w->depth--;
        break;
    case WIRE_STRING:
        if (sh->flags & WIRE_BIG_NUMBER)
            jw_raw(jw, *text);
        else
            jw_str(jw, *text);
        break;
    case WIRE_BLOB:
        buf_init(&encoded, jw->out->max_bytes);
        base64_encode(&encoded, *text);
        jw_str(jw, buf_str(&encoded));
        jw->out->failed |= encoded.failed;
        buf_finish(&encoded);
        break;
    case WIRE_DOCUMENT:
        if (text->len)
            jw_raw(jw, *text);
        else
            jw_null(jw);
        break;
    case WIRE_BOOLEAN:
        jw_bool(jw, *(const bool *)at);
        break;
    case WIRE_INTEGER:
    case WIRE_LONG:
        jw_i64(jw, *(const int64_t *)at);
        break;
    case WIRE_FLOAT:
    case WIRE_DOUBLE:
        jw_f64(jw, *(const double *)at);
        break;
    case WIRE_TIMESTAMP:
        timestamp(w, jw, ref, *(const int64_t *)at);
        break;
    }
}

void encode_json_value(struct walk *w, struct buf *out, const struct wire_shape *sh,
                       const struct wire_member *ref, const void *at)
{
    struct json_writer jw = json_writer(out);

    value(w, &jw, ref, sh, at);
}
