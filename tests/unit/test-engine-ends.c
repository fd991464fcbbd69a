/* SPDX-License-Identifier: MIT */

#include "tests/unit/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static LeaseCaller
reaper_of (const Fixture *fx)
{
  LeaseCaller reaper = fx->by;

  reaper.reaper = true;
  return reaper;
}

/* Ends all that is due, and returns the next grave, which the caller clears. */
static LeaseGrave
dig (Fixture *fx)
{
  LeaseCaller reaper = reaper_of (fx);
  LeaseGrave grave = { 0 };

  assert_false (lease_engine_expire (fx->engine, &reaper, 1000));
  assert_ok (lease_engine_next_grave (fx->engine, &reaper, 1000, &grave));
  fx_check (fx);
  return grave;
}

static bool
bury (Fixture *fx, const LeaseGrave *grave)
{
  LeaseCaller reaper = reaper_of (fx);
  bool buried = lease_engine_bury (fx->engine, &reaper, grave);

  fx_check (fx);
  return buried;
}

/* The paths of all graves in their order, burying them. */
static char *
bury_all (Fixture *fx)
{
  LeaseCaller reaper = reaper_of (fx);
  g_autoptr (GString) paths = g_string_new (NULL);

  assert_false (lease_engine_expire (fx->engine, &reaper, 1000));
  for (;;) {
    g_auto (LeaseGrave) grave = { 0 };
    int error = lease_engine_next_grave (fx->engine, &reaper, 1000, &grave);
    if (error == -ENOENT)
      break;
    assert_ok (error);
    g_string_append_printf (paths, "%s%s/%s", paths->len > 0 ? " " : "", grave.directory,
                            grave.name);
    assert_true (bury (fx, &grave));
  }
  return g_string_free (g_steal_pointer (&paths), FALSE);
}

static void
expect_graves (Fixture *fx, const char *expected)
{
  g_autofree char *paths = bury_all (fx);

  assert_string_equal (paths, expected);
}

/* The moment of the end. */

static void
test_everything_is_there_up_to_the_deadline_and_nothing_from_then_on (void **state)
{
  Fixture *fx = *state;
  g_autofree char *data = NULL;
  size_t size;
  uint64_t key, directory;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  fx_put (fx, "key", "hello");
  assert_ok (fx_mkdir (fx, "leases/A/d"));
  assert_ok (fx_file (fx, "leases/A/d/f"));
  key = fx_find (fx, "key");
  directory = fx_find (fx, "leases/A/d");

  fx_wait (fx, 10 * SECOND - 1);
  assert_string_equal (fx_get (fx, "key"), "hello");
  assert_string_equal (fx_list (fx, ""), "leases key");
  assert_string_equal (fx_list (fx, "leases"), "A");
  assert_string_equal (fx_list (fx, "leases/A/d"), "f");

  fx_wait (fx, 1);
  assert_int_equal (fx_find (fx, "key"), 0);
  assert_int_equal (fx_find (fx, "leases/A"), 0);
  assert_int_equal (fx_find (fx, "leases/A/d/f"), 0);
  assert_string_equal (fx_list (fx, ""), "leases");
  assert_string_equal (fx_list (fx, "leases"), "");
  assert_fails (ESTALE, fx_getattr (fx, key));
  assert_fails (ESTALE, fx_write (fx, key, "x"));
  assert_fails (ESTALE, lease_engine_read (fx->engine, &fx->by, key, 0, 1, &data, &size));
  assert_fails (ESTALE, fx_getattr (fx, directory));
  assert_fails (ESTALE, lease_engine_list (fx->engine, &fx->by, directory, 0, false, NULL, NULL));
  assert_fails (ENOENT, fx_unlink (fx, "key"));
  assert_fails (ENOENT, fx_rmdir (fx, "leases/A"));
  assert_fails (ENOENT, fx_rename (fx, "key", "other", 0));
}

/* However many of these there are: some thousands at a time are passed over. */
static void
test_a_listing_shows_what_lies_behind_the_dead (void **state)
{
  Fixture *fx = *state;
  LeaseNew what = { .mode = S_IFREG | 0644 };
  LeaseAttr attr;

  fx_lease (fx, "A", SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_file (fx, "d/first"));
  assert_ok (fx_edit (fx, "A", "d"));
  uint64_t directory = fx_find (fx, "d");
  for (unsigned i = 0; i < 10000; i++) {
    g_autofree char *name = g_strdup_printf ("%u", i);
    assert_ok (lease_engine_create (fx->engine, &fx->by, directory, name, &what, &attr));
    lease_engine_unpin (fx->engine, attr.id, 1);
  }
  assert_ok (fx_edit (fx, "A", "-d"));
  assert_ok (fx_file (fx, "d/last"));
  fx_wait (fx, SECOND);
  assert_string_equal (fx_list (fx, "d"), "first last");
}

static void
test_a_node_is_pinned_until_it_is_let_go_of (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", SECOND);
  fx_key (fx, "key", "A");
  uint64_t key = fx_find (fx, "key");
  assert_false (lease_engine_is_pinned (fx->engine, key));
  assert_int_equal (fx_pin (fx, "key"), key);
  assert_true (lease_engine_is_pinned (fx->engine, key));

  fx_wait (fx, SECOND);
  expect_graves (fx, "./key leases/A");
  assert_true (lease_engine_is_pinned (fx->engine, key));
  lease_engine_unpin (fx->engine, key, 1);
  assert_false (lease_engine_is_pinned (fx->engine, key));
}

static void
test_a_dead_node_cannot_be_linked (void **state)
{
  Fixture *fx = *state;
  LeaseAttr attr;
  uint64_t id;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  id = fx_pin (fx, "key");
  fx_wait (fx, 10 * SECOND);
  assert_fails (ESTALE, lease_engine_link (fx->engine, &fx->by, id, LEASE_ROOT, "new", &attr));
  fx_unpin (fx, id);
}

static void
test_a_directory_with_dead_keys_counts_as_empty (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  for (const char *const *d = (const char *const[]){ "d", "e", NULL }; *d != NULL; d++) {
    g_autofree char *path = g_strconcat (*d, "/key", NULL);
    assert_ok (fx_mkdir (fx, *d));
    fx_key (fx, path, "A");
  }
  assert_ok (fx_mkdir (fx, "new"));
  assert_fails (ENOTEMPTY, fx_rmdir (fx, "d"));
  assert_fails (ENOTEMPTY, fx_rename (fx, "new", "e", 0));
  fx_wait (fx, 10 * SECOND);
  assert_ok (fx_rmdir (fx, "d"));
  assert_ok (fx_rename (fx, "new", "e", 0));
  assert_string_equal (fx_list (fx, ""), "leases e");
  expect_graves (fx, "leases/A"); /* no path leads to the keys */
}

