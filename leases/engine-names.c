/* SPDX-License-Identifier: MIT */

/* The engine's operations on names. Each checks everything first, then plans its change. */

#include "leases/engine-private.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* What the rules of leases/ keep from being moved, linked or removed, and from being replaced. */
static bool
is_fixed (const LeaseOp *op, const LeaseNode *parent, const char *text)
{
  return parent == op->engine->leases_dir || lease_is_pseudo_file (op->engine, parent, text) ||
         (parent->id == LEASE_ROOT && strcmp (text, "leases") == 0);
}

/* What a node with a new name in `parent` is attached to: the lease in whose directory it comes to
 * lie; or, when it is `created`, the one that `parent` is attached to. */
static Lease *
lease_for (const LeaseNode *parent, bool created)
{
  Lease *lease = lease_enclosing (parent);

  if (lease == NULL && created)
    lease = parent->lease;
  return lease;
}

/* Whether the caller owns everything in `top`: all of it goes with the lease in whose directory it
 * lies. Not recursive: how deep directories are nested is up to the users. */
static bool
owns_all (const LeaseOp *op, LeaseNode *top)
{
  g_autoptr (GPtrArray) directories = g_ptr_array_new ();

  if (S_ISDIR (top->mode))
    g_ptr_array_add (directories, top);
  for (unsigned i = 0; i < directories->len; i++) {
    LeaseNode *directory = g_ptr_array_index (directories, i);
    LeaseName *name = NULL;
    while ((name = lease_tree_next (directory, name == NULL ? 0 : name->cookie)) != NULL) {
      if (name->node->uid != op->by->uid)
        return false;
      if (S_ISDIR (name->node->mode))
        g_ptr_array_add (directories, name->node);
    }
  }
  return true;
}

/* Whether the caller may bring `node` under `parent`, as far as leases are concerned. */
static int
check_move_into (const LeaseOp *op, const LeaseNode *parent, LeaseNode *node)
{
  const Lease *lease = lease_for (parent, false);

  /* An attached directory that comes in brings what is in it, which need not be attached. */
  if (lease == NULL || (S_ISDIR (node->mode) ? lease_enclosing (node) : node->lease) == lease)
    return 0;
  if (lease->granted_ns == 0)
    return -EINVAL;
  int error = lease_op_may_attach (op, lease, node);
  return error == 0 && op->by->uid != 0 && !owns_all (op, node) ? -EPERM : error;
}

/* Whether `text` is free in `parent` and may be given to a new name. What has ended makes room
 * with plan_new_name(). */
static int
check_new_name (LeaseOp *op, const LeaseNode *parent, const char *text)
{
  if (strlen (text) > NAME_MAX)
    return -ENAMETOOLONG;
  if (parent->names == NULL && parent->id != LEASE_ROOT)
    return -ENOENT; /* as on any removed directory that somebody still stands in */
  if (lease_is_pseudo_file (op->engine, parent, text) || lease_op_find (op, parent, text) != NULL)
    return -EEXIST;
  return 0;
}

/* In place of one that has ended, if that is still there. */
static void
plan_new_name (LeaseOp *op, const LeaseNode *parent, const char *text, uint64_t id,
               const Lease *lease)
{
  LeaseName *name = lease_tree_find (parent, text);

  if (name != NULL && lease_op_is_over (op, name->node))
    lease_plan_displace (op, name);
  lease_plan_name (op, parent, text, id, lease);
}

/* Whether there may be a new lease of that name. */
static int
check_new_lease (LeaseOp *op, const char *text, mode_t mode)
{
  if (!S_ISDIR (mode))
    return -EPERM;
  if (text[0] == '.')
    return -EINVAL;
  int error = lease_op_check_lease_room (op);
  return error != 0 ? error : lease_op_check_room (op, LEASE_COST, 0);
}

static int
check_create (LeaseOp *op, const LeaseNode *parent, const char *text, const LeaseNew *what)
{
  const Lease *lease = lease_for (parent, true);
  uint64_t cost = lease_new_cost (what) + lease_entry_cost (parent, text);
  int error = check_new_name (op, parent, text);

  if (error == 0 && (!lease_is_file_type (what->mode) || (lease != NULL && lease->granted_ns == 0)))
    error = -EINVAL;
  if (error == 0 && parent == op->engine->leases_dir) {
    error = check_new_lease (op, text, what->mode);
    cost += LEASE_COST;
  }
  return error != 0 ? error : lease_op_check_room (op, cost, 1);
}

