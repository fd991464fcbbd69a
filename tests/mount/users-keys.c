/* SPDX-License-Identifier: MIT */

/* Cases about `keys`: who attaches and detaches what, and where paths lead. */

#include "tests/mount/users.h"

#include <sys/wait.h>

static void
test_attaching_takes_permission_to_write_keys (void **state)
{
  users_begin_with_lease ();
  assert_ok (chmod ("leases/a/keys", 0664));
  users_become (BOB);
  assert_fails (EACCES, open ("leases/a/keys", O_WRONLY));
  for (Member how = MEMBER_FIRST; how < MEMBER_LAST; how++) {
    users_become_member (BOB, how);
    calls_write ("leases/a/keys", "bobs\n");
    assert_text ("leases/a/keys", "alices\nbobs\n");
    assert_fails (EACCES, open ("leases/a/ttl", O_WRONLY));
    calls_write ("leases/a/keys", "-bobs\n");
    assert_text ("leases/a/keys", "alices\n");
  }
  users_become (ALICE);
  assert_ok (chmod ("leases/a/keys", 0646));
  users_become (BOB);
  calls_write ("leases/a/keys", "bobs\n");
  users_become (ALICE);
  assert_ok (rmdir ("leases/a"));
  assert_false (calls_exists ("bobs"));
}

static void
test_keys_of_others_are_not_attached (void **state)
{
  users_begin_with_lease ();
  calls_put ("free", "value");
  assert_ok (chmod ("free", 0666));
  assert_ok (chmod ("leases/a/keys", 0666));
  users_write_fails (EPERM, "leases/a/keys", "bobs\n");
  users_write_fails (EPERM, "leases/a/keys", "-alices\nbobs\n");
  users_write_fails (EPERM, "leases/a/keys", "free\nbobs\n");
  for (Member how = MEMBER_FIRST; how < MEMBER_LAST; how++) {
    users_become_member (BOB, how);
    users_write_fails (EPERM, "leases/a/keys", "free\n");
    users_write_fails (EPERM, "leases/a/keys", "bobs\nfree\n");
  }
  users_become (BOB);
  assert_ok (mkdir ("leases/b", 0755));
  calls_write ("leases/b/ttl", "1000\n");
  users_write_fails (EPERM, "leases/b/keys", "alices\n");
  users_write_fails (EPERM, "leases/b/keys", "free\n");
  assert_text ("leases/a/keys", "alices\n");
  assert_text ("leases/b/keys", "");
}

static void
test_root_attaches_for_the_owner_of_a_lease (void **state)
{
  users_begin_with_lease ();
  calls_put ("free", "value");
  users_become (ROOT);
  calls_put ("roots", "value");
  calls_write ("leases/a/keys", "free\n");
  users_write_fails (EPERM, "leases/a/keys", "bobs\n");
  users_write_fails (EPERM, "leases/a/keys", "roots\n");
  users_write_fails (EPERM, "leases/a/keys", "-free\nroots\n");
  assert_text ("leases/a/keys", "alices\nfree\n");
  assert_ok (mkdir ("leases/r", 0755));
  calls_write ("leases/r/ttl", "1000\n");
  calls_write ("leases/r/keys", "alices\nbobs\nroots\n");
  assert_text ("leases/r/keys", "alices\nbobs\nroots\n");
  assert_text ("leases/a/keys", "free\n");
}

/* What a setuid program does whose output bob has led to the `keys` of his lease. */
static int
write_as_root (int fd, const char *text)
{
  int status;
  pid_t child = (pid_t)assert_ok (fork ());

  if (child == 0) {
    if (seteuid (ROOT) != 0)
      _exit (255);
    _exit (write (fd, text, strlen (text)) < 0 ? errno : 0);
  }
  assert_ok (waitpid (child, &status, 0));
  return WEXITSTATUS (status);
}

