/* SPDX-License-Identifier: MIT */

/* Handlers for attributes. */

#include "fs/ops.h"
#include "fs/pseudo.h"
#include "fs/reply.h"
#include "fs/revoker.h"

#include <errno.h>
#include <limits.h>

#define STATFS_BLOCK 4096
#define NS_PER_S INT64_C (1000000000)

/* Attributes of a pseudo-file hold for no time at all. */
static void
reply_pseudo (fuse_req_t req, const LeaseCaller *by, fuse_ino_t ino, bool to_read)
{
  struct stat st;
  int error =
      fs_pseudo_stat (fs_context (req)->pseudo, by, fs_id (ino), fs_file (ino), to_read, &st, NULL);

  if (error == 0)
    fuse_reply_attr (req, &st, 0);
  else
    fs_reply_result (req, error);
}

static void
reply_node (fuse_req_t req, int error, const LeaseAttr *attr)
{
  if (error == 0)
    fs_reply_attr (req, attr);
  else
    fs_reply_result (req, error);
}

void
fs_getattr (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  LeaseCaller by = fs_caller (req, FS_REQUEST_GETATTR);
  LeaseAttr attr;

  /* Nothing is shown by that, and what has ended is not to be cached. */
  by.reaper |= fs_revoker_is_on_the_way (fs_context (req)->revoker, req);
  if (fs_file (ino) != LEASE_FILE_NONE)
    reply_pseudo (req, &by, ino, fi != NULL); /* as of an open file: see fs/pseudo.c */
  else
    reply_node (req, lease_engine_getattr (fs_context (req)->engine, &by, fs_id (ino), &attr),
                &attr);
}

/* Years that 64 bits of nanoseconds cannot hold become the last ones that they can. */
static int64_t
to_ns (struct timespec time)
{
  int64_t seconds = CLAMP (time.tv_sec, INT64_MIN / NS_PER_S, INT64_MAX / NS_PER_S - 1);

  return seconds * NS_PER_S + time.tv_nsec;
}

/* An open with O_TRUNC comes as this, and truncate(2) too, but ftruncate(2) not. */
static bool
is_opening (const struct stat *attr, int to_set, const struct fuse_file_info *fi)
{
  return to_set == FUSE_SET_ATTR_SIZE && attr->st_size == 0 && fi == NULL;
}

static LeaseSet
to_lease_set (const LeaseCaller *by, const struct stat *attr, int to_set)
{
  static const struct {
    int fuse;
    unsigned lease;
  } bits[] = {
    { FUSE_SET_ATTR_MODE, LEASE_SET_MODE },
    { FUSE_SET_ATTR_UID, LEASE_SET_UID },
    { FUSE_SET_ATTR_GID, LEASE_SET_GID },
    { FUSE_SET_ATTR_SIZE, LEASE_SET_SIZE },
    { FUSE_SET_ATTR_ATIME, LEASE_SET_ATIME },
    { FUSE_SET_ATTR_ATIME_NOW, LEASE_SET_ATIME },
    { FUSE_SET_ATTR_MTIME, LEASE_SET_MTIME },
    { FUSE_SET_ATTR_MTIME_NOW, LEASE_SET_MTIME | LEASE_SET_TOUCH },
    { FUSE_SET_ATTR_CTIME, LEASE_SET_CTIME },
  };
  LeaseSet set = {
    .mode = attr->st_mode,
    .uid = attr->st_uid,
    .gid = attr->st_gid,
    .size = attr->st_size,
    .atime_ns = (to_set & FUSE_SET_ATTR_ATIME_NOW) ? by->wall_ns : to_ns (attr->st_atim),
    .mtime_ns = (to_set & FUSE_SET_ATTR_MTIME_NOW) ? by->wall_ns : to_ns (attr->st_mtim),
    .ctime_ns = to_ns (attr->st_ctim),
  };

  for (unsigned i = 0; i < G_N_ELEMENTS (bits); i++)
    if (to_set & bits[i].fuse)
      set.mask |= bits[i].lease;
  return set;
}

void
fs_setattr (fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
            struct fuse_file_info *fi)
{
  LeaseCaller by = fs_caller (req, FS_REQUEST_SETATTR);
  FsContext *context = fs_context (req);
  g_autofree gid_t *groups = NULL;
  LeaseAttr attr_after;

  if (fs_file (ino) != LEASE_FILE_NONE) {
    int error = fs_pseudo_setattr (context->pseudo, &by, fs_id (ino), fs_file (ino), attr, to_set);
    if (error == 0)
      reply_pseudo (req, &by, ino, false);
    else
      fs_reply_result (req, error);
    return;
  }
  LeaseSet set = to_lease_set (&by, attr, to_set);
  if (is_opening (attr, to_set, fi))
    set.mask |= LEASE_SET_HOLD;
  int error = lease_engine_setattr (context->engine, &by, fs_id (ino), &set, &attr_after);
  if (error == -EAGAIN) {
    groups = fs_caller_groups (req, &by);
    error = lease_engine_setattr (context->engine, &by, fs_id (ino), &set, &attr_after);
  }
  reply_node (req, error, &attr_after);
}

/* Without a limit there is nothing to say: as a tmpfs says 0 then, and df leaves it out. */
void
fs_statfs (fuse_req_t req, fuse_ino_t ino)
{
  struct statvfs st = {
    .f_bsize = STATFS_BLOCK,
    .f_frsize = STATFS_BLOCK,
    .f_namemax = NAME_MAX,
  };
  LeaseUsage usage;

  fs_count (req, FS_REQUEST_STATFS);
  lease_engine_usage (fs_context (req)->engine, &usage);
  if (usage.bytes_max != UINT64_MAX) {
    st.f_blocks = usage.bytes_max / STATFS_BLOCK;
    st.f_bfree = st.f_bavail =
        (usage.bytes_max - MIN (usage.bytes_used, usage.bytes_max)) / STATFS_BLOCK;
  }
  if (usage.nodes_max != UINT64_MAX) {
    st.f_files = usage.nodes_max;
    st.f_ffree = st.f_favail = usage.nodes_max - MIN (usage.nodes_used, usage.nodes_max);
  }
  fuse_reply_statfs (req, &st);
}
