/* SPDX-License-Identifier: MIT */

/* Which files are opened, and which are left alone. */

#include "tests/unit/journal-fixture.h"
#include "tests/unit/journal-model.h"
#include "tests/unit/shim-vfs.h"

#include "leases/state-schema.h"

#include <glib/gstdio.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Making */

static void
make_with_umask_0 (void *path)
{
  umask (0);
  lease_journal_close (open_loaded_journal (path));
}

static void
test_a_new_file_is_for_its_owner_only (void **state)
{
  const Place *place = *state;
  struct stat info;

  in_child (make_with_umask_0, place->path);
  assert_ok (stat (place->path, &info));
  assert_int_equal (info.st_mode, S_IFREG | 0600);
}

static void
test_so_are_the_files_beside_it (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  g_autofree char *log = place_path (place, "state.db-wal");
  g_autofree char *index = place_path (place, "state.db-shm");
  struct stat info;

  assert_ok (commit_rows (journal, node_row (2, S_IFREG)));
  assert_ok (stat (log, &info));
  assert_int_equal (info.st_mode, S_IFREG | 0600);
  assert_ok (stat (index, &info));
  assert_int_equal (info.st_mode, S_IFREG | 0600);
  lease_journal_close (journal);
}

static void
test_a_clean_close_leaves_one_file (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  g_autofree char *content = NULL;

  assert_ok (commit_rows (journal, node_row (2, S_IFREG)));
  lease_journal_close (journal);
  content = place_content (place);
  assert_null (strchr (content, '\n'));
}

static void
assert_mode (const Place *place, const char *name, mode_t mode)
{
  g_autofree char *path = place_path (place, name);
  struct stat info;

  assert_ok (stat (path, &info));
  assert_int_equal (info.st_mode, S_IFREG | mode);
}

/* And for its owner only, like one that was not there. */
static void
test_an_empty_file_is_as_good_as_none (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal;

  assert_true (g_file_set_contents (place->path, "", 0, NULL));
  assert_ok (chmod (place->path, 0644));
  journal = open_loaded_journal (place->path);
  assert_ok (commit_rows (journal, node_row (2, S_IFREG)));
  assert_mode (place, "state.db", 0600);
  assert_mode (place, "state.db-wal", 0600);
  assert_mode (place, "state.db-shm", 0600);
  lease_journal_close (journal);
  lease_journal_close (open_loaded_journal (place->path));
}

static void
test_the_mode_of_a_file_that_is_one_already_is_its_owners_matter (void **state)
{
  const Place *place = *state;

  lease_journal_close (open_loaded_journal (place->path));
  assert_ok (chmod (place->path, 0640));
  lease_journal_close (open_loaded_journal (place->path));
  assert_mode (place, "state.db", 0640);
}

static void
test_a_database_with_nothing_in_it_is_as_good_as_none (void **state)
{
  const Place *place = *state;
  g_autofree char *text = NULL;

  run_sql (place->path, "PRAGMA journal_mode = WAL");
  lease_journal_close (open_loaded_journal (place->path));
  text = journal_text_at (place->path);
  assert_string_equal (text, "");
  assert_integrity (place->path);
}

static void
test_a_file_that_was_marked_but_has_no_tables_yet_gets_them (void **state)
{
  const Place *place = *state;
  g_autofree char *sql = g_strdup_printf ("PRAGMA application_id = %u", LEASE_STATE_APPLICATION);
  LeaseJournal *journal;

  run_sql (place->path, sql);
  journal = open_loaded_journal (place->path);
  assert_ok (commit_rows (journal, node_row (2, S_IFREG)));
  lease_journal_close (journal);
}

static void
test_a_copy_made_by_vacuum_can_be_used (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  g_autofree char *copy = place_path (place, "copy.db"), *text = NULL;
  g_autofree char *sql = g_strdup_printf ("VACUUM INTO '%s'", copy);

  assert_ok (commit_rows (journal, node_row (2, S_IFREG)));
  lease_journal_close (journal);
  run_sql (place->path, sql);
  lease_journal_close (open_loaded_journal (copy));
  text = journal_text_at (copy);
  assert_string_equal (text, "node 2 100000 0 0 0 0 0 0 0\n");
}

static void
test_a_missing_directory_is_an_error (void **state)
{
  g_autofree char *path = place_path (*state, "none/state.db");

  assert_refused (path, "No such file or directory");
}

