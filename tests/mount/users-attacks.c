/* SPDX-License-Identifier: MIT */

/* Cases about bob, who tries to make alice's keys vanish, to keep her lease alive, to see what she
 * hides, or to get hold of what is hers, and fails. */

#include "tests/mount/users.h"

/* A lease of bob's beside alice's. */
static void
begin_with_two_leases (void)
{
  users_begin_with_lease ();
  users_become (BOB);
  assert_ok (mkdir ("leases/b", 0755));
  calls_write ("leases/b/ttl", "1000\n");
}

static void
test_symlinks_attach_and_refresh_nothing_of_others (void **state)
{
  begin_with_two_leases ();
  assert_ok (symlink ("alices", "file"));
  assert_ok (symlink ("leases/a", "lease"));
  assert_ok (symlink (".", "here"));
  calls_write ("leases/b/keys", "file\nlease\n");
  users_write_fails (ELOOP, "leases/b/keys", "here/alices\n");
  users_write_fails (ELOOP, "leases/b/keys", "file/\n");
  assert_fails (EACCES, utimensat (AT_FDCWD, "file", NULL, 0));
  assert_fails (EACCES, utimensat (AT_FDCWD, "lease/ttl", NULL, 0));
  assert_fails (EACCES, open ("lease/keys", O_WRONLY));
  assert_text ("leases/b/keys", "file\nlease\n");
  assert_ok (rmdir ("leases/b"));
  assert_text ("leases/a/keys", "alices\n");
  assert_false (calls_exists ("file"));
}

static void
test_dots_in_keys_lead_around_no_check (void **state)
{
  static const char *const lines[] = { "leases/b/../../alices\n", "./alices\n", "//alices\n",
                                       "mine/../alices\n", "../../alices\n" };

  begin_with_two_leases ();
  assert_ok (mkdir ("mine", 0700));
  assert_ok (mkdir ("leases/b/d", 0755));
  for (int i = 0; i < 5; i++)
    users_write_fails (EPERM, "leases/b/keys", lines[i]);
  users_write_fails (EINVAL, "leases/b/keys", "leases/b/d/../../a\n");
  users_write_fails (EINVAL, "leases/b/keys", "leases/b/d/..\n");
  users_write_fails (EINVAL, "leases/b/keys", "mine/..\n");
  users_write_fails (EINVAL, "leases/b/keys", "mine/../leases\n");
  users_write_fails (EINVAL, "leases/b/keys", "leases/b/../a/ttl\n");
  users_write_fails (ENOTDIR, "leases/b/keys", "bobs/../alices\n");
  assert_text ("leases/b/keys", "leases/b/d\n");
}

static void
test_a_descriptor_for_reading_is_not_opened_again_to_write (void **state)
{
  static const char *const names[] = { "leases/a/ttl", "leases/a/keys", "alices" };
  char path[64];

  begin_with_two_leases ();
  for (int i = 0; i < 3; i++) {
    for (int flags = O_RDONLY; flags != -1; flags = flags == O_RDONLY ? O_PATH : -1) {
      int64_t before = users_last_refresh ();
      int fd = calls_open (names[i], flags);
      snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
      assert_fails (EACCES, open (path, O_WRONLY));
      assert_fails (EACCES, utimensat (AT_FDCWD, path, NULL, 0));
      assert_fails (EPERM, chmod (path, 0666));
      assert_fails (EBADF, write (fd, "\n", 1));
      close (fd);
      assert_true (users_last_refresh () == before);
    }
  }
}

/* As everywhere, a descriptor keeps the permissions that it was opened with; what a key's owner
 * must agree to is asked at each write. */
static void
test_an_old_descriptor_of_keys_attaches_nothing_of_others (void **state)
{
  begin_with_two_leases ();
  int fd = calls_open ("leases/b/keys", O_WRONLY);
  users_become (ROOT);
  assert_ok (chown ("leases/b", ALICE, ALICE));
  users_become (BOB);
  assert_fails (EACCES, open ("leases/b/keys", O_WRONLY));
  assert_fails (EPERM, write (fd, "alices\n", 7));
  users_become (ALICE);
  calls_write ("leases/b/keys", "alices\n");
  users_become (BOB);
  assert_fails (EPERM, write (fd, "-alices\n", 8));
  assert_fails (EACCES, write (fd, "bobs\n", 5));
  assert_text ("leases/b/keys", "alices\n");
  close (fd);
}

static void
test_an_old_descriptor_of_ttl_ends_with_the_lease (void **state)
{
  begin_with_two_leases ();
  users_become (ALICE);
  assert_ok (chmod ("leases/a/ttl", 0666));
  users_become (BOB);
  int fd = calls_open ("leases/a/ttl", O_WRONLY);
  users_become (ALICE);
  assert_ok (chmod ("leases/a/ttl", 0644));
  assert_ok (rmdir ("leases/a"));
  assert_ok (mkdir ("leases/a", 0755));
  users_become (BOB);
  assert_fails (ESTALE, write (fd, "2000\n", 5));
  assert_fails (ESTALE, futimens (fd, NULL));
  close (fd);
  assert_text ("leases/a/granted", "0\n");
}

