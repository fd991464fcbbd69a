/* SPDX-License-Identifier: MIT */

/* What stat(2) and statvfs(2) show, and how it is changed. */

#include "tests/mount/posix.h"

#include "tests/mount/calls.h"

#include <sys/statvfs.h>
#include <time.h>

#define LONG_AGO 1000000000

enum { NOTHING = 0, MTIME = 1, CTIME = 2, BOTH = MTIME | CTIME };

static bool
is_later (struct timespec one, struct timespec other)
{
  return one.tv_sec != other.tv_sec ? one.tv_sec > other.tv_sec : one.tv_nsec > other.tv_nsec;
}

static bool
is_same (struct timespec one, struct timespec other)
{
  return one.tv_sec == other.tv_sec && one.tv_nsec == other.tv_nsec;
}

static void
assert_time (struct timespec time, int64_t seconds, long ns)
{
  assert_int_equal (time.tv_sec, seconds);
  assert_int_equal (time.tv_nsec, ns);
}

/* Gives `path` an old mtime, and waits until the clock that file systems use has left its ctime
 * behind. */
static struct stat
age (const char *path)
{
  struct timespec times[2] = { { .tv_sec = LONG_AGO }, { .tv_sec = LONG_AGO } };
  struct timespec now, ms = { .tv_nsec = 1000000 };

  assert_ok (utimensat (AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW));
  struct stat st = calls_stat (path);
  while (clock_gettime (CLOCK_REALTIME_COARSE, &now), !is_later (now, st.st_ctim))
    nanosleep (&ms, NULL);
  return st;
}

/* Which times of `path` have moved on. They must not have moved anywhere else. */
static int
moved_since (const char *path, const struct stat *before)
{
  struct stat st = calls_stat (path);
  int moved = 0;

  if (!is_same (st.st_mtim, before->st_mtim)) {
    assert_true (is_later (st.st_mtim, before->st_ctim));
    moved |= MTIME;
  }
  if (!is_same (st.st_ctim, before->st_ctim)) {
    assert_true (is_later (st.st_ctim, before->st_ctim));
    moved |= CTIME;
  }
  return moved;
}

/* The call must move just these times of `path`. */
#define assert_moves(times, path, call)                                                            \
  do {                                                                                             \
    struct stat before_ = age (path);                                                              \
    assert_ok (call);                                                                              \
    assert_int_equal (moved_since ((path), &before_), (times));                                    \
  } while (0)

static void
test_the_mask_applies_to_new_files (void **state)
{
  umask (027);
  close (open ("f", O_WRONLY | O_CREAT, 0666));
  int error = mkdir ("d", 0777);
  umask (022);
  assert_ok (error);
  assert_int_equal (calls_stat ("f").st_mode, S_IFREG | 0640);
  assert_int_equal (calls_stat ("d").st_mode, S_IFDIR | 0750);
}

static void
test_chmod_sets_all_bits (void **state)
{
  calls_put ("f", "");
  assert_ok (mkdir ("d", 0755));
  for (mode_t mode = 0; mode <= 07777; mode = mode * 2 + 1) {
    assert_ok (chmod ("f", mode));
    assert_int_equal (calls_stat ("f").st_mode, S_IFREG | mode);
    assert_ok (chmod ("d", 07777 - mode));
    assert_int_equal (calls_stat ("d").st_mode, S_IFDIR | (07777 - mode));
  }
  int fd = calls_open ("f", O_RDONLY);
  assert_ok (fchmod (fd, 04711));
  assert_int_equal (calls_stat ("f").st_mode, S_IFREG | 04711);
  close (fd);
  assert_fails (ENOENT, chmod ("none", 0644));
}

static void
test_chown_sets_owner_and_group (void **state)
{
  calls_put ("f", "");
  assert_ok (symlink ("f", "s"));
  assert_ok (chown ("f", 1000, 2000));
  assert_int_equal (calls_stat ("f").st_uid, 1000);
  assert_int_equal (calls_stat ("f").st_gid, 2000);
  assert_ok (chown ("s", -1, 3000));
  assert_int_equal (calls_stat ("f").st_uid, 1000);
  assert_int_equal (calls_stat ("f").st_gid, 3000);
  assert_ok (lchown ("s", 4000, -1));
  assert_int_equal (calls_stat ("s").st_uid, 4000);
  assert_int_equal (calls_stat ("s").st_gid, 0);
  assert_int_equal (calls_stat ("f").st_uid, 1000);
  assert_ok (chown ("f", 4000000000, 4000000001));
  assert_int_equal (calls_stat ("f").st_uid, 4000000000);
  assert_int_equal (calls_stat ("f").st_gid, 4000000001);
}

