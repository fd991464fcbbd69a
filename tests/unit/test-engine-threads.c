/* SPDX-License-Identifier: MIT */

/* Several threads at one engine, on one fake clock that all of them push forward. What can be said
 * of any order of their operations is checked: the invariants, that nobody sees what has ended, and
 * that nothing is left in the end. Meant to be run under ThreadSanitizer too. */

#include "tests/unit/dump.h"
#include "tests/unit/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define THREADS 4
#define STEPS 50000
#define WALL_NS (1700000000 * SECOND)

typedef struct {
  LeaseEngine *engine;
  int64_t clock;                         /* atomic */
  unsigned events[LEASE_EVENT_IDLE + 1]; /* atomic */
  pthread_barrier_t barrier;             /* all threads begin together */
  uint64_t leases, d;
} Arena;

typedef struct {
  Arena *arena;
  pthread_t thread;
  GRand *rand;
  LeaseCaller by;
  bool reaps; /* graves are for one thread */
} Worker;

static void
count_event (LeaseEvent event, uint64_t id, void *data)
{
  Arena *arena = data;

  __atomic_fetch_add (&arena->events[event], 1, __ATOMIC_RELAXED);
  if (event == LEASE_EVENT_REVEALS || event == LEASE_EVENT_REVEALS_MANY ||
      event == LEASE_EVENT_UNWRITTEN) {
    LeaseCaller by = { .now = __atomic_load_n (&arena->clock, __ATOMIC_RELAXED) };
    while (lease_engine_flush (arena->engine, &by, false) > 0)
      continue;
  }
}

/* What the journal holds is what the engine shows. */
static void
check_journal (const Arena *arena, Fake *fake, const LeaseEngineConfig *config)
{
  LeaseCaller by = { .now = arena->clock, .wall_ns = WALL_NS };
  g_autofree char *before = dump_engine (arena->engine, &by, false);
  int error;

  while ((error = lease_engine_flush (arena->engine, &by, true)) > 0)
    continue;
  assert_ok (error);
  g_autoptr (LeaseEngine) engine =
      lease_engine_new (config, fake_journal (fake), &by, NULL, NULL, NULL);
  assert_non_null (engine);
  g_autofree char *after = dump_engine (engine, &by, false);
  assert_string_equal (before, after);
}

static unsigned
below (Worker *worker, unsigned end)
{
  return g_rand_int_range (worker->rand, 0, end);
}

/* Time passes now and then; the threads read it in no order with their operations. */
static void
read_clock (Worker *worker)
{
  int64_t step = below (worker, 128) == 0 ? below (worker, SECOND) : 0;

  worker->by.now = __atomic_add_fetch (&worker->arena->clock, step, __ATOMIC_RELAXED);
  worker->by.wall_ns = WALL_NS + worker->by.now;
}

/* cmocka's assertions are for the main thread. Whatever is refused must be for a reason that others
 * can cause. */
static void
expect (int error, const char *what)
{
  switch (error) {
  case 0:
  case -ENOENT:
  case -EEXIST:
  case -ESTALE:
  case -EINVAL:
  case -EISDIR:
  case -ENOTDIR:
  case -ENOTEMPTY:
  case -EAGAIN:
  case -EBUSY:
    return;
  default:
    g_error ("%s: %s", what, g_strerror (-error));
  }
}

static uint64_t
find (Worker *worker, uint64_t parent, const char *name)
{
  LeaseAttr attr;
  LeaseTime until;
  int error = lease_engine_lookup (worker->arena->engine, &worker->by, parent, name, &attr, &until);

  expect (error, "lookup");
  if (error != 0)
    return 0;
  if (attr.fresh_until <= worker->by.now && !S_ISDIR (attr.mode))
    g_error ("what has ended was found");
  return attr.id;
}

static void
unpin (Worker *worker, uint64_t id)
{
  if (id != 0)
    lease_engine_unpin (worker->arena->engine, id, 1);
}

static uint64_t
create (Worker *worker, uint64_t parent, const char *name, mode_t mode)
{
  LeaseAttr attr = { 0 };
  int error = lease_engine_create (worker->arena->engine, &worker->by, parent, name,
                                   &(LeaseNew){ .mode = mode }, &attr);

  expect (error, "create");
  unpin (worker, attr.id);
  return attr.id;
}

static bool
count_name (const char *name, const LeaseAttr *attr, uint64_t cookie, void *data)
{
  ++*(unsigned *)data;
  return true;
}

