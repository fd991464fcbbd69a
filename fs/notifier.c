/* SPDX-License-Identifier: MIT */

/* A queue and the thread that empties it. */

#include "fs/notifier.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

/* Each takes about a hundred bytes. */
#define MAX_WAITING 100000

typedef struct {
  uint64_t parent;
  uint64_t node; /* 0: the kernel is to ask again */
  bool other_names;
  char *name;
} Notice;

struct FsNotifier {
  struct fuse_session *session; /* constant */
  LeaseEngine *engine;          /* constant */
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

  if (!lease_engine_is_taken (notifier->engine, notice->parent, notice->name) &&
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

/* NULL: to stop. */
static Notice *
next_notice (FsNotifier *notifier)
{
  pthread_mutex_lock (&notifier->lock);
  while (g_queue_is_empty (&notifier->notices) && !notifier->stop)
    pthread_cond_wait (&notifier->changed, &notifier->lock);
  Notice *notice = g_queue_pop_head (&notifier->notices);
  pthread_mutex_unlock (&notifier->lock);
  return notice;
}

static void *
run (void *data)
{
  FsNotifier *notifier = data;
  Notice *notice;

  while ((notice = next_notice (notifier)) != NULL) {
    send (notifier, notice);
    g_free (notice->name);
    g_free (notice);
  }
  return NULL;
}

FsNotifier *
fs_notifier_new (struct fuse_session *session, LeaseEngine *engine)
{
  FsNotifier *notifier = g_new0 (FsNotifier, 1);

  notifier->session = session;
  notifier->engine = engine;
  pthread_mutex_init (&notifier->lock, NULL);
  pthread_cond_init (&notifier->changed, NULL);
  if (pthread_create (&notifier->thread, NULL, run, notifier) != 0)
    g_error ("cannot start the notifier's thread");
  return notifier;
}

static void
tell (FsNotifier *notifier, const Notice *told)
{
  Notice *notice = g_memdup2 (told, sizeof *told);

  notice->name = g_strdup (told->name);
  pthread_mutex_lock (&notifier->lock);
  g_queue_push_tail (&notifier->notices, notice);
  pthread_cond_signal (&notifier->changed);
  pthread_mutex_unlock (&notifier->lock);
}

void
fs_notifier_tell_gone (FsNotifier *notifier, uint64_t parent, uint64_t node, bool other_names,
                       const char *name)
{
  if (fs_notifier_waiting (notifier) < MAX_WAITING)
    tell (notifier, &(Notice){ parent, node, other_names, (char *)name });
}

void
fs_notifier_tell_unsure (FsNotifier *notifier, uint64_t parent, const char *name)
{
  tell (notifier, &(Notice){ .parent = parent, .name = (char *)name });
}

unsigned
fs_notifier_waiting (FsNotifier *notifier)
{
  pthread_mutex_lock (&notifier->lock);
  unsigned waiting = notifier->notices.length;
  pthread_mutex_unlock (&notifier->lock);
  return waiting;
}

void
fs_notifier_free (FsNotifier *notifier)
{
  pthread_mutex_lock (&notifier->lock);
  notifier->stop = true;
  pthread_cond_signal (&notifier->changed);
  pthread_mutex_unlock (&notifier->lock);
  pthread_join (notifier->thread, NULL);
  pthread_cond_destroy (&notifier->changed);
  pthread_mutex_destroy (&notifier->lock);
  g_free (notifier);
}
