#!/usr/bin/env bash
# check.sh all|fast|STEP... - runs the checks, each with a time limit, and goes on after a failure.
#
# Prints "ok STEP (N s)" or "FAIL STEP (N s)" and each runner's closing lines; the whole output of a
# step is in build-check/logs/STEP.txt. The last line sums up all tests; the exit code is 0 only if
# every step passed. Depends on nothing but what tools/install_deps.sh brings.
set -u
exec </dev/null
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
umask 022

# What a developer's shell may have set would change what is tested.
unset CC CXX CFLAGS CPPFLAGS LDFLAGS DESTDIR PYTHONPATH PYTHONHOME NODE_PATH NODE_OPTIONS
for name in $(env | sed -n 's/^\(AWS_[A-Z_]*\|LAMBKIN_[A-Z_]*\|PYTEST_[A-Z_]*\|MESON_[A-Z_]*\)=.*/\1/p'); do
    unset "$name"
done
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 NO_COLOR=1
if [ -z "${HOME:-}" ] || [ ! -d "$HOME" ] || [ ! -w "$HOME" ]; then
    mkdir -p .home
    HOME=$(pwd)/.home
    export HOME
fi

build=build-check
logs=$build/logs
counts=$build/counts
mkdir -p "$logs" "$counts"
failed_steps=()
started=$SECONDS

# ---- the steps -----------------------------------------------------------------------------------

step_deps() { sh tools/install_deps.sh build tests runtimes; }
step_style() { python3 tools/check_style.py; }
step_layers() { python3 tools/check_layers.py; }
step_generated() { sh tools/check_generated.sh; }

# A build directory that another Meson or another compiler left is laid anew.
configure() { # configure DIR OPTIONS...
    local dir=$1
    shift
    if [ ! -f "$dir/build.ninja" ] || ! meson configure "$dir" "$@" >/dev/null 2>&1; then
        find "$dir" -mindepth 1 -maxdepth 1 ! -name logs ! -name counts \
            -exec rm -rf {} + 2>/dev/null
        meson setup "$dir" "$@"
    fi
}

step_build() { configure build-check -Dwerror=true -Dtests=enabled && ninja -k 0 -C build-check; }

# clang with sanitizers is also the second compiler whose warnings are errors.
step_asan_build() {
    CC=$(command -v clang-14 || command -v clang) || { echo "error: no clang"; return 1; }
    export CC
    configure build-asan -Dwerror=true -Dtests=enabled -Db_sanitize=address,undefined \
        -Db_lundef=false -Dbuildtype=debugoptimized && ninja -k 0 -C build-asan
}

meson_part() { python3 tools/run_tests.py meson --build "$1" --part "$2" --counts "$3"; }
pytest_part() {
    python3 tools/run_tests.py pytest --python .venv/bin/python --binary build-check/src/cli/lambkin \
        --path "$1" --counts "$2"
}

step_unit() {
    local r=0
    meson_part build-check unit "$counts/unit" || r=1
    meson_part build-check contract "$counts/contract" || r=1
    return $r
}
both() { # Meson tests and pytest files of test/NAME
    local r=0
    meson_part build-check "$1" "$counts/$1-meson" || r=1
    pytest_part "test/$1" "$counts/$1" || r=1
    return $r
}
step_sandbox() { both sandbox; }
step_runtimes() { both runtimes; }
step_sdk() { pytest_part test/sdk "$counts/sdk"; }
step_crash() { both crash; }
step_fuzz() { meson_part build-check fuzz "$counts/fuzz"; }

# The unit, contract and fuzz tests again in the sanitizer build.
step_asan() {
    local r=0
    step_asan_build || return 1
    export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:allocator_may_return_null=1
    export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    for part in unit contract fuzz; do
        meson_part build-asan "$part" "$counts/asan-$part" || r=1
    done
    return $r
}

# ---- running them --------------------------------------------------------------------------------

declare -A limit=([deps]=1200 [style]=120 [layers]=60 [generated]=120 [build]=900 [unit]=600
    [sandbox]=900 [runtimes]=900 [sdk]=2400 [crash]=600 [fuzz]=600 [asan]=1500)

# The lines that say how it ended: counts, failed tests, reruns, skips.
closing_lines() {
    grep -aE '^(rerun: |FAILED |ERROR |SKIPPED |failed: |[0-9]+ passed, [0-9]+ failed|=+ .*(passed|failed|skipped|no tests ran|error).* in )' \
        "$1" | tail -n 40
}

run_step() {
    local name=$1 from=$SECONDS r=0 log
    log=$logs/$name.txt
    # A step is this script again, so that timeout can end it with everything it started.
    timeout --foreground --kill-after=30 "${limit[$name]}" \
        bash tools/check.sh --step "$name" >"$log" 2>&1 || r=$?
    if [ $r -eq 0 ]; then
        echo "ok $name ($((SECONDS - from)) s)"
        closing_lines "$log" | grep -avE '^[0-9]+ passed' | sed 's/^/    /'
        return
    fi
    failed_steps+=("$name")
    [ $r -eq 124 ] || [ $r -eq 137 ] && echo "time limit of ${limit[$name]} s reached" >>"$log"
    echo "FAIL $name ($((SECONDS - from)) s)"
    echo "--- the last lines of $log"
    if [[ $name == build || $name == asan ]]; then
        grep -aE 'error:|undefined reference|FAILED' "$log" | cut -c1-300 | head -n 40
    fi
    tail -n 60 "$log" | cut -c1-400
    echo "--- tests that failed in $name"
    closing_lines "$log"
    echo "---"
}

if [ "${1:-}" = --step ]; then
    declare -F "step_$2" >/dev/null || { echo "no such step: $2"; exit 2; }
    "step_$2"
    exit
fi

all=(deps style layers generated build unit sandbox runtimes sdk crash fuzz asan)
fast=(style layers generated build unit fuzz)
[ $# -gt 0 ] || set -- all
steps=()
for name in "$@"; do
    case $name in
    all) steps+=("${all[@]}") ;;
    fast) steps+=("${fast[@]}") ;;
    *)
        [ -n "${limit[$name]:-}" ] || { echo "check: no such step: $name (there are: ${all[*]})"; exit 2; }
        steps+=("$name")
        ;;
    esac
done

rm -rf "$counts"
mkdir -p "$counts"
built=yes
for name in "${steps[@]}"; do
    case $name in
    unit | sandbox | runtimes | sdk | crash | fuzz)
        if [ -z "$built" ]; then
            echo "not run: $name (the build failed)"
            continue
        fi
        ;;
    esac
    run_step "$name"
    if [ "$name" = build ] && [[ " ${failed_steps[*]-} " == *" build "* ]]; then
        built=
    fi
done

passed=0 failed=0 skipped=0
for f in "$counts"/*; do
    [[ -f $f && $f != *.xml ]] || continue # pytest's reports lie beside the counts
    read -r p f_ s <"$f" || continue
    passed=$((passed + p)) failed=$((failed + f_)) skipped=$((skipped + s))
done
if [ ${#failed_steps[@]} -gt 0 ]; then
    echo "check: FAILED in $((SECONDS - started)) s: ${failed_steps[*]}"
    # A step that failed without a failed test, such as the build, counts as one.
    [ $failed -gt 0 ] || failed=${#failed_steps[@]}
else
    echo "check: all of ${#steps[@]} steps passed in $((SECONDS - started)) s"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ ${#failed_steps[@]} -eq 0 ]
