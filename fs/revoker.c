/* SPDX-License-Identifier: MIT */

/* A table of revocations by the thread that makes them, since a thread is in one system call at a
 * time; a thread of its own that answers what has been kept: the reaper, who knows when that is
 * due, has no /dev/fuse; and some that settle leases of more keys than the first request could wait
 * for: it came with leases/ locked. The lock is never held during a call of the engine, or an
 * answer. */

#include "fs/revoker.h"

#include "fs/reply.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

/* A thread that has not come back after so long has been killed. */
#define ABANDON_US (2 * G_USEC_PER_SEC)

/* So many threads settle a lease together: most of it is to tell the kernel of one key after the
 * other, which they do side by side. */
#define SETTLERS 2

#define US_PER_MS 1000
#define NS_PER_US 1000

/* A request that is kept. */
typedef struct {
  fuse_req_t req; /* NULL: none is */
  uint64_t lease; /* to be shown, though it has ended; 0: it asks for leases/ */
  gint64 until;   /* of g_get_monotonic_time() */
} Kept;

typedef struct {
  pid_t thread;
  uint64_t lease;
  char *name;
  bool settled; /* all that its end brings about has been told to the kernel */
  bool cleared;
  gint64 begun; /* when the thread came first, */
  gint64 seen;  /* and last */
  Kept kept;
} Revocation;

/* What is being settled. */
typedef struct {
  uint64_t lease;
  unsigned settlers; /* that are at a piece of it */
  bool taken;        /* there is no other piece left */
} Unsettled;

struct FsRevoker {
  FsContext *context; /* constant */
  pthread_mutex_t lock;
  pthread_cond_t changed; /* on CLOCK_MONOTONIC: there may be something to answer */
  pthread_cond_t work;    /* there is something to settle, or nothing will be any more */
  pthread_t thread;
  pthread_t settlers[SETTLERS];
  GHashTable *revocations; /* thread to Revocation; lock */
  int count;               /* of these; atomic, for those who have nothing to do with any */
  GArray *unsettled;       /* of Unsettled; lock */
  unsigned turn;           /* counts the looks at them; lock */
  bool stopped;            /* lock */
};

static void
free_revocation (void *data)
{
  Revocation *revocation = data;

  g_free (revocation->name);
  g_free (revocation);
}

static LeaseCaller
as_revoker (void)
{
  return (LeaseCaller){ .now = lease_clock_now (), .wall_ns = lease_clock_wall_ns () };
}

/* The lease's directory has ended, and is shown all the same, to be removed. */
static void
answer (FsRevoker *revoker, const Kept *kept)
{
  LeaseEngine *engine = revoker->context->engine;
  LeaseCaller by = as_revoker ();
  LeaseAttr attr;

  by.reaper = kept->lease != 0;
  int error = kept->lease != 0
                  ? lease_engine_lookup (engine, &by, kept->lease, ".", &attr, NULL)
                  : lease_engine_lookup (engine, &by, LEASE_ROOT, "leases", &attr, NULL);
  if (kept->lease != 0)
    attr.fresh_until = 0;
  if (error == 0)
    fs_reply_entry (kept->req, &attr);
  else
    fs_reply_absent (kept->req, 0);
}

/* What is due, and has been taken out of the table. */
typedef struct {
  GArray *kept;      /* of Kept */
  GArray *abandoned; /* of uint64_t */
} Due;

/* When `revocation` is next due. */
static gint64
due_at (const FsRevoker *revoker, const Revocation *revocation)
{
  if (revocation->kept.req == NULL)
    return revocation->seen + ABANDON_US;
  if (!revocation->settled)
    return G_MAXINT64;
  return revocation->cleared || revoker->stopped ? 0 : revocation->kept.until;
}

/* Returns when the next one is due; G_MAXINT64 for none. */
static gint64
collect_locked (FsRevoker *revoker, gint64 now, Due *due)
{
  GHashTableIter iter;
  void *value;
  gint64 next = G_MAXINT64;

  g_hash_table_iter_init (&iter, revoker->revocations);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    Revocation *revocation = value;
    if (due_at (revoker, revocation) <= now && revocation->kept.req != NULL) {
      g_array_append_val (due->kept, revocation->kept);
      revocation->kept.req = NULL;
      revocation->seen = now;
    }
    if (due_at (revoker, revocation) <= now) {
      g_array_append_val (due->abandoned, revocation->lease);
      g_hash_table_iter_remove (&iter);
    } else {
      next = MIN (next, due_at (revoker, revocation));
    }
  }
  g_atomic_int_set (&revoker->count, g_hash_table_size (revoker->revocations));
  return next;
}

