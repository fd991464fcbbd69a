/* SPDX-License-Identifier: MIT */

/* libfuse has no function for this notification yet; so it is written here as include/uapi/linux/fuse.h
 * of Linux 6.18 lays it down. */

#include "fs/prune.h"

#include <errno.h>
#include <linux/fuse.h>
#include <sys/uio.h>

#define NOTIFY_PRUNE 9

/* struct fuse_notify_prune_out; the inode numbers follow it. */
typedef struct {
  uint32_t count;
  uint32_t padding;
  uint64_t spare;
} PruneOut;

int
fs_prune (struct fuse_session *session, const uint64_t *inos, size_t count)
{
  size_t size = count * sizeof *inos;
  PruneOut out = { .count = (uint32_t)count };
  struct fuse_out_header header = {
    .len = (uint32_t)(sizeof header + sizeof out + size),
    .error = NOTIFY_PRUNE,
  };
  struct iovec parts[] = {
    { &header, sizeof header },
    { &out, sizeof out },
    { (void *)inos, size },
  };

  return writev (fuse_session_fd (session), parts, G_N_ELEMENTS (parts)) < 0 ? -errno : 0;
}
