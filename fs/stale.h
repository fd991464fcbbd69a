/* SPDX-License-Identifier: MIT */
#pragma once

#include "fs/context.h"

#include <glib.h>

/* Makes the kernel drop attributes that it has cached. */
typedef struct FsStale FsStale;

/* `session` must outlive it. */
FsStale *fs_stale_new (struct fuse_session *session);

/* After the main loop has ended, and when no other call can follow. */
void fs_stale_free (FsStale *stale);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (FsStale, fs_stale_free)

/* The attributes of node `id` are too old. They are dropped when this returns; it takes no lock in
 * the kernel, and may be called while a request is being handled. Where the kernel does not know
 * the node yet, though it has been told of it, since it has not taken in the reply, it is told
 * again from the main loop a little later. Any thread. */
void fs_stale_tell (FsStale *stale, uint64_t id);
