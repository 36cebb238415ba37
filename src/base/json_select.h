// json_select.h - a value inside of a JSON document, by the plain part of JSONPath.
//
// "$.a.b[0]['c d']"; the leading "$" or "$." may be missing. No wildcards, slices, filters or
// recursive descent.
#ifndef LAMBKIN_BASE_JSON_SELECT_H
#define LAMBKIN_BASE_JSON_SELECT_H

#include "base/json.h"

// NULL: there is no such value, or the path is not one.
const struct json_value *json_select(const struct json_value *v, struct str path);
// A value as text: a string without its quotes, anything else as its JSON. Absent for NULL.
struct str json_text(const struct json_value *v);

#endif
