/* SPDX-License-Identifier: MIT */

/* Changes, row by row, as they are planned. Nothing is changed here but for marks on what is under
 * way, which lease_op_commit() takes away again. */

#include "leases/engine-private.h"

#include <string.h>
#include <sys/stat.h>

#define PAGE LEASE_JOURNAL_PAGE

G_STATIC_ASSERT (LEASE_JOURNAL_PAGE == LEASE_VALUE_PAGE);

/* The row stays at its address until the next one is added. */
static LeaseRow *
add_row (LeaseOp *op, LeaseRowType type, uint64_t id, bool stored)
{
  GArray *rows = op->engine->change.rows;

  g_array_set_size (rows, rows->len + 1);
  LeaseRow *row = &g_array_index (rows, LeaseRow, rows->len - 1);
  *row = (LeaseRow){ .type = type, .stored = stored, .node = id };
  return row;
}

bool
lease_node_is_stored (const LeaseNode *node)
{
  return node->names != NULL || node->id == LEASE_ROOT || lease_is_directory_of_lease (node) ||
         (S_ISDIR (node->mode) && node->dir->entry_count > 0);
}

/* Before anything else is said of it. */
static void
plan_held (LeaseOp *op, const LeaseNode *node)
{
  LeaseChange *change = &op->engine->change;

  if (!node->held || change->held == node->id)
    return;
  change->held = node->id;
  add_row (op, LEASE_ROW_TRUNCATE, node->id, true);
  LeaseRow *row = add_row (op, LEASE_ROW_SET, node->id, true);
  row->echo = true;
  row->meta.fields = LEASE_FIELD_SIZE | LEASE_FIELD_MTIME | LEASE_FIELD_CTIME;
  row->meta.mtime_ns = node->mtime_ns;
  row->meta.ctime_ns = node->ctime_ns;
}

void
lease_plan_held (LeaseOp *op)
{
  GArray *held = op->engine->held;

  for (unsigned i = 0; i < held->len; i++) {
    const LeaseNode *node = lease_tree_node (op->engine->tree, g_array_index (held, uint64_t, i));
    if (node != NULL && lease_node_is_stored (node))
      plan_held (op, node);
  }
}

/* A row about a node that is there. */
static LeaseRow *
add_node_row (LeaseOp *op, LeaseRowType type, const LeaseNode *node)
{
  plan_held (op, node);
  return add_row (op, type, node->id, lease_node_is_stored (node));
}

uint64_t
lease_plan_node (LeaseOp *op, const LeaseNew *what, uid_t uid, gid_t gid)
{
  uint64_t id = lease_tree_next_id (op->engine->tree);
  LeaseRow *row = add_row (op, LEASE_ROW_NODE, id, true);
  int64_t now_ns = op->by->wall_ns;

  row->meta = (LeaseRowMeta){
    .mode = what->mode,
    .uid = uid,
    .gid = gid,
    .rdev = what->rdev,
    .atime_ns = now_ns,
    .mtime_ns = now_ns,
    .ctime_ns = now_ns,
    .target = S_ISLNK (what->mode) ? what->target : NULL,
  };
  return id;
}

void
lease_plan_set (LeaseOp *op, const LeaseNode *node, const LeaseRowMeta *meta, bool stored)
{
  LeaseRow *row = add_node_row (op, LEASE_ROW_SET, node);

  row->meta = *meta;
  row->stored &= stored;
}

void
lease_plan_touch_status (LeaseOp *op, const LeaseNode *node)
{
  LeaseRowMeta meta = { .fields = LEASE_FIELD_CTIME, .ctime_ns = op->by->wall_ns };

  lease_plan_set (op, node, &meta, true);
}

void
lease_plan_touch (LeaseOp *op, const LeaseNode *node)
{
  int64_t now_ns = op->by->wall_ns;
  LeaseRowMeta meta = { .fields = LEASE_FIELD_MTIME | LEASE_FIELD_CTIME,
                        .mtime_ns = now_ns,
                        .ctime_ns = now_ns };

  lease_plan_set (op, node, &meta, true);
}

void
lease_plan_touch_names (LeaseOp *op, const LeaseNode *parent)
{
  if (lease_is_directory_of_lease (parent))
    lease_plan_touch_status (op, parent);
  else
    lease_plan_touch (op, parent);
}

/* Node `id`, which will be attached to `lease`, comes into `parent`: that is not to be taken for
 * empty before it is there. A directory may hold what is attached to nothing. */
