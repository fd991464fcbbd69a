/* SPDX-License-Identifier: MIT */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* What the parts of the stress program share: stress.c has the threads, stress-steps.c what they
 * do, stress-calls.c what may come of it. */

#define STRESS_FILES 4 /* that a thread holds open */
#define STRESS_DIRECTORIES 2

typedef enum {
  /* with a path */
  OPEN,
  OPEN_DIRECTORY,
  OPEN_TEMPORARY,
  STAT,
  STATVFS,
  MKDIR,
  MKFIFO,
  SYMLINK,
  READLINK,
  LINK,
  RENAME,
  EXCHANGE,
  UNLINK,
  RMDIR,
  TRUNCATE,
  CHMOD,
  TOUCH,
  SET_XATTR,
  GET_XATTR,
  LIST_XATTRS,
  REMOVE_XATTR,
  /* with a descriptor */
  CLOSE,
  READ,
  WRITE,
  FTRUNCATE,
  FALLOCATE,
  SEEK,
  COPY,
  FSTAT,
  FTOUCH,
  FCHMOD,
  FSYNC,
  FLOCK,
  MMAP,
  MAPPING_READ,
  MAPPING_WRITE,
  MSYNC,
  READDIR,
  /* with a lease */
  RESERVE,
  OPEN_PSEUDO_FILE,
  READ_PSEUDO_FILE,
  GRANT,
  REFRESH,
  TOUCH_TTL,
  TOUCH_LEASE,
  ATTACH,
  DETACH,
  REVOKE,
  STRESS_CALLS,
} StressCall;

typedef struct {
  uint64_t accepted, refused;
  uint64_t stale;   /* refused with ESTALE */
  bool unsupported; /* ever refused with EOPNOTSUPP */
} StressTally;

typedef struct {
  pthread_t thread;
  uint64_t random;
  int files[STRESS_FILES]; /* regular ones, opened to be read and written; -1: none */
  int directories[STRESS_DIRECTORIES];
  int memory; /* a file in memory: the other side of what goes through mappings */
  bool failed;
  StressTally seen[STRESS_CALLS];
} StressWorker;

/* Notes in `worker` how a call came out; negative: it was refused, for the reason in errno. Returns
 * whether it succeeded. */
bool stress_did (StressWorker *worker, StressCall call, intptr_t result);

/* Whether what all of the `count` workers have seen of a call is as it should be. Prints it. */
bool stress_judge (const StressWorker *workers, unsigned count, StressCall call);

/* Makes `worker` ready for steps. Returns false, with errno, if it cannot be. */
bool stress_begin (StressWorker *worker);

/* Does one thing or other, in a few calls. */
void stress_step (StressWorker *worker);

/* Closes what the worker has open: the end of stress_begin(). */
void stress_finish (StressWorker *worker);
