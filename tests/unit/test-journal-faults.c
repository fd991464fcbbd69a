/* SPDX-License-Identifier: MIT */

/* What becomes of commits and of syncing when the disk fails or is full. */

#include "tests/unit/journal-fixture.h"
#include "tests/unit/shim-vfs.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>

/* Failures */

/* Some nodes, so that what comes next changes several pages of the database. */
static LeaseJournal *
open_filled_journal (const char *path)
{
  LeaseJournal *journal = open_loaded_journal (path);
  g_autofree char *bytes = g_malloc0 (8192);

  for (uint64_t id = 2; id < 20; id++)
    assert_ok (commit_rows (journal, node_row (id, S_IFREG), name_row (1, "name", id),
                            write_row (id, 0, bytes, 8192)));
  return journal;
}

static int
commit_large (LeaseJournal *journal)
{
  g_autofree char *bytes = g_malloc0 (65536);

  return commit_rows (journal, node_row (50, S_IFREG), write_row (50, 0, bytes, 65536),
                      gone_row (2), truncate_row (3, 0), write_row (3, 0, "x", 1),
                      name_row (2, "new", 50));
}

/* What the files would hold if the process were killed now. */
static char *
text_after_kill (const Place *place)
{
  g_autofree char *directory = place_path (place, "killed");
  g_autofree char *path = g_build_filename (directory, "state.db", NULL);
  g_autofree char *log = g_build_filename (directory, "state.db-wal", NULL);
  char *text;

  g_mkdir (directory, 0700);
  g_remove (log);
  shim_vfs_cut (0);
  shim_vfs_leave (directory, 1, NULL);
  text = journal_text_at (path);
  assert_integrity (path);
  return text;
}

/* At whichever write it fails, nothing of it is there, and the next one succeeds. */
static void
assert_whole_or_absent (const Place *place, int code, int number, int error)
{
  LeaseJournal *journal = open_filled_journal (place->path);
  g_autofree char *before = text_after_kill (place), *after = NULL;
  unsigned good = 0;
  int result;

  for (;; good++) {
    g_autofree char *text = NULL;

    shim_vfs_fail (SHIM_WRITE, good, code, number);
    result = commit_large (journal);
    shim_vfs_fail (SHIM_WRITE, 0, SQLITE_OK, 0);
    if (result == 0)
      break;
    assert_int_equal (result, error);
    text = text_after_kill (place);
    assert_string_equal (text, before);
  }
  assert_true (good > 2);
  after = text_after_kill (place);
  assert_null (strstr (after, "node 2 "));
  assert_non_null (strstr (after, "\nname 50 in 2 \"new\" at 50\n"));
  assert_int_equal (place_warnings (), 2);
  lease_journal_close (journal);
}

static void
test_a_commit_is_whole_or_absent_on_a_full_disk (void **state)
{
  assert_whole_or_absent (*state, SQLITE_FULL, ENOSPC, -ENOSPC);
}

static void
test_a_commit_is_whole_or_absent_at_the_end_of_a_quota (void **state)
{
  assert_whole_or_absent (*state, SQLITE_IOERR_WRITE, EDQUOT, -ENOSPC);
}

static void
test_a_commit_is_whole_or_absent_on_a_bad_disk (void **state)
{
  assert_whole_or_absent (*state, SQLITE_IOERR_WRITE, EIO, -EIO);
}

static void
test_a_commit_that_is_refused_leaves_nothing (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_filled_journal (place->path);
  g_autofree char *before = text_after_kill (place), *after = NULL;

  assert_int_equal (
      commit_rows (journal, node_row (50, S_IFREG), name_row (1, "new", 50), node_row (2, S_IFREG)),
      -EIO);
  assert_ok (commit_rows (journal, name_row (1, "name", 19)));
  after = text_after_kill (place);
  assert_string_equal (after, before);
  lease_journal_close (journal);
}

