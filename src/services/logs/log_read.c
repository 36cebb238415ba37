// log_read.c - collects a page of events from segment files with a heap of bounded size.
//
// Segments are visited in the order of their earliest (or, backward, latest) event. The heap keeps
// the best events so far; a segment that lies wholly behind the worst of a full heap ends the scan.
// So a page costs about what it contains, also in a group of many segments.
#include "services/logs/log_read.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

// A stream as this read knows it: looked up once under the group's lock.
struct seen_stream {
    uint64_t id;
    bool wanted;
    uint64_t since;
    struct str name;
};

struct reader {
    struct log_group *g;
    const struct log_read *q;
    struct arena *arena;
    struct arena scratch;
    struct map seen;                // by id
    const struct seen_stream *last; // most records are of the same stream as the one before
    struct log_event *heap;         // the worst at the root
    size_t n, cap;
    bool more;
    bool failed; // out of memory
    struct segment_map *maps;
    size_t n_maps;
    struct err *err;
};

static int compare(const struct log_position *a, const struct log_position *b)
{
    if (a->time_ms != b->time_ms)
        return a->time_ms < b->time_ms ? -1 : 1;
    return a->seq < b->seq ? -1 : a->seq > b->seq;
}

// Is a better than b: nearer to where the page begins.
static bool better(const struct reader *r, const struct log_position *a,
                   const struct log_position *b)
{
    int c = compare(a, b);
    return r->q->backward ? c > 0 : c < 0;
}

static void sift_down(struct reader *r, size_t i)
{
    for (;;) {
        size_t worst = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < r->n; child++) {
            if (better(r, &r->heap[worst].at, &r->heap[child].at))
                worst = child;
        }
        if (worst == i)
            return;
        struct log_event tmp = r->heap[i];
        r->heap[i] = r->heap[worst];
        r->heap[worst] = tmp;
        i = worst;
    }
}

static bool heap_has_room(struct reader *r)
{
    if (r->n < r->cap)
        return true;
    if (r->cap >= r->q->limit)
        return false;
    size_t cap = r->cap ? r->cap * 4 : 64;
    if (cap > r->q->limit)
        cap = r->q->limit;
    struct log_event *more = realloc(r->heap, cap * sizeof(*more));
    if (!more) {
        r->failed = true;
        return false;
    }
    r->heap = more;
    r->cap = cap;
    return true;
}

