/* SPDX-License-Identifier: MIT */
#pragma once

#include <glib.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

/* A state file that is open: an SQLite database in WAL mode, which nobody else has open as a state
 * file. There are two connections to it, so that the log can be cared for while changes are
 * written. All that needs the path has been opened when lease_state_file_open() returns. */
typedef struct {
  char *path;       /* as it was given, for messages */
  char *real_path;  /* without symlinks, from the root */
  char *log_path;   /* of the WAL, beside it */
  int fd;           /* of the file; it holds the lock that keeps others out */
  bool made;        /* there was no such file before */
  bool had_log;     /* there was a WAL before */
  uint32_t version; /* of its tables: see lease_state_file_begin_load() */
  bool approved;    /* see lease_state_file_approve() */
  int page_size;    /* of the database, in bytes: one that was made otherwise keeps its own */

  sqlite3_vfs *vfs;     /* by which the connections have opened it */
  pthread_mutex_t lock; /* whoever uses `db` holds it; taken behind that of LeaseStateLog */
  sqlite3 *db;          /* for the rows */
  sqlite3 *log_db;      /* for the care of the log; see LeaseStateLog */
  sqlite3_file *log;    /* the WAL, as `log_db` has it open */
  sqlite3_file *data;   /* the database itself, likewise */
} LeaseStateFile;

/* See lease_journal_sqlite_new(). */
LeaseStateFile *lease_state_file_open (const char *path, GError **error);

/* Begins a transaction in which the tables, whatever version they were of, are those of the
 * present one: for reading all of them. Of an older file, nothing has changed before it is ended
 * with `good` true; so an older leasefs can still have one that is refused. From the beginning on
 * `db` has the right to write to the file, and keeps it: what was read is what there is. Fails if
 * another program has it, and does not give it back for some seconds. */
bool lease_state_file_begin_load (LeaseStateFile *file, GError **error);
bool lease_state_file_end_load (LeaseStateFile *file, bool good, GError **error);

/* To be called when what the file holds has proved good. Until then closing it leaves the log
 * beside it as it is. */
void lease_state_file_approve (LeaseStateFile *file);

/* For `log_db`, which else cannot empty the log. Until the next transaction, without `lock`. */
void lease_state_file_lend_right (LeaseStateFile *file);

/* By how many bytes the database grows when its log is copied into it; 0 also if that cannot be told.
 * Without `lock`. */
int64_t lease_state_file_growth (LeaseStateFile *file);

/* How many bytes are free on its disk; INT64_MAX if that cannot be told. Any thread. */
int64_t lease_state_file_room (const LeaseStateFile *file);

/* Closing it shall leave the log beside it after all: the disk cannot be trusted. */
void lease_state_file_keep_log (LeaseStateFile *file);

/* No statement of either connection may be left. */
void lease_state_file_close (LeaseStateFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LeaseStateFile, lease_state_file_close)

/* Sets `error` to what `db` says about a failed call that returned `code`, and what to do about it.
 * Returns false. */
bool lease_state_file_fail (const LeaseStateFile *file, sqlite3 *db, int code, GError **error);

/* The errno of the last call that failed on an open file. */
int lease_state_file_cause (sqlite3_file *handle);

/* Why a call that returned `code` has failed: an errno, which is EIO where SQLite does not say. */
int lease_state_file_reason (sqlite3 *db, int code);

/* What a caller is told of that: -ENOSPC or -EIO. */
int lease_state_file_errno (sqlite3 *db, int code);