/* The calls that follow a new log's header. */
static void
test_a_small_commit_is_one_write (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_filled_journal (place->path);

  assert_ok (commit_rows (journal, truncate_row (2, 0)));
  shim_vfs_cut (30);
  for (uint64_t i = 0; i < 10; i++) {
    assert_ok (commit_rows (journal, node_row (50 + i, S_IFREG), name_row (3, "x", 50 + i)));
    assert_ok (commit_rows (journal, write_row (2, 0, "x", 1), size_row (2, 1, 1 + (int64_t)i)));
    assert_ok (commit_rows (journal, gone_row (50 + i), truncate_row (3, 0)));
  }
  assert_false (shim_vfs_has_cut ());
  assert_ok (commit_rows (journal, gone_row (2)));
  assert_true (shim_vfs_has_cut ());
  lease_journal_close (journal);
}

static void
add_row (GArray *rows, LeaseRow row)
{
  g_array_append_val (rows, row);
}

/* Then SQLite writes pages to the log before the commit, and writes some of them again. */
static void
test_a_commit_larger_than_the_cache_is_whole (void **state)
{
  enum { NODES = 5000 };
  const Place *place = *state;
  g_autoptr (GArray) rows = g_array_new (FALSE, FALSE, sizeof (LeaseRow));
  g_autofree char *bytes = g_malloc0 (8192), *text = NULL, *closed = NULL;
  LeaseJournal *journal = open_filled_journal (place->path);

  for (uint64_t i = 0; i < NODES; i++)
    add_row (rows, node_row (100 + i, S_IFREG));
  for (uint64_t i = 0; i < NODES; i++) {
    uint64_t id = 100 + i * 7919 % NODES;

    add_row (rows, write_row (id, 0, bytes, 8192));
    add_row (rows, size_row (id, 8192, (int64_t)i));
  }
  for (int round = 0; round < 2; round++) {
    shim_vfs_fail (SHIM_WRITE, round == 0 ? 400 : 0, round == 0 ? SQLITE_FULL : SQLITE_OK, ENOSPC);
    assert_int_equal (lease_journal_commit (journal, (LeaseRow *)(void *)rows->data, rows->len),
                      round == 0 ? -ENOSPC : 0);
    g_free (text);
    text = text_after_kill (place);
    assert_int_equal (strstr (text, "\nnode 5099 ") != NULL, round > 0);
  }
  assert_ok (commit_rows (journal, gone_row (2)));
  g_free (text);
  text = text_after_kill (place);
  lease_journal_close (journal);
  closed = journal_text_at (place->path);
  assert_string_equal (text, closed);
  assert_integrity (place->path);
}

static void
assert_text_after_kill (const Place *place, uint64_t size, int64_t number)
{
  g_autofree char *text = text_after_kill (place);
  g_autofree char *line = g_strdup_printf ("node 2 100000 0 0 0 %lu 0 %ld 0\n", size, number);

  assert_non_null (strstr (text, line));
}

/* Who keeps the log from being emptied until it is closed. */
static sqlite3 *
begin_reading (const Place *place)
{
  sqlite3 *reader;

  assert_ok (sqlite3_open (place->path, &reader));
  assert_ok (sqlite3_exec (reader, "BEGIN; SELECT * FROM meta", NULL, NULL, NULL));
  return reader;
}

/* Each commit changes `size` bytes. For the part of the log's index that follows those which it has
 * and `parts` more there is no room. */
