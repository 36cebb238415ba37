// policies.h - what other files need to know about managed policies.
#ifndef LAMBKIN_IAM_POLICIES_H
#define LAMBKIN_IAM_POLICIES_H

#include "base/str.h"

bool iam_policy_is_aws(struct str arn);
struct str iam_policy_name_of_arn(struct str arn);

#endif
