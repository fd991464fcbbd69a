/* SPDX-License-Identifier: MIT */

/* Names: directories, renames, hard links, symlinks, and what a name may look like. */

#include "tests/mount/posix.h"

#include "tests/mount/calls.h"

#include <limits.h>

static int
exchange (const char *one, const char *other)
{
  return renameat2 (AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
}

static int
rename_to_free (const char *name, const char *free_name)
{
  return renameat2 (AT_FDCWD, name, AT_FDCWD, free_name, RENAME_NOREPLACE);
}

static void
assert_same_file (const char *one, const char *other)
{
  assert_int_equal (calls_stat (one).st_ino, calls_stat (other).st_ino);
  assert_int_equal (calls_stat (one).st_dev, calls_stat (other).st_dev);
}

static void
assert_target (const char *path, const char *target)
{
  char found[PATH_MAX];
  ssize_t size = assert_ok (readlink (path, found, sizeof found));

  assert_int_equal (size, strlen (target));
  assert_memory_equal (found, target, size);
}

static void
test_making_and_removing_directories (void **state)
{
  assert_ok (mkdir ("d", 0755));
  assert_int_equal (calls_stat ("d").st_mode, S_IFDIR | 0755);
  assert_fails (EEXIST, mkdir ("d", 0755));
  calls_put ("f", "");
  assert_fails (EEXIST, mkdir ("f", 0755));
  assert_ok (mkdir ("d/e", 0755));
  calls_put ("d/e/f", "deep");
  assert_text ("d/e/f", "deep");
  assert_fails (ENOTEMPTY, rmdir ("d"));
  assert_fails (ENOTEMPTY, rmdir ("d/e"));
  assert_ok (unlink ("d/e/f"));
  assert_ok (rmdir ("d/e"));
  assert_ok (rmdir ("d"));
  assert_false (calls_exists ("d"));
  assert_fails (ENOENT, rmdir ("d"));
  assert_fails (ENOENT, mkdir ("d/e", 0755));
  assert_ok (mkdir ("d", 0700));
  assert_int_equal (calls_stat ("d").st_mode, S_IFDIR | 0700);
}

static void
test_each_kind_has_its_way_to_be_removed (void **state)
{
  assert_ok (mkdir ("d", 0755));
  calls_put ("f", "");
  assert_ok (symlink ("d", "s"));
  assert_fails (EISDIR, unlink ("d"));
  assert_fails (ENOTDIR, rmdir ("f"));
  assert_fails (ENOTDIR, rmdir ("s"));
  assert_fails (EINVAL, rmdir ("d/."));
  assert_fails (ENOTEMPTY, rmdir ("d/.."));
  assert_fails (ENOTDIR, unlink ("f/"));
  assert_fails (ENOENT, unlink ("none"));
  assert_ok (unlink ("s"));
  assert_true (calls_exists ("d"));
}

static void
test_a_file_is_no_directory_to_walk_through (void **state)
{
  calls_put ("f", "");
  assert_fails (ENOTDIR, open ("f/x", O_RDONLY));
  assert_fails (ENOTDIR, open ("f/x", O_WRONLY | O_CREAT, 0644));
  assert_fails (ENOTDIR, mkdir ("f/x", 0755));
  assert_fails (ENOTDIR, unlink ("f/x"));
  assert_fails (ENOTDIR, rename ("f/x", "g"));
  assert_fails (ENOTDIR, rename ("f", "f/x"));
  assert_fails (ENOTDIR, open ("f/", O_RDONLY));
}

static void
test_a_removed_open_directory_takes_nothing_in (void **state)
{
  struct stat st;
  int fd;

  assert_ok (mkdir ("d", 0755));
  calls_put ("f", "");
  fd = calls_open ("d", O_RDONLY | O_DIRECTORY);
  assert_ok (rmdir ("d"));
  assert_int_equal (calls_fstat (fd).st_nlink, 0);
  assert_fails (ENOENT, openat (fd, "x", O_WRONLY | O_CREAT, 0644));
  assert_fails (ENOENT, mkdirat (fd, "x", 0755));
  assert_fails (ENOENT, symlinkat ("t", fd, "x"));
  assert_fails (ENOENT, linkat (AT_FDCWD, "f", fd, "x", 0));
  assert_fails (ENOENT, renameat (AT_FDCWD, "f", fd, "x"));
  assert_fails (ENOENT, fstatat (fd, "x", &st, 0));
  assert_ok (mkdir ("d", 0755));
  assert_true (calls_stat ("d").st_ino != calls_fstat (fd).st_ino);
  assert_fails (ENOENT, openat (fd, "x", O_WRONLY | O_CREAT, 0644));
  close (fd);
}

static void
test_rename_replaces_a_file (void **state)
{
  calls_put ("a", "a");
  calls_put ("b", "b");
  ino_t ino = calls_stat ("a").st_ino;
  assert_ok (rename ("a", "b"));
  assert_false (calls_exists ("a"));
  assert_text ("b", "a");
  assert_int_equal (calls_stat ("b").st_ino, ino);
  assert_ok (rename ("b", "b"));
  assert_text ("b", "a");
  assert_fails (ENOENT, rename ("a", "b"));
  assert_fails (ENOENT, rename ("b", "none/b"));
  assert_text ("b", "a");
}

static void
test_rename_moves_between_directories (void **state)
{
  int fd;

  assert_ok (mkdir ("one", 0755));
  assert_ok (mkdir ("other", 0755));
  assert_ok (mkdir ("one/d", 0755));
  calls_put ("one/d/f", "f");
  calls_put ("one/f", "file");
  assert_ok (rename ("one/f", "other/g"));
  assert_text ("other/g", "file");
  assert_false (calls_exists ("one/f"));

  fd = calls_open ("one/d", O_RDONLY | O_DIRECTORY);
  assert_ok (rename ("one/d", "other/e"));
  assert_false (calls_exists ("one/d"));
  assert_text ("other/e/f", "f");
  assert_same_file ("other/e/..", "other");
  /* Who stands in it has moved along. */
  close (assert_ok (openat (fd, "f", O_RDONLY)));
  close (assert_ok (openat (fd, "new", O_WRONLY | O_CREAT, 0644)));
  assert_true (calls_exists ("other/e/new"));
  close (fd);
}

static void
test_rename_knows_the_kinds (void **state)
{
  calls_put ("f", "f");
  assert_ok (mkdir ("empty", 0755));
  assert_ok (mkdir ("full", 0755));
  calls_put ("full/x", "x");
  assert_ok (symlink ("full", "s"));

  assert_fails (EISDIR, rename ("f", "empty"));
  assert_fails (ENOTDIR, rename ("full", "f"));
  assert_fails (ENOTDIR, rename ("full", "s"));
  assert_fails (ENOTEMPTY, rename ("empty", "full"));
  assert_ok (rename ("full", "empty"));
  assert_text ("empty/x", "x");
  assert_false (calls_exists ("full"));
  assert_ok (rename ("f", "s"));
  assert_text ("s", "f");
  assert_fails (EBUSY, rename ("empty/.", "other"));
}

static void
test_a_directory_does_not_go_into_itself (void **state)
{
  assert_ok (mkdir ("a", 0755));
  assert_ok (mkdir ("a/b", 0755));
  assert_ok (mkdir ("a/b/c", 0755));
  assert_fails (EINVAL, rename ("a", "a/x"));
  assert_fails (EINVAL, rename ("a", "a/b/c/x"));
  assert_fails (EINVAL, rename ("a", "a/b"));
  assert_fails (ENOTEMPTY, rename ("a/b/c", "a"));
  assert_fails (EINVAL, exchange ("a", "a/b/c"));
  assert_fails (EINVAL, exchange ("a/b/c", "a"));
  assert_ok (rename ("a/b/c", "a/c"));
  assert_ok (rename ("a/b", "a/c/b"));
  assert_true (calls_exists ("a/c/b"));
}

static void
test_rename_noreplace_takes_only_a_free_name (void **state)
{
  calls_put ("a", "a");
  calls_put ("b", "b");
  assert_ok (mkdir ("d", 0755));
  assert_ok (symlink ("nowhere", "s"));
  assert_ok (link ("a", "c"));
  assert_fails (EEXIST, rename_to_free ("a", "b"));
  assert_fails (EEXIST, rename_to_free ("a", "d"));
  assert_fails (EEXIST, rename_to_free ("a", "s"));
  assert_fails (EEXIST, rename_to_free ("a", "c"));
  assert_fails (EEXIST, rename_to_free ("a", "a"));
  assert_fails (ENOENT, rename_to_free ("none", "free"));
  assert_text ("a", "a");
  assert_text ("b", "b");
  assert_ok (rename_to_free ("a", "free"));
  assert_text ("free", "a");
  assert_false (calls_exists ("a"));
  assert_ok (rename_to_free ("d", "e"));
  assert_fails (EINVAL,
                renameat2 (AT_FDCWD, "b", AT_FDCWD, "x", RENAME_NOREPLACE | RENAME_EXCHANGE));
}

static void
test_rename_exchange_swaps_files (void **state)
{
  char byte;
  int fd;

  calls_put ("a", "a");
  calls_put ("b", "b");
  ino_t a = calls_stat ("a").st_ino, b = calls_stat ("b").st_ino;
  fd = calls_open ("a", O_RDONLY);
  assert_ok (exchange ("a", "b"));
  assert_text ("a", "b");
  assert_text ("b", "a");
  assert_int_equal (calls_stat ("a").st_ino, b);
  assert_int_equal (calls_stat ("b").st_ino, a);
  calls_pread (fd, &byte, 1, 0);
  assert_int_equal (byte, 'a');
  assert_int_equal (calls_fstat (fd).st_nlink, 1);
  assert_ok (exchange ("a", "a"));
  assert_fails (ENOENT, exchange ("a", "none"));
  assert_fails (ENOENT, exchange ("none", "a"));
  assert_text ("a", "b");
  close (fd);
}

static void
test_rename_exchange_swaps_a_file_and_a_directory (void **state)
{
  assert_ok (mkdir ("one", 0755));
  assert_ok (mkdir ("other", 0755));
  assert_ok (mkdir ("other/d", 0755));
  calls_put ("other/d/x", "x");
  calls_put ("one/f", "f");
  assert_ok (exchange ("one/f", "other/d"));
  assert_text ("one/f/x", "x");
  assert_text ("other/d", "f");
  assert_same_file ("one/f/..", "one");
  assert_int_equal (calls_stat ("one").st_nlink, 3);
  assert_int_equal (calls_stat ("other").st_nlink, 2);
  assert_ok (exchange ("one/f", "other/d"));
  assert_text ("other/d/x", "x");
  assert_int_equal (calls_stat ("one").st_nlink, 2);
  assert_int_equal (calls_stat ("other").st_nlink, 3);
}

static void
test_hard_links_are_one_file (void **state)
{
  calls_put ("a", "value");
  assert_ok (mkdir ("d", 0755));
  assert_ok (link ("a", "d/b"));
  assert_ok (link ("d/b", "c"));
  assert_same_file ("a", "d/b");
  assert_same_file ("a", "c");
  assert_int_equal (calls_stat ("a").st_nlink, 3);
  assert_int_equal (calls_stat ("c").st_nlink, 3);
  calls_put ("c", "changed");
  assert_text ("a", "changed");
  assert_ok (chmod ("d/b", 0600));
  assert_int_equal (calls_stat ("a").st_mode, S_IFREG | 0600);
  assert_ok (unlink ("a"));
  assert_false (calls_exists ("a"));
  assert_int_equal (calls_stat ("c").st_nlink, 2);
  calls_put ("other", "other");
  assert_ok (rename ("other", "d/b"));
  assert_int_equal (calls_stat ("c").st_nlink, 1);
  assert_text ("c", "changed");
}

static void
test_some_hard_links_cannot_be (void **state)
{
  calls_put ("a", "a");
  calls_put ("b", "b");
  assert_ok (mkdir ("d", 0755));
  assert_fails (EEXIST, link ("a", "b"));
  assert_fails (EEXIST, link ("a", "a"));
  assert_fails (EEXIST, link ("a", "d"));
  assert_fails (EPERM, link ("d", "e"));
  assert_fails (ENOENT, link ("none", "c"));
  assert_fails (ENOENT, link ("a", "none/c"));
  assert_int_equal (calls_stat ("a").st_nlink, 1);
}

static void
test_renaming_a_hard_link_over_another_does_nothing (void **state)
{
  calls_put ("a", "a");
  assert_ok (mkdir ("d", 0755));
  assert_ok (link ("a", "b"));
  assert_ok (link ("a", "d/c"));
  assert_ok (rename ("a", "b"));
  assert_ok (rename ("a", "d/c"));
  assert_ok (exchange ("a", "d/c"));
  assert_true (calls_exists ("a"));
  assert_true (calls_exists ("b"));
  assert_true (calls_exists ("d/c"));
  assert_int_equal (calls_stat ("a").st_nlink, 3);
}

static void
test_symlinks_hold_their_text (void **state)
{
  char longest[PATH_MAX], part[4];

  assert_ok (symlink ("some/where", "s"));
  assert_target ("s", "some/where");
  assert_int_equal (calls_stat ("s").st_size, strlen ("some/where"));
  assert_int_equal (calls_stat ("s").st_mode, S_IFLNK | 0777);
  assert_int_equal (readlink ("s", part, sizeof part), sizeof part);
  assert_memory_equal (part, "some", 4);
  assert_fails (EEXIST, symlink ("other", "s"));
  assert_fails (ENOENT, symlink ("", "empty"));
  calls_put ("f", "");
  assert_fails (EEXIST, symlink ("other", "f"));
  assert_fails (EINVAL, readlink ("f", part, sizeof part));
  assert_fails (ENOENT, readlink ("none", part, sizeof part));

  memset (longest, 'x', sizeof longest);
  assert_fails (ENAMETOOLONG, symlink (longest, "long"));
  longest[sizeof longest - 1] = '\0';
  assert_ok (symlink (longest, "long"));
  assert_target ("long", longest);
}

static void
test_symlinks_are_followed (void **state)
{
  struct stat st;

  assert_ok (mkdir ("d", 0755));
  calls_put ("d/f", "value");
  assert_ok (symlink ("d", "s"));
  assert_ok (symlink ("s/f", "t"));
  assert_text ("s/f", "value");
  assert_text ("t", "value");
  assert_ok (stat ("t", &st));
  assert_int_equal (st.st_ino, calls_stat ("d/f").st_ino);
  assert_ok (chmod ("t", 0600));
  assert_int_equal (calls_stat ("d/f").st_mode, S_IFREG | 0600);
  assert_ok (symlink ("d/new", "u"));
  assert_fails (ENOENT, open ("u", O_RDONLY));
  calls_put ("u", "made through it");
  assert_text ("d/new", "made through it");
  assert_ok (unlink ("t"));
  assert_true (calls_exists ("d/f"));

  assert_ok (symlink ("loop", "loop"));
  assert_fails (ELOOP, open ("loop", O_RDONLY));
  assert_fails (ELOOP, stat ("loop", &st));
  assert_ok (lstat ("loop", &st));
}

static void
test_a_symlink_itself_can_be_linked_and_moved (void **state)
{
  calls_put ("f", "value");
  assert_ok (symlink ("f", "s"));
  assert_ok (linkat (AT_FDCWD, "s", AT_FDCWD, "t", 0));
  assert_same_file ("s", "t");
  assert_target ("t", "f");
  assert_int_equal (calls_stat ("s").st_nlink, 2);
  assert_ok (linkat (AT_FDCWD, "s", AT_FDCWD, "g", AT_SYMLINK_FOLLOW));
  assert_same_file ("f", "g");
  assert_ok (rename ("s", "u"));
  assert_target ("u", "f");
  assert_text ("u", "value");
}

static void
test_opening_only_what_was_asked_for (void **state)
{
  struct stat st;
  int fd;

  calls_put ("f", "");
  assert_ok (mkdir ("d", 0755));
  assert_ok (symlink ("f", "s"));
  assert_ok (symlink ("d", "t"));
  assert_fails (ENOTDIR, open ("f", O_RDONLY | O_DIRECTORY));
  assert_fails (ENOTDIR, open ("s", O_RDONLY | O_DIRECTORY));
  assert_fails (ELOOP, open ("s", O_RDONLY | O_NOFOLLOW));
  assert_fails (ELOOP, open ("s", O_WRONLY | O_CREAT | O_NOFOLLOW, 0644));
  assert_fails (ENOTDIR, open ("t", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  close (calls_open ("t", O_RDONLY | O_DIRECTORY));
  close (calls_open ("f", O_RDONLY | O_NOFOLLOW));
  fd = calls_open ("s", O_PATH | O_NOFOLLOW);
  assert_ok (fstat (fd, &st));
  assert_int_equal (st.st_mode, S_IFLNK | 0777);
  close (fd);
}

/* A name of `length` times the same byte; the last one made of each length up to 256 is kept. */
static char *
long_name (size_t length)
{
  static char names[257][257];

  memset (names[length], 'n', length);
  return names[length];
}

static void
test_a_file_handle_leads_to_its_file (void **state)
{
  union {
    struct file_handle handle;
    char space[sizeof (struct file_handle) + MAX_HANDLE_SZ];
  } here = { .handle.handle_bytes = MAX_HANDLE_SZ };
  int mount_id, directory, fd;
  char byte;

  calls_put ("f", "value");
  assert_ok (name_to_handle_at (AT_FDCWD, "f", &here.handle, &mount_id, 0));
  directory = calls_open (".", O_RDONLY | O_DIRECTORY);
  assert_ok (rename ("f", "g"));
  fd = assert_ok (open_by_handle_at (directory, &here.handle, O_RDONLY));
  calls_pread (fd, &byte, 1, 0);
  assert_int_equal (byte, 'v');
  close (fd);
  assert_ok (unlink ("g"));
  /* Whoever answered the read may hold the file for a moment longer. */
  for (int i = 0; i < 1000 && (fd = open_by_handle_at (directory, &here.handle, O_RDONLY)) >= 0;
       i++) {
    close (fd);
    usleep (10000);
  }
  assert_fails (ESTALE, open_by_handle_at (directory, &here.handle, O_RDONLY));
  close (directory);
}

static void
test_names_have_up_to_255_bytes (void **state)
{
  char *good = long_name (255), *bad = long_name (256);
  struct stat st;

  calls_put (good, "value");
  assert_text (good, "value");
  assert_ok (rename (good, "short"));
  assert_ok (link ("short", good));
  assert_ok (unlink (good));
  assert_ok (symlink ("short", good));
  assert_ok (unlink (good));
  assert_ok (mkdir (good, 0755));
  assert_ok (rmdir (good));
  assert_ok (rename ("short", good));

  assert_fails (ENAMETOOLONG, open (bad, O_WRONLY | O_CREAT, 0644));
  assert_fails (ENAMETOOLONG, open (bad, O_RDONLY));
  assert_fails (ENAMETOOLONG, stat (bad, &st));
  assert_fails (ENAMETOOLONG, mkdir (bad, 0755));
  assert_fails (ENAMETOOLONG, rmdir (bad));
  assert_fails (ENAMETOOLONG, unlink (bad));
  assert_fails (ENAMETOOLONG, symlink ("x", bad));
  assert_fails (ENAMETOOLONG, link (good, bad));
  assert_fails (ENAMETOOLONG, rename (good, bad));
  assert_fails (ENAMETOOLONG, rename_to_free (good, bad));
  assert_text (good, "value");
}

static void
test_names_are_made_of_any_bytes (void **state)
{
  char name[8], all[256], value[8];
  bool seen[256] = { 0 };
  struct dirent *entry;
  size_t length = 0;

  for (int byte = 1; byte < 256; byte++)
    if (byte != '/') {
      all[length++] = (char)byte;
      snprintf (name, sizeof name, "%c", byte);
      snprintf (value, sizeof value, "%d", byte);
      if (byte != '.')
        calls_put (name, value);
    }
  all[length] = '\0';
  calls_put (all, "all of them");
  assert_text (all, "all of them");
  calls_put ("...", "three dots");
  calls_put ("\xff\xfe", "no UTF-8");

  DIR *dir = opendir (".");
  while ((entry = readdir (dir)) != NULL)
    if (strlen (entry->d_name) == 1 && entry->d_name[0] != '.') {
      snprintf (value, sizeof value, "%d", (unsigned char)entry->d_name[0]);
      assert_text (entry->d_name, value);
      assert_false (seen[(unsigned char)entry->d_name[0]]);
      seen[(unsigned char)entry->d_name[0]] = true;
    }
  closedir (dir);
  for (int byte = 1; byte < 256; byte++)
    assert_int_equal (seen[byte], byte != '/' && byte != '.');
}

static void
test_a_working_directory_knows_its_path (void **state)
{
  char before[PATH_MAX], after[PATH_MAX];

  assert_ok (mkdir ("a", 0755));
  assert_ok (mkdir ("b", 0755));
  assert_ok (chdir ("a"));
  assert_non_null (getcwd (before, sizeof before));
  assert_ok (rename ("../a", "../b/a"));
  assert_non_null (getcwd (after, sizeof after));
  assert_string_equal (strrchr (before, '/'), "/a");
  assert_string_equal (after + strlen (after) - 4, "/b/a");
  assert_ok (chdir ("../.."));
  assert_ok (rmdir ("b/a"));
}

static void
test_paths_can_be_deep (void **state)
{
  int fd = calls_open (".", O_RDONLY | O_DIRECTORY);

  for (int depth = 0; depth < 1000; depth++) {
    assert_ok (mkdirat (fd, "d", 0755));
    int inner = assert_ok (openat (fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    close (fd);
    fd = inner;
  }
  close (fd);
  assert_ok (rename ("d", "e"));
  assert_fails (EINVAL, rename ("e", "e/d/d/d/x"));
}

int
posix_names (void)
{
  const struct CMUnitTest cases[] = {
    CASE (test_making_and_removing_directories),
    CASE (test_each_kind_has_its_way_to_be_removed),
    CASE (test_a_file_is_no_directory_to_walk_through),
    CASE (test_a_removed_open_directory_takes_nothing_in),
    CASE (test_rename_replaces_a_file),
    CASE (test_rename_moves_between_directories),
    CASE (test_rename_knows_the_kinds),
    CASE (test_a_directory_does_not_go_into_itself),
    CASE (test_rename_noreplace_takes_only_a_free_name),
    CASE (test_rename_exchange_swaps_files),
    CASE (test_rename_exchange_swaps_a_file_and_a_directory),
    CASE (test_hard_links_are_one_file),
    CASE (test_some_hard_links_cannot_be),
    CASE (test_renaming_a_hard_link_over_another_does_nothing),
    CASE (test_symlinks_hold_their_text),
    CASE (test_symlinks_are_followed),
    CASE (test_a_symlink_itself_can_be_linked_and_moved),
    CASE (test_opening_only_what_was_asked_for),
    CASE (test_a_file_handle_leads_to_its_file),
    CASE (test_names_have_up_to_255_bytes),
    CASE (test_names_are_made_of_any_bytes),
    CASE (test_a_working_directory_knows_its_path),
    CASE (test_paths_can_be_deep),
  };

  return cmocka_run_group_tests_name ("names", cases, NULL, NULL);
}
