// config.h - settings: defaults, then a "key = value" file, then LAMBKIN_*, then --flags.
//
// The table of known settings belongs to the caller (src/cli); this is the mechanism. A later
// source overrides an earlier one whatever the order of the calls. An unknown name or a value
// out of range is an error that says where it stands.
#ifndef LAMBKIN_OS_CONFIG_H
#define LAMBKIN_OS_CONFIG_H

#include "base/err.h"

enum config_kind {
    CONFIG_STRING,
    CONFIG_BOOL,     // true/false, yes/no, on/off, 1/0; the bare flag is true, --no-NAME false
    CONFIG_INT,      // decimal within [min, max]
    CONFIG_BYTES,    // decimal with an optional k, m, g (1024) behind it
    CONFIG_DURATION, // milliseconds: decimal with ms (default), s, m, h behind it
    CONFIG_ENUM,     // one of `choices`
};

struct config_setting {
    const char
        *name; // "data-dir": file "data-dir = X" or "data_dir = X", LAMBKIN_DATA_DIR, --data-dir X
    enum config_kind kind;
    const char *fallback; // the default as text, or NULL for unset
    int64_t min, max;     // numbers; both 0: no bounds
    const char *choices;  // CONFIG_ENUM: "strict|best-effort|none"
    const char *help;
};

enum config_source { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENV, CONFIG_FLAG };

struct config;

// `settings` must outlive the config.
int config_create(const struct config_setting *settings, unsigned n, struct config **out,
                  struct err *err);
void config_destroy(struct config *c);
void config_destroyp(struct config **c);

// Lines "key = value"; '#' starts a comment at the start of a line or after white space; a value
// may stand in double quotes.
int config_load_file(struct config *c, const char *path, struct err *err);
int config_load_text(struct config *c, const char *name, struct str text, struct err *err);
// Takes LAMBKIN_* of the environment; unknown LAMBKIN_ names are left alone (clients use some).
int config_load_env(struct config *c, char *const *environment, struct err *err);
// Takes "--name value", "--name=value", "--flag", "--no-flag"; what is not a flag is moved to the
// front of argv and counted in *rest. "--" ends the flags.
int config_load_args(struct config *c, int argc, char **argv, int *rest, struct err *err);
// Sets one by name, as if from `source`.
int config_set(struct config *c, const char *name, struct str value, enum config_source source,
               struct err *err);

// The name must be in the table (abort otherwise: a programming error).
struct str config_str(const struct config *c, const char *name);   // absent when unset
const char *config_cstr(const struct config *c, const char *name); // NULL when unset
int64_t config_i64(const struct config *c, const char *name);
bool config_bool(const struct config *c, const char *name);
enum config_source config_source_of(const struct config *c, const char *name);

#endif
