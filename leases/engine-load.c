/* SPDX-License-Identifier: MIT */

/* The engine's beginning and end: what the journal holds comes into memory, and what only memory
 * knew (the time that leases had left, times of nodes) goes to the journal. */

#include "leases/engine-private.h"

#include <errno.h>
#include <sys/stat.h>

/* So many rows go to the journal at a time at the end. */
#define BATCH 65536

static void
count_row (LeaseFound *found, const LeaseRow *row)
{
  if (row->type == LEASE_ROW_NODE) {
    found->nodes++;
    found->files += S_ISREG (row->meta.mode);
  }
  found->names += row->type == LEASE_ROW_NAME;
  found->attached += row->type == LEASE_ROW_ATTACH;
  found->resumed += row->type == LEASE_ROW_LEFT;
}

static bool
apply_loaded (const LeaseRow *row, void *data)
{
  LeaseOp *op = data;

  count_row (&op->engine->found, row);
  return lease_op_apply (op, row);
}

/* What every engine has: the root, and leases/. */
static int
make_first (LeaseEngine *engine, const LeaseCaller *by)
{
  const LeaseEngineConfig *config = &engine->config;
  LeaseNew root = { .mode = S_IFDIR | config->root_mode };
  LeaseNew leases = { .mode = S_IFDIR | S_ISVTX | 0777 };
  LeaseRow name = {
    .type = LEASE_ROW_NAME,
    .stored = true,
    .node = LEASE_ROOT + 1,
    .name = { .parent = LEASE_ROOT, .text = "leases", .position = LEASE_TREE_FIRST_COOKIE },
  };
  g_auto (LeaseOp) op = lease_op_begin_change (engine, by);

  lease_plan_node (&op, &root, config->uid, config->gid);
  lease_plan_node (&op, &leases, config->uid, config->gid);
  g_array_index (engine->change.rows, LeaseRow, 1).node = name.node;
  g_array_append_val (engine->change.rows, name);
  return lease_op_commit (&op);
}

typedef struct {
  LeaseEngine *engine;
  const LeaseNode *lost; /* one that should not be as it is */
  unsigned directories;
  GPtrArray *reached; /* of these, from above: at first those that lie in no other */
} Review;

/* What no operation can have left behind was damaged. */
static void
review_node (LeaseNode *node, void *data)
{
  Review *review = data;
  bool directory = S_ISDIR (node->mode), lease = lease_is_directory_of_lease (node);

  if ((directory && node->name_count > 1) || !lease_node_is_stored (node) ||
      (lease && node->names != NULL && node->names->parent != review->engine->leases_dir))
    review->lost = node;
  for (const LeaseName *name = node->names; name != NULL; name = name->next)
    if (name->parent == review->engine->leases_dir && !lease)
      review->lost = node;
  review->directories += directory;
  if (directory && node->names == NULL)
    g_ptr_array_add (review->reached, node);
}

/* Whether every directory is reached, so that none lies in itself. */
static bool
has_no_circle (Review *review)
{
  GPtrArray *reached = review->reached;

  for (unsigned i = 0; i < reached->len; i++) {
    LeaseTreeIter iter = lease_tree_iter (reached->pdata[i], 0);
    const LeaseName *name;
    while ((name = lease_tree_iter_next (&iter)) != NULL)
      if (S_ISDIR (name->node->mode))
        g_ptr_array_add (reached, name->node);
  }
  return reached->len == review->directories;
}

static bool
review_all (LeaseEngine *engine, GError **error)
{
  LeaseNode *root = lease_tree_node (engine->tree, LEASE_ROOT);
  const LeaseName *leases =
      root == NULL || !S_ISDIR (root->mode) ? NULL : lease_tree_find (root, "leases");
  g_autoptr (GPtrArray) reached = g_ptr_array_new ();
  Review review = { .engine = engine, .reached = reached };

  if (leases == NULL || !S_ISDIR (leases->node->mode) || root->names != NULL) {
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_FAILED,
                 "damaged: there is no root, or no leases in it");
    return false;
  }
  engine->leases_dir = leases->node;
  lease_tree_foreach (engine->tree, review_node, &review);
  if (review.lost == NULL && !has_no_circle (&review))
    review.lost = root;
  if (review.lost == NULL)
    return true;
  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_FAILED,
               "damaged: node %" G_GUINT64_FORMAT " is not where it should be", review.lost->id);
  return false;
}

/* Counts it, or ends it if it was only reserved. */
static void
welcome_lease (LeaseNode *node, void *data)
{
  LeaseOp *op = data;

  if (!lease_is_directory_of_lease (node))
    return;
  if (node->lease->granted_ns == 0)
    lease_op_set_deadline (op, node->lease, op->now);
  else if (!lease_is_over (node->lease, op->now))
    op->engine->found.leases++;
}

