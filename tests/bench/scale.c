/* SPDX-License-Identifier: MIT */

/* What a mount does with very many leases: the stages named on the command line, in that order,
 * below the current directory. scale.sh mounts for it.
 *
 * usage: scale [-n COUNT] [-j WORKERS] [-p PID] [-i PID] [-c DIR -c DIR] [-o JSON] STAGE...
 *   -n  leases, or keys
 *   -j  processes that grant and refresh
 *   -p  the daemon's process, to see what memory it has
 *   -i  that of an idle one, which shows what a daemon needs for itself
 *   -c  for the probes to compare with: a mount of an idle daemon, and a tmpfs
 *   -o  where to write the results as JSON, a line each
 *
 * stages: grant, read, refresh, list, memory; end: all in the same second; keys, attach, one,
 * revoke: one lease with all the keys, and its memory */

#include "tests/bench/scale.h"

#include "tests/bench/load.h"
#include "tests/bench/say.h"
#include "tests/bench/times.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REFRESH_S 3
#define SLABS "/proc/slabinfo"

static void
grant_one (uint64_t number, void *data)
{
  load_grant (number, "36000\n");
}

static void
grant (const Scale *scale)
{
  load_lay_out ();
  uint64_t ns = load_share (scale->count, scale->workers, grant_one, NULL);
  say ("time to grant, each with a key", (double)ns / 1e9, "s", SAY_JUST);
  say ("granted", (double)scale->count / ((double)ns / 1e9), "leases/s", SAY_JUST);
}

static void
read_one (uint64_t number, void *data)
{
  LoadPaths paths = load_paths (number);

  if (load_get (paths.key) != (ssize_t)strlen (LOAD_VALUE))
    load_die (paths.key);
  if (load_get (paths.ttl) < 2)
    load_die (paths.ttl);
}

static void
read_all (const Scale *scale)
{
  uint64_t ns = load_share (scale->count, scale->workers, read_one, NULL);

  say ("read: each key and each ttl", (double)scale->count / ((double)ns / 1e9), "leases/s",
       SAY_JUST);
}

static void
refresh_some (uint64_t worker, void *data)
{
  const Scale *scale = data;
  uint64_t until = bench_now_ns () + REFRESH_S * UINT64_C (1000000000);
  uint64_t done = 0, seed = worker * 7919 + 1;

  for (; bench_now_ns () < until; done++) {
    seed = seed * UINT64_C (6364136223846793005) + 1442695040888963407;
    load_touch (load_paths ((seed >> 33) % scale->count).ttl);
  }
  __atomic_add_fetch (scale->counter, done, __ATOMIC_RELAXED);
}

static void
refresh (const Scale *scale)
{
  *scale->counter = 0;
  uint64_t ns = load_share (scale->workers, scale->workers, refresh_some, (void *)scale);
  say ("refreshed, random ones", (double)*scale->counter / ((double)ns / 1e9), "/s", SAY_JUST);
}

static void
list (const Scale *scale)
{
  for (unsigned round = 1; round <= 2; round++) {
    uint64_t begin = bench_now_ns (), count = 0;
    DIR *dir = opendir ("leases");
    if (dir == NULL)
      load_die ("leases");
    for (struct dirent *entry; (entry = readdir (dir)) != NULL;)
      count += entry->d_name[0] != '.';
    closedir (dir);
    say (round == 1 ? "list leases/" : "list leases/ again",
         (double)(bench_now_ns () - begin) / 1e9, "s", SAY_JUST);
    if (count != scale->count)
      say ("NOT LISTED", (double)scale->count - (double)count, "leases", SAY_MOST (0));
  }
}

static double
resident_bytes (unsigned pid)
{
  char file[64];

  snprintf (file, sizeof file, "/proc/%u/status", pid);
  return pid == 0 ? 0 : load_number_in (file, "VmRSS:") * 1024;
}

static void
memory (const Scale *scale, const char *name, SayTarget target)
{
  double more = resident_bytes (scale->pid) - resident_bytes (scale->idle_pid);

  say ("daemon's memory, more than an idle one's", more / (1 << 20), "MiB", SAY_JUST);
  say (name, more / (double)scale->count, "bytes", target);
  double inodes = load_number_in (SLABS, "fuse_inode");
  if (inodes >= 0)
    say ("inodes of FUSE that came to the kernel", inodes - scale->inodes, "", SAY_JUST);
}

static void
put_one (uint64_t number, void *data)
{
  load_put (load_paths (number).key, LOAD_VALUE, O_CREAT | O_EXCL);
}

static void
keys (const Scale *scale)
{
  load_lay_out ();
  uint64_t ns = load_share (scale->count, scale->workers, put_one, NULL);
  say ("put: new keys without a lease", (double)scale->count / ((double)ns / 1e9), "keys/s",
       SAY_JUST);
  memory (scale, "memory for a key without a lease", SAY_JUST);
}

static void
play (const Scale *scale, const char *stage)
{
  g_autofree char *title = g_strdup_printf ("%s %" G_GUINT64_FORMAT, stage, scale->count);

  say_title (title);
  if (strcmp (stage, "grant") == 0)
    grant (scale);
  else if (strcmp (stage, "read") == 0)
    read_all (scale);
  else if (strcmp (stage, "refresh") == 0)
    refresh (scale);
  else if (strcmp (stage, "list") == 0)
    list (scale);
  else if (strcmp (stage, "memory") == 0)
    memory (scale, "memory for a lease with its key", SAY_MOST (700));
  else if (strcmp (stage, "end") == 0)
    scale_end (scale);
  else if (strcmp (stage, "keys") == 0)
    keys (scale);
  else if (strcmp (stage, "attach") == 0)
    scale_attach (scale);
  else if (strcmp (stage, "one") == 0)
    memory (scale, "memory for a key of one lease", SAY_JUST);
  else if (strcmp (stage, "revoke") == 0)
    scale_revoke (scale);
  else {
    errno = EINVAL;
    load_die (stage);
  }
}

int
main (int argc, char **argv)
{
  Scale scale = { .count = 1000000, .workers = 2 };
  unsigned controls = 0;
  int option;

  while ((option = getopt (argc, argv, "n:j:p:i:c:o:")) != -1)
    if (option == 'n')
      scale.count = strtoull (optarg, NULL, 10);
    else if (option == 'j')
      scale.workers = (unsigned)strtoul (optarg, NULL, 10);
    else if (option == 'p')
      scale.pid = (unsigned)strtoul (optarg, NULL, 10);
    else if (option == 'i')
      scale.idle_pid = (unsigned)strtoul (optarg, NULL, 10);
    else if (option == 'c' && controls < SCALE_CONTROLS)
      scale.controls[controls++] = optarg;
    else if (option == 'o')
      say_to (optarg);
    else
      return 2;
  if (scale.count == 0 || scale.workers == 0)
    return 2;
  scale.inodes = load_number_in (SLABS, "fuse_inode");
  scale.counter = load_shared (sizeof *scale.counter);
  for (; optind < argc; optind++)
    play (&scale, argv[optind]);
  return 0;
}
