/* SPDX-License-Identifier: MIT */
#pragma once

#include "fs/context.h"

/* The table of handlers. Each reads its arguments, makes one call of the engine, and replies once.
 * They run in libfuse's threads, and `fi` may be NULL: there is no state of open files anywhere. */
extern const struct fuse_lowlevel_ops fs_ops;

/* ops-names.c */
void fs_lookup (fuse_req_t req, fuse_ino_t parent, const char *name);
void fs_forget (fuse_req_t req, fuse_ino_t ino, uint64_t count);
void fs_forget_multi (fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void fs_create (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                struct fuse_file_info *fi);
void fs_mknod (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void fs_mkdir (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void fs_symlink (fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void fs_link (fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void fs_unlink (fuse_req_t req, fuse_ino_t parent, const char *name);
void fs_rmdir (fuse_req_t req, fuse_ino_t parent, const char *name);
void fs_rename (fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                const char *new_name, unsigned flags);

/* ops-files.c */
void fs_open (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_read (fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void fs_write (fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
               struct fuse_file_info *fi);
void fs_fallocate (fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                   struct fuse_file_info *fi);
void fs_lseek (fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi);
void fs_copy_file_range (fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
                         struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
                         struct fuse_file_info *fi_out, size_t len, int flags);
void fs_readlink (fuse_req_t req, fuse_ino_t ino);
void fs_fsync (fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void fs_fsyncdir (fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

/* ops-dir.c */
void fs_opendir (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_readdir (fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                 struct fuse_file_info *fi);
void fs_readdirplus (fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                     struct fuse_file_info *fi);

/* ops-attr.c */
void fs_getattr (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_setattr (fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                 struct fuse_file_info *fi);
void fs_statfs (fuse_req_t req, fuse_ino_t ino);

/* ops-xattr.c */
void fs_getxattr (fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void fs_setxattr (fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
                  int flags);
void fs_listxattr (fuse_req_t req, fuse_ino_t ino, size_t size);
void fs_removexattr (fuse_req_t req, fuse_ino_t ino, const char *name);
