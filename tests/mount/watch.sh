#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What is seen through inotify when leases end: the program watch (see watch.c), and inotifywait on many keys.
. "$(dirname "$0")/lib.sh"

# cmocka prints a line to stderr for each case; the status tells.
test_own_every_event_comes_once_and_in_order() {
  start
  DAEMON=$daemon "$WATCH" "$mnt"
  stop
}

test_own_every_event_comes_with_one_thread_too() {
  start -s
  DAEMON=$daemon "$WATCH" --brief "$mnt"
  stop
}

test_own_names_are_retaken_at_once() {
  start
  "$WATCH" --races "$mnt"
  stop
}

test_own_the_delay_is_short() {
  start
  "$WATCH" --delay "$mnt" >"$work/delay"
  grep '^# ' "$work/delay" >&3
  stop
}

leases=50
keys=200 # of each; 10,000 in all

# Prints what a stream of events is to have: each of the keys, and the leases.
expected_events() {
  local i
  for ((i = 0; i < leases; i++)); do
    eval "printf 'DELETE d$((i % 5))/$i-%s\n' {1..$keys}"
    echo "DELETE,ISDIR leases/$i"
  done
}

# All of these keys end together. Fewer events than the kernel keeps, so none can get lost on the way.
test_no_event_of_10000_keys_is_missing_or_doubled() {
  local i
  mkdir d{0..4}
  for ((i = 0; i < leases; i++)); do
    lease "$i" 1000
    for key in $(eval "echo d$((i % 5))/$i-{1..$keys}"); do
      : >"$key"
      echo "$key"
    done >"$work/keys"
    cat "$work/keys" >"leases/$i/keys"
  done
  watch -e delete,delete_self,unmount --format '%e %w%f' d{0..4} leases/
  for ((i = 0; i < leases; i++)); do echo 0.3 >"leases/$i/ttl"; done
  wait_until complete
  kill "$watcher"
  expected_events | sort | diff - <(sort "$work/events") | head -20 >"$work/differences"
  is '' cat "$work/differences"
  # No key comes after its lease.
  is '' awk -F '[ /-]' '
    $1 == "DELETE" && ended[$3] { print "after its lease:", $0 }
    $1 == "DELETE,ISDIR" { ended[$3] = 1 }' "$work/events"
}

complete() { [ "$(wc -l <"$work/events")" -ge $((leases * (keys + 1))) ]; }

# Diagnostics.
exec 3>&1
run_tests
