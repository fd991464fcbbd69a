#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# In short, whether speed has collapsed: exact counts of requests, and the targets with a wide margin, by the least times of several rounds, which depend
# little on what else the machine does. Without Redis and etcd.
. "$(dirname "$0")/lib.sh"

margin=2.5 status=0
mount_tmpfs "$work/tmpfs"
mount_floor "$work/floor"
mount_leasefs "$work/memory"
mount_leasefs "$work/state" "$work/state.db"

if "$BENCH_BUILD/tests/bench/counts" "floor:$work/floor" "leasefs:$work/memory" "leasefs:$work/state"; then
  echo 'requests: as expected'
else
  status=1
fi
"$BENCH_BUILD/tests/bench/bench" -c "tmpfs=tmpfs:$work/tmpfs" -c "floor=floor:$work/floor" -c "memory=leasefs:$work/memory" \
  -c "state=leasefs:$work/state" -r 15 -t 2 >"$BENCH_RESULTS/quick.json"
python3 "$(dirname "$0")/report.py" -f least -s -m $margin -n "the least times; a target is missed if it is missed by more than a factor of $margin" "$BENCH_RESULTS/quick.json" || status=1
exit $status
