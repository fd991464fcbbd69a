#!/bin/bash
# A session: keys that are there while a command runs, and go when its process is no more, however that came about. Nothing has
# to be kept alive, and nothing can be forgotten.
#
#     $ session.sh -t 1 -k /mnt/keys/services/web=10.0.0.7:80 -- sleep 3 &
#     $ sleep 2; cat /mnt/keys/services/web          # longer than the TTL
#     10.0.0.7:80
#     $ kill -9 %1; sleep 1
#     $ cat /mnt/keys/services/web
#     cat: /mnt/keys/services/web: No such file or directory
#
# Usage: session.sh [-t TTL] [-k KEY=VALUE]... -- COMMAND...
#
#   -t  so many seconds after COMMAND's end the keys go; 2 unless given
#   -k  a key, by its path in a mounted leasefs, the same for all; directories on the way are made. If it is there already, it is
#       replaced
#
# Without -k, the leasefs is that of the current directory. COMMAND takes this script's place, so its process is the one that
# holds the lease; it finds the path of that in the environment, as LEASE: `rmdir $LEASE` ends the session before its time,
# `mv FILE $LEASE/` adds to it. Processes that COMMAND leaves behind hold nothing.
#
# Status: COMMAND's own. 126 or 127 if it cannot be run, 64 for a wrong command line, 1 if there can be no session.
set -eu

usage() {
    echo "Usage: session.sh [-t TTL] [-k KEY=VALUE]... -- COMMAND..." >&2
    exit 64
}

ttl=2 keys=()
while getopts :t:k: option; do
    case $option$OPTARG in
    t*) ttl=$OPTARG ;;
    k?*=*) keys+=("$OPTARG") ;;
    *) usage ;;
    esac
done
[[ $# -ge $OPTIND && ${*:OPTIND-1:1} == -- ]] || usage
shift $((OPTIND - 1))

# The mount that KEY is in, or would be.
mount_of() { # KEY
    local dir=$1
    until dir=$(dirname -- "$dir") && [[ -e $dir ]]; do :; done
    stat -c %m -- "$dir"
}

first=${keys[0]:-./=}
root=$(mount_of "${first%%=*}")
# mv(1) would copy what it cannot rename, and nothing would ever remove the copy.
for pair in "${keys[@]}"; do
    if [[ $(mount_of "${pair%%=*}") != "$root" ]]; then
        echo "session.sh: not all keys are in the same mount: ${first%%=*}, ${pair%%=*}" >&2
        exit 1
    fi
done
LEASE=$(mktemp -d -- "$root/leases/XXXXXXXXXXXX")
trap 'rmdir -- "$LEASE"' EXIT
# Held before it has the TTL, which may be short.
echo 60 >"$LEASE/ttl"
echo 0 >"$LEASE/procs"
printf '%s\n' "$ttl" >"$LEASE/ttl"

# What is made in the lease's directory is attached; moved out it stays attached, and appears complete.
for pair in "${keys[@]}"; do
    mkdir -p -- "$(dirname -- "${pair%%=*}")"
    printf '%s\n' "${pair#*=}" >"$LEASE/value"
    mv -fT -- "$LEASE/value" "${pair%%=*}"
done

export LEASE
# With -e, nothing would be done any more where that fails.
set +e
shopt -s execfail
exec "$@"
exit
