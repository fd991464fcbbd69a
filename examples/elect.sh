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
# Usage: elect.sh NAME -- COMMAND...      NAME: a path in a mounted leasefs, without newlines
# Environment: ELECT_TTL, in seconds, 2 unless set
#
# Status: COMMAND's own. 75 if the lease was revoked, or NAME removed or replaced, or the leasefs unmounted or restarted: COMMAND
# has been killed then. 128 + N after signal N, which terminates COMMAND before the next one leads. 64 for a wrong command line, 1
# if there can be no candidature at all.
#
# Never two at once: COMMAND runs in a process group of its own, and nothing in that outlives our leading.
#
#   - After a signal to this script, or COMMAND's own end, all that is left of the group gets SIGTERM, and SIGKILL after half of
#     the TTL. Only then the next one leads.
#   - The same if this script is killed with SIGKILL, or leasefs started anew with a state file, which knows of no holders any
#     more. The lease lasts for its TTL from then on; within a quarter of that it is seen.
#   - When the lease or NAME is gone already, SIGKILL at once. The next one may lead milliseconds before that: who wants none
#     of them sends a signal to the leader instead of revoking its lease.
#
# What leaves the process group (setsid, a daemon) is not reached by any of that.
set -eu

ttl=${ELECT_TTL:-2}

if [[ $# -lt 3 || $2 != -- ]]; then
    echo "Usage: elect.sh NAME -- COMMAND..." >&2
    exit 64
fi
name=$1
shift 2
if [[ $name == *$'\n'* ]]; then
    echo "elect.sh: a newline in NAME" >&2
    exit 64
fi
dir=$(dirname -- "$name")

# Becomes COMMAND, which gets SIGTERM when this script dies, and does not even start if it is dead already.
tied() { # COMMAND...
    exec setpriv --pdeathsig TERM bash -c "[[ \$PPID == $$ ]] && exec \"\$@\"" bash "$@"
}

# Reads what inotifywait says, up to something about NAME, or about all of DIR. Fails when there is no more to come.
await_change() {
    local file
    while IFS= read -r -u "$events" file; do
        [[ -n $file && $file != "${name##*/}" ]] || return 0
    done
    return 1
}

leads() {
    [[ $name -ef $lease/leader ]]
}

# Whether there is something left of COMMAND or its process group. Zombies do nothing any more.
remains() {
    kill -0 -- "$command" || kill -0 -- -"$command" || return 1
    cat /proc/[0-9]*/stat | awk -v id="$command" '
        { pid = $1; sub(/.*\) /, "") }
        (pid == id || $3 == id) && $1 !~ /[ZX]/ { found = 1 }
        END { exit !found }'
}

# Ends all of it, politely only as long as we lead. /proc/uptime, in hundredths, is a clock that nobody sets.
terminate() {
    local now end
    read -r now _ </proc/uptime
    end=$((${now/./} + half))
    kill -- "$command" || kill -- -"$command" || true
    while remains; do
        read -r now _ </proc/uptime
        if [[ ${now/./} -ge $end ]] || ! leads; then
            kill -KILL -- "$command" -"$command" || true
        fi
        sleep 0.02
    done
}

# Runs beside COMMAND, and outlives this script if need be. An event may be older than our leading: it only says that there is
# something to look at. From when it ignores SIGTERM, we do not lead any more.
guard() {
    read -r command || return 0
    while leads && read -r _ <"$lease/procs"; do
        read -r -t "$quarter" -u "$events" _ || [[ $? -gt 128 ]] || break
    done
    trap '' TERM
    terminate
} 2>/dev/null

# Becomes COMMAND, of which the guard has heard then. It is timeout(1) that makes the process group.
start() { # COMMAND...
    echo "$BASHPID" >&"$guarded"
    exec {events}<&- {guarded}>&-
    tied timeout --kill-after="$kill_after" 0 "$@"
}

resign() {
    trap '' HUP INT TERM
    [[ -z $guard ]] || { kill "$guard"; wait "$guard"; } || true
    [[ -z $command ]] || terminate
    [[ -z $lease ]] || rmdir -- "$lease" || true
    kill "$watcher" || true
} 2>/dev/null

root=$(stat -c %m -- "$dir")
read -r kill_after half quarter < <(awk -v ttl="$ttl" 'BEGIN { printf "%f %d %f\n", ttl / 2, ttl * 50, ttl / 4 }')

exec {events}< <(LC_ALL=C tied inotifywait -m -e delete,moved_from,moved_to,unmount --format %f -- "$dir" 2>&1)
watcher=$! lease='' command='' guard=''
trap resign EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
until [[ ${line-} == Watches* ]]; do
    IFS= read -r -u "$events" line || exit 1
done

lease=$(mktemp -d -- "$root/leases/XXXXXXXXXXXX")
# Held before it has the TTL, which may be short.
echo 60 >"$lease/ttl"
echo 0 >"$lease/procs"
printf '%s\n' "$ttl" >"$lease/ttl"
echo "$HOSTNAME $$" >"$lease/leader"

until error=$(LC_ALL=C ln -T -- "$lease/leader" "$name" 2>&1); do
    if [[ $error != *"File exists" ]]; then
        echo "elect.sh: $error" >&2
        [[ -e $lease ]] || exit 75
        exit 1
    fi
    await_change || { echo "elect.sh: inotifywait has ended" >&2; exit 1; }
done

coproc guard
guard=$COPROC_PID
exec {guarded}>&"${COPROC[1]}"-
{ start "$@"; } <&0 &
command=$! status=0 lost=0
{
    wait -n "$command" "$guard" || status=$?
    kill "$guard" || true
    wait "$guard" || lost=$?
} 2>/dev/null
if [[ $lost -ne 143 ]]; then
    echo "elect.sh: $name is lost" >&2
    exit 75
fi
exit "$status"
