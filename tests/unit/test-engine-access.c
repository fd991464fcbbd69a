/* SPDX-License-Identifier: MIT */

#include "tests/unit/fixture.h"

#include <errno.h>
#include <sys/stat.h>

/* Who makes the lease A, of 10 s, and the key `key`; somebody else; and a group that is nobody's
 * own. */
enum { ALICE = 1, BOB = 2, FRIENDS = 3 };

static void
become (Fixture *fx, uid_t uid)
{
  fx->by.uid = uid;
  fx->by.gid = uid;
  fx->by.knows_groups = false;
}

static void
begin (Fixture *fx)
{
  LeaseSet set = { .mask = LEASE_SET_GID, .gid = FRIENDS };
  LeaseAttr attr;

  become (fx, ALICE);
  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  assert_ok (fx_stat (fx, "leases/A", &attr));
  assert_ok (lease_engine_setattr (fx->engine, &fx->by, attr.id, &set, &attr));
  fx_wait (fx, SECOND);
}

static void
chmod_ttl (Fixture *fx, mode_t mode)
{
  uint64_t id = fx_find (fx, "leases/A");

  assert_ok (lease_engine_chmod_file (fx->engine, &fx->by, id, LEASE_FILE_TTL, mode));
}

static void
expect_touch (Fixture *fx, bool refreshes)
{
  assert_ok (fx_touch (fx, "key"));
  assert_int_equal (fx_left (fx, "A"), refreshes ? 10 * SECOND : 9 * SECOND);
  assert_int_equal (fx_mtime (fx, "key"), fx->by.wall_ns);
}

static void
test_the_owner_and_root_refresh_by_touching_a_key (void **state)
{
  Fixture *fx = *state;

  begin (fx);
  chmod_ttl (fx, 0400);
  expect_touch (fx, true);
  fx_wait (fx, SECOND);
  become (fx, 0);
  expect_touch (fx, true);
}

static void
test_others_touch_without_refreshing (void **state)
{
  Fixture *fx = *state;

  begin (fx);
  become (fx, BOB);
  expect_touch (fx, false);
  assert_ok (fx_touch (fx, "leases/A")); /* whether bob may, the kernel decides */
  assert_int_equal (fx_left (fx, "A"), 9 * SECOND);
}

static void
test_who_may_write_to_ttl_refreshes (void **state)
{
  Fixture *fx = *state;

  begin (fx);
  chmod_ttl (fx, 0646);
  become (fx, BOB);
  fx->by.knows_groups = true;
  expect_touch (fx, true);
}

static void
test_groups_are_asked_for_only_where_they_matter (void **state)
{
  static const gid_t groups[] = { 7, FRIENDS };
  Fixture *fx = *state;

  begin (fx);
  chmod_ttl (fx, 0664);
  become (fx, BOB);
  assert_fails (EAGAIN, fx_touch (fx, "key"));
  assert_true (fx_mtime (fx, "key") < fx->by.wall_ns);
  fx->by.knows_groups = true;
  fx->by.groups = groups;
  fx->by.group_count = 1;
  expect_touch (fx, false);
  fx->by.group_count = 2;
  expect_touch (fx, true);
  fx_wait (fx, SECOND);
  become (fx, BOB);
  fx->by.gid = FRIENDS;
  expect_touch (fx, true);
}

static void
test_paths_lead_only_where_one_may_search (void **state)
{
  Fixture *fx = *state;

  begin (fx);
  assert_ok (fx_create (fx, "hidden", S_IFDIR | 0700, NULL));
  assert_ok (fx_file (fx, "hidden/alices"));
  assert_ok (fx_create (fx, "leases/H", S_IFDIR | 0700, NULL));
  assert_ok (fx_grant (fx, "H", 10 * SECOND));
  assert_ok (fx_file (fx, "leases/H/x"));
  become (fx, BOB);
  fx_lease (fx, "B", 10 * SECOND);
  assert_ok (fx_file (fx, "bobs"));
  assert_fails (EACCES, fx_edit (fx, "B", "hidden/alices\n"));
  assert_fails (EACCES, fx_edit (fx, "B", "hidden/none\n"));
  assert_fails (EACCES, fx_edit (fx, "B", "hidden/../bobs\n"));
  assert_fails (EACCES, fx_edit (fx, "B", "leases/H/x\n"));
  assert_fails (EACCES, fx_edit (fx, "B", "leases/H/none\n"));
  assert_fails (EACCES, fx_edit (fx, "B", "leases/H/ttl\n"));
  assert_fails (EINVAL, fx_edit (fx, "B", "leases/A/ttl\n"));
  assert_ok (fx_edit (fx, "B", "bobs\n"));
  become (fx, ALICE);
  assert_ok (fx_edit (fx, "A", "hidden/alices\n"));
}

