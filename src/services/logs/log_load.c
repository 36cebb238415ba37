// log_load.c - what is known about log groups at start and learned when they are first read: rows
// of db/logs.db, directories, segments of earlier lives.
//
// Rows about segments and streams are a cache of the files: a segment without a row (the daemon was
// killed before it was written) is recovered and scanned.
#include "services/logs/log_group.h"

#include "base/cleanup.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/log.h"
#include "os/time.h"
#include "services/logs/log_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void closedirp(DIR **d)
{
    if (*d)
        closedir(*d);
}

static DIR *open_listing(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d && fd >= 0)
        close(fd);
    return d;
}

// --- at start ---

static int by_number(const void *a, const void *b)
{
    const struct log_segment *x = a, *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

// The files of a group, nothing but their names and sizes.
static int list_segments(struct log_group *g, struct err *err)
{
    _cleanup_(closedirp) DIR *d = open_listing(log_groups.root_fd, g->dir);
    const struct dirent *entry;
    if (!d)
        return errno == ENOENT ? 0 : err_errno(err, errno, "list the log directory %s", g->dir);
    while ((entry = readdir(d))) {
        uint32_t number;
        struct stat st;
        if (!segment_name_parse(entry->d_name, &number) ||
            fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        struct log_segment *s = log_segment_add(g, number);
        if (!s)
            return err_set(err, -ENOMEM, "log segments: out of memory");
        s->bytes = (size_t)st.st_size;
        s->sealed = true;
    }
    if (g->n_segments > 1)
        qsort(g->segments, g->n_segments, sizeof(*g->segments), by_number);
    return 0;
}

// A directory that no row speaks of: the daemon was killed before it wrote the row. Every segment
// begins with the group's name.
static int adopt(const char *dir, struct err *err)
{
    _cleanup_(closedirp) DIR *d = open_listing(log_groups.root_fd, dir);
    const struct dirent *entry;
    while (d && (entry = readdir(d))) {
        struct segment_map m = {0};
        struct segment_record record;
        uint32_t number;
        size_t at = 0;
        bool made;
        if (!segment_name_parse(entry->d_name, &number) ||
            segment_map_open(dirfd(d), entry->d_name, SEGMENT_MAX_PAYLOAD, &m, err) < 0)
            continue;
        if (segment_next(m.bytes, &at, true, &record) && record.type == SEGMENT_GROUP) {
            struct log_group *g =
                log_group_make(record.account, record.region, record.text, record.time_ms, &made);
            segment_map_close(&m);
            if (!g)
                return err_set(err, -ENOMEM, "log groups: out of memory");
            int r = strcmp(g->dir, dir) == 0 && made ? list_segments(g, err) : 0;
            log_group_unref(g);
            return r;
        }
        segment_map_close(&m);
    }
    return 0;
}

static int scan_root(struct err *err)
{
    _cleanup_(closedirp) DIR *d = open_listing(log_groups.root_fd, ".");
    const struct dirent *entry;
    if (!d)
        return err_errno(err, errno, "list %s", log_groups.root);
    while ((entry = readdir(d))) {
        if (strncmp(entry->d_name, "trash-", 6) == 0) {
            rm_rf_at(log_groups.root_fd, entry->d_name, NULL);
            continue;
        }
        if (strlen(entry->d_name) != LOG_GROUP_DIR_BYTES - 1)
            continue;
        bool known = false;
        const struct map_entry *e;
        size_t at = 0;
        // Few groups, once: a second map by directory would not pay.
        while (!known && (e = map_next(&log_groups.by_key, &at)))
            known = strcmp(((struct log_group *)e->value)->dir, entry->d_name) == 0;
        int r = known ? 0 : adopt(entry->d_name, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int log_groups_open(const char *data_dir, bool ephemeral, struct err *err)
{
    struct log_group **list = NULL;
    char path[4096];
    size_t n = 0;
    int r;
    if (asprintf(&log_groups.root, "%s/logs", data_dir) < 0)
        return err_set(err, -ENOMEM, "logs: out of memory");
    r = mkdir_p(log_groups.root, 0700, err);
    if (r < 0)
        return r;
    snprintf(path, sizeof(path), "%s/db", data_dir);
    r = mkdir_p(path, 0700, err);
    if (r < 0)
        return r;
    log_groups.root_fd = open(log_groups.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (log_groups.root_fd < 0)
        return err_errno(err, errno, "open %s", log_groups.root);
    snprintf(path, sizeof(path), "%s/db/logs.db", data_dir);
    r = log_store_open(path, ephemeral, &log_groups.store, err);
    if (r < 0)
        return r;
    r = log_store_read_groups(log_groups.store, err);
    if (r < 0)
        return r;
    r = log_group_list(STR_NULL, STR_NULL, &list, &n);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = list_segments(list[i], err);
    log_group_list_free(list, n);
    return r < 0 ? r : scan_root(err);
}

void log_groups_close(void)
{
    struct log_group **list = NULL;
    size_t n = 0;
    if (log_group_list(STR_NULL, STR_NULL, &list, &n) == 0) {
        for (size_t i = 0; i < n; i++) {
            struct err err = ERR_INIT;
            pthread_mutex_lock(&list[i]->lock);
            bool wrote = list[i]->written > 0;
            log_group_seal(list[i]);
            pthread_mutex_unlock(&list[i]->lock);
            if (wrote && (log_group_sync(list[i], &err) < 0 ||
                          log_group_upkeep(list[i], os_now_ms(), &err) < 0))
                log_warn("logs: %s", err.message);
        }
        log_group_list_free(list, n);
    }
    const struct map_entry *e;
    size_t at = 0;
    while ((e = map_next(&log_groups.by_key, &at)))
        log_group_unref(e->value);
    map_finish(&log_groups.by_key);
    store_close(log_groups.store);
    log_groups.store = NULL;
    closep(&log_groups.root_fd);
    free(log_groups.root);
    log_groups.root = NULL;
}

// --- the first reading of a group ---

// What a scan of old segments found about a stream, or a row says: merged into what this life's
// appends know already. Both are minima and maxima, so the order does not matter.
static int merge_stream(struct log_group *g, const struct log_stream *found, struct err *err)
{
    struct log_stream *s = map_get(&g->streams, found->name);
    if (!s) {
        s = log_stream_add(g, found->name, found->created_ms);
        if (!s)
            return err_set(err, -ENOMEM, "log stream: out of memory");
        s->dropped = found->dropped;
    } else if (!found->dropped && found->since >= s->since) {
        s->created_ms = found->created_ms < s->created_ms ? found->created_ms : s->created_ms;
    }
    if (found->since > s->since)
        s->since = found->since;
    s->first_ms = found->first_ms < s->first_ms ? found->first_ms : s->first_ms;
    s->last_ms = found->last_ms > s->last_ms ? found->last_ms : s->last_ms;
    s->ingested_ms = found->ingested_ms > s->ingested_ms ? found->ingested_ms : s->ingested_ms;
    s->unsaved = s->unsaved || found->unsaved;
    return 0;
}

// Applies a record to a table of streams that belongs to the scan alone (a group of its own).
static int note_record(struct log_group *scan, struct log_segment *segment,
                       const struct segment_record *r, struct err *err)
{
    struct log_stream *s;
    switch (r->type) {
    case SEGMENT_GROUP:
        return 0;
    case SEGMENT_STREAM:
        s = map_get(&scan->streams, r->text);
        if (!s && !(s = log_stream_add(scan, r->text, r->time_ms)))
            return err_set(err, -ENOMEM, "log stream: out of memory");
        s->created_ms = r->time_ms;
        s->dropped = false;
        return 0;
    case SEGMENT_EVENT:
        log_segment_note(segment, r);
        s = log_stream_by_id(scan, r->stream_id);
        if (!s)
            return 0;
        s->first_ms = r->time_ms < s->first_ms ? r->time_ms : s->first_ms;
        s->last_ms = r->time_ms > s->last_ms ? r->time_ms : s->last_ms;
        s->ingested_ms = r->ingested_ms > s->ingested_ms ? r->ingested_ms : s->ingested_ms;
        return 0;
    case SEGMENT_DROPPED:
        s = log_stream_by_id(scan, r->stream_id);
        if (!s)
            return 0;
        s->dropped = true;
        s->since = (uint64_t)segment->number << 32 | (r->offset + 1);
        s->first_ms = INT64_MAX;
        s->last_ms = INT64_MIN;
        s->ingested_ms = 0;
        return 0;
    }
    return 0;
}

static int scan_segment(struct log_group *g, struct log_group *scan, struct log_segment *segment,
                        struct err *err)
{
    struct segment_map m = {0};
    struct segment_record record;
    char name[SEGMENT_NAME_BYTES];
    size_t at = 0;
    int dir_fd, r;

    pthread_mutex_lock(&g->lock);
    r = log_group_open_dir(g, err);
    dir_fd = g->dir_fd;
    pthread_mutex_unlock(&g->lock);
    if (r < 0)
        return r;
    segment_name(segment->number, name);
    r = segment_recover(dir_fd, name, &segment->bytes, err);
    if (r < 0)
        return r;
    r = segment_map_open(dir_fd, name, segment->bytes, &m, err);
    while (r == 0 && segment_next(m.bytes, &at, false, &record))
        r = note_record(scan, segment, &record, err);
    segment_map_close(&m);
    segment->scanned = true;
    return r;
}

// Scans the segments of earlier lives that have no row, oldest first, into `scan`.
static int scan_old(struct log_group *g, struct log_group *scan, struct err *err)
{
    for (size_t i = 0;; i++) {
        struct log_segment segment;
        bool more;
        pthread_mutex_lock(&g->lock);
        more = i < g->n_segments;
        if (more)
            segment = g->segments[i];
        pthread_mutex_unlock(&g->lock);
        if (!more)
            return 0;
        if (segment.scanned)
            continue;
        int r = scan_segment(g, scan, &segment, err);
        if (r < 0)
            return r;
        pthread_mutex_lock(&g->lock);
        g->segments[i] = segment; // only appends move the array, and they add at its end
        pthread_mutex_unlock(&g->lock);
    }
}

static int merge_scan(struct log_group *g, struct log_group *scan, struct err *err)
{
    const struct map_entry *e;
    size_t at = 0;
    int r = 0;
    while (r == 0 && (e = map_next(&scan->streams, &at)))
        r = merge_stream(g, e->value, err);
    return r;
}

static int load(struct log_group *g, struct err *err)
{
    // A group in no registry: its maps are the scan's table, filled with the rows first, so that
    // tombstones and namesakes are applied in the order of the files.
    _cleanup_(log_group_unrefp) struct log_group *scan = log_group_detached(g);
    int r;
    if (!scan)
        return err_set(err, -ENOMEM, "log group: out of memory");
    r = log_store_read_streams(log_groups.store, g, scan, err);
    if (r < 0)
        return r;
    r = scan_old(g, scan, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&g->lock);
    r = merge_scan(g, scan, err);
    pthread_mutex_unlock(&g->lock);
    return r;
}

int log_group_load(struct log_group *g, struct err *err)
{
    int r = 0;
    if (atomic_load(&g->loaded))
        return 0;
    pthread_mutex_lock(&g->load_lock);
    if (!atomic_load(&g->loaded)) {
        r = load(g, err);
        if (r == 0)
            atomic_store(&g->loaded, true);
    }
    pthread_mutex_unlock(&g->load_lock);
    return r;
}
