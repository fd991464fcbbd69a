/* SPDX-License-Identifier: MIT */

#include "fs/recent.h"

#include <string.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void
put (FsRecent *recent, uint64_t ino, uint64_t thread, const char *text)
{
  g_autoptr (GBytes) bytes = g_bytes_new (text, strlen (text));

  fs_recent_put (recent, (FsRecentKey){ ino, thread }, bytes, ino * 100 + thread);
}

static void
expect (FsRecent *recent, uint64_t ino, uint64_t thread, const char *text)
{
  uint64_t number = 0;
  g_autoptr (GBytes) found = fs_recent_get (recent, (FsRecentKey){ ino, thread }, &number);

  if (text == NULL) {
    assert_null (found);
    return;
  }
  assert_non_null (found);
  assert_int_equal (g_bytes_get_size (found), strlen (text));
  assert_memory_equal (g_bytes_get_data (found, NULL), text, strlen (text));
  assert_int_equal (number, ino * 100 + thread);
}

static void
test_each_has_its_own (void **state)
{
  g_autoptr (FsRecent) recent = fs_recent_new (10, 1000);

  expect (recent, 1, 2, NULL);
  put (recent, 1, 2, "one");
  put (recent, 1, 3, "other");
  put (recent, 257, 2, "third");
  put (recent, 1, 2, "new");
  expect (recent, 1, 2, "new");
  expect (recent, 1, 3, "other");
  expect (recent, 257, 2, "third");
  fs_recent_drop (recent, (FsRecentKey){ 1, 3 });
  fs_recent_drop (recent, (FsRecentKey){ 1, 4 });
  expect (recent, 1, 3, NULL);
  expect (recent, 1, 2, "new");
}

static void
test_the_oldest_go_first (void **state)
{
  g_autoptr (FsRecent) recent = fs_recent_new (3, 1000);

  for (uint64_t ino = 1; ino <= 3; ino++)
    put (recent, ino, 0, "text");
  put (recent, 1, 0, "text");
  put (recent, 4, 0, "text");
  expect (recent, 2, 0, NULL);
  expect (recent, 1, 0, "text");
  expect (recent, 3, 0, "text");
  expect (recent, 4, 0, "text");
}

static void
test_all_together_have_a_limit_but_the_newest_stays (void **state)
{
  g_autoptr (FsRecent) recent = fs_recent_new (100, 10);

  put (recent, 1, 0, "12345");
  put (recent, 2, 0, "12345");
  expect (recent, 1, 0, "12345");
  put (recent, 3, 0, "1");
  expect (recent, 1, 0, NULL);
  expect (recent, 2, 0, "12345");
  put (recent, 4, 0, "123456789012345");
  expect (recent, 2, 0, NULL);
  expect (recent, 3, 0, NULL);
  expect (recent, 4, 0, "123456789012345");
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_each_has_its_own),
    cmocka_unit_test (test_the_oldest_go_first),
    cmocka_unit_test (test_all_together_have_a_limit_but_the_newest_stays),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