static void
await_arrival (LeaseOp *op, const LeaseNode *parent, uint64_t id, const Lease *lease)
{
  LeaseChange *change = &op->engine->change;
  const LeaseNode *node = lease_tree_node (op->engine->tree, id);

  if (parent->lease != NULL && (parent->lease != lease || (node != NULL && S_ISDIR (node->mode))))
    change->arrivals[change->arrival_count++] = parent->id;
}

static void
plan_name_row (LeaseOp *op, LeaseRowType type, const LeaseNode *parent, LeaseRowName name,
               uint64_t id)
{
  LeaseNode *node = lease_tree_node (op->engine->tree, id);

  if (node != NULL)
    plan_held (op, node);
  if (node != NULL && S_ISDIR (node->mode) && lease_enclosing (node) != lease_enclosing (parent))
    node->leaving = true;
  name.parent = parent->id;
  add_row (op, type, id, true)->name = name;
}

void
lease_plan_name (LeaseOp *op, const LeaseNode *parent, const char *text, uint64_t id,
                 const Lease *lease)
{
  LeaseRowName row = { .text = text, .position = lease_tree_next_cookie (parent) };

  await_arrival (op, parent, id, lease);
  plan_name_row (op, LEASE_ROW_NAME, parent, row, id);
  lease_plan_touch_names (op, parent);
}

static void
plan_name_again (LeaseOp *op, const LeaseName *name, uint64_t id, bool told)
{
  LeaseRowName row = { .text = name->text, .position = name->cookie, .told = told };

  plan_name_row (op, LEASE_ROW_NAME, name->parent, row, id);
}

void
lease_plan_repoint (LeaseOp *op, const LeaseName *name, uint64_t id, const Lease *lease)
{
  await_arrival (op, name->parent, id, lease);
  plan_name_again (op, name, id, name->told);
}

void
lease_plan_told (LeaseOp *op, const LeaseName *name, bool told)
{
  plan_name_again (op, name, name->node->id, told);
}

/* What loses a name: it goes, if nothing else keeps it. */
static void
plan_loss (LeaseOp *op, const LeaseNode *node)
{
  bool last = node->name_count == 1 && !lease_is_directory_of_lease (node) &&
              !(S_ISDIR (node->mode) && node->dir->entry_count > 0);

  LeaseRowMeta meta = { .fields = LEASE_FIELD_CTIME, .ctime_ns = op->by->wall_ns };
  lease_plan_set (op, node, &meta, !last);
  if (last)
    add_row (op, LEASE_ROW_GONE, node->id, true);
}

static void
drop_name (LeaseOp *op, LeaseName *name, bool stays, bool displaced)
{
  const LeaseNode *parent = name->parent;
  bool over = lease_op_is_over (op, name->node);

  add_row (op, LEASE_ROW_UNNAME, name->node->id, true)->name = (LeaseRowName){
    .parent = parent->id, .text = name->text, .position = name->cookie, .displaced = displaced
  };
  if (!stays)
    plan_loss (op, name->node);
  if (!over)
    lease_plan_touch_names (op, parent);
  if (parent->names == NULL && parent->id != LEASE_ROOT && parent->dir->entry_count == 1 &&
      !lease_is_directory_of_lease (parent))
    add_row (op, LEASE_ROW_GONE, parent->id, true);
}

void
lease_plan_drop_name (LeaseOp *op, LeaseName *name, bool stays)
{
  drop_name (op, name, stays, false);
}

void
lease_plan_displace (LeaseOp *op, LeaseName *name)
{
  drop_name (op, name, false, true);
}

void
lease_plan_replace (LeaseOp *op, const LeaseName *name, uint64_t id, const Lease *lease)
{
  lease_plan_repoint (op, name, id, lease);
  plan_loss (op, name->node);
  lease_plan_touch_names (op, name->parent);
}

void
lease_plan_attach (LeaseOp *op, uint64_t id, const Lease *lease)
{
  LeaseNode *node = lease_tree_node (op->engine->tree, id);

  if (node != NULL && node->lease == lease)
    return;
  if (node != NULL && node->lease != NULL)
    node->leaving = true;
  add_row (op, LEASE_ROW_ATTACH, id, true)->lease = lease == NULL ? 0 : lease->directory->id;
}

LeaseRow *
lease_plan_lease (LeaseOp *op, LeaseRowType type, uint64_t id)
{
  return add_row (op, type, id, true);
}

