#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Mounting as an ordinary user, by way of fusermount3.
#
# For this it takes a /dev/fuse and an /etc/fuse.conf as any desktop has them; they are put in place where nobody else sees them.
[ -n "${ORDINARY_HIDDEN-}" ] || ORDINARY_HIDDEN=1 exec unshare -m "$BASH" "$0"
. "$(dirname "$0")/lib.sh"

alice=bin     # who mounts
bob=games     # others
carol=nobody

# Where the user can reach it, though the build folder may be out of reach.
install -m 755 "$LEASEFS" "$work/leasefs"
LEASEFS=$work/leasefs
chmod 711 "$work"
cd /

# fusermount3 wants it, and the barest of systems have none.
[ -e /etc/mtab ] || ln -s /proc/self/mounts /etc/mtab

conf=$work/fuse.conf
: >"$conf"
mount --bind "$conf" /etc/fuse.conf
# The device on a file system that allows devices.
mount -t tmpfs -o dev none "$mnt"
mknod -m 666 "$mnt/fuse" c 10 229
mount --bind "$mnt/fuse" /dev/fuse
umount -l "$mnt"

# as USER COMMAND... In the background it has to be exec_as, for $! to be the command itself.
exec_as() {
  local user=$1
  shift
  exec setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups "$@"
}
as() ( exec_as "$@" )

# in_mount USER 'SCRIPT': runs it in the mount; fails if any command of it does.
in_mount() { as "$1" bash -euc 'cd "$1" && eval "$2"' - "$mnt" "$2"; }

# mountpoint(1) is for those who may look.
mounted() { grep -q " $mnt fuse.leasefs " /proc/self/mounts; }
gone_for() { in_mount "$1" "! ls -d '$2' 2>/dev/null"; }

# Mounts at $mnt as $alice, with the options given.
start_ordinary() {
  prepare
  exec_as "$alice" "$LEASEFS" "$mnt" -f "$@" 2>>"$log" &
  daemon=$!
  wait_until as "$alice" mountpoint -q "$mnt"
}

prepare() {
  trap tidy EXIT
  chown "$alice" "$mnt"
}

# Whatever the test leaves.
tidy() {
  [ -z "$daemon" ] || kill -9 "$daemon" 2>/dev/null
  while mounted; do umount -l "$mnt"; done
  : >"$conf"
  chmod 666 /dev/fuse
  chown root "$mnt"
  chmod 755 "$mnt"
}

# It has ended, or is about to, and well.
ends_well() {
  wait_until ended "$daemon"
  wait "$daemon" || { echo "the daemon ended with status $?"; return 1; }
  daemon=
  not mounted
}

ended() { [ ! -e "/proc/$1" ] || grep -q '^State:.*zombie' "/proc/$1/status"; }

stop_ordinary() {
  unmount_as_alice
  ends_well
}

# A batch of the reaper may hold the mount for a moment.
unmount_as_alice() { wait_until as "$alice" fusermount3 -u "$mnt" 2>/dev/null; }

# refuses 'part of the line' COMMAND...: one line on stderr, a status other than 0, nothing mounted.
refuses() {
  local expected=$1 status=0
  shift
  "$@" >"$work/stdout" 2>"$work/stderr" || status=$?
  [ "$status" != 0 ] || { echo "status 0: $*"; return 1; }
  is 0 sh -c "wc -l <'$work/stdout'"
  is 1 sh -c "wc -l <'$work/stderr'" || { cat "$work/stderr"; return 1; }
  grep -q "^leasefs: .*$expected" "$work/stderr" || { cat "$work/stderr"; return 1; }
  not mounted
}

# In the foreground and from the background, it says the same.
refuses_alice() {
  local expected=$1
  shift
  refuses "$expected" as "$alice" "$LEASEFS" "$mnt" "$@"
  refuses "$expected" as "$alice" "$LEASEFS" "$mnt" -f "$@"
}

# What is free, of blocks and of inodes, in the eyes of the user.
free() { as "$1" stat -f -c '%f %d' "$mnt"; }

