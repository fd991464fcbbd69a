/* SPDX-License-Identifier: MIT */

/* The journal as others see it, and the kind that keeps nothing. */

#include "leases/journal.h"

bool
lease_journal_load (LeaseJournal *journal, LeaseRowEach each, void *data, GError **error)
{
  return journal->kind->load == NULL || journal->kind->load (journal, each, data, error);
}

int
lease_journal_commit (LeaseJournal *journal, const LeaseRow *rows, size_t count)
{
  return journal->kind->commit == NULL ? 0 : journal->kind->commit (journal, rows, count);
}

int
lease_journal_sync (LeaseJournal *journal)
{
  return journal->kind->sync == NULL ? 0 : journal->kind->sync (journal);
}

bool
lease_journal_tend (LeaseJournal *journal)
{
  return journal->kind->tend != NULL && journal->kind->tend (journal);
}

bool
lease_journal_metrics (LeaseJournal *journal, LeaseJournalMetrics *metrics_out)
{
  if (journal->kind->metrics == NULL)
    return false;
  journal->kind->metrics (journal, metrics_out);
  return true;
}

void
lease_journal_close (LeaseJournal *journal)
{
  if (journal->kind->close != NULL)
    journal->kind->close (journal);
}

static void
close_memory (LeaseJournal *journal)
{
  g_free (journal);
}

LeaseJournal *
lease_journal_memory_new (void)
{
  static const LeaseJournalKind kind = { .close = close_memory };
  LeaseJournal *journal = g_new (LeaseJournal, 1);

  journal->kind = &kind;
  return journal;
}
