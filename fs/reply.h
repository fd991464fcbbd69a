/* SPDX-License-Identifier: MIT */
#pragma once

#include "fs/context.h"

#include <sys/stat.h>

/* The exits from handlers: each answers the request. Never with a lock held.
 *
 * How long the kernel may keep what it is told follows from LeaseAttr.fresh_until: up to
 * FS_REPLY_GUARD_NS before that point, and not at all from there on, so that at a deadline it asks
 * again by itself. The guard covers what may lie between the reading of our clock and the kernel's
 * noting of the time, and the kernel's rounding:
 *   - 2 ticks, up to 20 ms: it counts timeouts in jiffies, rounded up, and takes an entry for valid
 * in the tick when it ends;
 *   - the time that the process which asked may wait for a processor, since it is only in its
 * context that the timeout begins: 80 ms. It costs nothing but round trips in the last 100 ms of a
 * lease. */
#define FS_REPLY_GUARD_NS (100 * LEASE_MILLISECOND)

/* What the kernel may keep for ever, because only it can change it. */
#define FS_REPLY_FOREVER_S (365.0 * 24 * 60 * 60)

/* The timeout, in seconds, for what is right until `fresh_until`. */
double fs_reply_timeout (LeaseTime fresh_until);

void fs_reply_stat (const LeaseAttr *attr, struct stat *stat_out);
void fs_reply_entry_param (const LeaseAttr *attr, struct fuse_entry_param *entry_out);

/* An errno, 0 for success; takes the negative form that the engine uses. */
void fs_reply_result (fuse_req_t req, int error);
void fs_reply_attr (fuse_req_t req, const LeaseAttr *attr);

/* For the node that `attr` describes, which the engine has pinned for this reply: unpins it if the
 * reply does not reach the kernel. */
void fs_reply_entry (fuse_req_t req, const LeaseAttr *attr);
void fs_reply_create (fuse_req_t req, const LeaseAttr *attr, const struct fuse_file_info *fi);

/* There is no such name, and will not be until `fresh_until` unless the kernel itself makes it. */
void fs_reply_absent (fuse_req_t req, LeaseTime fresh_until);

/* The part of `text` that a READ asks for. */
void fs_reply_slice (fuse_req_t req, const char *text, size_t length, off_t offset, size_t size);
