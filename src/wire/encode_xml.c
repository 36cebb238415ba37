// encode_xml.c - a structure as XML: rest-xml bodies and the answers of the query protocol.
#include "wire/wire_impl.h"

#include "base/xml.h"

static void xml_space(struct walk *w, struct buf *out, const struct wire_member *ref)
{
    if (!ref || !ref->xml_uri)
        return;
    if (ref->xml_prefix)
        buf_addf(out, " xmlns:%s=\"", w->s->strings + ref->xml_prefix);
    else
        buf_add(out, STR(" xmlns=\""));
    xml_escape(out, wire_text(w->s, ref->xml_uri));
    buf_add_char(out, '"');
}

static void open_tag(struct walk *w, struct buf *out, struct str name,
                     const struct wire_member *ref)
{
    buf_add_char(out, '<');
    buf_add(out, name);
    xml_space(w, out, ref);
}

static void close_tag(struct buf *out, struct str name)
{
    buf_add(out, STR("</"));
    buf_add(out, name);
    buf_add_char(out, '>');
}

static bool is_flat(struct walk *w, const struct wire_member *m)
{
    return ((m->flags | wire_shape_of(w->s, m)->flags) & WIRE_FLATTENED) != 0;
}

static void scalar(struct walk *w, struct buf *out, const struct wire_member *ref, const void *at)
{
    const struct wire_shape *sh = wire_shape_of(w->s, ref);
    struct buf text;

    if (sh->type == WIRE_STRING || sh->type == WIRE_DOCUMENT) {
        xml_escape(out, *(const struct str *)at);
        return;
    }
    buf_init(&text, out->max_bytes);
    scalar_to_text(w, ref, SCALAR_BODY, at, &text);
    buf_add(out, buf_str(&text));
    out->failed |= text.failed;
    buf_finish(&text);
}

static void elements(struct walk *w, struct buf *out, struct str name, const struct wire_shape *sh,
                     const void *run)
{
    const struct wire_member *m = wire_members_of(w->s, sh);

    for (size_t i = 0; i < ((const struct wire_run *)run)->n; i++) {
        const void *element = wire_element(w->s, sh, run, i);

        if (element)
            encode_xml_value(w, out, name, wire_shape_of(w->s, m), m, element);
    }
}

static void entries(struct walk *w, struct buf *out, struct str name, const struct wire_shape *sh,
                    const struct wire_member *ref, const void *run)
{
    const struct wire_member *key = wire_members_of(w->s, sh), *val = key + 1;

    for (size_t i = 0; i < ((const struct wire_run *)run)->n; i++) {
        const void *element = wire_element(w->s, sh, run, i);

        open_tag(w, out, name, ref);
        buf_add_char(out, '>');
        encode_xml_value(w, out, wire_body_name(w, key), wire_shape_of(w->s, key), key,
                         wire_key(sh, run, i));
        if (element)
            encode_xml_value(w, out, wire_body_name(w, val), wire_shape_of(w->s, val), val,
                             element);
        close_tag(out, name);
    }
}

void encode_xml_attributes(struct walk *w, struct buf *out, const struct wire_shape *sh,
                           const void *at)
{
    const struct wire_member *m = wire_members_of(w->s, sh);
    struct buf text;

    for (size_t i = 0; i < sh->n_members; i++, m++) {
        if (!(m->flags & WIRE_XML_ATTRIBUTE) || !wire_present(m, at))
            continue;
        buf_init(&text, 1 << 16);
        scalar_to_text(w, m, SCALAR_BODY, wire_value(w->s, m, at), &text);
        buf_addf(out, " %s=\"", w->s->strings + m->wire_name);
        xml_escape(out, buf_str(&text));
        buf_add_char(out, '"');
        out->failed |= text.failed;
        buf_finish(&text);
    }
}

void encode_xml_members(struct walk *w, struct buf *out, const struct wire_shape *sh,
                        const void *at)
{
    bool top = w->depth == 1 && w->protocol == WIRE_REST_XML;
    const struct wire_member *m = wire_members_of(w->s, sh);

    for (size_t i = 0; i < sh->n_members; i++, m++) {
        const struct wire_shape *inner = wire_shape_of(w->s, m);
        struct str name = wire_body_name(w, m);
        const void *v;

        if ((top && !wire_in_answer_body(m)) || (m->flags & WIRE_XML_ATTRIBUTE) ||
            !wire_present(m, at))
            continue;
        v = wire_value(w->s, m, at);
        if (inner->type == WIRE_LIST && is_flat(w, m)) {
            elements(w, out, name, inner, v);
        } else if (inner->type == WIRE_MAP && is_flat(w, m)) {
            entries(w, out, name, inner, m, v);
        } else {
            encode_xml_value(w, out, name, inner, m, v);
        }
    }
}

void encode_xml_value(struct walk *w, struct buf *out, struct str name, const struct wire_shape *sh,
                      const struct wire_member *ref, const void *at)
{
    open_tag(w, out, name, ref);
    switch ((enum wire_type)sh->type) {
    case WIRE_STRUCTURE:
        encode_xml_attributes(w, out, sh, at);
        buf_add_char(out, '>');
        w->depth++;
        encode_xml_members(w, out, sh, at);
        w->depth--;
        break;
    case WIRE_LIST:
        buf_add_char(out, '>');
        elements(w, out, wire_body_name(w, wire_members_of(w->s, sh)), sh, at);
        break;
    case WIRE_MAP:
        buf_add_char(out, '>');
        entries(w, out, STR("entry"), sh, NULL, at);
        break;
    case WIRE_STRING:
    case WIRE_BLOB:
    case WIRE_BOOLEAN:
    case WIRE_INTEGER:
    case WIRE_LONG:
    case WIRE_FLOAT:
    case WIRE_DOUBLE:
    case WIRE_TIMESTAMP:
    case WIRE_DOCUMENT:
        buf_add_char(out, '>');
        scalar(w, out, ref, at);
        break;
    }
    close_tag(out, name);
}
