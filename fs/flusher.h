/* SPDX-License-Identifier: MIT */
#pragma once

#include "fs/context.h"

/* The flusher: threads that wait for the journal so that others need not. One writes what has come
 * about by itself (ends of leases, names that were cleaned up), and files that were emptied and not
 * written to since. The other does housekeeping, which may take much longer: the journal's, and it
 * gives memory back to the system. They sleep while nothing happens. */

/* Starts the threads. `engine` stays the caller's and must outlive the flusher. */
FsFlusher *fs_flusher_new (LeaseEngine *engine);

/* The engine has something to flush: within LEASE_HOLD_MS. Any thread; returns at once. */
void fs_flusher_soon (FsFlusher *flusher);

/* The same, now. Returns when that has been written; or after FS_FLUSHER_WAIT_MS, or at once while
 * the journal fails, or while somebody before has waited in vain: reading does not depend on it.
 * Any other thread. */
void fs_flusher_now (FsFlusher *flusher);
#define FS_FLUSHER_WAIT_MS 500

/* The same, of all that there is to flush by now, which may be much. */
void fs_flusher_all (FsFlusher *flusher);

/* The journal has taken something: it may want to be tended. Any thread; returns at once. */
void fs_flusher_note_commit (FsFlusher *flusher);

/* Much less memory is used than once was: gives it back to the system, when there is a pause in the
 * cleaning up, or after FS_FLUSHER_TRIM_MS. Any thread; returns at once. */
void fs_flusher_trim (FsFlusher *flusher);
#define FS_FLUSHER_TRIM_MS 600000

/* Ends the threads. What has not been flushed by then is left to lease_engine_stop(). */
void fs_flusher_stop (FsFlusher *flusher);

/* After fs_flusher_stop(). */
void fs_flusher_free (FsFlusher *flusher);
