/* SPDX-License-Identifier: MIT */

/* Leases that are held. */

#include "tests/unit/fixture-holders.h"

#include <errno.h>

static LeaseTime
fresh_until (Fixture *fx, const char *path)
{
  return fx_stat_of (fx, path).fresh_until;
}

static uint64_t
count_phase (Fixture *fx, LeasePhase phase)
{
  LeaseMetrics metrics;

  lease_engine_metrics (fx->engine, &fx->by, &metrics);
  return metrics.counts.leases[phase];
}

static void
test_held_leases_are_counted (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_lease (fx, "B", 10 * SECOND);
  assert_ok (fx_edit_holders (fx, "A", (int[]){ 1, 2, 0 }));
  assert_ok (fx_hold (fx, "B", 1));
  assert_int_equal (count_phase (fx, LEASE_PHASE_HELD), 2);
  assert_int_equal (count_phase (fx, LEASE_PHASE_GRANTED), 0);
  fx_drop (fx, 1);
  assert_int_equal (count_phase (fx, LEASE_PHASE_HELD), 1);
  assert_int_equal (count_phase (fx, LEASE_PHASE_GRANTED), 1);
  assert_ok (fx_rmdir (fx, "leases/A"));
  assert_int_equal (count_phase (fx, LEASE_PHASE_HELD), 0);
  assert_int_equal (count_phase (fx, LEASE_PHASE_ENDED), 1);
}

static void
test_a_held_lease_does_not_expire (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  assert_ok (fx_hold (fx, "A", 1));
  assert_string_equal (fx_holders (fx, "A"), "101");
  assert_int_equal (lease_engine_earliest (fx->engine), LEASE_TIME_NEVER);
  fx_wait (fx, 1000000 * SECOND);
  assert_int_equal (fx_reap (fx), 0);
  assert_int_not_equal (fx_find (fx, "key"), 0);
  assert_int_equal (fx_left (fx, "A"), 10 * SECOND);
}

static void
test_from_when_the_last_one_lets_go_it_runs_for_its_ttl (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  assert_ok (fx_edit_holders (fx, "A", (int[]){ 1, 2, 3, 0 }));
  fx_wait (fx, 100 * SECOND);
  assert_ok (fx_let_go (fx, "A", 2));
  assert_string_equal (fx_holders (fx, "A"), "101 103");
  fx_wait (fx, 100 * SECOND);
  fx_drop (fx, 1);
  fx_wait (fx, 100 * SECOND);
  assert_int_equal (fx_left (fx, "A"), 10 * SECOND);
  assert_int_equal (lease_engine_earliest (fx->engine), LEASE_TIME_NEVER);

  fx_forget_events (fx);
  fx_drop (fx, 3);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_EARLIER, 0), 1);
  assert_int_equal (lease_engine_earliest (fx->engine), fx->by.now + 10 * SECOND);
  assert_string_equal (fx_holders (fx, "A"), "");
  fx_wait (fx, 10 * SECOND - 1);
  assert_int_equal (fx_left (fx, "A"), 1);
  assert_int_not_equal (fx_find (fx, "key"), 0);
  fx_wait (fx, 1);
  assert_int_equal (fx_find (fx, "key"), 0);
  assert_fails (ENOENT, fx_hold (fx, "A", 1));
}

/* It may be let go at any time, of which nobody need be told then: only its directories may have been
 * shown for longer. */
static void
test_a_held_lease_is_shown_for_its_ttl (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  fx_key (fx, "d/key", "A");
  assert_ok (fx_hold (fx, "A", 1));
  uint64_t key = fx_pin (fx, "d/key"), parent = fx_pin (fx, "d"), lease = fx_pin (fx, "leases/A");
  uint64_t leases = fx_pin (fx, "leases");
  fx_wait (fx, 100 * SECOND);
  assert_int_equal (fresh_until (fx, "d/key"), fx->by.now + 10 * SECOND);
  assert_int_equal (fresh_until (fx, "leases/A"), fx->by.now + 10 * SECOND);
  assert_int_equal (fresh_until (fx, "d"), LEASE_TIME_NEVER);
  assert_int_equal (fresh_until (fx, "leases"), LEASE_TIME_NEVER);

  fx_forget_events (fx);
  assert_ok (fx_let_go (fx, "A", 1));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, parent), 1);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, leases), 1);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, 0), 2);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_NAMES, 0), 0);
  assert_int_equal (fresh_until (fx, "d/key"), fx->by.now + 10 * SECOND);
  assert_int_equal (fresh_until (fx, "d"), fx->by.now + 10 * SECOND);
  fx_unpin (fx, key);
  fx_unpin (fx, parent);
  fx_unpin (fx, lease);
  fx_unpin (fx, leases);
}

