// wire.c - walking a table: where the value of a member, an element or an entry stands.
#include "wire/wire_impl.h"

#include <stdio.h>

char wire_empty_[16];

const struct aws_error WIRE_SERIALIZATION_EXCEPTION = {"SerializationException", "MalformedInput",
                                                       400, true};
const struct aws_error WIRE_UNKNOWN_OPERATION = {"UnknownOperationException", NULL, 404, true};
const struct aws_error WIRE_INVALID_ACTION = {"InvalidAction", NULL, 400, true};
const struct aws_error WIRE_MISSING_ACTION = {"MissingAction", NULL, 400, true};
const struct aws_error WIRE_INTERNAL_FAILURE = {"InternalFailure", NULL, 500, false};
const struct aws_error WIRE_VALIDATION_EXCEPTION = {"ValidationException", "ValidationError", 400,
                                                    true};
const struct aws_error WIRE_VALIDATION_ERROR = {"ValidationError", NULL, 400, true};
const struct aws_error WIRE_UNSUPPORTED_MEDIA_TYPE = {"UnsupportedMediaTypeException", NULL, 415,
                                                      true};
const struct aws_error WIRE_NOT_IMPLEMENTED = {"NotImplementedException", "NotImplemented", 501,
                                               false};
const struct aws_error WIRE_MALFORMED_XML = {"MalformedXML", NULL, 400, true};

// Sparse elements other than strings stand behind a pointer.
static bool behind_pointer(const struct wire_shape *container, const struct wire_shape *element)
{
    return (container->flags & WIRE_SPARSE) && !wire_is_text(element);
}

static const struct wire_member *element_member(const struct wire_service *s,
                                                const struct wire_shape *sh)
{
    return &s->members[sh->first_member + (sh->type == WIRE_MAP ? 1 : 0)];
}

int walk_oom(struct walk *w)
{
    return err_set(w->err, -ENOMEM, "out of memory for the request");
}

int walk_malformed(struct walk *w, const char *format, ...)
{
    char text[400];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return err_aws(
        w->err, w->protocol == WIRE_REST_XML ? &WIRE_MALFORMED_XML : &WIRE_SERIALIZATION_EXCEPTION,
        "%s", text);
}

void *walk_open(struct walk *w, const struct wire_member *m, void *base)
{
    const struct wire_shape *sh = wire_shape_of(w->s, m);
    char *at = (char *)base + m->offset;

    if (sh->type == WIRE_STRUCTURE) {
        void *made = arena_zalloc(w->arena, sh->size);

        if (!made) {
            walk_oom(w);
            return NULL;
        }
        memcpy(at, &made, sizeof(made));
        return made;
    }
    if (m->has)
        *((bool *)base + m->has) = true;
    return at;
}

int walk_array(struct walk *w, const struct wire_shape *sh, size_t n, void *run)
{
    struct wire_run *r = run;

    if (n > WALK_MAX_ELEMENTS)
        return walk_malformed(w, "Too many elements.");
    r->n = n;
    r->ptr = n ? arena_array(w->arena, n, sh->element_bytes) : WIRE_EMPTY;
    return r->ptr ? 0 : walk_oom(w);
}

void *walk_element(struct walk *w, const struct wire_shape *sh, void *run, size_t i)
{
    const struct wire_member *m = element_member(w->s, sh);
    const struct wire_shape *element = wire_shape_of(w->s, m);
    char *at = (char *)((struct wire_run *)run)->ptr + i * sh->element_bytes + m->offset;

    if (behind_pointer(sh, element)) {
        void *made = arena_zalloc(w->arena, element->size);

        if (!made) {
            walk_oom(w);
            return NULL;
        }
        memcpy(at, &made, sizeof(made));
        return made;
    }
    return at;
}

struct str *walk_key(const struct wire_shape *sh, void *run, size_t i)
{
    return (struct str *)((char *)((struct wire_run *)run)->ptr + i * sh->element_bytes);
}

bool wire_present(const struct wire_member *m, const void *base)
{
    void *first;

    if (m->has)
        return *((const bool *)base + m->has);
    memcpy(&first, (const char *)base + m->offset, sizeof(first));
    return first != NULL;
}

const void *wire_value(const struct wire_service *s, const struct wire_member *m, const void *base)
{
    const char *at = (const char *)base + m->offset;
    const void *behind;

    if (wire_shape_of(s, m)->type != WIRE_STRUCTURE)
        return at;
    memcpy(&behind, at, sizeof(behind));
    return behind;
}

const void *wire_element(const struct wire_service *s, const struct wire_shape *sh, const void *run,
                         size_t i)
{
    const struct wire_member *m = element_member(s, sh);
    const struct wire_shape *element = wire_shape_of(s, m);
    const char *at =
        (const char *)((const struct wire_run *)run)->ptr + i * sh->element_bytes + m->offset;
    const void *behind;

    if (behind_pointer(sh, element)) {
        memcpy(&behind, at, sizeof(behind));
        return behind;
    }
    if ((sh->flags & WIRE_SPARSE) && str_is_null(*(const struct str *)at))
        return NULL;
    return at;
}

const struct str *wire_key(const struct wire_shape *sh, const void *run, size_t i)
{
    return (const struct str *)((const char *)((const struct wire_run *)run)->ptr +
                                i * sh->element_bytes);
}

size_t wire_in_bytes(const struct wire_operation *op)
{
    return op->service->shapes[op->in].size;
}

size_t wire_out_bytes(const struct wire_operation *op)
{
    return op->service->shapes[op->out].size;
}

struct str wire_header_get(const struct wire_http_in *in, struct str name)
{
    for (size_t i = 0; i < in->n_headers; i++) {
        if (str_eq(in->headers[i].name, name))
            return in->headers[i].value;
    }
    return STR_NULL;
}

void wire_http_out_init(struct wire_http_out *o, struct arena *a, size_t max_body)
{
    *o = (struct wire_http_out){.arena = a, .status = 200};
    buf_init(&o->body, max_body);
}

void wire_http_out_finish(struct wire_http_out *o)
{
    buf_finish(&o->body);
}

bool wire_http_out_header(struct wire_http_out *o, struct str name, struct str value)
{
    if (o->n_headers == o->cap_headers) {
        size_t cap = o->cap_headers ? o->cap_headers * 2 : 8;
        struct wire_header *more = arena_new_array(o->arena, struct wire_header, cap);

        if (!more)
            return false;
        if (o->n_headers)
            memcpy(more, o->headers, o->n_headers * sizeof(*more));
        o->headers = more;
        o->cap_headers = cap;
    }
    o->headers[o->n_headers++] = (struct wire_header){name, value};
    return true;
}
