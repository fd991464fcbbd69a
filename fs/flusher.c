/* SPDX-License-Identifier: MIT */

/* Two threads and what they are asked for. Requests to flush are numbered; one is done when a flush
 * has ended that began after it, or where all was asked for, one that has left nothing. */

#include "fs/flusher.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <time.h>

/* How often the journal is tended while there is something to do. */
#define TEND_MS 50

/* How long after the use of memory has fallen there may be a pause, and when to look again. */
#define TRIM_MS 100

/* When to try again where flushing has failed. */
#define RETRY_MS 250

#define NEVER INT64_MAX

typedef struct {
  uint64_t done; /* all requests up to this number */
  bool stalled;  /* somebody has waited in vain for more of them */
} Progress;

struct FsFlusher {
  LeaseEngine *engine; /* constant */
  pthread_t thread;    /* flushes */
  pthread_t tender;    /* tends */
  bool committed;      /* atomic: since it was last looked at */

  pthread_mutex_t lock;     /* covers the rest */
  pthread_cond_t asked_for; /* on CLOCK_MONOTONIC, like the others and all times here */
  pthread_cond_t done_with;
  pthread_cond_t to_tend;
  uint64_t asked;      /* number of the last request */
  Progress some;       /* flushes that have ended */
  Progress all;        /* those that have left nothing */
  bool more;           /* the last flush has left something */
  bool failing;        /* it has failed */
  int64_t flush_at_ms; /* of all that is held too */
  int64_t tend_at_ms;
  int64_t trim_at_ms; /* if there is a pause, */
  int64_t trim_by_ms; /* and in any case */
  bool stop;
};

static int64_t
now_ms (void)
{
  return g_get_monotonic_time () / 1000;
}

