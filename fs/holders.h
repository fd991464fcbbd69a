/* SPDX-License-Identifier: MIT */
#pragma once

#include "leases/engine.h"

#include <glib.h>

/* The processes that hold leases: who they are, and that their exit is noticed. Each is watched
 * once, by a pidfd, however many leases it holds; all of them are one source of the GLib main loop,
 * since GLib walks its sources and their descriptors each time that it wakes up. Any thread. */
typedef struct FsHolders FsHolders;

/* Raises the limit on open files as far as it goes. The source is attached to the default context.
 */
FsHolders *fs_holders_new (LeaseEngine *engine, GError **error);

/* No other call may be under way or follow, but fs_holders_note_idle() by the engine. */
void fs_holders_free (FsHolders *holders);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (FsHolders, fs_holders_free)

/* Does what `lines` (of LeaseProcsLine) say of lease `id`, all of it or nothing. `writer` is the
 * thread that wrote them, which waits for the answer; 0 if we do not see it. The number of a thread
 * stands for its process. Besides the errors of lease_engine_edit_holders():
 *   -ESRCH   there is no such process, it is not known to us (as the writer), or it has exited; a
 *            number other than 0 from a writer in another PID namespace
 *   -EPERM   by->uid is neither 0 nor the user of that process: its real, effective and saved one.
 *            But everybody may add himself, and let go of whatever
 *   -ENOSPC  as many processes are watched as may be
 *   -EOPNOTSUPP  the /proc that we see is not that of our PID namespace */
int fs_holders_edit (FsHolders *holders, const LeaseCaller *by, uint64_t id, const GArray *lines,
                     pid_t writer);

/* The processes that hold lease `id` and have not exited: a new array of pid_t, in rising order,
 * which the caller unrefs. */
int fs_holders_list (FsHolders *holders, const LeaseCaller *by, uint64_t id, GArray **pids_out);

/* What LEASE_EVENT_IDLE says. */
void fs_holders_note_idle (FsHolders *holders, uint64_t holder);
