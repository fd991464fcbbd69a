/* SPDX-License-Identifier: MIT */

#include "tests/unit/fixture.h"
#include "leases/ttl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Granting and refreshing. */

static void
test_mkdir_only_reserves (void **state)
{
  Fixture *fx = *state;
  LeaseInfo info;

  fx->by.uid = 5;
  assert_ok (fx_mkdir (fx, "leases/A"));
  assert_ok (fx_info (fx, "A", &info));
  assert_int_equal (info.granted_ns, 0);
  assert_int_equal (info.left_ns, 0);
  assert_int_equal (info.modes[LEASE_FILE_TTL], 0644);
  assert_int_equal (info.modes[LEASE_FILE_GRANTED], 0444);
  assert_int_equal (info.modes[LEASE_FILE_KEYS], 0644);
  assert_true (info.directory.is_lease);
  assert_int_equal (info.directory.uid, 5);
  assert_int_equal (info.directory.fresh_until, fx->by.now + 60 * SECOND);
}

static void
test_a_reservation_lasts_60_seconds (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_mkdir (fx, "leases/A"));
  assert_ok (fx_mkdir (fx, "leases/B"));
  fx_wait (fx, 60 * SECOND - 1);
  assert_string_equal (fx_list (fx, "leases"), "A B");
  assert_ok (fx_grant (fx, "B", SECOND));
  fx_wait (fx, 1);
  assert_string_equal (fx_list (fx, "leases"), "B");
  assert_fails (ENOENT, fx_grant (fx, "A", SECOND));
  assert_int_equal (fx_reap (fx), 1);
}

static void
test_a_reservation_is_not_refreshed (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_mkdir (fx, "leases/A"));
  fx_wait (fx, 30 * SECOND);
  assert_fails (EINVAL, fx_refresh (fx, "A"));
  assert_ok (fx_touch (fx, "leases/A"));
  fx_wait (fx, 30 * SECOND);
  assert_int_equal (fx_find (fx, "leases/A"), 0);
}

static void
test_a_grant_counts_from_now (void **state)
{
  Fixture *fx = *state;
  LeaseInfo info;

  assert_ok (fx_mkdir (fx, "leases/A"));
  fx_wait (fx, 30 * SECOND);
  assert_ok (fx_grant (fx, "A", 100 * SECOND));
  assert_ok (fx_info (fx, "A", &info));
  assert_int_equal (info.granted_ns, 100 * SECOND);
  assert_int_equal (info.left_ns, 100 * SECOND);
  fx_wait (fx, 1);
  assert_int_equal (fx_left (fx, "A"), 100 * SECOND - 1);
  fx_wait (fx, 100 * SECOND - 2);
  assert_int_equal (fx_left (fx, "A"), 1);
}

static void
test_a_grant_can_be_given_anew (void **state)
{
  Fixture *fx = *state;
  LeaseInfo info;

  fx_lease (fx, "A", 100 * SECOND);
  fx_wait (fx, 99 * SECOND);
  assert_ok (fx_grant (fx, "A", 200 * SECOND));
  assert_int_equal (fx_left (fx, "A"), 200 * SECOND);
  assert_ok (fx_grant (fx, "A", 5 * SECOND));
  assert_ok (fx_info (fx, "A", &info));
  assert_int_equal (info.granted_ns, 5 * SECOND);
  assert_int_equal (info.left_ns, 5 * SECOND);
}

static void
test_the_shortest_and_the_longest_ttl_are_granted (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", LEASE_TTL_MAX_NS);
  assert_int_equal (fx_left (fx, "A"), LEASE_TTL_MAX_NS);
  assert_ok (fx_grant (fx, "A", 1));
  assert_int_equal (fx_left (fx, "A"), 1);
  fx_wait (fx, 1);
  assert_int_equal (fx_find (fx, "leases/A"), 0);
}

static void
test_a_deadline_beyond_the_clock_still_comes (void **state)
{
  Fixture *fx = *state;

  fx->by.now = LEASE_TIME_NEVER - 10 * SECOND;
  fx_lease (fx, "A", LEASE_TTL_MAX_NS);
  assert_int_equal (lease_engine_earliest (fx->engine), LEASE_TIME_NEVER - 1);
  fx->by.now = LEASE_TIME_NEVER - 2;
  assert_int_equal (fx_left (fx, "A"), 1);
  fx->by.now++;
  assert_int_equal (fx_find (fx, "leases/A"), 0);
}

static void
test_a_ttl_below_the_minimum_is_raised (void **state)
{
  LeaseEngineConfig config = fx_config ();
  LeaseInfo info;

  config.min_ttl_ns = 5 * SECOND;
  g_autoptr (Fixture) fx = fx_new (&config);
  fx_lease (fx, "A", SECOND);
  assert_ok (fx_info (fx, "A", &info));
  assert_int_equal (info.granted_ns, 5 * SECOND);
  assert_int_equal (info.left_ns, 5 * SECOND);
  assert_ok (fx_grant (fx, "A", 5 * SECOND + 1));
  assert_int_equal (fx_left (fx, "A"), 5 * SECOND + 1);
}

static void
test_three_ways_refresh_a_lease (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 100 * SECOND);
  fx_key (fx, "key", "A");
  for (unsigned way = 0; way < 4; way++) {
    fx_wait (fx, 60 * SECOND);
    assert_int_equal (fx_left (fx, "A"), 40 * SECOND);
    if (way == 0)
      assert_ok (fx_grant (fx, "A", 100 * SECOND));
    else if (way == 1)
      assert_ok (fx_refresh (fx, "A"));
    else
      assert_ok (fx_touch (fx, way == 2 ? "leases/A" : "key"));
    assert_int_equal (fx_left (fx, "A"), 100 * SECOND);
    assert_int_equal (fx_mtime (fx, "leases/A"), fx->by.wall_ns);
  }
}

