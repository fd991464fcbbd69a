/* SPDX-License-Identifier: MIT */

/* Answers to the kernel, and how long they hold. No state, no lock. */

#include "fs/reply.h"

#include <string.h>

#define NS_PER_S INT64_C (1000000000)
#define STAT_BLOCK 512

double
fs_reply_timeout (LeaseTime fresh_until)
{
  if (fresh_until == LEASE_TIME_NEVER)
    return FS_REPLY_FOREVER_S;

  LeaseTime left = fresh_until - lease_clock_now () - FS_REPLY_GUARD_NS;
  return left <= 0 ? 0 : MIN ((double)left / NS_PER_S, FS_REPLY_FOREVER_S);
}

static struct timespec
to_timespec (int64_t ns)
{
  int64_t seconds = ns / NS_PER_S, rest = ns % NS_PER_S;

  if (rest < 0) {
    seconds--;
    rest += NS_PER_S;
  }
  return (struct timespec){ .tv_sec = seconds, .tv_nsec = rest };
}

void
fs_reply_stat (const LeaseAttr *attr, struct stat *stat_out)
{
  *stat_out = (struct stat){
    .st_ino = fs_ino (attr->id, LEASE_FILE_NONE),
    .st_mode = attr->mode,
    .st_nlink = attr->nlink,
    .st_uid = attr->uid,
    .st_gid = attr->gid,
    .st_rdev = attr->rdev,
    .st_size = attr->size,
    .st_blksize = 4096,
    .st_blocks = (attr->footprint + STAT_BLOCK - 1) / STAT_BLOCK,
    .st_atim = to_timespec (attr->atime_ns),
    .st_mtim = to_timespec (attr->mtime_ns),
    .st_ctim = to_timespec (attr->ctime_ns),
  };
}

void
fs_reply_entry_param (const LeaseAttr *attr, struct fuse_entry_param *entry_out)
{
  double timeout = fs_reply_timeout (attr->fresh_until);

  *entry_out = (struct fuse_entry_param){
    .ino = fs_ino (attr->id, LEASE_FILE_NONE),
    .attr_timeout = timeout,
    .entry_timeout = timeout,
  };
  fs_reply_stat (attr, &entry_out->attr);
}

void
fs_reply_result (fuse_req_t req, int error)
{
  fuse_reply_err (req, -error);
}

void
fs_reply_attr (fuse_req_t req, const LeaseAttr *attr)
{
  struct stat st;

  fs_reply_stat (attr, &st);
  fuse_reply_attr (req, &st, fs_reply_timeout (attr->fresh_until));
}

void
fs_reply_entry (fuse_req_t req, const LeaseAttr *attr)
{
  LeaseEngine *engine = fs_context (req)->engine;
  struct fuse_entry_param entry;

  fs_reply_entry_param (attr, &entry);
  if (fuse_reply_entry (req, &entry) != 0)
    lease_engine_unpin (engine, attr->id, 1);
}

void
fs_reply_create (fuse_req_t req, const LeaseAttr *attr, const struct fuse_file_info *fi)
{
  LeaseEngine *engine = fs_context (req)->engine;
  struct fuse_entry_param entry;

  fs_reply_entry_param (attr, &entry);
  if (fuse_reply_create (req, &entry, fi) != 0)
    lease_engine_unpin (engine, attr->id, 1);
}

void
fs_reply_absent (fuse_req_t req, LeaseTime fresh_until)
{
  /* Inode number 0 says "no such name" and, other than ENOENT, may be kept. */
  struct fuse_entry_param entry = { .entry_timeout = fs_reply_timeout (fresh_until) };

  fuse_reply_entry (req, &entry);
}

void
fs_reply_slice (fuse_req_t req, const char *text, size_t length, off_t offset, size_t size)
{
  size_t start = MIN ((uint64_t)offset, length);

  fuse_reply_buf (req, text + start, MIN (size, length - start));
}
