/* SPDX-License-Identifier: MIT */

/* Wires the engine to the kernel and to the GLib main loop.
 *
 * Threads: the main one runs GLib's loop (timer, signals). One more runs libfuse's loop, and
 * libfuse starts workers from it. The reaper is its own. They end in that order: reaper, while
 * requests are still served; then libfuse's; then the mount goes. */

#include "fs/session.h"

#include "fs/log.h"
#include "fs/ops.h"
#include "fs/pseudo.h"
#include "fs/reaper.h"
#include "fs/stale.h"
#include "fs/timer.h"

#include <errno.h>
#include <glib-unix.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The signal that wakes libfuse's threads from a read to see that the session has ended. */
#define WAKE_SIGNAL SIGUSR1
#define WAKE_EVERY_US 5000

struct FsSession {
  FsOptions *options;
  char *mountpoint; /* absolute */
  FsContext context;
  struct fuse_session *fuse;
  bool mounted;
  FsTimer *timer;
  FsStale *stale;
  FsReaper *reaper; /* atomic; NULL before the mount has answered */
  GMainLoop *loop;
  pthread_t thread; /* runs libfuse's loop */
  bool serving;     /* `thread` has been started */
  bool served;      /* atomic; `thread` is about to end */
};

static void
on_event (LeaseEvent event, uint64_t id, void *data)
{
  FsSession *session = data;
  FsReaper *reaper;

  switch (event) {
  case LEASE_EVENT_STALE:
    fs_stale_tell (session->stale, id);
    break;
  case LEASE_EVENT_NAMES:
    reaper = g_atomic_pointer_get (&session->reaper);
    if (reaper != NULL)
      fs_reaper_expire (reaper, id);
    break;
  case LEASE_EVENT_EARLIER:
    fs_timer_arm (session->timer);
    break;
  case LEASE_EVENT_ENDED:
    reaper = g_atomic_pointer_get (&session->reaper);
    if (reaper != NULL)
      fs_reaper_wake (reaper);
    break;
  }
}

static bool
check_mountpoint (FsSession *session, GError **error)
{
  const char *path = session->options->mountpoint;
  struct stat st;
  struct statvfs statfs;
  int code = stat (path, &st) != 0 ? errno : S_ISDIR (st.st_mode) ? 0 : ENOTDIR;
  const char *advice = "";

  /* A mount whose daemon was killed may still answer stat from the kernel's cache. */
  if (code == 0 && statvfs (path, &statfs) != 0)
    code = errno;

  if (code == 0 && (session->mountpoint = realpath (path, NULL)) != NULL)
    return true;
  if (code == 0)
    code = errno;
  if (code == ENOENT)
    advice = "; make it with 'mkdir -p'";
  else if (code == ENOTDIR)
    advice = "; give a directory to mount on";
  else if (code == ENOTCONN)
    advice = "; a dead mount is in the way, unmount it with 'umount -l' or 'fusermount3 -uz'";
  g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (code), "%s: %s%s", path,
               g_strerror (code), advice);
  return false;
}

/* What to do about it when libfuse, or fusermount3, could not mount for the reason that it gave. */
static const char *
advise_on_mounting (const char *reason)
{
  static const struct {
    const char *sign; /* part of the reason */
    const char *advice;
  } known[] = {
    { "failed to exec",
      "; whoever is not root needs fusermount3: install the package fuse3, or mount as root" },
    { "no write access", "; give a directory of your own" },
    { "not owned by user", "; give a directory of your own" },
    { "username", "; give this user an entry in /etc/passwd, or mount as root" },
    { "mount failed: Operation not permitted",
      "; to mount takes the rights of root (CAP_SYS_ADMIN), or a fusermount3 that is setuid root" },
  };

  if (access ("/dev/fuse", F_OK) != 0)
    return "; /dev/fuse is needed: load the kernel's fuse module, or let the container have the "
           "device";
  if (access ("/dev/fuse", R_OK | W_OK) != 0)
    return "; let this user read and write it ('chmod 666 /dev/fuse', as root), or mount as root";
  for (unsigned i = 0; i < G_N_ELEMENTS (known); i++)
    if (strstr (reason, known[i].sign) != NULL)
      return known[i].advice;
  return "";
}

static bool
mount_session (FsSession *session, GError **error)
{
  session->context.pseudo = fs_pseudo_new (session->context.engine);
  session->fuse =
      fuse_session_new (&session->options->session_args, &fs_ops, sizeof fs_ops, &session->context);
  if (session->fuse == NULL) {
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s; see 'leasefs -h'", fs_log_last ());
    return false;
  }
  fs_log_divert ();
  int result = fuse_session_mount (session->fuse, session->mountpoint);
  fs_log_restore ();
  if (result != 0) {
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "cannot mount on %s: %s%s",
                 session->mountpoint, fs_log_last (), advise_on_mounting (fs_log_last ()));
    return false;
  }
  session->mounted = true;
  session->stale = fs_stale_new (session->fuse);
  return true;
}

