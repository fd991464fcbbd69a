#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What goes to the log, and where that is.

# With /run and /dev of its own, so that the journal and syslog are the test's.
if [ "${1:-}" != --inside ]; then
  exec unshare --mount "$BASH" "$0" --inside
fi
mount -t tmpfs none /run
mkdir /run/dev
mount --bind /dev /run/dev
mount -t tmpfs none /dev
for name in fuse null urandom zero; do
  touch "/dev/$name"
  mount --bind "/run/dev/$name" "/dev/$name"
done
umount -l /run/dev
ln -s /proc/self/fd /dev/fd

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/state-lib.sh"

entries=$work/entries

# Listens to the journal, if wanted, and to syslog.
listen() { # [journal]
  rm -rf /dev/log /run/systemd "$entries" "$entries.ready"
  [ $# = 0 ] || mkdir -p /run/systemd/journal
  employ python3 "$(dirname "$tool")/journal.py" listen "$entries"
  wait_until test -e "$entries.ready"
}

# has FIELD=VALUE...: there is, or comes to be, one entry with all of these lines, and no more than one.
has() { wait_until has_now "$@"; }
has_now() {
  [ "$(awk -v RS= -v FS='\n' '
    BEGIN { for (i = 2; i < ARGC; i++) { words[i] = ARGV[i]; ARGV[i] = "" } }
    {
      missing = 0
      for (i in words) {
        found = 0
        for (j = 1; j <= NF; j++) found = found || $j == words[i]
        missing += !found
      }
      count += !missing
    }
    END { print count + 0 }' "$entries" "$@")" = 1 ]
}

# says LINE...: these, regular expressions, and no others are the lines of the log.
says() {
  local lines i
  mapfile -t lines <"$log"
  for ((i = 0; i < $# || i < ${#lines[@]}; i++)); do
    [[ $i -lt $# && ${lines[i]-} =~ ^${*:i+1:1}$ ]] || { echo "expected '${*:i+1:1}', got '${lines[i]-}'" && return 1; }
  done
}

ended_by() {
  "$@"
  wait "$daemon"
  daemon=
}

some_requests() {
  local i
  for i in {1..20}; do echo v >"key$i"; cat "key$i"; done >/dev/null
  fails 'No such file' 'cat nothing'
  fails 'Invalid argument' 'mkdir leases/.a'
  lease short 100
  echo key1 >leases/short/keys
  echo 0.05 >leases/short/ttl
  wait_until gone leases/short
}

test_own_the_foreground_has_a_line_for_each_thing_worth_one() {
  local options='min_ttl=0[.]01,size=1048576000,nr_inodes=102400,max_leases=0'
  start -o min_ttl=0.01,size=1000m,nr_inodes=100k,max_leases=0
  some_requests
  cd /
  ended_by umount "$mnt"
  says "leasefs: $mnt: leasefs [0-9.]* serves none" "leasefs: $mnt: options: $options" \
    "leasefs: $mnt: ends: unmounted" "leasefs: $mnt: has ended cleanly"
  : >"$log"
  start -o size=1000m,nr_inodes=0,max_leases=5,mode=700,xattr,allow_other,noatime
  cd /
  ended_by kill -INT "$daemon"
  options='min_ttl=0,size=1048576000,nr_inodes=0,max_leases=5,mode=700,xattr,allow_other,noatime'
  says "leasefs: $mnt: leasefs [0-9.]* serves none" "leasefs: $mnt: options: $options" \
    "leasefs: $mnt: ends: SIGINT" "leasefs: $mnt: has ended cleanly"
}

# The lines about the state file.
says_of_file() {
  wait_until grep -q "^leasefs: $state: " "$log"
  grep "^leasefs: $state: " "$log" >"$work/file.log" || true
  log=$work/file.log says "$@"
  : >"$log"
}

test_own_what_was_found_in_a_state_file_is_told() {
  local counts='nodes 6, files 2, names 5, attached 2, leases 1' how
  on "$state"
  says_of_file "leasefs: $state: a new state file"
  mkdir d
  echo v >d/one
  echo v >two
  ln two three
  rm three
  lease a 1000
  printf '%s\n' d two >leases/a/keys
  for how in 'restart clean stop what they had left' 'restart_after_crash crash their whole TTL again' 'restart clean stop what they had left'; do
    ${how%% *}
    case $how in
    *crash*) says_of_file "leasefs: $state: read in [0-9.]* s after a crash: $counts [(]with their whole TTL again[)]" ;;
    *) says_of_file "leasefs: $state: read in [0-9.]* s after a clean stop: $counts [(]with what they had left[)]" ;;
    esac
  done
  # Without leases as well.
  rmdir leases/a
  rm -f two
  for how in 'restart clean stop' 'restart_after_crash crash' 'restart clean stop'; do
    ${how%% *}
    wait_until grep -q "after a ${how#* }: nodes .*, leases 0\$" "$log"
    : >"$log"
  done
  stop
}

test_own_the_background_writes_to_the_journal() {
  local pid
  listen journal
  "$LEASEFS" "$state" "$mnt" -o size=1000m,nr_inodes=100k 2>"$log"
  pid=$(pgrep -f -- "^$LEASEFS $state $mnt")
  cd "$mnt"
  has "MESSAGE=$mnt: leasefs $("$LEASEFS" -V | cut -d ' ' -f 2) serves $state" PRIORITY=5 SYSLOG_IDENTIFIER=leasefs GLIB_DOMAIN=leasefs \
    MESSAGE_ID=df29c7bf7dfc42e0994b834f1af68e42 LEASEFS_VERSION="$("$LEASEFS" -V | cut -d ' ' -f 2)" \
    LEASEFS_SOURCE="$state" LEASEFS_MOUNTPOINT="$mnt" LEASEFS_OPTIONS=min_ttl=0,size=1048576000,nr_inodes=102400,max_leases=0
  has "MESSAGE=$mnt: options: min_ttl=0,size=1048576000,nr_inodes=102400,max_leases=0" PRIORITY=6 LEASEFS_MOUNTPOINT="$mnt"
  has "MESSAGE=$state: a new state file" MESSAGE_ID=7dca6d394bd7447990bfb133e345c745 LEASEFS_PATH="$state"
  some_requests
  lease a 1000
  echo key2 >leases/a/keys
  cd /
  kill -9 "$pid"
  wait_until threads_ended "$pid"
  umount -l "$mnt"

  "$LEASEFS" "$state" "$mnt" 2>>"$log"
  pid=$(pgrep -f -- "^$LEASEFS $state $mnt")
  has MESSAGE_ID=7dca6d394bd7447990bfb133e345c745 PRIORITY=4 LEASEFS_CLEAN=0 LEASEFS_FILES=19 LEASEFS_NODES=22 \
    LEASEFS_NAMES=21 LEASEFS_ATTACHED=1 LEASEFS_LEASES=1
  kill "$pid"
  wait_until ended "$pid"
  has "MESSAGE=$mnt: ends: SIGTERM" MESSAGE_ID=21fee6fd99c943eca6553cdb0031a659 LEASEFS_SIGNAL=TERM PRIORITY=5
  has "MESSAGE=$mnt: has ended cleanly" MESSAGE_ID=a27d32355c544b51ae34e8dd5e5103d9 LEASEFS_CLEAN=1
  is '' cat "$log"
  # Nothing of all the requests.
  is 8 grep -c '^MESSAGE=' "$entries"
  not grep -E '^(STREAM|SYSLOG)=' "$entries"
  dismiss
}

test_own_a_name_in_another_encoding_comes_through() {
  local place=$work/$'m\xff\nn'
  listen journal
  mkdir "$place"
  "$LEASEFS" "$place"
  wait_until grep -qa $'MESSAGE=.*m\xef\xbf\xbd\\\\nn: options: ' "$entries"
  grep -qa $'^LEASEFS_MOUNTPOINT=.*/m\xff\\\\nn$' "$entries"
  umount "$place"
  wait_until grep -q 'has ended cleanly' "$entries"
  rmdir "$place"
  dismiss
}

test_own_under_systemd_stderr_is_the_journal() {
  local f
  listen journal
  for f in '' -f; do
    # shellcheck disable=SC2086 # an empty $f is no argument
    if python3 "$(dirname "$tool")/journal.py" with-stderr "$LEASEFS" "$work/missing" $f; then return 1; fi
    has "MESSAGE=$work/missing: No such file or directory; make it with 'mkdir -p'" PRIORITY=3 SYSLOG_IDENTIFIER=leasefs
    : >"$entries"
  done
  python3 "$(dirname "$tool")/journal.py" with-stderr "$LEASEFS" "$mnt" -f &
  daemon=$!
  wait_until mountpoint -q "$mnt"
  has "MESSAGE=$mnt: leasefs $("$LEASEFS" -V | cut -d ' ' -f 2) serves none" LEASEFS_SOURCE=none
  stop
  has "MESSAGE=$mnt: has ended cleanly" LEASEFS_CLEAN=1
  not grep '^STREAM=' "$entries"
  dismiss
}

test_own_without_a_journal_it_is_syslog() {
  listen
  "$LEASEFS" "$mnt" -o size=1000m 2>"$log"
  wait_until grep -q "^SYSLOG=<29>.* leasefs\[[0-9]*\]: $mnt: leasefs .* serves none$" "$entries"
  wait_until grep -q "^SYSLOG=<30>.* leasefs\[[0-9]*\]: $mnt: options: min_ttl=0,size=1048576000," "$entries"
  umount "$mnt"
  wait_until grep -q "leasefs\[[0-9]*\]: $mnt: has ended cleanly$" "$entries"
  dismiss
  # And if there is nobody at all, it works just so.
  rm -rf /dev/log /run/systemd
  "$LEASEFS" "$mnt" 2>>"$log"
  is leases ls "$mnt"
  umount "$mnt"
  is '' cat "$log"
}

on_spoiled() {
  SPOIL=$work/spoil LD_PRELOAD=$SPOIL_LIBRARY ASAN_OPTIONS=verify_asan_link_order=0 \
    "$LEASEFS" "$state" "$mnt" -f 2>>"$log" &
  daemon=$!
  wait_until mountpoint -q "$mnt"
  cd "$mnt"
}
spoil() { python3 -c 'import errno, sys; print(getattr(errno, sys.argv[1]))' "$1" >"$work/spoil.new" && mv "$work/spoil.new" "$work/spoil"; }

test_own_a_disk_that_fails_is_told_once_and_so_is_its_recovery() {
  local error text
  on_spoiled
  for error in ENOSPC EIO EROFS; do
    text=$(python3 -c 'import errno, os, sys; print(os.strerror(getattr(errno, sys.argv[1])))' "$error")
    : >"$log"
    spoil "$error"
    for _ in {1..10}; do not sh -c 'echo more >>key' 2>/dev/null; done
    wait_until grep -q 'changes cannot be kept' "$log"
    rm "$work/spoil"
    wait_until sh -c 'echo more >>key' 2>/dev/null
    tool sync
    is "leasefs: $state: changes cannot be kept: " sh -c "grep -o '.*changes cannot be kept: ' '$log'"
    grep -q "changes cannot be kept: .*: $text\$" "$log"
    is "leasefs: $state: changes are kept again" grep 'kept again' "$log"
  done
  stop
}

# Nothing can be written from the first moment on: one line tells, and no other.
test_own_a_start_that_fails_for_want_of_a_disk_says_so_once() {
  on "$state"
  stop
  spoil ENOSPC
  : >"$log"
  if SPOIL=$work/spoil LD_PRELOAD=$SPOIL_LIBRARY ASAN_OPTIONS=verify_asan_link_order=0 \
    "$LEASEFS" "$state" "$mnt" -f 2>"$work/stderr"; then return 1; fi
  is 1 sh -c "wc -l <'$work/stderr'"
  grep -q "^leasefs: $state: .*" "$work/stderr"
  not mountpoint -q "$mnt"
}

run_tests
