/* SPDX-License-Identifier: MIT */
#pragma once

#include "leases/journal.h"

/* A journal in a state file: an SQLite database in WAL mode.
 *
 * Opens the file at `path`, or makes it (mode 0600, and its directory is synced), and keeps others
 * out of it until it is closed. Everything that needs the path is opened here, before something may
 * be mounted over it. Returns NULL, with one line that names the file and says what to do in
 * `error`, and leaves the file and those beside it as they were, if
 *   - another process has it open as a state file, also after a wait of some seconds;
 *   - it has several names (hard links), or lies where SQLite can keep no log beside it;
 *   - it is something else: no regular file, no SQLite database, one of another program;
 *   - it is damaged, as far as that shows before lease_journal_load();
 *   - its schema is newer than this program (an older one is brought up to date by
 *     lease_journal_load());
 *   - it cannot be opened, read or written.
 * An empty file is as good as none. */
LeaseJournal *lease_journal_sqlite_new (const char *path, GError **error);

/* Whether a log lay beside the file when it was opened: whoever had it open before was killed, or
 * somebody else had it open too. */
bool lease_journal_sqlite_had_log (const LeaseJournal *journal);
