/* SPDX-License-Identifier: MIT */

/* The end of very many leases, or of very many keys: whether it is exact, how long others wait
 * meanwhile, and how fast everything is cleaned up. */

#include "tests/bench/scale.h"

#include "tests/bench/load.h"
#include "tests/bench/probe.h"
#include "tests/bench/say.h"
#include "tests/bench/times.h"

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NS_PER_S INT64_C (1000000000)

/* So long the probes run before, for comparison. */
#define QUIET_NS (2 * NS_PER_S)
#define GIVE_UP_NS (240 * NS_PER_S)

/* Of the leases and keys that are left, these may be of the probes. */
#define OF_PROBES 16
#define LOOK_PAUSE_US 100
#define LOOK_BEFORE_NS NS_PER_S
#define POLL_US 20000
/* For each lease with its key: see give_common_end(). */
#define TELL_NS 200000

/* A line for each key, written this many bytes at a time. */
#define ATTACH_BYTES 100000

typedef struct {
  int64_t end_ns;
  uint64_t stride;
  bool done;
  uint64_t found, missed;
  int64_t too_late, too_early; /* the worst, in ns */
  int64_t late_by[];           /* for each lease how much later than `end_ns` it may end */
} Ends;

static uint64_t
cpu_ticks (unsigned pid)
{
  char file[64];
  unsigned long long user = 0, kernel = 0;

  snprintf (file, sizeof file, "/proc/%u/stat", pid);
  FILE *stream = fopen (file, "re");
  if (stream == NULL)
    return 0;
  if (fscanf (stream, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
              &kernel) != 2)
    user = 0;
  fclose (stream);
  return user + kernel;
}

void
scale_settle (const Scale *scale)
{
  uint64_t before, after = cpu_ticks (scale->pid);

  do {
    g_usleep (300000);
    before = after;
    after = cpu_ticks (scale->pid);
  } while (after - before > 1);
}

static void
end_one (uint64_t number, void *data)
{
  Ends *ends = data;
  LoadPaths paths = load_paths (number);

  if (load_boottime_ns () > ends->end_ns - NS_PER_S) {
    fprintf (stderr, "the leases could not be given a common end in time\n");
    exit (1);
  }
  ends->late_by[number] = load_end_at (&paths, ends->end_ns);
}

static void
end_sample (uint64_t number, void *data)
{
  Ends *ends = data;

  end_one (number * ends->stride, ends);
}

/* Some are done first, to know how long all will take, at most. That they end earlier than they were
 * to is told to the kernel, name by name, for some time after that. */
static void
give_common_end (const Scale *scale, Ends *ends)
{
  ends->stride = MAX (1, MIN (50, scale->count / 1000));
  ends->end_ns = load_boottime_ns () + 36000 * NS_PER_S;
  uint64_t ns = load_share (scale->count / ends->stride, scale->workers, end_sample, ends);
  ends->end_ns = load_boottime_ns () + (int64_t)(2 * ns * ends->stride) +
                 (int64_t)scale->count * TELL_NS + QUIET_NS + 2 * NS_PER_S;
  ns = load_share (scale->count, scale->workers, end_one, ends);
  say ("refreshed, all once", (double)scale->count / ((double)ns / 1e9), "leases/s", SAY_JUST);
}

/* As tests/mount/race.c: what began after the deadline must not find the key, and what was over
 * before it must not miss it. */
static void
look (Ends *ends, uint64_t number, bool by_reading)
{
  LoadPaths paths = load_paths (number);
  struct stat st;
  int64_t before = load_boottime_ns ();
  bool found = by_reading ? load_get (paths.key) >= 0
                          : stat (number % 4 < 2 ? paths.key : paths.dir, &st) == 0;
  int64_t after = load_boottime_ns ();

  if (found) {
    ends->found++;
    ends->too_late = MAX (ends->too_late, before - ends->end_ns - ends->late_by[number]);
  } else {
    ends->missed++;
    ends->too_early = MAX (ends->too_early, ends->end_ns - after);
  }
}

static pid_t
employ_looker (const Scale *scale, Ends *ends)
{
  fflush (NULL);
  pid_t pid = fork ();
  if (pid < 0)
    load_die ("fork");
  if (pid > 0)
    return pid;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  uint64_t seed = 1;
  load_sleep_until (ends->end_ns - LOOK_BEFORE_NS);
  for (unsigned round = 0; !__atomic_load_n (&ends->done, __ATOMIC_ACQUIRE); round++) {
    seed = seed * UINT64_C (6364136223846793005) + 1442695040888963407;
    look (ends, (seed >> 33) % scale->count, round % 2 == 0);
    g_usleep (LOOK_PAUSE_US);
  }
  _exit (0);
}

static void
await_clean_up (const Scale *scale, Probes *probes, int64_t begin_ns)
{
  uint64_t left;
  int64_t now;

  do {
    g_usleep (POLL_US);
    left = load_left ();
    now = load_boottime_ns ();
  } while (left > OF_PROBES && now - begin_ns < GIVE_UP_NS);
  probes_enter (probes, PROBE_AFTER);
  double s = (double)(now - begin_ns) / 1e9;
  say ("time until everything was cleaned up", s, "s", SAY_JUST);
  if (left > OF_PROBES)
    say ("given up; leases and keys that are left", (double)left, "", SAY_MOST (OF_PROBES));
  else
    say ("cleaned up", (double)scale->count / s, "keys/s", SAY_LEAST (30000));
  while (load_untold () > 0 && load_boottime_ns () - begin_ns < GIVE_UP_NS)
    g_usleep (POLL_US);
  say ("until the kernel had been told of it all", (double)(load_boottime_ns () - begin_ns) / 1e9,
       "s", SAY_JUST);
}

