/* SPDX-License-Identifier: MIT */

/* What `keys` shows, and that its length is known without a look at each key. */

#include "tests/unit/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* More than are looked at in one go. */
#define MANY 5000

static uint64_t
size_of (Fixture *fx, const char *lease)
{
  LeaseInfo info;

  assert_ok (fx_info (fx, lease, &info));
  return info.keys_size;
}

static uint64_t
generation_of (Fixture *fx, const char *lease)
{
  LeaseInfo info;

  assert_ok (fx_info (fx, lease, &info));
  return info.generation;
}

/* Of names that are not escaped, the text is as long as the list with blanks between them. */
static void
assert_known (Fixture *fx, const char *lease, const char *keys)
{
  assert_int_equal (size_of (fx, lease), *keys == '\0' ? 0 : strlen (keys) + 1);
  assert_string_equal (fx_keys (fx, lease), keys);
}

/* It has to be counted once, and is known again. */
static void
assert_unknown (Fixture *fx, const char *lease, const char *keys)
{
  assert_int_equal (size_of (fx, lease), LEASE_KEYS_UNKNOWN);
  assert_string_equal (fx_keys (fx, lease), keys);
  assert_known (fx, lease, keys);
}

static int
chmod_path (Fixture *fx, const char *path, mode_t mode)
{
  return fx_set_attr (fx, path, (LeaseSet){ .mask = LEASE_SET_MODE, .mode = mode });
}

static int
chown_path (Fixture *fx, const char *path, uid_t uid)
{
  return fx_set_attr (fx, path, (LeaseSet){ .mask = LEASE_SET_UID, .uid = uid });
}

/* Lease A has a key `d/a`, and lease B nothing. */
static int
setup (void **state)
{
  fx_setup (state);
  fx_lease (*state, "A", 100 * SECOND);
  fx_lease (*state, "B", 10 * SECOND);
  assert_ok (fx_mkdir (*state, "d"));
  assert_ok (fx_mkdir (*state, "e"));
  fx_key (*state, "d/a", "A");
  return 0;
}

static void
test_names_that_come_and_go_are_counted_one_by_one (void **state)
{
  Fixture *fx = *state;

  assert_known (fx, "B", "");
  assert_known (fx, "A", "d/a");
  fx_key (fx, "b", "A");
  assert_known (fx, "A", "b d/a");
  assert_ok (fx_rename (fx, "d/a", "longer", 0));
  assert_known (fx, "A", "b longer");
  assert_ok (fx_link (fx, "b", "d/b"));
  assert_known (fx, "A", "b d/b longer");
  assert_ok (fx_unlink (fx, "b"));
  assert_known (fx, "A", "d/b longer");
  assert_ok (fx_unlink (fx, "longer"));
  assert_known (fx, "A", "d/b");
  assert_ok (fx_edit (fx, "A", "-d/b\n"));
  assert_known (fx, "A", "");
}

static void
test_a_key_that_goes_elsewhere_counts_there (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_link (fx, "d/a", "e/a"));
  assert_ok (fx_edit (fx, "B", "d/a\n"));
  assert_known (fx, "A", "");
  assert_known (fx, "B", "d/a e/a");
  assert_ok (fx_edit (fx, "B", "d/a\ne/a\n"));
  assert_known (fx, "B", "d/a e/a");
}

static void
test_a_file_that_takes_the_place_of_a_key_counts_for_it (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_file (fx, "new"));
  assert_ok (fx_rename (fx, "new", "d/a", 0));
  assert_known (fx, "A", "d/a");
  fx_key (fx, "bb", "B");
  assert_ok (fx_rename (fx, "bb", "d/a", RENAME_EXCHANGE));
  assert_known (fx, "A", "bb");
  assert_known (fx, "B", "d/a");
  assert_ok (fx_rename (fx, "bb", "d/a", 0));
  assert_known (fx, "A", "d/a");
  assert_known (fx, "B", "");
}

static void
test_bytes_that_are_escaped_count_as_such (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_file (fx, "-a\\\n"));
  assert_ok (fx_edit (fx, "A", "./-a\\134\\012\n"));
  assert_int_equal (size_of (fx, "A"), strlen ("./-a\\134\\012\nd/a\n"));
  assert_ok (fx_rename (fx, "-a\\\n", "d/-\x7f", 0));
  assert_int_equal (size_of (fx, "A"), strlen ("d/-\\177\nd/a\n"));
  assert_ok (fx_unlink (fx, "d/-\x7f"));
  assert_known (fx, "A", "d/a");
}