static void
assert_absent_without_index (const Place *place, uint64_t size, unsigned parts)
{
  LeaseJournal *journal = open_filled_journal (place->path);
  g_autofree char *bytes = g_malloc0 (size);
  sqlite3 *reader = begin_reading (place);
  int64_t number = 0;
  int result;

  shim_vfs_fail (SHIM_EXTEND, parts, SQLITE_IOERR_SHMSIZE, ENOSPC);
  do {
    memset (bytes, (int)('a' + ++number % 26), size);
    result = commit_rows (journal, write_row (2, 0, bytes, size), size_row (2, size, number));
  } while (result == 0);
  assert_int_equal (result, -ENOSPC);
  shim_vfs_fail (SHIM_EXTEND, 0, SQLITE_OK, 0);
  assert_text_after_kill (place, size, number - 1);
  assert_ok (commit_rows (journal, write_row (2, 0, bytes, size), size_row (2, size, number)));
  assert_text_after_kill (place, size, number);
  assert_ok (sqlite3_close (reader));
  lease_journal_close (journal);
}

static void
test_a_commit_for_which_the_index_has_no_room_is_absent (void **state)
{
  assert_absent_without_index (*state, 6, 0);
}

static void
test_so_is_a_large_one (void **state)
{
  assert_absent_without_index (*state, 65536, 0);
}

static void
test_so_it_is_when_the_index_has_grown_before (void **state)
{
  assert_absent_without_index (*state, 65536, 2);
}

static void
test_failures_are_told_once_and_so_is_their_end (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_filled_journal (place->path);

  shim_vfs_fail (SHIM_WRITE, 0, SQLITE_FULL, ENOSPC);
  for (int i = 0; i < 10; i++)
    assert_int_equal (commit_rows (journal, node_row (50, S_IFREG)), -ENOSPC);
  assert_int_equal (place_warnings (), 1);
  shim_vfs_fail (SHIM_WRITE, 0, SQLITE_OK, 0);
  for (uint64_t i = 0; i < 10; i++)
    assert_ok (commit_rows (journal, node_row (50 + i, S_IFREG)));
  assert_int_equal (place_warnings (), 2);
  lease_journal_close (journal);
}

/* A put, over and over: each one is a page of the log. */
static void
put_often (LeaseJournal *journal, unsigned count)
{
  for (unsigned i = 0; i < count; i++)
    assert_ok (commit_rows (journal, truncate_row (2, 0), write_row (2, 0, "zzzzzz", 6),
                            size_row (2, 6, i)));
}

static void
assert_text_after_puts (const Place *place, unsigned count)
{
  assert_text_after_kill (place, 6, count - 1);
}

/* The log has 300 pages at the most, and what is in it can be copied: nothing is new. */
static void
test_where_the_log_has_no_room_it_is_emptied (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal;

  lease_journal_close (open_filled_journal (place->path));
  journal = open_loaded_journal (place->path);
  put_often (journal, 300);
  shim_vfs_fail (SHIM_GROW, 0, SQLITE_FULL, ENOSPC);
  put_often (journal, 2000);
  assert_in_range (shim_vfs_failed (SHIM_GROW), 1, 20);
  assert_text_after_puts (place, 2000);
  assert_int_equal (place_warnings (), 0);
  shim_vfs_fail (SHIM_GROW, 0, SQLITE_OK, 0);
  lease_journal_close (journal);
  assert_integrity (place->path);
}

static void
test_so_it_is_where_its_index_has_none (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_filled_journal (place->path);

  shim_vfs_fail (SHIM_EXTEND, 0, SQLITE_IOERR_SHMSIZE, ENOSPC);
  put_often (journal, 5000);
  assert_int_equal (shim_vfs_failed (SHIM_EXTEND), 1);
  shim_vfs_fail (SHIM_EXTEND, 0, SQLITE_OK, 0);
  assert_text_after_puts (place, 5000);
  assert_int_equal (place_warnings (), 0);
  lease_journal_close (journal);
}

static void
put_and_be_killed (void *path)
{
  put_often (open_loaded_journal (path), 300);
}