static void
test_root_attaches_nothing_through_a_descriptor_of_others (void **state)
{
  users_begin_with_lease ();
  users_become (ROOT);
  calls_put ("roots", "value");
  users_become (BOB);
  assert_ok (mkdir ("leases/b", 0755));
  calls_write ("leases/b/ttl", "1000\n");
  int fd = calls_open ("leases/b/keys", O_WRONLY);
  assert_int_equal (write_as_root (fd, "alices\n"), EPERM);
  assert_int_equal (write_as_root (fd, "roots\n"), EPERM);
  assert_int_equal (write_as_root (fd, "bobs\nalices\n"), EPERM);
  assert_int_equal (write_as_root (fd, "-alices\n"), EINVAL);
  assert_text ("leases/b/keys", "");
  assert_text ("leases/a/keys", "alices\n");
  assert_int_equal (write_as_root (fd, "bobs\n"), 0);
  assert_text ("leases/b/keys", "bobs\n");
  close (fd);
}

static void
test_the_owner_of_a_key_or_root_detaches_it (void **state)
{
  users_begin_with_lease ();
  assert_ok (chmod ("leases/a/keys", 0664));
  for (Member how = MEMBER_FIRST; how < MEMBER_LAST; how++) {
    users_become_member (BOB, how);
    calls_write ("leases/a/keys", "bobs\n");
    users_write_fails (EPERM, "leases/a/keys", "-alices\n");
    users_write_fails (EPERM, "leases/a/keys", "-bobs\n-alices\n");
    users_become (ALICE);
    users_write_fails (EPERM, "leases/a/keys", "-bobs\n");
    users_become (BOB);
    assert_fails (EACCES, open ("leases/a/keys", O_WRONLY));
    users_become_member (BOB, how);
    calls_write ("leases/a/keys", "-bobs\n");
    assert_text ("leases/a/keys", "alices\n");
    calls_write ("leases/a/keys", "bobs\n");
  }
  users_become (ALICE);
  calls_write ("leases/a/keys", "-alices\n");
  calls_write ("leases/a/keys", "alices\n");
  users_become (ROOT);
  users_write_fails (EPERM, "leases/a/keys", "-alices\n"); /* as long as others may write there */
  assert_ok (chmod ("leases/a/keys", 0644));
  calls_write ("leases/a/keys", "-alices\n-bobs\n");
  assert_text ("leases/a/keys", "");
}

static void
test_attaching_moves_a_key_only_for_its_owner (void **state)
{
  users_begin_with_lease ();
  assert_ok (chmod ("leases/a/keys", 0666));
  users_become (BOB);
  calls_write ("leases/a/keys", "bobs\n");
  assert_ok (mkdir ("leases/b", 0755));
  calls_write ("leases/b/ttl", "1000\n");
  users_write_fails (EPERM, "leases/b/keys", "alices\n");
  calls_write ("leases/b/keys", "bobs\n");
  assert_text ("leases/a/keys", "alices\n");
  assert_text ("leases/b/keys", "bobs\n");
}

/* Alice's private directory, with `bobs` in it that bob made, and her own lease; bob has one too.
 */
static void
begin_with_private_directory (void)
{
  users_begin_with_lease ();
  assert_ok (mkdir ("private", 0755));
  assert_ok (chmod ("private", 0777));
  calls_put ("private/alices", "value");
  assert_ok (mkdir ("private/d", 0755));
  users_become (BOB);
  calls_put ("private/bobs", "value");
  assert_ok (mkdir ("leases/b", 0755));
  calls_write ("leases/b/ttl", "1000\n");
  users_become (ALICE);
  assert_ok (chmod ("private", 0700));
}

static void
test_paths_in_keys_tell_nothing_of_hidden_names (void **state)
{
  static const char *const lines[] = {
    "private/bobs\n",  "private/alices\n", "private/missing\n",     "private/d/missing\n",
    "private/d\n",     "private/.\n",      "private/..\n",          "private/../bobs\n",
    "-private/bobs\n", "-private/none\n",  "private/alices/none\n", "/private//none\n",
  };

  begin_with_private_directory ();
  for (int i = 0; i < 3; i++) {
    if (i < MEMBER_LAST)
      users_become_member (BOB, i);
    else
      users_become (BOB);
    for (int j = 0; j < 12; j++)
      users_write_fails (EACCES, "leases/b/keys", lines[j]);
    assert_text ("leases/b/keys", "");
  }
}

