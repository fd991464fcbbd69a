/* SPDX-License-Identifier: MIT */

/* Proves that leases end exactly. Many times: a short lease with one key, which two processes
 * hammer, one with stat(2) and one with open+read+close, so that the kernel has it cached. The
 * clock is read before and after each call and each grant. Then, with the deadline somewhere
 * between `earliest` and `latest`:
 *   - no call that began after `latest` may have found the key;
 *   - no call that ended before `earliest` may have missed it.
 * The rounds differ in how the key got its lease and how the lease ends; see `kinds`.
 *
 * usage: race MOUNTPOINT ROUNDS */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS INT64_C (1000000)
#define OLD "old value"
#define NEW "a new value, of another length"

typedef enum {
  BORN_ATTACHED, /* made in the lease's directory, renamed to its place */
  CACHED_FIRST,  /* cached for long, then attached */
  NAME_ONLY,     /* the same, hammered by an open that only finds the way (O_PATH) */
  SECOND_NAME,   /* hammered by another hard link than the one that is attached */
  MADE_ANEW,     /* somebody takes the name again in the instant that it becomes free */
  SHORTENED,     /* cached with a long TTL, then given a short one */
  REFRESHED,     /* the deadline moves once while it is being hammered */
  REVOKED,       /* ends by rmdir */
  KINDS,
} Kind;

static const char *const kinds[] = { "born attached", "cached first", "name only", "second name",
                                     "made anew",     "shortened",    "refreshed", "revoked" };

/* How to look for the key. */
enum { BY_STAT, BY_READ, BY_PATH, WAYS };

static const char *const ways[] = { "stat", "read", "path" };

/* Shared between the processes of a round. */
typedef struct {
  int64_t earliest; /* INT64_MAX until it is known */
  int64_t latest;
  bool done; /* the lease has ended for good: one more call each, and out */
  struct {
    uint64_t found, missed;
    int64_t too_late, too_early; /* the worst violations, in ns */
  } seen[WAYS];
} Shared;

static Shared *shared;

static int64_t
now (void)
{
  struct timespec time;
  clock_gettime (CLOCK_BOOTTIME, &time);
  return time.tv_sec * INT64_C (1000000000) + time.tv_nsec;
}

static void
die (const char *what)
{
  fprintf (stderr, "race: %s: %s\n", what, strerror (errno));
  exit (2);
}

static void
put (const char *path, const char *value, int flags)
{
  int fd = open (path, flags, 0644);
  if (fd < 0 || write (fd, value, strlen (value)) != (ssize_t)strlen (value) || close (fd) != 0)
    die (path);
}

/* Whether the old value can still be seen. */
static bool
look_by_stat (const char *path)
{
  struct stat st;
  if (stat (path, &st) == 0)
    return st.st_size == (off_t)strlen (OLD);
  if (errno != ENOENT)
    die ("stat");
  return false;
}

static bool
look_by_read (const char *path)
{
  char text[64];
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno != ENOENT)
      die ("open");
    return false;
  }
  ssize_t size = read (fd, text, sizeof text);
  if (size < 0 && errno != ESTALE)
    die ("read");
  close (fd);
  return size == (ssize_t)strlen (OLD) && memcmp (text, OLD, size) == 0;
}

/* Of all calls this one asks for no attributes: the name alone has to be gone. */
static bool
look_by_path (const char *path)
{
  struct stat st;
  int fd = open (path, O_PATH | O_CLOEXEC);
  if (fd < 0) {
    if (errno != ENOENT)
      die ("open for the path");
    return false;
  }
  bool old = fstat (fd, &st) != 0 || st.st_size == (off_t)strlen (OLD);
  close (fd);
  return old;
}

static void
hammer (int which, const char *path)
{
  static bool (*const looks[]) (const char *) = { look_by_stat, look_by_read, look_by_path };
  bool (*look) (const char *) = looks[which];
  bool last = false;

  while (!last) {
    last = __atomic_load_n (&shared->done, __ATOMIC_ACQUIRE);
    int64_t latest = __atomic_load_n (&shared->latest, __ATOMIC_SEQ_CST);
    int64_t before = now ();
    bool found = look (path);
    int64_t after = now ();
    /* Read behind the call: a refresh meanwhile may have moved it on, but only before it was
     * reached. */
    int64_t earliest = __atomic_load_n (&shared->earliest, __ATOMIC_SEQ_CST);

    if (found) {
      shared->seen[which].found++;
      if (before > latest && before - latest > shared->seen[which].too_late)
        shared->seen[which].too_late = before - latest;
    } else {
      shared->seen[which].missed++;
      if (after < earliest && earliest != INT64_MAX &&
          earliest - after > shared->seen[which].too_early)
        shared->seen[which].too_early = earliest - after;
    }
  }
}

