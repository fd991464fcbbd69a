/* SPDX-License-Identifier: MIT */

#include "tests/unit/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define HOUR (3600 * SECOND)

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
  assert_int_equal (fx_stat_of (fx, "f").size, 5);
  assert_true (fx_stat_of (fx, "f").footprint >= 5);
  expect_read (fx, "f", 0, 100, "hello", 5);
  expect_read (fx, "f", 1, 3, "ell", 3);
  expect_read (fx, "f", 5, 3, "", 0);
  expect_read (fx, "f", UINT64_MAX, 3, "", 0);
  assert_ok (fx_write_at (fx, "f", 7, "!", 1));
  expect_read (fx, "f", 0, 100, "hello\0\0!", 8);
  assert_ok (fx_write_at (fx, "f", 0, "", 0));
  assert_int_equal (fx_stat_of (fx, "f").size, 8);
}

static void
test_truncation_cuts_and_grows (void **state)
{
  Fixture *fx = *state;

  fx_put (fx, "f", "hello");
  assert_ok (fx_set_attr (fx, "f", (LeaseSet){ .mask = LEASE_SET_SIZE, .size = 2 }));
  assert_ok (fx_set_attr (fx, "f", (LeaseSet){ .mask = LEASE_SET_SIZE, .size = 4 }));
  expect_read (fx, "f", 0, 100, "he\0\0", 4);
  assert_ok (fx_set_attr (fx, "f", (LeaseSet){ .mask = LEASE_SET_SIZE, .size = 0 }));
  assert_int_equal (fx_stat_of (fx, "f").size, 0);
  assert_int_equal (fx_stat_of (fx, "f").footprint, 0);
}

static void
test_values_have_an_upper_bound (void **state)
{
  Fixture *fx = *state;

  fx_put (fx, "f", "hello");
  assert_ok (fx_set_attr (fx, "f", (LeaseSet){ .mask = LEASE_SET_SIZE, .size = INT64_MAX }));
  assert_fails (
      EFBIG,
      fx_set_attr (fx, "f", (LeaseSet){ .mask = LEASE_SET_SIZE, .size = UINT64_C (1) << 63 }));
  assert_ok (fx_write_at (fx, "f", INT64_MAX - 1, "x", 1));
  assert_fails (EFBIG, fx_write_at (fx, "f", INT64_MAX, "x", 1));
  assert_fails (EFBIG, fx_write_at (fx, "f", INT64_MAX - 1, "xx", 2));
  assert_fails (EFBIG, fx_write_at (fx, "f", UINT64_MAX, "x", 1));
  assert_int_equal (fx_stat_of (fx, "f").size, INT64_MAX);
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
  assert_fails (EISDIR, fx_write_at (fx, "d", 0, "x", 1));
  assert_fails (EISDIR, fx_set_attr (fx, "d", size));
  assert_fails (EISDIR,
                lease_engine_read (fx->engine, &fx->by, fx_find (fx, "d"), 0, 1, &data, &got));
  assert_fails (EINVAL, fx_write_at (fx, "s", 0, "x", 1));
  assert_fails (EINVAL, fx_set_attr (fx, "s", size));
  assert_fails (EINVAL,
                lease_engine_read (fx->engine, &fx->by, fx_find (fx, "s"), 0, 1, &data, &got));
  assert_int_equal (fx_stat_of (fx, "d").mode, S_IFDIR | 0755); /* nothing of it was set */
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
  assert_int_equal (fx_stat_of (fx, "s").size, 10);
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
  before = fx_stat_of (fx, "f");
  assert_ok (fx_set_attr (fx, "f", set));
  after = fx_stat_of (fx, "f");
  assert_int_equal (after.mode, before.mode);
  assert_int_equal (after.uid, before.uid);
  assert_int_equal (after.size, before.size);
  assert_int_equal (after.mtime_ns, before.mtime_ns);
  assert_int_equal (after.ctime_ns, fx->by.wall_ns); /* chown (-1, -1) is a change too */

  set.mask = LEASE_SET_MODE;
  assert_ok (fx_set_attr (fx, "f", set));
  after = fx_stat_of (fx, "f");
  assert_int_equal (after.mode, S_IFREG | 04711);
  assert_int_equal (after.uid, before.uid);
  assert_int_equal (after.mtime_ns, before.mtime_ns);
  assert_int_equal (after.ctime_ns, fx->by.wall_ns);

  set.mask = LEASE_SET_UID | LEASE_SET_GID | LEASE_SET_SIZE | LEASE_SET_ATIME | LEASE_SET_MTIME |
             LEASE_SET_CTIME;
  assert_ok (fx_set_attr (fx, "f", set));
  after = fx_stat_of (fx, "f");
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
  attr = fx_stat_of (fx, "f");
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
  assert_int_equal (fx_stat_of (fx, "f").atime_ns, first);
  fx_wait (fx, HOUR);
  fx_get (fx, "f");
  assert_int_equal (fx_stat_of (fx, "f").atime_ns, first);
  fx_wait (fx, 24 * HOUR);
  fx_get (fx, "f");
  assert_int_equal (fx_stat_of (fx, "f").atime_ns, fx->by.wall_ns);
}

