#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# leases/.metrics: that its text is in the format, what it says, and how it is read.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/state-lib.sh"

readme=$(realpath "$(dirname "$0")/../../README.md")
checker=$(dirname "$(realpath "$0")")/metrics.py

metrics() { python3 "$checker" "$@"; }

# value SERIES: what it is now.
value() { awk -v series="leasefs_$1" '$1 == series { print $2 }' leases/.metrics; }
shows() { [ "$(value "$2")" = "$1" ]; }

# leases_are RESERVED GRANTED ENDED
leases_are() {
  is "$1" value 'leases{state="reserved"}'
  is "$2" value 'leases{state="granted"}'
  is "$3" value 'leases{state="ended"}'
}

test_the_text_is_in_the_format() {
  metrics check leases/.metrics
  metrics strict leases/.metrics
  lease a 0.1
  mkdir leases/b
  wait_until gone leases/a
  metrics check leases/.metrics
}

test_own_what_has_no_limit_and_keeps_nothing_does_not_say_so() {
  local series
  start -o size=0,nr_inodes=0
  metrics check leases/.metrics
  series=$(metrics series leases/.metrics)
  [ "$(grep -c '^leasefs_\(max_\|journal_\)' <<<"$series")" = 0 ]
  stop
  start -o size=1g,nr_inodes=1000,max_leases=7
  is 1073741824 value max_bytes
  is 1000 value max_inodes
  is 7 value max_leases
  metrics check leases/.metrics
  stop
}

test_leases_and_keys_are_counted() {
  leases_are 0 0 0
  mkdir leases/a leases/b
  leases_are 2 0 0
  echo 1000 >leases/a/ttl
  leases_are 1 1 0
  echo one >one
  echo two >leases/a/x
  mv leases/a/x two
  ln -s two three
  mkdir d
  is 3 value keys
  is 1 value attached_keys
  is 8 value used_inodes
  rmdir leases/b
  echo 0.1 >leases/a/ttl
  wait_until gone leases/a
  wait_until shows 0 reaper_backlog
  wait_until shows 0 'leases{state="ended"}'
  leases_are 0 0 0
  is 2 value keys
  is 0 value attached_keys
  is 5 value used_inodes
}

test_totals_count_what_became_of_leases() {
  lease a 1000
  lease b 1000
  touch -c leases/a
  echo >leases/a/ttl
  echo 500 >leases/a/ttl
  rmdir leases/b
  is 2 value leases_granted_total
  is 3 value leases_refreshed_total
  is 1 value leases_revoked_total
  is 0 value leases_expired_total
  is 0 value expiry_lag_seconds_count
  echo 0.05 >leases/a/ttl
  wait_until shows 1 expiry_lag_seconds_count
  is 1 value leases_expired_total
  is 1 value leases_revoked_total
  is 0 value reservations_timed_out_total
  is 1 value 'expiry_lag_seconds_bucket{le="+Inf"}'
}

# counts OPERATION COMMAND: the command is one such request.
counts() {
  local before after
  before=$(value "requests_total{operation=\"$1\"}")
  eval "$2"
  after=$(value "requests_total{operation=\"$1\"}")
  [ $((after - before)) = 1 ] || { echo "$2: $((after - before)) times $1"; return 1; }
}

test_requests_are_counted_by_operation() {
  counts mkdir 'mkdir d'
  counts create 'echo value >key'
  counts write 'echo value >>key'
  counts rename 'mv key other'
  counts link 'ln other key'
  counts symlink 'ln -s other soft'
  counts readlink 'readlink soft'
  counts unlink 'rm soft'
  counts rmdir 'rmdir d'
  counts mknod 'mkfifo pipe'
  counts fallocate 'fallocate -l 1000 key'
  counts statfs 'stat -f .'
  counts setattr 'chmod 600 key'
}

test_the_process_is_described() {
  local now
  now=$(date +%s)
  is 1 value "build_info{version=\"$("$LEASEFS" -V | cut -d ' ' -f 2)\"}"
  awk -v started="$(value process_start_time_seconds)" -v now="$now" 'BEGIN { exit !(started < now + 1 && started > now - 600) }'
  [ "$(value process_resident_memory_bytes)" -gt 1000000 ]
}

test_it_is_read_in_pieces_as_one_text() { metrics pieces leases/.metrics; }
test_many_read_it_at_the_same_time() { metrics together leases/.metrics; }

test_who_has_it_open_reads_what_it_was_then() {
  local old new
  old=$(exec 3<leases/.metrics && mkdir leases/a && cat <&3)
  new=$(cat leases/.metrics)
  grep -qx 'leasefs_leases{state="reserved"} 0' <<<"$old"
  grep -qx 'leasefs_leases{state="reserved"} 1' <<<"$new"
}

