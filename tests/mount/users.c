/* SPDX-License-Identifier: MIT */

/* Checks who may do what, with the rights of several users: alice has a lease, bob is somebody
 * else, and both are in a group of their own and perhaps in each other's.
 *
 *     # users MOUNTPOINT      a leasefs with nothing in it, mounted with -o allow_other
 *     # users --plain DIR     the cases that concern no leases: on a tmpfs they hold as well */

#include "tests/mount/calls.h"

#include <grp.h>

enum { ROOT = 0, ALICE = 61001, BOB = 61002 };

static void
become_with_group (uid_t uid, gid_t gid, gid_t other_group)
{
  assert_ok (seteuid (ROOT));
  assert_ok (setgroups (other_group == 0 ? 0 : 1, &other_group));
  assert_ok (setegid (gid));
  assert_ok (seteuid (uid));
}

/* From now on calls are made by `uid`, whose group has the same number. */
static void
become (uid_t uid)
{
  become_with_group (uid, uid, 0);
}

static void
test_new_files_belong_to_their_maker (void **state)
{
  assert_ok (chmod (".", 0777));
  become (ALICE);
  calls_put ("f", "");
  assert_ok (mkdir ("d", 0755));
  assert_ok (symlink ("f", "s"));
  assert_int_equal (calls_stat ("f").st_uid, ALICE);
  assert_int_equal (calls_stat ("f").st_gid, ALICE);
  assert_int_equal (calls_stat ("d").st_uid, ALICE);
  assert_int_equal (calls_stat ("s").st_uid, ALICE);
}

static void
test_permissions_are_enforced_at_once (void **state)
{
  struct stat st;
  char byte;

  assert_ok (chmod (".", 0777));
  become (ALICE);
  calls_put ("f", "value");
  assert_ok (mkdir ("d", 0755));
  calls_put ("d/f", "value");
  become (BOB);
  assert_text ("f", "value");
  assert_text ("d/f", "value");
  assert_fails (EACCES, open ("f", O_WRONLY));
  assert_fails (EACCES, truncate ("f", 0));
  assert_fails (EACCES, open ("d/new", O_WRONLY | O_CREAT, 0644));
  assert_fails (EACCES, unlink ("d/f"));
  assert_fails (EACCES, rename ("d/f", "g"));
  assert_fails (EPERM, chmod ("f", 0666));
  assert_fails (EPERM, chown ("f", BOB, -1));
  assert_fails (EACCES, utimensat (AT_FDCWD, "f", NULL, 0));
  int fd = calls_open ("f", O_RDONLY);
  become (ALICE);
  assert_ok (chmod ("f", 0600));
  assert_ok (chmod ("d", 0700));
  become (BOB);
  assert_fails (EACCES, open ("f", O_RDONLY));
  assert_fails (EACCES, stat ("d/f", &st));
  assert_fails (EACCES, open ("d", O_RDONLY | O_DIRECTORY));
  assert_ok (stat ("f", &st));
  calls_pread (fd, &byte, 1, 0);
  close (fd);
  become (ROOT);
  assert_text ("f", "value");
  assert_text ("d/f", "value");
}

static void
test_groups_give_access (void **state)
{
  assert_ok (chmod (".", 0777));
  become_with_group (ALICE, ALICE, BOB);
  calls_put ("f", "value");
  assert_ok (chmod ("f", 0660));
  assert_fails (EPERM, chown ("f", -1, ROOT));
  become (BOB);
  assert_fails (EACCES, open ("f", O_RDONLY));
  become_with_group (ALICE, ALICE, BOB);
  assert_ok (chown ("f", -1, BOB));
  become (BOB);
  calls_write ("f", "VALUE");
  become_with_group (BOB, BOB, ALICE);
  calls_write ("f", "Value");
  become (ALICE);
  assert_text ("f", "Value");
}

static void
test_a_sticky_directory_protects_its_files (void **state)
{
  assert_ok (mkdir ("d", 0755));
  assert_ok (chmod ("d", 01777));
  become (ALICE);
  calls_put ("d/f", "");
  assert_ok (mkdir ("d/d", 0777));
  become (BOB);
  calls_put ("d/g", "");
  assert_fails (EPERM, unlink ("d/f"));
  assert_fails (EPERM, rmdir ("d/d"));
  assert_fails (EPERM, rename ("d/f", "d/h"));
  assert_fails (EPERM, rename ("d/g", "d/f"));
  become (ALICE);
  assert_ok (unlink ("d/f"));
  become (ROOT);
  assert_ok (unlink ("d/g"));
}

