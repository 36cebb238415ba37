// mapping_template.h - mapping templates: what a WebSocket API's integration is sent and answers.
//
// API Gateway's templates are Velocity's. Of that language there are the references, which is what
// nearly every template consists of: $input.body, $input.json('$.a'), $input.path('$.a').b,
// $input.params('x'), $context.…, $stageVariables.…, $util.escapeJavaScript, base64Encode,
// base64Decode, urlEncode and urlDecode, with or without braces or "!", "\$" and comments.
// Directives (#set, #if, #foreach …) are refused when a template is stored, by name.
#ifndef LAMBKIN_SERVICES_GATEWAY_MAPPING_TEMPLATE_H
#define LAMBKIN_SERVICES_GATEWAY_MAPPING_TEMPLATE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct template_source {
    struct str body; // of what is mapped
    // "context.connectionId", "stageVariables.x", "params.x"; absent: there is none.
    struct str (*lookup)(void *ctx, struct str name);
    void *ctx;
};

// -EINVAL: it uses what is not there; err says what.
int mapping_template_check(struct str text, struct err *err);
// -EINVAL as above, -EFBIG, -ENOMEM.
int mapping_template_render(struct arena *a, struct str text, const struct template_source *from,
                            struct str *out, struct err *err);

#endif
