/* SPDX-License-Identifier: MIT */

/* The extended attribute that stands for the lease. */

#include "tests/unit/fixture.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define HOUR (3600 * SECOND)

static int
attach (Fixture *fx, const char *path, const char *lease)
{
  return fx_set_xattr (fx, path, LEASE_XATTR_LEASE, lease, 0);
}

static int
detach (Fixture *fx, const char *path)
{
  return fx_remove_xattr (fx, path, LEASE_XATTR_LEASE);
}

static void
test_the_attribute_tells_the_lease (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", HOUR);
  fx_lease (fx, "a lease\n\xff", HOUR);
  fx_key (fx, "a", "L");
  fx_key (fx, "b", "a lease\n\xff");
  assert_ok (fx_file (fx, "c"));
  assert_lease (fx, "a", "L");
  assert_lease (fx, "b", "a lease\n\xff");
  assert_no_lease (fx, "c");
  assert_string_equal (fx_xattrs (fx, "a"), "user.lease");
  assert_string_equal (fx_xattrs (fx, "c"), "");
  assert_ok (fx_edit (fx, "L", "-a"));
  assert_no_lease (fx, "a");
}

static void
test_the_directory_of_a_lease_tells_its_own_and_lists_none (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", HOUR);
  assert_ok (fx_mkdir (fx, "leases/R"));
  assert_ok (fx_file (fx, "leases/L/x"));
  assert_lease (fx, "leases/L", "L");
  assert_lease (fx, "leases/R", "R");
  assert_string_equal (fx_xattrs (fx, "leases/L"), "");
  assert_lease (fx, "leases/L/x", "L");
  assert_fails (EINVAL, attach (fx, "leases/L", "L"));
  assert_fails (EINVAL, detach (fx, "leases/L"));
}

static void
test_setting_it_attaches (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", HOUR);
  fx_lease (fx, "M", HOUR);
  assert_ok (fx_file (fx, "a"));
  assert_ok (fx_mkdir (fx, "d"));
  uint64_t id = fx_pin (fx, "a");
  fx_forget_events (fx);
  fx_wait (fx, SECOND);
  assert_ok (attach (fx, "a", "L"));
  assert_true (fx_count_events (fx, LEASE_EVENT_STALE, id) > 0);
  assert_int_equal (fx_stat_of (fx, "a").ctime_ns, fx->by.wall_ns);
  assert_ok (attach (fx, "d", "L"));
  assert_ok (fx_file (fx, "d/x"));
  assert_string_equal (fx_keys (fx, "L"), "a d d/x");
  assert_ok (attach (fx, "a", "M"));
  assert_string_equal (fx_keys (fx, "L"), "d d/x");
  assert_string_equal (fx_keys (fx, "M"), "a");
  assert_ok (attach (fx, "a", "M"));
  assert_ok (fx_rmdir (fx, "leases/M"));
  assert_int_equal (fx_find (fx, "a"), 0);
  fx_unpin (fx, id);
}

static void
test_removing_it_detaches (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", SECOND);
  fx_key (fx, "a", "L");
  fx_wait (fx, SECOND / 2);
  assert_ok (detach (fx, "a"));
  assert_int_equal (fx_stat_of (fx, "a").ctime_ns, fx->by.wall_ns);
  assert_fails (ENODATA, detach (fx, "a"));
  assert_string_equal (fx_keys (fx, "L"), "");
  fx_wait (fx, HOUR);
  assert_int_not_equal (fx_find (fx, "a"), 0);
}

static void
test_its_flags_tell_creating_from_replacing (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", HOUR);
  fx_lease (fx, "M", HOUR);
  assert_ok (fx_file (fx, "a"));
  assert_fails (ENODATA, fx_set_xattr (fx, "a", "user.lease", "L", XATTR_REPLACE));
  assert_ok (fx_set_xattr (fx, "a", "user.lease", "L", XATTR_CREATE));
  assert_fails (EEXIST, fx_set_xattr (fx, "a", "user.lease", "M", XATTR_CREATE));
  assert_fails (EEXIST, fx_set_xattr (fx, "a", "user.lease", "L", XATTR_CREATE));
  assert_ok (fx_set_xattr (fx, "a", "user.lease", "M", XATTR_REPLACE));
  assert_lease (fx, "a", "M");
}