static void
test_a_refresh_gives_the_ttl_granted_last (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 100 * SECOND);
  assert_ok (fx_grant (fx, "A", 7 * SECOND));
  fx_wait (fx, SECOND);
  assert_ok (fx_refresh (fx, "A"));
  assert_int_equal (fx_left (fx, "A"), 7 * SECOND);
}

static void
test_touching_what_is_in_a_lease_refreshes_it (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 100 * SECOND);
  assert_ok (fx_mkdir (fx, "leases/A/d"));
  assert_ok (fx_file (fx, "leases/A/d/f"));
  fx_wait (fx, 60 * SECOND);
  assert_ok (fx_touch (fx, "leases/A/d"));
  assert_int_equal (fx_left (fx, "A"), 100 * SECOND);
  fx_wait (fx, 60 * SECOND);
  assert_ok (fx_touch (fx, "leases/A/d/f"));
  assert_int_equal (fx_left (fx, "A"), 100 * SECOND);
}

static void
test_only_touch_refreshes (void **state)
{
  Fixture *fx = *state;
  LeaseSet set = { .mask = LEASE_SET_MODE | LEASE_SET_MTIME | LEASE_SET_ATIME, .mode = 0600 };
  LeaseAttr attr;

  fx_lease (fx, "A", 100 * SECOND);
  fx_key (fx, "key", "A");
  assert_ok (fx_file (fx, "other"));
  fx_wait (fx, 60 * SECOND);
  fx_put (fx, "key", "written");
  fx_get (fx, "key");
  assert_ok (fx_rename (fx, "key", "renamed", 0));
  assert_ok (fx_file (fx, "leases/A/f"));
  assert_ok (lease_engine_setattr (fx->engine, &fx->by, fx_find (fx, "renamed"), &set, &attr));
  assert_ok (lease_engine_setattr (fx->engine, &fx->by, fx_find (fx, "leases/A"), &set, &attr));
  assert_ok (fx_touch (fx, "other"));
  assert_ok (fx_edit (fx, "A", "-renamed\n"));
  assert_ok (fx_touch (fx, "renamed"));
  assert_int_equal (fx_left (fx, "A"), 40 * SECOND);
}

static void
test_an_unlinked_key_refreshes_nothing (void **state)
{
  Fixture *fx = *state;
  uint64_t id;

  fx_lease (fx, "A", 100 * SECOND);
  fx_key (fx, "key", "A");
  id = fx_pin (fx, "key");
  assert_ok (fx_unlink (fx, "key"));
  fx_wait (fx, 60 * SECOND);
  assert_ok (fx_touch_id (fx, id));
  assert_int_equal (fx_left (fx, "A"), 40 * SECOND);
  fx_wait (fx, 60 * SECOND);
  assert_ok (fx_getattr (fx, id));
  fx_unpin (fx, id);
}

static void
test_a_refresh_in_the_last_nanosecond_counts (void **state)
{
  Fixture *fx = *state;
  uint64_t id, key;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  id = fx_find (fx, "leases/A");
  key = fx_find (fx, "key");
  fx_wait (fx, 10 * SECOND - 1);
  assert_ok (lease_engine_refresh (fx->engine, &fx->by, id));
  fx_wait (fx, 10 * SECOND - 1);
  assert_ok (lease_engine_grant (fx->engine, &fx->by, id, 10 * SECOND));
  fx_wait (fx, 10 * SECOND - 1);
  assert_ok (fx_touch_id (fx, id));
  fx_wait (fx, 10 * SECOND - 1);
  assert_ok (fx_touch_id (fx, key));
  fx_wait (fx, 10 * SECOND - 1);
  assert_int_equal (fx_left (fx, "A"), 1);
}

static void
test_nothing_revives_a_lease_at_its_deadline (void **state)
{
  Fixture *fx = *state;
  g_autoptr (GArray) lines = NULL;
  uint64_t id, key;
  LeaseInfo info;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  id = fx_find (fx, "leases/A");
  key = fx_find (fx, "key");
  assert_ok (lease_keys_parse ("leases\n", 7, &lines));
  fx_wait (fx, 10 * SECOND);
  assert_fails (ESTALE, lease_engine_refresh (fx->engine, &fx->by, id));
  assert_fails (ESTALE, lease_engine_grant (fx->engine, &fx->by, id, 10 * SECOND));
  assert_fails (ESTALE, lease_engine_edit_keys (fx->engine, &fx->by, id, lines));
  assert_fails (ESTALE, lease_engine_info (fx->engine, &fx->by, id, &info));
  assert_fails (ESTALE, lease_engine_chmod_file (fx->engine, &fx->by, id, LEASE_FILE_TTL, 0));
  assert_fails (ESTALE, fx_touch_id (fx, id));
  assert_fails (ESTALE, fx_touch_id (fx, key));
  assert_fails (ESTALE, fx_write (fx, key, "x"));
  assert_fails (ENOENT, fx_refresh (fx, "A"));
  assert_fails (ENOENT, fx_touch (fx, "key"));
}

