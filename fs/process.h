/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* What /proc shows of processes. Any thread. */

typedef struct {
  pid_t pid;             /* of the process, not of a thread */
  uid_t real, effective, /* its users */
      saved;
  unsigned
      namespaces; /* in how many of those that /proc shows it has a number: 1 unless it lives in
                          one below that of /proc */
} FsProcess;

/* The process that has the thread `tid`. 0, or
 *   -ESRCH   there is none
 *   -EPERM   we may not see it
 *   -ENOSPC  too many open files */
int fs_process_look (pid_t tid, FsProcess *process_out);

/* Whether numbers in /proc are those that system calls of ours take. */
bool fs_process_is_shown (void);

/* A descriptor that becomes readable when the process, with all its threads, has exited, and that
 * stands for it though its number be used again. -ESRCH, -ENOSPC. */
int fs_process_open (pid_t pid);

/* Whether it has: a zombie too. */
bool fs_process_has_exited (int fd);
