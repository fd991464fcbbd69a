/* SPDX-License-Identifier: MIT */

/* The engine's operations that lead by names to nodes, and change none of them. */

#include "leases/engine-private.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* So many names of what is over are passed over at a time, under the engine's lock. */
#define LIST_SKIPS 512

/* What `text` stands for in `parent`. "." and ".." are asked for when a file handle is opened, "."
 * of any file then. */
static int
find_node (LeaseOp *op, LeaseNode *parent, const char *text, LeaseNode **node_out)
{
  if (strcmp (text, ".") == 0) {
    *node_out = parent;
    return 0;
  }
  if (!S_ISDIR (parent->mode))
    return -ENOTDIR;
  if (strlen (text) > NAME_MAX)
    return -ENAMETOOLONG;
  if (strcmp (text, "..") == 0) {
    *node_out = parent->names == NULL ? parent : parent->names->parent;
    return 0;
  }
  const LeaseName *name = lease_op_find (op, parent, text);
  if (name == NULL)
    return -ENOENT;
  *node_out = name->node;
  return 0;
}

static bool
is_due (LeaseOp *op, const LeaseNode *parent, const char *text)
{
  const LeaseName *name = S_ISDIR (parent->mode) ? lease_tree_find (parent, text) : NULL;

  return name != NULL && lease_op_is_due (op, name);
}

int
lease_engine_lookup (LeaseEngine *engine, const LeaseCaller *by, uint64_t parent_id,
                     const char *text, LeaseAttr *attr_out, LeaseTime *fresh_until_out)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  LeaseNode *parent, *node;
  int error = lease_op_node (&op, parent_id, &parent);
  LeaseGhost *ghost = error == 0 ? lease_op_find_ghost (&op, parent, text) : NULL;

  if (ghost != NULL) {
    node = ghost->node;
    ghost->shown = true;
  } else if (error == 0) {
    error = find_node (&op, parent, text, &node);
  }
  if (error == -ENOENT && fresh_until_out != NULL)
    *fresh_until_out = lease_tree_find (parent, text) == NULL ? LEASE_TIME_NEVER : 0;
  if (error != 0)
    return error;
  node->pins++;
  lease_op_fill_attr (&op, node, attr_out);
  /* What has ended is shown to the reaper alone. */
  if (by->reaper && (ghost != NULL || is_due (&op, parent, text)))
    attr_out->fresh_until = 0;
  attr_out->nlink += ghost != NULL;
  return 0;
}

void
lease_engine_unpin (LeaseEngine *engine, uint64_t id, uint64_t count)
{
  static const LeaseCaller nobody = { .reaper = true };
  g_auto (LeaseOp) op = lease_op_begin (engine, &nobody);
  LeaseNode *node = lease_tree_node (engine->tree, id);

  if (node == NULL)
    return;
  node->pins -= MIN (count, node->pins);
  if (node->pins == 0)
    lease_op_collect (&op, node);
}

/* Whether a listing leaves out `name` because that has ended. */
static bool
is_skipped (LeaseOp *op, const LeaseName *name)
{
  op->many = true;
  bool skipped = !op->by->reaper && lease_op_is_over_here (op, name->node);
  op->many = false;
  return skipped;
}

/* Lists what lies behind `*cookie` until `each` says to stop or too many have been skipped, which
 * leaves `*cookie` at the last one of these. Returns a negative errno, or whether there is more.
 * Sets `*reveals` if it has skipped something of which the journal does not know yet. */
static int
list_some (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, uint64_t *cookie, bool pin,
           LeaseListEach each, void *data, bool *reveals)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  LeaseNode *directory;
  int error = lease_op_directory (&op, id, &directory);
  unsigned skipped = 0;

  if (error != 0)
    return error;
  lease_op_note_access (&op, directory);
  LeaseTreeIter iter = lease_tree_iter (directory, *cookie);
  for (LeaseName *name; (name = lease_tree_iter_next (&iter)) != NULL;) {
    LeaseAttr attr;
    if (skipped == LIST_SKIPS)
      return true;
    *cookie = name->cookie;
    if (is_skipped (&op, name)) {
      *reveals |= op.reveals_many;
      skipped++;
      continue;
    }
    lease_op_fill_attr (&op, name->node, &attr);
    if (!each (name->text, &attr, name->cookie, data))
      return false;
    if (pin)
      name->node->pins++;
  }
  return false;
}

int
lease_engine_list (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, uint64_t cookie,
                   bool pin, LeaseListEach each, void *data)
{
  bool reveals = false;
  int result = list_some (engine, by, id, &cookie, pin, each, data, &reveals);

  while (result > 0) {
    lease_engine_let_in (engine);
    result = list_some (engine, by, id, &cookie, pin, each, data, &reveals);
  }
  if (reveals && engine->notify != NULL)
    engine->notify (LEASE_EVENT_REVEALS_MANY, 0, engine->notify_data);
  return result;
}

void
lease_engine_names (LeaseEngine *engine, uint64_t id, unsigned max, LeaseNameEach each, void *data)
{
  pthread_mutex_lock (&engine->lock);
  const LeaseNode *node = lease_tree_node (engine->tree, id);
  const LeaseName *name = node == NULL ? NULL : node->names;
  for (; name != NULL && max > 0; name = name->next, max--) {
    g_autofree char *path = lease_tree_path (name);
    g_autofree char *directory = path == NULL ? NULL : g_path_get_dirname (path);
    each (name->parent->id, directory, name->text, data);
  }
  pthread_mutex_unlock (&engine->lock);
}
