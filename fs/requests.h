/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* The requests that are answered, and how many of each there were. */

/* Every operation that has a handler: its name in FsRequest, and in the table of handlers. */
#define FS_REQUESTS(X)                                                                             \
  X (LOOKUP, lookup)                                                                               \
  X (FORGET, forget)                                                                               \
  X (FORGET_MULTI, forget_multi)                                                                   \
  X (CREATE, create)                                                                               \
  X (MKNOD, mknod)                                                                                 \
  X (MKDIR, mkdir)                                                                                 \
  X (SYMLINK, symlink)                                                                             \
  X (LINK, link)                                                                                   \
  X (UNLINK, unlink)                                                                               \
  X (RMDIR, rmdir)                                                                                 \
  X (RENAME, rename)                                                                               \
  X (OPEN, open)                                                                                   \
  X (READ, read)                                                                                   \
  X (WRITE, write)                                                                                 \
  X (FALLOCATE, fallocate)                                                                         \
  X (LSEEK, lseek)                                                                                 \
  X (COPY_FILE_RANGE, copy_file_range)                                                             \
  X (READLINK, readlink)                                                                           \
  X (FSYNC, fsync)                                                                                 \
  X (FSYNCDIR, fsyncdir)                                                                           \
  X (OPENDIR, opendir)                                                                             \
  X (READDIR, readdir)                                                                             \
  X (READDIRPLUS, readdirplus)                                                                     \
  X (GETATTR, getattr)                                                                             \
  X (SETATTR, setattr)                                                                             \
  X (STATFS, statfs)                                                                               \
  X (GETXATTR, getxattr)                                                                           \
  X (SETXATTR, setxattr)                                                                           \
  X (LISTXATTR, listxattr)                                                                         \
  X (REMOVEXATTR, removexattr)

#define FS_REQUEST_VALUE(NAME, name) FS_REQUEST_##NAME,
typedef enum { FS_REQUESTS (FS_REQUEST_VALUE) FS_REQUEST_COUNT } FsRequest;
#undef FS_REQUEST_VALUE

/* "lookup", and so on. */
const char *fs_request_name (FsRequest request);

/* All zeros at first. Any thread; no lock. */
typedef struct {
  uint64_t counts[FS_REQUEST_COUNT]; /* atomic */
} FsRequests;

void fs_requests_count (FsRequests *requests, FsRequest request);
uint64_t fs_requests_get (const FsRequests *requests, FsRequest request);
