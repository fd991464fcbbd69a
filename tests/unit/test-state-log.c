/* SPDX-License-Identifier: MIT */

/* The log and the file over a long time: neither grows without bound, and others may look. */

#include "tests/unit/journal-fixture.h"
#include "tests/unit/journal-model.h"

#include <glib/gstdio.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define MIB (INT64_C (1) << 20)

/* The log is never larger, but by a commit, while nobody reads the file and the disk works. */
#define LOG_LIMIT (66 * MIB)

static int64_t
size_of (const Place *place, const char *name)
{
  g_autofree char *path = place_path (place, name);
  struct stat info;

  return stat (path, &info) == 0 ? info.st_size : 0;
}

typedef struct {
  LeaseJournal *journal;
  atomic_bool done;
} Shared;

/* More often than is asked for: the sooner something goes wrong. */
static void *
tend_until_done (void *data)
{
  Shared *shared = data;

  while (!atomic_load (&shared->done)) {
    lease_journal_tend (shared->journal);
    assert_ok (lease_journal_sync (shared->journal));
  }
  return NULL;
}

static void
put (LeaseJournal *journal, uint64_t id, int64_t number)
{
  assert_ok (commit_rows (journal, truncate_row (id, 0), write_row (id, 0, "zzzzzz", 6),
                          size_row (id, 6, number)));
}

/* An hour's worth, at 50 a second. All in all 400 MB go through the log. */
static void
test_the_log_stays_small_under_a_flood_of_commits (void **state)
{
  const Place *place = *state;
  Shared shared = { .journal = open_loaded_journal (place->path) };
  int64_t largest = 0;
  pthread_t thread;

  for (uint64_t id = 2; id < 1000; id++)
    assert_ok (commit_rows (shared.journal, node_row (id, S_IFREG)));
  assert_ok (pthread_create (&thread, NULL, tend_until_done, &shared));
  for (int64_t i = 0; i < 200000; i++) {
    put (shared.journal, 2 + (uint64_t)i % 998, i);
    if (i % 1000 == 0)
      largest = MAX (largest, size_of (place, "state.db-wal"));
  }
  atomic_store (&shared.done, true);
  assert_ok (pthread_join (thread, NULL));
  print_message ("  the log grew to %ld MiB\n", largest / MIB);
  assert_true (largest < LOG_LIMIT);
  lease_journal_close (shared.journal);
  assert_integrity (place->path);
}

/* `puts` make the log just larger than it may be. */
static void
assert_log_starts_again (const Place *place, int64_t puts)
{
  LeaseJournal *journal = open_loaded_journal (place->path);
  int64_t size;

  assert_ok (commit_rows (journal, node_row (2, S_IFREG)));
  for (int64_t i = 0; i < puts; i++)
    put (journal, 2, i);
  size = size_of (place, "state.db-wal");
  assert_in_range (size, 16 * MIB, 19 * MIB);
  for (int round = 0; round < 5; round++) {
    lease_journal_tend (journal);
    for (int64_t i = 0; i < puts - 100; i++)
      put (journal, 2, i);
  }
  assert_true (size_of (place, "state.db-wal") == size);
  lease_journal_close (journal);
}

static void
test_the_log_starts_again_when_it_has_been_emptied (void **state)
{
  assert_log_starts_again (*state, 8500);
}

/* A file is as it was made: the log's size is not a matter of how many pages it has. */
static void
test_so_does_that_of_a_file_with_larger_pages (void **state)
{
  const Place *place = *state;

  lease_journal_close (open_loaded_journal (place->path));
  run_sql (place->path, "PRAGMA journal_mode = DELETE; PRAGMA page_size = 4096; VACUUM");
  assert_log_starts_again (place, 4300);
  assert_integrity (place->path);
}

static void
write_mebibytes (LeaseJournal *journal, uint64_t count)
{
  g_autofree char *bytes = g_malloc0 (1024 * 1024);

  for (uint64_t i = 0; i < count; i++)
    assert_ok (commit_rows (journal, write_row (2, i << 20, bytes, 1 << 20)));
}

static void
test_commits_make_room_if_nobody_else_does (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);

  assert_ok (commit_rows (journal, node_row (2, S_IFREG)));
  write_mebibytes (journal, 200);
  assert_in_range (size_of (place, "state.db-wal"), 60 * MIB, LOG_LIMIT);
  lease_journal_close (journal);
  assert_integrity (place->path);
}

