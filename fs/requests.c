/* SPDX-License-Identifier: MIT */

/* Each number stands for itself: there is no order among them to be kept. */

#include "fs/requests.h"

#define NAME(NAME, name) [FS_REQUEST_##NAME] = #name,

static const char *const names[] = { FS_REQUESTS (NAME) };

const char *
fs_request_name (FsRequest request)
{
  return names[request];
}

void
fs_requests_count (FsRequests *requests, FsRequest request)
{
  __atomic_fetch_add (&requests->counts[request], 1, __ATOMIC_RELAXED);
}

uint64_t
fs_requests_get (const FsRequests *requests, FsRequest request)
{
  return __atomic_load_n (&requests->counts[request], __ATOMIC_RELAXED);
}
