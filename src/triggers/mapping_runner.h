// mapping_runner.h - runs the event source mappings that the Lambda service keeps.
#ifndef LAMBKIN_TRIGGERS_MAPPING_RUNNER_H
#define LAMBKIN_TRIGGERS_MAPPING_RUNNER_H

#include "base/err.h"

struct engine;

int mapping_runner_register(struct engine *e);
int mapping_runner_start(struct engine *e, struct err *err);
void mapping_runner_drain(void);
unsigned mapping_runner_busy(void);
void mapping_runner_stop(void);

#endif