bool
lease_engine_load (LeaseEngine *engine, const LeaseCaller *by, GError **error)
{
  LeaseOp op = { .engine = engine, .by = by, .now = engine->now };

  engine->loading = true;
  bool loaded = lease_journal_load (engine->journal, apply_loaded, &op, error);
  engine->loading = false;
  engine->loaded = engine->now;
  g_clear_pointer (&op.stale, g_array_unref);
  g_clear_pointer (&op.names, g_array_unref);
  lease_op_free_values (&op);
  if (!loaded)
    return false;
  lease_tree_skip_ids (engine->tree, MAX (engine->ids_reserved, 1));
  if (lease_tree_node_count (engine->tree) == 0) {
    int code = make_first (engine, by);
    if (code != 0) {
      g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (-code),
                   "cannot write the first rows: %s", g_strerror (-code));
      return false;
    }
  }
  lease_tree_sort (engine->tree);
  if (!review_all (engine, error))
    return false;
  lease_tree_foreach (engine->tree, welcome_lease, &op);
  return true;
}

LeaseFound
lease_engine_found (const LeaseEngine *engine)
{
  return engine->found;
}

typedef struct {
  LeaseOp *op;
  LeaseTime by_ns;
} Shift;

static void
shift_deadline (LeaseNode *node, void *data)
{
  const Shift *shift = data;
  LeaseOp *op = shift->op;

  if (lease_is_directory_of_lease (node) && !lease_is_over (node->lease, op->engine->loaded))
    lease_op_set_deadline (op, node->lease,
                           lease_time_after (node->lease->due.deadline, shift->by_ns));
}

int
lease_engine_resume (LeaseEngine *engine, const LeaseCaller *by)
{
  g_auto (LeaseOp) op = lease_op_begin_change (engine, by);

  lease_plan_lease (&op, LEASE_ROW_RUN, 0);
  int error = lease_op_commit (&op);
  return error != 0 ? error : lease_journal_sync (engine->journal);
}

void
lease_engine_start (LeaseEngine *engine, const LeaseCaller *by)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  Shift shift = { &op, op.now - engine->loaded };

  lease_tree_foreach (engine->tree, shift_deadline, &shift);
}

typedef struct {
  LeaseOp *op;
  int error;
} Stop;

/* Whether a clock is running that stands still from now on. */
static bool
is_running (const LeaseOp *op, const LeaseNode *node)
{
  return lease_is_directory_of_lease (node) && !lease_is_over (node->lease, op->now) &&
         node->lease->granted_ns > 0;
}

static bool
has_unstored_times (const LeaseNode *node)
{
  return node->dirty && lease_node_is_stored (node);
}

static void
write_batch (Stop *stop, unsigned limit)
{
  GArray *rows = stop->op->engine->change.rows;

  if (rows->len < limit || stop->error != 0)
    return;
  stop->error =
      lease_journal_commit (stop->op->engine->journal, (LeaseRow *)(void *)rows->data, rows->len);
  g_array_set_size (rows, 0);
}

static void
stop_node (Stop *stop, LeaseNode *node)
{
  if (has_unstored_times (node)) {
    LeaseRowMeta times = { .fields = LEASE_FIELD_ATIME | LEASE_FIELD_MTIME | LEASE_FIELD_CTIME,
                           .atime_ns = node->atime_ns,
                           .mtime_ns = node->mtime_ns,
                           .ctime_ns = node->ctime_ns };
    lease_plan_set (stop->op, node, &times, true);
  }
  if (is_running (stop->op, node))
    lease_plan_lease (stop->op, LEASE_ROW_LEFT, node->id)->ns =
        lease_left_ns (node->lease, stop->op->now);
  write_batch (stop, BATCH);
}

typedef struct {
  const LeaseOp *op;
  GPtrArray *nodes;
} Concerned;

static void
note_concerned (LeaseNode *node, void *data)
{
  Concerned *concerned = data;

  if (has_unstored_times (node) || is_running (concerned->op, node))
    g_ptr_array_add (concerned->nodes, node);
}

static int
compare_ids (const void *a, const void *b)
{
  const LeaseNode *first = *(LeaseNode *const *)a, *second = *(LeaseNode *const *)b;

  return (first->id > second->id) - (first->id < second->id);
}

/* In the order in which a journal keeps them: what is written together lies together. */
static void
stop_all (Stop *stop)
{
  g_autoptr (GPtrArray) nodes = g_ptr_array_new ();
  Concerned concerned = { stop->op, nodes };

  lease_tree_foreach (stop->op->engine->tree, note_concerned, &concerned);
  g_ptr_array_sort (nodes, compare_ids);
  for (unsigned i = 0; i < nodes->len && stop->error == 0; i++)
    stop_node (stop, nodes->pdata[i]);
  write_batch (stop, 1);
}

int
lease_engine_stop (LeaseEngine *engine, const LeaseCaller *by)
{
  int error = 0;

  while (lease_engine_expire (engine, by, BATCH))
    continue;
  do
    error = lease_engine_flush (engine, by, true);
  while (error > 0);
  if (error != 0)
    return error;
  g_auto (LeaseOp) op = lease_op_begin_change (engine, by);
  Stop stop = { .op = &op };
  stop_all (&stop);
  return stop.error != 0 ? stop.error : lease_journal_sync (engine->journal);
}
