/* SPDX-License-Identifier: MIT */

/* The table of handlers, and what is agreed with the kernel at the start. */

#include "fs/ops.h"

/* Where extended attributes are answered, the kernel asks for `security.capability` before each
 * write and each truncation, to clear that as well as setuid and setgid bits. Where clearing is
 * left to us, which is little work since nobody can set that attribute, it asks only once after
 * each SETATTR: still one round trip more for a put. */
static void
agree_on_setid (FsContext *context, struct fuse_conn_info *conn)
{
  conn->want &= ~FUSE_CAP_HANDLE_KILLPRIV;
#ifdef HAVE_KILLPRIV_V2
  conn->want &= ~FUSE_CAP_HANDLE_KILLPRIV_V2;
  if (context->xattr && (conn->capable & FUSE_CAP_HANDLE_KILLPRIV_V2)) {
    conn->want |= FUSE_CAP_HANDLE_KILLPRIV_V2;
    context->clears_setid = true;
  }
#endif
}

static void
fs_init (void *userdata, struct fuse_conn_info *conn)
{
  agree_on_setid (userdata, conn);
  /* O_TRUNC comes as a SETATTR of its own: where OPEN is never sent, it would get lost with it. */
  conn->want &= ~FUSE_CAP_ATOMIC_O_TRUNC;
  /* A pseudo-file's new mtime makes the kernel drop its old pages. */
  conn->want |= FUSE_CAP_AUTO_INVAL_DATA & conn->capable;
  /* Symlinks are not cached: following one checks no attributes, so its READLINK is what finds it
   * ended. */
  conn->want &= ~FUSE_CAP_CACHE_SYMLINKS;
  /* File handles (open_by_handle_at(2), NFS): an inode number, never used again, is enough. */
  conn->want |= FUSE_CAP_EXPORT_SUPPORT & conn->capable;
  conn->time_gran = 1;
}

#define HANDLER(NAME, name) .name = fs_##name,

/* What is not among FS_REQUESTS is answered with ENOSYS by libfuse, and never sent again by the
 * kernel. That holds for FLUSH, which has nothing to do. */
const struct fuse_lowlevel_ops fs_ops = { .init = fs_init, FS_REQUESTS (HANDLER) };
