/* SPDX-License-Identifier: MIT */
#pragma once

#include "fs/context.h"

#include <glib.h>
#include <sys/stat.h>

/* The pseudo-file `leases/.metrics`.
 *
 * Its text is never the same twice, even as long as before: the requests that read it change it.
 * Read in several steps, it would come out as pieces of different texts, and the pages that the
 * kernel caches are those of all readers. So each that looks up the name gets an inode of its own,
 * with a text of that moment, which stays until the kernel forgets the inode: whoever has opened
 * the file reads one and the same text, however slowly. Any thread. */
typedef struct FsMetrics FsMetrics;

FsMetrics *fs_metrics_new (LeaseEngine *engine);
void fs_metrics_free (FsMetrics *metrics);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (FsMetrics, fs_metrics_free)

/* Puts down how things are now, and returns the inode number under which that is known. To be given
 * back by fs_metrics_forget(). Where very many are not, the oldest are dropped. */
fuse_ino_t fs_metrics_take (FsMetrics *metrics, const LeaseCaller *by, const FsContext *context);
void fs_metrics_forget (FsMetrics *metrics, fuse_ino_t ino);

/* 0, or -ESTALE if it has been dropped. The caller unrefs the text. stat(2) shows the same inode
 * number for all. */
int fs_metrics_stat (FsMetrics *metrics, const LeaseCaller *by, fuse_ino_t ino,
                     struct stat *stat_out);
int fs_metrics_text (FsMetrics *metrics, fuse_ino_t ino, GBytes **text_out);
