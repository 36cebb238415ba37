// interpreters.h - which interpreters this host has: the one place that looks for them.
//
// `main` looks (it has the operator's PATH and HOME), names what it found to the keeper as what may
// be run, and saves the list for the server, which may not be able to see the same folders. Real
// binaries only: the shell scripts that version managers put into PATH are looked behind.
#ifndef LAMBKIN_SANDBOX_INTERPRETERS_H
#define LAMBKIN_SANDBOX_INTERPRETERS_H

#include "base/err.h"
#include "base/str.h"

#define INTERPRETERS_MAX 32

enum interpreter_kind {
    INTERPRETER_PYTHON,
    INTERPRETER_NODE,
    INTERPRETER_JAVA,
    INTERPRETER_RUBY,
    INTERPRETER_DOTNET
};

struct interpreter {
    enum interpreter_kind kind;
    unsigned major, minor; // 3, 11; Node.js: 20, 11; Java: 17, 0
    char version[32];      // as exact as is known: "3.11.7", "3.11", "20.11.1"
    char path[256];        // absolute, no symbolic links
};

struct interpreters {
    struct interpreter list[INTERPRETERS_MAX];
    unsigned n;
};

const char *interpreter_name(enum interpreter_kind kind);  // "nodejs", as AWS's runtimes begin
const char *interpreter_title(enum interpreter_kind kind); // "Node.js"
// Whether its bootstrap speaks the framed protocol; else it is a client of the HTTP Runtime API.
bool interpreter_framed(enum interpreter_kind kind);

// Blocking: reads folders and asks `node` and `ruby` for their versions. One of each Python 3.x
// (from 3.8), Node.js major (from 18), Java major (from 8), Ruby (from 3.0) and .NET major (from 6;
// the runtimes of one `dotnet` share its path): the first found in PATH, then what version managers
// and Debian's packages installed.
void interpreters_find(struct interpreters *out);
// The same, taking the version of a program that has not changed since from the file of an earlier
// interpreters_save() instead of asking it. Writes the file when the list is another one.
int interpreters_find_cached(struct interpreters *out, const char *path, struct err *err);
int interpreters_save(const struct interpreters *list, const char *path, struct err *err);
int interpreters_load(struct interpreters *out, const char *path, struct err *err);

// What a runtime's name ("python3.12", "nodejs22.x", "provided.al2023", "java21") asks for.
struct interpreter_wish {
    bool known;   // AWS has, had or will have such a runtime
    bool custom;  // provided*: needs no interpreter
    bool managed; // there is a bootstrap for it: kind, major and minor are valid
    enum interpreter_kind kind;
    unsigned major, minor;
};
struct interpreter_wish interpreter_wish(struct str runtime);
// The exact version, else the nearest of its language (of two as near the newer), else NULL.
const struct interpreter *interpreters_choose(const struct interpreters *list,
                                              const struct interpreter_wish *wish, bool *exact);
// Whether it is the very version that was asked for.
bool interpreter_is(const struct interpreter *p, const struct interpreter_wish *wish);

#endif
