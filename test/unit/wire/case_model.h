// case_model.h - a service's tables made at run time from the shapes of a protocol case.
#ifndef LAMBKIN_TEST_CASE_MODEL_H
#define LAMBKIN_TEST_CASE_MODEL_H

#include "base/json.h"
#include "wire/wire.h"

// Tables of a suite {"metadata", "shapes"} with one operation, as tools/generate_wire.py would make
// them of its model. `given` is the case's operation. All of it lives in the arena.
const struct wire_service *case_service(struct arena *a, const struct json_value *suite,
                                        const struct json_value *given);

#endif
