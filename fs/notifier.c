/* SPDX-License-Identifier: MIT */

/* A queue and the thread that empties it, by the batch. First the kernel is told of all inodes of a
 * batch at once. It lets go of those that nobody uses, which takes no lock, and says so. Of what it
 * still knows after the next batch, and of all where it cannot do that, it is told name by name:
 * that takes the lock of the directory, and may have to wait for it. */

#include "fs/notifier.h"

#include "fs/prune.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

/* Names that are told at a time, and how much longer than that takes the thread rests then, since
 * what the kernel does meanwhile comes off the time of everybody else: of the reaper above all,
 * while that has more to tell. */
#define BATCH 64
#define REST 1
#define REST_MEANWHILE 15
#define REST_MAX_US 20000

/* How long the kernel has to say that it has let go of the last batch. */
#define LINGER_NS 10000000
#define NS_PER_S 1000000000

/* Each takes about as much memory as the name did that it is about. */
#define MAX_WAITING (1u << 22)

typedef struct {
  GList link;
  uint64_t parent;
  uint64_t node; /* 0: the kernel is to ask again */
  bool is_directory;
  bool other_names;
  bool waits; /* see fs_notifier_tell_gone() */
  char name[];
} Notice;

struct FsNotifier {
  FsContext *context;           /* constant */
  struct fuse_session *session; /* constant */
  bool cannot_prune;            /* the thread's own, like the next two */
  bool growing;                 /* more comes than is told */
  unsigned left;                /* after the last batch was taken */
  pthread_t thread;
  pthread_mutex_t lock; /* covers the rest */
  pthread_cond_t changed;
  GQueue notices;
  bool stop;
};

/* Of what has taken the name meanwhile the kernel knows by who did that. It would let go of that
 * name as well: who works in a directory would have no path any more.
 *
 * Where it does not know the name it lets go of nothing, though it may have the number of links of
 * the directory and a listing with that name in it. It has waited for those who were making one. */
static void
send_gone (const FsNotifier *notifier, fuse_ino_t parent, const Notice *notice)
{
  fuse_ino_t ino = fs_ino (notice->node, LEASE_FILE_NONE);

  if (!lease_engine_is_taken (notifier->context->engine, notice->parent, notice->name) &&
      fuse_lowlevel_notify_delete (notifier->session, parent, ino, notice->name,
                                   strlen (notice->name)) == -ENOENT)
    fuse_lowlevel_notify_inval_inode (notifier->session, parent, 0, 0);
  /* To the kernel it has no name any more then, but it may have others. */
  if (notice->other_names)
    fuse_lowlevel_notify_inval_inode (notifier->session, ino, -1, 0);
}

static void
send (const FsNotifier *notifier, const Notice *notice)
{
  fuse_ino_t parent = fs_ino (notice->parent, LEASE_FILE_NONE);

  if (notice->node != 0)
    send_gone (notifier, parent, notice);
  else
    fuse_lowlevel_notify_expire_entry (notifier->session, parent, notice->name,
                                       strlen (notice->name), FUSE_LL_EXPIRE_ONLY);
}

static void
drop (FsContext *context, GQueue *notices)
{
  __atomic_fetch_sub (&context->untold, notices->length, __ATOMIC_RELAXED);
  while (!g_queue_is_empty (notices))
    g_free (g_queue_pop_head_link (notices)->data);
}

/* Sends those of `batch` that are needed still, and drops all. */
static void
send_each (const FsNotifier *notifier, GQueue *batch)
{
  for (const GList *link = batch->head; link != NULL; link = link->next) {
    const Notice *notice = link->data;
    if (notifier->cannot_prune || notice->node == 0 || notice->waits ||
        lease_engine_is_pinned (notifier->context->engine, notice->node))
      send (notifier, notice);
  }
  drop (notifier->context, batch);
}

/* Tells of the nodes of `batch` at once; and then of the directories, which have lost names. */
static void
prune (FsNotifier *notifier, const GQueue *batch)
{
  g_autoptr (GArray) inos = g_array_new (FALSE, FALSE, sizeof (uint64_t));
  g_autoptr (GHashTable) parents = g_hash_table_new (NULL, NULL);
  GHashTableIter iter;
  void *parent;

  for (const GList *link = batch->head; link != NULL; link = link->next) {
    const Notice *notice = link->data;
    if (notice->node == 0 || notice->waits)
      continue;
    /* It may be that of a lease, and its pseudo-files come before it. */
    for (int file = notice->is_directory ? LEASE_FILE_LAST : LEASE_FILE_NONE; file >= 0; file--) {
      uint64_t ino = fs_ino (notice->node, file);
      g_array_append_val (inos, ino);
    }
    g_hash_table_add (parents, GSIZE_TO_POINTER (fs_ino (notice->parent, LEASE_FILE_NONE)));
  }
  if (inos->len == 0)
    return;
  int error = fs_prune (notifier->session, (const uint64_t *)inos->data, inos->len);
  notifier->cannot_prune = error == -EINVAL;
  g_hash_table_iter_init (&iter, parents);
  while (error == 0 && g_hash_table_iter_next (&iter, &parent, NULL))
    fuse_lowlevel_notify_inval_inode (notifier->session, GPOINTER_TO_SIZE (parent), -1, 0);
}

