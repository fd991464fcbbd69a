#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Which files are taken for state files, and the care that is taken of them.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/state-lib.sh"

# refuses 'part of the line' ARGUMENT...: one line on stderr, a status other than 0, nothing mounted; in the foreground and from the
# background.
refuses() {
  local expected=$1 status f
  shift
  for f in '' -f; do
    status=0
    # shellcheck disable=SC2086 # an empty $f is no argument
    timeout 20 "$@" $f >"$work/stdout" 2>"$work/stderr" || status=$?
    case $status in 0 | 124) echo "status $status: $*" && return 1 ;; esac
    is 0 sh -c "wc -c <'$work/stdout'"
    is 1 sh -c "wc -l <'$work/stderr'" || { cat "$work/stderr"; return 1; }
    grep -qiF -- "$expected" "$work/stderr" || { cat "$work/stderr"; return 1; }
    not mountpoint -q "$mnt"
  done
}

# All files on the disk.
files() { find "$disk" -type f -printf '%P %m %s ' -exec sha256sum {} \; | sort; }

# refuses_file 'part of the line' FILE: and leaves everything as it was.
refuses_file() {
  files >"$work/before"
  refuses "$1" "$LEASEFS" "$2" "$mnt"
  files >"$work/after"
  diff "$work/before" "$work/after"
}

test_own_a_second_daemon_is_refused() {
  mkdir -p "$work/second"
  on "$state"
  echo v >key
  ln -sf "$state" "$work/link"
  refuses_second "$state"
  refuses_second "$work/link" -f
  echo w >>key
  restart_after_crash
  is $'v\nw' cat key
  (cd "$disk" && refuses_second state.db)
  stop
  is ok sqlite3 "$state" 'PRAGMA integrity_check'
}

# refuses_second FILE OPTION...: after having waited for the first one to end.
refuses_second() {
  if timeout 20 "$LEASEFS" "$1" "$work/second" "${@:2}" 2>"$work/stderr"; then return 1; fi
  is 1 sh -c "wc -l <'$work/stderr'"
  grep -q 'in use' "$work/stderr"
  not mountpoint -q "$work/second"
}

test_own_a_file_that_another_program_writes_to_is_refused() {
  on "$state"
  echo v >key
  stop
  coproc sqlite3 "$state"
  echo "BEGIN IMMEDIATE; SELECT 'begun';" >&"${COPROC[1]}"
  read -r -u "${COPROC[0]}"
  refuses "leasefs: $state: in use by another program: end that first" "$LEASEFS" "$state" "$mnt"
  echo .quit >&"${COPROC[1]}"
  wait "$COPROC_PID"
  on "$state"
  is v cat key
  stop
}

test_own_other_files_are_refused_and_left_alone() {
  echo 'a text' >"$disk/text"
  head -c 100000 /dev/urandom >"$disk/noise"
  sqlite3 "$disk/other.db" 'CREATE TABLE node (a); INSERT INTO node VALUES (1)'
  sqlite3 "$disk/wal.db" 'PRAGMA journal_mode = WAL; CREATE TABLE t (a)' >/dev/null
  mkdir "$disk/directory"
  mkfifo "$disk/fifo"
  refuses_file "$disk/text" "$disk/text"
  refuses_file "$disk/noise" "$disk/noise"
  refuses_file "$disk/other.db" "$disk/other.db"
  refuses_file "$disk/wal.db" "$disk/wal.db"
  refuses_file "$disk/directory" "$disk/directory"
  refuses_file "$disk/fifo" "$disk/fifo"
  refuses_file 'No such file or directory' "$disk/missing/state.db"
  refuses_file 'Not a directory' "$disk/text/state.db"
  refuses_file /dev/null /dev/null
}

# Something to be damaged, at $state: large enough for many pages of each table.
make_large() {
  local i
  on "$state"
  lease a 1000
  mkdir d
  echo d >leases/a/keys
  for i in {1..500}; do echo "$i" >"d/a-rather-long-name-so-that-there-are-several-pages-$i"; done
  head -c 300000 /dev/urandom >large
  stop
}

