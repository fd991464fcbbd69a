#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# State files under heavy loads.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/state-lib.sh"

# survived NAME FILE: of what `tool put NAME` says in FILE that it has put, the last value of each is there, or a later one.
survived() {
  local last number slot
  last=$(grep -c . "$2")
  [ "$last" -gt 50 ] || { echo "only $last puts"; return 1; }
  for ((number = last > 100 ? last - 100 : 0; number < last; number++)); do
    slot=$((number % 100))
    # After the last that was acknowledged there can be one more, which has just emptied its file.
    [ "$slot" != $((last % 100)) ] || continue
    is "$number" sh -c "cut -d ' ' -f 1 '$1$slot'"
    is 200 sh -c "wc -w <'$1$slot'"
  done
}

test_own_SIGTERM_while_everybody_writes() {
  local i
  on "$state"
  for i in 1 2 3 4; do employ python3 "$tool" put "p$i-" >"$work/puts$i" 2>/dev/null; done
  for i in 1 2 3 4; do wait_until sh -c "[ \$(grep -c . '$work/puts$i') -gt 200 ]"; done
  cd /
  kill -TERM "$daemon"
  wait "$daemon"
  daemon=
  dismiss
  is state.db ls "$disk"
  on "$state"
  for i in 1 2 3 4; do survived "p$i-" "$work/puts$i"; done
  stop
}

wal_size() { stat -c %s "$state-wal" 2>/dev/null || echo 0; }

test_own_the_log_does_not_grow_without_bound() {
  local most=0 size written
  on "$state"
  tool flood 10 >"$work/written" &
  local writer=$!
  while kill -0 "$writer" 2>/dev/null; do
    size=$(wal_size)
    [ "$size" -le "$most" ] || most=$size
    sleep 0.05
  done
  wait "$writer"
  written=$(<"$work/written")
  echo "of $written bytes the log had up to $most, the file has $(stat -c %s "$state")"
  [ "$most" -gt 0 ]
  # It is emptied again and again, as often as a busy machine lets the one who does it run.
  [ "$most" -lt $((written / 4)) ]
  # Space is used again: 50 files of 64 KiB.
  [ "$(stat -c %s "$state")" -lt $((32 * 1024 * 1024)) ]
  stop
}

# Linear: the last quarter of a large file takes no longer than the first.
test_own_a_write_costs_what_it_writes() {
  local first last
  for _ in 1 2; do
    on "$state"
    read -r first last < <(tool pieces $((256 * 1024 * 1024)))
    echo "the first quarter took $first ms, the last $last ms"
    is $((256 * 1024 * 1024)) stat -c %s pieces
    stop
    rm "$state"
    [ "$last" -ge $((first * 3)) ] || return 0
  done
  return 1
}

test_own_git_works_and_its_repository_survives() {
  on "$state"
  git init -q repository
  cd repository
  git config user.name me
  git config user.email me@example.org
  for i in {1..50}; do echo "$i" >"file$i"; done
  git add .
  git commit -qm first
  echo more >>file1
  git commit -qam second
  git gc -q
  cd "$mnt"
  restart_after_crash
  cd repository
  git fsck --strict
  is '' git status --porcelain
  is 2 git rev-list --count HEAD
  cd "$mnt"
  stop
}

# All that tar has unpacked is there, and whole. It names a file before it begins with it.
test_own_tar_in_the_middle_of_a_crash() {
  local file round
  mkdir "$work/source"
  for i in {1..400}; do
    mkdir -p "$work/source/$((i % 20))"
    head -c $((i * 97)) /dev/urandom >"$work/source/$((i % 20))/$i"
  done
  tar -C "$work/source" -cf "$work/archive.tar" .
  for round in 1 2 3; do
    on "$state"
    mkdir "$round"
    # Else what the last round unpacked could be taken for this one's.
    : >"$work/unpacked"
    tar -C "$round" -xvf "$work/archive.tar" >"$work/unpacked" 2>/dev/null &
    wait_until sh -c "[ \$(grep -c . '$work/unpacked') -gt $((round * 100)) ]"
    cp "$work/unpacked" "$work/listed"
    crash
    wait $! || true
    on "$state"
    while read -r file; do
      [ -d "$work/source/$file" ] || cmp "$work/source/$file" "$round/$file"
    done < <(head -n -1 "$work/listed")
    stop
  done
  rm -r "$work/source" "$work/archive.tar"
}

# Also while there is nothing to be kept alive.
keep_alive() {
  cd /
  while :; do
    touch -c "$1" 2>/dev/null || true
    sleep 0.3
  done
}

test_own_many_holders_of_leases_go_on_after_a_crash() {
  local i
  on "$state"
  for i in {1..50}; do
    lease "$i" 5
    echo "$i" >"leases/$i/x"
    mv "leases/$i/x" "held$i"
    employ keep_alive "$mnt/leases/$i/ttl"
  done
  sleep 1
  restart_after_crash
  for i in {1..50}; do is "$i" cat "held$i"; done
  # Longer than any would live that nobody kept alive.
  sleep 5.5
  for i in {1..50}; do
    is "$i" cat "held$i"
    is "held$i" cat "leases/$i/keys"
  done
  stop
}

run_tests
