/* SPDX-License-Identifier: MIT */

/* Two processes for each directory, so that a call that waits for something in `leases/` hides
 * nothing of the others. They sleep between rounds: a probe is not to be a load. */

#include "tests/bench/probe.h"

#include "tests/bench/load.h"
#include "tests/bench/say.h"
#include "tests/bench/times.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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

#define MAX_DIRS 4
#define KEY LOAD_KEYS "/probe"
#define NEW_KEY LOAD_KEYS "/probe-new"
#define LEASE "leases/probe"
#define NEW_LEASE "leases/probe-new"
#define KEYS_PAUSE_US 2000
#define LEASES_PAUSE_US 10000
#define LIST_EVERY 50

typedef enum { GET, STAT, PUT, NEW, DELETE, REFRESH, GRANT, REVOKE, LIST, CALLS } Call;

static const char *const calls[CALLS] = { "get",     "stat",  "put",    "new", "delete",
                                          "refresh", "grant", "revoke", "list" };

/* What one process says of one call in one phase. */
typedef struct {
  uint64_t count, p50, p99, max, slow;
  double max_at_s;
} Summary;

typedef struct {
  ProbePhase phase;
  uint64_t since_ns; /* when the phase began */
  int64_t none_after_ns;
  uint64_t wrong;
  Summary summaries[MAX_DIRS][CALLS][PROBE_STOP];
} Shared;

struct Probes {
  Shared *shared;
  unsigned dirs;
  const char *const *names;
  pid_t pids[2 * MAX_DIRS];
};

/* What a process collects. */
typedef struct {
  Shared *shared;
  unsigned dir;
  BenchTimes *times[CALLS][PROBE_STOP];
  Summary *longest;
} Probe;

static ProbePhase
phase_of (Shared *shared)
{
  return __atomic_load_n (&shared->phase, __ATOMIC_ACQUIRE);
}

/* Counts for the phase in which the call ended. */
static void
note (Probe *probe, Call call, uint64_t begin)
{
  uint64_t end = bench_now_ns ();
  ProbePhase phase = phase_of (probe->shared);

  if (phase == PROBE_STOP)
    phase = PROBE_BUSY;
  Summary *summary = &probe->shared->summaries[probe->dir][call][phase];
  bench_times_add (probe->times[call][phase], end - begin);
  summary->slow += end - begin > PROBE_SLOW_NS;
  if (end - begin > summary->max) {
    summary->max = end - begin;
    summary->max_at_s = ((double)end - (double)probe->shared->since_ns) / 1e9;
  }
}

static void
play_keys (Probe *probe, unsigned round)
{
  uint64_t begin = bench_now_ns ();
  load_get (KEY);
  note (probe, GET, begin);
  begin = bench_now_ns ();
  load_stat_anew (KEY);
  note (probe, STAT, begin);
  begin = bench_now_ns ();
  load_put (KEY, LOAD_VALUE, O_TRUNC);
  note (probe, PUT, begin);
  begin = bench_now_ns ();
  load_put (NEW_KEY, LOAD_VALUE, O_CREAT | O_EXCL);
  note (probe, NEW, begin);
  begin = bench_now_ns ();
  if (unlink (NEW_KEY) != 0)
    load_die (NEW_KEY);
  note (probe, DELETE, begin);
  begin = bench_now_ns ();
  load_touch (LEASE "/ttl");
  note (probe, REFRESH, begin);
  g_usleep (KEYS_PAUSE_US);
}

/* How many leases a listing shows that are not of the probes. */
static uint64_t
count_others (void)
{
  uint64_t others = 0;
  DIR *dir = opendir ("leases");

  if (dir == NULL)
    load_die ("leases");
  for (struct dirent *entry; (entry = readdir (dir)) != NULL;)
    others += entry->d_name[0] != '.' && strncmp (entry->d_name, "probe", 5) != 0;
  closedir (dir);
  return others;
}

