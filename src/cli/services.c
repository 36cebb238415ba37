// services.c - the table of services. Those that others build upon come first.
#include "cli/services.h"

#include "base/cleanup.h"
#include "services/gateway/gateway.h"
#include "services/iam/iam.h"
#include "services/lambda/lambda.h"
#include "services/logs/logs.h"
#include "services/sqs/sqs.h"
#include "services/sts/sts.h"

const struct engine_service *const cli_services[] = {
    &iam_service, &sts_service, &logs_service, &sqs_service, &lambda_service, &gateway_service,
};
const unsigned cli_n_services = ARRAY_LEN(cli_services);