static void
test_a_lease_is_only_what_mkdir_in_leases_made (void **state)
{
  Fixture *fx = *state;
  static const char *const paths[] = { "", "leases", "d", "f", "leases/A/d" };
  g_autoptr (GArray) lines = NULL;
  GByteArray *keys = NULL;
  LeaseInfo info;
  uint64_t generation;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "leases/A/d"));
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_file (fx, "f"));
  assert_ok (lease_keys_parse ("f\n", 2, &lines));
  for (unsigned i = 0; i < G_N_ELEMENTS (paths); i++) {
    LeaseAttr attr;
    assert_ok (fx_stat (fx, paths[i], &attr));
    assert_false (attr.is_lease);
    assert_fails (EINVAL, lease_engine_info (fx->engine, &fx->by, attr.id, &info));
    assert_fails (EINVAL, lease_engine_grant (fx->engine, &fx->by, attr.id, SECOND));
    assert_fails (EINVAL, lease_engine_refresh (fx->engine, &fx->by, attr.id));
    assert_fails (EINVAL, lease_engine_edit_keys (fx->engine, &fx->by, attr.id, lines));
    assert_fails (EINVAL,
                  lease_engine_keys (fx->engine, &fx->by, attr.id, SIZE_MAX, &keys, &generation));
    assert_fails (EINVAL,
                  lease_engine_chmod_file (fx->engine, &fx->by, attr.id, LEASE_FILE_TTL, 0));
  }
}

static void
test_modes_of_pseudo_files_can_be_changed (void **state)
{
  Fixture *fx = *state;
  LeaseInfo info;
  uint64_t id;

  fx_lease (fx, "A", 10 * SECOND);
  id = fx_find (fx, "leases/A");
  assert_ok (lease_engine_chmod_file (fx->engine, &fx->by, id, LEASE_FILE_KEYS, S_IFREG | 0664));
  assert_ok (fx_info (fx, "A", &info));
  assert_int_equal (info.modes[LEASE_FILE_KEYS], 0664);
  assert_int_equal (info.modes[LEASE_FILE_TTL], 0644);
}

/* The clock. */

static void
test_time_never_goes_back (void **state)
{
  Fixture *fx = *state;
  LeaseCaller earlier;

  fx_lease (fx, "A", 10 * SECOND);
  fx_wait (fx, 4 * SECOND);
  earlier = fx->by;
  fx_wait (fx, 2 * SECOND);
  assert_int_equal (fx_left (fx, "A"), 4 * SECOND);
  fx->by = earlier;
  assert_int_equal (fx_left (fx, "A"), 4 * SECOND);
  /* Who was first to ask and last to be answered has the lease for as long as everybody else. */
  assert_ok (fx_refresh (fx, "A"));
  assert_int_equal (lease_engine_earliest (fx->engine), earlier.now + 2 * SECOND + 10 * SECOND);
}

static void
test_what_somebody_saw_end_has_ended_for_all (void **state)
{
  Fixture *fx = *state;
  LeaseCaller earlier;
  uint64_t key;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  key = fx_find (fx, "key");
  earlier = fx->by;
  fx_wait (fx, 10 * SECOND);
  assert_ok (fx_getattr (fx, LEASE_ROOT));
  fx->by = earlier;
  assert_int_equal (fx_find (fx, "key"), 0);
  assert_fails (ESTALE, fx_getattr (fx, key));
  assert_fails (ENOENT, fx_refresh (fx, "A"));
}

static void
test_the_wall_clock_means_nothing_to_a_lease (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx->by.wall_ns += 1000000 * SECOND;
  assert_int_equal (fx_left (fx, "A"), 10 * SECOND);
  fx->by.wall_ns -= 2000000 * SECOND;
  assert_int_equal (fx_left (fx, "A"), 10 * SECOND);
}

/* Attaching and detaching. */

static void
test_a_key_is_attached_moved_and_detached (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_lease (fx, "B", 20 * SECOND);
  assert_ok (fx_file (fx, "key"));
  assert_ok (fx_edit (fx, "A", "key\n"));
  assert_string_equal (fx_keys (fx, "A"), "key");
  assert_ok (fx_edit (fx, "A", "key\n"));
  assert_string_equal (fx_keys (fx, "A"), "key");
  assert_ok (fx_edit (fx, "B", "key\n"));
  assert_string_equal (fx_keys (fx, "A"), "");
  assert_string_equal (fx_keys (fx, "B"), "key");
  fx_wait (fx, 10 * SECOND);
  assert_int_not_equal (fx_find (fx, "key"), 0);
  assert_ok (fx_edit (fx, "B", "-key\n"));
  assert_string_equal (fx_keys (fx, "B"), "");
  fx_wait (fx, 10 * SECOND);
  fx_reap (fx);
  assert_int_not_equal (fx_find (fx, "key"), 0);
}

static void
test_nothing_is_attached_before_the_grant (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_mkdir (fx, "leases/A"));
  assert_ok (fx_file (fx, "key"));
  assert_fails (EINVAL, fx_edit (fx, "A", "key\n"));
  assert_fails (EINVAL, fx_edit (fx, "A", "nothing\n"));
  assert_fails (EINVAL, fx_edit (fx, "A", "-key\n"));
}

static void
test_paths_of_keys_are_found_like_any_path (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_mkdir (fx, "d/e"));
  assert_ok (fx_file (fx, "d/e/f"));
  assert_ok (fx_file (fx, "-g"));
  assert_ok (fx_file (fx, "new\nline\\"));
  assert_ok (fx_edit (fx, "A", "/d//e/./../e/f\n./-g\nnew\\012line\\134\nd/e/\n"));
  assert_string_equal (fx_keys (fx, "A"), "-g d/e d/e/f new\nline\\");
  assert_ok (fx_edit (fx, "A", "-../d/e/f\n-./-g\n-/new\\012line\\134\n-d/e/.\n"));
  assert_string_equal (fx_keys (fx, "A"), "");
  /* Something in the lease's own directory is one more key. */
  assert_ok (fx_file (fx, "leases/A/x"));
  assert_ok (fx_edit (fx, "A", "-leases/A/x\n"));
  assert_string_equal (fx_keys (fx, "A"), "");
  assert_ok (fx_edit (fx, "A", "leases/A/x\n"));
  assert_string_equal (fx_keys (fx, "A"), "leases/A/x");
}