static void
test_chown_takes_the_set_id_bits_away (void **state)
{
  calls_put ("f", "");
  assert_ok (mkdir ("d", 0755));
  assert_ok (chmod ("f", 06755));
  assert_ok (chmod ("d", 06755));
  assert_ok (chown ("f", 1000, 1000));
  assert_ok (chown ("d", 1000, 1000));
  assert_int_equal (calls_stat ("f").st_mode, S_IFREG | 0755);
  assert_int_equal (calls_stat ("d").st_mode, S_IFDIR | 06755);
}

static void
test_times_are_exact_to_the_nanosecond (void **state)
{
  struct timespec times[2] = { { 1234567890, 123456789 }, { 2345678901, 999999999 } };
  int fd;

  calls_put ("f", "");
  assert_ok (mkdir ("d", 0755));
  assert_ok (utimensat (AT_FDCWD, "f", times, 0));
  assert_ok (utimensat (AT_FDCWD, "d", times, 0));
  assert_time (calls_stat ("f").st_atim, 1234567890, 123456789);
  assert_time (calls_stat ("f").st_mtim, 2345678901, 999999999);
  assert_time (calls_stat ("d").st_mtim, 2345678901, 999999999);
  times[0] = (struct timespec){ -1, 1 };
  times[1] = (struct timespec){ -123456789, 999999999 };
  fd = calls_open ("f", O_RDONLY);
  assert_ok (futimens (fd, times));
  assert_time (calls_fstat (fd).st_atim, -1, 1);
  assert_time (calls_fstat (fd).st_mtim, -123456789, 999999999);
  times[0] = times[1] = (struct timespec){ 0, 0 };
  assert_ok (futimens (fd, times));
  assert_time (calls_fstat (fd).st_mtim, 0, 0);
  close (fd);
}

static void
test_one_time_can_be_left_alone (void **state)
{
  struct timespec times[2] = { { 100, 1 }, { 200, 2 } };

  calls_put ("f", "");
  assert_ok (utimensat (AT_FDCWD, "f", times, 0));
  times[0].tv_nsec = UTIME_OMIT;
  times[1] = (struct timespec){ 300, 3 };
  assert_ok (utimensat (AT_FDCWD, "f", times, 0));
  assert_time (calls_stat ("f").st_atim, 100, 1);
  assert_time (calls_stat ("f").st_mtim, 300, 3);
  times[0] = (struct timespec){ 400, 4 };
  times[1].tv_nsec = UTIME_OMIT;
  assert_ok (utimensat (AT_FDCWD, "f", times, 0));
  assert_time (calls_stat ("f").st_atim, 400, 4);
  assert_time (calls_stat ("f").st_mtim, 300, 3);
  times[0].tv_nsec = 1000000000;
  assert_fails (EINVAL, utimensat (AT_FDCWD, "f", times, 0));
}

static void
test_touching_sets_the_time_that_it_is (void **state)
{
  struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_NOW } };

  calls_put ("f", "");
  assert_ok (symlink ("f", "s"));
  assert_moves (BOTH, "f", utimensat (AT_FDCWD, "f", NULL, 0));
  assert_moves (BOTH, "f", utimensat (AT_FDCWD, "f", times, 0));
  assert_time (calls_stat ("f").st_atim, LONG_AGO, 0);
  assert_moves (BOTH, "s", utimensat (AT_FDCWD, "s", NULL, AT_SYMLINK_NOFOLLOW));
  assert_moves (NOTHING, "s", utimensat (AT_FDCWD, "s", NULL, 0));
}

