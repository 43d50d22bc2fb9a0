#!/bin/sh
# Runs Autobahn's fuzzing client against `linkgate run` and judges what it reports. The tables of docs/conformance.md.
#
#   scripts/autobahn.sh                   cases 1 to 10, some half a minute
#   scripts/autobahn.sh all               12 and 13 too (permessage-deflate), some 20 minutes, with a release build
#   scripts/autobahn.sh 6 '12.1.*'        these cases
#   scripts/autobahn.sh --if-available    skips where there is no Python 2.7, which the suite needs, instead of failing
#
# LISTENERS ("plain compressed takeover") are those of scripts/autobahn/gateway.yaml to be tested, side by side; LIMIT
# (300, with 12 or 13: 5400) is how many seconds it may take; LINKGATE is a binary to be tested in place of one that is
# built. The suite's own reports are left in target/autobahn/reports.
set -eu
cd "$(dirname "$0")/.."

ROOM=$PWD/target/autobahn
LISTENERS=${LISTENERS:-plain compressed takeover}
IF_AVAILABLE=false PROFILE=debug CASES=
for argument in "$@"; do
    case $argument in
    --if-available) IF_AVAILABLE=true ;;
    all) CASES="$CASES 1 2 3 4 5 6 7 9 10 12 13" ;;
    [1-9]*) CASES="$CASES $argument" ;;
    *)
        sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    esac
done
# Autobahn has no 8, and 11 is what 12 and 13 have taken the place of.
CASES=${CASES:-1 2 3 4 5 6 7 9 10}
case " $CASES" in
*" 12"* | *" 13"*) PROFILE=release LIMIT=${LIMIT:-5400} ;;
*) LIMIT=${LIMIT:-300} ;;
esac

# python27: prints the path of a Python 2.7 that works; a pyenv's shim need not.
python27() {
    for python in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7*/bin/python2.7 python2.7; do
        if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))' 2>/dev/null; then
            command -v "$python"
            return
        fi
    done
    return 1
}

# Installs the suite, unless it is there. The mark is written last, so that what was cut short is installed again.
install() {
    cmp -s scripts/autobahn/requirements.txt "$ROOM/.complete" && return
    echo "missing: Autobahn's suite; installing it to target/autobahn"
    rm -rf "$ROOM"
    mkdir -p "$ROOM"
    python3 -m venv "$ROOM/tool"
    # The last that makes environments of Python 2.7.
    "$ROOM/tool/bin/pip" install -q 'virtualenv<20.22'
    "$ROOM/tool/bin/virtualenv" -q -p "$1" "$ROOM/env"
    "$ROOM/env/bin/pip" install -q --no-python-version-warning -r scripts/autobahn/requirements.txt
    cp scripts/autobahn/requirements.txt "$ROOM/.complete"
}

if python=$(python27); then
    install "$python"
elif $IF_AVAILABLE; then
    echo "skipped: Autobahn's suite needs Python 2.7, and there is none (neither of pyenv nor on the PATH)"
    exit 0
else
    echo "Autobahn's suite needs Python 2.7: \`pyenv install 2.7.18\`, or python2.7 on the PATH" >&2
    exit 1
fi

if [ -n "${LINKGATE:-}" ]; then
    PROFILE=given
elif [ $PROFILE = release ]; then
    cargo build --locked --release --bin linkgate
else
    cargo build --locked --bin linkgate
fi
LINKGATE=${LINKGATE:-${CARGO_TARGET_DIR:-target}/$PROFILE/linkgate}

GATEWAY=
SHARDS=
finish() {
    for pid in $SHARDS $GATEWAY; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
}
trap finish EXIT
trap 'exit 130' INT TERM

rm -rf "$ROOM/reports"
mkdir -p "$ROOM/reports"
LOG=$ROOM/reports/linkgate.log
"$LINKGATE" run scripts/autobahn/gateway.yaml > "$LOG" 2>&1 &
GATEWAY=$!

# address LISTENER: where it accepts, once it does. The system has chosen the port.
address() {
    tries=0
    until sed -n "s/.* accepting links listener=\"$1\" address=//p" "$LOG" | grep .; do
        tries=$((tries + 1))
        if [ $tries -gt 100 ] || ! kill -0 "$GATEWAY" 2>/dev/null; then
            echo "linkgate does not accept on the listener $1:" >&2
            cat "$LOG" >&2
            return 1
        fi
        sleep 0.1
    done
}

# patterns LISTENER: the cases for it as JSON's strings; none of compression where there is none.
patterns() {
    for wanted in $CASES; do
        case $1/$wanted in
        plain/12 | plain/12.* | plain/13 | plain/13.*) ;;
        *.*) printf ', "%s"' "$wanted" ;;
        *) printf ', "%s.*"' "$wanted" ;;
        esac
    done | sed 's/^, //'
}

set -f # patterns are no file names
REPORTS=
for listener in $LISTENERS; do
    patterns=$(patterns "$listener")
    [ -n "$patterns" ] || continue
    address=$(address "$listener")
    reports=$ROOM/reports/$listener
    mkdir "$reports"
    # A user each: the login of one would replace the other's.
    cat > "$reports/spec.json" <<END
{
    "outdir": "$reports",
    "servers": [{ "agent": "$listener", "url": "ws://$address/ws?biz_id=echo&user_id=$listener" }],
    "cases": [$patterns],
    "exclude-cases": [],
    "exclude-agent-cases": {}
}
END
    timeout "$LIMIT" "$ROOM/env/bin/wstest" -m fuzzingclient -s "$reports/spec.json" > "$reports/wstest.log" 2>&1 &
    SHARDS="$SHARDS $!"
    REPORTS="$REPORTS $reports/index.json"
done

begun=$(date +%s)
broken=0
for pid in $SHARDS; do
    wait "$pid" || broken=1
done
SHARDS=
for report in $REPORTS; do
    if [ $broken = 1 ] || ! [ -s "$report" ]; then
        echo "the suite came to no end, within $LIMIT s; the last lines of $(dirname "$report")/wstest.log:" >&2
        tail -n 5 "$(dirname "$report")/wstest.log" >&2
        broken=1
    fi
done
[ $broken = 0 ] || exit 1
echo "Autobahn's suite 25.10.1, $("$LINKGATE" --version), $PROFILE build, $(($(date +%s) - begun)) s"
# shellcheck disable=SC2086 # several paths
WANTED=$CASES python3 scripts/autobahn/judge.py $REPORTS
