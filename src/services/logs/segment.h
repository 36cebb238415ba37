// segment.h - the files that log events live in: what a record looks like, scanning, recovery.
//
// A segment is append-only and belongs to one log group. It is a run of records:
//
//     u32 payload bytes · u32 CRC-32 of the payload · payload      (little-endian)
//     payload: u8 type, then
//       SEGMENT_GROUP    i64 created · account NUL region NUL name   the first record of every file
//       SEGMENT_STREAM   u64 stream id · i64 created · name          before a stream's first event
//       SEGMENT_EVENT    u64 stream id · i64 time · i64 ingested · message
//       SEGMENT_DROPPED  u64 stream id                               the stream was deleted here
//
// Every file names the streams it uses, so the files alone tell everything; what is in SQL about
// streams is a cache. A scan ends at the first record that is cut short or does not match its
// sum: that is where a crash tore the tail. An event's position is (segment number << 32) | offset.
#ifndef LAMBKIN_LOGS_SEGMENT_H
#define LAMBKIN_LOGS_SEGMENT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define SEGMENT_HEAD_BYTES 8
#define SEGMENT_MAX_PAYLOAD ((size_t)2 << 20) // a message has at most 1 MiB
#define SEGMENT_FULL_BYTES ((size_t)8 << 20)  // then a new file is begun

enum segment_record_type {
    SEGMENT_GROUP = 1,
    SEGMENT_STREAM = 2,
    SEGMENT_EVENT = 3,
    SEGMENT_DROPPED = 4,
};

struct segment_record {
    enum segment_record_type type;
    uint32_t offset;    // of the record in its file
    uint64_t stream_id; // not for SEGMENT_GROUP
    int64_t time_ms;    // SEGMENT_EVENT: the event's; else when it was created
    int64_t ingested_ms;
    struct str text; // message, stream name or group name; borrowed
    struct str account, region;
};

// A stream's id: the first 8 bytes of the SHA-256 of its name.
uint64_t segment_stream_id(struct str name);

// Append one record to a buffer; failure is the buffer's.
void segment_put_group(struct buf *b, int64_t created_ms, struct str account, struct str region,
                       struct str name);
void segment_put_stream(struct buf *b, uint64_t stream_id, int64_t created_ms, struct str name);
void segment_put_event(struct buf *b, uint64_t stream_id, int64_t time_ms, int64_t ingested_ms,
                       struct str message);
void segment_put_dropped(struct buf *b, uint64_t stream_id);

// Walks over bytes of a file from *offset on. True with *out filled and *offset past the record;
// false at the end, with *offset where the sound part ends. The sum of each record is checked
// when `check` is set: needed for bytes that were written before the last start.
bool segment_next(struct str bytes, size_t *offset, bool check, struct segment_record *out);

// A file mapped for reading. Empty files map to the empty string.
struct segment_map {
    struct str bytes;
};
int segment_map_open(int dir_fd, const char *name, size_t max_bytes, struct segment_map *out,
                     struct err *err);
void segment_map_close(struct segment_map *m); // accepts a zeroed one

// Cuts a torn tail off; answers the size of the sound part.
int segment_recover(int dir_fd, const char *name, size_t *size, struct err *err);

// "00000012.seg" and back. False when it is not such a name.
#define SEGMENT_NAME_BYTES 16
void segment_name(uint32_t number, char out[static SEGMENT_NAME_BYTES]);
bool segment_name_parse(const char *name, uint32_t *number);

#endif
