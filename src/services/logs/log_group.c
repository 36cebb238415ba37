// log_group.c - the registry of log groups, and appending to them.
//
// Invariant: under a group's lock, the last segment's `bytes` is how much of the active file is
// records (zeros follow), and every event in it is counted in its stream's times.
#include "services/logs/log_group.h"

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/hex.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/random.h"
#include "os/time.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// What the active file grows by.
#define RESERVE_BYTES ((size_t)64 << 10)

struct log_groups log_groups = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .admin = PTHREAD_MUTEX_INITIALIZER, .root_fd = -1};

// --- the registry ---

// "account NUL region NUL name" into `to`, which holds LOG_GROUP_KEY_BYTES; 0 when too long.
#define LOG_GROUP_KEY_BYTES (LOG_GROUP_MAX_NAME + 128)
static size_t make_key(char *to, struct str account, struct str region, struct str name)
{
    size_t len = account.len + region.len + name.len + 2;
    if (len > LOG_GROUP_KEY_BYTES)
        return 0;
    memcpy(to, account.ptr, account.len);
    to[account.len] = '\0';
    memcpy(to + account.len + 1, region.ptr, region.len);
    to[account.len + 1 + region.len] = '\0';
    memcpy(to + account.len + region.len + 2, name.ptr, name.len);
    return len;
}

static struct log_group *group_new(struct str key, size_t account_len, size_t region_len,
                                   int64_t created_ms)
{
    struct log_group *g = calloc(1, sizeof(*g) + key.len);
    uint8_t digest[SHA256_BYTES];
    if (!g)
        return NULL;
    char *copy = (char *)(g + 1);
    memcpy(copy, key.ptr, key.len);
    g->key = (struct str){copy, key.len};
    g->account = str_slice(g->key, 0, account_len);
    g->region = str_slice(g->key, account_len + 1, account_len + 1 + region_len);
    g->name = str_slice(g->key, account_len + region_len + 2, key.len);
    hash_sha256(key, digest);
    hex_encode(digest, (LOG_GROUP_DIR_BYTES - 1) / 2, g->dir);
    g->created_ms = created_ms;
    g->class = STR("STANDARD");
    g->dir_fd = g->active_fd = -1;
    atomic_init(&g->refs, 1);
    pthread_mutex_init(&g->lock, NULL);
    pthread_mutex_init(&g->load_lock, NULL);
    pthread_cond_init(&g->sync_done, NULL);
    return g;
}

// The active file ends where its records do from here on; nothing can be appended.
static void log_group_unmap(struct log_group *g)
{
    if (!g->active_map)
        return;
    munmap(g->active_map, g->active_bytes);
    g->active_map = NULL;
    g->active_bytes = 0;
    // Zeros that stay when this fails cost space, nothing else.
    if (ftruncate(g->active_fd, (off_t)g->segments[g->n_segments - 1].bytes) < 0)
        return;
}

static void group_free(struct log_group *g)
{
    const struct map_entry *e;
    size_t at = 0;
    while ((e = map_next(&g->streams, &at)))
        free(e->value);
    map_finish(&g->streams);
    map_finish(&g->by_id);
    for (unsigned i = 0; i < g->n_unsynced; i++)
        close(g->unsynced[i]);
    log_group_unmap(g);
    closep(&g->active_fd);
    closep(&g->dir_fd);
    free(g->segments);
    free((char *)(uintptr_t)g->kms_key.ptr);
    pthread_mutex_destroy(&g->lock);
    pthread_mutex_destroy(&g->load_lock);
    pthread_cond_destroy(&g->sync_done);
    free(g);
}

void log_group_unref(struct log_group *g)
{
    if (g && atomic_fetch_sub(&g->refs, 1) == 1)
        group_free(g);
}

void log_group_unrefp(struct log_group **g)
{
    log_group_unref(*g);
}