static void
test_no_keys_are_no_error (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_edit (fx, "A", ""));
  assert_string_equal (fx_keys (fx, "A"), "");
}

static void
test_what_is_not_there_cannot_be_attached (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_lease (fx, "B", 5 * SECOND);
  fx_key (fx, "over", "B");
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_file (fx, "f"));
  assert_fails (ENOENT, fx_edit (fx, "A", "x\n"));
  assert_fails (ENOENT, fx_edit (fx, "A", "-x\n"));
  assert_fails (ENOENT, fx_edit (fx, "A", "d/x\n"));
  assert_fails (ENOENT, fx_edit (fx, "A", "x/y\n"));
  assert_fails (ENOENT, fx_edit (fx, "A", "leases/C/x\n"));
  assert_fails (ENOENT, fx_edit (fx, "A", "leases/A/x\n"));
  assert_fails (ENOTDIR, fx_edit (fx, "A", "f/x\n"));
  assert_fails (ENOTDIR, fx_edit (fx, "A", "f/\n"));
  assert_fails (ENOTDIR, fx_edit (fx, "A", "f/..\n"));
  fx_wait (fx, 5 * SECOND);
  assert_fails (ENOENT, fx_edit (fx, "A", "over\n"));
}

static void
test_symlinks_are_keys_but_not_followed (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_file (fx, "d/f"));
  assert_ok (fx_symlink (fx, "s", "d"));
  assert_fails (ELOOP, fx_edit (fx, "A", "s/f\n"));
  assert_fails (ELOOP, fx_edit (fx, "A", "s/\n"));
  assert_ok (fx_edit (fx, "A", "s\n"));
  assert_string_equal (fx_keys (fx, "A"), "s");
  fx_wait (fx, 10 * SECOND);
  assert_string_equal (fx_list (fx, ""), "leases d");
}

static void
test_some_things_are_never_keys (void **state)
{
  Fixture *fx = *state;
  static const char *const lines[] = {
    "/\n",
    ".\n",
    "d/..\n",
    "leases\n",
    "leases/A\n",
    "leases/B\n",
    "leases/R\n",
    "leases/A/ttl\n",
    "leases/B/keys\n",
    "leases/A/granted/x\n",
    "leases/B/f\n",
    "leases/B/d\n",
    "leases/B/d/g\n",
    "-leases\n",
    "-leases/B/f\n",
    "leases/A/d/../../B\n",
  };

  fx_lease (fx, "A", 10 * SECOND);
  fx_lease (fx, "B", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "leases/R"));
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_mkdir (fx, "leases/A/d"));
  assert_ok (fx_file (fx, "leases/B/f"));
  assert_ok (fx_mkdir (fx, "leases/B/d"));
  assert_ok (fx_file (fx, "leases/B/d/g"));
  for (unsigned i = 0; i < G_N_ELEMENTS (lines); i++)
    assert_fails (EINVAL, fx_edit (fx, "A", lines[i]));
  assert_string_equal (fx_keys (fx, "A"), "leases/A/d");
  assert_string_equal (fx_keys (fx, "B"), "leases/B/d leases/B/d/g leases/B/f");
}

static void
test_only_what_is_attached_can_be_detached (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_lease (fx, "B", 10 * SECOND);
  assert_ok (fx_file (fx, "free"));
  fx_key (fx, "others", "B");
  assert_fails (EINVAL, fx_edit (fx, "A", "-free\n"));
  assert_fails (EINVAL, fx_edit (fx, "A", "-others\n"));
  assert_string_equal (fx_keys (fx, "B"), "others");
}

static void
test_a_path_through_an_ended_directory_is_not_listed (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "P", SECOND);
  fx_lease (fx, "Q", 100 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_file (fx, "d/x"));
  assert_ok (fx_edit (fx, "Q", "d/x\n"));
  assert_ok (fx_rename (fx, "d", "leases/P/d", 0));
  assert_string_equal (fx_keys (fx, "Q"), "leases/P/d/x");
  fx_wait (fx, SECOND);
  assert_string_equal (fx_keys (fx, "Q"), "");
}

static void
test_only_the_owner_attaches_and_detaches (void **state)
{
  Fixture *fx = *state;

  fx->by.uid = 1;
  assert_ok (fx_file (fx, "ones"));
  fx->by.uid = 2;
  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "twos", "A");
  assert_fails (EPERM, fx_edit (fx, "A", "ones\n"));
  fx->by.uid = 1;
  assert_fails (EPERM, fx_edit (fx, "A", "-twos\n"));
  assert_fails (EACCES, fx_edit (fx, "A", "ones\n"));
  assert_ok (lease_engine_chmod_file (fx->engine, &fx->by, fx_find (fx, "leases/A"),
                                      LEASE_FILE_KEYS, 0666));
  assert_ok (fx_edit (fx, "A", "ones\n-ones\n"));
  fx->by.uid = 0;
  assert_fails (EPERM, fx_edit (fx, "A", "-twos\n"));
  assert_ok (lease_engine_chmod_file (fx->engine, &fx->by, fx_find (fx, "leases/A"),
                                      LEASE_FILE_KEYS, 0644));
  assert_ok (fx_edit (fx, "A", "-twos\n"));
  assert_ok (fx_edit (fx, "A", "twos\n"));
  assert_ok (lease_engine_chmod_file (fx->engine, &fx->by, fx_find (fx, "leases/A"),
                                      LEASE_FILE_KEYS, 0666));
  fx->by.uid = 1;
  fx->by.knows_groups = true;
  assert_ok (fx_edit (fx, "A", "ones\n"));
  fx->by.uid = 2;
  assert_fails (EPERM, fx_edit (fx, "A", "-twos\n-ones\n"));
  assert_string_equal (fx_keys (fx, "A"), "ones twos");
}

