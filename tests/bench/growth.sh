#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What calls cost against the number of leases present, 10^3 to 10^6, with a key each, in memory and with a state file: medians of calls in turns on
# mounts of each size, which are there at the same time. As a table, with the ratio of the most to the fewest, and, some of
# them, as a picture, growth.svg.
#
#     $ tests/bench.sh growth
#
# usage: growth.sh [-n MOST] [-r ROUNDS]
#   -n  the most leases (default: 1000000)
#   -r  how many turns (default: 20)
# In a PID namespace of its own leasefs can tell who watches, also where this runs confined: see fs/watchers.h.
[ -n "${BENCH_INSIDE-}" ] || BENCH_INSIDE=1 exec unshare --mount --pid --fork --mount-proc --kill-child "$BASH" "$0" "$@"
. "$(dirname "$0")/lib.sh"
here=$(realpath "$(dirname "$0")")

most=1000000 rounds=20
while getopts n:r: option; do
  case $option in
  n) most=$OPTARG ;;
  r) rounds=$OPTARG ;;
  *) sed -n 's/^# \(usage:.*\)/\1/p' "$0" >&2 && exit 2 ;;
  esac
done

places=()
for kind in memory state; do
  for ((count = 1000; count <= most; count *= 10)); do
    place=$work/$kind-$count source=none
    [ "$kind" = memory ] || source=$work/$count.db
    mount_leasefs "$place" "$source" -o size=0,nr_inodes=0
    printf '%s, %s leases' "$kind" "$count"
    (cd "$place" && "$BENCH_BUILD/tests/bench/scale" -n "$count" grant | sed -n 's/.* \([0-9.]* s\) *$/: made in \1/p')
    places+=("$place=$count")
  done
done
# What was written goes to the disk first.
sync "$work"/*.db
sleep 2

data=$BENCH_RESULTS/growth.tsv
"$BENCH_BUILD/tests/bench/growth" -r "$rounds" "${places[@]}" >"$work/times"
sed "s|$work/\([a-z]*\)-[0-9]*|\1|" "$work/times" >"$data"

awk -F '\t' '
  { ns[$2, $1, $3] = $4; low[$2, $1, $3] = $5; if (!seen[$2, $1]++) rows[++n] = $2 FS $1; if (!sizes[$3]++) size[++m] = $3 }
  function ratio(of, kind, call) { return of[kind, call, size[m]] / of[kind, call, size[1]] }
  END {
    printf "\n%-22s", "us, median"
    for (i = 1; i <= m; i++) printf " %10d", size[i]
    printf "   most : fewest  of the undisturbed\n"
    for (r = 1; r <= n; r++) {
      split(rows[r], part, FS)
      printf "%-7s %-14s", part[1], part[2]
      for (i = 1; i <= m; i++) printf " %10.2f", ns[part[1], part[2], size[i]] / 1000
      all = ratio(ns, part[1], part[2])
      printf "   %13.2f  %18.2f   at most 1.3: %s\n", all, ratio(low, part[1], part[2]), all <= 1.3 ? "met" : "MISSED"
    }
  }' "$data"

gnuplot -e "data='$data'; picture='$BENCH_RESULTS/growth.svg'" "$here/growth.gnuplot"
echo "$BENCH_RESULTS/growth.svg"
