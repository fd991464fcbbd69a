/* SPDX-License-Identifier: MIT */

/* Kills the daemon in the midst of random work, again and again, and looks whether the next one on
 * the same state file has all that was acknowledged, and nothing half-done.
 *
 *     # mount -t tmpfs none /tmp/reference
 *     # LEASEFS=build/fs/leasefs crash -r 200 -s 1 /var/tmp/state.db /mnt/keys /tmp/reference
 *
 * Workers on trees (crash-worker.c) make all kinds of calls, each in a directory of its own, with
 * leases of its own, and a bit in shared/. What the mount has acknowledged they make in the
 * reference as well. After the end of the daemon each has one call under way at most, and what it
 * has on the mount must be as in the reference without that call or with it (crash-model.c).
 * Workers on brief leases (crash-brief.c) are about the end of leases.
 *
 * About each eighth time the daemon is not killed but told to end (SIGTERM).
 * With -n it stays, and the state is looked at as it is: this tests the test. `none` will do as
 * state file then.
 * With -f, a daemon that does not end when it is killed is made to by force, as by `umount -f`, and
 * that is no failure.
 * The seed decides which calls are made; where the daemon is in them when it dies, it does not. */

#include "tests/mount/crash.h"
#include "tests/mount/random.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#define PATIENCE_S 120
#define FUSE_MAGIC 0x65735546
#define END_PATIENCE (10 * CRASH_SECOND)
/* Longer than the TTL of any lease that was about to end. */
#define ENDED_US 80000

/* So often, 10 ms apart, it is looked whether what has ended has been cleaned up. */
#define CLEANING_TRIES 300

typedef struct {
  unsigned rounds, seed;
  bool stays; /* the daemon is never killed */
  bool helps; /* a daemon that does not end is no failure */
  const char *state;
  uint64_t random;
  int reference;
  pid_t daemon;
  CrashWorker workers[CRASH_TREES];
  CrashBrief *briefs[CRASH_BRIEFS];
} Crash;

static void
die (const char *what)
{
  fprintf (stderr, "crash: %s: %s\n", what, strerror (errno));
  exit (2);
}

/* The daemon. */

static bool
is_mounted (void)
{
  struct statfs fs;

  return statfs (crash_run.mountpoint, &fs) == 0 && fs.f_type == FUSE_MAGIC;
}

static void
start_daemon (Crash *crash)
{
  const char *program = getenv ("LEASEFS");

  crash_moments.spawned = crash_boottime ();
  crash->daemon = fork ();
  if (crash->daemon == 0) {
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    execl (program, program, crash->state, crash_run.mountpoint, "-f", NULL);
    die (program);
  }
  while (!is_mounted ()) {
    if (waitpid (crash->daemon, NULL, WNOHANG) == crash->daemon) {
      crash_fail ("the daemon does not start\n");
      exit (1);
    }
    usleep (1000);
  }
  crash_moments.mounted = crash_boottime ();
  if (!crash_moments.clean)
    crash_moments.since = crash_moments.spawned;
}

/* A daemon that waits for its own answer does not even die of SIGKILL, and with it hang all who use
 * the mount. */
static int
wait_for_daemon (const Crash *crash)
{
  int64_t since = crash_boottime ();
  int status;

  while (waitpid (crash->daemon, &status, WNOHANG) == 0) {
    if (crash_boottime () > since + END_PATIENCE) {
      if (!crash->helps)
        crash_fail ("the daemon does not end\n");
      umount2 (crash_run.mountpoint, MNT_FORCE);
      waitpid (crash->daemon, &status, 0);
      break;
    }
    usleep (200);
  }
  return status;
}

static void
end_daemon (Crash *crash, int how)
{
  int status;

  crash_moments.clean = how == SIGTERM;
  crash_moments.killed = crash_boottime ();
  kill (crash->daemon, how);
  status = wait_for_daemon (crash);
  crash_moments.dead = crash_boottime ();
  if (how == SIGTERM && status != 0)
    crash_fail ("the daemon ended with status %#x\n", status);
}

