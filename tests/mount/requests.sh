#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Counts the requests that the kernel sends. What is cached costs none, a put two, a refresh one besides
# look-ups: a change that adds one fails here. The calls are made between two marks in the daemon's log.
. "$(dirname "$0")/lib.sh"

# costs REQUESTS CALLS: which requests the Python calls cost, as "SETATTR+WRITE". They have been made twice before, to fill the caches.
costs() {
  local expected=$1 calls=$2 seen
  python3 - "$calls" <<'PYTHON'
import os, sys

def put(path, data=b'x' * 100, flags=os.O_TRUNC):
    fd = os.open(path, os.O_WRONLY | flags)
    os.write(fd, data)
    os.close(fd)

def get(path):
    fd = os.open(path, os.O_RDONLY)
    data = os.read(fd, 4096)
    os.close(fd)
    return data

def absent(path):
    try:
        os.stat(path)
    except FileNotFoundError:
        return
    raise SystemExit(path + ' is there')

def mark():
    os.fstatvfs(root)  # never cached, and needs no path

root = os.open('.', os.O_RDONLY)
calls = compile(sys.argv[1], 'calls', 'exec')
for _ in range(2):
    exec(calls)
mark()
exec(calls)
mark()
PYTHON
  marks=$((marks + 2))
  seen=$(grep -oE 'opcode: [A-Z]+' "$log" | awk -v marks="$marks" '
    $2 == "STATFS" { seen++; next }
    seen == marks - 1 && $2 !~ /FORGET|BATCH/ { list = list (list == "" ? "" : "+") $2 }
    END { print list }')
  [ "$seen" = "$expected" ] || {
    echo "expected '$expected', but '$calls' costs '$seen'"
    return 1
  }
}
marks=0

# Mounts with every request logged.
begin() {
  "$LEASEFS" "$mnt" -d "$@" 2>"$log" &
  daemon=$!
  wait_until mountpoint -q "$mnt"
  cd "$mnt"
}

test_own_what_is_cached_costs_nothing() {
  begin
  echo v >key
  costs '' "os.stat('key')"
  costs '' "get('key')"
  costs '' "os.listdir('.')"
  costs '' "absent('missing')"
  costs '' "os.listdir('leases')"
  stop
}

test_own_what_is_leased_is_cached_too() {
  begin
  lease a 1000
  mkdir d
  echo v >d/key
  echo d/key >leases/a/keys
  costs '' "os.stat('d/key')"
  costs '' "get('d/key')"
  costs '' "os.listdir('d')"
  costs '' "os.listdir('leases')"
  costs '' "os.stat('leases/a')"
  stop
}

# For as long as its TTL.
test_own_what_is_held_is_cached_too() {
  begin
  lease a 1000
  mkdir d
  echo v >d/key
  echo d/key >leases/a/keys
  echo $$ >leases/a/procs
  echo 20 >leases/a/ttl
  sleep 0.1
  costs '' "os.stat('d/key')"
  costs '' "get('d/key')"
  costs '' "os.listdir('d')"
  costs '' "os.listdir('leases')"
  costs '' "os.stat('leases/a')"
  costs SETATTR+WRITE "put('d/key')"
  costs GETATTR+GETATTR+READ "get('leases/a/procs')"
  stop
}

test_own_a_put_costs_two() {
  begin
  lease a 1000
  echo v >key
  echo v >leased
  echo leased >leases/a/keys
  costs SETATTR+WRITE "put('key')"
  costs SETATTR+WRITE "put('leased')"
  costs WRITE "put('leased', flags=0)"
  stop
}

# What extended attributes cost: the kernel asks for security.capability before each truncation and each write.
test_own_a_put_costs_two_more_with_extended_attributes() {
  begin -o xattr
  lease a 1000
  echo v >key
  cat key
  setfattr -n user.lease -v a key
  costs GETXATTR+SETATTR+GETXATTR+WRITE "put('key')"
  costs GETXATTR+WRITE "put('key', flags=0)"
  costs GETATTR+LOOKUP+CREATE+GETXATTR+WRITE "put(os.urandom(8).hex(), flags=os.O_CREAT)"
  costs '' "get('key')"
  costs GETXATTR "os.getxattr('key', 'user.lease')"
  costs SETATTR "os.utime('key')"
  stop
}

# GETATTR is for the directory: the kernel itself drops its attributes at each change of its names.
test_own_a_new_key_costs_create_and_write() {
  begin
  echo v >key
  cat key
  costs GETATTR+LOOKUP+CREATE+WRITE "put(os.urandom(8).hex(), flags=os.O_CREAT)"
  stop
}

test_own_a_refresh_costs_one_besides_lookups() {
  begin
  lease a 1000
  echo v >key
  echo key >leases/a/keys
  costs SETATTR "os.utime('key')"
  costs SETATTR "os.utime('leases/a')"
  costs SETATTR "os.utime('leases/a'); os.stat('leases/a')"
  costs GETATTR+SETATTR "os.utime('leases/a/ttl')"
  costs WRITE "ttl = globals().get('ttl') or os.open('leases/a/ttl', os.O_WRONLY)
os.write(ttl, b'\n')"
  stop
}

# A new file each time: what the kernel still knows is asked for in vain first.
test_own_the_metrics_cost_two_lookups_and_a_read() {
  begin
  costs LOOKUP+LOOKUP+READ "get('leases/.metrics')"
  costs LOOKUP+LOOKUP "os.stat('leases/.metrics')"
  stop
}

run_tests