/* Writes a TTL, and notes what is known of the deadline. */
static void
grant (const char *ttl_path, int64_t ttl_ms)
{
  char text[32];
  snprintf (text, sizeof text, "%.3f\n", ttl_ms / 1000.0);
  int64_t before = now ();
  /* While it is being written it may be the old deadline or the new one. */
  __atomic_store_n (&shared->latest, INT64_MAX, __ATOMIC_SEQ_CST);
  put (ttl_path, text, O_WRONLY);
  __atomic_store_n (&shared->earliest, before + ttl_ms * MS, __ATOMIC_SEQ_CST);
  __atomic_store_n (&shared->latest, now () + ttl_ms * MS, __ATOMIC_SEQ_CST);
}

static void
sleep_until (int64_t when)
{
  struct timespec time = { when / 1000000000, when % 1000000000 };
  while (clock_nanosleep (CLOCK_BOOTTIME, TIMER_ABSTIME, &time, NULL) == EINTR)
    ;
}

static void
take_name_again (const char *path)
{
  int fd;
  while ((fd = open (path, O_WRONLY | O_CREAT | O_EXCL, 0644)) < 0)
    if (errno != EEXIST)
      die ("O_EXCL");
  if (now () < shared->earliest) {
    fprintf (stderr, "race: the name was free too early\n");
    exit (1);
  }
  if (write (fd, NEW, strlen (NEW)) != (ssize_t)strlen (NEW))
    die ("write of the new value");
  close (fd);
}

/* Touches the key. Returns false if it was too late for that. */
static bool
refresh (const char *key, int64_t ttl_ms)
{
  int64_t before = now ();
  int64_t earliest = shared->earliest;

  __atomic_store_n (&shared->latest, INT64_MAX, __ATOMIC_SEQ_CST);
  if (utimensat (AT_FDCWD, key, NULL, 0) != 0) {
    if (errno != ENOENT || now () < earliest)
      die ("touch");
    return false;
  }
  __atomic_store_n (&shared->earliest, before + ttl_ms * MS, __ATOMIC_SEQ_CST);
  __atomic_store_n (&shared->latest, now () + ttl_ms * MS, __ATOMIC_SEQ_CST);
  return true;
}

/* Returns false if the round proves nothing. */
static bool
end_round (Kind kind, const char *lease, const char *key)
{
  if (kind == REFRESHED) {
    sleep_until (now () + 60 * MS);
    if (!refresh (key, 250))
      return false;
  }
  if (kind == REVOKED) {
    sleep_until (now () + 60 * MS);
    __atomic_store_n (&shared->earliest, INT64_MAX, __ATOMIC_SEQ_CST);
    if (rmdir (lease) != 0) {
      if (errno != ENOENT)
        die ("rmdir");
      return false;
    }
    __atomic_store_n (&shared->latest, now (), __ATOMIC_SEQ_CST);
    sleep_until (now () + 20 * MS);
    return true;
  }
  if (kind == MADE_ANEW)
    take_name_again (key);
  sleep_until (shared->latest + 60 * MS);
  return true;
}

/* The paths of a round. */
typedef struct {
  unsigned round;
  char lease[64], ttl[96], key[64], other[64];
} Paths;

/* Makes the lease, with a long TTL, and the key, attached to it. */
static void
set_up (Kind kind, const Paths *paths)
{
  char path[96], line[80];

  if (mkdir (paths->lease, 0755) != 0)
    die (paths->lease);
  put (paths->ttl, "100\n", O_WRONLY);
  if (kind == BORN_ATTACHED) {
    snprintf (path, sizeof path, "%s/x", paths->lease);
    put (path, OLD, O_WRONLY | O_CREAT);
    if (rename (path, paths->key) != 0)
      die ("rename");
    return;
  }
  put (paths->key, OLD, O_WRONLY | O_CREAT | O_EXCL);
  if (kind == SECOND_NAME && link (paths->key, paths->other) != 0)
    die ("link");
  const char *hammered = kind == SECOND_NAME ? paths->other : paths->key;
  for (int i = 0; i < 3; i++)
    if (!look_by_stat (hammered) || !look_by_read (hammered))
      die ("the key is not there");
  snprintf (path, sizeof path, "%s/keys", paths->lease);
  snprintf (line, sizeof line, "%s\n", paths->key);
  put (path, line, O_WRONLY);
}

