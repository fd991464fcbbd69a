/* SPDX-License-Identifier: MIT */

#include "tests/unit/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

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
  attr = fx_stat_of (fx, "f");
  before = usage_of (fx);
  fx_wait (fx, SECOND);
  assert_fails (ENOSPC, fx_write_at (fx, "f", 0, data, 100000));
  assert_fails (ENOSPC, fx_write_at (fx, "f", INT64_MAX - 100000, data, 100000));
  assert_string_equal (fx_get (fx, "f"), "hello");
  assert_int_equal (fx_stat_of (fx, "f").size, 5);
  assert_int_equal (fx_stat_of (fx, "f").mtime_ns, attr.mtime_ns);
  expect_same_usage (fx, before);
  assert_ok (fx_write_at (fx, "f", 0, data, 50000));
  assert_fails (ENOSPC, fx_write_at (fx, "f", 50000, data, 50000));
  assert_ok (fx_set_attr (fx, "f", (LeaseSet){ .mask = LEASE_SET_SIZE, .size = 0 }));
  assert_ok (fx_write_at (fx, "f", 0, "hello", 5));
  expect_same_usage (fx, before);
  /* Holes take nothing. */
  assert_ok (fx_set_attr (fx, "f", (LeaseSet){ .mask = LEASE_SET_SIZE, .size = INT64_MAX }));
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
test_no_more_leases_than_the_limit (void **state)
{
  LeaseEngineConfig config = fx_config ();

  config.max_leases = 2;
  g_autoptr (Fixture) fx = fx_new (&config);
  fx_lease (fx, "A", SECOND);
  assert_ok (fx_mkdir (fx, "leases/B"));
  assert_fails (ENOSPC, fx_mkdir (fx, "leases/C"));
  assert_ok (fx_mkdir (fx, "C"));
  assert_ok (fx_rmdir (fx, "leases/B"));
  fx_lease (fx, "B", SECOND);
  assert_fails (ENOSPC, fx_mkdir (fx, "leases/C"));
  fx_wait (fx, SECOND);
  assert_ok (fx_mkdir (fx, "leases/C")); /* though nobody has cleaned up */
  assert_ok (fx_mkdir (fx, "leases/D"));
  assert_fails (ENOSPC, fx_mkdir (fx, "leases/E"));
}

static void
test_the_end_makes_room_at_once (void **state)
{
  g_autoptr (Fixture) fx = new_limited (100000, 5);
  g_autofree char *data = g_malloc0 (60000);

  fx_lease (fx, "A", SECOND);
  fx_key (fx, "a", "A");
  fx_pin (fx, "a"); /* as the kernel does */
  assert_ok (fx_file (fx, "b"));
  assert_ok (fx_write_at (fx, "a", 0, data, 60000));
  assert_fails (ENOSPC, fx_write_at (fx, "b", 0, data, 60000));
  assert_fails (ENOSPC, fx_file (fx, "c"));
  fx_wait (fx, SECOND);
  assert_ok (fx_write_at (fx, "b", 0, data, 60000));
  assert_int_equal (usage_of (fx).nodes_used, 3);
  assert_ok (fx_file (fx, "c"));
  assert_ok (fx_file (fx, "d"));
  assert_fails (ENOSPC, fx_file (fx, "e"));
}

static void
test_a_directory_that_was_large_takes_little_again (void **state)
{
  Fixture *fx = *state;
  LeaseUsage before;

  fx->unchecked = true;
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_file (fx, "d/first"));
  before = usage_of (fx);
  for (unsigned i = 0; i < 3000; i++) {
    g_autofree char *path = g_strdup_printf ("d/%u", i);
    assert_ok (fx_file (fx, path));
  }
  for (unsigned i = 3000; i-- > 0;) {
    g_autofree char *path = g_strdup_printf ("d/%u", i);
    assert_ok (fx_unlink (fx, path));
  }
  expect_same_usage (fx, before);
  assert_string_equal (fx_list (fx, "d"), "first");
}

static void
test_without_limits_nothing_is_refused (void **state)
{
  g_autoptr (Fixture) fx = new_limited (UINT64_MAX, UINT64_MAX);

  fx_put (fx, "f", "x");
  assert_ok (lease_engine_allocate (fx->engine, &fx->by, fx_find (fx, "f"), 0, 0, 1 << 30));
  assert_fails (ENOSPC,
                lease_engine_allocate (fx->engine, &fx->by, fx_find (fx, "f"), 0, 0, INT64_MAX));
}

static uint64_t memory; /* of the process */

static uint64_t
memory_of_process (void)
{
  return memory;
}

/* Memory that was given back in pieces may be of no use for larger ones. */
static void
test_no_more_than_the_process_may_have (void **state)
{
  LeaseEngineConfig config = fx_config ();
  g_autofree char *data = g_malloc0 (1 << 20);

  config.max_bytes = 100 << 20;
  config.memory = memory_of_process;
  config.memory_slack = 10 << 20;
  memory = 1 << 20;
  g_autoptr (Fixture) fx = fx_new (&config);
  assert_ok (fx_file (fx, "f"));
  memory = 111 << 20;
  assert_fails (ENOSPC, fx_write_at (fx, "f", 0, data, 1 << 20));
  assert_fails (ENOSPC, fx_file (fx, "g"));
  assert_int_equal (usage_of (fx).bytes_used, usage_of (fx).bytes_max);
  assert_ok (fx_rename (fx, "f", "h", 0));
  memory = 110 << 20;
  assert_ok (fx_file (fx, "g"));
  assert_true (usage_of (fx).bytes_used < 1 << 20);
}

static void
test_somebody_hears_when_much_has_been_given_back (void **state)
{
  Fixture *fx = *state;
  g_autofree char *data = g_malloc0 (1 << 20);

  for (unsigned i = 0; i < 16; i++) {
    g_autofree char *name = g_strdup_printf ("f%u", i);
    assert_ok (fx_file (fx, name));
    assert_ok (fx_write_at (fx, name, 0, data, 1 << 20));
  }
  fx_forget_events (fx);
  for (unsigned i = 0; i < 16; i++) {
    g_autofree char *name = g_strdup_printf ("f%u", i);
    assert_ok (fx_unlink (fx, name));
    /* Half, and half of that; what is left then is little. */
    assert_int_equal (fx_count_events (fx, LEASE_EVENT_SHRUNK, 0), i < 8 ? 0 : i < 12 ? 1 : 2);
  }
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
    cmocka_unit_test (test_usage_tells_the_limits),
    fx_test (test_somebody_hears_when_much_has_been_given_back),
    cmocka_unit_test (test_no_more_nodes_than_the_limit),
    cmocka_unit_test (test_no_more_bytes_than_the_limit),
    cmocka_unit_test (test_no_more_leases_than_the_limit),
    cmocka_unit_test (test_a_write_that_does_not_fit_changes_nothing),
    cmocka_unit_test (test_a_full_mount_can_still_be_put_in_order),
    cmocka_unit_test (test_the_end_makes_room_at_once),
    fx_test (test_a_directory_that_was_large_takes_little_again),
    cmocka_unit_test (test_without_limits_nothing_is_refused),
    cmocka_unit_test (test_no_more_than_the_process_may_have),
    fx_test (test_everything_is_given_back),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
