/* SPDX-License-Identifier: MIT */

/* The way of a change to the journal and into memory: see struct LeaseEngine. */

#include "leases/engine-private.h"

#include <errno.h>
#include <time.h>

/* How long the reaper waits for its turn. */
#define REAPER_WAIT_NS (10 * LEASE_MILLISECOND)

/* So many ids at a time are noted as given out. */
#define IDS_RESERVE (UINT64_C (1) << 20)

/* Ends of leases that nobody has been shown, written in one go: others wait for so long. */
#define ENDS_SLICE 128

/* Returns whether the turn has come. */
static bool
await_turn (LeaseEngine *engine, bool patient)
{
  struct timespec until;
  int error = 0;

  if (!engine->writing)
    return true;
  clock_gettime (CLOCK_MONOTONIC, &until);
  until.tv_nsec += REAPER_WAIT_NS;
  until.tv_sec += until.tv_nsec / LEASE_SECOND;
  until.tv_nsec %= LEASE_SECOND;
  engine->waiting++;
  while (engine->writing && error != ETIMEDOUT)
    error = patient ? pthread_cond_wait (&engine->turn, &engine->lock)
                    : pthread_cond_timedwait (&engine->turn, &engine->lock, &until);
  engine->waiting--;
  return !engine->writing;
}

static void
clear_change (LeaseChange *change)
{
  g_array_set_size (change->rows, 0);
  change->page_count = 0;
  change->arrival_count = 0;
  change->held = 0;
}

/* Lets those go first who wait for their turn already. The first of them has been signalled, and
 * whoever has been signals the next. */
static void
let_others_go (LeaseEngine *engine)
{
  if (engine->waiting == 0)
    return;
  engine->waiting++;
  pthread_cond_wait (&engine->turn, &engine->lock);
  engine->waiting--;
}

static LeaseOp
begin_change (LeaseEngine *engine, const LeaseCaller *by, bool last)
{
  LeaseOp op = lease_op_begin (engine, by);

  op.changes = true;
  if (last)
    let_others_go (engine);
  op.busy = !await_turn (engine, !by->reaper);
  op.now = engine->now;
  if (!op.busy)
    clear_change (&engine->change);
  return op;
}

LeaseOp
lease_op_begin_change (LeaseEngine *engine, const LeaseCaller *by)
{
  return begin_change (engine, by, false);
}

void
lease_clear_rows (const GArray *rows, unsigned count)
{
  for (unsigned i = 0; i < count; i++) {
    const LeaseRow *row = &g_array_index (rows, LeaseRow, i);
    if (row->type == LEASE_ROW_UNNAME)
      g_free ((char *)row->name.text);
  }
}

/* Unwritten rows up to `batch`, these the last of them, have been written. */
static void
note_written (LeaseOp *op, const GArray *rows, uint64_t batch)
{
  uint64_t before = op->engine->batches_written;

  op->engine->batches_written = batch;
  for (unsigned i = 0; i < rows->len; i++) {
    const LeaseRow *row = &g_array_index (rows, LeaseRow, i);
    Lease *lease = row->type == LEASE_ROW_END ? lease_of_directory (op->engine, row->node) : NULL;
    if (lease != NULL && lease->end_batch > before)
      lease_op_close (op, lease);
  }
}

/* Gives `rows` to the journal, and all that is unwritten before them. The lock may be open for
 * some time. */
static int
write_rows (LeaseOp *op, GArray *rows)
{
  LeaseEngine *engine = op->engine;
  const LeaseJournalKind *kind = engine->journal->kind;
  uint64_t batch = engine->batch++;
  g_autoptr (GArray) before = engine->unwritten;

  engine->unwritten = g_array_new (FALSE, TRUE, sizeof (LeaseRow));
  g_array_prepend_vals (rows, before->data, before->len);
  engine->writing = kind->waits;
  if (kind->waits)
    pthread_mutex_unlock (&engine->lock);
  int error = lease_journal_commit (engine->journal, (LeaseRow *)(void *)rows->data, rows->len);
  if (kind->waits)
    pthread_mutex_lock (&engine->lock);
  engine->writing = false;
  engine->refused = error != 0;
  op->now = engine->now;
  op->committed = kind->tend != NULL;

  g_array_remove_range (rows, 0, before->len);
  if (error != 0) {
    g_array_prepend_vals (engine->unwritten, before->data, before->len);
    return error;
  }
  note_written (op, before, batch);
  lease_clear_rows (before, before->len);
  return 0;
}

