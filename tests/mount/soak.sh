#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A daemon that lasts: after many days of coming and going (see soak.c) it holds on to nothing that is gone. Days are short here, and SOAK is
# for how many minutes they go on.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/resources.sh"

# What is said there is shown in any case.
exec 4>&1

seconds=$(awk "BEGIN { print int (${SOAK:-0.1} * 60) }")
things=$((seconds < 60 ? 150 : 1000))

descriptors() { find "/proc/$daemon/fd" -mindepth 1 | wc -l; }
threads() { find "/proc/$daemon/task" -mindepth 1 -maxdepth 1 | wc -l; }

# live DAY NODES: a day, and the night after it. By morning all leases have been revoked or, every other night, have expired.
live() {
  "$SOAK_LIFE" -n "$things" -r "$1" "$mnt"
  [ $(($1 % 2)) = 1 ] || wait_until sweep
  wait_until settles_at "$2" || { find "$mnt"; return 1; }
  forget 3
  echo "# after day $1: $(resident_kib) KiB, $(used_blocks) blocks, $(descriptors) descriptors, $(threads) threads" >&4
}

test_nothing_is_held_on_to() {
  local nodes blocks resident fds count day end

  nodes=$(used_nodes)
  # What the daemon needs on any day it has by the morning after the second.
  live 1 "$nodes"
  live 2 "$nodes"
  blocks=$(used_blocks) resident=$(resident_kib) fds=$(descriptors) count=$(threads)
  end=$((SECONDS + seconds))
  for ((day = 3; day < 5 || SECONDS < end; day++)); do
    live "$day" "$nodes"
    # An inode is free when its file ends, its memory when that has been cleaned up.
    wait_until is "$blocks" used_blocks
    at_most "$fds" descriptors
    at_most "$count" threads
    # The heap is never packed quite the same.
    sanitized || at_most $((resident + resident / 10 + 4096)) resident_kib
  done
}

# Every node that the kernel has seen is pinned until the kernel forgets it. If one pin were too many, its node would stay for ever; were
# one missing, a file that is open would vanish.
test_the_kernel_gives_back_all_it_was_given() {
  local nodes i

  nodes=$(used_nodes)
  mkdir -p d/e
  for i in {1..1000}; do echo "$i" >"d/$i"; done
  for i in {1..100}; do ln "d/$i" "d/e/$i" && ln -s "$i" "d/s$i" && mkdir "d/e/d$i"; done
  lease a 100
  echo x >leases/a/x
  echo d/1 >leases/a/keys
  for i in 1 2 3; do find . -ls && cat d/[1-9]* leases/a/*; done >/dev/null
  # two directories, files, symlinks, directories, a lease, a key in it
  wait_until settles_at $((nodes + 2 + 1000 + 100 + 100 + 1 + 1))
  find . -ls >/dev/null
  exec 3<>d/500
  rmdir leases/a
  rm -r d
  # the file that is open, and the directory that it was in: the kernel keeps that with it
  wait_until settles_at $((nodes + 2))
  is 500 cat "/proc/$BASHPID/fd/3"
  exec 3>&-
  wait_until settles_at "$nodes"
}

# A process that is killed leaves requests that are interrupted, and answers that nobody takes.
test_the_kernel_gives_back_what_it_gave_the_dead() {
  local nodes i

  nodes=$(used_nodes)
  for i in {1..20}; do
    (
      exec 3<>"open$i"
      rm "open$i"
      while :; do
        find . -ls && head -c 1000000 /dev/zero >"f$i" && cat "f$i" && rm "f$i"
      done
    ) >/dev/null 2>&1 &
    sleep "0.0$((RANDOM % 10))"
    kill -9 $!
    wait $! || true
  done 2>/dev/null
  wait_until sweep
  wait_until settles_at "$nodes"
}

run_tests
