// service_integration.h - HTTP APIs that call an AWS service without a function in between.
//
// An AWS_PROXY integration with a subtype ("SQS-SendMessage") is one operation of one service; its
// request parameters say what the operation is given. Services that are not here are accepted when
// the integration is made, as on AWS, and answer 501 when it is called.
#ifndef LAMBKIN_SERVICES_GATEWAY_SERVICE_INTEGRATION_H
#define LAMBKIN_SERVICES_GATEWAY_SERVICE_INTEGRATION_H

#include "services/gateway/api_request.h"

// By subtype; NULL: there is no such subtype (or it is absent).
const struct service_action *service_action_named(struct str subtype);
const char *service_action_name(const struct service_action *a);
// Are the required parameters there, and no unknown ones? A client's error or 0.
int service_action_check(const struct service_action *a, const struct json_value *parameters,
                         struct err *err);

// Answers the request. Its body has been read.
void service_integration_start(struct api_request *r);

#endif
