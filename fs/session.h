/* SPDX-License-Identifier: MIT */
#pragma once

#include "fs/context.h"
#include "fs/options.h"

#include <glib.h>
#include <stdbool.h>

/* One mount, from mounting to unmounting: the FUSE session and its threads, the timer, the reaper,
 * the processes that hold leases, the signals. */
typedef struct FsSession FsSession;

/* Mounts. NULL with `error` set, one line that says what to do, if that is impossible; then nothing
 * stays mounted. `options` must outlive the session. Before any thread is started. */
FsSession *fs_session_new (FsOptions *options, GError **error);

/* Serves, in other threads, with the GLib main loop in this one, until it is unmounted from outside
 * or a SIGTERM, SIGINT or SIGHUP comes. `ready` is called once the mount has answered. False with
 * `error` set if it came to no such point. */
bool fs_session_run (FsSession *session, void (*ready) (void), GError **error);

/* Unmounts, if it still is mounted. Returns whether all that is to be kept has been. Where a thread
 * of ours cannot be ended (see fs_reaper_stop()), it ends the process instead of returning, with
 * EXIT_SUCCESS or EXIT_FAILURE accordingly. */
bool fs_session_free (FsSession *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (FsSession, fs_session_free)
