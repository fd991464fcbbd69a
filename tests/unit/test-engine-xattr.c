/* SPDX-License-Identifier: MIT */

/* Extended attributes that are stored. */

#include "tests/unit/fixture.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define HOUR (3600 * SECOND)

static uint64_t
bytes_used (Fixture *fx)
{
  LeaseUsage usage;

  lease_engine_usage (fx->engine, &usage);
  return usage.bytes_used;
}

/* What is stored */

static void
test_what_is_set_can_be_read (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_file (fx, "a"));
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_set_xattr (fx, "a", "user.one", "1", 0));
  assert_ok (fx_set_xattr (fx, "a", "user.empty", "", 0));
  assert_ok (fx_set_xattr (fx, "d", "user.one", "of d", 0));
  assert_xattr (fx, "a", "user.one", "1");
  assert_xattr (fx, "a", "user.empty", "");
  assert_xattr (fx, "d", "user.one", "of d");
  assert_string_equal (fx_xattrs (fx, "a"), "user.empty user.one");
  assert_fails (ENODATA, fx_get_xattr (fx, "a", "user.two"));
  assert_string_equal (fx_xattrs (fx, ""), "");
}

static void
test_a_value_is_replaced_and_removed (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_file (fx, "a"));
  assert_ok (fx_set_xattr (fx, "a", "user.one", "1", 0));
  assert_ok (fx_set_xattr (fx, "a", "user.one", "a longer one", 0));
  assert_xattr (fx, "a", "user.one", "a longer one");
  assert_ok (fx_remove_xattr (fx, "a", "user.one"));
  assert_fails (ENODATA, fx_get_xattr (fx, "a", "user.one"));
  assert_fails (ENODATA, fx_remove_xattr (fx, "a", "user.one"));
  assert_string_equal (fx_xattrs (fx, "a"), "");
}

static void
test_flags_tell_creating_from_replacing (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_file (fx, "a"));
  assert_fails (ENODATA, fx_set_xattr (fx, "a", "user.one", "1", XATTR_REPLACE));
  assert_ok (fx_set_xattr (fx, "a", "user.one", "1", XATTR_CREATE));
  assert_fails (EEXIST, fx_set_xattr (fx, "a", "user.one", "2", XATTR_CREATE));
  assert_fails (EEXIST, fx_set_xattr (fx, "a", "user.one", "2", XATTR_CREATE | XATTR_REPLACE));
  assert_xattr (fx, "a", "user.one", "1");
  assert_ok (fx_set_xattr (fx, "a", "user.one", "2", XATTR_REPLACE));
  assert_xattr (fx, "a", "user.one", "2");
}

static void
test_values_may_have_64_kib (void **state)
{
  Fixture *fx = *state;
  g_autofree char *text = g_strnfill (LEASE_XATTR_MAX + 1, 'x');

  assert_ok (fx_file (fx, "a"));
  assert_fails (E2BIG, fx_set_xattr (fx, "a", "user.one", text, 0));
  text[LEASE_XATTR_MAX] = '\0';
  assert_ok (fx_set_xattr (fx, "a", "user.one", text, 0));
  assert_xattr (fx, "a", "user.one", text);
}

static void
test_values_and_names_are_any_bytes (void **state)
{
  Fixture *fx = *state;
  g_autofree char *value = NULL;
  size_t size;

  assert_ok (fx_file (fx, "a"));
  uint64_t id = fx_find (fx, "a");
  assert_ok (lease_engine_set_xattr (fx->engine, &fx->by, id, "user.\xff\n", "\0\xff\0", 3, 0));
  assert_ok (lease_engine_get_xattr (fx->engine, &fx->by, id, "user.\xff\n", &value, &size));
  assert_int_equal (size, 3);
  assert_memory_equal (value, "\0\xff\0", 3);
}

static void
test_namespaces (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_file (fx, "a"));
  assert_ok (fx_set_xattr (fx, "a", "trusted.one", "1", 0));
  assert_xattr (fx, "a", "trusted.one", "1");
  assert_fails (ENODATA, fx_get_xattr (fx, "a", "security.capability"));
  assert_fails (ENODATA, fx_remove_xattr (fx, "a", "security.capability"));
  assert_fails (EOPNOTSUPP, fx_set_xattr (fx, "a", "security.capability", "1", 0));
  static const char *const unknown[] = { "system.posix_acl_access", "system.posix_acl_default",
                                         "other.one", "user", "one" };
  for (unsigned i = 0; i < G_N_ELEMENTS (unknown); i++) {
    assert_fails (EOPNOTSUPP, fx_get_xattr (fx, "a", unknown[i]));
    assert_fails (EOPNOTSUPP, fx_set_xattr (fx, "a", unknown[i], "1", 0));
    assert_fails (EOPNOTSUPP, fx_remove_xattr (fx, "a", unknown[i]));
  }
  assert_fails (EINVAL, fx_get_xattr (fx, "a", "user."));
  assert_fails (EINVAL, fx_set_xattr (fx, "a", "trusted.", "1", 0));
}

