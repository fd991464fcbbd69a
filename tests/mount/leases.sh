#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What users do with leases, short of their end.
. "$(dirname "$0")/lib.sh"

test_reserve_grant_attach_revoke() {
  mkdir leases/a
  is 0 cat leases/a/ttl
  is 0 cat leases/a/granted
  echo 100 >leases/a/ttl
  is 100 cat leases/a/granted
  ttl_is_in 98 100
  echo hello >key1
  echo key1 >leases/a/keys
  is key1 cat leases/a/keys
  rmdir leases/a
  fails 'No such file' 'cat key1'
  fails 'No such file' 'cat leases/a/ttl'
  is leases ls
}

test_mktemp_makes_leases() {
  local lease
  lease=$(mktemp -d leases/XXXXXXXXXXXX)
  printf 50 >"$lease/ttl"
  is 50 cat "$lease/granted"
}

# ttl_is_in LEAST MOST: what `ttl` of lease a reads. The margins are for busy machines.
ttl_is_in() {
  local ttl
  ttl=$(cat leases/a/ttl)
  if [ "$ttl" -lt "$1" ] || [ "$ttl" -gt "$2" ]; then
    echo "ttl is $ttl, not in $1 to $2"
    return 1
  fi
}

test_ttl_counts_down_in_whole_seconds() {
  lease a 99.5
  is 99.5 cat leases/a/granted
  ttl_is_in 98 100
  sleep 3
  ttl_is_in 90 97
}

# Each way to refresh, on a lease that has lost its first seconds.
refreshes_with() {
  lease a 100
  echo v >key
  echo key >leases/a/keys
  sleep 3.1
  ttl_is_in 90 97
  eval "$1"
  ttl_is_in 98 100
}
test_writing_ttl_refreshes() { refreshes_with 'echo 100 >leases/a/ttl'; }
test_an_empty_line_refreshes() { refreshes_with 'echo >leases/a/ttl'; }
test_appending_an_empty_line_refreshes() { refreshes_with 'echo >>leases/a/ttl'; }
test_touching_ttl_refreshes() { refreshes_with 'touch -c leases/a/ttl'; }
test_touching_the_directory_refreshes() { refreshes_with 'touch -c leases/a'; }
test_touching_a_key_refreshes() { refreshes_with 'touch -c key'; }

test_reading_and_writing_a_key_does_not_refresh() {
  lease a 100
  echo v >key
  echo key >leases/a/keys
  sleep 3.1
  cat key >/dev/null
  echo w >key
  ttl_is_in 90 97
}

test_the_ttl_can_be_changed() {
  lease a 100
  echo 70 >leases/a/ttl
  is 70 cat leases/a/granted
  ttl_is_in 68 70
  echo 0.25 >leases/a/ttl
  wait_until gone leases/a
}

test_bad_ttls_change_nothing() {
  lease a 100
  local bad
  for bad in 0 -1 0.0 abc 1e3 0x10 inf nan '1 2' '1,5' +5 . -; do
    fails 'Invalid argument' "echo '$bad' >leases/a/ttl"
  done
  fails 'Invalid argument' 'env printf "5\n6\n" >leases/a/ttl'
  fails 'Numerical result out of range' 'echo 9000000001 >leases/a/ttl'
  fails 'Numerical result out of range' 'echo 99999999999999999999999999 >leases/a/ttl'
  fails 'Operation not permitted' 'echo 5 >leases/a/granted'
  is 100 cat leases/a/granted
  echo 9000000000 >leases/a/ttl
  is 9000000000 cat leases/a/granted
}

test_own_min_ttl_raises() {
  start -o min_ttl=5
  lease a 0.1
  is 5 cat leases/a/granted
  echo 6 >leases/a/ttl
  is 6 cat leases/a/granted
  stop
}