static void
list (Probe *probe)
{
  int64_t after = __atomic_load_n (&probe->shared->none_after_ns, __ATOMIC_ACQUIRE);

  if (after == 0 || load_boottime_ns () <= after)
    return;
  uint64_t begin = bench_now_ns ();
  uint64_t others = count_others ();
  note (probe, LIST, begin);
  if (probe->dir == 0 && others > 0)
    probe->shared->wrong += others;
}

static void
play_leases (Probe *probe, unsigned round)
{
  static const LoadPaths paths = { .dir = NEW_LEASE, .ttl = NEW_LEASE "/ttl" };
  uint64_t begin = bench_now_ns ();

  load_grant_bare (&paths, "1000\n");
  note (probe, GRANT, begin);
  /* On a tmpfs rmdir revokes nothing. */
  if (access ("leases/.metrics", F_OK) != 0)
    unlink (NEW_LEASE "/ttl");
  begin = bench_now_ns ();
  if (rmdir (NEW_LEASE) != 0)
    load_die (NEW_LEASE);
  note (probe, REVOKE, begin);
  if (round % LIST_EVERY == 0)
    list (probe);
  g_usleep (LEASES_PAUSE_US);
}

static void
summarise (Probe *probe)
{
  for (unsigned call = 0; call < CALLS; call++)
    for (unsigned phase = 0; phase < PROBE_STOP; phase++) {
      BenchTimes *times = probe->times[call][phase];
      Summary *summary = &probe->shared->summaries[probe->dir][call][phase];
      if (bench_times_count (times) == 0)
        continue;
      summary->count = bench_times_count (times);
      summary->p50 = bench_times_quantile (times, 0.5);
      summary->p99 = bench_times_quantile (times, 0.99);
    }
}

static pid_t
employ (Shared *shared, unsigned dir, const char *path, void (*play) (Probe *, unsigned))
{
  Probe probe = { .shared = shared, .dir = dir };

  fflush (NULL);
  pid_t pid = fork ();
  if (pid < 0)
    load_die ("fork");
  if (pid > 0)
    return pid;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (chdir (path) != 0)
    load_die (path);
  for (unsigned call = 0; call < CALLS; call++)
    for (unsigned phase = 0; phase < PROBE_STOP; phase++)
      probe.times[call][phase] = bench_times_new ();
  for (unsigned round = 0; phase_of (shared) != PROBE_STOP; round++)
    play (&probe, round);
  summarise (&probe);
  _exit (0);
}

/* In a process of its own: the current directory stays. */
static void
set_up (const char *path)
{
  static const LoadPaths paths = { .dir = LEASE, .ttl = LEASE "/ttl" };
  int status;

  pid_t pid = fork ();
  if (pid == 0) {
    if (chdir (path) != 0)
      load_die (path);
    load_lay_out ();
    if (access (LEASE, F_OK) != 0)
      load_grant_bare (&paths, "3600\n");
    load_put (LEASE "/x", LOAD_VALUE, O_CREAT);
    if (rename (LEASE "/x", KEY) != 0)
      load_die (KEY);
    _exit (0);
  }
  if (pid < 0 || waitpid (pid, &status, 0) < 0 || status != 0)
    load_die (path);
}

Probes *
probes_start (const char *const *dirs, const char *const *names)
{
  Probes *probes = g_new0 (Probes, 1);

  probes->shared = load_shared (sizeof *probes->shared);
  probes->names = names;
  for (; dirs[probes->dirs] != NULL && probes->dirs < MAX_DIRS; probes->dirs++)
    set_up (dirs[probes->dirs]);
  probes_enter (probes, PROBE_QUIET);
  for (unsigned i = 0; i < probes->dirs; i++) {
    probes->pids[2 * i] = employ (probes->shared, i, dirs[i], play_keys);
    probes->pids[2 * i + 1] = employ (probes->shared, i, dirs[i], play_leases);
  }
  return probes;
}

