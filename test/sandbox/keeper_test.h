// keeper_test.h - what the two files of test_keeper share: the keeper under test, and short words
// for sandboxes with the guest in them.
#ifndef LAMBKIN_TEST_KEEPER_TEST_H
#define LAMBKIN_TEST_KEEPER_TEST_H

#include "stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

extern struct stage *stage;
extern struct stage_options options;

#define NEEDS(condition)                                                                           \
    if (!(condition)) {                                                                            \
        print_message("skipped: not on this host: " #condition "\n");                              \
        skip();                                                                                    \
    }

// A file below the data directory.
void put_file(const char *name, const char *text);
struct sandbox_spec spec_of(const char *verb, const char *argument);
// Starts and waits for the end.
void run(struct stage_run *r, const struct sandbox_spec *spec);
void end(struct stage_run *r);
void assert_output(const struct stage_run *r, const char *text);
// The NUL behind the output that the comparison wants.
void finish_output(struct stage_run *r);
bool said_something(void *run);
bool keeper_test_lost(void *unused);
// A line over the control socket, and what comes back in that time.
void ask(int fd, const char *line, char *answer, size_t room, int wait_ms);
// Kills the keeper; the next one has the stage's configuration.
void restart_keeper(void);

// keeper_shares.c
void memory_runs_out_alone(void **state);
void files_are_not_memory(void **state);
void disks_are_shared(void **state);
void cpu_follows_memory(void **state);

#endif
