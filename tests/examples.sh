#!/bin/bash
# Runs the examples against a leasefs that it mounts for each test. TAP on stdout.
#
#     $ LEASEFS=build/fs/leasefs tests/examples.sh
set -u
export LC_ALL=C

top=$(cd "$(dirname "$0")/.." && pwd)
leasefs=$(realpath "${LEASEFS:-$top/build/fs/leasefs}")
PATH=$top/examples:$PATH

work=$(mktemp -d)
mkdir "$work/keys"
unmount() {
    fusermount3 -q -u -z "$work/keys"
}
trap 'unmount; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# Waits until COMMAND succeeds; gives up after SECONDS.
eventually() { # SECONDS COMMAND...
    local end=$((${EPOCHREALTIME/./} + $1 * 1000000))
    shift
    until "$@"; do
        [[ ${EPOCHREALTIME/./} -lt $end ]] || {
            echo "still not after a long time: $*"
            return 1
        }
        sleep 0.02
    done
}

is_there() {
    [[ -e $1 ]]
}

is_gone() {
    [[ ! -e $1 ]]
}

# Whether process PID has ended (it may be a zombie still).
is_over() { # PID
    ! grep -q '^State:[[:space:]]*[^ZX]' "/proc/$1/status" 2>/dev/null
}

leases_number() {
    local leases
    leases=$(ls leases)
    [[ $(wc -w <<<"$leases") -eq $1 ]]
}

no_lease() {
    leases_number 0
}

# The status of COMMAND must be STATUS.
ends_with() { # STATUS COMMAND...
    local expected=$1 status=0
    shift
    "$@" || status=$?
    [[ $status -eq $expected ]] || {
        echo "status $status, not $expected: $*"
        return 1
    }
}

grant() { # ID SECONDS
    mkdir "leases/$1"
    echo "$2" >"leases/$1/ttl"
}

# A command for the examples to run: it leaves its process id in FILE, then lasts.
lasting() { # FILE
    command=(sh -c "echo \$\$ >$work/pid.new; mv $work/pid.new $1; sleep 100; :")
}

walkthrough_works() {
    walkthrough.sh "$PWD"
    no_lease
    [[ $(ls) == leases ]]
}

walkthrough_notices_what_is_wrong() {
    mkdir "$work/plain" "$work/plain/leases"
    ends_with 1 walkthrough.sh "$work/plain"
}

keepalive_outlives_the_ttl_and_passes_the_status() {
    grant job 0.5
    ends_with 7 keepalive.sh leases/job -- sh -c 'sleep 1.5; exit 7'
    is_there leases/job
}

keepalive_passes_standard_input() {
    grant job 10
    [[ $(echo hello | keepalive.sh leases/job -- cat) == hello ]]
}

keepalive_without_command_lasts_until_the_lease_is_gone() {
    grant job 0.6
    keepalive.sh leases/job &
    sleep 1.2
    rmdir leases/job
    ends_with 75 wait $!
}

keepalive_terminates_its_command_when_the_lease_is_gone() {
    grant job 0.6
    lasting "$work/pid"
    keepalive.sh leases/job -- "${command[@]}" &
    eventually 5 is_there "$work/pid"
    rmdir leases/job
    ends_with 75 wait $!
    is_over "$(<"$work/pid")"
}

keepalive_refuses_what_is_no_granted_lease() {
    mkdir leases/job
    ends_with 75 keepalive.sh leases/job -- touch ran
    ends_with 75 keepalive.sh leases/nosuch -- touch ran
    ends_with 64 keepalive.sh
    is_gone ran
    is_gone leases/nosuch
}

keepalive_stops_at_a_signal() {
    grant job 100
    lasting "$work/pid"
    keepalive.sh leases/job -- "${command[@]}" &
    eventually 5 is_there "$work/pid"
    kill $!
    ends_with 143 wait $!
    is_over "$(<"$work/pid")"
}

keepalive_killed_takes_command_and_lease_along() {
    grant job 0.9
    lasting "$work/pid"
    keepalive.sh leases/job -- "${command[@]}" &
    eventually 5 is_there "$work/pid"
    kill -9 $!
    eventually 5 is_over "$(<"$work/pid")"
    eventually 5 is_gone leases/job
}

lock_excludes() {
    echo 0 >"$work/count"
    local holders=()
    for _ in 1 2 3 4 5 6; do
        lock.sh lock -- sh -c "n=\$(cat $work/count); sleep 0.1; echo \$((n + 1)) >$work/count" &
        holders+=($!)
    done
    wait "${holders[@]}"
    [[ $(<"$work/count") == 6 ]]
    is_gone lock
    no_lease
}

lock_passes_the_status() {
    ends_with 7 lock.sh lock -- sh -c 'exit 7'
    ends_with 1 lock.sh nosuch/lock -- true
    ends_with 64 lock.sh lock true
    no_lease
}

