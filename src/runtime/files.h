// files.h - the bootstraps of the managed runtimes, carried in the binary.
#ifndef LAMBKIN_RUNTIME_FILES_H
#define LAMBKIN_RUNTIME_FILES_H

#include "base/err.h"

#include <stddef.h>

#define RUNTIME_PYTHON_BOOTSTRAP "bootstrap.py"
#define RUNTIME_NODE_BOOTSTRAP "bootstrap.cjs"
// Beside it: V8's code cache, and what its spares rehearse with.
#define RUNTIME_NODE_CODE_CACHE "code-cache.cjs"
#define RUNTIME_NODE_REHEARSAL_SCRIPT "rehearsal-script.js"
#define RUNTIME_NODE_REHEARSAL_MODULE "rehearsal-module.mjs"
#define RUNTIME_RUBY_BOOTSTRAP "bootstrap.rb"
// Modules that functions may import whatever their PYTHONPATH is.
#define RUNTIME_PYTHON_FOLDER "python"

// Java: `lambkin runtime install java` puts AWS's runtime interface client into this folder below
// the runtime folder, our own bootstrap compiled against it, and an archive of their classes for
// each JDK (<major>.jsa). An archive made outside is valid inside: it names its jars relative to
// the runtime folder, and from /var/task that path leads to the same files as the absolute one.
// Without a javac there is no bootstrap: then the client itself is run, over the HTTP Runtime API.
#define RUNTIME_JAVA_FOLDER "java"
#define RUNTIME_JAVA_CLIENT "aws-lambda-java-runtime-interface-client.jar"
#define RUNTIME_JAVA_CLASS_PATH(runtime_folder)                                                    \
    runtime_folder "/" RUNTIME_JAVA_FOLDER "/" RUNTIME_JAVA_CLIENT ":" runtime_folder              \
                   "/" RUNTIME_JAVA_FOLDER "/aws-lambda-java-core.jar:" runtime_folder             \
                   "/" RUNTIME_JAVA_FOLDER "/aws-lambda-java-serialization.jar"
#define RUNTIME_JAVA_MAIN "com.amazonaws.services.lambda.runtime.api.client.AWSLambda"
#define RUNTIME_JAVA_BOOTSTRAP_MAIN "lambkin.Bootstrap"
#define RUNTIME_JAVA_LIBRARY "process.so" // beside the bootstrap's jar, which looks for it there
#define RUNTIME_JAVA_NAME_BYTES 32
// The bootstrap's jar: its name tells this version's from others.
void runtime_java_name(char name[static RUNTIME_JAVA_NAME_BYTES]);
// What it is made of: sources by their packages ("lambkin/Json.java"), and the library. As
// tools/embed.py writes them; one without a name ends them.
struct embedded_file {
    const char *name;
    const unsigned char *data;
    size_t len;
};
extern const struct embedded_file runtime_java_files[];

// Writes them into `dir` (made when missing), readable by everybody; the keeper shows `dir` to
// sandboxes as /var/runtime. Called by main before the keeper starts. Leaves equal files alone.
int runtime_files_write(const char *dir, struct err *err);

#endif