/* A program with root's rights may be made to write anything to a descriptor of bob's. */
static void
test_root_attaches_for_the_owner_of_a_lease_only (void **state)
{
  Fixture *fx = *state;

  begin (fx);
  become (fx, BOB);
  fx_lease (fx, "B", 10 * SECOND);
  assert_ok (fx_file (fx, "bobs"));
  become (fx, 0);
  assert_ok (fx_file (fx, "roots"));
  assert_fails (EPERM, fx_edit (fx, "B", "key\n"));
  assert_fails (EPERM, fx_edit (fx, "B", "roots\n"));
  assert_ok (fx_edit (fx, "B", "bobs\n"));
  assert_ok (fx_edit (fx, "B", "-bobs\n"));
  fx_lease (fx, "R", 10 * SECOND);
  assert_ok (fx_edit (fx, "R", "key\nbobs\nroots\n"));
  assert_string_equal (fx_keys (fx, "R"), "bobs key roots");
}

static void
chmod_keys (Fixture *fx, const char *lease, mode_t mode)
{
  uint64_t id = fx_find (fx, lease);

  assert_ok (lease_engine_chmod_file (fx->engine, &fx->by, id, LEASE_FILE_KEYS, mode));
}

/* It may be somebody else's descriptor. */
static void
test_who_writes_to_keys_needs_the_right_to (void **state)
{
  Fixture *fx = *state;

  begin (fx);
  become (fx, BOB);
  fx_lease (fx, "B", 10 * SECOND);
  become (fx, ALICE);
  assert_fails (EACCES, fx_edit (fx, "B", "key\n"));
  assert_string_equal (fx_keys (fx, "A"), "key");
}

static void
test_root_edits_no_keys_that_others_may_write_to (void **state)
{
  Fixture *fx = *state;

  begin (fx);
  assert_ok (fx_file (fx, "other"));
  chmod_keys (fx, "leases/A", 0664);
  become (fx, 0);
  assert_fails (EPERM, fx_edit (fx, "A", "other\n"));
  assert_fails (EPERM, fx_edit (fx, "A", "-key\n"));
  chmod_keys (fx, "leases/A", 0644);
  assert_ok (fx_edit (fx, "A", "other\n-key\n"));
}

static void
test_a_hidden_lease_is_not_refreshed_by_touching (void **state)
{
  Fixture *fx = *state;
  LeaseSet set = { .mask = LEASE_SET_MODE, .mode = 0700 };
  LeaseAttr attr;

  begin (fx);
  chmod_ttl (fx, 0666);
  assert_ok (lease_engine_setattr (fx->engine, &fx->by, fx_find (fx, "leases/A"), &set, &attr));
  become (fx, BOB);
  fx->by.knows_groups = true;
  expect_touch (fx, false);
}

static void
test_an_attached_directory_moves_in_only_if_all_in_it_is_the_movers (void **state)
{
  Fixture *fx = *state;

  begin (fx);
  assert_ok (fx_create (fx, "d", S_IFDIR | 0777, NULL));
  assert_ok (fx_file (fx, "d/alices"));
  become (fx, BOB);
  assert_ok (fx_file (fx, "d/bobs"));
  become (fx, ALICE);
  assert_ok (fx_edit (fx, "A", "d\n"));
  assert_fails (EPERM, fx_rename (fx, "d", "leases/A/d", 0));
  assert_ok (fx_unlink (fx, "d/bobs"));
  assert_ok (fx_rename (fx, "d", "leases/A/d", 0));
  become (fx, BOB);
  assert_ok (fx_file (fx, "leases/A/d/bobs"));
  become (fx, ALICE);
  assert_ok (fx_rename (fx, "leases/A/d", "leases/A/e", 0)); /* it is in already */
}

