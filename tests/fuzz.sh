#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Installs what is missing, builds the fuzz targets in .build/fuzz, and looks for new inputs that
# break something:
#
#     $ tests/fuzz.sh
#
# usage: tests/fuzz.sh [-t SECONDS] [TARGET...]
#   -t       how long to look, for each target (default: 60)
#   TARGET   ttl, keys, procs, engine, pseudo (default: all of them)
#
# Starts from the inputs in tests/fuzz/corpus and from those that it found before, which it keeps in
# .build/fuzz/corpus-TARGET. An input that breaks something is kept in .build/fuzz. Then it fails.
set -eu

cd "$(dirname "$0")/.."
build=.build/fuzz seconds=60
while [ $# -gt 0 ]; do
  case $1 in
  -t) seconds=${2:?say how many seconds} && shift 2 ;;
  -*) sed -n 's/^# \(usage:.*\)/\1/p' "$0" >&2 && exit 2 ;;
  *) break ;;
  esac
done
[ $# -gt 0 ] || set -- ttl keys procs engine pseudo
for target; do
  [ -d "tests/fuzz/corpus/$target" ] || { echo "$0: no target '$target'" >&2 && exit 2; }
done

.ci/install build test fuzz
[ -f $build/build.ninja ] || CC=clang CFLAGS=-fsanitize=fuzzer-no-link meson setup $build \
  -Db_sanitize=address,undefined -Db_lundef=false
ninja -C $build "${@/#/tests/fuzz/libfuzzer-}" "${@/#/tests/fuzz/fuzz-}"

# One line for target $1. What libFuzzer says, which is much, goes to a log.
fuzz () {
  local corpus=$build/corpus-$1 log=$build/$1.log crash
  local -a limits=(-max_len=1200 -len_control=0)
  case $1 in
  ttl | procs) limits=(-max_len=100) ;;
  keys) limits=(-max_len=9000) ;;
  esac

  mkdir -p "$corpus"
  # UBSan goes on after what it finds, unless it is told to stop.
  if UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 "$build/tests/fuzz/libfuzzer-$1" \
    "${limits[@]}" -max_total_time="$seconds" -timeout=10 -artifact_prefix="$build/$1-" \
    "$corpus" "tests/fuzz/corpus/$1" > "$log" 2>&1; then
    echo "$1: nothing found; $(sed -n 's/^#\([0-9]*\).*DONE *\(cov: [0-9]* ft: [0-9]*\).*/\1 runs, \2/p' "$log")"
    return 0
  fi
  crash=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
  echo "$1: FAILED, see $log; to see it again:"
  echo "    FUZZ_TRACE=1 $build/tests/fuzz/fuzz-$1 ${crash:-(no input was kept)}"
  return 1
}

status=0
for target; do
  fuzz "$target" || status=1
done
exit $status
