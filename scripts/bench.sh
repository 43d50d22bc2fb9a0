#!/bin/sh
# Compares linkgate with a bare echo server on the same load, one after the other, and weighs an idle link.
# Prints CPU seconds of the server per million messages, and their ratio. The numbers of docs/performance.md.
#
#   scripts/bench.sh            everything, some two minutes after the build
#   scripts/bench.sh cpu        the comparison alone
#   scripts/bench.sh memory     the idle links alone
#   scripts/bench.sh batch      grpc_upstream with and without batch before it, against `linkgate backend`
#   scripts/bench.sh dedup      echo with and without dedup before it, on a Redis of its own (redis-server)
#   scripts/bench.sh reload     changes of a file: how long until all links run them, and what they cost traffic
#   scripts/bench.sh push       pushes from the topic bench_push of the Kafka at KAFKA (127.0.0.1:9092), with reports
#   scripts/bench.sh calls      pushes by a gRPC stream, PUSH_DEPTH (2) under way for each of 1,000 links
#
# LINKGATE=FILE is the gateway to measure, such as one of an earlier commit; nothing is built then, and FILE puts the load
# on too, unless LOAD=FILE does. SERVER_CPU=0 LOAD_CPU=1 give each a core of its own (taskset), so that two builds can be compared.
#
# LINKS (100; batch: 200), SIZE (64B), DURATION (10s), IDLE_LINKS (15000), ECHO_PORT (9001), GATEWAY_PORT (8080) and
# BACKEND_PORT (50051), REDIS_PORT (6390), PUSH_LINKS (5000), RELOAD_LINKS (19000), PIPELINES (1000), ADMIN_PORT (9901)
# change the load; DEPTHS (16) those of batch, BATCH its config; BARE_ECHO_FLAGS=--per-message makes
# the bare server flush every message.
set -eu
cd "$(dirname "$0")/.."
# Some awks read and write numbers with the decimal comma of the locale, and would cut 1.9 to 1.
export LC_ALL=C

WHAT=${1:-all}
BATCH_LINKS=${LINKS:-200} LINKS=${LINKS:-100} SIZE=${SIZE:-64B} DURATION=${DURATION:-10s} IDLE_LINKS=${IDLE_LINKS:-15000}
ECHO_PORT=${ECHO_PORT:-9001} GATEWAY_PORT=${GATEWAY_PORT:-8080} BACKEND_PORT=${BACKEND_PORT:-50051}
REDIS_PORT=${REDIS_PORT:-6390} KAFKA=${KAFKA:-127.0.0.1:9092} PUSH_LINKS=${PUSH_LINKS:-5000}
RELOAD_LINKS=${RELOAD_LINKS:-19000} PIPELINES=${PIPELINES:-1000} ADMIN_PORT=${ADMIN_PORT:-9901}
PUSH_PORT=${PUSH_PORT:-7070} PUSH_DEPTH=${PUSH_DEPTH:-2}
TARGET=${CARGO_TARGET_DIR:-target}/release
GATEWAY=${LINKGATE:-$TARGET/linkgate}
LOAD=${LOAD:-$GATEWAY}
WORK=$(mktemp -d)
SERVER=
# A service beside the server.
BACKEND=

finish() {
    for pid in $SERVER $BACKEND; do
        kill "$pid" 2>/dev/null || true
    done
    rm -rf "$WORK"
}
trap finish EXIT
trap 'exit 130' INT TERM

[ -n "${LINKGATE:-}" ] || cargo build --locked --release --bin linkgate --example bare_echo
# Each link is a file on both sides; the limit of this shell holds for its children.
# shellcheck disable=SC3045 # dash, busybox and bash know it
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
sed "s/127.0.0.1:8080/127.0.0.1:$GATEWAY_PORT/" examples/configs/echo-bench.yaml > "$WORK/echo-bench.yaml"

