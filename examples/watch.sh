#!/bin/bash
# Tells what happens to the keys in a directory, and why keys end, as far as that can be known.
#
#     $ watch.sh /mnt/keys/services &
#     $ cd /mnt/keys
#     $ mkdir leases/a; echo 2 > leases/a/ttl
#     $ echo 10.0.0.7 > leases/a/x && mv leases/a/x services/web
#     new web lease=a
#     $ echo hello > services/db
#     new db
#     put db
#     $ echo services/db > leases/a/keys
#     attach db lease=a
#     $ rm services/db
#     end db (deleted)
#     $ sleep 2
#     end web (expired)
#
# Usage: watch.sh DIR      DIR: a directory in a mounted leasefs; what is in directories below it is passed over
#
# Lines: "has KEY" for what is there at first, "new KEY" when it appears, "put KEY" when it has been written to, "attach KEY",
# "detach KEY", and "end KEY (REASON)": expired, revoked, deleted, moved (to another name), replaced (by another file). In KEY, `\` and
# control bytes are octal escapes, as in leases/ID/keys: a newline is \012, so each line is one.
#
# How it works: an event only says where to look, since a name may have been taken again before it is heard that the old file has
# gone. Inode numbers are never used again, so they tell one from the other. A lease never ends early: one that has gone before the
# end of what it was granted was revoked. (After that it counts as expired. So does one whose last refresh was not seen here,
# because it was by touching a key in another directory.) It watches each lease, so it is not for many thousands of them.
set -eu
export LC_ALL=C

[[ $# -eq 1 ]] || { echo "Usage: watch.sh DIR" >&2; exit 64; }
dir=$(realpath -- "$1")
leases=$(stat -c %m -- "$dir")/leases
prefix=${dir#"${leases%/leases}"}
prefix=${prefix#/}${prefix:+/}

declare -A inode lease            # of each key: its inode number, and that of the directory of its lease
declare -A id deadline holders    # of each lease, by the inode number: its ID, when it ends at the latest (us), who holds it

# What is to be known of a lease, a line each, and then its keys. From within: there nobody else's lease can take its place.
describe() { # ID
    cd -- "$leases/$1" && stat -c '%i %.6Y' . && cat granted && { cat procs || true; } | tr '\n' ' ' && echo && cat keys
}

# KEY as it is written in `keys` and here.
escape() { # KEY: sets `escaped`
    local i char
    escaped=$1
    [[ $1 == *[[:cntrl:]\\]* ]] || return 0
    escaped=
    for ((i = 0; i < ${#1}; i++)); do
        char=${1:i:1}
        [[ $char != [[:cntrl:]\\] ]] || printf -v char '\\%03o' "'$char"
        escaped+=$char
    done
}

tell() { # WHAT KEY [MORE]
    local escaped
    escape "$2${3:+ $3}"
    printf '%s\n' "$1 $escaped"
}

# It is learnt while the lease is there. Says which keys have come or gone; in DIR they have no slash.
learn() { # ID
    local text number refreshed granted path key
    local -A listed=()
    text=$(describe "$1") || return 0
    {
        read -r number refreshed && read -r granted
        read -r "holders[$number]" || true # nothing at all is left of empty lines at the end
        while IFS= read -r path; do
            printf -v path %b "${path//\\/\\0}"
            path=${path#./}
            key=${path#"$prefix"}
            [[ $path == "$prefix"?* && $key != */* ]] || continue
            listed[$key]=1
            # It may be no key at all: whoever reads `keys` while that grows may see the end of a line once more.
            [[ -n ${inode[$key]-} && ${lease[$key]-} != "$number" ]] || continue
            [[ $(stat -c %i -- "$dir/$key") == "${inode[$key]}" ]] || continue
            [[ $key == "${found-}" ]] || tell attach "$key" "lease=$1"
            lease[$key]=$number
        done
    } <<<"$text"
    id[$number]=$1
    printf -v granted %.6f "$granted"
    deadline[$number]=$((10#${refreshed/./} + 10#${granted/./}))
    for key in "${!lease[@]}"; do
        [[ ${lease[$key]} == "$number" && -z ${listed[$key]-} && -e $dir/$key ]] || continue
        lease[$key]=
        tell detach "$key" "lease=$1"
    done
} 2>/dev/null

# Why a key is not there any more.
reason() { # KEY EVENT
    local number=${lease[$1]-} holder
    if [[ -n $number && $(stat -c %i -- "$leases/${id[$number]}") != "$number" ]]; then
        for holder in ${holders[$number]}; do
            [[ ! -d /proc/$holder ]] || { echo revoked; return; }
        done
        [[ ${EPOCHREALTIME/./} -ge ${deadline[$number]} ]] && echo expired || echo revoked
    elif [[ -e $dir/$1 ]]; then
        echo replaced
    else
        case $2 in MOVED_FROM) echo moved ;; *) echo deleted ;; esac
    fi
} 2>/dev/null

look() { # KEY EVENT
    local now='' key=$1 found=$1 what=new escaped keys number
    [[ -d $dir/$key ]] || now=$(stat -c %i -- "$dir/$key" 2>/dev/null) || true
    # What has just gone will be told of by an event of its own.
    [[ -n $now || $2 == DELETE || $2 == MOVED_FROM ]] || return 0
    if [[ -n ${inode[$key]-} && ${inode[$key]} != "$now" ]]; then
        tell end "$key" "($(reason "$key" "$2"))"
        inode[$key]='' lease[$key]=''
    fi
    if [[ -n $now && -z ${inode[$key]-} ]]; then
        inode[$key]=$now
        escape "$prefix$key"
        [[ $escaped != -* ]] || escaped=./$escaped
        keys=$(grep -lxF -m 1 -- "$escaped" "$leases"/*/keys 2>/dev/null) || true
        keys=${keys%/keys}
        [[ -z $keys ]] || learn "${keys##*/}"
        number=${lease[$key]-}
        [[ $2 != has ]] || what=has
        tell "$what" "$key" "${number:+lease=${id[$number]}}"
    fi
    [[ $2 != CLOSE_WRITE ]] || tell put "$key"
}

# Becomes inotifywait, which ends when this script does, and does not even start if that is dead already. A NUL ends each event,
# since names may have newlines, and each of inotifywait's own messages.
notify() { # EVENTS DIR...
    exec 2> >(exec sed -u 's/$/\x0/')
    exec setpriv --pdeathsig TERM bash -c "[[ \$PPID == $$ ]] && exec \"\$@\"" bash \
        inotifywait -m -r -e "$1" --no-newline --format '%e %w%f%0' -- "${@:2}"
}

where=("$dir")
[[ -z $prefix ]] || where+=("$leases")
shopt -s dotglob
while IFS= read -r -d '' line; do
    line=${line#$'\n'} event=${line%% *} path=${line#* }
    name=${path##*/}
    case $event:$path in
    Setting:*) ;;
    Watches:*)
        for path in "$leases"/*/; do path=${path%/}; learn "${path##*/}"; done
        for path in "$dir"/*; do look "${path##*/}" has; done
        ;;
    *:"$leases"/?*) path=${path#"$leases"/}; learn "${path%%/*}" ;;
    MODIFY:*) ;;
    ATTRIB:"$dir/$name") [[ -z ${lease[$name]-} ]] || learn "${id[${lease[$name]}]}" ;;
    *:"$dir/$name") look "$name" "${event%%,*}" ;;
    [A-Z_]*:*) ;;
    *) echo "watch.sh: $line" >&2 ;;
    esac
done < <(notify create,close_write,modify,attrib,delete,moved_to,moved_from "${where[@]}")
wait $!
