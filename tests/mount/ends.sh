#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What is seen at the end of a lease, and what comes after it. Everything is set up with a long TTL, and then given a short one: however slow
# the machine, it is there in time.
. "$(dirname "$0")/lib.sh"

test_an_expired_key_is_gone() {
  lease a 100
  echo v >key
  echo key >leases/a/keys
  is v cat key
  echo 0.3 >leases/a/ttl
  wait_until gone leases/a
  gone key
  is leases ls
  is '' ls leases
}

test_an_expired_name_is_free_again() {
  lease a 100
  echo old >key
  mkdir d
  printf 'key\nd\n' >leases/a/keys
  echo old >d/x
  echo 0.3 >leases/a/ttl
  wait_until mkdir leases/a 2>/dev/null
  is '' ls leases/a/ --ignore=ttl --ignore=granted --ignore=keys --ignore=procs
  (set -o noclobber; echo new >key)
  mkdir d
  # Long enough for whoever cleans up to have come by.
  sleep 0.3
  is new cat key
  is '' ls d
  is 0 cat leases/a/granted
}

test_watchers_see_the_end() {
  mkdir d
  lease a 100
  echo v >d/key
  echo v >leases/a/x
  echo d/key >leases/a/keys
  watch --format '%e %w%f' d leases leases/a
  echo 0.3 >leases/a/ttl
  wait_until grep -qx 'DELETE,ISDIR leases/a' "$work/events"
  kill "$watcher"
  is 1 grep -cx 'DELETE d/key' "$work/events"
  is 1 grep -cx 'DELETE leases/a/x' "$work/events"
}

test_watchers_see_a_revocation() {
  mkdir d
  lease a 100
  echo v >d/key
  echo d/key >leases/a/keys
  watch -e delete --format '%e %w%f' d
  rmdir leases/a
  wait_until grep -qx 'DELETE d/key' "$work/events"
  kill "$watcher"
}

# It is not where the daemon has mounted it any more.
test_own_watchers_see_the_end_wherever_the_mount_is() {
  start
  mkdir d "$work/other place"
  lease a 100
  echo v >d/key
  echo d/key >leases/a/keys
  mount --bind "$mnt" "$work/other place"
  cd "$work/other place"
  umount -l "$mnt"
  watch -e delete --format '%e %w%f' d leases
  echo 0.3 >leases/a/ttl
  wait_until grep -qx 'DELETE,ISDIR leases/a' "$work/events"
  kill "$watcher"
  is 'DELETE d/key' head -n 1 "$work/events"
  cd /
  umount "$work/other place"
  wait "$daemon"
}

test_the_watched_file_sees_its_own_end() {
  lease a 100
  echo v >key
  echo key >leases/a/keys
  watch -e delete_self --format '%e %w' key
  echo 0.3 >leases/a/ttl
  wait_until grep -qx 'DELETE_SELF key' "$work/events"
  kill "$watcher"
}

test_a_directory_in_use_outlives_its_lease() {
  lease a 100
  mkdir d
  echo d >leases/a/keys
  : >d/leased
  touch kept
  mv kept d/kept
  echo 0.3 >leases/a/ttl
  wait_until gone leases/a
  is kept ls d
  touch d/more
  is $'kept\nmore' ls d
}

