/* SPDX-License-Identifier: MIT */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Who watched a file system at some time, with inotify or fanotify. The kernel tells watchers of
 * the names that are removed through the mount, which takes round trips; nobody needs those where
 * nobody watches. */
typedef struct FsWatchers FsWatchers;

/* Looks who watches something on `device`, in what /proc says of the descriptors of all processes.
 * Whoever watches when this begins, and goes on doing so, is in it. NULL if it cannot be told:
 * some processes are not to be seen from here, or there are more descriptors than can be looked
 * through in a second or two. Takes 1-2 us for each of them. Any thread, also one with a table of
 * files of its own. */
FsWatchers *fs_watchers_look (dev_t device);
void fs_watchers_free (FsWatchers *watchers);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (FsWatchers, fs_watchers_free)

/* Whether somebody watched the inode, or all of the file system. */
bool fs_watchers_has (const FsWatchers *watchers, uint64_t ino);