/* What is new in `parent`, with all that comes with the place. Returns its id. */
static uint64_t
plan_child (LeaseOp *op, const LeaseNode *parent, const LeaseNew *what)
{
  LeaseNew child = *what;
  gid_t gid = op->by->gid;

  if (parent->mode & S_ISGID) {
    gid = parent->gid;
    if (S_ISDIR (child.mode))
      child.mode |= S_ISGID;
  }
  return lease_plan_node (op, &child, op->by->uid, gid);
}

/* A node that was found, or has just been made, by its id: the kernel gets to know it. */
static void
pin (LeaseOp *op, uint64_t id, LeaseAttr *attr_out)
{
  LeaseNode *node = lease_tree_node (op->engine->tree, id);

  node->pins++;
  lease_op_fill_attr (op, node, attr_out);
}

int
lease_engine_create (LeaseEngine *engine, const LeaseCaller *by, uint64_t parent_id,
                     const char *text, const LeaseNew *what, LeaseAttr *attr_out)
{
  g_auto (LeaseOp) op = lease_op_begin_change (engine, by);
  LeaseNode *parent;
  int error = by->reaper ? -EPERM : lease_op_directory (&op, parent_id, &parent);

  if (error == 0)
    error = check_create (&op, parent, text, what);
  if (error != 0)
    return error;

  const Lease *lease = lease_for (parent, true);
  uint64_t id = plan_child (&op, parent, what);
  plan_new_name (&op, parent, text, id, lease);
  if (parent == engine->leases_dir)
    lease_plan_lease (&op, LEASE_ROW_LEASE, id);
  else if (lease != NULL)
    lease_plan_attach (&op, id, lease);
  error = lease_op_commit (&op);
  if (error == 0)
    pin (&op, id, attr_out);
  return error;
}

int
lease_engine_link (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, uint64_t parent_id,
                   const char *text, LeaseAttr *attr_out)
{
  g_auto (LeaseOp) op = lease_op_begin_change (engine, by);
  LeaseNode *node, *parent;
  int error = lease_op_node (&op, id, &node);

  if (error == 0)
    error = lease_op_directory (&op, parent_id, &parent);
  if (error == 0)
    error = check_new_name (&op, parent, text);
  if (error == 0 && (S_ISDIR (node->mode) || parent == engine->leases_dir))
    error = -EPERM;
  if (error == 0 && node->names == NULL)
    error = -ENOENT;
  if (error == 0)
    error = check_move_into (&op, parent, node);
  if (error == 0)
    error = lease_op_check_room (&op, lease_entry_cost (parent, text), 0);
  if (error != 0)
    return error;

  const Lease *lease = lease_for (parent, false);
  plan_new_name (&op, parent, text, id, lease != NULL ? lease : node->lease);
  lease_plan_touch_status (&op, node);
  if (lease != NULL)
    lease_plan_attach (&op, id, lease);
  error = lease_op_commit (&op);
  if (error == 0)
    pin (&op, id, attr_out);
  return error;
}

static bool
is_empty (LeaseOp *op, const LeaseNode *directory)
{
  LeaseName *name = NULL;

  while ((name = lease_tree_next (directory, name == NULL ? 0 : name->cookie)) != NULL)
    if (!lease_op_is_over_here (op, name->node))
      return false;
  return true;
}

/* The name that is to be removed from directory `parent_id`. */
static int
find_removable (LeaseOp *op, uint64_t parent_id, const char *text, LeaseName **name_out)
{
  LeaseNode *parent;
  int error = op->busy ? -EAGAIN : lease_op_directory (op, parent_id, &parent);

  if (error != 0)
    return error;
  if (!op->by->reaper && lease_is_pseudo_file (op->engine, parent, text))
    return -EPERM;
  LeaseName *name = lease_op_find (op, parent, text);
  if (name == NULL)
    return -ENOENT;
  /* Another one may have come to stand for it since, and even have ended. The kernel would forget
   * what it knows of the name at -ENOENT. */
  if (op->by->reaper && (name->node->id != op->engine->grave || !lease_op_is_due (op, name)))
    return -ESTALE;
  if (name->node == op->engine->leases_dir)
    return -EPERM;
  *name_out = name;
  return 0;
}

static LeaseGhost *
find_ghost (LeaseOp *op, uint64_t parent_id, const char *text)
{
  const LeaseNode *parent = lease_tree_node (op->engine->tree, parent_id);

  return op->busy || parent == NULL ? NULL : lease_op_find_ghost (op, parent, text);
}

