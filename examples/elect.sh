#!/bin/bash
# Leader election: of all who run this with the same NAME one leads, that is, runs its command, and the others sleep. When the
# leader's command ends, the next one leads at once; when the leader dies, were it by kill -9, within its TTL.
#
#     $ cd /mnt/keys
#     $ elect.sh leader -- sleep 2 &
#     $ sleep 1; cat leader                          # who leads
#     myhost 4711
#     $ elect.sh leader -- echo "now I lead"         # sleeps for a second
#     now I lead
#     $ cat leader
#     cat: leader: No such file or directory
#
# How it works: each candidate has a lease, which lasts as long as this script does (leases/ID/procs), so nothing must be kept
# alive. ln(1) gives a file that is attached to the lease the NAME, or fails if that is taken. Then inotifywait sleeps until the
# NAME is gone. It has begun to watch before the first attempt, so nothing is missed in between.
#
# Usage: elect.sh NAME -- COMMAND...      NAME: a path in a mounted leasefs
# Environment: ELECT_TTL, in seconds, 2 unless set
#
# Status: COMMAND's own. 75 if the lease was revoked, or NAME removed, and COMMAND terminated for that. 128 + N after signal N,
# which terminates COMMAND before the next one leads. 64 for a wrong command line, 1 if there can be no candidature at all.
#
# Never two at once: if this script is killed with SIGKILL, its COMMAND gets SIGTERM at once, and SIGKILL after half of the TTL;
# the next one leads when all of the TTL is over. (A COMMAND that leaves its process group is not reached by that.)
set -eu

ttl=${ELECT_TTL:-2}

if [[ $# -lt 3 || $2 != -- ]]; then
    echo "Usage: elect.sh NAME -- COMMAND..." >&2
    exit 64
fi
name=$1
shift 2
dir=$(dirname -- "$name")

# Reads what inotifywait says, up to something about NAME. Fails when there is no more to come.
await_change() {
    local file
    while IFS= read -r -u "$events" file; do
        [[ $file != "${name##*/}" ]] || return 0
    done
    return 1
}

leads() {
    [[ $name -ef $lease/leader ]]
}

# Runs beside COMMAND. An event may be older than our leading: it only says that there is something to look at.
guard() {
    while leads; do
        await_change || return 0
    done
    kill -USR1 $$
} 2>/dev/null

resign() {
    trap '' USR1
    [[ -z $guard ]] || kill "$guard" || true
    [[ -z $command ]] || { kill "$command" && wait "$command"; } || true
    [[ -z $lease ]] || rmdir -- "$lease" || true
    kill "$watcher" || true
} 2>/dev/null

root=$(stat -c %m -- "$dir")
half=$(awk -v ttl="$ttl" 'BEGIN { print ttl / 2 }')

exec {events}< <(LC_ALL=C exec setpriv --pdeathsig TERM \
    inotifywait -m -e delete,moved_from,moved_to --format %f -- "$dir" 2>&1)
watcher=$! lease='' command='' guard=''
trap resign EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'echo "elect.sh: $name is lost" >&2; exit 75' USR1
until [[ ${line-} == Watches* ]]; do
    IFS= read -r -u "$events" line || exit 1
done

lease=$(mktemp -d -- "$root/leases/XXXXXXXXXXXX")
# Held before it has the TTL, which may be short.
echo 60 >"$lease/ttl"
echo 0 >"$lease/procs"
echo "$ttl" >"$lease/ttl"
echo "$HOSTNAME $$" >"$lease/leader"

until error=$(LC_ALL=C ln -T -- "$lease/leader" "$name" 2>&1); do
    if [[ $error != *"File exists" ]]; then
        echo "elect.sh: $error" >&2
        [[ -e $lease ]] || exit 75
        exit 1
    fi
    await_change || exit 1
done

setpriv --pdeathsig TERM timeout --kill-after="$half" 0 "$@" <&0 {events}<&- &
command=$!
guard &
guard=$!
wait "$command"