static void
test_names_are_free_again_at_the_deadline (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_lease (fx, "B", 100 * SECOND);
  assert_ok (fx_file (fx, "f"));
  assert_ok (fx_mkdir (fx, "d"));
  for (const char *name = "abceghi"; *name != '\0'; name++)
    fx_key (fx, (char[]){ *name, '\0' }, "A");
  fx_wait (fx, 10 * SECOND);
  assert_ok (fx_file (fx, "a"));
  assert_ok (fx_mkdir (fx, "b"));
  assert_ok (fx_symlink (fx, "c", "x"));
  assert_ok (fx_link (fx, "f", "g"));
  assert_ok (fx_link (fx, "f", "d/f"));
  assert_ok (fx_rename (fx, "d", "h", RENAME_NOREPLACE));
  assert_ok (fx_rename (fx, "h", "e", RENAME_NOREPLACE));
  assert_fails (ENOENT, fx_rename (fx, "f", "i", RENAME_EXCHANGE));
  assert_ok (fx_mkdir (fx, "leases/A"));
  assert_ok (fx_grant (fx, "A", 10 * SECOND));
  assert_string_equal (fx_keys (fx, "A"), "");
  fx_reap (fx);
  assert_string_equal (fx_list (fx, ""), "leases f a b c g e");
  assert_string_equal (fx_list (fx, "leases"), "B A");
}

static void
test_a_new_lease_has_nothing_of_the_old_one_of_its_name (void **state)
{
  Fixture *fx = *state;
  LeaseInfo info;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "leases/A/d"));
  assert_ok (fx_file (fx, "leases/A/d/f"));
  fx_key (fx, "key", "A");
  fx_wait (fx, 10 * SECOND);
  assert_ok (fx_mkdir (fx, "leases/A"));
  assert_ok (fx_info (fx, "A", &info));
  assert_int_equal (info.granted_ns, 0);
  assert_string_equal (fx_list (fx, "leases/A"), "");
  assert_ok (fx_grant (fx, "A", 100 * SECOND));
  assert_ok (fx_mkdir (fx, "leases/A/d"));
  assert_ok (fx_file (fx, "leases/A/d/f"));
  expect_graves (fx, "leases/A/d/f leases/A/d ./key leases/A");
  assert_string_equal (fx_keys (fx, "A"), "leases/A/d leases/A/d/f");
}

/* Cleaning up. */

static void
test_graves_come_leaves_first (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "plain"));
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_edit (fx, "A", "d\n"));
  assert_ok (fx_mkdir (fx, "d/e"));
  assert_ok (fx_file (fx, "d/e/f"));
  fx_key (fx, "plain/key", "A");
  fx_wait (fx, 10 * SECOND);
  expect_graves (fx, "d/e/f d/e ./d plain/key leases/A");
  assert_string_equal (fx_list (fx, ""), "leases plain");
}

/* Of what waits in each directory; nobody can list one that has ended. */
static void
test_a_grave_tells_whether_it_is_the_last (void **state)
{
  Fixture *fx = *state;
  g_autoptr (GString) lasts = g_string_new (NULL);

  fx_lease (fx, "A", SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  fx_key (fx, "d/1", "A");
  fx_key (fx, "d/2", "A");
  fx_key (fx, "d/3", "A");
  assert_ok (fx_file (fx, "leases/A/x"));
  fx_wait (fx, SECOND);
  LeaseCaller reaper = reaper_of (fx);
  assert_false (lease_engine_expire (fx->engine, &reaper, 1000));
  for (;;) {
    g_auto (LeaseGrave) grave = { 0 };
    if (lease_engine_next_grave (fx->engine, &reaper, 1000, &grave) == -ENOENT)
      break;
    g_string_append_printf (lasts, "%s%s ", grave.name, grave.last ? "!" : "");
    assert_true (bury (fx, &grave));
  }
  assert_string_equal (lasts->str, "1 2 3! x A! ");
}

static void
test_a_grave_tells_all_that_unlinking_needs (void **state)
{
  Fixture *fx = *state;
  uint64_t d, key;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  fx_key (fx, "d/key", "A");
  d = fx_find (fx, "d");
  key = fx_find (fx, "d/key");
  fx_wait (fx, 10 * SECOND);

  g_auto (LeaseGrave) grave = dig (fx), again = dig (fx);
  assert_int_equal (grave.parent, d);
  assert_int_equal (grave.node, key);
  assert_false (grave.is_directory);
  assert_string_equal (grave.directory, "d");
  assert_string_equal (grave.name, "key");
  assert_int_equal (again.node, key); /* the same one until it has been removed */
  assert_true (bury (fx, &grave));
  assert_false (bury (fx, &grave));

  g_auto (LeaseGrave) last = dig (fx);
  assert_true (last.is_directory);
  assert_string_equal (last.directory, "leases");
  assert_string_equal (last.name, "A");
}

/* Who began to watch later than that was not shown the name. */
static void
test_a_grave_tells_since_when_it_is_over (void **state)
{
  Fixture *fx = *state;
  LeaseTime begin = fx->by.now;

  fx_lease (fx, "A", 10 * SECOND);
  fx_lease (fx, "B", 20 * SECOND);
  fx_key (fx, "one", "A");
  fx_key (fx, "two", "A");
  assert_ok (fx_link (fx, "two", "three"));
  fx_key (fx, "four", "B");
  fx_wait (fx, 12 * SECOND);
  g_auto (LeaseGrave) expired = dig (fx);
  assert_true (expired.since == begin + 10 * SECOND);
  assert_int_equal (expired.waiting, 4);
  assert_false (expired.other_names);
  assert_true (bury (fx, &expired));
  g_auto (LeaseGrave) next = dig (fx);
  assert_int_equal (next.waiting, 3);
  assert_true (next.other_names);
  g_free (bury_all (fx));

  assert_ok (fx_rmdir (fx, "leases/B"));
  fx_wait (fx, SECOND);
  g_auto (LeaseGrave) revoked = dig (fx);
  assert_true (revoked.since == begin + 12 * SECOND);
}

static void
test_a_buried_name_is_free_until_it_is_taken (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  fx_wait (fx, 10 * SECOND);
  g_auto (LeaseGrave) grave = dig (fx);
  assert_true (lease_engine_is_taken (fx->engine, grave.parent, grave.name));
  assert_true (bury (fx, &grave));
  assert_false (lease_engine_is_taken (fx->engine, grave.parent, grave.name));
  assert_ok (fx_file (fx, "key"));
  assert_true (lease_engine_is_taken (fx->engine, grave.parent, grave.name));
  assert_false (lease_engine_is_taken (fx->engine, grave.node, grave.name));
}

static void
test_the_reaper_removes_by_unlink_and_rmdir (void **state)
{
  Fixture *fx = *state;
  LeaseCaller reaper;
  LeaseAttr attr;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_edit (fx, "A", "d\n"));
  assert_ok (fx_file (fx, "d/f"));
  assert_ok (fx_file (fx, "live"));
  fx_wait (fx, 10 * SECOND);
  reaper = reaper_of (fx);

  while (true) {
    g_auto (LeaseGrave) grave = { 0 };
    lease_engine_expire (fx->engine, &reaper, 1);
    int error = lease_engine_next_grave (fx->engine, &reaper, 100, &grave);
    if (error == -ENOENT)
      break;
    assert_ok (error);
    /* It finds what it is to remove, and nobody else does. */
    assert_ok (lease_engine_lookup (fx->engine, &reaper, grave.parent, grave.name, &attr, NULL));
    assert_int_equal (attr.id, grave.node);
    lease_engine_unpin (fx->engine, attr.id, 1);
    if (grave.is_directory) {
      assert_fails (EISDIR, lease_engine_unlink (fx->engine, &reaper, grave.parent, grave.name));
      assert_ok (lease_engine_rmdir (fx->engine, &reaper, grave.parent, grave.name));
    } else {
      assert_fails (ENOTDIR, lease_engine_rmdir (fx->engine, &reaper, grave.parent, grave.name));
      assert_ok (lease_engine_unlink (fx->engine, &reaper, grave.parent, grave.name));
    }
    fx_check (fx);
  }
  assert_string_equal (fx_list (fx, ""), "leases live");
}

