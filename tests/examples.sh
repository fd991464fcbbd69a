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
    ! grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status" 2>/dev/null
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

# What COMMAND prints must be EXPECTED.
is() { # EXPECTED COMMAND...
    local expected=$1 output
    shift
    output=$("$@") || true
    [[ $output == "$expected" ]] || {
        echo "expected '$expected', not '$output': $*"
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

# The same, but FILE tells of a process that SIGTERM does not end: a child of the command, or, if so wanted, the command itself.
stubborn() { # FILE [itself]
    local last="trap '' TERM; echo \$BASHPID >$work/pid.new; mv $work/pid.new $1; exec sleep 100"
    command=(bash -c "($last) & wait")
    [[ -z ${2-} ]] || command=(bash -c "$last")
}

# Has the next program that is tied to its parent's life, and has WORD among its arguments, begin with the parent's death, which
# has come before that tie. The process is told in FILE.
orphaned() { # WORD FILE
    mkdir -p "$work/tools"
    cat >"$work/tools/setpriv" <<SETPRIV
#!/bin/bash
if [[ " \$* " == *[\ /]$1\ * ]]; then
    echo \$\$ >$2.new
    mv $2.new $2
    kill -9 \$PPID
    while [[ \$(ps -o ppid= -p \$\$) -eq \$PPID ]]; do sleep 0.01; done
fi
exec $(command -v setpriv) "\$@"
SETPRIV
    chmod +x "$work/tools/setpriv"
    PATH=$work/tools:$PATH
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
    grant job 1
    ends_with 7 keepalive.sh leases/job -- sh -c 'sleep 2.5; exit 7'
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

keepalive_kills_what_ignores_sigterm() {
    grant job 0.6
    stubborn "$work/pid"
    keepalive.sh leases/job -- "${command[@]}" &
    eventually 10 is_there "$work/pid"
    rmdir leases/job
    eventually 10 is_over $!
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

# Just when they had started what is tied to them.
scripts_killed_leave_nothing() {
    local script words
    grant job 100
    for script in 'timeout keepalive.sh leases/job -- touch ran' 'keepalive.sh lock.sh lock -- touch ran' \
        'keepalive.sh register.sh run . key value -- touch ran' 'inotifywait register.sh watch .' \
        'inotifywait watch.sh .' 'inotifywait elect.sh leader -- touch ran'; do
        read -ra words <<<"$script"
        (orphaned "${words[0]}" "$work/pid" && exec timeout --foreground 20 "${words[@]:1}") &
        eventually 10 is_there "$work/pid"
        eventually 10 is_over "$(<"$work/pid")"
        wait $! || true
        is_gone ran
        rm "$work/pid"
    done
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
    LOCK_TTL=1 lock.sh lock -- sh -c 'sleep 2.5; cat lock' | grep " [0-9]"
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
    LOCK_TTL=1 lock.sh lock -- "${command[@]}" &
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

register_takes_odd_names_and_values() {
    mkdir services
    printf -- '-e\n' >services/.hidden
    register.sh watch services >"$work/seen" &
    eventually 10 grep -qx '+ .hidden -e' "$work/seen"
    register.sh run services $' a b \t' -n -- sh -c 'until grep -q b "$0"; do sleep 0.02; done' "$work/seen"
    eventually 10 grep -q '^-' "$work/seen"
    printf '%s\n' '+ .hidden -e' $'+  a b \t -n' $'-  a b \t' | diff - "$work/seen"
    kill %1
    ends_with 1 register.sh run services ../../plain value -- true
    is_gone "$work/plain"
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
    REGISTER_TTL=1 register.sh run services one new -- sleep 100 &
    eventually 5 grep -qx new services/one
    kill %1
    ends_with 143 wait %1
    grep -qx new services/one
    kill %2
    ends_with 143 wait %2
    is_gone services/one
}

# Puts KEY with a lease, which ends soon after LINE has been seen, and not before.
put_until_seen() { # ID KEY LINE
    grant "$1" 1
    echo v >"leases/$1/x"
    mv "leases/$1/x" "$2"
    until grep -qx "$3" "$work/seen"; do
        touch "leases/$1/ttl"
        sleep 0.02
    done
}

watch_tells_what_happens_and_why() {
    mkdir services
    echo old >services/zero
    grant early 100
    watch.sh services >"$work/seen" &
    eventually 10 grep -qx 'has zero' "$work/seen"
    # Each thing is done when the one before has been seen.
    sees() { eventually 30 grep -qx "$1" "$work/seen"; }
    grant a 100
    echo v >leases/a/x
    mv leases/a/x services/one
    sees 'new one lease=a'
    echo v >services/two
    sees 'put two'
    echo services/two >leases/a/keys
    sees 'attach two lease=a'
    echo -services/two >leases/a/keys
    sees 'detach two lease=a'
    mv services/two services/three
    sees 'end two (moved)'
    sees 'new three'
    rm services/three
    sees 'end three (deleted)'
    echo v >services/zero
    sees 'put zero'
    echo v >leases/a/x
    ln leases/a/x services/four
    sees 'new four lease=a'
    echo v >other
    mv other services/zero
    sees 'end zero (replaced)'
    sees 'new zero'
    rmdir leases/a
    sees 'end one (revoked)'
    sees 'end four (revoked)'
    put_until_seen b services/one 'new one lease=b'
    sees 'end one (expired)'
    rm services/zero
    sees 'end zero (deleted)'
    kill $!
    # Nothing else has happened.
    sort <<'EXPECTED' >"$work/expected"
has zero
new one lease=a
new two
put two
attach two lease=a
detach two lease=a
end two (moved)
new three
end three (deleted)
put zero
new four lease=a
end zero (replaced)
new zero
end one (revoked)
end four (revoked)
new one lease=b
end one (expired)
end zero (deleted)
EXPECTED
    sort "$work/seen" | diff "$work/expected" -
}

# The key is there again before anybody has heard that the old one has gone.
watch_is_not_fooled_by_a_name_that_is_taken_again() {
    mkdir services
    echo v >services/zero
    watch.sh services >"$work/seen" &
    eventually 10 grep -qx 'has zero' "$work/seen"
    put_until_seen a services/one 'new one lease=a'
    kill -STOP $!
    until mkdir leases/a 2>/dev/null; do :; done
    echo 100 >leases/a/ttl
    echo new >leases/a/x
    mv leases/a/x services/one
    kill -CONT $!
    eventually 30 is 2 grep -cx 'new one lease=a' "$work/seen"
    rmdir leases/a
    eventually 30 grep -qx 'end one (revoked)' "$work/seen"
    kill $!
    is $'new one lease=a\nend one (expired)\nnew one lease=a\nend one (revoked)' grep one "$work/seen"
}

watch_takes_odd_names() {
    local names=($'blank \t' ' blank' .hidden -dash 'back\slash' 'back\134slash' $'new\nline' $'DELETE x\n' $'\nDELETE x\n' @ ']' '*' '$(x)')
    local shown=($'blank \\011' ' blank' .hidden -dash 'back\134slash' 'back\134134slash' 'new\012line' 'DELETE x\012' '\012DELETE x\012' @ ']' '*' '$(x)')
    local dir name
    sees() { eventually 30 grep -qxF -- "$1" "$work/seen"; }
    mkdir services
    for dir in . services; do
        grant a 100
        : >"$dir/${names[0]}"
        : >"$dir/.early"
        watch.sh "$dir" >"$work/seen" 2>&1 &
        sees "has ${shown[0]}"
        sees "has .early"
        rm "$dir/${names[0]}" "$dir/.early"
        sees "end .early (deleted)"
        for name in "${names[@]}"; do
            echo v >leases/a/x
            mv leases/a/x "$dir/$name"
        done
        sees "new ${shown[-1]} lease=a"
        for name in "${names[@]}"; do echo v >"$dir/$name"; done
        sees "put ${shown[-1]}"
        rmdir leases/a
        sees "end ${shown[-1]} (revoked)"
        kill $!
        {
            printf 'has %s\n' .early "${shown[0]}"
            printf 'end %s (deleted)\n' .early "${shown[0]}"
            printf 'new %s lease=a\n' "${shown[@]}"
            printf 'put %s\n' "${shown[@]}"
            printf 'end %s (revoked)\n' "${shown[@]}"
        } | sort >"$work/expected"
        sort "$work/seen" | diff "$work/expected" -
    done
}

# How busy the machine is: how much longer than 20 ms it takes to wait for that and to start a few programs, again and again; a
# line for each time, of when it began and of how long it took (us). No pause of the machine falls between two of them.
measure() {
    local begun now=${EPOCHREALTIME/./}
    while :; do
        begun=$now
        sleep 0.02
        setpriv --pdeathsig TERM timeout 10 flock "$work/measure" bash -c :
        now=${EPOCHREALTIME/./}
        echo "$begun $((now - begun - 20000))" >>"$work/measured"
    done
}

# What a busy machine explains (us): nothing, if that always took less than 20 ms.
excused() { # FROM TO
    awk -v from="$1" -v to="$2" '$1 + $2 > from && $1 < to && $2 > most { most = $2 } END { print (most > 20000 ? 3 * (most - 20000) : 0) }' \
        "$work/measured"
}

# The command of a leader: it says when it began and for whom, then lasts. There cannot be two of them at once.
reigning() {
    command=(flock -n -E 99 "$work/throne" bash -c 'echo "${EPOCHREALTIME/./} $(<leader)" >>"$0"; exec sleep 100' "$work/reigns")
}

reigns_number() {
    [[ $(wc -l <"$work/reigns") -eq $1 ]]
}

elect_hands_over_at_once_and_passes_the_status() {
    ELECT_TTL=100 elect.sh leader -- sh -c "until [ -e $work/ran ]; do sleep 0.02; done; exit 7" &
    eventually 5 is_there leader
    ELECT_TTL=100 elect.sh leader -- cat leader >"$work/seen" &
    eventually 5 leases_number 2
    is "$HOSTNAME $(jobs -p %1)" cat leader
    touch "$work/ran"
    ends_with 7 wait %1
    ends_with 0 eventually 10 is_over "$(jobs -p %2)"
    is "$HOSTNAME $(jobs -p %2)" cat "$work/seen"
    is_gone leader
    no_lease
}

elect_of_many_one_leads_and_the_next_is_there_in_time() {
    local candidates=() killed ttl=500000 from to limit i
    : >"$work/reigns"
    measure &
    reigning
    for i in {1..20}; do
        ELECT_TTL=0.5 elect.sh leader -- "${command[@]}" &
        candidates+=($!)
    done
    eventually 20 leases_number 20
    for i in {1..6}; do
        eventually 20 reigns_number "$i"
        is "$(tail -n 1 "$work/reigns")" sed -n "${i}p" "$work/reigns"
        read -r _ killed <leader
        from=${EPOCHREALTIME/./}
        kill -9 "$killed"
        eventually 20 reigns_number $((i + 1))
        to=$(tail -n 1 "$work/reigns" | cut -d ' ' -f 1)
        sleep 0.1
        limit=$((ttl + 100000 + $(excused "$from" "$to")))
        echo "$killed was followed after $((to - from)) us, of $limit"
        [[ $((to - from)) -ge $ttl && $((to - from)) -le $limit ]]
    done
    # Nobody's command has failed, not even for having been one of two.
    for i in "${candidates[@]}"; do kill "$i" 2>/dev/null || true; done
    for i in "${candidates[@]}"; do
        wait "$i" || [[ $? -eq 143 || $? -eq 137 ]]
    done
    kill %1
    eventually 5 no_lease
    is_gone leader
    is 7 sh -c "sort -u -k 3 '$work/reigns' | wc -l"
}

# A whole second without a single request comes, as long as it may take until all of them sleep.
elect_candidates_sleep() {
    local other=$work/other
    mkdir "$other"
    trap 'fusermount3 -q -u -z "$work/other" || true' EXIT
    "$leasefs" "$other" -d 2>"$work/requests" &
    eventually 10 mountpoint -q "$other"
    echo somebody >"$other/leader"
    for _ in 1 2 3; do
        elect.sh "$other/leader" -- cat "$other/leader" >>"$work/seen" &
    done
    eventually 10 is 3 sh -c "ls '$other/leases' | wc -l"
    eventually 30 is_quiet
    rm "$other/leader"
    wait %2 %3 %4
    is 3 sh -c "wc -l <'$work/seen'"
    eventually 10 fusermount3 -u "$other"
    wait %1
    rmdir "$other"
}

is_quiet() {
    local before
    before=$(wc -c <"$work/requests")
    sleep 1
    [[ $(wc -c <"$work/requests") -eq $before ]]
}

elect_lost_terminates_the_command() {
    lasting "$work/pid"
    for how in 'rmdir leases/*' 'rm leader' 'mv leader elsewhere' 'echo other >other && mv other leader'; do
        elect.sh leader -- "${command[@]}" &
        eventually 5 is_there "$work/pid"
        eval "$how"
        ends_with 75 wait $!
        is_over "$(<"$work/pid")"
        rm -f "$work/pid" leader elsewhere
        no_lease
    done
}

# However long its TTL is: there is no time left when others may lead.
elect_lost_kills_what_ignores_sigterm() {
    local whose
    for whose in '' itself; do
        stubborn "$work/pid" $whose
        ELECT_TTL=100 elect.sh leader -- "${command[@]}" &
        eventually 10 is_there "$work/pid"
        rmdir leases/*
        eventually 10 is_over $!
        ends_with 75 wait $!
        is_over "$(<"$work/pid")"
        rm "$work/pid"
    done
}

# In the group of a command that has ended, or has to, or is to go with the killed script.
elect_leaves_nothing_of_the_group_to_the_next_leader() {
    local how
    stubborn "$work/pid"
    for how in kill 'kill -9' 'touch over #'; do
        rm -f "$work/pid" over
        [[ $how == kill* ]] || command=(bash -c "${command[2]% wait}until [ -e over ]; do sleep 0.02; done")
        ELECT_TTL=1 elect.sh leader -- "${command[@]}" &
        eventually 10 is_there "$work/pid"
        eval "$how $!"
        export -f is_over
        ends_with 0 timeout 20 elect.sh leader -- bash -c "is_over $(<"$work/pid")"
    done
}

elect_killed_while_it_starts_its_command_starts_none() {
    orphaned timeout "$work/pid"
    elect.sh leader -- touch "$work/ran" &
    eventually 10 is_there "$work/pid"
    eventually 10 is_over "$(<"$work/pid")"
    eventually 10 no_lease
    is_gone "$work/ran"
}

# The holders do not survive that, though the name and its lease do.
elect_is_lost_when_leasefs_starts_anew() {
    local other=$work/other daemon leader where ttl
    mkdir -p "$other"
    trap 'fusermount3 -q -u -z "$work/other" || true' EXIT
    # From below the mount it is not seen to be unmounted.
    for where in "$work" "$other"; do
        [[ $where == "$work" ]] && ttl=2 || ttl=1
        rm -f "$work"/pid "$work"/state*
        "$leasefs" "$work/state" "$other" -f &
        daemon=$!
        eventually 10 mountpoint -q "$other"
        stubborn "$work/pid"
        cd "$where"
        ELECT_TTL=$ttl elect.sh "$other/leader" -- "${command[@]}" &
        leader=$!
        cd "$work"
        eventually 10 is_there "$work/pid"
        kill -9 "$daemon"
        wait "$daemon" || true
        fusermount3 -q -u -z "$other"
        "$leasefs" "$work/state" "$other"
        ends_with 0 elect.sh "$other/leader" -- true
        is_over "$(<"$work/pid")"
        eventually 10 is_over "$leader"
        ends_with 75 wait "$leader"
        fusermount3 -q -u -z "$other"
        eventually 10 unlocked "$work/state"
    done
    rmdir "$other"
}

# Its daemon has ended then.
unlocked() { # STATE_FILE
    ! is_there "$1-shm"
}

elect_stops_at_a_signal() {
    lasting "$work/pid"
    elect.sh leader -- "${command[@]}" &
    eventually 5 is_there "$work/pid"
    elect.sh leader -- touch "$work/ran" &
    eventually 5 leases_number 2
    kill $!
    ends_with 143 wait $!
    kill %1
    ends_with 143 wait %1
    is_over "$(<"$work/pid")"
    no_lease
    is_gone leader
    is_gone "$work/ran"
}

elect_refuses_what_cannot_be() {
    ends_with 64 elect.sh leader true
    ends_with 1 elect.sh nosuch/leader -- true
    ends_with 64 timeout 10 elect.sh $'lea\nder' -- true
    no_lease
}

# Twice as long as the TTL the key stays, and as long as the TTL, no less, after the end.
session_lasts_as_long_as_the_command() {
    local killed
    # Without a child, which would outlive it.
    command=(sh -c "echo \$\$ >$work/pid; exec sleep 100")
    session.sh -t 0.5 -k services/web=10.0.0.1:80 -k db=a=b -- "${command[@]}" &
    eventually 5 is_there "$work/pid"
    sleep 1
    is 10.0.0.1:80 cat services/web
    is a=b cat db
    is $'db\nservices/web' sh -c 'cat leases/*/keys'
    # It is the command itself that holds the lease.
    is $! cat "$work/pid"
    is $! sh -c 'cat leases/*/procs'
    killed=${EPOCHREALTIME/./}
    kill -9 $!
    while is_there db; do :; done
    [[ $((${EPOCHREALTIME/./} - killed)) -ge 500000 ]]
    eventually 5 no_lease
    is $'leases\nservices' ls
    is '' ls services
}

session_takes_odd_values() {
    ends_with 1 session.sh -t -n -- true
    is $'-n\n-e a\\n\n\n.' session.sh -t 0.1 -k one=-n -k two='-e a\n' -k three= -- sh -c 'cat one two three; echo .'
}

session_refuses_keys_elsewhere() {
    ends_with 1 session.sh -k here/key=v -k "$work/plain/key=v" -- touch ran 2>"$work/seen"
    is 1 grep -c . "$work/seen"
    ends_with 1 session.sh -k "$work/plain/key=v" -- touch ran
    is_gone "$work/plain"
    is leases ls
    no_lease
}

session_passes_status_and_environment() {
    ends_with 7 session.sh -t 100 -- sh -c 'cat "$LEASE/granted" && rmdir "$LEASE" && exit 7'
    is 'a b' session.sh -t 0.1 -- printf '%s b' a
    ends_with 127 session.sh -t 100 -- "$work/nosuch"
    eventually 5 no_lease
}

session_refuses_what_cannot_be() {
    ends_with 64 session.sh true
    ends_with 64 session.sh -t
    ends_with 64 session.sh -k =v -- true
    ends_with 64 session.sh -k key -- true
    ends_with 64 session.sh -x -- true
    ends_with 64 session.sh --
    ends_with 1 session.sh -t soon -- touch ran
    (cd "$work" && ends_with 1 session.sh -- touch ran)
    is_gone ran
    is_gone "$work/ran"
    no_lease
}

tests=(
    walkthrough_works
    walkthrough_notices_what_is_wrong
    keepalive_outlives_the_ttl_and_passes_the_status
    keepalive_passes_standard_input
    keepalive_without_command_lasts_until_the_lease_is_gone
    keepalive_terminates_its_command_when_the_lease_is_gone
    keepalive_kills_what_ignores_sigterm
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
    scripts_killed_leave_nothing
    register_comes_and_goes
    register_takes_odd_names_and_values
    register_killed_goes_within_its_ttl
    register_again_replaces
    watch_tells_what_happens_and_why
    watch_is_not_fooled_by_a_name_that_is_taken_again
    watch_takes_odd_names
    elect_hands_over_at_once_and_passes_the_status
    elect_of_many_one_leads_and_the_next_is_there_in_time
    elect_candidates_sleep
    elect_lost_terminates_the_command
    elect_lost_kills_what_ignores_sigterm
    elect_leaves_nothing_of_the_group_to_the_next_leader
    elect_killed_while_it_starts_its_command_starts_none
    elect_is_lost_when_leasefs_starts_anew
    elect_stops_at_a_signal
    elect_refuses_what_cannot_be
    session_lasts_as_long_as_the_command
    session_passes_status_and_environment
    session_takes_odd_values
    session_refuses_keys_elsewhere
    session_refuses_what_cannot_be
)

echo "1..${#tests[@]}"
number=0
failed=0
for test in "${tests[@]}"; do
    rm -rf "$work"/{tools,pid,ran,seen,count,plain,expected,measure,measured,reigns,throne}
    if "$leasefs" "$work/keys"; then
        (
            set -e
            trap 'jobs -p | xargs -r kill 2>/dev/null || true' EXIT # where it has failed
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
