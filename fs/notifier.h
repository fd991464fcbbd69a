/* SPDX-License-Identifier: MIT */
#pragma once

#include "fs/context.h"

/* The notifier: a thread that tells the kernel of names, which takes the lock of their directory
 * there, and may have to wait for it. */
typedef struct FsNotifier FsNotifier;

/* Starts the thread. `session` and `engine` stay the caller's and must outlive the notifier. */
FsNotifier *fs_notifier_new (struct fuse_session *session, LeaseEngine *engine);

/* The kernel is to forget that `name` in directory `parent` stood for `node`, and to ask for the
 * attributes of that if it has `other_names`. Where a great many wait to be told, because somebody
 * holds a directory's lock, it is not told of more. Any thread; returns at once. */
void fs_notifier_tell_gone (FsNotifier *notifier, uint64_t parent, uint64_t node, bool other_names,
                            const char *name);

/* The kernel is to ask for `name` in directory `parent` again. Any thread; returns at once. */
void fs_notifier_tell_unsure (FsNotifier *notifier, uint64_t parent, const char *name);

/* How many wait to be told. Any thread. */
unsigned fs_notifier_waiting (FsNotifier *notifier);

/* Tells what is left to be told, and ends the thread. */
void fs_notifier_free (FsNotifier *notifier);
