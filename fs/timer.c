/* SPDX-License-Identifier: MIT */

/* Owns the timerfd. The lock makes "ask for the earliest deadline, arm for it" one step: of two
 * threads that arm at once, the second has asked after the first had armed, so that the timer never
 * stays armed for anything but the earliest. */

#include "fs/timer.h"

#include <errno.h>
#include <glib-unix.h>
#include <pthread.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Leases and names that are settled in one go under the engine's lock. */
#define SLICE 32

struct FsTimer {
  LeaseEngine *engine; /* constant */
  int fd;              /* constant */
  GSource *source;     /* constant */
  pthread_mutex_t lock;
};

static gboolean
on_deadline (int fd, GIOCondition condition, void *data)
{
  FsTimer *timer = data;
  uint64_t times;
  bool more = true;

  if (read (fd, &times, sizeof times) < 0 && errno != EAGAIN)
    g_critical ("the timer cannot be read: %s", g_strerror (errno));
  while (more) {
    LeaseCaller by = { .now = lease_clock_now (), .wall_ns = lease_clock_wall_ns () };
    more = lease_engine_expire (timer->engine, &by, SLICE);
    if (more)
      lease_engine_let_in (timer->engine);
  }
  fs_timer_arm (timer);
  return G_SOURCE_CONTINUE;
}

FsTimer *
fs_timer_new (LeaseEngine *engine, GError **error)
{
  int fd = timerfd_create (CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);

  if (fd < 0) {
    g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (errno), "cannot make a timer: %s",
                 g_strerror (errno));
    return NULL;
  }
  FsTimer *timer = g_new0 (FsTimer, 1);
  timer->engine = engine;
  timer->fd = fd;
  pthread_mutex_init (&timer->lock, NULL);
  timer->source = g_unix_fd_source_new (fd, G_IO_IN);
  g_source_set_callback (timer->source, G_SOURCE_FUNC (on_deadline), timer, NULL);
  g_source_attach (timer->source, NULL);
  return timer;
}

void
fs_timer_free (FsTimer *timer)
{
  g_source_destroy (timer->source);
  g_source_unref (timer->source);
  close (timer->fd);
  pthread_mutex_destroy (&timer->lock);
  g_free (timer);
}

void
fs_timer_arm (FsTimer *timer)
{
  pthread_mutex_lock (&timer->lock);
  LeaseTime earliest = lease_engine_earliest (timer->engine);
  struct itimerspec when = { 0 };
  if (earliest != LEASE_TIME_NEVER) {
    when.it_value.tv_sec = earliest / LEASE_SECOND;
    when.it_value.tv_nsec = earliest % LEASE_SECOND;
  }
  timerfd_settime (timer->fd, TFD_TIMER_ABSTIME, &when, NULL);
  pthread_mutex_unlock (&timer->lock);
}
