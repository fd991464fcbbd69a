# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2119,SC2120 # `start` takes arguments in some of the tests
#
# What the mount tests share. A test file sources this, defines functions named test_*, one for each behaviour, and ends
# with `run_tests`. Each function runs in a shell of its own (set -e) in a fresh mount, which is its current
# directory, and must leave the daemon in health: it has to end with status 0, so a sanitizer's report fails the test too.
#
# In: $LEASEFS, the daemon to test. Out: TAP; why a test failed, on stderr, which meson shows.

set -u
export LC_ALL=C
: "${LEASEFS:?say which leasefs to test}"

work=$(mktemp -d "${TMPDIR:-/tmp}/leasefs-test.XXXXXX")
mnt=$work/mnt
log=$work/log
mkdir "$mnt"
daemon=

# Mounts at $mnt, with the options given, and goes there. The daemon's stderr comes to $log. With $source, that is kept there.
start() {
  "$LEASEFS" ${source:+"$source"} "$mnt" -f "$@" 2>>"$log" &
  daemon=$!
  wait_until mountpoint -q "$mnt"
  cd "$mnt" || return
}

# Unmounts. Fails if the daemon does not end well.
stop() {
  cd / || return
  # A batch of the reaper may hold the mount for a moment.
  if [ -n "$daemon" ]; then
    wait_until umount "$mnt" 2>/dev/null || { umount -l "$mnt"; kill "$daemon"; }
    wait "$daemon" || { echo "the daemon ended with status $?"; return 1; }
    daemon=
  fi
}

# Runs the command again and again until it succeeds; fails when it has not after 10 s.
wait_until() {
  local i
  for ((i = 0; i < 1000; i++)); do
    "$@" && return
    sleep 0.01
  done
  echo "waited in vain for: $*"
  return 1
}

# `!` alone does not count for `set -e`.
not() { ! "$@"; }

gone() { ! ls -d "$1" >/dev/null 2>&1; }

# fails 'Invalid argument' 'echo 0 > leases/a/ttl': the command fails, and says so.
fails() {
  local output
  if output=$(eval "$2" 2>&1); then
    echo "succeeded, though it should not: $2"
    return 1
  fi
  case $output in
  *"$1"*) ;;
  *) echo "expected the error '$1' from: $2, but got: $output"; return 1 ;;
  esac
}

# is EXPECTED COMMAND...: what the command prints.
is() {
  local expected=$1 output
  shift
  output=$("$@") || { echo "failed: $*"; return 1; }
  [ "$output" = "$expected" ] || { echo "$*: expected '$expected', got '$output'"; return 1; }
}

# lease ID TTL: makes a lease and grants it.
lease() {
  mkdir "leases/$1"
  echo "$2" >"leases/$1/ttl"
}

# watch ARGUMENT...: starts inotifywait, as $watcher. Its events come to $work/events.
watch() {
  # The shell empties these in the child, and what an earlier case left there would be taken for this one's until then.
  rm -f "$work/events" "$work/watching"
  inotifywait -m "$@" >"$work/events" 2>"$work/watching" &
  watcher=$!
  wait_until grep -q 'Watches established' "$work/watching"
}

clean_up() {
  cd /
  if [ -n "$daemon" ] && kill -0 "$daemon" 2>/dev/null; then
    kill "$daemon"
    wait "$daemon"
  fi
  while mountpoint -q "$mnt"; do umount -l "$mnt"; done
  rm -rf "$work"
}
trap clean_up EXIT

# Functions named test_own_* mount for themselves. Never called as a condition: that would switch `set -e` off in it.
run_one() (
  trap - EXIT
  : >"$log"
  case $1 in
  test_own_*)
    set -e
    "$1"
    ;;
  *)
    start || exit
    (
      set -e
      "$1"
    )
    status=$?
    stop && exit "$status"
    ;;
  esac
)

run_tests() {
  local names name number=0 failed=0 status
  mapfile -t names < <(declare -F | awk '$3 ~ /^test_/ { print $3 }')
  echo "1..${#names[@]}"
  for name in "${names[@]}"; do
    number=$((number + 1))
    run_one "$name" >"$work/output" 2>&1
    status=$?
    name=${name#test_}
    name=${name#own_}
    if [ "$status" = 0 ]; then
      echo "ok $number - $name"
    else
      failed=1
      echo "not ok $number - $name"
      { echo "$name:"; tail -n 400 "$work/output" "$log"; } | sed 's/^/# /' >&2
      while mountpoint -q "$mnt"; do umount -l "$mnt"; done
    fi
  done
  exit "$failed"
}