static void
test_a_failed_making_leaves_nothing (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal;
  unsigned good = 0;

  for (;; good++) {
    g_autofree char *content = NULL;
    g_autoptr (GError) error = NULL;

    shim_vfs_install ();
    shim_vfs_fail (SHIM_WRITE, good, SQLITE_FULL, 0);
    journal = lease_journal_sqlite_new (place->path, &error);
    shim_vfs_fail (SHIM_WRITE, 0, SQLITE_OK, 0);
    if (journal != NULL)
      break;
    if (strstr (error->message, "full") == NULL)
      fail_msg ("after %u calls: %s", good, error->message);
    shim_vfs_remove ();
    content = place_content (place);
    assert_string_equal (content, "");
  }
  assert_true (good > 10);
  lease_journal_close (journal);
  shim_vfs_remove ();
}

/* Keeping others out */

static void
be_refused (void *path)
{
  assert_refused (path, "in use by another leasefs");
}

static void
test_a_second_process_is_refused (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  g_autofree char *symbolic = place_path (place, "symlink"), *hard = place_path (place, "hardlink");

  assert_ok (symlink ("state.db", symbolic));
  assert_ok (link (place->path, hard));
  in_child (be_refused, place->path);
  in_child (be_refused, symbolic);
  in_child (be_refused, hard);
  assert_ok (commit_rows (journal, node_row (2, S_IFREG)));
  lease_journal_close (journal);
}

static void
test_a_file_that_another_program_writes_to_is_refused (void **state)
{
  const Place *place = *state;
  sqlite3 *other;

  lease_journal_close (open_loaded_journal (place->path));
  assert_ok (sqlite3_open (place->path, &other));
  assert_ok (sqlite3_exec (other, "BEGIN IMMEDIATE", NULL, NULL, NULL));
  assert_refused (place->path, "in use by another program: end that first");
  assert_ok (sqlite3_exec (other, "ROLLBACK", NULL, NULL, NULL));
  lease_journal_close (open_loaded_journal (place->path));
  assert_ok (sqlite3_close (other));
}

static void
test_a_file_is_free_again_once_it_is_closed (void **state)
{
  const Place *place = *state;

  lease_journal_close (open_loaded_journal (place->path));
  lease_journal_close (open_loaded_journal (place->path));
}

static void
test_a_file_can_be_reached_through_a_symlink (void **state)
{
  const Place *place = *state;
  g_autofree char *path = place_path (place, "symlink"), *text = NULL;
  LeaseJournal *journal;

  lease_journal_close (open_loaded_journal (place->path));
  assert_ok (symlink (place->path, path));
  journal = open_loaded_journal (path);
  assert_ok (commit_rows (journal, node_row (2, S_IFREG)));
  lease_journal_close (journal);
  text = journal_text_at (place->path);
  assert_string_equal (text, "node 2 100000 0 0 0 0 0 0 0\n");
}

/* Leaving alone what is not ours, or not whole */

static void
assert_left_alone (const Place *place, const char *words)
{
  g_autofree char *before = place_content (place), *after = NULL;

  assert_refused (place->path, words);
  after = place_content (place);
  assert_string_equal (after, before);
}

static void
test_other_files_are_left_alone (void **state)
{
  const Place *place = *state;

  assert_true (g_file_set_contents (place->path, "hello\n", -1, NULL));
  assert_left_alone (place, "no state file");
  assert_true (g_file_set_contents (place->path, "S", -1, NULL));
  assert_left_alone (place, "no state file");
  assert_true (g_file_set_contents (place->path, "SQLite format 3", 16, NULL));
  assert_left_alone (place, "no state file");
  assert_ok (truncate (place->path, 0));
  assert_ok (truncate (place->path, 8192));
  assert_left_alone (place, "no state file");
}

static void
test_what_is_no_regular_file_is_left_alone (void **state)
{
  const Place *place = *state;

  assert_ok (mkdir (place->path, 0700));
  assert_left_alone (place, "no regular file");
  assert_ok (rmdir (place->path));
  assert_ok (mkfifo (place->path, 0600));
  assert_left_alone (place, "no regular file");
  assert_ok (unlink (place->path));
  assert_ok (symlink ("/dev/null", place->path));
  assert_left_alone (place, "no regular file");
}

