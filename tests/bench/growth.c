/* SPDX-License-Identifier: MIT */

/* What calls cost where few leases are and where many are: the same calls on mounts of different
 * size, in short turns, many rounds. On each mount they concern 1000 of its leases, evenly spread,
 * so that nothing differs but what else is there.
 *
 * usage: growth [-r ROUNDS] MOUNTPOINT=COUNT...
 *   COUNT  leases that `scale grant` has made there
 *
 * Prints a line for each call and mount: call, mountpoint, COUNT, and in nanoseconds the median,
 * and what a tenth of the calls took at most: on a busy machine those that nothing else
 * disturbed. */

#include "tests/bench/load.h"
#include "tests/bench/times.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Leases that are used of each mount, and how many of them in a turn. */
#define SET 1000
#define TURN 250
#define MAX_MOUNTS 16

/* Between the refreshing of leases and their common end. */
#define SPARE_NS INT64_C (100000000)
#define POLL_US 200

typedef enum {
  STAT,
  GET,
  GET_ANEW,
  PUT,
  PUBLISH,
  REFRESH,
  NEW,
  ATTACH,
  DELETE,
  GRANT,
  REVOKE,
  EXPIRE,
  CALLS
} Call;

static const char *const calls[CALLS] = { "stat",    "get",     "get uncached", "put",
                                          "publish", "refresh", "put new",      "attach",
                                          "delete",  "grant",   "revoke",       "expire" };

typedef struct {
  char *path;
  uint64_t count;
  BenchTimes *times[CALLS];
} Mount;

static LoadPaths
paths_of (const Mount *mount, uint64_t i)
{
  uint64_t set = MIN (SET, mount->count);

  return load_paths (i % set * mount->count / set);
}

static void
do_stat (const LoadPaths *paths)
{
  struct stat st;

  if (stat (paths->key, &st) != 0)
    load_die (paths->key);
}

static void
do_get (const LoadPaths *paths)
{
  load_get (paths->key);
}

static void
do_get_anew (const LoadPaths *paths)
{
  load_get_anew (paths->key);
}

static void
do_put (const LoadPaths *paths)
{
  load_put (paths->key, LOAD_VALUE, O_TRUNC);
}

static void
do_publish (const LoadPaths *paths)
{
  load_put (paths->part, LOAD_VALUE, O_CREAT | O_EXCL);
  if (rename (paths->part, paths->key) != 0)
    load_die (paths->key);
}

static void
do_refresh (const LoadPaths *paths)
{
  load_touch (paths->ttl);
}

/* Adds the time since `begin`, and returns the time. */
static uint64_t
note (Mount *mount, Call call, uint64_t begin)
{
  bench_times_add (mount->times[call], bench_now_ns () - begin);
  return bench_now_ns ();
}

/* New keys in the directory of all the others, which get one of the leases and are deleted. */
static void
time_new (Mount *mount, uint64_t round)
{
  static const char key[] = LOAD_KEYS "/new";

  for (uint64_t i = round * TURN; i < (round + 1) * TURN; i++) {
    LoadPaths paths = paths_of (mount, i);
    g_autofree char *keys = g_strconcat (paths.dir, "/keys", NULL);
    uint64_t begin = bench_now_ns ();
    load_put (key, LOAD_VALUE, O_CREAT | O_EXCL);
    begin = note (mount, NEW, begin);
    load_put (keys, LOAD_KEYS "/new\n", 0);
    begin = note (mount, ATTACH, begin);
    if (unlink (key) != 0)
      load_die (key);
    note (mount, DELETE, begin);
  }
}

