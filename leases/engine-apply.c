/* SPDX-License-Identifier: MIT */

/* Rows, whoever planned them or wherever they come from, put into memory, with every count in step.
 * Nothing here can fail for want of anything: that has been checked before. */

#include "leases/engine-private.h"

#include <sys/stat.h>

static LeaseNode *
node_of (LeaseOp *op, uint64_t id)
{
  return lease_tree_node (op->engine->tree, id);
}

bool
lease_is_file_type (mode_t mode)
{
  return S_ISREG (mode) || S_ISDIR (mode) || S_ISLNK (mode) || S_ISFIFO (mode) || S_ISSOCK (mode) ||
         S_ISCHR (mode) || S_ISBLK (mode);
}

static bool
apply_node (LeaseOp *op, const LeaseRow *row)
{
  const LeaseRowMeta *meta = &row->meta;

  if (row->node == 0 || node_of (op, row->node) != NULL || !lease_is_file_type (meta->mode) ||
      S_ISLNK (meta->mode) != (meta->target != NULL) || meta->size > INT64_MAX)
    return false;
  LeaseNode *node = lease_tree_add (op->engine->tree, row->node, meta->mode);
  node->uid = meta->uid;
  node->gid = meta->gid;
  node->atime_ns = meta->atime_ns;
  node->mtime_ns = meta->mtime_ns;
  node->ctime_ns = meta->ctime_ns;
  if (S_ISLNK (meta->mode))
    node->target = g_strdup (meta->target);
  else if (S_ISREG (meta->mode))
    lease_value_truncate (&node->value, meta->size);
  else if (!S_ISDIR (meta->mode))
    node->rdev = meta->rdev;
  op->engine->bytes_used += lease_node_cost (node);
  return true;
}

static void
note_footprint (LeaseOp *op, const LeaseNode *node, uint64_t before)
{
  op->engine->bytes_used += lease_value_footprint (&node->value) - before;
}

static void
resize (LeaseOp *op, LeaseNode *node, uint64_t size)
{
  uint64_t before = lease_value_footprint (&node->value);

  lease_value_truncate (&node->value, size);
  note_footprint (op, node, before);
}

static bool
apply_set (LeaseOp *op, const LeaseRow *row)
{
  const LeaseRowMeta *meta = &row->meta;
  LeaseNode *node = node_of (op, row->node);

  if (node == NULL)
    return false;
  if (S_ISDIR (node->mode) &&
      (meta->fields & (LEASE_FIELD_MODE | LEASE_FIELD_UID | LEASE_FIELD_GID)))
    lease_engine_note_rights (op->engine, node);
  if (meta->fields & LEASE_FIELD_MODE)
    node->mode = (node->mode & S_IFMT) | (meta->mode & 07777);
  if (meta->fields & LEASE_FIELD_UID)
    node->uid = meta->uid;
  if (meta->fields & LEASE_FIELD_GID)
    node->gid = meta->gid;
  if (meta->fields & LEASE_FIELD_ATIME)
    node->atime_ns = meta->atime_ns;
  if (meta->fields & LEASE_FIELD_MTIME)
    node->mtime_ns = meta->mtime_ns;
  if (meta->fields & LEASE_FIELD_CTIME)
    node->ctime_ns = meta->ctime_ns;
  if ((meta->fields & LEASE_FIELD_SIZE) && S_ISREG (node->mode) && !node->ended &&
      node->value.size != meta->size)
    resize (op, node, meta->size);
  node->dirty |= !row->stored && lease_node_is_stored (node);
  return true;
}

/* At the end of the change it will be seen whether something still keeps `node`. */
static void
note_loser (LeaseOp *op, const LeaseNode *node)
{
  if (op->losers == NULL)
    op->losers = g_array_new (FALSE, FALSE, sizeof (uint64_t));
  g_array_append_val (op->losers, node->id);
}

static LeaseName *
link_name (LeaseOp *op, LeaseNode *parent, const LeaseRowName *name, LeaseNode *node)
{
  op->engine->bytes_used += lease_entry_cost (parent, name->text);
  return lease_tree_link (parent, name->text, node, name->position);
}

static void
repoint (LeaseOp *op, LeaseName *name, LeaseNode *node)
{
  LeaseNode *before = name->node;

  note_loser (op, before);
  lease_engine_note_moved (op->engine, before);
  op->engine->counts.graves -= name->dead;
  lease_tree_repoint (name, node);
  op->engine->counts.graves += name->dead;
  lease_op_count_node (op, before);
}

