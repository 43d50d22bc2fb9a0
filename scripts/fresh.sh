#!/bin/sh
# Follows the README on a clean Debian 12 in a folder, to find what this machine hides. Needs root. What is cloned is the
# last commit.
#
#   scripts/fresh.sh                   `make quickstart` until it answers, then `make test`
#   scripts/fresh.sh quickstart        the first command alone; `test`: the second
#   scripts/fresh.sh build             what the first command builds, without running it
#   scripts/fresh.sh native            the packages of both commands, and the crates that compile C or call protoc
#
# The clean Debian has git and make, and is lent this machine's Rust toolchain, CA certificates and settings of apt, cargo
# and Maven. FRESH_DIR (/var/tmp) is where the folder is made; it takes some 8 GB. Mounts and processes live in namespaces
# of their own, which the kernel takes down with the last process, however this script ends.
set -eu
cd "$(dirname "$0")/.."
self=$PWD/scripts/fresh.sh

RELEASE=bookworm
TOOLCHAIN=/opt/rust

usage() {
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

# ---- on the clean Debian ----

# The crates with build steps that need more than Rust.
native() {
    scripts/packages.sh build
    scripts/packages.sh test
    cargo build --locked -p etcd-client -p rdkafka-sys -p aws-lc-sys -p libmimalloc-sys
}

build() {
    scripts/packages.sh build
    cargo build --locked --release
}

# Starts the quickstart, sends a message through it, and ends it.
quickstart() {
    log=$PWD/target/quickstart.log
    mkdir -p target
    make quickstart ARGS="--gateway-port 0 --page-port 0 --admin-port 0 --push-port 0 --backend-port 0" > "$log" 2>&1 &
    make=$!
    gateway=
    while [ -z "$gateway" ]; do
        kill -0 $make 2>/dev/null || { tail -n 40 "$log" >&2; echo "make quickstart has ended" >&2; return 1; }
        sleep 1
        gateway=$(sed -n 's/^ *gateway *//p' "$log")
    done
    echo hello | timeout 30 target/release/linkgate client "$gateway" --biz chat --user fresh | tee target/client.log
    kill $make
    wait $make || true
    grep -q "^accepted" target/client.log || { echo "the quickstart does not answer" >&2; return 1; }
}

if [ "${1:-}" = --inside ]; then
    shift
    for step in "$@"; do
        echo "==> $step"
        case $step in
        test) make test ;;
        *) "$step" ;;
        esac
    done
    exit 0
fi

# ---- on this machine, in namespaces of its own ----

# lend FOLDER|FILE...: copies what is there to the same place.
lend() {
    for path in "$@"; do
        [ -e "$path" ] || continue
        mkdir -p "$ROOT$(dirname "$path")"
        cp -rL "$path" "$ROOT$(dirname "$path")/"
    done
}

# lend_home FOLDER PLACE FILE...: copies what is there of a folder of settings to a place in the clean home.
lend_home() {
    from=$1 to=$ROOT/root/$2
    shift 2
    mkdir -p "$to"
    for file in "$@"; do
        [ ! -e "$from/$file" ] || cp "$from/$file" "$to/"
    done
}

if [ "${1:-}" = --enter ]; then
    ROOT=$2
    shift 2
    echo "==> a clean Debian ($RELEASE) in $ROOT"
    mirror=$(apt-get indextargets --format '$(CODENAME) $(SITE)' | sed -n "s/^$RELEASE //p" | head -n 1)
    mkdir -p "$ROOT/root"
    # shellcheck disable=SC2086 # none, or one word
    debootstrap --variant=minbase --include=ca-certificates,git,make $RELEASE "$ROOT" $mirror > "$ROOT/root/debootstrap.log" 2>&1 || {
        tail -n 20 "$ROOT/root/debootstrap.log" >&2
        exit 1
    }
    lend /etc/hosts /etc/resolv.conf /etc/apt/auth.conf /etc/apt/auth.conf.d
    apt-config dump Acquire > "$ROOT/etc/apt/apt.conf.d/90lent"
    # The certificates beside the list of them: packages make the list anew, and Java's of what stands there by then.
    lend /usr/local/share/ca-certificates /etc/ssl/certs/ca-certificates.crt
    chroot "$ROOT" update-ca-certificates > /dev/null
    lend_home "${CARGO_HOME:-$HOME/.cargo}" .cargo config config.toml credentials.toml
    lend_home "$HOME/.m2" .m2 settings.xml settings-security.xml
    git clone -q --no-local . "$ROOT/root/linkgate"

    mount -t proc proc "$ROOT/proc"
    mount --rbind /dev "$ROOT/dev"
    mkdir -p "$ROOT$TOOLCHAIN"
    mount --bind -o ro "$(rustc --print sysroot)" "$ROOT$TOOLCHAIN"
    # Names are chosen one by one: what else is set here may be what a newcomer lacks.
    for name in $(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p'); do
        case $name in
        PATH | CI | *_proxy | *_PROXY | SSL_CERT_FILE | SSL_CERT_DIR | CURL_CA_BUNDLE) ;;
        CARGO_HTTP_* | CARGO_NET_* | CARGO_REGISTR* | MAVEN_OPTS | MAVEN_ARGS) ;;
        *) unset "$name" ;;
        esac
    done
    export HOME=/root USER=root LANG=C.UTF-8
    export PATH=$TOOLCHAIN/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    exec chroot "$ROOT" /root/linkgate/scripts/fresh.sh --inside "$@"
fi

# ---- on this machine ----

for step in "$@"; do
    case $step in
    quickstart | test | build | native) ;;
    *) usage ;;
    esac
done
[ $# -gt 0 ] || set -- quickstart test

if [ "$(id -u)" != 0 ]; then
    echo "scripts/fresh.sh makes a Debian in a folder and mounts into it: run it as root" >&2
    exit 1
fi
scripts/packages.sh fresh
[ -z "$(git status --porcelain)" ] || echo "note: what is not committed is not tried"

ROOT=$(mktemp -d "${FRESH_DIR:-/var/tmp}/linkgate-fresh.XXXXXX")
chmod 755 "$ROOT" # apt and the services give up root
INSIDE=
finish() {
    if [ -n "$INSIDE" ]; then
        kill -KILL "$INSIDE" 2>/dev/null || true
        wait "$INSIDE" 2>/dev/null || true
    fi
    rm -rf --one-file-system "$ROOT"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP
unshare --mount --pid --fork --kill-child "$self" --enter "$ROOT" "$@" &
INSIDE=$!
wait $INSIDE
INSIDE=
echo "on a clean Debian passed: $*"
