/* SPDX-License-Identifier: MIT */
#pragma once

#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the parts of the crash program share; crash.c says what it does. */

#define CRASH_TREES 3  /* workers on trees */
#define CRASH_BRIEFS 2 /* workers on brief leases */
#define CRASH_LEASES 3 /* long ones that a worker on trees has at a time */
#define CRASH_PATH 1024
#define CRASH_SIZE ((size_t)60 * 1024) /* at most so much is written at once: one request */
#define CRASH_TEXT 4096
#define CRASH_PAST 12   /* calls that are remembered, to be printed */
#define CRASH_RECORD 32 /* bytes of a record in shared/log */
#define CRASH_SECOND INT64_C (1000000000)

/* What all threads see of the run. */
typedef struct {
  const char *mountpoint;
  atomic_bool stopping; /* set before the daemon is killed: from then on calls may fail */
  atomic_bool failed;
} CrashRun;

extern CrashRun crash_run;

/* crash-calls.c: one system call, or two that belong together, made with paths below `root`. */

typedef enum {
  CRASH_CREATE,
  CRASH_PUT, /* O_TRUNC, then a write, in two steps */
  CRASH_APPEND,
  CRASH_WRITE,
  CRASH_TRUNCATE,
  CRASH_ALLOCATE,
  CRASH_COPY,
  CRASH_RENAME,
  CRASH_LINK,
  CRASH_SYMLINK,
  CRASH_UNLINK,
  CRASH_MKDIR,
  CRASH_RMDIR,
  CRASH_CHMOD,
  CRASH_CHOWN,
  CRASH_TOUCH, /* utimensat with `time`, or to now */
  CRASH_MKNOD,
  CRASH_SYNC,
  /* of a lease, on the mount alone */
  CRASH_RESERVE,
  CRASH_GRANT,
  CRASH_REFRESH,
  CRASH_EDIT, /* of `keys` */
  CRASH_CHMOD_FILE,
  CRASH_REVOKE,
  CRASH_END, /* grants the lease a moment, and waits until it is gone */
  CRASH_LOG, /* a record at the end of shared/log */
  CRASH_KINDS,
} CrashKind;

typedef struct {
  CrashKind kind;
  char path[CRASH_PATH], path2[CRASH_PATH];
  int flags; /* of fallocate, of renameat2; of CRASH_CHMOD_FILE: which file */
  mode_t mode;
  uid_t uid;
  int64_t offset, offset2;
  size_t size;
  unsigned seed; /* of the bytes written */
  struct timespec time;
  char text[CRASH_TEXT]; /* what is written to a pseudo-file; a symlink's target */
  unsigned lease;        /* which of the worker's leases it is about */
} CrashCall;

/* How many steps the call has, of which each is whole or absent after a crash. */
int crash_call_steps (const CrashCall *call);

/* Makes steps `from` to `to` - 1 of the call. Sets `done`, if it is not NULL, to the number of
 * steps that have been made so far. Returns what the last one returned; -1 with errno. */
int64_t crash_call_make (const CrashCall *call, int root, int from, int to, atomic_int *done);

void crash_call_print (const CrashCall *call, FILE *out);

/* Whether the error can come only from a daemon that is no more. */
bool crash_lost (int error);

/* crash-worker.c: random calls, made on the mount and, as soon as they are acknowledged, in a
 * directory of the worker's own: the reference. */

typedef enum { CRASH_FREE, CRASH_RESERVED, CRASH_GRANTED } CrashLeaseState;

typedef struct {
  CrashLeaseState state;
  char id[16];
  char granted[24];
  mode_t modes[2]; /* of ttl and keys */
} CrashLease;

typedef struct {
  uint64_t node; /* its inode number in the reference */
  unsigned lease;
  bool found; /* for crash_leases_prune() */
} CrashAttachment;

/* A file that has lost its value a moment ago, which may not have come to the disk yet. */
typedef struct {
  uint64_t node; /* 0: none */
  char *data;
  size_t size;
  struct timespec mtime;
  int64_t when; /* as crash_boottime() */
} CrashEmptied;

/* Touched, which refreshed a lease and need not have come to the disk. */
typedef struct {
  uint64_t node;
  struct timespec before; /* its mtime */
} CrashTouched;

