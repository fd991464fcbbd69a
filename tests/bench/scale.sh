#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What a million leases cost, and what happens when they all end in the same second:
#
#     $ tests/bench.sh scale
#
# usage: scale.sh [-n COUNT] [-j WORKERS] [memory] [revoke] [state]
#   -n  how many leases, or keys (default: 1000000)
#   -j  how many processes grant and refresh (default: 2)
#   memory  leases that are kept in memory; they end together
#   revoke  one lease with that many keys
#   state   leases with a state file, which is started again twice; they end together
#
# Without a name of a part, all three. The results come as text, and to scale.json in the folder of the results, a line each.
# In a PID namespace of its own leasefs can tell who watches, also where this runs confined: see fs/watchers.h.
[ -n "${BENCH_INSIDE-}" ] || BENCH_INSIDE=1 exec unshare --mount --pid --fork --mount-proc --kill-child "$BASH" "$0" "$@"
. "$(dirname "$0")/lib.sh"

count=1000000 workers=2 json=$BENCH_RESULTS/scale.json
while getopts n:j: option; do
  case $option in
  n) count=$OPTARG ;;
  j) workers=$OPTARG ;;
  *) sed -n 's/^# \(usage:.*\)/\1/p' "$0" >&2 && exit 2 ;;
  esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- memory revoke state

mnt=$work/mnt idle=$work/idle tmpfs=$work/tmpfs
mkdir "$mnt"

now_us() { echo "${EPOCHREALTIME/./}"; }

# start [SOURCE]: limits are not what is measured. Starting may take longer than lib.sh would wait.
start() {
  local begin
  begin=$(now_us)
  "$BENCH_BUILD/fs/leasefs" "$@" "$mnt" -f -o size=0,nr_inodes=0 2>>"$work/log" &
  daemon=$!
  daemons=("$idle_daemon" "$daemon")
  mounts=("$tmpfs" "$idle" "$mnt")
  until mountpoint -q "$mnt"; do
    kill -0 "$daemon" || { cat "$work/log" && exit 1; }
    sleep 0.01
  done
  stat "$mnt/leases" >/dev/null
  start_us=$(($(now_us) - begin))
  cd "$mnt"
}

stop() {
  local begin
  cd /
  begin=$(now_us)
  until umount "$mnt" 2>/dev/null; do sleep 0.01; done
  wait "$daemon"
  stop_us=$(($(now_us) - begin))
  daemons=("$idle_daemon")
  mounts=("$tmpfs" "$idle")
}

crash() {
  cd /
  kill -9 "$daemon"
  wait "$daemon" 2>/dev/null || true
  umount -l "$mnt"
}

say() { # STAGE NAME MICROSECONDS
  awk -v stage="$1" -v name="$2" -v us="$3" -v json="$json" 'BEGIN {
    printf "  %-44s %12.2f s\n", name, us / 1e6
    printf "{\"stage\": \"%s\", \"name\": \"%s\", \"value\": %.6f, \"unit\": \"s\"}\n", stage, name, us / 1e6 >>json
  }'
}

say_size() {
  printf '  %-44s %12s bytes\n' 'state file, for each lease with its key' $(($(stat -c %s "$work/state.db") / count))
}

scale() {
  "$BENCH_BUILD/tests/bench/scale" -n "$count" -j "$workers" -p "$daemon" -i "$idle_daemon" -c "$idle" -c "$tmpfs" -o "$json" "$@"
}

memory() {
  start
  scale grant memory read memory refresh list end memory
  stop
}

revoke() {
  start
  scale keys attach one revoke one
  stop
}

state() {
  start "$work/state.db"
  scale grant memory refresh list
  stop
  printf '\nstopped, and started again with %s leases\n' "$count"
  say restart 'time to stop' "$stop_us"
  say_size
  start "$work/state.db"
  say restart 'time to start after a clean stop' "$start_us"
  scale memory
  crash
  start "$work/state.db"
  say restart 'time to start after a crash' "$start_us"
  scale memory end
  stop
}

mount_tmpfs "$tmpfs"
mount_leasefs "$idle"
idle_daemon=$served
: >"$json"
for part; do
  printf '\n== %s\n' "$part"
  case $part in
  memory | revoke | state) "$part" ;;
  *) echo "$0: no part '$part'" >&2 && exit 2 ;;
  esac
done
