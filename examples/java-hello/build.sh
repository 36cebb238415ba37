#!/bin/sh
# build.sh AWS-LAMBDA-JAVA-CORE.JAR [OUT-DIR] - the classes that a java17 package consists of.
# `lambkin runtime install java` leaves that jar in DATA-DIR/runtime/java.
set -eu
core=$(realpath "$1")
out=$(realpath -m "${2:-$(dirname "$0")/build}")
cd "$(dirname "$0")"
mkdir -p "$out"
javac --release 17 -cp "$core" -d "$out" example/Handlers.java