static bool
apply_name (LeaseOp *op, const LeaseRow *row)
{
  LeaseNode *parent = node_of (op, row->name.parent), *node = node_of (op, row->node);

  if (parent == NULL || node == NULL || !S_ISDIR (parent->mode) || row->name.position == 0 ||
      row->name.position > INT64_MAX || node->id == LEASE_ROOT)
    return false;
  LeaseName *name = lease_tree_find (parent, row->name.text);
  bool stays = name != NULL && name->node == node;
  if (name != NULL)
    lease_engine_note_key (op->engine, name, false);
  if (name == NULL)
    name = link_name (op, parent, &row->name, node);
  else if (!stays)
    repoint (op, name, node);
  name->told = row->name.told;
  lease_engine_note_key (op->engine, name, true);
  if (!stays)
    lease_engine_note_moved (op->engine, node);
  lease_op_count_node (op, node);
  return true;
}

static bool
apply_unname (LeaseOp *op, const LeaseRow *row)
{
  LeaseNode *parent = node_of (op, row->name.parent);
  LeaseName *name =
      parent == NULL || !S_ISDIR (parent->mode) ? NULL : lease_tree_find (parent, row->name.text);

  if (name == NULL || name->node->id != row->node)
    return false;
  /* One that has another name may be on its way to another lease. */
  if (name->node->name_count == 1 && lease_op_is_over (op, name->node))
    lease_op_mark_ended (op, name->node);
  /* When others remove a name, the kernel counts for itself. */
  if (op->by->reaper && name->node->name_count > 1)
    lease_op_tell_stale (op, name->node, false);
  note_loser (op, name->node);
  note_loser (op, parent);
  lease_engine_note_key (op->engine, name, false);
  lease_engine_note_moved (op->engine, name->node);
  uint64_t before = lease_node_cost (parent) + lease_name_cost (name->text);
  if (row->name.displaced)
    lease_op_displace (op, name);
  LeaseNode *node = name->node;
  op->engine->counts.graves -= name->dead;
  lease_tree_unlink (name);
  lease_op_count_node (op, node);
  op->engine->bytes_used += lease_node_cost (parent) - before;
  return true;
}

static bool
apply_attach (LeaseOp *op, const LeaseRow *row)
{
  LeaseNode *node = node_of (op, row->node);
  Lease *lease = row->lease == 0 ? NULL : lease_of_directory (op->engine, row->lease);

  if (node == NULL || lease_is_directory_of_lease (node) || (row->lease != 0 && lease == NULL))
    return false;
  if (node->lease == lease)
    return true;
  lease_op_detach (op, node);
  if (lease == NULL)
    return true;
  lease_tree_attach (node, lease);
  lease_add_member (lease, node);
  lease_engine_note_keys (op->engine, node, true);
  lease_op_count_node (op, node);
  lease_op_tell_attached (op, node);
  if (lease->ended)
    lease_op_unsettle (op, lease, node);
  return true;
}

static bool
apply_detach (LeaseOp *op, const LeaseRow *row)
{
  LeaseNode *node = node_of (op, row->node);

  if (node != NULL && node->lease != NULL && node->lease->directory->id == row->lease)
    lease_op_detach (op, node);
  return true;
}

static bool
apply_lease (LeaseOp *op, const LeaseRow *row)
{
  LeaseNode *node = node_of (op, row->node);

  if (node == NULL || !S_ISDIR (node->mode) || node->lease != NULL)
    return false;
  lease_op_reserve (op, node);
  return true;
}

static bool
apply_grant (LeaseOp *op, Lease *lease, int64_t granted_ns)
{
  if (granted_ns <= 0 || (!op->engine->loading && lease_is_over (lease, op->now)))
    return false;
  lease->granted_ns = granted_ns;
  if (op->engine->loading) {
    lease_op_count_lease (op, lease);
    lease_op_set_deadline (op, lease, lease_time_after (op->now, granted_ns));
  } else {
    lease_op_refresh (op, lease, NULL);
  }
  return true;
}

static bool
apply_left (LeaseOp *op, Lease *lease, int64_t left_ns)
{
  lease_op_set_deadline (op, lease, lease_time_after (op->now, MAX (left_ns, 0)));
  return true;
}

static bool
apply_end (LeaseOp *op, Lease *lease)
{
  bool known = lease_is_end_written (op->engine, lease);

  lease->end_batch = op->engine->batches_written;
  if (!known)
    lease_op_close (op, lease);
  if (op->engine->loading) {
    lease->end = LEASE_END_OLD;
    lease_op_set_deadline (op, lease, op->now); /* it is over: what was left to do will be done */
  } else if (!lease->ended) {
    lease_op_revoke (op, lease);
  }
  return true;
}

