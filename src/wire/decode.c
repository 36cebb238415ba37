// decode.c - a request into an operation's input structure, by protocol.
#include "wire/wire_impl.h"

#include "base/json.h"

static int payload(struct walk *w, const struct wire_shape *top, const struct wire_http_in *in,
                   void *out)
{
    const struct wire_member *m = wire_members_of(w->s, top) + top->payload - 1;
    const struct wire_shape *sh = wire_shape_of(w->s, m);
    void *place;

    if (in->body.len == 0)
        return 0;
    if (sh->type == WIRE_DOCUMENT && !json_valid(in->body))
        return walk_malformed(w, "Could not parse request body into json");
    place = walk_open(w, m, out);
    if (!place)
        return -ENOMEM;
    if (wire_is_text(sh)) {
        *(struct str *)place = in->body;
        return 0;
    }
    w->depth = 1; // what is inside is no longer the top: nothing of it is bound to headers
    if (w->protocol == WIRE_REST_JSON)
        return decode_json_body(w, in->body, sh, m, place);
    return decode_xml_body(w, in->body, sh, m, place);
}

static int rest(struct walk *w, const struct wire_operation *op, const struct wire_http_in *in,
                void *out)
{
    const struct wire_shape *sh = &w->s->shapes[op->in];
    const struct wire_member *m = wire_members_of(w->s, sh);
    bool any = false;
    int r = bind_decode(w, op, in, out);

    if (r < 0)
        return r;
    if (sh->payload)
        return payload(w, sh, in, out);
    for (size_t i = 0; i < sh->n_members; i++)
        any |= m[i].location == WIRE_IN_BODY;
    if (!any)
        return 0;
    if (w->protocol == WIRE_REST_JSON)
        return decode_json_body(w, in->body, sh, NULL, out);
    return decode_xml_body(w, in->body, sh, NULL, out);
}

int wire_decode(const struct wire_operation *op, enum wire_protocol p,
                const struct wire_http_in *in, struct arena *a, void *out, struct err *err)
{
    const struct wire_shape *sh = &op->service->shapes[op->in];
    struct walk w = {.s = op->service, .arena = a, .err = err, .protocol = p};

    if (op->flags & WIRE_OP_NO_INPUT)
        return 0;
    switch (p) {
    case WIRE_REST_JSON:
    case WIRE_REST_XML:
        return rest(&w, op, in, out);
    case WIRE_JSON_1_0:
    case WIRE_JSON_1_1:
        return decode_json_body(&w, in->body, sh, NULL, out);
    case WIRE_QUERY:
        return decode_query_body(&w, in->body.len ? in->body : in->query, sh, out);
    case WIRE_RPC_V2_CBOR:
        return decode_cbor_body(&w, in->body, sh, out);
    case WIRE_PROTOCOLS:
        break;
    }
    return err_set(err, -EINVAL, "no such protocol");
}

int wire_shape_from_json(const struct wire_service *s, unsigned shape, struct str json,
                         struct arena *a, void *value, struct err *err)
{
    // json-1.1: every member is in the body, whatever REST does with it.
    struct walk w = {.s = s, .arena = a, .err = err, .protocol = WIRE_JSON_1_1};

    return decode_json_body(&w, json, &s->shapes[shape], NULL, value);
}