static void
act_on (FsRevoker *revoker, Due *due)
{
  LeaseCaller by = as_revoker ();

  for (unsigned i = 0; i < due->kept->len; i++)
    answer (revoker, &g_array_index (due->kept, Kept, i));
  for (unsigned i = 0; i < due->abandoned->len; i++)
    lease_engine_abandon (revoker->context->engine, &by,
                          g_array_index (due->abandoned, uint64_t, i));
  g_array_set_size (due->kept, 0);
  g_array_set_size (due->abandoned, 0);
}

static void
note_settled_locked (FsRevoker *revoker, uint64_t lease)
{
  GHashTableIter iter;
  void *value;

  g_hash_table_iter_init (&iter, revoker->revocations);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    Revocation *revocation = value;
    revocation->settled |= revocation->lease == lease;
  }
}

/* The next lease of which there is a piece to settle, one in turn with the others; NULL: none. */
static Unsettled *
next_unsettled_locked (FsRevoker *revoker)
{
  for (unsigned i = 0; i < revoker->unsettled->len; i++) {
    Unsettled *unsettled =
        &g_array_index (revoker->unsettled, Unsettled, revoker->turn++ % revoker->unsettled->len);
    if (!unsettled->taken)
      return unsettled;
  }
  return NULL;
}

/* Of a piece whether there are `more`. The last one to be done with one has settled the lease. */
static void
note_piece_locked (FsRevoker *revoker, uint64_t lease, bool more)
{
  for (unsigned i = revoker->unsettled->len; i-- > 0;) {
    Unsettled *unsettled = &g_array_index (revoker->unsettled, Unsettled, i);
    if (unsettled->lease != lease)
      continue;
    unsettled->taken |= !more;
    if (--unsettled->settlers > 0 || !unsettled->taken)
      continue;
    g_array_remove_index (revoker->unsettled, i);
    note_settled_locked (revoker, lease);
    pthread_cond_signal (&revoker->changed);
  }
}

static void *
run_settler (void *data)
{
  FsRevoker *revoker = data;

  pthread_mutex_lock (&revoker->lock);
  for (;;) {
    Unsettled *unsettled = next_unsettled_locked (revoker);
    if (unsettled == NULL && revoker->stopped)
      break;
    if (unsettled == NULL) {
      pthread_cond_wait (&revoker->work, &revoker->lock);
      continue;
    }
    uint64_t lease = unsettled->lease;
    unsettled->settlers++;
    pthread_mutex_unlock (&revoker->lock);
    LeaseCaller by = as_revoker ();
    bool more = lease_engine_settle_revoked (revoker->context->engine, &by, lease);
    lease_engine_let_in (revoker->context->engine);
    pthread_mutex_lock (&revoker->lock);
    note_piece_locked (revoker, lease, more);
  }
  pthread_mutex_unlock (&revoker->lock);
  return NULL;
}

static void
start_settling_locked (FsRevoker *revoker, uint64_t lease)
{
  Unsettled unsettled = { .lease = lease };

  g_array_append_val (revoker->unsettled, unsettled);
  pthread_cond_broadcast (&revoker->work);
}

static void
wait_locked (FsRevoker *revoker, gint64 until)
{
  struct timespec time = { until / G_USEC_PER_SEC, until % G_USEC_PER_SEC * NS_PER_US };

  if (until == G_MAXINT64)
    pthread_cond_wait (&revoker->changed, &revoker->lock);
  else
    pthread_cond_timedwait (&revoker->changed, &revoker->lock, &time);
}

