#!/bin/sh
# What must hold before any test runs: the form, the lints, and which crate may be built from which.
set -eu

step() {
    echo "==> $*"
    "$@"
}

# stands_alone CRATE: of ours, it is built from the contract, the endpoints and the wire formats at the most.
stands_alone() {
    tree=$(cargo tree --locked -p "$1" --edges normal --prefix none --format '{p}')
    ours=$(echo "$tree" | cut -d' ' -f1 | grep '^linkgate' | sort -u)
    others=$(echo "$ours" | grep -vxE "$1|linkgate-(filter|grpc|proto)") || return 0
    echo "$1 must not be built from:" $others >&2
    exit 1
}

step cargo fmt --all --check
# The contract knows nothing else, no room of the core names a filter, and no filter the core or another filter.
step stands_alone linkgate-filter
step stands_alone linkgate-core
for manifest in filters/*/Cargo.toml; do
    case $manifest in
        # The list that names all filters.
        filters/all/*) ;;
        *) step stands_alone "$(sed -n 's/^name = "\(.*\)"/\1/p' "$manifest")" ;;
    esac
done
# The libraries without the features of the program: no filters, no etcd, no Kafka, no Redis.
step cargo check --locked --lib --no-default-features
step cargo clippy --locked --workspace --all-targets -- -D warnings