static void heap_offer(struct reader *r, const struct log_event *e)
{
    if (!heap_has_room(r)) {
        r->more = true;
        r->heap[0] = *e;
        sift_down(r, 0);
        return;
    }
    size_t i = r->n++;
    while (i > 0 && better(r, &r->heap[(i - 1) / 2].at, &e->at)) {
        r->heap[i] = r->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    r->heap[i] = *e;
}

static bool wanted_name(const struct log_read *q, struct str name)
{
    if (q->n_streams == 0)
        return str_starts(name, q->stream_prefix);
    for (size_t i = 0; i < q->n_streams; i++) {
        if (str_eq(q->streams[i], name))
            return true;
    }
    return false;
}

static const struct seen_stream *look_up(struct reader *r, uint64_t id)
{
    if (r->last && r->last->id == id)
        return r->last;
    struct seen_stream *s = map_get(&r->seen, (struct str){(const char *)&id, sizeof(id)});
    if (!s) {
        s = arena_new(r->arena, struct seen_stream);
        if (!s) {
            r->failed = true;
            return NULL;
        }
        s->id = id;
        pthread_mutex_lock(&r->g->lock);
        const struct log_stream *x = log_stream_by_id(r->g, id);
        if (x && !x->dropped) {
            s->name = x->name; // lives as long as the group
            s->since = x->since;
            s->wanted = wanted_name(r->q, x->name);
        }
        pthread_mutex_unlock(&r->g->lock);
        if (map_set(&r->seen, (struct str){(const char *)&s->id, sizeof(s->id)}, s, NULL) < 0)
            r->failed = true;
    }
    r->last = s;
    return s;
}

static void consider(struct reader *r, uint32_t number, const struct segment_record *record)
{
    const struct log_read *q = r->q;
    struct log_event e = {
        .at = {record->time_ms, (uint64_t)number << 32 | record->offset},
        .ingested_ms = record->ingested_ms,
        .message = record->text,
    };
    if (record->time_ms < q->start_ms || record->time_ms >= q->end_ms)
        return;
    if (q->has_position) {
        int c = compare(&e.at, &q->position);
        if (q->backward ? c >= 0 : c <= 0)
            return;
    }
    const struct seen_stream *s = look_up(r, record->stream_id);
    if (!s || !s->wanted || e.at.seq < s->since)
        return;
    bool full = r->n == q->limit;
    if (full && r->more && !better(r, &e.at, &r->heap[0].at))
        return;
    if (q->pattern && !filter_pattern_match(q->pattern, record->text, &r->scratch))
        return;
    if (full && !better(r, &e.at, &r->heap[0].at)) {
        r->more = true;
        return;
    }
    e.stream = s->name;
    heap_offer(r, &e);
}

static int read_segment(struct reader *r, const struct log_segment *s)
{
    struct segment_map *m = &r->maps[r->n_maps];
    struct segment_record record;
    char name[SEGMENT_NAME_BYTES];
    size_t at = 0;
    segment_name(s->number, name);
    int x = segment_map_open(r->g->dir_fd, name, s->bytes, m, NULL);
    if (x == -ENOENT)
        return 0; // the retention took it
    if (x < 0)
        return err_set(r->err, x, "read log segment %s/%s", r->g->dir, name);
    r->n_maps++;
    while (!r->failed && segment_next(m->bytes, &at, false, &record)) {
        if (record.type == SEGMENT_EVENT)
            consider(r, s->number, &record);
    }
    return r->failed ? err_set(r->err, -ENOMEM, "read log events: out of memory") : 0;
}

static int by_first(const void *a, const void *b)
{
    const struct log_segment *x = a, *y = b;
    return x->min_ms < y->min_ms ? -1 : x->min_ms > y->min_ms;
}

static int by_last_descending(const void *a, const void *b)
{
    const struct log_segment *x = a, *y = b;
    return x->max_ms > y->max_ms ? -1 : x->max_ms < y->max_ms;
}

static bool out_of_range(const struct log_read *q, const struct log_segment *s)
{
    if (s->min_ms > s->max_ms || s->max_ms < q->start_ms || s->min_ms >= q->end_ms)
        return true;
    if (!q->has_position)
        return false;
    return q->backward ? s->min_ms > q->position.time_ms : s->max_ms < q->position.time_ms;
}

static int scan(struct reader *r, struct log_segment *segments, size_t n)
{
    const struct log_read *q = r->q;
    qsort(segments, n, sizeof(*segments), q->backward ? by_last_descending : by_first);
    for (size_t i = 0; i < n; i++) {
        const struct log_segment *s = &segments[i];
        if (out_of_range(q, s))
            continue;
        if (r->n == q->limit) {
            const struct log_position *worst = &r->heap[0].at;
            if (q->backward ? s->max_ms < worst->time_ms : s->min_ms > worst->time_ms) {
                r->more = true;
                return 0;
            }
        }
        int x = read_segment(r, s);
        if (x < 0)
            return x;
    }
    return 0;
}

static int ascending(const void *a, const void *b)
{
    const struct log_event *x = a, *y = b;
    return compare(&x->at, &y->at);
}

// Sorts, cuts to the page's bytes at the far end, and copies out of the maps.
static int finish_page(struct reader *r, struct log_event **out, size_t *n)
{
    size_t from = 0, to = r->n, bytes = 0, kept = 0;
    if (r->n > 0)
        qsort(r->heap, r->n, sizeof(*r->heap), ascending);
    while (kept < r->n) {
        const struct log_event *e = &r->heap[r->q->backward ? r->n - 1 - kept : kept];
        bytes += e->message.len + LOG_EVENT_OVERHEAD_BYTES;
        if (kept > 0 && bytes > LOG_READ_MAX_BYTES) {
            r->more = true;
            break;
        }
        kept++;
    }
    if (r->q->backward)
        from = r->n - kept;
    else
        to = kept;
    struct log_event *events = arena_new_array(r->arena, struct log_event, to - from + 1);
    if (!events)
        return err_set(r->err, -ENOMEM, "read log events: out of memory");
    for (size_t i = from; i < to; i++) {
        struct log_event *e = &events[i - from];
        *e = r->heap[i];
        e->message = arena_str(r->arena, e->message);
        e->stream = arena_str(r->arena, e->stream);
        if (str_is_null(e->message) || str_is_null(e->stream))
            return err_set(r->err, -ENOMEM, "read log events: out of memory");
    }
    *out = events;
    *n = to - from;
    return 0;
}

int log_read_page(struct log_group *g, const struct log_read *q, struct arena *arena,
                  struct log_event **out, size_t *n, bool *more, struct err *err)
{
    struct reader r = {.g = g, .q = q, .arena = arena, .err = err};
    struct log_segment *segments;
    size_t n_segments;
    int x = log_group_load(g, err);
    if (x < 0)
        return x;

    pthread_mutex_lock(&g->lock);
    n_segments = g->n_segments;
    segments = calloc(n_segments + 1, sizeof(*segments));
    if (segments && n_segments > 0) {
        memcpy(segments, g->segments, n_segments * sizeof(*segments));
        x = log_group_open_dir(g, err);
    }
    pthread_mutex_unlock(&g->lock);
    r.maps = calloc(n_segments + 1, sizeof(*r.maps));
    arena_init(&r.scratch, (size_t)16 << 20);
    if (!segments || !r.maps)
        x = err_set(err, -ENOMEM, "read log events: out of memory");
    if (x == 0 && q->limit > 0)
        x = scan(&r, segments, n_segments);
    if (x == 0)
        x = finish_page(&r, out, n);
    *more = r.more;

    for (size_t i = 0; i < r.n_maps; i++)
        segment_map_close(&r.maps[i]);
    arena_finish(&r.scratch);
    map_finish(&r.seen);
    free(r.heap);
    free(r.maps);
    free(segments);
    return x;
}
