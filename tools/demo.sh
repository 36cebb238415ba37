#!/usr/bin/env bash
# demo.sh LAMBKIN - starts a daemon on a free port in a temporary directory, deploys the functions
# of examples/, calls each with its log tail and a breakdown of where the time went, and ends.
#
# Needs what tools/install_deps.sh runtimes brings; examples that need more are left out, visibly.
set -eu
exec </dev/null
umask 022
lambkin=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
for name in $(env | sed -n 's/^\(AWS_[A-Z_]*\|LAMBKIN_[A-Z_]*\)=.*/\1/p'); do
    unset "$name"
done

bold='' plain=''
if [ -t 1 ]; then
    bold=$(printf '\033[1m') plain=$(printf '\033[0m')
fi
say() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }

scratch=$(mktemp -d "${TMPDIR:-/tmp}/lambkin-demo.XXXXXX")
chmod 755 "$scratch"
daemon=
end() {
    status=$?
    trap - EXIT
    if [ -n "$daemon" ]; then
        kill -TERM "$daemon" 2>/dev/null || true
        wait "$daemon" 2>/dev/null || true
    fi
    if [ "$status" -ne 0 ]; then
        echo "demo: failed; the daemon's log:" >&2
        tail -n 40 "$scratch/log" >&2 2>/dev/null || true
    fi
    rm -rf "$scratch"
    exit "$status"
}
trap end EXIT
trap 'exit 130' INT TERM

# Strict where this host can, else what it can, said aloud.
isolation=strict
"$lambkin" doctor >"$scratch/doctor.json" || {
    isolation=best-effort
    echo "this host cannot isolate fully (lambkin doctor says why); going on with $isolation"
}

"$lambkin" serve --port 0 --data-dir "$scratch/data" --isolation "$isolation" \
    >"$scratch/ready" 2>"$scratch/log" &
daemon=$!
for _ in $(seq 600); do
    grep -q 'ready on' "$scratch/ready" && break
    kill -0 "$daemon" 2>/dev/null || { echo "the daemon ended" >&2; exit 1; }
    sleep 0.1
done
cat "$scratch/ready"
AWS_ENDPOINT_URL=$(sed -n 's/.*ready on \(http[^ ]*\) in.*/\1/p' "$scratch/ready")
export AWS_ENDPOINT_URL
[ -n "$AWS_ENDPOINT_URL" ] || { echo "the daemon did not get ready" >&2; exit 1; }

# Builds a static program where this host has a compiler and a static C library.
mkdir -p "$scratch/native-c"
native=yes
${CC:-cc} -O2 -static -std=gnu17 -o "$scratch/native-c/bootstrap" examples/native-c/bootstrap.c \
    2>"$scratch/cc.log" || native=

run() { # run NAME FOLDER EVENT
    say "$1"
    "$lambkin" deploy "$2" --name "$1" >"$scratch/deployed.json"
    sed 's/.*"FunctionArn": *"\([^"]*\)".*/deployed \1/' "$scratch/deployed.json"
    echo "first call (cold):"
    "$lambkin" invoke "$1" "$3" --tail --times 2>&1
    echo "second call (warm):"
    "$lambkin" invoke "$1" "$3" --times 2>&1
}

run python-hello examples/python-hello '{"name": "Python"}'
if command -v node >/dev/null 2>&1; then
    run node-hello examples/node-hello '{"name": "Node.js"}'
else
    say "node-hello is left out: no node here"
fi
if [ -n "$native" ]; then
    run native-c "$scratch/native-c" '{"name": "C"}'
else
    say "native-c is left out: this host cannot link statically"
fi
if [ -x test/node/node_modules/.bin/esbuild ] || command -v esbuild >/dev/null 2>&1; then
    sh examples/typescript-api/build.sh
    run typescript-api examples/typescript-api/build @examples/typescript-api/event.json
else
    say "typescript-api is left out: there is no esbuild here"
fi

say "the log of python-hello, as lambkin logs shows it"
for _ in $(seq 100); do
    "$lambkin" logs python-hello >"$scratch/logs" 2>/dev/null || true
    [ "$(grep -c REPORT "$scratch/logs")" -ge 2 ] && break
    sleep 0.1
done
cut -c1-160 "$scratch/logs"
[ "$(grep -c REPORT "$scratch/logs")" -ge 2 ]

say "what is deployed"
"$lambkin" ls --names

say "done: the daemon ends, and nothing of it is left"
kill -TERM "$daemon"
wait "$daemon"
daemon=