test_own_it_mounts_on_a_directory_of_ones_own() {
  start_ordinary
  grep -q " $mnt fuse.leasefs .*user_id=$(id -u "$alice"),.*default_permissions" /proc/self/mounts
  is "$alice:$alice 1777" as "$alice" stat -c '%U:%G %a' "$mnt"
  is "$alice:$alice 1777" as "$alice" stat -c '%U:%G %a' "$mnt/leases"
  in_mount "$alice" 'echo hello >key1; mkdir leases/a; echo 100 >leases/a/ttl; echo key1 >leases/a/keys'
  is hello as "$alice" cat "$mnt/key1"
  is key1 as "$alice" cat "$mnt/leases/a/keys"
  is "$alice 644" as "$alice" stat -c '%U %a' "$mnt/key1"
  is "$alice 644" as "$alice" stat -c '%U %a' "$mnt/leases/a/ttl"
  in_mount "$alice" 'rmdir leases/a'
  is leases as "$alice" ls "$mnt"
  stop_ordinary
}

test_own_it_answers_when_it_has_returned_from_the_background() {
  local pid
  prepare
  as "$alice" "$LEASEFS" "$mnt" </dev/null >"$work/stdout" 2>&1
  is leases as "$alice" ls "$mnt"
  pid=$(pgrep -f -- "^$LEASEFS $mnt")
  is "$(id -u "$alice")" stat -c %u "/proc/$pid"
  unmount_as_alice
  wait_until ended "$pid"
  not mounted
  is 0 sh -c "wc -c <'$work/stdout'"
}

test_own_leases_end_and_are_cleaned_up() {
  local before
  start_ordinary
  before=$(free "$alice")
  in_mount "$alice" '
    mkdir leases/a dir; echo 2 >leases/a/ttl
    for i in {1..500}; do echo $i >dir/$i; echo dir/$i; done >leases/a/list
    echo v >leases/a/x
    cat leases/a/list >leases/a/keys
    touch -c leases/a/ttl
    ls dir/500 leases/a/x'
  [ "$(free "$alice")" != "$before" ]
  sleep 2
  gone_for "$alice" dir/1
  gone_for "$alice" leases/a
  is '' as "$alice" find "$mnt/dir" "$mnt/leases" -mindepth 1
  in_mount "$alice" 'rmdir dir'
  wait_until is "$before" free "$alice"
  stop_ordinary
}

test_own_every_way_to_end_is_clean() {
  local how threads
  for threads in '' single; do
    for how in fusermount3 TERM INT HUP; do
      start_ordinary ${threads:+-s}
      in_mount "$alice" 'echo v >key; mkdir leases/a; echo 100 >leases/a/ttl; echo key >leases/a/keys'
      case $how in
      fusermount3) unmount_as_alice ;;
      *) kill -"$how" "$daemon" ;;
      esac
      ends_well
    done
  done
}

test_own_a_signal_ends_it_though_it_is_in_use() {
  local user
  start_ordinary
  exec_as "$alice" sh -c "cd '$mnt' && exec 5>key && exec sleep 100" &
  user=$!
  wait_until as "$alice" test -e "$mnt/key"
  refuses_to_unmount
  kill "$daemon"
  ends_well
  kill "$user"
}

refuses_to_unmount() { fails busy "as $alice fusermount3 -u '$mnt'"; }

# While names are being removed, and those who use them are being killed.
test_own_a_signal_ends_it_while_it_cleans_up() {
  local i users
  echo user_allow_other >"$conf"
  for i in 1 2 3; do
    start_ordinary -o allow_other
    in_mount "$bob" 'mkdir -m 700 own; mkdir -m 1777 sticky; mkdir leases/b; echo 1.5 >leases/b/ttl
      echo own >leases/b/keys; echo sticky >leases/b/keys'
    in_mount "$alice" 'mkdir -m 777 hers; mkdir leases/a; echo 1.5 >leases/a/ttl; echo hers >leases/a/keys'
    users=()
    for user in "$bob:own" "$bob:sticky" "$alice:hers" "$alice:hers"; do
      exec_as "${user%:*}" bash -c 'cd "$1" || exit; for ((i = 0; ; i++)); do echo >$BASHPID.$i; mv $BASHPID.$i m$BASHPID.$i; done' \
        - "$mnt/${user#*:}" 2>/dev/null &
      users+=($!)
    done
    sleep "1.$((i + 4))"
    kill -9 "${users[@]}"
    kill "$daemon"
    ends_well
    wait "${users[@]}" || true
  done
}