struct log_group *log_group_get(struct str account, struct str region, struct str name)
{
    char key[LOG_GROUP_KEY_BYTES];
    size_t len = make_key(key, account, region, name);
    struct log_group *g;
    if (len == 0)
        return NULL;
    pthread_mutex_lock(&log_groups.lock);
    g = map_get(&log_groups.by_key, (struct str){key, len});
    if (g)
        atomic_fetch_add(&g->refs, 1);
    pthread_mutex_unlock(&log_groups.lock);
    return g;
}

struct log_group *log_group_make(struct str account, struct str region, struct str name,
                                 int64_t created_ms, bool *made)
{
    char key[LOG_GROUP_KEY_BYTES];
    size_t len = make_key(key, account, region, name);
    struct log_group *g;
    *made = false;
    if (len == 0)
        return NULL;
    pthread_mutex_lock(&log_groups.lock);
    g = map_get(&log_groups.by_key, (struct str){key, len});
    if (!g) {
        g = group_new((struct str){key, len}, account.len, region.len, created_ms);
        if (g && map_set(&log_groups.by_key, g->key, g, NULL) < 0) {
            group_free(g);
            g = NULL;
        }
        *made = g != NULL;
    }
    if (g)
        atomic_fetch_add(&g->refs, 1);
    pthread_mutex_unlock(&log_groups.lock);
    return g;
}

struct log_group *log_group_detached(const struct log_group *g)
{
    return group_new(g->key, g->account.len, g->region.len, g->created_ms);
}

static int by_name(const void *a, const void *b)
{
    const struct log_group *const *x = a, *const *y = b;
    return str_cmp((*x)->key, (*y)->key);
}

int log_group_list(struct str account, struct str region, struct log_group ***out, size_t *n)
{
    const struct map_entry *e;
    struct log_group **list;
    size_t at = 0, found = 0;
    pthread_mutex_lock(&log_groups.lock);
    list = calloc(log_groups.by_key.n + 1, sizeof(struct log_group *));
    while (list && (e = map_next(&log_groups.by_key, &at))) {
        struct log_group *g = e->value;
        if (!str_is_null(account) && !(str_eq(g->account, account) && str_eq(g->region, region)))
            continue;
        atomic_fetch_add(&g->refs, 1);
        list[found++] = g;
    }
    pthread_mutex_unlock(&log_groups.lock);
    if (!list)
        return -ENOMEM;
    qsort(list, found, sizeof(struct log_group *), by_name);
    *out = list;
    *n = found;
    return 0;
}

void log_group_list_free(struct log_group **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        log_group_unref(list[i]);
    free(list);
}

int log_group_remove(struct log_group *g, struct err *err)
{
    char trash[64];
    struct log_group *mine;
    pthread_mutex_lock(&log_groups.lock);
    mine = map_get(&log_groups.by_key, g->key) == g ? map_remove(&log_groups.by_key, g->key) : NULL;
    pthread_mutex_unlock(&log_groups.lock);
    if (!mine)
        return -ENOENT;
    pthread_mutex_lock(&g->lock);
    g->deleted = true;
    // Under the lock: nobody makes the directory again between here and the rename.
    snprintf(trash, sizeof(trash), "trash-%s-%08x", g->dir, (uint32_t)os_random_u64());
    int r = renameat(log_groups.root_fd, g->dir, log_groups.root_fd, trash) < 0 ? -errno : 0;
    pthread_mutex_unlock(&g->lock);
    log_group_unref(mine); // the registry's
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return err_errno(err, -r, "rename the log directory %s", g->dir);
    if (fsync(log_groups.root_fd) < 0)
        return err_errno(err, errno, "sync the log directory");
    return rm_rf_at(log_groups.root_fd, trash, err);
}

// --- streams and segments, under g->lock ---

struct log_stream *log_stream_find(const struct log_group *g, struct str name)
{
    struct log_stream *s = map_get(&g->streams, name);
    return s && !s->dropped ? s : NULL;
}

struct log_stream *log_stream_by_id(const struct log_group *g, uint64_t id)
{
    return map_get(&g->by_id, (struct str){(const char *)&id, sizeof(id)});
}