void
lease_plan_free_lease (LeaseOp *op, const Lease *lease)
{
  uint64_t id = lease->directory->id;

  add_row (op, LEASE_ROW_FREE, id, true);
  add_row (op, LEASE_ROW_GONE, id, true);
}

void
lease_plan_xattr (LeaseOp *op, const LeaseNode *node, const char *name, const char *value,
                  size_t size)
{
  add_node_row (op, LEASE_ROW_XATTR, node)->xattr = (LeaseRowXattr){ name, value, size };
}

static LeaseRow *
add_range (LeaseOp *op, LeaseRowType type, const LeaseNode *node, uint64_t offset, uint64_t size)
{
  LeaseRow *row = add_node_row (op, type, node);

  row->range = (LeaseRowRange){ .offset = offset, .size = size };
  return row;
}

/* The page `number` as it is held now, to be changed; its length, -1 if it is a hole. */
static char *
copy_page (LeaseOp *op, const LeaseNode *node, uint64_t number, ssize_t *length_out)
{
  LeaseChange *change = &op->engine->change;
  char *page = change->pages[change->page_count++];

  g_assert (change->page_count <= G_N_ELEMENTS (change->pages));
  *length_out = lease_value_page (&node->value, number, page);
  if (*length_out < 0)
    memset (page, 0, PAGE);
  return page;
}

static void
plan_page (LeaseOp *op, const LeaseNode *node, uint64_t number, const char *page, size_t length)
{
  add_range (op, LEASE_ROW_WRITE, node, number * PAGE, length)->range.data = page;
}

/* Writes that begin or end within a page carry the rest of it with them. */
void
lease_plan_write (LeaseOp *op, const LeaseNode *node, uint64_t offset, const char *data,
                  size_t size)
{
  ssize_t length;

  if (size == 0)
    return;
  if (offset % PAGE != 0) {
    size_t start = offset % PAGE, part = MIN (size, PAGE - start);
    char *page = copy_page (op, node, offset / PAGE, &length);
    memcpy (page + start, data, part);
    plan_page (op, node, offset / PAGE, page, MAX (length, (ssize_t)(start + part)));
    offset += part, data += part, size -= part;
  }
  size_t rest = size % PAGE;
  uint64_t last = (offset + size) / PAGE;
  char *page = rest > 0 ? copy_page (op, node, last, &length) : NULL;
  bool joins = rest > 0 && length > (ssize_t)rest;
  size_t whole = joins ? size - rest : size;
  if (whole > 0)
    add_range (op, LEASE_ROW_WRITE, node, offset, whole)->range.data = data;
  if (joins) {
    memcpy (page, data + whole, rest);
    plan_page (op, node, last, page, length);
  }
}

/* What is left of a page of which a part was cleared. Memory clears it by itself. */
static void
plan_rest (LeaseOp *op, const LeaseNode *node, uint64_t number, size_t start, size_t end)
{
  ssize_t length;
  char *page = copy_page (op, node, number, &length);

  if (length <= (ssize_t)start)
    return;
  memset (page + start, 0, end - start);
  if ((ssize_t)end >= length)
    length = MAX (start, 1); /* all zeros, but no hole */
  plan_page (op, node, number, page, length);
  GArray *rows = op->engine->change.rows;
  g_array_index (rows, LeaseRow, rows->len - 1).echo = true;
}

void
lease_plan_truncate (LeaseOp *op, const LeaseNode *node, uint64_t size)
{
  add_range (op, LEASE_ROW_TRUNCATE, node, size, 0);
  if (size % PAGE != 0 && size < node->value.size)
    plan_rest (op, node, size / PAGE, size % PAGE, PAGE);
}

void
lease_plan_punch (LeaseOp *op, const LeaseNode *node, uint64_t offset, uint64_t size)
{
  uint64_t end = offset + size, first = offset / PAGE, last = end / PAGE;

  add_range (op, LEASE_ROW_PUNCH, node, offset, size);
  if (first == last) {
    if (size > 0)
      plan_rest (op, node, first, offset % PAGE, end % PAGE);
    return;
  }
  if (offset % PAGE != 0)
    plan_rest (op, node, first, offset % PAGE, PAGE);
  if (end % PAGE != 0)
    plan_rest (op, node, last, 0, end % PAGE);
}

void
lease_plan_reserve (LeaseOp *op, const LeaseNode *node, uint64_t offset, uint64_t size)
{
  add_range (op, LEASE_ROW_RESERVE, node, offset, size)->stored = false;
}
