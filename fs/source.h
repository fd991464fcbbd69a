/* SPDX-License-Identifier: MIT */
#pragma once

#include "leases/journal.h"

/* Where what is mounted is kept: the SOURCE of the command line. */

/* "none": in memory; anything else is the path of a state file, see leases/journal-sqlite.h.
 * `mountpoint` is absolute, and must not hide that file. `had_log_out`: see
 * lease_journal_sqlite_had_log(). NULL with `error` set, one line that says what to do. */
LeaseJournal *fs_source_open (const char *source, const char *mountpoint, bool *had_log_out,
                              GError **error);

/* Whether that is a state file. */
bool fs_source_is_file (const char *source);