static void
test_changing_a_value_moves_its_times (void **state)
{
  int fd = calls_open ("f", O_RDWR | O_CREAT);
  char byte;

  assert_moves (BOTH, "f", write (fd, "x", 1));
  assert_moves (BOTH, "f", pwrite (fd, "x", 1, 5000));
  assert_moves (BOTH, "f", ftruncate (fd, 10000));
  assert_moves (BOTH, "f", truncate ("f", 100));
  assert_moves (BOTH, "f", close (open ("f", O_WRONLY | O_TRUNC)));
  calls_pwrite (fd, "x", 1, 0);
  assert_moves (NOTHING, "f", pread (fd, &byte, 1, 0));
  assert_moves (NOTHING, "f", close (open ("f", O_RDWR)));
  assert_moves (NOTHING, "f", fsync (fd));
  close (fd);
}

static void
test_changing_attributes_moves_the_ctime (void **state)
{
  calls_put ("f", "");
  assert_moves (CTIME, "f", chmod ("f", 0600));
  assert_moves (CTIME, "f", chown ("f", 1, 1));
  assert_moves (CTIME, "f", link ("f", "g"));
  assert_moves (CTIME, "f", unlink ("g"));
  assert_moves (CTIME, "f", (link ("f", "g"), rename ("g", "h"), unlink ("h")));
  struct stat before = age ("f");
  assert_ok (rename ("f", "g"));
  assert_int_equal (moved_since ("g", &before), CTIME);
}

static void
test_changing_names_moves_the_times_of_the_directory (void **state)
{
  struct stat before;

  assert_ok (mkdir ("d", 0755));
  assert_ok (mkdir ("e", 0755));
  assert_moves (BOTH, "d", close (open ("d/f", O_WRONLY | O_CREAT, 0644)));
  assert_moves (BOTH, "d", mkdir ("d/d", 0755));
  assert_moves (BOTH, "d", symlink ("f", "d/s"));
  assert_moves (BOTH, "d", link ("d/f", "d/g"));
  assert_moves (BOTH, "d", rename ("d/g", "d/h"));
  assert_moves (BOTH, "d", unlink ("d/h"));
  assert_moves (BOTH, "d", renameat2 (AT_FDCWD, "d/f", AT_FDCWD, "d/s", RENAME_EXCHANGE));
  before = age ("e");
  assert_moves (BOTH, "d", rename ("d/d", "e/d"));
  assert_int_equal (moved_since ("e", &before), BOTH);
  before = age ("e");
  assert_moves (BOTH, "d", rename ("e/d", "d/d"));
  assert_int_equal (moved_since ("e", &before), BOTH);
  assert_moves (BOTH, "d", rmdir ("d/d"));
  assert_moves (NOTHING, "d", close (open ("d/s", O_WRONLY | O_TRUNC)));
  assert_moves (NOTHING, "d", chmod ("d/s", 0600));
  assert_moves (CTIME, "d", chmod ("d", 0700));
}

static void
test_failing_calls_move_nothing (void **state)
{
  struct stat before;

  assert_ok (mkdir ("d", 0755));
  calls_put ("d/f", "");
  before = age ("d");
  assert_fails (EEXIST, mkdir ("d/f", 0755));
  assert_fails (EEXIST, link ("d/f", "d/f"));
  assert_fails (ENOENT, unlink ("d/none"));
  assert_fails (ENOENT, rename ("d/none", "d/f"));
  assert_fails (ENOTEMPTY, rmdir ("d"));
  assert_int_equal (moved_since ("d", &before), NOTHING);
}

static void
test_directories_count_those_in_them (void **state)
{
  assert_ok (mkdir ("d", 0755));
  assert_ok (mkdir ("e", 0755));
  assert_int_equal (calls_stat ("d").st_nlink, 2);
  assert_ok (mkdir ("d/a", 0755));
  assert_ok (mkdir ("d/b", 0755));
  calls_put ("d/f", "");
  assert_int_equal (calls_stat ("d").st_nlink, 4);
  assert_ok (rename ("d/a", "e/a"));
  assert_int_equal (calls_stat ("d").st_nlink, 3);
  assert_int_equal (calls_stat ("e").st_nlink, 3);
  assert_ok (rename ("d/b", "e/a"));
  assert_int_equal (calls_stat ("d").st_nlink, 2);
  assert_int_equal (calls_stat ("e").st_nlink, 3);
  assert_ok (rmdir ("e/a"));
  assert_int_equal (calls_stat ("e").st_nlink, 2);
}

