// log_group.h - log groups in memory: their streams, their segment files, appending and syncing.
//
// Every group is in memory; which streams and events it has is read from its files (and from the
// cache in SQL) the first time somebody asks, by log_group_load(). Appending needs no load, so it
// can be done on a loop thread: it takes the group's lock and copies into the mapped end of the
// active segment, whose blocks were reserved before. Such bytes survive the process, as written
// ones do; behind them the file is zeros, which every scan takes for its end, until it is sealed.
//
// Locks: the registry's before a group's; a group's `load_lock` before its `lock`. The registry's
// lock and a group's `lock` are never held across fsync, SQL or a scan of files.
//
// Files: data-dir/logs/<dir>/<number>.seg, <dir> being 32 hex digits of the SHA-256 of account,
// region and name. A file of an earlier life of the daemon is never appended to. A deleted group's
// directory is renamed to trash-… first and removed then (or at the next start).
#ifndef LAMBKIN_LOGS_LOG_GROUP_H
#define LAMBKIN_LOGS_LOG_GROUP_H

#include "base/arena.h"
#include "base/err.h"
#include "base/map.h"
#include "services/logs/segment.h"

#include <pthread.h>
#include <stdatomic.h>

#define LOG_GROUP_DIR_BYTES 33
#define LOG_GROUP_MAX_NAME 512 // CreateLogGroup, logGroupName
#define LOG_GROUP_MAX_UNSYNCED 16

struct log_stream {
    uint64_t id;
    struct str name; // owned, behind the structure
    int64_t created_ms;
    int64_t first_ms, last_ms, ingested_ms; // INT64_MAX, INT64_MIN, 0: no event yet
    uint64_t since;       // events before this position belong to a deleted namesake
    uint32_t declared_in; // the newest segment that names it; 0: none of this life
    bool dropped;         // deleted, and not created again
    bool unsaved;         // changed since it was written to SQL
};

struct log_segment {
    uint32_t number;
    size_t bytes;
    int64_t min_ms, max_ms; // of its events; min > max: it has none
    int64_t ingested_ms;    // the latest
    int64_t message_bytes;
    bool sealed;  // nothing will be appended
    bool saved;   // has its row in SQL
    bool scanned; // min_ms and so on are known
};

struct log_group {
    atomic_uint refs;
    struct str key; // account NUL region NUL name
    struct str account, region, name;
    char dir[LOG_GROUP_DIR_BYTES];

    pthread_mutex_t load_lock;
    atomic_bool loaded;

    pthread_mutex_t lock; // everything below
    int64_t created_ms;
    int64_t retention_days; // 0: never expire
    struct str class;       // "STANDARD", constant
    struct str kms_key;     // owned; absent without
    bool protected;         // against deletion
    bool deleted;
    bool saved;                   // its row is in SQL
    int dir_fd;                   // -1: the directory was not made or opened yet
    struct log_segment *segments; // by number
    size_t n_segments, cap_segments;
    struct map streams; // by name
    struct map by_id;   // by the 8 bytes of the id
    // The segment being written is the last of `segments` when active_fd is not -1.
    int active_fd;
    char *active_map; // the file, active_bytes of it, all of them reserved on the disk
    size_t active_bytes;
    int64_t active_since_ms;
    uint64_t written, synced; // bytes ever appended in this life, and of them on the disk
    int unsynced[LOG_GROUP_MAX_UNSYNCED]; // earlier active files whose tail is not on the disk
    unsigned n_unsynced;
    bool dir_dirty; // a file was made since the directory was synced
    bool syncing;
    pthread_cond_t sync_done;
};

struct store;

// The registry: one a process.
struct log_groups {
    pthread_mutex_t lock;
    // Creating and deleting groups, and writing their rows: one at a time. Before any other lock.
    pthread_mutex_t admin;
    struct map by_key;
    int root_fd; // data-dir/logs
    char *root;
    struct store *store; // db/logs.db
};
extern struct log_groups log_groups;

// Reads groups from SQL and from the directories; before any other. data_dir/db/logs.db is opened.
int log_groups_open(const char *data_dir, bool ephemeral, struct err *err);
// Seals and saves everything, and frees it. Nobody may use a group any more.
void log_groups_close(void);

// A reference, or NULL when there is no such group.
struct log_group *log_group_get(struct str account, struct str region, struct str name);
// The group or a new one; *made says which. NULL: out of memory. Does not touch the disk.
struct log_group *log_group_make(struct str account, struct str region, struct str name,
                                 int64_t created_ms, bool *made);
void log_group_unref(struct log_group *g); // accepts NULL
void log_group_unrefp(struct log_group **g);
// References to all groups of an account and region (NULL strings: to all), sorted by name. The
// array is malloc'ed; release with log_group_list_free.
int log_group_list(struct str account, struct str region, struct log_group ***out, size_t *n);
void log_group_list_free(struct log_group **list, size_t n);
// Takes the group out of the registry and its files away. Rows in SQL are the caller's.
int log_group_remove(struct log_group *g, struct err *err);

// Knows its streams and segments from here on. Blocks.
int log_group_load(struct log_group *g, struct err *err);

struct log_append_event {
    int64_t time_ms;
    struct str message;
};
// Appends events to a stream. With `make`, a stream that is not there is created; else -ENOENT.
// -ENOENT with `make`: the group was deleted meanwhile. -ENOSPC, -EIO: nothing was appended.
int log_group_append(struct log_group *g, struct str stream, bool make,
                     const struct log_append_event *events, size_t n, int64_t now_ms,
                     struct err *err);
// Everything appended before is on the disk when it answers 0. Callers share the fsyncs.
int log_group_sync(struct log_group *g, struct err *err);

// The group must be loaded. -EEXIST, -ENOENT. Durable after log_group_sync.
int log_stream_create(struct log_group *g, struct str name, int64_t now_ms, struct err *err);
int log_stream_drop(struct log_group *g, struct str name, struct err *err);
// Under g->lock: the stream, unless it was dropped.
struct log_stream *log_stream_find(const struct log_group *g, struct str name);
struct log_stream *log_stream_by_id(const struct log_group *g, uint64_t id);

// Ends the active segment. Under g->lock.
void log_group_seal(struct log_group *g);
// Saves to SQL what changed, drops segments that are older than the retention wants. Takes the
// registry's `admin` lock.
int log_group_upkeep(struct log_group *g, int64_t now_ms, struct err *err);
// Starts and ends the thread that syncs every second and keeps up every minute.
int log_upkeep_start(struct err *err);
void log_upkeep_stop(void);

// --- shared by log_group.c, log_load.c and log_upkeep.c ---
struct log_stream *log_stream_add(struct log_group *g, struct str name, int64_t created_ms);
void log_segment_note(struct log_segment *s, const struct segment_record *r);
struct log_segment *log_segment_add(struct log_group *g, uint32_t number);
// A group of the same name in no registry.
struct log_group *log_group_detached(const struct log_group *g);
int log_group_open_dir(struct log_group *g, struct err *err);

#endif
