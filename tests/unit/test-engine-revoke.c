/* SPDX-License-Identifier: MIT */

/* Revoking a lease in two steps. */

#include "tests/unit/fixture.h"

#include <errno.h>

/* The first step, where there is a second. Returns the id of the lease. */
static uint64_t
begin (Fixture *fx, const char *lease)
{
  uint64_t id;

  assert_fails (EINPROGRESS, lease_engine_revoke (fx->engine, &fx->by,
                                                  lease_engine_leases (fx->engine), lease, &id));
  fx_check (fx);
  return id;
}

static void
test_a_lease_without_keys_goes_at_once (void **state)
{
  Fixture *fx = *state;
  uint64_t leases = lease_engine_leases (fx->engine), id;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (lease_engine_revoke (fx->engine, &fx->by, leases, "A", &id));
  assert_string_equal (fx_list (fx, "leases"), "");
  assert_int_equal (fx_reap (fx), 0);
  assert_fails (ENOENT, lease_engine_revoke (fx->engine, &fx->by, leases, "A", &id));
}

static void
test_what_is_no_lease_is_refused (void **state)
{
  Fixture *fx = *state;
  uint64_t id;

  assert_ok (fx_mkdir (fx, "d"));
  assert_fails (EINVAL, lease_engine_revoke (fx->engine, &fx->by, LEASE_ROOT, "d", &id));
  assert_fails (EINVAL, lease_engine_revoke (fx->engine, &fx->by, LEASE_ROOT, "leases", &id));
}

static void
test_all_has_ended_with_the_first_step (void **state)
{
  Fixture *fx = *state;
  uint64_t id;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  assert_ok (fx_file (fx, "leases/A/x"));
  id = begin (fx, "A");
  assert_int_equal (fx_find (fx, "key"), 0);
  assert_string_equal (fx_list (fx, "leases"), "");
  assert_fails (ENOENT, fx_refresh (fx, "A"));
  assert_ok (fx_mkdir (fx, "leases/A")); /* the ID is free */
  assert_ok (lease_engine_part (fx->engine, &fx->by, id));
  assert_string_equal (fx_list (fx, "leases"), "A");
}

static void
test_the_keys_go_before_the_directory_and_that_waits (void **state)
{
  Fixture *fx = *state;
  uint64_t id;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "one", "A");
  fx_key (fx, "two", "A");
  id = begin (fx, "A");
  assert_false (lease_engine_is_cleared (fx->engine, id));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_CLEARED, id), 0);
  assert_int_equal (fx_reap (fx), 2);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_CLEARED, id), 1);
  assert_true (lease_engine_is_cleared (fx->engine, id));
  assert_ok (lease_engine_part (fx->engine, &fx->by, id));
  assert_int_equal (fx_reap (fx), 0);
  assert_fails (ENOENT, lease_engine_part (fx->engine, &fx->by, id));
}

static void
test_it_is_cleaned_up_before_all_else (void **state)
{
  Fixture *fx = *state;
  LeaseCaller reaper = fx->by;
  g_auto (LeaseGrave) grave = { 0 };

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "one", "A");
  fx_lease (fx, "B", 20 * SECOND);
  fx_key (fx, "two", "B");
  fx_wait (fx, 10 * SECOND);
  lease_engine_expire (fx->engine, &fx->by, 1000);
  begin (fx, "B");
  reaper.reaper = true;
  reaper.now = fx->by.now;
  assert_ok (lease_engine_next_grave (fx->engine, &reaper, 1000, &grave));
  assert_string_equal (grave.name, "two");
}

#define MANY 3000

static void
make_many_keys (Fixture *fx, const char *lease)
{
  fx->unchecked = true;
  fx_lease (fx, lease, 10 * SECOND);
  for (unsigned i = 0; i < MANY; i++) {
    g_autofree char *key = g_strdup_printf ("key%u", i);
    fx_key (fx, key, lease);
  }
  fx->unchecked = false;
}

/* Before they are cleaned up, whoever knows of them is told, in pieces. */
static void
test_many_keys_are_over_at_once_and_settled_in_pieces (void **state)
{
  Fixture *fx = *state;
  g_auto (LeaseGrave) grave = { 0 };
  LeaseCaller reaper = fx->by;
  LeaseAttr attr;
  unsigned pieces = 0;

  reaper.reaper = true;
  make_many_keys (fx, "A");
  uint64_t last = fx_pin (fx, "key2999");
  uint64_t id = begin (fx, "A");
  assert_int_equal (fx_find (fx, "key2999"), 0);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, last), 0);
  assert_fails (ENOENT, lease_engine_next_grave (fx->engine, &reaper, 1000, &grave));
  assert_ok (lease_engine_getattr (fx->engine, &fx->by, LEASE_ROOT, &attr));
  assert_true (attr.fresh_until <= fx->by.now);
  assert_false (lease_engine_expire (fx->engine, &fx->by, 1000));
  assert_ok (fx_file (fx, "key2999"));
  while (lease_engine_settle_revoked (fx->engine, &fx->by, id))
    pieces++;
  fx_check (fx);
  assert_in_range (pieces, 2, MANY / 100);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, last), 1);
  fx_unpin (fx, last);
  assert_int_equal (fx_reap (fx), MANY);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_CLEARED, id), 1);
  assert_ok (lease_engine_part (fx->engine, &fx->by, id));
  assert_int_equal (fx_reap (fx), 0);
  assert_int_not_equal (fx_find (fx, "key2999"), 0);
}

