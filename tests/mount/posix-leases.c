/* SPDX-License-Identifier: MIT */

/* The rules of leases/, and what descriptors and names do across the end of a lease. What is
 * asserted about an end is asserted after the deadline, by the clock: no delay can break it. */

#include "tests/mount/posix.h"

#include "tests/mount/calls.h"

#include <poll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define MS INT64_C (1000000)
#define SHORT_MS 250
#define COMMAND_MAX (512 * 1024)

static int
exchange (const char *one, const char *other)
{
  return renameat2 (AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
}

/* The path of a file in the directory of a lease, until the next call but three. */
static const char *
in_lease (const char *id, const char *name)
{
  static char paths[4][128];
  static unsigned next;
  char *path = paths[next++ % 4];

  snprintf (path, sizeof paths[0], "leases/%s/%s", id, name);
  return path;
}

/* A lease with a TTL that is long enough for any test. */
static void
make_lease (const char *id)
{
  char path[64];

  snprintf (path, sizeof path, "leases/%s", id);
  assert_ok (mkdir (path, 0755));
  calls_write (in_lease (id, "ttl"), "1000\n");
}

static void
make_key (const char *id, const char *key, const char *value)
{
  calls_put (key, value);
  calls_write (in_lease (id, "keys"), key);
}

/* Lets the lease end, and waits until it has. */
static void
wait_for_end (const char *id)
{
  char ttl[32];

  snprintf (ttl, sizeof ttl, "%.3f\n", SHORT_MS / 1000.0);
  calls_write (in_lease (id, "ttl"), ttl);
  calls_wait_until (calls_now () + SHORT_MS * MS);
}

static void
test_only_directories_are_made_in_leases (void **state)
{
  calls_put ("f", "");
  assert_ok (mkdir ("d", 0755));
  assert_fails (EPERM, open ("leases/x", O_WRONLY | O_CREAT, 0644));
  assert_fails (EPERM, open ("leases/x", O_WRONLY | O_CREAT | O_EXCL, 0644));
  assert_fails (EPERM, symlink ("f", "leases/x"));
  assert_fails (EPERM, link ("f", "leases/x"));
  assert_fails (EPERM, rename ("f", "leases/x"));
  assert_fails (EPERM, rename ("d", "leases/x"));
  assert_fails (EPERM, mknod ("leases/x", S_IFREG | 0644, 0));
  assert_false (calls_exists ("leases/x"));
  make_lease ("x");
  assert_fails (EPERM, exchange ("f", "leases/x"));
  assert_fails (EPERM, exchange ("d", "leases/x"));
  assert_fails (EPERM, rename ("d", "leases/x"));
  assert_true (calls_exists ("f"));
  assert_true (calls_exists ("d"));
}

static void
test_leases_stays (void **state)
{
  assert_ok (mkdir ("d", 0755));
  assert_int_equal (calls_stat ("leases").st_mode, S_IFDIR | S_ISVTX | 0777);
  assert_fails (EPERM, rmdir ("leases"));
  assert_fails (EISDIR, unlink ("leases"));
  assert_fails (EPERM, rename ("leases", "other"));
  assert_fails (EPERM, rename ("leases", "d/leases"));
  assert_fails (EPERM, rename ("leases", "d"));
  assert_fails (EPERM, rename ("d", "leases"));
  assert_fails (EPERM, exchange ("leases", "d"));
  assert_fails (EPERM, exchange ("d", "leases"));
  assert_fails (EEXIST, mkdir ("leases", 0755));
  assert_fails (EPERM, link ("leases", "other"));
  make_lease ("x");
  assert_fails (EPERM, rmdir ("leases"));
  assert_true (calls_exists ("leases/x"));
  /* Elsewhere the name means nothing. */
  assert_ok (mkdir ("d/leases", 0755));
  calls_put ("d/leases/f", "");
  assert_ok (rename ("d/leases", "d/other"));
}

static void
test_a_lease_is_not_renamed (void **state)
{
  assert_ok (mkdir ("d", 0755));
  make_lease ("a");
  make_lease ("b");
  assert_fails (EPERM, rename ("leases/a", "leases/c"));
  assert_fails (EPERM, renameat2 (AT_FDCWD, "leases/a", AT_FDCWD, "leases/c", RENAME_NOREPLACE));
  assert_fails (EPERM, rename ("leases/a", "leases/b"));
  assert_fails (EPERM, rename ("leases/a", "d/a"));
  assert_fails (EPERM, rename ("leases/a", "d"));
  assert_fails (EPERM, exchange ("leases/a", "leases/b"));
  assert_fails (EPERM, exchange ("leases/a", "d"));
  assert_fails (EPERM, rename ("leases/a", "leases/b/a"));
  assert_fails (EINVAL, rename ("leases/a", "leases/a/a"));
  assert_true (calls_exists ("leases/a"));
  assert_true (calls_exists ("leases/b"));
}

static void
test_pseudo_files_stay (void **state)
{
  static const char *const names[] = { "ttl", "granted", "keys", "procs" };

  make_lease ("a");
  make_lease ("b");
  calls_put ("f", "value");
  assert_ok (mkdir ("d", 0755));
  for (int i = 0; i < 4; i++) {
    const char *path = in_lease ("a", names[i]);
    assert_fails (EPERM, unlink (path));
    assert_fails (EPERM, link (path, "other"));
    assert_fails (EPERM, rename (path, "other"));
    assert_fails (EPERM, rename (path, in_lease ("a", "other")));
    assert_fails (EPERM, rename (path, in_lease ("b", names[i])));
    assert_fails (EPERM, rename ("f", path));
    assert_fails (EPERM, exchange ("f", path));
    assert_fails (EPERM, exchange (path, "f"));
    assert_fails (EPERM, exchange ("d", path));
    assert_fails (EEXIST, link ("f", path));
    assert_fails (EEXIST, symlink ("f", path));
    assert_fails (EEXIST, mkdir (path, 0755));
    assert_fails (EEXIST, open (path, O_WRONLY | O_CREAT | O_EXCL, 0644));
    assert_fails (ENOTDIR, rmdir (path));
    assert_fails (EPERM, chown (path, 1000, 1000));
    assert_int_equal (calls_stat (path).st_nlink, 1);
    assert_int_equal (calls_stat (path).st_mode, S_IFREG | (i == 1 ? 0444 : 0644));
  }
  assert_text ("f", "value");
  assert_text ("leases/a/granted", "1000\n");
  assert_text ("leases/a/keys", "");
}

static void
test_the_names_of_leases (void **state)
{
  char path[300] = "leases/";

  assert_fails (EINVAL, mkdir ("leases/.x", 0755));
  assert_fails (EINVAL, mkdir ("leases/..x", 0755));
  assert_fails (EINVAL, mkdir ("leases/...", 0755));
  assert_ok (mkdir ("leases/x.", 0755));
  assert_ok (mkdir ("leases/ttl", 0755));
  assert_ok (mkdir ("leases/a\nb \xff", 0755));
  assert_fails (EEXIST, mkdir ("leases/x.", 0755));
  memset (path + 7, 'x', 256);
  assert_fails (ENAMETOOLONG, mkdir (path, 0755));
  path[7 + 255] = '\0';
  assert_ok (mkdir (path, 0755));
}

static void
test_a_lease_lists_its_files (void **state)
{
  static const char *const expected[] = { ".", "..", "ttl", "granted", "keys", "procs", "value" };
  unsigned seen = 0;
  struct dirent *entry;

  make_lease ("a");
  calls_put ("leases/a/value", "x");
  DIR *dir = opendir ("leases/a");
  while ((entry = readdir (dir)) != NULL) {
    struct stat st;
    assert_ok (fstatat (dirfd (dir), entry->d_name, &st, 0));
    assert_int_equal (entry->d_ino, st.st_ino);
    assert_int_equal (DTTOIF (entry->d_type), st.st_mode & S_IFMT);
    for (int i = 0; i < 7; i++)
      if (strcmp (entry->d_name, expected[i]) == 0)
        seen ^= 1 << i;
  }
  closedir (dir);
  assert_int_equal (seen, 0177);
}

/* A directory path of `length` bytes in all, made on the way. */
static char *
deep_path (size_t length)
{
  static char path[4096];

  memset (path, 'p', length);
  path[length] = '\0';
  for (size_t at = 100; at < length; at += 101) {
    path[at] = '\0';
    assert_ok (mkdir (path, 0755));
    path[at] = '/';
  }
  return path;
}

static void
test_a_command_counts_at_any_offset (void **state)
{
  static const off_t offsets[] = { 0, 1, 3, 100, 4000, 4093, 4094, 4095, 4096, 4097, 8191, 123457 };
  char ttl[257], attach[257], detach[258], found[300], granted[32];
  const char *path = deep_path (255);
  int ttl_fd, keys_fd;

  make_lease ("a");
  calls_put (path, "");
  snprintf (attach, sizeof attach, "%.255s\n", path);
  snprintf (detach, sizeof detach, "-%.255s\n", path);
  ttl_fd = calls_open ("leases/a/ttl", O_RDWR);
  keys_fd = calls_open ("leases/a/keys", O_RDWR);
  for (unsigned i = 0; i < sizeof offsets / sizeof *offsets; i++) {
    snprintf (granted, sizeof granted, "%u\n", 1000 + i);
    snprintf (ttl, sizeof ttl, "%0255u\n", 1000 + i);
    calls_pwrite (ttl_fd, ttl, 256, offsets[i]);
    assert_text ("leases/a/granted", granted);
    snprintf (granted, sizeof granted, "%u\n", 2000 + i);
    calls_pwrite (ttl_fd, granted, 5, offsets[i]);
    assert_text ("leases/a/granted", granted);

    calls_pwrite (keys_fd, attach, 256, offsets[i]);
    calls_pread (keys_fd, found, 256, 0);
    assert_memory_equal (found, attach, 256);
    assert_text ("leases/a/keys", attach);
    calls_pwrite (keys_fd, detach, 257, offsets[i]);
    assert_text ("leases/a/keys", "");
    assert_int_equal (pread (keys_fd, found, sizeof found, 0), 0);
  }
  close (ttl_fd);
  close (keys_fd);
}

static void
test_a_size_means_nothing_to_a_pseudo_file (void **state)
{
  int fd;

  make_lease ("a");
  make_key ("a", "k", "value");
  assert_ok (truncate ("leases/a/granted", 0));
  assert_ok (truncate ("leases/a/keys", 0));
  assert_ok (truncate ("leases/a/keys", 100000));
  assert_text ("leases/a/granted", "1000\n");
  assert_text ("leases/a/keys", "k\n");
  assert_int_equal (calls_stat ("leases/a/keys").st_size, 2);
  fd = calls_open ("leases/a/ttl", O_WRONLY | O_APPEND);
  assert_int_equal (write (fd, "7\n", 2), 2);
  assert_text ("leases/a/granted", "7\n");
  assert_int_equal (write (fd, "1007\n", 5), 5);
  assert_text ("leases/a/granted", "1007\n");
  assert_ok (fsync (fd));
  close (fd);
  calls_put ("leases/a/ttl", "1008\n");
  assert_text ("leases/a/granted", "1008\n");
}

static void
test_a_vector_is_one_command (void **state)
{
  struct iovec parts[] = { { "on", 2 }, { "e\ntwo\n", 6 } };
  int fd;

  make_lease ("a");
  calls_put ("one", "");
  calls_put ("two", "");
  fd = calls_open ("leases/a/keys", O_WRONLY);
  assert_int_equal (writev (fd, parts, 2), 8);
  assert_text ("leases/a/keys", "one\ntwo\n");
  close (fd);
}

static void
test_a_mapping_gives_no_commands (void **state)
{
  char text[8] = "";
  int fd;

  make_lease ("a");
  fd = calls_open ("leases/a/ttl", O_RDWR);
  char *map = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (map != MAP_FAILED) {
    memcpy (map, "2000\n", 5);
    assert_int_equal (msync (map, 4096, MS_SYNC), -1);
    assert_ok (munmap (map, 4096));
  }
  assert_text ("leases/a/granted", "1000\n");
  assert_true (pread (fd, text, sizeof text, 0) > 0);
  assert_in_range (atoi (text), 1, 1000);
  calls_pwrite (fd, "3000\n", 5, 0);
  assert_text ("leases/a/granted", "3000\n");
  close (fd);
  assert_ok (rmdir ("leases/a"));
}

/* `size` bytes of lines that all name the key "k". */
static char *
many_lines (size_t size)
{
  char *lines = malloc (size);

  for (size_t i = 0; i < size; i++)
    lines[i] = i % 2 == 0 ? 'k' : '\n';
  return lines;
}

static void
test_too_large_a_command_is_refused_whole (void **state)
{
  static const size_t sizes[] = { COMMAND_MAX + 2, 1024 * 1024, 1024 * 1024 + 2, 3 * 1024 * 1024 };
  static const off_t offsets[] = { 0, 1, 4095 };
  char *lines = many_lines (3 * 1024 * 1024);
  int fd;

  make_lease ("a");
  calls_put ("k", "");
  fd = calls_open ("leases/a/keys", O_WRONLY);
  for (unsigned i = 0; i < 4; i++)
    for (unsigned j = 0; j < 3; j++) {
      ssize_t count = pwrite (fd, lines, sizes[i], offsets[j]);
      /* Cut by the kernel, it is refused at the second part. */
      if (count > 0 && offsets[j] != 0)
        count = pwrite (fd, lines + count, sizes[i] - count, offsets[j] + count);
      assert_fails (EMSGSIZE, count);
      assert_text ("leases/a/keys", "");
    }
  for (unsigned j = 0; j < 3; j++) {
    calls_pwrite (fd, lines, COMMAND_MAX, offsets[j]);
    assert_text ("leases/a/keys", "k\n");
    calls_write ("leases/a/keys", "-k\n");
  }
  close (fd);
  free (lines);
}

static void
test_many_lines_take_effect_all_or_none (void **state)
{
  int fd;

  make_lease ("a");
  make_lease ("b");
  calls_put ("one", "");
  calls_put ("two", "");
  make_key ("a", "three", "");
  fd = calls_open ("leases/a/keys", O_WRONLY);
  assert_fails (ENOENT, write (fd, "one\ntwo\nnone\n", 13));
  assert_fails (ENOENT, write (fd, "one\n\ntwo\n", 9));
  assert_fails (EINVAL, write (fd, "one\n-three\nleases/b\n", 20));
  assert_fails (EINVAL, write (fd, "one\nleases/a/ttl\n", 17));
  assert_fails (EINVAL, write (fd, "-three\n-one\n", 12));
  assert_fails (EINVAL, write (fd, "one\nt\\wo\n", 9));
  assert_fails (ENOTDIR, write (fd, "one\ntwo/x\n", 10));
  assert_text ("leases/a/keys", "three\n");
  assert_int_equal (write (fd, "one\ntwo\n-three\n", 15), 15);
  assert_text ("leases/a/keys", "one\ntwo\n");
  assert_fails (ENOENT, (lseek (fd, 0, SEEK_SET), write (fd, "-one\n-two\nnone\n", 15)));
  assert_text ("leases/a/keys", "one\ntwo\n");
  close (fd);
}

static void
test_an_open_key_is_stale_after_the_end (void **state)
{
  struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
  struct stat st;
  char bytes[16];
  int fd, reader;

  make_lease ("a");
  make_key ("a", "k", "value");
  fd = calls_open ("k", O_RDWR);
  reader = calls_open ("k", O_RDONLY);
  calls_pread (fd, bytes, 5, 0);
  wait_for_end ("a");
  assert_fails (ESTALE, pread (fd, bytes, 5, 0));
  assert_fails (ESTALE, read (reader, bytes, 5));
  assert_fails (ESTALE, pwrite (fd, "x", 1, 0));
  assert_fails (ESTALE, pwrite (fd, bytes, 16, 4090));
  assert_fails (ESTALE, fstat (fd, &st));
  assert_fails (ESTALE, ftruncate (fd, 0));
  assert_fails (ESTALE, ftruncate (fd, 100));
  assert_fails (ESTALE, futimens (fd, times));
  assert_fails (ESTALE, futimens (fd, NULL));
  assert_fails (ESTALE, fchmod (fd, 0600));
  assert_fails (ESTALE, fchown (fd, 1, 1));
  assert_ok (fsync (fd));
  assert_false (calls_exists ("k"));
  close (fd);
  close (reader);
}

static void
test_open_pseudo_files_are_stale_after_the_end (void **state)
{
  static const char *const names[] = { "ttl", "granted", "keys", "procs" };
  struct stat st;
  char bytes[16];
  int fds[4], dir;

  make_lease ("a");
  make_key ("a", "k", "value");
  calls_put ("other", "value");
  for (int i = 0; i < 4; i++)
    fds[i] = calls_open (in_lease ("a", names[i]), O_RDWR);
  dir = calls_open ("leases/a", O_RDONLY | O_DIRECTORY);
  wait_for_end ("a");
  for (int i = 0; i < 4; i++) {
    assert_fails (ESTALE, pread (fds[i], bytes, sizeof bytes, 0));
    assert_fails (ESTALE, fstat (fds[i], &st));
    assert_fails (ESTALE, futimens (fds[i], NULL));
    assert_fails (ESTALE, ftruncate (fds[i], 0));
    assert_fails (ESTALE, fchmod (fds[i], 0666));
    close (fds[i]);
  }
  fds[0] = -1;
  assert_fails (ESTALE, fstat (dir, &st));
  assert_fails (ESTALE, futimens (dir, NULL));
  close (dir);
  assert_false (calls_exists ("leases/a"));
}

static void
test_commands_to_an_ended_lease_revive_nothing (void **state)
{
  int ttl, keys;

  make_lease ("a");
  make_key ("a", "k", "value");
  calls_put ("other", "value");
  ttl = calls_open ("leases/a/ttl", O_WRONLY);
  keys = calls_open ("leases/a/keys", O_WRONLY);
  wait_for_end ("a");
  assert_fails (ESTALE, write (ttl, "100\n", 4));
  assert_fails (ESTALE, write (ttl, "\n", 1));
  assert_fails (ESTALE, futimens (ttl, NULL));
  assert_fails (ESTALE, write (keys, "other\n", 6));
  assert_fails (ESTALE, write (keys, "-k\n", 3));
  assert_fails (ENOENT, utimensat (AT_FDCWD, "leases/a", NULL, 0));
  assert_fails (ENOENT, utimensat (AT_FDCWD, "k", NULL, 0));
  assert_false (calls_exists ("leases/a"));
  assert_false (calls_exists ("k"));
  assert_text ("other", "value");
  close (ttl);
  close (keys);
}

static void
test_a_revoked_lease_is_stale_at_once (void **state)
{
  struct stat st;
  char byte;
  int fd, ttl;

  make_lease ("a");
  make_key ("a", "k", "value");
  fd = calls_open ("k", O_RDWR);
  calls_pread (fd, &byte, 1, 0);
  ttl = calls_open ("leases/a/ttl", O_RDWR);
  assert_ok (rmdir ("leases/a"));
  assert_false (calls_exists ("k"));
  assert_fails (ESTALE, pread (fd, &byte, 1, 0));
  assert_fails (ESTALE, pwrite (fd, "x", 1, 0));
  assert_fails (ESTALE, fstat (fd, &st));
  assert_fails (ESTALE, pread (ttl, &byte, 1, 0));
  assert_fails (ESTALE, pwrite (ttl, "9\n", 2, 0));
  close (fd);
  close (ttl);
}

static void
test_an_ended_directory_leads_nowhere (void **state)
{
  static const char *const paths[] = { "leases/a", "d" };
  struct stat st;
  int fds[2];

  make_lease ("a");
  assert_ok (mkdir ("d", 0755));
  calls_write ("leases/a/keys", "d\n");
  calls_put ("live", "");
  for (int i = 0; i < 2; i++) {
    fds[i] = calls_open (paths[i], O_RDONLY | O_DIRECTORY);
    close (assert_ok (openat (fds[i], "x", O_WRONLY | O_CREAT, 0644)));
    assert_ok (mkdirat (fds[i], "y", 0755));
  }
  wait_for_end ("a");
  for (int i = 0; i < 2; i++) {
    int fd = fds[i];
    assert_fails_either (ENOENT, ESTALE, openat (fd, "x", O_RDONLY));
    assert_fails_either (ENOENT, ESTALE, openat (fd, "new", O_WRONLY | O_CREAT, 0644));
    assert_fails_either (ENOENT, ESTALE, openat (fd, "x", O_WRONLY | O_CREAT, 0644));
    assert_fails_either (ENOENT, ESTALE, mkdirat (fd, "new", 0755));
    assert_fails_either (ENOENT, ESTALE, symlinkat ("t", fd, "new"));
    assert_fails_either (ENOENT, ESTALE, fstatat (fd, "x", &st, 0));
    assert_fails_either (ENOENT, ESTALE, unlinkat (fd, "x", 0));
    assert_fails_either (ENOENT, ESTALE, unlinkat (fd, "y", AT_REMOVEDIR));
    assert_fails_either (ENOENT, ESTALE, linkat (AT_FDCWD, "live", fd, "new", 0));
    assert_fails_either (ENOENT, ESTALE, renameat (AT_FDCWD, "live", fd, "new"));
    assert_fails_either (ENOENT, ESTALE, renameat (fd, "x", AT_FDCWD, "new"));
    assert_fails (ESTALE, fstat (fd, &st));
    close (fd);
  }
  assert_true (calls_exists ("live"));
  assert_false (calls_exists ("new"));
}

static void
test_who_stands_in_an_ended_directory_sees_nothing (void **state)
{
  struct stat st;
  int ttl;

  make_lease ("a");
  assert_ok (mkdir ("d", 0755));
  calls_write ("leases/a/keys", "d\n");
  ttl = calls_open ("leases/a/ttl", O_WRONLY);
  assert_ok (chdir ("d"));
  calls_put ("x", "value");
  assert_int_equal (write (ttl, "0.25\n", 5), 5);
  calls_wait_until (calls_now () + SHORT_MS * MS);
  assert_fails_either (ENOENT, ESTALE, stat (".", &st));
  assert_fails_either (ENOENT, ESTALE, stat ("x", &st));
  assert_fails_either (ENOENT, ESTALE, open ("x", O_RDONLY));
  assert_fails_either (ENOENT, ESTALE, open ("x", O_WRONLY | O_CREAT, 0644));
  assert_fails_either (ENOENT, ESTALE, open ("new", O_WRONLY | O_CREAT, 0644));
  assert_fails_either (ENOENT, ESTALE, mkdir ("new", 0755));
  close (ttl);
}

static void
test_every_call_by_path_fails_after_the_end (void **state)
{
  struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
  static const char *const names[] = { "k", "other", "d/x" };
  char target[8];
  struct stat st;

  make_lease ("a");
  make_key ("a", "k", "value");
  assert_ok (link ("k", "other"));
  assert_ok (mkdir ("d", 0755));
  calls_write ("leases/a/keys", "d\n");
  calls_put ("d/x", "value");
  assert_ok (symlink ("live", "s"));
  calls_write ("leases/a/keys", "s\n");
  calls_put ("live", "value");
  for (int i = 0; i < 3; i++)
    assert_text (names[i], "value");
  assert_text ("s", "value");
  wait_for_end ("a");

  for (int i = 0; i < 3; i++) {
    assert_fails (ENOENT, stat (names[i], &st));
    assert_fails (ENOENT, lstat (names[i], &st));
    assert_fails (ENOENT, access (names[i], F_OK));
    assert_fails (ENOENT, open (names[i], O_RDONLY));
    assert_fails (ENOENT, open (names[i], O_WRONLY | O_TRUNC));
    assert_fails (ENOENT, open (names[i], O_PATH));
    assert_fails (ENOENT, chmod (names[i], 0600));
    assert_fails (ENOENT, chown (names[i], 1, 1));
    assert_fails (ENOENT, utimensat (AT_FDCWD, names[i], times, 0));
    assert_fails (ENOENT, utimensat (AT_FDCWD, names[i], NULL, 0));
    assert_fails (ENOENT, truncate (names[i], 0));
    assert_fails (ENOENT, link (names[i], "new"));
    assert_fails (ENOENT, rename (names[i], "new"));
    assert_fails (ENOENT, exchange (names[i], "live"));
    assert_fails (ENOENT, exchange ("live", names[i]));
    assert_fails (ENOENT, unlink (names[i]));
    assert_fails (ENOENT, rmdir (names[i]));
  }
  assert_fails (ENOENT, readlink ("s", target, sizeof target));
  assert_fails (ENOENT, open ("s", O_RDONLY));
  assert_fails (ENOENT, unlink ("s"));
  assert_fails (ENOENT, rmdir ("d"));
  assert_fails (ENOENT, open ("d", O_RDONLY | O_DIRECTORY));
  assert_fails (ENOENT, rmdir ("leases/a"));
  assert_fails (ENOENT, mkdir ("leases/a/d", 0755));
  assert_fails (ENOENT, open ("leases/a/ttl", O_WRONLY));
  assert_text ("live", "value");
}

static void
assert_listing (const char *path, int expected)
{
  DIR *dir = opendir (path);
  int count = -2;

  assert_non_null (dir);
  while (readdir (dir) != NULL)
    count++;
  closedir (dir);
  if (count != expected)
    fail_msg ("%s lists %d entries instead of %d", path, count, expected);
}

static void
test_a_new_listing_after_the_end_shows_what_is_left (void **state)
{
  make_lease ("a");
  make_lease ("b");
  assert_ok (mkdir ("d", 0755));
  calls_put ("d/live", "");
  for (int i = 0; i < 40; i++) {
    char name[16];
    snprintf (name, sizeof name, "d/k%d", i);
    make_key ("a", name, "");
  }
  for (int again = 0; again < 3; again++) {
    assert_listing ("d", 41);
    assert_listing ("leases", 2);
  }
  DIR *kept = opendir ("d");
  while (readdir (kept) != NULL)
    ;
  wait_for_end ("a");
  assert_listing ("d", 1);
  assert_listing ("leases", 1);
  rewinddir (kept);
  int count = 0;
  while (readdir (kept) != NULL)
    count++;
  assert_int_equal (count, 3);
  closedir (kept);
}

static void
test_an_unlinked_key_outlives_its_lease (void **state)
{
  char text[8] = "";
  int fd;

  make_lease ("a");
  make_key ("a", "k", "value");
  fd = calls_open ("k", O_RDWR);
  assert_ok (unlink ("k"));
  assert_text ("leases/a/keys", "");
  wait_for_end ("a");
  assert_int_equal (calls_fstat (fd).st_nlink, 0);
  calls_pread (fd, text, 5, 0);
  assert_string_equal (text, "value");
  calls_pwrite (fd, "V", 1, 0);
  close (fd);
}

/* Waits until the clean-up of what has ended has come to the directory of lease `id`, its last
 * step. `watch` is an inotify instance on leases/. */
static void
wait_for_clean_up (int watch, const char *id)
{
  char buffer[4096] __attribute__ ((aligned (8)));
  struct pollfd ready = { .fd = watch, .events = POLLIN };

  for (;;) {
    if (poll (&ready, 1, 30000) != 1)
      fail_msg ("%s is never cleaned up", id);
    ssize_t size = assert_ok (read (watch, buffer, sizeof buffer));
    for (ssize_t at = 0; at < size;) {
      const struct inotify_event *event = (const struct inotify_event *)(buffer + at);
      if ((event->mask & IN_DELETE) && strcmp (event->name, id) == 0)
        return;
      at += sizeof *event + event->len;
    }
  }
}

/* The kernel tries a path again at ESTALE in most calls, but not on the way to making something. */
static void
test_what_is_made_across_the_deadline_finds_no_directory (void **state)
{
  for (int round = 0; round < 40; round++) {
    struct stat st;
    char path[32];

    assert_ok (mkdir ("leases/a", 0755));
    calls_put ("leases/a/ttl", "0.012");
    for (int i = 0; stat ("leases/a", &st) == 0; i++) {
      snprintf (path, sizeof path, "leases/a/%d", i);
      if ((i % 2 == 0 ? mkdir (path, 0755) : symlink ("x", path)) != 0)
        assert_int_equal (errno, ENOENT);
    }
  }
}

static void
test_names_are_free_at_the_deadline (void **state)
{
  static const char *const keys[] = { "creat",  "excl",    "mkdir",    "link", "symlink",
                                      "rename", "renamed", "replaced", "mknod" };
  int watch = inotify_init1 (IN_CLOEXEC);
  char target[16] = "";

  for (int round = 0; round < 5; round++) {
    assert_ok (inotify_add_watch (watch, "leases", IN_DELETE));
    make_lease ("a");
    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++) {
      make_key ("a", keys[i], "old value");
      assert_text (keys[i], "old value");
    }
    assert_ok (mkdir ("d", 0755));
    calls_put ("d/x", "");
    make_key ("a", "d/x", "");
    calls_put ("one", "new");
    calls_put ("two", "new");
    calls_put ("three", "new");
    assert_ok (mkdir ("e", 0755));
    wait_for_end ("a");

    int fd = calls_open ("creat", O_WRONLY | O_CREAT);
    assert_int_equal (calls_fstat (fd).st_size, 0);
    calls_pwrite (fd, "new", 3, 0);
    close (fd);
    fd = calls_open ("excl", O_WRONLY | O_CREAT | O_EXCL);
    calls_pwrite (fd, "new", 3, 0);
    close (fd);
    assert_ok (mkdir ("mkdir", 0755));
    assert_ok (link ("one", "link"));
    assert_ok (symlink ("target", "symlink"));
    assert_ok (rename ("one", "rename"));
    assert_ok (renameat2 (AT_FDCWD, "two", AT_FDCWD, "renamed", RENAME_NOREPLACE));
    assert_ok (rename ("e", "replaced"));
    assert_ok (mknod ("mknod", S_IFREG | 0644, 0));
    calls_put ("d/x", "new");
    assert_ok (unlink ("d/x"));
    assert_ok (rmdir ("d"));
    wait_for_clean_up (watch, "a");

    assert_text ("creat", "new");
    assert_text ("excl", "new");
    assert_true (S_ISDIR (calls_stat ("mkdir").st_mode));
    assert_text ("link", "new");
    assert_int_equal (readlink ("symlink", target, sizeof target), 6);
    assert_text ("rename", "new");
    assert_int_equal (calls_stat ("rename").st_nlink, 2);
    assert_text ("renamed", "new");
    assert_true (S_ISDIR (calls_stat ("replaced").st_mode));
    assert_text ("mknod", "");
    assert_text ("three", "new");
    assert_ok (rmdir ("mkdir"));
    assert_ok (rmdir ("replaced"));
  }
  close (watch);
}

