/* SPDX-License-Identifier: MIT */

#include "tests/unit/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define HOUR (3600 * SECOND)

static int
set_attr (Fixture *fx, const char *path, LeaseSet set)
{
  LeaseAttr attr;
  int error = fx_stat (fx, path, &attr);

  assert_ok (error);
  error = lease_engine_setattr (fx->engine, &fx->by, attr.id, &set, &attr);
  fx_check (fx);
  return error;
}

static LeaseAttr
stat_of (Fixture *fx, const char *path)
{
  LeaseAttr attr;

  assert_ok (fx_stat (fx, path, &attr));
  return attr;
}

static int
write_at (Fixture *fx, const char *path, uint64_t offset, const char *data, size_t size)
{
  int error = lease_engine_write (fx->engine, &fx->by, fx_find (fx, path), offset, data, size);

  fx_check (fx);
  return error;
}

static void
expect_read (Fixture *fx, const char *path, uint64_t offset, size_t size, const char *expected,
             size_t length)
{
  g_autofree char *data = NULL;
  size_t got = 999;

  assert_ok (
      lease_engine_read (fx->engine, &fx->by, fx_find (fx, path), offset, size, &data, &got));
  assert_int_equal (got, length);
  if (length > 0)
    assert_memory_equal (data, expected, length);
}

static void
test_a_value_reads_as_it_was_written (void **state)
{
  Fixture *fx = *state;

  fx_put (fx, "f", "hello");
  assert_int_equal (stat_of (fx, "f").size, 5);
  assert_true (stat_of (fx, "f").footprint >= 5);
  expect_read (fx, "f", 0, 100, "hello", 5);
  expect_read (fx, "f", 1, 3, "ell", 3);
  expect_read (fx, "f", 5, 3, "", 0);
  expect_read (fx, "f", UINT64_MAX, 3, "", 0);
  assert_ok (write_at (fx, "f", 7, "!", 1));
  expect_read (fx, "f", 0, 100, "hello\0\0!", 8);
  assert_ok (write_at (fx, "f", 0, "", 0));
  assert_int_equal (stat_of (fx, "f").size, 8);
}

static void
test_truncation_cuts_and_grows (void **state)
{
  Fixture *fx = *state;

  fx_put (fx, "f", "hello");
  assert_ok (set_attr (fx, "f", (LeaseSet){ .mask = LEASE_SET_SIZE, .size = 2 }));
  assert_ok (set_attr (fx, "f", (LeaseSet){ .mask = LEASE_SET_SIZE, .size = 4 }));
  expect_read (fx, "f", 0, 100, "he\0\0", 4);
  assert_ok (set_attr (fx, "f", (LeaseSet){ .mask = LEASE_SET_SIZE, .size = 0 }));
  assert_int_equal (stat_of (fx, "f").size, 0);
  assert_int_equal (stat_of (fx, "f").footprint, 0);
}

static void
test_values_have_an_upper_bound (void **state)
{
  Fixture *fx = *state;

  fx_put (fx, "f", "hello");
  assert_ok (set_attr (fx, "f", (LeaseSet){ .mask = LEASE_SET_SIZE, .size = INT64_MAX }));
  assert_fails (
      EFBIG, set_attr (fx, "f", (LeaseSet){ .mask = LEASE_SET_SIZE, .size = UINT64_C (1) << 63 }));
  assert_ok (write_at (fx, "f", INT64_MAX - 1, "x", 1));
  assert_fails (EFBIG, write_at (fx, "f", INT64_MAX, "x", 1));
  assert_fails (EFBIG, write_at (fx, "f", INT64_MAX - 1, "xx", 2));
  assert_fails (EFBIG, write_at (fx, "f", UINT64_MAX, "x", 1));
  assert_int_equal (stat_of (fx, "f").size, INT64_MAX);
  expect_read (fx, "f", INT64_MAX - 2, 9, "\0x", 2);
}

