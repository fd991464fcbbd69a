/* SPDX-License-Identifier: MIT */

/* The life of a lease, state by state: see struct Lease. */

#include "leases/engine-private.h"

/* The attributes and names of all that is attached were given out with a deadline that is too late
 * now. */
static void
tell_shortened (LeaseOp *op, const Lease *lease)
{
  for (const GList *link = lease->members.head; link != NULL; link = link->next) {
    lease_op_tell_stale (op, link->data, true);
    lease_op_tell_names (op, link->data);
  }
  lease_op_tell_names (op, lease->directory);
  lease_op_tell_stale (op, op->engine->leases_dir, false);
}

static void
set_deadline (LeaseOp *op, Lease *lease, LeaseTime deadline)
{
  LeaseEngine *engine = op->engine;

  if (lease_queue_contains (&lease->due)) {
    if (deadline < lease->due.deadline)
      tell_shortened (op, lease);
    lease_queue_update (engine->deadlines, &lease->due, deadline);
  } else {
    lease_queue_insert (engine->deadlines, &lease->due, deadline);
  }
  if (deadline < engine->told) {
    engine->told = deadline;
    op->earlier = true;
  }
}

void
lease_op_reserve (LeaseOp *op, LeaseNode *directory)
{
  Lease *lease = g_new0 (Lease, 1);

  lease->directory = directory;
  lease->link.data = lease;
  lease->modes[LEASE_FILE_TTL] = lease->modes[LEASE_FILE_KEYS] = 0644;
  lease->modes[LEASE_FILE_GRANTED] = 0444;
  lease_tree_attach (directory, lease);
  op->engine->bytes_used += LEASE_COST;
  set_deadline (op, lease, lease_time_after (op->now, LEASE_RESERVATION_NS));
}

void
lease_op_refresh (LeaseOp *op, Lease *lease)
{
  set_deadline (op, lease, lease_time_after (op->now, lease->granted_ns));
  lease->directory->mtime_ns = lease->directory->ctime_ns = op->by->wall_ns;
  lease_op_tell_stale (op, lease->directory, false);
}

/* The wall clock when `lease` ended. */
static int64_t
end_wall_ns (const LeaseOp *op, const Lease *lease)
{
  LeaseTime ago = op->by->now - lease->due.deadline;

  return op->by->wall_ns - MAX (ago, 0);
}

static void
settle_names (const LeaseNode *node, int64_t wall_ns)
{
  for (LeaseName *name = node->names; name != NULL; name = name->next) {
    LeaseNode *parent = name->parent;
    lease_tree_mark_dead (name);
    /* It moves in any case, though the wall clock may have been set back. */
    parent->mtime_ns = MAX (parent->mtime_ns + 1, wall_ns);
    parent->ctime_ns = MAX (parent->ctime_ns, wall_ns);
  }
}

static void
settle_next (LeaseOp *op, Lease *lease)
{
  LeaseNode *node = lease->unsettled->data;

  lease->unsettled = lease->unsettled->next;
  if (!lease_op_is_over (op, node))
    return;
  settle_names (node, end_wall_ns (op, lease));
  lease_op_mark_ended (op, node);
}

static void
finish_settling (LeaseOp *op, Lease *lease)
{
  settle_names (lease->directory, end_wall_ns (op, lease));
  lease_op_mark_ended (op, lease->directory);
  g_queue_unlink (&op->engine->settling, &lease->link);
  g_queue_push_tail_link (&op->engine->ended, &lease->link);
  op->ended = true;
}

static void
start_settling (LeaseOp *op, Lease *lease)
{
  lease_queue_remove (op->engine->deadlines, &lease->due);
  lease->ended = true;
  lease->unsettled = lease->members.head;
  g_queue_push_tail_link (&op->engine->settling, &lease->link);
}

/* The next lease whose deadline has come; NULL if none has. */
static Lease *
next_due (const LeaseOp *op)
{
  LeaseQueueItem *item = lease_queue_earliest (op->engine->deadlines);

  if (item == NULL || item->deadline > op->now)
    return NULL;
  return (Lease *)((char *)item - G_STRUCT_OFFSET (Lease, due));
}

bool
lease_op_settle (LeaseOp *op, unsigned max)
{
  GQueue *settling = &op->engine->settling;

  for (; max > 0; max--) {
    Lease *lease = g_queue_peek_head (settling);
    if (lease == NULL) {
      lease = next_due (op);
      if (lease == NULL)
        return false;
      start_settling (op, lease);
    }
    if (lease->unsettled != NULL)
      settle_next (op, lease);
    if (lease->unsettled == NULL)
      finish_settling (op, lease);
  }
  return !g_queue_is_empty (settling) || next_due (op) != NULL;
}

/* All at once, because it has to be over when rmdir returns; also in the eyes of the kernel. */
void
lease_op_revoke (LeaseOp *op, Lease *lease)
{
  lease_queue_update (op->engine->deadlines, &lease->due, op->now);
  start_settling (op, lease);
  lease_op_tell_stale (op, lease->directory, false);
  while (lease->unsettled != NULL) {
    lease_op_tell_stale (op, lease->unsettled->data, true);
    settle_next (op, lease);
  }
  finish_settling (op, lease);
}

void
lease_op_free_lease (LeaseOp *op, Lease *lease)
{
  LeaseNode *directory = lease->directory;

  lease_op_mark_ended (op, directory);
  lease_tree_attach (directory, NULL);
  g_queue_unlink (&op->engine->ended, &lease->link);
  g_free (lease);
  op->engine->bytes_used -= LEASE_COST;
  lease_op_collect (op, directory);
}
