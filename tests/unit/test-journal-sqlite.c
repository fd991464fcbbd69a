/* SPDX-License-Identifier: MIT */

/* What is committed comes back. */

#include "tests/unit/journal-fixture.h"
#include "tests/unit/journal-model.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* What a new journal at the place holds when `journal` has been closed. */
static void
assert_holds (const Place *place, LeaseJournal *journal, const char *expected)
{
  g_autofree char *text = NULL;

  lease_journal_close (journal);
  text = journal_text_at (place->path);
  assert_string_equal (text, expected);
}

static void
test_a_new_journal_holds_nothing (void **state)
{
  assert_holds (*state, open_loaded_journal (((Place *)*state)->path), "");
}

static void
test_a_node_comes_back_with_all_its_metadata (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  LeaseRow node = node_row (INT64_MAX, S_IFCHR | 07777), link = node_row (2, S_IFLNK | 0777);

  node.meta = (LeaseRowMeta){ .mode = S_IFCHR | 07777,
                              .uid = UINT32_MAX,
                              .gid = 1,
                              .rdev = UINT64_MAX,
                              .size = INT64_MAX,
                              .atime_ns = INT64_MIN,
                              .mtime_ns = -1,
                              .ctime_ns = INT64_MAX };
  link.meta.target = "";
  assert_ok (commit_rows (journal, node, link));
  assert_holds (place, journal,
                "node 2 120777 0 0 0 0 0 0 0 -> \n"
                "node 9223372036854775807 27777 4294967295 1 18446744073709551615 "
                "9223372036854775807 -9223372036854775808 -1 9223372036854775807\n");
}

static void
test_set_changes_the_fields_it_names_only (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  LeaseRow set = { .type = LEASE_ROW_SET, .stored = true, .node = 2 };
  LeaseRow other = set;

  set.meta = (LeaseRowMeta){ LEASE_FIELD_UID | LEASE_FIELD_ATIME, 1, 2, 3, 4, 5, 6, 7, 8, NULL };
  other.meta = (LeaseRowMeta){ LEASE_FIELD_GID | LEASE_FIELD_CTIME, 1, 2, 3, 4, 5, 6, 7, 8, NULL };
  assert_ok (commit_rows (journal, node_row (2, S_IFREG), set, other));
  assert_holds (place, journal, "node 2 100000 2 3 0 0 6 0 8\n");
}

static void
test_names_are_any_bytes (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  LeaseRow told = name_row (1, "'\"; DROP TABLE name; --", 5);
  char longest[256];

  memset (longest, '\xfe', 255);
  longest[255] = '\0';
  told.name.told = true;
  told.name.position = INT64_MAX;
  assert_ok (commit_rows (journal, name_row (1, "\xff", 3), name_row (1, "a\nb", 4), told,
                          name_row (1, "a", 6), name_row (1, "A", 7), name_row (2, "a", 8),
                          name_row (2, longest, 9)));
  lease_journal_close (journal);
  journal = open_journal (place->path);
  {
    g_autofree char *text = model_text_of (journal);

    assert_non_null (strstr (text, "name 3 in 1 \"\\377\" at 3\n"));
    assert_non_null (strstr (text, "name 4 in 1 \"a\\nb\" at 4\n"));
    assert_non_null (strstr (text, "name 5 in 1 \"'\\\"; DROP TABLE name; --\" at "
                                   "9223372036854775807 told\n"));
    assert_non_null (strstr (text, "name 7 in 1 \"A\" at 7\nname 6 in 1 \"a\" at 6\nname 4"));
    assert_non_null (strstr (text, "name 8 in 2 \"a\" at 8\n"));
    assert_non_null (strstr (text, "\\376\" at 9\n"));
  }
  lease_journal_close (journal);
}

static void
test_a_name_can_come_to_stand_for_another_node (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  LeaseRow unname = { .type = LEASE_ROW_UNNAME, .stored = true, .node = 4, .name = { 1, "b" } };

  assert_ok (commit_rows (journal, name_row (1, "a", 3), name_row (1, "b", 4)));
  assert_ok (commit_rows (journal, name_row (1, "a", 5), unname));
  assert_holds (place, journal, "name 5 in 1 \"a\" at 5\n");
}

/* Values */

