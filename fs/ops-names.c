/* SPDX-License-Identifier: MIT */

/* Handlers for names: looking them up, making, moving and removing them. */

#include "fs/ops.h"
#include "fs/pseudo.h"
#include "fs/reply.h"
#include "fs/revoker.h"

#include <errno.h>
#include <string.h>

/* By the name in its lease's directory; or by "." and itself, when a file handle is opened. */
static bool
lookup_pseudo (fuse_req_t req, const LeaseCaller *by, fuse_ino_t parent, const char *name)
{
  LeaseFile file = strcmp (name, ".") == 0 ? fs_file (parent) : lease_file_from_name (name);
  struct fuse_entry_param entry = { .ino = fs_ino (fs_id (parent), file) };
  LeaseTime fresh_until;

  if (file == LEASE_FILE_NONE || fs_pseudo_stat (fs_context (req)->pseudo, by, fs_id (parent), file,
                                                 false, &entry.attr, &fresh_until) != 0)
    return false;
  entry.entry_timeout = fs_reply_timeout (fresh_until);
  fuse_reply_entry (req, &entry);
  return true;
}

/* Another one each time: see fs/metrics.h. */
static bool
lookup_metrics (fuse_req_t req, const LeaseCaller *by, fuse_ino_t parent, const char *name)
{
  FsContext *context = fs_context (req);
  struct fuse_entry_param entry = { .attr_timeout = FS_REPLY_FOREVER_S };

  if (parent != fs_ino (lease_engine_leases (context->engine), LEASE_FILE_NONE) ||
      strcmp (name, LEASE_METRICS_NAME) != 0)
    return false;
  entry.ino = fs_pseudo_take_metrics (context->pseudo, by, context, &entry.attr);
  if (fuse_reply_entry (req, &entry) != 0)
    fs_pseudo_forget_metrics (context->pseudo, entry.ino);
  return true;
}

/* In a directory that has ended there is no such name either. To say ESTALE would be wrong:
 * mkdir(2) and others would not try the path again, but fail with it. */
void
fs_lookup (fuse_req_t req, fuse_ino_t parent, const char *name)
{
  LeaseCaller by = fs_caller (req, FS_REQUEST_LOOKUP);
  LeaseTime absent_until = 0;
  LeaseAttr attr;

  if (fs_revoker_lookup (fs_context (req)->revoker, req, fs_id (parent), name) ||
      lookup_metrics (req, &by, parent, name) || lookup_pseudo (req, &by, parent, name))
    return;
  int error = fs_file (parent) != LEASE_FILE_NONE
                  ? -ESTALE
                  : lease_engine_lookup (fs_context (req)->engine, &by, fs_id (parent), name, &attr,
                                         &absent_until);
  if (error == 0)
    fs_reply_entry (req, &attr);
  else if (error == -ENOENT || error == -ESTALE)
    fs_reply_absent (req, absent_until);
  else
    fs_reply_result (req, error);
}

static void
forget (FsContext *context, fuse_ino_t ino, uint64_t count)
{
  if (fs_file (ino) == LEASE_FILE_NONE)
    lease_engine_unpin (context->engine, fs_id (ino), count);
  else if (fs_file (ino) == LEASE_FILE_METRICS)
    fs_pseudo_forget_metrics (context->pseudo, ino);
}

void
fs_forget (fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
  fs_count (req, FS_REQUEST_FORGET);
  forget (fs_context (req), ino, count);
  fuse_reply_none (req);
}

void
fs_forget_multi (fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
  fs_count (req, FS_REQUEST_FORGET_MULTI);
  for (size_t i = 0; i < count; i++)
    forget (fs_context (req), forgets[i].ino, forgets[i].nlookup);
  fuse_reply_none (req);
}

static void
reply_new (fuse_req_t req, int error, const LeaseAttr *attr)
{
  if (error == 0)
    fs_reply_entry (req, attr);
  else
    fs_reply_result (req, error);
}

static void
make (fuse_req_t req, FsRequest request, fuse_ino_t parent, const char *name, const LeaseNew *what)
{
  LeaseCaller by = fs_caller (req, request);
  LeaseAttr attr;
  int error =
      lease_engine_create (fs_context (req)->engine, &by, fs_id (parent), name, what, &attr);

  reply_new (req, error, &attr);
}

void
fs_create (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
           struct fuse_file_info *fi)
{
  LeaseCaller by = fs_caller (req, FS_REQUEST_CREATE);
  LeaseNew what = { .mode = S_IFREG | (mode & 07777) };
  LeaseAttr attr;
  int error =
      lease_engine_create (fs_context (req)->engine, &by, fs_id (parent), name, &what, &attr);

  if (error == 0)
    fs_reply_create (req, &attr, fi);
  else
    fs_reply_result (req, error);
}

void
fs_mknod (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
  make (req, FS_REQUEST_MKNOD, parent, name, &(LeaseNew){ .mode = mode, .rdev = rdev });
}

void
fs_mkdir (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
  make (req, FS_REQUEST_MKDIR, parent, name, &(LeaseNew){ .mode = S_IFDIR | (mode & 07777) });
}

void
fs_symlink (fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
  make (req, FS_REQUEST_SYMLINK, parent, name,
        &(LeaseNew){ .mode = S_IFLNK | 0777, .target = target });
}

void
fs_link (fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
  LeaseEngine *engine = fs_context (req)->engine;
  LeaseCaller by = fs_caller (req, FS_REQUEST_LINK);
  g_autofree gid_t *groups = NULL;
  LeaseAttr attr;
  int error = -EPERM;

  if (fs_file (ino) == LEASE_FILE_NONE)
    error = lease_engine_link (engine, &by, fs_id (ino), fs_id (parent), name, &attr);
  if (error == -EAGAIN) {
    groups = fs_caller_groups (req, &by);
    error = lease_engine_link (engine, &by, fs_id (ino), fs_id (parent), name, &attr);
  }
  reply_new (req, error, &attr);
}

void
fs_unlink (fuse_req_t req, fuse_ino_t parent, const char *name)
{
  LeaseCaller by = fs_caller (req, FS_REQUEST_UNLINK);

  fs_reply_result (req, lease_engine_unlink (fs_context (req)->engine, &by, fs_id (parent), name));
}

void
fs_rmdir (fuse_req_t req, fuse_ino_t parent, const char *name)
{
  LeaseCaller by = fs_caller (req, FS_REQUEST_RMDIR);

  fs_reply_result (req,
                   fs_revoker_rmdir (fs_context (req)->revoker, req, &by, fs_id (parent), name));
}

void
fs_rename (fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
           const char *new_name, unsigned flags)
{
  LeaseEngine *engine = fs_context (req)->engine;
  LeaseCaller by = fs_caller (req, FS_REQUEST_RENAME);
  g_autofree gid_t *groups = NULL;
  int error =
      lease_engine_rename (engine, &by, fs_id (parent), name, fs_id (new_parent), new_name, flags);

  if (error == -EAGAIN) {
    groups = fs_caller_groups (req, &by);
    error = lease_engine_rename (engine, &by, fs_id (parent), name, fs_id (new_parent), new_name,
                                 flags);
  }
  fs_reply_result (req, error);
}