static int
drop_name (LeaseOp *op, LeaseName *name)
{
  if (op->by->reaper)
    lease_tree_note_unlisted (name->parent);
  lease_plan_drop_name (op, name, false);
  if (!op->by->reaper)
    return lease_op_commit (op);
  lease_op_commit_lazily (op);
  return 0;
}

int
lease_engine_unlink (LeaseEngine *engine, const LeaseCaller *by, uint64_t parent, const char *text)
{
  g_auto (LeaseOp) op = lease_op_begin_change (engine, by);
  LeaseGhost *ghost = find_ghost (&op, parent, text);
  LeaseName *name;

  if (ghost != NULL)
    return lease_op_remove_ghost (&op, ghost, false);
  int error = find_removable (&op, parent, text, &name);
  if (error == 0 && S_ISDIR (name->node->mode))
    error = -EISDIR;
  return error != 0 ? error : drop_name (&op, name);
}

int
lease_engine_rmdir (LeaseEngine *engine, const LeaseCaller *by, uint64_t parent, const char *text)
{
  g_auto (LeaseOp) op = lease_op_begin_change (engine, by);
  LeaseGhost *ghost = find_ghost (&op, parent, text);
  LeaseName *name;

  if (ghost != NULL)
    return lease_op_remove_ghost (&op, ghost, true);
  int error = find_removable (&op, parent, text, &name);
  if (error != 0)
    return error;
  LeaseNode *node = name->node;
  if (!S_ISDIR (node->mode))
    return -ENOTDIR;
  if (by->reaper) {
    if (node->dir->entry_count > 0)
      return -ENOTEMPTY;
  } else if (lease_is_directory_of_lease (node)) {
    lease_plan_lease (&op, LEASE_ROW_END, node->id);
  } else if (!is_empty (&op, node)) {
    return -ENOTEMPTY;
  }
  return drop_name (&op, name);
}

/* A rename under way: `name` is to come to `parent`/`text`, where `target` is what the name stands
 * for now (NULL: it is free). */
typedef struct {
  LeaseName *name;
  LeaseNode *parent;
  const char *text;
  LeaseName *target;
  unsigned flags;
  Lease *inherited; /* what the node takes over from that of `target`; NULL: nothing */
} Move;

/* Whether the node of `target` may be replaced by the one of `name`. */
static int
check_replace (LeaseOp *op, const LeaseName *name, const LeaseName *target)
{
  bool is_directory = S_ISDIR (name->node->mode);

  if (!S_ISDIR (target->node->mode))
    return is_directory ? -ENOTDIR : 0;
  if (!is_directory)
    return -EISDIR;
  return is_empty (op, target->node) ? 0 : -ENOTEMPTY;
}

/* Whether the node takes over the lease of the file that it replaces: as its owner's new version of
 * that file, or because the caller could attach it as well. Nobody's file comes to hang on a lease
 * of others merely because it replaces something. */
static int
check_inheritance (LeaseOp *op, Move *move)
{
  const LeaseNode *node = move->name->node;
  Lease *lease = move->target == NULL ? NULL : move->target->node->lease;
  int error = 0;

  if (lease == NULL || node->lease != NULL || S_ISDIR (node->mode))
    return 0;
  if (node->uid != move->target->node->uid)
    error = lease_op_may_edit (op, lease, node, false);
  else if (op->by->uid != 0 && op->by->uid != node->uid)
    error = -EPERM;
  if (error == 0)
    move->inherited = lease;
  return error == -EAGAIN ? error : 0;
}

/* What a rename with RENAME_WHITEOUT leaves behind, for overlay file systems: see mknod(2). */
static const LeaseNew whiteout = { .mode = S_IFCHR };

/* The old name makes room for the new one, unless that needs more. */
static int
check_move_room (LeaseOp *op, const Move *move)
{
  uint64_t cost = move->target == NULL ? lease_entry_cost (move->parent, move->text) : 0;
  uint64_t given_back = lease_name_cost (move->name->text);

  if (move->flags & RENAME_WHITEOUT)
    return lease_op_check_room (op, cost + lease_new_cost (&whiteout), 1);
  return cost > given_back ? lease_op_check_room (op, cost - given_back, 0) : 0;
}