static void
test_paths_in_keys_lead_where_groups_may_search (void **state)
{
  begin_with_private_directory ();
  users_become_member (ALICE, MEMBER_SUPPLEMENTARY);
  assert_ok (chown ("private", -1, TEAM));
  assert_ok (chmod ("private", 0710));
  for (Member how = MEMBER_FIRST; how < MEMBER_LAST; how++) {
    users_become_member (BOB, how);
    calls_write ("leases/b/keys", "private/bobs\n");
    assert_text ("leases/b/keys", "private/bobs\n");
    calls_write ("leases/b/keys", "-private/bobs\n");
    users_write_fails (EPERM, "leases/b/keys", "private/alices\n");
    users_write_fails (ENOENT, "leases/b/keys", "private/missing\n");
  }
  users_become (BOB);
  users_write_fails (EACCES, "leases/b/keys", "private/bobs\n");
  users_become (ALICE);
  assert_ok (chmod ("private", 0701));
  users_become (BOB);
  calls_write ("leases/b/keys", "private/bobs\n");
  for (Member how = MEMBER_FIRST; how < MEMBER_LAST; how++) {
    users_become_member (BOB, how);
    users_write_fails (EACCES, "leases/b/keys", "-private/bobs\n");
  }
}

static void
test_paths_in_keys_tell_nothing_of_private_leases (void **state)
{
  static const char *const lines[] = { "leases/a/file\n", "leases/a/missing\n",  "leases/a/ttl\n",
                                       "leases/a/none\n", "leases/a/d/file\n",   "-leases/a/file\n",
                                       "leases/a/..\n",   "leases/b/../a/file\n" };

  begin_with_private_directory ();
  calls_put ("leases/a/file", "value");
  assert_ok (mkdir ("leases/a/d", 0755));
  assert_ok (chmod ("leases/a", 0700));
  users_become_member (BOB, MEMBER_SUPPLEMENTARY);
  for (int i = 0; i < 8; i++)
    users_write_fails (EACCES, "leases/b/keys", lines[i]);
  users_become (ALICE);
  assert_ok (chmod ("leases/a", 0755));
  users_become (BOB);
  users_write_fails (EINVAL, "leases/b/keys", "leases/a/file\n");
  users_write_fails (ENOENT, "leases/b/keys", "leases/a/missing\n");
}

/* The owner's own bits hold for the owner, as in the kernel. */
static void
test_ones_own_directory_must_be_searchable_too (void **state)
{
  users_begin_with_lease ();
  assert_ok (mkdir ("d", 0755));
  calls_put ("d/f", "value");
  assert_ok (chmod ("d", 0677));
  users_write_fails (EACCES, "leases/a/keys", "d/f\n");
  users_become (ROOT);
  calls_write ("leases/a/keys", "d/f\n");
  assert_text ("leases/a/keys", "alices\nd/f\n");
}

int
users_run_keys (void)
{
  const struct CMUnitTest cases[] = {
    CASE_IN_ROOT (test_attaching_takes_permission_to_write_keys),
    CASE_IN_ROOT (test_keys_of_others_are_not_attached),
    CASE_IN_ROOT (test_root_attaches_for_the_owner_of_a_lease),
    CASE_IN_ROOT (test_root_attaches_nothing_through_a_descriptor_of_others),
    CASE_IN_ROOT (test_the_owner_of_a_key_or_root_detaches_it),
    CASE_IN_ROOT (test_attaching_moves_a_key_only_for_its_owner),
    CASE_IN_ROOT (test_paths_in_keys_tell_nothing_of_hidden_names),
    CASE_IN_ROOT (test_paths_in_keys_lead_where_groups_may_search),
    CASE_IN_ROOT (test_paths_in_keys_tell_nothing_of_private_leases),
    CASE_IN_ROOT (test_ones_own_directory_must_be_searchable_too),
  };

  return cmocka_run_group_tests_name ("users of keys", cases, NULL, NULL);
}
