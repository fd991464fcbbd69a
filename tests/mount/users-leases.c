/* SPDX-License-Identifier: MIT */

/* Cases about the lease itself: who reserves, grants, refreshes, reads, hands on and revokes it. */

#include "tests/mount/users.h"

/* Whether touching `path`, which must succeed, refreshes leases/a. */
static bool
touch_refreshes (const char *path)
{
  int64_t before = users_last_refresh ();

  users_touch (path);
  return users_last_refresh () != before;
}

static void
test_everybody_reserves_an_id (void **state)
{
  static const uid_t users[] = { ALICE, BOB, ROOT };

  users_become (ALICE);
  assert_ok (mkdir ("leases/taken", 0700));
  for (int i = 0; i < 3; i++) {
    users_become (users[i]);
    assert_fails (EEXIST, mkdir ("leases/taken", 0755));
    assert_ok (mkdir ("leases/free", 0755));
    calls_write ("leases/free/ttl", "1000\n");
    assert_ok (rmdir ("leases/free"));
  }
}

static void
test_a_lease_belongs_to_its_maker (void **state)
{
  static const char *const files[] = { "leases/a", "leases/a/ttl", "leases/a/granted",
                                       "leases/a/keys" };

  users_become (ALICE);
  assert_ok (mkdir ("leases/a", 0755));
  for (int i = 0; i < 4; i++) {
    assert_int_equal (calls_stat (files[i]).st_uid, ALICE);
    assert_int_equal (calls_stat (files[i]).st_gid, ALICE);
  }
  users_become (ROOT);
  assert_int_equal (calls_stat ("leases").st_uid, ROOT);
  assert_int_equal (calls_stat ("leases").st_mode, S_IFDIR | 01777);
}

static void
test_owner_and_root_grant_and_refresh (void **state)
{
  static const uid_t users[] = { ALICE, ROOT };

  users_begin_with_lease ();
  for (int i = 0; i < 2; i++) {
    users_become (users[i]);
    calls_write ("leases/a/ttl", "2000\n");
    assert_text ("leases/a/granted", "2000\n");
    calls_write ("leases/a/ttl", "1000\n");
    assert_text ("leases/a/granted", "1000\n");
    calls_write ("leases/a/ttl", "\n");
    assert_true (touch_refreshes ("leases/a/ttl"));
    assert_true (touch_refreshes ("leases/a"));
    assert_true (touch_refreshes ("alices"));
  }
}

/* touch(1) asks for no more of the owner. */
static void
test_the_owner_touches_a_ttl_that_is_read_only (void **state)
{
  users_begin_with_lease ();
  assert_ok (chmod ("leases/a/ttl", 0444));
  assert_fails (EACCES, open ("leases/a/ttl", O_WRONLY));
  assert_true (touch_refreshes ("leases/a/ttl"));
  assert_true (touch_refreshes ("leases/a"));
  assert_true (touch_refreshes ("alices"));
  users_become (ROOT);
  calls_write ("leases/a/ttl", "\n");
}

/* Not even a member of the group that the lease belongs to. */
static void
test_others_do_not_refresh_or_attach (void **state)
{
  users_begin_with_lease ();
  for (int i = 0; i < 3; i++) {
    if (i < MEMBER_LAST)
      users_become_member (BOB, i);
    else
      users_become (BOB);
    assert_fails (EACCES, open ("leases/a/ttl", O_WRONLY));
    assert_fails (EACCES, open ("leases/a/ttl", O_RDWR | O_TRUNC));
    assert_fails (EACCES, truncate ("leases/a/ttl", 0));
    assert_fails (EACCES, open ("leases/a/keys", O_WRONLY | O_APPEND));
    assert_fails (EACCES, open ("leases/a/granted", O_WRONLY));
    assert_fails (EACCES, utimensat (AT_FDCWD, "leases/a/ttl", NULL, 0));
    assert_fails (EACCES, utimensat (AT_FDCWD, "leases/a", NULL, 0));
    assert_fails (EACCES, utimensat (AT_FDCWD, "alices", NULL, 0));
    assert_fails (EPERM, chmod ("leases/a/ttl", 0666));
    assert_fails (EPERM, chmod ("leases/a", 0777));
  }
  assert_text ("leases/a/keys", "alices\n");
}

