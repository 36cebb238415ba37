// encode.c - an operation's output structure as an answer, by protocol.
#include "wire/wire_impl.h"

#include "base/xml.h"

static int add_header(struct wire_http_out *out, const char *name, struct str value)
{
    return wire_http_out_header(out, str_from(name), value) ? 0 : -ENOMEM;
}

static bool has_body_members(const struct wire_service *s, const struct wire_shape *sh)
{
    const struct wire_member *m = wire_members_of(s, sh);

    for (size_t i = 0; i < sh->n_members; i++) {
        if (wire_in_answer_body(&m[i]))
            return true;
    }
    return false;
}

// The root element of a REST-XML body.
static void xml_root(struct walk *w, struct buf *out, struct str name, const struct wire_shape *sh,
                     const struct wire_member *ref, const void *at)
{
    struct str space = STR_NULL;

    if (ref && ref->xml_uri)
        space = wire_text(w->s, ref->xml_uri);
    else if (sh->xml_uri)
        space = wire_text(w->s, sh->xml_uri);
    else if (w->s->xml_namespace)
        space = str_from(w->s->xml_namespace);
    buf_add(out, STR("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<"));
    buf_add(out, name);
    if (!str_is_null(space)) {
        buf_add(out, STR(" xmlns"));
        if (ref && ref->xml_prefix)
            buf_addf(out, ":%s", w->s->strings + ref->xml_prefix);
        else if (sh->xml_uri && sh->xml_prefix)
            buf_addf(out, ":%s", w->s->strings + sh->xml_prefix);
        buf_add(out, STR("=\""));
        xml_escape(out, space);
        buf_add_char(out, '"');
    }
    encode_xml_attributes(w, out, sh, at);
    buf_add_char(out, '>');
    encode_xml_members(w, out, sh, at);
    buf_addf(out, "</%.*s>", STR_ARG(name));
}

static struct str root_name(struct walk *w, const struct wire_shape *sh)
{
    return wire_text(w->s, sh->wire_name ? sh->wire_name : sh->name);
}

static int payload(struct walk *w, const struct wire_shape *top, const void *value,
                   struct wire_http_out *out)
{
    const struct wire_member *m = wire_members_of(w->s, top) + top->payload - 1;
    const struct wire_shape *sh = wire_shape_of(w->s, m);
    const void *at;
    bool typed = false;

    for (size_t i = 0; i < out->n_headers; i++)
        typed |= str_eq_nocase(out->headers[i].name, STR("content-type"));
    if (!wire_present(m, value))
        return 0;
    at = wire_value(w->s, m, value);
    if (sh->type == WIRE_STRING || sh->type == WIRE_BLOB) {
        buf_add(&out->body, *(const struct str *)at);
        if (typed)
            return 0;
        return add_header(out, "Content-Type",
                          sh->type == WIRE_STRING ? STR("text/plain")
                                                  : STR("application/octet-stream"));
    }
    if (w->protocol == WIRE_REST_JSON) {
        w->depth = 1;
        encode_json_value(w, &out->body, sh, m, at);
        return typed ? 0 : add_header(out, "Content-Type", STR("application/json"));
    }
    w->depth = 2;
    xml_root(w, &out->body,
             m->wire_name != m->name      ? wire_text(w->s, m->wire_name)
             : sh->wire_name              ? wire_text(w->s, sh->wire_name)
             : sh->type == WIRE_STRUCTURE ? wire_text(w->s, sh->name)
                                          : wire_text(w->s, m->wire_name),
             sh, m, at);
    return typed ? 0 : add_header(out, "Content-Type", STR("application/xml"));
}

static int rest(struct walk *w, const struct wire_shape *sh, const void *value,
                struct wire_http_out *out)
{
    int r = bind_encode(w, sh, value, out);

    if (r < 0)
        return r;
    if (sh->payload)
        return payload(w, sh, value, out);
    if (!has_body_members(w->s, sh))
        return 0;
    if (w->protocol == WIRE_REST_JSON) {
        encode_json_value(w, &out->body, sh, NULL, value);
        return add_header(out, "Content-Type", STR("application/json"));
    }
    w->depth = 1;
    xml_root(w, &out->body, root_name(w, sh), sh, NULL, value);
    return add_header(out, "Content-Type", STR("application/xml"));
}

static int query(struct walk *w, const struct wire_operation *op, const void *value,
                 struct str request_id, struct wire_http_out *out)
{
    struct buf *b = &out->body;

    buf_addf(b, "<?xml version=\"1.0\"?>\n<%sResponse", op->name);
    if (w->s->xml_namespace) {
        buf_add(b, STR(" xmlns=\""));
        xml_escape(b, str_from(w->s->xml_namespace));
        buf_add_char(b, '"');
    }
    buf_add_char(b, '>');
    if (!(op->flags & WIRE_OP_NO_OUTPUT)) {
        if (op->result_wrapper)
            buf_addf(b, "<%s>", op->result_wrapper);
        w->depth = 1;
        encode_xml_members(w, b, &w->s->shapes[op->out], value);
        if (op->result_wrapper)
            buf_addf(b, "</%s>", op->result_wrapper);
    }
    buf_add(b, STR("<ResponseMetadata><RequestId>"));
    xml_escape(b, request_id);
    buf_addf(b, "</RequestId></ResponseMetadata></%sResponse>", op->name);
    return add_header(out, "Content-Type", STR("text/xml"));
}

int wire_encode(const struct wire_operation *op, enum wire_protocol p, const void *out_struct,
                struct str request_id, struct wire_http_out *out, struct err *err)
{
    const struct wire_shape *sh = &op->service->shapes[op->out];
    struct walk w = {.s = op->service, .arena = out->arena, .err = err, .protocol = p};
    bool empty = (op->flags & WIRE_OP_NO_OUTPUT) != 0;
    int r =
        add_header(out, p == WIRE_REST_XML ? "x-amz-request-id" : "x-amzn-RequestId", request_id);

    out->status = op->status;
    if (r == 0) {
        switch (p) {
        case WIRE_REST_JSON:
        case WIRE_REST_XML:
            r = empty ? 0 : rest(&w, sh, out_struct, out);
            break;
        case WIRE_JSON_1_0:
        case WIRE_JSON_1_1:
            if (!empty)
                encode_json_value(&w, &out->body, sh, NULL, out_struct);
            r = add_header(out, "Content-Type",
                           p == WIRE_JSON_1_0 ? STR("application/x-amz-json-1.0")
                                              : STR("application/x-amz-json-1.1"));
            break;
        case WIRE_QUERY:
            r = query(&w, op, out_struct, request_id, out);
            break;
        case WIRE_RPC_V2_CBOR:
            if (!empty)
                encode_cbor_value(&w, &out->body, sh, out_struct);
            r = add_header(out, "smithy-protocol", STR("rpc-v2-cbor"));
            if (r == 0 && !empty)
                r = add_header(out, "Content-Type", STR("application/cbor"));
            break;
        case WIRE_PROTOCOLS:
            break;
        }
    }
    if (r < 0)
        return err_set(err, -ENOMEM, "out of memory for the answer");
    if (out->body.failed)
        return err_set(err, -EFBIG, "the answer is too large or memory ran out");
    return 0;
}

int wire_shape_to_json(const struct wire_service *s, unsigned shape, const void *value,
                       struct buf *out)
{
    struct walk w = {.s = s, .protocol = WIRE_JSON_1_1};

    encode_json_value(&w, out, &s->shapes[shape], NULL, value);
    return out->failed ? -ENOMEM : 0;
}
