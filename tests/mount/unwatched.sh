#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What ends where nobody watches is not removed one by one. In a PID namespace of its own, so that it can be told who watches whatever else runs.
[ -n "${UNWATCHED_INSIDE-}" ] || UNWATCHED_INSIDE=1 exec unshare --mount --pid --fork --mount-proc --kill-child "$BASH" "$0"
. "$(dirname "$0")/lib.sh"

many=5000

# make DIRECTORY: many keys, all of them of the lease of that name.
make() {
  mkdir "$1"
  lease "$1" 1000
  echo "$1" >"leases/$1/keys"
  (cd "$1" && eval "touch {1..$many}")
}

# removals: how many names the reaper has removed through the mount.
removals() { awk -F '[" ]' '$2 == "unlink" || $2 == "rmdir" { sum += $4 } END { print sum }' leases/.metrics; }
all_removed() { ! grep -q '^leasefs_leases{.*} [1-9]' leases/.metrics; }
all_told() { grep -qx 'leasefs_notifier_backlog 0' leases/.metrics; }

# watch_ends FILE...: until the test ends.
watch_ends() {
  watch -e delete,delete_self --format '%e %w%f' "$@"
  trap 'kill "$watcher"' EXIT
}

# ends DIRECTORY...: at once, and all that they have.
ends() {
  local name
  for name; do echo 0.5 >"leases/$name/ttl"; done
  wait_until all_removed
}

test_nothing_is_removed_one_by_one() {
  local before
  before=$(stat -f -c '%c - %d' .)
  make a
  ends a
  [ "$(removals)" -lt $((many / 2)) ]
  is leases ls
  is '' ls leases
  wait_until all_told
  [ "$(stat -f -c '%c - %d' .)" = "$before" ]
}

test_a_directory_that_is_watched_shows_each_end() {
  make a
  make b
  watch_ends a
  ends a b
  wait_until complete
  { eval "printf 'DELETE a/%s\n' {1..$many}" && echo 'DELETE_SELF a/'; } | sort | diff - <(sort "$work/events") | head -20 >"$work/differences"
  is '' cat "$work/differences"
  [ "$(removals)" -ge "$many" ]
  [ "$(removals)" -lt $((many * 3 / 2)) ]
}

complete() { [ "$(wc -l <"$work/events")" -ge $((many + 1)) ]; }

test_a_key_that_is_watched_shows_its_end() {
  make a
  watch_ends a/17
  ends a
  wait_until grep -q 'DELETE_SELF a/17' "$work/events"
  [ "$(removals)" -lt $((many / 2)) ]
}

test_the_directory_of_leases_shows_each_end_when_watched() {
  local i
  for ((i = 0; i < 1500; i++)); do mkdir "leases/$i" && echo 1000 >"leases/$i/ttl"; done
  watch_ends leases/
  for ((i = 0; i < 1500; i++)); do echo 0.5 >"leases/$i/ttl"; done
  wait_until all_removed
  eval "printf 'DELETE,ISDIR leases/%s\n' {0..1499}" | sort >"$work/expected"
  wait_until all_shown || diff "$work/expected" <(sort "$work/events") | head -20
  is '' comm -3 "$work/expected" <(sort "$work/events")
}

all_shown() { [ "$(wc -l <"$work/events")" -ge 1500 ]; }

# use_until_it_ends: what somebody works in, or has open.
use_until_it_ends() {
  make a
  exec 5<a/1
  (cd a && wait_until not test -e "$mnt/leases/a" && not ls . && not touch x) &
  ends a
  wait $!
  fails 'Stale file handle' 'stat -L /proc/self/fd/5'
  wait_until all_told
  exec 5<&-
  mkdir a
  touch a/1
  is 1 ls a
}

test_what_is_in_use_can_go() { use_until_it_ends; }

# Which can be told of one name at a time only.
test_own_older_kernels_are_told_as_well() {
  SPOIL_PRUNE=1 LD_PRELOAD=$SPOIL_LIBRARY ASAN_OPTIONS=verify_asan_link_order=0 start
  use_until_it_ends
  stop
}

# make_directories DIRECTORY: the same, but directories, and it is not a key itself.
make_directories() {
  mkdir "$1"
  lease "$1" 1000
  (cd "$1" && eval "mkdir {1..$many}")
  eval "printf '$1/%s\n' {1..$many}" | split -l 100 --filter="cat >'leases/$1/keys'"
}

# The kernel is told of the old one when the new one is there.
test_who_makes_a_directory_anew_can_work_in_it() {
  make_directories a
  python3 - "$many" <<'END'
import os, sys, time
os.rmdir("leases/a")
for name in range(int(sys.argv[1]), int(sys.argv[1]) - 200, -1):
    os.mkdir(f"a/{name}")
    os.chdir(f"a/{name}")
    for i in range(40):
        os.getcwd()
        time.sleep(0.00005)
    os.chdir("../..")
END
}

# It is not told by names that the kernel does not know. That one is watched has the attributes of their directory hold before all of
# them are gone.
test_own_links_are_counted_though_no_name_is_known() {
  local source=$work/state looking
  start
  make_directories a
  stop
  start
  watch_ends a/1
  python3 -c 'import os
while True: os.stat("a")' &
  looking=$!
  trap 'kill "$watcher" "$looking"' EXIT
  ends a
  is 2 stat -c %h a
  trap - EXIT
  kill "$watcher" "$looking"
  wait "$watcher" "$looking" || true
  stop
}

run_tests
