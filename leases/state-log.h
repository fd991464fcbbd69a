/* SPDX-License-Identifier: MIT */
#pragma once

#include "leases/journal.h"
#include "leases/state-file.h"

/* The care of a state file's log (SQLite's WAL): syncing it, and moving what it holds into the
 * database, while changes are being written to it. */
typedef struct LeaseStateLog LeaseStateLog;

/* `file` must outlive it. */
LeaseStateLog *lease_state_log_new (LeaseStateFile *file);
void lease_state_log_free (LeaseStateLog *log);

/* To be called before each transaction, without `file->lock`: it waits where the log is far larger
 * than it should be, or takes the room that the database needs, until it has been emptied, unless
 * that is what cannot be done at present. */
void lease_state_log_make_room (LeaseStateLog *log);

/* To be called without `file->lock` when a transaction has found no room on the disk: empties the
 * log, if that can be done without more room, so that the next one can use what it had. */
void lease_state_log_reclaim (LeaseStateLog *log);

/* To be called after each transaction, with `file->lock` held. */
void lease_state_log_note_commit (LeaseStateLog *log);

/* Makes every transaction that was noted before outlast a power cut. 0, -ENOSPC or -EIO. Any
 * thread, without `file->lock`. */
int lease_state_log_sync (LeaseStateLog *log);

/* See lease_journal_tend(). */
bool lease_state_log_tend (LeaseStateLog *log);

/* Fills in what concerns syncing, and the size of the log. Any thread, at any time. */
void lease_state_log_metrics (LeaseStateLog *log, LeaseJournalMetrics *metrics_out);

/* Empties the log into the database, so that the file can be moved without it. Nothing may be
 * written any more. */
void lease_state_log_finish (LeaseStateLog *log);
