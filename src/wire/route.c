// route.c - which protocol a request speaks and which operation it means.
#include "wire/wire_impl.h"

#include "base/percent.h"

#define RPC_PREFIX "/service/"
#define RPC_MIDDLE "/operation/"

static bool speaks(const struct wire_service *s, enum wire_protocol p)
{
    return (s->protocols & (1u << p)) != 0;
}

static struct str media_type(const struct wire_http_in *in)
{
    struct str type = wire_header_get(in, STR("content-type"));
    ptrdiff_t semicolon = str_find_char(type, ';');

    return str_trim(semicolon < 0 ? type : str_slice(type, 0, (size_t)semicolon));
}

int wire_protocol_of(const struct wire_service *s, const struct wire_http_in *in,
                     enum wire_protocol *out, struct err *err)
{
    struct str type = media_type(in);
    enum wire_protocol p = WIRE_PROTOCOLS;

    if (str_eq(wire_header_get(in, STR("smithy-protocol")), STR("rpc-v2-cbor")) &&
        speaks(s, WIRE_RPC_V2_CBOR))
        p = WIRE_RPC_V2_CBOR;
    else if (speaks(s, WIRE_REST_JSON))
        p = WIRE_REST_JSON;
    else if (speaks(s, WIRE_REST_XML))
        p = WIRE_REST_XML;
    else if (speaks(s, WIRE_QUERY) &&
             (!speaks(s, WIRE_JSON_1_0) || str_is_null(wire_header_get(in, STR("x-amz-target")))))
        p = WIRE_QUERY;
    else if (speaks(s, WIRE_JSON_1_0))
        p = str_eq_nocase(type, STR("application/x-amz-json-1.0")) ? WIRE_JSON_1_0 : WIRE_JSON_1_1;
    if (p == WIRE_PROTOCOLS) {
        *out = WIRE_RPC_V2_CBOR;
        return err_aws(err, &WIRE_UNKNOWN_OPERATION, "The request does not speak a protocol of %s.",
                       s->service_id);
    }
    *out = p;
    return 0;
}

// Operations are in the order of their names.
const struct wire_operation *wire_operation_named(const struct wire_service *s, struct str name)
{
    size_t low = 0, high = s->n_operations;

    while (low < high) {
        size_t middle = (low + high) / 2;
        int c = str_cmp(name, str_from(s->operations[middle].name));

        if (c == 0)
            return &s->operations[middle];
        if (c < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

// Required members in the query string tell operations of one path apart (S3's UploadPart).
static bool required_query_present(const struct wire_operation *op, struct str query, int *score)
{
    const struct wire_service *s = op->service;
    const struct wire_shape *sh = &s->shapes[op->in];
    const struct wire_member *m = wire_members_of(s, sh);

    for (size_t i = 0; i < sh->n_members; i++, m++) {
        struct str rest = query, name, value;
        bool found = false;

        if (m->location != WIRE_IN_QUERY || !(m->flags & WIRE_REQUIRED))
            continue;
        while (!found && percent_next_pair(&rest, &name, &value))
            found = str_eq(name, wire_text(s, m->wire_name));
        if (!found)
            return false;
        (*score)++;
    }
    return true;
}

static const struct wire_operation *route_rest(const struct wire_service *s,
                                               const struct wire_http_in *in)
{
    const struct wire_operation *best = NULL, *nearly = NULL;
    int best_score = -1;

    for (unsigned i = 0; i < s->n_operations; i++) {
        const struct wire_operation *op = &s->operations[i];
        int score;

        if (!str_eq(in->method, str_from(op->method)))
            continue;
        score = uri_match(op->uri, in->path, in->query);
        if (score < 0 || score < best_score)
            continue;
        // One that lacks a required parameter is meant all the same when no other one fits:
        // validation then says what is missing.
        if (!required_query_present(op, in->query, &score)) {
            if (!nearly)
                nearly = op;
            continue;
        }
        if (score > best_score) {
            best = op;
            best_score = score;
        }
    }
    return best ? best : nearly;
}

static int route_target(const struct wire_service *s, const struct wire_http_in *in,
                        const struct wire_operation **op, struct err *err)
{
    struct str target = wire_header_get(in, STR("x-amz-target")), name = target;

    // "Logs_20140328.PutLogEvents": the part before the last dot is not ours to judge.
    for (size_t i = 0; i < target.len; i++) {
        if (target.ptr[i] == '.')
            name = str_slice(target, i + 1, target.len);
    }
    *op = wire_operation_named(s, name);
    if (!*op)
        return err_aws(err, &WIRE_UNKNOWN_OPERATION, "The requested operation %.*s is not known.",
                       STR_ARG(str_slice(name, 0, 128)));
    return 0;
}

static int route_action(const struct wire_service *s, const struct wire_http_in *in,
                        struct arena *a, const struct wire_operation **op, struct err *err)
{
    struct str name = STR_NULL, version = STR_NULL;
    int r = percent_query_get(a, in->body, STR("Action"), &name);
    bool in_body = r == 1;

    if (r == 0)
        r = percent_query_get(a, in->query, STR("Action"), &name);
    if (r == -ENOMEM)
        return err_set(err, -ENOMEM, "out of memory for the request");
    if (r <= 0)
        return err_aws(err, &WIRE_MISSING_ACTION,
                       "The request is missing an action or a required parameter.");
    *op = wire_operation_named(s, name);
    if (!*op) {
        percent_query_get(a, in_body ? in->body : in->query, STR("Version"), &version);
        return err_aws(
            err, &WIRE_INVALID_ACTION, "Could not find operation %.*s for version %.*s",
            STR_ARG(str_slice(name, 0, 128)),
            STR_ARG(str_is_null(version) ? str_from(s->api_version) : str_slice(version, 0, 32)));
    }
    return 0;
}

static int route_rpc(const struct wire_service *s, const struct wire_http_in *in,
                     const struct wire_operation **op, struct err *err)
{
    ptrdiff_t at = str_find(in->path, STR(RPC_MIDDLE));
    struct str name = STR_NULL;

    if (at >= 0)
        name = str_slice(in->path, (size_t)at + sizeof(RPC_MIDDLE) - 1, in->path.len);
    *op = at >= 0 ? wire_operation_named(s, name) : NULL;
    if (!*op)
        return err_aws(err, &WIRE_UNKNOWN_OPERATION, "The requested operation %.*s is not known.",
                       STR_ARG(str_slice(name, 0, 128)));
    return 0;
}

int wire_route(const struct wire_service *s, enum wire_protocol p, const struct wire_http_in *in,
               struct arena *a, const struct wire_operation **op, struct err *err)
{
    switch (p) {
    case WIRE_REST_JSON:
    case WIRE_REST_XML:
        *op = route_rest(s, in);
        if (!*op)
            return err_aws(err, &WIRE_UNKNOWN_OPERATION,
                           "Unable to determine service/operation "
                           "name to be authorized");
        return 0;
    case WIRE_JSON_1_0:
    case WIRE_JSON_1_1:
        return route_target(s, in, op, err);
    case WIRE_QUERY:
        return route_action(s, in, a, op, err);
    case WIRE_RPC_V2_CBOR:
        return route_rpc(s, in, op, err);
    case WIRE_PROTOCOLS:
        break;
    }
    return err_aws(err, &WIRE_UNKNOWN_OPERATION, "Unknown protocol.");
}

int wire_query_get(struct str query, struct str name, struct arena *a, struct str *out)
{
    int r = percent_query_get(a, query, name, out);

    if (r == 1)
        return 0;
    *out = STR_NULL;
    return r == -ENOMEM ? r : 0;
}