static void
test_so_is_one_that_another_process_has_left (void **state)
{
  const Place *place = *state;
  g_autofree char *text = NULL;
  LeaseJournal *journal;

  lease_journal_close (open_filled_journal (place->path));
  in_child (put_and_be_killed, place->path);
  shim_vfs_fail (SHIM_GROW, 0, SQLITE_FULL, ENOSPC);
  journal = open_loaded_journal (place->path);
  put_often (journal, 2000);
  assert_true (shim_vfs_failed (SHIM_GROW) > 0);
  assert_int_equal (place_warnings (), 0);
  shim_vfs_fail (SHIM_GROW, 0, SQLITE_OK, 0);
  lease_journal_close (journal);
  text = journal_text_at (place->path);
  assert_non_null (strstr (text, "node 2 100000 0 0 0 6 0 1999 0\n"));
}

/* What is in the log is new: the database has no room for it. */
static void
test_what_cannot_be_copied_stays_in_a_log_without_room (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_filled_journal (place->path);
  g_autofree char *before = text_after_kill (place), *after = NULL;

  shim_vfs_fail (SHIM_GROW, 0, SQLITE_FULL, ENOSPC);
  for (int i = 0; i < 10; i++)
    assert_int_equal (commit_large (journal), -ENOSPC);
  after = text_after_kill (place);
  assert_string_equal (after, before);
  assert_int_equal (place_warnings (), 1);
  shim_vfs_fail (SHIM_GROW, 0, SQLITE_OK, 0);
  assert_ok (commit_large (journal));
  assert_int_equal (place_warnings (), 2);
  lease_journal_close (journal);
}

static void
test_checkpoints_that_fail_do_no_harm (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_filled_journal (place->path);
  g_autofree char *text = NULL;

  for (unsigned good = 0; good < 40; good++) {
    put_often (journal, good == 0 ? PUTS_TO_EMPTY : 1);
    shim_vfs_fail (SHIM_WRITE, good, SQLITE_IOERR_WRITE, EIO);
    lease_journal_tend (journal);
    shim_vfs_fail (SHIM_WRITE, 0, SQLITE_OK, 0);
    put_often (journal, 1);
    g_free (text);
    text = text_after_kill (place);
    assert_non_null (strstr (text, "write 2 0: 6 x 7a"));
  }
  lease_journal_close (journal);
}

/* Somebody must see that the log grows, though every commit succeeds. */
static void
test_a_log_that_cannot_be_copied_is_told_once (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_filled_journal (place->path);

  put_often (journal, PUTS_TO_EMPTY);
  for (int i = 0; i < 3; i++) {
    shim_vfs_fail (SHIM_WRITE, 0, SQLITE_FULL, ENOSPC);
    lease_journal_tend (journal);
    shim_vfs_fail (SHIM_WRITE, 0, SQLITE_OK, 0);
    put_often (journal, 1);
    assert_int_equal (place_warnings (), 1);
  }
  lease_journal_tend (journal);
  assert_int_equal (place_warnings (), 2);
  lease_journal_close (journal);
}

/* Syncing */

static void
test_sync_says_when_it_fails (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_filled_journal (place->path);

  shim_vfs_fail (SHIM_SYNC, 0, SQLITE_IOERR_FSYNC, EIO);
  assert_int_equal (lease_journal_sync (journal), -EIO);
  assert_int_equal (lease_journal_sync (journal), -EIO);
  assert_ok (commit_rows (journal, node_row (50, S_IFREG)));
  assert_int_equal (place_warnings (), 1);
  shim_vfs_fail (SHIM_SYNC, 0, SQLITE_IOERR_FSYNC, ENOSPC);
  assert_int_equal (lease_journal_sync (journal), -ENOSPC);
  shim_vfs_fail (SHIM_SYNC, 0, SQLITE_OK, 0);
  assert_ok (lease_journal_sync (journal));
  assert_int_equal (place_warnings (), 2);
  lease_journal_close (journal);
}

