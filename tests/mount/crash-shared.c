/* SPDX-License-Identifier: MIT */

/* Owns the checks of what all workers on trees have in common, in shared/: locks, which are names
 * that only one can make; `current`, which each replaces by renaming; `log`, to which each
 * appends. */

#include "tests/mount/crash.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>

/* When the log gets longer, it is started anew. */
#define LOG_MAX (64 * 1024)

/* The first record of each worker in the log. */
static uint64_t log_base[CRASH_TREES];

/* One record of the log; `next` has what must come next of each worker. */
static bool
record_good (const char *record, uint64_t *next, FILE *out)
{
  char expected[CRASH_RECORD + 1];
  unsigned number = record[1] - '0';

  if (number < CRASH_TREES) {
    snprintf (expected, sizeof expected, "w%-5u %024ju\n", number, (uintmax_t)next[number]++);
    if (memcmp (record, expected, CRASH_RECORD) == 0)
      return true;
  }
  fprintf (out, "shared/log: '%.*s' found, '%.*s' expected\n", CRASH_RECORD - 1, record,
           CRASH_RECORD - 1, expected);
  return false;
}

/* Each worker's last record is the last that was acknowledged, or the one under way. */
static bool
log_complete (CrashWorker *workers, const uint64_t *next, FILE *out)
{
  for (unsigned i = 0; i < CRASH_TREES; i++) {
    CrashWorker *worker = &workers[i];
    bool under_way = worker->busy && worker->call.kind == CRASH_LOG && worker->acknowledged == 0;
    if (next[i] != worker->logged && !(under_way && next[i] == worker->logged + 1)) {
      fprintf (out, "shared/log: worker %u has %" PRIu64 " records, %" PRIu64 " expected\n", i,
               next[i], worker->logged);
      return false;
    }
    worker->logged = next[i];
  }
  return true;
}

static bool
log_good (CrashWorker *workers, int root, FILE *out)
{
  static char text[LOG_MAX * 16];
  uint64_t next[CRASH_TREES];
  int fd = openat (root, "shared/log", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  ssize_t size = read (fd, text, sizeof text);
  bool good = size >= 0 && size % CRASH_RECORD == 0;

  if (!good)
    fprintf (out, "shared/log: %zd bytes (%s)\n", size, strerror (errno));
  memcpy (next, log_base, sizeof next);
  for (ssize_t at = 0; good && at < size; at += CRASH_RECORD)
    good = record_good (text + at, next, out);
  good = good && log_complete (workers, next, out);
  /* The fsync is for a daemon that writes this together with what follows. */
  if (good && size > LOG_MAX && ftruncate (fd, 0) == 0 && fsync (fd) == 0)
    memcpy (log_base, next, sizeof next);
  close (fd);
  return good;
}

static bool
same_file (int a_root, int b_root, const char *path)
{
  static char a[CRASH_SIZE * 20], b[CRASH_SIZE * 20];
  struct stat st_a, st_b;
  int fd_a = openat (a_root, path, O_RDONLY | O_CLOEXEC);
  int fd_b = openat (b_root, path, O_RDONLY | O_CLOEXEC);
  ssize_t size_a = read (fd_a, a, sizeof a), size_b = read (fd_b, b, sizeof b);
  bool same = fstat (fd_a, &st_a) == 0 && fstat (fd_b, &st_b) == 0 && size_a == size_b &&
              memcmp (a, b, size_a) == 0 && st_a.st_mode == st_b.st_mode &&
              st_a.st_uid == st_b.st_uid && st_a.st_nlink == st_b.st_nlink &&
              st_a.st_size == st_b.st_size;

  close (fd_a);
  close (fd_b);
  return same;
}

/* It is the one that some worker has put there last. */
static bool
current_good (const CrashWorker *workers, int root, FILE *out)
{
  unsigned candidates = 0;

  for (unsigned i = 0; i < CRASH_TREES; i++) {
    if (faccessat (workers[i].reference, "shared/current", F_OK, 0) != 0)
      continue;
    candidates++;
    if (same_file (workers[i].reference, root, "shared/current"))
      return true;
  }
  if (candidates == 0 && faccessat (root, "shared/current", F_OK, 0) != 0)
    return true;
  fprintf (out, "shared/current: is none of the %u that were put there last\n", candidates);
  return false;
}

/* Each lock that is there has one owner. That those that are owned are there, and the owners' own,
 * the model says. */
static bool
lock_good (const CrashWorker *workers, const char *name, FILE *out)
{
  char path[CRASH_PATH];
  unsigned owners = 0;

  snprintf (path, sizeof path, "shared/%s", name);
  for (unsigned i = 0; i < CRASH_TREES; i++)
    owners += faccessat (workers[i].reference, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
  if (owners != 1)
    fprintf (out, "%s: has %u owners\n", path, owners);
  return owners == 1;
}

bool
crash_shared_good (CrashWorker *workers, int root, FILE *out)
{
  int directory = openat (root, "shared", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct dirent **entries;
  int count = scandirat (directory, ".", &entries, NULL, alphasort);
  bool good = count >= 0;

  for (int i = 0; i < count; i++) {
    const char *name = entries[i]->d_name;
    if (name[0] == 'L')
      good &= lock_good (workers, name, out);
    free (entries[i]);
  }
  if (count >= 0)
    free (entries);
  close (directory);
  good &= current_good (workers, root, out);
  return good & log_good (workers, root, out);
}
