/* SPDX-License-Identifier: MIT */
#pragma once

#include "leases/engine.h"

#include <glib.h>

/* The one timer: a source of the GLib main loop that is armed for the engine's earliest deadline,
 * and settles what has ended by then. It is made of a timerfd on CLOCK_BOOTTIME, since GLib's own
 * timeouts count whole milliseconds and stand still while the machine sleeps. */
typedef struct FsTimer FsTimer;

/* Attaches the source to the default main context. `engine` must outlive the timer. NULL with
 * `error` set where the kernel has no timer to give. */
FsTimer *fs_timer_new (LeaseEngine *engine, GError **error);
void fs_timer_free (FsTimer *timer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (FsTimer, fs_timer_free)

/* Arms the timer for what lease_engine_earliest() says now. Any thread. */
void fs_timer_arm (FsTimer *timer);
