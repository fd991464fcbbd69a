/* SPDX-License-Identifier: MIT */

#include "leases/state-vfs.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <stdbool.h>
#include <string.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum {
  HEADER = 24,
  PAGE = 4096,
  FRAME = HEADER + PAGE,
};

typedef struct {
  char *directory, *database, *path;
  sqlite3_vfs *vfs;
  sqlite3_file *log;
} Place;

static int
set_up (void **state)
{
  Place *place = g_new0 (Place, 1);
  int flags = SQLITE_OPEN_WAL | SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;

  place->directory = g_dir_make_tmp ("leasefs-XXXXXX", NULL);
  place->database = g_build_filename (place->directory, "state.db", NULL);
  place->path = g_strconcat (place->database, "-wal", NULL);
  assert_true (g_file_set_contents (place->database, "", 0, NULL));
  place->vfs = lease_state_vfs_new ();
  place->log = g_malloc0 ((size_t)place->vfs->szOsFile);
  assert_int_equal (place->vfs->xOpen (place->vfs, place->path, place->log, flags, NULL),
                    SQLITE_OK);
  *state = place;
  return 0;
}

static int
tear_down (void **state)
{
  Place *place = *state;

  place->log->pMethods->xClose (place->log);
  lease_state_vfs_free (place->vfs);
  g_unlink (place->path);
  g_unlink (place->database);
  g_rmdir (place->directory);
  g_free (place->log);
  g_free (place->path);
  g_free (place->database);
  g_free (place->directory);
  g_free (place);
  return 0;
}

static void
write_bytes (const Place *place, const void *bytes, int size, int64_t offset)
{
  assert_int_equal (place->log->pMethods->xWrite (place->log, bytes, size, offset), SQLITE_OK);
}

/* As SQLite does it: the page is all `fill`. */
static void
write_frame (const Place *place, int64_t offset, char fill, bool is_last)
{
  unsigned char header[HEADER] = { 0 };
  char page[PAGE];

  header[3] = 1;
  header[7] = is_last;
  memset (page, fill, sizeof page);
  write_bytes (place, header, sizeof header, offset);
  write_bytes (place, page, sizeof page, offset + HEADER);
}

static int64_t
size_on_disk (const Place *place)
{
  GStatBuf info;

  assert_int_equal (g_stat (place->path, &info), 0);
  return info.st_size;
}

static void
assert_page (const Place *place, int64_t offset, char fill)
{
  char page[PAGE];

  assert_int_equal (place->log->pMethods->xRead (place->log, page, PAGE, offset + HEADER),
                    SQLITE_OK);
  assert_int_equal (page[0], fill);
  assert_int_equal (page[PAGE - 1], fill);
}

/* SQLite reads what it wrote earlier in a transaction that is larger than its cache. */
static void
test_what_is_kept_can_be_read (void **state)
{
  const Place *place = *state;

  write_frame (place, 0, 'a', false);
  write_frame (place, FRAME, 'b', false);
  assert_int_not_equal (size_on_disk (place), 2 * FRAME);
  assert_page (place, FRAME, 'b');
  assert_page (place, 0, 'a');
  write_frame (place, INT64_C (2) * FRAME, 'c', true);
  assert_page (place, INT64_C (2) * FRAME, 'c');
}

static void
test_what_is_kept_counts (void **state)
{
  const Place *place = *state;
  sqlite3_int64 size;

  write_frame (place, 0, 'a', false);
  write_frame (place, FRAME, 'b', false);
  assert_int_equal (place->log->pMethods->xFileSize (place->log, &size), SQLITE_OK);
  assert_int_equal (size, 2 * FRAME);
  write_frame (place, INT64_C (2) * FRAME, 'c', false);
  assert_int_equal (place->log->pMethods->xTruncate (place->log, FRAME), SQLITE_OK);
  assert_int_equal (size_on_disk (place), FRAME);
}

static void
test_nothing_is_kept_at_the_end_of_a_transaction (void **state)
{
  const Place *place = *state;

  for (int64_t i = 0; i < 50; i++) {
    write_frame (place, i * FRAME, 'a', i % 5 == 4);
    if (i % 5 == 4)
      assert_int_equal (size_on_disk (place), (i + 1) * FRAME);
  }
}

/* What is written over what is kept comes behind it: a rolled back transaction does not spoil the
 * next one, and a page that is written twice is the second one. */
static void
test_the_order_of_writes_is_kept (void **state)
{
  const Place *place = *state;
  char page[PAGE];

  write_frame (place, 0, 'a', true);
  write_frame (place, FRAME, 'b', false);
  write_frame (place, INT64_C (2) * FRAME, 'c', false);
  write_frame (place, FRAME, 'd', true);
  assert_page (place, FRAME, 'd');
  write_frame (place, INT64_C (2) * FRAME, 'e', false);
  memset (page, 'f', sizeof page);
  write_bytes (place, page, sizeof page, INT64_C (2) * FRAME + HEADER);
  assert_page (place, INT64_C (2) * FRAME, 'f');
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown (test_what_is_kept_can_be_read, set_up, tear_down),
    cmocka_unit_test_setup_teardown (test_what_is_kept_counts, set_up, tear_down),
    cmocka_unit_test_setup_teardown (test_nothing_is_kept_at_the_end_of_a_transaction, set_up,
                                     tear_down),
    cmocka_unit_test_setup_teardown (test_the_order_of_writes_is_kept, set_up, tear_down),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
