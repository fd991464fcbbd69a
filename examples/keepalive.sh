#!/bin/bash
# Keeps a lease alive: refreshes it every third of its TTL, for good, or while a command runs.
#
#     $ cd /mnt/keys
#     $ mkdir leases/job
#     $ echo 1 > leases/job/ttl
#     $ keepalive.sh leases/job -- sleep 3
#     $ echo $?; ls leases                     # the lease outlived its TTL; now nobody refreshes it
#     0
#     job
#     $ (sleep 1; rmdir leases/job) &          # somebody revokes it
#     $ keepalive.sh leases/job -- sleep 100
#     keepalive.sh: leases/job is gone
#     $ echo $?                                # about a second later
#     75
#
# Usage: keepalive.sh LEASE_DIR [-- COMMAND...]
#
# Status: COMMAND's own. 75 if the lease is gone (or was never there, or never granted): then COMMAND has been terminated, or not
# been started. 128 + N after signal N, which terminates COMMAND as well. 64 for a wrong command line.
#
# COMMAND runs in the background in a process group of its own, and all of that is terminated: with SIGTERM, and with SIGKILL a
# second later, or as soon as COMMAND itself has ended. This happens also if this script is killed with SIGKILL, except that processes
# that ignore SIGTERM can outlive COMMAND then.
set -eu

usage() {
    echo "Usage: keepalive.sh LEASE_DIR [-- COMMAND...]" >&2
    exit 64
}

[[ $# -ge 1 && ${2:---} == -- ]] || usage
lease=$1
shift
[[ $# -eq 0 ]] || shift
[[ $# -gt 0 ]] || set -- sleep infinity

# Without -c, so that it fails when the lease is gone; it cannot create anything then, since the directory is gone too.
refresh() {
    touch "$lease/ttl"
}

# Runs beside COMMAND. Its standard input is a pipe from this script, into which nobody writes and which closes when the script ends,
# however it ends: so read serves for waiting, and the lease is never kept alive for a holder who is dead.
keep_alive() {
    local third status
    while third=$(awk '{ printf "%.6f", $1 / 3 }' "$lease/granted") && refresh; do
        status=0
        read -r -t "$third" || status=$?
        [[ $status -gt 128 ]] || return 0 # not a timeout: the pipe is closed
    done
    kill -USR1 $$
} 2>/dev/null

# Becomes COMMAND, which gets SIGTERM when this script dies, and does not even start if it is dead already.
tied() { # COMMAND...
    exec setpriv --pdeathsig TERM bash -c "[[ \$PPID == $$ ]] && exec \"\$@\"" bash "$@"
}

# timeout(1) makes the process group, and ends with COMMAND, whoever else is left.
stop() {
    kill "$command" || return 1
    wait "$command" || true
    kill -KILL -- -"$command"
} 2>/dev/null

refresh || exit 75
trap 'echo "keepalive.sh: $lease is gone" >&2; exit 75' USR1
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

exec {pipe}> >(keep_alive)
{ exec {pipe}>&-; tied timeout --kill-after=1 0 "$@"; } <&0 &
command=$!
trap 'stop || true' EXIT
wait "$command"