static void
test_the_reaper_removes_nothing_that_lives (void **state)
{
  Fixture *fx = *state;
  LeaseCaller reaper;
  uint64_t leases;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  assert_ok (fx_file (fx, "f"));
  assert_ok (fx_mkdir (fx, "d"));
  leases = fx_find (fx, "leases");
  fx_wait (fx, 10 * SECOND - 1);
  reaper = reaper_of (fx);
  assert_fails (ESTALE, lease_engine_unlink (fx->engine, &reaper, LEASE_ROOT, "key"));
  assert_fails (ESTALE, lease_engine_unlink (fx->engine, &reaper, LEASE_ROOT, "f"));
  assert_fails (ESTALE, lease_engine_rmdir (fx->engine, &reaper, LEASE_ROOT, "d"));
  assert_fails (ESTALE, lease_engine_rmdir (fx->engine, &reaper, leases, "A"));
  assert_int_not_equal (lease_engine_rmdir (fx->engine, &reaper, LEASE_ROOT, "leases"), 0);

  LeaseGrave grave = { .parent = LEASE_ROOT, .node = fx_find (fx, "key"), .name = (char *)"key" };
  assert_false (bury (fx, &grave));
  assert_fails (ENOENT, lease_engine_next_grave (fx->engine, &reaper, 10, &grave));
  assert_string_equal (fx_list (fx, ""), "leases key f d");
  assert_string_equal (fx_list (fx, "leases"), "A");
}

static void
test_the_reaper_removes_no_directory_with_something_in_it (void **state)
{
  Fixture *fx = *state;
  LeaseCaller reaper;
  LeaseGrave grave = { .parent = LEASE_ROOT, .is_directory = true, .name = (char *)"d" };

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_edit (fx, "A", "d\n"));
  assert_ok (fx_file (fx, "d/f"));
  grave.node = fx_find (fx, "d");
  fx_wait (fx, 10 * SECOND);
  reaper = reaper_of (fx);
  assert_fails (ESTALE, lease_engine_rmdir (fx->engine, &reaper, LEASE_ROOT, "d"));
  assert_false (bury (fx, &grave));
  expect_graves (fx, "d/f ./d leases/A");
}

static void
test_a_new_file_of_an_old_name_is_never_buried (void **state)
{
  Fixture *fx = *state;
  LeaseCaller reaper;
  uint64_t leases;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  leases = fx_find (fx, "leases");
  fx_wait (fx, 10 * SECOND);
  g_auto (LeaseGrave) grave = dig (fx);
  assert_string_equal (grave.name, "key");

  fx_put (fx, "key", "new");
  assert_ok (fx_mkdir (fx, "leases/A"));
  reaper = reaper_of (fx);
  assert_false (bury (fx, &grave));
  assert_fails (ESTALE, lease_engine_unlink (fx->engine, &reaper, LEASE_ROOT, "key"));
  assert_fails (ESTALE, lease_engine_rmdir (fx->engine, &reaper, leases, "A"));
  expect_graves (fx, "./key leases/A");
  assert_string_equal (fx_get (fx, "key"), "new");
  assert_string_equal (fx_list (fx, "leases"), "A");
}

static void
test_a_new_key_of_an_old_name_dies_its_own_death (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_lease (fx, "B", 20 * SECOND);
  fx_key (fx, "key", "A");
  fx_wait (fx, 10 * SECOND);
  g_auto (LeaseGrave) grave = dig (fx);
  fx_key (fx, "key", "B");
  assert_false (bury (fx, &grave));
  fx_wait (fx, 10 * SECOND);
  assert_false (bury (fx, &grave)); /* due, but another node */
  expect_graves (fx, "./key leases/A ./key leases/B");
}

static void
test_graves_run_out_of_steps (void **state)
{
  Fixture *fx = *state;
  LeaseCaller reaper;
  LeaseGrave grave;
  unsigned steps = 0;
  int error;

  fx_lease (fx, "A", 10 * SECOND);
  for (unsigned i = 0; i < 20; i++) {
    g_autofree char *path = g_strdup_printf ("leases/A/%u", i);
    assert_ok (fx_file (fx, path));
  }
  assert_ok (fx_rmdir (fx, "leases/A"));
  reaper = reaper_of (fx);
  assert_fails (EAGAIN, lease_engine_next_grave (fx->engine, &reaper, 0, &grave));
  while ((error = lease_engine_next_grave (fx->engine, &reaper, 1, &grave)) == -EAGAIN) {
    fx_check (fx);
    steps++;
  }
  assert_int_equal (error, -ENOENT);
  assert_true (steps >= 20 && steps <= 50);
}

/* Nothing can be cleaned up before the journal has been told. */
static void
expect_busy (Fixture *fx)
{
  LeaseCaller reaper = reaper_of (fx);
  LeaseGrave grave;

  assert_fails (EBUSY, lease_engine_next_grave (fx->engine, &reaper, 100, &grave));
}

