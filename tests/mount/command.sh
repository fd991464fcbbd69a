#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The command: how it starts, how it fails to, how it ends.
. "$(dirname "$0")/lib.sh"

# refuses 'part of the line' ARGUMENT...: one line on stderr, a status other than 0, nothing mounted.
refuses() {
  local expected=$1 status=0
  shift
  "$LEASEFS" "$@" >"$work/stdout" 2>"$work/stderr" || status=$?
  [ "$status" != 0 ] || { echo "status 0: $*"; return 1; }
  is 0 sh -c "wc -l <'$work/stdout'"
  is 1 sh -c "wc -l <'$work/stderr'"
  grep -qF -- "$expected" "$work/stderr" || { cat "$work/stderr"; return 1; }
  not mountpoint -q "$mnt"
}

test_own_bad_command_lines_are_refused() {
  local f
  touch "$work/file"
  for f in '' -f; do
    # shellcheck disable=SC2086 # an empty $f is no argument
    {
      refuses 'no mountpoint given' $f
      refuses 'No such file or directory' "$work/missing" $f
      refuses 'Not a directory' "$work/file" $f
      refuses 'unknown option' "$mnt" -o bogus $f
      refuses 'unknown option' "$mnt" --bogus $f
      refuses 'min_ttl=abc' "$mnt" -o min_ttl=abc $f
      refuses 'min_ttl=-1' "$mnt" -o min_ttl=-1 $f
      refuses 'size=5x: give' "$mnt" -o size=5x $f
      refuses 'size=-1: give' "$mnt" -o size=-1 $f
      refuses 'size=99999999999g: give' "$mnt" -o size=99999999999g $f
      refuses 'nr_inodes=5%: give' "$mnt" -o nr_inodes=5% $f
      refuses 'max_leases=: give' "$mnt" -o max_leases= $f
      refuses 'mode=99: give' "$mnt" -o mode=99 $f
      refuses 'mode=17777: give' "$mnt" -o mode=17777 $f
      refuses 'uid=root: give' "$mnt" -o uid=root $f
      refuses 'gid=4294967295: give' "$mnt" -o gid=4294967295 $f
      refuses 'No such file or directory; make the directory' /some/state.db "$mnt" $f
      refuses 'leasefs -h' one two "$mnt" $f
    }
  done
}

test_own_without_dev_fuse_it_says_so() {
  local status=0
  unshare -m sh -c 'mount -t tmpfs none /dev && exec "$@"' - "$LEASEFS" "$mnt" 2>"$work/stderr" || status=$?
  [ "$status" != 0 ]
  is 1 sh -c "wc -l <'$work/stderr'"
  grep -q /dev/fuse "$work/stderr"
}

test_own_help_and_version() {
  "$LEASEFS" -h | grep -q '^usage: leasefs \[SOURCE\] MOUNTPOINT'
  "$LEASEFS" -V | grep -qE '^leasefs [0-9]+\.[0-9]+'
}

daemon_of() { pgrep -f -- "^$LEASEFS.* $mnt"; }

test_own_it_answers_when_it_has_returned() {
  local pid
  "$LEASEFS" "$mnt" </dev/null >"$work/stdout" 2>&1
  # It holds none of the caller's files, and no directory.
  mkdir "$mnt/leases/a"
  pid=$(daemon_of)
  is / readlink "/proc/$pid/cwd"
  is /dev/null readlink "/proc/$pid/fd/1"
  is 'none fuse.leasefs' findmnt -nro SOURCE,FSTYPE "$mnt"
  umount "$mnt"
  wait_until ended "$pid"
}

test_own_it_starts_without_standard_streams() {
  timeout 10 "$LEASEFS" "$mnt" <&- >&- 2>&-
  is leases ls "$mnt"
  umount "$mnt"
}

ended() { [ ! -e "/proc/$1" ] || grep -q '^State:.*zombie' "/proc/$1/status"; }

