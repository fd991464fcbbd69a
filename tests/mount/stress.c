/* SPDX-License-Identifier: MIT */

/* Many threads make random system calls on one mount, on so few names and leases that they are in
 * each other's way all the time. Each call must succeed or be refused for a reason that the others
 * can cause: the table in stress-calls.c has them. And each kind of call must succeed now
 * and then.
 *
 * What a call did to the names is not checked; the script looks afterwards whether anything is
 * left.
 *
 * usage: stress [-t SECONDS] [-j THREADS] [-r SEED] MOUNTPOINT */

#include "tests/mount/random.h"
#include "tests/mount/stress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* After the end of the time, for calls that hang. */
#define PATIENCE_S 120

static struct timespec deadline;

static void
die (const char *what)
{
  fprintf (stderr, "stress: %s: %s\n", what, strerror (errno));
  exit (2);
}

static bool
time_is_up (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return now.tv_sec > deadline.tv_sec ||
         (now.tv_sec == deadline.tv_sec && now.tv_nsec >= deadline.tv_nsec);
}

static void *
work (void *data)
{
  StressWorker *worker = data;

  if (!stress_begin (worker))
    die ("cannot begin");
  while (!time_is_up () && !worker->failed)
    stress_step (worker);
  stress_finish (worker);
  return NULL;
}

static bool
judge (const StressWorker *workers, unsigned count)
{
  bool good = true;

  for (unsigned i = 0; i < count; i++)
    good &= !workers[i].failed;
  for (StressCall call = 0; call < STRESS_CALLS; call++)
    good &= stress_judge (workers, count, call);
  return good;
}

/* Returns whether all went well. */
static bool
run (unsigned seconds, unsigned threads, unsigned seed)
{
  StressWorker *workers = calloc (threads, sizeof *workers);

  clock_gettime (CLOCK_MONOTONIC, &deadline);
  deadline.tv_sec += seconds;
  alarm (seconds + PATIENCE_S);
  for (unsigned i = 0; i < threads; i++) {
    workers[i].random = random_start (seed, i);
    if (pthread_create (&workers[i].thread, NULL, work, &workers[i]) != 0)
      die ("cannot start a thread");
  }
  for (unsigned i = 0; i < threads; i++)
    pthread_join (workers[i].thread, NULL);
  bool good = judge (workers, threads);
  free (workers);
  return good;
}

int
main (int argc, char **argv)
{
  unsigned seconds = 5, threads = 100, seed = 1;

  for (int option; (option = getopt (argc, argv, "t:j:r:")) != -1;)
    switch (option) {
    case 't':
      seconds = atoi (optarg);
      break;
    case 'j':
      threads = atoi (optarg);
      break;
    case 'r':
      seed = atoi (optarg);
      break;
    default:
      return 2;
    }
  if (optind != argc - 1 || threads == 0 || chdir (argv[optind]) != 0) {
    fprintf (stderr, "usage: stress [-t SECONDS] [-j THREADS] [-r SEED] MOUNTPOINT\n");
    return 2;
  }
  return run (seconds, threads, seed) ? 0 : 1;
}