static void
test_only_a_living_lease_that_was_granted_will_do (void **state)
{
  Fixture *fx = *state;
  static const char *const none[] = { "", "X", ".", "..", "L/", "L\n", "leases/L", "O" };
  g_autofree char *longest = g_strnfill (256, 'L');

  fx_lease (fx, "L", HOUR);
  fx_lease (fx, "O", SECOND);
  assert_ok (fx_mkdir (fx, "leases/R"));
  assert_ok (fx_file (fx, "a"));
  fx_wait (fx, SECOND);
  for (unsigned i = 0; i < G_N_ELEMENTS (none); i++)
    assert_fails (ENOENT, attach (fx, "a", none[i]));
  assert_fails (ENOENT, attach (fx, "a", longest));
  assert_fails (ENOENT, lease_engine_set_xattr (fx->engine, &fx->by, fx_find (fx, "a"),
                                                "user.lease", "L\0", 2, 0));
  assert_fails (EINVAL, attach (fx, "a", "R"));
  assert_no_lease (fx, "a");
}

static void
test_what_cannot_be_a_key_is_not_attached (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", HOUR);
  fx_lease (fx, "M", HOUR);
  assert_ok (fx_file (fx, "leases/M/x"));
  assert_ok (fx_mkdir (fx, "leases/M/d"));
  assert_fails (EINVAL, attach (fx, "", "L"));
  assert_fails (EINVAL, attach (fx, "leases", "L"));
  assert_fails (EINVAL, attach (fx, "leases/M", "L"));
  assert_fails (EINVAL, attach (fx, "leases/M/x", "L"));
  assert_fails (EINVAL, attach (fx, "leases/M/d", "L"));
  assert_ok (attach (fx, "leases/M/x", "M"));
  /* With a name outside it can. */
  assert_ok (fx_link (fx, "leases/M/x", "x"));
  assert_ok (attach (fx, "x", "L"));
  uint64_t id = fx_pin (fx, "x");
  assert_ok (fx_unlink (fx, "x"));
  assert_ok (fx_unlink (fx, "leases/M/x"));
  assert_fails (ENOENT, lease_engine_set_xattr (fx->engine, &fx->by, id, "user.lease", "L", 1, 0));
  fx_unpin (fx, id);
}

/* Who may: the lease L of user 1000, with keys of several users. */
static void
prepare_users (Fixture *fx)
{
  static const char *const paths[] = { "of-0", "of-1000", "of-1001" };
  static const uid_t uids[] = { 0, 1000, 1001 };

  assert_ok (fx_set_attr (fx, "", (LeaseSet){ .mask = LEASE_SET_MODE, .mode = 01777 }));
  for (unsigned i = 0; i < G_N_ELEMENTS (uids); i++) {
    fx->by.uid = fx->by.gid = uids[i];
    assert_ok (fx_file (fx, paths[i]));
  }
  fx->by.uid = fx->by.gid = 1000;
  fx_lease (fx, "L", HOUR);
  fx->by.uid = fx->by.gid = 0;
  fx_lease (fx, "R", HOUR);
  fx->by.knows_groups = true;
}

static void
chmod_keys (Fixture *fx, mode_t mode)
{
  assert_ok (lease_engine_chmod_file (fx->engine, &fx->by, fx_find (fx, "leases/L"),
                                      LEASE_FILE_KEYS, mode));
}

static void
test_the_owner_of_both_may (void **state)
{
  Fixture *fx = *state;

  prepare_users (fx);
  fx->by.uid = 1000;
  fx->by.knows_groups = false;
  assert_ok (attach (fx, "of-1000", "L"));
  assert_fails (EPERM, attach (fx, "of-1001", "L"));
  assert_fails (EPERM, attach (fx, "of-0", "L"));
  assert_ok (detach (fx, "of-1000"));
}

static void
test_others_may_if_they_may_write_to_keys (void **state)
{
  Fixture *fx = *state;

  prepare_users (fx);
  fx->by.uid = fx->by.gid = 1001;
  assert_fails (EACCES, attach (fx, "of-1001", "L"));
  fx->by.uid = 1000;
  chmod_keys (fx, 0666);
  fx->by.uid = 1001;
  assert_ok (attach (fx, "of-1001", "L"));
  assert_fails (EPERM, attach (fx, "of-1000", "L"));
  fx->by.uid = 1000;
  assert_fails (EPERM, detach (fx, "of-1001"));
  chmod_keys (fx, 0644);
  fx->by.uid = 1001;
  assert_fails (EACCES, detach (fx, "of-1001"));
}

static void
test_others_may_not_if_they_cannot_come_to_keys (void **state)
{
  Fixture *fx = *state;

  prepare_users (fx);
  fx->by.uid = fx->by.gid = 1000;
  chmod_keys (fx, 0666);
  assert_ok (fx_set_attr (fx, "leases/L", (LeaseSet){ .mask = LEASE_SET_MODE, .mode = 0700 }));
  fx->by.uid = fx->by.gid = 1001;
  assert_fails (EACCES, attach (fx, "of-1001", "L"));
}

