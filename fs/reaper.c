/* SPDX-License-Identifier: MIT */

/* Works through the names that the engine wants removed, in batches, and lets the kernel ask again
 * for those that it holds for too long. Only during a batch does it hold the mount open, so that it
 * can be unmounted between two.
 *
 * It goes by paths, which other users change meanwhile, so it takes care not to be led astray: the
 * root that it opens must be on the mount's own device, paths must stay beneath it and contain no
 * symlink, and the engine removes a name on the reaper's request only if that is due. Where it
 * cannot unlink (a daemon without root's rights in a directory of somebody else) it tells the
 * engine directly, and lets another thread tell the kernel, which takes /dev/fuse. So it does where
 * many have ended and nobody watches them: that is ten times as fast, but shows watchers less. */

#include "fs/reaper.h"

#include "fs/flusher.h"
#include "fs/notifier.h"
#include "fs/proc.h"
#include "fs/watchers.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Names removed before the mount is let go of for a moment, and how long that is. */
#define BATCH 256
#define PAUSE_US 200

/* So many names where a journal is to know of it: who makes the next change waits for that too. */
#define KEPT_BATCH 64

/* So long a pause where the journal has not taken the end of a lease yet. */
#define BUSY_US 5000

/* Names removed before others are let in: the reaper has the engine's lock most of the time. */
#define LET_IN_EVERY 32

/* So often a name is looked for anew that was not where its path said, or that somebody else has
 * just looked up. */
#define RETRIES 20

/* How long to wait for the thread to end. */
#define STOP_S 2

/* How long names that hold for too long are collected before they are told: off the path of those
 * who attach, and once for what is attached again and again. */
#define EXPIRE_NS 5000000
#define NS_PER_S 1000000000

/* Steps of the engine under its lock for one name. */
#define STEPS 256

/* From so many names on it is worth a look who watches, if that takes no longer than what it saves
 * for each of them. */
#define LOOK_FROM 1000
#define LOOK_SAVES_NS 20000
/* When to look again where that could not be told. */
#define BLIND_NS ((LeaseTime)NS_PER_S)

/* Who watched at some time. */
typedef struct {
  FsWatchers *watchers; /* NULL: that cannot be told */
  LeaseTime begun;      /* 0: never */
  LeaseTime took_ns;
} Look;

struct FsReaper {
  FsContext *context; /* constant, like the next three */
  struct fuse_session *session;
  const char *mountpoint;
  bool foreground;
  dev_t device; /* of the mount; constant once `answered` */
  FsNotifier *notifier;
  Look look; /* the thread's own */
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed; /* woken, stop, ended, or the first to expire */
  bool woken;             /* lock */
  GHashTable *expiring;   /* a set of node ids; lock */
  GPtrArray *taken;       /* those that the thread has taken from it; its own */
  struct timespec due;    /* when these are to be told, CLOCK_MONOTONIC; lock */
  bool stop;              /* lock */
  bool answered;          /* the mount has, or said `error`; lock */
  int error;
  bool ended; /* the thread is about to end; lock */
};

/* The descriptors that are held during a batch: opened when the first name needs them. */
typedef struct {
  bool opened;
  int root;         /* of the mount; -1: not to be had */
  int directory;    /* where the last name was; -1: none */
  uint64_t id;      /* of that */
  unsigned retries; /* of the grave that is worked on */
} Batch;

/* A system call would be dear where very much is told. */
static _Thread_local bool is_me;

bool
fs_reaper_is_me (void)
{
  return is_me;
}

static LeaseCaller
as_reaper (void)
{
  return (
      LeaseCaller){ .now = lease_clock_now (), .wall_ns = lease_clock_wall_ns (), .reaper = true };
}

/* Not close(): ThreadSanitizer would take it for that of the same number in the table of the other
 * threads. */
static void
close_own (int fd)
{
  close_range (fd, fd, 0);
}

/* Opens `path`, if all of the file system is mounted there; else -1: something else may have been
 * mounted on top or instead. */