static void
test_writing_takes_the_set_id_bits_away (void **state)
{
  assert_ok (chmod (".", 0777));
  calls_put ("f", "value");
  assert_ok (chmod ("f", 06777));
  become (BOB);
  assert_int_equal (calls_stat ("f").st_mode, S_IFREG | 06777);
  calls_write ("f", "x");
  assert_int_equal (calls_stat ("f").st_mode, S_IFREG | 0777);
  become (ROOT);
  assert_ok (chmod ("f", 06777));
  become (BOB);
  assert_ok (truncate ("f", 0));
  assert_int_equal (calls_stat ("f").st_mode, S_IFREG | 0777);
}

static void
test_times_of_others_are_not_set (void **state)
{
  struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };

  calls_put ("f", "");
  assert_ok (chmod ("f", 0666));
  become (BOB);
  assert_fails (EPERM, utimensat (AT_FDCWD, "f", times, 0));
  assert_ok (utimensat (AT_FDCWD, "f", NULL, 0));
}

static void
test_a_member_of_no_group_sets_no_group_bit (void **state)
{
  assert_ok (mkdir ("d", 0755));
  assert_ok (chown ("d", -1, ALICE));
  assert_ok (chmod ("d", 02777));
  become (BOB);
  calls_put ("d/f", "");
  assert_int_equal (calls_stat ("d/f").st_gid, ALICE);
  assert_ok (chmod ("d/f", 02755));
  assert_int_equal (calls_stat ("d/f").st_mode, S_IFREG | 0755);
  assert_ok (mkdir ("d/e", 0755));
  assert_int_equal (calls_stat ("d/e").st_mode, S_IFDIR | 02755);
}

/* Leaves alice at work: with a lease, and a key of hers attached to it; bob has a key too. */
static void
begin_with_leases (void)
{
  become (BOB);
  calls_put ("bobs", "value");
  become (ALICE);
  calls_put ("alices", "value");
  assert_ok (mkdir ("leases/a", 0755));
  calls_write ("leases/a/ttl", "1000\n");
  calls_write ("leases/a/keys", "alices\n");
}

static void
test_a_lease_belongs_to_its_maker (void **state)
{
  static const char *const files[] = { "leases/a", "leases/a/ttl", "leases/a/granted",
                                       "leases/a/keys" };

  begin_with_leases ();
  for (int i = 0; i < 4; i++) {
    assert_int_equal (calls_stat (files[i]).st_uid, ALICE);
    assert_int_equal (calls_stat (files[i]).st_gid, ALICE);
  }
  become (ROOT);
  assert_int_equal (calls_stat ("leases").st_uid, ROOT);
}

static void
test_others_read_but_do_not_refresh_or_attach (void **state)
{
  begin_with_leases ();
  become (BOB);
  assert_text ("leases/a/granted", "1000\n");
  assert_text ("leases/a/keys", "alices\n");
  free (calls_text ("leases/a/ttl"));
  assert_fails (EACCES, open ("leases/a/ttl", O_WRONLY));
  assert_fails (EACCES, open ("leases/a/ttl", O_RDWR | O_TRUNC));
  assert_fails (EACCES, open ("leases/a/keys", O_WRONLY | O_APPEND));
  assert_fails (EACCES, open ("leases/a/granted", O_WRONLY));
  assert_fails (EACCES, utimensat (AT_FDCWD, "leases/a/ttl", NULL, 0));
  assert_fails (EACCES, utimensat (AT_FDCWD, "leases/a", NULL, 0));
  assert_fails (EACCES, utimensat (AT_FDCWD, "alices", NULL, 0));
  assert_fails (EACCES, open ("leases/a/new", O_WRONLY | O_CREAT, 0644));
  assert_fails (EACCES, mkdir ("leases/a/new", 0755));
  assert_fails (EACCES, rename ("bobs", "leases/a/bobs"));
  assert_fails (EACCES, link ("bobs", "leases/a/bobs"));
  assert_fails (EPERM, chmod ("leases/a/ttl", 0666));
  assert_fails (EPERM, chmod ("leases/a", 0777));
  assert_fails (EPERM, chown ("leases/a/ttl", BOB, -1));
  assert_text ("leases/a/keys", "alices\n");
}

