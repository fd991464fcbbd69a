/* SPDX-License-Identifier: MIT */

/* Who a request comes from. */

#include "fs/context.h"

void
fs_count (fuse_req_t req, FsRequest request)
{
  fs_requests_count (&fs_context (req)->requests, request);
}

LeaseCaller
fs_caller (fuse_req_t req, FsRequest request)
{
  const struct fuse_ctx *ctx = fuse_req_ctx (req);
  pid_t reaper = __atomic_load_n (&fs_context (req)->reaper_tid, __ATOMIC_RELAXED);

  fs_count (req, request);
  return (LeaseCaller){
    .uid = ctx->uid,
    .gid = ctx->gid,
    .now = lease_clock_now (),
    .wall_ns = lease_clock_wall_ns (),
    .reaper = reaper != 0 && ctx->pid == reaper,
    .clears_setid = fs_context (req)->clears_setid,
  };
}

gid_t *
fs_caller_groups (fuse_req_t req, LeaseCaller *by)
{
  int size = 64;
  gid_t *groups = g_new (gid_t, size);
  int count = fuse_req_getgroups (req, size, groups);

  if (count > size) {
    size = count;
    groups = g_renew (gid_t, groups, size);
    count = fuse_req_getgroups (req, size, groups);
  }
  by->groups = groups;
  by->group_count = CLAMP (count, 0, size);
  by->knows_groups = true;
  return groups;
}