static void
test_an_edit_takes_effect_whole_or_not_at_all (void **state)
{
  Fixture *fx = *state;
  LeaseInfo before, after;

  fx_lease (fx, "A", 10 * SECOND);
  fx_lease (fx, "B", 10 * SECOND);
  fx_key (fx, "a", "A");
  fx_key (fx, "b", "B");
  assert_ok (fx_file (fx, "c"));
  fx_wait (fx, SECOND);
  assert_ok (fx_info (fx, "A", &before));
  assert_fails (ENOENT, fx_edit (fx, "A", "c\nb\n-a\nx\n"));
  assert_fails (EINVAL, fx_edit (fx, "A", "c\nb\n-a\nleases\n"));
  assert_fails (EINVAL, fx_edit (fx, "A", "-a\n-b\n"));
  assert_ok (fx_info (fx, "A", &after));
  assert_int_equal (before.generation, after.generation);
  assert_string_equal (fx_keys (fx, "A"), "a");
  assert_string_equal (fx_keys (fx, "B"), "b");
  assert_ok (fx_edit (fx, "A", "c\nb\n-a\n"));
  assert_string_equal (fx_keys (fx, "A"), "b c");
  assert_string_equal (fx_keys (fx, "B"), "");
}

static void
test_each_line_of_an_edit_sees_those_before_it (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_lease (fx, "B", 10 * SECOND);
  assert_ok (fx_file (fx, "a"));
  assert_ok (fx_link (fx, "a", "b"));
  assert_ok (fx_edit (fx, "A", "a\n-a\n"));
  assert_string_equal (fx_keys (fx, "A"), "");
  assert_ok (fx_edit (fx, "A", "a\n-b\nb\n"));
  assert_string_equal (fx_keys (fx, "A"), "a b");
  assert_ok (fx_edit (fx, "A", "-a\nb\n"));
  assert_string_equal (fx_keys (fx, "A"), "a b");
  assert_fails (EINVAL, fx_edit (fx, "A", "-a\n-a\n"));
  assert_fails (EINVAL, fx_edit (fx, "A", "-a\n-b\n"));
  assert_fails (EINVAL, fx_edit (fx, "B", "-a\na\n"));
  assert_ok (fx_edit (fx, "B", "a\n-b\n"));
  assert_string_equal (fx_keys (fx, "A"), "");
  assert_string_equal (fx_keys (fx, "B"), "");
}

static void
test_all_names_of_a_file_share_its_lease (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  fx_key (fx, "a", "A");
  assert_ok (fx_link (fx, "a", "d/b"));
  assert_string_equal (fx_keys (fx, "A"), "a d/b");
  assert_ok (fx_unlink (fx, "a"));
  assert_string_equal (fx_keys (fx, "A"), "d/b");
  assert_ok (fx_link (fx, "d/b", "c"));
  fx_wait (fx, 10 * SECOND);
  assert_int_equal (fx_find (fx, "c"), 0);
  assert_int_equal (fx_find (fx, "d/b"), 0);
  assert_int_equal (fx_reap (fx), 3);
  assert_string_equal (fx_list (fx, "d"), "");
}

static void
test_what_is_created_in_an_attached_directory_is_attached (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_file (fx, "d/before"));
  assert_ok (fx_edit (fx, "A", "d\n"));
  assert_ok (fx_file (fx, "d/after"));
  assert_ok (fx_mkdir (fx, "d/e"));
  assert_ok (fx_symlink (fx, "d/e/s", "x"));
  assert_string_equal (fx_keys (fx, "A"), "d d/after d/e d/e/s");
  assert_ok (fx_edit (fx, "A", "-d/e\n"));
  assert_ok (fx_file (fx, "d/e/f"));
  assert_string_equal (fx_keys (fx, "A"), "d d/after d/e/s");
}

static void
test_the_generation_changes_with_what_keys_shows (void **state)
{
  Fixture *fx = *state;
  LeaseInfo info;
  uint64_t generation;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_mkdir (fx, "e"));
  assert_ok (fx_file (fx, "d/f"));
  assert_ok (fx_info (fx, "A", &info));

#define CHANGES(call)                                                                              \
  generation = info.generation;                                                                    \
  assert_ok (call);                                                                                \
  assert_ok (fx_info (fx, "A", &info));                                                            \
  assert_int_not_equal (info.generation, generation)

  CHANGES (fx_edit (fx, "A", "d/f\n"));
  CHANGES (fx_rename (fx, "d", "x", 0));
  CHANGES (fx_rename (fx, "x", "e", RENAME_EXCHANGE));
  CHANGES (fx_link (fx, "e/f", "g"));
  CHANGES (fx_unlink (fx, "g"));
  CHANGES (fx_edit (fx, "A", "-e/f\n"));
  CHANGES (fx_file (fx, "leases/A/f"));
#undef CHANGES
  assert_ok (fx_refresh (fx, "A"));
  generation = info.generation;
  assert_ok (fx_info (fx, "A", &info));
  assert_int_equal (info.generation, generation);
}

/* How long attributes stay fresh, and what is said when they do not. */

static LeaseTime
fresh_until (Fixture *fx, const char *path)
{
  LeaseAttr attr;

  assert_ok (fx_stat (fx, path, &attr));
  return attr.fresh_until;
}

