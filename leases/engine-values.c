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

/* Counts what the value of `node` takes now, after a change, and notes the time of that. */
static void
note_change (LeaseOp *op, LeaseNode *node, uint64_t footprint_before)
{
  op->engine->bytes_used += node->value.footprint - footprint_before;
  node->mtime_ns = node->ctime_ns = op->by->wall_ns;
}

/* Whether `size` bytes may be written at `offset`. */
static int
check_write (LeaseOp *op, const LeaseNode *node, uint64_t offset, size_t size)
{
  if (offset > INT64_MAX || size > INT64_MAX - offset)
    return -EFBIG;
  return lease_op_check_room (op, lease_value_write_cost (&node->value, offset, size), 0);
}

static void
write_value (LeaseOp *op, LeaseNode *node, uint64_t offset, const char *data, size_t size)
{
  uint64_t before = node->value.footprint;

  lease_value_write (&node->value, offset, data, size);
  note_change (op, node, before);
}

int
lease_engine_write (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, uint64_t offset,
                    const char *data, size_t size)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  LeaseNode *node;
  int error = lease_op_regular (&op, id, &node);

  if (error == 0)
    error = check_write (&op, node, offset, size);
  if (error == 0)
    write_value (&op, node, offset, data, size);
  return error;
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
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
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

  uint64_t before = node->value.footprint;
  if (punches || zeroes)
    lease_value_punch (&node->value, offset, size);
  if (!punches)
    lease_value_reserve (&node->value, offset, size);
  if (!(mode & FALLOC_FL_KEEP_SIZE) && offset + size > node->value.size)
    lease_value_truncate (&node->value, offset + size);
  note_change (&op, node, before);
  return 0;
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

/* Copies chunk by chunk, so that the part that fits is copied. */
static int
copy_value (LeaseOp *op, LeaseNode *from, uint64_t from_offset, LeaseNode *to, uint64_t to_offset,
            size_t size, size_t *size_out)
{
  char buffer[LEASE_VALUE_CHUNK];
  int error = 0;

  for (*size_out = 0; *size_out < size;) {
    uint64_t at = to_offset + *size_out;
    size_t part = MIN (size - *size_out, LEASE_VALUE_CHUNK - at % LEASE_VALUE_CHUNK);
    part = lease_value_read (&from->value, from_offset + *size_out, buffer, part);
    if (part == 0 || (error = check_write (op, to, at, part)) != 0)
      break;
    write_value (op, to, at, buffer, part);
    *size_out += part;
  }
  return *size_out > 0 ? 0 : error;
}

int
lease_engine_copy (LeaseEngine *engine, const LeaseCaller *by, LeasePlace from, LeasePlace to,
                   size_t size, size_t *size_out)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  LeaseNode *from_node, *to_node;
  int error = lease_op_regular (&op, from.id, &from_node);

  if (error == 0)
    error = lease_op_regular (&op, to.id, &to_node);
  if (error != 0)
    return error;
  lease_op_note_access (&op, from_node);
  return copy_value (&op, from_node, from.offset, to_node, to.offset, MIN (size, LEASE_COPY_MAX),
                     size_out);
}
