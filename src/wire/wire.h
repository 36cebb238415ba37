// wire.h - AWS's protocols driven by constant tables: bytes to C structures and back.
//
// A model (models/<service>.json) becomes C structures and tables (wire/gen/<service>.h). One set
// of codecs reads those tables for every service and protocol:
//
//     wire_protocol_of -> wire_route -> wire_decode -> wire_validate -> handler -> wire_encode
//
// Tables hold offsets and indexes, no pointers, so that they need no relocation. What is decoded
// borrows from the request and from the arena. Pure: no system calls, safe on every thread.
//
// How a shape looks in C:
//   string, blob, document   struct str; {NULL, 0} is absent; blobs are decoded, documents raw JSON
//   integer, long            int64_t x;  bool has_x;
//   float, double            double x;   bool has_x;
//   boolean                  bool x;     bool has_x;
//   timestamp                int64_t x;  bool has_x;      milliseconds since 1970
//   structure, union         struct service_shape *x;     NULL is absent
//   list                     struct { T *ptr; size_t n; } ptr NULL is absent (WIRE_EMPTY: empty)
//   map                      struct { entry *ptr; size_t n; }, entry is { struct str key; V value;
//   }
// Elements of lists and values of maps stand in place (structures too); in sparse ones, where null
// is allowed, anything but a string stands behind a pointer.
#ifndef LAMBKIN_WIRE_WIRE_H
#define LAMBKIN_WIRE_WIRE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum wire_protocol {
    WIRE_REST_JSON,
    WIRE_JSON_1_0,
    WIRE_JSON_1_1,
    WIRE_QUERY,
    WIRE_REST_XML,
    WIRE_RPC_V2_CBOR,
    WIRE_PROTOCOLS, // how many
};

enum wire_type {
    WIRE_STRUCTURE,
    WIRE_LIST,
    WIRE_MAP,
    WIRE_STRING,
    WIRE_BLOB,
    WIRE_BOOLEAN,
    WIRE_INTEGER, // 32 bits on the wire
    WIRE_LONG,
    WIRE_FLOAT,
    WIRE_DOUBLE,
    WIRE_TIMESTAMP,
    WIRE_DOCUMENT,
};

enum wire_location {
    WIRE_IN_BODY,
    WIRE_IN_URI,
    WIRE_IN_QUERY,
    WIRE_IN_HEADER,
    WIRE_IN_HEADERS, // a map of all headers that start with the member's wire name
    WIRE_IN_STATUS,
};

enum wire_time {
    WIRE_TIME_DEFAULT, // the protocol's own
    WIRE_TIME_ISO8601,
    WIRE_TIME_RFC822,
    WIRE_TIME_UNIX,
};

// Flags of members.
#define WIRE_REQUIRED 0x0001
#define WIRE_TOKEN 0x0002 // idempotencyToken
#define WIRE_FLATTENED 0x0004
#define WIRE_XML_ATTRIBUTE 0x0008
#define WIRE_SENSITIVE 0x0010
#define WIRE_JSON_VALUE 0x0020 // a header that holds base64 of JSON
#define WIRE_EVENT_HEADER 0x0040
#define WIRE_EVENT_PAYLOAD 0x0080
// Flags of shapes; FLATTENED and SENSITIVE as above.
#define WIRE_UNION 0x0100
#define WIRE_SPARSE 0x0200
#define WIRE_HAS_MIN 0x0400
#define WIRE_HAS_MAX 0x0800
#define WIRE_STREAMING 0x1000
#define WIRE_EVENT_STREAM 0x2000
#define WIRE_EXCEPTION 0x4000
#define WIRE_BIG_NUMBER 0x8000 // a string here, a number of any size on the wire

// A member of a structure; a list has one (its element), a map two (key, value; offsets within
// the entry). Names are offsets into wire_service.strings; 0 is the empty string: none.
struct wire_member {
    uint32_t name;       // as in the model: "FunctionName"
    uint32_t wire_name;  // as it travels in bodies, headers or URIs
    uint32_t query_name; // in the query protocol, where it differs
    uint32_t xml_uri;    // XML name space and its prefix
    uint32_t xml_prefix;
    uint32_t offset; // of the value
    uint32_t has;    // offset of its has_ flag, 0: presence is the pointer
    uint16_t shape;  // index
    uint16_t flags;
    uint8_t location; // enum wire_location
    uint8_t time;     // enum wire_time
};

