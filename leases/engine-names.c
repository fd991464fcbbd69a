/* SPDX-License-Identifier: MIT */

/* The engine's operations on names. Each checks everything first, then changes the state by steps
 * that cannot fail. */

#include "leases/engine-private.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool
is_pseudo_file (const LeaseNode *parent, const char *text)
{
  return lease_is_directory_of_lease (parent) && lease_file_from_name (text) != LEASE_FILE_NONE;
}

/* What the rules of leases/ keep from being moved, linked or removed, and from being replaced. */
static bool
is_fixed (const LeaseOp *op, const LeaseNode *parent, const char *text)
{
  return parent == op->engine->leases_dir || is_pseudo_file (parent, text) ||
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
 * later, with make_room(). */
static int
check_new_name (LeaseOp *op, const LeaseNode *parent, const char *text)
{
  if (strlen (text) > NAME_MAX)
    return -ENAMETOOLONG;
  if (parent->names == NULL && parent->id != LEASE_ROOT)
    return -ENOENT; /* as on any removed directory that somebody still stands in */
  if (is_pseudo_file (parent, text) || lease_op_find (op, parent, text) != NULL)
    return -EEXIST;
  return 0;
}

/* Drops a name that has ended but is still there. */
static void
make_room (LeaseOp *op, LeaseNode *parent, const char *text)
{
  LeaseName *name = lease_tree_find (parent, text);

  if (name != NULL && lease_op_is_over (op, name->node))
    lease_op_drop_name (op, name);
}

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

int
lease_engine_lookup (LeaseEngine *engine, const LeaseCaller *by, uint64_t parent_id,
                     const char *text, LeaseAttr *attr_out, LeaseTime *fresh_until_out)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  LeaseNode *parent, *node;
  int error = lease_op_node (&op, parent_id, &parent);

  if (error == 0)
    error = find_node (&op, parent, text, &node);
  if (error == -ENOENT && fresh_until_out != NULL)
    *fresh_until_out = lease_tree_find (parent, text) == NULL ? LEASE_TIME_NEVER : 0;
  if (error != 0)
    return error;
  node->pins++;
  lease_op_fill_attr (&op, node, attr_out);
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

static bool
is_file_type (mode_t mode)
{
  return S_ISREG (mode) || S_ISDIR (mode) || S_ISLNK (mode) || S_ISFIFO (mode) || S_ISSOCK (mode) ||
         S_ISCHR (mode) || S_ISBLK (mode);
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

  if (error == 0 && (!is_file_type (what->mode) || (lease != NULL && lease->granted_ns == 0)))
    error = -EINVAL;
  if (error == 0 && parent == op->engine->leases_dir) {
    error = check_new_lease (op, text, what->mode);
    cost += LEASE_COST;
  }
  return error != 0 ? error : lease_op_check_room (op, cost, 1);
}

/* Makes what is new in `parent`, with all that comes with the place. */
static LeaseNode *
add_child (LeaseOp *op, LeaseNode *parent, const LeaseNew *what)
{
  LeaseNew child = *what;
  gid_t gid = op->by->gid;

  if (parent->mode & S_ISGID) {
    gid = parent->gid;
    if (S_ISDIR (child.mode))
      child.mode |= S_ISGID;
  }
  return lease_op_add_node (op, &child, op->by->uid, gid);
}

int
lease_engine_create (LeaseEngine *engine, const LeaseCaller *by, uint64_t parent_id,
                     const char *text, const LeaseNew *what, LeaseAttr *attr_out)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  LeaseNode *parent;
  int error = lease_op_directory (&op, parent_id, &parent);

  if (error == 0)
    error = check_create (&op, parent, text, what);
  if (error != 0)
    return error;

  make_room (&op, parent, text);
  LeaseNode *node = add_child (&op, parent, what);
  lease_op_add_name (&op, parent, text, node);
  if (parent == engine->leases_dir)
    lease_op_reserve (&op, node);
  else if (lease_for (parent, true) != NULL)
    lease_op_attach (&op, node, lease_for (parent, true));
  node->pins++;
  lease_op_fill_attr (&op, node, attr_out);
  return 0;
}