static void
test_attributes_are_fresh_until_the_deadline (void **state)
{
  Fixture *fx = *state;
  LeaseTime start = fx->by.now;

  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_file (fx, "d/f"));
  assert_int_equal (fresh_until (fx, "d"), LEASE_TIME_NEVER);
  assert_int_equal (fresh_until (fx, "d/f"), LEASE_TIME_NEVER);
  assert_int_equal (fresh_until (fx, "leases"), LEASE_TIME_NEVER);

  fx_lease (fx, "A", 10 * SECOND);
  fx_lease (fx, "B", 20 * SECOND);
  assert_int_equal (fresh_until (fx, "leases"), start + 10 * SECOND);
  assert_int_equal (fresh_until (fx, "leases/A"), start + 10 * SECOND);
  assert_int_equal (fresh_until (fx, "leases/B"), start + 20 * SECOND);
  assert_int_equal (fresh_until (fx, ""), LEASE_TIME_NEVER);

  assert_ok (fx_edit (fx, "B", "d/f\n"));
  assert_int_equal (fresh_until (fx, "d/f"), start + 20 * SECOND);
  /* That of a directory may be earlier than it needs to be, but not later. */
  assert_true (fresh_until (fx, "d") <= start + 20 * SECOND);
  assert_true (fresh_until (fx, "d") > fx->by.now);
  assert_int_equal (fresh_until (fx, ""), LEASE_TIME_NEVER);

  assert_ok (fx_edit (fx, "B", "-d/f\n"));
  assert_int_equal (fresh_until (fx, "d"), LEASE_TIME_NEVER);
  assert_int_equal (fresh_until (fx, "d/f"), LEASE_TIME_NEVER);

  assert_ok (fx_grant (fx, "B", 5 * SECOND));
  assert_int_equal (fresh_until (fx, "leases"), start + 5 * SECOND);
}

static void
test_a_free_name_stays_free_and_a_dead_one_may_go (void **state)
{
  Fixture *fx = *state;
  LeaseTime until = 7;
  LeaseAttr attr;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  fx_wait (fx, 10 * SECOND);
  assert_fails (ENOENT,
                lease_engine_lookup (fx->engine, &fx->by, LEASE_ROOT, "key", &attr, &until));
  assert_int_equal (until, 0);
  fx_reap (fx);
  assert_fails (ENOENT,
                lease_engine_lookup (fx->engine, &fx->by, LEASE_ROOT, "key", &attr, &until));
  assert_int_equal (until, LEASE_TIME_NEVER);
}

static void
test_attaching_makes_cached_attributes_stale (void **state)
{
  Fixture *fx = *state;
  uint64_t d, e, f;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_mkdir (fx, "e"));
  assert_ok (fx_file (fx, "d/f"));
  assert_ok (fx_link (fx, "d/f", "e/f"));
  d = fx_pin (fx, "d");
  e = fx_pin (fx, "e");
  f = fx_pin (fx, "d/f");
  fx_forget_events (fx);
  assert_ok (fx_edit (fx, "A", "d/f\n"));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, f), 1);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, d), 1);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, e), 1);
  fx_unpin (fx, d);
  fx_unpin (fx, e);
  fx_unpin (fx, f);
}

/* Those of a directory need not end again with each key, unless they hold for too long by now. */
static void
test_attaching_leaves_a_directory_alone_that_is_asked_for_in_time (void **state)
{
  Fixture *fx = *state;
  uint64_t d, f, g;

  fx_lease (fx, "A", 20 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  for (const char *name = "fghi"; *name != '\0'; name++)
    assert_ok (fx_file (fx, (char[]){ 'd', '/', *name, '\0' }));
  d = fx_pin (fx, "d");
  f = fx_pin (fx, "d/f");
  g = fx_pin (fx, "d/g");
  fx_forget_events (fx);
  assert_ok (fx_edit (fx, "A", "d/f\n"));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, d), 1);
  assert_int_equal (fresh_until (fx, "d"), fx->by.now + 20 * SECOND);
  fx_forget_events (fx);
  assert_ok (fx_edit (fx, "A", "d/g\n"));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, g), 1);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_NAMES, g), 1);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, d), 0);

  fx_lease (fx, "B", 10 * SECOND);
  assert_ok (fx_edit (fx, "B", "d/h\n"));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, d), 1);
  assert_int_equal (fresh_until (fx, "d"), fx->by.now + 10 * SECOND);
  assert_ok (fx_edit (fx, "A", "-d/f\n-d/g\n"));
  assert_ok (fx_edit (fx, "B", "-d/h\n"));
  assert_int_equal (fresh_until (fx, "d"), LEASE_TIME_NEVER);
  fx_forget_events (fx);
  assert_ok (fx_edit (fx, "A", "d/i\n"));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, d), 1);
  fx_unpin (fx, d);
  fx_unpin (fx, f);
  fx_unpin (fx, g);
}

/* However often a node is named, and however many names it has. */
static void
test_one_edit_tells_of_each_node_once (void **state)
{
  g_autoptr (GString) lines = g_string_new (NULL);
  Fixture *fx = *state;
  uint64_t d, e;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_mkdir (fx, "e"));
  assert_ok (fx_file (fx, "key"));
  for (unsigned i = 0; i < 10; i++) {
    g_autofree char *path = g_strdup_printf ("%s/%u", i % 2 == 0 ? "d" : "e", i);
    assert_ok (fx_link (fx, "key", path));
    g_string_append (lines, "key\n-key\n");
  }
  d = fx_pin (fx, "d");
  e = fx_pin (fx, "e");
  fx_forget_events (fx);
  assert_ok (fx_edit (fx, "A", lines->str));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, 0), 0); /* nothing in the end */
  g_string_append (lines, "key\n");
  assert_ok (fx_edit (fx, "A", lines->str));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, d), 1);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, e), 1);
  fx_unpin (fx, d);
  fx_unpin (fx, e);
}