static void
test_chmod_hands_refreshing_on (void **state)
{
  users_begin_with_lease ();
  assert_ok (chmod ("leases/a/ttl", 0664));
  assert_int_equal (calls_stat ("leases/a/ttl").st_mode, S_IFREG | 0664);
  for (Member how = MEMBER_FIRST; how < MEMBER_LAST; how++) {
    users_become_member (BOB, how);
    calls_write ("leases/a/ttl", "2000\n");
    calls_write ("leases/a/ttl", "\n");
    assert_true (touch_refreshes ("leases/a/ttl"));
    assert_text ("leases/a/granted", "2000\n");
    assert_fails (EACCES, open ("leases/a/keys", O_WRONLY));
    assert_fails (EACCES, utimensat (AT_FDCWD, "leases/a", NULL, 0));
    calls_write ("leases/a/ttl", "1000\n");
  }
  users_become (BOB);
  assert_fails (EACCES, open ("leases/a/ttl", O_WRONLY));
  users_become (ALICE);
  assert_ok (chmod ("leases/a/ttl", 0644));
  users_become_member (BOB, MEMBER_SUPPLEMENTARY);
  assert_fails (EACCES, open ("leases/a/ttl", O_WRONLY));
}

/* Permission to write to `ttl` is also permission to end the lease. */
static void
test_who_may_grant_may_grant_very_little (void **state)
{
  users_begin_with_lease ();
  assert_ok (chmod ("leases/a/ttl", 0664));
  users_become_member (BOB, MEMBER_SUPPLEMENTARY);
  assert_fails (EPERM, rmdir ("leases/a"));
  calls_write ("leases/a/ttl", "0.000000001\n");
  assert_false (calls_exists ("leases/a"));
  assert_false (calls_exists ("alices"));
}

/* The one case that looks at the time left: the others look at when the lease was refreshed, which
 * touching leases/a itself changes without refreshing anything. */
static void
test_touching_takes_permission_to_write_ttl (void **state)
{
  int64_t begin, left;
  char *text;

  users_begin_with_lease ();
  assert_ok (chmod ("leases/a", 0777));
  assert_ok (chmod ("alices", 0666));
  calls_wait_until (calls_now () + 1100 * INT64_C (1000000));
  users_become (BOB);
  users_touch ("leases/a");
  users_touch ("alices");
  text = calls_text ("leases/a/ttl");
  assert_in_range (atoi (text), 0, 999);
  free (text);
  users_become (ALICE);
  assert_ok (chmod ("leases/a/ttl", 0664));
  users_become_member (BOB, MEMBER_SUPPLEMENTARY);
  begin = calls_now ();
  users_touch ("leases/a");
  text = calls_text ("leases/a/ttl");
  left = atoi (text) * INT64_C (1000000000);
  assert_true (left >= 1000 * INT64_C (1000000000) - (calls_now () - begin));
  free (text);
}

static void
test_a_writable_key_is_touched_but_refreshes_nothing (void **state)
{
  users_begin_with_lease ();
  assert_ok (chmod ("alices", 0666));
  users_become (BOB);
  assert_false (touch_refreshes ("alices"));
  for (Member how = MEMBER_FIRST; how < MEMBER_LAST; how++) {
    users_become_member (BOB, how);
    assert_false (touch_refreshes ("alices"));
  }
  users_become (ALICE);
  assert_true (touch_refreshes ("alices"));
  users_become (ROOT);
  assert_true (touch_refreshes ("alices"));
}

static void
test_ones_own_file_in_a_lease_of_others_refreshes_nothing (void **state)
{
  users_begin_with_lease ();
  assert_ok (mkdir ("open", 0755));
  assert_ok (chmod ("open", 0777));
  calls_write ("leases/a/keys", "open\n");
  users_become (BOB);
  calls_put ("open/bobs", "value");
  assert_false (touch_refreshes ("open/bobs"));
  assert_false (touch_refreshes ("open"));
  int fd = calls_open ("open/bobs", O_RDWR);
  int64_t before = users_last_refresh ();
  assert_ok (futimens (fd, NULL));
  calls_pwrite (fd, "more", 4, 0);
  assert_ok (ftruncate (fd, 0));
  close (fd);
  assert_true (users_last_refresh () == before);
  users_become (ROOT);
  assert_true (touch_refreshes ("open/bobs"));
}

static void
test_who_may_write_ttl_refreshes_with_any_key (void **state)
{
  users_begin_with_lease ();
  assert_ok (chmod ("alices", 0666));
  assert_ok (chmod ("leases/a/ttl", 0664));
  for (Member how = MEMBER_FIRST; how < MEMBER_LAST; how++) {
    users_become_member (BOB, how);
    assert_true (touch_refreshes ("alices"));
  }
  users_become (BOB);
  assert_false (touch_refreshes ("alices"));
  users_become (ALICE);
  assert_ok (chmod ("leases/a/ttl", 0646));
  users_become (BOB);
  assert_true (touch_refreshes ("alices"));
}

