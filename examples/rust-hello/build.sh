#!/bin/sh
# build.sh [OUT-DIR] - the executable `bootstrap` that a provided.al2023 package consists of.
set -eu
out=$(realpath -m "${1:-$(dirname "$0")/build}")
cd "$(dirname "$0")"
mkdir -p "$out"
cargo build --release --target-dir "$out/target"
cp "$out/target/release/bootstrap" "$out/bootstrap"