static void
append_name (uint64_t parent, const char *directory, const char *name, void *data)
{
  g_string_append_printf (data, "%" G_GUINT64_FORMAT " %s/%s ", parent, directory, name);
}

static void
test_names_that_hold_for_too_long_are_told (void **state)
{
  g_autoptr (GString) names = g_string_new (NULL);
  g_autofree char *expected = NULL;
  Fixture *fx = *state;
  uint64_t d, f;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_file (fx, "d/f"));
  assert_ok (fx_link (fx, "d/f", "g"));
  d = fx_pin (fx, "d");
  f = fx_pin (fx, "d/f");
  fx_forget_events (fx);
  assert_ok (fx_edit (fx, "A", "g\n"));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_NAMES, f), 1);
  assert_ok (fx_refresh (fx, "A"));
  assert_ok (fx_grant (fx, "A", 20 * SECOND));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_NAMES, 0), 1);
  assert_ok (fx_grant (fx, "A", SECOND));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_NAMES, f), 2);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_NAMES, d), 0);
  lease_engine_names (fx->engine, f, 10, append_name, names);
  expected = g_strdup_printf ("%d ./g %" G_GUINT64_FORMAT " d/f ", (int)LEASE_ROOT, d);
  assert_string_equal (names->str, expected);
  lease_engine_names (fx->engine, 9999, 10, append_name, names);
  assert_string_equal (names->str, expected);
  fx_unpin (fx, d);
  fx_unpin (fx, f);
}

static void
test_nothing_is_said_about_what_nobody_has_cached (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_file (fx, "d/f"));
  fx_forget_events (fx);
  assert_ok (fx_edit (fx, "A", "d/f\n"));
  assert_ok (fx_grant (fx, "A", SECOND));
  assert_ok (fx_rmdir (fx, "leases/A"));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, 0), 0);
}

static void
test_a_lengthened_lease_makes_its_own_directory_stale_alone (void **state)
{
  Fixture *fx = *state;
  uint64_t lease, key;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  lease = fx_pin (fx, "leases/A");
  key = fx_pin (fx, "key");
  fx_forget_events (fx);
  assert_ok (fx_refresh (fx, "A"));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, lease), 1); /* its mtime has moved */
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, 0), 1);
  fx_unpin (fx, lease);
  fx_unpin (fx, key);
}

/* To tell it costs a system call. */
static void
test_what_nobody_was_shown_is_not_told (void **state)
{
  Fixture *fx = *state;
  uint64_t lease, key;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  lease = fx_pin (fx, "leases/A");
  key = fx_pin (fx, "key");
  fx_forget_events (fx);
  for (unsigned i = 0; i < 3; i++)
    assert_ok (lease_engine_refresh (fx->engine, &fx->by, lease));
  assert_ok (fx_touch_id (fx, key));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, 0), 1);
  fx_getattr (fx, lease);
  assert_ok (fx_touch_id (fx, key));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, lease), 2);
  /* This one is answered with the new ones, which hold until the next. */
  for (unsigned i = 0; i < 3; i++)
    assert_ok (fx_touch_id (fx, lease));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, lease), 2);
  assert_ok (fx_touch_id (fx, key));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, lease), 3);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, 0), 3);
  fx_unpin (fx, lease);
  fx_unpin (fx, key);
}

static void
test_a_shortened_lease_makes_all_of_it_stale (void **state)
{
  Fixture *fx = *state;
  uint64_t ids[5];

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  fx_key (fx, "d/key", "A");
  assert_ok (fx_file (fx, "leases/A/f"));
  ids[0] = fx_pin (fx, "leases");
  ids[1] = fx_pin (fx, "leases/A");
  ids[2] = fx_pin (fx, "leases/A/f");
  ids[3] = fx_pin (fx, "d");
  ids[4] = fx_pin (fx, "d/key");
  fx_forget_events (fx);
  assert_ok (fx_grant (fx, "A", 9 * SECOND));
  for (unsigned i = 0; i < G_N_ELEMENTS (ids); i++) {
    assert_true (fx_count_events (fx, LEASE_EVENT_STALE, ids[i]) >= 1);
    fx_unpin (fx, ids[i]);
  }
}

/* It takes longer than the new TTL to tell that the old one is wrong. */
static void
be_slow (Fixture *fx, LeaseEvent event, uint64_t id)
{
  LeaseAttr attr;

  if (event != LEASE_EVENT_STALE)
    return;
  assert_ok (lease_engine_getattr (fx->engine, &fx->by, id, &attr));
  if (!S_ISREG (attr.mode))
    return;
  fx->by.now += SECOND;
  assert_ok (lease_engine_getattr (fx->engine, &fx->by, id, &attr));
  assert_int_equal (attr.fresh_until, fx->by.now + SECOND);
}

