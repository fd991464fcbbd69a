/* SPDX-License-Identifier: MIT */

/* What becomes of all that was said to last when the power fails: on a disk that loses, or keeps in
 * any order, what it was not told to sync. */

#include "tests/unit/journal-fixture.h"
#include "tests/unit/journal-model.h"
#include "tests/unit/shim-vfs.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>

/* A run of a journal with its power cut at some moment. */
typedef struct {
  const Place *place;
  GRand *random;
  LeaseJournal *journal;
  Model model;
  GPtrArray *texts; /* what it held after each commit; [0]: before the first */
  unsigned synced;  /* what must be there after a power cut: an index of `texts` */
} Run;

static Run *
run_new (const Place *place, uint32_t seed)
{
  Run *run = g_new0 (Run, 1);

  shim_vfs_remove ();
  shim_vfs_install ();
  g_remove (place->path);
  run->place = place;
  run->random = g_rand_new_with_seed (seed);
  run->texts = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (run->texts, g_strdup (""));
  run->journal = open_loaded_journal (place->path);
  return run;
}

static void
run_free (Run *run)
{
  lease_journal_close (run->journal);
  g_rand_free (run->random);
  g_ptr_array_unref (run->texts);
  g_free (run);
}

static void
commit_some (Run *run)
{
  g_autoptr (ModelChange) change = model_change_new ();
  Model before = run->model;

  model_step (&run->model, run->random, change);
  g_ptr_array_add (run->texts, model_text (&run->model));
  if (lease_journal_commit (run->journal, (LeaseRow *)change->rows->data, change->rows->len) == 0)
    return;
  run->model = before;
  g_ptr_array_set_size (run->texts, (int)run->texts->len - 1);
}

static void
sync_all (Run *run)
{
  if (lease_journal_sync (run->journal) == 0 && !shim_vfs_has_cut ())
    run->synced = run->texts->len - 1;
}

static void
reopen (Run *run)
{
  lease_journal_close (run->journal);
  run->journal = open_loaded_journal (run->place->path);
  sync_all (run);
}

static void
let_sync_fail (Run *run)
{
  shim_vfs_fail (SHIM_SYNC, g_rand_int (run->random) % 3, SQLITE_IOERR_FSYNC, EIO);
  commit_some (run);
  sync_all (run);
  lease_journal_tend (run->journal);
  shim_vfs_fail (SHIM_SYNC, 0, SQLITE_OK, 0);
}

/* As another program may do it at any time; but it does not know of a sync that has failed. */
static void
checkpoint (Run *run)
{
  if (lease_journal_sync (run->journal) == 0)
    run_sql (run->place->path, "PRAGMA wal_checkpoint (PASSIVE)");
}

static void
do_something (Run *run)
{
  uint32_t what = g_rand_int (run->random) % 40;

  if (what < 6)
    sync_all (run);
  else if (what < 8)
    lease_journal_tend (run->journal);
  else if (what < 11)
    checkpoint (run);
  else if (what < 12)
    reopen (run);
  else if (what < 13)
    let_sync_fail (run);
  else
    commit_some (run);
}

/* What is left is what it was after one of the commits, and not before the last that was synced. */
static void
assert_lasted (Run *run, double survival)
{
  g_autofree char *text = text_after_cut (run->place, survival, run->random);
  unsigned at = run->texts->len;

  while (at-- > run->synced)
    if (strcmp (text, g_ptr_array_index (run->texts, at)) == 0)
      return;
  fail_msg ("of %u commits, %u synced, this is left:\n%s", run->texts->len - 1, run->synced, text);
}

static void
cut_and_check (Run *run)
{
  if (!shim_vfs_has_cut ())
    shim_vfs_cut (0);
  shim_vfs_fail (SHIM_SYNC, 0, SQLITE_OK, 0);
  assert_lasted (run, 0);
  assert_lasted (run, 0.7);
  assert_lasted (run, 1);
}

static void
test_what_was_synced_outlasts_a_power_cut (void **state)
{
  for (uint32_t seed = 0; seed < 200; seed++) {
    Run *run = run_new (*state, seed);

    shim_vfs_cut (1 + g_rand_int (run->random) % 150);
    for (int i = 0; i < 60 && !shim_vfs_has_cut (); i++)
      do_something (run);
    cut_and_check (run);
    run_free (run);
  }
}

/* With so much in the log that tending it moves it into the database, over and over. */
static void
test_a_power_cut_while_the_log_is_emptied_loses_nothing (void **state)
{
  for (uint32_t seed = 0; seed < 15; seed++) {
    Run *run = run_new (*state, seed);

    for (int i = 0; i < 20; i++)
      commit_some (run);
    assert_ok (commit_rows (run->journal, node_row (1000, S_IFREG)));
    for (int64_t i = 0; i < PUTS_TO_EMPTY; i++)
      assert_ok (commit_rows (run->journal, size_row (1000, 1, i)));
    assert_ok (commit_rows (run->journal, gone_row (1000)));
    run->synced = run->texts->len - 1;
    assert_ok (lease_journal_sync (run->journal));
    for (int i = 0; i < 3; i++)
      commit_some (run);
    shim_vfs_cut (1 + g_rand_int (run->random) % 50);
    lease_journal_tend (run->journal);
    for (int i = 0; i < 30 && !shim_vfs_has_cut (); i++)
      do_something (run);
    cut_and_check (run);
    run_free (run);
  }
}

/* Whatever was in the log, and whether its sync failed before: all of it is in the file, or in a log
 * that is still there. */
static void
test_what_was_closed_outlasts_a_power_cut (void **state)
{
  for (uint32_t seed = 0; seed < 50; seed++) {
    Run *run = run_new (*state, seed);

    for (int i = 0; i < 30; i++)
      do_something (run);
    lease_journal_close (run->journal);
    run->synced = run->texts->len - 1;
    cut_and_check (run);
    run->journal = open_loaded_journal (run->place->path);
    run_free (run);
  }
}

static void
test_a_power_cut_while_the_file_is_made_leaves_a_new_one (void **state)
{
  const Place *place = *state;
  GRand *random = g_rand_new_with_seed (1);

  for (unsigned calls = 1; calls < 60; calls++) {
    shim_vfs_remove ();
    shim_vfs_install ();
    g_remove (place->path);
    shim_vfs_cut (calls);
    lease_journal_close (open_loaded_journal (place->path));
    for (int i = 0; i < 20 && shim_vfs_has_cut (); i++) {
      g_autofree char *text = text_after_cut (place, i % 5 * 0.25, random);

      assert_string_equal (text, "");
    }
  }
  g_rand_free (random);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    shim_test (test_what_was_synced_outlasts_a_power_cut),
    shim_test (test_a_power_cut_while_the_log_is_emptied_loses_nothing),
    shim_test (test_what_was_closed_outlasts_a_power_cut),
    shim_test (test_a_power_cut_while_the_file_is_made_leaves_a_new_one),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
