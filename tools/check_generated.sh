#!/bin/sh
# Fails when src/wire/gen is not what tools/generate_wire.py makes of models/.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 "$top/tools/generate_wire.py" --out "$dir"
if ! diff -r "$dir" "$top/src/wire/gen" >"$dir.diff" 2>&1; then
    head -n 20 "$dir.diff"
    rm -f "$dir.diff"
    echo "check_generated: src/wire/gen is stale; run tools/generate_wire.py" >&2
    exit 1
fi
rm -f "$dir.diff"
echo "check_generated: src/wire/gen is up to date"