static void
test_only_root_lists_what_is_trusted (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_file (fx, "a"));
  assert_ok (fx_set_xattr (fx, "a", "trusted.one", "1", 0));
  assert_ok (fx_set_xattr (fx, "a", "user.one", "1", 0));
  assert_string_equal (fx_xattrs (fx, "a"), "trusted.one user.one");
  fx->by.uid = 1000;
  assert_string_equal (fx_xattrs (fx, "a"), "user.one");
}

static void
test_only_files_and_directories_have_those_of_users (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_symlink (fx, "s", "a"));
  assert_ok (fx_create (fx, "p", S_IFIFO | 0644, NULL));
  fx_lease (fx, "L", HOUR);
  assert_fails (EPERM, fx_set_xattr (fx, "s", "user.one", "1", 0));
  assert_fails (EPERM, fx_set_xattr (fx, "p", "user.one", "1", 0));
  assert_fails (EPERM, fx_set_xattr (fx, "s", LEASE_XATTR_LEASE, "L", 0));
  assert_fails (EPERM, fx_remove_xattr (fx, "p", LEASE_XATTR_LEASE));
  assert_ok (fx_set_xattr (fx, "s", "trusted.one", "1", 0));
  assert_string_equal (fx_xattrs (fx, "s"), "trusted.one");
}

static void
test_only_the_ctime_moves (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_file (fx, "a"));
  LeaseAttr before = fx_stat_of (fx, "a");
  fx_wait (fx, SECOND);
  assert_ok (fx_set_xattr (fx, "a", "user.one", "1", 0));
  LeaseAttr after = fx_stat_of (fx, "a");
  assert_int_equal (after.ctime_ns, fx->by.wall_ns);
  assert_int_equal (after.mtime_ns, before.mtime_ns);
  assert_int_equal (after.atime_ns, before.atime_ns);
  fx_wait (fx, SECOND);
  assert_fails (EEXIST, fx_set_xattr (fx, "a", "user.one", "2", XATTR_CREATE));
  assert_ok (fx_get_xattr (fx, "a", "user.one"));
  assert_int_equal (fx_stat_of (fx, "a").ctime_ns, after.ctime_ns);
  assert_ok (fx_remove_xattr (fx, "a", "user.one"));
  assert_int_equal (fx_stat_of (fx, "a").ctime_ns, fx->by.wall_ns);
}

static void
test_a_list_that_is_too_long_is_refused (void **state)
{
  Fixture *fx = *state;
  GByteArray *names = NULL;

  assert_ok (fx_file (fx, "a"));
  assert_ok (fx_set_xattr (fx, "a", "user.one", "1", 0));
  uint64_t id = fx_find (fx, "a");
  assert_fails (ERANGE, lease_engine_list_xattrs (fx->engine, &fx->by, id, 8, &names));
  assert_ok (lease_engine_list_xattrs (fx->engine, &fx->by, id, 9, &names));
  g_byte_array_unref (names);
}

static void
test_a_node_has_no_more_names_than_can_be_listed (void **state)
{
  Fixture *fx = *state;
  g_autoptr (GByteArray) names = NULL;
  unsigned count = 0;
  int error;

  assert_ok (fx_file (fx, "key"));
  fx->unchecked = true;
  do {
    g_autofree char *name = g_strdup_printf ("user.%0200u", count);
    error = fx_set_xattr (fx, "key", name, "v", 0);
  } while (error == 0 && count++ < 1000);
  assert_int_equal (error, -ENOSPC);
  assert_int_equal (count, LEASE_XATTR_NAMES_MAX / 206);
  assert_ok (fx_set_xattr (fx, "key", "user.short", "v", 0)); /* a short one still fits */
  assert_ok (
      lease_engine_list_xattrs (fx->engine, &fx->by, fx_find (fx, "key"), 64 * 1024, &names));
}

/* Part of the node */

