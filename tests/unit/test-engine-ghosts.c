/* SPDX-License-Identifier: MIT */

/* Names that something new takes before what had them has been removed. */

#include "tests/unit/fixture.h"

#include <errno.h>
#include <sys/stat.h>

static LeaseCaller
reaper_of (const Fixture *fx)
{
  LeaseCaller reaper = fx->by;

  reaper.reaper = true;
  return reaper;
}

/* The next name to be removed, which must be this one. Returns what stood there. */
static uint64_t
expect_grave (Fixture *fx, const char *directory, const char *name, const char *way)
{
  LeaseCaller reaper = reaper_of (fx);
  g_auto (LeaseGrave) grave = { 0 };

  assert_false (lease_engine_expire (fx->engine, &reaper, 1000));
  assert_ok (lease_engine_next_grave (fx->engine, &reaper, 1000, &grave));
  assert_string_equal (grave.directory, directory);
  assert_string_equal (grave.name, name);
  assert_string_equal (grave.retaken  ? grave.detour ? "both" : "retaken"
                       : grave.detour ? "detour"
                                      : "plain",
                       way);
  fx_check (fx);
  return grave.node;
}

/* What the reaper, or anybody else, is shown by that name; 0: nothing. */
static uint64_t
look_up (Fixture *fx, bool as_reaper, uint64_t parent, const char *name, LeaseAttr *attr_out)
{
  LeaseCaller by = fx->by;

  by.reaper = as_reaper;
  int error = lease_engine_lookup (fx->engine, &by, parent, name, attr_out, NULL);
  if (error == -ENOENT || error == -ESTALE)
    return 0;
  assert_ok (error);
  fx_unpin (fx, attr_out->id);
  return attr_out->id;
}

static void
expect_no_more (Fixture *fx)
{
  LeaseCaller reaper = reaper_of (fx);
  LeaseGrave grave;

  assert_fails (ENOENT, lease_engine_next_grave (fx->engine, &reaper, 1000, &grave));
  fx_check (fx);
}

/* A key that has ended, and a new file in its place. */
static uint64_t
retake (Fixture *fx)
{
  uint64_t old;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  old = fx_find (fx, "key");
  fx_wait (fx, 10 * SECOND);
  fx_put (fx, "key", "new");
  return old;
}

static void
test_only_the_reaper_is_shown_the_old_one (void **state)
{
  Fixture *fx = *state;
  uint64_t old = retake (fx);
  LeaseAttr attr;

  assert_int_equal (expect_grave (fx, ".", "key", "retaken"), old);
  assert_int_not_equal (look_up (fx, false, LEASE_ROOT, "key", &attr), old);
  assert_int_equal (look_up (fx, true, LEASE_ROOT, "key", &attr), old);
  assert_int_equal (attr.fresh_until, 0);
  assert_int_equal (attr.nlink, 1);
  assert_fails (ESTALE, fx_getattr (fx, old));
  assert_string_equal (fx_list (fx, ""), "leases key");
}

static void
test_the_new_one_is_never_removed (void **state)
{
  Fixture *fx = *state;
  uint64_t old = retake (fx);
  LeaseCaller reaper = reaper_of (fx);
  LeaseAttr attr;

  expect_grave (fx, ".", "key", "retaken");
  /* The kernel may mean the new one. */
  assert_fails (ESTALE, lease_engine_unlink (fx->engine, &reaper, LEASE_ROOT, "key"));
  assert_int_equal (look_up (fx, true, LEASE_ROOT, "key", &attr), old);
  expect_grave (fx, ".", "key", "retaken");
  assert_fails (ESTALE, lease_engine_unlink (fx->engine, &reaper, LEASE_ROOT, "key"));

  assert_int_equal (look_up (fx, true, LEASE_ROOT, "key", &attr), old);
  assert_ok (lease_engine_unlink (fx->engine, &reaper, LEASE_ROOT, "key"));
  assert_fails (ESTALE, lease_engine_unlink (fx->engine, &reaper, LEASE_ROOT, "key"));
  assert_string_equal (fx_get (fx, "key"), "new");
  expect_grave (fx, "leases", "A", "plain");
}

static void
test_a_name_may_be_taken_again_and_again (void **state)
{
  Fixture *fx = *state;
  uint64_t old[3];

  for (unsigned i = 0; i < 3; i++) {
    g_autofree char *lease = g_strdup_printf ("L%u", i);
    fx_lease (fx, lease, 10 * SECOND);
    fx_key (fx, "key", lease);
    old[i] = fx_find (fx, "key");
    fx_wait (fx, 10 * SECOND);
  }
  fx_put (fx, "key", "new");
  for (unsigned i = 0; i < 3; i++) {
    LeaseCaller reaper = reaper_of (fx);
    LeaseAttr attr;
    assert_int_equal (expect_grave (fx, ".", "key", "retaken"), old[i]);
    assert_int_equal (look_up (fx, true, LEASE_ROOT, "key", &attr), old[i]);
    assert_ok (lease_engine_unlink (fx->engine, &reaper, LEASE_ROOT, "key"));
  }
  assert_int_equal (fx_reap (fx), 3);
  assert_string_equal (fx_get (fx, "key"), "new");
}