static void
test_a_sync_with_nothing_to_do_does_nothing (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_filled_journal (place->path);

  assert_ok (lease_journal_sync (journal));
  shim_vfs_fail (SHIM_SYNC, 0, SQLITE_IOERR_FSYNC, EIO);
  assert_ok (lease_journal_sync (journal));
  assert_ok (commit_rows (journal, node_row (50, S_IFREG)));
  assert_int_equal (shim_vfs_failed (SHIM_SYNC), 0);
  assert_int_equal (lease_journal_sync (journal), -EIO);
  shim_vfs_fail (SHIM_SYNC, 0, SQLITE_OK, 0);
  lease_journal_close (journal);
}

static void
test_what_a_failed_sync_has_lost_is_written_again (void **state)
{
  const Place *place = *state;
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  LeaseJournal *journal = open_filled_journal (place->path);
  g_autofree char *lost = NULL, *kept = NULL;

  assert_ok (lease_journal_sync (journal));
  assert_ok (commit_rows (journal, node_row (50, S_IFREG)));
  shim_vfs_fail (SHIM_SYNC, 0, SQLITE_IOERR_FSYNC, EIO);
  assert_int_equal (lease_journal_sync (journal), -EIO);
  shim_vfs_fail (SHIM_SYNC, 0, SQLITE_OK, 0);
  shim_vfs_cut (0);
  lost = text_after_cut (place, 0, random);
  assert_null (strstr (lost, "node 50 "));
  assert_ok (lease_journal_sync (journal));
  shim_vfs_cut (0);
  kept = text_after_cut (place, 0, random);
  assert_non_null (strstr (kept, "node 50 "));
  lease_journal_close (journal);
}

static void
test_a_log_that_cannot_be_synced_stays_for_the_next_process (void **state)
{
  const Place *place = *state;
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  LeaseJournal *journal = open_filled_journal (place->path);
  g_autofree char *text = NULL;

  shim_vfs_fail (SHIM_SYNC, 0, SQLITE_IOERR_FSYNC, EIO);
  assert_int_equal (lease_journal_sync (journal), -EIO);
  lease_journal_close (journal);
  shim_vfs_fail (SHIM_SYNC, 0, SQLITE_OK, 0);
  journal = open_loaded_journal (place->path);
  assert_ok (lease_journal_sync (journal));
  shim_vfs_cut (0);
  text = text_after_cut (place, 0, random);
  assert_non_null (strstr (text, "node 19 "));
  lease_journal_close (journal);
}

/* A reader keeps the log from being copied in full. SQLite takes what has been copied for done,
 * though it has not been synced. */
static void
test_what_was_copied_but_could_not_be_synced_is_written_again (void **state)
{
  const Place *place = *state;
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  LeaseJournal *journal = open_filled_journal (place->path);
  g_autofree char *text = NULL;
  sqlite3 *reader;

  put_often (journal, PUTS_TO_EMPTY);
  reader = begin_reading (place);
  put_often (journal, 1);
  assert_ok (lease_journal_sync (journal));
  shim_vfs_fail (SHIM_SYNC, 1, SQLITE_IOERR_FSYNC, EIO);
  lease_journal_tend (journal);
  assert_int_equal (shim_vfs_failed (SHIM_SYNC), 1);
  shim_vfs_fail (SHIM_SYNC, 0, SQLITE_OK, 0);
  assert_ok (sqlite3_close (reader));

  lease_journal_tend (journal);
  put_often (journal, 1);
  assert_ok (lease_journal_sync (journal));
  shim_vfs_cut (0);
  text = text_after_cut (place, 0, random);
  assert_non_null (strstr (text, "write 2 0: 6 x 7a"));
  assert_non_null (strstr (text, "node 19 "));
  lease_journal_close (journal);
}

typedef struct {
  const Place *place;
  unsigned times;
} Copying;

static void
copy_log (void *data)
{
  Copying *copying = data;

  copying->times++;
  run_sql (copying->place->path, "PRAGMA wal_checkpoint (PASSIVE)");
}

