#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# State files on a disk that is full, or fails.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/state-lib.sh"

# on_disk_of SIZE: a state file on a disk of that size.
on_disk_of() {
  mount -t tmpfs -o "size=$1" none "$disk"
  on "$state"
}

# on_blocks_of BYTES SIZE: a state file on a disk of that size with blocks of so many bytes.
on_blocks_of() {
  local image
  image=$(mktemp "$work/image.XXXXXX")
  truncate -s "$2" "$image"
  mke2fs -q -F -t ext4 -O ^has_journal -b "$1" -m 0 "$image"
  mount -o loop "$image" "$disk"
  rm "$image"
  on "$state"
}

# fill_disk_up_to KIB: so much stays free.
fill_disk_up_to() {
  cat /dev/zero >"$disk/filler" 2>/dev/null || true
  dd if=/dev/zero of="$disk/filler2" bs=512 status=none 2>/dev/null || true
  truncate -s "-${1}K" "$disk/filler"
  sync -f "$disk"
}

leave_disk() {
  stop
  umount "$disk"
}

# What was acknowledged until then is there, in the end also after a crash.
test_own_a_full_disk_stops_writing_and_nothing_else() {
  local i=0
  on_disk_of 24m
  make_things
  head -c 8M /dev/zero >"$disk/filler"
  # Each in one write. The last one does not fit.
  while dd if=/dev/urandom of="large$i" bs=100k count=1 status=none 2>"$work/stderr"; do
    sha256sum "large$i" >>"$work/sums"
    i=$((i + 1))
    [ "$i" -lt 1000 ]
  done
  grep -q 'No space left on device' "$work/stderr"
  [ "$i" -gt 20 ]
  sha256sum --quiet -c "$work/sums"
  tool dump >"$work/before"
  tool dump | diff "$work/before" -
  fails 'No space left on device' "dd if=/dev/urandom of=other bs=1M count=1 status=none"
  rm "$disk/filler"
  rm -f other # this is written too, and may have had no room
  wait_until sh -c "dd if=/dev/urandom of='large$i' bs=100k count=1 status=none 2>/dev/null"
  sha256sum "large$i" >>"$work/sums"
  restart_after_crash
  sha256sum --quiet -c "$work/sums"
  is hello cat key
  leave_disk
}

# puts COUNT: one after the other, each of a page of the log.
puts() {
  local i
  for ((i = 1; i <= $1; i++)); do
    echo "$i" >key || return
  done
}

head_of_log() { head -c 32 "$state-wal" | sha256sum; }
log_begins_anew() { echo x >key && [ "$(head_of_log)" != "$1" ]; }

# The log's index is written by way of memory, where a full disk would be the end of the process. (Its second part begins with the log's 4063rd page, for which there is room in
# the file of the log, since that has begun anew in it.)
test_own_a_full_disk_with_small_blocks_ends_nothing() {
  local before
  on_blocks_of 1024 64M
  echo hello >other
  before=$(head_of_log)
  for _ in $(seq 140); do head -c 131072 /dev/zero >large; done
  wait_until log_begins_anew "$before"
  restart_after_crash
  fill_disk_up_to 16
  puts 4500
  is hello cat other
  is 4500 cat key
  crash
  # Now there is no room for the first part either.
  rm -f "$state-shm"
  fill_disk_up_to 12
  if timeout 20 "$LEASEFS" "$state" "$mnt" -f 2>"$work/stderr"; then return 1; fi
  grep -q "^leasefs: $state: cannot be used: .*full" "$work/stderr" || { cat "$work/stderr"; return 1; }
  rm "$disk"/filler*
  on "$state"
  is hello cat other
  is 4500 cat key
  leave_disk
}

# All that is put is in the log for a while, though it has long been overwritten.
test_own_the_log_makes_do_with_the_room_that_there_is() {
  local sum
  on_blocks_of 4096 16M
  head -c 2M /dev/zero >"$disk/filler"
  echo hello >key
  for _ in $(seq 40); do head -c 1M /dev/urandom >large; done
  sum=$(sha256sum large)
  fill_disk_up_to 0
  puts 500
  restart_after_crash
  is 500 cat key
  puts 1000
  is "$sum" sha256sum large
  restart
  is 1000 cat key
  is "$sum" sha256sum large
  stop
  not grep -q 'cannot' "$log"
  umount "$disk"
}

# With a disk that says so: see spoil.c.
on_spoiled() {
  SPOIL=$work/spoil LD_PRELOAD=$SPOIL_LIBRARY ASAN_OPTIONS=verify_asan_link_order=0 \
    "$LEASEFS" "$state" "$mnt" -f 2>>"$log" &
  daemon=$!
  wait_until mountpoint -q "$mnt"
  cd "$mnt"
}
spoil() { python3 -c 'import errno, sys; print(getattr(errno, sys.argv[1]), *sys.argv[2:])' "$@" >"$work/spoil.new" && mv "$work/spoil.new" "$work/spoil"; }
mend() { rm "$work/spoil"; }

