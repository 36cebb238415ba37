// log_store.h - all SQL of the log service: groups, tags, and the cache of segments and streams.
#ifndef LAMBKIN_LOGS_LOG_STORE_H
#define LAMBKIN_LOGS_LOG_STORE_H

#include "services/logs/log_group.h"
#include "store/store.h"

int log_store_open(const char *path, bool ephemeral, struct store **out, struct err *err);
// Puts every group that has a row into the registry.
int log_store_read_groups(struct store *s, struct err *err);
// Rows of segments go into g (those whose size is still the same), rows of streams into `streams`.
int log_store_read_streams(struct store *s, struct log_group *g, struct log_group *streams,
                           struct err *err);

// Within the caller's transaction.
int log_store_put_group(struct store_tx *tx, const struct log_group *g, struct err *err);
int log_store_delete_group(struct store_tx *tx, const struct log_group *g, struct err *err);
int log_store_put_segment(struct store_tx *tx, const char *dir, const struct log_segment *s,
                          struct err *err);
int log_store_delete_segment(struct store_tx *tx, const char *dir, uint32_t number,
                             struct err *err);
int log_store_put_stream(struct store_tx *tx, const char *dir, const struct log_stream *s,
                         struct err *err);

struct log_tag {
    struct str key, value;
};
// Tags of a group (by its directory), or of whatever `owner` names.
int log_store_tags(struct store *s, struct arena *a, struct str owner, struct log_tag **out,
                   size_t *n, struct err *err);
int log_store_put_tag(struct store_tx *tx, struct str owner, struct str key, struct str value,
                      struct err *err);
int log_store_delete_tag(struct store_tx *tx, struct str owner, struct str key, struct err *err);

#endif
