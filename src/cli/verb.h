// verb.h - the verbs of the command line: what each is called and which function carries it out.
//
// A verb's function gets its own arguments (argv[0] is the verb) and answers the exit code:
// 0 success, 1 it failed, 2 it was called wrongly.
#ifndef LAMBKIN_CLI_VERB_H
#define LAMBKIN_CLI_VERB_H

#include "base/err.h"

#ifndef LAMBKIN_VERSION
#define LAMBKIN_VERSION "0.0.0"
#endif

enum { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct cli_verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *arguments; // "DIR|ZIP"; "" for none
    const char *summary;   // one line; NULL: not shown (our own processes)
    const char *flags;     // its flags, for completion: "--name --handler"
    const char *help;      // further lines, or NULL
};

extern const struct cli_verb cli_verbs[];
extern const unsigned cli_n_verbs;
const struct cli_verb *cli_verb_find(const char *name);
// The verb's help on standard output (EXIT_FINE) or error (EXIT_USAGE); answers `code`.
int cli_verb_usage(const char *name, int code);
// "lambkin: message" on standard error; answers EXIT_FAILED.
int cli_fail(const struct err *err);

int serve_main(int argc, char **argv);
int deploy_main(int argc, char **argv);
int dev_main(int argc, char **argv);
int init_main(int argc, char **argv);
int invoke_main(int argc, char **argv);
int logs_main(int argc, char **argv);
int ls_main(int argc, char **argv);
int rm_main(int argc, char **argv);
int url_main(int argc, char **argv);
int top_main(int argc, char **argv);
int events_main(int argc, char **argv);
int replay_main(int argc, char **argv);
int queues_main(int argc, char **argv);
int routes_main(int argc, char **argv);
int trace_main(int argc, char **argv);
int doctor_main(int argc, char **argv);
int runtime_main(int argc, char **argv);
int completion_main(int argc, char **argv);
int version_main(int argc, char **argv);
int help_main(int argc, char **argv);

#endif
