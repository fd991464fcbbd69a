/* SPDX-License-Identifier: MIT */

/* Wires the engine to the kernel and to the GLib main loop.
 *
 * Threads: the main one runs GLib's loop (timer, signals, exits of processes). One more runs
 * libfuse's loop, and libfuse starts workers from it. The reaper, with its notifier, the revoker
 * and the flusher are their own. They end in this order: the reaper and the revoker, while requests
 * are still served; libfuse's; the flusher. Then the mount goes, and last what is left to be
 * written is. */

#include "fs/session.h"

#include "fs/flusher.h"
#include "fs/holders.h"
#include "fs/log.h"
#include "fs/messages.h"
#include "fs/ops.h"
#include "fs/pseudo.h"
#include "fs/reaper.h"
#include "fs/revoker.h"
#include "fs/source.h"
#include "fs/stale.h"
#include "fs/story.h"
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

/* How often, and at which intervals, the last of it is tried to be written. */
#define STOP_TRIES 6
#define STOP_EVERY_US 400000

struct FsSession {
  FsOptions *options;
  char *mountpoint; /* absolute, like the next one */
  char *source;     /* "none", or the path of the state file */
  bool had_log;     /* see fs_source_open() */
  int64_t read_us;  /* how long it took to read */
  FsContext context;
  struct fuse_session *fuse;
  bool mounted;
  bool resumed; /* the clocks of the leases run */
  FsTimer *timer;
  FsHolders *holders;
  FsStale *stale;
  FsReaper *reaper; /* atomic; NULL before the mount has answered */
  GMainLoop *loop;
  pthread_t thread; /* runs libfuse's loop */
  bool serving;     /* `thread` has been started */
  int serve_error;  /* what libfuse's loop has ended with; valid once `served` */
  int signal;       /* that has come; 0: none */
  bool ran;         /* all was well for some time */
  bool served;      /* atomic; `thread` is about to end */
};

static void
on_event (LeaseEvent event, uint64_t id, void *data)
{
  FsSession *session = data;
  FsReaper *reaper;

  if (session->context.flusher == NULL)
    return; /* at the very end nobody has to be told */
  switch (event) {
  case LEASE_EVENT_STALE:
    /* What the reaper has removed is for the notifier to tell: there is no /dev/fuse here. */
    if (!fs_reaper_is_me ())
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
  case LEASE_EVENT_CLEARED:
    fs_revoker_cleared (session->context.revoker, id);
    break;
  case LEASE_EVENT_COMMITTED:
    fs_flusher_note_commit (session->context.flusher);
    break;
  case LEASE_EVENT_UNWRITTEN:
    fs_flusher_soon (session->context.flusher);
    break;
  case LEASE_EVENT_REVEALS:
    fs_flusher_now (session->context.flusher);
    break;
  case LEASE_EVENT_REVEALS_MANY:
    fs_flusher_all (session->context.flusher);
    break;
  case LEASE_EVENT_SHRUNK:
    fs_flusher_trim (session->context.flusher);
    break;
  case LEASE_EVENT_IDLE:
    fs_holders_note_idle (session->holders, id);
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
  session->context.pseudo = fs_pseudo_new (session->context.engine, session->holders);
  session->context.revoker = fs_revoker_new (&session->context);
  session->context.xattr = session->options->xattr;
  session->fuse =
      fuse_session_new (&session->options->session_args, &fs_ops, sizeof fs_ops, &session->context);
  if (session->fuse == NULL) {
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s; see 'leasefs -h'",
                 fs_messages_last ());
    return false;
  }
  fs_messages_divert ();
  int result = fuse_session_mount (session->fuse, session->mountpoint);
  fs_messages_restore ();
  if (result != 0) {
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "cannot mount on %s: %s%s",
                 session->mountpoint, fs_messages_last (),
                 advise_on_mounting (fs_messages_last ()));
    return false;
  }
  session->mounted = true;
  session->stale = fs_stale_new (session->fuse);
  return true;
}

static LeaseCaller
as_daemon (void)
{
  return (LeaseCaller){ .now = lease_clock_now (), .wall_ns = lease_clock_wall_ns () };
}

static bool
open_engine (FsSession *session, GError **error)
{
  const FsOptions *options = session->options;
  int64_t begun = g_get_monotonic_time ();
  LeaseJournal *journal =
      fs_source_open (options->source, session->mountpoint, &session->had_log, error);
  LeaseCaller by = as_daemon ();

  if (journal == NULL)
    return false;
  session->context.engine =
      lease_engine_new (&options->config, journal, &by, on_event, session, error);
  if (session->context.engine == NULL) {
    /* A journal names its file itself. */
    if (error != NULL && !g_str_has_prefix ((*error)->message, options->source))
      g_prefix_error (error, "%s: ", options->source);
    return false;
  }
  session->read_us = g_get_monotonic_time () - begun;
  session->context.flusher = fs_flusher_new (session->context.engine);
  return true;
}

static void
name_in_log (FsSession *session)
{
  const char *source = session->options->source;

  session->source =
      fs_source_is_file (source) ? g_canonicalize_filename (source, NULL) : g_strdup (source);
  fs_log_name (session->source, session->mountpoint);
}

/* From here on time counts for the leases. */
static bool
resume (FsSession *session, GError **error)
{
  LeaseCaller by = as_daemon ();
  int code = lease_engine_resume (session->context.engine, &by);

  session->resumed = code == 0;
  if (code != 0) {
    g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (-code), "%s: cannot write: %s",
                 session->options->source, g_strerror (-code));
    return false;
  }
  by = as_daemon (); /* writing that may have taken its time */
  lease_engine_start (session->context.engine, &by);
  fs_timer_arm (session->timer);
  return true;
}

