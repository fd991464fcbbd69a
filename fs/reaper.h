/* SPDX-License-Identifier: MIT */
#pragma once

#include "fs/context.h"

#include <glib.h>
#include <stdbool.h>

/* The reaper: a thread that removes what has ended, by unlink(2) through the mount itself, so that
 * the kernel drops what it has cached and whoever watches with inotify sees it. It is the one
 * thread that makes system calls on the mount; nothing ever waits for it.
 *
 * Such a call waits for an answer, and not even SIGKILL ends that wait: only the end of the
 * connection does, when nobody has /dev/fuse open any more. So the thread has a table of files of
 * its own, without that in it. Else the process, killed at the wrong moment, would stay forever,
 * and the mount with it. (For the same reason it must not make the engine write to its journal: the
 * descriptors of that are not in its table either. What the reaper does, the engine writes later.)
 */
typedef struct FsReaper FsReaper;

/* Starts the thread, and returns once the mount has answered it; NULL with `error` set if it does
 * not. `mountpoint` (an absolute path) leads to the mount; `session` is where notifications go.
 * They stay the caller's, and they and `context` must outlive the reaper. `foreground`: the
 * standard descriptors stay the thread's too. */
FsReaper *fs_reaper_new (FsContext *context, struct fuse_session *session, const char *mountpoint,
                         bool foreground, GError **error);

/* Whether this is its thread. */
bool fs_reaper_is_me (void);

/* Something has ended. Any thread; returns at once. */
void fs_reaper_wake (FsReaper *reaper);

/* The names of node `id` hold for longer than they may. The kernel is told to ask for them again,
 * which takes the locks of their directories. Any thread; returns at once. */
void fs_reaper_expire (FsReaper *reaper, uint64_t id);

/* Lets the name under way be finished, and ends the thread. Requests must still be served
 * meanwhile; they may go on waking it, to no effect. What has not been removed by then stays
 * invisible. Returns false where the thread has not ended after a while: anybody who may list a
 * directory can hold its lock in the kernel for as long as they like, and nothing interrupts who
 * waits for that. Then the reaper, and what it was given, must not be freed. */
bool fs_reaper_stop (FsReaper *reaper);

/* Frees it; it has been stopped. */
void fs_reaper_free (FsReaper *reaper);
