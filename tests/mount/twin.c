/* SPDX-License-Identifier: MIT */

/* Makes the same system calls in two directories and demands the same answers.
 *
 *     # mount -t tmpfs -o nosuid,nodev none /tmp/reference
 *     # leasefs -o allow_other /mnt/keys && mkdir /mnt/keys/twin
 *     # twin -s 1 -n 20000 /tmp/reference /mnt/keys/twin
 *
 * Both directories are empty. The calls are chosen at random from the seed (-s), in the manner of
 * fsx and pjdfstest: few names, few directories, all kinds of calls, arguments near every border,
 * several users. After each call its result, its errno, the bytes read, and what fstat says of all
 * that it may have touched have to be the same on both sides; every so often, the whole of both
 * trees. The first difference is printed with the calls before it, and ends the run with status 1:
 *
 *     twin: seed 1, step 731
 *       728 open      user=0 ...                  -> 0
 *       ...
 *     path: mode: 33188 in the reference, 33261 here
 *
 * With -t it also compares which of the times of each thing the call has moved. For that it
 * waits two clock ticks before each call, so it makes about 100 calls a second.
 * With -x it leaves kinds of calls out: `-x mknod,copy`; their names are in the tables of kinds.
 * With -v it prints each call as it is made. */

#include "tests/mount/twin.h"

#include <inttypes.h>
#include <time.h>

#define HISTORY 20
#define WALK_EVERY 200
#define NEAR_SECONDS (30 * 86400)

typedef struct {
  TwinCall call;
  int64_t value;
  int error;
} Past;

typedef struct {
  uint64_t seed;
  unsigned steps, step, succeeded;
  bool verbose, with_times;
  const char *roots[2]; /* the reference's, the other's */
  TwinPlayer *players[2];
  TwinChoices choices;
  Past past[HISTORY];
} Twin;

static void
print_past (const Past *past, unsigned step, FILE *out)
{
  fprintf (out, "  %u ", step);
  twin_calls_print (&past->call, out);
  if (past->error != 0)
    fprintf (out, " -> %s\n", strerrorname_np (past->error));
  else
    fprintf (out, " -> %" PRId64 "\n", past->value);
}

static void
report (const Twin *twin, const char *text)
{
  unsigned first = twin->step >= HISTORY ? twin->step - HISTORY + 1 : 0;

  printf ("twin: seed %" PRIu64 ", step %u\n", twin->seed, twin->step);
  for (unsigned step = first; step <= twin->step; step++)
    print_past (&twin->past[step % HISTORY], step, stdout);
  fputs (text, stdout);
}

/* The times that the call must move alike, as bits. */
static unsigned
times_told (const Twin *twin, const TwinCall *call)
{
  bool sets = strstr (call->kind->name, "utimens") != NULL;
  bool chowns_nothing =
      strcmp (call->kind->name, "chown") == 0 && call->offset == -1 && call->offset2 == -1;

  if (!twin->with_times)
    return 0;
  /* What the kernel reads from its cache FUSE is not told of, so atime stays where it is; and a
   * chown that changes neither owner is not worth a request to it. */
  return (sets ? 1 : 0) | 2 | (chowns_nothing ? 0 : 4);
}

static bool
times_alike (const TwinSight *reference, const TwinSight *found, unsigned told, FILE *out)
{
  static const char *const names[] = { "atime", "mtime", "ctime" };
  time_t now = time (NULL);
  bool alike = true;

  for (int i = 0; i < 3; i++) {
    const struct timespec *a = &reference->times[i], *b = &found->times[i];
    bool near_a = llabs (a->tv_sec - now) < NEAR_SECONDS;
    bool near_b = llabs (b->tv_sec - now) < NEAR_SECONDS;
    bool moved = told >> i & 1;

    /* What is not near was set, and is to be exact. */
    if ((i > 0 || (moved && reference->moved & 1)) &&
        (near_a != near_b || (!near_a && (a->tv_sec != b->tv_sec || a->tv_nsec != b->tv_nsec)))) {
      fprintf (out, "%s: %jd.%09ld in the reference, %jd.%09ld here\n", names[i],
               (intmax_t)a->tv_sec, a->tv_nsec, (intmax_t)b->tv_sec, b->tv_nsec);
      alike = false;
    }
    /* An atime may already have been where it is set to, on one side. */
    if (i > 0 && moved && ((reference->moved ^ found->moved) >> i & 1)) {
      fprintf (out, "%s: has moved in the %s only\n", names[i],
               reference->moved >> i & 1 ? "reference" : "directory");
      alike = false;
    }
  }
  return alike;
}

static void
to_stat (const TwinSight *sight, struct stat *st)
{
  *st = (struct stat){ .st_ino = sight->ino,
                       .st_mode = sight->mode,
                       .st_nlink = sight->nlink,
                       .st_uid = sight->uid,
                       .st_gid = sight->gid,
                       .st_rdev = sight->rdev,
                       .st_size = sight->size };
}