static char *
bytes_of (char byte, size_t size)
{
  char *bytes = g_malloc (size);

  memset (bytes, byte, size);
  return bytes;
}

static void
test_a_value_is_kept_by_pages (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  g_autofree char *a = bytes_of ('a', 10000), *b = bytes_of ('b', 4096);

  assert_ok (commit_rows (journal, node_row (2, S_IFREG), write_row (2, 0, a, 10000)));
  assert_ok (commit_rows (journal, write_row (2, 4096, b, 4096)));
  assert_ok (commit_rows (journal, write_row (2, 0, b, 1)));
  assert_holds (place, journal,
                "node 2 100000 0 0 0 0 0 0 0\n"
                "write 2 0: 1 x 62\n"
                "write 2 4096: 4096 x 62\n"
                "write 2 8192: 1808 x 61\n");
}

static void
test_a_value_ends_as_far_out_as_there_is (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  uint64_t last = INT64_MAX / LEASE_JOURNAL_PAGE * LEASE_JOURNAL_PAGE;

  assert_ok (commit_rows (journal, node_row (2, S_IFREG), write_row (2, last, "x", 1),
                          write_row (2, UINT64_C (1) << 40, "x", 1)));
  assert_ok (commit_rows (journal, truncate_row (2, last + 1)));
  assert_holds (place, journal,
                "node 2 100000 0 0 0 0 0 0 0\n"
                "write 2 1099511627776: 1 x 78\n"
                "write 2 9223372036854771712: 1 x 78\n");
}

static void
test_truncate_takes_the_pages_that_begin_behind_it (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  g_autofree char *a = bytes_of ('a', 12288);

  assert_ok (commit_rows (journal, node_row (2, S_IFREG), write_row (2, 0, a, 12288),
                          node_row (3, S_IFREG), write_row (3, 0, a, 12288), node_row (4, S_IFREG),
                          write_row (4, 0, a, 12288)));
  assert_ok (
      commit_rows (journal, truncate_row (2, 4097), truncate_row (3, 4096), truncate_row (4, 0)));
  assert_holds (place, journal,
                "node 2 100000 0 0 0 0 0 0 0\n"
                "write 2 0: 4096 x 61\n"
                "node 3 100000 0 0 0 0 0 0 0\n"
                "write 3 0: 4096 x 61\n"
                "node 4 100000 0 0 0 0 0 0 0\n"
                "write 2 4096: 4096 x 61\n");
}

static void
test_punch_takes_the_pages_that_lie_whole_in_it (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  g_autofree char *a = bytes_of ('a', 16384);
  LeaseRow punch = { .type = LEASE_ROW_PUNCH, .stored = true, .node = 2 };
  LeaseRow first = punch, none = punch;

  punch.range = (LeaseRowRange){ .offset = 4095, .size = 8193 };
  first.node = 3;
  first.range = (LeaseRowRange){ .offset = 0, .size = 4096 };
  none.node = 3;
  none.range = (LeaseRowRange){ .offset = 4097, .size = 8190 };
  assert_ok (commit_rows (journal, node_row (2, S_IFREG), write_row (2, 0, a, 16384),
                          node_row (3, S_IFREG), write_row (3, 0, a, 12288)));
  assert_ok (commit_rows (journal, punch, first, none));
  assert_holds (place, journal,
                "node 2 100000 0 0 0 0 0 0 0\n"
                "write 2 0: 4096 x 61\n"
                "node 3 100000 0 0 0 0 0 0 0\n"
                "write 2 12288: 4096 x 61\n"
                "write 3 4096: 4096 x 61\n"
                "write 3 8192: 4096 x 61\n");
}

static void
test_extended_attributes_come_back (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);

  assert_ok (commit_rows (journal, node_row (2, S_IFREG), node_row (3, S_IFREG),
                          xattr_row (2, "user.a", "aa", 2), xattr_row (2, "user.gone", "b", 1),
                          xattr_row (2, "user.\xff\n", "", 0), xattr_row (3, "user.a", "\0", 1)));
  assert_ok (commit_rows (journal, xattr_row (2, "user.a", "ccc", 3),
                          xattr_row (2, "user.gone", NULL, 0),
                          xattr_row (3, "user.never", NULL, 0)));
  assert_holds (place, journal,
                "node 2 100000 0 0 0 0 0 0 0\n"
                "node 3 100000 0 0 0 0 0 0 0\n"
                "xattr 2 \"user.a\": 3 x 63\n"
                "xattr 2 \"user.\\377\\n\": 0 x 00\n"
                "xattr 3 \"user.a\": 1 x 00\n");
}