static void
use_a_log (void *path)
{
  sqlite3 *db;

  g_assert_cmpint (sqlite3_open (path, &db), ==, SQLITE_OK);
  g_assert_cmpint (
      sqlite3_exec (db, "PRAGMA journal_mode = WAL; CREATE TABLE t (x);", NULL, NULL, NULL), ==,
      SQLITE_OK);
}

/* Also one that, without its log, looks as if there were nothing in it. */
static void
test_other_databases_are_left_alone (void **state)
{
  const Place *place = *state;

  in_child (use_a_log, place->path);
  assert_left_alone (place, "another program");
  run_sql (place->path, "PRAGMA wal_checkpoint (TRUNCATE)");
  assert_left_alone (place, "another program");
  run_sql (place->path, "PRAGMA application_id = 7; DROP TABLE t");
  assert_left_alone (place, "another program");
}

static void
test_databases_with_text_that_is_not_utf_8_are_left_alone (void **state)
{
  const Place *place = *state;
  g_autofree char *mark = g_strdup_printf ("PRAGMA application_id = %u", LEASE_STATE_APPLICATION);

  run_sql (place->path, "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (x); DROP TABLE t; VACUUM");
  assert_left_alone (place, "not UTF-8");
  run_sql (place->path, mark);
  assert_left_alone (place, "not UTF-8");
}

static void
test_a_newer_schema_is_left_alone (void **state)
{
  const Place *place = *state;

  lease_journal_close (open_loaded_journal (place->path));
  run_sql (place->path, "PRAGMA user_version = 1000");
  assert_left_alone (place, "newer leasefs (schema 1000, this one knows up to 2)");
}

static void
raise_version_and_be_killed (void *path)
{
  sqlite3 *db;

  g_assert_cmpint (sqlite3_open (path, &db), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_exec (db, "PRAGMA user_version = 1000", NULL, NULL, NULL), ==,
                   SQLITE_OK);
}

static void
test_a_newer_schema_in_the_log_is_left_alone (void **state)
{
  const Place *place = *state;

  lease_journal_close (open_loaded_journal (place->path));
  in_child (raise_version_and_be_killed, place->path);
  assert_left_alone (place, "newer leasefs");
}

static void
test_a_file_with_several_names_is_left_alone (void **state)
{
  const Place *place = *state;
  g_autofree char *path = place_path (place, "hardlink");

  lease_journal_close (open_loaded_journal (place->path));
  assert_ok (link (place->path, path));
  assert_left_alone (place, "several names");
}

/* Older files */

static void
make_old (const Place *place)
{
  g_autofree char *sql = NULL;

  assert_true (g_file_get_contents (g_getenv ("STATE_1"), &sql, NULL, NULL));
  run_sql (place->path, sql);
}

/* What it says in the file itself, whatever its log has. */
static uint32_t
version_in_header (const char *path)
{
  g_autofree char *content = NULL;
  uint32_t version;

  assert_true (g_file_get_contents (path, &content, NULL, NULL));
  memcpy (&version, content + 60, sizeof version);
  return GUINT32_FROM_BE (version);
}

static void
load_and_be_killed (void *path)
{
  open_loaded_journal (path);
}

static void
open_and_be_killed (void *path)
{
  open_journal (path);
}

static void
test_an_older_file_is_brought_up_to_date (void **state)
{
  const Place *place = *state;
  g_autofree char *first = NULL, *second = NULL;

  make_old (place);
  assert_int_equal (version_in_header (place->path), 1);
  first = journal_text_at (place->path);
  assert_non_null (strstr (first, "name 6 in 4 \"web\" at 16 told\n"));
  assert_non_null (strstr (first, "left 3 1000472604164\n"));
  assert_non_null (strstr (first, "attach 11 to 10\n"));
  assert_int_equal (version_in_header (place->path), LEASE_STATE_VERSION);
  second = journal_text_at (place->path);
  assert_string_equal (second, first);
  assert_integrity (place->path);
}

static void
test_that_happens_when_it_is_loaded_and_at_once (void **state)
{
  const Place *place = *state;

  make_old (place);
  in_child (open_and_be_killed, place->path);
  assert_int_equal (version_in_header (place->path), 1);
  lease_journal_close (open_journal (place->path));
  assert_int_equal (version_in_header (place->path), 1);
  in_child (load_and_be_killed, place->path);
  assert_int_equal (version_in_header (place->path), LEASE_STATE_VERSION);
}