static bool
sight_alike (const TwinSight *reference, const TwinSight *found, unsigned told, FILE *out)
{
  struct stat a, b;
  bool alike;

  if (reference->error != found->error) {
    fprintf (out, "%s in the reference, %s here\n", strerror (reference->error),
             strerror (found->error));
    return false;
  }
  if (reference->error != 0)
    return true;
  to_stat (reference, &a);
  to_stat (found, &b);
  alike = twin_trees_sight_alike (&a, &b, out);
  return times_alike (reference, found, told, out) && alike;
}

static bool
answers_alike (const TwinAnswer *reference, const TwinAnswer *found, unsigned told, FILE *out)
{
  bool alike = true;

  if (reference->value != found->value || reference->error != found->error) {
    fprintf (out, "result: %" PRId64 " (%s) in the reference, %" PRId64 " (%s) here\n",
             reference->value, strerror (reference->error), found->value, strerror (found->error));
    alike = false;
  }
  if (reference->size != found->size ||
      memcmp (reference->data, found->data, reference->size) != 0) {
    size_t same = 0;
    while (same < reference->size && reference->data[same] == found->data[same])
      same++;
    fprintf (out, "other data: %zu and %zu bytes, alike in the first %zu\n", reference->size,
             found->size, same);
    alike = false;
  }
  for (int i = 0; i < TWIN_SIGHTS; i++)
    if (!sight_alike (&reference->sights[i], &found->sights[i], told, out)) {
      fprintf (out, "  of: %s\n", twin_sight_names[i]);
      alike = false;
    }
  return alike;
}

/* One call on both sides; returns whether they agree. */
static bool
step (Twin *twin, FILE *out)
{
  Past *past = &twin->past[twin->step % HISTORY];
  const TwinAnswer *answers[2];

  twin_calls_choose (&twin->choices, &past->call);
  past->value = past->error = 0;
  for (int i = 0; i < 2; i++)
    twin_player_begin (twin->players[i], &past->call);
  for (int i = 0; i < 2; i++)
    if ((answers[i] = twin_player_answer (twin->players[i])) == NULL) {
      fprintf (out, "no answer from %s\n", twin->roots[i]);
      return false;
    }
  past->value = answers[0]->value;
  past->error = answers[0]->error;
  twin->succeeded += past->value != -1;
  if (twin->verbose)
    print_past (past, twin->step, stderr);
  twin_choices_learn (&twin->choices, &past->call, answers[0]);
  return answers_alike (answers[0], answers[1], times_told (twin, &past->call), out);
}

static bool
walk (Twin *twin, FILE *out)
{
  if (!twin_trees_alike (twin->roots[0], twin->roots[1], out))
    return false;
  if ((twin->step + 1) % (3 * WALK_EVERY) != 0)
    return true;
  memset (twin->choices.known, 0, sizeof twin->choices.known);
  for (int i = 0; i < 2; i++)
    if (!twin_trees_empty (twin->roots[i])) {
      fprintf (out, "cannot empty %s\n", twin->roots[i]);
      return false;
    }
  return true;
}

static bool
run (Twin *twin)
{
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream (&text, &size);
  bool alike = true;

  while (twin->step < twin->steps) {
    bool walks = twin->step % WALK_EVERY == WALK_EVERY - 1 || twin->step + 1 == twin->steps;
    alike = step (twin, out) && (!walks || walk (twin, out));
    if (!alike)
      break;
    twin->step++;
  }
  fclose (out);
  if (!alike)
    report (twin, text);
  free (text);
  return alike;
}

static bool
parse (Twin *twin, int argc, char **argv)
{
  int option;

  while ((option = getopt (argc, argv, "s:n:x:tv")) != -1)
    switch (option) {
    case 's':
      twin->seed = strtoull (optarg, NULL, 10);
      break;
    case 'n':
      twin->steps = strtoul (optarg, NULL, 10);
      break;
    case 'x':
      twin->choices.excluded = optarg;
      break;
    case 't':
      twin->with_times = true;
      break;
    case 'v':
      twin->verbose = true;
      break;
    default:
      return false;
    }
  twin->roots[0] = argv[optind];
  twin->roots[1] = argc > optind ? argv[optind + 1] : NULL;
  return argc == optind + 2;
}

int
main (int argc, char **argv)
{
  static Twin twin = { .seed = 1, .steps = 10000, .choices.excluded = "" };
  bool alike;

  if (!parse (&twin, argc, argv)) {
    fprintf (stderr,
             "usage: twin [-s SEED] [-n STEPS] [-x KIND,...] [-t] [-v] REFERENCE_DIR DIR\n");
    return 2;
  }
  /* Neighbouring seeds must not begin alike, and 0 would never change. */
  twin.choices.random = (twin.seed + 1) * 0x9e3779b97f4a7c15u | 1u << 20;
  for (int i = 0; i < 2; i++)
    twin.players[i] = twin_player_new (twin.roots[i], twin.with_times);
  alike = run (&twin);
  for (int i = 0; i < 2; i++)
    twin_player_free (twin.players[i]);
  if (alike)
    printf ("twin: seed %" PRIu64 ": %u steps alike, %u succeeded\n", twin.seed, twin.steps,
            twin.succeeded);
  return alike ? 0 : 1;
}
