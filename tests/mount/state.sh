#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What survives an unmount and a crash, and what does not.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/state-lib.sh"

test_own_everything_survives_an_unmount() {
  on "$state"
  make_things
  tool dump >"$work/before"
  restart
  tool dump >"$work/after"
  diff "$work/before" "$work/after"
  is '2001-02-03 04:05:06.123456789 +0000' env TZ=UTC stat -c %y key
  [ "$(cat leases/a/ttl)" -ge 900 ] # less what all this has taken
  # Nothing of it is for show.
  rmdir leases/a
  gone leased
  gone attached
  gone moved
  is x cat dir/sub/file
  stop
}

test_own_everything_survives_a_crash() {
  on "$state"
  make_things
  tool dump >"$work/before"
  restart_after_crash
  tool dump >"$work/after"
  diff "$work/before" "$work/after"
  restart_after_crash
  tool dump >"$work/after"
  diff "$work/before" "$work/after"
  stop
}

test_own_listings_keep_their_order() {
  local i
  on "$state"
  mkdir d
  for i in $(seq 200 | shuf --random-source=/dev/zero); do : >"d/$i"; done
  rm d/1?
  mv d/150 d/x
  mv d/151 d/152
  : >d/11
  ls -U d >"$work/before"
  restart
  ls -U d >"$work/after"
  diff "$work/before" "$work/after"
  : >d/last
  crash
  on "$state"
  echo last >>"$work/before"
  ls -U d >"$work/after"
  diff <(sort "$work/before") <(sort "$work/after")
  stop
}

test_own_time_stands_still_while_nothing_is_mounted() {
  local begun ended least most
  on "$state"
  lease a 100
  lease b 3
  : >key
  echo key >leases/b/keys
  # Between these two moments both were granted.
  begun=$(now_us)
  echo 100 >leases/a/ttl
  echo 3 >leases/b/ttl
  ended=$(now_us)
  sleep 1.2
  least=$(($(now_us) - ended))
  stop
  most=$(($(now_us) - begun))
  sleep 2.5
  begun=$(now_us)
  on "$state"
  ended=$(now_us)
  # The seconds left are rounded up.
  [ "$(cat leases/a/ttl)" -ge $((100 - (most + $(now_us) - begun) / 1000000)) ]
  [ "$(cat leases/a/ttl)" -le $((100 - (least + $(now_us) - ended) / 1000000)) ]
  is 3 cat leases/b/granted
  # What was there a moment ago is gone a moment later, and the deadline is between the two.
  while :; do
    local before
    before=$(now_us)
    [ -e key ] || break
    [ $((least + before - ended)) -lt 3000000 ]
  done
  [ $((most + $(now_us) - begun)) -ge 3000000 ]
  gone leases/b
  # Whoever keeps it alive gives it the whole TTL.
  touch -c leases/a
  [ "$(cat leases/a/ttl)" -ge 99 ]
  stop
}

test_own_after_a_crash_leases_have_their_whole_ttl() {
  on "$state"
  lease a 100
  lease b 3
  : >key
  : >brief
  echo key >leases/a/keys
  echo brief >leases/b/keys
  sleep 0.3
  touch -c leases/b
  sleep 4 &
  while kill -0 $! 2>/dev/null; do
    touch -c leases/b
    sleep 0.1
  done
  [ "$(cat leases/a/ttl)" -le 99 ]
  crash
  sleep 1
  local begun
  begun=$(now_us)
  on "$state"
  [ "$(cat leases/a/ttl)" -ge $((100 - ($(now_us) - begun) / 1000000)) ]
  is 'brief' cat leases/b/keys
  is 'key' cat leases/a/keys
  wait_until gone leases/b
  [ $(($(now_us) - begun)) -ge 3000000 ]
  gone brief
  [ -e key ]
  stop
}

test_own_what_has_ended_does_not_come_back() {
  local how
  for how in stop crash; do
    on "$state"
    lease a 100
    lease b 100
    : >key
    mkdir d
    : >d/x
    printf '%s\n' key d d/x >leases/a/keys
    : >leases/b/x
    mv leases/b/x other
    rmdir leases/b
    gone other
    echo 0.1 >leases/a/ttl
    wait_until gone key
    nothing_has_come_back "$how"
    stop
  done
}

# The daemon has no time to remove them all.
test_own_what_was_not_yet_cleaned_up_does_not_come_back() {
  local i
  on "$state"
  mkdir d
  lease a 100
  echo d >leases/a/keys
  for i in {1..2000}; do : >"d/$i"; done
  ln d/1 other
  echo 0.2 >leases/a/ttl
  wait_until gone d
  nothing_has_come_back crash
  lease a 100
  is '' cat leases/a/keys
  wait_until is 3 sh -c "stat -f -c '%c %d' . | awk '{ print \$1 - \$2 }'"
  stop
  is ok sqlite3 "$state" 'PRAGMA integrity_check'
}

# Nor what only a listing has shown to be over, one of very many.
test_own_of_many_leases_that_a_listing_misses_none_comes_back() {
  local i
  on "$state"
  mkdir leases/{1..2000}
  for i in {1..2000}; do echo 60 >"leases/$i/ttl"; done
  for i in {1..2000}; do echo 0.5 >"leases/$i/ttl"; done
  wait_until is '' ls leases
  nothing_has_come_back crash
  stop
}

test_own_revoked_is_revoked() {
  local i
  on "$state"
  for i in {1..300}; do
    lease "$i" 1000
    echo v >"leases/$i/x"
    mv "leases/$i/x" "key$i"
  done
  for i in {1..300}; do rmdir "leases/$i"; done
  nothing_has_come_back crash
  stop
}

test_own_reservations_do_not_survive() {
  local how
  for how in stop crash; do
    on "$state"
    mkdir leases/a
    lease b 100
    "$how"
    on "$state"
    is b ls leases
    rmdir leases/b
    stop
  done
}

test_own_syncing_succeeds() {
  on "$state"
  echo v >key
  tool sync
  python3 -c 'import os; os.fsync(os.open("key", os.O_RDONLY)); os.sync()'
  stop
}

run_tests
