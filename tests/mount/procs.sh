#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Leases that are held by processes. Wherever a holder ends, the lease has a long TTL until it is held, and a short one then: however slow the
# machine, it is there in time.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/state-lib.sh"

user=61001

# Starts a process, which is $holder then.
begin() {
  employ env -C / sleep 1000 # where it keeps nobody from unmounting
  holder=$!
}

# Kills it, and waits for it.
finish() {
  kill -9 "$1"
  wait "$1" 2>/dev/null || true
}

# become USER COMMAND...
become() { setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"; }

# user_is_refused PID...: one write of the user's.
user_is_refused() {
  chmod 666 leases/a/procs
  fails 'Operation not permitted' "become $user bash -c \"env printf '%s\\\\n' $* >leases/a/procs\""
}

test_a_lease_lasts_as_long_as_its_holder() {
  lease a 100
  echo v >key
  echo key >leases/a/keys
  begin
  echo "$holder" >leases/a/procs
  is "$holder" cat leases/a/procs
  echo 0.4 >leases/a/ttl
  sleep 1
  is v cat key
  is 1 cat leases/a/ttl
  is 0.4 cat leases/a/granted
  finish "$holder"
  wait_until gone key
  wait_until gone leases/a
}

# The sleeps of the test are not what is measured: that is between the kill and the end, and one of several has to be good.
test_it_ends_on_time_when_its_holder_is_killed() {
  python3 - <<'PYTHON'
import os, signal, subprocess, time

TTL = 0.3
errors = []
for i in range(5):
    lease = f'leases/{i}'
    os.mkdir(lease)
    def write(name, text):
        with open(f'{lease}/{name}', 'w') as file:
            file.write(text)
    write('ttl', '100')
    write('key', 'value')
    holder = subprocess.Popen(['sleep', '1000'])
    write('procs', f'{holder.pid}')
    write('ttl', f'{TTL}')
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    holder.kill()
    after = time.clock_gettime(time.CLOCK_BOOTTIME)
    while True:
        asked = time.clock_gettime(time.CLOCK_BOOTTIME)
        if not os.path.exists(f'{lease}/key'):
            break
        time.sleep(0.0002)
    if time.clock_gettime(time.CLOCK_BOOTTIME) < before + TTL:
        raise SystemExit('ended too early')
    errors.append(asked - after - TTL)
    holder.wait()
print('ended late by', ' '.join(f'{error * 1000:.2f}' for error in sorted(errors)), 'ms')
if min(errors) > 0.25:
    raise SystemExit('ended too late each time')
PYTHON
}

test_all_holders_have_to_end() {
  local first second
  begin && first=$holder
  begin && second=$holder
  lease a 100
  printf '%s\n' "$first" "$second" >leases/a/procs
  is "$(printf '%s\n' "$first" "$second" | sort -n)" cat leases/a/procs
  echo 0.3 >leases/a/ttl
  finish "$first"
  sleep 0.6
  is "$second" cat leases/a/procs
  finish "$second"
  wait_until gone leases/a
}

test_a_refresh_in_between_works() {
  lease a 100
  begin
  echo "$holder" >leases/a/procs
  sleep 0.02
  lease b 100
  is $'b\na' ls -t leases
  touch leases/a/ttl
  is $'a\nb' ls -t leases
  finish "$holder"
  echo 50 >leases/a/ttl
  is 50 cat leases/a/granted
  touch leases/a
}

test_a_shell_holds_by_its_own_number() {
  lease a 100
  # shellcheck disable=SC2016
  is yes bash -c 'echo $$ >leases/a/procs; [ "$(cat leases/a/procs)" = $$ ] && echo yes'
  wait_until empty leases/a/procs
  echo $$ >leases/a/procs
  echo -$$ >>leases/a/procs
  is '' cat leases/a/procs
}

empty() { [ -z "$(cat "$1")" ]; }

test_zero_is_who_writes() {
  lease a 100
  echo 0 >leases/a/procs
  is "$BASHPID" cat leases/a/procs
  echo 0 >leases/a/procs
  is "$BASHPID" cat leases/a/procs
  echo -0 >leases/a/procs
  is '' cat leases/a/procs
  fails 'No such process' 'echo -0 >leases/a/procs'
}

test_to_let_go_lets_it_run() {
  lease a 100
  begin
  echo "$holder" >leases/a/procs
  echo 0.3 >leases/a/ttl
  sleep 0.5
  echo "-$holder" >leases/a/procs
  wait_until gone leases/a
  finish "$holder"
}

test_a_held_lease_is_revoked_like_any() {
  lease a 100
  echo v >leases/a/x
  begin
  echo "$holder" >leases/a/procs
  rmdir leases/a
  gone leases/a
  mkdir leases/a
  is '' cat leases/a/procs
  kill -0 "$holder"
  finish "$holder"
}

# bash's own printf makes one write of each line; the one of coreutils makes a single write of them all.
test_bad_lines_hold_nothing() {
  local bad nobody
  mkdir leases/r
  fails 'Invalid argument' 'echo 0 >leases/r/procs'
  begin
  lease a 100
  for bad in x 1.5 0x10 +1 - --1 '1 2' ''; do
    fails 'Invalid argument' "env printf '%s\n' $holder '$bad' >leases/a/procs"
  done
  nobody=$(sh -c 'echo $$')
  for bad in "$nobody" "-$nobody" 4194304 99999999999999999999 "-$$"; do
    fails 'No such process' "env printf '%s\n' $holder '$bad' >leases/a/procs"
  done
  fails 'Message too long' "yes $holder | head -n 20000 >list; dd if=list of=leases/a/procs bs=1M status=none"
  is '' cat leases/a/procs
  env printf " $holder\t\n-$holder\n$holder\n" >leases/a/procs
  is "$holder" cat leases/a/procs
  finish "$holder"
}

test_procs_is_a_pseudo_file() {
  lease a 100
  is 644 stat -c %a leases/a/procs
  fails 'Operation not permitted' 'rm leases/a/procs'
  fails 'Operation not permitted' 'mv leases/a/procs x'
  fails 'Operation not permitted' 'ln leases/a/procs x'
  fails 'File exists' 'mkdir leases/a/procs'
  fails 'Operation not permitted' 'chown 1:1 leases/a/procs'
  fails 'Invalid argument' 'echo leases/a/procs >leases/a/keys'
  begin
  echo "$holder" >leases/a/procs
  is $((${#holder} + 1)) stat -c %s leases/a/procs
  is "$holder" dd if=leases/a/procs bs=1 status=none
  finish "$holder"
}

# A process that nobody waits for has exited.
test_a_zombie_holds_nothing() {
  lease a 100
  sh -c 'sleep 1000 & echo $! >pid; exec sleep 1000' &
  local parent=$!
  wait_until test -s pid
  cat pid >leases/a/procs
  is "$(cat pid)" cat leases/a/procs
  kill -9 "$(cat pid)"
  wait_until grep -q '^State:.*zombie' "/proc/$(cat pid)/status"
  is '' cat leases/a/procs
  fails 'No such process' 'cat pid >leases/a/procs'
  finish "$parent"
}

test_a_process_holds_on_when_it_executes_another_program_and_its_children_do_not() {
  lease a 100
  # shellcheck disable=SC2016
  bash -c 'echo $$ >leases/a/procs; sleep 1000 & echo $! >child; exec sleep 1000' &
  holder=$!
  wait_until test -s child
  wait_until grep -q sleep "/proc/$holder/comm"
  is "$holder" cat leases/a/procs
  finish "$holder"
  is '' cat leases/a/procs
  kill "$(cat child)"
}

test_a_stopped_process_holds_on() {
  lease a 100
  begin
  echo "$holder" >leases/a/procs
  echo 0.3 >leases/a/ttl
  kill -STOP "$holder"
  sleep 0.6
  is "$holder" cat leases/a/procs
  finish "$holder"
  wait_until gone leases/a
}

# Any thread stands for its process, and while one of them lives, the process does.
test_threads_are_their_process() {
  lease a 100
  lease b 100
  python3 - <<'PYTHON' &
import ctypes, os, threading, time

def write(path, text):
    with open(path, 'w') as file:
        file.write(text)

def work():
    write('leases/a/procs', '0\n')
    write('leases/b/procs', f'{threading.get_native_id()}\n')
    write('ready', '')
    time.sleep(1000)

threading.Thread(target=work).start()
while not os.path.exists('ready'):
    time.sleep(0.01)
ctypes.CDLL(None).syscall(60 if os.uname().machine == 'x86_64' else 93, 0)  # exit(2), of this thread alone
PYTHON
  holder=$!
  wait_until test -e ready
  wait_until grep -q '^State:.*zombie' "/proc/$holder/status"
  is "$holder" cat leases/a/procs
  is "$holder" cat leases/b/procs
  finish "$holder"
  is '' cat leases/a/procs
}

# A process gets the number of one that held the lease.
test_own_whoever_gets_its_number_does_not_hold() {
  start -o allow_other
  lease a 100
  begin
  echo "$holder" >leases/a/procs
  kill -STOP "$daemon" # it sees the exit only after that
  finish "$holder"
  (cd / && exec python3 - "$holder") <<'PYTHON'
import os, sys, time
number = int(sys.argv[1])
while True:
    with open('/proc/sys/kernel/ns_last_pid', 'w') as file:
        file.write(str(number - 1))
    child = os.fork()
    if child == 0:
        if os.getpid() == number:
            time.sleep(1000)
        os._exit(0)
    if child == number:
        os._exit(0)
    os.waitpid(child, 0)
PYTHON
  kill -0 "$holder"
  kill -CONT "$daemon"
  is '' cat leases/a/procs
  fails 'No such process' 'echo "-$holder" >leases/a/procs'
  echo "$holder" >leases/a/procs
  is "$holder" cat leases/a/procs
  kill -9 "$holder"
  wait_until empty leases/a/procs
  stop
}

test_own_only_its_user_and_root_add_a_process() {
  start -o allow_other
  lease a 100
  chmod 666 leases/a/procs
  employ setpriv --reuid "$user" --regid "$user" --clear-groups sleep 1000
  local own=$!
  wait_until grep -q sleep "/proc/$own/comm"
  begin
  user_is_refused "$holder"
  user_is_refused "$own" "$holder"
  user_is_refused 1
  is '' cat leases/a/procs
  become "$user" bash -c "echo $own >leases/a/procs"
  is "$own" cat leases/a/procs
  echo "$holder" >leases/a/procs
  # Whoever may write lets go.
  become "$user" bash -c "echo -$holder >leases/a/procs"
  is "$own" cat leases/a/procs
  chmod 644 leases/a/procs
  fails 'Permission denied' "become $user bash -c 'echo 0 >leases/a/procs'"
  finish "$own"
  finish "$holder"
  stop
}

# One of them is still another user, and could become that again.
test_own_a_process_of_two_users_is_for_root() {
  local ids
  start -o allow_other
  lease a 100
  for ids in "$user,$user,0" "$user,0,0" "$user,0,$user" "0,$user,$user"; do
    employ python3 -c "import os, time; os.setresuid($ids); time.sleep(1000)"
    holder=$!
    wait_until grep -q "^Uid:.${ids//,/.}" "/proc/$holder/status"
    user_is_refused "$holder"
    echo "$holder" >leases/a/procs
    finish "$holder"
  done
  stop
}

test_own_other_namespaces_know_themselves_only() {
  start
  lease a 100
  # shellcheck disable=SC2016
  unshare --pid --fork --mount-proc bash -c '
    echo 0 >leases/a/procs || exit
    for pid in 1 $$ -1; do
      echo $pid >leases/a/procs && exit 1
    done
    grep -q "^[0-9]*$" leases/a/procs || exit
    cp leases/a/procs '"$work"'/seen
    echo -0 >leases/a/procs || exit
    [ -z "$(cat leases/a/procs)" ] || exit
    echo 0 >leases/a/procs' 2>"$work/errors"
  is 3 grep -c 'No such process' "$work/errors"
  [ -s "$work/seen" ]
  wait_until empty leases/a/procs
  stop
}

# It sees others by the numbers of the namespace above, and knows nobody by its own.
test_own_without_a_proc_of_its_own_it_holds_for_nobody() {
  unshare --pid --fork "$LEASEFS" "$mnt" -f 2>>"$log" &
  daemon=$!
  wait_until mountpoint -q "$mnt"
  cd "$mnt"
  lease a 100
  fails 'not supported' 'echo 0 >leases/a/procs'
  is '' cat leases/a/procs
  stop
}

# It lives in a namespace where those above have no number.
test_own_whom_it_does_not_see_does_not_hold() {
  local server
  unshare --pid --fork --mount-proc "$LEASEFS" "$mnt" -f 2>>"$log" &
  daemon=$!
  wait_until pgrep -P "$daemon" >"$work/server"
  server=$(cat "$work/server")
  wait_until cd "/proc/$server/root$mnt/leases"
  cd ..
  lease a 100
  fails 'No such process' 'echo 0 >leases/a/procs'
  fails 'No such process' 'echo 1 >leases/a/procs'
  cd /
  kill "$server"
  wait "$daemon"
  daemon=
}

test_own_after_a_restart_the_lease_runs_for_its_ttl() {
  local how
  on "$state"
  begin
  lease a 100
  chmod 664 leases/a/procs
  for how in restart restart_after_crash; do
    echo "$holder" >leases/a/procs
    $how
    is '' cat leases/a/procs
    is 100 cat leases/a/granted
    [ "$(cat leases/a/ttl)" -ge 90 ]
    is 664 stat -c %a leases/a/procs
  done
  echo "$holder" >leases/a/procs
  echo 0.4 >leases/a/ttl
  restart
  wait_until gone leases/a
  finish "$holder"
  stop
}

test_own_a_thousand_leases_take_one_descriptor() {
  local i before
  start
  begin
  before=$(find "/proc/$daemon/fd" -mindepth 1 | wc -l)
  for ((i = 0; i < 1000; i++)); do
    mkdir "leases/$i"
    echo 100 >"leases/$i/ttl"
    echo "$holder" >"leases/$i/procs"
    echo 0.3 >"leases/$i/ttl"
  done
  [ "$(find "/proc/$daemon/fd" -mindepth 1 | wc -l)" -le $((before + 3)) ] # workers may have one open
  is 1000 sh -c 'ls leases | wc -l'
  finish "$holder"
  wait_until sh -c '[ -z "$(ls leases)" ]'
  closed() { [ "$(find "/proc/$daemon/fd" -mindepth 1 | wc -l)" -le "$before" ]; }
  wait_until closed
  stop
}

test_own_a_thousand_processes_hold_one_lease() {
  local i
  local -a holders=()
  start
  lease a 100
  for ((i = 0; i < 1000; i++)); do
    begin
    holders+=("$holder")
  done
  printf '%s\n' "${holders[@]}" >list
  dd if=list of=leases/a/procs bs=1M status=none
  sort -n list >sorted
  cmp sorted leases/a/procs
  echo 0.3 >leases/a/ttl
  kill -9 "${holders[@]:1}"
  wait "${holders[@]:1}" 2>/dev/null || true
  is "${holders[0]}" cat leases/a/procs
  sleep 0.5
  is 0.3 cat leases/a/granted
  finish "${holders[0]}"
  wait_until gone leases/a
  closed() { [ "$(find "/proc/$daemon/fd" -mindepth 1 | wc -l)" -lt 100 ]; }
  wait_until closed
  stop
}

test_own_there_are_descriptors_left_for_other_things() {
  local i
  local -a holders=()
  (ulimit -n 64 && exec "$LEASEFS" "$mnt" -f 2>>"$log") &
  daemon=$!
  wait_until mountpoint -q "$mnt"
  cd "$mnt"
  lease a 100
  for ((i = 0; i < 33; i++)); do
    begin
    holders+=("$holder")
    ((i == 32)) || echo "$holder" >leases/a/procs
  done
  fails 'No space left' "echo $holder >leases/a/procs"
  is 32 sh -c 'wc -l <leases/a/procs'
  finish "${holders[0]}"
  is 31 sh -c 'wc -l <leases/a/procs'
  echo "$holder" >leases/a/procs
  lease b 100
  echo v >leases/b/x
  rmdir leases/b
  kill -9 "${holders[@]:1}"
  wait "${holders[@]:1}" 2>/dev/null || true
  wait_until empty leases/a/procs
  stop
}

run_tests
