/* SPDX-License-Identifier: MIT */

/* The checks of access that the kernel cannot make for us. They follow its rules: root may do
 * everything, the owner's bits hold for the owner, the group's for members of the group, the
 * others' for the rest. */

#include "leases/engine-private.h"

#include <errno.h>
#include <sys/stat.h>

#define SEARCH 1u
#define WRITE 2u

static bool
is_in_group (const LeaseCaller *by, gid_t gid)
{
  if (by->gid == gid)
    return true;
  for (unsigned i = 0; i < by->group_count; i++)
    if (by->groups[i] == gid)
      return true;
  return false;
}

/* Whether the caller has the rights `wanted` on what has this mode, owner and group. */
static int
check_access (const LeaseCaller *by, mode_t mode, const LeaseNode *owned, unsigned wanted)
{
  bool group_may = (mode >> 3 & wanted) == wanted, others_may = (mode & wanted) == wanted;

  if (by->uid == 0)
    return 0;
  if (by->uid == owned->uid)
    return (mode >> 6 & wanted) == wanted ? 0 : -EACCES;
  if (group_may == others_may)
    return others_may ? 0 : -EACCES;
  if (is_in_group (by, owned->gid))
    return group_may ? 0 : -EACCES;
  if (!by->knows_groups)
    return -EAGAIN;
  return others_may ? 0 : -EACCES;
}

int
lease_op_may_search (const LeaseOp *op, const LeaseNode *directory)
{
  return check_access (op->by, directory->mode, directory, SEARCH);
}

/* The owner may in any case: touch asks for no more of them. */
int
lease_op_may_refresh (const LeaseOp *op, const Lease *lease)
{
  if (op->by->uid == lease->directory->uid)
    return 0;
  return check_access (op->by, lease->modes[LEASE_FILE_TTL], lease->directory, WRITE);
}
