/* SPDX-License-Identifier: MIT */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Ids that wait, and are taken in their own order as far as they wait together. There may be
 * millions. The caller keeps other threads off, except while it sorts. */
typedef struct LeaseBacklog LeaseBacklog;

LeaseBacklog *lease_backlog_new (void);
void lease_backlog_free (LeaseBacklog *backlog);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LeaseBacklog, lease_backlog_free)

/* Amortised constant time. */
void lease_backlog_add (LeaseBacklog *backlog, uint64_t id);

/* Whether all that was added has been taken. */
bool lease_backlog_is_empty (const LeaseBacklog *backlog);

/* Takes the next that has been sorted; false: there is none. */
bool lease_backlog_take (LeaseBacklog *backlog, uint64_t *id_out);

/* When nothing is left that has been sorted: hands out the rest to be sorted, which may take some
 * 0.1 s, and to be given back. NULL: there is nothing to sort now. */
GArray *lease_backlog_begin_sort (LeaseBacklog *backlog);
void lease_backlog_sort (GArray *ids);
void lease_backlog_end_sort (LeaseBacklog *backlog, GArray *ids);