static void
test_a_private_lease_is_not_looked_into (void **state)
{
  become (ALICE);
  assert_ok (mkdir ("leases/a", 0700));
  calls_write ("leases/a/ttl", "1000\n");
  become (BOB);
  assert_fails (EACCES, open ("leases/a/ttl", O_RDONLY));
  assert_fails (EACCES, open ("leases/a", O_RDONLY | O_DIRECTORY));
  become (ALICE);
  assert_ok (chmod ("leases/a", 0755));
  assert_ok (chmod ("leases/a/ttl", 0600));
  become (BOB);
  assert_fails (EACCES, open ("leases/a/ttl", O_RDONLY));
  assert_text ("leases/a/granted", "1000\n");
}

static void
test_granted_is_read_only (void **state)
{
  begin_with_leases ();
  assert_fails (EACCES, open ("leases/a/granted", O_WRONLY));
  become (ROOT);
  int fd = calls_open ("leases/a/granted", O_WRONLY);
  assert_fails (EPERM, write (fd, "5\n", 2));
  close (fd);
  assert_text ("leases/a/granted", "1000\n");
}

static void
test_chmod_hands_refreshing_on (void **state)
{
  begin_with_leases ();
  assert_ok (chmod ("leases/a/ttl", 0664));
  assert_int_equal (calls_stat ("leases/a/ttl").st_mode, S_IFREG | 0664);
  become (BOB);
  assert_fails (EACCES, open ("leases/a/ttl", O_WRONLY));
  become_with_group (BOB, BOB, ALICE);
  calls_write ("leases/a/ttl", "2000\n");
  calls_write ("leases/a/ttl", "\n");
  assert_ok (utimensat (AT_FDCWD, "leases/a/ttl", NULL, 0));
  assert_text ("leases/a/granted", "2000\n");
  assert_fails (EACCES, open ("leases/a/keys", O_WRONLY));
  become (ALICE);
  assert_ok (chmod ("leases/a/ttl", 0644));
  become_with_group (BOB, BOB, ALICE);
  assert_fails (EACCES, open ("leases/a/ttl", O_WRONLY));
}

static void
test_chmod_hands_attaching_on (void **state)
{
  int fd;

  begin_with_leases ();
  assert_ok (chmod ("leases/a/keys", 0664));
  become_with_group (BOB, BOB, ALICE);
  calls_write ("leases/a/keys", "bobs\n");
  assert_text ("leases/a/keys", "alices\nbobs\n");
  fd = calls_open ("leases/a/keys", O_WRONLY);
  assert_fails (EPERM, write (fd, "-alices\n", 8));
  assert_fails (EPERM, write (fd, "-bobs\n-alices\n", 14));
  close (fd);
  become (ALICE);
  fd = calls_open ("leases/a/keys", O_WRONLY);
  assert_fails (EPERM, write (fd, "-bobs\n", 6));
  close (fd);
  assert_text ("leases/a/keys", "alices\nbobs\n");
  become_with_group (BOB, BOB, ALICE);
  calls_write ("leases/a/keys", "-bobs\n");
  become (ROOT);
  calls_write ("leases/a/keys", "-alices\n");
  assert_text ("leases/a/keys", "");
}

static void
test_only_the_owner_or_root_attaches_a_key (void **state)
{
  int fd;

  begin_with_leases ();
  fd = calls_open ("leases/a/keys", O_WRONLY);
  assert_fails (EPERM, write (fd, "bobs\n", 5));
  assert_fails (EPERM, write (fd, "-alices\nbobs\n", 13));
  assert_text ("leases/a/keys", "alices\n");
  become (ROOT);
  assert_ok (mkdir ("shared", 0777));
  assert_ok (chmod ("shared", 0777));
  become (BOB);
  calls_put ("shared/bobs", "value");
  assert_ok (link ("shared/bobs", "shared/too"));
  become (ALICE);
  assert_fails (EPERM, rename ("shared/bobs", "leases/a/bobs"));
  assert_fails (EPERM, link ("shared/bobs", "leases/a/bobs"));
  calls_put ("leases/a/mine", "value");
  assert_fails (EPERM,
                renameat2 (AT_FDCWD, "shared/bobs", AT_FDCWD, "leases/a/mine", RENAME_EXCHANGE));
  assert_text ("leases/a/keys", "alices\nleases/a/mine\n");
  assert_ok (rmdir ("leases/a"));
  assert_text ("shared/bobs", "value");
  assert_text ("bobs", "value");
  close (fd);
}