static void
test_the_end_is_told (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  fx_wait (fx, 10 * SECOND);
  fx_forget_events (fx);
  fx->lazy = true;
  assert_false (lease_engine_expire (fx->engine, &fx->by, 100));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_ENDED, 0), 1);
  assert_int_equal (lease_engine_earliest (fx->engine), LEASE_TIME_NEVER);
  assert_false (lease_engine_expire (fx->engine, &fx->by, 100));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_ENDED, 0), 1);
  expect_busy (fx);
  assert_ok (lease_engine_flush (fx->engine, &fx->by, false));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_ENDED, 0), 2);
  expect_graves (fx, "./key leases/A");
}

static void
test_expire_ends_only_what_is_due (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_lease (fx, "B", 20 * SECOND);
  fx_wait (fx, 10 * SECOND - 1);
  expect_graves (fx, "");
  fx_wait (fx, 1);
  expect_graves (fx, "leases/A");
  assert_int_equal (lease_engine_earliest (fx->engine), fx->by.now + 10 * SECOND);
  assert_string_equal (fx_list (fx, "leases"), "B");
}

static void
test_a_lease_may_lose_keys_in_the_middle_of_its_end (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "a", "A");
  fx_key (fx, "b", "A");
  fx_key (fx, "c", "A");
  fx_wait (fx, 10 * SECOND);
  assert_true (lease_engine_expire (fx->engine, &fx->by, 1));
  assert_ok (fx_mkdir (fx, "b")); /* the next one to be worked on */
  assert_true (lease_engine_expire (fx->engine, &fx->by, 0));
  assert_ok (fx_file (fx, "c"));
  expect_graves (fx, "./b ./c ./a leases/A");
  assert_string_equal (fx_list (fx, ""), "leases b c");
}

static void
test_a_dead_key_stays_dead_while_it_is_pinned (void **state)
{
  Fixture *fx = *state;
  LeaseUsage before, after;
  uint64_t key, directory, lease;

  lease_engine_usage (fx->engine, &before);
  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_edit (fx, "A", "d\n"));
  key = fx_pin (fx, "key");
  directory = fx_pin (fx, "d");
  lease = fx_pin (fx, "leases/A");
  fx_wait (fx, 10 * SECOND);
  assert_fails (ESTALE, fx_getattr (fx, key));
  expect_graves (fx, "./key ./d leases/A");
  assert_fails (ESTALE, fx_getattr (fx, key));
  assert_fails (ESTALE, fx_getattr (fx, directory));
  assert_fails (ESTALE, fx_getattr (fx, lease));
  assert_fails (ESTALE, lease_engine_refresh (fx->engine, &fx->by, lease));
  fx_unpin (fx, key);
  fx_unpin (fx, directory);
  fx_unpin (fx, lease);
  lease_engine_usage (fx->engine, &after);
  assert_int_equal (after.bytes_used, before.bytes_used);
  assert_int_equal (after.nodes_used, before.nodes_used);
}

static void
test_what_a_revoked_lease_held_is_given_back_though_it_is_pinned (void **state)
{
  Fixture *fx = *state;
  LeaseCaller reaper = reaper_of (fx);
  g_auto (LeaseGrave) grave = { 0 };
  LeaseUsage usage;
  uint64_t id;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_file (fx, "leases/A/big"));
  id = fx_pin (fx, "leases/A/big");
  g_autofree char *data = g_malloc0 (100000);
  assert_ok (lease_engine_write (fx->engine, &fx->by, id, 0, data, 100000));
  assert_ok (fx_rmdir (fx, "leases/A"));

  /* Whoever has pinned it has to be told, though no path leads there. */
  assert_ok (lease_engine_next_grave (fx->engine, &reaper, 100, &grave));
  assert_null (grave.directory);
  assert_string_equal (grave.name, "big");
  assert_true (lease_engine_bury (fx->engine, &reaper, &grave));
  lease_engine_usage (fx->engine, &usage);
  assert_true (usage.bytes_used < 50000);
  lease_engine_check (fx->engine);
  fx_unpin (fx, id);
  lease_engine_check (fx->engine);
}

static void
test_an_unlinked_key_outlives_its_lease_while_it_is_pinned (void **state)
{
  Fixture *fx = *state;
  uint64_t id;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  id = fx_pin (fx, "key");
  assert_ok (fx_unlink (fx, "key"));
  assert_string_equal (fx_keys (fx, "A"), "");
  fx_wait (fx, 10 * SECOND);
  expect_graves (fx, "leases/A");
  assert_ok (fx_getattr (fx, id));
  fx_unpin (fx, id);
  assert_fails (ESTALE, fx_getattr (fx, id));
}

/* Revoking. */

static void
test_revoke_ends_all_of_a_lease_at_once (void **state)
{
  Fixture *fx = *state;
  uint64_t key, lease;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  fx_key (fx, "d/key", "A");
  fx_key (fx, "key", "A");
  assert_ok (fx_mkdir (fx, "leases/A/d"));
  assert_ok (fx_file (fx, "leases/A/d/f"));
  assert_ok (fx_link (fx, "leases/A/d/f", "link"));
  key = fx_find (fx, "d/key");
  lease = fx_find (fx, "leases/A");
  fx_forget_events (fx);
  assert_ok (fx_rmdir (fx, "leases/A"));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_ENDED, 0), 1);
  assert_string_equal (fx_list (fx, ""), "leases d");
  assert_string_equal (fx_list (fx, "d"), "");
  assert_string_equal (fx_list (fx, "leases"), "");
  assert_fails (ESTALE, fx_getattr (fx, key));
  assert_fails (ESTALE, lease_engine_refresh (fx->engine, &fx->by, lease));
  assert_fails (ENOENT, fx_rmdir (fx, "leases/A"));
  assert_int_equal (lease_engine_earliest (fx->engine), LEASE_TIME_NEVER);
  fx_lease (fx, "A", 10 * SECOND);
  fx_reap (fx);
  assert_string_equal (fx_list (fx, "leases"), "A");
}

static void
test_a_reservation_can_be_given_up (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_mkdir (fx, "leases/A"));
  assert_ok (fx_rmdir (fx, "leases/A"));
  assert_string_equal (fx_list (fx, "leases"), "");
  expect_graves (fx, "");
}

static void
test_revoke_makes_an_empty_lease_stale (void **state)
{
  Fixture *fx = *state;
  uint64_t id;

  fx_lease (fx, "A", 10 * SECOND);
  id = fx_pin (fx, "leases/A");
  fx_forget_events (fx);
  assert_ok (fx_rmdir (fx, "leases/A"));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, id), 1);
  fx_unpin (fx, id);
}

