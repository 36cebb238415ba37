// encode_error.c - an error in the form each protocol gives it.
//
// Members beside the message come from err->fields, put where the error's shape in the model has
// them (Lambda's retryAfterSeconds is a header), and of its type. What is our own failure tells
// the client nothing.
#include "wire/wire_impl.h"

#include "base/json.h"
#include "base/xml.h"

struct failure {
    const struct aws_error *kind;
    const struct wire_shape *sh; // NULL when the model does not have it
    const struct err *err;
    struct str message;
    const char *code, *query_code;
    bool own; // not the client's doing
};

static void describe(const struct wire_service *s, const struct wire_operation *op,
                     const struct err *e, struct failure *f)
{
    *f = (struct failure){.kind = e->aws, .err = e, .message = str_from(e->message)};
    if (!f->kind) {
        static const char *const names[] = {"ServiceException", "InternalServiceError",
                                            "InternalFailure", "ServiceFailure"};

        // The service's own word for it, where its operation lists one.
        f->kind = &WIRE_INTERNAL_FAILURE;
        for (size_t i = 0; op && i < sizeof(names) / sizeof(names[0]); i++) {
            for (size_t k = 0; k < op->n_errors; k++) {
                if (strcmp(s->errors[op->errors[k]]->code, names[i]) == 0)
                    f->kind = s->errors[op->errors[k]];
            }
        }
        f->own = true;
        f->message = STR("An internal error occurred.");
    }
    f->code = f->kind->code;
    f->query_code = f->kind->query_code ? f->kind->query_code : f->kind->code;
    for (unsigned i = 0; i < s->n_errors; i++) {
        if (s->errors[i] == f->kind)
            f->sh = &s->shapes[s->error_shapes[i]];
    }
}

// "message" in the spelling of the shape.
static struct str message_name(const struct wire_service *s, const struct failure *f)
{
    const struct wire_member *m = f->sh ? wire_members_of(s, f->sh) : NULL;

    for (size_t i = 0; m && i < f->sh->n_members; i++) {
        struct str name = wire_text(s, m[i].wire_name);

        if (str_eq_nocase(name, STR("message")))
            return name;
    }
    return STR("message");
}

static const struct wire_member *field_member(const struct wire_service *s, const struct failure *f,
                                              struct str name)
{
    const struct wire_member *m = f->sh ? wire_members_of(s, f->sh) : NULL;

    for (size_t i = 0; m && i < f->sh->n_members; i++) {
        if (str_eq_nocase(wire_text(s, m[i].name), name))
            return &m[i];
    }
    return NULL;
}

static bool is_plain(const struct wire_service *s, const struct wire_member *m)
{
    enum wire_type type;

    if (!m)
        return false;
    type = (enum wire_type)wire_shape_of(s, m)->type;
    return type == WIRE_BOOLEAN || type == WIRE_INTEGER || type == WIRE_LONG ||
           type == WIRE_FLOAT || type == WIRE_DOUBLE;
}

static bool header(struct wire_http_out *out, const char *name, struct str value)
{
    return wire_http_out_header(out, str_from(name), value);
}

static int field_header(struct wire_http_out *out, const struct wire_service *s,
                        const struct wire_member *m, const char *value)
{
    struct buf text;
    int r;

    buf_init(&text, 1024);
    buf_add(&text, str_from(value));
    r = bind_header(out, wire_text(s, m->wire_name), &text);
    buf_finish(&text);
    return r;
}

static int json_body(const struct wire_service *s, enum wire_protocol p, const struct failure *f,
                     struct wire_http_out *out)
{
    struct json_writer w = json_writer(&out->body);
    bool type_seen = false;

    jw_object_begin(&w);
    if (p != WIRE_REST_JSON)
        jw_member_str(&w, "__type",
                      s->query_compatible && s->target_prefix && f->sh
                          ? arena_printf(out->arena, "com.amazonaws.%s#%s", s->name, f->code)
                          : str_from(f->code));
    for (unsigned i = 0; i < f->err->n_fields && !f->own; i++) {
        const struct err_field *field = &f->err->fields[i];
        const struct wire_member *m = field_member(s, f, str_from(field->name));

        if (m && p == WIRE_REST_JSON && m->location == WIRE_IN_HEADER) {
            if (field_header(out, s, m, field->value) < 0)
                return -ENOMEM;
            continue;
        }
        type_seen |= strcmp(field->name, "Type") == 0;
        jw_key(&w, m ? wire_text(s, m->wire_name) : str_from(field->name));
        if (is_plain(s, m) && json_valid(str_from(field->value)))
            jw_raw(&w, str_from(field->value));
        else
            jw_str(&w, str_from(field->value));
    }
    if (s->type_in_body && !type_seen && p == WIRE_REST_JSON)
        jw_member_str(&w, "Type", f->kind->client_fault ? STR("User") : STR("Service"));
    jw_key(&w, message_name(s, f));
    jw_str(&w, f->message);
    jw_object_end(&w);
    return 0;
}

