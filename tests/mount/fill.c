/* SPDX-License-Identifier: MIT */

/* Fills a directory with one kind of thing until there is no room left, or COUNT are made, and
 * prints how many those were:
 *
 *     # fill KIND DIRECTORY [COUNT]
 *
 * All calls but the last must succeed, and that one may fail with ENOSPC only. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What one step returns: 0, or -1 with errno set. `i` counts the steps. */
typedef int (*Step) (unsigned long i);

static int
write_file (const char *path, off_t offset, const char *data, size_t size)
{
  int fd = open (path, O_WRONLY | O_CREAT, 0644);
  ssize_t written = fd < 0 ? -1 : pwrite (fd, data, size, offset);

  if (fd >= 0)
    close (fd);
  return written == (ssize_t)size ? 0 : -1;
}

static int
step_files (unsigned long i)
{
  char path[64];

  snprintf (path, sizeof path, "%lu", i);
  return mknod (path, S_IFREG | 0644, 0);
}

/* Values of all sizes, up to some pages. */
static int
step_values (unsigned long i)
{
  static char data[40000];
  char path[64];

  snprintf (path, sizeof path, "%lu", i);
  return write_file (path, 0, data, 1 + (i * 7919) % sizeof data);
}

/* Hard links of one file, under the longest names there are. */
static int
step_names (unsigned long i)
{
  char path[NAME_MAX + 1];

  snprintf (path, sizeof path, "%0*lu", NAME_MAX, i);
  return i == 0 ? mknod ("0", S_IFREG | 0644, 0) : link ("0", path);
}

static int
step_symlinks (unsigned long i)
{
  char path[64], target[PATH_MAX];

  snprintf (path, sizeof path, "%lu", i);
  memset (target, 'x', sizeof target - 1);
  target[sizeof target - 1] = '\0';
  return symlink (target, path);
}

/* Directories with one file each. */
static int
step_directories (unsigned long i)
{
  char path[64];

  snprintf (path, sizeof path, "%lu", i);
  if (mkdir (path, 0755) != 0)
    return -1;
  snprintf (path, sizeof path, "%lu/f", i);
  return mknod (path, S_IFREG | 0644, 0);
}

/* A byte in every place where it takes the most memory, with a hole before the next. */
static int
step_sparse (unsigned long i)
{
  return write_file ("sparse", ((off_t)i << 20) + 16383, "x", 1);
}

/* In leases/: one that is granted. */
static int
step_leases (unsigned long i)
{
  char path[64];

  snprintf (path, sizeof path, "%lu", i);
  if (mkdir (path, 0755) != 0)
    return -1;
  snprintf (path, sizeof path, "%lu/ttl", i);
  return write_file (path, 0, "1000000\n", 8);
}

/* In leases/: each with a key. */
static int
step_keys (unsigned long i)
{
  char path[64];

  if (step_leases (i) != 0)
    return -1;
  snprintf (path, sizeof path, "%lu/key-of-20-characters", i);
  return write_file (path, 0, "value", 5);
}

static const struct {
  const char *name;
  Step step;
} kinds[] = {
  { "files", step_files },
  { "values", step_values },
  { "names", step_names },
  { "symlinks", step_symlinks },
  { "directories", step_directories },
  { "sparse", step_sparse },
  { "leases", step_leases },
  { "keys", step_keys },
};

static int
fill (Step step, unsigned long count)
{
  unsigned long i = 0;

  while (i < count && step (i) == 0)
    i++;
  if (i < count && errno != ENOSPC) {
    perror ("fill");
    return EXIT_FAILURE;
  }
  printf ("%lu\n", i);
  return EXIT_SUCCESS;
}

int
main (int argc, char **argv)
{
  unsigned long count = argc == 4 ? strtoul (argv[3], NULL, 10) : ULONG_MAX;

  for (size_t i = 0; i < sizeof kinds / sizeof *kinds && argc >= 3; i++)
    if (strcmp (argv[1], kinds[i].name) == 0 && chdir (argv[2]) == 0)
      return fill (kinds[i].step, count);
  fprintf (stderr, "usage: fill files|values|names|symlinks|directories|sparse|leases|keys"
                   " DIRECTORY [COUNT]\n");
  return 2;
}