static void
use_lease (Worker *worker, uint64_t lease, const char *key)
{
  LeaseEngine *engine = worker->arena->engine;
  g_autoptr (GByteArray) paths = NULL;
  g_autoptr (GArray) lines = NULL;
  g_autofree char *text =
      g_strdup_printf ("%sdir/%s\n%s\n", below (worker, 4) == 0 ? "-" : "", key, key);
  LeaseInfo info;
  uint64_t generation;

  switch (below (worker, 6)) {
  case 0:
    expect (lease_engine_grant (engine, &worker->by, lease, 1 + below (worker, 8) * SECOND),
            "grant");
    break;
  case 1:
    expect (lease_engine_refresh (engine, &worker->by, lease), "refresh");
    break;
  case 2:
    expect (lease_engine_info (engine, &worker->by, lease, &info), "info");
    break;
  case 3:
    expect (lease_engine_keys (engine, &worker->by, lease, SIZE_MAX, &paths, &generation), "keys");
    break;
  case 4:
    create (worker, lease, key, S_IFREG | 0644);
    break;
  default:
    if (lease_keys_parse (text, strlen (text), &lines) == 0)
      expect (lease_engine_edit_keys (engine, &worker->by, lease, lines), "edit_keys");
  }
}

static void
use_file (Worker *worker, uint64_t id)
{
  LeaseEngine *engine = worker->arena->engine;
  LeaseSet set = { .mask = LEASE_SET_MTIME | LEASE_SET_TOUCH, .mtime_ns = worker->by.wall_ns };
  g_autofree char *data = NULL;
  size_t size;
  LeaseAttr attr;

  switch (below (worker, 4)) {
  case 0:
    expect (lease_engine_getattr (engine, &worker->by, id, &attr), "getattr");
    break;
  case 1:
    expect (lease_engine_setattr (engine, &worker->by, id, &set, &attr), "setattr");
    break;
  case 2:
    expect (lease_engine_write (engine, &worker->by, id, below (worker, 999), "hello", 5), "write");
    break;
  default:
    expect (lease_engine_read (engine, &worker->by, id, 0, 999, &data, &size), "read");
  }
}

static void
use_names (Worker *worker, uint64_t parent, const char *name, uint64_t other_parent,
           const char *other)
{
  LeaseEngine *engine = worker->arena->engine;
  unsigned count = 0;
  LeaseAttr attr;

  switch (below (worker, 8)) {
  case 0:
    create (worker, parent, name, S_IFREG | 0644);
    break;
  case 1:
    create (worker, parent, name, S_IFDIR | 0755);
    break;
  case 2:
    expect (lease_engine_unlink (engine, &worker->by, parent, name), "unlink");
    break;
  case 3:
    expect (lease_engine_rmdir (engine, &worker->by, parent, name), "rmdir");
    break;
  case 4 ... 5:
    expect (lease_engine_rename (engine, &worker->by, parent, name, other_parent, other,
                                 below (worker, 3)),
            "rename");
    break;
  case 6: {
    uint64_t id = find (worker, parent, name);
    if (id != 0 && lease_engine_link (engine, &worker->by, id, other_parent, other, &attr) == 0)
      unpin (worker, id);
    unpin (worker, id);
    break;
  }
  default:
    expect (lease_engine_list (engine, &worker->by, parent, 0, false, count_name, &count), "list");
  }
}

static void
reap_some (Worker *worker)
{
  LeaseEngine *engine = worker->arena->engine;
  LeaseCaller reaper = worker->by;

  reaper.reaper = true;
  lease_engine_expire (engine, &reaper, 4);
  for (unsigned i = 0; i < 4; i++) {
    g_auto (LeaseGrave) grave = { 0 };
    int error = lease_engine_next_grave (engine, &reaper, 4, &grave);
    if (error == 0 && below (worker, 2) == 0)
      lease_engine_bury (engine, &reaper, &grave);
    else if (error == 0 && grave.is_directory)
      expect (lease_engine_rmdir (engine, &reaper, grave.parent, grave.name), "the reaper's rmdir");
    else if (error == 0)
      expect (lease_engine_unlink (engine, &reaper, grave.parent, grave.name),
              "the reaper's unlink");
    else
      expect (error, "next_grave");
  }
}

static void
step (Worker *worker)
{
  Arena *arena = worker->arena;
  char key[] = { 'a' + below (worker, 8), '\0' }, other[] = { 'a' + below (worker, 8), '\0' };
  char lease_name[] = { 'A' + below (worker, 6), '\0' };
  LeaseUsage usage;
  LeaseMetrics metrics;
  uint64_t made;

  read_clock (worker);
  uint64_t lease = find (worker, arena->leases, lease_name);
  uint64_t file = find (worker, below (worker, 2) == 0 ? arena->d : LEASE_ROOT, key);
  uint64_t places[] = { LEASE_ROOT, arena->d, arena->d, lease != 0 ? lease : arena->d };

  read_clock (worker); /* both may have ended by now */
  switch (below (worker, 16)) {
  case 0 ... 2:
    made = create (worker, arena->leases, lease_name, S_IFDIR | 0755);
    if (made != 0)
      expect (lease_engine_grant (arena->engine, &worker->by, made, 5 * SECOND), "grant");
    break;
  case 3:
    expect (lease_engine_rmdir (arena->engine, &worker->by, arena->leases, lease_name), "revoke");
    break;
  case 4 ... 8:
    if (lease != 0)
      use_lease (worker, lease, key);
    break;
  case 9 ... 10:
    if (file != 0)
      use_file (worker, file);
    break;
  case 11:
    lease_engine_usage (arena->engine, &usage);
    lease_engine_metrics (arena->engine, &worker->by, &metrics);
    if (metrics.counts.attached_keys > metrics.counts.keys)
      g_error ("more keys are attached than there are");
    if (lease_engine_earliest (arena->engine) <= 0)
      g_error ("a deadline before all time");
    break;
  default:
    use_names (worker, places[below (worker, 4)], key, places[below (worker, 4)], other);
  }
  unpin (worker, lease);
  unpin (worker, file);
}

