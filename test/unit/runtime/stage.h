// stage.h - a keeper, loops and the runtime in one test process, and functions to invoke on it.
#ifndef LAMBKIN_TEST_RUNTIME_STAGE_H
#define LAMBKIN_TEST_RUNTIME_STAGE_H

#include "base/buf.h"
#include "runtime/runtime.h"

struct stage_function {
    const char *name, *runtime, *handler;
    const char *file, *content;     // what is in its package
    const char *copy;               // or: an executable that becomes `bootstrap`
    const char *extension;          // an executable that becomes a layer's extensions/ext
    unsigned timeout_ms, memory_mb; // 0: 3,000 and 128
    const char *variable, *value;   // NULL: none
    const char *version;            // NULL: $LATEST
    bool log_json;
};

enum stage_language { STAGE_PYTHON, STAGE_NODE };

struct stage_answer {
    struct invocation inv;
    struct buf streamed;
    unsigned begins, writes;
    bool done;
};

// Before any thread: forks the keeper. Aborts on failure.
void stage_open(const struct runtime_config *config);
void stage_close(void);
void stage_restart_keeper(void);
bool stage_has(enum stage_language language);
struct function_config *stage_make(const struct stage_function *f);
// Submits and does not wait / waits for its end (60 s, then aborts).
struct stage_answer *stage_begin(struct function_config *f, const char *payload, bool stream);
void stage_wait(struct stage_answer *a);
struct stage_answer *stage_invoke(struct function_config *f, const char *payload);
void stage_answer_free(struct stage_answer *a);
struct str stage_response(const struct stage_answer *a);
// Everything logged so far, lines joined by newlines.
struct str stage_log(void);
void stage_log_clear(void);
bool stage_logged(const char *text);
bool stage_until_logged(const char *text); // false after 60 s
// Waits until fn() is true; false after 60 s.
bool stage_until(bool (*fn)(void));
const char *stage_dir(void);

#endif
