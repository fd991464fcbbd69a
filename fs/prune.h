/* SPDX-License-Identifier: MIT */
#pragma once

#include "fs/context.h"

/* Has the kernel let go of inodes, and of the names that it holds for them, wherever nobody uses
 * them: in the given order, so what is in a directory must come before that. It takes no lock of a
 * directory for it, and sends the FORGETs of many at once. Numbers that it does not know do no
 * harm. Returns 0, or a negative errno: -EINVAL from a kernel that cannot do it (FUSE_NOTIFY_PRUNE
 * came with Linux 6.18). Any thread that has /dev/fuse. */
int fs_prune (struct fuse_session *session, const uint64_t *inos, size_t count);
