/* SPDX-License-Identifier: MIT */

/* Handlers for what files hold. */

#include "fs/ops.h"
#include "fs/pseudo.h"
#include "fs/reply.h"

#include <errno.h>
#include <unistd.h>

void
fs_open (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  fs_count (req, FS_REQUEST_OPEN);
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
  LeaseCaller by = fs_caller (req, FS_REQUEST_READ);
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

static int
write_pseudo (fuse_req_t req, LeaseCaller *by, fuse_ino_t ino, const FsPseudoWrite *write)
{
  FsPseudo *pseudo = fs_context (req)->pseudo;
  g_autofree gid_t *groups = NULL;
  int error = fs_pseudo_command (pseudo, by, fs_id (ino), fs_file (ino), write);

  if (error != -EAGAIN)
    return error;
  groups = fs_caller_groups (req, by);
  return fs_pseudo_command (pseudo, by, fs_id (ino), fs_file (ino), write);
}

void
fs_write (fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
          struct fuse_file_info *fi)
{
  LeaseCaller by = fs_caller (req, FS_REQUEST_WRITE);
  FsContext *context = fs_context (req);
  int error;

  if (fs_file (ino) == LEASE_FILE_NONE) {
    error = lease_engine_write (context->engine, &by, fs_id (ino), offset, data, size);
  } else if (fi != NULL && fi->writepage) {
    error = -EINVAL; /* a page of a mapping is no command */
  } else {
    FsPseudoWrite write = { fuse_req_ctx (req)->pid, by.uid, offset, data, size };
    error = write_pseudo (req, &by, ino, &write);
  }

  if (error == 0)
    fuse_reply_write (req, size);
  else
    fs_reply_result (req, error);
}

void
fs_fallocate (fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
              struct fuse_file_info *fi)
{
  LeaseCaller by = fs_caller (req, FS_REQUEST_FALLOCATE);
  int error = -EOPNOTSUPP;

  if (fs_file (ino) == LEASE_FILE_NONE)
    error =
        lease_engine_allocate (fs_context (req)->engine, &by, fs_id (ino), mode, offset, length);
  fs_reply_result (req, error);
}

/* A pseudo-file is all data. */
static int
seek_pseudo (fuse_req_t req, const LeaseCaller *by, fuse_ino_t ino, uint64_t offset, bool hole,
             uint64_t *found_out)
{
  struct stat st;
  int error =
      fs_pseudo_stat (fs_context (req)->pseudo, by, fs_id (ino), fs_file (ino), false, &st, NULL);

  if (error == 0 && offset >= (uint64_t)st.st_size)
    error = -ENXIO;
  *found_out = hole ? (uint64_t)st.st_size : offset;
  return error;
}

void
fs_lseek (fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi)
{
  LeaseCaller by = fs_caller (req, FS_REQUEST_LSEEK);
  bool hole = whence == SEEK_HOLE;
  uint64_t found = 0;
  int error;

  if (!hole && whence != SEEK_DATA)
    error = -EINVAL;
  else if (fs_file (ino) != LEASE_FILE_NONE)
    error = seek_pseudo (req, &by, ino, offset, hole, &found);
  else
    error = lease_engine_seek (fs_context (req)->engine, &by, fs_id (ino), offset, hole, &found);

  if (error == 0)
    fuse_reply_lseek (req, found);
  else
    fs_reply_result (req, error);
}

/* Where one of the two is a pseudo-file, the kernel is left to read and write. */
void
fs_copy_file_range (fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in,
                    fuse_ino_t ino_out, off_t off_out, struct fuse_file_info *fi_out, size_t len,
                    int flags)
{
  LeaseCaller by = fs_caller (req, FS_REQUEST_COPY_FILE_RANGE);
  LeasePlace from = { fs_id (ino_in), off_in }, to = { fs_id (ino_out), off_out };
  size_t copied = 0;
  int error = -EOPNOTSUPP;

  if (fs_file (ino_in) == LEASE_FILE_NONE && fs_file (ino_out) == LEASE_FILE_NONE)
    error = lease_engine_copy (fs_context (req)->engine, &by, from, to, len, &copied);
  if (error == 0)
    fuse_reply_write (req, copied);
  else
    fs_reply_result (req, error);
}

void
fs_readlink (fuse_req_t req, fuse_ino_t ino)
{
  LeaseCaller by = fs_caller (req, FS_REQUEST_READLINK);
  g_autofree char *target = NULL;
  int error = fs_file (ino) == LEASE_FILE_NONE
                  ? lease_engine_readlink (fs_context (req)->engine, &by, fs_id (ino), &target)
                  : -EINVAL;

  if (error == 0)
    fuse_reply_readlink (req, target);
  else
    fs_reply_result (req, error);
}

/* Of whatever file or directory: there is one journal for all. */
static void
sync_all (fuse_req_t req, FsRequest request)
{
  LeaseEngine *engine = fs_context (req)->engine;
  LeaseCaller by = fs_caller (req, request);

  /* Where nothing is kept, the kernel need not ask again. */
  fs_reply_result (req, lease_engine_is_kept (engine) ? lease_engine_sync (engine, &by) : -ENOSYS);
}

void
fs_fsync (fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
  sync_all (req, FS_REQUEST_FSYNC);
}

void
fs_fsyncdir (fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
  sync_all (req, FS_REQUEST_FSYNCDIR);
}
