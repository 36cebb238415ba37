// event_stream.c - the frames of event streams.
#include "wire/event_stream.h"

#include "base/hash.h"

#include <errno.h>

#define PRELUDE_BYTES 12
#define OVERHEAD_BYTES 16
enum {
    TYPE_TRUE,
    TYPE_FALSE,
    TYPE_BYTE,
    TYPE_SHORT,
    TYPE_INT,
    TYPE_LONG,
    TYPE_BYTES,
    TYPE_STRING,
    TYPE_TIME,
    TYPE_UUID
};

static void put32(struct buf *b, uint32_t n)
{
    const char bytes[4] = {(char)(n >> 24), (char)(n >> 16 & 255), (char)(n >> 8 & 255),
                           (char)(n & 255)};

    buf_add(b, (struct str){bytes, sizeof(bytes)});
}

static uint32_t get32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;

    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

int event_stream_frame(struct buf *b, const struct wire_header *headers, size_t n_headers,
                       struct str payload)
{
    size_t head = 0, from = b->len;

    for (size_t i = 0; i < n_headers; i++) {
        if (headers[i].name.len == 0 || headers[i].name.len > 255 || headers[i].value.len > 32767)
            return -EFBIG;
        head += 1 + headers[i].name.len + 1 + 2 + headers[i].value.len;
    }
    if (head > EVENT_STREAM_MAX_HEADERS_BYTES || payload.len > EVENT_STREAM_MAX_FRAME_BYTES ||
        head + payload.len + OVERHEAD_BYTES > EVENT_STREAM_MAX_FRAME_BYTES)
        return -EFBIG;
    if (!buf_reserve(b, head + payload.len + OVERHEAD_BYTES))
        return -ENOMEM;
    put32(b, (uint32_t)(head + payload.len + OVERHEAD_BYTES));
    put32(b, (uint32_t)head);
    put32(b, hash_crc32(0, str_slice(buf_str(b), from, from + 8)));
    for (size_t i = 0; i < n_headers; i++) {
        buf_add_char(b, (char)headers[i].name.len);
        buf_add(b, headers[i].name);
        buf_add_char(b, TYPE_STRING);
        buf_add_char(b, (char)(headers[i].value.len >> 8));
        buf_add_char(b, (char)(headers[i].value.len & 255));
        buf_add(b, headers[i].value);
    }
    buf_add(b, payload);
    put32(b, hash_crc32(0, str_slice(buf_str(b), from, b->len)));
    return b->failed ? -ENOMEM : 0;
}

int event_stream_event(struct buf *b, struct str event_type, struct str content_type,
                       struct str payload)
{
    const struct wire_header headers[] = {
        {STR(":message-type"), STR("event")},
        {STR(":event-type"), event_type},
        {STR(":content-type"), content_type},
    };

    return event_stream_frame(b, headers, str_is_null(content_type) ? 2 : 3, payload);
}

int event_stream_exception(struct buf *b, struct str exception_type, struct str payload)
{
    const struct wire_header headers[] = {
        {STR(":message-type"), STR("exception")},
        {STR(":exception-type"), exception_type},
        {STR(":content-type"), STR("application/json")},
    };

    return event_stream_frame(b, headers, 3, payload);
}

int event_stream_error(struct buf *b, struct str code, struct str message)
{
    const struct wire_header headers[] = {
        {STR(":message-type"), STR("error")},
        {STR(":error-code"), code},
        {STR(":error-message"), message},
    };

    return event_stream_frame(b, headers, 3, STR(""));
}

static int bad(struct err *err, const char *what)
{
    return err_set(err, -EBADMSG, "event stream: %s", what);
}

static int read_headers(struct str s, struct event_stream_message *out, struct err *err)
{
    static const uint8_t fixed[] = {
        [TYPE_TRUE] = 0, [TYPE_FALSE] = 0, [TYPE_BYTE] = 1, [TYPE_SHORT] = 2,
        [TYPE_INT] = 4,  [TYPE_LONG] = 8,  [TYPE_TIME] = 8, [TYPE_UUID] = 16};
    size_t at = 0;

    out->n_headers = 0;
    while (at < s.len) {
        struct wire_header *h = &out->headers[out->n_headers];
        size_t name = (unsigned char)s.ptr[at++], len;
        uint8_t type;

        if (out->n_headers == sizeof(out->types))
            return bad(err, "too many headers");
        if (name == 0 || name + 1 > s.len - at)
            return bad(err, "a header's name is cut off");
        h->name = str_slice(s, at, at + name);
        at += name;
        type = (uint8_t)s.ptr[at++];
        if (type > TYPE_UUID)
            return bad(err, "unknown type of header");
        if (type == TYPE_BYTES || type == TYPE_STRING) {
            if (s.len - at < 2)
                return bad(err, "a header's value is cut off");
            len = (size_t)(unsigned char)s.ptr[at] << 8 | (unsigned char)s.ptr[at + 1];
            at += 2;
        } else {
            len = fixed[type];
        }
        if (len > s.len - at)
            return bad(err, "a header's value is cut off");
        h->value = str_slice(s, at, at + len);
        at += len;
        out->types[out->n_headers++] = type;
    }
    return 0;
}

ptrdiff_t event_stream_read(struct str in, struct event_stream_message *out, struct err *err)
{
    uint32_t total, head;
    int r;

    if (in.len < PRELUDE_BYTES)
        return 0;
    total = get32(in.ptr);
    head = get32(in.ptr + 4);
    if (get32(in.ptr + 8) != hash_crc32(0, str_slice(in, 0, 8)))
        return bad(err, "the checksum of a prelude is wrong");
    if (total < OVERHEAD_BYTES || total > EVENT_STREAM_MAX_FRAME_BYTES ||
        head > EVENT_STREAM_MAX_HEADERS_BYTES || head > total - OVERHEAD_BYTES)
        return bad(err, "lengths are impossible");
    if (in.len < total)
        return 0;
    if (get32(in.ptr + total - 4) != hash_crc32(0, str_slice(in, 0, total - 4)))
        return bad(err, "the checksum of a message is wrong");
    r = read_headers(str_slice(in, PRELUDE_BYTES, PRELUDE_BYTES + head), out, err);
    if (r < 0)
        return r;
    out->payload = str_slice(in, PRELUDE_BYTES + head, total - 4);
    return (ptrdiff_t)total;
}
