/* SPDX-License-Identifier: MIT */

/* The engine's operations on one node: its metadata and its value. */

#include "leases/engine-private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define DAY_NS (24 * 60 * 60 * INT64_C (1000000000))

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

static int
check_regular (const LeaseNode *node)
{
  if (S_ISDIR (node->mode))
    return -EISDIR;
  return S_ISREG (node->mode) ? 0 : -EINVAL;
}

static int
find_regular (LeaseOp *op, uint64_t id, LeaseNode **node_out)
{
  int error = lease_op_node (op, id, node_out);

  return error == 0 ? check_regular (*node_out) : error;
}

/* Carries out a change of the value, and counts what it does to the memory in use. */
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

int
lease_engine_setattr (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, const LeaseSet *set,
                      LeaseAttr *attr_out)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  LeaseNode *node;
  int error = lease_op_node (&op, id, &node);

  if (error == 0 && (set->mask & LEASE_SET_SIZE)) {
    error = check_regular (node);
    if (error == 0 && set->size > INT64_MAX)
      error = -EFBIG;
  }
  if (error != 0)
    return error;

  if (set->mask & LEASE_SET_SIZE)
    resize (&op, node, set->size);
  if (set->mask != 0)
    set_metadata (&op, node, set);
  if ((set->mask & LEASE_SET_TOUCH) && node->lease != NULL && node->lease->granted_ns > 0)
    lease_op_refresh (&op, node->lease);
  lease_op_fill_attr (&op, node, attr_out);
  return 0;
}

/* The rule of relatime: reading is noted if it is the first since the last change, or in a day. */
static void
note_access (const LeaseOp *op, LeaseNode *node)
{
  int64_t atime_ns = node->atime_ns, wall_ns = op->by->wall_ns;

  if (atime_ns <= node->mtime_ns || atime_ns <= node->ctime_ns || wall_ns - atime_ns >= DAY_NS)
    node->atime_ns = wall_ns;
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
  note_access (&op, node);
  *target_out = g_strdup (node->target);
  return 0;
}

int
lease_engine_read (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, uint64_t offset,
                   size_t size, char **data_out, size_t *size_out)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  LeaseNode *node;
  int error = find_regular (&op, id, &node);

  if (error != 0)
    return error;
  note_access (&op, node);
  size = offset < node->value.size ? MIN (size, node->value.size - offset) : 0;
  *data_out = g_malloc (size);
  *size_out = lease_value_read (&node->value, offset, *data_out, size);
  return 0;
}

int
lease_engine_write (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, uint64_t offset,
                    const char *data, size_t size)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  LeaseNode *node;
  int error = find_regular (&op, id, &node);

  if (error == 0 && (offset > INT64_MAX || size > INT64_MAX - offset))
    error = -EFBIG;
  if (error == 0)
    error = lease_op_check_room (&op, lease_value_write_cost (&node->value, offset, size), 0);
  if (error != 0)
    return error;

  uint64_t before = node->value.footprint;
  lease_value_write (&node->value, offset, data, size);
  engine->bytes_used += node->value.footprint - before;
  node->mtime_ns = node->ctime_ns = by->wall_ns;
  return 0;
}