/* `linger`: only for some time. */
static void
wait_for_notices (FsNotifier *notifier, bool linger)
{
  struct timespec until;
  int error = 0;

  clock_gettime (CLOCK_MONOTONIC, &until);
  until.tv_nsec += LINGER_NS;
  until.tv_sec += until.tv_nsec / NS_PER_S;
  until.tv_nsec %= NS_PER_S;
  while (g_queue_is_empty (&notifier->notices) && !notifier->stop && error == 0)
    error = linger ? pthread_cond_timedwait (&notifier->changed, &notifier->lock, &until)
                   : pthread_cond_wait (&notifier->changed, &notifier->lock);
}

/* Returns whether to go on. */
static bool
take_batch (FsNotifier *notifier, GQueue *batch, bool linger)
{
  pthread_mutex_lock (&notifier->lock);
  wait_for_notices (notifier, linger);
  while (batch->length < BATCH && !g_queue_is_empty (&notifier->notices))
    g_queue_push_tail_link (batch, g_queue_pop_head_link (&notifier->notices));
  notifier->growing = notifier->notices.length > notifier->left;
  notifier->left = notifier->notices.length;
  bool stop = notifier->stop;
  pthread_mutex_unlock (&notifier->lock);
  return !stop;
}

static void
rest (const FsNotifier *notifier, int64_t worked_us)
{
  int64_t times = notifier->growing ? REST_MEANWHILE : REST;

  g_usleep ((gulong)MIN (times * worked_us, REST_MAX_US));
}

static void *
run (void *data)
{
  FsNotifier *notifier = data;
  GQueue batch = G_QUEUE_INIT, last = G_QUEUE_INIT;

  while (take_batch (notifier, &batch, last.length > 0)) {
    int64_t begun = g_get_monotonic_time ();
    if (batch.length > 0 && !notifier->cannot_prune)
      prune (notifier, &batch);
    send_each (notifier, &last);
    if (notifier->cannot_prune)
      send_each (notifier, &batch);
    if (batch.length > 0) {
      last = batch;
      g_queue_init (&batch);
    }
    rest (notifier, g_get_monotonic_time () - begun);
  }
  drop (notifier->context, &batch);
  drop (notifier->context, &last);
  return NULL;
}

FsNotifier *
fs_notifier_new (FsContext *context, struct fuse_session *session)
{
  FsNotifier *notifier = g_new0 (FsNotifier, 1);
  pthread_condattr_t monotonic;

  notifier->context = context;
  notifier->session = session;
  pthread_mutex_init (&notifier->lock, NULL);
  pthread_condattr_init (&monotonic);
  pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init (&notifier->changed, &monotonic);
  pthread_condattr_destroy (&monotonic);
  if (pthread_create (&notifier->thread, NULL, run, notifier) != 0)
    g_error ("cannot start the notifier's thread");
  return notifier;
}

static Notice *
new_notice (uint64_t parent, const char *name)
{
  size_t size = strlen (name) + 1;
  Notice *notice = g_malloc0 (sizeof *notice + size);

  notice->link.data = notice;
  notice->parent = parent;
  memcpy (notice->name, name, size);
  return notice;
}

static void
tell (FsNotifier *notifier, Notice *notice)
{
  pthread_mutex_lock (&notifier->lock);
  bool full = notifier->notices.length >= MAX_WAITING;
  if (!full) {
    __atomic_fetch_add (&notifier->context->untold, 1, __ATOMIC_RELAXED);
    g_queue_push_tail_link (&notifier->notices, &notice->link);
    pthread_cond_signal (&notifier->changed);
  }
  pthread_mutex_unlock (&notifier->lock);
  if (full)
    g_free (notice);
}

void
fs_notifier_tell_gone (FsNotifier *notifier, const LeaseGrave *grave, bool waits)
{
  Notice *notice = new_notice (grave->parent, grave->name);

  notice->node = grave->node;
  notice->is_directory = grave->is_directory;
  notice->other_names = grave->other_names;
  notice->waits = waits;
  tell (notifier, notice);
}

void
fs_notifier_tell_unsure (FsNotifier *notifier, uint64_t parent, const char *name)
{
  tell (notifier, new_notice (parent, name));
}

void
fs_notifier_free (FsNotifier *notifier)
{
  pthread_mutex_lock (&notifier->lock);
  notifier->stop = true;
  pthread_cond_signal (&notifier->changed);
  pthread_mutex_unlock (&notifier->lock);
  pthread_join (notifier->thread, NULL);
  drop (notifier->context, &notifier->notices);
  pthread_cond_destroy (&notifier->changed);
  pthread_mutex_destroy (&notifier->lock);
  g_free (notifier);
}