static void
test_keys_tells_no_names_that_are_hidden_from_the_owner (void **state)
{
  static const gid_t groups[] = { 7 };
  Fixture *fx = *state;

  begin (fx);
  become (fx, BOB);
  assert_ok (fx_create (fx, "private", S_IFDIR | 0700, NULL));
  assert_ok (fx_link (fx, "key", "private/secret"));
  assert_ok (fx_create (fx, "open", S_IFDIR | 0711, NULL));
  assert_ok (fx_link (fx, "key", "open/link"));
  fx->by.gid = 7;
  assert_ok (fx_create (fx, "team", S_IFDIR | 0770, NULL));
  become (fx, ALICE);
  assert_string_equal (fx_keys (fx, "A"), "key open/link");
  /* In a directory of a group of hers, she may attach, and sees what she has attached. */
  fx->by.knows_groups = true;
  fx->by.groups = groups;
  fx->by.group_count = 1;
  assert_ok (fx_file (fx, "team/alices"));
  assert_ok (fx_link (fx, "key", "team/other"));
  assert_ok (fx_edit (fx, "A", "team/alices\n"));
  assert_string_equal (fx_keys (fx, "A"), "key open/link team/alices");
}

static void
test_a_file_takes_over_a_lease_only_from_its_owners_files (void **state)
{
  Fixture *fx = *state;

  begin (fx);
  assert_ok (fx_file (fx, "new"));
  assert_ok (fx_rename (fx, "new", "key", 0));
  assert_string_equal (fx_keys (fx, "A"), "key");
  become (fx, BOB);
  assert_ok (fx_file (fx, "bobs"));
  assert_ok (fx_rename (fx, "bobs", "key", 0));
  assert_string_equal (fx_keys (fx, "A"), "");
  /* Root's file, in place of a key of alice's. */
  become (fx, ALICE);
  fx_key (fx, "key2", "A");
  become (fx, 0);
  assert_ok (fx_file (fx, "roots"));
  assert_ok (fx_rename (fx, "roots", "key2", 0));
  assert_string_equal (fx_keys (fx, "A"), "");
  fx_wait (fx, 10 * SECOND);
  assert_string_equal (fx_list (fx, ""), "leases key key2");
}

static void
test_what_is_there_already_comes_in_only_as_it_could_be_attached (void **state)
{
  Fixture *fx = *state;
  LeaseAttr attr;

  begin (fx);
  become (fx, BOB);
  assert_ok (fx_file (fx, "bobs"));
  assert_fails (EACCES, fx_rename (fx, "bobs", "leases/A/x", 0));
  assert_fails (EACCES, fx_link (fx, "bobs", "leases/A/x"));
  become (fx, ALICE);
  chmod_keys (fx, "leases/A", 0664);
  become (fx, BOB);
  assert_fails (EAGAIN, fx_rename (fx, "bobs", "leases/A/x", 0));
  assert_fails (EAGAIN, fx_link (fx, "bobs", "leases/A/x"));
  fx->by.gid = FRIENDS;
  assert_ok (fx_link (fx, "bobs", "leases/A/x"));
  assert_ok (fx_stat (fx, "bobs", &attr));
  assert_int_equal (attr.nlink, 2);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    fx_test (test_the_owner_and_root_refresh_by_touching_a_key),
    fx_test (test_others_touch_without_refreshing),
    fx_test (test_who_may_write_to_ttl_refreshes),
    fx_test (test_groups_are_asked_for_only_where_they_matter),
    fx_test (test_paths_lead_only_where_one_may_search),
    fx_test (test_root_attaches_for_the_owner_of_a_lease_only),
    fx_test (test_who_writes_to_keys_needs_the_right_to),
    fx_test (test_root_edits_no_keys_that_others_may_write_to),
    fx_test (test_a_hidden_lease_is_not_refreshed_by_touching),
    fx_test (test_an_attached_directory_moves_in_only_if_all_in_it_is_the_movers),
    fx_test (test_keys_tells_no_names_that_are_hidden_from_the_owner),
    fx_test (test_a_file_takes_over_a_lease_only_from_its_owners_files),
    fx_test (test_what_is_there_already_comes_in_only_as_it_could_be_attached),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
