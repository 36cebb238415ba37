// openapi_yaml.h - OpenAPI documents in YAML: read to what json.h reads, and written from it.
#ifndef LAMBKIN_SERVICES_GATEWAY_OPENAPI_YAML_H
#define LAMBKIN_SERVICES_GATEWAY_OPENAPI_YAML_H

#include "base/json.h"

// What one document may become: anchors that are repeated again and again count each time.
#define OPENAPI_YAML_MAX_JSON_BYTES ((size_t)8 << 20)
#define OPENAPI_YAML_MAX_VALUES 400000
#define OPENAPI_YAML_MAX_DEPTH 100
#define OPENAPI_YAML_MAX_ANCHORS 1000

// One document of YAML 1.2 with its core schema (yes, no, on and off are strings; 0o17 and 0x1f
// are numbers), in the arena. Keys are text whatever they look like. Refused with -EINVAL: a second
// document, keys that are no scalars, merge keys, tags other than the core schema's, an alias
// inside of its own anchor. -E2BIG: beyond the limits above.
int openapi_yaml_read(struct arena *a, struct str text, const struct json_value **out,
                      struct err *err);

// Block style, strings in double quotes. Failure is the buffer's.
void openapi_yaml_write(struct buf *b, const struct json_value *v);

#endif