static void
test_revoke_makes_cached_attributes_stale (void **state)
{
  Fixture *fx = *state;
  static const char *const paths[] = { "d", "d/key", "leases/A", "leases/A/sub", "leases/A/sub/f" };
  uint64_t ids[G_N_ELEMENTS (paths)];

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  fx_key (fx, "d/key", "A");
  assert_ok (fx_mkdir (fx, "leases/A/sub"));
  assert_ok (fx_file (fx, "leases/A/sub/f"));
  assert_ok (fx_file (fx, "other"));
  for (unsigned i = 0; i < G_N_ELEMENTS (paths); i++)
    ids[i] = fx_pin (fx, paths[i]);
  fx_pin (fx, "other");
  fx_forget_events (fx);
  assert_ok (fx_rmdir (fx, "leases/A"));
  for (unsigned i = 0; i < G_N_ELEMENTS (paths); i++)
    assert_true (fx_count_events (fx, LEASE_EVENT_STALE, ids[i]) >= 1);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, fx_find (fx, "other")), 0);
  for (unsigned i = 0; i < G_N_ELEMENTS (paths); i++)
    fx_unpin (fx, ids[i]);
}

/* Directories. */

static void
test_an_attached_directory_ends_with_its_lease (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_edit (fx, "A", "d\n"));
  assert_ok (fx_mkdir (fx, "d/e"));
  assert_ok (fx_file (fx, "d/e/f"));
  fx_wait (fx, 10 * SECOND);
  assert_string_equal (fx_list (fx, ""), "leases");
  assert_ok (fx_mkdir (fx, "d"));
  assert_string_equal (fx_list (fx, "d"), "");
  expect_graves (fx, "d/e/f d/e ./d leases/A");
  assert_string_equal (fx_list (fx, ""), "leases d");
}

static void
test_a_directory_stays_while_something_live_is_in_it (void **state)
{
  Fixture *fx = *state;
  uint64_t d;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_file (fx, "d/live"));
  assert_ok (fx_edit (fx, "A", "d\n"));
  assert_ok (fx_file (fx, "d/dies"));
  d = fx_find (fx, "d");
  fx_wait (fx, 10 * SECOND);
  assert_int_equal (fx_find (fx, "d"), d);
  assert_string_equal (fx_list (fx, "d"), "live");
  assert_ok (fx_getattr (fx, d));
  expect_graves (fx, "d/dies leases/A");
  /* Now it is a directory like any other. */
  assert_ok (fx_file (fx, "d/new"));
  fx_wait (fx, 1000 * SECOND);
  expect_graves (fx, "");
  assert_string_equal (fx_list (fx, "d"), "live new");
}

static void
test_a_directory_stays_for_the_keys_of_other_leases (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_lease (fx, "B", 20 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_edit (fx, "A", "d\n"));
  fx_key (fx, "d/key", "B");
  assert_string_equal (fx_keys (fx, "A"), "d");
  fx_wait (fx, 10 * SECOND);
  assert_string_equal (fx_list (fx, "d"), "key");
  expect_graves (fx, "leases/A");
  fx_wait (fx, 10 * SECOND);
  assert_string_equal (fx_list (fx, "d"), "");
  expect_graves (fx, "d/key leases/B");
  assert_string_equal (fx_list (fx, ""), "leases d");
}

static void
test_a_directory_goes_when_all_in_it_has_ended_too (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_lease (fx, "B", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_edit (fx, "A", "d\n"));
  fx_key (fx, "d/key", "B");
  fx_wait (fx, 10 * SECOND);
  assert_string_equal (fx_list (fx, ""), "leases");
  fx_reap (fx);
  assert_string_equal (fx_list (fx, ""), "leases");
}

static void
test_something_live_keeps_all_directories_above_it (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "a"));
  assert_ok (fx_edit (fx, "A", "a\n"));
  assert_ok (fx_mkdir (fx, "a/dies"));
  assert_ok (fx_mkdir (fx, "a/b"));
  assert_ok (fx_mkdir (fx, "a/b/dies"));
  assert_ok (fx_mkdir (fx, "a/b/c"));
  assert_ok (fx_file (fx, "a/b/c/dies"));
  assert_ok (fx_file (fx, "live"));
  assert_ok (fx_rename (fx, "live", "a/b/c/live", 0));
  fx_wait (fx, 10 * SECOND);
  assert_string_equal (fx_list (fx, "a/b/c"), "live");
  assert_string_equal (fx_list (fx, "a/b"), "c");
  assert_string_equal (fx_list (fx, "a"), "b");
  fx_reap (fx);
  assert_string_equal (fx_list (fx, "a"), "b");
  assert_string_equal (fx_list (fx, "a/b"), "c");
  assert_string_equal (fx_list (fx, "a/b/c"), "live");
}

static void
test_revoke_spares_a_directory_in_use (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_mkdir (fx, "e"));
  assert_ok (fx_edit (fx, "A", "d\ne\n"));
  assert_ok (fx_mkdir (fx, "d/sub"));
  assert_ok (fx_file (fx, "f"));
  assert_ok (fx_rename (fx, "f", "d/sub/f", 0));
  assert_ok (fx_rmdir (fx, "leases/A"));
  assert_string_equal (fx_list (fx, ""), "leases d");
  assert_string_equal (fx_list (fx, "d/sub"), "f");
  expect_graves (fx, "./e");
}

static void
test_the_directory_of_a_lease_goes_whatever_is_in_it (void **state)
{
  Fixture *fx = *state;
  LeaseUsage before, after;

  lease_engine_usage (fx->engine, &before);
  fx_lease (fx, "A", 10 * SECOND);
  fx_lease (fx, "B", 20 * SECOND);
  assert_ok (fx_file (fx, "leases/A/detached"));
  assert_ok (fx_edit (fx, "A", "-leases/A/detached\n"));
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_file (fx, "d/f"));
  fx_key (fx, "d/others", "B");
  assert_ok (fx_rename (fx, "d", "leases/A/d", 0));
  assert_string_equal (fx_keys (fx, "A"), "leases/A/d");
  fx_wait (fx, 10 * SECOND);
  assert_string_equal (fx_list (fx, "leases"), "B");
  fx_reap (fx);
  assert_string_equal (fx_keys (fx, "B"), "");
  assert_ok (fx_rmdir (fx, "leases/B"));
  fx_reap (fx);
  lease_engine_usage (fx->engine, &after);
  assert_int_equal (after.bytes_used, before.bytes_used);
}