test_revoked_keys_are_gone_when_rmdir_returns() {
  local i
  for i in $(seq 50); do
    lease a 100
    mkdir d
    for j in 1 2 3 4 5; do echo "$i" >"d/$j"; done
    printf 'd/%s\n' 1 2 3 4 5 >leases/a/keys
    cat d/* >/dev/null
    ls -l d >/dev/null
    rmdir leases/a
    is '' ls d
    gone d/3
    rmdir d
  done
}

# Those that the kernel is told of last are looked at first.
test_so_are_very_many() {
  python3 - 5000 <<'END'
import os, sys
os.mkdir("d")
for lease in "abc":
    os.mkdir(f"leases/{lease}")
    for file, line in ("ttl", "1000\n"), ("keys", "d\n"):
        with open(f"leases/{lease}/{file}", "w") as f:
            f.write(line)
    names = [f"d/{lease}{i}" for i in range(int(sys.argv[1]))]
    for name in names:
        os.mknod(name)
    for name in names:
        os.stat(name)
    os.rmdir(f"leases/{lease}")
    left = [name for name in reversed(names) if os.path.exists(name)]
    assert not left, f"{len(left)} are left, {left[0]} first"
    assert not os.path.exists("d"), "the directory is left"
    os.mkdir("d")
END
}

test_open_descriptors_are_stale() {
  lease a 100
  echo v >key
  echo key >leases/a/keys
  exec 5<key
  exec 6>>key
  exec 7>>leases/a/ttl
  echo 0.3 >leases/a/ttl
  wait_until gone key
  fails 'Stale file handle' 'cat <&5'
  fails 'Stale file handle' 'echo w >&6'
  fails 'Stale file handle' 'echo 5 >&7'
  exec 5<&- 6>&- 7>&-
}

test_many_leases_end_one_after_the_other() {
  local i
  for i in $(seq 500); do
    mkdir "leases/$i"
    echo 1000 >"leases/$i/ttl"
    echo v >"leases/$i/x"
    mv "leases/$i/x" "key$i"
  done
  echo v >stays
  is 502 sh -c 'ls | wc -l'
  for i in $(seq 500); do echo 0.5 >"leases/$i/ttl"; done
  wait_until sh -c '[ "$(ls)" = "$(printf "leases\nstays")" ]'
  wait_until sh -c '[ -z "$(ls leases)" ]'
  is v cat stays
}

test_space_comes_back() {
  local before after
  before=$(df --output=iused . | tail -1)
  lease a 100
  seq 100000 >leases/a/big
  mkdir leases/a/d
  touch leases/a/d/x
  echo 0.3 >leases/a/ttl
  wait_until gone leases/a
  comes_back() {
    after=$(df --output=iused . | tail -1)
    [ "$after" = "$before" ]
  }
  wait_until comes_back
}

test_space_comes_back_though_a_revoked_file_was_open() {
  local before
  before=$(df --output=iused . | tail -1)
  lease a 100
  seq 100000 >leases/a/big
  mkdir leases/a/d
  : >leases/a/d/x
  exec 5<leases/a/big
  rmdir leases/a
  wait_until sh -c '[ "$(df --output=used . | tail -1)" -lt 100 ]'
  exec 5<&-
  comes_back() { [ "$(df --output=iused . | tail -1)" = "$before" ]; }
  wait_until comes_back
}

# The first attempt has to succeed, though the names are being removed all the while.
test_own_unmounting_during_a_mass_expiry() {
  local i
  start
  for i in $(seq 300); do
    mkdir "leases/$i"
    echo 100 >"leases/$i/ttl"
    touch "leases/$i/x"
  done
  for i in $(seq 300); do echo 0.3 >"leases/$i/ttl"; done
  wait_until gone leases/1
  cd /
  umount "$mnt"
  wait "$daemon"
  daemon=
}

# The reaper cannot come to a path that is longer than a system call takes, and tells the kernel otherwise.
test_a_file_that_goes_where_no_path_leads_keeps_its_other_name() {
  local i name
  name=$(printf 'd%.0s' {1..200})
  lease a 100
  (
    cd leases/a
    for ((i = 0; i < 25; i++)); do
      mkdir "$name"
      cd "$name"
    done
    echo v >f
    ln f "$mnt/out"
    echo -/out >"$mnt/leases/a/keys"
    exec 3<f # known to the kernel
    rmdir "$mnt/leases/a"
    wait_until is 1 stat -c %h "$mnt/out"
  )
  ln out other
  is 2 stat -c %h out
  not grep -q 'writing device' "$log"
}

lookups() { awk '$1 == "leasefs_requests_total{operation=\"lookup\"}" { print $2 }' leases/.metrics; }
nothing_waits() { grep -qx 'leasefs_reaper_backlog 0' leases/.metrics; }

# Two hundred names, two hundred directories down: that would be forty thousand steps, for each of which everybody else waits.
test_names_that_are_taken_anew_cost_no_walk_each() {
  local before
  lease a 1000
  before=$(lookups)
  python3 - <<'PYTHON'
import os, time
DEPTH, NAMES = 200, range(200)
keys = os.open('leases/a/keys', os.O_WRONLY)
ttl = os.open('leases/a/ttl', os.O_WRONLY)
for _ in range(DEPTH):
    os.mkdir('d')
    os.chdir('d')
for name in NAMES:
    open(str(name), 'w').close()
    os.write(keys, f'{"d/" * DEPTH}{name}\n'.encode())
os.write(ttl, b'0.05\n')
time.sleep(0.05)
for name in reversed(NAMES):  # towards the reaper
    open(str(name), 'x').close()
PYTHON
  wait_until nothing_waits
  before=$(($(lookups) - before))
  echo "it took $before look-ups"
  [ "$before" -lt 6000 ]
}

test_own_a_single_thread_can_clean_up() {
  start -s
  lease a 100
  echo v >key
  echo key >leases/a/keys
  echo 0.3 >leases/a/ttl
  wait_until gone key
  wait_until sh -c '[ "$(df --output=iused . | tail -1 | tr -d " ")" = 2 ]'
  stop
}

# A thread that waits for an answer of its own process would keep that from ending, and the mount from answering.
test_own_a_kill_while_cleaning_up_ends_it() {
  local round
  for round in 1 2 3 4 5; do
    start
    mkdir d
    lease a 100
    echo d >leases/a/keys
    (cd d && for ((i = 0; i < 2000; i++)); do : >"$i"; done)
    echo 0.2 >leases/a/ttl
    wait_until gone d
    cd /
    sleep "0.0$round"
    kill -9 "$daemon"
    wait "$daemon" || true
    daemon=
    fails 'not connected' "timeout 10 ls '$mnt'"
    umount -l "$mnt"
  done
}

run_tests