test_own_damaged_files_are_refused_and_left_alone() {
  local pages page
  make_large
  cp "$state" "$work/good.db"
  # Only half of it.
  truncate -s $((4096 * ($(stat -c %s "$state") / 8192))) "$state"
  refuses_file "$state" "$state"
  # A page full of something else, wherever it is.
  pages=$(($(stat -c %s "$work/good.db") / 4096))
  for ((page = 0; page < pages; page += 1 + pages / 25)); do
    cp "$work/good.db" "$state"
    head -c 4096 /dev/urandom | dd of="$state" bs=4096 seek="$page" conv=notrunc status=none
    cp "$state" "$work/damaged.db"
    damaged_or_whole "$page"
  done
}

# The damage is found at the start, or it is in a place that nobody needs, and all is there.
damaged_or_whole() {
  if timeout 20 "$LEASEFS" "$state" "$mnt" 2>"$work/stderr"; then
    daemon=$(pgrep -f -- "^$LEASEFS $state $mnt")
    is 500 sh -c "ls '$mnt/d' | wc -l" || { echo "with page $1 damaged"; return 1; }
    umount "$mnt"
    wait_until ended "$daemon"
    daemon=
  else
    is 1 sh -c "wc -l <'$work/stderr'" || { cat "$work/stderr"; return 1; }
    grep -qF "$state" "$work/stderr"
    cmp "$state" "$work/damaged.db"
    not mountpoint -q "$mnt"
  fi
}

# With leases, keys and values of several kinds, and time that was left.
test_own_an_older_file_is_brought_up_to_date() {
  sqlite3 "$state" <"$(dirname "$tool")/../unit/state-1.sql" >"$work/mode"
  is 1 sqlite3 "$state" 'PRAGMA user_version'
  for _ in 1 2; do
    on "$state" -o xattr
    is $'fifo\nhard\nkey1\nleases\nservices\nsoft\nsparse' ls
    is $'a\nb' ls leases
    is $'hard\nservices\nservices/web' cat leases/a/keys
    is a getfattr --only-values -n user.lease services/web
    is $'leases/b/inside\nleases/b/procs-13' cat leases/b/keys
    is v cat leases/b/procs-13
    is '' cat leases/b/procs
    is 1000.5 cat leases/a/granted
    is '10.0.0.7 1000:1000 2' sh -c 'echo $(cat hard) $(stat -c "%u:%g %h" services/web)'
    is hello cat soft
    is '664 600 644' sh -c 'echo $(stat -c %a leases/b/ttl leases/b/keys leases/b/procs)'
    is '20000 end' sh -c 'echo $(stat -c %s sparse) $(tail -c +12289 sparse | head -c 3)'
    is 2024-05-06 date -d "@$(stat -c %Y key1)" +%F
    setfattr -n user.one -v 1 key1
    [ "$(cat leases/a/ttl)" -gt 900 ]
    stop
  done
  not [ "$(sqlite3 "$state" 'PRAGMA user_version')" = 1 ]
  is 1 sqlite3 "$state" 'SELECT count(*) FROM xattr'
  is ok sqlite3 "$state" 'PRAGMA integrity_check'
}

test_own_a_damaged_older_file_stays_older() {
  sqlite3 "$state" <"$(dirname "$tool")/../unit/state-1.sql" >"$work/mode"
  sqlite3 "$state" 'UPDATE name SET parent = 5 WHERE node = 11'
  refuses_file damaged "$state"
  is 1 sqlite3 "$state" 'PRAGMA user_version'
}

test_own_newer_schemas_are_refused_and_left_alone() {
  make_large
  sqlite3 "$state" "PRAGMA user_version = $(($(sqlite3 "$state" 'PRAGMA user_version') + 1))"
  refuses_file newer "$state"
}