int
lease_engine_link (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, uint64_t parent_id,
                   const char *text, LeaseAttr *attr_out)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
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

  make_room (&op, parent, text);
  lease_op_add_name (&op, parent, text, node);
  node->ctime_ns = by->wall_ns;
  if (lease_for (parent, false) != NULL)
    lease_op_attach (&op, node, lease_for (parent, false));
  node->pins++;
  lease_op_fill_attr (&op, node, attr_out);
  return 0;
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
  int error = lease_op_directory (op, parent_id, &parent);

  if (error != 0)
    return error;
  if (is_pseudo_file (parent, text))
    return -EPERM;
  LeaseName *name = lease_op_find (op, parent, text);
  if (name == NULL || (op->by->reaper && !lease_op_is_due (op, name)))
    return -ENOENT;
  if (name->node == op->engine->leases_dir)
    return -EPERM;
  *name_out = name;
  return 0;
}

int
lease_engine_unlink (LeaseEngine *engine, const LeaseCaller *by, uint64_t parent, const char *text)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  LeaseName *name;
  int error = find_removable (&op, parent, text, &name);

  if (error == 0 && S_ISDIR (name->node->mode))
    error = -EISDIR;
  if (error == 0)
    lease_op_drop_name (&op, name);
  return error;
}

int
lease_engine_rmdir (LeaseEngine *engine, const LeaseCaller *by, uint64_t parent, const char *text)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  LeaseName *name;
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
    lease_op_revoke (&op, node->lease);
    lease_op_touch_names (&op, engine->leases_dir);
  } else if (!is_empty (&op, node)) {
    return -ENOTEMPTY;
  }
  lease_op_drop_name (&op, name);
  return 0;
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

/* `node` has come to lie in `parent`. */
static void
arrive (LeaseOp *op, LeaseNode *parent, LeaseNode *node)
{
  Lease *lease = lease_for (parent, false);

  node->ctime_ns = op->by->wall_ns;
  if (lease != NULL)
    lease_op_attach (op, node, lease);
}

static void
exchange_nodes (LeaseOp *op, const Move *move)
{
  LeaseNode *one = move->name->node, *other = move->target->node;

  op->engine->generation++;
  lease_op_touch_names (op, move->name->parent);
  lease_op_touch_names (op, move->parent);
  lease_tree_repoint (move->name, other);
  lease_tree_repoint (move->target, one);
  arrive (op, move->parent, one);
  arrive (op, move->name->parent, other);
}

static void
leave_old_name (LeaseOp *op, const Move *move)
{
  LeaseNode *parent = move->name->parent;

  if (!(move->flags & RENAME_WHITEOUT)) {
    lease_op_drop_name (op, move->name);
    return;
  }
  LeaseNode *node = add_child (op, parent, &whiteout);
  lease_op_repoint (op, move->name, node);
  if (lease_for (parent, true) != NULL)
    lease_op_attach (op, node, lease_for (parent, true));
}

static void
move_node (LeaseOp *op, const Move *move)
{
  LeaseNode *node = move->name->node;

  if (move->target != NULL) {
    lease_op_repoint (op, move->target, node);
  } else {
    make_room (op, move->parent, move->text);
    lease_op_add_name (op, move->parent, move->text, node);
  }
  leave_old_name (op, move);
  if (move->inherited != NULL)
    lease_op_attach (op, node, move->inherited);
  arrive (op, move->parent, node);
}

int
lease_engine_rename (LeaseEngine *engine, const LeaseCaller *by, uint64_t parent_id,
                     const char *text, uint64_t new_parent_id, const char *new_text, unsigned flags)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
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
  if (is_pseudo_file (parent, text))
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
    exchange_nodes (&op, &move);
  else
    move_node (&op, &move);
  return 0;
}

int
lease_engine_list (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, uint64_t cookie,
                   bool pin, LeaseListEach each, void *data)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  LeaseNode *directory;
  int error = lease_op_directory (&op, id, &directory);

  if (error != 0)
    return error;
  lease_op_note_access (&op, directory);
  for (LeaseName *name; (name = lease_tree_next (directory, cookie)) != NULL;
       cookie = name->cookie) {
    LeaseAttr attr;
    if (!by->reaper && lease_op_is_over_here (&op, name->node))
      continue;
    lease_op_fill_attr (&op, name->node, &attr);
    if (!each (name->text, &attr, name->cookie, data))
      break;
    if (pin)
      name->node->pins++;
  }
  return 0;
}

void
lease_engine_names (LeaseEngine *engine, uint64_t id, unsigned max,
                    void (*each) (uint64_t parent, const char *name, void *data), void *data)
{
  pthread_mutex_lock (&engine->lock);
  const LeaseNode *node = lease_tree_node (engine->tree, id);
  const LeaseName *name = node == NULL ? NULL : node->names;
  for (; name != NULL && max > 0; name = name->next, max--)
    each (name->parent->id, name->text, data);
  pthread_mutex_unlock (&engine->lock);
}
