/* SPDX-License-Identifier: MIT */
#pragma once

/* Whether a file is a state file, before SQLite comes near it: SQLite would play back or remove what
 * other programs have left beside theirs. */

/* What to do about a damaged one. */
#define LEASE_STATE_ADVICE "restore a backup, or see what sqlite3's '.recover' can save"

/* What keeps the file that is open as `fd`, and lies at `path`, from being used as one, and what to
 * do about it: one line for a person, to be freed. NULL: nothing, it is one or can become one. */
char *lease_state_header_problem (int fd, const char *path);
