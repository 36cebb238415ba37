// queues.c - operations on queues: create, delete, find, list, purge.
#include "services/sqs/sqs_impl.h"

#include "base/base64.h"
#include "base/cleanup.h"

#include <errno.h>

#define LIST_MAX 1000 // ListQueues without MaxResults
#define PURGE_CHUNK 2000

static bool name_allowed(struct str name)
{
    struct str stem = name;
    if (str_ends(name, STR(".fifo")))
        stem.len -= 5;
    if (name.len < 1 || name.len > 80 || stem.len == 0)
        return false;
    for (size_t i = 0; i < stem.len; i++) {
        char c = stem.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return false;
    }
    return true;
}

static struct sqs_queue defaults(struct call *c, struct str name)
{
    bool fifo = str_ends(name, STR(".fifo"));
    return (struct sqs_queue){
        .account = c->account,
        .region = c->region,
        .name = name,
        .fifo = fifo,
        .created_ms = c->now_ms,
        .modified_ms = c->now_ms,
        .visibility_s = 30,
        .retention_s = 345600,
        .max_bytes = SQS_MAX_MESSAGE_BYTES,
        .kms_reuse_s = 300,
        .managed_sse = true,
        .deduplication_scope = fifo ? STR("queue") : STR_NULL,
        .throughput_limit = fifo ? STR("perQueue") : STR_NULL,
    };
}

static int check_name(struct call *c, const struct sqs_create_queue_in *in, struct err *err)
{
    bool fifo = false;
    (void)c;
    for (size_t i = 0; i < in->attributes.n; i++) {
        if (str_eq(in->attributes.ptr[i].key, STR("FifoQueue")))
            fifo = str_eq_nocase(in->attributes.ptr[i].value, STR("true"));
    }
    if (!name_allowed(in->queue_name))
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 "
                       "in length");
    if (fifo && !str_ends(in->queue_name, STR(".fifo")))
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "The name of a FIFO queue can only include alphanumeric characters, "
                       "hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in "
                       "length.");
    if (!fifo && str_ends(in->queue_name, STR(".fifo")))
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 "
                       "in length");
    return 0;
}

// AWS keeps a name for a minute after its queue was deleted.
static int check_deleted(struct store_tx *tx, struct call *c, struct str name, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r = store_select(
        tx, &s, err,
        "SELECT deleted_ms FROM deleted_queue WHERE account = ? AND region = ? AND name = ?",
        SQL_STR(c->account), SQL_STR(c->region), SQL_STR(name));
    if (r == 0)
        r = store_step(s, err);
    if (r <= 0)
        return r;
    if (c->now_ms - store_col_i64(s, 0) >= engine_scaled_ms(c->engine, SQS_DELETED_MS))
        return 0;
    return err_aws(err, &SQS_QUEUE_DELETED_RECENTLY,
                   "You must wait 60 seconds after deleting a queue before you can create another "
                   "with the same name.");
}

static int put_tags(struct store_tx *tx, int64_t queue, const struct sqs_tag_map *tags,
                    struct err *err)
{
    for (size_t i = 0; i < tags->n; i++) {
        int64_t n =
            store_exec(tx, err,
                       "INSERT INTO queue_tag (queue, tag, value) VALUES (?, ?, ?)"
                       " ON CONFLICT (queue, tag) DO UPDATE SET value = excluded.value",
                       SQL_I64(queue), SQL_STR(tags->ptr[i].key), SQL_STR(tags->ptr[i].value));
        if (n < 0)
            return (int)n;
    }
    return 0;
}

int sqs_create_queue(struct call *c, const struct sqs_create_queue_in *in,
                     struct sqs_create_queue_out *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct sqs_queue have, q = defaults(c, in->queue_name);
    struct err missing = ERR_INIT;
    int r = check_name(c, in, err);
    if (r == 0)
        r = store_begin(sqs.store, STORE_WRITE, &tx, err);
    if (r < 0)
        return r;
    r = sqs_queue_load(tx, c->arena, c->account, c->region, in->queue_name, &have, &missing);
    if (r == 0) {
        q = have;
        r = sqs_attributes_apply(tx, c->arena, &q, true, &in->attributes, err);
        if (r < 0)
            return r;
        if (!sqs_attributes_agree(&have, &q, &in->attributes))
            return err_aws(err, &SQS_QUEUE_NAME_EXISTS,
                           "A queue already exists with the same name and a different value for "
                           "attribute(s)");
        out->queue_url = sqs_queue_url(c, &have);
        return 0;
    }
    if (r != -ENOENT)
        return err_set(err, r, "%s", missing.message);
    r = check_deleted(tx, c, in->queue_name, err);
    if (r == 0)
        r = sqs_attributes_apply(tx, c->arena, &q, true, &in->attributes, err);
    if (r == 0)
        r = sqs_queue_insert(tx, &q, err);
    if (r == 0)
        r = put_tags(tx, q.id, &in->tags, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r == 0)
        out->queue_url = sqs_queue_url(c, &q);
    return r;
}

