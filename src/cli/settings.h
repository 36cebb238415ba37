// settings.h - every setting of `lambkin serve`, in one table.
//
// The table makes the help text, the configuration file, the LAMBKIN_* variables, the flags and
// docs/configuration.md. The same text form carries what main decided to keeper and server.
#ifndef LAMBKIN_CLI_SETTINGS_H
#define LAMBKIN_CLI_SETTINGS_H

#include "base/buf.h"
#include "os/config.h"

// From defaults, file (--config or LAMBKIN_CONFIG), environment and flags. Fills in what follows
// from others (the data directory). Anything in argv that is no flag is an error.
int settings_load(int argc, char **argv, struct config **out, struct err *err);
// What settings_dump() wrote, in a process that main started.
int settings_load_text(struct str text, struct config **out, struct err *err);
// All that are set, as "name = value" lines.
void settings_dump(const struct config *c, struct buf *out);
void settings_dump_one(struct buf *out, const char *name, const char *value);

// For people: the flags with their defaults; and as a Markdown table.
void settings_help(struct buf *out);
void settings_markdown(struct buf *out);

#endif