static void
test_only_files_have_a_value (void **state)
{
  Fixture *fx = *state;
  LeaseSet size = { .mask = LEASE_SET_SIZE | LEASE_SET_MODE, .mode = 0 };
  g_autofree char *data = NULL;
  size_t got;

  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_symlink (fx, "s", "d"));
  assert_fails (EISDIR, write_at (fx, "d", 0, "x", 1));
  assert_fails (EISDIR, set_attr (fx, "d", size));
  assert_fails (EISDIR,
                lease_engine_read (fx->engine, &fx->by, fx_find (fx, "d"), 0, 1, &data, &got));
  assert_fails (EINVAL, write_at (fx, "s", 0, "x", 1));
  assert_fails (EINVAL, set_attr (fx, "s", size));
  assert_fails (EINVAL,
                lease_engine_read (fx->engine, &fx->by, fx_find (fx, "s"), 0, 1, &data, &got));
  assert_int_equal (stat_of (fx, "d").mode, S_IFDIR | 0755); /* nothing of it was set */
}

static void
test_a_symlink_shows_its_target (void **state)
{
  Fixture *fx = *state;
  g_autofree char *target = NULL;
  char *none = NULL;

  assert_ok (fx_symlink (fx, "s", "some/where"));
  assert_ok (lease_engine_readlink (fx->engine, &fx->by, fx_find (fx, "s"), &target));
  assert_string_equal (target, "some/where");
  assert_int_equal (stat_of (fx, "s").size, 10);
  assert_ok (fx_file (fx, "f"));
  assert_fails (EINVAL, lease_engine_readlink (fx->engine, &fx->by, fx_find (fx, "f"), &none));
  assert_fails (EINVAL, lease_engine_readlink (fx->engine, &fx->by, LEASE_ROOT, &none));
}

static void
test_setattr_sets_what_its_mask_names (void **state)
{
  Fixture *fx = *state;
  LeaseSet set = {
    .mode = 04711,
    .uid = 1,
    .gid = 2,
    .size = 3,
    .atime_ns = 4,
    .mtime_ns = 5,
    .ctime_ns = 6,
  };
  LeaseAttr before, after;

  assert_ok (fx_file (fx, "f"));
  fx_wait (fx, SECOND);
  before = stat_of (fx, "f");
  assert_ok (set_attr (fx, "f", set));
  after = stat_of (fx, "f");
  assert_int_equal (after.mode, before.mode);
  assert_int_equal (after.uid, before.uid);
  assert_int_equal (after.size, before.size);
  assert_int_equal (after.mtime_ns, before.mtime_ns);
  assert_int_equal (after.ctime_ns, before.ctime_ns);

  set.mask = LEASE_SET_MODE;
  assert_ok (set_attr (fx, "f", set));
  after = stat_of (fx, "f");
  assert_int_equal (after.mode, S_IFREG | 04711);
  assert_int_equal (after.uid, before.uid);
  assert_int_equal (after.mtime_ns, before.mtime_ns);
  assert_int_equal (after.ctime_ns, fx->by.wall_ns);

  set.mask = LEASE_SET_UID | LEASE_SET_GID | LEASE_SET_SIZE | LEASE_SET_ATIME | LEASE_SET_MTIME |
             LEASE_SET_CTIME;
  assert_ok (set_attr (fx, "f", set));
  after = stat_of (fx, "f");
  assert_int_equal (after.uid, 1);
  assert_int_equal (after.gid, 2);
  assert_int_equal (after.size, 3);
  assert_int_equal (after.atime_ns, 4);
  assert_int_equal (after.mtime_ns, 5);
  assert_int_equal (after.ctime_ns, 6);
}

static void
test_writing_shows_in_the_times (void **state)
{
  Fixture *fx = *state;
  LeaseAttr attr;

  fx_put (fx, "f", "hello");
  fx_wait (fx, SECOND);
  fx_put (fx, "f", "again");
  attr = stat_of (fx, "f");
  assert_int_equal (attr.mtime_ns, fx->by.wall_ns);
  assert_int_equal (attr.ctime_ns, fx->by.wall_ns);
  assert_int_equal (attr.atime_ns, fx->by.wall_ns - SECOND);
}

static void
test_reading_is_noted_now_and_then (void **state)
{
  Fixture *fx = *state;
  int64_t first;

  fx_put (fx, "f", "hello");
  fx_wait (fx, SECOND);
  fx_get (fx, "f");
  first = fx->by.wall_ns;
  assert_int_equal (stat_of (fx, "f").atime_ns, first);
  fx_wait (fx, HOUR);
  fx_get (fx, "f");
  assert_int_equal (stat_of (fx, "f").atime_ns, first);
  fx_wait (fx, 24 * HOUR);
  fx_get (fx, "f");
  assert_int_equal (stat_of (fx, "f").atime_ns, fx->by.wall_ns);
}

