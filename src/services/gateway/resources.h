// resources.h - the gateway's records: APIs, routes, integrations, stages and the others.
//
// A record is the JSON of its AWS shape (wire names), kept under (account, region, kind, parent,
// id): the parent is the API's id, or the domain's name for its mappings, or "" for what stands
// alone. The handlers' structures are turned into JSON and back by the wire tables, so a kind is a
// row of a table: its shapes, what its id is called, what it gets by default, what is checked.
//
// After every change whoever serves the APIs is told: see resources_on_change().
#ifndef LAMBKIN_SERVICES_GATEWAY_RESOURCES_H
#define LAMBKIN_SERVICES_GATEWAY_RESOURCES_H

#include "base/json.h"
#include "engine/call.h"
#include "store/store.h"

#define RESOURCE_ID_CHARS 10

struct resource_change {
    struct call *c;
    struct store_tx *tx;
    struct str parent, id;
    const struct json_value *before; // NULL for a new one
    const struct json_value *after;  // the whole record to be
};

struct resource_kind {
    const char *name;     // in the store: "route"
    const char *noun;     // in messages: "Route"
    const char *id_key;   // the member that holds its id: "routeId"
    const char *name_key; // the id is the value of this member (stageName), NULL: made up
    unsigned id_chars;    // of a made-up id
    unsigned shape;       // of the record as it is answered
    const char *defaults; // JSON object under what the client said
    bool below_api;       // the parent must exist as an API
    // This member's value is had only once below the parent; resource_find() looks by it. Or NULL.
    const char *unique_key;
    // Checks the record to be, in the transaction; may be NULL. A client's error or 0.
    int (*check)(const struct resource_change *r, struct err *err);
};

// Each of these runs a transaction of its own. `in` and `out` are the operation's structures (their
// shapes are c->op's); `extra` is a JSON object over what the client said, made by the handler, or
// absent. Members that the input does not have leave what was there.
int resource_create(struct call *c, const struct resource_kind *k, struct str parent,
                    const void *in, struct str extra, void *out, struct err *err);
int resource_get(struct call *c, const struct resource_kind *k, struct str parent, struct str id,
                 void *out, struct err *err);
int resource_update(struct call *c, const struct resource_kind *k, struct str parent, struct str id,
                    const void *in, struct str extra, void *out, struct err *err);
// Takes a member of the record away ("corsConfiguration"), or an entry of a map below it.
int resource_drop_member(struct call *c, const struct resource_kind *k, struct str parent,
                         struct str id, const char *member, struct str entry, struct err *err);
int resource_delete(struct call *c, const struct resource_kind *k, struct str parent, struct str id,
                    struct err *err);
// {"items": […], "nextToken"}. max_results and next_token as the client sent them.
int resource_list(struct call *c, const struct resource_kind *k, struct str parent,
                  struct str max_results, struct str next_token, void *out, struct err *err);

// In somebody else's transaction. 1 and *record, or 0 when there is none, or negative.
int resource_load(struct call *c, struct store_tx *tx, const struct resource_kind *k,
                  struct str parent, struct str id, const struct json_value **record,
                  struct err *err);
int resource_store(struct call *c, struct store_tx *tx, const struct resource_kind *k,
                   struct str parent, struct str id, struct str json, struct err *err);
// The id of the record whose unique_key has that value: 1, or 0 when there is none, or negative.
int resource_find(struct call *c, struct store_tx *tx, const struct resource_kind *k,
                  struct str parent, struct str value, struct str *id, struct err *err);
// The same over the kind's defaults, and checked as the operations do (`check` false: not checked).
int resource_put(struct call *c, struct store_tx *tx, const struct resource_kind *k,
                 struct str parent, struct str id, struct str json, bool check, struct err *err);
// Removes every record of the kind below the parent.
int resource_clear(struct call *c, struct store_tx *tx, const struct resource_kind *k,
                   struct str parent, struct err *err);
// Calls each() for every record of the kind below the parent, oldest first.
int resource_each(struct store_tx *tx, struct str account, struct str region,
                  const struct resource_kind *k, struct str parent,
                  int (*each)(void *ctx, struct str id, struct str json, struct err *err),
                  void *ctx, struct err *err);
// The same for what stands below the parent's routes or integrations: all kinds that kind_below()
// makes of `k`.
int resource_each_below(struct store_tx *tx, struct str account, struct str region,
                        const struct resource_kind *k, struct str parent,
                        int (*each)(void *ctx, struct str id, struct str json, struct err *err),
                        void *ctx, struct err *err);
// A new id: lower case letters and digits, in the arena.
struct str resource_new_id(struct arena *a, unsigned chars);

// The members of `over` over those of `under` (either may be NULL), as JSON in the arena. Members
// that are null in `over` are left out.
struct str resource_overlay(struct arena *a, const struct json_value *under,
                            const struct json_value *over);

struct store *resources_store(void);
int resources_open(const char *path, struct err *err);
void resources_close(void);

// What was changed by one of the operations above. `before` and `after` are told apart only by
// whether there is something: who serves it reads the records anew, for commits and these calls
// may come in different orders.
struct resource_event {
    struct str account, region, parent, id;
    const struct resource_kind *kind;
    bool created, deleted;
};

// Says that a record was changed by resource_store(), after the commit.
void resource_announce(struct call *c, const struct resource_kind *k, struct str parent,
                       struct str id);
// Set once: called on a worker after the commit.
void resources_on_change(void (*fn)(const struct resource_event *e));

#endif