test_own_every_way_to_end_is_clean() {
  local how threads
  for threads in '' single; do
    for how in TERM INT HUP umount fusermount3; do
      "$LEASEFS" "$mnt" -f ${threads:+-s} &
      daemon=$!
      wait_until mountpoint -q "$mnt"
      echo v >"$mnt/key"
      case $how in
      umount) umount "$mnt" ;;
      fusermount3) fusermount3 -u "$mnt" ;;
      *) kill -"$how" "$daemon" ;;
      esac
      wait "$daemon"
      daemon=
      not mountpoint -q "$mnt"
    done
  done
}

test_own_a_signal_ends_it_though_files_are_open() {
  "$LEASEFS" "$mnt" -f &
  daemon=$!
  wait_until mountpoint -q "$mnt"
  exec 5>"$mnt/key"
  kill "$daemon"
  wait "$daemon"
  daemon=
  not mountpoint -q "$mnt"
  exec 5>&-
}

# Somebody lists the lease's directory without end, and the reaper, that wants to remove it, waits for that.
test_own_a_signal_ends_it_though_a_directory_is_held() {
  start
  mkdir leases/a
  exec 5>leases/a/ttl
  coproc "$HOLD" leases/a
  read -r -u "${COPROC[0]}"
  echo 0.1 >&5
  exec 5>&-
  wait_until reaper_waits
  cd /
  kill "$daemon"
  wait_until not mountpoint -q "$mnt"
  kill -9 "$COPROC_PID"
  wait "$daemon"
  daemon=
}

reaper_waits() { grep -qsh '^State:.D' "/proc/$daemon"/task/*/status; }

test_own_options_of_fuse_and_mount_pass() {
  start -o allow_other,fsname=keys,noatime,nodev
  is keys findmnt -nro SOURCE "$mnt"
  findmnt -nro OPTIONS "$mnt" | grep -q allow_other
  findmnt -nro OPTIONS "$mnt" | grep -q noatime
  findmnt -nro FS-OPTIONS "$mnt" | grep -q default_permissions
  stop
}

test_own_noatime_holds_here_too() {
  local options before
  for options in relatime noatime; do
    start -o "$options"
    echo v >key
    before=$(stat -c %X%x key)
    sleep 0.02
    cat key
    case $options in
    relatime) not is "$before" stat -c %X%x key ;;
    *) is "$before" stat -c %X%x key ;;
    esac
    stop
  done
}

# mount(8) looks for programs in system folders only, so this one is named with its path.
test_own_mount_8_can_mount_it() {
  mount -t fuse "$LEASEFS#none" "$mnt" -o min_ttl=3,size=1g,nr_inodes=1k,mode=1755,nodev,nosuid
  is 1755 stat -c %a "$mnt"
  is '262144 1024' stat -f -c '%b %c' "$mnt"
  mkdir "$mnt/leases/a"
  echo 1 >"$mnt/leases/a/ttl"
  is 3 cat "$mnt/leases/a/granted"
  umount "$mnt"
}

test_own_after_a_kill_it_can_be_mounted_again() {
  "$LEASEFS" "$mnt" -f &
  daemon=$!
  wait_until mountpoint -q "$mnt"
  echo v >"$mnt/key"
  kill -9 "$daemon"
  wait "$daemon" || true
  daemon=
  if "$LEASEFS" "$mnt" 2>"$work/stderr"; then return 1; fi
  is 1 sh -c "wc -l <'$work/stderr'"
  grep -q "umount -l" "$work/stderr"
  umount -l "$mnt"
  start
  is leases ls
  stop
}

test_own_requests_are_logged_with_d() {
  "$LEASEFS" "$mnt" -d 2>"$log" &
  daemon=$!
  wait_until mountpoint -q "$mnt"
  touch "$mnt/key"
  stop
  grep -q 'opcode: CREATE' "$log"
}

run_tests