struct log_stream *log_stream_add(struct log_group *g, struct str name, int64_t created_ms)
{
    struct log_stream *s = calloc(1, sizeof(*s) + name.len);
    if (!s)
        return NULL;
    memcpy(s + 1, name.ptr, name.len);
    s->name = (struct str){(char *)(s + 1), name.len};
    s->id = segment_stream_id(name);
    s->created_ms = created_ms;
    s->first_ms = INT64_MAX;
    s->last_ms = INT64_MIN;
    s->unsaved = true;
    if (map_set(&g->by_id, (struct str){(const char *)&s->id, sizeof(s->id)}, s, NULL) < 0) {
        free(s);
        return NULL;
    }
    if (map_set(&g->streams, s->name, s, NULL) < 0) {
        map_remove(&g->by_id, (struct str){(const char *)&s->id, sizeof(s->id)});
        free(s);
        return NULL;
    }
    return s;
}

struct log_segment *log_segment_add(struct log_group *g, uint32_t number)
{
    if (g->n_segments == g->cap_segments) {
        size_t cap = g->cap_segments ? g->cap_segments * 2 : 4;
        struct log_segment *more = realloc(g->segments, cap * sizeof(*more));
        if (!more)
            return NULL;
        g->segments = more;
        g->cap_segments = cap;
    }
    struct log_segment *s = &g->segments[g->n_segments++];
    *s = (struct log_segment){.number = number, .min_ms = INT64_MAX, .max_ms = INT64_MIN};
    return s;
}

void log_segment_note(struct log_segment *s, const struct segment_record *r)
{
    if (r->time_ms < s->min_ms)
        s->min_ms = r->time_ms;
    if (r->time_ms > s->max_ms)
        s->max_ms = r->time_ms;
    if (r->ingested_ms > s->ingested_ms)
        s->ingested_ms = r->ingested_ms;
    s->message_bytes += (int64_t)r->text.len;
}