test_own_what_the_disk_refuses_changes_nothing() {
  local error
  for error in ENOSPC EIO EROFS; do
    on_spoiled
    make_things
    tool dump >"$work/before"
    spoil "$error"
    tool refused ENOSPC EIO
    # Keep-alive needs no disk, nor does reading.
    touch -c leases/a/ttl leases/a
    echo >leases/a/ttl
    is hello cat key
    tool dump | diff "$work/before" -
    # What cannot be synced only is taken all the same, but not called safe.
    spoil "$error" sync
    wait_until sh -c 'echo x >>dir/sub/file' 2>/dev/null
    if tool sync 2>/dev/null; then return 1; fi
    mend
    wait_until sh -c 'echo more >>key' 2>/dev/null
    tool sync
    is $'hello\nmore' cat key
    echo more >after
    tool dump >"$work/before"
    crash
    on "$state"
    tool dump | diff "$work/before" -
    stop
    rm "$state"
  done
}

# A put over an old value may lose that, but never makes up another.
test_own_a_put_that_fails_leaves_the_old_value_or_none() {
  on_spoiled
  echo hello | tee key >key2
  spoil ENOSPC
  fails 'No space left on device' 'echo other >key'
  case $(cat key) in
  hello | '') ;;
  *) return 1 ;;
  esac
  # When it is known that nothing can be written, nothing is lost for it either.
  fails 'No space left on device' 'echo other >key2'
  is hello cat key2
  mend
  wait_until sh -c 'echo third >key' 2>/dev/null
  restart_after_crash
  is third cat key
  stop
}

test_own_leases_end_though_the_disk_is_full() {
  local how begun
  for how in stop crash; do
    on_spoiled
    lease a 100
    : >key
    mkdir d
    : >d/x
    printf '%s\n' key d d/x >leases/a/keys
    begun=$(now_us)
    echo 0.5 >leases/a/ttl
    spoil ENOSPC
    while [ -e key ]; do :; done
    [ $(($(now_us) - begun)) -ge 500000 ]
    gone leases/a
    is '' ls leases
    sleep 0.3
    is leases ls
    mend
    wait_until sh -c ': >new' 2>/dev/null
    # What could not be written then is written along with this at the latest.
    tool sync 2>/dev/null || : >key
    rm -f new key
    nothing_has_come_back "$how"
    stop
    rm -f "$disk"/state.db*
  done
}

# Though it stays full: what was in the log before is in the database, and leaves its room.
test_own_what_ended_on_a_full_disk_does_not_come_back() {
  local how
  on_blocks_of 4096 16M
  : >key
  puts 50
  restart
  for how in stop crash; do
    puts 50
    lease a 1.5
    : >x
    mkdir d
    : >d/x
    printf '%s\n' x d d/x >leases/a/keys
    fill_disk_up_to 0
    while [ -e x ]; do :; done
    gone leases/a
    sleep 0.5
    "$how"
    on "$state"
    is $'key\nleases' ls
    is '' ls leases
  done
  leave_disk
}

test_own_a_stop_waits_a_little_for_room() {
  on_spoiled
  lease a 100
  spoil ENOSPC
  cd /
  employ sh -c "sleep 0.6; rm '$work/spoil'"
  stop
  dismiss
  grep -q 'has ended cleanly' "$log"
  on "$state"
  wait_until grep -q 'with what they had left' "$log"
  stop
}

test_own_a_stop_that_cannot_write_says_so() {
  local status=0
  on_spoiled
  lease a 100
  spoil ENOSPC
  cd /
  umount "$mnt"
  wait "$daemon" || status=$?
  daemon=
  [ "$status" = 1 ]
  grep -q "^leasefs: $state: the last of it cannot be written: .*: No space left on device" "$log"
  not grep -q 'has ended cleanly' "$log"
  mend
  on "$state"
  is a ls leases
  stop
}

# A file that may not be larger is like a full disk.
test_own_a_limit_for_files_ends_nothing() {
  local i=0
  bash -c 'ulimit -f 3000 && exec "$@"' - "$LEASEFS" "$state" "$mnt" -f 2>>"$log" &
  daemon=$!
  wait_until mountpoint -q "$mnt"
  cd "$mnt"
  echo hello >key
  # More than the log may have, and less than the database.
  for _ in $(seq 20); do head -c 500k /dev/urandom >large; done
  while dd if=/dev/urandom of="large$i" bs=100k count=1 status=none 2>"$work/stderr"; do
    sha256sum "large$i" >>"$work/limited"
    i=$((i + 1))
    [ "$i" -lt 100 ]
  done
  grep -q 'No space left on device' "$work/stderr"
  [ "$i" -gt 10 ]
  sha256sum --quiet -c "$work/limited"
  restart_after_crash
  sha256sum --quiet -c "$work/limited"
  is hello cat key
  stop
}

run_tests