# gateway OPTION...: the gateway that is measured.
gateway() {
    exec ${SERVER_CPU:+taskset -c "$SERVER_CPU"} "$GATEWAY" --log warn "$@"
}

# tool OPTION...: whatever puts the load on.
tool() {
    ${LOAD_CPU:+taskset -c "$LOAD_CPU"} "$LOAD" "$@"
}

backend() {
    exec ${LOAD_CPU:+taskset -c "$LOAD_CPU"} "$LOAD" --log warn backend --quiet --listen "127.0.0.1:$BACKEND_PORT"
}

# serve NAME: starts the server of this name and waits until it accepts.
serve() {
    case $1 in
    bare) # shellcheck disable=SC2086 # flags, not a file name
        "$TARGET/examples/bare_echo" "127.0.0.1:$ECHO_PORT" ${BARE_ECHO_FLAGS:-} & ;;
    linkgate) gateway run "$WORK/echo-bench.yaml" & ;;
    single | batch | plain | dedup | push | calls) gateway run "$WORK/$1.yaml" & ;;
    reload) gateway run "$WORK/conf" & ;;
    esac
    SERVER=$!
    tries=0
    until load "$1" --links 1 --messages 1 --warmup 0s >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ $tries -gt 50 ] || ! kill -0 "$SERVER" 2>/dev/null; then
            echo "the $1 server does not answer; is its port taken? See ECHO_PORT and GATEWAY_PORT." >&2
            exit 1
        fi
        sleep 0.1
    done
}

end() {
    kill "$SERVER" 2>/dev/null || true
    wait "$SERVER" 2>/dev/null || true
    SERVER=
}

# load NAME OPTION...: puts a load on the server of this name.
load() {
    name=$1
    shift
    case $name in
    bare) tool bench "ws://127.0.0.1:$ECHO_PORT/" --form raw "$@" ;;
    *) tool bench "ws://127.0.0.1:$GATEWAY_PORT/ws" --biz bench --form proto "$@" ;;
    esac
}

# field NAME: a number of the JSON report on the standard input.
field() {
    sed -n "s/.*\"$1\":\([-+0-9.eE]*\).*/\1/p"
}

# figures NAME: the figures of the last load on the server of this name, rounded to be read.
figures() {
    awk -v cpu="$(field cpu_seconds_per_million < "$WORK/$1.json")" -v rate="$(field per_second < "$WORK/$1.json")" \
        -v p99="$(field p99_us < "$WORK/$1.json")" 'BEGIN {
            if (cpu == "") { print "no messages"; exit }
            printf "%.2f CPU s per million messages, %.0f messages/s, p99 %d us\n", cpu, rate, p99
        }'
}

# ratio NAME OTHER: how many times the CPU of the other's messages this one's take: of what was measured, not of what is
# shown, and rounded last, to three digits.
ratio() {
    awk -v this="$(field cpu_seconds_per_million < "$WORK/$1.json")" \
        -v other="$(field cpu_seconds_per_million < "$WORK/$2.json")" 'BEGIN {
            if (this == "" || other + 0 <= 0) { print "?"; exit }
            printf "%#.3g\n", this / other
        }'
}

cpu() {
    for depth in 1 16; do
        for name in bare linkgate; do
            serve $name
            load "$name" --links "$LINKS" --depth $depth --size "$SIZE" --duration "$DURATION" --server-pid $SERVER --json \
                > "$WORK/$name.json"
            end
            echo "$name, $LINKS links, depth $depth, $SIZE: $(figures $name)"
        done
        echo "depth $depth: linkgate costs $(ratio linkgate bare) times the bare server"
    done
}

