// files.h - the bootstraps of the managed runtimes, carried in the binary.
#ifndef LAMBKIN_RUNTIME_FILES_H
#define LAMBKIN_RUNTIME_FILES_H

#include "base/err.h"

#define RUNTIME_PYTHON_BOOTSTRAP "bootstrap.py"
#define RUNTIME_NODE_BOOTSTRAP "bootstrap.cjs"
#define RUNTIME_RUBY_BOOTSTRAP "bootstrap.rb"

// Java's is not ours: AWS's runtime interface client, which `lambkin runtime install java` puts
// into this folder below the runtime folder. The class path is relative to /var/task as well as to
// the runtime folder, so that an archive of its classes (<major>.jsa) made there is valid inside.
#define RUNTIME_JAVA_FOLDER "java"
#define RUNTIME_JAVA_CLIENT "aws-lambda-java-runtime-interface-client.jar"
#define RUNTIME_JAVA_CLASS_PATH                                                                    \
    "../runtime/java/" RUNTIME_JAVA_CLIENT ":../runtime/java/aws-lambda-java-core.jar:"            \
    "../runtime/java/aws-lambda-java-serialization.jar"
#define RUNTIME_JAVA_MAIN "com.amazonaws.services.lambda.runtime.api.client.AWSLambda"

// Writes them into `dir` (made when missing), readable by everybody; the keeper shows `dir` to
// sandboxes as /var/runtime. Called by main before the keeper starts. Leaves equal files alone.
int runtime_files_write(const char *dir, struct err *err);

#endif