static int
open_root (const FsReaper *reaper, const char *path)
{
  struct stat st;
  /* A detached clone of the mount keeps nobody from unmounting the mount itself. Making one takes
   * root's rights. */
  int root = open_tree (AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

  if (root < 0)
    root = open (path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0 || (fstat (root, &st) == 0 && st.st_dev == reaper->device &&
                   st.st_ino == fs_ino (LEASE_ROOT, LEASE_FILE_NONE)))
    return root;
  close_own (root);
  return -1;
}

/* The mount may have been moved, or there may be others. */
static int
open_elsewhere (const FsReaper *reaper)
{
  g_autoptr (GArray) mounts = fs_proc_mounts ();
  int root = -1;

  for (unsigned i = 0; mounts != NULL && i < mounts->len && root < 0; i++) {
    const FsMount *mount = &g_array_index (mounts, FsMount, i);
    if (mount->device == reaper->device)
      root = open_root (reaper, mount->point);
  }
  return root;
}

static void
batch_open (const FsReaper *reaper, Batch *batch)
{
  if (batch->opened)
    return;
  batch->opened = true;
  batch->root = open_root (reaper, reaper->mountpoint);
  if (batch->root < 0)
    batch->root = open_elsewhere (reaper);
}

static void
batch_leave_directory (Batch *batch)
{
  if (batch->directory >= 0)
    close_own (batch->directory);
  batch->directory = -1;
}

static void
batch_end (Batch *batch)
{
  batch_leave_directory (batch);
  if (batch->root >= 0)
    close_own (batch->root);
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

/* Has the kernel ask for the name. To make something that is there is refused; but not before the
 * kernel has looked again whether it is, however long it would have believed so (LOOKUP_EXCL). */
static bool
look_again (int directory, const char *name)
{
  return mkdirat (directory, name, 0) == 0 || errno == EEXIST;
}

/* Opens the directory at `path`, over names that the kernel is to look up anew: to this thread some
 * of them stand for something else than to others. */
static int
open_anew (int root, const char *path)
{
  g_auto (GStrv) names = g_strsplit (path, "/", -1);
  int directory = open_beneath (root, ".");

  for (unsigned i = 0; directory >= 0 && names[i] != NULL; i++) {
    int above = directory;
    look_again (above, names[i]);
    directory = open_beneath (above, names[i]);
    close_own (above);
  }
  return directory;
}

/* Goes to directory `id` at `path`, which may be NULL. `detour`: see LeaseGrave. */
static bool
batch_enter (const FsReaper *reaper, Batch *batch, uint64_t id, const char *path, bool detour)
{
  batch_open (reaper, batch);
  if (batch->directory >= 0 && batch->id == id)
    return true;
  batch_leave_directory (batch);
  if (batch->root < 0 || path == NULL) {
    errno = ENOENT;
    return false;
  }
  batch->directory = detour ? open_anew (batch->root, path) : open_beneath (batch->root, path);
  batch->id = id;
  return batch->directory >= 0;
}

/* Returns an errno. */
static int
unlink_through_mount (const FsReaper *reaper, Batch *batch, const LeaseGrave *grave)
{
  int flags = grave->is_directory ? AT_REMOVEDIR : 0;

  if (!batch_enter (reaper, batch, grave->parent, grave->directory, grave->detour))
    return -errno;
  int result = unlinkat (batch->directory, grave->name, flags);
  int error = result == 0 ? 0 : -errno;
  /* The kernel may have believed that there is nothing, or what took the name: then it is right the
   * next time. And who works in a directory that has taken the name wants to have a path again. */
  if (grave->retaken)
    look_again (batch->directory, grave->name);
  /* It may have been another one by the time it was opened. */
  if (error != 0)
    batch_leave_directory (batch);
  return error;
}

static bool
is_stopped (FsReaper *reaper)
{
  pthread_mutex_lock (&reaper->lock);
  bool stop = reaper->stop;
  pthread_mutex_unlock (&reaper->lock);
  return stop;
}

/* Whether it may be otherwise with a path that is up to date. */
static bool
is_worth_a_retry (int error)
{
  return error == -ENOENT || error == -ESTALE || error == -ENOTDIR || error == -EISDIR;
}

static bool
is_worth_a_look (const Look *look, LeaseTime now, const LeaseGrave *grave)
{
  if (look->begun != 0 && look->watchers == NULL && now - look->begun < BLIND_NS)
    return false;
  return grave->waiting >= LOOK_FROM && grave->waiting * LOOK_SAVES_NS >= (uint64_t)look->took_ns;
}

/* Whether the kernel is to remove this name: somebody may be waiting to be shown its end. Who began
 * to watch after it had ended was not shown the name, nor needs its end.
 *
 * A listing that was asked for before the end may be on its way into the kernel's cache. It is not
 * believed while anything that has ended waits in the directory; and to remove the last one the
 * kernel waits for it. */
static bool
is_for_kernel (FsReaper *reaper, const LeaseGrave *grave)
{
  LeaseTime now = lease_clock_now ();
  Look *look = &reaper->look;

  if (grave->retaken || grave->detour || grave->last)
    return true;
  if (look->begun <= grave->since) {
    if (!is_worth_a_look (look, now, grave))
      return true;
    g_clear_pointer (&look->watchers, fs_watchers_free);
    *look = (Look){ .watchers = fs_watchers_look (reaper->device), .begun = now };
    look->took_ns = lease_clock_now () - now;
  }
  return look->watchers == NULL ||
         fs_watchers_has (look->watchers, fs_ino (grave->parent, LEASE_FILE_NONE)) ||
         fs_watchers_has (look->watchers, fs_ino (grave->node, LEASE_FILE_NONE));
}

static void
bury (FsReaper *reaper, Batch *batch, const LeaseGrave *grave)
{
  LeaseCaller by = as_reaper ();
  bool for_kernel = is_for_kernel (reaper, grave);
  int error = for_kernel ? unlink_through_mount (reaper, batch, grave) : 0;

  /* The grave comes again, with the path that it has by then. */
  if (error != 0 && is_worth_a_retry (error) && grave->directory != NULL &&
      batch->retries < RETRIES) {
    batch->retries++;
    return;
  }
  batch->retries = 0;
  /* It may have taken long, and the session may be gone. */
  if ((error != 0 || !for_kernel) && !is_stopped (reaper) &&
      lease_engine_bury (reaper->context->engine, &by, grave))
    fs_notifier_tell_gone (reaper->notifier, grave, for_kernel);
}

typedef struct {
  uint64_t parent;
  char *directory;
  char *text;
} Name;

static void
clear_name (void *data)
{
  Name *name = data;

  g_free (name->directory);
  g_free (name->text);
}

static void
copy_name (uint64_t parent, const char *directory, const char *text, void *data)
{
  Name name = { parent, g_strdup (directory), g_strdup (text) };

  g_array_append_val ((GArray *)data, name);
}

/* To tell the kernel would cost a tenth of looking it up, but takes the directory's lock with
 * /dev/fuse open: whoever holds that while we are killed waits for an answer, and we for the lock. */
static void
expire_name (FsReaper *reaper, Batch *batch, const Name *name)
{
  if (!batch_enter (reaper, batch, name->parent, name->directory, false))
    fs_notifier_tell_unsure (reaper->notifier, name->parent, name->text);
  else if (!look_again (batch->directory, name->text))
    batch_leave_directory (batch);
}

/* A node to be told of, or 0. */
static uint64_t
next_expiring (FsReaper *reaper)
{
  GHashTableIter iter;
  void *id;

  if (reaper->taken->len == 0) {
    pthread_mutex_lock (&reaper->lock);
    g_hash_table_iter_init (&iter, reaper->expiring);
    while (g_hash_table_iter_next (&iter, &id, NULL))
      g_ptr_array_add (reaper->taken, id);
    g_hash_table_remove_all (reaper->expiring);
    pthread_mutex_unlock (&reaper->lock);
  }
  if (reaper->taken->len == 0)
    return 0;
  return GPOINTER_TO_SIZE (g_ptr_array_steal_index_fast (reaper->taken, reaper->taken->len - 1));
}

/* Ends names of nodes whose deadline has become earlier than was said when they were given out, up
 * to about a batch of them. Returns whether some may be left. */
static bool
expire_names (FsReaper *reaper, Batch *batch)
{
  unsigned done = 0;

  while (done < BATCH && !is_stopped (reaper)) {
    uint64_t id = next_expiring (reaper);
    if (id == 0)
      return false;
    g_autoptr (GArray) names = g_array_new (FALSE, FALSE, sizeof (Name));
    g_array_set_clear_func (names, clear_name);
    lease_engine_names (reaper->context->engine, id, BATCH, copy_name, names);
    for (unsigned i = 0; i < names->len; i++)
      expire_name (reaper, batch, &g_array_index (names, Name, i));
    done += names->len + 1;
  }
  return true;
}

/* Returns 0 if there may be more to do, -ENOENT if there is not, -EBUSY if it cannot be done now.
 */
static int
work_batch (FsReaper *reaper)
{
  Batch batch = { .root = -1, .directory = -1 };
  int error = 0;

  bool more = expire_names (reaper, &batch);
  bool kept = lease_engine_is_kept (reaper->context->engine);
  unsigned count = kept ? KEPT_BATCH : BATCH;
  /* A name that is gone shows that its lease has ended, and nothing reminds of that any more. */
  if (kept)
    fs_flusher_now (reaper->context->flusher);
  for (unsigned i = 0; i < count && error != -ENOENT && error != -EBUSY && !is_stopped (reaper);
       i++) {
    g_auto (LeaseGrave) grave = { 0 };
    LeaseCaller by = as_reaper ();
    error = lease_engine_next_grave (reaper->context->engine, &by, STEPS, &grave);
    if (error == 0)
      bury (reaper, &batch, &grave);
    if (i % LET_IN_EVERY == LET_IN_EVERY - 1)
      lease_engine_let_in (reaper->context->engine);
  }
  batch_end (&batch);
  return error == -EBUSY || (error == -ENOENT && !more) ? error : 0;
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

/* Gives the thread a table of files of its own, with nothing in it but the standard descriptors:
 * where these are not to be kept, they lead to /dev/null. */
static int
leave_files (bool foreground)
{
  if (unshare (CLONE_FILES) != 0)
    return -errno;
  close_range (foreground ? STDERR_FILENO + 1 : STDIN_FILENO, UINT_MAX, 0);
  for (int fd = STDIN_FILENO; !foreground && fd <= STDERR_FILENO; fd++)
    if (open ("/dev/null", O_RDWR | O_CLOEXEC) < 0)
      return -errno;
  return 0;
}

static int
meet_mount (FsReaper *reaper)
{
  struct stat st;
  int error = leave_files (reaper->foreground);

  if (error == 0 && stat (reaper->mountpoint, &st) != 0)
    error = -errno;
  if (error == 0)
    reaper->device = st.st_dev;
  return error;
}

static void
set_answered (FsReaper *reaper, int error)
{
  pthread_mutex_lock (&reaper->lock);
  reaper->answered = true;
  reaper->error = error;
  pthread_cond_broadcast (&reaper->changed);
  pthread_mutex_unlock (&reaper->lock);
}

static void *
run (void *data)
{
  FsReaper *reaper = data;
  int error = meet_mount (reaper);

  set_answered (reaper, error);
  if (error != 0)
    return NULL;
  is_me = true;
  __atomic_store_n (&reaper->context->reaper_tid, gettid (), __ATOMIC_RELAXED);
  while (wait_for_work (reaper))
    while ((error = work_batch (reaper)) != -ENOENT && !is_stopped (reaper))
      g_usleep (error == -EBUSY ? BUSY_US : PAUSE_US);
  g_clear_pointer (&reaper->notifier, fs_notifier_free);
  pthread_mutex_lock (&reaper->lock);
  reaper->ended = true;
  pthread_cond_broadcast (&reaper->changed);
  pthread_mutex_unlock (&reaper->lock);
  return NULL;
}

/* Waits until the mount has answered. */
static int
await_answer (FsReaper *reaper)
{
  pthread_mutex_lock (&reaper->lock);
  while (!reaper->answered)
    pthread_cond_wait (&reaper->changed, &reaper->lock);
  int error = reaper->error;
  pthread_mutex_unlock (&reaper->lock);
  if (error != 0)
    pthread_join (reaper->thread, NULL);
  return error;
}

FsReaper *
fs_reaper_new (FsContext *context, struct fuse_session *session, const char *mountpoint,
               bool foreground, GError **error)
{
  FsReaper *reaper = g_new0 (FsReaper, 1);
  pthread_condattr_t monotonic;

  reaper->context = context;
  reaper->session = session;
  reaper->mountpoint = mountpoint;
  reaper->foreground = foreground;
  reaper->notifier = fs_notifier_new (context, session);
  reaper->expiring = g_hash_table_new (NULL, NULL);
  reaper->taken = g_ptr_array_new ();
  pthread_mutex_init (&reaper->lock, NULL);
  pthread_condattr_init (&monotonic);
  pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init (&reaper->changed, &monotonic);
  pthread_condattr_destroy (&monotonic);
  if (pthread_create (&reaper->thread, NULL, run, reaper) != 0)
    g_error ("cannot start the reaper's thread");
  int code = await_answer (reaper);
  if (code == 0)
    return reaper;
  g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (-code),
               "%s: the mount does not answer: %s", mountpoint, g_strerror (-code));
  fs_reaper_free (reaper);
  return NULL;
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
  g_clear_pointer (&reaper->notifier, fs_notifier_free);
  g_clear_pointer (&reaper->look.watchers, fs_watchers_free);
  g_hash_table_unref (reaper->expiring);
  g_ptr_array_unref (reaper->taken);
  pthread_cond_destroy (&reaper->changed);
  pthread_mutex_destroy (&reaper->lock);
  g_free (reaper);
}
