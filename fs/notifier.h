/* SPDX-License-Identifier: MIT */
#pragma once

#include "fs/context.h"

/* The notifier: a thread that tells the kernel of names that the reaper has not unlinked through the
 * mount. */
typedef struct FsNotifier FsNotifier;

/* Starts the thread. `context` and `session` stay the caller's and must outlive the notifier; it
 * counts in `context->untold`. */
FsNotifier *fs_notifier_new (FsContext *context, struct fuse_session *session);

/* The kernel is to let go of a name that lease_engine_bury() has removed, and to ask for the
 * attributes of what has other names. `waits`: it is to wait for those who are listing the
 * directory, and let go of what they have cached, as if it had removed the name itself. Where
 * millions wait to be told, because somebody holds a directory's lock, it is not told of more. Any
 * thread; returns at once. */
void fs_notifier_tell_gone (FsNotifier *notifier, const LeaseGrave *grave, bool waits);

/* The kernel is to ask for `name` in directory `parent` again. Any thread; returns at once. */
void fs_notifier_tell_unsure (FsNotifier *notifier, uint64_t parent, const char *name);

/* Ends the thread. What has not been told by then is not. */
void fs_notifier_free (FsNotifier *notifier);
