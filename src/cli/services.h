// services.h - which services this binary has, in the order they start.
#ifndef LAMBKIN_CLI_SERVICES_H
#define LAMBKIN_CLI_SERVICES_H

#include "engine/engine.h"

extern const struct engine_service *const cli_services[];
extern const unsigned cli_n_services;

#endif
