/* SPDX-License-Identifier: MIT */

/* The steps that all operations of the engine are made of: finding, judging what is over, and
 * changing what is kept, with every count in step. */

#include "leases/engine-private.h"

#include <errno.h>
#include <malloc.h>
#include <sys/stat.h>

LeaseOp
lease_op_begin (LeaseEngine *engine, const LeaseCaller *by)
{
  pthread_mutex_lock (&engine->lock);
  engine->now = MAX (engine->now, by->now);
  return (LeaseOp){ .engine = engine, .by = by, .now = engine->now, .number = ++engine->op_count };
}

static void
tell_all (LeaseEngine *engine, LeaseEvent event, const GArray *ids)
{
  for (unsigned i = 0; ids != NULL && i < ids->len; i++)
    engine->notify (event, g_array_index (ids, uint64_t, i), engine->notify_data);
}

void
lease_op_end (LeaseOp *op)
{
  LeaseEngine *engine = op->engine;
  bool trim = lease_engine_has_shrunk (engine);

  pthread_mutex_unlock (&engine->lock);
  if (engine->notify != NULL) {
    tell_all (engine, LEASE_EVENT_STALE, op->stale);
    tell_all (engine, LEASE_EVENT_NAMES, op->names);
    if (op->earlier)
      engine->notify (LEASE_EVENT_EARLIER, 0, engine->notify_data);
    if (op->ended)
      engine->notify (LEASE_EVENT_ENDED, 0, engine->notify_data);
  }
  g_clear_pointer (&op->stale, g_array_unref);
  g_clear_pointer (&op->names, g_array_unref);
  if (trim)
    malloc_trim (0);
}

bool
lease_is_over (const Lease *lease, LeaseTime now)
{
  return lease->ended || now >= lease->due.deadline;
}

bool
lease_is_directory_of_lease (const LeaseNode *node)
{
  return node->lease != NULL && node->lease->directory == node;
}

Lease *
lease_enclosing (const LeaseNode *directory)
{
  for (;;) {
    if (lease_is_directory_of_lease (directory))
      return directory->lease;
    if (directory->names == NULL)
      return NULL;
    directory = directory->names->parent;
  }
}

/* Whether something that has not ended is in `top`, a directory whose lease is over, or in
 * directories below it that are over too. If so, those on the way to it are detached; if not, all
 * of them have ended for good. Not recursive: how deep directories are nested is up to the users.
 */
static bool
keep_if_used (LeaseOp *op, LeaseNode *top)
{
  g_autoptr (GPtrArray) directories = g_ptr_array_new ();

  g_ptr_array_add (directories, top);
  for (unsigned i = 0; i < directories->len; i++) {
    LeaseNode *directory = g_ptr_array_index (directories, i);
    LeaseName *name = NULL;
    while ((name = lease_tree_next (directory, name == NULL ? 0 : name->cookie)) != NULL) {
      LeaseNode *node = name->node;
      if (!node->ended && (node->lease == NULL || !lease_is_over (node->lease, op->now))) {
        for (; directory != top; directory = directory->names->parent)
          lease_op_detach (op, directory);
        lease_op_detach (op, top);
        return true;
      }
      if (S_ISDIR (node->mode) && !node->ended)
        g_ptr_array_add (directories, node);
    }
  }
  for (unsigned i = 0; i < directories->len; i++)
    lease_op_mark_ended (op, g_ptr_array_index (directories, i));
  return false;
}

/* Remembers it for all on the way, which makes the next search short. */
bool
lease_op_goes_with_parent (LeaseOp *op, LeaseNode *directory)
{
  const LeaseNode *top = directory;

  while (!top->ended && !lease_is_directory_of_lease (top)) {
    if (top->names == NULL)
      return false;
    top = top->names->parent;
  }
  if (!top->ended && !lease_is_over (top->lease, op->now))
    return false;
  for (; directory != top; directory = directory->names->parent)
    lease_op_mark_ended (op, directory);
  return true;
}

bool
lease_op_is_over_here (LeaseOp *op, LeaseNode *node)
{
  if (node->ended)
    return true;
  if (node->lease == NULL || !lease_is_over (node->lease, op->now))
    return false;
  return !S_ISDIR (node->mode) || lease_is_directory_of_lease (node) || !keep_if_used (op, node);
}

bool
lease_op_is_over (LeaseOp *op, LeaseNode *node)
{
  return (S_ISDIR (node->mode) && lease_op_goes_with_parent (op, node)) ||
         lease_op_is_over_here (op, node);
}

int
lease_op_node (LeaseOp *op, uint64_t id, LeaseNode **node_out)
{
  LeaseNode *node = lease_tree_node (op->engine->tree, id);

  if (node == NULL || (!op->by->reaper && lease_op_is_over (op, node)))
    return -ESTALE;
  *node_out = node;
  return 0;
}

int
lease_op_directory (LeaseOp *op, uint64_t id, LeaseNode **directory_out)
{
  int error = lease_op_node (op, id, directory_out);

  if (error == 0 && !S_ISDIR ((*directory_out)->mode))
    error = -ENOTDIR;
  return error;
}

int
lease_op_regular (LeaseOp *op, uint64_t id, LeaseNode **node_out)
{
  int error = lease_op_node (op, id, node_out);

  if (error == 0 && S_ISDIR ((*node_out)->mode))
    return -EISDIR;
  if (error == 0 && !S_ISREG ((*node_out)->mode))
    return -EINVAL;
  return error;
}

