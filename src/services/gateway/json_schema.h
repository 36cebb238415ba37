// json_schema.h - does a message fit its model? JSON Schema draft 4, as API Gateway's models are.
//
// There are type, enum, required, properties, patternProperties, additionalProperties, items,
// additionalItems, the minima and maxima, pattern, allOf, anyOf, oneOf, not and "$ref" inside of
// the schema. Other keywords (format, default, title) say nothing about a document. Pure but for
// the regular expressions' memory.
#ifndef LAMBKIN_SERVICES_GATEWAY_JSON_SCHEMA_H
#define LAMBKIN_SERVICES_GATEWAY_JSON_SCHEMA_H

#include "base/json.h"

// Work is bounded: a schema that takes too many steps fits nothing.
bool json_schema_fits(const struct json_value *schema, const struct json_value *document);

// A template that makes a document of the schema's shape with nothing in it. Absent: no memory.
struct str model_template(struct arena *a, const struct json_value *schema);

#endif