typedef struct {
  unsigned number;
  char area[8]; /* its directory */
  uint64_t random;
  int root;      /* the mount, during a round */
  int reference; /* the root of all its own things, as they must be on the mount too */

  /* What it does right now. */
  bool busy;
  CrashCall call;
  atomic_int acknowledged; /* steps of it */
  int applied;             /* steps of it in the reference */
  int64_t began;           /* by the wall clock, a bit before */

  CrashLease leases[CRASH_LEASES];
  CrashAttachment *attachments;
  size_t attachment_count;
  CrashEmptied emptied;
  CrashTouched touched[64];
  size_t touched_count;
  uint64_t logged;            /* its records in shared/log that were acknowledged */
  CrashCall past[CRASH_PAST]; /* the last calls: number n is at n % CRASH_PAST */
  uint64_t calls, refused;
  bool clearing; /* it has too many names */
} CrashWorker;

void crash_worker_begin (CrashWorker *worker, unsigned number, unsigned seed, int reference);
/* A thread: makes calls until the daemon is gone or `stopping` is set. */
void *crash_worker_run (void *worker);
/* Makes the next step of the call under way in the reference. */
void crash_worker_apply (CrashWorker *worker);
/* The last calls, the one under way as the last of them. */
void crash_worker_print (const CrashWorker *worker, FILE *out);
/* Prints the message as the end of the run. */
void crash_fail (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

/* crash-choices.c: which call is next. */
void crash_choose (CrashWorker *worker, CrashCall *call);

/* crash-leases.c: what is attached, and what goes with a lease. */
/* Before the call is made in the reference, and after. */
typedef struct {
  uint64_t node, node2; /* what the paths stood for */
  bool is_directory;    /* the first of them */
  uid_t uid, uid2;
  int created;       /* the lease of what would be created at the first path; -1: none */
  int moved, moved2; /* of what would be moved to the paths */
} CrashBefore;
CrashBefore crash_leases_before (const CrashWorker *worker, const CrashCall *call);
void crash_leases_after (CrashWorker *worker, const CrashCall *call, const CrashBefore *before);
/* The number of the lease that the node is attached to; -1: none. */
int crash_leases_of (const CrashWorker *worker, uint64_t node);
/* What `keys` must show; the caller frees it. */
char *crash_leases_keys (const CrashWorker *worker, unsigned lease);
/* Forgets nodes that are gone. */
void crash_leases_prune (CrashWorker *worker);

/* One name in a tree. What is in a directory comes before the directory. */
typedef void (*CrashEach) (int directory, const char *name, const char *path, const struct stat *st,
                           void *data);
/* `path` is a buffer of CRASH_PATH bytes, empty at first. */
void crash_walk (int directory, char *path, CrashEach each, void *data);

/* crash-model.c: whether the mount is as the reference says. */
/* Takes over what was open, such as times, if `adopt`. Says on `out` what differs. Sets `later_out`
 * to whether it may be alike later, when everything has been cleaned up. */
bool crash_model_alike (CrashWorker *worker, bool adopt, FILE *out, bool *later_out);
/* The limits of what happened around the end of the daemon. */
typedef struct {
  int64_t killed, dead;     /* by CLOCK_BOOTTIME: before and after */
  int64_t spawned, mounted; /* the next one */
  int64_t dead_wall;        /* by the wall clock */
  int64_t since;            /* from when on the leases that are there may have been running */
  bool clean;               /* it was no crash */
  bool alive;               /* it was not even an end */
} CrashMoments;
extern CrashMoments crash_moments;
int64_t crash_boottime (void);
int64_t crash_wall (void);

/* crash-shared.c: what all workers have in common. */
bool crash_shared_good (CrashWorker *workers, int root, FILE *out);

/* crash-brief.c: leases that end while nobody, or everybody, looks. */
typedef struct CrashBrief CrashBrief;
CrashBrief *crash_brief_new (unsigned number, unsigned seed);
void crash_brief_free (CrashBrief *brief);
void *crash_brief_run (void *brief);
/* To be called at once after the start of the next daemon. */
bool crash_brief_good (CrashBrief *brief, int root, FILE *out);
/* Whether the lease of that ID is one that `brief` may have. */
bool crash_brief_has (const CrashBrief *brief, const char *id);
