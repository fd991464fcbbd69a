/* SPDX-License-Identifier: MIT */

/* Handlers for what files hold. */

#include "fs/ops.h"
#include "fs/pseudo.h"
#include "fs/reply.h"

#include <errno.h>

void
fs_open (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  /* "Never ask again, and keep cached pages": opening and closing cost no round trip after this
   * one. */
  fuse_reply_err (req, ENOSYS);
}

static void
read_pseudo (fuse_req_t req, const LeaseCaller *by, fuse_ino_t ino, size_t size, off_t offset)
{
  g_autoptr (GBytes) text = NULL;
  int error = fs_pseudo_text (fs_context (req)->pseudo, by, fs_id (ino), fs_file (ino), &text);

  if (error == 0)
    fs_reply_slice (req, g_bytes_get_data (text, NULL), g_bytes_get_size (text), offset, size);
  else
    fs_reply_result (req, error);
}

void
fs_read (fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
  LeaseCaller by = fs_caller (req);
  g_autofree char *data = NULL;
  size_t count;

  if (fs_file (ino) != LEASE_FILE_NONE) {
    read_pseudo (req, &by, ino, size, offset);
    return;
  }
  int error =
      lease_engine_read (fs_context (req)->engine, &by, fs_id (ino), offset, size, &data, &count);
  if (error == 0)
    fuse_reply_buf (req, data, count);
  else
    fs_reply_result (req, error);
}

void
fs_write (fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
          struct fuse_file_info *fi)
{
  LeaseCaller by = fs_caller (req);
  FsContext *context = fs_context (req);
  int error;

  if (fs_file (ino) == LEASE_FILE_NONE) {
    error = lease_engine_write (context->engine, &by, fs_id (ino), offset, data, size);
  } else if (fi != NULL && fi->writepage) {
    error = -EINVAL; /* a page of a mapping is no command */
  } else {
    FsPseudoWrite write = { fuse_req_ctx (req)->pid, offset, data, size };
    error = fs_pseudo_command (context->pseudo, &by, fs_id (ino), fs_file (ino), &write);
  }

  if (error == 0)
    fuse_reply_write (req, size);
  else
    fs_reply_result (req, error);
}

void
fs_readlink (fuse_req_t req, fuse_ino_t ino)
{
  LeaseCaller by = fs_caller (req);
  g_autofree char *target = NULL;
  int error = fs_file (ino) == LEASE_FILE_NONE
                  ? lease_engine_readlink (fs_context (req)->engine, &by, fs_id (ino), &target)
                  : -EINVAL;

  if (error == 0)
    fuse_reply_readlink (req, target);
  else
    fs_reply_result (req, error);
}