struct wire_shape {
    int64_t min, max; // characters, elements or value
    uint32_t name;
    uint32_t wire_name; // what XML calls it at the top
    uint32_t xml_uri, xml_prefix;
    uint32_t size;          // bytes of its C form
    uint32_t element_bytes; // list: of an element; map: of an entry
    uint16_t first_member, n_members;
    uint16_t payload; // structure: its payload member's position + 1, 0 for none
    uint16_t first_enum, n_enums;
    uint16_t pattern; // index + 1 into patterns, 0 for none
    uint16_t flags;
    uint8_t type; // enum wire_type
    uint8_t time; // enum wire_time
};

struct wire_service;

// Flags of operations.
#define WIRE_OP_NO_AUTH 0x01      // the client does not sign
#define WIRE_OP_EVENT_STREAM 0x02 // answers an event stream: not for wire_encode
#define WIRE_OP_STREAM_IN 0x04    // the payload is a stream of bytes
#define WIRE_OP_STREAM_OUT 0x08
#define WIRE_OP_CHECKSUM 0x10 // wants Content-MD5 or a checksum
#define WIRE_OP_NO_INPUT 0x20 // the model gives it no input shape
#define WIRE_OP_NO_OUTPUT 0x40

struct wire_operation {
    const struct wire_service *service;
    const char *name;           // "CreateFunction"
    const char *method;         // "POST"
    const char *uri;            // "/2015-03-31/functions/{FunctionName}?x=y"
    const char *result_wrapper; // query: element around the result, NULL for none
    const uint16_t *errors;     // indexes into service->errors
    uint16_t n_errors;
    uint16_t index;   // its place in service->operations: enum <service>_op
    uint16_t in, out; // shapes
    uint16_t status;
    uint16_t flags;
};

struct wire_service {
    const char *name;         // "lambda": our own name for it, the generated prefix
    const char *signing_name; // credential scope
    const char *endpoint_prefix;
    const char *api_version;
    const char *target_prefix; // X-Amz-Target, rpc-v2-cbor path; NULL for none
    const char *xml_namespace; // NULL for none
    const char *service_id;
    uint32_t protocols;                 // 1u << enum wire_protocol
    bool query_compatible;              // x-amzn-query-error on errors
    bool type_in_body;                  // errors carry "Type": "User" as Lambda's do
    const struct aws_error *validation; // a broken constraint
    const struct aws_error *missing;    // a parameter that is missing, when it has its own kind
    const struct wire_operation *operations;
    unsigned n_operations;
    const struct aws_error *const *errors;
    const uint16_t *error_shapes; // same order
    unsigned n_errors;
    const struct wire_shape *shapes;
    unsigned n_shapes;
    const struct wire_member *members;
    const uint32_t *enums;    // string offsets
    const uint32_t *patterns; // string offsets
    void **compiled;          // one slot a pattern, filled on first use
    unsigned n_patterns;
    const char *strings;
};

// What a list or a map without elements points to, in outputs that must show "[]" or "{}".
extern char wire_empty_[];
#define WIRE_EMPTY ((void *)wire_empty_)
// out->timeout = 3 together with out->has_timeout = true.
#define WIRE_SET(out, member, v) ((out)->member = (v), (out)->has_##member = true)
// in->max_items, or what to take when the client gave none.
#define WIRE_GET(in, member, otherwise) ((in)->has_##member ? (in)->member : (otherwise))

struct wire_header {
    struct str name, value;
};

// A request as it came: header names in lower case, path and query still percent-encoded.
struct wire_http_in {
    struct str method;
    struct str path;  // begins with '/', no query
    struct str query; // without '?'; may be absent
    const struct wire_header *headers;
    size_t n_headers;
    struct str body;
};

// An answer: what http_respond() needs. Headers and their values live in the arena.
struct wire_http_out {
    struct arena *arena;
    int status;
    struct wire_header *headers;
    size_t n_headers, cap_headers;
    struct buf body;
};