static void *
work (void *data)
{
  Worker *worker = data;

  pthread_barrier_wait (&worker->arena->barrier);
  for (unsigned i = 0; i < STEPS; i++) {
    step (worker);
    if (worker->reaps && i % 4 == 0)
      reap_some (worker);
    if (i % 64 == 0)
      lease_engine_check (worker->arena->engine);
  }
  return NULL;
}

/* What is still there in the end is moved into one lease, and goes with it. */
static void
clear_arena (Arena *arena, Worker *worker, const LeaseUsage *before)
{
  LeaseEngine *engine = arena->engine;
  LeaseUsage after;
  LeaseAttr attr;
  int error;

  worker->by.now = arena->clock += 100 * SECOND;
  assert_ok (lease_engine_create (engine, &worker->by, arena->leases, "Z",
                                  &(LeaseNew){ .mode = S_IFDIR | 0755 }, &attr));
  assert_ok (lease_engine_grant (engine, &worker->by, attr.id, SECOND));
  for (const char *name = "abcdefgh"; *name != '\0'; name++)
    lease_engine_rename (engine, &worker->by, LEASE_ROOT, (char[]){ *name, '\0' }, attr.id,
                         (char[]){ *name, '\0' }, 0);
  assert_ok (lease_engine_rename (engine, &worker->by, LEASE_ROOT, "dir", attr.id, "z", 0));
  unpin (worker, attr.id);
  worker->by.now += SECOND;
  worker->by.reaper = true;
  while (lease_engine_expire (engine, &worker->by, 100))
    continue;
  do {
    g_auto (LeaseGrave) grave = { 0 };
    error = lease_engine_next_grave (engine, &worker->by, 100, &grave);
    if (error == 0)
      assert_true (lease_engine_bury (engine, &worker->by, &grave));
  } while (error != -ENOENT);
  lease_engine_check (engine);
  lease_engine_usage (engine, &after);
  assert_int_equal (after.bytes_used, before->bytes_used);
  assert_int_equal (after.nodes_used, before->nodes_used);
}

static void
run_threads (Fake *fake)
{
  Arena arena = { .clock = 1000 * SECOND };
  Worker workers[THREADS] = { 0 };
  LeaseEngineConfig config = fx_config ();
  LeaseCaller by = { .now = arena.clock, .wall_ns = WALL_NS };
  LeaseUsage before;
  LeaseAttr attr;

  LeaseJournal *journal = fake == NULL ? lease_journal_memory_new () : fake_journal (fake);
  arena.engine = lease_engine_new (&config, journal, &by, count_event, &arena, NULL);
  lease_engine_usage (arena.engine, &before);
  assert_ok (lease_engine_lookup (arena.engine, &by, LEASE_ROOT, "leases", &attr, NULL));
  arena.leases = attr.id;
  assert_ok (lease_engine_create (arena.engine, &by, LEASE_ROOT, "dir",
                                  &(LeaseNew){ .mode = S_IFDIR | 0755 }, &attr));
  arena.d = attr.id;
  pthread_barrier_init (&arena.barrier, NULL, THREADS);

  for (unsigned i = 0; i < THREADS; i++) {
    workers[i].arena = &arena;
    workers[i].reaps = i == 0;
    workers[i].rand = g_rand_new_with_seed (i);
    /* Nobody removes "dir", but it may well be attached. */
    workers[i].by.uid = 0;
    assert_ok (pthread_create (&workers[i].thread, NULL, work, &workers[i]));
  }
  for (unsigned i = 0; i < THREADS; i++)
    assert_ok (pthread_join (workers[i].thread, NULL));

  if (fake != NULL)
    check_journal (&arena, fake, &config);
  lease_engine_unpin (arena.engine, arena.leases, 1);
  lease_engine_unpin (arena.engine, arena.d, 1);
  clear_arena (&arena, &workers[0], &before);
  assert_true (arena.events[LEASE_EVENT_EARLIER] > 0);
  assert_true (arena.events[LEASE_EVENT_ENDED] > 0);
  for (unsigned i = 0; i < THREADS; i++)
    g_rand_free (workers[i].rand);
  pthread_barrier_destroy (&arena.barrier);
  lease_engine_free (arena.engine);
}

static void
test_threads_leave_nothing_behind (void **state)
{
  run_threads (NULL);
}

static void
test_threads_take_turns_at_the_journal (void **state)
{
  g_autoptr (Fake) fake = fake_new ();

  run_threads (fake);
  assert_true (fake_commits (fake) > 0);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_threads_leave_nothing_behind),
    cmocka_unit_test (test_threads_take_turns_at_the_journal),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