static void
test_other_names_of_what_lay_in_a_lease_stay (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_lease (fx, "B", 20 * SECOND);
  fx_put (fx, "leases/A/x", "1");
  assert_ok (fx_link (fx, "leases/A/x", "key"));
  assert_ok (fx_edit (fx, "B", "key\n"));
  assert_string_equal (fx_keys (fx, "B"), "key leases/A/x");
  fx_wait (fx, 10 * SECOND);
  expect_graves (fx, "leases/A/x leases/A");
  assert_string_equal (fx_get (fx, "key"), "1");
  assert_string_equal (fx_keys (fx, "B"), "key");
}

static void
test_nothing_is_lost_in_a_directory_of_a_dead_lease (void **state)
{
  Fixture *fx = *state;
  LeaseAttr attr;
  uint64_t id;

  /* The inner directory came in with the outer one: it is not attached itself. */
  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_mkdir (fx, "d/e"));
  assert_ok (fx_file (fx, "precious"));
  assert_ok (fx_rename (fx, "d", "leases/A/d", 0));
  id = fx_pin (fx, "leases/A/d/e");
  fx_wait (fx, 10 * SECOND);
  assert_fails (ESTALE, fx_getattr (fx, id));
  assert_fails (ESTALE, lease_engine_create (fx->engine, &fx->by, id, "x",
                                             &(LeaseNew){ .mode = S_IFREG }, &attr));
  assert_fails (ESTALE,
                lease_engine_rename (fx->engine, &fx->by, LEASE_ROOT, "precious", id, "x", 0));
  assert_fails (ESTALE,
                lease_engine_link (fx->engine, &fx->by, fx_find (fx, "precious"), id, "x", &attr));
  fx_reap (fx);
  fx_unpin (fx, id);
  assert_string_equal (fx_list (fx, ""), "leases precious");
}

static void
test_a_directory_moved_out_of_a_lease_is_spared_when_in_use (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "leases/A/d"));
  assert_ok (fx_file (fx, "leases/A/d/dies"));
  assert_ok (fx_rename (fx, "leases/A/d", "d", 0));
  assert_ok (fx_file (fx, "live"));
  assert_ok (fx_rename (fx, "live", "d/live", 0));
  assert_string_equal (fx_keys (fx, "A"), "d d/dies");
  fx_wait (fx, 10 * SECOND);
  assert_string_equal (fx_list (fx, "d"), "live");
  fx_reap (fx);
  assert_string_equal (fx_list (fx, "d"), "live");
}

static void
test_the_death_of_a_child_shows_in_the_time_of_its_directory (void **state)
{
  Fixture *fx = *state;
  int64_t end;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_mkdir (fx, "e"));
  fx_key (fx, "d/key", "A");
  assert_ok (fx_link (fx, "d/key", "e/key"));
  end = fx->by.wall_ns + 10 * SECOND;
  fx_wait (fx, 25 * SECOND);
  while (lease_engine_expire (fx->engine, &fx->by, 1))
    continue;
  fx_reap (fx);
  assert_int_equal (fx_mtime (fx, "d"), end);
  assert_int_equal (fx_mtime (fx, "e"), end);
  assert_int_equal (fx_mtime (fx, "leases"), end);
}

/* A listing from before the end may reach a cache after it: nothing is to be believed for long. */
static void
test_the_time_of_a_directory_moves_on_while_the_dead_wait_in_it (void **state)
{
  Fixture *fx = *state;
  LeaseAttr attr;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  fx_key (fx, "d/key", "A");
  fx_wait (fx, 10 * SECOND);
  int64_t first = fx_mtime (fx, "d");
  int64_t second = fx_mtime (fx, "d");
  assert_true (second > first);
  assert_ok (lease_engine_getattr (fx->engine, &fx->by, fx_find (fx, "d"), &attr));
  assert_true (attr.fresh_until <= fx->by.now);
  fx_reap (fx);
  int64_t third = fx_mtime (fx, "d");
  assert_int_equal (fx_mtime (fx, "d"), third);
  assert_ok (lease_engine_getattr (fx->engine, &fx->by, fx_find (fx, "d"), &attr));
  assert_int_equal (attr.fresh_until, LEASE_TIME_NEVER);
}