// An answer is at most max_body bytes. finish frees the body; call it in any case.
void wire_http_out_init(struct wire_http_out *o, struct arena *a, size_t max_body);
void wire_http_out_finish(struct wire_http_out *o);
// Adds a header; name and value must live as long as the arena. False when out of memory.
bool wire_http_out_header(struct wire_http_out *o, struct str name, struct str value);
// The first header of that name (lower case), or the absent string.
struct str wire_header_get(const struct wire_http_in *in, struct str name);
// The first parameter of that name in a query string or form, decoded into the arena.
// 0 and *out absent when there is none; -ENOMEM.
int wire_query_get(struct str query, struct str name, struct arena *a, struct str *out);

// Which of its protocols the service is being spoken to in, by content type, X-Amz-Target,
// Smithy-Protocol and method. Negative when none of them fits: an UnknownOperationException.
int wire_protocol_of(const struct wire_service *s, const struct wire_http_in *in,
                     enum wire_protocol *out, struct err *err);
// Which operation is meant. -EBADMSG: UnknownOperationException, InvalidAction, …
int wire_route(const struct wire_service *s, enum wire_protocol p, const struct wire_http_in *in,
               struct arena *a, const struct wire_operation **op, struct err *err);
// By its name, NULL when there is none.
const struct wire_operation *wire_operation_named(const struct wire_service *s, struct str name);

// Sizes of the structures that decode fills and encode reads (zero them first).
size_t wire_in_bytes(const struct wire_operation *op);
size_t wire_out_bytes(const struct wire_operation *op);

// Fills *out, a zeroed structure of wire_in_bytes(op). -EBADMSG: SerializationException or the
// protocol's own name for it; -ENOMEM. An idempotency token that is missing stays absent.
int wire_decode(const struct wire_operation *op, enum wire_protocol p,
                const struct wire_http_in *in, struct arena *a, void *out, struct err *err);
// Checks required members, lengths, ranges, enumerations and patterns; all findings (up to the
// space in err) stand in one message: "2 validation errors detected: …". -EBADMSG, -ENOMEM.
int wire_validate(const struct wire_operation *op, const void *in, struct arena *a,
                  struct err *err);
// Answers with the operation's structure, or with an error in the form the protocol wants:
// err->aws or, without one, an internal failure that tells nothing. request_id goes where the
// protocol has it. -ENOMEM, -EFBIG (over max_body).
int wire_encode(const struct wire_operation *op, enum wire_protocol p, const void *out_struct,
                struct str request_id, struct wire_http_out *out, struct err *err);
// op may be NULL when the operation is not known.
int wire_encode_error(const struct wire_service *s, const struct wire_operation *op,
                      enum wire_protocol p, const struct err *e, struct str request_id,
                      struct wire_http_out *out);

// One shape's JSON, as in a rest-json body: for things kept in the store. `shape` is the index
// that the generated header names (LAMBDA_SHAPE_FUNCTION_CONFIGURATION).
int wire_shape_to_json(const struct wire_service *s, unsigned shape, const void *value,
                       struct buf *out);
int wire_shape_from_json(const struct wire_service *s, unsigned shape, struct str json,
                         struct arena *a, void *value, struct err *err);

// Whether a service's pattern is one we can read; for tests.
bool wire_pattern_compiles(const struct wire_service *s, unsigned pattern);

// Errors every service shares; not in the models.
extern const struct aws_error WIRE_SERIALIZATION_EXCEPTION; // 400
extern const struct aws_error WIRE_UNKNOWN_OPERATION;       // 404
extern const struct aws_error WIRE_INVALID_ACTION;          // 400, query
extern const struct aws_error WIRE_MISSING_ACTION;          // 400, query
extern const struct aws_error WIRE_INTERNAL_FAILURE;        // 500
extern const struct aws_error WIRE_VALIDATION_EXCEPTION;    // 400
extern const struct aws_error WIRE_VALIDATION_ERROR;        // 400, query
extern const struct aws_error WIRE_UNSUPPORTED_MEDIA_TYPE;  // 415
extern const struct aws_error WIRE_NOT_IMPLEMENTED;         // 501: an operation we lack
extern const struct aws_error WIRE_MALFORMED_XML;           // 400, rest-xml

#endif