FsSession *
fs_session_new (FsOptions *options, GError **error)
{
  g_autoptr (FsSession) session = g_new0 (FsSession, 1);
  LeaseCaller by = { .now = lease_clock_now (), .wall_ns = lease_clock_wall_ns () };

  session->options = options;
  if (!check_mountpoint (session, error))
    return NULL;
  session->context.engine = lease_engine_new (&options->config, &by, on_event, session);
  session->timer = fs_timer_new (session->context.engine, error);
  if (session->timer == NULL || !mount_session (session, error))
    return NULL;
  session->loop = g_main_loop_new (NULL, FALSE);
  return g_steal_pointer (&session);
}

static gboolean
on_signal (void *data)
{
  FsSession *session = data;

  g_main_loop_quit (session->loop);
  return G_SOURCE_CONTINUE;
}

static void
on_wake_signal (int number)
{
}

static void
watch_signals (FsSession *session)
{
  struct sigaction action = { .sa_handler = on_wake_signal };

  sigaction (WAKE_SIGNAL, &action, NULL);
  signal (SIGPIPE, SIG_IGN);
  g_unix_signal_add (SIGTERM, on_signal, session);
  g_unix_signal_add (SIGINT, on_signal, session);
  g_unix_signal_add (SIGHUP, on_signal, session);
}

static gboolean
on_served (void *data)
{
  FsSession *session = data;

  g_main_loop_quit (session->loop);
  return G_SOURCE_REMOVE;
}

/* Serves requests until the session ends; then the main loop ends too, from within: it may only be
 * about to begin. */
static void *
serve (void *data)
{
  FsSession *session = data;

  if (session->options->single_thread) {
    fuse_session_loop (session->fuse);
  } else {
    struct fuse_loop_config *config = fuse_loop_cfg_create ();
    fuse_session_loop_mt (session->fuse, config);
    fuse_loop_cfg_destroy (config);
  }
  __atomic_store_n (&session->served, true, __ATOMIC_RELEASE);
  g_idle_add (on_served, session);
  return NULL;
}

/* Ends libfuse's loop. Its threads sit in read(2) and look up only when a signal interrupts it,
 * which one of them may just miss; so it is sent until they have. */
static void
stop_serving (FsSession *session)
{
  if (!session->serving)
    return;
  fuse_session_exit (session->fuse);
  while (!__atomic_load_n (&session->served, __ATOMIC_ACQUIRE)) {
    pthread_kill (session->thread, WAKE_SIGNAL);
    g_usleep (WAKE_EVERY_US);
  }
  pthread_join (session->thread, NULL);
  session->serving = false;
}

bool
fs_session_run (FsSession *session, void (*ready) (void), GError **error)
{
  struct stat st;

  watch_signals (session);
  /* What libfuse says from now on comes from several threads. */
  fs_log_release ();
  if (pthread_create (&session->thread, NULL, serve, session) != 0) {
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "cannot start a thread");
    return false;
  }
  session->serving = true;
  if (stat (session->mountpoint, &st) != 0) {
    g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (errno),
                 "%s: the mount does not answer: %s", session->mountpoint, g_strerror (errno));
    return false;
  }
  g_atomic_pointer_set (&session->reaper, fs_reaper_new (&session->context, session->fuse,
                                                         session->mountpoint, st.st_dev));
  /* Whatever ended before there was a reaper. */
  fs_reaper_wake (session->reaper);
  ready ();
  g_main_loop_run (session->loop);
  return true;
}

void
fs_session_free (FsSession *session)
{
  /* The reaper stays in `session` while requests come, since they may wake it. */
  bool stuck = session->reaper != NULL && !fs_reaper_stop (session->reaper);
  stop_serving (session);
  if (stuck) {
    fuse_session_unmount (session->fuse);
    _exit (EXIT_SUCCESS);
  }
  g_clear_pointer (&session->reaper, fs_reaper_free);
  g_clear_pointer (&session->stale, fs_stale_free);
  if (session->mounted)
    fuse_session_unmount (session->fuse);
  g_clear_pointer (&session->fuse, fuse_session_destroy);
  g_clear_pointer (&session->timer, fs_timer_free);
  g_clear_pointer (&session->context.pseudo, fs_pseudo_free);
  g_clear_pointer (&session->context.engine, lease_engine_free);
  g_clear_pointer (&session->loop, g_main_loop_unref);
  g_clear_pointer (&session->mountpoint, free);
  g_free (session);
}
