// wire_impl.h - what the codecs share: walking a table, finding and filling a member's place.
#ifndef LAMBKIN_WIRE_WIRE_IMPL_H
#define LAMBKIN_WIRE_WIRE_IMPL_H

#include "wire/wire.h"

#include <errno.h>

#define WALK_MAX_DEPTH 64
// Elements of one list or map that a request may bring.
#define WALK_MAX_ELEMENTS 1000000

struct walk {
    const struct wire_service *s;
    struct arena *arena; // decoding only
    struct err *err;
    enum wire_protocol protocol;
    unsigned depth;
};

// All generated lists and maps look like this.
struct wire_run {
    void *ptr;
    size_t n;
};

static inline const struct wire_shape *wire_shape_of(const struct wire_service *s,
                                                     const struct wire_member *m)
{
    return &s->shapes[m->shape];
}

static inline const struct wire_member *wire_members_of(const struct wire_service *s,
                                                        const struct wire_shape *sh)
{
    return &s->members[sh->first_member];
}

static inline struct str wire_text(const struct wire_service *s, uint32_t offset)
{
    return str_from(s->strings + offset);
}

static inline bool wire_is_text(const struct wire_shape *sh)
{
    return sh->type == WIRE_STRING || sh->type == WIRE_BLOB || sh->type == WIRE_DOCUMENT;
}

static inline bool wire_is_rest(enum wire_protocol p)
{
    return p == WIRE_REST_JSON || p == WIRE_REST_XML;
}

// In an answer there is no URI: what requests bind to it is in the body.
static inline bool wire_in_answer_body(const struct wire_member *m)
{
    return m->location == WIRE_IN_BODY || m->location == WIRE_IN_URI ||
           m->location == WIRE_IN_QUERY;
}

// The name in a body of this protocol.
static inline struct str wire_body_name(const struct walk *w, const struct wire_member *m)
{
    return wire_text(w->s,
                     w->protocol == WIRE_QUERY && m->query_name ? m->query_name : m->wire_name);
}

// --- decoding: where a value goes ---

// The place of a structure's member, marked as present; nested structures are allocated.
// NULL (err filled in) when out of memory.
void *walk_open(struct walk *w, const struct wire_member *m, void *base);
// Room for n elements or entries in a list or map; 0, -ENOMEM, -EBADMSG when n is absurd.
int walk_array(struct walk *w, const struct wire_shape *sh, size_t n, void *run);
// The place of element i of a list, or of the value of entry i of a map.
void *walk_element(struct walk *w, const struct wire_shape *sh, void *run, size_t i);
struct str *walk_key(const struct wire_shape *sh, void *run, size_t i);

// --- encoding: where a value is ---

bool wire_present(const struct wire_member *m, const void *base);
// The value of a present member.
const void *wire_value(const struct wire_service *s, const struct wire_member *m, const void *base);
// Element i, or the value of entry i; NULL for a null in a sparse list or map.
const void *wire_element(const struct wire_service *s, const struct wire_shape *sh, const void *run,
                         size_t i);
const struct str *wire_key(const struct wire_shape *sh, const void *run, size_t i);

// --- errors of decoding ---

int walk_oom(struct walk *w);
// SerializationException, MalformedXML, MalformedInput… as the protocol has it.
int walk_malformed(struct walk *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

// --- scalars as text: headers, labels, query strings, XML, query ---

enum scalar_place { SCALAR_BODY, SCALAR_HEADER, SCALAR_LABEL };

// What time format applies to a member in that place.
enum wire_time scalar_time(const struct wire_service *s, const struct wire_member *m,
                           enum wire_protocol p, enum scalar_place place);
int scalar_from_text(struct walk *w, const struct wire_member *m, enum scalar_place place,
                     struct str text, void *at);
void scalar_to_text(const struct walk *w, const struct wire_member *m, enum scalar_place place,
                    const void *at, struct buf *out);
void scalar_time_to_text(int64_t ms, enum wire_time format, struct buf *out);

// --- URI templates and bindings (http_bind.c) ---

// Does the raw path fit the template? Answers how specific the match is, or -1.
int uri_match(const char *uri, struct str path, struct str query);
// Fills the members that travel in the URI, the query string and the headers.
int bind_decode(struct walk *w, const struct wire_operation *op, const struct wire_http_in *in,
                void *out);
// Writes the members that travel in headers, and the status.
int bind_encode(struct walk *w, const struct wire_shape *sh, const void *value,
                struct wire_http_out *out);
// Writes one header's member; used for errors too.
int bind_header(struct wire_http_out *out, struct str name, struct buf *text);

// --- bodies; each decodes or encodes one structure ---

int decode_json_body(struct walk *w, struct str body, const struct wire_shape *sh,
                     const struct wire_member *ref, void *at);
int decode_cbor_body(struct walk *w, struct str body, const struct wire_shape *sh, void *at);
int decode_xml_body(struct walk *w, struct str body, const struct wire_shape *sh,
                    const struct wire_member *ref, void *at);
int decode_query_body(struct walk *w, struct str form, const struct wire_shape *sh, void *at);

void encode_json_value(struct walk *w, struct buf *out, const struct wire_shape *sh,
                       const struct wire_member *ref, const void *at);
void encode_cbor_value(struct walk *w, struct buf *out, const struct wire_shape *sh,
                       const void *at);
// The content of a structure's element, without the element around it.
void encode_xml_members(struct walk *w, struct buf *out, const struct wire_shape *sh,
                        const void *at);
// Attributes of a structure, each with a space in front.
void encode_xml_attributes(struct walk *w, struct buf *out, const struct wire_shape *sh,
                           const void *at);
void encode_xml_value(struct walk *w, struct buf *out, struct str name, const struct wire_shape *sh,
                      const struct wire_member *ref, const void *at);

// --- constraints ---

// 1 matches, 0 does not, also when it takes too many steps.
int pattern_matches(const struct wire_service *s, unsigned pattern, struct str text);

#endif
