#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs the programs that make system calls directly: posix (see posix.c) and users (see users.c). What concerns no leases runs on a
# tmpfs too: that is what the mount is measured by.
. "$(dirname "$0")/lib.sh"

# cmocka prints a line to stderr for each case; the status tells.
test_own_plain_cases_hold_on_tmpfs() {
  mount -t tmpfs none "$mnt"
  (cd "$mnt" && "$POSIX" --plain "$mnt") || status=$?
  umount "$mnt"
  return "${status:-0}"
}

test_own_plain_cases_of_users_hold_on_tmpfs() {
  chmod 755 "$work"
  mount -t tmpfs none "$mnt"
  (cd "$mnt" && "$USERS" --plain "$mnt") || status=$?
  umount "$mnt"
  return "${status:-0}"
}

test_own_all_cases_hold_here() {
  start -o allow_other
  "$POSIX" "$mnt"
  stop
}

test_own_all_cases_hold_with_one_thread() {
  start -o allow_other -s
  "$POSIX" "$mnt"
  stop
}

test_own_users_can_do_what_they_may() {
  start -o allow_other
  chmod 755 "$work"
  "$USERS" "$mnt"
  stop
}

run_tests