test_own_a_stopped_process_in_it_keeps_nobody_from_ending() {
  local user
  start_ordinary
  in_mount "$alice" 'mkdir leases/a; echo 1 >leases/a/ttl; mkdir dir; echo dir >leases/a/keys'
  exec_as "$alice" bash -c 'cd "$1" || exit; for ((i = 0; ; i++)); do echo >$i; done' - "$mnt/dir" 2>/dev/null &
  user=$!
  sleep 0.9
  kill -STOP "$user"
  sleep 0.3
  gone_for "$alice" dir
  kill "$daemon"
  ends_well
  kill -9 "$user"
}

test_own_others_are_kept_out() {
  start_ordinary
  for command in "ls '$mnt'" "stat '$mnt'" "cat '$mnt/key'" "mkdir '$mnt/leases/a'"; do
    fails 'Permission denied' "as $bob $command"
    fails 'Permission denied' "$command" # root, too
  done
  # Nor do they end it, but for root.
  fails 'not' "as $bob fusermount3 -u '$mnt'"
  mounted
  umount "$mnt"
  ends_well
}

test_own_allow_other_takes_a_line_in_fuse_conf() {
  prepare
  refuses_alice "user_allow_other.*/etc/fuse.conf" -o allow_other
}

test_own_users_share_the_mount_of_one() {
  echo user_allow_other >"$conf"
  start_ordinary -o allow_other
  in_mount "$bob" 'echo hello >key; mkdir leases/b; echo 100 >leases/b/ttl; echo key >leases/b/keys'
  for user in "$alice" "$carol" root; do
    is hello as "$user" cat "$mnt/key"
    is key as "$user" cat "$mnt/leases/b/keys"
  done
  fails 'Operation not permitted' "as $carol rm -f '$mnt/key'"
  fails 'Operation not permitted' "as $carol rmdir '$mnt/leases/b'"
  # Alice owns the root and leases/, but has not the rights of root.
  for user in "$alice" "$carol"; do
    fails 'Permission denied' "as $user bash -c 'echo 1 >$mnt/leases/b/ttl'"
    fails 'Permission denied' "as $user touch -c '$mnt/leases/b/ttl'"
    in_mount "$user" 'mkdir leases/own; echo 100 >leases/own/ttl'
    fails 'Operation not permitted' "as $user bash -c 'echo key >$mnt/leases/own/keys'"
    in_mount "$user" 'rmdir leases/own'
  done
  echo 50 >"$mnt/leases/b/ttl"
  is 50 as "$bob" cat "$mnt/leases/b/granted"
  rmdir "$mnt/leases/b"
  gone_for "$bob" key
  stop_ordinary
}

# The daemon learns of them though it has no rights over that process.
test_own_supplementary_groups_of_others_count() {
  local group=users
  echo user_allow_other >"$conf"
  start_ordinary -o allow_other
  in_mount "$bob" 'umask 0; echo v >key; mkdir leases/b; echo 100 >leases/b/ttl; echo key >leases/b/keys; chmod g+w leases/b/ttl'
  chgrp "$group" "$mnt/leases/b"
  sleep 1.1
  as "$carol" touch -c "$mnt/key"
  is 99 as "$carol" cat "$mnt/leases/b/ttl"
  setpriv --reuid "$carol" --regid "$(id -g "$carol")" --groups "$group" touch -c "$mnt/key"
  is 100 as "$carol" cat "$mnt/leases/b/ttl"
  stop_ordinary
}