static void
test_what_depends_on_groups_asks_for_them (void **state)
{
  Fixture *fx = *state;
  static const gid_t groups[] = { 5, 1000 };

  prepare_users (fx);
  fx->by.uid = fx->by.gid = 1000;
  chmod_keys (fx, 0664);
  fx->by.uid = fx->by.gid = 1001;
  fx->by.knows_groups = false;
  assert_fails (EAGAIN, attach (fx, "of-1001", "L"));
  fx->by.knows_groups = true;
  assert_fails (EACCES, attach (fx, "of-1001", "L"));
  fx->by.groups = groups;
  fx->by.group_count = 2;
  assert_ok (attach (fx, "of-1001", "L"));
  fx->by.knows_groups = false;
  fx->by.group_count = 0;
  assert_fails (EAGAIN, detach (fx, "of-1001"));
}

static void
test_root_acts_for_the_owner_of_the_lease (void **state)
{
  Fixture *fx = *state;

  prepare_users (fx);
  assert_ok (attach (fx, "of-1000", "L"));
  assert_fails (EPERM, attach (fx, "of-0", "L"));
  assert_fails (EPERM, attach (fx, "of-1001", "L"));
  assert_ok (attach (fx, "of-1001", "R"));
  assert_ok (attach (fx, "of-0", "R"));
  assert_ok (detach (fx, "of-1001"));
  /* Also where others may write to `keys`: there is no descriptor that they could have opened. */
  chmod_keys (fx, 0666);
  assert_ok (detach (fx, "of-1000"));
  assert_ok (attach (fx, "of-1000", "L"));
}

/* A name in a directory for a group that the lease is not known to belong to. */
static void
test_a_name_shows_in_keys_if_whoever_attached_it_could_come_there (void **state)
{
  Fixture *fx = *state;
  static const gid_t groups[] = { 7 };
  const LeaseSet group_only = { .mask = LEASE_SET_MODE | LEASE_SET_GID, .mode = 0770, .gid = 7 };

  prepare_users (fx);
  assert_ok (fx_mkdir (fx, "team"));
  assert_ok (fx_rename (fx, "of-1000", "team/x", 0));
  uint64_t id = fx_find (fx, "team/x");
  assert_ok (fx_set_attr (fx, "team", group_only));
  fx->by.uid = fx->by.gid = 1000;
  assert_ok (lease_engine_set_xattr (fx->engine, &fx->by, id, "user.lease", "L", 1, 0));
  assert_string_equal (fx_keys (fx, "L"), "");
  fx->by.groups = groups;
  fx->by.group_count = 1;
  assert_ok (lease_engine_set_xattr (fx->engine, &fx->by, id, "user.lease", "L", 1, 0));
  assert_string_equal (fx_keys (fx, "L"), "team/x");
  fx->by.uid = fx->by.gid = 0;
}

/* While a commit is under way, time passes, and the lease ends. */
static void
pass_the_deadline (void *data)
{
  ((Fixture *)data)->by.now += HOUR;
}

static void
test_a_lease_that_ends_meanwhile_takes_the_key_along (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", HOUR);
  assert_ok (fx_file (fx, "a"));
  fake_hook (fx->fake, pass_the_deadline, fx);
  assert_ok (attach (fx, "a", "L"));
  fake_hook (fx->fake, NULL, NULL);
  assert_int_equal (fx_find (fx, "a"), 0);
  fx_reap (fx);
}

static void
test_what_is_being_detached_stays_though_the_lease_ends (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", HOUR);
  fx_key (fx, "a", "L");
  assert_ok (fx_set_xattr (fx, "a", "user.one", "1", 0));
  fake_hook (fx->fake, pass_the_deadline, fx);
  assert_ok (detach (fx, "a"));
  fake_hook (fx->fake, NULL, NULL);
  assert_no_lease (fx, "a");
  assert_xattr (fx, "a", "user.one", "1");
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    fx_test (test_the_attribute_tells_the_lease),
    fx_test (test_the_directory_of_a_lease_tells_its_own_and_lists_none),
    fx_test (test_setting_it_attaches),
    fx_test (test_removing_it_detaches),
    fx_test (test_its_flags_tell_creating_from_replacing),
    fx_test (test_only_a_living_lease_that_was_granted_will_do),
    fx_test (test_what_cannot_be_a_key_is_not_attached),
    fx_test (test_the_owner_of_both_may),
    fx_test (test_others_may_if_they_may_write_to_keys),
    fx_test (test_others_may_not_if_they_cannot_come_to_keys),
    fx_test (test_what_depends_on_groups_asks_for_them),
    fx_test (test_root_acts_for_the_owner_of_the_lease),
    fx_test (test_a_name_shows_in_keys_if_whoever_attached_it_could_come_there),
    fx_test (test_a_lease_that_ends_meanwhile_takes_the_key_along),
    fx_test (test_what_is_being_detached_stays_though_the_lease_ends),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
