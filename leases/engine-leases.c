/* SPDX-License-Identifier: MIT */

/* The engine's operations on leases: granting, refreshing, and what is attached. */

#include "leases/engine-private.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* Refreshes the lease if it has this TTL already. Returns whether it did. */
static bool
refresh_if (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, int64_t ttl_ns)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  Lease *lease;

  if (lease_op_lease (&op, id, &lease) != 0 || lease->granted_ns != ttl_ns)
    return false;
  lease_op_refresh (&op, lease, NULL);
  return true;
}

int
lease_engine_grant (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, int64_t ttl_ns)
{
  ttl_ns = MAX (ttl_ns, engine->config.min_ttl_ns);
  if (refresh_if (engine, by, id, ttl_ns))
    return 0;
  g_auto (LeaseOp) op = lease_op_begin_change (engine, by);
  Lease *lease;
  int error = lease_op_lease (&op, id, &lease);

  if (error != 0)
    return error;
  lease_plan_lease (&op, LEASE_ROW_GRANT, id)->ns = ttl_ns;
  error = lease_op_commit (&op);
  /* It may have ended meanwhile, and nothing revives it. */
  return error != 0 ? error : lease_op_lease (&op, id, &lease);
}

int
lease_engine_refresh (LeaseEngine *engine, const LeaseCaller *by, uint64_t id)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  Lease *lease;
  int error = lease_op_lease (&op, id, &lease);

  if (error == 0 && lease->granted_ns == 0)
    error = -EINVAL;
  if (error == 0)
    lease_op_refresh (&op, lease, NULL);
  return error;
}

int
lease_engine_info (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, LeaseInfo *info_out)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  Lease *lease;
  int error = lease_op_lease (&op, id, &lease);

  if (error != 0)
    return error;
  info_out->granted_ns = lease->granted_ns;
  info_out->left_ns = lease_left_ns (lease, op.now);
  for (LeaseFile file = 0; file <= LEASE_FILE_LAST; file++)
    info_out->modes[file] = lease->modes[file];
  info_out->generation = lease_keys_generation (engine, lease);
  info_out->keys_size = lease_keys_size (engine, lease);
  lease_op_fill_attr (&op, lease->directory, &info_out->directory);
  return 0;
}

int
lease_engine_chmod_file (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, LeaseFile file,
                         mode_t mode)
{
  g_auto (LeaseOp) op = lease_op_begin_change (engine, by);
  Lease *lease;
  int error = lease_op_lease (&op, id, &lease);

  if (error != 0)
    return error;
  LeaseRow *row = lease_plan_lease (&op, LEASE_ROW_MODE, id);
  row->mode.file = file;
  row->mode.mode = mode & 0777;
  return lease_op_commit (&op);
}

/* Where a path that a line of `keys` names has led so far. */
typedef struct {
  LeaseNode *node;
  LeaseNode *parent; /* the directory of the last step; the node itself at the start */
  LeaseName *name;   /* by which the last step led to it; NULL where that was none */
} Walk;

static int
step_down (LeaseOp *op, Walk *walk, const char *text)
{
  LeaseNode *directory = walk->parent = walk->node;

  walk->name = NULL;
  if (!S_ISDIR (directory->mode))
    return S_ISLNK (directory->mode) ? -ELOOP : -ENOTDIR;
  int error = lease_op_may_search (op, directory);
  if (error != 0)
    return error;
  if (strlen (text) > NAME_MAX)
    return -ENAMETOOLONG;
  if (*text == '\0' || strcmp (text, ".") == 0)
    return 0;
  if (strcmp (text, "..") == 0) {
    walk->node = directory->names == NULL ? directory : directory->names->parent;
    return 0;
  }
  walk->name = lease_op_find (op, directory, text);
  if (walk->name == NULL)
    return lease_is_pseudo_file (op->engine, directory, text) ? -EINVAL : -ENOENT;
  walk->node = walk->name->node;
  return 0;
}

/* The node at the path in `line`, if that may be attached to or detached from `lease`. */
static int
resolve (LeaseOp *op, const Lease *lease, const LeaseKeysLine *line, Walk *walk)
{
  g_auto (GStrv) texts = g_strsplit (line->path, "/", -1);

  walk->node = walk->parent = lease_tree_node (op->engine->tree, LEASE_ROOT);
  for (char **text = texts; *text != NULL; text++) {
    int error = step_down (op, walk, *text);
    if (error != 0)
      return error;
  }
  const LeaseNode *node = walk->node;
  const Lease *owner = lease_enclosing (S_ISDIR (node->mode) ? node : walk->parent);
  if (node->id == LEASE_ROOT || node == op->engine->leases_dir ||
      lease_is_directory_of_lease (node) || (owner != NULL && owner != lease))
    return -EINVAL;
  return lease_op_may_edit (op, lease, node, line->detach);
}

/* What the lines of one write lead to: the nodes in the order of their lines, each with the lease
 * that it will have. */
typedef struct {
  LeaseNode *node;
  LeaseName *name;
  Lease *lease;
} Edit;

static int
plan_edit (LeaseOp *op, Lease *lease, const LeaseKeysLine *line, GHashTable *planned, Edit *edit)
{
  void *planned_lease;
  Walk walk = { 0 };
  int error = resolve (op, lease, line, &walk);

  if (error != 0)
    return error;
  if (!g_hash_table_lookup_extended (planned, walk.node, NULL, &planned_lease))
    planned_lease = walk.node->lease;
  if (line->detach && planned_lease != lease)
    return -EINVAL;
  *edit = (Edit){ walk.node, walk.name, line->detach ? NULL : lease };
  g_hash_table_insert (planned, walk.node, edit->lease);
  return 0;
}

/* Of all edits of a node, only what comes out of them in the end is done. */
static void
plan_outcome (LeaseOp *op, const Edit *edit, GHashTable *planned)
{
  void *lease;

  if (edit->name != NULL)
    lease_plan_told (op, edit->name, edit->lease != NULL);
  if (!g_hash_table_steal_extended (planned, edit->node, NULL, &lease))
    return;
  lease_plan_touch_status (op, edit->node);
  lease_plan_attach (op, edit->node->id, lease);
}

int
lease_engine_edit_keys (LeaseEngine *engine, const LeaseCaller *by, uint64_t id,
                        const GArray *lines)
{
  g_autoptr (GHashTable) planned = g_hash_table_new (NULL, NULL);
  g_autofree Edit *edits = g_new (Edit, lines->len);
  g_auto (LeaseOp) op = lease_op_begin_change (engine, by);
  Lease *lease;
  int error = lease_op_lease (&op, id, &lease);

  if (error == 0 && lease->granted_ns == 0)
    error = -EINVAL;
  for (unsigned i = 0; error == 0 && i < lines->len; i++)
    error = plan_edit (&op, lease, &g_array_index (lines, LeaseKeysLine, i), planned, &edits[i]);
  if (error != 0)
    return error;

  for (unsigned i = 0; i < lines->len; i++)
    plan_outcome (&op, &edits[i], planned);
  return lease_op_commit (&op);
}
