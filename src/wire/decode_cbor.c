// decode_cbor.c - a CBOR body into a structure (rpc-v2-cbor; RFC 8949).
//
// Items are read straight from the bytes: no tree. Definite and indefinite lengths, half floats,
// tag 1 (epoch) for timestamps; other tags are skipped. Depth and lengths are bounded by the input.
#include "wire/wire_impl.h"

#include <math.h>

enum major { UINT, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE };

#define INDEFINITE UINT64_MAX
#define BREAK 0xff

struct reader {
    struct walk *w;
    const unsigned char *at, *end;
};

struct head {
    enum major major;
    unsigned info;
    uint64_t n; // length, number or bits; INDEFINITE
};

static int value(struct reader *r, const struct wire_member *ref, const struct wire_shape *sh,
                 void *at);

static int bad(struct reader *r)
{
    return walk_malformed(r->w, "The request body is not valid CBOR.");
}

static int head(struct reader *r, struct head *h)
{
    unsigned info, bytes;
    uint64_t n = 0;

    if (r->at >= r->end)
        return bad(r);
    h->major = (enum major)(*r->at >> 5);
    info = *r->at++ & 31;
    h->info = info;
    if (info < 24) {
        h->n = info;
        return 0;
    }
    if (info == 31) {
        if (h->major != BYTES && h->major != TEXT && h->major != ARRAY && h->major != MAP)
            return bad(r);
        h->n = INDEFINITE;
        return 0;
    }
    if (info > 27)
        return bad(r);
    bytes = 1u << (info - 24);
    if ((size_t)(r->end - r->at) < bytes)
        return bad(r);
    for (unsigned i = 0; i < bytes; i++)
        n = n << 8 | *r->at++;
    if (n == INDEFINITE && h->major != UINT && h->major != NEGATIVE && h->major != SIMPLE)
        return bad(r);
    h->n = n;
    return 0;
}

static bool at_break(struct reader *r)
{
    if (r->at < r->end && *r->at == BREAK) {
        r->at++;
        return true;
    }
    return false;
}

// The bytes of a string item whose head was read; chunks are joined.
static int string(struct reader *r, const struct head *h, struct str *out)
{
    char *joined;
    size_t len = 0;

    if (h->n != INDEFINITE) {
        if (h->n > (uint64_t)(r->end - r->at))
            return bad(r);
        *out = (struct str){(const char *)r->at, (size_t)h->n};
        r->at += h->n;
        return 0;
    }
    joined = arena_alloc(r->w->arena, (size_t)(r->end - r->at) + 1);
    if (!joined)
        return walk_oom(r->w);
    while (!at_break(r)) {
        struct head piece = {0};

        if (head(r, &piece) < 0)
            return -EBADMSG;
        if (piece.major != h->major || piece.n > (uint64_t)(r->end - r->at))
            return bad(r);
        memcpy(joined + len, r->at, (size_t)piece.n);
        len += (size_t)piece.n;
        r->at += piece.n;
    }
    *out = (struct str){joined, len};
    return 0;
}

static int skip(struct reader *r, unsigned depth)
{
    struct head h = {0};
    struct str ignored;
    uint64_t items;

    if (depth > WALK_MAX_DEPTH)
        return walk_malformed(r->w, "The input is nested too deeply.");
    if (head(r, &h) < 0)
        return -EBADMSG;
    switch (h.major) {
    case UINT:
    case NEGATIVE:
    case SIMPLE:
        return 0;
    case BYTES:
    case TEXT:
        return string(r, &h, &ignored);
    case TAG:
        return skip(r, depth + 1);
    case ARRAY:
    case MAP:
        break;
    }
    if (h.n != INDEFINITE && h.n > (uint64_t)(r->end - r->at))
        return bad(r);
    items = h.n == INDEFINITE ? INDEFINITE : h.major == MAP ? h.n * 2 : h.n;
    for (uint64_t i = 0; i < items; i++) {
        if (items == INDEFINITE && at_break(r))
            return 0;
        if (skip(r, depth + 1) < 0)
            return -EBADMSG;
    }
    return 0;
}