static void
test_a_shorter_ttl_of_a_held_lease_is_told (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  assert_ok (fx_hold (fx, "A", 1));
  uint64_t key = fx_pin (fx, "key");
  fx_wait (fx, SECOND);
  fx_forget_events (fx);
  assert_ok (fx_grant (fx, "A", 5 * SECOND));
  assert_true (fx_count_events (fx, LEASE_EVENT_STALE, key) >= 1);
  assert_int_equal (fresh_until (fx, "key"), fx->by.now + 5 * SECOND);
  fx_forget_events (fx);
  assert_ok (fx_let_go (fx, "A", 1));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, key), 0);
  assert_int_equal (fx_left (fx, "A"), 5 * SECOND);
  fx_unpin (fx, key);
}

static void
test_to_hold_twice_is_to_hold_once (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_hold (fx, "A", 1));
  assert_ok (fx_edit_holders (fx, "A", (int[]){ 1, 1, 0 }));
  assert_string_equal (fx_holders (fx, "A"), "101");
  assert_ok (fx_let_go (fx, "A", 1));
  assert_fails (ESRCH, fx_let_go (fx, "A", 1));
}

static void
test_a_refresh_of_a_held_lease_moves_its_time_only (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  assert_ok (fx_hold (fx, "A", 1));
  int64_t before = fx_mtime (fx, "leases/A");
  fx_wait (fx, 100 * SECOND);
  assert_ok (fx_refresh (fx, "A"));
  assert_int_equal (fx_mtime (fx, "leases/A"), before + 100 * SECOND);
  fx_wait (fx, 100 * SECOND);
  assert_ok (fx_touch (fx, "key"));
  assert_int_equal (fx_mtime (fx, "leases/A"), before + 200 * SECOND);
  fx_wait (fx, 100 * SECOND);
  assert_int_equal (fx_left (fx, "A"), 10 * SECOND);
  assert_int_equal (fx_mtime (fx, "leases/A"), before + 200 * SECOND);
  fx_drop (fx, 1);
  /* To be let go is no refresh. */
  assert_int_equal (fx_mtime (fx, "leases/A"), before + 200 * SECOND);
  fx_wait (fx, 9 * SECOND);
  assert_ok (fx_refresh (fx, "A"));
  assert_int_equal (fx_left (fx, "A"), 10 * SECOND);
}

static void
test_the_ttl_that_counts_is_the_last_one (void **state)
{
  Fixture *fx = *state;
  LeaseInfo info;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_hold (fx, "A", 1));
  assert_ok (fx_grant (fx, "A", 3 * SECOND));
  fx_wait (fx, 100 * SECOND);
  assert_ok (fx_info (fx, "A", &info));
  assert_int_equal (info.granted_ns, 3 * SECOND);
  assert_int_equal (info.left_ns, 3 * SECOND);
  fx_drop (fx, 1);
  assert_int_equal (fx_left (fx, "A"), 3 * SECOND);
}

static void
test_a_held_lease_can_be_revoked (void **state)
{
  Fixture *fx = *state;
  LeaseUsage before, after;

  lease_engine_usage (fx->engine, &before);
  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  assert_ok (fx_edit_holders (fx, "A", (int[]){ 1, 2, 0 }));
  fx_lease (fx, "B", 10 * SECOND);
  assert_ok (fx_hold (fx, "B", 2));
  fx_forget_events (fx);
  assert_ok (fx_rmdir (fx, "leases/A"));
  assert_int_equal (fx_find (fx, "key"), 0);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_IDLE, 1), 1);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_IDLE, 0), 1);
  assert_false (lease_engine_is_holder (fx->engine, 1));
  assert_true (lease_engine_is_holder (fx->engine, 2));
  fx_drop (fx, 1);
  fx_reap (fx);
  assert_string_equal (fx_holders (fx, "B"), "102");

  assert_ok (fx_rmdir (fx, "leases/B"));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_IDLE, 2), 1);
  fx_reap (fx);
  lease_engine_usage (fx->engine, &after);
  assert_int_equal (after.bytes_used, before.bytes_used);
}

