/* SPDX-License-Identifier: MIT */
#pragma once

#include "tests/mount/calls.h"

#include <sys/types.h>

/* What the cases of tests/mount/watch.c share: one inotify instance, so that the order in which the
 * kernel reports things of all watches is known. An event is written as inotifywait(1) does it:
 * "DELETE d/key", "DELETE,ISDIR leases/a", "DELETE_SELF d/key". */

/* The groups of cases. Each returns how many failed; `brief` leaves out what takes seconds, because
 * the daemon waits for something that does not come. */
int watch_ends (void);
int watch_revoked (bool brief);
int watch_retaken (void);
int watch_races (void);

/* How long things take from the deadline of a single lease until a watcher knows. Prints it. */
int watch_delay (void);

/* Before and after a case, in the root. */
int watch_setup (void **state);
int watch_teardown (void **state);

#define WATCH_CASE(function)                                                                       \
  {                                                                                                \
#function, function, watch_setup, watch_teardown, NULL                                         \
  }

/* Watches what `path` stands for now. Its events bear that path, or `label`. */
void watch_path (const char *path);
void watch_path_as (const char *path, const char *label);

/* An event that is to come. */
void watch_want (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

/* Waits for all that is wanted, and then a little: nothing else may have come since watch_setup(),
 * and nothing more often than it is wanted. */
void watch_compare (void);

/* Waits until that has come. */
void watch_await (const char *event);

/* How often it has come, and how many events have at all. Does not wait. */
unsigned watch_count (const char *event);
unsigned watch_total (void);

/* The last of the first one must have come before the first of the second one. */
void watch_assert_order (const char *first, const char *second);

/* A lease with a TTL that is long enough for any test; its path is leases/ID. */
void watch_lease (const char *id);

/* A new key of the lease. */
void watch_key (const char *id, const char *key);
void watch_attach (const char *id, const char *key);

/* Lets the leases end, all but together. */
void watch_let_end (const char *const *ids, unsigned count);
void watch_end (const char *id);

/* Holds a directory's lock in the kernel, so that whoever wants to remove something there waits;
 * until that is let go of. */
pid_t watch_hold (const char *directory);
void watch_let_go (pid_t holder);

/* A lease with a key held/first, which is watched; and that directory held, so that the reaper
 * stays there at the end of the lease, and cleans up nothing of what is attached later. */
pid_t watch_stalling_lease (const char *id);

/* Waits for the reaper to be held up. DAEMON says whose that is. */
void watch_await_hold_up (void);

/* Ends the lease, and waits for that. */
void watch_end_stalled (const char *id);
