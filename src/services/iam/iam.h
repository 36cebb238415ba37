// iam.h - IAM as records: roles, users, access keys, groups, policies, instance profiles.
//
// Policies are kept and given back, not evaluated. Access keys made here can sign requests.
// The functions block on the store: call them on a worker.
#ifndef LAMBKIN_SERVICES_IAM_H
#define LAMBKIN_SERVICES_IAM_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct engine_service;
extern const struct engine_service iam_service;

struct iam_key {
    struct str access_key_id, secret_key;
    struct str account, user_arn, user_id;
    bool active;
};

// -ENOENT: no such key.
int iam_access_key_find(struct arena *arena, struct str access_key_id, struct iam_key *out,
                        struct err *err);

// The unique id (AROA…) of a role, or -ENOENT: for STS.
int iam_role_find(struct arena *arena, struct str account, struct str role_name,
                  struct str *role_id, struct str *role_arn, int64_t *max_session_s,
                  struct err *err);

#endif