FsSession *
fs_session_new (FsOptions *options, GError **error)
{
  g_autoptr (FsSession) session = g_new0 (FsSession, 1);

  session->options = options;
  /* A write beyond the limit (setrlimit(2)) is to fail like any other. */
  signal (SIGXFSZ, SIG_IGN);
  if (!check_mountpoint (session, error))
    return NULL;
  name_in_log (session);
  if (!open_engine (session, error))
    return NULL;
  session->timer = fs_timer_new (session->context.engine, error);
  if (session->timer == NULL)
    return NULL;
  session->holders = fs_holders_new (session->context.engine, error);
  if (session->holders == NULL || !mount_session (session, error) || !resume (session, error))
    return NULL;
  session->loop = g_main_loop_new (NULL, FALSE);
  return g_steal_pointer (&session);
}

static gboolean
end_by (FsSession *session, int number)
{
  session->signal = number;
  g_main_loop_quit (session->loop);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_sigterm (void *data)
{
  return end_by (data, SIGTERM);
}

static gboolean
on_sigint (void *data)
{
  return end_by (data, SIGINT);
}

static gboolean
on_sighup (void *data)
{
  return end_by (data, SIGHUP);
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
  g_unix_signal_add (SIGTERM, on_sigterm, session);
  g_unix_signal_add (SIGINT, on_sigint, session);
  g_unix_signal_add (SIGHUP, on_sighup, session);
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
    session->serve_error = fuse_session_loop (session->fuse);
  } else {
    struct fuse_loop_config *config = fuse_loop_cfg_create ();
    session->serve_error = fuse_session_loop_mt (session->fuse, config);
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

static void
begin_story (const FsSession *session)
{
  LeaseFound found = lease_engine_found (session->context.engine);

  fs_log_begin ();
  fs_story_begin (session->source, session->mountpoint, session->options);
  if (fs_source_is_file (session->source))
    fs_story_found (session->source, &found, session->had_log, session->read_us);
}

bool
fs_session_run (FsSession *session, void (*ready) (void), GError **error)
{
  watch_signals (session);
  /* What libfuse says from now on comes from several threads. */
  fs_messages_release ();
  if (pthread_create (&session->thread, NULL, serve, session) != 0) {
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "cannot start a thread");
    return false;
  }
  session->serving = true;
  FsReaper *reaper = fs_reaper_new (&session->context, session->fuse, session->mountpoint,
                                    session->options->foreground || session->options->debug, error);
  if (reaper == NULL)
    return false;
  g_atomic_pointer_set (&session->reaper, reaper);
  /* Whatever ended before there was a reaper. */
  fs_reaper_wake (session->reaper);
  begin_story (session);
  session->ran = true;
  ready ();
  g_main_loop_run (session->loop);
  bool served = __atomic_load_n (&session->served, __ATOMIC_ACQUIRE);
  fs_story_end (session->mountpoint, session->signal,
                served && session->serve_error < 0 ? -session->serve_error : 0);
  return true;
}

/* Nothing is under way any more. Returns whether all has been kept that is to be. There may be room
 * on the disk, or somebody may be done with reading the file, after all. */
static bool
stop_engine (FsSession *session)
{
  int error = session->resumed ? -EAGAIN : 0;

  for (int i = 0; i < STOP_TRIES && error != 0; i++) {
    if (i > 0)
      g_usleep (STOP_EVERY_US);
    LeaseCaller by = as_daemon ();
    error = lease_engine_stop (session->context.engine, &by);
  }
  if (error != 0)
    fs_story_cut_short (session->source, -error);
  return error == 0;
}

bool
fs_session_free (FsSession *session)
{
  /* The reaper stays in `session` while requests come, since they may wake it. */
  bool stuck = session->reaper != NULL && !fs_reaper_stop (session->reaper);
  if (session->context.revoker != NULL)
    fs_revoker_stop (session->context.revoker);
  stop_serving (session);
  if (stuck) {
    fuse_session_unmount (session->fuse);
    bool kept = stop_engine (session);
    if (kept)
      fs_story_ended (session->mountpoint);
    _exit (kept ? EXIT_SUCCESS : EXIT_FAILURE);
  }
  /* What it tells of goes to those that come next. */
  if (session->context.flusher != NULL)
    fs_flusher_stop (session->context.flusher);
  g_clear_pointer (&session->reaper, fs_reaper_free);
  g_clear_pointer (&session->stale, fs_stale_free);
  if (session->mounted)
    fuse_session_unmount (session->fuse);
  g_clear_pointer (&session->fuse, fuse_session_destroy);
  g_clear_pointer (&session->timer, fs_timer_free);
  g_clear_pointer (&session->context.pseudo, fs_pseudo_free);
  g_clear_pointer (&session->context.revoker, fs_revoker_free);
  g_clear_pointer (&session->context.flusher, fs_flusher_free);
  g_clear_pointer (&session->holders, fs_holders_free);
  bool clean = stop_engine (session);
  g_clear_pointer (&session->context.engine, lease_engine_free);
  if (clean && session->ran)
    fs_story_ended (session->mountpoint);
  g_clear_pointer (&session->loop, g_main_loop_unref);
  g_clear_pointer (&session->mountpoint, free);
  g_clear_pointer (&session->source, g_free);
  g_free (session);
  return clean;
}
