/* SPDX-License-Identifier: MIT */

/* Names of what ends are retaken at once, at random; and how long it takes until an end is seen.
 *
 * Everything that is to go is watched itself as well: that it goes comes between two events of the
 * same name, which the kernel would merge otherwise. */

#include "tests/mount/watch.h"

#include "tests/mount/random.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/inotify.h>

#define MS INT64_C (1000000)
#define SECOND INT64_C (1000000000)

#define THREADS 4
#define NAMES 3
#define RACE_NS (2 * SECOND)
#define LIMIT_NS (30 * SECOND)
#define QUIET_MS 100

/* Of what a name has shown, or is to show. */
typedef struct {
  unsigned keys[THREADS][NAMES]; /* IN_DELETE of race/THREAD-NAME */
  unsigned leases[THREADS];      /* IN_DELETE of leases/THREAD */
  unsigned selves;               /* IN_DELETE_SELF of any */
} Counts;

typedef struct {
  unsigned number;
  uint64_t random;
  int64_t until;
  Counts expected; /* what the thread itself has made happen */
  unsigned retaken;
  int fd;            /* inotify, for new files */
  char problem[200]; /* the first one */
} Racer;

static int events_fd;
static int keys_watch, leases_watch;
static Counts seen;

static bool
note_problem (Racer *racer, const char *what)
{
  if (racer->problem[0] == '\0')
    snprintf (racer->problem, sizeof racer->problem, "%s: %s", what, strerror (errno));
  return false;
}

static bool
put (const char *path, const char *text, int flags)
{
  int fd = open (path, O_WRONLY | O_CLOEXEC | flags, 0644);
  bool done = fd >= 0 && write (fd, text, strlen (text)) == (ssize_t)strlen (text);

  if (fd >= 0)
    close (fd);
  return done;
}

static bool
watch_end_of (Racer *racer, const char *path)
{
  if (inotify_add_watch (events_fd, path, IN_DELETE_SELF) < 0)
    return note_problem (racer, "watch");
  racer->expected.selves++;
  return true;
}

/* A lease with a file x in its directory. */
static bool
make_lease (Racer *racer, const char *lease, const char *ttl, const char *file)
{
  if (mkdir (lease, 0755) != 0 || !put (ttl, "1000\n", 0) || !put (file, "leased", O_CREAT))
    return note_problem (racer, "making a lease");
  racer->expected.leases[racer->number]++;
  return watch_end_of (racer, lease) && watch_end_of (racer, file);
}

/* Lets it end, one way or the other. */
static bool
end_lease (Racer *racer, const char *lease, const char *ttl)
{
  char text[16];

  snprintf (text, sizeof text, "0.0%u\n", 20 + random_below (&racer->random, 31));
  if (random_below (&racer->random, 4) > 0)
    return put (ttl, text, 0) || note_problem (racer, "granting");
  return rmdir (lease) == 0 || note_problem (racer, "revoking");
}

/* Whether the kernel has told of the end of a file that is watched through the racer's `fd`. */
static bool
has_seen_end (const Racer *racer, int watch)
{
  char buffer[4096] __attribute__ ((aligned (__alignof__(struct inotify_event))));
  bool found = false;
  ssize_t size;

  while ((size = read (racer->fd, buffer, sizeof buffer)) > 0)
    for (const char *at = buffer; at < buffer + size;) {
      const struct inotify_event *event = (const struct inotify_event *)at;
      found |= event->wd == watch;
      at += sizeof *event + event->len;
    }
  return found;
}