/* More leases, which end together: a lease's share of the time until they are cleaned up. */
static void
time_ends (Mount *mount, uint64_t round)
{
  uint64_t first = mount->count + round * TURN;
  int64_t begin = load_boottime_ns ();

  for (uint64_t i = first; i < first + TURN; i++) {
    LoadPaths paths = load_paths (i);
    uint64_t before = bench_now_ns ();
    load_grant_bare (&paths, "1000\n");
    before = note (mount, GRANT, before);
    if (rmdir (paths.dir) != 0)
      load_die (paths.dir);
    note (mount, REVOKE, before);
    load_grant_bare (&paths, "1000\n");
    load_put (paths.part, LOAD_VALUE, O_CREAT);
    if (rename (paths.part, paths.key) != 0)
      load_die (paths.key);
  }
  int64_t end = load_boottime_ns ();
  end += 2 * (end - begin) + SPARE_NS;
  bool in_time = true;
  for (uint64_t i = first; i < first + TURN; i++) {
    LoadPaths paths = load_paths (i);
    in_time = in_time && load_boottime_ns () < end - SPARE_NS / 2;
    if (in_time)
      load_end_at (&paths, end);
    else
      load_put (paths.ttl, "0.001\n", 0);
  }
  load_sleep_until (end);
  while (load_left () > 2 * mount->count)
    usleep (POLL_US);
  /* On a busy machine they may have come to no common end. */
  if (in_time)
    bench_times_add (mount->times[EXPIRE], (uint64_t)(load_boottime_ns () - end) / TURN);
}

/* What one mount takes in one round of the turn that begins with `call`. */
static void
play (Mount *mount, Call call, uint64_t round)
{
  static void (*const makes[]) (const LoadPaths *) = { do_stat, do_get,     do_get_anew,
                                                       do_put,  do_publish, do_refresh };

  if (chdir (mount->path) != 0)
    load_die (mount->path);
  if (call == NEW)
    time_new (mount, round);
  else if (call == GRANT)
    time_ends (mount, round);
  for (uint64_t i = round * TURN; call < NEW && i < (round + 1) * TURN; i++) {
    LoadPaths paths = paths_of (mount, i);
    /* The kernel is to have it, whatever has changed since; reading makes it ask for the time of
     * access. */
    load_get (paths.key);
    do_stat (&paths);
    uint64_t begin = bench_now_ns ();
    makes[call](&paths);
    note (mount, call, begin);
  }
}

static Mount
parse_mount (char *text)
{
  Mount mount = { 0 };
  char *equals = strrchr (text, '=');

  mount.count = equals == NULL ? 0 : strtoull (equals + 1, NULL, 10);
  if (mount.count == 0) {
    errno = EINVAL;
    load_die (text);
  }
  *equals = '\0';
  mount.path = text;
  for (unsigned call = 0; call < CALLS; call++)
    mount.times[call] = bench_times_new ();
  return mount;
}

int
main (int argc, char **argv)
{
  static const Call turns[] = { STAT, GET, GET_ANEW, PUT, PUBLISH, REFRESH, NEW, GRANT };
  Mount mounts[MAX_MOUNTS];
  unsigned count = 0;
  uint64_t rounds = 20;
  int option;

  while ((option = getopt (argc, argv, "r:")) != -1)
    if (option == 'r')
      rounds = strtoull (optarg, NULL, 10);
    else
      return 2;
  for (; optind < argc && count < MAX_MOUNTS; optind++)
    mounts[count++] = parse_mount (argv[optind]);
  /* Whoever comes first in a turn may be worse off. */
  for (uint64_t round = 0; round < rounds; round++)
    for (unsigned turn = 0; turn < G_N_ELEMENTS (turns); turn++)
      for (unsigned i = 0; i < count; i++)
        play (&mounts[(i + round) % count], turns[turn], round);
  for (unsigned call = 0; call < CALLS; call++)
    for (unsigned i = 0; i < count; i++)
      printf ("%s\t%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\n", calls[call], mounts[i].path,
              mounts[i].count, bench_times_quantile (mounts[i].times[call], 0.5),
              bench_times_quantile (mounts[i].times[call], 0.1));
  return 0;
}
