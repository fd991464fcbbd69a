/* SPDX-License-Identifier: MIT */

/* Works through the names that the engine wants removed, in batches, and tells the kernel of those
 * that it holds for too long. Only during a batch does it hold the mount open, so that it can be
 * unmounted between two.
 *
 * It goes by paths, which other users change meanwhile, so it takes care not to be led astray: the
 * root that it opens must be on the mount's own device, paths must stay beneath it and contain no
 * symlink, and the engine removes a name on the reaper's request only if that is due. Where it
 * cannot unlink (a daemon without root's rights in a directory of somebody else) it tells the
 * engine and the kernel directly. */

#include "fs/reaper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Names removed before the mount is let go of for a moment, and how long that is. */
#define BATCH 256
#define PAUSE_US 200

/* How long to wait for the thread to end. */
#define STOP_S 2

/* How long names that hold for too long are collected before they are told: off the path of those
 * who attach, and once for what is attached again and again. */
#define EXPIRE_NS 5000000
#define NS_PER_S 1000000000

/* Steps of the engine under its lock for one name. */
#define STEPS 256

struct FsReaper {
  FsContext *context; /* constant, like the next three */
  struct fuse_session *session;
  const char *mountpoint;
  dev_t device;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed; /* woken, stop, ended, or the first to expire */
  bool woken;             /* lock */
  GHashTable *expiring;   /* a set of node ids; lock */
  struct timespec due;    /* when these are to be told, CLOCK_MONOTONIC; lock */
  bool stop;              /* lock */
  bool ended;             /* the thread is about to end; lock */
};

/* The descriptors that are held during a batch: opened when the first name needs them. */
typedef struct {
  bool opened;
  int root;      /* of the mount; -1: not to be had */
  int directory; /* where the last name was; -1: none */
  char *path;    /* of `directory`, from the root */
} Batch;

static LeaseCaller
as_reaper (void)
{
  return (
      LeaseCaller){ .now = lease_clock_now (), .wall_ns = lease_clock_wall_ns (), .reaper = true };
}

