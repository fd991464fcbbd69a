/* SPDX-License-Identifier: MIT */

/* The engine's operations after the end of leases. That they are over, everybody sees by the clock;
 * what happens here is the aftermath, in pieces as small as the caller wants. First a lease is
 * settled: the directories of its keys get a new mtime. Then its names are removed one by one,
 * leaves first, by whoever works through lease_engine_next_grave(). */

#include "leases/engine-private.h"

#include <errno.h>
#include <sys/stat.h>

bool
lease_engine_expire (LeaseEngine *engine, const LeaseCaller *by, unsigned max)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);

  return lease_op_settle (&op, max);
}

/* Whether `directory` is, or lies in, the directory of a lease that is over. */
static bool
goes_with_lease (const LeaseOp *op, const LeaseNode *directory)
{
  const Lease *lease = lease_enclosing (directory);

  return lease != NULL && lease_is_over (lease, op->now);
}

bool
lease_op_is_due (LeaseOp *op, const LeaseName *name)
{
  return lease_op_is_over (op, name->node) || goes_with_lease (op, name->parent);
}

/* What to remove next of `node`, which has ended or goes with a lease: the deepest thing in it, or
 * else a name of its own. */
static LeaseName *
next_leaf (LeaseNode *node)
{
  LeaseName *name = node->names;

  while (S_ISDIR (node->mode) && node->dir->entry_count > 0) {
    name = lease_tree_last (node);
    node = name->node;
  }
  return name;
}

/* Makes the next grave a name in `parent`, of what ended then. Returns false where that needs nobody
 * else: no path leads there, and the kernel does not know it. */
static bool
mark_grave (LeaseOp *op, LeaseNode *parent, const LeaseNode *node, const char *text,
            LeaseTime since, bool retaken, LeaseGrave *grave_out)
{
  char *directory = lease_op_way (op, parent);

  if (directory == NULL && node->pins == 0)
    return false;
  op->engine->grave = node->id;
  *grave_out = (LeaseGrave){
    .parent = parent->id,
    .node = node->id,
    .is_directory = S_ISDIR (node->mode),
    .retaken = retaken,
    .detour = op->engine->way->len > retaken,
    .other_names = node->name_count > 1,
    .last = !retaken && parent->dir->dead_count <= 1 && !lease_op_is_over (op, parent),
    .since = since,
    .waiting = op->engine->counts.graves,
    .directory = directory,
    .name = g_strdup (text),
  };
  return true;
}

/* The steps of the cleaning up return whether they have come to a grave. */

static bool
clean_name (LeaseOp *op, LeaseName *name, LeaseTime since, LeaseGrave *grave_out)
{
  if (mark_grave (op, name->parent, name->node, name->text, since, false, grave_out))
    return true;
  lease_plan_drop_name (op, name, false);
  lease_op_commit_lazily (op);
  return false;
}

/* What is left in it goes first. */
static bool
clean_ghost (LeaseOp *op, LeaseGhost *ghost, LeaseGrave *grave_out)
{
  LeaseNode *node = ghost->node;

  if (S_ISDIR (node->mode) && node->dir->entry_count > 0)
    return clean_name (op, next_leaf (node), op->now, grave_out);
  ghost->shown = false;
  g_ptr_array_add (op->engine->way, ghost);
  if (mark_grave (op, ghost->parent, ghost->node, ghost->text, op->now, true, grave_out) &&
      grave_out->directory != NULL)
    return true;
  lease_grave_clear (grave_out);
  lease_op_lay (op, ghost);
  return false;
}

/* `lease` has nothing but its directory left, of which `name` is what is left. */
static bool
clean_directory (LeaseOp *op, Lease *lease, LeaseName *name, LeaseGrave *grave_out)
{
  LeaseGhost *ghost = lease_ghost_of (op->engine, lease->directory);

  if (lease->awaited) {
    lease_op_let_part (op, lease);
    return false;
  }
  if (name != NULL)
    return clean_name (op, name, lease->due.deadline, grave_out);
  if (ghost != NULL)
    return clean_ghost (op, ghost, grave_out);
  lease_plan_free_lease (op, lease);
  lease_op_commit_lazily (op);
  return false;
}

