/* SPDX-License-Identifier: MIT */
#pragma once

/* What is measured: the rows of the table, and what the file systems and the programs that measure
 * them have to agree about. */

/* Each row: its name in BenchRow, its name in the results. */
#define BENCH_ROWS(X)                                                                              \
  X (STAT, "stat")             /* a key that the kernel knows */                                   \
  X (ABSENT, "exists-not")     /* a name that is not there, polled */                              \
  X (GET, "get")               /* open, read, close; of a key that the kernel knows */             \
  X (GET_NEW, "get after put") /* the same, right after a put that is not timed */                 \
  X (PREAD, "pread")           /* of a descriptor that is open */                                  \
  X (PUT, "put")               /* open with O_TRUNC, write, close; over an existing key */         \
  X (NEW, "put new")           /* the same with O_CREAT and O_EXCL */                              \
  X (LARGE, "put 64k")         /* as PUT, 64 KiB */                                                \
  X (DELETE, "delete")         /* of a key without a lease */                                      \
  X (REFRESH, "refresh")       /* touch of a lease's directory */                                  \
  X (TTL, "refresh by ttl")    /* touch of its `ttl` */                                            \
  X (ATTACH, "attach")         /* of a key without a lease: open, write, close of `keys` */        \
  X (GRANT, "grant+revoke")    /* mkdir; open, write, close of `ttl`; rmdir */                     \
  X (LIST, "ls")               /* of BENCH_LISTED keys that the kernel knows */                    \
  X (LIST_NEW, "ls uncached")  /* the same after a name came and went, which is not timed */       \
  X (PUBLISH, "publish")       /* put new in the lease's directory, rename over a key */

#define BENCH_ROW_VALUE(ROW, name) BENCH_ROW_##ROW,
typedef enum { BENCH_ROWS (BENCH_ROW_VALUE) BENCH_ROW_COUNT } BenchRow;
#undef BENCH_ROW_VALUE

#define BENCH_VALUE_SIZE 100
#define BENCH_LARGE_SIZE 65536
#define BENCH_LISTED 10000
#define BENCH_LISTED_NAME "key-%05u"

/* How names begin that are not there before they are made: see tests/bench/floor.c. */
#define BENCH_NEW "new-"