static void
test_a_file_is_the_same_by_path_and_by_descriptor (void **state)
{
  int fd = calls_open ("f", O_RDWR | O_CREAT);
  struct stat by_path, by_fd;

  calls_pwrite (fd, "0123456789", 10, 5000);
  by_path = calls_stat ("f");
  by_fd = calls_fstat (fd);
  assert_int_equal (by_path.st_ino, by_fd.st_ino);
  assert_int_equal (by_path.st_dev, by_fd.st_dev);
  assert_int_equal (by_path.st_dev, calls_stat (".").st_dev);
  assert_int_equal (by_path.st_size, 5010);
  assert_int_equal (by_fd.st_size, 5010);
  assert_true (by_path.st_blocks > 0);
  assert_true (by_path.st_blksize > 0);
  assert_true (is_same (by_path.st_mtim, by_fd.st_mtim));
  close (fd);
}

static void
test_a_set_group_directory_hands_its_group_on (void **state)
{
  assert_ok (mkdir ("d", 0755));
  assert_ok (chown ("d", 1000, 2000));
  assert_ok (chmod ("d", 02775));
  calls_put ("d/f", "");
  assert_ok (mkdir ("d/e", 0755));
  assert_ok (symlink ("f", "d/s"));
  assert_int_equal (calls_stat ("d/f").st_gid, 2000);
  assert_int_equal (calls_stat ("d/f").st_uid, 0);
  assert_int_equal (calls_stat ("d/f").st_mode, S_IFREG | 0644);
  assert_int_equal (calls_stat ("d/e").st_gid, 2000);
  assert_int_equal (calls_stat ("d/e").st_mode, S_IFDIR | 02755);
  assert_int_equal (calls_stat ("d/s").st_gid, 2000);
  calls_put ("f", "");
  assert_ok (rename ("f", "d/g"));
  assert_int_equal (calls_stat ("d/g").st_gid, 0);
}

static void
test_statvfs_counts_space_and_files (void **state)
{
  char *bytes = calloc (1, 1024 * 1024);
  struct statvfs before, full, after;
  int fd;

  assert_ok (statvfs (".", &before));
  assert_true (before.f_bsize > 0 && before.f_frsize > 0);
  assert_int_equal (before.f_namemax, 255);
  assert_true (before.f_blocks >= before.f_bfree && before.f_bfree >= before.f_bavail);
  assert_true (before.f_files > before.f_ffree && before.f_ffree >= before.f_favail);
  assert_true (before.f_bavail > 0 && before.f_favail > 0);

  memset (bytes, 'x', 1024 * 1024);
  fd = calls_open ("f", O_RDWR | O_CREAT);
  calls_pwrite (fd, bytes, 1024 * 1024, 0);
  assert_ok (fstatvfs (fd, &full));
  assert_int_equal (full.f_blocks, before.f_blocks);
  assert_int_equal (full.f_files, before.f_files);
  assert_true ((before.f_bfree - full.f_bfree) * full.f_frsize >= 1024 * 1024);
  assert_true (full.f_ffree < before.f_ffree);
  assert_ok (ftruncate (fd, 0));
  assert_ok (fstatvfs (fd, &after));
  assert_true ((after.f_bfree - full.f_bfree) * full.f_frsize >= 1024 * 1024);
  close (fd);
  free (bytes);
}

int
posix_attributes (void)
{
  const struct CMUnitTest cases[] = {
    CASE (test_the_mask_applies_to_new_files),
    CASE (test_chmod_sets_all_bits),
    CASE (test_chown_sets_owner_and_group),
    CASE (test_chown_takes_the_set_id_bits_away),
    CASE (test_times_are_exact_to_the_nanosecond),
    CASE (test_one_time_can_be_left_alone),
    CASE (test_touching_sets_the_time_that_it_is),
    CASE (test_changing_a_value_moves_its_times),
    CASE (test_changing_attributes_moves_the_ctime),
    CASE (test_changing_names_moves_the_times_of_the_directory),
    CASE (test_failing_calls_move_nothing),
    CASE (test_directories_count_those_in_them),
    CASE (test_a_file_is_the_same_by_path_and_by_descriptor),
    CASE (test_a_set_group_directory_hands_its_group_on),
    CASE (test_statvfs_counts_space_and_files),
  };

  return cmocka_run_group_tests_name ("attributes", cases, NULL, NULL);
}