test_a_reservation_takes_no_keys_and_no_refresh() {
  mkdir leases/a
  echo v >key
  fails 'Invalid argument' 'echo key >leases/a/keys'
  fails 'Invalid argument' 'echo v >leases/a/x'
  fails 'cannot move' 'mv key leases/a/'
  fails 'Invalid argument' 'echo >leases/a/ttl'
  fails 'Invalid argument' 'touch leases/a/ttl'
  touch leases/a
  is 0 cat leases/a/granted
  is v cat key
}

test_a_reservation_times_out() {
  mkdir leases/a leases/b
  watch -t 90 -e delete --format '%e %w%f' leases/
  sleep 57
  [ -d leases/a ]
  echo 100 >leases/b/ttl
  sleep 3.1
  gone leases/a
  [ -d leases/b ]
  wait_until [ -s "$work/events" ]
  kill "$watcher"
  is 'DELETE,ISDIR leases/a' cat "$work/events"
}

test_attaching_elsewhere_moves_a_key() {
  lease a 100
  lease b 100
  echo v >key
  echo key >leases/a/keys
  echo key >leases/b/keys
  is '' cat leases/a/keys
  is key cat leases/b/keys
  rmdir leases/a
  is v cat key
}

test_detached_keys_stay() {
  lease a 100
  echo v >key
  echo key >>leases/a/keys
  echo -key >>leases/a/keys
  is '' cat leases/a/keys
  rmdir leases/a
  is v cat key
}

test_keys_are_sorted_and_escaped() {
  lease a 100
  mkdir d
  touch $'new\nline' 'back\slash' -- --dash d/x 'sp ace' ümlaut B a
  printf '%s\n' 'new\012line' 'back\134slash' ./--dash /d/x 'sp ace' ümlaut B a >leases/a/keys
  is $'./--dash\nB\na\nback\\134slash\nd/x\nnew\\012line\nsp ace\n\xc3\xbcmlaut' cat leases/a/keys
  sed 's/^/-/' leases/a/keys >list
  cat list >leases/a/keys
  is '' cat leases/a/keys
}

# The shell's own printf makes one write of each line; the one of coreutils makes a single write of them all.
test_bad_lines_attach_nothing() {
  lease a 100
  lease b 100
  echo v >key
  echo v >leases/b/inside
  ln -s d link
  mkdir d
  touch d/x
  local bad
  for bad in . / leases leases/a leases/b leases/b/ttl leases/a/keys leases/b/inside 'a\z' 'a\400' 'a\000'; do
    fails 'Invalid argument' "env printf '%s\n' key '$bad' >leases/a/keys"
  done
  for bad in missing '' - d/missing '-missing'; do
    fails 'No such file' "env printf '%s\n' key '$bad' >leases/a/keys"
  done
  fails 'Not a directory' 'env printf "%s\n" key key/x >leases/a/keys'
  fails 'Too many levels of symbolic links' 'env printf "%s\n" key link/x >leases/a/keys'
  fails 'Invalid argument' 'echo -key >leases/a/keys'
  is '' cat leases/a/keys
  env printf 'key\n-key\nd/../key\n' >leases/a/keys
  is key cat leases/a/keys
}

test_hard_links_share_a_lease() {
  lease a 100
  echo v >one
  ln one two
  echo one >leases/a/keys
  is $'one\ntwo' cat leases/a/keys
  rmdir leases/a
  gone one
  gone two
}

test_what_is_made_in_an_attached_directory_is_attached() {
  lease a 100
  mkdir d
  touch d/before
  echo d >leases/a/keys
  touch d/after
  mkdir d/sub
  touch d/sub/x
  is $'d\nd/after\nd/sub\nd/sub/x' cat leases/a/keys
  rmdir leases/a
  is before ls d
}

test_an_attached_directory_goes_with_its_lease() {
  lease a 100
  mkdir d
  echo d >leases/a/keys
  mkdir -p d/e/f
  touch d/x d/e/f/y
  rmdir leases/a
  gone d
  mkdir d
  is '' ls d
}

test_put_with_lease_by_rename() {
  lease a 100
  echo v >leases/a/x
  is leases/a/x cat leases/a/keys
  mv leases/a/x key1
  is key1 cat leases/a/keys
  is v cat key1
  rmdir leases/a
  gone key1
}

