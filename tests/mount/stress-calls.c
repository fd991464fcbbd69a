/* SPDX-License-Identifier: MIT */

/* Owns the table of calls: for each, the errors that are no fault of the one who gets them. */

#include "tests/mount/stress.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Path calls that may fail with ESTALE: so many of 100, and a few. */
#define STALE_PERCENT 5
#define STALE_FEW 20

/* Others make, move and remove directories and symlinks, among them circles of symlinks. ESTALE:
 * what the path had been resolved to ended before the call was through, and so it did once more
 * when the kernel had resolved it anew; it tries no third time. */
#define PATH ENOENT, ENOTDIR, ELOOP, ESTALE
/* The lease of a file that is open has ended. */
#define ENDED ESTALE
/* The name is `leases`, or lies directly in leases/, or is a pseudo-file. */
#define FIXED EPERM
/* The lease in whose directory the name lies has not been granted yet. */
#define NOT_GRANTED EINVAL
/* Some chmod has let others write to `keys`, so that root does not. */
#define SHARED EPERM
/* A page of a mapping could not be written back, because the lease had ended. The kernel makes EIO
 * of every such error, and tells any one who has the file open, in the next call that would write
 * back. */
#define NOT_WRITTEN_BACK EIO, ESTALE
/* While somebody writes a command that is longer than the file's present text, somebody else asks
 * for its size: then the kernel may clear what is beyond it, before it sends the command. */
#define CLEARED EINVAL

/* A call that has been refused so often should have succeeded once. */
#define TRIES 1000

static const struct {
  const char *name;
  int errors[10]; /* that are plausible, closed by a 0 */
} calls[STRESS_CALLS] = {
  [OPEN] = { "open", { PATH, EEXIST, EISDIR, ENXIO, FIXED, NOT_GRANTED } },
  [OPEN_DIRECTORY] = { "open a directory", { PATH } },
  /* EOPNOTSUPP: the one call that the daemon need not support */
  [OPEN_TEMPORARY] = { "open with O_TMPFILE", { PATH, NOT_GRANTED, EOPNOTSUPP } },
  [STAT] = { "stat", { PATH } },
  [STATVFS] = { "statvfs", { PATH } },
  [MKDIR] = { "mkdir", { PATH, EEXIST, NOT_GRANTED } },
  [MKFIFO] = { "mkfifo", { PATH, EEXIST, FIXED, NOT_GRANTED } },
  [SYMLINK] = { "symlink", { PATH, EEXIST, FIXED, NOT_GRANTED } },
  [READLINK] = { "readlink", { PATH, EINVAL } },
  [LINK] = { "link", { PATH, EEXIST, FIXED, NOT_GRANTED } },
  /* EINVAL also where a directory would come into itself */
  [RENAME] = { "rename", { PATH, EEXIST, EISDIR, ENOTEMPTY, FIXED, EINVAL } },
  [EXCHANGE] = { "rename with exchange", { PATH, ENOTEMPTY, FIXED, EINVAL } },
  [UNLINK] = { "unlink", { PATH, EISDIR, FIXED } },
  [RMDIR] = { "rmdir", { PATH, ENOTEMPTY, FIXED } },
  [TRUNCATE] = { "truncate", { PATH, EISDIR, EINVAL } },
  [CHMOD] = { "chmod", { PATH } },
  [TOUCH] = { "touch", { PATH } },
  /* EOPNOTSUPP: a pseudo-file, or a mount that has none. For `user.lease` also what ATTACH and
   * DETACH have. */
  [SET_XATTR] = { "setxattr", { PATH, EEXIST, ENODATA, EPERM, EINVAL, EOPNOTSUPP } },
  [GET_XATTR] = { "getxattr", { PATH, ENODATA, EOPNOTSUPP } },
  [LIST_XATTRS] = { "listxattr", { PATH, EOPNOTSUPP } },
  [REMOVE_XATTR] = { "removexattr", { PATH, ENODATA, EPERM, EINVAL, EOPNOTSUPP } },
  [CLOSE] = { "close", { NOT_WRITTEN_BACK } },
  [READ] = { "read", { ENDED } },
  [WRITE] = { "write", { ENDED } },
  [FTRUNCATE] = { "ftruncate", { ENDED } },
  [FALLOCATE] = { "fallocate", { ENDED, NOT_WRITTEN_BACK } },
  [SEEK] = { "lseek", { ENDED, ENXIO } },
  /* EINVAL where a file would be copied onto itself */
  [COPY] = { "copy_file_range", { ENDED, EINVAL, NOT_WRITTEN_BACK } },
  [FSTAT] = { "fstat", { ENDED } },
  [FTOUCH] = { "futimens", { ENDED } },
  [FCHMOD] = { "fchmod", { ENDED } },
  [FSYNC] = { "fsync", { NOT_WRITTEN_BACK } },
  [FLOCK] = { "flock", { EWOULDBLOCK } },
  [MMAP] = { "mmap", { ENDED } },
  /* EFAULT stands for the signal SIGBUS here: behind the file's end, or its lease has ended */
  [MAPPING_READ] = { "read of a mapping", { EFAULT } },
  [MAPPING_WRITE] = { "write to a mapping", { EFAULT } },
  [MSYNC] = { "msync", { NOT_WRITTEN_BACK } },
  [READDIR] = { "readdir", { ENDED, ENOENT } },
  [RESERVE] = { "mkdir of a lease", { EEXIST } },
  [OPEN_PSEUDO_FILE] = { "open of a pseudo-file", { ENOENT, ESTALE } },
  [READ_PSEUDO_FILE] = { "read of a pseudo-file", { ENDED } },
  [GRANT] = { "grant", { ENDED, CLEARED } },
  [REFRESH] = { "refresh by a line", { ENDED, NOT_GRANTED } },
  [TOUCH_TTL] = { "touch of ttl", { ENOENT, ESTALE, NOT_GRANTED } },
  [TOUCH_LEASE] = { "touch of a lease", { ENOENT, ESTALE } },
  [ATTACH] = { "attach", { PATH, ENDED, EINVAL, SHARED } },
  [DETACH] = { "detach", { PATH, ENDED, EINVAL, SHARED } },
  [REVOKE] = { "revoke", { ENOENT, ESTALE } },
};