static void
test_extended_attributes_go_with_their_node (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);

  assert_ok (commit_rows (journal, node_row (2, S_IFREG), node_row (3, S_IFREG),
                          xattr_row (2, "user.a", "a", 1), xattr_row (2, "user.b", "b", 1),
                          xattr_row (3, "user.a", "a", 1)));
  assert_ok (commit_rows (journal, gone_row (2)));
  lease_journal_close (journal);
  /* Of an earlier run too. */
  journal = open_loaded_journal (place->path);
  assert_ok (commit_rows (journal, gone_row (3)));
  assert_holds (place, journal, "");
}

static void
test_pages_from_an_earlier_run_are_removed_as_well (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  g_autofree char *a = bytes_of ('a', 8192);

  assert_ok (commit_rows (journal, node_row (2, S_IFREG), write_row (2, 0, a, 8192),
                          node_row (3, S_IFREG), write_row (3, 0, a, 8192)));
  lease_journal_close (journal);
  journal = open_loaded_journal (place->path);
  assert_ok (commit_rows (journal, truncate_row (2, 0), gone_row (3)));
  assert_holds (place, journal, "node 2 100000 0 0 0 0 0 0 0\n");
}

/* Leases */

static LeaseRow
lease_row (LeaseRowType type, uint64_t id, int64_t ns)
{
  LeaseRow row = { .type = type, .stored = true, .node = id };

  row.ns = ns;
  return row;
}

static void
test_a_lease_comes_back_as_it_was (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  LeaseRow mode = { .type = LEASE_ROW_MODE, .stored = true, .node = 3, .mode = { 2, 0664 } };

  assert_ok (commit_rows (journal, lease_row (LEASE_ROW_LEASE, 2, 0),
                          lease_row (LEASE_ROW_LEASE, 3, 0), lease_row (LEASE_ROW_GRANT, 3, 100),
                          mode, lease_row (LEASE_ROW_LEFT, 3, 7), lease_row (LEASE_ROW_LEASE, 4, 0),
                          lease_row (LEASE_ROW_GRANT, 4, 9), lease_row (LEASE_ROW_END, 4, 0),
                          lease_row (LEASE_ROW_LEASE, 5, 0), lease_row (LEASE_ROW_FREE, 5, 0)));
  assert_holds (place, journal,
                "lease 2\n"
                "lease 3\ngrant 3 100\nleft 3 7\nmode 3 2 664\n"
                "lease 4\ngrant 4 9\nend 4\n");
}

static void
test_what_was_left_counts_until_the_clocks_run (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);

  assert_ok (commit_rows (journal, lease_row (LEASE_ROW_LEASE, 2, 0),
                          lease_row (LEASE_ROW_GRANT, 2, 100), lease_row (LEASE_ROW_LEFT, 2, 7)));
  assert_ok (commit_rows (journal, lease_row (LEASE_ROW_RUN, 0, 0)));
  assert_holds (place, journal, "lease 2\ngrant 2 100\n");
}

static void
test_detach_leaves_a_node_that_was_attached_elsewhere (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  LeaseRow attach = { .type = LEASE_ROW_ATTACH, .stored = true, .node = 2, .lease = 9 };
  LeaseRow detach = { .type = LEASE_ROW_DETACH, .stored = true, .node = 2, .lease = 8 };
  LeaseRow other = attach, out = detach;

  other.node = out.node = 3;
  out.lease = 9;
  assert_ok (commit_rows (journal, node_row (2, S_IFREG), node_row (3, S_IFREG), attach, other,
                          detach, out));
  assert_holds (place, journal,
                "node 2 100000 0 0 0 0 0 0 0\nnode 3 100000 0 0 0 0 0 0 0\nattach 2 to 9\n");
}

/* All kinds */

