/* SPDX-License-Identifier: MIT */

/* What is seen when leases end by themselves. */

#include "tests/mount/watch.h"

#define DIRECTORIES 3
#define KEYS 4

static void
test_keys_in_several_directories (void **state)
{
  char path[64];

  watch_lease ("a");
  watch_path ("leases");
  for (int i = 0; i < DIRECTORIES; i++) {
    snprintf (path, sizeof path, "d%d", i);
    assert_ok (mkdir (path, 0755));
    watch_path (path);
    for (int j = 0; j < KEYS; j++) {
      snprintf (path, sizeof path, "d%d/k%d", i, j);
      watch_key ("a", path);
      watch_path (path);
      watch_want ("CREATE %s", path);
      watch_want ("DELETE %s", path);
      watch_want ("DELETE_SELF %s", path);
    }
  }
  watch_want ("DELETE,ISDIR leases/a");
  watch_end ("a");
  watch_compare ();
  for (int i = 0; i < DIRECTORIES; i++)
    for (int j = 0; j < KEYS; j++) {
      snprintf (path, sizeof path, "DELETE d%d/k%d", i, j);
      watch_assert_order (path, "DELETE,ISDIR leases/a");
    }
}

static void
test_hard_links_in_several_directories (void **state)
{
  watch_lease ("a");
  assert_ok (mkdir ("d", 0755));
  assert_ok (mkdir ("e", 0755));
  watch_key ("a", "d/one");
  assert_ok (link ("d/one", "d/two"));
  assert_ok (link ("d/one", "e/three"));
  watch_path ("leases");
  watch_path ("d");
  watch_path ("e");
  watch_path_as ("e/three", "file");
  watch_end ("a");
  watch_want ("DELETE d/one");
  watch_want ("DELETE d/two");
  watch_want ("DELETE e/three");
  watch_want ("DELETE_SELF file");
  watch_want ("DELETE,ISDIR leases/a");
  watch_compare ();
  watch_assert_order ("DELETE d/two", "DELETE,ISDIR leases/a");
  watch_assert_order ("DELETE e/three", "DELETE,ISDIR leases/a");
}

static void
test_what_is_in_the_directory_of_the_lease (void **state)
{
  watch_lease ("a");
  watch_path ("leases");
  watch_path ("leases/a");
  calls_put ("leases/a/x", "old");
  assert_ok (mkdir ("leases/a/d", 0755));
  watch_path ("leases/a/d");
  calls_put ("leases/a/d/y", "old");
  watch_path ("leases/a/x");
  watch_end ("a");
  watch_want ("CREATE leases/a/x");
  watch_want ("CREATE,ISDIR leases/a/d");
  watch_want ("CREATE leases/a/d/y");
  watch_want ("DELETE leases/a/x");
  watch_want ("DELETE_SELF leases/a/x");
  watch_want ("DELETE leases/a/d/y");
  watch_want ("DELETE,ISDIR leases/a/d");
  watch_want ("DELETE_SELF leases/a/d");
  watch_want ("DELETE,ISDIR leases/a");
  watch_want ("DELETE_SELF leases/a");
  watch_compare ();
  watch_assert_order ("DELETE leases/a/d/y", "DELETE,ISDIR leases/a/d");
  watch_assert_order ("DELETE,ISDIR leases/a/d", "DELETE,ISDIR leases/a");
  watch_assert_order ("DELETE leases/a/x", "DELETE,ISDIR leases/a");
}

/* Makes top, attached, with top/f and top/e/g in it, and watches all of it. */
static void
make_tree (const char *id)
{
  assert_ok (mkdir ("top", 0755));
  watch_attach (id, "top");
  calls_put ("top/f", "old");
  assert_ok (mkdir ("top/e", 0755));
  calls_put ("top/e/g", "old");
  watch_path ("top");
  watch_path ("top/e");
  watch_path ("top/f");
}

static void
test_an_attached_directory (void **state)
{
  watch_lease ("a");
  make_tree ("a");
  watch_path ("leases");
  watch_path_as (".", "root");
  watch_end ("a");
  watch_want ("DELETE top/f");
  watch_want ("DELETE_SELF top/f");
  watch_want ("DELETE top/e/g");
  watch_want ("DELETE,ISDIR top/e");
  watch_want ("DELETE_SELF top/e");
  watch_want ("DELETE,ISDIR root/top");
  watch_want ("DELETE_SELF top");
  watch_want ("DELETE,ISDIR leases/a");
  watch_compare ();
  watch_assert_order ("DELETE top/e/g", "DELETE,ISDIR top/e");
  watch_assert_order ("DELETE,ISDIR top/e", "DELETE,ISDIR root/top");
  watch_assert_order ("DELETE,ISDIR root/top", "DELETE,ISDIR leases/a");
}

