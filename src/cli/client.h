// client.h - how the verbs speak to a daemon: AWS's own HTTP API, signed like any client's.
#ifndef LAMBKIN_CLI_CLIENT_H
#define LAMBKIN_CLI_CLIENT_H

#include "base/arena.h"
#include "base/json.h"
#include "cli/args.h"
#include "http/client.h"

struct client {
    struct arena arena;            // for everything that a verb makes
    const char *endpoint, *region; // NULL: from the environment
    bool json;                     // --json was given, or standard output is no terminal
    bool terminal;                 // standard error is a terminal: show progress there
};

#define CLIENT_ARGS(c)                                                                             \
    {.name = "--endpoint", .value = &(c)->endpoint}, {.name = "--region", .value = &(c)->region},  \
    {                                                                                              \
        .name = "--json", .flag = &(c)->json                                                       \
    }

void client_init(struct client *c);
// After args_parse(): fills in what was not given.
void client_settle(struct client *c);
void client_finish(struct client *c);

struct client_call {
    const char *service; // "lambda", as in the credential scope
    const char *method;
    struct str target; // path and query, percent-encoded
    struct str body;   // absent: none
    struct http_header headers[4];
    unsigned n_headers;
    int64_t timeout_ms; // 0: 15 minutes, the longest invocation
};

// 0 with *answer filled in (http_client_response_finish() it) whatever AWS's status below 400.
// An error of the API is -EREMOTEIO with "Code: message" in err, its status in answer->status and
// *answer still to be finished; no daemon is -ECONNREFUSED with advice.
int client_call(struct client *c, const struct client_call *call,
                struct http_client_response *answer, struct err *err);
// The same for json-1.1 services: POST / with X-Amz-Target.
int client_call_json(struct client *c, const char *service, const char *target, struct str body,
                     struct http_client_response *answer, struct err *err);
// "/2015-03-31/functions/NAME" + rest, NAME percent-encoded.
struct str client_function_path(struct client *c, const char *version, const char *name,
                                const char *rest);
// The body as JSON, in the client's arena (strings point into the answer's).
int client_parse(struct client *c, const struct http_client_response *answer,
                 const struct json_value **out, struct err *err);

// A line of progress on standard error, written over by the next; only on a terminal.
void client_progress(struct client *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void client_progress_end(struct client *c);

#endif