/* Takes the name as soon as it is free. Whether it has the new file then, and keeps it. */
static bool
retake (Racer *racer, const char *key)
{
  char found[8] = "", away[32];
  struct stat by_path, by_fd;
  int fd;

  while ((fd = open (key, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) < 0 && errno == EEXIST)
    sched_yield ();
  if (fd < 0 || write (fd, "new", 3) != 3)
    return note_problem (racer, "taking the name");
  int watch = inotify_add_watch (racer->fd, key, IN_DELETE_SELF);
  for (unsigned i = random_below (&racer->random, 4); i > 0; i--) {
    usleep (random_below (&racer->random, 4000));
    if (stat (key, &by_path) != 0 || fstat (fd, &by_fd) != 0 || by_path.st_ino != by_fd.st_ino ||
        pread (fd, found, 3, 0) != 3 || strcmp (found, "new") != 0)
      return note_problem (racer, "the new file is not there");
  }
  close (fd);
  if (watch < 0 || has_seen_end (racer, watch))
    return note_problem (racer, "the new file has been seen to go");
  /* Not unlink(): that would be one more event of the kind that is counted. */
  snprintf (away, sizeof away, "away/%u", racer->number);
  return (rename (key, away) == 0 && unlink (away) == 0) || note_problem (racer, "moving away");
}

static bool
race_once (Racer *racer)
{
  unsigned name = random_below (&racer->random, NAMES);
  char lease[32], ttl[40], file[40], key[32];

  snprintf (lease, sizeof lease, "leases/%u", racer->number);
  snprintf (ttl, sizeof ttl, "%s/ttl", lease);
  snprintf (file, sizeof file, "%s/x", lease);
  snprintf (key, sizeof key, "race/%u-%u", racer->number, name);
  if (!make_lease (racer, lease, ttl, file))
    return false;
  if (rename (file, key) != 0)
    return note_problem (racer, "moving to its place");
  racer->expected.keys[racer->number][name]++;
  racer->retaken++;
  return end_lease (racer, lease, ttl) && retake (racer, key);
}

static void *
run_racer (void *data)
{
  Racer *racer = data;

  while (calls_now () < racer->until && race_once (racer))
    ;
  return NULL;
}

/* Looks at names all the while, so that the kernel remembers what it is told of them. */
static void *
run_looker (void *data)
{
  const Racer *looker = data;
  struct stat st;
  char path[32];

  for (unsigned i = 0; calls_now () < looker->until; i++) {
    snprintf (path, sizeof path, "race/%u-%u", i % THREADS, i / THREADS % NAMES);
    stat (path, &st);
    snprintf (path, sizeof path, "leases/%u", i % THREADS);
    stat (path, &st);
    if (i % 16 == 0)
      sched_yield ();
  }
  return NULL;
}

static void
note_event (const struct inotify_event *event)
{
  unsigned thread = 0, name = 0;

  if (event->mask & IN_Q_OVERFLOW)
    fail_msg ("the queue of events has overflowed");
  if (event->wd == keys_watch && sscanf (event->name, "%u-%u", &thread, &name) == 2 &&
      thread < THREADS && name < NAMES)
    seen.keys[thread][name]++;
  else if (event->wd == leases_watch && sscanf (event->name, "%u", &thread) == 1 &&
           thread < THREADS)
    seen.leases[thread]++;
  else if (event->mask & IN_DELETE_SELF)
    seen.selves++;
  else if (!(event->mask & IN_IGNORED))
    fail_msg ("an event of '%s'", event->len > 0 ? event->name : "");
}

/* Returns whether there was something. */
static bool
take_events (int timeout_ms)
{
  static char buffer[64 * 1024] __attribute__ ((aligned (__alignof__(struct inotify_event))));
  struct pollfd ready = { .fd = events_fd, .events = POLLIN };

  if (poll (&ready, 1, timeout_ms) <= 0)
    return false;
  ssize_t size = assert_ok (read (events_fd, buffer, sizeof buffer));
  for (const char *at = buffer; at < buffer + size;) {
    const struct inotify_event *event = (const struct inotify_event *)at;
    note_event (event);
    at += sizeof *event + event->len;
  }
  return true;
}

static int
setup (void **state)
{
  memset (&seen, 0, sizeof seen);
  events_fd = inotify_init1 (IN_NONBLOCK | IN_CLOEXEC);
  if (events_fd < 0 || calls_setup_in_root (state) != 0 || mkdir ("race", 0755) != 0 ||
      mkdir ("away", 0755) != 0)
    return -1;
  keys_watch = inotify_add_watch (events_fd, "race", IN_DELETE);
  leases_watch = inotify_add_watch (events_fd, "leases", IN_DELETE);
  return keys_watch < 0 || leases_watch < 0 ? -1 : 0;
}

static int
teardown (void **state)
{
  close (events_fd);
  return calls_teardown (state);
}

static void
print_counts (const Counts *expected)
{
  for (unsigned i = 0; i < THREADS; i++) {
    if (seen.leases[i] != expected->leases[i])
      print_error ("leases/%u: %u instead of %u\n", i, seen.leases[i], expected->leases[i]);
    for (unsigned j = 0; j < NAMES; j++)
      if (seen.keys[i][j] != expected->keys[i][j])
        print_error ("race/%u-%u: %u instead of %u\n", i, j, seen.keys[i][j], expected->keys[i][j]);
  }
  if (seen.selves != expected->selves)
    print_error ("files themselves: %u instead of %u\n", seen.selves, expected->selves);
}

static void
test_names_are_retaken_at_once (void **state)
{
  Racer racers[THREADS] = { 0 }, looking = { 0 };
  pthread_t threads[THREADS], looker;
  Counts expected = { 0 };
  int64_t until = calls_now () + RACE_NS, limit = until + LIMIT_NS;
  unsigned retaken = 0;

  for (unsigned i = 0; i < THREADS; i++) {
    racers[i] = (Racer){ .number = i, .random = random_start (getpid (), i), .until = until };
    racers[i].fd = (int)assert_ok (inotify_init1 (IN_NONBLOCK | IN_CLOEXEC));
    assert_int_equal (pthread_create (&threads[i], NULL, run_racer, &racers[i]), 0);
  }
  looking.until = until;
  assert_int_equal (pthread_create (&looker, NULL, run_looker, &looking), 0);
  while (calls_now () < until)
    take_events (10);
  pthread_join (looker, NULL);
  for (unsigned i = 0; i < THREADS; i++) {
    pthread_join (threads[i], NULL);
    close (racers[i].fd);
    if (racers[i].problem[0] != '\0')
      fail_msg ("%s", racers[i].problem);
    memcpy (expected.keys[i], racers[i].expected.keys[i], sizeof expected.keys[i]);
    expected.leases[i] = racers[i].expected.leases[i];
    expected.selves += racers[i].expected.selves;
    retaken += racers[i].retaken;
  }
  while (memcmp (&seen, &expected, sizeof seen) != 0 && calls_now () < limit)
    take_events (100);
  while (take_events (QUIET_MS))
    ;
  print_counts (&expected);
  assert_memory_equal (&seen, &expected, sizeof seen);
  print_message ("# %u names were retaken at once\n", retaken);
}

int
watch_races (void)
{
  const struct CMUnitTest cases[] = {
    cmocka_unit_test_setup_teardown (test_names_are_retaken_at_once, setup, teardown),
  };

  return cmocka_run_group_tests (cases, NULL, NULL);
}

#define DELAYS 100

static int
compare_times (const void *a, const void *b)
{
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

  return x < y ? -1 : x > y;
}

/* From the earliest that the deadline can have been until the end of the lease's key is read. */
static int64_t
measure_one (void)
{
  watch_lease ("a");
  calls_put ("leases/a/x", "old");
  assert_ok (rename ("leases/a/x", "race/0-0"));
  unsigned before = seen.keys[0][0];
  int64_t deadline = calls_now () + 10 * MS;
  calls_write ("leases/a/ttl", "0.01\n");
  while (seen.keys[0][0] == before)
    assert_true (take_events (LIMIT_NS / MS));
  return calls_now () - deadline;
}

static void
test_the_delay_is_short (void **state)
{
  int64_t delays[DELAYS];

  assert_ok (inotify_rm_watch (events_fd, leases_watch));
  for (unsigned i = 0; i < DELAYS; i++)
    delays[i] = measure_one ();
  qsort (delays, DELAYS, sizeof delays[0], compare_times);
  printf ("# from the deadline to the event: median %.2f ms, 99th percentile %.2f ms\n",
          delays[DELAYS / 2] / 1e6, delays[DELAYS * 99 / 100 - 1] / 1e6);
  fflush (stdout);
  /* However busy the machine is. */
  assert_true (delays[DELAYS / 2] < 100 * MS);
}

int
watch_delay (void)
{
  const struct CMUnitTest cases[] = {
    cmocka_unit_test_setup_teardown (test_the_delay_is_short, setup, teardown),
  };

  return cmocka_run_group_tests (cases, NULL, NULL);
}
