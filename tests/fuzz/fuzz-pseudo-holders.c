/* SPDX-License-Identifier: MIT */

/* Stands in for the processes of the machine: those with the numbers from 1 to 9 live, 7 to 9 are
 * somebody else's, and whoever writes is the process of that number. */

#include "fs/holders.h"
#include "leases/procs.h"

#include <errno.h>

#define LIVING 9
#define OWN 6

struct FsHolders {
  LeaseEngine *engine;
};

FsHolders *
fs_holders_new (LeaseEngine *engine, GError **error)
{
  FsHolders *holders = g_new0 (FsHolders, 1);

  holders->engine = engine;
  return holders;
}

void
fs_holders_free (FsHolders *holders)
{
  g_free (holders);
}

int
fs_holders_edit (FsHolders *holders, const LeaseCaller *by, uint64_t id, const GArray *lines,
                 pid_t writer)
{
  g_autoptr (GArray) planned = g_array_new (FALSE, FALSE, sizeof (LeaseHolderLine));

  for (unsigned i = 0; i < lines->len; i++) {
    const LeaseProcsLine *from = &g_array_index (lines, LeaseProcsLine, i);
    pid_t pid = from->pid == 0 ? writer : from->pid;
    LeaseHolderLine line = { .let_go = from->let_go, .holder = (uint64_t)pid, .pid = pid };
    if (pid > LIVING)
      return -ESRCH;
    if (pid > OWN && by->uid != 0 && !line.let_go)
      return -EPERM;
    g_array_append_val (planned, line);
  }
  return lease_engine_edit_holders (holders->engine, by, id, planned);
}

static int
compare_pids (const void *a, const void *b)
{
  return *(const pid_t *)a - *(const pid_t *)b;
}

int
fs_holders_list (FsHolders *holders, const LeaseCaller *by, uint64_t id, GArray **pids_out)
{
  g_autoptr (GArray) all = NULL;
  int error = lease_engine_holders (holders->engine, by, id, &all);

  if (error != 0)
    return error;
  *pids_out = g_array_new (FALSE, FALSE, sizeof (pid_t));
  for (unsigned i = 0; i < all->len; i++)
    g_array_append_val (*pids_out, g_array_index (all, LeaseHolderInfo, i).pid);
  g_array_sort (*pids_out, compare_pids);
  return 0;
}

void
fs_holders_note_idle (FsHolders *holders, uint64_t holder)
{
}