# Where the daemon itself may not unlink, nor even look.
test_own_leases_of_others_are_cleaned_up() {
  local before
  echo user_allow_other >"$conf"
  start_ordinary -o allow_other
  before=$(free "$carol")
  in_mount "$carol" 'mkdir -m 1777 sticky'
  in_mount "$bob" '
    mkdir -m 700 private; mkdir private/a private/b
    mkdir leases/b; echo 3 >leases/b/ttl
    for i in {1..200}; do
      echo $i >private/a/$i; echo $i >sticky/$i; echo $i >root.$i
      echo private/a/$i; echo sticky/$i; echo root.$i
    done >list
    cat list >leases/b/keys; rm list
    echo private/b >leases/b/keys; echo v >private/b/x; mkdir private/b/y
    touch -c leases/b/ttl
    ls private/a/200 sticky/200 root.200 private/b/y'
  sleep 3
  gone_for "$bob" private/a/1
  gone_for "$bob" private/b
  gone_for "$bob" root.1
  gone_for "$carol" sticky/1
  gone_for "$carol" leases/b
  is '' as "$bob" find "$mnt/private/a" "$mnt/sticky" "$mnt/leases" -mindepth 1
  is "$(printf '%s\n' leases private sticky)" as "$carol" ls "$mnt"
  in_mount "$bob" 'rmdir private/a private'
  in_mount "$carol" 'rmdir sticky'
  wait_until is "$before" free "$carol"
  stop_ordinary
}

test_own_after_a_kill_it_can_be_mounted_again() {
  start_ordinary
  in_mount "$alice" 'echo v >key'
  kill -9 "$daemon"
  wait "$daemon" || true
  daemon=
  for f in '' -f; do
    # shellcheck disable=SC2086 # an empty $f is no argument
    if as "$alice" "$LEASEFS" "$mnt" $f 2>"$work/stderr"; then return 1; fi
    is 1 sh -c "wc -l <'$work/stderr'"
    grep -q 'fusermount3 -uz' "$work/stderr"
  done
  as "$alice" fusermount3 -uz "$mnt"
  not mounted
  start_ordinary
  is leases as "$alice" ls "$mnt"
  stop_ordinary
}

test_own_without_access_to_dev_fuse_it_says_so() {
  prepare
  chmod 600 /dev/fuse
  refuses_alice '/dev/fuse: Permission denied; let this user read and write it'
}

test_own_a_directory_of_somebody_else_is_refused() {
  prepare
  chown "$bob" "$mnt"
  refuses_alice 'no write access.*; give a directory of your own'
  chmod 1777 "$mnt"
  refuses_alice 'not owned by user; give a directory of your own'
  mkdir -m 700 "$work/closed" "$work/closed/dir"
  refuses 'closed/dir: Permission denied' as "$alice" "$LEASEFS" "$work/closed/dir"
  chmod 755 "$work/closed"
  refuses 'closed/dir: .*Permission denied' as "$alice" "$LEASEFS" "$work/closed/dir"
}

# libfuse looks in /usr/bin, whatever the PATH.
test_own_without_fusermount3_it_says_so() {
  prepare
  cp /usr/bin/setpriv "$work"
  refuses 'install the package fuse3' unshare -m sh -c 'mount -t tmpfs none /usr/bin && exec "$@"' - \
    "$work/setpriv" --reuid "$alice" --regid "$alice" --clear-groups "$LEASEFS" "$mnt"
}

test_own_with_a_fusermount3_without_rights_it_says_so() {
  prepare
  install -m 755 /usr/bin/fusermount3 "$work/fusermount3"
  refuses 'a fusermount3 that is setuid root' \
    unshare -m sh -c 'mount --bind "$1" /usr/bin/fusermount3 && shift && exec "$@"' - "$work/fusermount3" \
    setpriv --reuid "$alice" --regid "$alice" --clear-groups "$LEASEFS" "$mnt"
}

test_own_a_user_without_a_name_is_told_so() {
  prepare
  chown 4711 "$mnt"
  refuses 'give this user an entry in /etc/passwd' setpriv --reuid 4711 --regid 4711 --clear-groups "$LEASEFS" "$mnt"
}

test_own_options_are_checked_as_for_root() {
  prepare
  refuses_alice 'unknown option' -o bogus
  refuses_alice 'min_ttl=abc' -o min_ttl=abc
}

run_tests
