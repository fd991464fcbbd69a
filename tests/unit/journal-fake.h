/* SPDX-License-Identifier: MIT */
#pragma once

#include "leases/journal.h"

/* A journal for tests: it keeps what it is given in memory, can be loaded from again and again, and
 * fails or stalls when it is told to. Like the one in a state file it says that it may wait. */
typedef struct Fake Fake;

/* What is kept, which outlives the journals that are made for it. */
Fake *fake_new (void);
void fake_free (Fake *fake);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Fake, fake_free)

LeaseJournal *fake_journal (Fake *fake);

/* The `nth` commit from now on (1: the next), and all behind it, return `error`; 0: none does. */
void fake_fail (Fake *fake, unsigned nth, int error);

/* Calls `hook` with `data` within each commit, before anything is kept; NULL: no more. In the
 * thread of the commit. */
void fake_hook (Fake *fake, void (*hook) (void *data), void *data);

/* What journals that are made from now on tell of themselves; before, there is nothing to tell. */
void fake_tell (Fake *fake, const LeaseJournalMetrics *metrics);

/* Whether the hook is running. */
bool fake_is_committing (Fake *fake);

/* How many commits were kept, how many rows in all, and how often it was synced. */
unsigned fake_commits (Fake *fake);
unsigned fake_rows (Fake *fake);
unsigned fake_syncs (Fake *fake);
