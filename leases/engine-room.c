/* SPDX-License-Identifier: MIT */

/* What things take in memory, and whether there is room for more. */

#include "leases/engine-private.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <sys/stat.h>

/* See lease_new_cost(): malloc() adds at most this much to a block, */
#define BLOCK_COST 24
/* a table of ours this much to an entry, */
#define BUCKET_COST 24
/* one of GLib's this much, */
#define ENTRY_COST 80
/* and the order of a directory this much to a name. */
#define SLOT_COST 32
/* What a directory with names has: a struct, and a table and an array when they have just been
 * made. */
#define DIR_COST (sizeof (LeaseDir) + BLOCK_COST + 160)
/* What watches a holder: a struct and two tables. */
#define WATCH_COST 256

/* Somebody hears of it when the use of memory has fallen by half, and by this much; and where the
 * process has too much, it is given back to the system every now and then. */
#define TRIM_MIN (4 << 20)
#define TRIM_EVERY_NS (100 * LEASE_MILLISECOND)

/* How many bytes may be asked for until the next look at what the process has. */
#define LOOK_EVERY (1 << 20)

uint64_t
lease_new_cost (const LeaseNew *what)
{
  uint64_t cost = sizeof (LeaseNode) + BLOCK_COST + BUCKET_COST;

  if (S_ISLNK (what->mode))
    cost += strlen (what->target) + 1 + BLOCK_COST;
  return cost;
}

uint64_t
lease_node_cost (const LeaseNode *node)
{
  LeaseNew what = { .mode = node->mode, .target = S_ISLNK (node->mode) ? node->target : NULL };
  uint64_t cost = lease_new_cost (&what);

  if (S_ISREG (node->mode))
    cost += lease_value_footprint (&node->value);
  if (S_ISDIR (node->mode) && node->dir->entry_count > 0)
    cost += DIR_COST;
  if (lease_is_directory_of_lease (node))
    cost += LEASE_COST;
  return cost;
}

uint64_t
lease_holder_cost (void)
{
  return sizeof (LeaseHolder) + BLOCK_COST + ENTRY_COST + WATCH_COST;
}

uint64_t
lease_hold_cost (void)
{
  return sizeof (LeaseHold) + BLOCK_COST + ENTRY_COST;
}

uint64_t
lease_name_cost (const char *text)
{
  return sizeof (LeaseName) + strlen (text) + 1 + BLOCK_COST + BUCKET_COST + SLOT_COST;
}

uint64_t
lease_entry_cost (const LeaseNode *parent, const char *text)
{
  return lease_name_cost (text) + (parent->dir->entry_count == 0 ? DIR_COST : 0);
}

bool
lease_engine_is_crowded (LeaseEngine *engine, uint64_t bytes)
{
  const LeaseEngineConfig *config = &engine->config;

  if (config->memory == NULL || config->max_bytes == UINT64_MAX)
    return false;
  engine->bytes_asked += bytes;
  if (engine->bytes_asked < LOOK_EVERY && !engine->crowded)
    return false;
  engine->bytes_asked = 0;
  engine->crowded = config->memory () > config->max_bytes + config->memory_slack;
  if (engine->crowded && engine->now - engine->trimmed >= TRIM_EVERY_NS) {
    malloc_trim (0);
    engine->trimmed = engine->now;
    engine->crowded = config->memory () > config->max_bytes + config->memory_slack;
  }
  return engine->crowded;
}

static bool
has_room (const LeaseEngine *engine, uint64_t bytes, unsigned nodes)
{
  const LeaseEngineConfig *config = &engine->config;
  uint64_t count = lease_tree_node_count (engine->tree) - engine->ended_nodes;

  return bytes <= config->max_bytes - MIN (engine->bytes_used, config->max_bytes) &&
         nodes <= config->max_nodes - MIN (count, config->max_nodes);
}

int
lease_op_check_room (LeaseOp *op, uint64_t bytes, unsigned nodes)
{
  if (bytes == 0 && nodes == 0)
    return 0; /* it always fits */
  if (lease_engine_is_crowded (op->engine, bytes)) {
    while (lease_op_settle (op, SETTLE_SLICE))
      continue;
    if (lease_engine_is_crowded (op->engine, 0))
      return -ENOSPC;
  }
  for (bool more = true; !has_room (op->engine, bytes, nodes);) {
    if (!more)
      return -ENOSPC;
    more = lease_op_settle (op, SETTLE_SLICE);
  }
  return 0;
}

int
lease_op_check_lease_room (LeaseOp *op)
{
  const LeaseDir *dir = op->engine->leases_dir->dir;
  bool more = true;

  while (dir->entry_count - dir->dead_count >= op->engine->config.max_leases) {
    if (!more)
      return -ENOSPC;
    more = lease_op_settle (op, SETTLE_SLICE);
  }
  return 0;
}

bool
lease_engine_has_shrunk (LeaseEngine *engine)
{
  engine->bytes_peak = MAX (engine->bytes_peak, engine->bytes_used);
  if (engine->bytes_peak - engine->bytes_used < MAX (engine->bytes_peak / 2, TRIM_MIN))
    return false;
  engine->bytes_peak = engine->bytes_used;
  return true;
}
