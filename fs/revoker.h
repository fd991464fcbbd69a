/* SPDX-License-Identifier: MIT */
#pragma once

#include "fs/context.h"

/* The revoker: lets rmdir(2) of a lease return after the keys have been removed, one by one, so
 * that who watches sees them go before their lease.
 *
 * The kernel holds the locks of leases/ and of the lease during rmdir(2), and the reaper needs
 * these. So the first RMDIR ends the lease, and is answered with ESTALE. The kernel lets go of
 * everything then, and tries once more, looking up the whole path anew: LOOKUP of `leases` (where
 * the path goes by that), LOOKUP of the lease, RMDIR. The answer to a LOOKUP waits for the reaper:
 * to the first one, up to FS_REVOKER_WAIT_MS; to that of the lease, for which the kernel has
 * locked leases/ again, FS_REVOKER_LOCKED_WAIT_MS. The request is kept, and answered when its time
 * has come; no thread of libfuse waits. */
#define FS_REVOKER_WAIT_MS 1000
#define FS_REVOKER_LOCKED_WAIT_MS 10

/* Starts its threads. `context` must outlive it. */
FsRevoker *fs_revoker_new (FsContext *context);

/* Ends a lease for a request of RMDIR, whichever of the two it is. Returns the errno to answer
 * with: 0, -ESTALE when the kernel is to try once more, or as lease_engine_rmdir(). */
int fs_revoker_rmdir (FsRevoker *revoker, fuse_req_t req, const LeaseCaller *by, uint64_t parent,
                      const char *name);

/* Whether a LOOKUP is part of a revocation. It is, or will be, answered then. */
bool fs_revoker_lookup (FsRevoker *revoker, fuse_req_t req, uint64_t parent, const char *name);

/* Whether the request is made on the way to a revocation: that way may begin in, or lead through,
 * the directory that has just ended. */
bool fs_revoker_is_on_the_way (FsRevoker *revoker, fuse_req_t req);

/* LEASE_EVENT_CLEARED of that lease. Any thread. */
void fs_revoker_cleared (FsRevoker *revoker, uint64_t lease);

/* Answers what is kept, keeps nothing from now on, and ends the thread. */
void fs_revoker_stop (FsRevoker *revoker);

/* It has been stopped, and no request comes any more. */
void fs_revoker_free (FsRevoker *revoker);