static void
test_directories_are_noted_too_unless_that_is_off (void **state)
{
  LeaseEngineConfig config = fx_config ();

  for (unsigned i = 0; i < 4; i++) {
    config.noatime = i & 1;
    config.nodiratime = i & 2;
    g_autoptr (Fixture) fx = fx_new (&config);
    fx_put (fx, "f", "x");
    assert_ok (fx_mkdir (fx, "d"));
    int64_t before = fx->by.wall_ns;
    fx_wait (fx, SECOND);
    fx_get (fx, "f");
    fx_list (fx, "d");
    assert_int_equal (fx_stat_of (fx, "f").atime_ns, config.noatime ? before : fx->by.wall_ns);
    assert_int_equal (fx_stat_of (fx, "d").atime_ns, i == 0 ? fx->by.wall_ns : before);
  }
}

static void
test_the_same_size_again_is_a_change (void **state)
{
  Fixture *fx = *state;

  fx_put (fx, "f", "hello");
  fx_wait (fx, SECOND);
  assert_ok (fx_set_attr (fx, "f", (LeaseSet){ .mask = LEASE_SET_SIZE, .size = 5 }));
  assert_int_equal (fx_stat_of (fx, "f").mtime_ns, fx->by.wall_ns);
  assert_int_equal (fx_stat_of (fx, "f").ctime_ns, fx->by.wall_ns);
}

static void
test_the_size_of_a_directory_counts_its_names (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_mkdir (fx, "d"));
  assert_int_equal (fx_stat_of (fx, "d").size, 40);
  fx_lease (fx, "A", SECOND);
  assert_ok (fx_file (fx, "d/f"));
  fx_key (fx, "d/g", "A");
  assert_int_equal (fx_stat_of (fx, "d").size, 80);
  fx_wait (fx, SECOND);
  assert_int_equal (fx_stat_of (fx, "d").size, 60);
}

/* Setuid and setgid bits */

static mode_t
mode_after_write (Fixture *fx, mode_t mode)
{
  assert_ok (fx_set_attr (fx, "a", (LeaseSet){ .mask = LEASE_SET_MODE, .mode = mode }));
  fx_forget_events (fx);
  assert_ok (fx_write_at (fx, "a", 0, "x", 1));
  return fx_stat_of (fx, "a").mode & 07777;
}

static mode_t
mode_after_set (Fixture *fx, mode_t mode, LeaseSet set)
{
  assert_ok (fx_set_attr (fx, "a", (LeaseSet){ .mask = LEASE_SET_MODE, .mode = mode }));
  assert_ok (fx_set_attr (fx, "a", set));
  fx_check_journal (fx);
  return fx_stat_of (fx, "a").mode & 07777;
}

static void
test_setid_bits_are_left_to_the_kernel_unless_it_says_so (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_file (fx, "a"));
  uint64_t id = fx_pin (fx, "a");
  fx->by.uid = 1000;
  assert_int_equal (mode_after_write (fx, 06755), 06755);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, id), 0);
  fx->by.clears_setid = true;
  assert_int_equal (mode_after_write (fx, 06755), 0755);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, id), 1);
  assert_int_equal (mode_after_write (fx, 06745), 02745);
  assert_int_equal (mode_after_write (fx, 0755), 0755);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, id), 0);
  fx->by.uid = 0;
  assert_int_equal (mode_after_write (fx, 06755), 06755);
  fx_unpin (fx, id);
}

static void
test_truncating_and_chown_clear_setid_bits_too (void **state)
{
  Fixture *fx = *state;
  const LeaseSet empty = { .mask = LEASE_SET_SIZE | LEASE_SET_HOLD };
  const LeaseSet chown = { .mask = LEASE_SET_UID, .uid = 1001 };
  const LeaseSet touch = { .mask = LEASE_SET_MTIME };

  assert_ok (fx_file (fx, "a"));
  fx->by.clears_setid = true;
  assert_int_equal (mode_after_set (fx, 06755, empty), 06755);
  assert_int_equal (mode_after_set (fx, 06755, chown), 0755);
  assert_int_equal (mode_after_set (fx, 06755, touch), 06755);
  fx->by.uid = 1000;
  assert_int_equal (mode_after_set (fx, 06755, empty), 0755);
  assert_int_equal (mode_after_set (fx, 06755, touch), 06755);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_set_attr (fx, "d", (LeaseSet){ .mask = LEASE_SET_MODE, .mode = 02775 }));
  assert_ok (fx_set_attr (fx, "d", chown));
  assert_int_equal (fx_stat_of (fx, "d").mode & 07777, 02775);
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
    cmocka_unit_test (test_directories_are_noted_too_unless_that_is_off),
    fx_test (test_the_same_size_again_is_a_change),
    fx_test (test_the_size_of_a_directory_counts_its_names),
    fx_test (test_setid_bits_are_left_to_the_kernel_unless_it_says_so),
    fx_test (test_truncating_and_chown_clear_setid_bits_too),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
