/* SPDX-License-Identifier: MIT */

#include "tests/unit/journal-fixture.h"

#include "tests/unit/journal-model.h"
#include "tests/unit/shim-vfs.h"

#include <glib/gstdio.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned warnings; /* atomic */

static GLogWriterOutput
count_warning (GLogLevelFlags level, const GLogField *fields, size_t count, void *data)
{
  if (level & (G_LOG_FLAG_FATAL | G_LOG_LEVEL_ERROR))
    return g_log_writer_standard_streams (level, fields, count, data);
  g_atomic_int_inc (&warnings);
  return G_LOG_WRITER_HANDLED;
}

/* It can be done only once. */
static void
watch_log (void)
{
  static bool watched;

  if (!watched)
    g_log_set_writer_func (count_warning, NULL, NULL);
  watched = true;
}

int
place_setup (void **state)
{
  Place *place = g_new (Place, 1);

  place->directory = g_dir_make_tmp ("leasefs-XXXXXX", NULL);
  assert_non_null (place->directory);
  place->path = place_path (place, "state.db");
  warnings = 0;
  watch_log ();
  *state = place;
  return 0;
}

static void
remove_tree (const char *path)
{
  GDir *directory = g_file_test (path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open (path, 0, NULL);
  const char *name;

  while (directory != NULL && (name = g_dir_read_name (directory)) != NULL) {
    g_autofree char *child = g_build_filename (path, name, NULL);

    remove_tree (child);
  }
  g_clear_pointer (&directory, g_dir_close);
  g_remove (path);
}

int
place_teardown (void **state)
{
  Place *place = *state;

  remove_tree (place->directory);
  g_free (place->directory);
  g_free (place->path);
  g_free (place);
  return 0;
}

unsigned
place_warnings (void)
{
  return (unsigned)g_atomic_int_get (&warnings);
}

char *
place_path (const Place *place, const char *name)
{
  return g_build_filename (place->directory, name, NULL);
}

static int
by_text (const void *a, const void *b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

static char *
describe (const Place *place, const char *name)
{
  g_autofree char *path = place_path (place, name);
  g_autofree char *content = NULL, *sum = NULL;
  struct stat info;
  size_t size = 0;

  assert_ok (lstat (path, &info));
  if (S_ISREG (info.st_mode) && !g_str_has_suffix (name, "-shm"))
    assert_true (g_file_get_contents (path, &content, &size, NULL));
  sum = g_compute_checksum_for_data (G_CHECKSUM_SHA256, (guchar *)content, size);
  return g_strdup_printf ("%s %o %zu %s", name, info.st_mode, size, sum);
}

char *
place_content (const Place *place)
{
  GDir *directory = g_dir_open (place->directory, 0, NULL);
  g_autoptr (GPtrArray) lines = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  assert_non_null (directory);
  while ((name = g_dir_read_name (directory)) != NULL)
    g_ptr_array_add (lines, describe (place, name));
  g_dir_close (directory);
  g_ptr_array_sort (lines, by_text);
  g_ptr_array_add (lines, NULL);
  return g_strjoinv ("\n", (char **)lines->pdata);
}

int
shim_place_setup (void **state)
{
  int result = place_setup (state);

  shim_vfs_install ();
  return result;
}

int
shim_place_teardown (void **state)
{
  shim_vfs_remove ();
  return place_teardown (state);
}

LeaseJournal *
open_journal (const char *path)
{
  g_autoptr (GError) error = NULL;
  LeaseJournal *journal = lease_journal_sqlite_new (path, &error);

  if (journal == NULL)
    fail_msg ("%s", error->message);
  return journal;
}

static bool
ignore_row (const LeaseRow *row, void *data)
{
  return true;
}

LeaseJournal *
open_loaded_journal (const char *path)
{
  g_autoptr (GError) error = NULL;
  LeaseJournal *journal = open_journal (path);

  if (!lease_journal_load (journal, ignore_row, NULL, &error))
    fail_msg ("%s", error->message);
  return journal;
}

char *
journal_text_at (const char *path)
{
  g_autoptr (LeaseJournal) journal = open_journal (path);
  char *text = model_text_of (journal);

  assert_non_null (text);
  return text;
}

void
assert_refused (const char *path, const char *words)
{
  g_autoptr (GError) error = NULL;
  LeaseJournal *journal = lease_journal_sqlite_new (path, &error);

  if (journal != NULL) {
    bool loaded = lease_journal_load (journal, ignore_row, NULL, &error);

    lease_journal_close (journal);
    if (loaded)
      fail_msg ("%s was not refused (\"%s\")", path, words);
  }
  if (!g_str_has_prefix (error->message, path) || strstr (error->message, words) == NULL ||
      strchr (error->message, '\n') != NULL)
    fail_msg ("\"%s\" does not say \"%s\"", error->message, words);
}

static int
take_text (void *data, int count, char **values, char **names)
{
  g_string_append_printf (data, "%s\n", values[0] != NULL ? values[0] : "NULL");
  return 0;
}

void
assert_integrity (const char *path)
{
  sqlite3 *db;
  GString *text = g_string_new (NULL);

  assert_ok (sqlite3_open_v2 (path, &db, SQLITE_OPEN_READWRITE, NULL));
  assert_ok (sqlite3_exec (db, "PRAGMA integrity_check", take_text, text, NULL));
  assert_string_equal (text->str, "ok\n");
  assert_ok (sqlite3_close (db));
  g_string_free (text, TRUE);
}

char *
text_after_cut (const Place *place, double survival, GRand *random)
{
  static unsigned number;
  g_autofree char *name = g_strdup_printf ("cut-%u", number++);
  g_autofree char *directory = place_path (place, name);
  g_autofree char *path = g_build_filename (directory, "state.db", NULL);
  char *text;

  assert_ok (g_mkdir (directory, 0700));
  shim_vfs_leave (directory, survival, random);
  text = journal_text_at (path);
  assert_integrity (path);
  return text;
}

void
run_sql (const char *path, const char *sql)
{
  sqlite3 *db;
  char *message = NULL;

  assert_ok (sqlite3_open (path, &db));
  if (sqlite3_exec (db, sql, NULL, NULL, &message) != SQLITE_OK)
    fail_msg ("%s: %s", sql, message);
  assert_ok (sqlite3_close (db));
}

void
in_child (void (*function) (void *data), void *data)
{
  int status;
  pid_t child = fork ();

  assert_true (child >= 0);
  if (child == 0) {
    function (data);
    _exit (0);
  }
  assert_int_equal (waitpid (child, &status, 0), child);
  assert_int_equal (status, 0);
}

LeaseRow
node_row (uint64_t id, mode_t mode)
{
  return (LeaseRow){ .type = LEASE_ROW_NODE, .stored = true, .node = id, .meta = { .mode = mode } };
}

LeaseRow
gone_row (uint64_t id)
{
  return (LeaseRow){ .type = LEASE_ROW_GONE, .stored = true, .node = id };
}

LeaseRow
name_row (uint64_t parent, const char *text, uint64_t id)
{
  return (LeaseRow){
    .type = LEASE_ROW_NAME, .stored = true, .node = id, .name = { parent, text, id, false }
  };
}

LeaseRow
write_row (uint64_t id, uint64_t offset, const char *data, uint64_t size)
{
  return (LeaseRow){
    .type = LEASE_ROW_WRITE, .stored = true, .node = id, .range = { offset, size, data }
  };
}

LeaseRow
xattr_row (uint64_t id, const char *name, const char *value, size_t size)
{
  return (LeaseRow){
    .type = LEASE_ROW_XATTR, .stored = true, .node = id, .xattr = { name, value, size }
  };
}

LeaseRow
truncate_row (uint64_t id, uint64_t offset)
{
  return (LeaseRow){
    .type = LEASE_ROW_TRUNCATE, .stored = true, .node = id, .range = { .offset = offset }
  };
}

LeaseRow
size_row (uint64_t id, uint64_t size, int64_t mtime_ns)
{
  return (LeaseRow){
    .type = LEASE_ROW_SET,
    .stored = true,
    .node = id,
    .meta = { .fields = LEASE_FIELD_SIZE | LEASE_FIELD_MTIME, .size = size, .mtime_ns = mtime_ns }
  };
}
