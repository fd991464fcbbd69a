/* SPDX-License-Identifier: MIT */

/* Handlers for extended attributes. Pseudo-files have none. */

#include "fs/ops.h"
#include "fs/reply.h"

#include <errno.h>
#include <limits.h>

/* Whether the engine is to be asked: 0. Else the answer: ENOSYS, for never asking again; that the
 * lease has ended; or `pseudo`, for a pseudo-file. */
static int
check_node (fuse_req_t req, const LeaseCaller *by, fuse_ino_t ino, int pseudo)
{
  const FsContext *context = fs_context (req);
  LeaseInfo info;

  if (!context->xattr)
    return -ENOSYS;
  if (fs_file (ino) == LEASE_FILE_NONE)
    return 0;
  if (fs_file (ino) == LEASE_FILE_METRICS)
    return pseudo;
  int error = lease_engine_info (context->engine, by, fs_id (ino), &info);
  return error != 0 ? error : pseudo;
}

/* A `size` of 0 asks how many bytes there are. */
static void
reply_bytes (fuse_req_t req, const void *bytes, size_t count, size_t size)
{
  if (size == 0)
    fuse_reply_xattr (req, count);
  else if (count > size)
    fs_reply_result (req, -ERANGE);
  else
    fuse_reply_buf (req, bytes, count);
}

void
fs_getxattr (fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
  LeaseCaller by = fs_caller (req, FS_REQUEST_GETXATTR);
  g_autofree char *value = NULL;
  size_t count;
  int error = check_node (req, &by, ino, -ENODATA);

  if (error == 0)
    error =
        lease_engine_get_xattr (fs_context (req)->engine, &by, fs_id (ino), name, &value, &count);
  if (error == 0)
    reply_bytes (req, value, count, size);
  else
    fs_reply_result (req, error);
}

/* A list that is too long for any caller has a size that is. */
void
fs_listxattr (fuse_req_t req, fuse_ino_t ino, size_t size)
{
  LeaseEngine *engine = fs_context (req)->engine;
  LeaseCaller by = fs_caller (req, FS_REQUEST_LISTXATTR);
  size_t max = size == 0 ? XATTR_LIST_MAX : size;
  g_autoptr (GByteArray) names = NULL;
  int error = check_node (req, &by, ino, -ENODATA);

  if (error == 0)
    error = lease_engine_list_xattrs (engine, &by, fs_id (ino), max, &names);
  if (error == 0)
    reply_bytes (req, names->data, names->len, size);
  else if (error == -ENODATA)
    reply_bytes (req, "", 0, size);
  else if (error == -ERANGE && size == 0)
    fuse_reply_xattr (req, XATTR_LIST_MAX);
  else
    fs_reply_result (req, error);
}

void
fs_setxattr (fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
             int flags)
{
  LeaseEngine *engine = fs_context (req)->engine;
  LeaseCaller by = fs_caller (req, FS_REQUEST_SETXATTR);
  g_autofree gid_t *groups = NULL;
  int error = check_node (req, &by, ino, -EOPNOTSUPP);

  if (error == 0)
    error = lease_engine_set_xattr (engine, &by, fs_id (ino), name, value, size, flags);
  if (error == -EAGAIN) {
    groups = fs_caller_groups (req, &by);
    error = lease_engine_set_xattr (engine, &by, fs_id (ino), name, value, size, flags);
  }
  fs_reply_result (req, error);
}

void
fs_removexattr (fuse_req_t req, fuse_ino_t ino, const char *name)
{
  LeaseEngine *engine = fs_context (req)->engine;
  LeaseCaller by = fs_caller (req, FS_REQUEST_REMOVEXATTR);
  g_autofree gid_t *groups = NULL;
  int error = check_node (req, &by, ino, -ENODATA);

  if (error == 0)
    error = lease_engine_remove_xattr (engine, &by, fs_id (ino), name);
  if (error == -EAGAIN) {
    groups = fs_caller_groups (req, &by);
    error = lease_engine_remove_xattr (engine, &by, fs_id (ino), name);
  }
  fs_reply_result (req, error);
}