static void
test_ids_only_rise (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  LeaseRow high = { .type = LEASE_ROW_IDS, .stored = true, .node = INT64_MAX }, low = high;

  low.node = 7;
  assert_ok (commit_rows (journal, low, high, low));
  assert_holds (place, journal, "ids 9223372036854775807\n");
}

static void
test_rows_about_what_is_not_there_are_no_error (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  LeaseRow rows[] = {
    size_row (2, 5, 6),
    { .type = LEASE_ROW_GONE, .node = 2 },
    { .type = LEASE_ROW_UNNAME, .name = { 1, "a" } },
    { .type = LEASE_ROW_ATTACH, .node = 2, .lease = 3 },
    { .type = LEASE_ROW_DETACH, .node = 2, .lease = 3 },
    lease_row (LEASE_ROW_GRANT, 2, 1),
    lease_row (LEASE_ROW_LEFT, 2, 1),
    lease_row (LEASE_ROW_END, 2, 1),
    lease_row (LEASE_ROW_FREE, 2, 1),
    truncate_row (2, 0),
  };

  for (size_t i = 0; i < G_N_ELEMENTS (rows); i++)
    rows[i].stored = true;
  assert_ok (lease_journal_commit (journal, rows, G_N_ELEMENTS (rows)));
  assert_holds (place, journal, "");
}

static void
test_rows_that_are_not_stored_are_passed_over (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  LeaseRow row = node_row (3, S_IFREG);

  row.stored = false;
  assert_ok (commit_rows (journal, row));
  assert_ok (lease_journal_commit (journal, NULL, 0));
  assert_ok (commit_rows (journal, row, node_row (2, S_IFREG)));
  assert_holds (place, journal, "node 2 100000 0 0 0 0 0 0 0\n");
}

static void
test_random_commits_come_back (void **state)
{
  const Place *place = *state;
  GRand *random = g_rand_new_with_seed (7);
  Model model = { 0 };

  for (int round = 0; round < 60; round++) {
    g_autofree char *expected = NULL, *text = NULL;
    LeaseJournal *journal = open_loaded_journal (place->path);

    for (int i = 0; i < 20; i++) {
      g_autoptr (ModelChange) change = model_change_new ();

      model_step (&model, random, change);
      assert_ok (lease_journal_commit (journal, (LeaseRow *)change->rows->data, change->rows->len));
    }
    lease_journal_close (journal);
    text = journal_text_at (place->path);
    expected = model_text (&model);
    assert_string_equal (text, expected);
  }
  g_rand_free (random);
  assert_integrity (place->path);
}

static void
commit_and_be_killed (void *path)
{
  LeaseJournal *journal = open_loaded_journal (path);

  for (uint64_t i = 2; i < 100; i++)
    assert_ok (commit_rows (journal, node_row (i, S_IFREG), name_row (1, "last", i)));
}

static void
test_commits_of_a_process_that_was_killed_come_back (void **state)
{
  const Place *place = *state;
  g_autofree char *text = NULL;

  in_child (commit_and_be_killed, place->path);
  text = journal_text_at (place->path);
  assert_true (g_str_has_suffix (text, "name 99 in 1 \"last\" at 99\n"));
  assert_non_null (strstr (text, "node 50 "));
}

static void
test_loading_changes_nothing (void **state)
{
  const Place *place = *state;
  g_autofree char *before = NULL, *after = NULL;
  LeaseJournal *journal = open_loaded_journal (place->path);

  assert_ok (commit_rows (journal, node_row (2, S_IFREG), name_row (1, "a", 2)));
  lease_journal_close (journal);
  before = place_content (place);
  lease_journal_close (open_loaded_journal (place->path));
  after = place_content (place);
  assert_string_equal (after, before);
}

static bool
refuse_names (const LeaseRow *row, void *data)
{
  return row->type != LEASE_ROW_NAME;
}

static void
test_a_row_that_is_refused_is_described (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  g_autoptr (GError) error = NULL;

  assert_ok (commit_rows (journal, node_row (2, S_IFREG), name_row (1, "a\nb", 2)));
  lease_journal_close (journal);
  journal = open_journal (place->path);
  assert_false (lease_journal_load (journal, refuse_names, NULL, &error));
  assert_non_null (strstr (error->message, "table name, row parent = 1, name = \"a\\nb\""));
  lease_journal_close (journal);
}