/* By a name in a directory that both may write to, alice could else put an end to a file of bob's
 * that has another name elsewhere. */
static void
test_replacing_a_key_attaches_nothing_of_others (void **state)
{
  assert_ok (mkdir ("shared", 0777));
  assert_ok (chmod ("shared", 0777));
  begin_with_leases ();
  become (BOB);
  assert_ok (link ("bobs", "shared/bobs"));
  become (ALICE);
  assert_ok (link ("alices", "shared/alices"));
  assert_fails (EPERM, rename ("shared/bobs", "shared/alices"));
  become (BOB);
  calls_put ("shared/new", "value");
  assert_ok (rename ("shared/new", "shared/alices"));
  become (ALICE);
  assert_text ("leases/a/keys", "alices\nshared/alices\n");
  assert_ok (rmdir ("leases/a"));
  assert_text ("bobs", "value");
}

static void
test_only_the_owner_or_root_revokes (void **state)
{
  begin_with_leases ();
  assert_ok (chmod ("leases/a", 0777));
  assert_ok (chmod ("leases/a/ttl", 0666));
  become_with_group (BOB, BOB, ALICE);
  assert_fails (EPERM, rmdir ("leases/a"));
  assert_fails (EPERM, rename ("leases/a", "leases/b"));
  assert_true (calls_exists ("alices"));
  become (ALICE);
  assert_ok (rmdir ("leases/a"));
  assert_false (calls_exists ("alices"));

  begin_with_leases ();
  become (ROOT);
  assert_ok (rmdir ("leases/a"));
  assert_false (calls_exists ("alices"));
}

static void
test_the_end_comes_whoever_owns_the_directory (void **state)
{
  become (ALICE);
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

static int
run_plain (void)
{
  const struct CMUnitTest cases[] = {
    CASE (test_new_files_belong_to_their_maker),
    CASE (test_permissions_are_enforced_at_once),
    CASE (test_groups_give_access),
    CASE (test_a_sticky_directory_protects_its_files),
    CASE (test_writing_takes_the_set_id_bits_away),
    CASE (test_times_of_others_are_not_set),
    CASE (test_a_member_of_no_group_sets_no_group_bit),
  };

  return cmocka_run_group_tests_name ("users of files", cases, NULL, NULL);
}

static int
run_leases (void)
{
  const struct CMUnitTest cases[] = {
    CASE_IN_ROOT (test_a_lease_belongs_to_its_maker),
    CASE_IN_ROOT (test_others_read_but_do_not_refresh_or_attach),
    CASE_IN_ROOT (test_a_private_lease_is_not_looked_into),
    CASE_IN_ROOT (test_granted_is_read_only),
    CASE_IN_ROOT (test_chmod_hands_refreshing_on),
    CASE_IN_ROOT (test_chmod_hands_attaching_on),
    CASE_IN_ROOT (test_only_the_owner_or_root_attaches_a_key),
    CASE_IN_ROOT (test_replacing_a_key_attaches_nothing_of_others),
    CASE_IN_ROOT (test_only_the_owner_or_root_revokes),
    CASE_IN_ROOT (test_the_end_comes_whoever_owns_the_directory),
  };

  return cmocka_run_group_tests_name ("users of leases", cases, NULL, NULL);
}

int
main (int argc, char **argv)
{
  bool plain = argc == 3 && strcmp (argv[1], "--plain") == 0;
  int failed;

  if (argc != 2 && !plain) {
    fprintf (stderr, "usage: users [--plain] DIRECTORY\n");
    return 2;
  }
  calls_begin (argv[argc - 1]);
  failed = run_plain ();
  if (!plain)
    failed += run_leases ();
  return failed == 0 ? 0 : 1;
}
