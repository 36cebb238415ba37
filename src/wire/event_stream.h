// event_stream.h - frames of application/vnd.amazon.eventstream: encoding, decoding, checksums.
//
// A frame: total length, headers length, CRC-32 of those eight bytes, headers, payload, CRC-32 of
// everything before. Numbers are big-endian. Only string and byte-array headers are written.
#ifndef LAMBKIN_WIRE_EVENT_STREAM_H
#define LAMBKIN_WIRE_EVENT_STREAM_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/wire.h"

#define EVENT_STREAM_MAX_FRAME_BYTES ((size_t)24 << 20)
#define EVENT_STREAM_MAX_HEADERS_BYTES ((size_t)128 << 10)
#define EVENT_STREAM_CONTENT_TYPE "application/vnd.amazon.eventstream"

// Appends a frame; headers as given, all strings. -EFBIG over the limits; b->failed as usual.
int event_stream_frame(struct buf *b, const struct wire_header *headers, size_t n_headers,
                       struct str payload);
// An event: :message-type event, :event-type, :content-type (absent: none), payload.
int event_stream_event(struct buf *b, struct str event_type, struct str content_type,
                       struct str payload);
// An exception that the service's model has, as JSON {"message": …}.
int event_stream_exception(struct buf *b, struct str exception_type, struct str payload);
// An error that ends the stream: :message-type error, :error-code, :error-message.
int event_stream_error(struct buf *b, struct str code, struct str message);

struct event_stream_message {
    struct wire_header headers[32]; // values of strings and byte arrays as they are, others raw
    uint8_t types[32];
    size_t n_headers;
    struct str payload;
};
// Reads one frame from the front of `in`: answers its length, 0 when more bytes are needed,
// -EBADMSG when it is malformed or a checksum is wrong. Borrows from `in`.
ptrdiff_t event_stream_read(struct str in, struct event_stream_message *out, struct err *err);

#endif