/* Limits. */

static Fixture *
new_limited (uint64_t max_bytes, uint64_t max_nodes)
{
  LeaseEngineConfig config = fx_config ();

  config.max_bytes = max_bytes;
  config.max_nodes = max_nodes;
  return fx_new (&config);
}

static LeaseUsage
usage_of (Fixture *fx)
{
  LeaseUsage usage;

  lease_engine_usage (fx->engine, &usage);
  return usage;
}

static void
expect_same_usage (Fixture *fx, LeaseUsage before)
{
  LeaseUsage after = usage_of (fx);

  assert_int_equal (after.bytes_used, before.bytes_used);
  assert_int_equal (after.nodes_used, before.nodes_used);
}

static void
test_usage_tells_the_limits (void **state)
{
  g_autoptr (Fixture) fx = new_limited (123456, 789);

  assert_int_equal (usage_of (fx).bytes_max, 123456);
  assert_int_equal (usage_of (fx).nodes_max, 789);
  assert_int_equal (usage_of (fx).nodes_used, 2);
}

static void
test_no_more_nodes_than_the_limit (void **state)
{
  g_autoptr (Fixture) fx = new_limited (1 << 20, 5);
  LeaseUsage before;

  assert_ok (fx_file (fx, "a"));
  assert_ok (fx_mkdir (fx, "b"));
  assert_ok (fx_symlink (fx, "c", "x"));
  before = usage_of (fx);
  assert_int_equal (before.nodes_used, 5);
  assert_fails (ENOSPC, fx_file (fx, "d"));
  assert_fails (ENOSPC, fx_mkdir (fx, "d"));
  assert_fails (ENOSPC, fx_mkdir (fx, "leases/A"));
  assert_fails (ENOSPC, fx_symlink (fx, "d", "x"));
  expect_same_usage (fx, before);
  assert_string_equal (fx_list (fx, ""), "leases a b c");
  assert_ok (fx_link (fx, "a", "d")); /* not one more */
  assert_ok (fx_rename (fx, "d", "e", 0));
  assert_ok (fx_unlink (fx, "c"));
  assert_ok (fx_mkdir (fx, "leases/A"));
}

static void
test_no_more_bytes_than_the_limit (void **state)
{
  static const mode_t modes[] = { S_IFREG | 0644, S_IFDIR | 0755, S_IFLNK | 0777 };

  /* Every limit in a row, so that each cost meets it at each byte. */
  for (uint64_t max_bytes = 1000; max_bytes < 4000; max_bytes += 7) {
    g_autoptr (Fixture) fx = new_limited (max_bytes, 1000);
    for (unsigned i = 0; i < 30; i++) {
      g_autofree char *path = g_strdup_printf ("%s%u", i % 4 == 3 ? "leases/A" : "f", i);
      mode_t mode = i % 4 == 3 ? S_IFDIR : modes[i % 4];
      LeaseUsage before = usage_of (fx);
      int error = fx_create (fx, path, mode, S_ISLNK (mode) ? "somewhere" : NULL);
      assert_true (error == 0 || error == -ENOSPC);
      if (error != 0)
        expect_same_usage (fx, before);
      if (before.bytes_used <= max_bytes) /* an empty mount may be above it */
        assert_true (usage_of (fx).bytes_used <= max_bytes);
    }
  }
}

static void
test_a_write_that_does_not_fit_changes_nothing (void **state)
{
  g_autoptr (Fixture) fx = new_limited (100000, 1000);
  g_autofree char *data = g_malloc0 (100000);
  LeaseUsage before;
  LeaseAttr attr;

  fx_put (fx, "f", "hello");
  attr = stat_of (fx, "f");
  before = usage_of (fx);
  fx_wait (fx, SECOND);
  assert_fails (ENOSPC, write_at (fx, "f", 0, data, 100000));
  assert_fails (ENOSPC, write_at (fx, "f", INT64_MAX - 100000, data, 100000));
  assert_string_equal (fx_get (fx, "f"), "hello");
  assert_int_equal (stat_of (fx, "f").size, 5);
  assert_int_equal (stat_of (fx, "f").mtime_ns, attr.mtime_ns);
  expect_same_usage (fx, before);
  assert_ok (write_at (fx, "f", 0, data, 50000));
  assert_fails (ENOSPC, write_at (fx, "f", 50000, data, 50000));
  assert_ok (set_attr (fx, "f", (LeaseSet){ .mask = LEASE_SET_SIZE, .size = 0 }));
  assert_ok (write_at (fx, "f", 0, "hello", 5));
  expect_same_usage (fx, before);
  /* Holes take nothing. */
  assert_ok (set_attr (fx, "f", (LeaseSet){ .mask = LEASE_SET_SIZE, .size = INT64_MAX }));
  expect_same_usage (fx, before);
}