typedef enum {
  HELD,
  BROKEN,
  PROVED_NOTHING, /* a process got no turn on either side of the deadline, on a busy machine */
} Verdict;

/* Whoever asks for attributes makes the kernel find out that the name is gone too. So the one that
 * asks for none is alone. */
static bool
is_way_of (Kind kind, int way)
{
  return (way == BY_PATH) == (kind == NAME_ONLY);
}

static Verdict
judge (Kind kind, const Paths *paths, const pid_t children[WAYS])
{
  Verdict verdict = HELD;

  for (int i = 0; i < WAYS; i++) {
    int status;
    if (!is_way_of (kind, i))
      continue;
    if (waitpid (children[i], &status, 0) < 0 || status != 0)
      return BROKEN;
    if (shared->seen[i].too_late > 0 || shared->seen[i].too_early > 0) {
      printf ("# round %u (%s), %s: found %.3f ms too late, missed %.3f ms too early\n",
              paths->round, kinds[kind], ways[i], shared->seen[i].too_late / 1e6,
              shared->seen[i].too_early / 1e6);
      verdict = BROKEN;
    }
    if (verdict == HELD && (shared->seen[i].found == 0 || shared->seen[i].missed == 0))
      verdict = PROVED_NOTHING;
  }
  return verdict;
}

static Verdict
play (Kind kind, unsigned round)
{
  Paths paths = { .round = round };
  pid_t children[WAYS];

  snprintf (paths.lease, sizeof paths.lease, "leases/r%u", round);
  snprintf (paths.ttl, sizeof paths.ttl, "%s/ttl", paths.lease);
  snprintf (paths.key, sizeof paths.key, "key%u", round);
  snprintf (paths.other, sizeof paths.other, "other%u", round);

  memset (shared, 0, sizeof *shared);
  shared->earliest = shared->latest = INT64_MAX;
  set_up (kind, &paths);
  if (kind != SHORTENED)
    grant (paths.ttl, 250);
  fflush (NULL);
  for (int i = 0; i < WAYS; i++)
    if (is_way_of (kind, i) && (children[i] = fork ()) == 0) {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      hammer (i, kind == SECOND_NAME ? paths.other : paths.key);
      _exit (0);
    }
  if (kind == SHORTENED) {
    sleep_until (now () + 30 * MS);
    grant (paths.ttl, 220);
  }
  bool complete = end_round (kind, paths.lease, paths.key);
  __atomic_store_n (&shared->done, true, __ATOMIC_RELEASE);

  Verdict verdict = judge (kind, &paths, children);
  if (kind == MADE_ANEW && unlink (paths.key) != 0)
    die ("the new file has gone with the old one");
  return verdict == HELD && !complete ? PROVED_NOTHING : verdict;
}

/* Plays rounds until enough of them have proved something. */
static bool
play_kind (Kind kind, unsigned rounds, unsigned *round)
{
  bool broken = false;
  unsigned held = 0;
  uint64_t found = 0;

  for (unsigned i = 0; held < rounds && i < 5 * rounds; i++) {
    Verdict verdict = play (kind, (*round)++);
    broken |= verdict == BROKEN;
    held += verdict != PROVED_NOTHING;
    for (int way = 0; way < WAYS; way++)
      found += shared->seen[way].found;
  }
  if (held < rounds)
    printf ("# only %u rounds of %u proved anything: this machine is too busy\n", held, rounds);
  printf ("%sok %d - %s: %" PRIu64 " calls found the key\n", broken || held < rounds ? "not " : "",
          kind + 1, kinds[kind], found);
  return !broken && held == rounds;
}

int
main (int argc, char **argv)
{
  if (argc != 3 || chdir (argv[1]) != 0) {
    fprintf (stderr, "usage: race MOUNTPOINT ROUNDS\n");
    return 2;
  }
  shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED)
    die ("mmap");

  unsigned rounds = atoi (argv[2]), round = 0;
  bool held = true;
  printf ("1..%d\n", KINDS);
  for (Kind kind = 0; kind < KINDS; kind++)
    held &= play_kind (kind, rounds, &round);
  return held ? 0 : 1;
}
