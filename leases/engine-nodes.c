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

/* What `set` makes of a node. The times move with the size, though that may be the same, as on a
 * tmpfs. */
static LeaseRowMeta
to_meta (const LeaseOp *op, const LeaseNode *node, const LeaseSet *set)
{
  const unsigned owner_or_size = LEASE_SET_UID | LEASE_SET_GID | LEASE_SET_SIZE;
  LeaseRowMeta meta = {
    .fields = LEASE_FIELD_CTIME | (set->mask & LEASE_FIELD_ALL),
    .mode = (node->mode & S_IFMT) | (set->mode & 07777),
    .uid = set->uid,
    .gid = set->gid,
    .size = set->size,
    .atime_ns = set->atime_ns,
    .mtime_ns = (set->mask & LEASE_SET_MTIME) ? set->mtime_ns : op->by->wall_ns,
    .ctime_ns = (set->mask & LEASE_SET_CTIME) ? set->ctime_ns : op->by->wall_ns,
  };

  if (set->mask & LEASE_SET_SIZE)
    meta.fields |= LEASE_FIELD_MTIME;
  if ((set->mask & LEASE_SET_MODE) == 0 && (set->mask & owner_or_size) != 0) {
    meta.mode = lease_op_mode_after (op, node, set->mask & ~LEASE_SET_SIZE & owner_or_size);
    meta.fields |= meta.mode != node->mode ? LEASE_FIELD_MODE : 0;
  }
  return meta;
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

/* Whether that is all it is: a touch that keeps a lease alive. If so, does it, without a turn: the
 * times too are known to memory only. */
static int
try_keep_alive (LeaseOp *op, uint64_t id, const LeaseSet *set, LeaseNode **node_out)
{
  const unsigned touch = LEASE_SET_TOUCH | LEASE_SET_ATIME | LEASE_SET_MTIME;
  bool refreshes = false;
  LeaseNode *node;

  *node_out = NULL;
  if ((set->mask & LEASE_SET_TOUCH) == 0 || (set->mask & ~touch) != 0)
    return 0;
  int error = lease_op_node (op, id, &node);
  if (error == 0)
    error = check_refresh (op, node, &refreshes);
  if (error != 0 || !refreshes)
    return error;
  LeaseRow row = { .type = LEASE_ROW_SET, .node = id, .meta = to_meta (op, node, set) };
  lease_op_apply (op, &row);
  lease_op_refresh (op, node->lease, node);
  *node_out = node;
  return 0;
}

static int
keep_alive (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, const LeaseSet *set,
            LeaseAttr *attr_out, bool *done_out)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  LeaseNode *node;
  int error = try_keep_alive (&op, id, set, &node);

  *done_out = node != NULL;
  if (node != NULL)
    lease_op_fill_attr (&op, node, attr_out);
  return error;
}

/* Empties `node`, and leaves it to what is written next to tell the journal. */
static void
hold_truncation (LeaseOp *op, LeaseNode *node, const LeaseRowMeta *meta)
{
  bool was_held = node->held;
  LeaseRow truncate = { .type = LEASE_ROW_TRUNCATE, .node = node->id };
  LeaseRow set = { .type = LEASE_ROW_SET, .node = node->id, .meta = *meta };

  lease_op_apply (op, &truncate);
  lease_op_apply (op, &set);
  if (!was_held)
    g_array_append_val (op->engine->held, node->id);
  node->held = true;
  op->unwritten = true;
}

/* Not while the journal takes nothing: the value would be gone, and nothing could come in its place. */
static bool
can_wait (const LeaseOp *op, const LeaseNode *node, const LeaseSet *set, const LeaseRowMeta *meta)
{
  return op->engine->journal->kind->waits && !op->engine->refused &&
         set->mask == (LEASE_SET_SIZE | LEASE_SET_HOLD) && set->size == 0 &&
         !(meta->fields & LEASE_FIELD_MODE) && lease_node_is_stored (node);
}

static int
set_attributes (LeaseOp *op, LeaseNode *node, const LeaseSet *set)
{
  bool resizes = set->mask & LEASE_SET_SIZE;
  LeaseRowMeta meta = to_meta (op, node, set);

  if (can_wait (op, node, set, &meta)) {
    hold_truncation (op, node, &meta);
    return 0;
  }
  if (resizes && set->size <= node->value.size)
    lease_plan_truncate (op, node, set->size);
  lease_plan_set (op, node, &meta, true);
  return lease_op_commit (op);
}

int
lease_engine_setattr (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, const LeaseSet *set,
                      LeaseAttr *attr_out)
{
  bool done;
  int error = keep_alive (engine, by, id, set, attr_out, &done);

  if (error != 0 || done)
    return error;
  g_auto (LeaseOp) op = lease_op_begin_change (engine, by);
  LeaseNode *node;
  bool refreshes = false;
  error = lease_op_node (&op, id, &node);
  if (error == 0 && (set->mask & LEASE_SET_SIZE)) {
    error = lease_op_regular (&op, id, &node);
    if (error == 0 && set->size > INT64_MAX)
      error = -EFBIG;
  }
  if (error == 0 && (set->mask & LEASE_SET_TOUCH))
    error = check_refresh (&op, node, &refreshes);
  if (error == 0)
    error = set_attributes (&op, node, set);
  if (error != 0)
    return error;

  if (refreshes && node->lease != NULL && !lease_is_over (node->lease, op.now))
    lease_op_refresh (&op, node->lease, node);
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
