#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The daemon is killed again and again (see crash.c), CRASH_ROUNDS times: what was acknowledged is there each time, and nothing half-done.
# CRASH_SEED gives the random numbers of an earlier run.
. "$(dirname "$0")/lib.sh"

# crash ARGUMENT... STATE: with a new reference.
crash() {
  local status=0
  mkdir "$work/reference"
  mount -t tmpfs none "$work/reference"
  "$CRASH" "$@" "$mnt" "$work/reference" || status=$?
  while mountpoint -q "$mnt"; do umount -l "$mnt"; done
  umount -l "$work/reference"
  rmdir "$work/reference"
  return "$status"
}

# What the model expects is what a daemon does that lives.
test_own_the_model_is_right() {
  crash -n -r 5 -s "${CRASH_SEED:-$RANDOM}" none
}

test_own_what_was_acknowledged_survives() {
  crash -r "${CRASH_ROUNDS:-25}" -s "${CRASH_SEED:-$RANDOM}" "$work/state.db"
}

run_tests