static void
lock_copying (sqlite3 *db, int how)
{
  enum { LOCK_COPY = 1 };
  sqlite3_file *file = NULL;

  sqlite3_file_control (db, NULL, SQLITE_FCNTL_FILE_POINTER, &file);
  assert_ok (file->pMethods->xShmLock (file, LOCK_COPY, 1, how | SQLITE_SHM_EXCLUSIVE));
}

/* The database is not written again while others copy into it, nor do they while it is. */
static void
test_what_others_copy_is_not_written_over (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_filled_journal (place->path);
  Copying copying = { .place = place };
  g_autofree char *text = NULL;
  sqlite3 *other;

  put_often (journal, PUTS_TO_EMPTY);
  shim_vfs_fail (SHIM_SYNC, 2, SQLITE_IOERR_FSYNC, EIO);
  lease_journal_tend (journal);
  assert_int_equal (shim_vfs_failed (SHIM_SYNC), 1);
  shim_vfs_fail (SHIM_SYNC, 0, SQLITE_OK, 0);
  assert_ok (commit_rows (journal, name_row (1, "later", 19)));

  assert_ok (sqlite3_open (place->path, &other));
  assert_ok (sqlite3_exec (other, "SELECT * FROM meta", NULL, NULL, NULL));
  shim_vfs_before_write (copy_log, &copying);
  lock_copying (other, SQLITE_SHM_LOCK);
  lease_journal_tend (journal);
  assert_int_equal (copying.times, 0);
  lock_copying (other, SQLITE_SHM_UNLOCK);
  assert_ok (sqlite3_close (other));
  lease_journal_tend (journal);
  assert_int_equal (copying.times, 1);

  put_often (journal, 1);
  lease_journal_close (journal);
  text = journal_text_at (place->path);
  assert_non_null (strstr (text, "\"later\""));
  assert_integrity (place->path);
}

static void
test_tend_syncs_what_nobody_has_asked_for (void **state)
{
  const Place *place = *state;
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  LeaseJournal *journal = open_filled_journal (place->path);
  g_autofree char *text = NULL;

  lease_journal_tend (journal);
  shim_vfs_cut (0);
  text = text_after_cut (place, 0, random);
  assert_non_null (strstr (text, "node 19 "));
  lease_journal_close (journal);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    shim_test (test_a_commit_is_whole_or_absent_on_a_full_disk),
    shim_test (test_a_commit_is_whole_or_absent_at_the_end_of_a_quota),
    shim_test (test_a_commit_is_whole_or_absent_on_a_bad_disk),
    shim_test (test_a_commit_that_is_refused_leaves_nothing),
    shim_test (test_a_small_commit_is_one_write),
    shim_test (test_a_commit_larger_than_the_cache_is_whole),
    shim_test (test_a_commit_for_which_the_index_has_no_room_is_absent),
    shim_test (test_so_is_a_large_one),
    shim_test (test_so_it_is_when_the_index_has_grown_before),
    shim_test (test_failures_are_told_once_and_so_is_their_end),
    shim_test (test_where_the_log_has_no_room_it_is_emptied),
    shim_test (test_so_it_is_where_its_index_has_none),
    shim_test (test_so_is_one_that_another_process_has_left),
    shim_test (test_what_cannot_be_copied_stays_in_a_log_without_room),
    shim_test (test_checkpoints_that_fail_do_no_harm),
    shim_test (test_a_log_that_cannot_be_copied_is_told_once),
    shim_test (test_sync_says_when_it_fails),
    shim_test (test_a_sync_with_nothing_to_do_does_nothing),
    shim_test (test_what_a_failed_sync_has_lost_is_written_again),
    shim_test (test_a_log_that_cannot_be_synced_stays_for_the_next_process),
    shim_test (test_what_was_copied_but_could_not_be_synced_is_written_again),
    shim_test (test_what_others_copy_is_not_written_over),
    shim_test (test_tend_syncs_what_nobody_has_asked_for),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