/* Then nobody waits: not while it is so, and not once it is over. */
static void
test_a_log_that_a_reader_lets_grow_shrinks_again (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  sqlite3 *reader;

  assert_ok (commit_rows (journal, node_row (2, S_IFREG)));
  assert_ok (sqlite3_open (place->path, &reader));
  assert_ok (sqlite3_exec (reader, "BEGIN; SELECT * FROM meta", NULL, NULL, NULL));
  write_mebibytes (journal, 100);
  assert_true (size_of (place, "state.db-wal") > 100 * MIB);
  assert_ok (sqlite3_close (reader));
  lease_journal_tend (journal);
  put (journal, 2, 1);
  assert_true (size_of (place, "state.db-wal") <= 64 * MIB);
  lease_journal_close (journal);
}

static void
test_space_is_used_again (void **state)
{
  enum { PIECE = 128 * 1024, PIECES = 256 };
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  g_autofree char *bytes = g_malloc (PIECE);
  int64_t first = 0;

  memset (bytes, 'x', PIECE);
  for (uint64_t round = 0; round < 5; round++) {

    assert_ok (commit_rows (journal, node_row (2 + round, S_IFREG)));
    for (uint64_t i = 0; i < PIECES; i++)
      assert_ok (commit_rows (journal, write_row (2 + round, i * PIECE, bytes, PIECE)));
    assert_ok (commit_rows (journal, gone_row (2 + round)));
    lease_journal_tend (journal);
    if (round == 0)
      first = size_of (place, "state.db");
  }
  assert_true (first >= 32 * MIB);
  assert_true (size_of (place, "state.db") <= first + MIB);
  lease_journal_close (journal);
}

/* As after somebody has mounted something over it: nothing is opened any more. */
static void
test_the_path_is_not_needed_once_it_is_open (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  g_autofree char *moved = g_strconcat (place->directory, "-moved", NULL);
  g_autofree char *text = NULL;

  assert_ok (g_rename (place->directory, moved));
  assert_ok (commit_rows (journal, node_row (2, S_IFREG)));
  for (int round = 0; round < 3; round++) {
    for (int64_t i = 0; i < PUTS_TO_EMPTY; i++)
      put (journal, 2, i);
    assert_ok (lease_journal_sync (journal));
    lease_journal_tend (journal);
  }
  assert_int_equal (place_warnings (), 0);
  assert_ok (g_rename (moved, place->directory));
  lease_journal_close (journal);
  text = journal_text_at (place->path);
  assert_non_null (strstr (text, "write 2 0: 6 x 7a"));
}

/* Backups */

static void
run_sqlite3 (const char *path, const char *command)
{
  const char *argv[] = { "sqlite3", path, command, NULL };
  g_autofree char *message = NULL;
  g_autoptr (GError) error = NULL;
  int status;

  if (!g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, &message,
                     &status, &error))
    fail_msg ("%s", error->message);
  if (status != 0 || message[0] != '\0')
    fail_msg ("sqlite3 %s: %s", command, message);
}

typedef struct {
  const Place *place;
  const char *command;
  atomic_bool done;
} Backup;

static void *
back_up (void *data)
{
  Backup *backup = data;

  run_sqlite3 (backup->place->path, backup->command);
  atomic_store (&backup->done, true);
  return NULL;
}

static void
assert_is_one_of (const char *text, const GPtrArray *texts)
{
  for (guint i = texts->len; i-- > 0;)
    if (strcmp (text, g_ptr_array_index (texts, i)) == 0)
      return;
  fail_msg ("this was never so:\n%s", text);
}

/* While commits go on, a hundred a second or more. */
static void
assert_copies_one_state (const Place *place, const char *how)
{
  g_autofree char *copy = place_path (place, "copy.db");
  g_autofree char *command = g_strdup_printf ("%s '%s'", how, copy);
  Backup backup = { .place = place, .command = command };
  g_autoptr (GPtrArray) texts = g_ptr_array_new_with_free_func (g_free);
  GRand *random = g_rand_new_with_seed (3);
  LeaseJournal *journal = open_loaded_journal (place->path);
  g_autofree char *text = NULL;
  Model model = { 0 };
  pthread_t thread;

  g_ptr_array_add (texts, model_text (&model)); /* it may be quicker than the first commit */
  assert_ok (pthread_create (&thread, NULL, back_up, &backup));
  for (unsigned i = 0; !atomic_load (&backup.done); i++) {
    g_autoptr (ModelChange) change = model_change_new ();

    model_step (&model, random, change);
    g_ptr_array_add (texts, model_text (&model));
    assert_ok (lease_journal_commit (journal, (LeaseRow *)change->rows->data, change->rows->len));
    if (i % 100 == 0)
      lease_journal_tend (journal);
  }
  assert_ok (pthread_join (thread, NULL));
  text = journal_text_at (copy);
  assert_is_one_of (text, texts);
  assert_integrity (copy);
  lease_journal_close (journal);
  g_rand_free (random);
}

