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

/* Whether the caller has the rights `wanted` on what has this mode, and the owner and group of
 * `owned`. */
static int
check_access (const LeaseCaller *by, mode_t mode, const LeaseNode *owned, unsigned wanted)
{
  bool group_may = (mode >> 3 & wanted) == wanted, others_may = (mode & wanted) == wanted;

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
  return op->by->uid == 0 ? 0 : check_access (op->by, directory->mode, directory, SEARCH);
}

/* Whether the caller may write to a pseudo-file of `lease`. The owner may in any case: who may
 * change the mode is not kept out by it. */
static int
may_write (const LeaseOp *op, const Lease *lease, LeaseFile file)
{
  if (op->by->uid == 0 || op->by->uid == lease->directory->uid)
    return 0;
  return check_access (op->by, lease->modes[file], lease->directory, WRITE);
}

/* Whether the caller may come to the pseudo-files of `lease`; the owner in any case, as above. */
static int
may_reach (const LeaseOp *op, const Lease *lease)
{
  const LeaseNode *way[] = { lease_tree_node (op->engine->tree, LEASE_ROOT), op->engine->leases_dir,
                             lease->directory };
  int error = 0;

  for (unsigned i = 0; error == 0 && i < G_N_ELEMENTS (way); i++)
    if (op->by->uid != lease->directory->uid)
      error = lease_op_may_search (op, way[i]);
  return error;
}

int
lease_op_may_refresh (const LeaseOp *op, const Lease *lease)
{
  int error = may_write (op, lease, LEASE_FILE_TTL);

  return error != 0 ? error : may_reach (op, lease);
}

int
lease_op_may_attach (const LeaseOp *op, const Lease *lease, const LeaseNode *node)
{
  if (op->by->uid != 0 && op->by->uid != node->uid)
    return -EPERM;
  return may_write (op, lease, LEASE_FILE_KEYS);
}

/* Root acts for the owner of the lease: nobody gets hold of somebody else's keys with its help. */
static int
may_act (const LeaseOp *op, const Lease *lease, const LeaseNode *node, bool detach)
{
  uid_t owner = lease->directory->uid;

  return detach || op->by->uid != 0 || owner == 0 || owner == node->uid ? 0 : -EPERM;
}

/* The kernel has checked the right to write to `keys` when it was opened, by whoever that was; here
 * it is who writes now. Root may not simply do everything: a user can have a program with root's
 * rights write what the user likes to a descriptor that the user opened
 * (`su "$text" 2>leases/ID/keys`), and so get hold of anybody's keys. So root acts for the owner of
 * the lease, and only where nobody else could have opened `keys`. */
int
lease_op_may_edit (const LeaseOp *op, const Lease *lease, const LeaseNode *node, bool detach)
{
  int error = lease_op_may_attach (op, lease, node);

  if (error == 0 && op->by->uid == 0 && (lease->modes[LEASE_FILE_KEYS] & (S_IWGRP | S_IWOTH)))
    error = -EPERM;
  return error != 0 ? error : may_act (op, lease, node, detach);
}

/* There is no descriptor of `keys` here that somebody else could have opened. But root may be
 * copying what others have made, with the attributes that they gave it. */
int
lease_op_may_set_lease (const LeaseOp *op, const Lease *lease, const LeaseNode *node, bool detach)
{
  int error = may_reach (op, lease);

  if (error == 0)
    error = lease_op_may_attach (op, lease, node);
  return error != 0 ? error : may_act (op, lease, node, detach);
}

int
lease_op_may_come (const LeaseOp *op, const LeaseName *name)
{
  int error = 0;

  for (; error == 0 && name != NULL; name = name->parent->names)
    error = lease_op_may_search (op, name->parent);
  return error;
}

mode_t
lease_op_mode_after (const LeaseOp *op, const LeaseNode *node, bool chown)
{
  mode_t cleared = node->mode & S_IXGRP ? S_ISUID | S_ISGID : S_ISUID;

  if (!op->by->clears_setid || S_ISDIR (node->mode) || (op->by->uid == 0 && !chown))
    return node->mode;
  return node->mode & ~cleared;
}

/* Root too may not: the names are shown to others. Of the owner's groups only that of the lease is
 * known; but by a name under which the node was attached, somebody has come there. */
bool
lease_owner_may_see (const Lease *lease, const LeaseName *name)
{
  const LeaseCaller owner = { .uid = lease->directory->uid, .gid = lease->directory->gid };
  bool told = name->told;

  for (;; name = name->parent->names) {
    const LeaseNode *directory = name->parent;
    int error =
        directory->uid == owner.uid ? 0 : check_access (&owner, directory->mode, directory, SEARCH);
    if (error != 0 && !(error == -EAGAIN && told))
      return false;
    if (directory->names == NULL)
      return true;
  }
}
