#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs the race program (see race.c) for ROUNDS rounds of each kind.
. "$(dirname "$0")/lib.sh"

start -o allow_other || exit
"$RACE" "$mnt" "${ROUNDS:-15}"
status=$?
stop
exit "$status"
