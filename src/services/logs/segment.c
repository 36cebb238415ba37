// segment.c - encodes, scans and recovers log segments.
#include "services/logs/segment.h"

#include "base/hash.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define EVENT_FIXED_BYTES 25 // type, stream id, time, ingestion
#define STREAM_FIXED_BYTES 17
#define GROUP_FIXED_BYTES 9
#define DROPPED_BYTES 9

static void put_u32(char *p, uint32_t v)
{
    memcpy(p, &v, sizeof(v)); // little-endian machines only, as the rest of the store
}

static void put_u64(char *p, uint64_t v)
{
    memcpy(p, &v, sizeof(v));
}

static uint32_t get_u32(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static uint64_t get_u64(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

uint64_t segment_stream_id(struct str name)
{
    uint8_t digest[SHA256_BYTES];
    hash_sha256(name, digest);
    return get_u64((const char *)digest);
}

// Room for a record with `bytes` of payload; NULL when the buffer failed. seal() completes it.
static char *begin(struct buf *b, size_t bytes)
{
    if (!buf_reserve(b, SEGMENT_HEAD_BYTES + bytes))
        return NULL;
    return b->ptr + b->len + SEGMENT_HEAD_BYTES;
}

static void seal(struct buf *b, size_t bytes)
{
    char *head = b->ptr + b->len;
    put_u32(head, (uint32_t)bytes);
    put_u32(head + 4, hash_crc32(0, (struct str){head + SEGMENT_HEAD_BYTES, bytes}));
    b->len += SEGMENT_HEAD_BYTES + bytes;
}

static void put_text(char *p, struct str s)
{
    if (s.len > 0)
        memcpy(p, s.ptr, s.len);
}

void segment_put_group(struct buf *b, int64_t created_ms, struct str account, struct str region,
                       struct str name)
{
    size_t bytes = GROUP_FIXED_BYTES + account.len + 1 + region.len + 1 + name.len;
    char *p = begin(b, bytes);
    if (!p)
        return;
    p[0] = SEGMENT_GROUP;
    put_u64(p + 1, (uint64_t)created_ms);
    p += GROUP_FIXED_BYTES;
    put_text(p, account);
    p[account.len] = '\0';
    put_text(p + account.len + 1, region);
    p[account.len + 1 + region.len] = '\0';
    put_text(p + account.len + 1 + region.len + 1, name);
    seal(b, bytes);
}

void segment_put_stream(struct buf *b, uint64_t stream_id, int64_t created_ms, struct str name)
{
    size_t bytes = STREAM_FIXED_BYTES + name.len;
    char *p = begin(b, bytes);
    if (!p)
        return;
    p[0] = SEGMENT_STREAM;
    put_u64(p + 1, stream_id);
    put_u64(p + 9, (uint64_t)created_ms);
    put_text(p + STREAM_FIXED_BYTES, name);
    seal(b, bytes);
}

void segment_put_event(struct buf *b, uint64_t stream_id, int64_t time_ms, int64_t ingested_ms,
                       struct str message)
{
    size_t bytes = EVENT_FIXED_BYTES + message.len;
    char *p = begin(b, bytes);
    if (!p)
        return;
    p[0] = SEGMENT_EVENT;
    put_u64(p + 1, stream_id);
    put_u64(p + 9, (uint64_t)time_ms);
    put_u64(p + 17, (uint64_t)ingested_ms);
    put_text(p + EVENT_FIXED_BYTES, message);
    seal(b, bytes);
}

void segment_put_dropped(struct buf *b, uint64_t stream_id)
{
    char *p = begin(b, DROPPED_BYTES);
    if (!p)
        return;
    p[0] = SEGMENT_DROPPED;
    put_u64(p + 1, stream_id);
    seal(b, DROPPED_BYTES);
}

static bool decode(struct str payload, struct segment_record *out)
{
    const char *p = payload.ptr;
    switch (p[0]) {
    case SEGMENT_EVENT:
        if (payload.len < EVENT_FIXED_BYTES)
            return false;
        out->type = SEGMENT_EVENT;
        out->stream_id = get_u64(p + 1);
        out->time_ms = (int64_t)get_u64(p + 9);
        out->ingested_ms = (int64_t)get_u64(p + 17);
        out->text = str_slice(payload, EVENT_FIXED_BYTES, payload.len);
        return true;
    case SEGMENT_STREAM:
        if (payload.len < STREAM_FIXED_BYTES)
            return false;
        out->type = SEGMENT_STREAM;
        out->stream_id = get_u64(p + 1);
        out->time_ms = (int64_t)get_u64(p + 9);
        out->text = str_slice(payload, STREAM_FIXED_BYTES, payload.len);
        return true;
    case SEGMENT_DROPPED:
        if (payload.len != DROPPED_BYTES)
            return false;
        out->type = SEGMENT_DROPPED;
        out->stream_id = get_u64(p + 1);
        return true;
    case SEGMENT_GROUP: {
        if (payload.len < GROUP_FIXED_BYTES)
            return false;
        struct str rest = str_slice(payload, GROUP_FIXED_BYTES, payload.len);
        out->type = SEGMENT_GROUP;
        out->time_ms = (int64_t)get_u64(p + 1);
        if (!str_next(&rest, '\0', &out->account) || !str_next(&rest, '\0', &out->region))
            return false;
        out->text = rest;
        return !str_is_null(rest);
    }
    default:
        return false;
    }
}

bool segment_next(struct str bytes, size_t *offset, bool check, struct segment_record *out)
{
    size_t at = *offset;
    if (at > bytes.len || bytes.len - at < SEGMENT_HEAD_BYTES)
        return false;
    uint32_t len = get_u32(bytes.ptr + at), sum = get_u32(bytes.ptr + at + 4);
    if (len == 0 || len > SEGMENT_MAX_PAYLOAD || bytes.len - at - SEGMENT_HEAD_BYTES < len)
        return false;
    struct str payload = {bytes.ptr + at + SEGMENT_HEAD_BYTES, len};
    if (check && hash_crc32(0, payload) != sum)
        return false;
    memset(out, 0, sizeof(*out));
    if (!decode(payload, out))
        return false;
    out->offset = (uint32_t)at;
    *offset = at + SEGMENT_HEAD_BYTES + len;
    return true;
}

int segment_map_open(int dir_fd, const char *name, size_t max_bytes, struct segment_map *out,
                     struct err *err)
{
    _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, errno, "open log segment %s", name);
    size_t bytes = (size_t)st.st_size;
    if (bytes > max_bytes)
        bytes = max_bytes;
    out->bytes = STR("");
    if (bytes == 0)
        return 0;
    void *p = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return err_errno(err, errno, "map log segment %s", name);
    out->bytes = (struct str){p, bytes};
    return 0;
}

void segment_map_close(struct segment_map *m)
{
    if (m->bytes.len > 0)
        munmap((void *)(uintptr_t)m->bytes.ptr, m->bytes.len);
    m->bytes = STR("");
}

int segment_recover(int dir_fd, const char *name, size_t *size, struct err *err)
{
    struct segment_map m = {0};
    struct segment_record record;
    size_t offset = 0, whole;
    int r = segment_map_open(dir_fd, name, SIZE_MAX, &m, err);
    if (r < 0)
        return r;
    while (segment_next(m.bytes, &offset, true, &record))
        ;
    whole = m.bytes.len;
    segment_map_close(&m);
    if (offset < whole) {
        _cleanup_close_ int fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || ftruncate(fd, (off_t)offset) < 0)
            return err_errno(err, errno, "cut log segment %s", name);
    }
    *size = offset;
    return 0;
}

void segment_name(uint32_t number, char out[static SEGMENT_NAME_BYTES])
{
    snprintf(out, SEGMENT_NAME_BYTES, "%08x.seg", number);
}

bool segment_name_parse(const char *name, uint32_t *number)
{
    uint32_t v = 0;
    if (strlen(name) != 12 || strcmp(name + 8, ".seg") != 0)
        return false;
    for (int i = 0; i < 8; i++) {
        char c = name[i];
        if (c >= '0' && c <= '9')
            v = v << 4 | (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (uint32_t)(c - 'a' + 10);
        else
            return false;
    }
    *number = v;
    return true;
}