static bool
clean_lease (LeaseOp *op, Lease *lease, LeaseGrave *grave_out)
{
  LeaseNode *node = lease->first_member == NULL ? lease->directory : lease->first_member;

  if (node != lease->directory && !lease_op_is_over (op, node))
    return false; /* a directory that is still in use; it has just lost its lease */

  LeaseName *name = next_leaf (node);
  if (node == lease->directory && (name == NULL || name->node == node))
    return clean_directory (op, lease, name, grave_out);
  if (name != NULL)
    return clean_name (op, name, lease->due.deadline, grave_out);
  lease_op_mark_ended (op, node);
  lease_op_collect (op, node);
  return false;
}

/* The ghost whose turn it is; NULL: that of `lease`. Somebody may wait for the keys of that, but
 * with its directory it comes behind what ghosts its keys may have become. */
static LeaseGhost *
next_ghost (LeaseEngine *engine, const Lease *lease)
{
  if (lease != NULL && lease->awaited && lease_has_keys (lease))
    return NULL;
  return g_queue_peek_head (&engine->ghosts);
}

int
lease_engine_next_grave (LeaseEngine *engine, const LeaseCaller *by, unsigned max,
                         LeaseGrave *grave_out)
{
  g_auto (LeaseOp) op = lease_op_begin_change (engine, by);

  if (op.busy)
    return -EAGAIN;
  for (bool found = false; !found; max--) {
    Lease *lease = g_queue_peek_head (&engine->ended);
    LeaseGhost *ghost = next_ghost (engine, lease);
    g_ptr_array_set_size (engine->way, 0);
    if (ghost == NULL && lease == NULL)
      return g_queue_is_empty (&engine->closing) ? -ENOENT : -EBUSY;
    if (max == 0 || op.cleared != 0)
      return -EAGAIN;
    found =
        ghost != NULL ? clean_ghost (&op, ghost, grave_out) : clean_lease (&op, lease, grave_out);
  }
  return 0;
}

bool
lease_engine_bury (LeaseEngine *engine, const LeaseCaller *by, const LeaseGrave *grave)
{
  g_auto (LeaseOp) op = lease_op_begin_change (engine, by);
  LeaseNode *parent = op.busy ? NULL : lease_tree_node (engine->tree, grave->parent);
  LeaseName *name = parent == NULL ? NULL : lease_tree_find (parent, grave->name);
  LeaseGhost *ghost = parent == NULL ? NULL : lease_op_find_ghost (&op, parent, grave->name);

  if (ghost != NULL && ghost->node->id == grave->node) {
    ghost->shown = true;
    return lease_op_remove_ghost (&op, ghost, grave->is_directory) == 0;
  }
  if (name == NULL || name->node->id != grave->node || !lease_op_is_due (&op, name) ||
      (S_ISDIR (name->node->mode) && name->node->dir->entry_count > 0))
    return false;
  lease_plan_drop_name (&op, name, false);
  lease_op_commit_lazily (&op);
  return true;
}

/* So few names or nodes there may always be that are still to go. */
#define FEW 1024

bool
lease_engine_is_busy (LeaseEngine *engine)
{
  pthread_mutex_lock (&engine->lock);
  bool busy = engine->counts.graves > FEW || engine->ended_nodes > FEW;
  pthread_mutex_unlock (&engine->lock);
  return busy;
}

bool
lease_engine_is_taken (LeaseEngine *engine, uint64_t parent_id, const char *text)
{
  pthread_mutex_lock (&engine->lock);
  const LeaseNode *parent = lease_tree_node (engine->tree, parent_id);
  bool taken = parent != NULL && S_ISDIR (parent->mode) && lease_tree_find (parent, text) != NULL;
  pthread_mutex_unlock (&engine->lock);
  return taken;
}

bool
lease_engine_is_pinned (LeaseEngine *engine, uint64_t id)
{
  pthread_mutex_lock (&engine->lock);
  const LeaseNode *node = lease_tree_node (engine->tree, id);
  bool pinned = node != NULL && node->pins > 0;
  pthread_mutex_unlock (&engine->lock);
  return pinned;
}

void
lease_grave_clear (LeaseGrave *grave)
{
  g_clear_pointer (&grave->directory, g_free);
  g_clear_pointer (&grave->name, g_free);
}