test_own_what_may_not_be_opened_is_refused() {
  make_large
  chmod 711 "$work"
  install -m 755 "$LEASEFS" "$work/leasefs"
  refuses 'Permission denied' setpriv --reuid nobody --regid nogroup --clear-groups "$work/leasefs" "$state" "$mnt"
  chmod 700 "$work"
}

test_own_a_file_inside_the_mountpoint_is_refused() {
  mkdir "$mnt/inside"
  refuses "$mnt/state.db" "$LEASEFS" "$mnt/state.db" "$mnt"
  refuses "$mnt/inside/state.db" "$LEASEFS" "$mnt/inside/state.db" "$mnt"
  ln -s "$mnt/inside" "$work/into"
  refuses "$work/into/state.db" "$LEASEFS" "$work/into/state.db" "$mnt"
  is inside ls "$mnt"
  is '' ls "$mnt/inside"
  rm -r "$mnt/inside"
}

leave_place() {
  while mountpoint -q "$work/place"; do umount -l "$work/place"; done
  umount -lq "$work/place/state.db" || true
  rm -rf "$work/place" "$work/link"
}

# As containers do it. Its directory may be.
test_own_a_file_that_is_mounted_by_itself_is_refused() {
  local place=$work/place
  on "$state"
  echo v >key
  stop
  mkdir "$place"
  : >"$place/state.db"
  ln -s "$place/state.db" "$work/link"
  trap leave_place EXIT
  mount --bind "$state" "$place/state.db"
  refuses 'is mounted by itself' "$LEASEFS" "$place/state.db" "$mnt"
  refuses 'is mounted by itself' "$LEASEFS" "$work/link" "$mnt"
  is state.db ls "$place"
  umount "$place/state.db"
  mount --bind "$disk" "$place"
  on "$place/state.db"
  is v cat key
  echo w >key
  stop
  umount "$place"
  on "$state"
  is w cat key
  stop
}

test_own_nobody_else_can_read_it() {
  umask 0
  on "$state"
  echo v >key
  is '600 600 600' sh -c "stat -c %a '$disk'/* | tr '\n' ' ' | sed 's/ $//'"
  stop
  is 600 stat -c %a "$state"
}

test_own_an_empty_file_will_do() {
  : >"$state"
  on "$state"
  echo v >key
  restart
  is v cat key
  stop
}

test_own_a_clean_unmount_leaves_one_file() {
  local how
  for how in umount TERM; do
    on "$state"
    echo v >key
    cd /
    case $how in
    umount) stop ;;
    *)
      kill -TERM "$daemon"
      wait "$daemon"
      daemon=
      ;;
    esac
    is state.db ls "$disk"
  done
  # It can be taken elsewhere then.
  mv "$state" "$work/elsewhere.db"
  on "$work/elsewhere.db"
  is v cat key
  stop
  rm "$work/elsewhere.db"
}

# a is as b, or one ahead.
count_in_a_and_b() {
  local i
  for ((i = 1;; i++)); do
    echo "$i" >a.new && mv a.new a
    echo "$i" >b.new && mv b.new b
  done
}

test_own_a_backup_can_be_made_at_any_time() {
  local a b
  on "$state"
  make_things
  employ count_in_a_and_b
  for _ in 1 2 3; do
    sleep 0.2
    rm -f "$work/copy.db"
    sqlite3 "$state" ".backup '$work/copy.db'"
    is ok sqlite3 "$work/copy.db" 'PRAGMA integrity_check'
  done
  dismiss
  stop
  on "$work/copy.db"
  a=$(cat a) b=$(cat b)
  [ "$a" -gt 1 ]
  [ "$a" = "$b" ] || [ "$a" = $((b + 1)) ]
  is hello cat key
  is $'attached\nattached/child\ndir/soft\nleased\nleases/a/inside\nmoved\ntwo\\012lines' cat leases/a/keys
  stop
  rm "$work/copy.db"
}

run_tests