static int
check_move (LeaseOp *op, Move *move)
{
  LeaseNode *node = move->name->node;
  bool exchange = move->flags & RENAME_EXCHANGE;
  int error;

  if (strlen (move->text) > NAME_MAX)
    return -ENAMETOOLONG;
  if (is_fixed (op, move->name->parent, move->name->text) ||
      is_fixed (op, move->parent, move->text))
    return -EPERM;
  if (move->parent->names == NULL && move->parent->id != LEASE_ROOT)
    return -ENOENT;
  if (move->target == NULL && exchange)
    return -ENOENT;
  if (move->target != NULL && (move->flags & RENAME_NOREPLACE))
    return -EEXIST;
  if (S_ISDIR (node->mode) && lease_tree_is_within (move->parent, node))
    return -EINVAL;
  if (move->target != NULL && lease_tree_is_within (move->name->parent, move->target->node))
    return exchange ? -EINVAL : -ENOTEMPTY;
  if ((error = check_move_into (op, move->parent, node)) != 0)
    return error;
  if (exchange)
    return check_move_into (op, move->name->parent, move->target->node);
  if (move->target != NULL && (error = check_replace (op, move->name, move->target)) != 0)
    return error;
  if ((error = check_inheritance (op, move)) != 0)
    return error;
  return check_move_room (op, move);
}

/* What `node` will be attached to once it lies in `parent`. */
static const Lease *
lease_after (const LeaseNode *parent, const LeaseNode *node, const Lease *inherited)
{
  const Lease *lease = lease_for (parent, false);

  if (lease == NULL)
    lease = inherited;
  return lease != NULL ? lease : node->lease;
}

/* `node` comes to lie where its lease is to be `lease`. */
static void
plan_arrival (LeaseOp *op, const LeaseNode *node, const Lease *lease)
{
  lease_plan_touch_status (op, node);
  if (lease != NULL)
    lease_plan_attach (op, node->id, lease);
}

static void
plan_exchange (LeaseOp *op, const Move *move)
{
  const LeaseNode *one = move->name->node, *other = move->target->node;
  const Lease *lease_of_one = lease_after (move->parent, one, NULL);
  const Lease *lease_of_other = lease_after (move->name->parent, other, NULL);

  lease_plan_repoint (op, move->name, other->id, lease_of_other);
  lease_plan_repoint (op, move->target, one->id, lease_of_one);
  lease_plan_touch_names (op, move->name->parent);
  lease_plan_touch_names (op, move->parent);
  plan_arrival (op, one, lease_of_one);
  plan_arrival (op, other, lease_of_other);
}

static void
plan_old_name (LeaseOp *op, const Move *move)
{
  const LeaseNode *parent = move->name->parent;
  const Lease *lease = lease_for (parent, true);

  if (!(move->flags & RENAME_WHITEOUT)) {
    lease_plan_drop_name (op, move->name, true);
    return;
  }
  uint64_t id = plan_child (op, parent, &whiteout);
  lease_plan_repoint (op, move->name, id, lease);
  lease_plan_touch_names (op, parent);
  if (lease != NULL)
    lease_plan_attach (op, id, lease);
}

static void
plan_move (LeaseOp *op, const Move *move)
{
  const LeaseNode *node = move->name->node;
  const Lease *lease = lease_after (move->parent, node, move->inherited);

  if (move->target != NULL)
    lease_plan_replace (op, move->target, node->id, lease);
  else
    plan_new_name (op, move->parent, move->text, node->id, lease);
  plan_old_name (op, move);
  plan_arrival (op, node, lease);
}

int
lease_engine_rename (LeaseEngine *engine, const LeaseCaller *by, uint64_t parent_id,
                     const char *text, uint64_t new_parent_id, const char *new_text, unsigned flags)
{
  g_auto (LeaseOp) op = lease_op_begin_change (engine, by);
  Move move = { .text = new_text, .flags = flags };
  LeaseNode *parent;
  int error = lease_op_directory (&op, parent_id, &parent);

  if (error == 0)
    error = lease_op_directory (&op, new_parent_id, &move.parent);
  if (error != 0)
    return error;
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) != 0 ||
      ((flags & RENAME_EXCHANGE) && flags != RENAME_EXCHANGE))
    return -EINVAL;
  if (lease_is_pseudo_file (engine, parent, text))
    return -EPERM;

  move.name = lease_op_find (&op, parent, text);
  move.target = lease_op_find (&op, move.parent, new_text);
  if (move.name == NULL)
    return -ENOENT;
  if (move.target != NULL && move.target->node == move.name->node && !(flags & RENAME_NOREPLACE))
    return 0; /* two names of one file, or one and the same: nothing to do, says POSIX */
  error = check_move (&op, &move);
  if (error != 0)
    return error;
  if (flags & RENAME_EXCHANGE)
    plan_exchange (&op, &move);
  else
    plan_move (&op, &move);
  return lease_op_commit (&op);
}