static void
test_directories_of_dead_names_count_as_empty (void **state)
{
  make_lease ("a");
  assert_ok (mkdir ("d", 0755));
  assert_ok (mkdir ("e", 0755));
  assert_ok (mkdir ("f", 0755));
  make_key ("a", "d/x", "");
  make_key ("a", "e/x", "");
  make_key ("a", "f/x", "");
  assert_fails (ENOTEMPTY, rmdir ("d"));
  assert_fails (ENOTEMPTY, rename ("f", "e"));
  wait_for_end ("a");
  assert_ok (rmdir ("d"));
  assert_ok (rename ("f", "e"));
  assert_listing ("e", 0);
  assert_ok (rmdir ("e"));
}

static void
test_the_name_of_a_lease_is_free_at_the_deadline (void **state)
{
  char byte;

  for (int round = 0; round < 5; round++) {
    make_lease ("a");
    make_key ("a", "k", "old");
    calls_put ("leases/a/inside", "old");
    ino_t ino = calls_stat ("leases/a").st_ino;
    int ttl = calls_open ("leases/a/ttl", O_RDWR);
    wait_for_end ("a");
    make_lease ("a");
    make_key ("a", "k", "new");
    assert_true (calls_stat ("leases/a").st_ino != ino);
    assert_fails (ESTALE, pread (ttl, &byte, 1, 0));
    assert_fails (ENOENT, open ("leases/a/inside", O_RDONLY));
    assert_text ("leases/a/keys", "k\n");
    assert_text ("k", "new");
    assert_ok (rmdir ("leases/a"));
    assert_false (calls_exists ("k"));
    close (ttl);
  }
}