static Probes *
start_probes (const Scale *scale)
{
  static const char *const names[] = { "this mount", "idle mount", "tmpfs" };
  const char *dirs[] = { ".", scale->controls[0], scale->controls[1], NULL };

  return probes_start (dirs, names);
}

static void
say_worst (const ProbeResult *result, SayTarget p99_ms, SayTarget max_ms)
{
  say ("worst p99 of others' get, put and refresh", result->here.p99_us / 1e3, "ms", p99_ms);
  say ("  on an idle mount", result->control.p99_us / 1e3, "ms", SAY_JUST);
  say ("longest of others' calls", result->here.max_us / 1e3, "ms", max_ms);
  say ("  on an idle mount", result->control.max_us / 1e3, "ms", SAY_JUST);
  say ("others' calls of more than 10 ms", (double)result->here.slow, "", SAY_JUST);
  say ("  on an idle mount", (double)result->control.slow, "", SAY_JUST);
}

/* What is not exact is no matter of speed: it ends the program. */
static void
say_looks (const Ends *ends, uint64_t listed)
{
  say ("looked for keys and leases: found", (double)ends->found, "", SAY_LEAST (1));
  say ("  missed", (double)ends->missed, "", SAY_LEAST (1));
  say ("  found too late by", (double)ends->too_late / 1e6, "ms", SAY_MOST (0));
  say ("  missed too early by", (double)ends->too_early / 1e6, "ms", SAY_MOST (0));
  say ("  listed too late", (double)listed, "leases", SAY_MOST (0));
  if (ends->too_late > 0 || ends->too_early > 0 || listed > 0) {
    fprintf (stderr, "the leases have not ended exactly\n");
    exit (1);
  }
}

void
scale_end (const Scale *scale)
{
  size_t size = sizeof (Ends) + scale->count * sizeof (int64_t);
  Ends *ends = load_shared (size);
  int64_t latest = 0;
  int status;

  give_common_end (scale, ends);
  for (uint64_t number = 0; number < scale->count; number++)
    latest = MAX (latest, ends->late_by[number]);
  say ("they end within", (double)latest / 1e6, "ms", SAY_JUST);
  scale_settle (scale);
  pid_t looker = employ_looker (scale, ends);
  load_sleep_until (ends->end_ns - QUIET_NS);
  Probes *probes = start_probes (scale);
  probes_expect_none_after (probes, ends->end_ns + latest);
  load_sleep_until (ends->end_ns);
  probes_enter (probes, PROBE_BUSY);
  await_clean_up (scale, probes, ends->end_ns);
  __atomic_store_n (&ends->done, true, __ATOMIC_RELEASE);
  ProbeResult result = probes_finish (probes);
  if (waitpid (looker, &status, 0) < 0 || status != 0)
    load_die ("the one who looks for keys has failed");
  say_worst (&result, SAY_MOST (5), SAY_JUST);
  say_looks (ends, result.wrong);
  munmap (ends, size);
}

/* Returns how long the longest write took. */
static uint64_t
attach_all (const Scale *scale)
{
  static const LoadPaths paths = { .dir = SCALE_LEASE, .ttl = SCALE_LEASE "/ttl" };
  g_autoptr (GString) lines = g_string_new (NULL);
  uint64_t longest = 0;

  load_grant_bare (&paths, "36000\n");
  for (uint64_t number = 0; number < scale->count; number++) {
    g_string_append_printf (lines, "%s\n", load_paths (number).key);
    if (lines->len < ATTACH_BYTES && number + 1 < scale->count)
      continue;
    uint64_t before = bench_now_ns ();
    load_put (SCALE_LEASE "/keys", lines->str, 0);
    longest = MAX (longest, bench_now_ns () - before);
    g_string_truncate (lines, 0);
  }
  return longest;
}

void
scale_attach (const Scale *scale)
{

  Probes *probes = start_probes (scale);
  g_usleep (QUIET_NS / 1000);
  probes_enter (probes, PROBE_BUSY);
  uint64_t begin = bench_now_ns ();
  uint64_t longest = attach_all (scale);
  say ("time to attach all to one lease", (double)(bench_now_ns () - begin) / 1e9, "s", SAY_JUST);
  say ("longest write to keys", (double)longest / 1e6, "ms", SAY_JUST);
  ProbeResult result = probes_finish (probes);
  say_worst (&result, SAY_JUST, SAY_JUST);
  begin = bench_now_ns ();
  scale_settle (scale);
  say ("until the daemon was idle again", (double)(bench_now_ns () - begin) / 1e9, "s", SAY_JUST);
  /* What has been changed makes it list them again. */
  load_touch (SCALE_LEASE "/ttl");
  begin = bench_now_ns ();
  load_stat_anew (SCALE_LEASE "/keys");
  say ("stat of its keys", (double)(bench_now_ns () - begin) / 1e6, "ms", SAY_JUST);
}

void
scale_revoke (const Scale *scale)
{

  Probes *probes = start_probes (scale);
  g_usleep (QUIET_NS / 1000);
  probes_enter (probes, PROBE_BUSY);
  int64_t begin = load_boottime_ns ();
  if (rmdir (SCALE_LEASE) != 0)
    load_die (SCALE_LEASE);
  int64_t end = load_boottime_ns ();
  probes_expect_none_after (probes, end);
  say ("rmdir returned after", (double)(end - begin) / 1e9, "s", SAY_MOST (2));
  await_clean_up (scale, probes, begin);
  ProbeResult result = probes_finish (probes);
  say_worst (&result, SAY_JUST, SAY_MOST (10));
  say ("listed too late", (double)result.wrong, "leases", SAY_MOST (0));
}
