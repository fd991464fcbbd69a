/* SPDX-License-Identifier: MIT */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Between SQLite and its files: makes calls fail, and knows what a power cut would leave. It looks
 * at all files that SQLite opens while it is installed, and syncs none of them. */

/* Makes it SQLite's default, or no longer. It forgets all that was before. */
void shim_vfs_install (void);
void shim_vfs_remove (void);

typedef enum {
  SHIM_WRITE,
  SHIM_SYNC,
  SHIM_EXTEND, /* making a part of a log's index */
  SHIM_GROW,   /* a write that makes its file longer; it writes nothing if it fails */
} ShimCall;

/* Lets all such calls but the next `good` ones fail with `code` (SQLITE_FULL, SQLITE_IOERR_WRITE,
 * SQLITE_IOERR_FSYNC, ...) and `number` as its errno; SQLITE_OK: none any more. A write
 * that fails has written the first half. What a sync that failed was to make lasting is lost at the
 * next power cut, whatever syncs succeed before it: on Linux it may be. */
void shim_vfs_fail (ShimCall call, unsigned good, int code, int number);

/* How many calls of that type have failed. */
unsigned shim_vfs_failed (ShimCall call);

/* Calls `function` once, right before the next write to a database, from the thread that writes. */
void shim_vfs_before_write (void (*function) (void *data), void *data);

/* The power fails right before the call to write, sync, truncate, delete that follows `calls`
 * others: what it leaves is kept for shim_vfs_leave(), and all goes on as if nothing had been. With
 * 0, it fails now. */
void shim_vfs_cut (unsigned calls);
bool shim_vfs_has_cut (void);

/* Makes the files as the cut has left them, in the directory `to` in place of the one that they
 * were in; files that were opened there are not asked. Of what was not synced, each sector of each
 * write survives with probability `survival`: disks and kernels write in any order. */
void shim_vfs_leave (const char *to, double survival, GRand *random);