static void
test_a_backup_taken_meanwhile_is_one_of_the_states (void **state)
{
  assert_copies_one_state (*state, ".backup");
}

static void
test_so_is_a_copy_made_by_vacuum (void **state)
{
  assert_copies_one_state (*state, "VACUUM INTO");
}

/* Others */

/* A program that has the file open and is told what to do, line by line. */
typedef struct {
  GPid pid;
  GIOChannel *to, *from;
} Other;

static Other
other_new (const char *path)
{
  const char *argv[] = { "sqlite3", path, NULL };
  Other other;
  int to, from;

  assert_true (g_spawn_async_with_pipes (NULL, (char **)argv, NULL,
                                         G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL,
                                         NULL, &other.pid, &to, &from, NULL, NULL));
  other.to = g_io_channel_unix_new (to);
  other.from = g_io_channel_unix_new (from);
  return other;
}

/* Its answer, one line. */
static char *
other_says (Other *other, const char *command)
{
  char *line = NULL;

  assert_int_equal (g_io_channel_write_chars (other->to, command, -1, NULL, NULL),
                    G_IO_STATUS_NORMAL);
  assert_int_equal (g_io_channel_flush (other->to, NULL), G_IO_STATUS_NORMAL);
  assert_int_equal (g_io_channel_read_line (other->from, &line, NULL, NULL, NULL),
                    G_IO_STATUS_NORMAL);
  return line;
}

static void
other_end (Other *other)
{
  int status;

  g_io_channel_shutdown (other->to, TRUE, NULL);
  waitpid (other->pid, &status, 0);
  assert_int_equal (status, 0);
  g_io_channel_unref (other->to);
  g_io_channel_unref (other->from);
}

#define SUM "SELECT count (*) || ' ' || sum (mtime) FROM node;\n"

/* What it sees stays, though the log would have been begun anew many times; and the next time it
 * looks, it sees the latest. */
static void
test_who_reads_sees_one_state_for_as_long_as_he_does (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);

  for (uint64_t id = 2; id < 100; id++)
    assert_ok (commit_rows (journal, node_row (id, S_IFREG)));
  Other other = other_new (place->path);
  for (int64_t round = 1; round < 6; round++) {
    g_autofree char *before = other_says (&other, "BEGIN; " SUM), *after = NULL, *latest = NULL;
    g_autofree char *expected = g_strdup_printf ("98 %ld\n", (long)(round * 9000 - 1) * 98);

    for (int64_t i = 0; i < 9000; i++) {
      put (journal, 2 + (uint64_t)i % 98, round);
      if (i % 500 == 0)
        lease_journal_tend (journal);
    }
    for (uint64_t id = 2; id < 100; id++)
      put (journal, id, round * 9000 - 1);
    after = other_says (&other, SUM);
    assert_string_equal (after, before);
    latest = other_says (&other, "COMMIT; " SUM);
    assert_string_equal (latest, expected);
    lease_journal_tend (journal);
    put (journal, 2, round * 9000 - 1);
  }
  other_end (&other);
  lease_journal_close (journal);
  assert_integrity (place->path);
}

/* What tells one log from the next: its header. */
static char *
header_of_log (const Place *place)
{
  enum { HEADER_SIZE = 32 };
  g_autofree char *path = place_path (place, "state.db-wal"), *bytes = NULL;
  gsize size = 0;

  assert_true (g_file_get_contents (path, &bytes, &size, NULL));
  assert_true (size > HEADER_SIZE);
  return g_compute_checksum_for_data (G_CHECKSUM_SHA256, (guchar *)bytes, HEADER_SIZE);
}

/* Copies the whole log, so that it can be begun anew, and commits a `number` that is not there yet:
 * what changes nothing is not written. Returns whether it was. */