void
probes_enter (Probes *probes, ProbePhase phase)
{
  if (phase != PROBE_STOP)
    probes->shared->since_ns = bench_now_ns ();
  __atomic_store_n (&probes->shared->phase, phase, __ATOMIC_RELEASE);
}

void
probes_expect_none_after (Probes *probes, int64_t boottime_ns)
{
  __atomic_store_n (&probes->shared->none_after_ns, boottime_ns, __ATOMIC_RELEASE);
}

static void
say_summary (const Probes *probes, unsigned dir, unsigned call, ProbePhase phase)
{
  static const char *const phases[] = { "before", "during", "after" };
  const Summary *summary = &probes->shared->summaries[dir][call][phase];

  if (summary->count > 0)
    say_calls (&(SayCalls){ calls[call], probes->names[dir], phases[phase], (double)summary->count,
                            (double)summary->p50 / 1e3, (double)summary->p99 / 1e3,
                            (double)summary->max / 1e3, summary->max_at_s });
}

/* A line for each call: here meanwhile, here before and after, and meanwhile in the controls. */
static void
say_table (const Probes *probes)
{
  printf ("  %-8s %7s %8s %8s %8s %7s |%-17s |%-17s", "us", "calls", "p50", "p99", "max", "at s",
          " before: p99, max", " after: p99, max");
  for (unsigned dir = 1; dir < probes->dirs; dir++)
    printf (" | %s: p99, max", probes->names[dir]);
  printf ("\n");
  for (unsigned call = 0; call < CALLS; call++) {
    const Summary *here = probes->shared->summaries[0][call];
    printf ("  %-8s %7" PRIu64 " %8.0f %8.0f %8.0f %7.2f", calls[call], here[PROBE_BUSY].count,
            (double)here[PROBE_BUSY].p50 / 1e3, (double)here[PROBE_BUSY].p99 / 1e3,
            (double)here[PROBE_BUSY].max / 1e3, here[PROBE_BUSY].max_at_s);
    for (ProbePhase phase = PROBE_QUIET; phase <= PROBE_AFTER; phase += PROBE_AFTER - PROBE_QUIET)
      printf (" | %7.0f %8.0f", (double)here[phase].p99 / 1e3, (double)here[phase].max / 1e3);
    for (unsigned dir = 1; dir < probes->dirs; dir++) {
      const Summary *there = &probes->shared->summaries[dir][call][PROBE_BUSY];
      printf (" | %9.0f %10.0f", (double)there->p99 / 1e3, (double)there->max / 1e3);
    }
    printf ("\n");
    for (unsigned dir = 0; dir < probes->dirs; dir++)
      for (ProbePhase phase = PROBE_QUIET; phase < PROBE_STOP; phase++)
        say_summary (probes, dir, call, phase);
  }
}

static ProbeWorst
worst_of (const Probes *probes, unsigned dir)
{
  ProbeWorst worst = { 0 };

  for (Call call = GET; call <= REFRESH; call++) {
    const Summary *summary = &probes->shared->summaries[dir][call][PROBE_BUSY];
    if (call == GET || call == PUT || call == REFRESH)
      worst.p99_us = MAX (worst.p99_us, (double)summary->p99 / 1e3);
    worst.max_us = MAX (worst.max_us, (double)summary->max / 1e3);
    worst.slow += summary->slow;
  }
  return worst;
}

ProbeResult
probes_finish (Probes *probes)
{
  int status;

  probes_enter (probes, PROBE_STOP);
  for (unsigned i = 0; i < 2 * probes->dirs; i++)
    if (waitpid (probes->pids[i], &status, 0) < 0 || status != 0)
      load_die ("a probe has failed");
  say_table (probes);
  ProbeResult result = { worst_of (probes, 0), worst_of (probes, 1), probes->shared->wrong };
  munmap (probes->shared, sizeof *probes->shared);
  g_free (probes);
  return result;
}