static void
test_all_names_of_a_file_share_them (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_file (fx, "a"));
  assert_ok (fx_link (fx, "a", "b"));
  assert_ok (fx_set_xattr (fx, "a", "user.one", "1", 0));
  assert_ok (fx_unlink (fx, "a"));
  assert_ok (fx_rename (fx, "b", "c", 0));
  assert_xattr (fx, "c", "user.one", "1");
}

static void
test_what_replaces_a_file_has_its_own (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", HOUR);
  fx_key (fx, "a", "L");
  assert_ok (fx_file (fx, "b"));
  assert_ok (fx_set_xattr (fx, "a", "user.one", "of a", 0));
  assert_ok (fx_set_xattr (fx, "b", "user.two", "of b", 0));
  assert_ok (fx_rename (fx, "b", "a", 0));
  assert_string_equal (fx_xattrs (fx, "a"), "user.lease user.two");
}

static void
test_an_unlinked_file_keeps_them_while_it_is_open (void **state)
{
  Fixture *fx = *state;
  g_autofree char *value = NULL;
  size_t size;
  uint64_t before = bytes_used (fx);

  assert_ok (fx_file (fx, "a"));
  assert_ok (fx_set_xattr (fx, "a", "user.one", "1", 0));
  uint64_t id = fx_pin (fx, "a");
  assert_ok (fx_unlink (fx, "a"));
  assert_ok (lease_engine_get_xattr (fx->engine, &fx->by, id, "user.one", &value, &size));
  assert_int_equal (size, 1);
  assert_ok (lease_engine_set_xattr (fx->engine, &fx->by, id, "user.two", "2", 1, 0));
  fx_unpin (fx, id);
  assert_int_equal (bytes_used (fx), before);
}

static void
test_what_has_ended_has_none (void **state)
{
  Fixture *fx = *state;
  g_autofree char *value = NULL;
  GByteArray *names;
  size_t size;

  fx_lease (fx, "L", SECOND);
  fx_key (fx, "a", "L");
  assert_ok (fx_set_xattr (fx, "a", "user.one", "1", 0));
  uint64_t id = fx_pin (fx, "a");
  fx_wait (fx, SECOND);
  assert_fails (ESTALE,
                lease_engine_get_xattr (fx->engine, &fx->by, id, "user.one", &value, &size));
  assert_fails (ESTALE,
                lease_engine_get_xattr (fx->engine, &fx->by, id, "user.lease", &value, &size));
  assert_fails (ESTALE, lease_engine_list_xattrs (fx->engine, &fx->by, id, 100, &names));
  assert_fails (ESTALE, lease_engine_set_xattr (fx->engine, &fx->by, id, "user.one", "2", 1, 0));
  assert_fails (ESTALE, lease_engine_remove_xattr (fx->engine, &fx->by, id, "user.lease"));
  fx_unpin (fx, id);
}

/* Memory */

static void
test_they_count_and_are_given_back (void **state)
{
  Fixture *fx = *state;
  g_autofree char *text = g_strnfill (10000, 'x');

  fx_lease (fx, "L", SECOND);
  fx_key (fx, "a", "L");
  uint64_t before = bytes_used (fx);
  assert_ok (fx_set_xattr (fx, "a", "user.one", text, 0));
  assert_true (bytes_used (fx) >= before + 10000 && bytes_used (fx) < before + 10500);
  assert_ok (fx_set_xattr (fx, "a", "user.one", "", 0));
  assert_true (bytes_used (fx) < before + 500);
  assert_ok (fx_remove_xattr (fx, "a", "user.one"));
  assert_int_equal (bytes_used (fx), before);
  assert_ok (fx_set_xattr (fx, "a", "user.one", text, 0));
  fx_wait (fx, SECOND);
  while (lease_engine_expire (fx->engine, &fx->by, 10))
    continue;
  assert_int_equal (bytes_used (fx), before);
}

static void
test_a_node_without_any_takes_nothing (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_file (fx, "a"));
  uint64_t before = bytes_used (fx);
  fx_lease (fx, "L", SECOND);
  uint64_t with_lease = bytes_used (fx);
  assert_ok (fx_set_xattr (fx, "a", LEASE_XATTR_LEASE, "L", 0));
  assert_int_equal (bytes_used (fx), with_lease);
  assert_true (with_lease > before);
}

