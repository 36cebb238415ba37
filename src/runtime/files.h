// files.h - the bootstraps of the managed runtimes, carried in the binary.
#ifndef LAMBKIN_RUNTIME_FILES_H
#define LAMBKIN_RUNTIME_FILES_H

#include "base/err.h"

#define RUNTIME_PYTHON_BOOTSTRAP "bootstrap.py"
#define RUNTIME_NODE_BOOTSTRAP "bootstrap.cjs"
#define RUNTIME_RUBY_BOOTSTRAP "bootstrap.rb"
// Modules that functions may import whatever their PYTHONPATH is.
#define RUNTIME_PYTHON_FOLDER "python"

// Java's is not ours: AWS's runtime interface client, which `lambkin runtime install java` puts
// into this folder below the runtime folder, with an archive of its classes for each JDK
// (<major>.jsa). An archive made outside is valid inside: it names its jars relative to the
// runtime folder, and from /var/task that path leads to the same files as the absolute one.
#define RUNTIME_JAVA_FOLDER "java"
#define RUNTIME_JAVA_CLIENT "aws-lambda-java-runtime-interface-client.jar"
#define RUNTIME_JAVA_CLASS_PATH(runtime_folder)                                                    \
    runtime_folder "/" RUNTIME_JAVA_FOLDER "/" RUNTIME_JAVA_CLIENT ":" runtime_folder              \
                   "/" RUNTIME_JAVA_FOLDER "/aws-lambda-java-core.jar:" runtime_folder             \
                   "/" RUNTIME_JAVA_FOLDER "/aws-lambda-java-serialization.jar"
#define RUNTIME_JAVA_MAIN "com.amazonaws.services.lambda.runtime.api.client.AWSLambda"

// Writes them into `dir` (made when missing), readable by everybody; the keeper shows `dir` to
// sandboxes as /var/runtime. Called by main before the keeper starts. Leaves equal files alone.
int runtime_files_write(const char *dir, struct err *err);

#endif
