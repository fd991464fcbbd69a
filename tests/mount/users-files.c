/* SPDX-License-Identifier: MIT */

/* Cases about files and several users that concern no leases: they hold on a tmpfs as well. */

#include "tests/mount/users.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static void
test_new_files_belong_to_their_maker (void **state)
{
  assert_ok (chmod (".", 0777));
  users_become (ALICE);
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
  users_become (ALICE);
  calls_put ("f", "value");
  assert_ok (mkdir ("d", 0755));
  calls_put ("d/f", "value");
  users_become (BOB);
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
  users_become (ALICE);
  assert_ok (chmod ("f", 0600));
  assert_ok (chmod ("d", 0700));
  users_become (BOB);
  assert_fails (EACCES, open ("f", O_RDONLY));
  assert_fails (EACCES, stat ("d/f", &st));
  assert_fails (EACCES, open ("d", O_RDONLY | O_DIRECTORY));
  assert_ok (stat ("f", &st));
  calls_pread (fd, &byte, 1, 0);
  close (fd);
  users_become (ROOT);
  assert_text ("f", "value");
  assert_text ("d/f", "value");
}

static void
test_groups_give_access (void **state)
{
  assert_ok (chmod (".", 0777));
  users_become_with_groups (ALICE, ALICE, BOB);
  calls_put ("f", "value");
  assert_ok (chmod ("f", 0660));
  assert_fails (EPERM, chown ("f", -1, ROOT));
  users_become (BOB);
  assert_fails (EACCES, open ("f", O_RDONLY));
  users_become_with_groups (ALICE, ALICE, BOB);
  assert_ok (chown ("f", -1, BOB));
  users_become (BOB);
  calls_write ("f", "VALUE");
  users_become_with_groups (BOB, BOB, ALICE);
  calls_write ("f", "Value");
  users_become (ALICE);
  assert_text ("f", "Value");
}

static void
test_a_sticky_directory_protects_its_files (void **state)
{
  assert_ok (mkdir ("d", 0755));
  assert_ok (chmod ("d", 01777));
  users_become (ALICE);
  calls_put ("d/f", "");
  assert_ok (mkdir ("d/d", 0777));
  users_become (BOB);
  calls_put ("d/g", "");
  assert_fails (EPERM, unlink ("d/f"));
  assert_fails (EPERM, rmdir ("d/d"));
  assert_fails (EPERM, rename ("d/f", "d/h"));
  assert_fails (EPERM, rename ("d/g", "d/f"));
  users_become (ALICE);
  assert_ok (unlink ("d/f"));
  users_become (ROOT);
  assert_ok (unlink ("d/g"));
}

static void
test_writing_takes_the_set_id_bits_away (void **state)
{
  assert_ok (chmod (".", 0777));
  calls_put ("f", "value");
  assert_ok (chmod ("f", 06777));
  users_become (BOB);
  assert_int_equal (calls_stat ("f").st_mode, S_IFREG | 06777);
  calls_write ("f", "x");
  assert_int_equal (calls_stat ("f").st_mode, S_IFREG | 0777);
  users_become (ROOT);
  assert_ok (chmod ("f", 06777));
  users_become (BOB);
  assert_ok (truncate ("f", 0));
  assert_int_equal (calls_stat ("f").st_mode, S_IFREG | 0777);
}

static void
test_times_of_others_are_not_set (void **state)
{
  struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };

  calls_put ("f", "");
  assert_ok (chmod ("f", 0666));
  users_become (BOB);
  assert_fails (EPERM, utimensat (AT_FDCWD, "f", times, 0));
  assert_ok (utimensat (AT_FDCWD, "f", NULL, 0));
}

static void
test_a_member_of_no_group_sets_no_group_bit (void **state)
{
  assert_ok (mkdir ("d", 0755));
  assert_ok (chown ("d", -1, ALICE));
  assert_ok (chmod ("d", 02777));
  users_become (BOB);
  calls_put ("d/f", "");
  assert_int_equal (calls_stat ("d/f").st_gid, ALICE);
  assert_ok (chmod ("d/f", 02755));
  assert_int_equal (calls_stat ("d/f").st_mode, S_IFREG | 0755);
  assert_ok (mkdir ("d/e", 0755));
  assert_int_equal (calls_stat ("d/e").st_mode, S_IFDIR | 02755);
}

static bool
hardlinks_are_protected (void)
{
  char *text = calls_text ("/proc/sys/fs/protected_hardlinks");
  bool protected = text[0] == '1';

  free (text);
  return protected;
}

