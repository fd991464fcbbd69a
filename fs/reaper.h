/* SPDX-License-Identifier: MIT */
#pragma once

#include "fs/context.h"

#include <glib.h>
#include <stdbool.h>

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
