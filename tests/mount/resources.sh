# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2119,SC2120,SC2154 # lib.sh has `mnt`; `forget` takes an argument or not
#
# What the tests share that look at what a daemon holds on to. Sourced after lib.sh; all of it speaks of the mount at $mnt.

# Files, directories and leases that the daemon has: those with a name, and those that the kernel has not forgotten yet.
used_nodes() { stat -f -c '%c %d' "$mnt" | awk '{ print $1 - $2 }'; }

# Memory that they take, in blocks of 4 KiB.
used_blocks() { stat -f -c '%b %f' "$mnt" | awk '{ print $1 - $2 }'; }

# Memory that the daemon has from the system, in KiB. Sanitizers keep freed memory for themselves for a while, so with them it says nothing.
resident_kib() { awk '/^VmRSS/ { print $2 }' "/proc/$daemon/status"; }
sanitized() { grep -qE 'lib(asan|tsan)' "/proc/$daemon/maps"; }

# at_most LIMIT COMMAND
at_most() {
  local number
  number=$("$2")
  [ "$number" -le "$1" ] || { echo "$2: $number, but at most $1 expected"; return 1; }
}

# Makes the kernel forget what it has cached of all mounts: 2 is for names and inodes, 3 for pages too.
forget() { echo "${1:-2}" >/proc/sys/vm/drop_caches; }

# settles_at COUNT: whether the daemon has come down to that many nodes.
settles_at() {
  forget
  [ "$(used_nodes)" = "$1" ]
}

# Removes everything, leases too. What expires meanwhile is nobody's fault.
sweep() {
  find "$mnt/leases" -mindepth 1 -maxdepth 1 -exec rmdir {} + 2>/dev/null
  find "$mnt" -mindepth 1 -maxdepth 1 ! -name leases -exec rm -rf {} + 2>/dev/null
  [ "$(find "$mnt" -mindepth 1)" = "$mnt/leases" ]
}