/* The reaper's first removal leaves no older listing in any cache. */
static void
test_the_time_of_a_directory_stands_still_between_removals (void **state)
{
  Fixture *fx = *state;
  g_auto (LeaseGrave) grave = { 0 };
  LeaseCaller reaper;
  LeaseAttr attr;

  fx_lease (fx, "A", 10 * SECOND);
  fx_lease (fx, "B", 20 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  fx_key (fx, "d/key1", "A");
  fx_key (fx, "d/key2", "A");
  fx_key (fx, "d/key3", "B");
  fx_wait (fx, 10 * SECOND);
  lease_engine_expire (fx->engine, &fx->by, 256);
  reaper = fx->by;
  reaper.reaper = true;
  assert_ok (lease_engine_next_grave (fx->engine, &reaper, 256, &grave));
  assert_ok (lease_engine_unlink (fx->engine, &reaper, grave.parent, grave.name));
  int64_t between = fx_mtime (fx, "d");
  assert_int_equal (fx_mtime (fx, "d"), between);
  assert_ok (lease_engine_getattr (fx->engine, &fx->by, fx_find (fx, "d"), &attr));
  assert_int_equal (attr.fresh_until, fx->by.now + 10 * SECOND);
  fx_wait (fx, 10 * SECOND);
  int64_t first = fx_mtime (fx, "d");
  assert_true (first > between);
  assert_true (fx_mtime (fx, "d") > first);
  fx_reap (fx);
}

static void
test_that_time_moves_though_the_wall_clock_was_set_back (void **state)
{
  Fixture *fx = *state;
  int64_t d, e, leases;

  fx_lease (fx, "A", 10 * SECOND);
  fx_lease (fx, "B", 20 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_mkdir (fx, "e"));
  fx_key (fx, "d/key", "A");
  fx_key (fx, "e/key", "B");
  d = fx_mtime (fx, "d");
  e = fx_mtime (fx, "e");
  leases = fx_mtime (fx, "leases");
  fx_wait (fx, 10 * SECOND);
  fx->by.wall_ns -= 1000 * SECOND;
  assert_int_not_equal (fx_mtime (fx, "d"), d);
  assert_int_not_equal (fx_mtime (fx, "leases"), leases);
  assert_int_equal (fx_mtime (fx, "e"), e);
  assert_ok (fx_rmdir (fx, "leases/B"));
  assert_int_not_equal (fx_mtime (fx, "e"), e);
}

static void
test_revoke_in_the_nanosecond_of_the_last_change_moves_the_time (void **state)
{
  Fixture *fx = *state;
  int64_t before;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  fx_key (fx, "d/key", "A");
  before = fx_mtime (fx, "d");
  assert_ok (fx_rmdir (fx, "leases/A"));
  assert_int_not_equal (fx_mtime (fx, "d"), before);
}

/* Many at once. */

#define MANY 100000

static uint64_t
create_in (Fixture *fx, uint64_t parent, const char *name, mode_t mode)
{
  LeaseAttr attr;

  assert_ok (
      lease_engine_create (fx->engine, &fx->by, parent, name, &(LeaseNew){ .mode = mode }, &attr));
  lease_engine_unpin (fx->engine, attr.id, 1);
  return attr.id;
}

/* Works off all graves in small steps; returns how many there were. */
static unsigned
bury_in_steps (Fixture *fx, unsigned max, void (*meanwhile) (Fixture *fx))
{
  LeaseCaller reaper = reaper_of (fx);
  unsigned buried = 0, calls = 0;

  for (;; calls++) {
    g_auto (LeaseGrave) grave = { 0 };
    int error = lease_engine_next_grave (fx->engine, &reaper, max, &grave);
    if (error == -ENOENT)
      break;
    if (calls % (MANY / 4) == 0)
      meanwhile (fx);
    if (error == -EAGAIN)
      continue;
    assert_ok (error);
    assert_true (lease_engine_bury (fx->engine, &reaper, &grave));
    buried++;
  }
  return buried;
}

static void
expect_nothing (Fixture *fx)
{
  assert_string_equal (fx_list (fx, "leases"), "");
  assert_string_equal (fx_list (fx, "d"), "");
  assert_int_equal (fx_find (fx, "d/5"), 0);
  assert_int_equal (fx_find (fx, "leases/99999"), 0);
  assert_ok (fx_file (fx, "d/99999"));
  assert_ok (fx_unlink (fx, "d/99999"));
}

static void
test_100000_leases_end_in_the_same_instant (void **state)
{
  Fixture *fx = *state;
  g_autoptr (GArray) lines = g_array_sized_new (FALSE, FALSE, sizeof (LeaseKeysLine), 1);
  LeaseUsage before, after;
  unsigned calls = 0, buried;
  uint64_t leases, d;

  fx->unchecked = true;
  assert_ok (fx_mkdir (fx, "d"));
  lease_engine_usage (fx->engine, &before);
  leases = fx_find (fx, "leases");
  d = fx_find (fx, "d");
  for (unsigned i = 0; i < MANY; i++) {
    char name[16], path[16];
    snprintf (name, sizeof name, "%u", i);
    snprintf (path, sizeof path, "d/%u", i);
    LeaseKeysLine line = { .path = path };
    uint64_t lease = create_in (fx, leases, name, S_IFDIR | 0755);
    assert_ok (lease_engine_grant (fx->engine, &fx->by, lease, 10 * SECOND));
    create_in (fx, d, name, S_IFREG | 0644);
    g_array_set_size (lines, 0);
    g_array_append_val (lines, line);
    assert_ok (lease_engine_edit_keys (fx->engine, &fx->by, lease, lines));
  }
  fx_wait (fx, 10 * SECOND - 1);
  assert_int_not_equal (fx_find (fx, "d/5"), 0);
  assert_int_not_equal (fx_find (fx, "leases/99999"), 0);
  fx_wait (fx, 1);
  expect_nothing (fx);

  /* A lease with its one key is at most three units of work. */
  while (lease_engine_expire (fx->engine, &fx->by, 100))
    if (++calls % 300 == 0)
      expect_nothing (fx);
  assert_true (calls >= MANY / 100 * 9 / 10 && calls <= 3 * MANY / 100);
  buried = bury_in_steps (fx, 4, expect_nothing);
  assert_int_equal (buried, 2 * MANY);
  expect_nothing (fx);
  lease_engine_usage (fx->engine, &after);
  assert_int_equal (after.bytes_used, before.bytes_used);
  assert_int_equal (after.nodes_used, before.nodes_used);
  lease_engine_check (fx->engine);
}

static void
test_a_lease_of_100000_keys_ends_in_slices (void **state)
{
  Fixture *fx = *state;
  unsigned calls = 1;
  uint64_t d;

  fx->unchecked = true;
  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_mkdir (fx, "leases/A/k"));
  assert_ok (fx_rename (fx, "leases/A/k", "k", 0));
  d = fx_find (fx, "k");
  for (unsigned i = 0; i < MANY; i++) {
    char name[16];
    snprintf (name, sizeof name, "%u", i);
    create_in (fx, d, name, S_IFREG | 0644);
  }
  lease_engine_check (fx->engine);
  fx_wait (fx, 10 * SECOND);
  expect_nothing (fx);
  while (lease_engine_expire (fx->engine, &fx->by, 100))
    calls++;
  assert_true (calls >= MANY / 100 * 9 / 10 && calls <= 3 * MANY / 100);
  assert_int_equal (bury_in_steps (fx, 4, expect_nothing), MANY + 2);
  assert_string_equal (fx_list (fx, ""), "leases d");
  lease_engine_check (fx->engine);
}

/* Deep down. A chain of directories, each in the one before, is made of pieces, since each new
 * directory looks for the lease that it comes to lie in all the way up. */

#define PIECE 250

/* Returns the innermost one. */
static uint64_t
make_piece (Fixture *fx, uint64_t parent)
{
  for (unsigned i = 0; i < PIECE; i++)
    parent = create_in (fx, parent, "d", S_IFDIR | 0755);
  return parent;
}

/* Makes `depth` levels below `parent`, starting with "d". Returns the innermost one. */
static uint64_t
make_deep (Fixture *fx, uint64_t parent, unsigned depth)
{
  uint64_t innermost = make_piece (fx, parent);

  for (; depth > PIECE; depth -= PIECE) {
    assert_ok (lease_engine_rename (fx->engine, &fx->by, parent, "d", parent, "below", 0));
    uint64_t above = make_piece (fx, parent);
    assert_ok (lease_engine_rename (fx->engine, &fx->by, parent, "below", above, "d", 0));
  }
  return innermost;
}

static uint64_t
make_deep_attached (Fixture *fx, unsigned depth)
{
  uint64_t top;

  fx->unchecked = true;
  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "top"));
  assert_ok (fx_edit (fx, "A", "top\n"));
  top = fx_find (fx, "top");
  return make_deep (fx, top, depth);
}