static struct timespec
to_timespec (int64_t ms)
{
  return (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
}

static void
wait_until_locked (FsFlusher *flusher, pthread_cond_t *condition, int64_t ms)
{
  struct timespec time = to_timespec (ms);

  if (ms == NEVER)
    pthread_cond_wait (condition, &flusher->lock);
  else
    pthread_cond_timedwait (condition, &flusher->lock, &time);
}

static void
flush_locked (FsFlusher *flusher)
{
  uint64_t asked = flusher->asked;
  bool held = flusher->flush_at_ms <= now_ms ();
  LeaseCaller by = { .now = lease_clock_now (), .wall_ns = lease_clock_wall_ns () };

  if (held)
    flusher->flush_at_ms = NEVER;
  pthread_mutex_unlock (&flusher->lock);
  int result = lease_engine_flush (flusher->engine, &by, held);
  pthread_mutex_lock (&flusher->lock);
  flusher->more = result > 0;
  flusher->failing = result < 0;
  flusher->some = (Progress){ .done = asked };
  if (result == 0)
    flusher->all = flusher->some;
  if (result < 0)
    flusher->flush_at_ms = now_ms () + RETRY_MS;
  pthread_cond_broadcast (&flusher->done_with);
}

static void
tend_locked (FsFlusher *flusher)
{
  __atomic_store_n (&flusher->committed, false, __ATOMIC_SEQ_CST);
  flusher->tend_at_ms = now_ms () + TEND_MS;
  pthread_mutex_unlock (&flusher->lock);
  bool more = lease_engine_tend (flusher->engine);
  pthread_mutex_lock (&flusher->lock);
  if (!more && !__atomic_load_n (&flusher->committed, __ATOMIC_SEQ_CST))
    flusher->tend_at_ms = NEVER;
}

/* Who allocates or frees memory meanwhile may have to wait; where very much was cleaned up, for some
 * 0.1 s. */
static void
trim_locked (FsFlusher *flusher)
{
  bool now = flusher->trim_by_ms <= now_ms ();

  flusher->trim_at_ms = NEVER;
  pthread_mutex_unlock (&flusher->lock);
  now = now || !lease_engine_is_busy (flusher->engine);
  if (now)
    malloc_trim (0);
  pthread_mutex_lock (&flusher->lock);
  if (!now)
    flusher->trim_at_ms = now_ms () + TRIM_MS;
}

static bool
is_to_flush_locked (const FsFlusher *flusher)
{
  if (flusher->flush_at_ms <= now_ms ())
    return true;
  return !flusher->failing && (flusher->more || flusher->asked > flusher->some.done);
}

static void *
flush (void *data)
{
  FsFlusher *flusher = data;

  pthread_mutex_lock (&flusher->lock);
  while (!flusher->stop)
    if (is_to_flush_locked (flusher))
      flush_locked (flusher);
    else
      wait_until_locked (flusher, &flusher->asked_for, flusher->flush_at_ms);
  pthread_mutex_unlock (&flusher->lock);
  return NULL;
}

static void *
tend (void *data)
{
  FsFlusher *flusher = data;

  pthread_mutex_lock (&flusher->lock);
  while (!flusher->stop)
    if (flusher->tend_at_ms <= now_ms ())
      tend_locked (flusher);
    else if (flusher->trim_at_ms <= now_ms ())
      trim_locked (flusher);
    else
      wait_until_locked (flusher, &flusher->to_tend,
                         MIN (flusher->tend_at_ms, flusher->trim_at_ms));
  pthread_mutex_unlock (&flusher->lock);
  return NULL;
}

FsFlusher *
fs_flusher_new (LeaseEngine *engine)
{
  FsFlusher *flusher = g_new0 (FsFlusher, 1);
  pthread_condattr_t monotonic;

  flusher->engine = engine;
  flusher->flush_at_ms = flusher->tend_at_ms = flusher->trim_at_ms = NEVER;
  pthread_mutex_init (&flusher->lock, NULL);
  pthread_condattr_init (&monotonic);
  pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init (&flusher->asked_for, &monotonic);
  pthread_cond_init (&flusher->done_with, &monotonic);
  pthread_cond_init (&flusher->to_tend, &monotonic);
  pthread_condattr_destroy (&monotonic);
  if (pthread_create (&flusher->thread, NULL, flush, flusher) != 0 ||
      pthread_create (&flusher->tender, NULL, tend, flusher) != 0)
    g_error ("cannot start the flusher's threads");
  return flusher;
}

void
fs_flusher_soon (FsFlusher *flusher)
{
  pthread_mutex_lock (&flusher->lock);
  if (flusher->flush_at_ms == NEVER) {
    flusher->flush_at_ms = now_ms () + LEASE_HOLD_MS;
    pthread_cond_signal (&flusher->asked_for);
  }
  pthread_mutex_unlock (&flusher->lock);
}

static void
wait_for (FsFlusher *flusher, Progress *progress)
{
  struct timespec until = to_timespec (now_ms () + FS_FLUSHER_WAIT_MS);
  int error = 0;

  pthread_mutex_lock (&flusher->lock);
  uint64_t number = ++flusher->asked;
  pthread_cond_signal (&flusher->asked_for);
  while (progress->done < number && !flusher->failing && !progress->stalled && error != ETIMEDOUT)
    error = pthread_cond_timedwait (&flusher->done_with, &flusher->lock, &until);
  progress->stalled |= error == ETIMEDOUT && progress->done < number;
  pthread_mutex_unlock (&flusher->lock);
}

void
fs_flusher_now (FsFlusher *flusher)
{
  wait_for (flusher, &flusher->some);
}

void
fs_flusher_all (FsFlusher *flusher)
{
  wait_for (flusher, &flusher->all);
}

void
fs_flusher_note_commit (FsFlusher *flusher)
{
  if (__atomic_exchange_n (&flusher->committed, true, __ATOMIC_SEQ_CST))
    return;
  pthread_mutex_lock (&flusher->lock);
  if (flusher->tend_at_ms == NEVER) {
    flusher->tend_at_ms = now_ms () + TEND_MS;
    pthread_cond_signal (&flusher->to_tend);
  }
  pthread_mutex_unlock (&flusher->lock);
}

void
fs_flusher_trim (FsFlusher *flusher)
{
  pthread_mutex_lock (&flusher->lock);
  if (flusher->trim_at_ms == NEVER) {
    flusher->trim_at_ms = now_ms () + TRIM_MS;
    flusher->trim_by_ms = now_ms () + FS_FLUSHER_TRIM_MS;
    pthread_cond_signal (&flusher->to_tend);
  }
  pthread_mutex_unlock (&flusher->lock);
}

void
fs_flusher_stop (FsFlusher *flusher)
{
  pthread_mutex_lock (&flusher->lock);
  flusher->stop = true;
  pthread_cond_signal (&flusher->asked_for);
  pthread_cond_signal (&flusher->to_tend);
  pthread_mutex_unlock (&flusher->lock);
  pthread_join (flusher->thread, NULL);
  pthread_join (flusher->tender, NULL);
}

void
fs_flusher_free (FsFlusher *flusher)
{
  pthread_cond_destroy (&flusher->asked_for);
  pthread_cond_destroy (&flusher->done_with);
  pthread_cond_destroy (&flusher->to_tend);
  pthread_mutex_destroy (&flusher->lock);
  g_free (flusher);
}
