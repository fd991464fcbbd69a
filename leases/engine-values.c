/* SPDX-License-Identifier: MIT */

/* The engine's operations on the values of regular files. */

#include "leases/engine-private.h"

#include <errno.h>
#include <linux/falloc.h>
#include <sys/stat.h>

/* The modes of fallocate(2) that there are. */
#define MODES (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)

/* What a single call may reserve where memory is not limited. */
#define RESERVE_MAX (UINT64_C (1) << 40)

int
lease_engine_read (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, uint64_t offset,
                   size_t size, char **data_out, size_t *size_out)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  LeaseNode *node;
  int error = lease_op_regular (&op, id, &node);

  if (error != 0)
    return error;
  lease_op_note_access (&op, node);
  size = offset < node->value.size ? MIN (size, node->value.size - offset) : 0;
  *data_out = g_malloc (size);
  *size_out = lease_value_read (&node->value, offset, *data_out, size);
  return 0;
}

/* The value of `node` has changed, and has `size` bytes now. */
static void
plan_changed (LeaseOp *op, LeaseNode *node, uint64_t size)
{
  LeaseRowMeta meta = {
    .fields = LEASE_FIELD_MTIME | LEASE_FIELD_CTIME,
    .size = size,
    .mtime_ns = op->by->wall_ns,
    .ctime_ns = op->by->wall_ns,
  };

  if (size != node->value.size)
    meta.fields |= LEASE_FIELD_SIZE;
  meta.mode = lease_op_mode_after (op, node, false);
  if (meta.mode != node->mode) {
    meta.fields |= LEASE_FIELD_MODE;
    lease_op_tell_stale (op, node, false);
  }
  lease_plan_set (op, node, &meta, true);
}

/* Whether `size` bytes may be written at `offset`. */
static int
check_write (LeaseOp *op, const LeaseNode *node, uint64_t offset, size_t size)
{
  if (offset > INT64_MAX || size > INT64_MAX - offset)
    return -EFBIG;
  return lease_op_check_room (op, lease_value_write_cost (&node->value, offset, size), 0);
}

static int
write_value (LeaseOp *op, LeaseNode *node, uint64_t offset, const char *data, size_t size)
{
  uint64_t end = size == 0 ? 0 : offset + size;

  lease_plan_write (op, node, offset, data, size);
  plan_changed (op, node, MAX (node->value.size, end));
  return lease_op_commit (op);
}

int
lease_engine_write (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, uint64_t offset,
                    const char *data, size_t size)
{
  g_auto (LeaseOp) op = lease_op_begin_change (engine, by);
  LeaseNode *node;
  int error = lease_op_regular (&op, id, &node);

  if (error == 0)
    error = check_write (&op, node, offset, size);
  return error != 0 ? error : write_value (&op, node, offset, data, size);
}

/* Whether the memory for the range can be had. What lies in it and is punched out first does not
 * count: it may be given back, but that is not worked out in advance. */
static int
check_reserve (LeaseOp *op, const LeaseNode *node, uint64_t offset, uint64_t size)
{
  uint64_t limit = op->engine->config.max_bytes;

  if (limit == UINT64_MAX)
    limit = RESERVE_MAX;
  uint64_t cost = lease_value_reserve_cost (&node->value, offset, size, limit);
  return cost > limit ? -ENOSPC : lease_op_check_room (op, cost, 0);
}

int
lease_engine_allocate (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, int mode,
                       uint64_t offset, uint64_t size)
{
  g_auto (LeaseOp) op = lease_op_begin_change (engine, by);
  bool punches = mode & FALLOC_FL_PUNCH_HOLE, zeroes = mode & FALLOC_FL_ZERO_RANGE;
  LeaseNode *node;
  int error = lease_op_regular (&op, id, &node);

  if (error == 0 && (offset > INT64_MAX || size > INT64_MAX - offset))
    error = -EFBIG;
  if (error == 0 &&
      ((mode & ~MODES) != 0 || (punches && (zeroes || !(mode & FALLOC_FL_KEEP_SIZE)))))
    error = -EOPNOTSUPP;
  if (error == 0 && !punches)
    error = check_reserve (&op, node, offset, size);
  if (error != 0)
    return error;

  if (punches || zeroes)
    lease_plan_punch (&op, node, offset, size);
  if (!punches)
    lease_plan_reserve (&op, node, offset, size);
  bool grows = !(mode & FALLOC_FL_KEEP_SIZE) && offset + size > node->value.size;
  plan_changed (&op, node, grows ? offset + size : node->value.size);
  /* The kernel lets go of the attributes by itself, but other than after a write it would take those
   * of before for new ones, where another answer is on its way with them. */
  lease_op_tell_stale (&op, node, false);
  return lease_op_commit (&op);
}

int
lease_engine_seek (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, uint64_t offset,
                   bool hole, uint64_t *offset_out)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  LeaseNode *node;
  int error = lease_op_regular (&op, id, &node);

  if (error == 0 && !lease_value_seek (&node->value, offset, hole, offset_out))
    error = -ENXIO;
  return error;
}

/* How much of `size` bytes can be written at `offset`: whole chunks, as far as there is room. */
static int
fit_write (LeaseOp *op, const LeaseNode *node, uint64_t offset, size_t size, size_t *fit_out)
{
  uint64_t cost = 0;
  int error = 0;

  for (*fit_out = 0; *fit_out < size;) {
    uint64_t at = offset + *fit_out;
    size_t part = MIN (size - *fit_out, LEASE_VALUE_CHUNK - at % LEASE_VALUE_CHUNK);
    if (at > INT64_MAX || part > INT64_MAX - at)
      error = -EFBIG;
    else
      cost += lease_value_write_cost (&node->value, at, part);
    if (error != 0 || (error = lease_op_check_room (op, cost, 0)) != 0)
      break;
    *fit_out += part;
  }
  return *fit_out > 0 ? 0 : error;
}

int
lease_engine_copy (LeaseEngine *engine, const LeaseCaller *by, LeasePlace from, LeasePlace to,
                   size_t size, size_t *size_out)
{
  g_autofree char *data = NULL; /* before `op`: it goes last */
  g_auto (LeaseOp) op = lease_op_begin_change (engine, by);
  LeaseNode *from_node, *to_node;
  int error = lease_op_regular (&op, from.id, &from_node);

  if (error == 0)
    error = lease_op_regular (&op, to.id, &to_node);
  if (error != 0)
    return error;
  lease_op_note_access (&op, from_node);
  uint64_t left = from_node->value.size - MIN (from.offset, from_node->value.size);
  size = MIN (size, MIN (left, LEASE_COPY_MAX));
  error = fit_write (&op, to_node, to.offset, size, size_out);
  if (error != 0 || *size_out == 0)
    return error;
  data = g_malloc (*size_out);
  lease_value_read (&from_node->value, from.offset, data, *size_out);
  error = write_value (&op, to_node, to.offset, data, *size_out);
  if (error != 0)
    *size_out = 0;
  return error;
}
