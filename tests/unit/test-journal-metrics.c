/* SPDX-License-Identifier: MIT */

/* What a journal tells of itself. How long its calls take is up to the machine: that they are
 * counted, and not less than nothing, is what can be known. */

#include "tests/unit/journal-fixture.h"
#include "tests/unit/shim-vfs.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/stat.h>

static LeaseJournalMetrics
metrics_of (LeaseJournal *journal)
{
  LeaseJournalMetrics metrics;

  assert_true (lease_journal_metrics (journal, &metrics));
  return metrics;
}

static uint64_t
count_of (const LeaseHistogram *histogram)
{
  uint64_t count = 0;

  for (unsigned i = 0; i <= LEASE_HISTOGRAM_BOUNDS; i++)
    count += histogram->counts[i];
  return count;
}

static uint64_t
size_of (const Place *place, const char *name)
{
  g_autofree char *path = place_path (place, name);
  struct stat info;

  assert_ok (stat (path, &info));
  return info.st_size;
}

static int
commit_some (LeaseJournal *journal, uint64_t id)
{
  static const char bytes[4 * LEASE_JOURNAL_PAGE];

  return commit_rows (journal, node_row (id, S_IFREG), write_row (id, 0, bytes, sizeof bytes));
}

static void
test_what_keeps_nothing_tells_nothing (void **state)
{
  g_autoptr (LeaseJournal) journal = lease_journal_memory_new ();
  LeaseJournalMetrics metrics;

  assert_false (lease_journal_metrics (journal, &metrics));
}

static void
test_commits_and_syncs_are_counted_and_take_time (void **state)
{
  const Place *place = *state;
  g_autoptr (LeaseJournal) journal = open_loaded_journal (place->path);
  LeaseJournalMetrics before = metrics_of (journal), after;
  LeaseRow unstored = node_row (9, S_IFREG);

  assert_int_equal (count_of (&before.commits), 0);
  for (uint64_t id = 2; id < 5; id++)
    assert_ok (commit_some (journal, id));
  unstored.stored = false;
  assert_ok (commit_rows (journal, unstored)); /* nothing to do */
  assert_ok (lease_journal_sync (journal));
  after = metrics_of (journal);
  assert_int_equal (count_of (&after.commits), 3);
  assert_true (after.commits.sum_ns > 0);
  assert_int_equal (count_of (&after.syncs), count_of (&before.syncs) + 1);
  assert_true (after.syncs.sum_ns > before.syncs.sum_ns);
  assert_int_equal (after.commit_errors, 0);
  assert_int_equal (after.sync_errors, 0);
}

static void
test_sizes_are_those_of_the_files (void **state)
{
  const Place *place = *state;
  g_autoptr (LeaseJournal) journal = open_loaded_journal (place->path);
  LeaseJournalMetrics metrics;

  for (uint64_t id = 2; id < 5; id++) {
    assert_ok (commit_some (journal, id));
    metrics = metrics_of (journal);
    assert_int_equal (metrics.data_bytes, size_of (place, "state.db"));
    assert_int_equal (metrics.log_bytes, size_of (place, "state.db-wal"));
  }
  assert_true (metrics.data_bytes > 0 && metrics.log_bytes > 3 * 4 * LEASE_JOURNAL_PAGE);
}

static void
test_what_fails_is_counted_as_well (void **state)
{
  const Place *place = *state;
  LeaseJournalMetrics metrics;

  shim_vfs_install ();
  LeaseJournal *journal = open_loaded_journal (place->path);
  shim_vfs_fail (SHIM_WRITE, 0, SQLITE_FULL, ENOSPC);
  assert_int_equal (commit_some (journal, 2), -ENOSPC);
  assert_int_equal (commit_some (journal, 2), -ENOSPC);
  shim_vfs_fail (SHIM_WRITE, 0, SQLITE_OK, 0);
  assert_ok (commit_some (journal, 2));
  shim_vfs_fail (SHIM_SYNC, 0, SQLITE_IOERR_FSYNC, EIO);
  assert_int_equal (lease_journal_sync (journal), -EIO);
  shim_vfs_fail (SHIM_SYNC, 0, SQLITE_OK, 0);
  metrics = metrics_of (journal);
  assert_int_equal (metrics.commit_errors, 2);
  assert_int_equal (count_of (&metrics.commits), 3);
  assert_int_equal (metrics.sync_errors, 1);
  lease_journal_close (journal);
  shim_vfs_remove ();
}

typedef struct {
  LeaseJournal *journal;
  atomic_bool done;
} Shared;

static void *
ask_until_done (void *data)
{
  Shared *shared = data;
  uint64_t commits = 0, syncs = 0;

  while (!atomic_load (&shared->done)) {
    LeaseJournalMetrics metrics = metrics_of (shared->journal);
    assert_true (count_of (&metrics.commits) >= commits && count_of (&metrics.syncs) >= syncs);
    commits = count_of (&metrics.commits);
    syncs = count_of (&metrics.syncs);
  }
  return NULL;
}

static void
test_it_can_be_asked_at_any_time (void **state)
{
  const Place *place = *state;
  Shared shared = { .journal = open_loaded_journal (place->path) };
  pthread_t thread;

  assert_ok (pthread_create (&thread, NULL, ask_until_done, &shared));
  for (uint64_t id = 2; id < 1500; id++) {
    assert_ok (commit_some (shared.journal, id));
    if (id % 100 == 0)
      assert_ok (lease_journal_sync (shared.journal));
    if (id % 10 == 0)
      lease_journal_tend (shared.journal);
  }
  atomic_store (&shared.done, true);
  assert_ok (pthread_join (thread, NULL));
  LeaseJournalMetrics metrics = metrics_of (shared.journal);
  assert_int_equal (count_of (&metrics.commits), 1498);
  assert_true (count_of (&metrics.syncs) >= 14);
  lease_journal_close (shared.journal);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_what_keeps_nothing_tells_nothing),
    place_test (test_commits_and_syncs_are_counted_and_take_time),
    place_test (test_sizes_are_those_of_the_files),
    place_test (test_what_fails_is_counted_as_well),
    place_test (test_it_can_be_asked_at_any_time),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
