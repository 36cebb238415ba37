#!/bin/sh
# build.sh [OUT-DIR] - the executable `bootstrap` that a provided.al2023 package consists of.
set -eu
out=$(realpath -m "${1:-$(dirname "$0")/build}")
cd "$(dirname "$0")"
mkdir -p "$out"
CGO_ENABLED=0 GOTOOLCHAIN=local go build -tags lambda.norpc -ldflags='-s -w' -o "$out/bootstrap" .
