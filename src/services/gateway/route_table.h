// route_table.h - which route of an API a request takes: "GET /users/{id}", "ANY /files/{path+}".
//
// Pure. Any number of threads may look up at the same time; who adds or removes keeps them out.
// A look-up costs by the path's length, not by the number of routes.
#ifndef LAMBKIN_SERVICES_GATEWAY_ROUTE_TABLE_H
#define LAMBKIN_SERVICES_GATEWAY_ROUTE_TABLE_H

#include "base/arena.h"
#include "base/err.h"

#define ROUTE_MAX_PARAMETERS 32
#define ROUTE_MAX_SEGMENTS 128

struct route_table;

struct route_parameter {
    struct str name, value; // value still percent-encoded, pointing into the path
};

struct route_match {
    const void *route;
    struct route_parameter parameters[ROUTE_MAX_PARAMETERS];
    unsigned n_parameters;
};

// Everything lives in the arena. NULL when out of memory.
struct route_table *route_table_new(struct arena *a);
// `key`: "METHOD /path" with METHOD one of HTTP's or ANY, or "$default". -EINVAL malformed,
// -EEXIST there is such a route (parameters' names aside), -ENOMEM.
int route_table_add(struct route_table *t, struct str key, const void *route, struct err *err);
// Takes a route away; its memory stays in the arena. Nothing when there is no such route.
void route_table_remove(struct route_table *t, struct str key);
// Is this a key that route_table_add would take?
bool route_key_valid(struct str key);
// The most specific route: segments that are named win over {parameters}, those over {greedy+};
// a method that is named wins over ANY; $default takes what is left. False: none.
bool route_table_match(const struct route_table *t, struct str method, struct str path,
                       struct route_match *out);

#endif
