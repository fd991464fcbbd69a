# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the benchmarks share. Each sources this, mounts and starts what it needs, and leaves it to the EXIT trap to end all that.
#
# In: BENCH_BUILD, BENCH_RESULTS (see tests/bench.sh); BENCH_CPUS, if it is set: the processors to run all of it on, as for taskset. Where a process wakes another one on an idle
# processor, that alone may take longer than the call, and whether it does changes from one minute to the next; BENCH_CPUS=0 leaves that out.
# Out: $work, a new folder on a disk.

set -eu
export LC_ALL=C
: "${BENCH_BUILD:?start tests/bench.sh}" "${BENCH_RESULTS:?start tests/bench.sh}"

[ -z "${BENCH_CPUS:-}" ] || taskset -cp "$BENCH_CPUS" $$ >/dev/null

work=$(mktemp -d "${TMPDIR:-/var/tmp}/leasefs-bench.XXXXXX")
mounts=()  # folders where something is mounted
daemons=() # processes that serve them, and others

clean_up() {
  local i
  for ((i = ${#mounts[@]} - 1; i >= 0; i--)); do
    umount "${mounts[i]}" 2>/dev/null || umount -l "${mounts[i]}" || true
  done
  for ((i = 0; i < ${#daemons[@]}; i++)); do
    kill "${daemons[i]}" 2>/dev/null || true
    wait "${daemons[i]}" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

# wait_until COMMAND...: runs it again and again until it succeeds; fails when it has not after 30 s.
wait_until() {
  local i
  for ((i = 0; i < 1500; i++)); do
    "$@" && return
    sleep 0.02
  done
  echo "waited in vain for: $*" >&2
  return 1
}

# is_on_tmpfs PATH: what is kept there goes to no disk.
is_on_tmpfs() { [ "$(stat -f -c %T "$1")" = tmpfs ]; }

# serve FOLDER COMMAND...: runs a daemon that mounts at FOLDER, which is made. Its process is $served.
serve() {
  local folder=$1
  shift
  mkdir -p "$folder"
  "$@" &
  served=$!
  daemons+=("$served")
  mounts+=("$folder")
  wait_until mountpoint -q "$folder"
}

# mount_leasefs FOLDER [SOURCE [OPTION...]]
mount_leasefs() {
  local folder=$1 source=${2:-none}
  shift $(($# < 2 ? $# : 2))
  serve "$folder" "$BENCH_BUILD/fs/leasefs" "$source" "$folder" -f "$@" 2>>"$work/log"
}

# With as many threads as libfuse ever has, since it is their number that decides how warm the one is that the kernel wakes. leasefs has them after a little work; what never waits
# would not, without being made to.
mount_floor() {
  local i waiting=()
  serve "$1" "$BENCH_BUILD/tests/bench/floor" "$1" 2>>"$work/log"
  for i in {1..12}; do
    { test -e "$1/new-slow-$i" || true; } &
    waiting+=("$!")
  done
  wait "${waiting[@]}"
}

mount_tmpfs() {
  mkdir -p "$1"
  mount -t tmpfs none "$1"
  mounts+=("$1")
}

# A port of 127.0.0.1 that is free now.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# start_redis: on a new port, $redis_port. Its append-only file is synced each second, as in Redis's own defaults, and as leasefs syncs a state
# file: what a call did survives the end of the process at once, and a power cut after a second. Fails, with a word why, if there is no Redis.
start_redis() {
  command -v redis-server >/dev/null || { echo 'redis-server is not installed' && return 1; }
  redis_port=$(free_port)
  mkdir "$work/redis"
  redis-server --bind 127.0.0.1 --port "$redis_port" --dir "$work/redis" --save '' --appendonly yes \
    --appendfsync everysec >"$work/redis/log" 2>&1 &
  daemons+=("$!")
  wait_until redis-cli -p "$redis_port" ping >/dev/null 2>&1
}

# start_etcd: on a new port, $etcd_port, alone, with its own defaults: each put is synced before it is answered. Fails, with a word why, if there is no etcd.
start_etcd() {
  local peer
  command -v etcd >/dev/null || { echo 'etcd is not installed' && return 1; }
  etcd_port=$(free_port)
  peer=$(free_port)
  mkdir "$work/etcd"
  etcd --data-dir "$work/etcd/data" --listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port" \
    --listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
    --initial-cluster "default=http://127.0.0.1:$peer" --logger zap --log-level error >"$work/etcd/log" 2>&1 &
  daemons+=("$!")
  wait_until is_ready "$etcd_port"
}

is_ready() {
  python3 -c 'import sys, urllib.request; urllib.request.urlopen("http://127.0.0.1:" + sys.argv[1] + "/health", timeout=1)' "$1" 2>/dev/null
}
