/* SPDX-License-Identifier: MIT */
#pragma once

#include <sqlite3.h>

/* Between SQLite and a state file: a transaction reaches the log by one write, and the connection
 * that writes takes no locks from the kernel for each of them. The formats of the files, and who
 * else may look at them, stay as SQLite has them. */

/* To be opened with `zName`, by as many connections as wanted; all are closed before it is freed.
 * It lies above what is SQLite's default now. */
sqlite3_vfs *lease_state_vfs_new (void);
void lease_state_vfs_free (sqlite3_vfs *vfs);

/* `database` is that of a connection which was opened by such a VFS, is in WAL mode, and has been
 * read from, and `log` its log: from now on it keeps the right to write from its first transaction
 * to the next, so that others, but for this, can only read and copy the log into the database; and
 * nothing of a transaction is in the log for which there is no place in its index (-shm). There may
 * be one such connection. To be called between transactions, like the next. */
void lease_state_vfs_keep_right (sqlite3_file *database, sqlite3_file *log);

/* Another connection may write, until that one begins its next transaction. */
void lease_state_vfs_lend_right (sqlite3_file *database);
