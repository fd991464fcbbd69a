/* SPDX-License-Identifier: MIT */
#pragma once

#include "fs/requests.h"
#include "leases/engine.h"

#include <sys/types.h>

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

typedef struct FsFlusher FsFlusher;
typedef struct FsPseudo FsPseudo;
typedef struct FsRevoker FsRevoker;

/* What every handler needs: the user data of the FUSE session. */
typedef struct {
  LeaseEngine *engine;
  FsFlusher *flusher;
  FsPseudo *pseudo;
  FsRevoker *revoker;
  FsRequests requests; /* that have come */
  bool xattr;          /* there are extended attributes */
  bool clears_setid;   /* it has been agreed with the kernel that we do: see LeaseCaller */
  uint64_t untold;     /* names that are gone, and that the kernel may still hold; atomic */
  pid_t reaper_tid;    /* atomic; 0 while there is no reaper */
} FsContext;

/* Inode numbers. Every node of the engine takes eight: its own, and those of the pseudo-files that
 * it has if it is the directory of a lease. Node ids are never used again, so inode numbers are not
 * either; and the root comes out as FUSE_ROOT_ID. Those of LEASE_FILE_METRICS have an id of their
 * own each: see fs/metrics.h. */
static inline fuse_ino_t
fs_ino (uint64_t id, LeaseFile file)
{
  return (id - 1) * 8 + 1 + file;
}

static inline uint64_t
fs_id (fuse_ino_t ino)
{
  return (ino - 1) / 8 + 1;
}

static inline LeaseFile
fs_file (fuse_ino_t ino)
{
  return (ino - 1) % 8;
}

static inline FsContext *
fs_context (fuse_req_t req)
{
  return fuse_req_userdata (req);
}

/* Notes that a request of that kind has come: each handler does so once, first. */
void fs_count (fuse_req_t req, FsRequest request);

/* The same; and who sent it, and the time. */
LeaseCaller fs_caller (fuse_req_t req, FsRequest request);

/* Adds the supplementary groups to `by`, and returns them in new memory that the caller frees when
 * done with `by`. Where the sender cannot be asked (it has ended, or lives where we see no
 * processes), there are none. It costs reading a file of /proc. */
gid_t *fs_caller_groups (fuse_req_t req, LeaseCaller *by);
