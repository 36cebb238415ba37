// case_model.c - what tools/generate_wire.py does, at run time: shapes and members with offsets of
// a layout of our own.
#include "case_model.h"

#include <stdlib.h>

#define MAX_MEMBERS 4000
#define MAX_STRINGS_BYTES 400000

struct build {
    struct arena *a;
    const struct json_value *shapes;
    struct wire_service *s;
    struct wire_shape *out;
    struct wire_member *members;
    size_t n_members;
    uint32_t *enums;
    size_t n_enums;
    char *strings;
    size_t strings_len;
};

static uint32_t text(struct build *b, struct str s)
{
    uint32_t at = (uint32_t)b->strings_len;

    if (s.len == 0)
        return 0;
    if (b->strings_len + s.len + 1 > MAX_STRINGS_BYTES)
        abort();
    memcpy(b->strings + at, s.ptr, s.len);
    b->strings_len += s.len + 1;
    return at;
}

static uint16_t index_of(struct build *b, struct str name)
{
    uint16_t i = 1;

    json_each(v, b->shapes)
    {
        if (str_eq(v->key, name))
            return i;
        i++;
    }
    abort();
}

static enum wire_type type_of(const struct json_value *v)
{
    static const struct {
        const char *name;
        enum wire_type type;
    } types[] = {
        {"structure", WIRE_STRUCTURE}, {"list", WIRE_LIST},        {"map", WIRE_MAP},
        {"string", WIRE_STRING},       {"blob", WIRE_BLOB},        {"boolean", WIRE_BOOLEAN},
        {"byte", WIRE_INTEGER},        {"short", WIRE_INTEGER},    {"integer", WIRE_INTEGER},
        {"long", WIRE_LONG},           {"float", WIRE_FLOAT},      {"double", WIRE_DOUBLE},
        {"timestamp", WIRE_TIMESTAMP}, {"character", WIRE_STRING}, {"bigInteger", WIRE_STRING},
        {"bigDecimal", WIRE_STRING},
    };
    struct str name = json_get_or(v, "type", STR(""));

    if (json_get_bool_or(v, "document", false))
        return WIRE_DOCUMENT;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (str_eq(name, str_from(types[i].name)))
            return types[i].type;
    }
    abort();
}

static uint8_t time_of(const struct json_value *v)
{
    struct str format = json_get_or(v, "timestampFormat", STR(""));

    if (str_eq(format, STR("iso8601")))
        return WIRE_TIME_ISO8601;
    if (str_eq(format, STR("rfc822")))
        return WIRE_TIME_RFC822;
    return str_eq(format, STR("unixTimestamp")) ? WIRE_TIME_UNIX : WIRE_TIME_DEFAULT;
}

static uint8_t location_of(const struct json_value *v)
{
    static const struct str names[] = {
        STR_INIT(""),       STR_INIT("uri"),     STR_INIT("querystring"),
        STR_INIT("header"), STR_INIT("headers"), STR_INIT("statusCode")};
    struct str name = json_get_or(v, "location", STR(""));

    for (uint8_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (str_eq(names[i], name))
            return i;
    }
    abort();
}

static void spaces(struct build *b, const struct json_value *v, uint32_t *uri, uint32_t *prefix)
{
    const struct json_value *space = json_get(v, "xmlNamespace");
    struct str plain;

    *uri = text(b, json_get_or(space, "uri", STR("")));
    *prefix = text(b, json_get_or(space, "prefix", STR("")));
    if (json_str(space, &plain))
        *uri = text(b, plain);
}

static uint32_t scalar_bytes(enum wire_type type)
{
    switch (type) {
    case WIRE_LIST:
    case WIRE_MAP:
    case WIRE_STRING:
    case WIRE_BLOB:
    case WIRE_DOCUMENT:
        return 16;
    case WIRE_BOOLEAN:
        return 1;
    case WIRE_STRUCTURE:
    case WIRE_INTEGER:
    case WIRE_LONG:
    case WIRE_FLOAT:
    case WIRE_DOUBLE:
    case WIRE_TIMESTAMP:
        return 8;
    }
    abort();
}

static bool has_flag(enum wire_type type)
{
    return type >= WIRE_BOOLEAN && type <= WIRE_TIMESTAMP;
}

