#!/bin/sh
# What a push costs that goes to another node, against one that stays: CPU seconds per million pushes of all nodes together,
# of the directory's Redis and of etcd. The numbers of docs/performance.md.
#
#   scripts/bench-cluster.sh          a node alone; two nodes, users where the pushes come in; two nodes, users on the other
#
# LINKGATE=FILE is the program; nothing is built then. LINKS (1000), DEPTH (2), SIZE (64B), DURATION (10s), PORT (18100, and
# some twenty above it) change the load. SERVER_CPU=0 LOAD_CPU=1 give nodes and load a core each. It needs etcd and redis-server.
set -eu
cd "$(dirname "$0")/.."
export LC_ALL=C
LINKS=${LINKS:-1000} DEPTH=${DEPTH:-2} SIZE=${SIZE:-64B} DURATION=${DURATION:-10s} PORT=${PORT:-18100}
PROGRAM=${LINKGATE:-${CARGO_TARGET_DIR:-target}/release/linkgate}
WORK=$(mktemp -d)
STARTED=

finish() {
    for pid in $STARTED; do
        kill "$pid" 2>/dev/null || true
    done
    rm -rf "$WORK"
}
trap finish EXIT
trap 'exit 130' INT TERM

[ -n "${LINKGATE:-}" ] || cargo build --locked --release --bin linkgate
# shellcheck disable=SC3045 # dash, busybox and bash know it
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true

# node NAME NUMBER MORE: writes a node's configuration and starts it.
node() {
    cat > "$WORK/$1.yaml" <<END
schema: 1
node: { id: $1 }
admin: { address: "127.0.0.1:$((PORT + $2))" }
listeners:
  - { name: bench, address: "127.0.0.1:$((PORT + $2 + 1))", auth: insecure_query, admission: { per_ip: 100000, handshakes_per_ip: 1024 } }
push: { sources: [{ grpc: { address: "127.0.0.1:$((PORT + $2 + 2))" } }] }
pipelines: [{ biz_id: bench, listeners: [bench], filters: [{ use: codec }, { use: ack_retry }, { use: echo }] }]
$3
END
    ${SERVER_CPU:+taskset -c "$SERVER_CPU"} "$PROGRAM" --log warn run "$WORK/$1.yaml" &
    STARTED="$STARTED $!"
    eval "PID_$1=$!"
    tries=0
    until curl -fsS "http://127.0.0.1:$((PORT + $2))/readyz" > "$WORK/ready" 2>&1; do
        tries=$((tries + 1))
        if [ $tries -gt 100 ]; then
            cat "$WORK/ready" >&2
            exit 1
        fi
        sleep 0.1
    done
}

# cpu PID: ticks of a hundredth of a second that a process has used.
cpu() {
    awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"
}

sum() {
    total=0
    for pid in "$@"; do
        total=$((total + $(cpu "$pid")))
    done
    echo "$total"
}

# pushes NAME GATEWAY PUSH NODES...: a load, and what it cost.
pushes() {
    name=$1 gateway=$2 push=$3
    shift 3
    before=$(sum "$@")
    outside=${PID_redis:+$(cpu "$PID_redis") $(cpu "$PID_etcd")}
    ${LOAD_CPU:+taskset -c "$LOAD_CPU"} "$PROGRAM" bench "ws://127.0.0.1:$gateway/ws" --biz bench --form proto --mode push \
        --push-to "127.0.0.1:$push" --links "$LINKS" --depth "$DEPTH" --size "$SIZE" --duration "$DURATION" --warmup 0s --json > "$WORK/out"
    used=$(($(sum "$@") - before))
    after=${PID_redis:+$(cpu "$PID_redis") $(cpu "$PID_etcd")}
    field() { sed -n "s/.*\"$1\":\([-+0-9.eE]*\).*/\1/p" "$WORK/out"; }
    awk -v name="$name" -v used="$used" -v messages="$(field messages)" -v rate="$(field per_second)" -v p50="$(field p50_us)" \
        -v p99="$(field p99_us)" -v outside="$outside $after" 'BEGIN {
            million = messages / 1e6
            printf "%-42s %6.2f CPU s per million, %7.0f/s, p50 %d us, p99 %d us", name, used / 100 / million, rate, p50, p99
            if (split(outside, o, " ") == 4) printf "; Redis %.2f, etcd %.2f", (o[3] - o[1]) / 100 / million, (o[4] - o[2]) / 100 / million
            print ""
        }'
}

node alone 0 ""
pushes "a node alone" $((PORT + 1)) $((PORT + 2)) "$PID_alone"
kill "$PID_alone"

${LOAD_CPU:+taskset -c "$LOAD_CPU"} redis-server --port $((PORT + 10)) --save '' --appendonly no > "$WORK/redis.log" &
PID_redis=$! STARTED="$STARTED $!"
${LOAD_CPU:+taskset -c "$LOAD_CPU"} etcd --data-dir "$WORK/etcd" --listen-client-urls "http://127.0.0.1:$((PORT + 11))" \
    --advertise-client-urls "http://127.0.0.1:$((PORT + 11))" --listen-peer-urls "http://127.0.0.1:$((PORT + 12))" \
    --log-level error > "$WORK/etcd.log" 2>&1 &
PID_etcd=$! STARTED="$STARTED $!"
cluster() {
    echo "stores: { main: { redis: { url: \"redis://127.0.0.1:$((PORT + 10))\" } } }
cluster:
  registry: { etcd: { endpoints: [\"127.0.0.1:$((PORT + 11))\"] } }
  peers: { address: \"127.0.0.1:$1\" }
  directory: { store: main }"
}
node a 20 "$(cluster $((PORT + 23)))"
node b 30 "$(cluster $((PORT + 33)))"
pushes "two nodes, users where the pushes come in" $((PORT + 21)) $((PORT + 22)) "$PID_a" "$PID_b"
pushes "two nodes, users on the other one" $((PORT + 31)) $((PORT + 22)) "$PID_a" "$PID_b"