static void
test_what_lies_in_an_attached_directory_is_counted_when_it_is_made (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_edit (fx, "B", "e\n"));
  assert_known (fx, "B", "e");
  assert_ok (fx_file (fx, "e/one"));
  assert_ok (fx_mkdir (fx, "e/two"));
  assert_ok (fx_symlink (fx, "e/two/three", "x"));
  assert_known (fx, "B", "e e/one e/two e/two/three");
  assert_known (fx, "A", "d/a");
}

static void
test_what_lies_in_the_directory_of_the_lease_is_counted (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_file (fx, "leases/A/x"));
  assert_known (fx, "A", "d/a leases/A/x");
  assert_ok (fx_rename (fx, "leases/A/x", "x", 0));
  assert_known (fx, "A", "d/a x");
}

static void
test_a_file_without_a_name_counts_for_nothing (void **state)
{
  Fixture *fx = *state;
  uint64_t id = fx_pin (fx, "d/a");

  assert_ok (fx_unlink (fx, "d/a"));
  assert_known (fx, "A", "");
  fx_unpin (fx, id);
}

static void
test_the_move_of_a_directory_has_the_names_in_it_counted_anew (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_rename (fx, "d", "longer", 0));
  assert_unknown (fx, "A", "longer/a");
  assert_ok (fx_rename (fx, "longer", "e", RENAME_EXCHANGE));
  assert_unknown (fx, "A", "e/a");
  assert_ok (fx_rename (fx, "e", "longer/f", 0));
  assert_unknown (fx, "A", "longer/f/a");
}

static void
test_the_move_of_an_empty_directory_does_not (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_rename (fx, "e", "f", 0));
  assert_ok (chmod_path (fx, "f", 0));
  assert_ok (fx_rmdir (fx, "f"));
  assert_known (fx, "A", "d/a");
}

static void
test_changes_while_it_is_unknown_leave_it_so (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_rename (fx, "d", "f", 0));
  fx_key (fx, "g", "A");
  assert_ok (fx_edit (fx, "A", "-f/a\n"));
  assert_unknown (fx, "A", "g");
}

static void
test_names_that_the_owner_may_not_see_do_not_count (void **state)
{
  Fixture *fx = *state;

  fx->by.uid = 5;
  fx_lease (fx, "C", SECOND);
  fx->by.uid = 0;
  assert_ok (fx_mkdir (fx, "d/deep"));
  assert_ok (fx_file (fx, "d/deep/x"));
  assert_ok (chown_path (fx, "d/deep/x", 5));
  assert_ok (fx_edit (fx, "C", "d/deep/x\n"));
  assert_known (fx, "C", "d/deep/x");
  assert_ok (chmod_path (fx, "d", 0700));
  assert_unknown (fx, "C", "");
  assert_ok (fx_link (fx, "d/deep/x", "x"));
  assert_known (fx, "C", "x");
  assert_ok (fx_unlink (fx, "d/deep/x"));
  assert_known (fx, "C", "x");
  assert_ok (fx_rename (fx, "x", "d/x", 0));
  assert_known (fx, "C", "");
  assert_ok (chown_path (fx, "d", 5));
  assert_unknown (fx, "C", "d/x");
}

/* Where a group decides, it depends on by which name the file was attached. */
static void
test_by_which_name_it_was_attached_may_matter (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_set_attr (fx, "d", (LeaseSet){ .mask = LEASE_SET_GID, .gid = 7 }));
  assert_ok (chmod_path (fx, "d", 0710));
  fx->by.uid = 5;
  fx_lease (fx, "C", SECOND);
  fx->by.uid = 0;
  assert_ok (fx_file (fx, "x"));
  assert_ok (chown_path (fx, "x", 5));
  assert_ok (fx_link (fx, "x", "d/x"));
  assert_string_equal (fx_keys (fx, "C"), "");
  assert_ok (fx_edit (fx, "C", "x\n"));
  assert_known (fx, "C", "x");
  assert_ok (fx_edit (fx, "C", "d/x\n"));
  assert_known (fx, "C", "d/x x");
}

static void
test_another_owner_of_the_lease_may_see_others (void **state)
{
  Fixture *fx = *state;

  assert_ok (chmod_path (fx, "d", 0700));
  assert_string_equal (fx_keys (fx, "A"), "d/a");
  assert_ok (chown_path (fx, "leases/A", 5));
  assert_unknown (fx, "A", "");
}

