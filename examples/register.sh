#!/bin/bash
# Service registration: while a service runs, a key tells where it is; when it ends, for whatever reason, the key goes. Others
# watch the keys come and go, without polling.
#
#     $ register.sh watch /mnt/keys/services/web &
#     $ register.sh run /mnt/keys/services/web node1 10.0.0.1:80 -- sleep 3 &
#     + node1 10.0.0.1:80
#     $ sleep 1; ls /mnt/keys/services/web
#     node1
#     $ sleep 3
#     - node1
#
# Usage: register.sh run DIR NAME VALUE -- COMMAND...   runs COMMAND with key DIR/NAME holding VALUE
#        register.sh watch DIR                          prints "+ NAME VALUE" and "- NAME", what is there already first;
#                                                not for names with newlines
# Environment: REGISTER_TTL, in seconds, 2 unless set: so long after a kill -9 the key is gone
#
# Status of run: COMMAND's own, or 75 if the lease was lost and COMMAND terminated. If a key of that NAME exists, it is
# replaced: a service that is started anew need not wait for the end of its predecessor's lease.
set -eu

usage() {
    echo "Usage: register.sh run DIR NAME VALUE -- COMMAND..." >&2
    echo "       register.sh watch DIR" >&2
    exit 64
}

# Becomes COMMAND, which gets SIGTERM when this script dies, and does not even start if it is dead already.
tied() { # COMMAND...
    exec setpriv --pdeathsig TERM bash -c "[[ \$PPID == $$ ]] && exec \"\$@\"" bash "$@"
}

deregister() {
    [[ -z $holder ]] || { kill "$holder" && wait "$holder"; } || true
    rmdir -- "$lease" || true
} 2>/dev/null

run() { # DIR NAME VALUE COMMAND...
    local dir=$1 name=$2 value=$3 keepalive root
    shift 3
    keepalive=$(dirname -- "$0")/keepalive.sh
    mkdir -p -- "$dir"
    # In the mount that the key will be in, or mv(1) would copy it.
    root=$(stat -c %m -- "$(dirname -- "$dir/$name")")
    lease=$(mktemp -d -- "$root/leases/XXXXXXXXXXXX")
    holder=
    trap deregister EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf '%s\n' "${REGISTER_TTL:-2}" >"$lease/ttl"

    # What is made in the lease's directory is attached; moved out it stays attached, and appears complete.
    printf '%s\n' "$value" >"$lease/value"
    mv -fT -- "$lease/value" "$dir/$name"

    tied "$keepalive" "$lease" -- "$@" <&0 &
    holder=$!
    wait "$holder"
}

came() { # DIR NAME
    local value
    value=$(cat -- "$1/$2" 2>/dev/null) || return 0 # gone again already
    echo "+ $2 $value"
}

watch() { # DIR
    local dir=$1 line event name
    shopt -s dotglob
    # inotifywait's own message tells when it has begun to watch: what is there then has been missed and is listed.
    while IFS= read -r line; do
        event=${line%% *} name=${line#* }
        case $event in
        Setting) ;;
        Watches)
            for name in "$dir"/*; do
                came "$dir" "${name##*/}"
            done
            ;;
        CREATE | MOVED_TO) came "$dir" "$name" ;;
        DELETE | MOVED_FROM) echo "- $name" ;;
        *) echo "register.sh: $line" >&2 ;;
        esac
    done < <(tied inotifywait -m -e create,moved_to,delete,moved_from --format '%e %f' -- "$dir" 2>&1)
    wait $!
}

case ${1:-} in
run)
    [[ $# -ge 6 && $5 == -- ]] || usage
    run "${@:2:3}" "${@:6}"
    ;;
watch)
    [[ $# -eq 2 ]] || usage
    watch "$2"
    ;;
*) usage ;;
esac
