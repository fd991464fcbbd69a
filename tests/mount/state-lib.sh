# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2154 # lib.sh has `work`, `mnt` and `log`
#
# What the tests of state files share. Sourced after lib.sh. Each test has a new directory, $disk, for its state file, $state.

tool=$(dirname "$(realpath "$0")")/state.py
disk=$work/disk
state=$disk/state.db

eval "$(declare -f run_one | sed '1s/run_one/run_one_there/')"
# Not as a condition either: see lib.sh.
run_one() {
  local status
  mkdir "$disk"
  run_one_there "$1"
  status=$?
  while mountpoint -q "$disk"; do umount -l "$disk"; done
  rm -rf "$disk" "$work/spoil"
  return "$status"
}

# on FILE OPTION...: mounts the state file, and goes there.
on() {
  "$LEASEFS" "$1" "$mnt" -f "${@:2}" 2>>"$log" &
  daemon=$!
  wait_until mountpoint -q "$mnt" || { cat "$log"; return 1; }
  cd "$mnt" || return
}

ended() { [ ! -e "/proc/$1" ] || grep -q '^State:.*zombie' "/proc/$1/status"; }
threads_ended() { ended "$1" && [ "$(find "/proc/$1/task" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l)" -le 1 ]; }

# Kills the daemon, and unmounts what is left.
crash() {
  cd /
  kill -9 "$daemon"
  wait_until threads_ended "$daemon" || { umount -f "$mnt"; return 1; }
  wait "$daemon" || true
  daemon=
  umount -l "$mnt"
}

restart() {
  stop
  on "$state"
}

restart_after_crash() {
  crash
  on "$state"
}

# Runs the command in the background, until the test ends, however that is, or dismiss is called.
employ() {
  "$@" &
  helpers+=($!)
  trap dismiss EXIT
}

dismiss() {
  [ ${#helpers[@]} -gt 0 ] || return 0 # else `wait` would be for the daemon too
  kill "${helpers[@]}" 2>/dev/null || true
  wait "${helpers[@]}" || true
  helpers=()
}

helpers=()

tool() { python3 "$tool" "$@"; }
now_us() { echo "${EPOCHREALTIME/./}"; }

make_things() {
  echo hello >key
  head -c 100000 /dev/urandom >large
  mkdir -p empty dir/sub
  : >dir/empty
  echo x >dir/sub/file
  ln key dir/hard
  ln -s ../key dir/soft
  ln -s "$(head -c 3000 /dev/zero | tr '\0' x)" soft
  mkfifo fifo
  python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
  truncate -s 10M sparse
  echo data | dd of=sparse bs=1 seek=5000000 conv=notrunc status=none
  head -c 65536 /dev/urandom >holes
  fallocate -p -o 8192 -l 12288 holes
  echo one >'two
lines'
  echo two >$'\xff\\ -n'
  chown 61001:61002 dir/sub/file
  chmod 4751 dir/sub/file
  chmod 3770 dir
  touch -h -d '2001-02-03 04:05:06.123456789' key soft dir/sub fifo
  touch -d '1931-02-03 04:05:06.000000001' large
  lease a 1000.5
  echo leased >leased
  mkdir attached
  printf '%s\n' leased attached 'two\012lines' dir/soft >leases/a/keys
  echo inside >leases/a/inside
  echo moved >leases/a/x
  mv leases/a/x moved
  echo child >attached/child
  lease b 3600
  chmod 600 leases/b/keys
  chmod 664 leases/b/ttl
  chown 61001:61002 leases/b
  chmod 700 leases/b
}

# Twice: as it was left, and with what the first start made of it.
nothing_has_come_back() {
  local how=$1
  for _ in 1 2; do
    "$how"
    on "$state"
    is leases ls
    is '' ls leases
    sleep 0.05
    is leases ls
  done
}