static void
test_what_was_in_a_directory_goes_by_its_old_name (void **state)
{
  Fixture *fx = *state;
  LeaseCaller reaper;
  LeaseAttr attr;
  uint64_t d, e;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_edit (fx, "A", "d\n"));
  assert_ok (fx_mkdir (fx, "d/e"));
  assert_ok (fx_file (fx, "d/e/f"));
  d = fx_find (fx, "d");
  e = fx_find (fx, "d/e");
  fx_wait (fx, 10 * SECOND);
  assert_ok (fx_file (fx, "d")); /* of another type */

  reaper = reaper_of (fx);
  expect_grave (fx, "d/e", "f", "detour");
  assert_int_equal (look_up (fx, true, LEASE_ROOT, "d", &attr), d);
  assert_true (S_ISDIR (attr.mode));
  assert_int_equal (look_up (fx, true, d, "e", &attr), e);
  assert_fails (ESTALE, lease_engine_rmdir (fx->engine, &reaper, d, "e"));
  assert_ok (lease_engine_unlink (fx->engine, &reaper, e, "f"));
  expect_grave (fx, "d", "e", "detour");
  assert_ok (lease_engine_rmdir (fx->engine, &reaper, d, "e"));
  expect_grave (fx, ".", "d", "retaken");
  assert_int_equal (look_up (fx, true, LEASE_ROOT, "d", &attr), d);
  assert_fails (EISDIR, lease_engine_unlink (fx->engine, &reaper, LEASE_ROOT, "d"));
  assert_int_equal (look_up (fx, true, LEASE_ROOT, "d", &attr), d);
  assert_ok (lease_engine_rmdir (fx->engine, &reaper, LEASE_ROOT, "d"));
  assert_true (S_ISREG (fx_stat_of (fx, "d").mode));
}

static void
test_the_old_lease_goes_after_its_keys (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_file (fx, "leases/A/x"));
  fx_key (fx, "key", "A");
  fx_wait (fx, 10 * SECOND);
  fx_lease (fx, "A", 100 * SECOND);
  expect_grave (fx, "leases/A", "x", "detour");
  assert_int_equal (fx_reap (fx), 3);
  expect_no_more (fx);
  assert_int_equal (fx_left (fx, "A"), 100 * SECOND);
}

static void
test_one_of_several_names_may_be_taken (void **state)
{
  Fixture *fx = *state;
  LeaseCaller reaper;
  LeaseAttr attr;
  uint64_t key;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "one", "A");
  assert_ok (fx_link (fx, "one", "two"));
  key = fx_find (fx, "one");
  fx_wait (fx, 10 * SECOND);
  fx_put (fx, "one", "new");

  reaper = reaper_of (fx);
  assert_int_equal (expect_grave (fx, ".", "one", "retaken"), key);
  assert_int_equal (look_up (fx, true, LEASE_ROOT, "one", &attr), key);
  assert_int_equal (attr.nlink, 2); /* so that the kernel does not take the other for gone */
  assert_ok (lease_engine_unlink (fx->engine, &reaper, LEASE_ROOT, "one"));
  assert_int_equal (expect_grave (fx, ".", "two", "plain"), key);
  assert_int_equal (look_up (fx, true, LEASE_ROOT, "two", &attr), key);
  assert_int_equal (attr.nlink, 1);
}

static void
test_it_goes_with_the_directory_that_it_was_in (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_mkdir (fx, "d"));
  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "d/key", "A");
  fx_wait (fx, 10 * SECOND);
  assert_ok (fx_file (fx, "d/key"));
  assert_ok (fx_unlink (fx, "d/key"));
  assert_ok (fx_rmdir (fx, "d"));
  expect_grave (fx, "leases", "A", "plain");
}

static void
test_it_counts_as_used_memory_until_it_is_gone (void **state)
{
  Fixture *fx = *state;
  LeaseUsage before, between, after;

  lease_engine_usage (fx->engine, &before);
  retake (fx);
  assert_ok (fx_unlink (fx, "key"));
  lease_engine_usage (fx->engine, &between);
  assert_true (between.bytes_used > before.bytes_used);
  fx_reap (fx);
  lease_engine_usage (fx->engine, &after);
  assert_int_equal (after.bytes_used, before.bytes_used);
}

static void
test_it_does_not_outlive_the_engine (void **state)
{
  Fixture *fx = *state;

  retake (fx);
  fx_restart (fx, false);
  assert_int_equal (fx_reap (fx), 1); /* the lease */
  assert_string_equal (fx_get (fx, "key"), "new");
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    fx_test (test_only_the_reaper_is_shown_the_old_one),
    fx_test (test_the_new_one_is_never_removed),
    fx_test (test_a_name_may_be_taken_again_and_again),
    fx_test (test_what_was_in_a_directory_goes_by_its_old_name),
    fx_test (test_the_old_lease_goes_after_its_keys),
    fx_test (test_one_of_several_names_may_be_taken),
    fx_test (test_it_goes_with_the_directory_that_it_was_in),
    fx_test (test_it_counts_as_used_memory_until_it_is_gone),
    fx_test (test_it_does_not_outlive_the_engine),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
