// policies.h - documents of resource-based policies, for functions and layers.
#ifndef LAMBKIN_SERVICES_LAMBDA_POLICIES_H
#define LAMBKIN_SERVICES_LAMBDA_POLICIES_H

#include "base/buf.h"
#include "engine/call.h"

struct policy_grant {
    struct str sid, principal, action, resource;
    // Conditions; absent: none.
    struct str source_arn, source_account, token, organization, url_auth;
    bool via_url;
};

// Writes the statement's JSON.
void policy_statement(struct buf *out, const struct policy_grant *g);
// A document with the statement added; ResourceConflictException when its id is taken.
int policy_add(struct call *c, struct str policy, struct str sid, struct str statement,
               struct str *out, struct err *err);
// The document without the statement; absent when none is left. ResourceNotFoundException.
int policy_remove(struct call *c, struct str policy, struct str sid, struct str *out,
                  struct err *err);

#endif