static void
test_hard_links_to_files_of_others (void **state)
{
  assert_ok (chmod (".", 0777));
  users_become (ALICE);
  calls_put ("readable", "value");
  calls_put ("writable", "value");
  assert_ok (chmod ("writable", 0666));
  users_become (BOB);
  if (hardlinks_are_protected ())
    assert_fails (EPERM, link ("readable", "bobs"));
  else
    assert_ok (link ("readable", "bobs"));
  assert_ok (link ("writable", "bobs too"));
  assert_int_equal (calls_stat ("bobs too").st_uid, ALICE);
  users_become (ROOT);
  assert_ok (link ("readable", "roots"));
}

static void
test_descriptors_outlive_permissions (void **state)
{
  assert_ok (chmod (".", 0777));
  users_become (ALICE);
  calls_put ("f", "value");
  assert_ok (chmod ("f", 0666));
  users_become (BOB);
  int fd = calls_open ("f", O_RDWR);
  users_become (ALICE);
  assert_ok (chmod ("f", 0600));
  users_become (BOB);
  calls_pwrite (fd, "VALUE", 5, 0);
  close (fd);
  assert_fails (EACCES, open ("f", O_RDWR));
  users_become (ALICE);
  assert_text ("f", "VALUE");
}

static void
test_a_descriptor_is_not_opened_again_for_more (void **state)
{
  char path[64];

  assert_ok (chmod (".", 0777));
  users_become (ALICE);
  calls_put ("f", "value");
  users_become (BOB);
  int fd = calls_open ("f", O_RDONLY);
  snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  assert_text (path, "value");
  assert_fails (EACCES, open (path, O_RDWR));
  close (fd);
}

/* They would lead past the permissions of all directories on the way. */
static void
test_file_handles_open_nothing_for_users (void **state)
{
  struct {
    struct file_handle head;
    unsigned char bytes[MAX_HANDLE_SZ];
  } handle = { .head.handle_bytes = MAX_HANDLE_SZ };
  int mount_id, directory = calls_open (".", O_RDONLY | O_DIRECTORY);

  calls_put ("f", "value");
  assert_ok (name_to_handle_at (AT_FDCWD, "f", &handle.head, &mount_id, 0));
  users_become (BOB);
  assert_fails (EPERM, open_by_handle_at (directory, &handle.head, O_RDONLY));
  users_become (ROOT);
  close ((int)assert_ok (open_by_handle_at (directory, &handle.head, O_RDONLY)));
  close (directory);
}

/* In a user namespace of bob's, where he is root: how many of these things he can do. */
static int
count_powers_in_namespace (void)
{
  int map, powers = 0;

  if (setresgid (BOB, BOB, BOB) != 0 || setresuid (BOB, BOB, BOB) != 0)
    return -1;
  prctl (PR_SET_DUMPABLE, 1);
  if (unshare (CLONE_NEWUSER) != 0)
    return 0;
  map = open ("/proc/self/uid_map", O_WRONLY);
  if (write (map, "0 61002 1\n", 10) != 10 || geteuid () != 0)
    return -1;
  powers += open ("f", O_RDONLY) >= 0;
  powers += chmod ("f", 0666) == 0;
  powers += chown ("f", 0, -1) == 0;
  powers += unlink ("f") == 0;
  powers += rename ("f", "g") == 0;
  return powers;
}

static void
test_a_root_of_ones_own_namespace_may_no_more (void **state)
{
  int status;

  assert_ok (chmod (".", 01777));
  users_become (ALICE);
  calls_put ("f", "value");
  assert_ok (chmod ("f", 0600));
  users_become (ROOT);
  pid_t child = (pid_t)assert_ok (fork ());
  if (child == 0)
    _exit (count_powers_in_namespace () & 0xff);
  assert_ok (waitpid (child, &status, 0));
  assert_int_equal (status, 0);
  assert_text ("f", "value");
}

int
users_run_files (void)
{
  const struct CMUnitTest cases[] = {
    CASE (test_new_files_belong_to_their_maker),
    CASE (test_permissions_are_enforced_at_once),
    CASE (test_groups_give_access),
    CASE (test_a_sticky_directory_protects_its_files),
    CASE (test_writing_takes_the_set_id_bits_away),
    CASE (test_times_of_others_are_not_set),
    CASE (test_a_member_of_no_group_sets_no_group_bit),
    CASE (test_hard_links_to_files_of_others),
    CASE (test_descriptors_outlive_permissions),
    CASE (test_a_descriptor_is_not_opened_again_for_more),
    CASE (test_file_handles_open_nothing_for_users),
    CASE (test_a_root_of_ones_own_namespace_may_no_more),
  };

  return cmocka_run_group_tests_name ("users of files", cases, NULL, NULL);
}
