/* SPDX-License-Identifier: MIT */

/* Names are as long as etcd's: 16 hexadecimal digits for a lease. All keys are in one directory,
 * the hardest case for it. */

#include "tests/bench/load.h"
#include "tests/bench/times.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S INT64_C (1000000000)

/* Spreads numbers, so that names come in no order. */
#define MIX UINT64_C (0x9e3779b97f4a7c15)

void
load_die (const char *what)
{
  fprintf (stderr, "%s: %s\n", what, strerror (errno));
  exit (1);
}

int64_t
load_boottime_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_BOOTTIME, &now);
  return now.tv_sec * NS_PER_S + now.tv_nsec;
}

void
load_sleep_until (int64_t boottime_ns)
{
  struct timespec until = { boottime_ns / NS_PER_S, boottime_ns % NS_PER_S };

  while (clock_nanosleep (CLOCK_BOOTTIME, TIMER_ABSTIME, &until, NULL) == EINTR)
    ;
}

LoadPaths
load_paths (uint64_t number)
{
  LoadPaths paths;
  uint64_t id = (number + 1) * MIX;

  snprintf (paths.dir, sizeof paths.dir, "leases/%016" PRIx64, id);
  snprintf (paths.ttl, sizeof paths.ttl, "%s/ttl", paths.dir);
  snprintf (paths.part, sizeof paths.part, "%s/x", paths.dir);
  snprintf (paths.key, sizeof paths.key, LOAD_KEYS "/node-%07" PRIu64, number);
  return paths;
}

void
load_lay_out (void)
{
  if ((mkdir (LOAD_KEYS, 0755) != 0 && errno != EEXIST) ||
      (mkdir ("leases", 0755) != 0 && errno != EEXIST))
    load_die (LOAD_KEYS);
}

void
load_put (const char *path, const char *text, int flags)
{
  size_t size = strlen (text);
  int fd = open (path, O_WRONLY | O_CLOEXEC | flags, 0644);

  if (fd < 0 || write (fd, text, size) != (ssize_t)size || close (fd) != 0)
    load_die (path);
}

void
load_grant_bare (const LoadPaths *paths, const char *ttl)
{
  if (mkdir (paths->dir, 0755) != 0)
    load_die (paths->dir);
  load_put (paths->ttl, ttl, O_CREAT);
}

void
load_grant (uint64_t number, const char *ttl)
{
  LoadPaths paths = load_paths (number);

  load_grant_bare (&paths, ttl);
  load_put (paths.part, LOAD_VALUE, O_CREAT | O_EXCL);
  if (rename (paths.part, paths.key) != 0)
    load_die (paths.key);
}

static ssize_t
get (const char *path, bool anew)
{
  char text[64];
  int fd = open (path, O_RDONLY | O_CLOEXEC);

  if (fd < 0) {
    if (errno != ENOENT)
      load_die (path);
    return -1;
  }
  if (anew)
    posix_fadvise (fd, 0, 0, POSIX_FADV_DONTNEED);
  ssize_t size = read (fd, text, sizeof text);
  if (size < 0 && errno != ESTALE)
    load_die (path);
  close (fd);
  return size;
}

ssize_t
load_get (const char *path)
{
  return get (path, false);
}

ssize_t
load_get_anew (const char *path)
{
  return load_stat_anew (path) ? get (path, true) : -1;
}

bool
load_stat_anew (const char *path)
{
  struct statx stx;

  if (statx (AT_FDCWD, path, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &stx) == 0)
    return true;
  if (errno != ENOENT)
    load_die (path);
  return false;
}

void
load_touch (const char *path)
{
  if (utimensat (AT_FDCWD, path, NULL, 0) != 0)
    load_die (path);
}

int64_t
load_end_at (const LoadPaths *paths, int64_t end_ns)
{
  char text[48];
  int fd = open (paths->ttl, O_WRONLY | O_CLOEXEC);
  int64_t before = load_boottime_ns ();
  int64_t ttl_ns = end_ns - before;
  int size = snprintf (text, sizeof text, "%" PRId64 ".%09" PRId64 "\n", ttl_ns / NS_PER_S,
                       ttl_ns % NS_PER_S);

  if (fd < 0 || write (fd, text, (size_t)size) != size)
    load_die (paths->ttl);
  int64_t after = load_boottime_ns ();
  close (fd);
  return after - before;
}

uint64_t
load_share (uint64_t count, unsigned workers, void (*each) (uint64_t number, void *data),
            void *data)
{
  uint64_t begin = bench_now_ns ();

  fflush (NULL);
  for (unsigned worker = 0; worker < workers; worker++) {
    pid_t pid = fork ();
    if (pid < 0)
      load_die ("fork");
    if (pid > 0)
      continue;
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    for (uint64_t number = worker; number < count; number += workers)
      each (number, data);
    _exit (0);
  }
  for (unsigned worker = 0; worker < workers; worker++) {
    int status;
    if (wait (&status) < 0 || status != 0)
      exit (1);
  }
  return bench_now_ns () - begin;
}

double
load_number_in (const char *file, const char *name)
{
  char line[256];
  size_t size = strlen (name);
  double number = -1;
  FILE *stream = fopen (file, "re");

  if (stream == NULL)
    return -1;
  while (number < 0 && fgets (line, sizeof line, stream) != NULL)
    if (strncmp (line, name, size) == 0)
      number = strtod (line + size, NULL);
  fclose (stream);
  return number;
}

/* The sum of what leases/.metrics says of these. */
static uint64_t
sum_of (const char *const *names, unsigned count)
{
  uint64_t sum = 0;
  char line[256];
  FILE *stream = fopen ("leases/.metrics", "re");

  if (stream == NULL)
    load_die ("leases/.metrics");
  while (fgets (line, sizeof line, stream) != NULL)
    for (unsigned i = 0; i < count; i++)
      if (g_str_has_prefix (line, names[i]))
        sum += strtoull (line + strlen (names[i]), NULL, 10);
  fclose (stream);
  return sum;
}

uint64_t
load_left (void)
{
  static const char *const names[] = { "leasefs_keys ", "leasefs_leases{state=\"granted\"} ",
                                       "leasefs_leases{state=\"ended\"} ",
                                       "leasefs_reaper_backlog " };

  return sum_of (names, G_N_ELEMENTS (names));
}

uint64_t
load_untold (void)
{
  static const char *const names[] = { "leasefs_notifier_backlog " };

  return sum_of (names, G_N_ELEMENTS (names));
}

void *
load_shared (size_t size)
{
  void *memory = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  if (memory == MAP_FAILED)
    load_die ("mmap");
  return memory;
}