// Is the next item null or undefined? Then it is consumed.
static bool take_null(struct reader *r)
{
    if (r->at < r->end && (*r->at == 0xf6 || *r->at == 0xf7)) {
        r->at++;
        return true;
    }
    return false;
}

static double half(unsigned bits)
{
    int exponent = (int)(bits >> 10 & 31);
    double mantissa = bits & 1023, v;

    if (exponent == 31)
        v = mantissa != 0 ? (double)NAN : (double)INFINITY;
    else
        v = exponent == 0 ? ldexp(mantissa, -24) : ldexp(mantissa + 1024, exponent - 25);
    return bits & 0x8000 ? -v : v;
}

static bool number(const struct head *h, double *d, int64_t *n, bool *whole)
{
    uint32_t single;
    float f;

    *whole = h->major != SIMPLE;
    if (h->major == UINT || h->major == NEGATIVE) {
        if (h->n > INT64_MAX)
            return false;
        *n = h->major == UINT ? (int64_t)h->n : -1 - (int64_t)h->n;
        *d = (double)*n;
        return true;
    }
    if (h->major != SIMPLE || h->info < 25 || h->info > 27)
        return false;
    if (h->info == 25) {
        *d = half((unsigned)h->n);
    } else if (h->info == 26) {
        single = (uint32_t)h->n;
        memcpy(&f, &single, sizeof(f));
        *d = (double)f;
    } else {
        memcpy(d, &h->n, sizeof(*d));
    }
    *n = 0;
    return true;
}

static int scalar(struct reader *r, const struct wire_member *ref, const struct wire_shape *sh,
                  void *at)
{
    struct head h = {0};
    double d = 0;
    int64_t n = 0;
    bool whole = false;

    do {
        if (head(r, &h) < 0)
            return -EBADMSG;
    } while (h.major == TAG);
    switch ((enum wire_type)sh->type) {
    case WIRE_STRING:
    case WIRE_BLOB:
    case WIRE_DOCUMENT:
        if (h.major != (sh->type == WIRE_BLOB ? BYTES : TEXT))
            break;
        return string(r, &h, at);
    case WIRE_BOOLEAN:
        if (h.major != SIMPLE || (h.info != 20 && h.info != 21))
            break;
        *(bool *)at = h.info == 21;
        return 0;
    case WIRE_INTEGER:
    case WIRE_LONG:
        if (!number(&h, &d, &n, &whole) || !whole)
            break;
        if (sh->type == WIRE_INTEGER && (n < INT32_MIN || n > INT32_MAX))
            break;
        *(int64_t *)at = n;
        return 0;
    case WIRE_FLOAT:
    case WIRE_DOUBLE:
        if (!number(&h, at, &n, &whole))
            break;
        return 0;
    case WIRE_TIMESTAMP:
        if (!number(&h, &d, &n, &whole) || !(d > -1e12 && d < 1e12))
            break;
        *(int64_t *)at = (int64_t)llround(d * 1000.0);
        return 0;
    case WIRE_STRUCTURE:
    case WIRE_LIST:
    case WIRE_MAP:
        break;
    }
    return walk_malformed(r->w, "%s has a value of another type.",
                          ref ? r->w->s->strings + ref->name : "The input");
}

static int container(struct reader *r, enum major wanted, uint64_t *n)
{
    struct head h = {0};

    do {
        if (head(r, &h) < 0)
            return -EBADMSG;
    } while (h.major == TAG);
    if (h.major != wanted)
        return walk_malformed(r->w, "Start of structure or list found where not expected.");
    // Each item is at least one byte: no claim may be larger than the input.
    if (h.n != INDEFINITE && h.n > (uint64_t)(r->end - r->at))
        return bad(r);
    *n = h.n;
    return 0;
}