/* What has been told that the new TTL counts, and what has not yet, end together. */
static void
test_a_shorter_ttl_counts_when_all_have_been_told (void **state)
{
  Fixture *fx = *state;
  LeaseInfo info;

  fx_lease (fx, "A", 100 * SECOND);
  fx_key (fx, "key1", "A");
  fx_key (fx, "key2", "A");
  uint64_t key1 = fx_pin (fx, "key1"), key2 = fx_pin (fx, "key2");
  uint64_t lease = fx_find (fx, "leases/A");
  fx_forget_events (fx);
  fx->on_event = be_slow;
  assert_ok (lease_engine_grant (fx->engine, &fx->by, lease, SECOND));
  fx->on_event = NULL;
  assert_true (fx_count_events (fx, LEASE_EVENT_STALE, 0) >= 3);
  assert_ok (lease_engine_info (fx->engine, &fx->by, lease, &info));
  assert_int_equal (info.left_ns, SECOND);
  fx_wait (fx, SECOND);
  assert_fails (ESTALE, fx_getattr (fx, key1));
  assert_fails (ESTALE, fx_getattr (fx, key2));
  fx_unpin (fx, key1);
  fx_unpin (fx, key2);
}

static void
test_an_earlier_deadline_is_told (void **state)
{
  Fixture *fx = *state;
  LeaseTime start = fx->by.now;

#define EARLIER(expected)                                                                          \
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_EARLIER, 0), expected);                       \
  fx_forget_events (fx)

  assert_int_equal (lease_engine_earliest (fx->engine), LEASE_TIME_NEVER);
  assert_ok (fx_mkdir (fx, "leases/A"));
  EARLIER (1);
  assert_int_equal (lease_engine_earliest (fx->engine), start + 60 * SECOND);
  assert_ok (fx_grant (fx, "A", 100 * SECOND));
  EARLIER (0);
  assert_int_equal (lease_engine_earliest (fx->engine), start + 100 * SECOND);
  assert_ok (fx_mkdir (fx, "leases/B"));
  EARLIER (1);
  assert_int_equal (lease_engine_earliest (fx->engine), start + 60 * SECOND);
  assert_ok (fx_grant (fx, "B", 70 * SECOND));
  EARLIER (0);
  /* The binding still means to come after 60 s. */
  assert_ok (fx_grant (fx, "B", 60 * SECOND));
  EARLIER (0);
  assert_ok (fx_grant (fx, "B", 60 * SECOND - 1));
  EARLIER (1);
  assert_int_equal (lease_engine_earliest (fx->engine), start + 60 * SECOND - 1);
  assert_ok (fx_rmdir (fx, "leases/B"));
  EARLIER (0);
  assert_int_equal (lease_engine_earliest (fx->engine), start + 100 * SECOND);
  assert_ok (fx_rmdir (fx, "leases/A"));
  assert_int_equal (lease_engine_earliest (fx->engine), LEASE_TIME_NEVER);
#undef EARLIER
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    fx_test (test_mkdir_only_reserves),
    fx_test (test_a_reservation_lasts_60_seconds),
    fx_test (test_a_reservation_is_not_refreshed),
    fx_test (test_a_grant_counts_from_now),
    fx_test (test_a_grant_can_be_given_anew),
    fx_test (test_the_shortest_and_the_longest_ttl_are_granted),
    fx_test (test_a_deadline_beyond_the_clock_still_comes),
    cmocka_unit_test (test_a_ttl_below_the_minimum_is_raised),
    fx_test (test_three_ways_refresh_a_lease),
    fx_test (test_a_refresh_gives_the_ttl_granted_last),
    fx_test (test_touching_what_is_in_a_lease_refreshes_it),
    fx_test (test_only_touch_refreshes),
    fx_test (test_an_unlinked_key_refreshes_nothing),
    fx_test (test_a_refresh_in_the_last_nanosecond_counts),
    fx_test (test_nothing_revives_a_lease_at_its_deadline),
    fx_test (test_a_lease_is_only_what_mkdir_in_leases_made),
    fx_test (test_modes_of_pseudo_files_can_be_changed),
    fx_test (test_time_never_goes_back),
    fx_test (test_what_somebody_saw_end_has_ended_for_all),
    fx_test (test_the_wall_clock_means_nothing_to_a_lease),
    fx_test (test_a_key_is_attached_moved_and_detached),
    fx_test (test_nothing_is_attached_before_the_grant),
    fx_test (test_paths_of_keys_are_found_like_any_path),
    fx_test (test_no_keys_are_no_error),
    fx_test (test_what_is_not_there_cannot_be_attached),
    fx_test (test_symlinks_are_keys_but_not_followed),
    fx_test (test_some_things_are_never_keys),
    fx_test (test_only_what_is_attached_can_be_detached),
    fx_test (test_a_path_through_an_ended_directory_is_not_listed),
    fx_test (test_only_the_owner_attaches_and_detaches),
    fx_test (test_an_edit_takes_effect_whole_or_not_at_all),
    fx_test (test_each_line_of_an_edit_sees_those_before_it),
    fx_test (test_all_names_of_a_file_share_its_lease),
    fx_test (test_what_is_created_in_an_attached_directory_is_attached),
    fx_test (test_the_generation_changes_with_what_keys_shows),
    fx_test (test_attributes_are_fresh_until_the_deadline),
    fx_test (test_a_free_name_stays_free_and_a_dead_one_may_go),
    fx_test (test_attaching_makes_cached_attributes_stale),
    fx_test (test_attaching_leaves_a_directory_alone_that_is_asked_for_in_time),
    fx_test (test_one_edit_tells_of_each_node_once),
    fx_test (test_names_that_hold_for_too_long_are_told),
    fx_test (test_nothing_is_said_about_what_nobody_has_cached),
    fx_test (test_a_lengthened_lease_makes_its_own_directory_stale_alone),
    fx_test (test_what_nobody_was_shown_is_not_told),
    fx_test (test_a_shortened_lease_makes_all_of_it_stale),
    fx_test (test_a_shorter_ttl_counts_when_all_have_been_told),
    fx_test (test_an_earlier_deadline_is_told),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