/* An ID that has become free is anybody's; what alice had open is not. */
static void
test_taking_over_an_id_takes_over_nothing_else (void **state)
{
  users_begin_with_lease ();
  int ttl = calls_open ("leases/a/ttl", O_WRONLY), keys = calls_open ("leases/a/keys", O_WRONLY);
  int directory = calls_open ("leases/a", O_RDONLY | O_DIRECTORY);
  calls_write ("leases/a/ttl", "0.05\n");
  calls_wait_until (calls_now () + 50 * 1000000);
  users_become (BOB);
  assert_ok (mkdir ("leases/a", 0777));
  assert_ok (chmod ("leases/a", 0777));
  calls_write ("leases/a/ttl", "1000\n");
  users_become (ALICE);
  calls_put ("alices", "value");
  assert_fails (ESTALE, write (ttl, "5\n", 2));
  assert_fails (ESTALE, write (keys, "alices\n", 7));
  assert_fails_either (ENOENT, ESTALE, openat (directory, "new", O_WRONLY | O_CREAT, 0644));
  assert_fails_either (ENOENT, ESTALE, renameat (AT_FDCWD, "alices", directory, "alices"));
  assert_fails (EACCES, open ("leases/a/ttl", O_WRONLY));
  assert_fails (EPERM, rmdir ("leases/a"));
  close (ttl);
  close (keys);
  close (directory);
  assert_text ("leases/a/keys", "");
}

static void
test_a_directory_held_open_lets_nobody_in_later (void **state)
{
  begin_with_two_leases ();
  int directory = calls_open ("leases/a", O_RDONLY | O_DIRECTORY);
  users_become (ALICE);
  assert_ok (chmod ("leases/a", 0700));
  calls_put ("leases/a/secret", "value");
  users_become (BOB);
  assert_fails (EACCES, openat (directory, "ttl", O_RDONLY));
  assert_fails (EACCES, openat (directory, "secret", O_RDONLY));
  assert_fails (EACCES, openat (directory, "missing", O_RDONLY));
  assert_fails (EACCES, renameat (AT_FDCWD, "bobs", directory, "bobs"));
  assert_fails (EACCES, renameat (directory, "secret", AT_FDCWD, "stolen"));
  assert_fails (EACCES, futimens (directory, NULL));
  assert_fails (EPERM, fchmod (directory, 0777));
  close (directory);
}

/* Bob may rename alice's file where the directory lets him, which changes nothing of its life. */
static void
test_moving_a_key_of_others_leaves_its_lease_alone (void **state)
{
  users_make_shared (0777);
  begin_with_two_leases ();
  users_become (ALICE);
  assert_ok (rename ("alices", "shared/alices"));
  users_become (BOB);
  assert_ok (mkdir ("attached", 0755));
  calls_write ("leases/b/keys", "attached\n");
  assert_ok (rename ("shared/alices", "attached/stolen"));
  users_write_fails (EPERM, "leases/b/keys", "attached/stolen\n");
  assert_fails (EPERM, rename ("attached/stolen", "leases/b/stolen"));
  assert_text ("leases/a/keys", "attached/stolen\n");
  assert_text ("leases/b/keys", "attached\n");
  assert_ok (rmdir ("leases/b"));
  assert_text ("attached/stolen", "value");
  users_become (ALICE);
  assert_ok (rmdir ("leases/a"));
  assert_false (calls_exists ("attached/stolen"));
}

static void
test_a_whiteout_in_place_of_a_key_takes_no_lease (void **state)
{
  users_make_shared (0777);
  begin_with_two_leases ();
  users_become (ALICE);
  assert_ok (rename ("alices", "shared/alices"));
  users_become (BOB);
  assert_ok (renameat2 (AT_FDCWD, "shared/alices", AT_FDCWD, "shared/moved", RENAME_WHITEOUT));
  assert_fails (EPERM,
                renameat2 (AT_FDCWD, "shared/moved", AT_FDCWD, "leases/b/x", RENAME_WHITEOUT));
  assert_text ("leases/a/keys", "shared/moved\n");
  assert_text ("leases/b/keys", "");
  assert_int_equal (calls_stat ("shared/alices").st_uid, BOB);
}

