// api_compile.h - an API's records become what requests see: stages, routes, integrations.
//
// Everything lives in the model's arena and points into the records' JSON, which lives there too.
// One thread at a time works on a model.
#ifndef LAMBKIN_SERVICES_GATEWAY_API_COMPILE_H
#define LAMBKIN_SERVICES_GATEWAY_API_COMPILE_H

#include "services/gateway/api_model.h"

// The records that a stage serves, as lists; any may be NULL.
struct api_records {
    const struct json_value *routes, *integrations, *authorizers;
    const struct json_value *responses; // of integrations, with their integrationId
    const struct json_value *models;
    const struct json_value *links; // VPC links of the account, always as they are now
};

// Adds the stage of that record to the model: with auto-deploy it serves what is live, else what
// was frozen by its deployment (NULL: nothing). -ENOMEM.
int api_compile_stage(struct api *api, const struct json_value *stage,
                      const struct api_records *live, const struct api_records *frozen);
// A route of a model that is in use was made, changed or (record NULL) deleted: every stage that
// serves what is live is changed. `from` has at least what the route refers to. -EEXIST: there
// is a route with the same paths and methods: compile the model anew.
int api_compile_route(struct api *api, struct str id, const struct json_value *record,
                      const struct api_records *from);
// Frees what the stages have outside of the arena.
void api_compile_forget(struct api *api);

#endif