# grpc NAME FILTER: the configuration NAME, with this filter before grpc_upstream.
grpc() {
    cat > "$WORK/$1.yaml" <<EOF
schema: 1
listeners:
  - name: bench
    address: 127.0.0.1:$GATEWAY_PORT
    auth: insecure_query
    websocket: { max_frames: 1000000/s, max_bytes_per_second: 1GiB }
backends:
  bench: { grpc: { endpoints: ["127.0.0.1:$BACKEND_PORT"] } }
pipelines:
  - biz_id: bench
    listeners: [bench]
    filters:
      - use: codec
      - use: ack_retry
      $2
      - { use: grpc_upstream, config: { backend: bench, try_timeout: 5s, deadline: 5s } }
EOF
}

batch() {
    grpc single ""
    grpc batch "- { use: batch, config: { ${BATCH:-} } }"
    backend &
    BACKEND=$!
    for depth in ${DEPTHS:-16}; do
        for name in single batch; do
            serve $name
            load $name --links "$BATCH_LINKS" --depth "$depth" --size "$SIZE" --duration "$DURATION" --server-pid $SERVER --json \
                > "$WORK/$name.json"
            end
            echo "grpc_upstream, $name, $BATCH_LINKS links, depth $depth, $SIZE: $(figures $name)"
        done
        echo "depth $depth: $(ratio single batch) times the messages per CPU second with batch"
    done
    kill "$BACKEND"
    BACKEND=
}

# echoing NAME FILTER: the configuration NAME, with this filter before echo.
echoing() {
    cat > "$WORK/$1.yaml" <<EOF
schema: 1
listeners:
  - name: bench
    address: 127.0.0.1:$GATEWAY_PORT
    auth: insecure_query
    websocket: { max_frames: 1000000/s, max_bytes_per_second: 1GiB }
stores: { redis: { redis: { url: "redis://127.0.0.1:$REDIS_PORT" } } }
pipelines:
  - biz_id: bench
    listeners: [bench]
    filters:
      - use: codec
      - use: ack_retry
      $2
      - use: echo
EOF
}

dedup() {
    redis-server --port "$REDIS_PORT" --save '' --appendonly no --daemonize no > "$WORK/redis.log" &
    BACKEND=$!
    echoing plain ""
    echoing dedup "- { use: dedup, config: { store: redis } }"
    for depth in ${DEPTHS:-1 16}; do
        for name in plain dedup; do
            serve $name
            load $name --links "$BATCH_LINKS" --depth "$depth" --size "$SIZE" --duration "$DURATION" --server-pid $SERVER --json \
                > "$WORK/$name.json"
            end
            echo "$name, $BATCH_LINKS links, depth $depth, $SIZE: $(figures $name)"
        done
    done
    kill "$BACKEND"
    BACKEND=
}

push() {
    cat > "$WORK/push.yaml" <<EOF
schema: 1
listeners:
  - name: bench
    address: 127.0.0.1:$GATEWAY_PORT
    auth: insecure_query
    admission: { per_ip: 100000 }
brokers: { kafka: { kafka: { bootstrap: "$KAFKA" } } }
push:
  sources: [{ kafka: { broker: kafka, topic: bench_push, group: bench_push } }]
  reports: { kafka: { broker: kafka, topic: bench_push_reports } }
pipelines:
  - biz_id: bench
    listeners: [bench]
    filters: [{ use: codec }, { use: ack_retry }, { use: echo }]
EOF
    serve push
    load push --mode push --push-to "kafka://$KAFKA/bench_push" --links "$PUSH_LINKS" --size "$SIZE" \
        --duration "$DURATION" --warmup 5s --server-pid $SERVER
    end
}

calls() {
    cat > "$WORK/calls.yaml" <<EOF
schema: 1
listeners:
  - name: bench
    address: 127.0.0.1:$GATEWAY_PORT
    auth: insecure_query
    admission: { per_ip: 100000 }
push: { sources: [{ grpc: { address: "127.0.0.1:$PUSH_PORT" } }] }
pipelines:
  - biz_id: bench
    listeners: [bench]
    filters: [{ use: codec }, { use: ack_retry }, { use: echo }]
EOF
    serve calls
    load calls --mode push --push-to "127.0.0.1:$PUSH_PORT" --links 1000 --depth "$PUSH_DEPTH" --size "$SIZE" \
        --duration "$DURATION" --server-pid $SERVER --json > "$WORK/calls.json"
    end
    echo "pushes by gRPC, 1000 links, depth $PUSH_DEPTH, $SIZE: $(figures calls)"
}