static void reference(struct build *b, struct wire_member *m, struct str name,
                      const struct json_value *v)
{
    m->name = text(b, name);
    m->wire_name = text(b, json_get_or(v, "locationName", name));
    m->shape = index_of(b, json_get_or(v, "shape", STR("")));
    m->location = location_of(v);
    m->time = time_of(v);
    spaces(b, v, &m->xml_uri, &m->xml_prefix);
    if (json_get_bool_or(v, "flattened", false))
        m->flags |= WIRE_FLATTENED;
    if (json_get_bool_or(v, "xmlAttribute", false))
        m->flags |= WIRE_XML_ATTRIBUTE;
    if (json_get_bool_or(v, "jsonvalue", false))
        m->flags |= WIRE_JSON_VALUE;
    if (json_get_bool_or(v, "idempotencyToken", false))
        m->flags |= WIRE_TOKEN;
}

static const struct json_value *shape_json(struct build *b, uint16_t index)
{
    const struct json_value *v = json_first(b->shapes);

    while (--index)
        v = v->next;
    return v;
}

// Sizes of structures are known once all members are placed; elements that are structures are
// given a size then.
static void place(struct build *b, struct wire_shape *sh, const struct json_value *v)
{
    uint32_t at = 0;
    uint16_t position = 0;
    struct str payload = json_get_or(v, "payload", STR(""));

    sh->first_member = (uint16_t)b->n_members;
    json_each(child, json_get(v, "members"))
    {
        struct wire_member *m = &b->members[b->n_members++];
        enum wire_type type;

        reference(b, m, child->key, child);
        type = type_of(shape_json(b, m->shape));
        m->offset = at;
        at += 16;
        if (has_flag(type))
            m->has = m->offset + 8;
        position++;
        if (str_eq(child->key, payload))
            sh->payload = position;
    }
    sh->n_members = position;
    sh->size = at ? at : 16;
}

static void one_shape(struct build *b, struct wire_shape *sh, const struct json_value *v)
{
    enum wire_type type = type_of(v);

    sh->type = (uint8_t)type;
    sh->name = text(b, v->key);
    sh->wire_name = text(b, json_get_or(v, "locationName", STR("")));
    sh->time = time_of(v);
    sh->size = scalar_bytes(type);
    spaces(b, v, &sh->xml_uri, &sh->xml_prefix);
    if (json_get_bool_or(v, "flattened", false))
        sh->flags |= WIRE_FLATTENED;
    if (json_get_bool_or(v, "sparse", false))
        sh->flags |= WIRE_SPARSE;
    if (json_get_bool_or(v, "union", false))
        sh->flags |= WIRE_UNION;
    if (str_starts(json_get_or(v, "type", STR("")), STR("big")))
        sh->flags |= WIRE_BIG_NUMBER;
    if (type == WIRE_STRUCTURE) {
        place(b, sh, v);
        return;
    }
    sh->first_member = (uint16_t)b->n_members;
    if (type == WIRE_LIST) {
        reference(b, &b->members[b->n_members++], STR("member"), json_get(v, "member"));
        sh->n_members = 1;
    } else if (type == WIRE_MAP) {
        reference(b, &b->members[b->n_members++], STR("key"), json_get(v, "key"));
        reference(b, &b->members[b->n_members], STR("value"), json_get(v, "value"));
        b->members[b->n_members++].offset = 16;
        sh->n_members = 2;
    }
}

static void element_sizes(struct build *b)
{
    for (unsigned i = 1; i < b->s->n_shapes; i++) {
        struct wire_shape *sh = &b->out[i];
        const struct wire_member *m = &b->members[sh->first_member];

        if (sh->type == WIRE_LIST)
            sh->element_bytes = (b->out[m->shape].size + 15) & ~15u;
        else if (sh->type == WIRE_MAP)
            sh->element_bytes = (16 + b->out[m[1].shape].size + 15) & ~15u;
    }
}

static void errors(struct build *b)
{
    const struct aws_error **all = arena_new_array(b->a, const struct aws_error *, b->s->n_shapes);
    uint16_t *shapes = arena_new_array(b->a, uint16_t, b->s->n_shapes), i = 1;

    json_each(v, b->shapes)
    {
        const struct json_value *error = json_get(v, "error");

        if (json_get_bool_or(v, "exception", false)) {
            struct aws_error *e = arena_new(b->a, struct aws_error);

            e->code = arena_cstr(b->a, json_get_or(error, "code", v->key));
            e->status = json_get_bool_or(v, "fault", false) ? 500 : 400;
            if (b->s->query_compatible) {
                e->query_code = e->code;
                e->code = arena_cstr(b->a, v->key);
            } else {
                e->status = (int)json_get_i64_or(error, "httpStatusCode", e->status);
            }
            e->client_fault = json_get_bool_or(error, "senderFault", e->status < 500);
            shapes[b->s->n_errors] = i;
            all[b->s->n_errors++] = e;
        }
        i++;
    }
    b->s->errors = all;
    b->s->error_shapes = shapes;
}