static void *
run (void *data)
{
  FsRevoker *revoker = data;
  g_autoptr (GArray) kept = g_array_new (FALSE, FALSE, sizeof (Kept));
  g_autoptr (GArray) abandoned = g_array_new (FALSE, FALSE, sizeof (uint64_t));
  Due due = { kept, abandoned };

  pthread_mutex_lock (&revoker->lock);
  for (;;) {
    gint64 next = collect_locked (revoker, g_get_monotonic_time (), &due);
    if (kept->len > 0 || abandoned->len > 0) {
      pthread_mutex_unlock (&revoker->lock);
      act_on (revoker, &due);
      pthread_mutex_lock (&revoker->lock);
    } else if (revoker->stopped && revoker->unsettled->len == 0) {
      break; /* who is still on the way back finds the table as it is */
    } else {
      wait_locked (revoker, next);
    }
  }
  pthread_mutex_unlock (&revoker->lock);
  return NULL;
}

FsRevoker *
fs_revoker_new (FsContext *context)
{
  FsRevoker *revoker = g_new0 (FsRevoker, 1);
  pthread_condattr_t monotonic;

  revoker->context = context;
  revoker->unsettled = g_array_new (FALSE, FALSE, sizeof (Unsettled));
  revoker->revocations = g_hash_table_new_full (NULL, NULL, NULL, free_revocation);
  pthread_mutex_init (&revoker->lock, NULL);
  pthread_condattr_init (&monotonic);
  pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init (&revoker->changed, &monotonic);
  pthread_condattr_destroy (&monotonic);
  pthread_cond_init (&revoker->work, NULL);
  bool started = pthread_create (&revoker->thread, NULL, run, revoker) == 0;
  for (unsigned i = 0; i < SETTLERS && started; i++)
    started = pthread_create (&revoker->settlers[i], NULL, run_settler, revoker) == 0;
  if (!started)
    g_error ("cannot start the revoker's threads");
  return revoker;
}

static Revocation *
find_locked (FsRevoker *revoker, pid_t thread)
{
  return g_hash_table_lookup (revoker->revocations, GINT_TO_POINTER (thread));
}

/* Returns the lease that the thread had begun to revoke before, and left; 0: none. */
static uint64_t
add_locked (FsRevoker *revoker, pid_t thread, uint64_t lease, const char *name, gint64 begun,
            bool settled)
{
  const Revocation *before = find_locked (revoker, thread);
  uint64_t left = before == NULL ? 0 : before->lease;
  Revocation *revocation = g_new (Revocation, 1);

  *revocation = (Revocation){
    .thread = thread,
    .lease = lease,
    .name = g_strdup (name),
    .settled = settled,
    .begun = begun,
    .seen = g_get_monotonic_time (),
  };
  g_hash_table_insert (revoker->revocations, GINT_TO_POINTER (thread), revocation);
  if (!settled)
    start_settling_locked (revoker, lease);
  g_atomic_int_set (&revoker->count, g_hash_table_size (revoker->revocations));
  pthread_cond_signal (&revoker->changed);
  return left;
}

/* The lease that the thread comes back for; 0: it does not. */
static uint64_t
take_back (FsRevoker *revoker, pid_t thread, const char *name)
{
  uint64_t lease = 0;

  if (g_atomic_int_get (&revoker->count) == 0)
    return 0;
  pthread_mutex_lock (&revoker->lock);
  const Revocation *revocation = find_locked (revoker, thread);
  if (revocation != NULL && strcmp (revocation->name, name) == 0) {
    lease = revocation->lease;
    g_hash_table_remove (revoker->revocations, GINT_TO_POINTER (thread));
    g_atomic_int_set (&revoker->count, g_hash_table_size (revoker->revocations));
  }
  pthread_mutex_unlock (&revoker->lock);
  return lease;
}

static int
begin (FsRevoker *revoker, pid_t thread, const LeaseCaller *by, uint64_t parent, const char *name)
{
  LeaseEngine *engine = revoker->context->engine;
  gint64 begun = g_get_monotonic_time ();
  uint64_t lease, left = 0;
  int error = lease_engine_revoke (engine, by, parent, name, &lease);

  if (error != -EINPROGRESS)
    return error;
  bool settled = !lease_engine_settle_revoked (engine, by, lease);
  pthread_mutex_lock (&revoker->lock);
  bool stopped = revoker->stopped;
  if (!stopped)
    left = add_locked (revoker, thread, lease, name, begun, settled);
  pthread_mutex_unlock (&revoker->lock);
  while (stopped && lease_engine_settle_revoked (engine, by, lease))
    continue;
  if (stopped)
    return lease_engine_part (engine, by, lease);
  if (left != 0)
    lease_engine_abandon (engine, by, left);
  /* It may have been before it was in the table. */
  if (lease_engine_is_cleared (engine, lease))
    fs_revoker_cleared (revoker, lease);
  return -ESTALE;
}

