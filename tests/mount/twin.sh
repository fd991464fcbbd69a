#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs twin (see twin.c): the same random system calls here and on a tmpfs, which have to give the same results.
. "$(dirname "$0")/lib.sh"

# In a directory beside `leases/`, mounted as FUSE mounts always are for users.
start_both() {
  status=0
  mkdir "$work/reference"
  mount -t tmpfs -o nosuid,nodev none "$work/reference"
  start -o allow_other "$@"
}

stop_both() {
  stop || status=$?
  umount "$work/reference"
  rmdir "$work/reference"
  return "$status"
}

# Those that a mount without -o xattr does not have.
no_xattr=(-x 'setxattr,getxattr,listxattr,removexattr')

# twin ARGUMENT...: in new directories; a difference is for stop_both's caller to return.
twin() {
  local place
  place=$(mktemp -d "$work/reference/XXXXXX")
  mkdir "$mnt/${place##*/}"
  "$TWIN" "$@" "$place" "$mnt/${place##*/}" || status=$?
}

test_own_same_calls_give_the_same_results() {
  local seed
  start_both
  for seed in 1 2; do twin -s "$seed" -n 2500 "${no_xattr[@]}"; done
  stop_both
}

test_own_same_calls_give_the_same_results_with_extended_attributes() {
  local seed
  start_both -o xattr
  for seed in 3 4; do twin -s "$seed" -n 2500; done
  stop_both
}

test_own_same_calls_give_the_same_results_with_one_thread() {
  start_both -s
  twin -s 5 -n 2500 "${no_xattr[@]}"
  stop_both
}

test_own_same_calls_move_the_same_times() {
  start_both -o xattr
  twin -s 6 -n 300 -t
  stop_both
}

test_own_random_calls_give_the_same_results() {
  start_both -o xattr
  twin -s "$RANDOM" -n 5000
  stop_both
}

run_tests