static void
test_a_full_mount_can_still_be_put_in_order (void **state)
{
  g_autoptr (Fixture) fx = new_limited (20000, 1000);
  LeaseUsage before;

  fx_lease (fx, "A", SECOND);
  fx_put (fx, "file", "1");
  for (unsigned i = 0;; i++) {
    g_autofree char *path = g_strdup_printf ("%u", i);
    int error = fx_file (fx, path);
    if (error == -ENOSPC)
      break;
    assert_ok (error);
  }
  for (char name[] = "a"; name[0] <= 'z' && fx_link (fx, "file", name) == 0; name[0]++)
    continue;
  before = usage_of (fx);
  assert_fails (ENOSPC, fx_file (fx, "x"));
  assert_fails (ENOSPC, fx_link (fx, "0", "link"));
  assert_fails (ENOSPC, fx_symlink (fx, "link", "0"));
  /* A rename takes no more room than it gives back, unless the new name is longer. */
  assert_ok (fx_rename (fx, "0", "y", 0));
  assert_ok (fx_rename (fx, "1", "2", 0));
  assert_ok (fx_rename (fx, "y", "2", RENAME_EXCHANGE));
  assert_ok (fx_edit (fx, "A", "y\n2\n"));
  assert_ok (fx_refresh (fx, "A"));
  assert_true (usage_of (fx).bytes_used < before.bytes_used);
  assert_ok (fx_unlink (fx, "3"));
  assert_ok (fx_rmdir (fx, "leases/A"));
}

static void
test_everything_is_given_back (void **state)
{
  Fixture *fx = *state;
  LeaseUsage before = usage_of (fx);

  for (unsigned round = 0; round < 3; round++) {
    fx_lease (fx, "A", 10 * SECOND);
    fx_lease (fx, "B", 10 * SECOND);
    assert_ok (fx_mkdir (fx, "leases/R"));
    assert_ok (fx_mkdir (fx, "d"));
    assert_ok (fx_edit (fx, "A", "d\n"));
    assert_ok (fx_mkdir (fx, "d/e"));
    fx_put (fx, "d/e/f", "hello");
    fx_put (fx, "leases/B/g", "hello");
    assert_ok (fx_link (fx, "leases/B/g", "h"));
    assert_ok (fx_symlink (fx, "d/s", "somewhere"));
    assert_ok (fx_mkdir (fx, "leases/A/x"));
    assert_ok (fx_mkdir (fx, "leases/A/x/y"));
    if (round == 1)
      assert_ok (fx_rmdir (fx, "leases/A"));
    fx_wait (fx, 60 * SECOND);
    if (round == 2) { /* over names that have ended */
      assert_ok (fx_mkdir (fx, "leases/A"));
      assert_ok (fx_file (fx, "d"));
      assert_ok (fx_rmdir (fx, "leases/A"));
      assert_ok (fx_unlink (fx, "d"));
    }
    fx_reap (fx);
    expect_same_usage (fx, before);
    assert_string_equal (fx_list (fx, ""), "leases");
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    fx_test (test_a_value_reads_as_it_was_written),
    fx_test (test_truncation_cuts_and_grows),
    fx_test (test_values_have_an_upper_bound),
    fx_test (test_only_files_have_a_value),
    fx_test (test_a_symlink_shows_its_target),
    fx_test (test_setattr_sets_what_its_mask_names),
    fx_test (test_writing_shows_in_the_times),
    fx_test (test_reading_is_noted_now_and_then),
    cmocka_unit_test (test_usage_tells_the_limits),
    cmocka_unit_test (test_no_more_nodes_than_the_limit),
    cmocka_unit_test (test_no_more_bytes_than_the_limit),
    cmocka_unit_test (test_a_write_that_does_not_fit_changes_nothing),
    cmocka_unit_test (test_a_full_mount_can_still_be_put_in_order),
    fx_test (test_everything_is_given_back),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