static bool
refuse_nothing (const LeaseRow *row, void *data)
{
  return true;
}

static bool
refuse_leases (const LeaseRow *row, void *data)
{
  return row->type != LEASE_ROW_LEASE;
}

static void
test_an_older_file_that_is_refused_is_left_as_it_was (void **state)
{
  const Place *place = *state;
  g_autofree char *before = NULL, *after = NULL;
  g_autoptr (GError) error = NULL;
  LeaseJournal *journal;

  make_old (place);
  before = place_content (place);
  journal = open_journal (place->path);
  assert_false (lease_journal_load (journal, refuse_leases, NULL, &error));
  lease_journal_close (journal);
  after = place_content (place);
  assert_string_equal (after, before);
  run_sql (place->path, "UPDATE node SET size = -1 WHERE id = 5");
  assert_left_alone (place, "damaged: table node, row id = 5 makes no sense");
}

/* Whatever write fails: it is old or new, and whole. */
static void
test_an_older_file_survives_a_full_disk (void **state)
{
  const Place *place = *state;
  g_autofree char *old = NULL, *expected = NULL;
  unsigned good = 0;
  bool loaded = false;
  size_t size;

  make_old (place);
  assert_true (g_file_get_contents (place->path, &old, &size, NULL));
  expected = journal_text_at (place->path);
  for (; !loaded; good++) {
    g_autofree char *text = NULL;
    g_autoptr (GError) error = NULL;

    assert_true (g_file_set_contents (place->path, old, (gssize)size, NULL));
    shim_vfs_install ();
    shim_vfs_fail (SHIM_WRITE, good, SQLITE_FULL, 0);
    LeaseJournal *journal = lease_journal_sqlite_new (place->path, &error);
    loaded = journal != NULL && lease_journal_load (journal, refuse_nothing, NULL, &error);
    shim_vfs_fail (SHIM_WRITE, 0, SQLITE_OK, 0);
    g_clear_pointer (&journal, lease_journal_close);
    shim_vfs_remove ();
    text = journal_text_at (place->path);
    assert_string_equal (text, expected);
  }
  assert_true (good > 2);
}

/* Enough of each kind for tables of several pages. */
static void
fill (LeaseJournal *journal)
{
  g_autofree char *bytes = g_malloc0 (8192);

  for (uint64_t id = 2; id < 300; id++) {
    g_autofree char *name = g_strdup_printf ("a name that is not short %lu", id);
    LeaseRow lease = { .type = LEASE_ROW_LEASE, .stored = true, .node = id };
    LeaseRow grant = { .type = LEASE_ROW_GRANT, .stored = true, .node = id, .ns = 100 };
    LeaseRow attach = { .type = LEASE_ROW_ATTACH, .stored = true, .node = id, .lease = id };

    assert_ok (commit_rows (journal, node_row (id, S_IFREG), name_row (1, name, id),
                            write_row (id, 0, bytes, id % 10 ? 5 : 8192), lease, grant, attach,
                            xattr_row (id, "user.a", bytes, 50)));
  }
}

static void
make_filled (const char *path)
{
  LeaseJournal *journal = open_loaded_journal (path);

  fill (journal);
  lease_journal_close (journal);
}

static void
overwrite (const char *path, size_t offset, size_t size)
{
  g_autofree char *content = NULL;
  size_t whole;

  assert_true (g_file_get_contents (path, &content, &whole, NULL));
  assert_true (offset + size <= whole);
  memset (content + offset, 0xa5, size);
  assert_true (g_file_set_contents (path, content, (gssize)whole, NULL));
}

static void
test_a_damaged_header_is_left_alone (void **state)
{
  const Place *place = *state;

  make_filled (place->path);
  overwrite (place->path, 100, 20);
  assert_left_alone (place, "damaged");
  overwrite (place->path, 16, 40);
  assert_left_alone (place, "damaged");
  overwrite (place->path, 3, 1);
  assert_left_alone (place, "damaged");
}

static void
test_a_file_that_was_cut_off_is_left_alone (void **state)
{
  const Place *place = *state;
  struct stat info;

  make_filled (place->path);
  assert_ok (stat (place->path, &info));
  for (int64_t size = info.st_size - 1; size > 0; size -= 50000) {
    assert_ok (truncate (place->path, size));
    assert_left_alone (place, "damaged");
  }
}

