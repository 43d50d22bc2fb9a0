#!/bin/sh
# Installs the system packages (Debian, Ubuntu) that are missing, and says what for.
# Does nothing where all is there. Tried on a clean Debian 12 by `make fresh`; Ubuntu has all of them under the same names
# (etcd-server and redis-server in `universe`), which was read in its package lists and not tried.
#
# usage: scripts/packages.sh build|test|fresh
set -eu

missing=""

# need PACKAGE PATH|COMMAND REASON: notes the package unless the file or command is there.
need() {
    case $2 in
        /*) [ -e "$2" ] && return 0 ;;
        *) command -v "$2" >/dev/null 2>&1 && return 0 ;;
    esac
    echo "missing: $1 ($3)"
    missing="$missing $1"
}

need_build() {
    need gcc cc "compiles the C parts of the TLS library and the allocator, and links"
    need libc6-dev /usr/include/stdio.h "headers for the same"
    need g++ c++ "compiles the C++ parts of the Kafka library"
    need make make "builds the Kafka library"
    need protobuf-compiler protoc "generates the calls of the etcd client"
    # Only recommended by the compiler, and recommendations are not installed.
    need libprotobuf-dev /usr/include/google/protobuf/descriptor.proto "the types that those calls use"
    need pkg-config pkg-config "finds the TLS library for Kafka"
    need libssl-dev /usr/include/openssl/ssl.h "TLS for the Kafka library"
}

need_test() {
    need_build
    need redis-server redis-server "the tests run against a real Redis; its own daemon is not used"
    need etcd-server etcd "the tests run against a real etcd; its own daemon is not used"
    need default-jre-headless java "runs Apache Kafka for the tests"
    [ -n "${KAFKA_HOME:-}" ] || need maven mvn "fetches Apache Kafka for the tests"
    # Another python3 may hide the system's, so both are asked.
    for python in python3 /usr/bin/python3; do
        "$python" -c "import cryptography" 2>/dev/null && return 0
    done
    need python3-cryptography /nowhere "the second opinion on what the filter decrypt seals"
}

need_fresh() {
    need debootstrap debootstrap "makes the clean Debian in a folder"
    need util-linux unshare "keeps its mounts and processes apart"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        echo "neither root nor sudo: as root, run: apt-get install$missing" >&2
        exit 1
    fi
}

# Kafka wants Java 17 or later. Older releases have it beside an older default, newer ones as their default only.
with_java_17() {
    if apt-cache show openjdk-17-jre-headless >/dev/null 2>&1; then
        echo "$1" | sed 's/default-jre-headless/openjdk-17-jre-headless/'
    else
        echo "$1"
    fi
}

install_missing() {
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "no apt-get here: install by your system's means:$missing" >&2
        exit 1
    fi
    as_root apt-get update -q
    missing=$(with_java_17 "$missing")
    # The names are words of our own, so splitting them is wanted.
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
}

require_rust() {
    command -v cargo >/dev/null 2>&1 && return 0
    echo "cargo is not on the PATH: install Rust (https://rustup.rs) and open a new shell" >&2
    exit 1
}

# The tests also lint and check the form; some Rust installations come without the tools for it.
require_rust_tools() {
    for tool in clippy fmt; do
        cargo "$tool" --version >/dev/null 2>&1 && continue
        component=$(echo "$tool" | sed 's/^fmt$/rustfmt/')
        echo "missing: $component (a part of Rust that \`make test\` runs)"
        if ! command -v rustup >/dev/null 2>&1; then
            echo "no rustup here: install $component by the way you installed Rust" >&2
            exit 1
        fi
        rustup component add "$component"
    done
}

case ${1:-} in
    build)
        need_build
        install_missing
        require_rust
        ;;
    test)
        need_test
        install_missing
        require_rust
        require_rust_tools
        ;;
    fresh)
        need_fresh
        install_missing
        require_rust
        ;;
    *)
        echo "usage: scripts/packages.sh build|test|fresh" >&2
        exit 2
        ;;
esac