static void
test_only_what_was_granted_is_held (void **state)
{
  Fixture *fx = *state;
  g_autoptr (GArray) lines = g_array_new (FALSE, FALSE, sizeof (LeaseHolderLine));
  g_autoptr (GArray) infos = NULL;

  assert_ok (fx_mkdir (fx, "leases/A"));
  assert_fails (EINVAL, fx_hold (fx, "A", 1));
  assert_fails (EINVAL, fx_let_go (fx, "A", 1));
  assert_string_equal (fx_holders (fx, "A"), "");
  assert_ok (fx_mkdir (fx, "d"));
  assert_fails (EINVAL, lease_engine_edit_holders (fx->engine, &fx->by, fx_find (fx, "d"), lines));
  assert_fails (EINVAL, lease_engine_holders (fx->engine, &fx->by, fx_find (fx, "d"), &infos));
  uint64_t id = fx_find (fx, "leases/A");
  fx_wait (fx, 60 * SECOND);
  assert_fails (ESTALE, lease_engine_edit_holders (fx->engine, &fx->by, id, lines));
  assert_fails (ESTALE, lease_engine_holders (fx->engine, &fx->by, id, &infos));
}

static void
test_all_lines_are_followed_or_none (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  assert_fails (ESRCH, fx_edit_holders (fx, "A", (int[]){ 1, 2, -3, 0 }));
  assert_string_equal (fx_holders (fx, "A"), "");
  assert_fails (ESRCH, fx_edit_holders (fx, "A", (int[]){ 1, -1, -1, 0 }));
  assert_string_equal (fx_holders (fx, "A"), "");
  assert_false (lease_engine_is_holder (fx->engine, 1));
  assert_ok (fx_edit_holders (fx, "A", (int[]){ 1, -1, 1, 0 }));
  assert_string_equal (fx_holders (fx, "A"), "101");
}

/* Between the lines of one write nothing happens: it does not run even for a moment. */
static void
test_a_lease_that_is_handed_over_stays_held (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_hold (fx, "A", 1));
  fx_forget_events (fx);
  assert_ok (fx_edit_holders (fx, "A", (int[]){ -1, 2, 0 }));
  assert_string_equal (fx_holders (fx, "A"), "102");
  assert_ok (fx_edit_holders (fx, "A", (int[]){ -2, 2, 0 }));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_EARLIER, 0), 0);
  assert_ok (fx_edit_holders (fx, "A", (int[]){ 1, -1, 0 }));
  assert_string_equal (fx_holders (fx, "A"), "102");
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_IDLE, 1), 1);
}

static void
test_a_holder_lets_go_of_many_in_slices (void **state)
{
  Fixture *fx = *state;

  for (unsigned i = 0; i < 10; i++) {
    char name[] = { 'A' + i, '\0' };
    fx_lease (fx, name, (10 + i) * SECOND);
    assert_ok (fx_hold (fx, name, 1));
  }
  fx_wait (fx, 100 * SECOND);
  fx_forget_events (fx);
  assert_true (lease_engine_drop_holder (fx->engine, &fx->by, 1, 9));
  assert_true (lease_engine_is_holder (fx->engine, 1));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_IDLE, 0), 0);
  assert_false (lease_engine_drop_holder (fx->engine, &fx->by, 1, 1));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_IDLE, 1), 1);
  assert_false (lease_engine_drop_holder (fx->engine, &fx->by, 1, 1));
  assert_int_equal (fx_left (fx, "A"), 10 * SECOND);
  assert_int_equal (fx_left (fx, "J"), 19 * SECOND);
  fx_wait (fx, 10 * SECOND);
  assert_int_equal (fx_find (fx, "leases/A"), 0);
  assert_int_not_equal (fx_find (fx, "leases/B"), 0);
}

static void
test_holders_take_memory (void **state)
{
  LeaseEngineConfig config = fx_config ();
  config.max_bytes = 20000;
  g_autoptr (Fixture) fx = fx_new (&config);
  LeaseUsage before, after;
  unsigned count = 0;

  fx_lease (fx, "A", 10 * SECOND);
  lease_engine_usage (fx->engine, &before);
  while (fx_hold (fx, "A", count + 1) == 0)
    count++;
  assert_in_range (count, 10, 50);
  assert_fails (ENOSPC, fx_hold (fx, "A", count + 1));
  assert_ok (fx_hold (fx, "A", count));
  /* Nothing of a write that does not fit. */
  fx_drop (fx, 1);
  assert_fails (ENOSPC, fx_edit_holders (fx, "A", (int[]){ 1, (int)count + 1, 0 }));
  assert_false (lease_engine_is_holder (fx->engine, 1));
  assert_ok (fx_edit_holders (fx, "A", (int[]){ 1, -1, 1, 0 }));
  for (unsigned i = 1; i <= count; i++)
    fx_drop (fx, i);
  lease_engine_usage (fx->engine, &after);
  assert_int_equal (after.bytes_used, before.bytes_used);
}