/* The file. */

static void
check_file (const char *path)
{
  char command[CRASH_PATH * 2], line[200] = "";

  snprintf (command, sizeof command, "sqlite3 '%s' 'PRAGMA integrity_check' 2>&1", path);
  FILE *output = popen (command, "r");
  if (fgets (line, sizeof line, output) == NULL || strcmp (line, "ok\n") != 0)
    crash_fail ("integrity_check of %s: %s\n", path, line);
  pclose (output);
}

/* On a copy: whoever opens the file itself after a crash does what the daemon is to do. */
static void
check_copy (const Crash *crash)
{
  char command[CRASH_PATH * 4], copy[CRASH_PATH];

  snprintf (copy, sizeof copy, "%s.copy", crash->state);
  snprintf (command, sizeof command,
            "rm -f '%s'* && cp '%s' '%s' && { [ ! -e '%s-wal' ] || cp '%s-wal' '%s-wal'; }", copy,
            crash->state, copy, crash->state, crash->state, copy);
  if (system (command) != 0)
    crash_fail ("cannot copy %s\n", crash->state);
  check_file (copy);
}

/* The work. */

static void
work_a_while (Crash *crash)
{
  unsigned kind = random_below (&crash->random, 10);
  unsigned most = kind < 3 ? 20000 : kind < 8 ? 300000 : 900000;

  usleep (1000 + random_below (&crash->random, most));
}

/* Lets the workers work, and ends the daemon meanwhile. */
static void
run_workers (Crash *crash)
{
  pthread_t threads[CRASH_TREES + CRASH_BRIEFS];

  atomic_store (&crash_run.stopping, false);
  for (unsigned i = 0; i < CRASH_TREES; i++)
    pthread_create (&threads[i], NULL, crash_worker_run, &crash->workers[i]);
  for (unsigned i = 0; i < CRASH_BRIEFS; i++)
    pthread_create (&threads[CRASH_TREES + i], NULL, crash_brief_run, crash->briefs[i]);
  work_a_while (crash);
  atomic_store (&crash_run.stopping, true);
  if (!crash->stays)
    end_daemon (crash, random_below (&crash->random, 8) == 0 ? SIGTERM : SIGKILL);
  for (unsigned i = 0; i < CRASH_TREES + CRASH_BRIEFS; i++)
    pthread_join (threads[i], NULL);
  crash_moments.dead_wall = crash_wall ();
}

/* The comparison. */