static void
test_what_does_not_fit_changes_nothing (void **state)
{
  LeaseEngineConfig config = fx_config ();
  config.max_bytes = 40000;
  g_autoptr (Fixture) fx = fx_new (&config);
  g_autofree char *text = g_strnfill (30000, 'x');

  assert_ok (fx_file (fx, "a"));
  assert_ok (fx_set_xattr (fx, "a", "user.one", text, 0));
  assert_fails (ENOSPC, fx_set_xattr (fx, "a", "user.two", text, 0));
  assert_string_equal (fx_xattrs (fx, "a"), "user.one");
  /* The old value makes room for the new one. */
  text[0] = 'y';
  assert_ok (fx_set_xattr (fx, "a", "user.one", text, 0));
  assert_ok (fx_set_xattr (fx, "a", "user.one", "", 0));
  assert_ok (fx_set_xattr (fx, "a", "user.two", text, 0));
}

static void
test_what_the_journal_does_not_take_changes_nothing (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", HOUR);
  assert_ok (fx_file (fx, "a"));
  assert_ok (fx_set_xattr (fx, "a", "user.one", "1", 0));
  fake_fail (fx->fake, 1, EIO);
  assert_fails (EIO, fx_set_xattr (fx, "a", "user.one", "2", 0));
  assert_fails (EIO, fx_remove_xattr (fx, "a", "user.one"));
  assert_fails (EIO, fx_set_xattr (fx, "a", LEASE_XATTR_LEASE, "L", 0));
  fake_fail (fx->fake, 0, 0);
  assert_xattr (fx, "a", "user.one", "1");
  assert_no_lease (fx, "a");
}

/* The journal */

static void
test_they_survive_a_restart (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", HOUR);
  assert_ok (fx_file (fx, "a"));
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_set_xattr (fx, "a", "user.one", "1", 0));
  assert_ok (fx_set_xattr (fx, "a", "user.two", "2", 0));
  assert_ok (fx_set_xattr (fx, "a", "user.empty", "", 0));
  assert_ok (fx_remove_xattr (fx, "a", "user.two"));
  assert_ok (fx_set_xattr (fx, "d", "trusted.one", "d", 0));
  assert_ok (fx_set_xattr (fx, "", "user.root", "r", 0));
  assert_ok (fx_set_xattr (fx, "a", LEASE_XATTR_LEASE, "L", 0));
  uint64_t before = bytes_used (fx);
  for (unsigned i = 0; i < 2; i++) {
    fx_restart (fx, i == 0);
    assert_string_equal (fx_xattrs (fx, "a"), "user.lease user.empty user.one");
    assert_xattr (fx, "a", "user.one", "1");
    assert_xattr (fx, "a", "user.empty", "");
    assert_xattr (fx, "d", "trusted.one", "d");
    assert_xattr (fx, "", "user.root", "r");
    assert_lease (fx, "a", "L");
    assert_int_equal (bytes_used (fx), before);
  }
}

static void
test_those_of_what_is_gone_do_not_come_back (void **state)
{
  Fixture *fx = *state;
  uint64_t before = bytes_used (fx);

  fx_lease (fx, "L", SECOND);
  fx_key (fx, "a", "L");
  assert_ok (fx_file (fx, "b"));
  assert_ok (fx_set_xattr (fx, "a", "user.one", "1", 0));
  assert_ok (fx_set_xattr (fx, "b", "user.one", "1", 0));
  assert_ok (fx_unlink (fx, "b"));
  fx_wait (fx, SECOND);
  fx_reap (fx);
  fx_restart (fx, false);
  assert_int_equal (bytes_used (fx), before);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    fx_test (test_what_is_set_can_be_read),
    fx_test (test_a_value_is_replaced_and_removed),
    fx_test (test_flags_tell_creating_from_replacing),
    fx_test (test_values_may_have_64_kib),
    fx_test (test_values_and_names_are_any_bytes),
    fx_test (test_namespaces),
    fx_test (test_only_root_lists_what_is_trusted),
    fx_test (test_only_files_and_directories_have_those_of_users),
    fx_test (test_only_the_ctime_moves),
    fx_test (test_a_list_that_is_too_long_is_refused),
    fx_test (test_a_node_has_no_more_names_than_can_be_listed),
    fx_test (test_all_names_of_a_file_share_them),
    fx_test (test_what_replaces_a_file_has_its_own),
    fx_test (test_an_unlinked_file_keeps_them_while_it_is_open),
    fx_test (test_what_has_ended_has_none),
    fx_test (test_they_count_and_are_given_back),
    fx_test (test_a_node_without_any_takes_nothing),
    fx_test (test_what_does_not_fit_changes_nothing),
    fx_test (test_what_the_journal_does_not_take_changes_nothing),
    fx_test (test_they_survive_a_restart),
    fx_test (test_those_of_what_is_gone_do_not_come_back),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
