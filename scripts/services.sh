#!/bin/sh
# Fetches Apache Kafka's jars for the tests, unless they are there or KAFKA_HOME says where they are.
# Redis and etcd come as packages; see packages.sh.
set -eu
cd "$(dirname "$0")/.."

if [ -n "${KAFKA_HOME:-}" ]; then
    [ -d "$KAFKA_HOME/libs" ] || { echo "KAFKA_HOME has no libs/: $KAFKA_HOME" >&2; exit 1; }
    exit 0
fi

jars=target/services/kafka
# The mark is written last, so that what was cut short is fetched again; it holds the versions it was made from.
mark=$jars/.complete
cmp -s scripts/kafka/pom.xml "$mark" && exit 0
echo "missing: Apache Kafka's jars (the tests run against a real broker); fetching them to $jars"
rm -rf "$jars"
mkdir -p "$jars"
mvn -q -B -f scripts/kafka/pom.xml dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$PWD/$jars"
cp scripts/kafka/pom.xml "$mark"