static void
test_100000_nested_directories_end_with_their_lease (void **state)
{
  Fixture *fx = *state;
  LeaseCaller reaper = reaper_of (fx);
  LeaseGrave grave;
  uint64_t innermost = make_deep_attached (fx, 100000);

  assert_ok (fx_getattr (fx, innermost));
  lease_engine_check (fx->engine);
  fx_wait (fx, 10 * SECOND);
  assert_int_equal (fx_find (fx, "top"), 0);
  assert_fails (ESTALE, fx_getattr (fx, innermost));
  while (lease_engine_expire (fx->engine, &fx->by, 1000))
    continue;
  /* Too deep for a path, so it needs nobody to unlink it. */
  assert_fails (EAGAIN, lease_engine_next_grave (fx->engine, &reaper, 20, &grave));
  assert_string_equal (fx_list (fx, ""), "leases");
  lease_engine_check (fx->engine);
}

static void
test_100000_nested_directories_stay_for_what_lives_in_the_innermost (void **state)
{
  Fixture *fx = *state;
  uint64_t innermost = make_deep_attached (fx, 100000);

  assert_ok (fx_file (fx, "live"));
  assert_ok (lease_engine_rename (fx->engine, &fx->by, LEASE_ROOT, "live", innermost, "live", 0));
  fx_wait (fx, 10 * SECOND);
  assert_int_not_equal (fx_find (fx, "top"), 0);
  assert_ok (fx_getattr (fx, innermost));
  fx_reap (fx);
  assert_ok (fx_getattr (fx, innermost));
  assert_string_equal (fx_list (fx, "top"), "d");
  lease_engine_check (fx->engine);
}

static void
test_100000_nested_directories_in_a_lease_are_revoked (void **state)
{
  Fixture *fx = *state;
  LeaseCaller reaper = reaper_of (fx);
  LeaseGrave grave;
  uint64_t innermost;

  fx->unchecked = true;
  fx_lease (fx, "A", 10 * SECOND);
  innermost = make_deep (fx, fx_find (fx, "leases/A"), 100000);
  assert_ok (fx_rmdir (fx, "leases/A"));
  assert_fails (ESTALE, fx_getattr (fx, innermost));
  assert_fails (EAGAIN, lease_engine_next_grave (fx->engine, &reaper, 20, &grave));
  lease_engine_check (fx->engine);
}

static void
test_nested_directories_are_all_cleaned_up (void **state)
{
  Fixture *fx = *state;
  LeaseUsage before, after;
  const unsigned depth = 500; /* the paths to them get long */

  lease_engine_usage (fx->engine, &before);
  make_deep_attached (fx, depth);
  make_deep (fx, fx_find (fx, "leases/A"), depth);
  fx_wait (fx, 10 * SECOND);
  assert_int_equal (fx_reap (fx), 1 + depth + depth + 1);
  lease_engine_usage (fx->engine, &after);
  assert_int_equal (after.bytes_used, before.bytes_used);
  make_deep_attached (fx, depth);
  make_deep (fx, fx_find (fx, "leases/A"), depth);
  assert_ok (fx_rmdir (fx, "leases/A"));
  assert_int_equal (fx_reap (fx), 1 + depth);
  lease_engine_usage (fx->engine, &after);
  assert_int_equal (after.bytes_used, before.bytes_used);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    fx_test (test_everything_is_there_up_to_the_deadline_and_nothing_from_then_on),
    fx_test (test_a_listing_shows_what_lies_behind_the_dead),
    fx_test (test_a_node_is_pinned_until_it_is_let_go_of),
    fx_test (test_a_dead_node_cannot_be_linked),
    fx_test (test_a_directory_with_dead_keys_counts_as_empty),
    fx_test (test_names_are_free_again_at_the_deadline),
    fx_test (test_a_new_lease_has_nothing_of_the_old_one_of_its_name),
    fx_test (test_graves_come_leaves_first),
    fx_test (test_a_grave_tells_whether_it_is_the_last),
    fx_test (test_a_grave_tells_all_that_unlinking_needs),
    fx_test (test_a_grave_tells_since_when_it_is_over),
    fx_test (test_a_buried_name_is_free_until_it_is_taken),
    fx_test (test_the_reaper_removes_by_unlink_and_rmdir),
    fx_test (test_the_reaper_removes_nothing_that_lives),
    fx_test (test_the_reaper_removes_no_directory_with_something_in_it),
    fx_test (test_a_new_file_of_an_old_name_is_never_buried),
    fx_test (test_a_new_key_of_an_old_name_dies_its_own_death),
    fx_test (test_graves_run_out_of_steps),
    fx_test (test_the_end_is_told),
    fx_test (test_expire_ends_only_what_is_due),
    fx_test (test_a_lease_may_lose_keys_in_the_middle_of_its_end),
    fx_test (test_a_dead_key_stays_dead_while_it_is_pinned),
    fx_test (test_what_a_revoked_lease_held_is_given_back_though_it_is_pinned),
    fx_test (test_an_unlinked_key_outlives_its_lease_while_it_is_pinned),
    fx_test (test_revoke_ends_all_of_a_lease_at_once),
    fx_test (test_a_reservation_can_be_given_up),
    fx_test (test_revoke_makes_an_empty_lease_stale),
    fx_test (test_revoke_makes_cached_attributes_stale),
    fx_test (test_an_attached_directory_ends_with_its_lease),
    fx_test (test_a_directory_stays_while_something_live_is_in_it),
    fx_test (test_a_directory_stays_for_the_keys_of_other_leases),
    fx_test (test_a_directory_goes_when_all_in_it_has_ended_too),
    fx_test (test_something_live_keeps_all_directories_above_it),
    fx_test (test_revoke_spares_a_directory_in_use),
    fx_test (test_the_directory_of_a_lease_goes_whatever_is_in_it),
    fx_test (test_other_names_of_what_lay_in_a_lease_stay),
    fx_test (test_nothing_is_lost_in_a_directory_of_a_dead_lease),
    fx_test (test_a_directory_moved_out_of_a_lease_is_spared_when_in_use),
    fx_test (test_the_death_of_a_child_shows_in_the_time_of_its_directory),
    fx_test (test_the_time_of_a_directory_moves_on_while_the_dead_wait_in_it),
    fx_test (test_the_time_of_a_directory_stands_still_between_removals),
    fx_test (test_that_time_moves_though_the_wall_clock_was_set_back),
    fx_test (test_revoke_in_the_nanosecond_of_the_last_change_moves_the_time),
    fx_test (test_100000_leases_end_in_the_same_instant),
    fx_test (test_a_lease_of_100000_keys_ends_in_slices),
    fx_test (test_100000_nested_directories_end_with_their_lease),
    fx_test (test_100000_nested_directories_stay_for_what_lives_in_the_innermost),
    fx_test (test_100000_nested_directories_in_a_lease_are_revoked),
    fx_test (test_nested_directories_are_all_cleaned_up),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
