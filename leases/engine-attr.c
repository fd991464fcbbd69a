/* SPDX-License-Identifier: MIT */

/* What stat(2) shows of a node, and for how long it holds. */

#include "leases/engine-private.h"

#include <string.h>
#include <sys/stat.h>

/* What an entry adds to the size of a directory on a tmpfs, whatever its name. */
#define ENTRY_SIZE 20

#define DAY_NS (24 * 60 * 60 * INT64_C (1000000000))

/* The rule of relatime, which mount(8) sets unless told otherwise: reading is noted if it is the
 * first since the last change, or in a day. */
void
lease_op_note_access (LeaseOp *op, LeaseNode *node)
{
  const LeaseEngineConfig *config = &op->engine->config;
  int64_t atime_ns = node->atime_ns, wall_ns = op->by->wall_ns;

  if (op->by->reaper || config->noatime || (config->nodiratime && S_ISDIR (node->mode)))
    return;
  if (atime_ns <= node->mtime_ns || atime_ns <= node->ctime_ns || wall_ns - atime_ns >= DAY_NS)
    node->atime_ns = wall_ns, node->dirty = true;
}

/* A directory shows the end of what was in it by its mtime, which cached listings are checked
 * against. While something dead waits to be removed from it, the mtime moves on each time that it
 * is asked for: a listing that was asked for before the end may still be on its way into the cache
 * then, under an mtime from after it. A removal takes the directory's lock in the kernel, and so
 * comes behind every such listing; and the kernel lets go of what it has cached then. So after the
 * first one of many the attributes hold again, without which each would take two requests more. */
static LeaseTime
settle_directory (LeaseOp *op, LeaseNode *directory)
{
  bool more = lease_op_settle (op, SETTLE_SLICE) || !g_queue_is_empty (&op->engine->revoking);

  if (more || (directory->dir->dead_count > 0 && directory->dir->lists_dead)) {
    directory->mtime_ns = MAX (directory->mtime_ns + 1, op->by->wall_ns);
    directory->ctime_ns = MAX (directory->ctime_ns, directory->mtime_ns);
    directory->dirty = true;
    return op->now;
  }
  const LeaseQueueItem *item = lease_queue_earliest (op->engine->deadlines);
  return item == NULL ? LEASE_TIME_NEVER : item->deadline;
}

void
lease_op_fill_attr (LeaseOp *op, LeaseNode *node, LeaseAttr *attr_out)
{
  LeaseTime fresh_until = LEASE_TIME_NEVER;

  if (S_ISDIR (node->mode) && node->dir->leased_count > 0)
    fresh_until = settle_directory (op, node);
  if (node->lease != NULL)
    fresh_until = MIN (fresh_until, lease_op_show (op, node->lease));
  if (lease_is_directory_of_lease (node))
    node->lease->directory_shown = true;
  if (S_ISDIR (node->mode) && node->dir->entry_count > 0)
    node->dir->shown_until = MAX (node->dir->shown_until, fresh_until);

  *attr_out = (LeaseAttr){
    .id = node->id,
    .parent = S_ISDIR (node->mode) && node->names != NULL ? node->names->parent->id : node->id,
    .mode = node->mode,
    .nlink = lease_tree_link_count (node),
    .uid = node->uid,
    .gid = node->gid,
    .atime_ns = node->atime_ns,
    .mtime_ns = node->mtime_ns,
    .ctime_ns = node->ctime_ns,
    .is_lease = lease_is_directory_of_lease (node),
    .fresh_until = fresh_until,
  };
  if (S_ISREG (node->mode)) {
    attr_out->size = node->value.size;
    attr_out->footprint = lease_value_footprint (&node->value);
  } else if (S_ISLNK (node->mode)) {
    attr_out->size = strlen (node->target);
  } else if (S_ISDIR (node->mode)) {
    attr_out->size = (2 + node->dir->entry_count - node->dir->dead_count) * ENTRY_SIZE;
  } else {
    attr_out->rdev = node->rdev;
  }
}
