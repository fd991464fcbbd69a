/* SPDX-License-Identifier: MIT */

/* What happens while a change is with the journal: reading and keeping alive go on, and leases end
 * that the change has to do with. */

#include "tests/unit/fixture.h"

#include <errno.h>

static void
let_end (void *data)
{
  Fixture *fx = data;
  LeaseAttr attr;

  fake_hook (fx->fake, NULL, NULL);
  fx->by.now += SECOND;
  fx->by.wall_ns += SECOND;
  /* Somebody looks around. */
  lease_engine_lookup (fx->engine, &fx->by, LEASE_ROOT, "d", &attr, NULL);
  lease_engine_lookup (fx->engine, &fx->by, LEASE_ROOT, "key", &attr, NULL);
  lease_engine_expire (fx->engine, &fx->by, 1000);
}

static void
test_reading_does_not_wait_for_the_journal (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", SECOND);
  fx_key (fx, "key", "L");
  fake_hook (fx->fake, let_end, fx);
  assert_ok (fx_file (fx, "new"));
  assert_int_equal (fx_find (fx, "key"), 0);
  assert_int_not_equal (fx_find (fx, "new"), 0);
}

static void
test_a_grant_that_is_overtaken_by_the_end_revives_nothing (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", SECOND);
  fx_key (fx, "key", "L");
  fake_hook (fx->fake, let_end, fx);
  assert_fails (ESTALE, fx_grant (fx, "L", 100 * SECOND));
  assert_int_equal (fx_find (fx, "key"), 0);
  fx_restart (fx, false);
  assert_int_equal (fx_find (fx, "key"), 0);
}

static void
test_what_is_attached_while_the_lease_ends_goes_with_it (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", SECOND);
  fx_put (fx, "key", "v");
  fake_hook (fx->fake, let_end, fx);
  assert_ok (fx_edit (fx, "L", "key\n"));
  assert_int_equal (fx_find (fx, "key"), 0);
  assert_string_equal (fx_list (fx, ""), "leases");
  fx_check_journal (fx);
  fx_reap (fx);
  fx_check_journal (fx);
}

static void
test_what_is_made_while_its_directory_ends_goes_with_it (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_edit (fx, "L", "d\n"));
  fake_hook (fx->fake, let_end, fx);
  assert_ok (fx_file (fx, "d/x"));
  assert_int_equal (fx_find (fx, "d"), 0);
  fx_check_journal (fx);
  fx_reap (fx);
  assert_string_equal (fx_list (fx, ""), "leases");
  fx_check_journal (fx);
}

static void
test_what_comes_into_a_directory_while_that_ends_keeps_it (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_edit (fx, "L", "d\n"));
  fx_put (fx, "x", "free");
  fake_hook (fx->fake, let_end, fx);
  assert_ok (fx_rename (fx, "x", "d/x", 0));
  assert_string_equal (fx_get (fx, "d/x"), "free");
  fx_check_journal (fx);
  fx_reap (fx);
  assert_string_equal (fx_get (fx, "d/x"), "free");
}

static void
test_what_moves_to_another_lease_while_its_own_ends_lives (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "P", SECOND);
  fx_lease (fx, "Q", 100 * SECOND);
  fx_put (fx, "key", "v");
  assert_ok (fx_edit (fx, "P", "key\n"));
  fake_hook (fx->fake, let_end, fx);
  assert_ok (fx_rename (fx, "key", "leases/Q/key", 0));
  assert_string_equal (fx_get (fx, "leases/Q/key"), "v");
  fx_check_journal (fx);
}

static void
test_what_is_detached_while_its_lease_ends_lives (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "P", SECOND);
  fx_put (fx, "key", "v");
  assert_ok (fx_edit (fx, "P", "key\n"));
  fake_hook (fx->fake, let_end, fx);
  assert_ok (fx_edit (fx, "P", "-key\n"));
  assert_string_equal (fx_get (fx, "key"), "v");
  fx_check_journal (fx);
}

