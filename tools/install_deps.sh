#!/bin/sh
# install_deps.sh GROUP... - installs what is missing for: build, tests, runtimes, bench.
#
# Debian packages by apt (as root or with sudo), Python packages into .venv, Node.js packages into
# test/node/node_modules. Does nothing, quickly, when everything is there. Prints one line for each
# thing it installs; the installers' own output goes to a log that is shown on failure.
set -eu
cd "$(dirname "$0")/.."
exec </dev/null

log=$(mktemp "${TMPDIR:-/tmp}/lambkin-deps.XXXXXX")
trap 'rm -f "$log"' EXIT

# pip and npm want a home that exists.
if [ -z "${HOME:-}" ] || [ ! -d "$HOME" ] || [ ! -w "$HOME" ]; then
    HOME=$(pwd)/.home
    mkdir -p "$HOME"
    export HOME
fi
umask 022

fail() {
    echo "install_deps: $1" >&2
    tail -n 40 "$log" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo -n "$@"
    else
        echo "neither root nor sudo: please install by hand: $*" >&2
        return 1
    fi
}

has_package() {
    dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

# A tool that is there counts, whichever package brought it.
missing=
want() { # want PACKAGE [COMMAND]
    if [ -n "${2:-}" ] && command -v "$2" >/dev/null 2>&1; then
        return 0
    fi
    has_package "$1" || missing="$missing $1"
}

apt_install() {
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null 2>&1 || fail "needed, and no apt-get here:$missing"
    echo "installing:$missing"
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
        install --no-install-recommends $missing >"$log" 2>&1 && { missing=; return 0; }
    # The package lists may be absent or old: bring them up to date once, and try again.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
        update >>"$log" 2>&1 || true
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
        install --no-install-recommends $missing >>"$log" 2>&1 || fail "apt-get failed"
    missing=
}

# What some tests are skipped without; older distributions do not have it.
try() { # try PACKAGE COMMAND
    PATH=$PATH:/usr/sbin:/sbin command -v "$2" >/dev/null 2>&1 && return 0
    echo "installing (if there is one) the Debian package: $1"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
        install --no-install-recommends "$1" >>"$log" 2>&1 && return 0
    # Once, for all of them: the package lists may be absent or old.
    [ -z "${lists_updated:-}" ] || return 0
    lists_updated=yes
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
        -o Acquire::http::Timeout=20 -o Acquire::Retries=0 update >>"$log" 2>&1 || return 0
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
        install --no-install-recommends "$1" >>"$log" 2>&1 || true
}

# The same, unpacked below .tools and not installed: some packages start a service.
try_aside() { # try_aside PACKAGE COMMAND
    PATH=$PATH:.tools/usr/bin command -v "$2" >/dev/null 2>&1 && return 0
    command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1 || return 0
    echo "unpacking (if there is one) the Debian package: $1"
    mkdir -p .tools
    (cd .tools && apt-get -qq download "$1" && dpkg-deb -x "$1"_*.deb . && rm -f "$1"_*.deb) \
        >>"$log" 2>&1 || true
}

# Registries have bad moments: three tries.
thrice() {
    for pause in 2 10 0; do
        "$@" >>"$log" 2>&1 && return 0
        sleep "$pause"
    done
    return 1
}

group_build() {
    want gcc gcc
    want libc6-dev
    want meson meson
    want ninja-build ninja
    want pkg-config pkg-config
    want python3 python3
    want ca-certificates
    want libuv1-dev
    want node-llhttp
    want libsqlite3-dev
    want libssl-dev
    want libarchive-dev
    want libseccomp-dev
    want libcurl4-openssl-dev
    want libnghttp2-dev
    want libwslay-dev
    want libzstd-dev
    want libpcre2-dev
    want libyaml-dev
    apt_install
}

# What the examples need: the interpreters, and a bundler for the one in TypeScript.
group_runtimes() {
    want python3 python3
    want nodejs node
    [ -x test/node/node_modules/.bin/esbuild ] || want esbuild esbuild
    apt_install
}

make_venv() {
    stamp=.venv/.installed
    if [ -f "$stamp" ] && cmp -s tools/requirements-test.txt "$stamp" &&
        .venv/bin/python -c 'import boto3, pytest' 2>/dev/null; then
        return 0
    fi
    python=/usr/bin/python3
    [ -x "$python" ] || python=python3
    echo "installing Python packages into .venv"
    rm -rf .venv
    "$python" -m venv .venv >"$log" 2>&1 || fail "python3 -m venv failed"
    thrice .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        -r tools/requirements-test.txt || fail "pip failed"
    cp tools/requirements-test.txt "$stamp"
}

make_node_modules() {
    stamp=test/node/node_modules/.installed
    if [ -f "$stamp" ] && cmp -s test/node/package.json "$stamp"; then
        return 0
    fi
    echo "installing Node.js packages into test/node"
    rm -rf test/node/node_modules
    : >"$log"
    (cd test/node && thrice npm install --no-audit --no-fund --no-package-lock --loglevel=error) ||
        fail "npm failed"
    cp test/node/package.json "$stamp"
}

group_tests() {
    group_build
    want libcmocka-dev
    command -v clang >/dev/null 2>&1 || want clang-14 clang-14
    want libclang-rt-14-dev
    want clang-format-14 clang-format-14
    want python3-venv
    want nodejs node
    want npm npm
    want curl curl
    want procps ps
    want util-linux unshare
    apt_install
    try passt pasta
    try iproute2 ip
    try skopeo skopeo
    try umoci umoci
    try_aside docker-registry docker-registry
    try chromium-headless-shell chromium-headless-shell # 96 MB; for test/sdk/test_browser.py
    make_venv
    make_node_modules
}

group_bench() {
    want wrk wrk
    want nginx-light nginx
    apt_install
}

[ $# -gt 0 ] || set -- build
for group in "$@"; do
    case "$group" in
    build) group_build ;;
    tests) group_tests ;;
    runtimes) group_runtimes ;;
    bench) group_bench ;;
    *) fail "no such group: $group" ;;
    esac
done
