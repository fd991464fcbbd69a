/* SPDX-License-Identifier: MIT */

/* The table of handlers, and what is agreed with the kernel at the start. */

#include "fs/ops.h"

static void
fs_init (void *userdata, struct fuse_conn_info *conn)
{
  /* O_TRUNC comes as a SETATTR of its own: where OPEN is never sent, it would get lost with it. */
  conn->want &= ~FUSE_CAP_ATOMIC_O_TRUNC;
  /* Clearing setuid bits on writes is left to the kernel. */
  conn->want &= ~FUSE_CAP_HANDLE_KILLPRIV;
  /* A pseudo-file's new mtime makes the kernel drop its old pages. */
  conn->want |= FUSE_CAP_AUTO_INVAL_DATA & conn->capable;
  /* Symlinks are not cached: following one checks no attributes, so its READLINK is what finds it
   * ended. */
  conn->want &= ~FUSE_CAP_CACHE_SYMLINKS;
  /* File handles (open_by_handle_at(2), NFS): an inode number, never used again, is enough. */
  conn->want |= FUSE_CAP_EXPORT_SUPPORT & conn->capable;
  conn->time_gran = 1;
}

/* What is not here is answered with ENOSYS by libfuse, and never sent again by the kernel. That
 * holds for FLUSH and FSYNC, which have nothing to do, and for the extended attributes: answering
 * GETXATTR would cost two more round trips per put. */
const struct fuse_lowlevel_ops fs_ops = {
  .init = fs_init,
  .lookup = fs_lookup,
  .forget = fs_forget,
  .forget_multi = fs_forget_multi,
  .create = fs_create,
  .mknod = fs_mknod,
  .mkdir = fs_mkdir,
  .symlink = fs_symlink,
  .link = fs_link,
  .unlink = fs_unlink,
  .rmdir = fs_rmdir,
  .rename = fs_rename,
  .open = fs_open,
  .read = fs_read,
  .write = fs_write,
  .fallocate = fs_fallocate,
  .lseek = fs_lseek,
  .copy_file_range = fs_copy_file_range,
  .readlink = fs_readlink,
  .opendir = fs_opendir,
  .readdir = fs_readdir,
  .readdirplus = fs_readdirplus,
  .getattr = fs_getattr,
  .setattr = fs_setattr,
  .statfs = fs_statfs,
};