lock_is_kept_beyond_its_ttl() {
    LOCK_TTL=0.6 lock.sh lock -- sh -c 'sleep 1.5; cat lock' | grep " [0-9]"
}

lock_frees_itself_when_the_holder_is_killed() {
    lasting "$work/pid"
    LOCK_TTL=1 lock.sh lock -- "${command[@]}" &
    eventually 5 is_there "$work/pid"
    kill -9 $!
    ends_with 0 timeout 5 lock.sh lock -- true
    eventually 5 is_over "$(<"$work/pid")"
}

lock_of_a_killed_waiter_is_not_taken() {
    lasting "$work/pid"
    lock.sh lock -- "${command[@]}" &
    eventually 5 is_there "$work/pid"
    lock.sh lock -- touch "$work/ran" &
    eventually 5 leases_number 2
    kill -9 $!
    kill %1
    ends_with 143 wait %1
    ends_with 0 timeout 5 lock.sh lock -- true
    eventually 5 no_lease
    is_gone "$work/ran"
}

lock_lost_terminates_the_command() {
    lasting "$work/pid"
    LOCK_TTL=0.6 lock.sh lock -- "${command[@]}" &
    eventually 5 is_there "$work/pid"
    rmdir leases/*
    ends_with 75 wait $!
    is_over "$(<"$work/pid")"
}

lock_stops_at_a_signal() {
    lasting "$work/pid"
    lock.sh lock -- "${command[@]}" &
    eventually 5 is_there "$work/pid"
    kill $!
    ends_with 143 wait $!
    is_over "$(<"$work/pid")"
    no_lease
    is_gone lock
}

register_comes_and_goes() {
    mkdir services
    echo old >services/zero
    register.sh watch services >"$work/seen" &
    eventually 5 grep -qx '+ zero old' "$work/seen"
    # It lasts until it has been seen.
    ends_with 7 register.sh run services one 10.0.0.1:80 -- \
        sh -c 'until grep -q one "$0"; do sleep 0.02; done; cat services/one; exit 7' "$work/seen"
    eventually 5 grep -qx -e '- one' "$work/seen"
    no_lease
    printf '%s\n' '+ zero old' '+ one 10.0.0.1:80' '- one' | diff - "$work/seen"
    kill $!
}

register_killed_goes_within_its_ttl() {
    mkdir services
    register.sh watch services >"$work/seen" &
    lasting "$work/pid"
    REGISTER_TTL=1 register.sh run services one 10.0.0.1:80 -- "${command[@]}" &
    eventually 5 is_there "$work/pid"
    eventually 5 grep -qx '+ one 10.0.0.1:80' "$work/seen"
    kill -9 $!
    eventually 5 grep -qx -e '- one' "$work/seen"
    is_over "$(<"$work/pid")"
    kill %1
}

register_again_replaces() {
    register.sh run services one old -- sleep 100 &
    eventually 5 is_there services/one
    REGISTER_TTL=0.6 register.sh run services one new -- sleep 100 &
    eventually 5 grep -qx new services/one
    kill %1
    ends_with 143 wait %1
    grep -qx new services/one
    kill %2
    ends_with 143 wait %2
    is_gone services/one
}

tests=(
    walkthrough_works
    walkthrough_notices_what_is_wrong
    keepalive_outlives_the_ttl_and_passes_the_status
    keepalive_passes_standard_input
    keepalive_without_command_lasts_until_the_lease_is_gone
    keepalive_terminates_its_command_when_the_lease_is_gone
    keepalive_refuses_what_is_no_granted_lease
    keepalive_stops_at_a_signal
    keepalive_killed_takes_command_and_lease_along
    lock_excludes
    lock_passes_the_status
    lock_is_kept_beyond_its_ttl
    lock_frees_itself_when_the_holder_is_killed
    lock_of_a_killed_waiter_is_not_taken
    lock_lost_terminates_the_command
    lock_stops_at_a_signal
    register_comes_and_goes
    register_killed_goes_within_its_ttl
    register_again_replaces
)

echo "1..${#tests[@]}"
number=0
failed=0
for test in "${tests[@]}"; do
    rm -rf "$work"/{pid,ran,seen,count,plain}
    if "$leasefs" "$work/keys"; then
        (
            set -e
            cd "$work/keys"
            "$test"
        ) >"$work/log" 2>&1
        status=$?
        unmount
    else
        status=1
    fi
    if [[ $status -eq 0 ]]; then
        echo "ok $((++number)) - ${test//_/ }"
    else
        echo "not ok $((++number)) - ${test//_/ }"
        sed 's/^/# /' "$work/log"
        failed=1
    fi
done
[[ $failed -eq 0 ]]
