/* SPDX-License-Identifier: MIT */

/* Owns the root that cases run in, as an open directory. */

#include "tests/mount/calls.h"

#include <time.h>

#define WORKING_DIRECTORY "case"

static int root_fd = -1;

static void
fail_at (const char *file, int line, const char *call, const char *expected, const char *found)
{
  print_error ("%s: %s instead of %s\n", call, found, expected);
  _fail (file, line);
}

long long
calls_expect_ok (long long result, const char *call, const char *file, int line)
{
  if (result == -1)
    fail_at (file, line, call, "success", strerror (errno));
  return result;
}

void
calls_expect_either (int error, int other, long long result, const char *call, const char *file,
                     int line)
{
  int found = result == -1 ? errno : 0;

  if (found != error && found != other)
    fail_at (file, line, call, strerror (error), strerror (found));
}

void
calls_expect_error (int error, long long result, const char *call, const char *file, int line)
{
  calls_expect_either (error, error, result, call, file, line);
}

void
calls_expect_text (const char *path, const char *text, const char *file, int line)
{
  char *found = calls_text (path);

  if (strcmp (found, text) != 0)
    fail_at (file, line, path, text, found);
  free (found);
}

static bool
is_dot (const char *name)
{
  return strcmp (name, ".") == 0 || strcmp (name, "..") == 0;
}

void
calls_begin (const char *root)
{
  DIR *dir = opendir (root);
  struct dirent *entry;

  if (dir == NULL || geteuid () != 0) {
    fprintf (stderr, "%s: %s\n", root, dir == NULL ? strerror (errno) : "run this as root");
    exit (2);
  }
  while ((entry = readdir (dir)) != NULL)
    if (!is_dot (entry->d_name) && strcmp (entry->d_name, "leases") != 0) {
      fprintf (stderr, "%s: not empty\n", root);
      exit (2);
    }
  root_fd = fcntl (dirfd (dir), F_DUPFD_CLOEXEC, 0);
  closedir (dir);
  umask (022);
  if (fchdir (root_fd) != 0)
    exit (2);
}

/* Removes what is in `fd`, which it closes. What goes away by itself meanwhile is as good. Leases
 * are removed without looking into them. */
static void
wipe (int fd, bool in_leases)
{
  DIR *dir = fdopendir (fd);
  struct dirent *entry;

  if (dir == NULL) {
    close (fd);
    return;
  }
  while ((entry = readdir (dir)) != NULL) {
    if (is_dot (entry->d_name))
      continue;
    if (in_leases || unlinkat (dirfd (dir), entry->d_name, 0) != 0) {
      int inner = in_leases ? -1
                            : openat (dirfd (dir), entry->d_name,
                                      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (inner >= 0)
        wipe (inner, false);
      unlinkat (dirfd (dir), entry->d_name, AT_REMOVEDIR);
    }
  }
  closedir (dir);
}

int
calls_setup_in_root (void **state)
{
  return fchdir (root_fd);
}

int
calls_setup (void **state)
{
  if (fchdir (root_fd) != 0 || mkdir (WORKING_DIRECTORY, 0755) != 0)
    return -1;
  return chdir (WORKING_DIRECTORY);
}

int
calls_teardown (void **state)
{
  int leases;

  if (seteuid (0) != 0 || setegid (0) != 0 || fchdir (root_fd) != 0)
    return -1;
  leases = open ("leases", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (leases >= 0)
    wipe (leases, true);
  wipe (open (".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), false);
  return calls_exists (WORKING_DIRECTORY) ? -1 : 0;
}

static void
put_with (const char *path, const char *text, int flags)
{
  int fd = (int)assert_ok (open (path, O_WRONLY | O_CLOEXEC | flags, 0666));

  if (assert_ok (write (fd, text, strlen (text))) != (long long)strlen (text))
    fail_msg ("%s: a short write", path);
  assert_ok (close (fd));
}

void
calls_put (const char *path, const char *text)
{
  put_with (path, text, O_CREAT | O_TRUNC);
}

void
calls_write (const char *path, const char *text)
{
  put_with (path, text, 0);
}

char *
calls_text (const char *path)
{
  int fd = calls_open (path, O_RDONLY);
  size_t size = 0, room = 4096;
  char *text = malloc (room);
  ssize_t count;

  while ((count = assert_ok (read (fd, text + size, room - size - 1))) > 0) {
    size += count;
    if (room - size < 2)
      text = realloc (text, room *= 2);
  }
  text[size] = '\0';
  close (fd);
  return text;
}

int
calls_open (const char *path, int flags)
{
  int fd = open (path, flags | O_CLOEXEC, 0666);

  if (fd < 0)
    fail_msg ("open %s: %s", path, strerror (errno));
  return fd;
}

struct stat
calls_stat (const char *path)
{
  struct stat st;

  if (lstat (path, &st) != 0)
    fail_msg ("lstat %s: %s", path, strerror (errno));
  return st;
}

struct stat
calls_fstat (int fd)
{
  struct stat st;

  assert_ok (fstat (fd, &st));
  return st;
}

bool
calls_exists (const char *path)
{
  struct stat st;

  if (lstat (path, &st) == 0)
    return true;
  if (errno != ENOENT)
    fail_msg ("lstat %s: %s", path, strerror (errno));
  return false;
}

void
calls_pread (int fd, void *bytes, size_t size, off_t offset)
{
  assert_int_equal (assert_ok (pread (fd, bytes, size, offset)), size);
}

void
calls_pwrite (int fd, const void *bytes, size_t size, off_t offset)
{
  assert_int_equal (assert_ok (pwrite (fd, bytes, size, offset)), size);
}

void
calls_drop_cache (int fd)
{
  assert_ok (fsync (fd));
  assert_int_equal (posix_fadvise (fd, 0, 0, POSIX_FADV_DONTNEED), 0);
}

int64_t
calls_now (void)
{
  struct timespec now;

  clock_gettime (CLOCK_BOOTTIME, &now);
  return now.tv_sec * INT64_C (1000000000) + now.tv_nsec;
}

void
calls_wait_until (int64_t when)
{
  struct timespec time = { .tv_sec = when / 1000000000, .tv_nsec = when % 1000000000 };

  while (clock_nanosleep (CLOCK_BOOTTIME, TIMER_ABSTIME, &time, NULL) == EINTR)
    ;
}