test_ordinary_tools_read_it() {
  cp leases/.metrics "$work/copied"
  dd if=leases/.metrics of="$work/dd" bs=1 status=none
  head -c 1000000 leases/.metrics >"$work/head"
  sed '' leases/.metrics >"$work/sed"
  tar -C leases -cf - .metrics | tar -xOf - >"$work/tar"
  mkdir "$work/collector"
  ln -s "$mnt/leases/.metrics" "$work/collector/leasefs.prom"
  metrics check "$work"/{copied,dd,head,sed,tar} "$work/collector/leasefs.prom"
  # Another label for all series, as in the README.
  sed -E 's/^(\w+)(\{(.*)\})? /\1{mount="keys",\3} /' leases/.metrics >"$work/labelled"
  metrics series "$work/labelled" >"$work/series"
  grep -qxF 'leasefs_leases{mount="keys",state="granted"}' "$work/series"
  grep -qxF 'leasefs_keys{mount="keys"}' "$work/series"
  [ "$(grep -vcF 'mount="keys"' "$work/series")" = 0 ]
}

test_it_is_in_no_listing() {
  lease a 1000
  is a ls -A leases
  is 'leases/a' find leases -mindepth 1 -maxdepth 1
  is 'leases/a' bash -O dotglob -c 'echo leases/*'
  [ -f leases/.metrics ]
  fails 'No such file' "cat .metrics"
  fails 'No such file' "cat leases/a/.metrics"
  fails 'No such file' "cat leases/.metric"
}

test_nothing_can_be_done_to_it() {
  echo value >key
  fails 'Operation not permitted' "echo x >leases/.metrics"
  fails 'Operation not permitted' "echo x >>leases/.metrics"
  fails 'Operation not permitted' "echo x 1<>leases/.metrics >&1"
  fails 'Operation not permitted' "truncate -s 0 leases/.metrics"
  fails 'Operation not permitted' "chmod 644 leases/.metrics"
  fails 'Operation not permitted' "chown 1 leases/.metrics"
  fails 'Operation not permitted' "touch leases/.metrics"
  fails 'Operation not permitted' "rm -f leases/.metrics"
  fails 'Operation not permitted' "mv leases/.metrics leases/x"
  fails 'Operation not permitted' "mv leases/.metrics x"
  fails 'Operation not permitted' "mv key leases/.metrics"
  fails 'Operation not permitted' "ln leases/.metrics x"
  fails 'File exists' "ln key leases/.metrics"
  fails 'File exists' "ln -s key leases/.metrics"
  fails 'File exists' "mkdir leases/.metrics"
  fails 'cannot overwrite existing file' "set -C; echo x >leases/.metrics"
  lease a 1000
  fails 'Invalid argument' "echo leases/.metrics >leases/a/keys"
  metrics check leases/.metrics
}

test_own_others_read_it_and_no_more() {
  local other=(setpriv --reuid 61001 --regid 61001 --clear-groups)
  start -o allow_other
  is '444 0 0' stat -c '%a %u %g' leases/.metrics
  "${other[@]}" cat leases/.metrics >"$work/text"
  metrics check "$work/text"
  fails 'Permission denied' "${other[*]} sh -c 'echo x >leases/.metrics'"
  fails 'Operation not permitted' "${other[*]} chmod 644 leases/.metrics"
  fails 'Permission denied' "${other[*]} touch -c leases/.metrics"
  fails 'Operation not permitted' "${other[*]} rm -f leases/.metrics"
  chown 61001:61002 leases
  is '444 61001 61002' stat -c '%a %u %g' leases/.metrics
  stop
}

# The state file, and its log.
sizes() {
  shows "$(stat -c %s "$state")" 'journal_size_bytes{part="data"}' && shows "$(stat -c %s "$state-wal")" 'journal_size_bytes{part="log"}'
}

test_own_a_state_file_tells_of_itself() {
  local commits syncs
  on "$state"
  metrics check leases/.metrics
  commits=$(value journal_commit_seconds_count)
  echo value >key
  [ "$(value journal_commit_seconds_count)" -gt "$commits" ]
  syncs=$(value journal_sync_seconds_count)
  sync key
  [ "$(value journal_sync_seconds_count)" -gt "$syncs" ]
  is 0 value journal_commit_errors_total
  is 0 value journal_sync_errors_total
  wait_until sizes
  metrics check leases/.metrics
  stop
}

# What the tables and texts there name is there, and the other way round.
test_own_the_readme_names_every_series() {
  on "$state" -o max_leases=10
  metrics check leases/.metrics
  sed -n 's/^# TYPE \([^ ]*\) .*/\1/p' leases/.metrics | sort >"$work/there"
  sed -n '/^## Metrics/,/^## Errors/p' "$readme" | grep -o '^| `.*` |' | grep -o 'leasefs_[a-z_]*' | sort >"$work/named"
  diff "$work/there" "$work/named"
  stop
}

test_own_after_a_restart_gauges_are_what_is_there_and_totals_begin_anew() {
  local how
  on "$state"
  lease a 1000
  echo one >one
  echo two >leases/a/x
  mv leases/a/x two
  for how in restart restart_after_crash; do
    "$how"
    leases_are 0 1 0
    is 2 value keys
    is 1 value attached_keys
    is 0 value leases_granted_total
    is 0 value leases_refreshed_total
    is 0 value leases_expired_total
  done
  stop
}

run_tests