/* Whether the file is refused, and then untouched, with its page `number` overwritten. */
static bool
is_refused_without_page (const Place *place, const char *good, size_t size, size_t number)
{
  g_autofree char *before = NULL, *after = NULL;
  g_autoptr (GError) error = NULL;
  LeaseJournal *journal;
  GString *rows = g_string_new (NULL);
  bool loaded;

  assert_true (g_file_set_contents (place->path, good, (gssize)size, NULL));
  overwrite (place->path, number * 4096, 4096);
  before = place_content (place);
  journal = lease_journal_sqlite_new (place->path, &error);
  loaded = journal != NULL && lease_journal_load (journal, model_append, rows, &error);
  g_clear_pointer (&journal, lease_journal_close);
  g_string_free (rows, TRUE);
  after = place_content (place);
  if (!loaded)
    assert_string_equal (after, before);
  return !loaded;
}

static void
test_damaged_pages_are_found_and_left_alone (void **state)
{
  const Place *place = *state;
  g_autofree char *good = NULL;
  size_t size, refused = 0;

  make_filled (place->path);
  assert_true (g_file_get_contents (place->path, &good, &size, NULL));
  for (size_t i = 0; i < size / 4096; i++)
    refused += is_refused_without_page (place, good, size, i);
  print_message ("  %zu of %zu\n", refused, size / 4096);
  assert_true (refused >= 20);
}

static void
commit_and_be_killed (void *path)
{
  g_assert_cmpint (commit_rows (open_loaded_journal (path), node_row (1000, S_IFREG)), ==, 0);
}

static void
test_a_log_stays_when_the_database_is_damaged (void **state)
{
  const Place *place = *state;
  g_autofree char *log = place_path (place, "state.db-wal");
  struct stat info;

  make_filled (place->path);
  in_child (commit_and_be_killed, place->path);
  assert_ok (stat (log, &info));
  assert_true (info.st_size > 0);
  overwrite (place->path, 4096 * 2, 4096);
  assert_left_alone (place, "damaged");
}

static void
test_rows_that_make_no_sense_are_named (void **state)
{
  static const struct {
    const char *sql, *words;
  } cases[] = {
    { "UPDATE node SET size = -1 WHERE id = 5", "table node, row id = 5 makes no sense" },
    { "UPDATE node SET mode = -1 WHERE id = 5", "table node, row id = 5 makes no sense" },
    { "UPDATE node SET uid = 4294967296 WHERE id = 5", "table node, row id = 5 makes no sense" },
    { "UPDATE node SET mode = 41471 WHERE id = 5", "table node, row id = 5 makes no sense" },
    { "UPDATE node SET id = -5 WHERE id = 5", "table node, row id = -5 makes no sense" },
    { "UPDATE node SET data = zeroblob (4097) WHERE id = 5", "table node, row id = 5 makes" },
    { "UPDATE node SET data = x'' WHERE id = 5", "table node, row id = 5 makes no sense" },
    { "UPDATE node SET lease = 0 WHERE id = 5", "table node, row id = 5, lease = 0 makes" },
    { "UPDATE page SET number = 0 WHERE node = 10", "table page, row node = 10, number = 0 makes" },
    { "UPDATE page SET number = -1 WHERE node = 10", "row node = 10, number = -1 makes" },
    { "UPDATE page SET data = zeroblob (5000) WHERE node = 10", "row node = 10, number = 1 makes" },
    { "UPDATE name SET node = 0 WHERE node = 5", "table name, row parent = 1, name = \"a name" },
    { "UPDATE name SET name = '' WHERE node = 5", "row parent = 1, name = \"\" makes" },
    { "UPDATE name SET name = 'a/b' WHERE node = 5", "row parent = 1, name = \"a/b\" makes" },
    { "UPDATE name SET name = CAST (x'6100' AS TEXT) WHERE node = 5", "name = \"a\" makes" },
    { "UPDATE name SET position = 0 WHERE node = 5", "table name, row parent = 1" },
    { "UPDATE name SET told = 2 WHERE node = 5", "table name, row parent = 1" },
    { "UPDATE lease SET granted = -1 WHERE id = 5", "table lease, row id = 5 makes no sense" },
    { "UPDATE lease SET remaining = -1 WHERE id = 5", "table lease, row id = 5 makes no sense" },
    { "UPDATE lease SET ended = 2 WHERE id = 5", "table lease, row id = 5 makes no sense" },
    { "UPDATE lease SET keys_mode = -1 WHERE id = 5", "table lease, row id = 5 makes no sense" },
    { "INSERT INTO meta VALUES ('next_node', 0)", "table meta, row name = \"next_node\" makes" },
    { "UPDATE xattr SET node = 0 WHERE node = 5", "table xattr, row node = 0, name = \"user.a\"" },
    { "UPDATE xattr SET name = CAST (x'6100' AS TEXT) WHERE node = 5",
      "node = 5, name = \"a\" makes" },
    { "DROP TABLE page", "no such table: page" },
    { "DROP TABLE xattr", "no such table: xattr" },
    { "DROP TABLE meta", "no such table: meta" },
    { "ALTER TABLE node RENAME COLUMN size TO length", "no such column: size" },
    { "PRAGMA user_version = 0", "no schema version" },
  };
  const Place *place = *state;
  g_autofree char *good = NULL;
  size_t size;

  make_filled (place->path);
  assert_true (g_file_get_contents (place->path, &good, &size, NULL));
  for (size_t i = 0; i < G_N_ELEMENTS (cases); i++) {
    assert_true (g_file_set_contents (place->path, good, (gssize)size, NULL));
    run_sql (place->path, cases[i].sql);
    assert_left_alone (place, cases[i].words);
    assert_refused (place->path, "damaged");
  }
}