static void
open_roots (Crash *crash)
{
  for (unsigned i = 0; i < CRASH_TREES; i++)
    crash->workers[i].root = open (crash_run.mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void
close_roots (Crash *crash)
{
  for (unsigned i = 0; i < CRASH_TREES; i++)
    close (crash->workers[i].root);
}

/* What had ended must not be there, not even at the first look. */
static void
take_first_look (Crash *crash, FILE *out)
{
  bool good = true;

  for (unsigned i = 0; i < CRASH_TREES; i++) {
    CrashWorker *worker = &crash->workers[i];
    for (unsigned j = 0; j < CRASH_LEASES; j++) {
      char path[CRASH_PATH];
      bool about = worker->busy && worker->call.kind >= CRASH_RESERVE && worker->call.lease == j;
      snprintf (path, sizeof path, "leases/%s", worker->leases[j].id);
      if (worker->leases[j].state != CRASH_FREE || about ||
          faccessat (worker->root, path, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        continue;
      fprintf (out, "%s: has come back\n", path);
      good = false;
    }
  }
  for (unsigned i = 0; i < CRASH_BRIEFS; i++)
    good &= crash_brief_good (crash->briefs[i], crash->workers[0].root, out);
  if (!good)
    crash_fail ("at the first look:\n");
}

/* With how few steps of the call under way it may be there. */
static int
least_steps (const CrashWorker *worker)
{
  struct stat st;
  int acknowledged = worker->acknowledged;

  if (worker->call.kind != CRASH_PUT || acknowledged != 1 || worker->applied > 0)
    return acknowledged;
  /* That the old value goes may come to the disk together with the new one. */
  return fstatat (worker->reference, worker->call.path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : 1;
}

/* With how many at most. The pieces of a write may also come to the daemon as one. */
static int
most_steps (const CrashWorker *worker)
{
  int steps = crash_call_steps (&worker->call);

  return worker->call.kind == CRASH_PUT && worker->acknowledged == 0 ? 1 : steps;
}

/* Whether it is as in the reference, or comes to be soon. */
static bool
is_alike (CrashWorker *worker, FILE *out)
{
  long place = ftell (out);

  for (unsigned tries = 0; tries < CLEANING_TRIES; tries++) {
    bool later;
    fseek (out, place, SEEK_SET);
    if (crash_model_alike (worker, false, out, &later))
      return crash_model_alike (worker, true, out, &later);
    if (!later)
      return false;
    usleep (10000);
  }
  return false;
}

/* Finds out how much of the call under way has been done, if the mount is alike at all. */
static bool
settle_worker (CrashWorker *worker, FILE *out)
{
  int least = worker->busy ? least_steps (worker) : worker->applied;
  int most = worker->busy ? most_steps (worker) : worker->applied;

  while (worker->applied < least)
    crash_worker_apply (worker);
  for (;;) {
    fprintf (out, "with %d steps of it:\n", worker->applied);
    if (is_alike (worker, out))
      return true;
    if (worker->applied >= most)
      return false;
    crash_worker_apply (worker);
  }
}

static void
check_worker (CrashWorker *worker)
{
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream (&text, &size);

  fprintf (out, "worker %u, ", worker->number);
  if (worker->busy)
    fprintf (out, "%d steps acknowledged of the last call:\n", worker->acknowledged);
  else
    fprintf (out, "nothing under way:\n");
  crash_worker_print (worker, out);
  bool good = settle_worker (worker, out);
  fclose (out);
  if (!good)
    crash_fail ("%s", text);
  free (text);
}

/* For the next round: what does not outlast the end of a daemon is gone. */
static void
tidy_worker (CrashWorker *worker)
{
  free (worker->emptied.data);
  worker->emptied = (CrashEmptied){ 0 };
  worker->touched_count = 0;
  for (unsigned i = 0; i < CRASH_LEASES && !crash_moments.alive; i++)
    if (worker->leases[i].state == CRASH_RESERVED) {
      char path[CRASH_PATH];
      snprintf (path, sizeof path, "leases/%s", worker->leases[i].id);
      unlinkat (worker->reference, path, AT_REMOVEDIR);
      worker->leases[i].state = CRASH_FREE;
    }
  crash_leases_prune (worker);
  worker->busy = false;
}

/* Nothing is in the directory that nobody has made. */
static void
check_names (Crash *crash, const char *path)
{
  struct dirent **entries;
  int root = crash->workers[0].root, directory = openat (root, path, O_RDONLY | O_DIRECTORY);
  int count = scandirat (directory, ".", &entries, NULL, alphasort);

  for (int i = 0; i < count; i++) {
    const char *name = entries[i]->d_name;
    /* Of what begins like this, others have checked which there may be. */
    if (strchr (".wb", name[0]) == NULL && strcmp (name, "leases") != 0 &&
        strcmp (name, "shared") != 0)
      crash_fail ("%s/%s: where is that from?\n", path, name);
    free (entries[i]);
  }
  if (count >= 0)
    free (entries);
  close (directory);
}

static void
check_round (Crash *crash)
{
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream (&text, &size);
  bool ends = false;

  take_first_look (crash, out);
  for (unsigned i = 0; i < CRASH_TREES; i++)
    ends |= crash->workers[i].busy && crash->workers[i].call.kind == CRASH_END;
  if (ends)
    usleep (ENDED_US);
  for (unsigned i = 0; i < CRASH_TREES; i++)
    check_worker (&crash->workers[i]);
  if (!crash_shared_good (crash->workers, crash->workers[0].root, out))
    crash_fail ("in shared/:\n");
  for (unsigned i = 0; i < CRASH_TREES; i++)
    tidy_worker (&crash->workers[i]);
  check_names (crash, ".");
  check_names (crash, "leases");
  fclose (out);
  fputs (text, stdout);
  free (text);
}

/* The whole. */

static void
begin (Crash *crash)
{
  crash->random = random_start (crash->seed, 99);
  umask (0);
  start_daemon (crash);
  crash_moments.alive = crash->stays;
  int root = open (crash_run.mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (mkdirat (root, "shared", 0755) != 0 || mkdirat (root, "brief", 0755) != 0)
    die ("is there something already?");
  for (unsigned i = 0; i < CRASH_TREES; i++) {
    crash_worker_begin (&crash->workers[i], i, crash->seed, crash->reference);
    if (mkdirat (root, crash->workers[i].area, 0755) != 0)
      die (crash->workers[i].area);
  }
  for (unsigned i = 0; i < CRASH_BRIEFS; i++)
    crash->briefs[i] = crash_brief_new (i, crash->seed);
  close (root);
  open_roots (crash);
}

static void
restart (Crash *crash, unsigned round)
{
  close_roots (crash);
  umount2 (crash_run.mountpoint, MNT_DETACH);
  check_copy (crash);
  start_daemon (crash);
  open_roots (crash);
  if (round % 4 == 0)
    check_file (crash->state);
}

static void
finish (Crash *crash, unsigned round)
{
  uint64_t calls = 0, refused = 0;

  close_roots (crash);
  kill (crash->daemon, SIGTERM);
  wait_for_daemon (crash);
  umount2 (crash_run.mountpoint, MNT_DETACH);
  for (unsigned i = 0; i < CRASH_TREES; i++) {
    calls += crash->workers[i].calls;
    refused += crash->workers[i].refused;
  }
  printf ("crash: %u rounds, %ju calls, of which %ju were refused\n", round, (uintmax_t)calls,
          (uintmax_t)refused);
}

static int
run (Crash *crash)
{
  unsigned round = 0;

  printf ("crash: seed %u\n", crash->seed);
  fflush (stdout);
  begin (crash);
  while (round < crash->rounds && !atomic_load (&crash_run.failed)) {
    alarm (PATIENCE_S);
    round++;
    run_workers (crash);
    if (!crash->stays)
      restart (crash, round);
    if (!atomic_load (&crash_run.failed))
      check_round (crash);
    if (atomic_load (&crash_run.failed))
      printf ("crash: seed %u, round %u (%s)\n", crash->seed, round,
              crash_moments.clean ? "SIGTERM" : "SIGKILL");
  }
  finish (crash, round);
  return atomic_load (&crash_run.failed) ? 1 : 0;
}

int
main (int argc, char **argv)
{
  static Crash crash = { .rounds = 200, .seed = 1 };

  for (int option; (option = getopt (argc, argv, "r:s:nf")) != -1;)
    if (option == 'r')
      crash.rounds = atoi (optarg);
    else if (option == 's')
      crash.seed = strtoul (optarg, NULL, 10);
    else if (option == 'n')
      crash.stays = true;
    else if (option == 'f')
      crash.helps = true;
    else
      return 2;
  if (optind != argc - 3 || getenv ("LEASEFS") == NULL) {
    fprintf (stderr, "usage: crash [-r ROUNDS] [-s SEED] [-n] [-f] STATE MOUNTPOINT REFERENCE\n");
    return 2;
  }
  crash.state = argv[optind];
  crash_run.mountpoint = argv[optind + 1];
  crash.reference = open (argv[optind + 2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (crash.reference < 0)
    die (argv[optind + 2]);
  return run (&crash);
}