int
lease_op_lease (LeaseOp *op, uint64_t id, Lease **lease_out)
{
  LeaseNode *node;
  int error = lease_op_node (op, id, &node);

  if (error != 0)
    return error;
  if (!lease_is_directory_of_lease (node))
    return -EINVAL;
  *lease_out = node->lease;
  return 0;
}

LeaseName *
lease_op_find (LeaseOp *op, const LeaseNode *parent, const char *text)
{
  LeaseName *name = lease_tree_find (parent, text);

  if (name != NULL && !op->by->reaper && lease_op_is_over_here (op, name->node))
    return NULL;
  return name;
}

LeaseNode *
lease_op_add_node (LeaseOp *op, const LeaseNew *what, uid_t uid, gid_t gid)
{
  LeaseNode *node = lease_tree_add (op->engine->tree, what->mode);

  node->uid = uid;
  node->gid = gid;
  node->rdev = what->rdev;
  if (S_ISLNK (what->mode))
    node->target = g_strdup (what->target);
  node->atime_ns = node->mtime_ns = node->ctime_ns = op->by->wall_ns;
  op->engine->bytes_used += lease_node_cost (node);
  return node;
}

LeaseName *
lease_op_add_name (LeaseOp *op, LeaseNode *parent, const char *text, LeaseNode *node)
{
  op->engine->bytes_used += lease_entry_cost (parent, text);
  op->engine->generation++;
  lease_op_touch_names (op, parent);
  return lease_tree_link (parent, text, node);
}

void
lease_op_mark_ended (LeaseOp *op, LeaseNode *node)
{
  if (node->ended)
    return;
  node->ended = true;
  op->engine->ended_nodes++;
  if (S_ISREG (node->mode)) {
    op->engine->bytes_used -= node->value.footprint;
    lease_value_clear (&node->value);
  }
}

void
lease_op_drop_name (LeaseOp *op, LeaseName *name)
{
  LeaseNode *parent = name->parent, *node = name->node;

  if (lease_op_is_over (op, node))
    lease_op_mark_ended (op, node);
  else
    lease_op_touch_names (op, parent);
  node->ctime_ns = op->by->wall_ns;
  op->engine->generation++;
  uint64_t before = lease_node_cost (parent) + lease_name_cost (name->text);
  lease_tree_unlink (name);
  op->engine->bytes_used += lease_node_cost (parent) - before;
  lease_op_collect (op, node);
  lease_op_collect (op, parent);
}

void
lease_op_repoint (LeaseOp *op, LeaseName *name, LeaseNode *node)
{
  LeaseNode *old = name->node;

  old->ctime_ns = op->by->wall_ns;
  op->engine->generation++;
  lease_op_touch_names (op, name->parent);
  lease_tree_repoint (name, node);
  lease_op_collect (op, old);
}

void
lease_op_collect (LeaseOp *op, LeaseNode *node)
{
  if (node->names != NULL || node->id == LEASE_ROOT || lease_is_directory_of_lease (node) ||
      (S_ISDIR (node->mode) && node->dir->entry_count > 0))
    return;
  lease_op_detach (op, node);

  uint64_t cost = lease_node_cost (node);
  bool ended = node->ended;
  if (lease_tree_collect (op->engine->tree, node)) {
    op->engine->bytes_used -= cost;
    op->engine->ended_nodes -= ended;
  }
}

static void
leave_lease (LeaseNode *node)
{
  Lease *lease = node->lease;

  if (lease->unsettled == &node->member)
    lease->unsettled = node->member.next;
  g_queue_unlink (&lease->members, &node->member);
}

void
lease_op_attach (LeaseOp *op, LeaseNode *node, Lease *lease)
{
  if (node->lease == lease)
    return;
  if (node->lease != NULL)
    leave_lease (node);
  lease_tree_attach (node, lease);
  g_queue_push_tail_link (&lease->members, &node->member);
  op->engine->generation++;
  lease_op_tell_stale (op, node, true);
  lease_op_tell_names (op, node);
}

void
lease_op_detach (LeaseOp *op, LeaseNode *node)
{
  if (node->lease == NULL)
    return;
  leave_lease (node);
  lease_tree_attach (node, NULL);
  op->engine->generation++;
}

void
lease_op_touch_names (LeaseOp *op, LeaseNode *parent)
{
  if (!lease_is_directory_of_lease (parent))
    parent->mtime_ns = op->by->wall_ns;
  parent->ctime_ns = op->by->wall_ns;
}

/* `last_op` is the operation in which the node was last added to such a list. */
static void
add_id (const LeaseOp *op, GArray **ids, const LeaseNode *node, uint64_t *last_op)
{
  /* What nobody has pinned, nobody has attributes or names of. */
  if ((node->pins == 0 && node->id != LEASE_ROOT) || *last_op == op->number)
    return;
  *last_op = op->number;
  if (*ids == NULL)
    *ids = g_array_new (FALSE, FALSE, sizeof (uint64_t));
  g_array_append_val (*ids, node->id);
}

void
lease_op_tell_names (LeaseOp *op, LeaseNode *node)
{
  add_id (op, &op->names, node, &node->names_op);
}

void
lease_op_tell_stale (LeaseOp *op, LeaseNode *node, bool parents)
{
  add_id (op, &op->stale, node, &node->stale_op);
  for (const LeaseName *name = node->names; parents && name != NULL; name = name->next)
    add_id (op, &op->stale, name->parent, &name->parent->stale_op);
}
