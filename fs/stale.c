/* SPDX-License-Identifier: MIT */

/* Owns the notifications that have to be sent again, in one list with one timeout of the GLib main
 * loop, however many they are. */

#include "fs/stale.h"

#include <errno.h>
#include <pthread.h>

/* How often a notification is sent again, and after how long. */
#define RETRY_TIMES 5
#define RETRY_MS 20

typedef struct {
  uint64_t id;
  unsigned left;
} Retry;

struct FsStale {
  struct fuse_session *session; /* constant */
  pthread_mutex_t lock;
  GArray *retries; /* of Retry; lock */
  unsigned source; /* the timeout, 0 while there is none; lock */
};

FsStale *
fs_stale_new (struct fuse_session *session)
{
  FsStale *stale = g_new0 (FsStale, 1);

  stale->session = session;
  stale->retries = g_array_new (FALSE, FALSE, sizeof (Retry));
  pthread_mutex_init (&stale->lock, NULL);
  return stale;
}

void
fs_stale_free (FsStale *stale)
{
  if (stale->source != 0)
    g_source_remove (stale->source);
  g_array_unref (stale->retries);
  pthread_mutex_destroy (&stale->lock);
  g_free (stale);
}

/* Returns whether the kernel knew the node. */
static bool
send (FsStale *stale, uint64_t id)
{
  fuse_ino_t ino = fs_ino (id, LEASE_FILE_NONE);

  /* A negative offset stands for "attributes only": no pages are dropped, no lock is taken. */
  return fuse_lowlevel_notify_inval_inode (stale->session, ino, -1, 0) != -ENOENT;
}

static gboolean
send_again (void *data)
{
  FsStale *stale = data;
  g_autoptr (GArray) late = g_array_new (FALSE, FALSE, sizeof (Retry));

  pthread_mutex_lock (&stale->lock);
  g_autoptr (GArray) retries = g_steal_pointer (&stale->retries);
  stale->retries = g_array_new (FALSE, FALSE, sizeof (Retry));
  pthread_mutex_unlock (&stale->lock);

  for (unsigned i = 0; i < retries->len; i++) {
    Retry retry = g_array_index (retries, Retry, i);
    if (!send (stale, retry.id) && --retry.left > 0)
      g_array_append_val (late, retry);
  }

  pthread_mutex_lock (&stale->lock);
  g_array_append_vals (stale->retries, late->data, late->len);
  bool more = stale->retries->len > 0;
  if (!more)
    stale->source = 0;
  pthread_mutex_unlock (&stale->lock);
  return more ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

void
fs_stale_tell (FsStale *stale, uint64_t id)
{
  Retry retry = { .id = id, .left = RETRY_TIMES };

  if (send (stale, id))
    return;
  pthread_mutex_lock (&stale->lock);
  g_array_append_val (stale->retries, retry);
  if (stale->source == 0)
    stale->source = g_timeout_add (RETRY_MS, send_again, stale);
  pthread_mutex_unlock (&stale->lock);
}