/* Whether the journal is to hear of any of the rows; and the end of the ids that they use. */
static bool
look_through (const GArray *rows, uint64_t *ids_end_out)
{
  bool stored = false;

  *ids_end_out = 0;
  for (unsigned i = 0; i < rows->len; i++) {
    const LeaseRow *row = &g_array_index (rows, LeaseRow, i);
    stored |= row->stored;
    if (row->type == LEASE_ROW_NODE)
      *ids_end_out = MAX (*ids_end_out, row->node + 1);
  }
  return stored;
}

static void
apply_all (LeaseOp *op)
{
  const GArray *rows = op->engine->change.rows;

  for (unsigned i = 0; i < rows->len; i++)
    lease_op_apply (op, &g_array_index (rows, LeaseRow, i));
  lease_op_apply_end (op);
}

/* What was taken for leaving leaves now, or it stays, and may have to go with its lease at once. */
static void
end_leaving (LeaseOp *op, bool leaves)
{
  const GArray *rows = op->engine->change.rows;
  g_autoptr (GPtrArray) stayed = g_ptr_array_new ();

  for (unsigned i = 0; i < rows->len; i++) {
    const LeaseRow *row = &g_array_index (rows, LeaseRow, i);
    LeaseNode *node = row->type == LEASE_ROW_ATTACH || row->type == LEASE_ROW_NAME
                          ? lease_tree_node (op->engine->tree, row->node)
                          : NULL;
    if (node == NULL || !node->leaving)
      continue;
    node->leaving = false;
    if (!leaves)
      g_ptr_array_add (stayed, node);
  }
  /* What becomes of one may depend on the others. */
  for (unsigned i = 0; i < stayed->len; i++) {
    LeaseNode *node = stayed->pdata[i];
    if (node->lease != NULL && node->lease->ended)
      lease_op_unsettle (op, node->lease, node);
  }
}

int
lease_op_commit (LeaseOp *op)
{
  LeaseEngine *engine = op->engine;
  LeaseChange *change = &engine->change;
  uint64_t ids_end;
  int error = 0;

  if (look_through (change->rows, &ids_end)) {
    if (ids_end > engine->ids_reserved) {
      LeaseRow row = { .type = LEASE_ROW_IDS, .stored = true, .node = ids_end + IDS_RESERVE };
      g_array_append_val (change->rows, row);
    }
    error = write_rows (op, change->rows);
  }
  change->arrival_count = 0;
  end_leaving (op, error == 0);
  if (error == 0)
    apply_all (op);
  return error;
}

/* A journal that keeps nothing need not hear of it. */
static void
add_unwritten (LeaseOp *op, LeaseRow row)
{
  if (!lease_engine_is_kept (op->engine))
    return;
  if (row.type == LEASE_ROW_UNNAME)
    row.name.text = g_strdup (row.name.text);
  g_array_append_val (op->engine->unwritten, row);
  op->unwritten = true;
}

void
lease_op_commit_lazily (LeaseOp *op)
{
  const GArray *rows = op->engine->change.rows;

  for (unsigned i = 0; i < rows->len; i++)
    if (g_array_index (rows, LeaseRow, i).stored)
      add_unwritten (op, g_array_index (rows, LeaseRow, i));
  apply_all (op);
  clear_change (&op->engine->change);
}

static void
add_end (LeaseOp *op, Lease *lease)
{
  LeaseRow row = { .type = LEASE_ROW_END, .stored = true, .node = lease->directory->id };

  lease->end_batch = op->engine->batch;
  add_unwritten (op, row);
}

/* The end of `lease` may be told to the journal later than what comes now. */
static void
put_off_end (LeaseOp *op, Lease *lease)
{
  if (lease->end_noted)
    return;
  lease->end_noted = true;
  lease_backlog_add (op->engine->ends, lease->directory->id);
  op->unwritten = true;
}

/* There may be very many. */
static void
sort_ends (LeaseEngine *engine)
{
  pthread_mutex_lock (&engine->lock);
  GArray *ids = lease_backlog_begin_sort (engine->ends);
  pthread_mutex_unlock (&engine->lock);
  if (ids == NULL)
    return;
  lease_backlog_sort (ids);
  pthread_mutex_lock (&engine->lock);
  lease_backlog_end_sort (engine->ends, ids);
  pthread_mutex_unlock (&engine->lock);
}

