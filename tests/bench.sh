#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Installs what is missing, builds with optimisation, and measures what calls cost here, on a tmpfs, and in Redis and etcd:
#
#     $ tests/bench.sh
#
# usage: tests/bench.sh [-b BUILD_FOLDER] [-o RESULTS_FOLDER] [table|quick|scale|growth] [ARGUMENT...]
#   -b      where to build (default: .build/bench)
#   -o      where the results go (default: results in the build folder)
#   table   the table, as text, JSON and SVG; it is the default
#   quick   counts requests exactly and compares times with a wide margin; fails if something has collapsed
#   scale   a million leases
#   growth  what calls cost against the number of leases
#
# Each of them is tests/bench/NAME.sh, which gets the ARGUMENTs and says what they are. It finds in its environment BENCH_BUILD and BENCH_RESULTS,
# which are absolute and exist, and shares tests/bench/lib.sh. It runs what the target `benchmarks` in tests/bench/meson.build builds. Needs /dev/fuse and root.
set -eu

cd "$(dirname "$0")/.."
usage() {
  sed -n 's/^# \(usage:.*\)/\1/p' "$0" >&2
  exit 2
}

build=.build/bench results=
while [ $# -gt 0 ]; do
  case $1 in
  -b) build=${2:?name a folder} && shift 2 ;;
  -o) results=${2:?name a folder} && shift 2 ;;
  -*) usage ;;
  *) break ;;
  esac
done
mode=${1:-table}
[ $# = 0 ] || shift
case $mode in
table | quick | scale | growth) ;;
*) usage ;;
esac

if [ "$mode" = quick ]; then .ci/install build test; else .ci/install build test bench; fi
[ -f "$build/build.ninja" ] || meson setup "$build" --buildtype=release
ninja -C "$build" benchmarks

mkdir -p "${results:=$build/results}"
BENCH_BUILD=$(realpath "$build") BENCH_RESULTS=$(realpath "$results")
export BENCH_BUILD BENCH_RESULTS
exec bash "tests/bench/$mode.sh" "$@"
