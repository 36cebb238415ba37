// runtime_install.h - the parts of `lambkin runtime install`.
#ifndef LAMBKIN_CLI_RUNTIME_INSTALL_H
#define LAMBKIN_CLI_RUNTIME_INSTALL_H

#include "base/err.h"

// Runs a program of the host's (argv[0] a path, or searched for in PATH) with our output, within
// twenty minutes. An error names it.
int runtime_run_tool(const char *const *argv, const char *cwd, struct err *err);
// Into dir/java: AWS's client by Maven, our bootstrap by a JDK's javac, an archive of their classes
// for each JDK. Without a javac it says so and leaves the bootstrap out.
int runtime_install_java(const char *dir, struct err *err);

#endif