/* Takes some ends that were put off, less those that have not waited for it. What the journal has
 * refused to take goes first, alone. */
static void
take_ends (LeaseOp *op)
{
  uint64_t id;

  if (op->engine->refused && op->engine->unwritten->len > 0)
    return;
  for (unsigned i = 0; i < ENDS_SLICE; i++) {
    if (!lease_backlog_take (op->engine->ends, &id))
      return;
    Lease *lease = lease_of_directory (op->engine, id);
    if (lease != NULL && lease->end_batch == 0)
      add_end (op, lease);
  }
}

bool
lease_is_end_written (const LeaseEngine *engine, const Lease *lease)
{
  return !lease_engine_is_kept (engine) ||
         (lease->end_batch != 0 && lease->end_batch <= engine->batches_written);
}

void
lease_op_note_end (LeaseOp *op, Lease *lease)
{
  if (!lease_is_over (lease, op->now))
    return; /* what is attached to it has ended with a directory that it lies in */
  if (lease_is_end_written (op->engine, lease))
    return;
  if (lease->end_batch == 0 && (op->unseen || op->many))
    put_off_end (op, lease);
  else if (lease->end_batch == 0)
    add_end (op, lease);
  op->reveals |= !op->unseen && !op->many;
  op->reveals_many |= !op->unseen && op->many;
}

/* What has no name any more has been cleaned up, and what it ended with is with the journal. */
void
lease_op_note_ended (LeaseOp *op, const LeaseNode *node)
{
  while (node->lease == NULL || !lease_is_over (node->lease, op->now)) {
    if (node->names == NULL)
      return;
    node = node->names->parent;
  }
  lease_op_note_end (op, node->lease);
}

/* That `node` has left its lease makes sense only if that has ended. */
void
lease_op_note_detached (LeaseOp *op, const LeaseNode *node)
{
  if (node->lease->end_batch == 0)
    add_end (op, node->lease);
  add_unwritten (op, (LeaseRow){ .type = LEASE_ROW_DETACH,
                                 .stored = true,
                                 .node = node->id,
                                 .lease = node->lease->directory->id });
}

void
lease_op_leave (LeaseOp *op)
{
  LeaseEngine *engine = op->engine;

  op->unwritten &=
      engine->unwritten->len > 0 || !lease_backlog_is_empty (engine->ends) || engine->held->len > 0;
  op->reveals &= engine->unwritten->len > 0 || engine->writing;
  if (op->changes && engine->waiting > 0 && !engine->writing)
    pthread_cond_signal (&engine->turn);
}

/* Keeps in the list of what is held only what still is. */
static void
forget_written (LeaseEngine *engine)
{
  g_autoptr (GArray) before = engine->held;

  engine->held = g_array_new (FALSE, FALSE, sizeof (uint64_t));
  for (unsigned i = 0; i < before->len; i++) {
    uint64_t id = g_array_index (before, uint64_t, i);
    const LeaseNode *node = lease_tree_node (engine->tree, id);
    if (node != NULL && node->held && lease_node_is_stored (node))
      g_array_append_val (engine->held, id);
  }
}

int
lease_engine_flush (LeaseEngine *engine, const LeaseCaller *by, bool held)
{
  sort_ends (engine);
  g_auto (LeaseOp) op = begin_change (engine, by, true);

  if (op.busy)
    return -EAGAIN;
  if (held)
    lease_plan_held (&op);
  take_ends (&op);
  int error = engine->change.rows->len > 0 || engine->unwritten->len == 0
                  ? lease_op_commit (&op)
                  : write_rows (&op, engine->change.rows);
  if (held)
    forget_written (engine);
  return error != 0 ? error : !lease_backlog_is_empty (engine->ends);
}

bool
lease_engine_tend (LeaseEngine *engine)
{
  return lease_journal_tend (engine->journal);
}

bool
lease_engine_is_kept (const LeaseEngine *engine)
{
  return engine->journal->kind->commit != NULL;
}

int
lease_engine_sync (LeaseEngine *engine, const LeaseCaller *by)
{
  int result = lease_engine_flush (engine, by, true);

  return result < 0 ? result : lease_journal_sync (engine->journal);
}
