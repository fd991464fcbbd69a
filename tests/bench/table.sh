#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The table: what calls cost on a tmpfs, on the floor (see floor.c), in leasefs without and with a state file, in Redis and in etcd.
#
# usage: table.sh [BENCH_OPTION...]     options of tests/bench/bench.c, such as -r ROUNDS or -R ROW,...
. "$(dirname "$0")/lib.sh"

columns=() notes=()
# column NAME=KIND:WHERE NOTE
column() { columns+=(-c "$1") && notes+=(-n "${1%%=*}: $2"); }
# absent NAME WHY
absent() { notes+=(-n "$1: left out: $2"); }

if is_on_tmpfs "$work"; then
  echo "$work is on a tmpfs: set TMPDIR to a folder on a disk" >&2
  exit 1
fi
mount_tmpfs "$work/tmpfs"
mount_floor "$work/floor"
mount_leasefs "$work/memory"
mount_leasefs "$work/state" "$work/state.db"
column "tmpfs=tmpfs:$work/tmpfs" 'the same calls on a tmpfs'
column "floor=floor:$work/floor" 'the same calls on a FUSE file system that does nothing'
column "memory=leasefs:$work/memory" 'leasefs none'
column "state=leasefs:$work/state" "leasefs with a state file on $(stat -f -c %T "$work"), synced each second"
if ! grep -q HAVE_HIREDIS "$BENCH_BUILD/build.ninja"; then
  absent Redis 'libhiredis-dev was not there when this was built'
elif start_redis; then
  column "Redis=redis:$redis_port" 'over hiredis, with its append-only file, synced each second (appendfsync everysec); SET EX, GET, EXISTS, DEL, EXPIRE; publish is the same as put'
else
  absent Redis 'it did not start'
fi
if start_etcd; then
  column "etcd=etcd:$etcd_port" "its JSON gateway over one connection; puts have a lease and are synced before they return; refresh is keepalive, publish is the same as put"
else
  absent etcd 'it did not start'
fi

"$BENCH_BUILD/tests/bench/bench" "${columns[@]}" -n 1,2,4 -r 41 -t 5 "$@" >"$work/times.json"
mv "$work/times.json" "$BENCH_RESULTS/table.json"
python3 "$(dirname "$0")/report.py" "${notes[@]}" -p "$BENCH_RESULTS/table" "$BENCH_RESULTS/table.json" | tee "$BENCH_RESULTS/table.txt"