# profile BURST: the filters of all businesses, with this limit.
profile() {
    cat > "$WORK/platform.new" <<EOF
schema: 1
admin: { address: "127.0.0.1:$ADMIN_PORT" }
listeners:
  - name: bench
    address: 127.0.0.1:$GATEWAY_PORT
    auth: insecure_query
    websocket: { max_frames: 1000000/s, max_bytes_per_second: 1GiB }
    admission: { handshakes_per_ip: 1024 }
profiles:
  standard:
    - use: codec
    - { use: rate_limit, config: { per: link, rate: 1000000/s, burst: $1 } }
    - use: ack_retry
    - use: echo
EOF
    mv "$WORK/platform.new" "$WORK/conf/platform.yaml"
}

# counted METRIC: what the gateway has counted.
counted() {
    curl -s "http://127.0.0.1:$ADMIN_PORT/metrics" | sed -n "s/^$1 //p"
}

milliseconds() {
    echo $(($(date +%s%N) / 1000000))
}

reload() {
    mkdir "$WORK/conf"
    profile 1000000
    {
        echo "schema: 1"
        echo "pipelines:"
        n=1
        while [ $n -lt "$PIPELINES" ]; do
            echo "  - { biz_id: biz$n, listeners: [bench], profile: standard }"
            n=$((n + 1))
        done
        echo "  - { biz_id: bench, listeners: [bench], profile: standard }"
    } > "$WORK/conf/businesses.yaml"

    serve reload
    for way in still changing; do
        if [ $way = changing ]; then
            (
                n=0
                while :; do
                    n=$((n + 1))
                    profile $((1000000 + n))
                    sleep 1
                done
            ) &
            BACKEND=$!
        fi
        load reload --links "$LINKS" --depth 1 --size "$SIZE" --duration "$DURATION" --server-pid $SERVER --json \
            > "$WORK/$way.json"
        [ $way = still ] || { kill $BACKEND; BACKEND=; }
        echo "$PIPELINES pipelines, $LINKS links, $way: $(figures $way)"
    done
    echo "a change of all pipelines each second: p99 is $(awk -v this="$(field p99_us < "$WORK/changing.json")" \
        -v other="$(field p99_us < "$WORK/still.json")" 'BEGIN { printf "%#.3g\n", this / other }') times that without"

    load reload --mode idle --links "$RELOAD_LINKS" --duration 15s --server-pid $SERVER > "$WORK/idle.txt" &
    BACKEND=$!
    until [ "$(counted linkgate_links)" -ge "$RELOAD_LINKS" ] 2>/dev/null; do
        sleep 0.2
    done
    sleep 1
    before=$(counted linkgate_links_changed_total)
    profile 2000000
    begun=$(milliseconds)
    until [ $(($(counted linkgate_links_changed_total) - before)) -ge "$RELOAD_LINKS" ]; do
        sleep 0.02
    done
    echo "$PIPELINES pipelines, $RELOAD_LINKS links: $(($(milliseconds) - begun)) ms from the change of a file to the last link"
    wait $BACKEND
    BACKEND=
    end
}

memory() {
    for name in bare linkgate; do
        serve $name
        echo "$name, $IDLE_LINKS idle links:"
        load "$name" --mode idle --links "$IDLE_LINKS" --duration 5s --server-pid $SERVER
        end
    done
}

case $WHAT in
all)
    cpu
    memory
    batch
    ;;
cpu | memory | batch | dedup | push | calls | reload) "$WHAT" ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
