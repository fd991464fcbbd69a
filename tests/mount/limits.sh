#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The limits size=, nr_inodes= and max_leases=: what is full, what it takes, and that room comes back.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/resources.sh"

# How far the daemon's memory may go beyond `size`, in KiB: see "Limits" in the README.
allowance=196608

# within SIZE_KIB COMMAND...: the command fills the mount, and the daemon's memory stays within the limit.
within() {
  local size=$1
  shift
  "$@"
  sanitized || at_most $((size + allowance)) resident_kib
}

no_room() { fails 'No space left on device' "$1"; }

test_own_memory_stays_within_the_limit_whatever_fills_it() {
  local kind place nodes blocks
  start -o size=12m,nr_inodes=0
  nodes=$(stat -f -c %c .)
  [ "$nodes" = 0 ]
  blocks=$(used_blocks)
  for kind in values files names symlinks sparse directories leases keys values; do
    place=$mnt/d
    case $kind in
    leases | keys) place=$mnt/leases ;;
    *) mkdir d ;;
    esac
    within 12288 "$FILL" "$kind" "$place"
    # There is no room for another file with a name and a value as large as they come.
    no_room 'head -c 40000 /dev/zero >more'
    wait_until sweep
    forget
    wait_until is "$blocks" used_blocks
  done
  stop
}

# All of them in one directory. So many take sanitizers too long.
test_own_very_many_files() {
  start -o size=2g,nr_inodes=256k
  ! sanitized || { stop && return; }
  lease a 1000
  mkdir d
  echo d >leases/a/keys
  is 262140 "$FILL" files d
  no_room 'touch more'
  is '0 262144' stat -f -c '%d %c' .
  at_most $(($(used_blocks) * 4 + allowance)) resident_kib
  rm d/262139 d/0
  touch more d/again
  no_room 'touch d/0'
  # They end all together, and their inodes are free at once.
  echo 0.1 >leases/a/ttl
  sleep 0.1
  touch even more
  stop
}

# Though something that came later stays.
test_own_memory_goes_back_to_the_system() {
  local i before
  start
  before=$(resident_kib)
  for i in {1..64}; do head -c 1M /dev/zero | tr '\0' x >"$i"; done
  touch last
  rm {1..63}
  sanitized || wait_until is_down_to $((before + 8192))
  is 1048576 stat -c %s 64
  stop
}

is_down_to() { [ "$(resident_kib)" -le "$1" ]; }

test_own_what_is_attached_counts_and_makes_room_when_it_ends() {
  local nodes blocks
  start -o size=16m,nr_inodes=2000
  nodes=$(used_nodes) blocks=$(used_blocks)
  lease a 100
  mkdir d
  echo d >leases/a/keys
  # the root, leases/, leases/a, d
  is 1996 "$FILL" files d
  no_room 'touch more'
  no_room 'mkdir leases/b'
  echo 0.2 >leases/a/ttl
  sleep 0.25
  # though the reaper may still be at work
  for i in {1..500}; do : >"new$i"; done
  wait_until settles_at $((nodes + 500))
  rm new*
  wait_until settles_at "$nodes"
  wait_until is "$blocks" used_blocks
  stop
}

test_own_what_does_not_fit_changes_nothing() {
  start -o size=4m
  echo hello >key
  head -c 3000000 /dev/zero >large
  no_room 'head -c 3000000 /dev/zero >other'
  is hello cat key
  is 3000000 stat -c %s large
  # What was written of it before the room ran out stays, as on any file system.
  [ "$(stat -c %s other)" -lt 3000000 ]
  no_room 'fallocate -l 3m third'
  is 0 stat -c %s third
  echo HELLO >key
  mv key renamed
  is HELLO cat renamed
  rm large
  head -c 2000000 /dev/zero >>other
  stop
}

test_own_holes_take_no_memory() {
  local blocks
  start -o size=1m
  truncate -s 1T sparse
  blocks=$(used_blocks)
  echo x | dd of=sparse bs=1 seek=900G conv=notrunc status=none
  [ $(($(used_blocks) - blocks)) -le 8 ]
  no_room 'fallocate -l 2m sparse'
  fallocate -l 500k sparse
  no_room 'fallocate -l 600k other'
  fallocate -p -l 500k sparse
  fallocate -l 600k other
  stop
}

test_own_df_tells_the_truth() {
  local i
  start -o size=64m,nr_inodes=100
  is '4096 16384 100' stat -f -c '%S %b %c' .
  for i in {1..97}; do
    : >"f$i"
    is $((98 - i)) stat -f -c %d .
  done
  : >f98
  no_room ': >f99'
  ln f1 link
  is 0 stat -f -c %d .
  rm f1
  is 0 stat -f -c %d .
  rm link
  wait_until is 1 stat -f -c %d .
  i=$(used_blocks)
  head -c 10M /dev/zero >f2
  [ $(($(used_blocks) - i)) -ge 2560 ]
  [ $(($(used_blocks) - i)) -le 2700 ]
  stop
}

test_own_leases_have_a_limit_of_their_own() {
  start -o max_leases=2
  lease a 100
  mkdir leases/b
  no_room 'mkdir leases/c'
  mkdir c
  echo 0.2 >leases/a/ttl
  sleep 0.2
  mkdir leases/c
  no_room 'mkdir leases/d'
  rmdir leases/b
  mkdir leases/d
  stop
}

test_own_the_root_is_as_it_was_asked_for() {
  start -o mode=0751,uid=61001,gid=61002
  is '751 61001 61002' stat -c '%a %u %g' .
  is '1777 61001 61002' stat -c '%a %u %g' leases
  stop
}

test_own_no_limits_and_parts_of_the_ram() {
  local ram
  start -o size=0,nr_inodes=0
  is '0 0' stat -f -c '%b %c' .
  head -c 1M /dev/zero >key
  stop
  ram=$(($(getconf _PHYS_PAGES) * $(getconf PAGESIZE)))
  start -o size=10%
  # shellcheck disable=SC2017 # as it is rounded
  is $((ram / 100 * 10 / 4096)) stat -f -c %b .
  stop
  start
  is "$((ram / 2 / 4096)) $(($(getconf _PHYS_PAGES) / 2))" stat -f -c '%b %c' .
  stop
}

run_tests
