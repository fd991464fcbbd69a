/* SPDX-License-Identifier: MIT */
#pragma once

#include "leases/clock.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

/* Deadlines in order: a binary heap (Williams, "Algorithm 232: Heapsort", CACM 7, 1964) whose
 * elements know their own place, so that any of them can be moved or taken out in O(log n). Not
 * locked: the caller sees to that. */

typedef struct LeaseQueue LeaseQueue;

/* Embed one in what has a deadline. Zero-initialised it is in no queue. Read `deadline`; never
 * write it. */
typedef struct {
  LeaseTime deadline;
  size_t place; /* the queue's own: index + 1, or 0 when in no queue */
} LeaseQueueItem;

LeaseQueue *lease_queue_new (void);

/* Frees the queue; items still in it are left as they are. */
void lease_queue_free (LeaseQueue *queue);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LeaseQueue, lease_queue_free)

/* Puts `item` (in no queue yet) in with `deadline`. The queue keeps the pointer until it is
 * removed. */
void lease_queue_insert (LeaseQueue *queue, LeaseQueueItem *item, LeaseTime deadline);

/* Gives `item` (in this queue) another deadline, earlier or later. O(log n). */
void lease_queue_update (LeaseQueue *queue, LeaseQueueItem *item, LeaseTime deadline);

/* Takes `item` out. Its deadline stays readable. Nothing happens if it is in no queue. O(log n). */
void lease_queue_remove (LeaseQueue *queue, LeaseQueueItem *item);

/* The item with the earliest deadline, left in the queue; NULL when empty. O(1). Among equals any.
 */
LeaseQueueItem *lease_queue_earliest (const LeaseQueue *queue);

bool lease_queue_contains (const LeaseQueueItem *item);
size_t lease_queue_length (const LeaseQueue *queue);

/* Aborts with g_error() unless the heap order holds and every item knows its place. O(n). */
void lease_queue_check (const LeaseQueue *queue);