static void
test_after_a_restart_nobody_holds_a_lease (void **state)
{
  Fixture *fx = *state;

  for (int clean = 0; clean <= 1; clean++) {
    fx_lease (fx, "A", 10 * SECOND);
    assert_ok (fx_hold (fx, "A", 1));
    assert_ok (fx_grant (fx, "A", 20 * SECOND));
    fx_wait (fx, 100 * SECOND);
    fx_restart (fx, clean);
    assert_string_equal (fx_holders (fx, "A"), "");
    assert_int_equal (fx_left (fx, "A"), 20 * SECOND);
    fx_drop (fx, 1);
    fx_wait (fx, 20 * SECOND - 1);
    assert_int_equal (fx_left (fx, "A"), 1);
    fx_wait (fx, 1);
    assert_int_equal (fx_find (fx, "leases/A"), 0);
    fx_reap (fx);
  }
}

static void
test_permissions_of_procs_are_kept (void **state)
{
  Fixture *fx = *state;
  LeaseInfo info;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_info (fx, "A", &info));
  assert_int_equal (info.modes[LEASE_FILE_PROCS], 0644);
  assert_ok (lease_engine_chmod_file (fx->engine, &fx->by, fx_find (fx, "leases/A"),
                                      LEASE_FILE_PROCS, 0660));
  fx_restart (fx, true);
  assert_ok (fx_info (fx, "A", &info));
  assert_int_equal (info.modes[LEASE_FILE_PROCS], 0660);
  assert_int_equal (info.modes[LEASE_FILE_TTL], 0644);
}

/* Within a commit; there may be another one after the end of the lease. */
static void
hold_now (void *data)
{
  Fixture *fx = data;
  g_autoptr (GArray) lines = g_array_new (FALSE, FALSE, sizeof (LeaseHolderLine));
  LeaseHolderLine line = { .holder = 1, .pid = 101 };
  LeaseAttr attr;

  g_array_append_val (lines, line);
  if (lease_engine_lookup (fx->engine, &fx->by, LEASE_ROOT + 1, "A", &attr, NULL) != 0)
    return;
  assert_ok (lease_engine_edit_holders (fx->engine, &fx->by, attr.id, lines));
  lease_engine_unpin (fx->engine, attr.id, 1);
}

static void
test_who_comes_while_it_is_being_revoked_holds_nothing (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fake_hook (fx->fake, hold_now, fx);
  assert_ok (fx_rmdir (fx, "leases/A"));
  fake_hook (fx->fake, NULL, NULL);
  assert_false (lease_engine_is_holder (fx->engine, 1));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_IDLE, 1), 1);
}

static void
test_who_comes_while_it_gets_another_ttl_holds_it (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fake_hook (fx->fake, hold_now, fx);
  assert_ok (fx_grant (fx, "A", 5 * SECOND));
  fake_hook (fx->fake, NULL, NULL);
  fx_wait (fx, 100 * SECOND);
  assert_int_equal (fx_left (fx, "A"), 5 * SECOND);
  fx_drop (fx, 1);
  assert_int_equal (fx_left (fx, "A"), 5 * SECOND);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    fx_test (test_held_leases_are_counted),
    fx_test (test_a_held_lease_does_not_expire),
    fx_test (test_from_when_the_last_one_lets_go_it_runs_for_its_ttl),
    fx_test (test_a_held_lease_is_shown_for_its_ttl),
    fx_test (test_a_shorter_ttl_of_a_held_lease_is_told),
    fx_test (test_to_hold_twice_is_to_hold_once),
    fx_test (test_a_refresh_of_a_held_lease_moves_its_time_only),
    fx_test (test_the_ttl_that_counts_is_the_last_one),
    fx_test (test_a_held_lease_can_be_revoked),
    fx_test (test_only_what_was_granted_is_held),
    fx_test (test_all_lines_are_followed_or_none),
    fx_test (test_a_lease_that_is_handed_over_stays_held),
    fx_test (test_a_holder_lets_go_of_many_in_slices),
    cmocka_unit_test (test_holders_take_memory),
    fx_test (test_after_a_restart_nobody_holds_a_lease),
    fx_test (test_permissions_of_procs_are_kept),
    fx_test (test_who_comes_while_it_is_being_revoked_holds_nothing),
    fx_test (test_who_comes_while_it_gets_another_ttl_holds_it),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
