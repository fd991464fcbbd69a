/* SPDX-License-Identifier: MIT */
#pragma once

#include "fs/context.h"
#include "fs/holders.h"

#include <glib.h>
#include <sys/stat.h>

/* The pseudo-files of a lease: `ttl`, `granted`, `keys` and `procs`; and that of leases/:
 * `.metrics`, see fs/metrics.h. They are computed, not stored.
 *
 * The kernel reads a file in two steps, GETATTR for its size and READ for its bytes, and a text
 * that grew in between would be cut off ("100" to "10"). So the text that such a GETATTR measured
 * is remembered, and READ serves that one. Any thread. */

/* The largest command that a write may hold, in bytes. It lies below the size at which the kernel
 * splits every write. */
#define FS_PSEUDO_COMMAND_MAX ((size_t)512 * 1024)

/* The same for `procs`: each line of it takes several system calls. */
#define FS_PSEUDO_PROCS_MAX ((size_t)64 * 1024)

/* The longest `keys` that can be read, in bytes, and all texts together that are remembered. */
#define FS_PSEUDO_TEXT_MAX ((size_t)32 * 1024 * 1024)

FsPseudo *fs_pseudo_new (LeaseEngine *engine, FsHolders *holders);
void fs_pseudo_free (FsPseudo *pseudo);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (FsPseudo, fs_pseudo_free)

/* `.metrics` with a text of how things are now, and its attributes. Returns its inode number, or 0
 * if it is gone already. That is for as long as the kernel knows it: until it forgets it. */
fuse_ino_t fs_pseudo_take_metrics (FsPseudo *pseudo, const LeaseCaller *by,
                                   const FsContext *context, struct stat *stat_out);
void fs_pseudo_forget_metrics (FsPseudo *pseudo, fuse_ino_t ino);

/* The attributes of `file` of the lease whose directory is node `id`; for LEASE_FILE_METRICS `id`
 * is the one in its inode number, here and below. `to_read`: somebody is about to read it.
 * `fresh_until_out`, may be NULL: until when the name exists. 0, -ESTALE, or -EINVAL if the node is
 * not the directory of a lease. */
int fs_pseudo_stat (FsPseudo *pseudo, const LeaseCaller *by, uint64_t id, LeaseFile file,
                    bool to_read, struct stat *stat_out, LeaseTime *fresh_until_out);

/* The text that the last fs_pseudo_stat() `to_read` it measured, or a new one. The caller unrefs
 * it. Errors as above; -EFBIG: above FS_PSEUDO_TEXT_MAX. */
int fs_pseudo_text (FsPseudo *pseudo, const LeaseCaller *by, uint64_t id, LeaseFile file,
                    GBytes **text_out);

/* One WRITE request. */
typedef struct {
  pid_t
      writer; /* the thread that made the system call; 0 if it is in a namespace that we see not */
  uid_t uid;  /* its user */
  off_t offset;
  const char *text;
  size_t size;
} FsPseudoWrite;

/* Carries out what was written. Besides the engine's errors: -EMSGSIZE; -EPERM for `granted`
 * and `.metrics`.
 *
 * A write that begins within a page and goes beyond its end comes as two requests, cut there. So
 * what begins within a page, ends with it, and does not end a line, is taken for a first part: it
 * is kept, and carried out together with the rest that the same writer sends next. If that fails it
 * stays, for a writer who tries to write the rest again to see why. */
int fs_pseudo_command (FsPseudo *pseudo, const LeaseCaller *by, uint64_t id, LeaseFile file,
                       const FsPseudoWrite *write);

/* touch, chmod and truncate; `to_set` and `attr` as for FUSE's setattr. -EPERM: another owner or
 * group than the lease's, and all of it for `.metrics`. */
int fs_pseudo_setattr (FsPseudo *pseudo, const LeaseCaller *by, uint64_t id, LeaseFile file,
                       const struct stat *attr, int to_set);
