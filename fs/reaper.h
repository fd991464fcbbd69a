/* SPDX-License-Identifier: MIT */
#pragma once

#include "fs/context.h"

#include <glib.h>

/* The reaper: a thread that removes what has ended, by unlink(2) through the mount itself, so that
 * the kernel drops what it has cached and whoever watches with inotify sees it. It is the one
 * thread that makes system calls on the mount, or sends notifications that take a directory's lock
 * in the kernel; nothing ever waits for it. */
typedef struct FsReaper FsReaper;

/* Starts the thread. `mountpoint` (an absolute path) leads to the mount, whose device is `device`;
 * `session` is where notifications go. All three stay the caller's; they, and `context`, must
 * outlive the reaper. */
FsReaper *fs_reaper_new (FsContext *context, struct fuse_session *session, const char *mountpoint,
                         dev_t device);

/* Something has ended. Any thread; returns at once. */
void fs_reaper_wake (FsReaper *reaper);

/* Lets the name under way be finished, and ends the thread. Requests must still be served
 * meanwhile; they may go on waking it, to no effect. What has not been removed by then stays
 * invisible. */
void fs_reaper_stop (FsReaper *reaper);

/* Stops it if that has not been done, and frees it. */
void fs_reaper_free (FsReaper *reaper);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (FsReaper, fs_reaper_free)