static void
test_a_set_group_id_lease_gives_its_group_and_no_more (void **state)
{
  begin_with_two_leases ();
  users_become_member (ALICE, MEMBER_SUPPLEMENTARY);
  assert_ok (chmod ("leases/a", 02777));
  users_become (BOB);
  calls_put ("leases/a/bobs", "value");
  assert_ok (mkdir ("leases/a/d", 0755));
  assert_int_equal (calls_stat ("leases/a/bobs").st_gid, TEAM);
  assert_int_equal (calls_stat ("leases/a/d").st_mode, S_IFDIR | 02755);
  assert_ok (chmod ("leases/a/bobs", 02755));
  assert_int_equal (calls_stat ("leases/a/bobs").st_mode, S_IFREG | 0755);
  int64_t before = users_last_refresh ();
  users_touch ("leases/a/bobs");
  assert_true (users_last_refresh () == before);
  assert_fails (EACCES, open ("leases/a/ttl", O_WRONLY));
  assert_fails (EPERM, chown ("leases/b", -1, TEAM));
}

static void
test_leases_and_their_files_are_not_exchanged (void **state)
{
  begin_with_two_leases ();
  users_become (ALICE);
  assert_ok (chmod ("leases/a", 0777));
  users_become (BOB);
  assert_ok (mkdir ("d", 0777));
  for (int flags = 0; flags <= RENAME_EXCHANGE; flags += RENAME_EXCHANGE) {
    assert_fails (EPERM, renameat2 (AT_FDCWD, "leases/b", AT_FDCWD, "leases/a", flags));
    assert_fails (EPERM, renameat2 (AT_FDCWD, "d", AT_FDCWD, "leases/b", flags));
    assert_fails (EPERM, renameat2 (AT_FDCWD, "bobs", AT_FDCWD, "leases/a/ttl", flags));
    assert_fails (EPERM, renameat2 (AT_FDCWD, "leases/a/keys", AT_FDCWD, "bobs", flags));
    assert_fails (EPERM, renameat2 (AT_FDCWD, "leases/b/ttl", AT_FDCWD, "leases/a/ttl", flags));
    assert_fails (EPERM, renameat2 (AT_FDCWD, "d", AT_FDCWD, "leases", flags));
  }
  assert_fails (EPERM, link ("leases/b/keys", "leases/a/link"));
  assert_fails (EPERM, link ("leases/b/keys", "link"));
  assert_text ("leases/a/keys", "alices\n");
}

/* Its name only: hers lives on elsewhere. */
static void
test_a_link_to_a_key_of_others_in_a_lease_ends_alone (void **state)
{
  begin_with_two_leases ();
  users_become (ALICE);
  calls_put ("free", "value");
  assert_ok (chmod ("free", 0666));
  users_become (BOB);
  assert_ok (mkdir ("d", 0755));
  calls_write ("leases/b/keys", "d\n");
  assert_ok (link ("free", "d/link"));
  assert_fails (EPERM, link ("free", "leases/b/link"));
  assert_text ("leases/b/keys", "d\n");
  assert_ok (rmdir ("leases/b"));
  assert_text ("free", "value");
  assert_text ("d/link", "value");
}

static void
test_exact_times_refresh_nothing (void **state)
{
  struct timespec exact[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
  struct timespec only_access[2] = { { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_OMIT } };
  struct timespec only_change[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_NOW } };

  begin_with_two_leases ();
  users_become (ALICE);
  assert_ok (chmod ("alices", 0666));
  users_become (BOB);
  int64_t before = users_last_refresh ();
  assert_fails (EPERM, utimensat (AT_FDCWD, "alices", exact, 0));
  assert_fails (EPERM, utimensat (AT_FDCWD, "alices", only_change, 0));
  assert_fails (EPERM, utimensat (AT_FDCWD, "alices", only_access, 0));
  calls_put ("alices", "written");
  assert_ok (truncate ("alices", 3));
  assert_true (users_last_refresh () == before);
}

int
users_run_attacks (void)
{
  const struct CMUnitTest cases[] = {
    CASE_IN_ROOT (test_symlinks_attach_and_refresh_nothing_of_others),
    CASE_IN_ROOT (test_dots_in_keys_lead_around_no_check),
    CASE_IN_ROOT (test_a_descriptor_for_reading_is_not_opened_again_to_write),
    CASE_IN_ROOT (test_an_old_descriptor_of_keys_attaches_nothing_of_others),
    CASE_IN_ROOT (test_an_old_descriptor_of_ttl_ends_with_the_lease),
    CASE_IN_ROOT (test_taking_over_an_id_takes_over_nothing_else),
    CASE_IN_ROOT (test_a_directory_held_open_lets_nobody_in_later),
    CASE_IN_ROOT (test_moving_a_key_of_others_leaves_its_lease_alone),
    CASE_IN_ROOT (test_a_whiteout_in_place_of_a_key_takes_no_lease),
    CASE_IN_ROOT (test_a_set_group_id_lease_gives_its_group_and_no_more),
    CASE_IN_ROOT (test_leases_and_their_files_are_not_exchanged),
    CASE_IN_ROOT (test_a_link_to_a_key_of_others_in_a_lease_ends_alone),
    CASE_IN_ROOT (test_exact_times_refresh_nothing),
  };

  return cmocka_run_group_tests_name ("users against each other", cases, NULL, NULL);
}
