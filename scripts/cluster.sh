#!/bin/sh
# Starts three nodes of one cluster, and an etcd, a Redis and a Kafka of their own, all on loopback. Says what can be tried.
# Ctrl-C ends what it has started, and throws its data away.
#
# LINKGATE=FILE is the program to run, in place of one that is built.
set -eu
cd "$(dirname "$0")/.."

[ -n "${LINKGATE:-}" ] || cargo build --locked --release --bin linkgate
LINKGATE=${LINKGATE:-${CARGO_TARGET_DIR:-target}/release/linkgate}
JARS=${KAFKA_HOME:+$KAFKA_HOME/libs}
JARS=${JARS:-$PWD/target/services/kafka}
CONFIG=examples/cluster/node.yaml
WORK=$(mktemp -d)
NODES=
SERVICES=
SLEEP=

finish() {
    trap '' INT TERM
    [ -z "$SLEEP" ] || kill "$SLEEP" 2>/dev/null || true
    # Nodes first, so that they can say goodbye.
    # shellcheck disable=SC2086 # several pids
    for pids in "$NODES" "$SERVICES"; do
        [ -n "$pids" ] || continue
        kill $pids 2>/dev/null || true
        kill -CONT $pids 2>/dev/null || true
        wait $pids 2>/dev/null || true
    done
    rm -rf "$WORK"
}
trap finish EXIT
trap 'exit 130' INT TERM

# start NAME COMMAND...: in the background; PID is the process, and $WORK/NAME.log what it says.
start() {
    name=$1
    shift
    "$@" > "$WORK/$name.log" 2>&1 < /dev/null &
    PID=$!
}

# await NAME PID COMMAND...: until the command succeeds; says what the process said if it does not in a minute.
await() {
    name=$1 pid=$2 tries=0
    shift 2
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ $tries -gt 300 ] || ! kill -0 "$pid" 2>/dev/null; then
            echo "$name does not start; is one of its ports taken? It says:" >&2
            tail -n 5 "$WORK/$name.log" >&2
            exit 1
        fi
        sleep 0.2
    done
}

# listens PORT: whether somebody does, whatever it makes of what it hears.
listens() {
    status=0
    curl -s --max-time 1 "http://127.0.0.1:$1" || status=$?
    [ $status != 7 ]
}

start etcd etcd --data-dir "$WORK/etcd" \
    --listen-client-urls http://127.0.0.1:12379 --advertise-client-urls http://127.0.0.1:12379 \
    --listen-peer-urls http://127.0.0.1:12380 --initial-advertise-peer-urls http://127.0.0.1:12380 \
    --initial-cluster default=http://127.0.0.1:12380
ETCD=$PID SERVICES=$PID
start redis redis-server --bind 127.0.0.1 --port 16379 --save '' --dir "$WORK"
REDIS=$PID SERVICES="$SERVICES $PID"

cat > "$WORK/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:19093
listeners=PLAINTEXT://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093
controller.listener.names=CONTROLLER
log.dirs=$WORK/kafka
num.partitions=6
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
END
# kafka CLASS ARGUMENT...: quick to start and small, rather than fast.
kafka() {
    exec java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$JARS/*" "$@"
}
(kafka kafka.tools.StorageTool format -t bGlua2dhdGUtY2x1c3Rlcg -c "$WORK/server.properties") > "$WORK/kafka.log" 2>&1 \
    || { cat "$WORK/kafka.log" >&2; exit 1; }
start kafka kafka kafka.Kafka "$WORK/server.properties"
KAFKA=$PID SERVICES="$SERVICES $PID"

await etcd "$ETCD" curl -sf http://127.0.0.1:12379/v3/kv/range -d '{"key":"Lw=="}'
await redis "$REDIS" redis-cli -p 16379 ping
await kafka "$KAFKA" listens 19092

node() {
    N=$1 exec "$LINKGATE" run "$CONFIG"
}
for number in 1 2 3; do
    start "node-$number" node "$number"
    NODES="$NODES $PID"
    eval "NODE$number=$PID"
done
for number in 1 2 3; do
    eval "await node-$number \$NODE$number curl -sf http://127.0.0.1:991$number/readyz"
done

# shellcheck disable=SC2154 # set by eval
cat <<END

Three nodes run as one cluster. Leave this terminal open; Ctrl-C ends all. In other terminals, here:

Connect as ann to node 2, and as bob to node 3. What is pushed to them is shown:
  $LINKGATE client 127.0.0.1:8082 --biz chat --user ann
  $LINKGATE client 127.0.0.1:8083 --biz chat --user bob

Push to ann by node 1 (the body is base64). It says what has become of it:
  curl -H 'Authorization: Bearer change-me-change-me' http://127.0.0.1:9911/v1/push \\
    -d '{"key":"1","biz_id":"chat","receiver_id":"ann","body":"aGVsbG8="}'
Use a new key for each push. By the topic, with Kafka's own tools; the outcome goes to the topic push_reports:
  echo '{"key":"2","biz_id":"chat","receiver_id":"ann","body":"aGVsbG8="}' \\
    | kafka-console-producer.sh --bootstrap-server 127.0.0.1:19092 --topic push

See which nodes there are, and where ann is, by any node's admin address (9911, 9912, 9913):
  $LINKGATE nodes http://127.0.0.1:9911
  $LINKGATE where ann --biz chat --node http://127.0.0.1:9911

Break something, push again, and look at nodes and where (docs/cluster.md says what to expect):
  kill -9 $NODE2                    # node 2 dies; ann is offline once it is given up, after some 8 s
  N=2 $LINKGATE run $CONFIG    # it starts again; ann's client comes back by itself, within a minute
  redis-cli -p 16379 flushall       # Redis forgets everything
  kill -STOP $ETCD; kill -CONT $ETCD    # etcd stands still, and goes on
  kill -STOP $NODE3; kill -CONT $NODE3    # node 3 stands still, and goes on

What they say is in $WORK: node-1.log, node-2.log, node-3.log, etcd.log, redis.log, kafka.log.
END

# Until Ctrl-C, whatever of it is killed meanwhile.
while :; do
    sleep 86400 &
    SLEEP=$!
    wait "$SLEEP" || true
done