static bool
has_path (StressCall call)
{
  return call <= REMOVE_XATTR || call == OPEN_PSEUDO_FILE || call == TOUCH_TTL ||
         call == TOUCH_LEASE || call == REVOKE;
}

static bool
is_plausible (StressCall call, int error)
{
  for (const int *known = calls[call].errors; *known != 0; known++)
    if (*known == error)
      return true;
  return false;
}

bool
stress_did (StressWorker *worker, StressCall call, intptr_t result)
{
  int error = errno;

  if (result >= 0) {
    worker->seen[call].accepted++;
    return true;
  }
  worker->seen[call].refused++;
  worker->seen[call].stale += error == ESTALE;
  worker->seen[call].unsupported |= error == EOPNOTSUPP;
  if (!is_plausible (call, error)) {
    printf ("# %s: %s\n", calls[call].name, strerror (error));
    worker->failed = true;
  }
  return false;
}

bool
stress_judge (const StressWorker *workers, unsigned count, StressCall call)
{
  StressTally sum = { 0 };

  for (unsigned i = 0; i < count; i++) {
    const StressTally *seen = &workers[i].seen[call];
    sum.accepted += seen->accepted;
    sum.refused += seen->refused;
    sum.stale += seen->stale;
    sum.unsupported |= seen->unsupported;
  }
  printf ("# %-24s %8ju succeeded %8ju refused\n", calls[call].name, (uintmax_t)sum.accepted,
          (uintmax_t)sum.refused);
  if (sum.accepted == 0 && sum.refused >= TRIES && !sum.unsupported) {
    printf ("# %s: never succeeded\n", calls[call].name);
    return false;
  }
  if (has_path (call) &&
      sum.stale > STALE_FEW + (sum.accepted + sum.refused) * STALE_PERCENT / 100) {
    printf ("# %s: %ju times ESTALE\n", calls[call].name, (uintmax_t)sum.stale);
    return false;
  }
  return true;
}