/* What else is open stays as it was, whatever was tried. */
static size_t
count_descriptors (void)
{
  GDir *directory = g_dir_open ("/proc/self/fd", 0, NULL);
  size_t count = 0;

  while (g_dir_read_name (directory) != NULL)
    count++;
  g_dir_close (directory);
  return count;
}

static void
test_no_descriptor_is_left_open (void **state)
{
  const Place *place = *state;
  size_t before = count_descriptors ();

  make_filled (place->path);
  lease_journal_close (open_journal (place->path));
  run_sql (place->path, "UPDATE node SET size = -1");
  assert_refused (place->path, "damaged");
  run_sql (place->path, "PRAGMA user_version = 1000");
  assert_refused (place->path, "newer");
  overwrite (place->path, 0, 4096);
  assert_refused (place->path, "no state file");
  assert_int_equal (count_descriptors (), before);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    place_test (test_a_new_file_is_for_its_owner_only),
    place_test (test_so_are_the_files_beside_it),
    place_test (test_a_clean_close_leaves_one_file),
    place_test (test_an_empty_file_is_as_good_as_none),
    place_test (test_the_mode_of_a_file_that_is_one_already_is_its_owners_matter),
    place_test (test_a_database_with_nothing_in_it_is_as_good_as_none),
    place_test (test_a_file_that_was_marked_but_has_no_tables_yet_gets_them),
    place_test (test_a_copy_made_by_vacuum_can_be_used),
    place_test (test_a_missing_directory_is_an_error),
    place_test (test_a_failed_making_leaves_nothing),
    place_test (test_a_second_process_is_refused),
    place_test (test_a_file_that_another_program_writes_to_is_refused),
    place_test (test_a_file_is_free_again_once_it_is_closed),
    place_test (test_a_file_can_be_reached_through_a_symlink),
    place_test (test_other_files_are_left_alone),
    place_test (test_what_is_no_regular_file_is_left_alone),
    place_test (test_other_databases_are_left_alone),
    place_test (test_databases_with_text_that_is_not_utf_8_are_left_alone),
    place_test (test_a_newer_schema_is_left_alone),
    place_test (test_a_newer_schema_in_the_log_is_left_alone),
    place_test (test_a_file_with_several_names_is_left_alone),
    place_test (test_an_older_file_is_brought_up_to_date),
    place_test (test_that_happens_when_it_is_loaded_and_at_once),
    place_test (test_an_older_file_that_is_refused_is_left_as_it_was),
    place_test (test_an_older_file_survives_a_full_disk),
    place_test (test_a_damaged_header_is_left_alone),
    place_test (test_a_file_that_was_cut_off_is_left_alone),
    place_test (test_damaged_pages_are_found_and_left_alone),
    place_test (test_a_log_stays_when_the_database_is_damaged),
    place_test (test_rows_that_make_no_sense_are_named),
    place_test (test_no_descriptor_is_left_open),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