/* The group's bits hold for its members, though the others' give more. */
static void
test_a_group_can_be_denied (void **state)
{
  users_begin_with_lease ();
  assert_ok (chmod ("alices", 0666));
  assert_ok (chmod ("leases/a/ttl", 0606));
  for (Member how = MEMBER_FIRST; how < MEMBER_LAST; how++) {
    users_become_member (BOB, how);
    assert_fails (EACCES, open ("leases/a/ttl", O_WRONLY));
    assert_false (touch_refreshes ("alices"));
  }
  users_become (CAROL);
  assert_true (touch_refreshes ("alices"));
}

static void
test_everybody_reads (void **state)
{
  users_begin_with_lease ();
  for (int i = 0; i < 3; i++) {
    users_become ((uid_t[]){ ALICE, BOB, ROOT }[i]);
    assert_text ("leases/a/granted", "1000\n");
    assert_text ("leases/a/keys", "alices\n");
    free (calls_text ("leases/a/ttl"));
  }
  users_become (ALICE);
  assert_ok (chmod ("leases/a/ttl", 0600));
  users_become (BOB);
  assert_fails (EACCES, open ("leases/a/ttl", O_RDONLY));
  assert_text ("leases/a/granted", "1000\n");
}

static void
test_a_private_lease_is_not_looked_into (void **state)
{
  static const char *const names[] = { "leases/a/ttl",  "leases/a/granted", "leases/a/keys",
                                       "leases/a/file", "leases/a/missing", "leases/a/d/file" };
  struct stat st;

  users_begin_with_lease ();
  calls_put ("leases/a/file", "value");
  assert_ok (mkdir ("leases/a/d", 0755));
  assert_ok (chmod ("leases/a", 0700));
  users_become_member (BOB, MEMBER_SUPPLEMENTARY);
  assert_fails (EACCES, open ("leases/a", O_RDONLY | O_DIRECTORY));
  for (int i = 0; i < 6; i++) {
    assert_fails (EACCES, lstat (names[i], &st));
    assert_fails (EACCES, open (names[i], O_RDONLY));
    assert_fails (EACCES, open (names[i], O_WRONLY | O_CREAT | O_EXCL, 0644));
    assert_fails (EACCES, mkdir (names[i], 0755));
    assert_fails (EACCES, unlink (names[i]));
    assert_fails (EACCES, utimensat (AT_FDCWD, names[i], NULL, 0));
    assert_fails (EACCES, link (names[i], "stolen"));
    assert_fails (EACCES, link ("bobs", names[i]));
    assert_fails (EACCES, rename (names[i], "stolen"));
    assert_fails (EACCES, rename ("bobs", names[i]));
  }
  users_become (ROOT);
  assert_text ("leases/a/keys", "alices\nleases/a/d\nleases/a/file\n");
}

static void
test_granted_is_read_only (void **state)
{
  users_begin_with_lease ();
  assert_fails (EACCES, open ("leases/a/granted", O_WRONLY));
  assert_ok (chmod ("leases/a/granted", 0666));
  users_write_fails (EPERM, "leases/a/granted", "5\n");
  users_become (ROOT);
  users_write_fails (EPERM, "leases/a/granted", "5\n");
  assert_false (touch_refreshes ("leases/a/granted"));
  assert_text ("leases/a/granted", "1000\n");
}

static void
test_only_the_owner_or_root_revokes (void **state)
{
  for (int i = 0; i < 2; i++) {
    users_begin_with_lease ();
    assert_ok (chmod ("leases/a", 0777));
    assert_ok (chmod ("leases/a/ttl", 0666));
    assert_ok (chmod ("leases/a/keys", 0666));
    for (Member how = MEMBER_FIRST; how < MEMBER_LAST; how++) {
      users_become_member (BOB, how);
      assert_fails (EPERM, rmdir ("leases/a"));
      assert_fails (EPERM, rename ("leases/a", "leases/b"));
      assert_fails (EPERM, rename ("leases/a", "stolen"));
      assert_fails (EPERM, unlink ("leases/a/ttl"));
    }
    users_become (BOB);
    assert_fails (EPERM, rmdir ("leases/a"));
    assert_true (calls_exists ("alices"));
    users_become (i == 0 ? ALICE : ROOT);
    assert_ok (rmdir ("leases/a"));
    assert_false (calls_exists ("alices"));
  }
}

static void
test_the_files_of_a_lease_change_no_owner (void **state)
{
  static const char *const files[] = { "leases/a/ttl", "leases/a/granted", "leases/a/keys" };

  users_begin_with_lease ();
  for (int i = 0; i < 3; i++) {
    users_become_member (ALICE, MEMBER_SUPPLEMENTARY);
    assert_fails (EPERM, chown (files[i], -1, ALICE));
    assert_fails (EPERM, chown (files[i], BOB, -1));
    users_become (BOB);
    assert_fails (EPERM, chown (files[i], BOB, -1));
    users_become (ROOT);
    assert_fails (EPERM, chown (files[i], BOB, BOB));
    assert_ok (chown (files[i], ALICE, TEAM));
  }
}

