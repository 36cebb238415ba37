// telemetry.h - what extensions that subscribed are told: the Telemetry API and the older Logs API.
//
// Everything here happens on the environment's loop and never waits: events are put into batches,
// batches are delivered beside everything else. All of it is harmless without any subscriber.
#ifndef LAMBKIN_RUNTIME_TELEMETRY_H
#define LAMBKIN_RUNTIME_TELEMETRY_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct environment;
struct http_request;

// Who is to hear of an event; a mask.
enum telemetry_audience {
    TELEMETRY_PLATFORM = 1,  // Telemetry API, type platform
    TELEMETRY_FUNCTION = 2,  // type function, of either API
    TELEMETRY_EXTENSION = 4, // type extension, of either API
    TELEMETRY_LOGS_API = 8,  // Logs API, type platform: its records have shapes of their own
};

// INIT begins: what happens from now on is kept for those who will subscribe, within bounds.
void telemetry_begin(struct environment *env);
// INIT is over: nobody can subscribe any more.
void telemetry_close(struct environment *env);
// Whether anybody may hear of such an event; else it need not be made.
bool telemetry_wants(const struct environment *env, unsigned audience);
// record: one JSON value. type: a constant.
void telemetry_event(struct environment *env, unsigned audience, const char *type,
                     struct str record);
// A line of the function's or an extension's output.
void telemetry_line(struct environment *env, unsigned audience, int64_t time_ms, struct str line);

// PUT telemetry, PUT logs: of the extension with that number and name.
void telemetry_subscribe(struct environment *env, unsigned extension, const char *name,
                         struct http_request *req, bool logs_api);

// SHUTDOWN: what waits is delivered now, and what comes is no longer gathered.
void telemetry_flush(struct environment *env);
// Whether something is still to be delivered. After telemetry_flush(), environment_told() is called
// when nothing is left.
bool telemetry_busy(const struct environment *env);
void telemetry_free(struct environment *env); // no delivery any more

#endif