static uint32_t protocols(const struct json_value *metadata)
{
    struct str p = json_get_or(metadata, "protocol", STR(""));

    if (str_eq(p, STR("rest-json")))
        return 1u << WIRE_REST_JSON;
    if (str_eq(p, STR("rest-xml")))
        return 1u << WIRE_REST_XML;
    if (str_eq(p, STR("query")))
        return 1u << WIRE_QUERY;
    if (str_eq(p, STR("json")))
        return 1u << WIRE_JSON_1_0 | 1u << WIRE_JSON_1_1;
    return 1u << WIRE_RPC_V2_CBOR;
}

static void operation(struct build *b, const struct json_value *given)
{
    struct wire_operation *op = arena_new(b->a, struct wire_operation);
    const struct json_value *http = json_get(given, "http");
    const struct json_value *input = json_get(given, "input"), *output = json_get(given, "output");
    struct str wrapper, name;

    op->service = b->s;
    op->name = arena_cstr(b->a, json_get_or(given, "name", STR("")));
    op->method = arena_cstr(b->a, json_get_or(http, "method", STR("POST")));
    op->uri = arena_cstr(b->a, json_get_or(http, "requestUri", STR("/")));
    op->status = (uint16_t)json_get_i64_or(http, "responseCode", 200);
    if (input)
        op->in = index_of(b, json_get_or(input, "shape", STR("")));
    if (output)
        op->out = index_of(b, json_get_or(output, "shape", STR("")));
    op->flags = (uint16_t)((input ? 0 : WIRE_OP_NO_INPUT) | (output ? 0 : WIRE_OP_NO_OUTPUT));
    if (json_str(json_get(output, "resultWrapper"), &wrapper))
        op->result_wrapper = arena_cstr(b->a, wrapper);
    else if (output && b->s->protocols == 1u << WIRE_QUERY)
        op->result_wrapper = arena_printf(b->a, "%sResult", op->name).ptr;
    if (json_str(json_get(output, "locationName"), &name))
        b->out[op->out].wire_name = text(b, name);
    b->s->operations = op;
    b->s->n_operations = 1;
}

const struct wire_service *case_service(struct arena *a, const struct json_value *suite,
                                        const struct json_value *given)
{
    const struct json_value *metadata = json_get(suite, "metadata");
    struct wire_service *s = arena_new(a, struct wire_service);
    struct build b = {.a = a, .shapes = json_get(suite, "shapes"), .s = s, .strings_len = 1};
    struct wire_shape *at;
    struct str target;

    s->n_shapes = (unsigned)json_count(b.shapes) + 1;
    b.out = at = arena_new_array(a, struct wire_shape, s->n_shapes);
    b.members = arena_new_array(a, struct wire_member, MAX_MEMBERS);
    b.strings = arena_zalloc(a, MAX_STRINGS_BYTES);
    b.enums = arena_new_array(a, uint32_t, 1);
    at->size = 16;
    json_each(v, b.shapes)
    {
        one_shape(&b, ++at, v);
    }
    element_sizes(&b);
    s->name = "case";
    s->service_id = "Case";
    s->signing_name = "case";
    s->api_version = arena_cstr(a, json_get_or(metadata, "apiVersion", STR("")));
    if (json_str(json_get(metadata, "targetPrefix"), &target))
        s->target_prefix = arena_cstr(a, target);
    if (json_str(json_get(metadata, "xmlNamespace"), &target))
        s->xml_namespace = arena_cstr(a, target);
    s->protocols = protocols(metadata);
    s->query_compatible = json_get(metadata, "awsQueryCompatible") != NULL;
    s->validation = &WIRE_VALIDATION_EXCEPTION;
    s->shapes = b.out;
    s->members = b.members;
    s->enums = b.enums;
    s->patterns = b.enums;
    s->strings = b.strings;
    errors(&b);
    operation(&b, given);
    return s;
}