/* What lies in the directory of another lease goes with that, at its deadline. */
static void
test_what_lies_in_another_lease_is_counted_each_time (void **state)
{
  Fixture *fx = *state;

  fx_key (fx, "x", "A");
  assert_ok (fx_rename (fx, "d", "leases/B/d", 0));
  assert_string_equal (fx_keys (fx, "A"), "leases/B/d/a x");
  assert_int_equal (size_of (fx, "A"), LEASE_KEYS_UNKNOWN);
  uint64_t generation = generation_of (fx, "A");
  fx_wait (fx, 10 * SECOND);
  assert_int_equal (size_of (fx, "A"), LEASE_KEYS_UNKNOWN);
  assert_string_equal (fx_keys (fx, "A"), "x");
  assert_int_not_equal (generation_of (fx, "A"), generation);
  fx_reap (fx);
  assert_string_equal (fx_keys (fx, "A"), "x");
  assert_known (fx, "A", "x");
}

static void
test_the_end_of_another_lease_changes_nothing (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_edit (fx, "B", "e\n"));
  fx_key (fx, "e/b", "B");
  assert_ok (fx_link (fx, "d/a", "e/a"));
  assert_known (fx, "A", "d/a e/a");
  fx_wait (fx, 10 * SECOND);
  assert_ok (fx_file (fx, "e/b")); /* a name that is taken anew */
  assert_known (fx, "A", "d/a e/a");
  fx_reap (fx);
  assert_known (fx, "A", "d/a e/a");
}

static void
test_after_a_start_it_is_counted_once (void **state)
{
  Fixture *fx = *state;

  fx_key (fx, "b", "A");
  fx_restart (fx, true);
  assert_unknown (fx, "A", "b d/a");
  fx_key (fx, "c", "A");
  assert_known (fx, "A", "b c d/a");
}

static void
test_the_generation_is_that_of_the_lease (void **state)
{
  Fixture *fx = *state;
  uint64_t generation = generation_of (fx, "A");

  fx_key (fx, "b", "B");
  assert_ok (fx_file (fx, "c"));
  assert_ok (fx_mkdir (fx, "f"));
  assert_ok (fx_rmdir (fx, "f"));
  assert_int_equal (generation_of (fx, "A"), generation);
  assert_ok (chmod_path (fx, "d", 0700));
  assert_int_not_equal (generation_of (fx, "A"), generation);
  generation = generation_of (fx, "A");
  assert_string_equal (fx_keys (fx, "A"), "d/a");
  assert_int_equal (generation_of (fx, "A"), generation);
}

static void
test_many_keys_come_in_pieces (void **state)
{
  Fixture *fx = *state;
  LeaseNew what = { .mode = S_IFREG | 0644 };
  g_autoptr (GString) lines = g_string_new (NULL);
  LeaseAttr attr;

  for (unsigned i = 0; i < MANY; i++) {
    g_autofree char *name = g_strdup_printf ("k%05u", i);
    assert_ok (lease_engine_create (fx->engine, &fx->by, LEASE_ROOT, name, &what, &attr));
    lease_engine_unpin (fx->engine, attr.id, 1);
    g_string_append_printf (lines, "%s\n", name);
  }
  assert_ok (fx_edit (fx, "A", lines->str));
  assert_int_equal (size_of (fx, "A"), lines->len + strlen ("d/a\n"));
  assert_ok (fx_rename (fx, "d", "longer", 0));
  assert_int_equal (size_of (fx, "A"), LEASE_KEYS_UNKNOWN);
  assert_int_equal (strlen (fx_keys (fx, "A")) + 1, lines->len + strlen ("longer/a\n"));
  assert_int_equal (size_of (fx, "A"), lines->len + strlen ("longer/a\n"));
}

#define keys_test(f) cmocka_unit_test_setup_teardown (f, setup, fx_teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    keys_test (test_names_that_come_and_go_are_counted_one_by_one),
    keys_test (test_a_key_that_goes_elsewhere_counts_there),
    keys_test (test_a_file_that_takes_the_place_of_a_key_counts_for_it),
    keys_test (test_bytes_that_are_escaped_count_as_such),
    keys_test (test_what_lies_in_an_attached_directory_is_counted_when_it_is_made),
    keys_test (test_what_lies_in_the_directory_of_the_lease_is_counted),
    keys_test (test_a_file_without_a_name_counts_for_nothing),
    keys_test (test_the_move_of_a_directory_has_the_names_in_it_counted_anew),
    keys_test (test_the_move_of_an_empty_directory_does_not),
    keys_test (test_changes_while_it_is_unknown_leave_it_so),
    keys_test (test_names_that_the_owner_may_not_see_do_not_count),
    keys_test (test_by_which_name_it_was_attached_may_matter),
    keys_test (test_another_owner_of_the_lease_may_see_others),
    keys_test (test_what_lies_in_another_lease_is_counted_each_time),
    keys_test (test_the_end_of_another_lease_changes_nothing),
    keys_test (test_after_a_start_it_is_counted_once),
    keys_test (test_the_generation_is_that_of_the_lease),
    keys_test (test_many_keys_come_in_pieces),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