/* The file is to be read by people. */
static void
test_the_views_show_paths_and_keys (void **state)
{
  const Place *place = *state;
  LeaseJournal *journal = open_loaded_journal (place->path);
  LeaseRow attach = { .type = LEASE_ROW_ATTACH, .stored = true, .node = 5, .lease = 3 };
  const char *argv[] = { "sqlite3", place->path, "SELECT * FROM key", NULL };
  g_autofree char *out = NULL;

  assert_ok (commit_rows (journal, node_row (1, S_IFDIR), node_row (2, S_IFDIR),
                          name_row (1, "leases", 2), node_row (3, S_IFDIR), name_row (2, "L", 3),
                          node_row (4, S_IFDIR), name_row (1, "dir", 4), node_row (5, S_IFREG),
                          name_row (4, "k", 5), write_row (5, 0, "hello", 5), size_row (5, 5, 0),
                          attach));
  assert_true (g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, NULL,
                             NULL, NULL));
  assert_string_equal (out, "dir/k|5|leases/L|hello\n");
  lease_journal_close (journal);
}

static bool
count_row (const LeaseRow *row, void *data)
{
  ++*(uint64_t *)data;
  return true;
}

static void
fill (LeaseJournal *journal, uint64_t count)
{
  enum { GROUP = 1000 };
  g_autofree LeaseRow *rows = g_new (LeaseRow, 3 * GROUP);
  char names[GROUP][16];

  for (uint64_t id = 2; id < count + 2; id += GROUP) {
    for (uint64_t i = 0; i < GROUP; i++) {
      g_snprintf (names[i], sizeof names[i], "key%lu", id + i);
      rows[3 * i] = node_row (id + i, S_IFREG | 0644);
      rows[3 * i + 1] = write_row (id + i, 0, "hello\n", 6);
      rows[3 * i + 2] = name_row (1, names[i], id + i);
    }
    assert_ok (lease_journal_commit (journal, rows, 3 * GROUP));
    lease_journal_tend (journal);
  }
}

static void
test_a_million_keys_are_loaded_in_seconds (void **state)
{
  const Place *place = *state;
  g_autoptr (GError) error = NULL;
  LeaseJournal *journal = open_loaded_journal (place->path);
  uint64_t rows = 0;
  int64_t begin;

  fill (journal, 1000000);
  lease_journal_close (journal);
  begin = g_get_monotonic_time ();
  journal = open_journal (place->path);
  assert_true (lease_journal_load (journal, count_row, &rows, &error));
  print_message ("  1,000,000 keys: %.2f s\n", (double)(g_get_monotonic_time () - begin) / 1e6);
  assert_int_equal (rows, 3000000);
  assert_true (g_get_monotonic_time () - begin < 60 * G_USEC_PER_SEC);
  lease_journal_close (journal);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    place_test (test_a_new_journal_holds_nothing),
    place_test (test_a_node_comes_back_with_all_its_metadata),
    place_test (test_set_changes_the_fields_it_names_only),
    place_test (test_names_are_any_bytes),
    place_test (test_a_name_can_come_to_stand_for_another_node),
    place_test (test_a_value_is_kept_by_pages),
    place_test (test_a_value_ends_as_far_out_as_there_is),
    place_test (test_truncate_takes_the_pages_that_begin_behind_it),
    place_test (test_punch_takes_the_pages_that_lie_whole_in_it),
    place_test (test_extended_attributes_come_back),
    place_test (test_extended_attributes_go_with_their_node),
    place_test (test_pages_from_an_earlier_run_are_removed_as_well),
    place_test (test_a_lease_comes_back_as_it_was),
    place_test (test_what_was_left_counts_until_the_clocks_run),
    place_test (test_detach_leaves_a_node_that_was_attached_elsewhere),
    place_test (test_ids_only_rise),
    place_test (test_rows_about_what_is_not_there_are_no_error),
    place_test (test_rows_that_are_not_stored_are_passed_over),
    place_test (test_random_commits_come_back),
    place_test (test_commits_of_a_process_that_was_killed_come_back),
    place_test (test_loading_changes_nothing),
    place_test (test_a_row_that_is_refused_is_described),
    place_test (test_the_views_show_paths_and_keys),
    place_test (test_a_million_keys_are_loaded_in_seconds),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
