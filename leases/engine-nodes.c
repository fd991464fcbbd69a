/* SPDX-License-Identifier: MIT */

/* The engine's operations on the metadata of one node. */

#include "leases/engine-private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

int
lease_engine_getattr (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, LeaseAttr *attr_out)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  LeaseNode *node;
  int error = lease_op_node (&op, id, &node);

  if (error == 0)
    lease_op_fill_attr (&op, node, attr_out);
  return error;
}

/* The times move though the size may be the same, as on a tmpfs. */
static void
resize (LeaseOp *op, LeaseNode *node, uint64_t size)
{
  uint64_t before = node->value.footprint;

  lease_value_truncate (&node->value, size);
  op->engine->bytes_used += node->value.footprint - before;
  node->mtime_ns = node->ctime_ns = op->by->wall_ns;
}

static void
set_metadata (LeaseOp *op, LeaseNode *node, const LeaseSet *set)
{
  if (set->mask & LEASE_SET_MODE)
    node->mode = (node->mode & S_IFMT) | (set->mode & 07777);
  if (set->mask & LEASE_SET_UID)
    node->uid = set->uid;
  if (set->mask & LEASE_SET_GID)
    node->gid = set->gid;
  if (set->mask & LEASE_SET_ATIME)
    node->atime_ns = set->atime_ns;
  if (set->mask & LEASE_SET_MTIME)
    node->mtime_ns = set->mtime_ns;
  node->ctime_ns = (set->mask & LEASE_SET_CTIME) ? set->ctime_ns : op->by->wall_ns;
}

/* Whether touching `node` refreshes a lease. Who may touch it may not for that reason alone keep
 * alive what is somebody else's. */
static int
check_refresh (const LeaseOp *op, const LeaseNode *node, bool *refreshes_out)
{
  if (node->lease == NULL || node->lease->granted_ns == 0)
    return 0;
  int error = lease_op_may_refresh (op, node->lease);
  *refreshes_out = error == 0;
  return error == -EACCES ? 0 : error;
}

int
lease_engine_setattr (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, const LeaseSet *set,
                      LeaseAttr *attr_out)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  LeaseNode *node;
  bool refreshes = false;
  int error = lease_op_node (&op, id, &node);

  if (error == 0 && (set->mask & LEASE_SET_SIZE)) {
    error = lease_op_regular (&op, id, &node);
    if (error == 0 && set->size > INT64_MAX)
      error = -EFBIG;
  }
  if (error == 0 && (set->mask & LEASE_SET_TOUCH))
    error = check_refresh (&op, node, &refreshes);
  if (error != 0)
    return error;

  if (set->mask & LEASE_SET_SIZE)
    resize (&op, node, set->size);
  set_metadata (&op, node, set);
  if (refreshes)
    lease_op_refresh (&op, node->lease);
  lease_op_fill_attr (&op, node, attr_out);
  return 0;
}

int
lease_engine_readlink (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, char **target_out)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  LeaseNode *node;
  int error = lease_op_node (&op, id, &node);

  if (error == 0 && !S_ISLNK (node->mode))
    error = -EINVAL;
  if (error != 0)
    return error;
  lease_op_note_access (&op, node);
  *target_out = g_strdup (node->target);
  return 0;
}
