#!/bin/bash
# Mutual exclusion: runs a command while holding a lock, after waiting for whoever holds it. A holder who dies, were it by
# kill -9, or with its machine's power, does not leave the lock behind: it frees itself within its TTL.
#
#     $ cd /mnt/keys
#     $ lock.sh backup -- sleep 2 &
#     $ sleep 1; cat backup                            # who holds it
#     myhost 4711
#     $ lock.sh backup -- echo "now it is my turn"     # waits for a second
#     now it is my turn
#     $ cat backup
#     cat: backup: No such file or directory
#
# How it works: a file made in a lease's directory is attached to the lease, and ln(1) gives it the lock's name in one step, or fails
# if the name is taken. While the lease is kept alive, so is the name. Revoking the lease frees it.
#
# Usage: lock.sh LOCK -- COMMAND...      LOCK: a path in a mounted leasefs
# Environment: LOCK_TTL, in seconds, 2 unless set
#
# Status: COMMAND's own. 75 if the lease was lost while waiting or running: then COMMAND has been terminated, at the latest
# a third of the TTL and a second after that. 128 + N after signal N, which terminates COMMAND before the lock is freed. 64 for
# a wrong command line, 1 if the lock cannot be taken at all.
set -eu

keepalive=$(dirname -- "$0")/keepalive.sh
ttl=${LOCK_TTL:-2}

if [[ $# -lt 3 || $2 != -- ]]; then
    echo "Usage: lock.sh LOCK -- COMMAND..." >&2
    exit 64
fi
lock=$1
shift 2

# Becomes COMMAND, which gets SIGTERM when this script dies, and does not even start if it is dead already.
tied() { # COMMAND...
    exec setpriv --pdeathsig TERM bash -c "[[ \$PPID == $$ ]] && exec \"\$@\"" bash "$@"
}

# Waits until something happens to the lock's file, or for a third of the TTL. (A file that is gone ends it at once.)
await_change() {
    if command -v inotifywait >/dev/null; then
        timeout "$third" inotifywait -qq -e attrib,delete_self,move_self -- "$lock" 2>/dev/null || true
    else
        sleep 0.1
    fi
}

release() {
    [[ -z $holder ]] || { kill "$holder" && wait "$holder"; } || true
    rmdir -- "$lease" || true
} 2>/dev/null

root=$(stat -c %m -- "$(dirname -- "$lock")")
third=$(awk -v ttl="$ttl" 'BEGIN { print ttl / 3 }')

lease=$(mktemp -d -- "$root/leases/XXXXXXXXXXXX")
holder=
trap release EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
printf '%s\n' "$ttl" >"$lease/ttl"
echo "$HOSTNAME $$" >"$lease/holder"

until error=$(LC_ALL=C ln -T -- "$lease/holder" "$lock" 2>&1); do
    if [[ $error != *"File exists" ]]; then
        echo "lock.sh: $error" >&2
        exit 1
    fi
    await_change
    echo >"$lease/ttl" || exit 75
done

tied "$keepalive" "$lease" -- "$@" <&0 &
holder=$!
wait "$holder"
