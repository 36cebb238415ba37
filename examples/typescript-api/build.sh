#!/bin/sh
# Bundles handler.ts into build/index.mjs, as one would for AWS.
set -eu
cd "$(dirname "$0")"
esbuild=../../test/node/node_modules/.bin/esbuild
[ -x "$esbuild" ] || esbuild=$(command -v esbuild) ||
    { echo "esbuild is missing; run: sh tools/install_deps.sh runtimes" >&2; exit 1; }
mkdir -p build
"$esbuild" handler.ts --bundle --platform=node --format=esm --target=node18 \
    --outfile=build/index.mjs --log-level=warning