int sqs_delete_queue(struct call *c, const struct sqs_delete_queue_in *in,
                     struct sqs_delete_queue_out *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct sqs_queue q;
    int r = store_begin(sqs.store, STORE_WRITE, &tx, err);
    (void)out;
    if (r == 0)
        r = sqs_queue_of_url(tx, c, in->queue_url, &q, err);
    if (r == 0)
        r = sqs_queue_delete(tx, &q, c->now_ms, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r < 0)
        return r;
    sqs_notify(&q, sqs_now()); // parked receivers learn that it is gone
    sqs_notify_deleted(&q);
    sqs_upkeep_kick();
    return 0;
}

int sqs_get_queue_url(struct call *c, const struct sqs_get_queue_url_in *in,
                      struct sqs_get_queue_url_out *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct sqs_queue q;
    if (!str_is_null(in->queue_owner_aws_account_id) &&
        !str_eq(in->queue_owner_aws_account_id, c->account))
        return sqs_no_queue(err);
    int r = store_begin(sqs.store, STORE_READ, &tx, err);
    if (r == 0)
        r = sqs_queue_load(tx, c->arena, c->account, c->region, in->queue_name, &q, err);
    if (r == 0)
        out->queue_url = sqs_queue_url(c, &q);
    return r;
}

// --- listing ---

static int read_token(struct call *c, struct str token, struct str *after, struct err *err)
{
    *after = STR("");
    if (str_is_null(token))
        return 0;
    if (base64url_decode(c->arena, token, after) < 0)
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE, "Invalid or expired next token.");
    return 0;
}

static struct str make_token(struct call *c, struct str last)
{
    _cleanup_(buf_finishp) struct buf b = {0};
    buf_init(&b, 1024);
    base64url_encode(&b, last);
    return arena_str(c->arena, buf_str(&b));
}

// The names that the statement answers become URLs; one more than `max` was asked for.
static int list_urls(struct call *c, struct store_stmt *s, int64_t max,
                     struct sqs_queue_url_list *out, struct str *next_token, struct err *err)
{
    struct sqs_queue q = {.account = c->account};
    int r;
    out->ptr = arena_new_array(c->arena, struct str, (size_t)max + 1);
    if (!out->ptr)
        return err_set(err, -ENOMEM, "queues: out of memory");
    while ((r = store_step(s, err)) > 0) {
        if ((int64_t)out->n == max) {
            *next_token = make_token(c, q.name);
            return 0;
        }
        q.name = store_take_str(s, 0, c->arena);
        out->ptr[out->n++] = sqs_queue_url(c, &q);
    }
    return r;
}

int sqs_list_queues(struct call *c, const struct sqs_list_queues_in *in,
                    struct sqs_list_queues_out *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    struct str after, token = STR_NULL;
    int64_t max = WIRE_GET(in, max_results, LIST_MAX);
    if (max < 1 || max > LIST_MAX)
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "Value %lld for parameter MaxResults is invalid. Reason: Must be between 1 "
                       "and 1000, if provided.",
                       (long long)max);
    int r = read_token(c, in->next_token, &after, err);
    if (r == 0)
        r = store_begin(sqs.store, STORE_READ, &tx, err);
    if (r == 0)
        r = store_select(
            tx, &s, err,
            "SELECT name FROM queue WHERE account = ? AND region = ? AND name > ?"
            " AND substr(name, 1, ?) = ? ORDER BY name LIMIT ?",
            SQL_STR(c->account), SQL_STR(c->region), SQL_STR(after),
            SQL_I64((int64_t)in->queue_name_prefix.len),
            SQL_STR(str_is_null(in->queue_name_prefix) ? STR("") : in->queue_name_prefix),
            SQL_I64(max + 1));
    if (r == 0)
        r = list_urls(c, s, max, &out->queue_urls, &token, err);
    if (r == 0 && in->has_max_results) // AWS pages only when it was asked to
        out->next_token = token;
    if (r == 0 && out->queue_urls.n == 0)
        out->queue_urls.ptr = NULL; // and leaves the member out when there is none
    return r;
}