int
fs_revoker_rmdir (FsRevoker *revoker, fuse_req_t req, const LeaseCaller *by, uint64_t parent,
                  const char *name)
{
  LeaseEngine *engine = revoker->context->engine;
  pid_t thread = fuse_req_ctx (req)->pid;

  /* Threads that cannot be seen from here cannot be told apart. */
  if (thread == 0 || by->reaper || parent != lease_engine_leases (engine))
    return lease_engine_rmdir (engine, by, parent, name);
  uint64_t lease = take_back (revoker, thread, name);
  int error = lease == 0 ? -ENOENT : lease_engine_part (engine, by, lease);
  if (error != -ENOENT)
    return error;
  return begin (revoker, thread, by, parent, name);
}

bool
fs_revoker_lookup (FsRevoker *revoker, fuse_req_t req, uint64_t parent, const char *name)
{
  bool mine = false, answer_now = false;
  Kept kept = { .req = req };

  if (g_atomic_int_get (&revoker->count) == 0)
    return false;
  gint64 now = g_get_monotonic_time ();
  pthread_mutex_lock (&revoker->lock);
  Revocation *revocation = find_locked (revoker, fuse_req_ctx (req)->pid);
  if (revocation != NULL && revocation->kept.req == NULL) {
    bool is_lease = parent == lease_engine_leases (revoker->context->engine) &&
                    strcmp (name, revocation->name) == 0;
    mine = is_lease || (parent == LEASE_ROOT && strcmp (name, "leases") == 0);
    kept.lease = is_lease ? revocation->lease : 0;
    kept.until = is_lease ? now + US_PER_MS * FS_REVOKER_LOCKED_WAIT_MS
                          : revocation->begun + US_PER_MS * FS_REVOKER_WAIT_MS;
    answer_now =
        revocation->settled && (revocation->cleared || revoker->stopped || kept.until <= now);
    if (mine && !answer_now) {
      revocation->kept = kept;
      pthread_cond_signal (&revoker->changed);
    }
  }
  pthread_mutex_unlock (&revoker->lock);
  if (mine && answer_now)
    answer (revoker, &kept);
  return mine;
}

bool
fs_revoker_is_on_the_way (FsRevoker *revoker, fuse_req_t req)
{
  if (g_atomic_int_get (&revoker->count) == 0)
    return false;
  pthread_mutex_lock (&revoker->lock);
  bool found = find_locked (revoker, fuse_req_ctx (req)->pid) != NULL;
  pthread_mutex_unlock (&revoker->lock);
  return found;
}

void
fs_revoker_cleared (FsRevoker *revoker, uint64_t lease)
{
  GHashTableIter iter;
  void *value;

  pthread_mutex_lock (&revoker->lock);
  g_hash_table_iter_init (&iter, revoker->revocations);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    Revocation *revocation = value;
    revocation->cleared |= revocation->lease == lease;
  }
  pthread_cond_signal (&revoker->changed);
  pthread_mutex_unlock (&revoker->lock);
}

void
fs_revoker_stop (FsRevoker *revoker)
{
  pthread_mutex_lock (&revoker->lock);
  revoker->stopped = true;
  pthread_cond_signal (&revoker->changed);
  pthread_cond_broadcast (&revoker->work);
  pthread_mutex_unlock (&revoker->lock);
  for (unsigned i = 0; i < SETTLERS; i++)
    pthread_join (revoker->settlers[i], NULL);
  pthread_join (revoker->thread, NULL);
}

void
fs_revoker_free (FsRevoker *revoker)
{
  g_hash_table_unref (revoker->revocations);
  g_array_unref (revoker->unsettled);
  pthread_cond_destroy (&revoker->work);
  pthread_cond_destroy (&revoker->changed);
  pthread_mutex_destroy (&revoker->lock);
  g_free (revoker);
}