static void
batch_open (const FsReaper *reaper, Batch *batch)
{
  struct stat st;

  if (batch->opened)
    return;
  batch->opened = true;
  /* A detached clone of the mount keeps nobody from unmounting the mount itself. Making one takes
   * root's rights. */
  batch->root = open_tree (AT_FDCWD, reaper->mountpoint, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (batch->root < 0)
    batch->root = open (reaper->mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC);
  /* Something else may have been mounted there, on top or instead. */
  if (batch->root >= 0 && (fstat (batch->root, &st) != 0 || st.st_dev != reaper->device)) {
    close (batch->root);
    batch->root = -1;
  }
}

static void
batch_leave_directory (Batch *batch)
{
  if (batch->directory >= 0)
    close (batch->directory);
  batch->directory = -1;
  g_clear_pointer (&batch->path, g_free);
}

static void
batch_end (Batch *batch)
{
  batch_leave_directory (batch);
  if (batch->root >= 0)
    close (batch->root);
}

static int
open_beneath (int root, const char *path)
{
  struct open_how how = {
    .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
  };

  return syscall (SYS_openat2, root, path, &how, sizeof how);
}

static bool
unlink_through_mount (Batch *batch, const LeaseGrave *grave)
{
  if (batch->root < 0 || grave->directory == NULL)
    return false;
  if (g_strcmp0 (batch->path, grave->directory) != 0) {
    batch_leave_directory (batch);
    batch->directory = open_beneath (batch->root, grave->directory);
    if (batch->directory < 0)
      return false;
    batch->path = g_strdup (grave->directory);
  }
  if (unlinkat (batch->directory, grave->name, grave->is_directory ? AT_REMOVEDIR : 0) == 0)
    return true;
  /* The directory may have been moved away from its path meanwhile. */
  batch_leave_directory (batch);
  return false;
}

static bool
is_stopped (FsReaper *reaper)
{
  pthread_mutex_lock (&reaper->lock);
  bool stop = reaper->stop;
  pthread_mutex_unlock (&reaper->lock);
  return stop;
}

static void
bury (FsReaper *reaper, Batch *batch, const LeaseGrave *grave)
{
  LeaseCaller by = as_reaper ();

  batch_open (reaper, batch);
  bool unlinked = unlink_through_mount (batch, grave);
  /* It may have taken long, and the session may be gone. */
  if (!unlinked && !is_stopped (reaper) && lease_engine_bury (reaper->context->engine, &by, grave))
    fuse_lowlevel_notify_delete (reaper->session, fs_ino (grave->parent, LEASE_FILE_NONE),
                                 fs_ino (grave->node, LEASE_FILE_NONE), grave->name,
                                 strlen (grave->name));
}

typedef struct {
  uint64_t parent;
  char *text;
} Name;

static void
clear_name (void *data)
{
  Name *name = data;

  g_free (name->text);
}

static void
copy_name (uint64_t parent, const char *text, void *data)
{
  Name name = { parent, g_strdup (text) };

  g_array_append_val ((GArray *)data, name);
}

/* A node to be told of, or 0. */
static uint64_t
next_expiring (FsReaper *reaper)
{
  GHashTableIter iter;
  void *id = NULL;

  pthread_mutex_lock (&reaper->lock);
  g_hash_table_iter_init (&iter, reaper->expiring);
  if (g_hash_table_iter_next (&iter, &id, NULL))
    g_hash_table_iter_remove (&iter);
  pthread_mutex_unlock (&reaper->lock);
  return GPOINTER_TO_SIZE (id);
}

/* Ends names of nodes whose deadline has become earlier than was said when they were given out, up
 * to about a batch of them. Returns whether some may be left. */
static bool
expire_names (FsReaper *reaper)
{
  unsigned done = 0;

  while (done < BATCH && !is_stopped (reaper)) {
    uint64_t id = next_expiring (reaper);
    if (id == 0)
      return false;
    g_autoptr (GArray) names = g_array_new (FALSE, FALSE, sizeof (Name));
    g_array_set_clear_func (names, clear_name);
    lease_engine_names (reaper->context->engine, id, BATCH, copy_name, names);
    for (unsigned i = 0; i < names->len; i++) {
      const Name *name = &g_array_index (names, Name, i);
      fuse_lowlevel_notify_expire_entry (reaper->session, fs_ino (name->parent, LEASE_FILE_NONE),
                                         name->text, strlen (name->text), FUSE_LL_EXPIRE_ONLY);
    }
    done += names->len + 1;
  }
  return true;
}

/* Returns whether there may be more to do. */
static bool
work_batch (FsReaper *reaper)
{
  Batch batch = { .root = -1, .directory = -1 };
  int error = 0;

  bool more = expire_names (reaper);
  for (unsigned i = 0; i < BATCH && error != -ENOENT && !is_stopped (reaper); i++) {
    g_auto (LeaseGrave) grave = { 0 };
    LeaseCaller by = as_reaper ();
    error = lease_engine_next_grave (reaper->context->engine, &by, STEPS, &grave);
    if (error == 0)
      bury (reaper, &batch, &grave);
  }
  batch_end (&batch);
  return more || error != -ENOENT;
}

/* Returns whether there is work; false: to stop. */
static bool
wait_for_work (FsReaper *reaper)
{
  pthread_mutex_lock (&reaper->lock);
  bool due = false;
  while (!reaper->woken && !reaper->stop && !due)
    if (g_hash_table_size (reaper->expiring) == 0)
      pthread_cond_wait (&reaper->changed, &reaper->lock);
    else
      due = pthread_cond_timedwait (&reaper->changed, &reaper->lock, &reaper->due) == ETIMEDOUT;
  reaper->woken = false;
  bool stop = reaper->stop;
  pthread_mutex_unlock (&reaper->lock);
  return !stop;
}

static void *
run (void *data)
{
  FsReaper *reaper = data;

  __atomic_store_n (&reaper->context->reaper_tid, gettid (), __ATOMIC_RELAXED);
  while (wait_for_work (reaper))
    while (work_batch (reaper) && !is_stopped (reaper))
      g_usleep (PAUSE_US);
  pthread_mutex_lock (&reaper->lock);
  reaper->ended = true;
  pthread_cond_broadcast (&reaper->changed);
  pthread_mutex_unlock (&reaper->lock);
  return NULL;
}

FsReaper *
fs_reaper_new (FsContext *context, struct fuse_session *session, const char *mountpoint,
               dev_t device)
{
  FsReaper *reaper = g_new0 (FsReaper, 1);
  pthread_condattr_t monotonic;

  reaper->context = context;
  reaper->session = session;
  reaper->mountpoint = mountpoint;
  reaper->device = device;
  reaper->expiring = g_hash_table_new (NULL, NULL);
  pthread_mutex_init (&reaper->lock, NULL);
  pthread_condattr_init (&monotonic);
  pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init (&reaper->changed, &monotonic);
  pthread_condattr_destroy (&monotonic);
  if (pthread_create (&reaper->thread, NULL, run, reaper) != 0)
    g_error ("cannot start the reaper's thread");
  return reaper;
}

void
fs_reaper_wake (FsReaper *reaper)
{
  pthread_mutex_lock (&reaper->lock);
  reaper->woken = true;
  pthread_cond_signal (&reaper->changed);
  pthread_mutex_unlock (&reaper->lock);
}

void
fs_reaper_expire (FsReaper *reaper, uint64_t id)
{
  pthread_mutex_lock (&reaper->lock);
  if (g_hash_table_size (reaper->expiring) == 0) {
    clock_gettime (CLOCK_MONOTONIC, &reaper->due);
    reaper->due.tv_nsec += EXPIRE_NS;
    reaper->due.tv_sec += reaper->due.tv_nsec / NS_PER_S;
    reaper->due.tv_nsec %= NS_PER_S;
    pthread_cond_signal (&reaper->changed);
  }
  g_hash_table_add (reaper->expiring, GSIZE_TO_POINTER (id));
  pthread_mutex_unlock (&reaper->lock);
}

bool
fs_reaper_stop (FsReaper *reaper)
{
  struct timespec until;
  int error = 0;

  clock_gettime (CLOCK_MONOTONIC, &until);
  until.tv_sec += STOP_S;
  pthread_mutex_lock (&reaper->lock);
  reaper->stop = true;
  pthread_cond_broadcast (&reaper->changed);
  while (!reaper->ended && error != ETIMEDOUT)
    error = pthread_cond_timedwait (&reaper->changed, &reaper->lock, &until);
  bool ended = reaper->ended;
  pthread_mutex_unlock (&reaper->lock);
  if (ended)
    pthread_join (reaper->thread, NULL);
  return ended;
}

void
fs_reaper_free (FsReaper *reaper)
{
  g_hash_table_unref (reaper->expiring);
  pthread_cond_destroy (&reaper->changed);
  pthread_mutex_destroy (&reaper->lock);
  g_free (reaper);
}
