#!/bin/bash
# Everything that etcd's lease API does, one for one, in a mounted leasefs. Takes about ten seconds.
#
#     $ examples/walkthrough.sh /mnt/keys
#     $ cd /mnt/keys
#
#     # etcdctl lease grant 2
#     $ mkdir leases/525b80fbbf3b906e
#     $ echo 2 > leases/525b80fbbf3b906e/ttl
#     ...
#
# Each command is shown as typed, below the etcdctl command that it stands for and above what it prints.
# The script looks at what it shows: if anything is not as it should be, it says so and ends with status 1.
set -eu
export LC_ALL=C

# In place of etcdctl's line.
etcdctl() {
    printf '\n# etcdctl %s\n' "$*"
}

# Types a command and shows what it prints, which must match the regular expression EXPECTED.
type_in() { # COMMAND [EXPECTED]
    local output
    printf '$ %s\n' "$1"
    output=$(eval "$1" 2>&1) || true
    [[ -z $output ]] || printf '%s\n' "$output"
    [[ $output =~ ^(${2:-})$ ]] || fail "expected: ${2:-no output}"
}

fail() {
    printf '%s: %s\n' "$0" "$1" >&2
    exit 1
}

leases=(leases/525b80fbbf3b906e leases/525b80fbbf3b9072 leases/525b80fbbf3b9075 leases/525b80fbbf3b9078)

mountpoint=${1:-/mnt/keys}
echo "\$ cd $mountpoint"
cd "$mountpoint"
for name in key{1,2,3,5,6} "${leases[@]}"; do
    [[ ! -e $name ]] || fail "$mountpoint/$name exists already"
done
trap 'rmdir "${leases[@]}" 2>/dev/null || true' EXIT

# A key lives as long as its lease.
lease=${leases[0]}
etcdctl lease grant 2
type_in "mkdir $lease"
type_in "echo 2 > $lease/ttl"
etcdctl put --lease="${lease#*/}" key1 hello
type_in "echo hello > key1"
type_in "echo key1 > $lease/keys"
etcdctl get key1
type_in "cat key1" "hello"
type_in "sleep 2"
etcdctl get key1
type_in "cat key1" "cat: key1: No such file or directory"

# Revoking a lease removes its keys.
lease=${leases[1]}
etcdctl lease grant 100
type_in "mkdir $lease"
type_in "echo 100 > $lease/ttl"
etcdctl put --lease="${lease#*/}" key2 hello "(in one step)"
type_in "echo hello > $lease/new && mv $lease/new key2"
etcdctl get key2
type_in "cat key2" "hello"
etcdctl lease revoke "${lease#*/}"
type_in "rmdir $lease"
etcdctl get key2
type_in "cat key2" "cat: key2: No such file or directory"

# Keep-alive gives a lease its whole TTL again.
lease=${leases[2]}
etcdctl lease grant 3
type_in "mkdir $lease"
type_in "echo 3 > $lease/ttl"
etcdctl put --lease="${lease#*/}" key3 hello
type_in "echo hello > key3"
type_in "echo key3 > $lease/keys"
etcdctl lease keep-alive --once "${lease#*/}"
type_in "sleep 2"
type_in "touch -c $lease/ttl"
etcdctl lease keep-alive --once "${lease#*/}"
type_in "sleep 2"
type_in "touch -c $lease/ttl"
etcdctl get key3
type_in "cat key3" "hello"
type_in "sleep 3"
etcdctl get key3
type_in "cat key3" "cat: key3: No such file or directory"

# What is known about a lease: the TTL granted, the time left, the keys.
lease=${leases[3]}
etcdctl lease grant 300
type_in "mkdir $lease"
type_in "echo 300 > $lease/ttl"
etcdctl put --lease="${lease#*/}" key5 hello
etcdctl put --lease="${lease#*/}" key6 hello
type_in "echo hello > key5; echo hello > key6"
type_in "printf '%s\n' key5 key6 > $lease/keys"
type_in "sleep 1"
etcdctl lease timetolive --keys "${lease#*/}"
type_in "cat $lease/granted" "300"
type_in "cat $lease/ttl" "29[0-9]"
type_in "cat $lease/keys" $'key5\nkey6'

# All leases there are.
etcdctl lease list
type_in "ls leases" "(.*[[:space:]])?${lease#*/}([[:space:]].*)?"
etcdctl lease revoke "${lease#*/}"
type_in "rmdir $lease"
type_in "cat key5 key6" $'cat: key5: No such file or directory\ncat: key6: No such file or directory'
