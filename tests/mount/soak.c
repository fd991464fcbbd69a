/* SPDX-License-Identifier: MIT */

/* The daily life of a mount: several processes put values of 1 byte to 1 MiB, dense and sparse,
 * make directories, attach both to leases of 10 ms to 3 s, keep those alive, revoke them or let
 * them expire, fill a lease with many keys, list, use files that have been unlinked, and are killed
 * in the middle of calls. When each has done so many things it removes what is its own, but the
 * leases: those end by themselves, within LEASE_MS_MAX.
 *
 * It checks little: what the daemon holds on to afterwards is what the script looks at.
 *
 * usage: soak [-n THINGS] [-j PROCESSES] [-r SEED] MOUNTPOINT */

#include "tests/mount/random.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LEASE_MS_MIN 10
#define LEASE_MS_MAX 3000
#define VALUE_MAX (1 << 20)
#define SPARSE_MAX (1 << 30)
#define KEYS 20
#define MANY_KEYS 3000
#define VICTIM_US 15000

/* The life of one process. */
static unsigned number; /* which one it is */
static unsigned made;   /* leases so far, for their names */
static uint64_t seed;   /* the state of its random numbers */
static char value[VALUE_MAX];

static void
die (const char *what)
{
  fprintf (stderr, "soak: process %u: %s: %s\n", number, what, strerror (errno));
  _exit (2);
}

/* Returns whether the call succeeded. It may fail only because a lease has ended. */
static bool
done (long long result, const char *what)
{
  if (result < 0 && errno != ENOENT && errno != ESTALE)
    die (what);
  return result >= 0;
}

static unsigned
below (unsigned limit)
{
  return random_below (&seed, limit);
}

/* Small ones are as frequent as large ones. */
static unsigned
size_up_to (unsigned max)
{
  unsigned size = max >> below (21);

  return 1 + below (size == 0 ? 1 : size);
}

static void
pause_us (unsigned us)
{
  struct timespec time = { 0, us * 1000 };
  nanosleep (&time, NULL);
}

static void
pick_key (char path[64])
{
  bool deep = below (4) == 0;

  snprintf (path, 64, "p%u/%s%u", number, deep ? "d/" : "", below (KEYS));
}

static void
put (const char *path, const char *text)
{
  int fd = open (path, O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0644);

  if (done (fd, path)) {
    done (write (fd, text, strlen (text)), path);
    close (fd);
  }
}

/* To a file that is there only as long as its lease is. */
static void
tell (const char *lease, const char *file, const char *text)
{
  char path[64];

  snprintf (path, sizeof path, "%s/%s", lease, file);
  int fd = open (path, O_WRONLY | O_TRUNC | O_CLOEXEC);
  if (done (fd, path)) {
    done (write (fd, text, strlen (text)), path);
    close (fd);
  }
}

static void
make_lease (char path[64])
{
  char ttl[32];

  snprintf (path, 64, "leases/p%u-%u", number, made++);
  if (mkdir (path, 0755) != 0)
    die (path);
  snprintf (ttl, sizeof ttl, "%.3f\n",
            (LEASE_MS_MIN + size_up_to (LEASE_MS_MAX - LEASE_MS_MIN)) / 1000.0);
  tell (path, "ttl", ttl);
}

/* Ways of living */

static void
put_value (void)
{
  char path[64];
  size_t size = size_up_to (VALUE_MAX);
  off_t offset = below (8) == 0 ? size_up_to (SPARSE_MAX) : 0;

  pick_key (path);
  int fd = open (path, O_RDWR | O_CREAT | (below (2) ? O_TRUNC : 0) | O_CLOEXEC, 0644);
  if (!done (fd, path))
    return;
  if (done (pwrite (fd, value, size, offset), path))
    done (pread (fd, value, size, offset), path);
  if (below (4) == 0)
    done (ftruncate (fd, size / 2), path);
  close (fd);
}

static void
remove_key (void)
{
  char path[64];

  pick_key (path);
  done (unlink (path), path);
}

/* Other names, in their own way: hard links, symlinks, names that are not there. */
static void
rename_keys (void)
{
  char from[64], to[64];
  struct stat st;

  pick_key (from);
  pick_key (to);
  if (below (2))
    done (rename (from, to), from);
  if (link (from, to) != 0 && errno != EEXIST)
    done (-1, from);
  snprintf (to, sizeof to, "p%u/link%u", number, below (KEYS));
  if (symlink (from, to) != 0 && errno != EEXIST)
    done (-1, to);
  snprintf (to, sizeof to, "p%u/absent%u", number, below (1000));
  done (lstat (to, &st), to);
}

