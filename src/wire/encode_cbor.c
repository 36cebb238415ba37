// encode_cbor.c - a structure as CBOR (rpc-v2-cbor; RFC 8949), definite lengths.
#include "wire/wire_impl.h"

enum major { UINT, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG };

static void head(struct buf *out, enum major major, uint64_t n)
{
    unsigned info = n < 24            ? (unsigned)n
                    : n <= 0xff       ? 24
                    : n <= 0xffff     ? 25
                    : n <= 0xffffffff ? 26
                                      : 27;

    buf_add_char(out, (char)((unsigned)major << 5 | info));
    for (unsigned left = info < 24 ? 0 : 1u << (info - 24); left > 0; left--)
        buf_add_char(out, (char)(n >> ((left - 1) * 8) & 0xff));
}

static void text(struct buf *out, enum major major, struct str s)
{
    head(out, major, s.len);
    buf_add(out, s);
}

static void whole(struct buf *out, int64_t n)
{
    head(out, n < 0 ? NEGATIVE : UINT, n < 0 ? (uint64_t)(-1 - n) : (uint64_t)n);
}

static void real(struct buf *out, double d)
{
    uint64_t bits;

    memcpy(&bits, &d, sizeof(bits));
    buf_add_char(out, (char)0xfb);
    for (int shift = 56; shift >= 0; shift -= 8)
        buf_add_char(out, (char)(bits >> shift & 0xff));
}

static void structure(struct walk *w, struct buf *out, const struct wire_shape *sh, const void *at)
{
    const struct wire_member *m = wire_members_of(w->s, sh);
    size_t n = 0;

    for (size_t i = 0; i < sh->n_members; i++)
        n += wire_present(&m[i], at);
    head(out, MAP, n);
    for (size_t i = 0; i < sh->n_members; i++, m++) {
        if (!wire_present(m, at))
            continue;
        text(out, TEXT, wire_text(w->s, m->wire_name));
        encode_cbor_value(w, out, wire_shape_of(w->s, m), wire_value(w->s, m, at));
    }
}

static void run(struct walk *w, struct buf *out, const struct wire_shape *sh, const void *at)
{
    bool is_map = sh->type == WIRE_MAP;
    const struct wire_member *m = wire_members_of(w->s, sh) + (is_map ? 1 : 0);
    size_t n = ((const struct wire_run *)at)->n;

    head(out, is_map ? MAP : ARRAY, n);
    for (size_t i = 0; i < n; i++) {
        const void *element = wire_element(w->s, sh, at, i);

        if (is_map)
            text(out, TEXT, *wire_key(sh, at, i));
        if (element)
            encode_cbor_value(w, out, wire_shape_of(w->s, m), element);
        else
            buf_add_char(out, (char)0xf6);
    }
}

void encode_cbor_value(struct walk *w, struct buf *out, const struct wire_shape *sh, const void *at)
{
    int64_t ms;

    switch ((enum wire_type)sh->type) {
    case WIRE_STRUCTURE:
        structure(w, out, sh, at);
        break;
    case WIRE_LIST:
    case WIRE_MAP:
        run(w, out, sh, at);
        break;
    case WIRE_STRING:
    case WIRE_DOCUMENT:
        text(out, TEXT, *(const struct str *)at);
        break;
    case WIRE_BLOB:
        text(out, BYTES, *(const struct str *)at);
        break;
    case WIRE_BOOLEAN:
        buf_add_char(out, (char)(*(const bool *)at ? 0xf5 : 0xf4));
        break;
    case WIRE_INTEGER:
    case WIRE_LONG:
        whole(out, *(const int64_t *)at);
        break;
    case WIRE_FLOAT:
    case WIRE_DOUBLE:
        real(out, *(const double *)at);
        break;
    case WIRE_TIMESTAMP:
        ms = *(const int64_t *)at;
        head(out, TAG, 1);
        if (ms % 1000 == 0)
            whole(out, ms / 1000);
        else
            real(out, (double)ms / 1000.0);
        break;
    }
}
