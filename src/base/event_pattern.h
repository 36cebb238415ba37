// event_pattern.h - the event pattern language of EventBridge, Pipes and event source mappings.
//
// Pure: no system calls, no global state. A pattern is compiled once and matched often, from any
// thread. Sizes: AWS limits a pattern's text to 4,096 characters; the caller checks that.
#ifndef LAMBKIN_BASE_EVENT_PATTERN_H
#define LAMBKIN_BASE_EVENT_PATTERN_H

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"

struct event_pattern;

// Compiles the pattern's JSON text. The pattern lives in `a`, and so must the text.
// -EINVAL: not a pattern; err's message says why, in words for the client ("Reason: …" of
// InvalidEventPatternException is made of it). -ENOMEM.
int event_pattern_compile(struct arena *a, struct str text, const struct event_pattern **out,
                          struct err *err);

// Does the event match? Every field that the pattern names must; what it does not name is free.
// Where the event has an array, one element that matches is enough, and fields that the pattern
// names below an array of objects must match within one and the same element.
bool event_pattern_match(const struct event_pattern *p, const struct json_value *event);

#endif