static void
test_times_beyond_all_bounds_are_kept_within (void **state)
{
  struct timespec times[2] = { { .tv_sec = INT64_C (1) << 40 },
                               { .tv_sec = -(INT64_C (1) << 40) } };
  struct stat st;

  calls_put ("k", "");
  assert_ok (utimensat (AT_FDCWD, "k", times, 0));
  st = calls_stat ("k");
  assert_true (st.st_atim.tv_sec > 9000000000);
  assert_true (st.st_mtim.tv_sec < -9000000000);
}

int
posix_leases (void)
{
  const struct CMUnitTest cases[] = {
    CASE_IN_ROOT (test_only_directories_are_made_in_leases),
    CASE_IN_ROOT (test_leases_stays),
    CASE_IN_ROOT (test_a_lease_is_not_renamed),
    CASE_IN_ROOT (test_pseudo_files_stay),
    CASE_IN_ROOT (test_the_names_of_leases),
    CASE_IN_ROOT (test_a_lease_lists_its_files),
    CASE_IN_ROOT (test_a_command_counts_at_any_offset),
    CASE_IN_ROOT (test_a_size_means_nothing_to_a_pseudo_file),
    CASE_IN_ROOT (test_a_vector_is_one_command),
    CASE_IN_ROOT (test_a_mapping_gives_no_commands),
    CASE_IN_ROOT (test_too_large_a_command_is_refused_whole),
    CASE_IN_ROOT (test_many_lines_take_effect_all_or_none),
    CASE_IN_ROOT (test_an_open_key_is_stale_after_the_end),
    CASE_IN_ROOT (test_open_pseudo_files_are_stale_after_the_end),
    CASE_IN_ROOT (test_commands_to_an_ended_lease_revive_nothing),
    CASE_IN_ROOT (test_a_revoked_lease_is_stale_at_once),
    CASE_IN_ROOT (test_an_ended_directory_leads_nowhere),
    CASE_IN_ROOT (test_who_stands_in_an_ended_directory_sees_nothing),
    CASE_IN_ROOT (test_every_call_by_path_fails_after_the_end),
    CASE_IN_ROOT (test_a_new_listing_after_the_end_shows_what_is_left),
    CASE_IN_ROOT (test_an_unlinked_key_outlives_its_lease),
    CASE_IN_ROOT (test_what_is_made_across_the_deadline_finds_no_directory),
    CASE_IN_ROOT (test_names_are_free_at_the_deadline),
    CASE_IN_ROOT (test_directories_of_dead_names_count_as_empty),
    CASE_IN_ROOT (test_the_name_of_a_lease_is_free_at_the_deadline),
    CASE_IN_ROOT (test_times_beyond_all_bounds_are_kept_within),
  };

  return cmocka_run_group_tests_name ("leases", cases, NULL, NULL);
}