static void
test_rights_follow_the_owner_of_the_directory (void **state)
{
  users_begin_with_lease ();
  calls_put ("leases/a/alices", "value");
  users_become (ROOT);
  assert_ok (chown ("leases/a", BOB, CAROL));
  assert_int_equal (calls_stat ("leases/a/ttl").st_uid, BOB);
  assert_int_equal (calls_stat ("leases/a/keys").st_gid, CAROL);
  assert_int_equal (calls_stat ("leases/a/alices").st_uid, ALICE);
  users_become_member (ALICE, MEMBER_SUPPLEMENTARY);
  assert_fails (EACCES, open ("leases/a/ttl", O_WRONLY));
  assert_fails (EACCES, open ("leases/a/keys", O_WRONLY));
  assert_fails (EPERM, chmod ("leases/a/ttl", 0666));
  assert_fails (EPERM, rmdir ("leases/a"));
  assert_false (touch_refreshes ("alices"));
  users_become (BOB);
  calls_write ("leases/a/ttl", "2000\n");
  users_write_fails (EPERM, "leases/a/keys", "-alices\n");
  calls_write ("leases/a/keys", "bobs\n");
  assert_true (touch_refreshes ("bobs"));
  assert_ok (rmdir ("leases/a"));
  assert_false (calls_exists ("alices"));
}

static void
test_the_owner_gives_the_lease_to_a_group_of_his (void **state)
{
  users_begin_with_lease ();
  assert_ok (chmod ("leases/a/ttl", 0664));
  assert_fails (EPERM, chown ("leases/a", -1, CAROL));
  users_become_member (BOB, MEMBER_SUPPLEMENTARY);
  calls_write ("leases/a/ttl", "\n");
  users_become (ALICE);
  assert_ok (chown ("leases/a", -1, ALICE));
  users_become_member (BOB, MEMBER_SUPPLEMENTARY);
  assert_fails (EACCES, open ("leases/a/ttl", O_WRONLY));
  users_become_with_groups (BOB, BOB, ALICE);
  calls_write ("leases/a/ttl", "\n");
}

static void
test_the_end_comes_whoever_owns_the_directory (void **state)
{
  users_become (ALICE);
  assert_ok (mkdir ("private", 0700));
  calls_put ("private/key", "value");
  assert_ok (mkdir ("leases/a", 0700));
  calls_write ("leases/a/ttl", "1000\n");
  calls_write ("leases/a/keys", "private/key\n");
  assert_fails (ENOTEMPTY, rmdir ("private"));
  calls_write ("leases/a/ttl", "0.2\n");
  calls_wait_until (calls_now () + 200 * 1000000);
  assert_false (calls_exists ("private/key"));
  assert_ok (rmdir ("private"));
  assert_false (calls_exists ("leases/a"));
}

int
users_run_leases (void)
{
  const struct CMUnitTest cases[] = {
    CASE_IN_ROOT (test_everybody_reserves_an_id),
    CASE_IN_ROOT (test_a_lease_belongs_to_its_maker),
    CASE_IN_ROOT (test_owner_and_root_grant_and_refresh),
    CASE_IN_ROOT (test_the_owner_touches_a_ttl_that_is_read_only),
    CASE_IN_ROOT (test_others_do_not_refresh_or_attach),
    CASE_IN_ROOT (test_chmod_hands_refreshing_on),
    CASE_IN_ROOT (test_who_may_grant_may_grant_very_little),
    CASE_IN_ROOT (test_touching_takes_permission_to_write_ttl),
    CASE_IN_ROOT (test_a_writable_key_is_touched_but_refreshes_nothing),
    CASE_IN_ROOT (test_ones_own_file_in_a_lease_of_others_refreshes_nothing),
    CASE_IN_ROOT (test_who_may_write_ttl_refreshes_with_any_key),
    CASE_IN_ROOT (test_a_group_can_be_denied),
    CASE_IN_ROOT (test_everybody_reads),
    CASE_IN_ROOT (test_a_private_lease_is_not_looked_into),
    CASE_IN_ROOT (test_granted_is_read_only),
    CASE_IN_ROOT (test_only_the_owner_or_root_revokes),
    CASE_IN_ROOT (test_the_files_of_a_lease_change_no_owner),
    CASE_IN_ROOT (test_rights_follow_the_owner_of_the_directory),
    CASE_IN_ROOT (test_the_owner_gives_the_lease_to_a_group_of_his),
    CASE_IN_ROOT (test_the_end_comes_whoever_owns_the_directory),
  };

  return cmocka_run_group_tests_name ("users of leases", cases, NULL, NULL);
}