static void xml_field(struct buf *b, struct str name, struct str value)
{
    buf_addf(b, "<%.*s>", STR_ARG(name));
    xml_escape(b, value);
    buf_addf(b, "</%.*s>", STR_ARG(name));
}

static void xml_fields(const struct wire_service *s, const struct failure *f, struct buf *b)
{
    for (unsigned i = 0; i < f->err->n_fields && !f->own; i++) {
        const struct wire_member *m = field_member(s, f, str_from(f->err->fields[i].name));

        xml_field(b, m ? wire_text(s, m->wire_name) : str_from(f->err->fields[i].name),
                  str_from(f->err->fields[i].value));
    }
}

static void query_body(const struct wire_service *s, const struct failure *f, struct str request_id,
                       struct buf *b)
{
    buf_add(b, STR("<?xml version=\"1.0\"?>\n<ErrorResponse"));
    if (s->xml_namespace) {
        buf_add(b, STR(" xmlns=\""));
        xml_escape(b, str_from(s->xml_namespace));
        buf_add_char(b, '"');
    }
    buf_add(b, STR("><Error>"));
    xml_field(b, STR("Type"), f->kind->client_fault ? STR("Sender") : STR("Receiver"));
    xml_field(b, STR("Code"), str_from(f->query_code));
    xml_field(b, STR("Message"), f->message);
    xml_fields(s, f, b);
    buf_add(b, STR("</Error>"));
    xml_field(b, STR("RequestId"), request_id);
    buf_add(b, STR("</ErrorResponse>"));
}

// S3's form; it has no element around Error.
static void rest_xml_body(const struct wire_service *s, const struct failure *f,
                          struct str request_id, struct buf *b)
{
    buf_add(b, STR("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>"));
    // What is not the service's own, such as a wrong signature, has the older spelling there.
    xml_field(b, STR("Code"), str_from(f->sh ? f->code : f->query_code));
    xml_field(b, STR("Message"), f->message);
    xml_fields(s, f, b);
    xml_field(b, STR("RequestId"), request_id);
    buf_add(b, STR("</Error>"));
}

static void cbor_text(struct buf *b, struct str s)
{
    if (s.len < 24) {
        buf_add_char(b, (char)(0x60 | s.len));
    } else if (s.len < 256) {
        buf_add_char(b, 0x78);
        buf_add_char(b, (char)s.len);
    } else {
        buf_add_char(b, 0x79);
        buf_add_char(b, (char)(s.len >> 8));
        buf_add_char(b, (char)(s.len & 0xff));
    }
    buf_add(b, s);
}

static void cbor_body(const struct wire_service *s, const struct failure *f, struct buf *b)
{
    unsigned n = f->own ? 0 : f->err->n_fields;

    buf_add_char(b, (char)(0xa0 | (2 + n)));
    cbor_text(b, STR("__type"));
    cbor_text(b, str_from(f->code));
    cbor_text(b, message_name(s, f));
    cbor_text(b, str_slice(f->message, 0, 60000));
    for (unsigned i = 0; i < n; i++) {
        cbor_text(b, str_from(f->err->fields[i].name));
        cbor_text(b, str_from(f->err->fields[i].value));
    }
}

int wire_encode_error(const struct wire_service *s, const struct wire_operation *op,
                      enum wire_protocol p, const struct err *e, struct str request_id,
                      struct wire_http_out *out)
{
    struct failure f;
    bool good;
    int r = 0;

    describe(s, op, e, &f);
    out->status = f.kind->status;
    good = header(out, p == WIRE_REST_XML ? "x-amz-request-id" : "x-amzn-RequestId", request_id);
    switch (p) {
    case WIRE_REST_JSON:
        good = good && header(out, "x-amzn-ErrorType", str_from(f.code)) &&
               header(out, "Content-Type", STR("application/json"));
        r = json_body(s, p, &f, out);
        break;
    case WIRE_JSON_1_0:
    case WIRE_JSON_1_1:
        good = good && header(out, "Content-Type",
                              p == WIRE_JSON_1_0 ? STR("application/x-amz-json-1.0")
                                                 : STR("application/x-amz-json-1.1"));
        r = json_body(s, p, &f, out);
        break;
    case WIRE_QUERY:
        good = good && header(out, "Content-Type", STR("text/xml"));
        query_body(s, &f, request_id, &out->body);
        break;
    case WIRE_REST_XML:
        good = good && header(out, "Content-Type", STR("application/xml"));
        rest_xml_body(s, &f, request_id, &out->body);
        break;
    case WIRE_RPC_V2_CBOR:
        good = good && header(out, "smithy-protocol", STR("rpc-v2-cbor")) &&
               header(out, "Content-Type", STR("application/cbor"));
        cbor_body(s, &f, &out->body);
        break;
    case WIRE_PROTOCOLS:
        break;
    }
    if (s->query_compatible && p != WIRE_QUERY) {
        struct str value = arena_printf(out->arena, "%s;%s", f.query_code,
                                        f.kind->client_fault ? "Sender" : "Receiver");

        good = good && value.ptr && header(out, "x-amzn-query-error", value);
    }
    return good && r == 0 && !out->body.failed ? 0 : -ENOMEM;
}