static bool
begins_anew (const Place *place, LeaseJournal *journal, sqlite3 *db, int64_t number)
{
  g_autofree char *before = header_of_log (place), *after = NULL;
  int length, copied;

  assert_int_equal (
      sqlite3_wal_checkpoint_v2 (db, NULL, SQLITE_CHECKPOINT_PASSIVE, &length, &copied), SQLITE_OK);
  assert_true (length > 0);
  assert_int_equal (copied, length);
  put (journal, 2, number);
  after = header_of_log (place);
  return strcmp (before, after) != 0;
}

static void
lock_copying (sqlite3 *db, int how)
{
  enum { LOCK_COPY = 1 };
  sqlite3_file *file = NULL;

  sqlite3_file_control (db, NULL, SQLITE_FCNTL_FILE_POINTER, &file);
  assert_int_equal (file->pMethods->xShmLock (file, LOCK_COPY, 1, how | SQLITE_SHM_EXCLUSIVE),
                    SQLITE_OK);
}

/* Who reads needs it though all of it is copied; and who copies may just have looked at it. */
static void
test_the_log_is_not_begun_anew_while_somebody_needs_it (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  sqlite3 *db;

  assert_ok (commit_rows (journal, node_row (2, S_IFREG)));
  assert_int_equal (sqlite3_open (place->path, &db), SQLITE_OK);
  assert_int_equal (sqlite3_exec (db, "SELECT count (*) FROM node", NULL, NULL, NULL), SQLITE_OK);
  Other other = other_new (place->path);
  assert_true (begins_anew (place, journal, db, 1));

  g_free (other_says (&other, "BEGIN; " SUM));
  assert_false (begins_anew (place, journal, db, 2));
  g_free (other_says (&other, "COMMIT; SELECT 1;\n"));
  assert_true (begins_anew (place, journal, db, 3));

  assert_int_equal (sqlite3_wal_checkpoint (db, NULL), SQLITE_OK);
  g_autofree char *before = header_of_log (place), *after = NULL;
  lock_copying (db, SQLITE_SHM_LOCK);
  put (journal, 2, 4);
  after = header_of_log (place);
  assert_string_equal (after, before);
  lock_copying (db, SQLITE_SHM_UNLOCK);
  assert_true (begins_anew (place, journal, db, 5));

  other_end (&other);
  sqlite3_close (db);
  lease_journal_close (journal);
  assert_integrity (place->path);
}

static int
try_to_write (const Place *place)
{
  sqlite3 *db;
  int code;

  assert_int_equal (sqlite3_open (place->path, &db), SQLITE_OK);
  code = sqlite3_exec (db, "UPDATE node SET size = 7", NULL, NULL, NULL);
  sqlite3_close (db);
  return code;
}

static bool
find_it_locked (const LeaseRow *row, void *data)
{
  return try_to_write (data) == SQLITE_BUSY;
}

/* What would be written then would be unknown, and overwritten later. */
static void
test_nobody_else_writes_while_it_is_loaded (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);

  assert_ok (commit_rows (journal, node_row (2, S_IFREG)));
  lease_journal_close (journal);
  journal = open_journal (place->path);
  assert_true (lease_journal_load (journal, find_it_locked, *state, NULL));
  assert_int_equal (try_to_write (place), SQLITE_BUSY);
  lease_journal_close (journal);
}

static void
test_nobody_else_writes_until_it_is_closed (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);

  assert_ok (commit_rows (journal, node_row (2, S_IFREG)));
  assert_int_equal (try_to_write (place), SQLITE_BUSY);
  assert_ok (lease_journal_sync (journal));
  lease_journal_tend (journal);
  assert_int_equal (try_to_write (place), SQLITE_BUSY);
  put (journal, 2, 1);
  lease_journal_close (journal);
  assert_int_equal (try_to_write (place), SQLITE_OK);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    place_test (test_the_log_stays_small_under_a_flood_of_commits),
    place_test (test_the_log_starts_again_when_it_has_been_emptied),
    place_test (test_so_does_that_of_a_file_with_larger_pages),
    place_test (test_commits_make_room_if_nobody_else_does),
    place_test (test_a_log_that_a_reader_lets_grow_shrinks_again),
    place_test (test_space_is_used_again),
    place_test (test_the_path_is_not_needed_once_it_is_open),
    place_test (test_a_backup_taken_meanwhile_is_one_of_the_states),
    place_test (test_so_is_a_copy_made_by_vacuum),
    place_test (test_who_reads_sees_one_state_for_as_long_as_he_does),
    place_test (test_the_log_is_not_begun_anew_while_somebody_needs_it),
    place_test (test_nobody_else_writes_while_it_is_loaded),
    place_test (test_nobody_else_writes_until_it_is_closed),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