static bool
apply_lease_row (LeaseOp *op, const LeaseRow *row)
{
  Lease *lease = lease_of_directory (op->engine, row->node);

  if (lease == NULL)
    return false;
  switch (row->type) {
  case LEASE_ROW_GRANT:
    return apply_grant (op, lease, row->ns);
  case LEASE_ROW_LEFT:
    return apply_left (op, lease, row->ns);
  case LEASE_ROW_END:
    return apply_end (op, lease);
  case LEASE_ROW_FREE:
    lease_op_free_lease (op, lease);
    return true;
  case LEASE_ROW_MODE:
    if (row->mode.file <= LEASE_FILE_NONE || row->mode.file > LEASE_FILE_LAST)
      return false;
    lease->modes[row->mode.file] = row->mode.mode;
    return true;
  default:
    return false;
  }
}

static bool
apply_range (LeaseOp *op, const LeaseRow *row)
{
  LeaseNode *node = node_of (op, row->node);
  const LeaseRowRange *range = &row->range;

  if (node == NULL || !S_ISREG (node->mode) || range->offset > INT64_MAX ||
      range->size > INT64_MAX - range->offset)
    return false;
  if (row->type == LEASE_ROW_TRUNCATE)
    node->held = false;
  if (node->ended)
    return true;
  uint64_t before = lease_value_footprint (&node->value);
  if (row->type == LEASE_ROW_WRITE)
    lease_value_write (&node->value, range->offset, range->data, range->size);
  else if (row->type == LEASE_ROW_TRUNCATE)
    lease_value_truncate (&node->value, range->offset);
  else if (row->type == LEASE_ROW_PUNCH)
    lease_value_punch (&node->value, range->offset, range->size);
  else
    lease_value_reserve (&node->value, range->offset, range->size);
  note_footprint (op, node, before);
  return true;
}

static bool
apply_xattr (LeaseOp *op, const LeaseRow *row)
{
  LeaseEngine *engine = op->engine;
  const LeaseRowXattr *xattr = &row->xattr;
  const LeaseNode *node = node_of (op, row->node);

  if (node == NULL || !lease_is_stored_xattr (xattr->name) || xattr->size > LEASE_XATTR_MAX)
    return false;
  if (node->ended)
    return true;
  uint64_t before = lease_xattrs_footprint (engine->xattrs);
  if (xattr->value == NULL)
    lease_xattrs_remove (engine->xattrs, node->id, xattr->name);
  else
    lease_xattrs_put (engine->xattrs, node->id, xattr->name, xattr->value, xattr->size);
  engine->bytes_used += lease_xattrs_footprint (engine->xattrs) - before;
  return true;
}

bool
lease_op_apply (LeaseOp *op, const LeaseRow *row)
{
  if (row->echo)
    return true;
  switch (row->type) {
  case LEASE_ROW_IDS:
    op->engine->ids_reserved = row->node;
    return true;
  case LEASE_ROW_NODE:
    return apply_node (op, row);
  case LEASE_ROW_SET:
    return apply_set (op, row);
  case LEASE_ROW_XATTR:
    return apply_xattr (op, row);
  case LEASE_ROW_NAME:
    return apply_name (op, row);
  case LEASE_ROW_UNNAME:
    return apply_unname (op, row);
  case LEASE_ROW_ATTACH:
    return apply_attach (op, row);
  case LEASE_ROW_DETACH:
    return apply_detach (op, row);
  case LEASE_ROW_LEASE:
    return apply_lease (op, row);
  case LEASE_ROW_GRANT:
  case LEASE_ROW_MODE:
  case LEASE_ROW_LEFT:
  case LEASE_ROW_END:
  case LEASE_ROW_FREE:
    return apply_lease_row (op, row);
  case LEASE_ROW_WRITE:
  case LEASE_ROW_TRUNCATE:
  case LEASE_ROW_PUNCH:
  case LEASE_ROW_RESERVE:
    return apply_range (op, row);
  case LEASE_ROW_GONE: /* it is, once nothing keeps it */
  case LEASE_ROW_RUN:
    return true;
  }
  return false;
}

void
lease_op_apply_end (LeaseOp *op)
{
  for (unsigned i = 0; op->losers != NULL && i < op->losers->len; i++) {
    LeaseNode *node = node_of (op, g_array_index (op->losers, uint64_t, i));
    if (node != NULL)
      lease_op_collect (op, node);
  }
  g_clear_pointer (&op->losers, g_array_unref);
}