static void
test_rmdir_returns_when_all_keys_are_settled (void **state)
{
  Fixture *fx = *state;

  make_many_keys (fx, "A");
  uint64_t last = fx_pin (fx, "key2999");
  assert_ok (fx_rmdir (fx, "leases/A"));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, last), 1);
  fx_unpin (fx, last);
  assert_int_equal (fx_reap (fx), MANY);
}

/* It is as if the directory had been removed long since. */
static void
test_the_second_step_may_come_before_all_is_settled (void **state)
{
  Fixture *fx = *state;

  make_many_keys (fx, "A");
  uint64_t id = begin (fx, "A");
  assert_ok (lease_engine_part (fx->engine, &fx->by, id));
  fx_check (fx);
  while (lease_engine_settle_revoked (fx->engine, &fx->by, id))
    continue;
  assert_int_equal (fx_reap (fx), MANY);
  fx_check (fx);
}

/* Who was about to remove an older lease of that ID finds this one in its place. */
static void
test_nobody_else_removes_the_directory (void **state)
{
  Fixture *fx = *state;
  LeaseCaller reaper;
  g_auto (LeaseGrave) grave = { 0 };
  uint64_t leases = lease_engine_leases (fx->engine), id;

  fx_lease (fx, "A", 10 * SECOND);
  fx_wait (fx, 10 * SECOND);
  reaper = fx->by;
  reaper.reaper = true;
  lease_engine_expire (fx->engine, &fx->by, 1000);
  assert_ok (lease_engine_next_grave (fx->engine, &reaper, 1000, &grave));
  assert_string_equal (grave.name, "A");
  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  id = begin (fx, "A");
  assert_fails (ESTALE, lease_engine_rmdir (fx->engine, &reaper, leases, "A"));
  assert_int_equal (fx_reap (fx), 2);
  assert_ok (lease_engine_part (fx->engine, &fx->by, id));
  assert_int_equal (fx_reap (fx), 0);
}

static void
test_the_second_step_may_come_early (void **state)
{
  Fixture *fx = *state;
  uint64_t id;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  assert_ok (fx_file (fx, "leases/A/x"));
  id = begin (fx, "A");
  assert_ok (lease_engine_part (fx->engine, &fx->by, id));
  assert_true (lease_engine_is_cleared (fx->engine, id));
  assert_int_equal (fx_reap (fx), 1); /* to what was in the directory no path leads any more */
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_CLEARED, 0), 0);
}

static void
test_who_does_not_come_back_is_not_waited_for (void **state)
{
  Fixture *fx = *state;
  uint64_t id;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  id = begin (fx, "A");
  assert_int_equal (fx_reap (fx), 1);
  lease_engine_abandon (fx->engine, &fx->by, id);
  assert_int_equal (fx_reap (fx), 1);
  assert_fails (ENOENT, lease_engine_part (fx->engine, &fx->by, id));
}

static void
test_after_a_crash_in_between_it_has_ended (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  begin (fx, "A");
  fx_restart (fx, false);
  assert_string_equal (fx_list (fx, ""), "leases");
  assert_string_equal (fx_list (fx, "leases"), "");
  fx_reap (fx);
}

static void
test_without_the_journal_nothing_happens (void **state)
{
  Fixture *fx = *state;
  uint64_t id;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  fake_fail (fx->fake, 1, EIO);
  assert_fails (
      EIO, lease_engine_revoke (fx->engine, &fx->by, lease_engine_leases (fx->engine), "A", &id));
  fake_fail (fx->fake, 0, 0);
  assert_int_not_equal (fx_find (fx, "key"), 0);
}

/* Who revokes it is not told that it failed, since it did not. */
static void
test_what_is_revoked_is_so_though_the_journal_fails_then (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  uint64_t id = begin (fx, "A");
  fake_fail (fx->fake, 1, ENOSPC);
  assert_ok (lease_engine_part (fx->engine, &fx->by, id));
  fake_fail (fx->fake, 0, 0);
  assert_int_equal (fx_find (fx, "leases/A"), 0);
  assert_int_equal (fx_reap (fx), 2);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    fx_test (test_a_lease_without_keys_goes_at_once),
    fx_test (test_what_is_no_lease_is_refused),
    fx_test (test_all_has_ended_with_the_first_step),
    fx_test (test_the_keys_go_before_the_directory_and_that_waits),
    fx_test (test_it_is_cleaned_up_before_all_else),
    fx_test (test_many_keys_are_over_at_once_and_settled_in_pieces),
    fx_test (test_rmdir_returns_when_all_keys_are_settled),
    fx_test (test_the_second_step_may_come_before_all_is_settled),
    fx_test (test_nobody_else_removes_the_directory),
    fx_test (test_the_second_step_may_come_early),
    fx_test (test_who_does_not_come_back_is_not_waited_for),
    fx_test (test_after_a_crash_in_between_it_has_ended),
    fx_test (test_without_the_journal_nothing_happens),
    fx_test (test_what_is_revoked_is_so_though_the_journal_fails_then),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