int log_group_open_dir(struct log_group *g, struct err *err)
{
    if (g->dir_fd >= 0)
        return 0;
    if (mkdirat(log_groups.root_fd, g->dir, 0700) < 0 && errno != EEXIST)
        return err_errno(err, errno, "make the log directory %s", g->dir);
    g->dir_fd = openat(log_groups.root_fd, g->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return g->dir_fd < 0 ? err_errno(err, errno, "open the log directory %s", g->dir) : 0;
}

void log_group_seal(struct log_group *g)
{
    if (g->active_fd < 0)
        return;
    log_group_unmap(g);
    g->segments[g->n_segments - 1].sealed = true;
    if (g->n_unsynced == LOG_GROUP_MAX_UNSYNCED) {
        // Eight megabytes written sixteen times within a second: waiting here slows that down.
        fdatasync(g->unsynced[0]);
        close(g->unsynced[0]);
        memmove(g->unsynced, g->unsynced + 1, (LOG_GROUP_MAX_UNSYNCED - 1) * sizeof(int));
        g->n_unsynced--;
    }
    g->unsynced[g->n_unsynced++] = TAKE_FD(g->active_fd);
}

// A new active segment, its first record in `out` (written together with what follows).
static int begin_segment(struct log_group *g, int64_t now_ms, struct buf *out, struct err *err)
{
    char name[SEGMENT_NAME_BYTES];
    uint32_t number = g->n_segments > 0 ? g->segments[g->n_segments - 1].number + 1 : 1;
    int r = log_group_open_dir(g, err);
    if (r < 0)
        return r;
    segment_name(number, name);
    int fd = openat(g->dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_errno(err, errno, "make log segment %s/%s", g->dir, name);
    struct log_segment *s = log_segment_add(g, number);
    if (!s) {
        close(fd);
        return err_set(err, -ENOMEM, "log segment: out of memory");
    }
    s->scanned = true;
    g->active_fd = fd;
    g->active_since_ms = now_ms;
    g->dir_dirty = true;
    segment_put_group(out, g->created_ms, g->account, g->region, g->name);
    return 0;
}

// Makes the active file at least `bytes` long, with blocks on the disk: -ENOSPC is found here, and
// never by a store into the mapping.
static int reserve(struct log_group *g, size_t bytes)
{
    if (bytes <= g->active_bytes)
        return 0;
    size_t grown = (bytes + RESERVE_BYTES - 1) / RESERVE_BYTES * RESERVE_BYTES;
    int r = posix_fallocate(g->active_fd, 0, (off_t)grown);
    if (r != 0)
        return -r;
    void *p = g->active_map
                  ? mremap(g->active_map, g->active_bytes, grown, MREMAP_MAYMOVE)
                  : mmap(NULL, grown, PROT_READ | PROT_WRITE, MAP_SHARED, g->active_fd, 0);
    if (p == MAP_FAILED)
        return -errno;
    g->active_map = p;
    g->active_bytes = grown;
    return 0;
}

// Puts the buffer behind the records of the active segment, or leaves it as it was.
static int commit_bytes(struct log_group *g, const struct buf *b, struct err *err)
{
    struct log_segment *s = &g->segments[g->n_segments - 1];
    int r = b->failed ? -ENOMEM : reserve(g, s->bytes + b->len);
    if (r == 0 && b->len == 0) // every event of the batch was rejected
        return 0;
    if (r < 0) {
        if (s->bytes == 0) { // it was begun for this: as if it had not been
            char name[SEGMENT_NAME_BYTES];
            segment_name(s->number, name);
            unlinkat(g->dir_fd, name, 0);
            log_group_unmap(g);
            closep(&g->active_fd);
            g->n_segments--;
        }
        return err_errno(err, -r, "append to the log group");
    }
    memcpy(g->active_map + s->bytes, b->ptr, b->len);
    s->bytes += b->len;
    g->written += b->len;
    return 0;
}

// The active segment with room for more, begun when necessary.
static int ready_segment(struct log_group *g, int64_t now_ms, struct buf *b, struct err *err)
{
    if (g->deleted)
        return err_set(err, -ENOENT, "the log group was deleted");
    if (g->active_fd >= 0 && g->segments[g->n_segments - 1].bytes >= SEGMENT_FULL_BYTES)
        log_group_seal(g);
    return g->active_fd >= 0 ? 0 : begin_segment(g, now_ms, b, err);
}

static void declare(struct log_group *g, struct log_stream *s, struct buf *b)
{
    uint32_t number = g->segments[g->n_segments - 1].number;
    if (s->declared_in == number)
        return;
    segment_put_stream(b, s->id, s->created_ms, s->name);
}

static int append_locked(struct log_group *g, struct str stream, bool make,
                         const struct log_append_event *events, size_t n, int64_t now_ms,
                         struct buf *b, struct err *err)
{
    struct log_stream *s = map_get(&g->streams, stream);
    int r = ready_segment(g, now_ms, b, err);
    if (r < 0)
        return r;
    if ((!s || s->dropped) && !make)
        return err_set(err, -ENOENT, "no such log stream");
    if (!s) {
        s = log_stream_add(g, stream, now_ms);
        if (!s)
            return err_set(err, -ENOMEM, "log stream: out of memory");
    }
    struct log_segment *segment = &g->segments[g->n_segments - 1];
    if (s->dropped) { // its name is used again
        s->created_ms = now_ms;
        s->declared_in = 0;
    }
    declare(g, s, b);
    for (size_t i = 0; i < n; i++)
        segment_put_event(b, s->id, events[i].time_ms, now_ms, events[i].message);
    r = commit_bytes(g, b, err);
    if (r < 0)
        return r;
    s->declared_in = segment->number;
    s->dropped = false;
    s->unsaved = true;
    for (size_t i = 0; i < n; i++) {
        log_segment_note(segment, &(struct segment_record){.time_ms = events[i].time_ms,
                                                           .ingested_ms = now_ms,
                                                           .text = events[i].message});
        if (events[i].time_ms < s->first_ms)
            s->first_ms = events[i].time_ms;
        if (events[i].time_ms > s->last_ms)
            s->last_ms = events[i].time_ms;
        s->ingested_ms = now_ms;
    }
    return 0;
}

int log_group_append(struct log_group *g, struct str stream, bool make,
                     const struct log_append_event *events, size_t n, int64_t now_ms,
                     struct err *err)
{
    _cleanup_(buf_finishp) struct buf b = {0};
    buf_init(&b, (size_t)64 << 20);
    pthread_mutex_lock(&g->lock);
    int r = append_locked(g, stream, make, events, n, now_ms, &b, err);
    pthread_mutex_unlock(&g->lock);
    return r;
}

int log_stream_create(struct log_group *g, struct str name, int64_t now_ms, struct err *err)
{
    int r;
    pthread_mutex_lock(&g->lock);
    bool there = log_stream_find(g, name) != NULL;
    pthread_mutex_unlock(&g->lock);
    if (there)
        return err_set(err, -EEXIST, "the log stream exists");
    r = log_group_append(g, name, true, NULL, 0, now_ms, err);
    return r;
}

int log_stream_drop(struct log_group *g, struct str name, struct err *err)
{
    _cleanup_(buf_finishp) struct buf b = {0};
    int r;
    buf_init(&b, 1 << 16);
    pthread_mutex_lock(&g->lock);
    struct log_stream *s = log_stream_find(g, name);
    r = s ? ready_segment(g, os_now_ms(), &b, err) : err_set(err, -ENOENT, "no such log stream");
    if (r == 0) {
        declare(g, s, &b); // so that a file alone tells whom the record means
        segment_put_dropped(&b, s->id);
        r = commit_bytes(g, &b, err);
    }
    if (r == 0) {
        const struct log_segment *last = &g->segments[g->n_segments - 1];
        s->dropped = s->unsaved = true;
        s->since = (uint64_t)last->number << 32 | last->bytes;
        s->declared_in = 0;
        s->first_ms = INT64_MAX;
        s->last_ms = INT64_MIN;
        s->ingested_ms = 0;
    }
    pthread_mutex_unlock(&g->lock);
    return r;
}

// --- syncing ---

// One leader syncs for everybody who waits; the lock is free meanwhile.
static int sync_as_leader(struct log_group *g, struct err *err)
{
    int old[LOG_GROUP_MAX_UNSYNCED], r = 0;
    unsigned n = g->n_unsynced;
    uint64_t upto = g->written;
    bool dir_dirty = g->dir_dirty;
    int dir_fd = g->dir_fd;
    _cleanup_close_ int fd = g->active_fd >= 0 ? fcntl(g->active_fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (g->active_fd >= 0 && fd < 0)
        return err_errno(err, errno, "sync the log group");
    memcpy(old, g->unsynced, n * sizeof(int));
    g->n_unsynced = 0;
    g->dir_dirty = false;
    g->syncing = true;
    pthread_mutex_unlock(&g->lock);
    for (unsigned i = 0; i < n; i++) {
        if (fdatasync(old[i]) < 0)
            r = -errno;
        close(old[i]);
    }
    if (fd >= 0 && fdatasync(fd) < 0)
        r = -errno;
    if (dir_dirty && (fsync(dir_fd) < 0 || fsync(log_groups.root_fd) < 0))
        r = -errno;
    pthread_mutex_lock(&g->lock);
    g->syncing = false;
    if (r == 0)
        g->synced = upto;
    else
        g->dir_dirty = g->dir_dirty || dir_dirty;
    pthread_cond_broadcast(&g->sync_done);
    return r < 0 ? err_errno(err, -r, "sync the log group") : 0;
}

int log_group_sync(struct log_group *g, struct err *err)
{
    int r = 0;
    pthread_mutex_lock(&g->lock);
    uint64_t target = g->written;
    while (r == 0 && g->synced < target) {
        if (g->syncing)
            pthread_cond_wait(&g->sync_done, &g->lock);
        else
            r = sync_as_leader(g, err);
    }
    pthread_mutex_unlock(&g->lock);
    return r;
}