static void
test_a_directory_in_use_is_moved_into_one_that_ends (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "P", SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_mkdir (fx, "e"));
  fx_put (fx, "e/live", "v");
  assert_ok (fx_edit (fx, "P", "d\ne\n"));
  fake_hook (fx->fake, let_end, fx);
  assert_ok (fx_rename (fx, "e", "d/e", 0));
  assert_string_equal (fx_get (fx, "d/e/live"), "v");
  fx_check_journal (fx);
  fx_reap (fx);
  assert_string_equal (fx_get (fx, "d/e/live"), "v");
}

static void
test_a_name_that_died_meanwhile_lives_with_what_replaces_it (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "P", SECOND);
  fx_lease (fx, "Q", 100 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  fx_key (fx, "d/a", "Q");
  fx_key (fx, "d/b", "P");
  fake_hook (fx->fake, let_end, fx);
  assert_ok (fx_rename (fx, "d/a", "d/b", 0));
  assert_string_equal (fx_list (fx, "d"), "b");
  assert_int_equal (fx_stat_of (fx, "d").size, 60);
  fx_check_journal (fx);
}

static void
test_a_failed_change_lets_all_end_that_has_ended (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "P", SECOND);
  fx_lease (fx, "Q", 100 * SECOND);
  assert_ok (fx_mkdir (fx, "x"));
  assert_ok (fx_mkdir (fx, "x/y"));
  assert_ok (fx_edit (fx, "P", "x\nx/y\n"));
  fake_hook (fx->fake, let_end, fx);
  fake_fail (fx->fake, 1, EIO);
  assert_fails (EIO, fx_edit (fx, "Q", "x\nx/y\n"));
  fake_fail (fx->fake, 0, 0);
  assert_string_equal (fx_list (fx, ""), "leases");
  fx_check_journal (fx);
}

static void
test_a_revocation_that_is_overtaken_by_the_end_is_one (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", SECOND);
  fx_key (fx, "key", "L");
  fake_hook (fx->fake, let_end, fx);
  assert_ok (fx_rmdir (fx, "leases/L"));
  assert_int_equal (fx_find (fx, "leases/L"), 0);
  fx_check_journal (fx);
  fx_reap (fx);
  assert_string_equal (fx_list (fx, ""), "leases");
}

static void
keep_alive (void *data)
{
  Fixture *fx = data;

  fake_hook (fx->fake, NULL, NULL);
  fx->by.now += SECOND / 2;
  assert_ok (lease_engine_refresh (fx->engine, &fx->by, LEASE_ROOT + 2));
}

static void
test_keeping_alive_does_not_wait_for_the_journal (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", SECOND);
  fake_hook (fx->fake, keep_alive, fx);
  assert_ok (fx_file (fx, "new"));
  assert_int_equal (fx_left (fx, "L"), SECOND);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    fx_test (test_reading_does_not_wait_for_the_journal),
    fx_test (test_a_grant_that_is_overtaken_by_the_end_revives_nothing),
    fx_test (test_what_is_attached_while_the_lease_ends_goes_with_it),
    fx_test (test_what_is_made_while_its_directory_ends_goes_with_it),
    fx_test (test_what_comes_into_a_directory_while_that_ends_keeps_it),
    fx_test (test_what_moves_to_another_lease_while_its_own_ends_lives),
    fx_test (test_what_is_detached_while_its_lease_ends_lives),
    fx_test (test_a_directory_in_use_is_moved_into_one_that_ends),
    fx_test (test_a_name_that_died_meanwhile_lives_with_what_replaces_it),
    fx_test (test_a_failed_change_lets_all_end_that_has_ended),
    fx_test (test_a_revocation_that_is_overtaken_by_the_end_is_one),
    fx_test (test_keeping_alive_does_not_wait_for_the_journal),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
