#!/bin/sh
# What must hold before any test runs: the form, the lints, and a core that stands without filters.
set -eu

step() {
    echo "==> $*"
    "$@"
}

step cargo fmt --all --check
# The core alone: proves that it names no filter.
step cargo check --locked --lib --no-default-features
step cargo clippy --locked --workspace --all-targets -- -D warnings
