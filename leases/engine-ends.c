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

/* One step of the cleaning up that needs nobody else. Returns a name for which that is not enough,
 * or NULL. */
static LeaseName *
clean_step (LeaseOp *op, Lease *lease, char **path_out)
{
  LeaseNode *node =
      g_queue_is_empty (&lease->members) ? lease->directory : lease->members.head->data;

  if (node != lease->directory && !lease_op_is_over (op, node))
    return NULL; /* a directory that is still in use; it has just lost its lease */

  LeaseName *name = next_leaf (node);
  if (name != NULL) {
    *path_out = lease_tree_path (name);
    if (*path_out != NULL || name->node->pins > 0)
      return name;
    lease_op_drop_name (op, name);
  } else if (node == lease->directory) {
    lease_op_free_lease (op, lease);
  } else {
    lease_op_mark_ended (op, node);
    lease_op_collect (op, node);
  }
  return NULL;
}

int
lease_engine_next_grave (LeaseEngine *engine, const LeaseCaller *by, unsigned max,
                         LeaseGrave *grave_out)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  LeaseName *name = NULL;
  g_autofree char *path = NULL;

  for (; name == NULL; max--) {
    Lease *lease = g_queue_peek_head (&engine->ended);
    if (lease == NULL)
      return -ENOENT;
    if (max == 0)
      return -EAGAIN;
    name = clean_step (&op, lease, &path);
  }
  *grave_out = (LeaseGrave){
    .parent = name->parent->id,
    .node = name->node->id,
    .is_directory = S_ISDIR (name->node->mode),
    .directory = path == NULL ? NULL : g_path_get_dirname (path),
    .name = g_strdup (name->text),
  };
  return 0;
}

bool
lease_engine_bury (LeaseEngine *engine, const LeaseCaller *by, const LeaseGrave *grave)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  LeaseNode *parent = lease_tree_node (engine->tree, grave->parent);
  LeaseName *name = parent == NULL ? NULL : lease_tree_find (parent, grave->name);

  if (name == NULL || name->node->id != grave->node || !lease_op_is_due (&op, name) ||
      (S_ISDIR (name->node->mode) && name->node->dir->entry_count > 0))
    return false;
  lease_op_drop_name (&op, name);
  return true;
}

void
lease_grave_clear (LeaseGrave *grave)
{
  g_clear_pointer (&grave->directory, g_free);
  g_clear_pointer (&grave->name, g_free);
}