static void
test_an_attached_directory_in_use_stays (void **state)
{
  watch_lease ("a");
  calls_put ("mine", "new");
  make_tree ("a");
  assert_ok (rename ("mine", "top/e/mine"));
  watch_path ("leases");
  watch_path_as (".", "root");
  watch_end ("a");
  watch_want ("MOVED_TO top/e/mine");
  watch_want ("DELETE top/f");
  watch_want ("DELETE_SELF top/f");
  watch_want ("DELETE top/e/g");
  watch_want ("DELETE,ISDIR leases/a");
  watch_compare ();
  assert_text ("top/e/mine", "new");
}

static void
test_moved_keys_are_seen_where_they_are (void **state)
{
  assert_ok (mkdir ("d", 0755));
  assert_ok (mkdir ("e", 0755));
  watch_lease ("a");
  watch_key ("a", "d/x");
  watch_key ("a", "d/y");
  watch_path ("d");
  watch_path ("e");
  assert_ok (rename ("d/x", "e/z"));
  assert_ok (rename ("d", "f"));
  watch_end ("a");
  watch_want ("MOVED_FROM d/x");
  watch_want ("MOVED_TO e/z");
  watch_want ("MOVE_SELF d");
  watch_want ("DELETE d/y");
  watch_want ("DELETE e/z");
  watch_compare ();
}

static void
test_leases_without_keys (void **state)
{
  static const char *const ids[] = { "a", "b", "c" };

  watch_path ("leases");
  for (unsigned i = 0; i < 3; i++) {
    watch_lease (ids[i]);
    watch_want ("CREATE,ISDIR leases/%s", ids[i]);
    watch_want ("DELETE,ISDIR leases/%s", ids[i]);
  }
  watch_let_end (ids, 3);
  watch_compare ();
}

/* A file that is still open goes when it is closed, as everywhere; its name goes before. */
static void
test_an_open_file (void **state)
{
  watch_lease ("a");
  assert_ok (mkdir ("d", 0755));
  watch_key ("a", "d/key");
  watch_path ("d");
  watch_path ("d/key");
  watch_path ("leases");
  int fd = calls_open ("d/key", O_RDWR);
  watch_end ("a");
  watch_want ("DELETE d/key");
  watch_want ("DELETE,ISDIR leases/a");
  watch_compare ();
  close (fd);
  watch_want ("DELETE_SELF d/key");
  watch_compare ();
}

static void
test_other_kinds_of_files (void **state)
{
  watch_lease ("a");
  assert_ok (mkdir ("d", 0755));
  assert_ok (symlink ("nowhere", "d/link"));
  assert_ok (mkfifo ("d/pipe", 0644));
  watch_attach ("a", "d/link");
  watch_attach ("a", "d/pipe");
  watch_path ("d");
  watch_path ("d/pipe");
  watch_path ("leases");
  watch_end ("a");
  watch_want ("DELETE d/link");
  watch_want ("DELETE d/pipe");
  watch_want ("DELETE_SELF d/pipe");
  watch_want ("DELETE,ISDIR leases/a");
  watch_compare ();
}

#define LEASES 300

/* Each with two keys, in one of a few directories; all of them end together. */
static void
test_many_leases_together (void **state)
{
  static char names[LEASES][16];
  const char *ids[LEASES];
  char path[64], end[64];

  watch_path ("leases");
  for (int i = 0; i < 3; i++) {
    snprintf (path, sizeof path, "d%d", i);
    assert_ok (mkdir (path, 0755));
    watch_path (path);
  }
  for (int i = 0; i < LEASES; i++) {
    snprintf (names[i], sizeof names[i], "m%d", i);
    ids[i] = names[i];
    watch_lease (ids[i]);
    watch_want ("CREATE,ISDIR leases/m%d", i);
    watch_want ("DELETE,ISDIR leases/m%d", i);
    for (int j = 0; j < 2; j++) {
      snprintf (path, sizeof path, "d%d/%d-%d", i % 3, i, j);
      watch_key (ids[i], path);
      watch_want ("CREATE %s", path);
      watch_want ("DELETE %s", path);
    }
  }
  watch_let_end (ids, LEASES);
  watch_compare ();
  for (int i = 0; i < LEASES; i++) {
    snprintf (path, sizeof path, "DELETE d%d/%d-1", i % 3, i);
    snprintf (end, sizeof end, "DELETE,ISDIR leases/m%d", i);
    watch_assert_order (path, end);
  }
}

int
watch_ends (void)
{
  const struct CMUnitTest cases[] = {
    WATCH_CASE (test_keys_in_several_directories),
    WATCH_CASE (test_hard_links_in_several_directories),
    WATCH_CASE (test_what_is_in_the_directory_of_the_lease),
    WATCH_CASE (test_an_attached_directory),
    WATCH_CASE (test_an_attached_directory_in_use_stays),
    WATCH_CASE (test_moved_keys_are_seen_where_they_are),
    WATCH_CASE (test_leases_without_keys),
    WATCH_CASE (test_an_open_file),
    WATCH_CASE (test_other_kinds_of_files),
    WATCH_CASE (test_many_leases_together),
  };

  return cmocka_run_group_tests (cases, NULL, NULL);
}