int sqs_list_dead_letter_source_queues(struct call *c,
                                       const struct sqs_list_dead_letter_source_queues_in *in,
                                       struct sqs_list_dead_letter_source_queues_out *out,
                                       struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    struct str after, token = STR_NULL;
    struct sqs_queue q;
    int64_t max = WIRE_GET(in, max_results, LIST_MAX);
    if (max < 1 || max > LIST_MAX)
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "Value %lld for parameter MaxResults is invalid. Reason: Must be between 1 "
                       "and 1000, if provided.",
                       (long long)max);
    int r = read_token(c, in->next_token, &after, err);
    if (r == 0)
        r = store_begin(sqs.store, STORE_READ, &tx, err);
    if (r == 0)
        r = sqs_queue_of_url(tx, c, in->queue_url, &q, err);
    if (r == 0)
        r = store_select(tx, &s, err,
                         "SELECT name FROM queue WHERE dead_letter = ? AND name > ?"
                         " ORDER BY name LIMIT ?",
                         SQL_STR(sqs_queue_arn(c->arena, &q)), SQL_STR(after), SQL_I64(max + 1));
    if (r == 0)
        r = list_urls(c, s, max, &out->queue_urls, &token, err);
    out->next_token = token;
    return r;
}

// --- purging ---

static int begin_purge(struct call *c, struct str url, struct sqs_queue *q, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int r = store_begin(sqs.store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = sqs_queue_of_url(tx, c, url, q, err);
    if (r < 0)
        return r;
    if (q->purged_ms > 0 && c->now_ms - q->purged_ms < engine_scaled_ms(c->engine, SQS_PURGE_MS))
        return err_aws(err, &SQS_PURGE_QUEUE_IN_PROGRESS,
                       "Only one PurgeQueue operation on %.*s is allowed every 60 seconds.",
                       STR_ARG(q->name));
    q->purged_ms = c->now_ms;
    r = sqs_queue_update(tx, q, err);
    return r < 0 ? r : store_commit(&tx, err);
}

int sqs_purge_queue(struct call *c, const struct sqs_purge_queue_in *in,
                    struct sqs_purge_queue_out *out, struct err *err)
{
    struct sqs_queue q;
    unsigned n = PURGE_CHUNK;
    int64_t before = sqs_now() + 1;
    int r = begin_purge(c, in->queue_url, &q, err);
    (void)out;
    // In pieces, so that senders and receivers of other queues get their turn.
    while (r == 0 && n == PURGE_CHUNK) {
        _cleanup_(store_abortp) struct store_tx *tx = NULL;
        r = store_begin(sqs.store, STORE_WRITE, &tx, err);
        if (r == 0)
            r = sqs_expire_tx(tx, &q, before, PURGE_CHUNK, &n, err);
        if (r == 0)
            r = store_commit(&tx, err);
    }
    return r;
}

// --- tags ---

int sqs_tag_queue(struct call *c, const struct sqs_tag_queue_in *in, struct sqs_tag_queue_out *out,
                  struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct sqs_queue q;
    int r = store_begin(sqs.store, STORE_WRITE, &tx, err);
    (void)out;
    if (r == 0)
        r = sqs_queue_of_url(tx, c, in->queue_url, &q, err);
    if (r == 0)
        r = put_tags(tx, q.id, &in->tags, err);
    return r < 0 ? r : store_commit(&tx, err);
}

int sqs_untag_queue(struct call *c, const struct sqs_untag_queue_in *in,
                    struct sqs_untag_queue_out *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct sqs_queue q;
    int64_t n = 0;
    int r = store_begin(sqs.store, STORE_WRITE, &tx, err);
    (void)out;
    if (r == 0)
        r = sqs_queue_of_url(tx, c, in->queue_url, &q, err);
    for (size_t i = 0; r == 0 && n >= 0 && i < in->tag_keys.n; i++)
        n = store_exec(tx, err, "DELETE FROM queue_tag WHERE queue = ? AND tag = ?", SQL_I64(q.id),
                       SQL_STR(in->tag_keys.ptr[i]));
    if (n < 0)
        return (int)n;
    return r < 0 ? r : store_commit(&tx, err);
}

int sqs_list_queue_tags(struct call *c, const struct sqs_list_queue_tags_in *in,
                        struct sqs_list_queue_tags_out *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    struct sqs_queue q;
    size_t cap = 64;
    int r = store_begin(sqs.store, STORE_READ, &tx, err);
    if (r == 0)
        r = sqs_queue_of_url(tx, c, in->queue_url, &q, err);
    if (r == 0)
        r = store_select(tx, &s, err,
                         "SELECT tag, value FROM queue_tag WHERE queue = ? ORDER BY tag LIMIT 64",
                         SQL_I64(q.id));
    if (r < 0)
        return r;
    struct sqs_tag_map_entry *tags = arena_new_array(c->arena, struct sqs_tag_map_entry, cap);
    if (!tags)
        return err_set(err, -ENOMEM, "tags: out of memory");
    while ((r = store_step(s, err)) > 0 && out->tags.n < cap) {
        tags[out->tags.n].key = store_take_str(s, 0, c->arena);
        tags[out->tags.n++].value = store_take_str(s, 1, c->arena);
    }
    if (out->tags.n > 0)
        out->tags.ptr = tags;
    return r < 0 ? r : 0;
}