// How many items lie before the break; the reader stays where it is.
static int count_items(struct reader *r, uint64_t *n, unsigned per)
{
    const unsigned char *from = r->at;
    uint64_t count = 0;

    while (!at_break(r)) {
        if (skip(r, r->w->depth) < 0)
            return -EBADMSG;
        count++;
    }
    if (count % per)
        return bad(r);
    r->at = from;
    *n = count / per;
    return 0;
}

static int key(struct reader *r, struct str *out)
{
    struct head h = {0};

    if (head(r, &h) < 0)
        return -EBADMSG;
    return h.major == TEXT ? string(r, &h, out) : bad(r);
}

static int structure(struct reader *r, const struct wire_shape *sh, void *at)
{
    struct walk *w = r->w;
    uint64_t n = 0;
    int rc = container(r, MAP, &n);

    for (uint64_t i = 0; rc >= 0 && i < n; i++) {
        const struct wire_member *m = wire_members_of(w->s, sh);
        struct str name = STR_NULL;
        size_t k = 0;
        void *place;

        if (n == INDEFINITE && at_break(r))
            break;
        rc = key(r, &name);
        if (rc < 0)
            return rc;
        while (k < sh->n_members && !str_eq(wire_text(w->s, m[k].wire_name), name))
            k++;
        if (k == sh->n_members) {
            rc = skip(r, w->depth);
            continue;
        }
        if (take_null(r))
            continue;
        place = walk_open(w, &m[k], at);
        rc = place ? value(r, &m[k], wire_shape_of(w->s, &m[k]), place) : -ENOMEM;
    }
    return rc;
}

static int run(struct reader *r, const struct wire_shape *sh, void *at)
{
    struct walk *w = r->w;
    bool is_map = sh->type == WIRE_MAP;
    const struct wire_member *m = wire_members_of(w->s, sh) + (is_map ? 1 : 0);
    uint64_t n = 0;
    size_t kept = 0;
    bool indefinite;
    int rc = container(r, is_map ? MAP : ARRAY, &n);

    indefinite = n == INDEFINITE;
    if (rc >= 0 && indefinite)
        rc = count_items(r, &n, is_map ? 2 : 1);
    if (rc >= 0)
        rc = walk_array(w, sh, (size_t)n, at);
    for (uint64_t i = 0; rc >= 0 && i < n; i++) {
        struct str name = STR("");
        void *place;

        if (is_map) {
            rc = key(r, &name);
            if (rc < 0)
                return rc;
        }
        if (take_null(r)) {
            if (!(sh->flags & WIRE_SPARSE))
                continue;
            if (is_map)
                *walk_key(sh, at, kept) = name;
            kept++;
            continue;
        }
        if (is_map)
            *walk_key(sh, at, kept) = name;
        place = walk_element(w, sh, at, kept++);
        rc = place ? value(r, m, wire_shape_of(w->s, m), place) : -ENOMEM;
    }
    if (rc < 0)
        return rc;
    if (indefinite && !at_break(r))
        return bad(r);
    ((struct wire_run *)at)->n = kept;
    return 0;
}

static int value(struct reader *r, const struct wire_member *ref, const struct wire_shape *sh,
                 void *at)
{
    int rc;

    if (sh->type > WIRE_MAP)
        return scalar(r, ref, sh, at);
    if (++r->w->depth > WALK_MAX_DEPTH)
        return walk_malformed(r->w, "The input is nested too deeply.");
    rc = sh->type == WIRE_STRUCTURE ? structure(r, sh, at) : run(r, sh, at);
    r->w->depth--;
    return rc;
}

int decode_cbor_body(struct walk *w, struct str body, const struct wire_shape *sh, void *at)
{
    struct reader r = {w, (const unsigned char *)body.ptr,
                       (const unsigned char *)body.ptr + body.len};
    int rc;

    if (body.len == 0)
        return 0;
    rc = value(&r, NULL, sh, at);
    if (rc == 0 && r.at != r.end)
        return bad(&r);
    return rc;
}
