// sqs_impl.h - what the files of the queue service share.
//
// All state is in db/sqs.db; a handler is a transaction. A message is a row of `message`, found by
// its sequence number, or by (queue, visible_ms): those that can be received now are at the front
// of that index however many there are. Bodies over SQS_INLINE_BYTES are rows of `message_body`, so
// that hiding a message again does not write its body again. For FIFO queues `message_group` has a
// row per group that has messages, with the time from which its first message can be received.
#ifndef LAMBKIN_SQS_SQS_IMPL_H
#define LAMBKIN_SQS_SQS_IMPL_H

#include "engine/call.h"
#include "engine/engine.h"
#include "services/sqs/sqs.h"
#include "store/store.h"
#include "wire/gen/sqs_handlers.h"

#define SQS_MAX_MESSAGE_BYTES 1048576 // body and attributes, and a batch together
#define SQS_MAX_IN_FLIGHT 120000      // SQS quotas
#define SQS_MAX_ATTRIBUTES 10         // per message
#define SQS_MAX_VISIBILITY_S 43200    // twelve hours
#define SQS_MAX_DELAY_S 900
#define SQS_MAX_WAIT_S 20
#define SQS_DEDUPLICATION_MS (5 * 60 * 1000) // FIFO
#define SQS_PURGE_MS (60 * 1000)             // between two purges of a queue
#define SQS_DELETED_MS (60 * 1000)           // before a name can be used again
#define SQS_INLINE_BYTES 2048
#define SQS_ID_CHARS 36

struct sqs_service {
    struct store *store;
    struct engine *engine;
};
extern struct sqs_service sqs;

// Milliseconds since the epoch that never go back, also when the clock does: visibility and order
// depend on it.
int64_t sqs_now(void);
void sqs_clock_at_least(int64_t ms);

// --- queues ---

struct sqs_queue {
    int64_t id;
    struct str account, region, name;
    bool fifo;
    int64_t created_ms, modified_ms;
    int64_t visibility_s, delay_s, retention_s, max_bytes, wait_s;
    struct str policy;        // JSON or absent
    struct str redrive;       // RedrivePolicy as given, or absent
    struct str dead_letter;   // its deadLetterTargetArn, or absent
    int64_t max_receives;     // its maxReceiveCount; 0 without
    struct str redrive_allow; // RedriveAllowPolicy, or absent
    bool content_deduplication;
    struct str deduplication_scope, throughput_limit; // FIFO
    struct str kms_key;                               // or absent
    int64_t kms_reuse_s;
    bool managed_sse;
    int64_t purged_ms; // 0: never
    int64_t messages;  // all of them, exactly
};

// By name / by what a client gave as QueueUrl (any host, or a bare name) / by ARN.
// QueueDoesNotExist as an AWS error, with -ENOENT.
int sqs_queue_load(struct store_tx *tx, struct arena *a, struct str account, struct str region,
                   struct str name, struct sqs_queue *out, struct err *err);
int sqs_queue_of_url(struct store_tx *tx, struct call *c, struct str url, struct sqs_queue *out,
                     struct err *err);
int sqs_queue_of_arn(struct store_tx *tx, struct arena *a, struct str arn, struct sqs_queue *out,
                     struct err *err);
int sqs_queue_by_id(struct store_tx *tx, struct arena *a, int64_t id, struct sqs_queue *out,
                    struct err *err);
int sqs_queue_insert(struct store_tx *tx, struct sqs_queue *q, struct err *err);
int sqs_queue_update(struct store_tx *tx, const struct sqs_queue *q, struct err *err);
int sqs_queue_delete(struct store_tx *tx, const struct sqs_queue *q, int64_t now_ms,
                     struct err *err);
// Adds to the count of its messages.
int sqs_queue_count(struct store_tx *tx, int64_t id, int64_t change, struct err *err);
int sqs_no_queue(struct err *err);
struct str sqs_queue_arn(struct arena *a, const struct sqs_queue *q);
struct str sqs_queue_url(struct call *c, const struct sqs_queue *q);
// Applies attributes as a client gives them; those that are wrong are InvalidAttributeName/Value.
int sqs_attributes_apply(struct store_tx *tx, struct arena *a, struct sqs_queue *q, bool creating,
                         const struct sqs_queue_attribute_map *in, struct err *err);
// Two definitions of a queue: would CreateQueue of the second be content with the first.
bool sqs_attributes_agree(const struct sqs_queue *have, const struct sqs_queue *want,
                          const struct sqs_queue_attribute_map *given);

int sqs_store_open(const char *path, struct store **out, struct err *err);

// --- messages ---

struct sqs_entry {
    struct str body;
    struct str attributes; // encoded, see message_attributes.c; absent without
    struct str md5_body, md5_attributes, md5_system;
    struct str group_id, deduplication_id; // absent: none
    struct str trace;
    int64_t delay_ms;
    // Filled by sqs_send_tx:
    struct str message_id;
    int64_t seq;
    int64_t visible_ms;
    bool duplicate;
};

// Inserts messages that were checked. *first_ms: when the first of them can be received.
int sqs_send_tx(struct store_tx *tx, struct arena *a, const struct sqs_queue *q,
                struct sqs_entry *entries, size_t n, struct str sender, int64_t *first_ms,
                struct err *err);

