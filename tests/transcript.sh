#!/bin/bash
# Replays the sample sessions of README.md, every ```console block of it, and compares what is printed with what
# is shown there. TAP on stdout.
#
#     $ LEASEFS=build/fs/leasefs tests/transcript.sh [DOCUMENT]
#
# In a block, "$ " begins a command and "> " right below continues it; the rest is output, where a line "..." stands for any
# number of lines. Each block runs in one bash, with leasefs and the examples on the PATH and an empty leasefs as its working directory
# and /mnt/keys; a block that mounts leasefs itself finds /mnt/keys an empty directory. /mnt and /var/lib are empty otherwise.
#
# Each block gets namespaces of its own for mounts and processes. So nothing of the machine's own /mnt is touched, and whatever happens,
# nothing stays mounted or running.
set -eu
export LC_ALL=C

# Runs a block's script, inside its namespaces.
replay() { # BLOCK
    mount -t tmpfs none /mnt
    mount -t tmpfs none /var/lib
    mkdir /mnt/keys
    cd /mnt
    if ! grep -q '^\$ leasefs ' "$1"; then
        leasefs /mnt/keys
        cd /mnt/keys
    fi
    bash -c "$(<"$1.script")" bash </dev/null >"$1.printed" 2>&1 || true
    sed -i 's/^bash: line [0-9]*: /bash: /' "$1.printed"
}

if [[ ${1:-} == --replay ]]; then
    replay "$2"
    exit
fi

top=$(cd "$(dirname "$0")/.." && pwd)
document=$(realpath "${1:-$top/README.md}")
leasefs=$(realpath "${LEASEFS:-$top/build/fs/leasefs}")
seconds=60 # for a block, at most

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Copies, because they might lie below /mnt, which is covered up.
mkdir "$work/bin" "$work/block"
cp "$leasefs" "$work/bin/leasefs"
cp "$top"/examples/*.sh "$work/bin"
export PATH=$work/bin:$PATH

# Cuts the document into block/LINE and, beside it, a script that prints the block's commands and runs them.
cut_up() {
    awk -v dir="$work/block/" '
        function run_pending() {
            if (commands == "") return
            printf "cat <<\"END OF COMMAND\"\n%sEND OF COMMAND\n%s", shown, commands > (file ".script")
            shown = commands = ""
        }
        /^```console$/ { file = dir sprintf("%06d", NR); inside = 1; next }
        /^```$/ && inside { run_pending(); close(file); close(file ".script"); inside = 0 }
        !inside { next }
        { print > file }
        /^\$ / { run_pending() }
        /^\$ / || (/^> / && commands != "") { shown = shown $0 "\n"; commands = commands substr($0, 3) "\n"; next }
        { run_pending() }
    ' "$document"
}

# Prints the differences, if any.
compare() { # EXPECTED PRINTED
    awk '
        NR == FNR { expected[++n] = $0; next }
        { printed[++m] = $0 }
        function matches(i, j) {
            if (i > n) return j > m
            if (expected[i] != "...") return j <= m && expected[i] == printed[j] && matches(i + 1, j + 1)
            for (; j <= m + 1; j++) if (matches(i + 1, j)) return 1
            return 0
        }
        END { exit !matches(1, 1) }
    ' "$1" "$2" || diff -u --label "$document" --label printed "$1" "$2" || true
}

cut_up
blocks=("$work"/block/??????)
isolated=(unshare --mount --pid --fork --mount-proc --kill-child)
[[ $EUID -eq 0 ]] || isolated+=(--map-root-user)

echo "1..${#blocks[@]}"
number=0
status=0
for block in "${blocks[@]}"; do
    problem=
    timeout "$seconds" "${isolated[@]}" "$0" --replay "$block" 2>"$block.errors" || problem="status $?"$'\n'
    touch "$block.printed"
    problem+=$(cat "$block.errors" && compare "$block" "$block.printed")
    line=${block##*/}
    result="$((++number)) - line $((10#$line)): $(head -n 1 "$block")"
    # A "#" would begin a TAP directive.
    result=${result//#/\\#}
    if [[ -z $problem ]]; then
        echo "ok $result"
    else
        echo "not ok $result"
        printf '# %s\n' "${problem//$'\n'/$'\n'# }"
        status=1
    fi
done
exit $status
