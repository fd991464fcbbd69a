#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A hundred threads at one mount for STRESS_SECONDS (see stress.c), and what is left of it: nothing.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/resources.sh"

stress() {
  local nodes blocks
  nodes=$(used_nodes) blocks=$(used_blocks)
  "$STRESS" -t "${STRESS_SECONDS:-5}" "$@" "$mnt"
  wait_until sweep
  wait_until settles_at "$nodes"
  wait_until is "$blocks" used_blocks
}

test_own_a_hundred_threads_meet_only_each_other() {
  start -o xattr
  stress -j 100 -r "$RANDOM"
  stop
}

test_own_with_one_thread_in_the_daemon_too() {
  start -s
  STRESS_SECONDS=5 stress -j 20 -r "$RANDOM"
  stop
}

run_tests