test_take_a_free_name_by_link() {
  lease a 100
  lease b 100
  echo a >leases/a/x
  echo b >leases/b/x
  ln leases/a/x lock
  fails 'File exists' 'ln leases/b/x lock'
  is a cat lock
  rmdir leases/a
  ln leases/b/x lock
  is b cat lock
}

test_moved_into_a_lease_means_attached() {
  lease a 100
  echo v >key
  mv key leases/a/key
  is leases/a/key cat leases/a/keys
  rmdir leases/a
  gone key
}

test_replacing_a_key_keeps_its_lease() {
  lease a 100
  lease b 100
  echo one >key
  echo key >leases/a/keys
  sed -i s/one/two/ key
  is two cat key
  is key cat leases/a/keys
  echo three >other
  echo other >leases/b/keys
  mv other key
  is '' cat leases/a/keys
  is key cat leases/b/keys
}

test_renaming_and_editing_a_key_keeps_its_lease() {
  lease a 100
  echo v >key
  echo key >leases/a/keys
  mkdir d
  mv key d/other
  echo w >>d/other
  is d/other cat leases/a/keys
  rmdir leases/a
  gone d/other
}

test_revoke_takes_all_that_is_in_it() {
  lease a 100
  mkdir -p leases/a/d/e
  touch leases/a/x leases/a/d/e/y
  rmdir leases/a
  gone leases/a
  mkdir leases/a
  is $'granted\nkeys\nprocs\nttl' ls leases/a
}

test_the_liveliest_lease_is_listed_first() {
  lease a 100
  sleep 0.02
  lease b 100
  is $'b\na' ls -t leases
  touch leases/a/ttl
  is $'a\nb' ls -t leases
  touch leases/b
  is $'b\na' ls -t leases
  # Its names do not count.
  : >leases/a/x
  is $'b\na' ls -t leases
}

# With a TTL that leaves no doubt about the first digits.
test_pseudo_files_read_right_in_every_way() {
  local line
  lease a 8999999999
  touch key1 key2
  env printf 'key1\nkey2\n' >leases/a/keys
  read -r line <leases/a/ttl
  [[ $line =~ ^89999999[0-9]{2}$ ]]
  [[ $(dd if=leases/a/ttl bs=1 status=none) =~ ^89999999[0-9]{2}$ ]]
  is '' tail -c1 leases/a/ttl
  cp leases/a/keys copy
  is $'key1\nkey2' cat copy
  is 11 stat -c %s leases/a/ttl
  is 10 stat -c %s leases/a/keys
  is key2 tail -n1 leases/a/keys
  is 2 python3 -c '
with open("leases/a/keys") as f: print(len(f.readlines()))
with open("leases/a/ttl", "r+") as f:
    assert 8999999900 <= int(f.read()) <= 8999999999
    f.seek(0)
    f.write("50\n")
'
  is 50 cat leases/a/granted
}

test_permissions_of_pseudo_files() {
  lease a 100
  is 644 stat -c %a leases/a/ttl
  is 644 stat -c %a leases/a/keys
  is 444 stat -c %a leases/a/granted
  chmod g+w leases/a/ttl
  is 664 stat -c %a leases/a/ttl
  is 1777 stat -c %a leases
  fails 'Operation not permitted' 'chown 1:1 leases/a/ttl'
  chown 1:2 leases/a
  is 1:2 stat -c %u:%g leases/a/ttl
}

test_ten_thousand_keys_read_back() {
  lease a 100
  mkdir d
  (cd d && seq -f 'a-rather-long-name-of-a-key-%g' 10000 | xargs touch)
  find d -type f | split -l 1000 --filter='cat >leases/a/keys' -
  is 10000 sh -c 'wc -l <leases/a/keys'
  find d -type f | sort >list
  cmp list leases/a/keys
  rmdir leases/a
  is '' ls d
}

run_tests