// What came of a receive besides the messages.
struct sqs_receive_notes {
    int64_t dead_letter_id; // a queue that got messages, 0: none
    struct str dead_letter_arn;
    bool changed; // something was written: commit
};
int sqs_receive_tx(struct store_tx *tx, struct arena *a, const struct sqs_queue *q, unsigned max,
                   int64_t visibility_ms, int64_t now_ms, struct sqs_message_view *out, unsigned *n,
                   struct sqs_receive_notes *notes, struct err *err);
// Is there anything to receive at now_ms; if not, from when on (INT64_MAX: never). Read only.
int sqs_peek(struct store_tx *tx, const struct sqs_queue *q, int64_t now_ms, bool *ready,
             int64_t *next_ms, struct err *err);

struct sqs_counts {
    int64_t visible, in_flight, delayed, oldest_sent_ms;
};
int sqs_count_messages(struct store_tx *tx, const struct sqs_queue *q, int64_t now_ms,
                       struct sqs_counts *out, struct err *err);

enum sqs_release { SQS_RELEASED, SQS_GONE, SQS_STALE, SQS_NOT_IN_FLIGHT };
// Deletes / hides until visible_ms. *what says how it went; neither is an error.
struct sqs_receipt;
int sqs_delete_tx(struct store_tx *tx, const struct sqs_queue *q, const struct sqs_receipt *r,
                  int64_t now_ms, enum sqs_release *what, struct err *err);
int sqs_hide_tx(struct store_tx *tx, const struct sqs_queue *q, const struct sqs_receipt *r,
                int64_t now_ms, int64_t visible_ms, enum sqs_release *what, struct err *err);
// Looks at a FIFO group's first messages again and writes from when on it can be received.
int sqs_group_refresh(struct store_tx *tx, int64_t queue, struct str group, struct err *err);
// Removes one message, whatever its state.
int sqs_message_remove(struct store_tx *tx, int64_t queue, int64_t seq, struct err *err);
// Removes up to `limit` messages that were sent before `before_ms`; *n: how many.
int sqs_expire_tx(struct store_tx *tx, const struct sqs_queue *q, int64_t before_ms, unsigned limit,
                  unsigned *n, struct err *err);
// Gives a message to another queue.
int sqs_message_move(struct store_tx *tx, int64_t seq, struct str group, int64_t from,
                     const struct sqs_queue *to, struct str source_arn, int64_t now_ms,
                     struct err *err);

// --- receipt handles ---

struct sqs_receipt {
    int64_t queue, seq;
    uint32_t received; // the message's receive count when it was handed out
};
struct str sqs_receipt_make(struct arena *a, const struct sqs_receipt *r);
// False when it is none of ours.
bool sqs_receipt_parse(struct arena *a, struct str handle, struct sqs_receipt *out);

// --- attributes of messages ---

// Checks and encodes; the encoding is what AWS defines the MD5 over. *bytes: what they count.
int sqs_message_attributes_encode(struct arena *a, const struct sqs_message_body_attribute_map *in,
                                  struct str *out, size_t *bytes, struct err *err);
int sqs_attributes_encode(struct arena *a, const struct sqs_attribute *in, size_t n,
                          struct str *out);
// System attributes: AWSTraceHeader only.
int sqs_system_attributes_read(struct arena *a,
                               const struct sqs_message_body_system_attribute_map *in,
                               struct str *trace, struct str *md5, struct err *err);
int sqs_attributes_decode(struct arena *a, struct str encoded, struct sqs_attribute **out,
                          size_t *n);
struct str sqs_md5(struct arena *a, struct str data); // hex
bool sqs_text_allowed(struct str s);                  // the characters that messages may have

// --- batches ---

// EmptyBatchRequest, TooManyEntriesInBatchRequest.
int sqs_batch_check_size(size_t n, const char *type, struct err *err);
// The id of entry `at`: its characters, and that none before has it.
int sqs_batch_check_id(struct str id, size_t at, struct str (*id_at)(const void *, size_t),
                       const void *entries, struct err *err);
// Adds an entry (the list has room for SQS_MAX_BATCH) that says what `why` says.
void sqs_batch_failed(struct call *c, struct sqs_batch_result_error_entry_list *failed,
                      struct str id, const struct err *why);
// Makes empty lists absent, as AWS leaves them out.
void sqs_batch_trim(struct sqs_batch_result_error_entry_list *failed);

// --- telling others ---

// After a commit: messages of a queue can be received from at_ms on.
void sqs_notify(const struct sqs_queue *q, int64_t at_ms);
void sqs_notify_arn(int64_t queue, struct str arn, int64_t at_ms);
void sqs_notify_deleted(const struct sqs_queue *q);
#define SQS_KEY_BYTES 32
struct str sqs_park_key(int64_t queue, char out[static SQS_KEY_BYTES]);

// --- the thread behind: retention, old deduplication ids, move tasks ---
int sqs_upkeep_start(struct err *err);
void sqs_upkeep_stop(void);
void sqs_upkeep_kick(void); // a move task was added
// One round of the move tasks; *more: there is work left.
int sqs_moves_run(int64_t now_ms, bool *more, struct err *err);

#endif
