#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Installs what is missing, builds, and runs all tests:
#
#     $ tests/run.sh
#
# usage: tests/run.sh [-b BUILD_FOLDER] [-s SUITE] [-DMESON_OPTION=VALUE...]
#   -b  where to build (default: build)
#   -s  run only this suite: unit, single (units with a single thread that take long) or mount
#
# The mount tests need /dev/fuse and root. A test that was skipped counts as failed.
set -eu

cd "$(dirname "$0")/.."
build=build suite=
while [ $# -gt 0 ]; do
  case $1 in
  -b) build=${2:?name a folder} && shift 2 ;;
  -s) suite=${2:?name a suite} && shift 2 ;;
  -D*) break ;;
  *) sed -n 's/^# \(usage:.*\)/\1/p' "$0" >&2 && exit 2 ;;
  esac
done

.ci/install build test
if [ -f "$build/build.ninja" ]; then
  [ $# = 0 ] || meson configure "$build" "$@"
else
  meson setup "$build" "$@"
fi
meson compile -C "$build"

status=0
# Many of them wait most of the time.
meson test -C "$build" --print-errorlogs --num-processes $(($(nproc) + 2)) ${suite:+--suite "$suite"} || status=$?

# One line of JSON for each test program.
python3 - "$build/meson-logs/testlog.json" <<'PYTHON' || status=1
import json, sys

results = [json.loads(line)['result'] for line in open(sys.argv[1])]
passed = results.count('OK')
failed = len(results) - passed
print(f'{passed} passed, {failed} failed')
sys.exit(failed != 0 or passed == 0)
PYTHON
exit "$status"
