// telemetry_impl.h - subscribers and their batches, shared by telemetry*.c. See telemetry.c.
#ifndef LAMBKIN_RUNTIME_TELEMETRY_IMPL_H
#define LAMBKIN_RUNTIME_TELEMETRY_IMPL_H

#include "runtime/runtime_impl.h"
#include "runtime/telemetry.h"

// AWS: buffering of a subscription.
#define TELEMETRY_MIN_ITEMS 1000
#define TELEMETRY_MAX_ITEMS 10000
#define TELEMETRY_MIN_BYTES 262144
#define TELEMETRY_MAX_BYTES 1048576
#define TELEMETRY_MIN_TIMEOUT_MS 25
#define TELEMETRY_MAX_TIMEOUT_MS 30000
#define TELEMETRY_DEFAULT_TIMEOUT_MS 1000

// What a subscriber may have waiting, beside the batch that is gathered: more is dropped, counted.
#define TELEMETRY_QUEUE_BYTES (2 << 20)
#define TELEMETRY_EARLY_BYTES (256 << 10) // kept during INIT for those who will subscribe

enum telemetry_schema { SCHEMA_2020_08_15, SCHEMA_2021_03_18, SCHEMA_2022_07_01, SCHEMA_LATER };

struct telemetry_config {
    enum telemetry_schema schema;
    unsigned audience;
    unsigned max_items, max_bytes, timeout_ms;
    bool tcp, put;
    uint16_t port;
    char path[512]; // with its query
};

struct telemetry_batch {
    struct telemetry_batch *next;
    unsigned items;
    struct buf body; // HTTP: "[…,…" without the closing bracket until it is sent; TCP: lines
};

// The states of a delivery; each edge is in telemetry_send.c.
//
//   IDLE --pump--> ASKED --on_connected--> CONNECTING --on_ready--> WRITING --> READING (HTTP)
//    ^                |                        |                       |            |
//    |                +------ attempt_failed --+-----------------------+------------+
//    |                              v                                  |            |
//    |                           WAITING --on_timer--> ASKED           |            |
//    +------------------------- delivered -----------------------------+------------+
enum delivery_state {
    DELIVERY_IDLE,
    DELIVERY_ASKED, // the keeper, for a connection
    DELIVERY_CONNECTING,
    DELIVERY_WRITING,
    DELIVERY_READING,
    DELIVERY_WAITING, // before another attempt
};

struct subscriber {
    struct environment *env;
    unsigned number; // of the extension
    bool used;
    struct telemetry_config config;
    uint64_t request_hash; // of the subscription's body: the same again changes nothing
    size_t request_bytes;
    struct telemetry_batch *gathering;
    bool due; // it is old enough, and goes as soon as there is room
    struct loop_timer gather_timer;
    struct telemetry_batch *queue, **queue_end; // the first is the one in delivery
    size_t queued_bytes;
    uint64_t dropped_records, dropped_bytes; // since it was last told

    enum delivery_state state;
    uint32_t tag; // of the connection asked for
    unsigned attempts;
    int fd;
    struct loop_watch *watch;
    struct loop_timer timer;
    char head[768];
    size_t head_len, sent; // sent: of head and body together
    char answer[4096];
    size_t answer_len;
    uint64_t answer_body; // bytes of it that came
};

struct early_event {
    struct early_event *next;
    unsigned audience;
    bool line;
    const char *type;
    int64_t time_ms;
    size_t len;
    char text[];
};

struct telemetry {
    bool open;                                        // subscriptions are taken
    bool ending;                                      // nothing is gathered any more
    unsigned wanted;                                  // union of audiences
    struct subscriber *list[FUNCTION_MAX_EXTENSIONS]; // by the extension's number
    struct early_event *early, **early_end;
    size_t early_bytes;
    uint64_t early_dropped, early_dropped_bytes;
};

// telemetry_api.c: 0, or the status, type and message of AWS's refusal.
int telemetry_config_read(struct arena *a, struct str body, bool logs_api,
                          struct telemetry_config *out, const char **type, struct str *message);

// telemetry_send.c
void delivery_pump(struct subscriber *s); // delivers what is queued, if it is not at it
void delivery_stop(struct subscriber *s);
bool delivery_busy(const struct subscriber *s);
// telemetry.c's, for telemetry_send.c: the queue's first was delivered, or given up.
void telemetry_delivered(struct subscriber *s, bool lost);

#endif