/* A put with a lease, kept alive for a while, and revoked or not. */
static void
hold_lease (void)
{
  char lease[64], path[80], key[64], line[80];

  make_lease (lease);
  snprintf (path, sizeof path, "%s/new", lease);
  int fd = open (path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  pick_key (key);
  if (done (fd, path)) {
    done (write (fd, value, size_up_to (VALUE_MAX)), path);
    close (fd);
    done (rename (path, key), path);
  }
  pick_key (key);
  put (key, "attached later");
  snprintf (line, sizeof line, "%s\n", key);
  tell (lease, "keys", line);
  for (unsigned i = below (5); i > 0; i--) {
    pause_us (below (3000));
    done (utimensat (AT_FDCWD, below (2) ? lease : key, NULL, 0), lease);
  }
  if (below (2))
    done (rmdir (lease), lease);
}

/* A directory that is attached, and what comes into it. */
static void
hold_directory (void)
{
  char lease[64], directory[64], path[80], line[80];

  make_lease (lease);
  snprintf (directory, sizeof directory, "p%u/session%u", number, made);
  if (mkdir (directory, 0755) != 0)
    die (directory);
  snprintf (line, sizeof line, "%s\n", directory);
  tell (lease, "keys", line);
  for (unsigned i = below (20); i > 0; i--) {
    snprintf (path, sizeof path, "%s/%u", directory, i);
    put (path, "in a session");
  }
  if (below (2))
    done (rmdir (lease), lease);
}

/* A lease with so many keys that its list comes in several pieces. */
static void
hold_many (void)
{
  unsigned count = size_up_to (MANY_KEYS);
  char lease[64], path[128], bytes[65536];
  ssize_t size;

  make_lease (lease);
  tell (lease, "ttl", "3\n");
  for (unsigned i = 0; i < count; i++) {
    snprintf (path, sizeof path, "%s/a key with a name of some length %u", lease, i);
    put (path, "one of many");
  }
  snprintf (path, sizeof path, "%s/keys", lease);
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  if (done (fd, path)) {
    while ((size = read (fd, bytes, sizeof bytes)) > 0)
      ;
    done (size, path);
    close (fd);
  }
  if (below (2))
    done (rmdir (lease), lease);
}

static void
list (const char *path)
{
  DIR *stream = opendir (path);
  struct dirent *entry;
  struct stat st;
  char target[64];

  if (!done (stream == NULL ? -1 : 0, path))
    return;
  while ((entry = readdir (stream)) != NULL) {
    done (fstatat (dirfd (stream), entry->d_name, &st, AT_SYMLINK_NOFOLLOW), entry->d_name);
    if (entry->d_type == DT_LNK)
      done (readlinkat (dirfd (stream), entry->d_name, target, sizeof target), entry->d_name);
  }
  closedir (stream);
}

static void
list_all (void)
{
  char path[64];

  snprintf (path, sizeof path, "p%u", number);
  list (path);
  list ("leases");
}

/* Uses a file without a name. */
static void
use_unlinked (bool close_it)
{
  char path[64];

  snprintf (path, sizeof path, "p%u/unlinked", number);
  int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (!done (fd, path))
    return;
  done (unlink (path), path);
  done (pwrite (fd, value, size_up_to (VALUE_MAX), 0), path);
  done (pread (fd, value, sizeof value, 0), path);
  if (close_it)
    close (fd);
}

/* Lives until it is killed. */
static void
be_victim (void)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  seed += getpid ();
  for (unsigned i = 0;; i++) {
    put_value ();
    use_unlinked (i >= 50);
    rename_keys ();
    list_all ();
  }
}

static void
kill_victim (void)
{
  pid_t victim = fork ();

  if (victim < 0)
    die ("fork");
  if (victim == 0)
    be_victim ();
  pause_us (below (VICTIM_US));
  kill (victim, SIGKILL);
  int status;
  if (waitpid (victim, &status, 0) < 0 || !WIFSIGNALED (status))
    die ("a victim ended by itself");
}

static int
remove_one (const char *path, const struct stat *st, int type, struct FTW *where)
{
  if (remove (path) != 0 && errno != ENOENT && errno != ESTALE && errno != ENOTEMPTY)
    die (path);
  return 0;
}

static void
do_something (void)
{
  unsigned way = below (100);

  if (way < 30)
    put_value ();
  else if (way < 45)
    remove_key ();
  else if (way < 55)
    rename_keys ();
  else if (way < 75)
    hold_lease ();
  else if (way < 80)
    hold_directory ();
  else if (way < 81)
    hold_many ();
  else if (way < 88)
    list_all ();
  else if (way < 94)
    use_unlinked (true);
  else
    kill_victim ();
}

static void
live (const char *directory, unsigned things)
{
  char deeper[64];

  snprintf (deeper, sizeof deeper, "%s/d", directory);
  if (mkdir (directory, 0755) != 0 || mkdir (deeper, 0755) != 0)
    die (directory);
  for (unsigned i = 0; i < things; i++)
    do_something ();
  /* Leases end meanwhile, and a walk that comes across it gives up. */
  while (access (directory, F_OK) == 0)
    nftw (directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Starts all processes and waits for them. Returns whether all went well. */
static bool
run (unsigned processes, unsigned things, unsigned start)
{
  char directory[32];
  bool good = true;
  int status;

  memset (value, 'v', sizeof value);
  for (number = 0; number < processes; number++) {
    seed = random_start (start, number);
    snprintf (directory, sizeof directory, "p%u", number);
    pid_t child = fork ();
    if (child < 0)
      die ("fork");
    if (child == 0) {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      live (directory, things);
      _exit (0);
    }
  }
  while (wait (&status) > 0)
    good &= status == 0;
  return good;
}

int
main (int argc, char **argv)
{
  unsigned things = 200, processes = 16, start = 1;

  for (int option; (option = getopt (argc, argv, "n:j:r:")) != -1;)
    switch (option) {
    case 'n':
      things = atoi (optarg);
      break;
    case 'j':
      processes = atoi (optarg);
      break;
    case 'r':
      start = atoi (optarg);
      break;
    default:
      return 2;
    }
  if (optind != argc - 1 || chdir (argv[optind]) != 0) {
    fprintf (stderr, "usage: soak [-n THINGS] [-j PROCESSES] [-r SEED] MOUNTPOINT\n");
    return 2;
  }
  return run (processes, things, start) ? 0 : 1;
}
