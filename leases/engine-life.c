/* SPDX-License-Identifier: MIT */

/* The life of a lease, state by state: see struct Lease. */

#include "leases/engine-private.h"

/* Keys of a revoked lease that are settled in one go under the lock. */
#define REVOKE_SLICE 256

/* The attributes and names of all that is attached were given out with a deadline that is too late
 * now. */
static void
tell_shortened (LeaseOp *op, const Lease *lease)
{
  for (LeaseNode *node = lease->first_member; node != NULL; node = node->next_member) {
    lease_op_tell_stale (op, node, true);
    lease_op_tell_names (op, node);
  }
  lease_op_tell_stale (op, lease->directory, true);
  lease_op_tell_names (op, lease->directory);
}

/* The directories of all that is attached may have been given out with a deadline that is too late
 * now. */
static void
tell_directories (LeaseOp *op, const Lease *lease)
{
  for (const LeaseNode *node = lease->first_member; node != NULL; node = node->next_member)
    lease_op_tell_directories (op, node, lease->due.deadline);
  lease_op_tell_directories (op, lease->directory, lease->due.deadline);
}

void
lease_op_set_deadline (LeaseOp *op, Lease *lease, LeaseTime deadline)
{
  LeaseEngine *engine = op->engine;

  if (lease_queue_contains (&lease->due))
    lease_queue_update (engine->deadlines, &lease->due, deadline);
  else
    lease_queue_insert (engine->deadlines, &lease->due, deadline);
  if (deadline < engine->told) {
    engine->told = deadline;
    op->earlier = true;
  }
}

/* A held lease may be let go at any time, and then has its TTL from that time on. */
LeaseTime
lease_op_show (LeaseOp *op, Lease *lease)
{
  LeaseTime until = lease->due.deadline;

  if (lease->holds != NULL || lease->shortening)
    until = MIN (until, lease_time_after (op->now, lease->granted_ns));
  lease->shown_until = MAX (lease->shown_until, until);
  return until;
}

/* Begins to give `lease` its granted TTL from now on, where that is less than was given out. */
static void
shorten (LeaseOp *op, Lease *lease)
{
  lease->shortening = true;
  lease->shown_until = 0;
  tell_shortened (op, lease);
  op->shortened = lease->directory->id;
}

/* Gives it that deadline, unless it is held. While it was, nobody was told of a later one; but of
 * its directories much else may have been told. */
static void
run_until (LeaseOp *op, Lease *lease, LeaseTime deadline)
{
  bool was_held = lease->due.deadline == LEASE_TIME_NEVER;

  if (lease->holds != NULL)
    return;
  lease_op_set_deadline (op, lease, deadline);
  if (was_held)
    tell_directories (op, lease);
}

/* What is being shortened gets its deadline when that is done. */
static void
give_ttl (LeaseOp *op, Lease *lease)
{
  LeaseTime deadline = lease_time_after (op->now, lease->granted_ns);

  if (lease->shortening)
    return;
  if (deadline < lease->shown_until)
    shorten (op, lease);
  else
    run_until (op, lease, deadline);
}

void
lease_op_let_run (LeaseOp *op, Lease *lease)
{
  LeaseTime deadline = lease_time_after (op->now, lease->granted_ns);

  if (!lease->shortening)
    run_until (op, lease, MAX (deadline, lease->shown_until));
}

bool
lease_op_finish_shortening (LeaseOp *op, uint64_t id)
{
  Lease *lease = lease_of_directory (op->engine, id);

  if (lease == NULL || !lease->shortening)
    return false;
  lease->shortening = false;
  if (lease_is_over (lease, op->now))
    return false;
  give_ttl (op, lease);
  if (!lease->shortening)
    tell_directories (op, lease); /* what was given out meanwhile */
  return lease->shortening;
}

void
lease_op_reserve (LeaseOp *op, LeaseNode *directory)
{
  Lease *lease = g_new0 (Lease, 1);

  lease->directory = directory;
  lease->link.data = lease;
  lease->modes[LEASE_FILE_TTL] = lease->modes[LEASE_FILE_KEYS] = 0644;
  lease->modes[LEASE_FILE_PROCS] = 0644;
  lease->modes[LEASE_FILE_GRANTED] = 0444;
  lease_tree_attach (directory, lease);
  op->engine->bytes_used += LEASE_COST;
  op->engine->counts.leases[LEASE_PHASE_RESERVED]++;
  lease_op_set_deadline (op, lease, lease_time_after (op->now, LEASE_RESERVATION_NS));
}

void
lease_op_refresh (LeaseOp *op, Lease *lease, const LeaseNode *answered)
{
  if (lease->phase == LEASE_PHASE_RESERVED)
    op->engine->counts.granted++;
  else
    op->engine->counts.refreshed++;
  lease_op_count_lease (op, lease);
  give_ttl (op, lease);
  lease->directory->mtime_ns = lease->directory->ctime_ns = op->by->wall_ns;
  lease->directory->dirty = true;
  /* To tell it costs a system call; and the kernel would not trust the answer either. */
  if (lease->directory_shown && lease->directory != answered) {
    lease_op_tell_stale (op, lease->directory, false);
    lease->directory_shown = false;
  }
}

int64_t
lease_left_ns (const Lease *lease, LeaseTime now)
{
  if (lease->granted_ns == 0 || lease->holds != NULL || lease->shortening)
    return lease->granted_ns;
  return MAX (lease->due.deadline - now, 0);
}

/* The wall clock when `lease` ended. */
static int64_t
end_wall_ns (const LeaseOp *op, const Lease *lease)
{
  LeaseTime ago = op->by->now - lease->due.deadline;

  return op->by->wall_ns - MAX (ago, 0);
}

static void
settle_names (LeaseOp *op, const LeaseNode *node, int64_t wall_ns)
{
  for (LeaseName *name = node->names; name != NULL; name = name->next) {
    LeaseNode *parent = name->parent;
    op->engine->counts.graves += !name->dead;
    lease_tree_mark_dead (name);
    /* It moves in any case, though the wall clock may have been set back. */
    parent->mtime_ns = MAX (parent->mtime_ns + 1, wall_ns);
    parent->ctime_ns = MAX (parent->ctime_ns, wall_ns);
    parent->dirty = true;
  }
}

static void
settle_next (LeaseOp *op, Lease *lease)
{
  LeaseNode *node = lease->unsettled;

  if (lease->revoking)
    lease_op_tell_stale (op, node, true);
  lease->unsettled = node->next_member;
  if (!lease_op_is_over (op, node))
    return;
  settle_names (op, node, end_wall_ns (op, lease));
  lease_op_mark_ended (op, node);
}

/* Where a lease is that has been settled. */
static GQueue *
settled_queue (LeaseEngine *engine, const Lease *lease)
{
  if (lease->parting)
    return &engine->parting;
  return lease_is_end_written (engine, lease) ? &engine->ended : &engine->closing;
}

static void
finish_settling (LeaseOp *op, Lease *lease)
{
  settle_names (op, lease->directory, end_wall_ns (op, lease));
  lease_op_mark_ended (op, lease->directory);
  g_queue_unlink (lease->revoking ? &op->engine->revoking : &op->engine->settling, &lease->link);
  g_queue_push_tail_link (settled_queue (op->engine, lease), &lease->link);
  if (lease->awaited && lease->revoking)
    lease_clean_up_first (op->engine, lease);
  lease->revoking = false;
  lease->settled = true;
  op->ended = true;
}

static void
start_settling (LeaseOp *op, Lease *lease, GQueue *queue)
{
  lease_op_note_end (op, lease);
  lease_queue_remove (op->engine->deadlines, &lease->due);
  lease->ended = true;
  lease_op_count_end (op, lease);
  lease_op_release (op, lease);
  lease->unsettled = lease->first_member;
  g_queue_push_tail_link (queue, &lease->link);
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

static bool
settle (LeaseOp *op, unsigned max)
{
  GQueue *settling = &op->engine->settling;

  for (; max > 0; max--) {
    Lease *lease = g_queue_peek_head (settling);
    if (lease == NULL) {
      lease = next_due (op);
      if (lease == NULL)
        return false;
      start_settling (op, lease, settling);
    }
    if (lease->unsettled != NULL)
      settle_next (op, lease);
    if (lease->unsettled == NULL)
      finish_settling (op, lease);
  }
  return !g_queue_is_empty (settling) || next_due (op) != NULL;
}

/* In a listing, or by a name, each of them is looked at again before anybody misses it. */
bool
lease_op_settle (LeaseOp *op, unsigned max)
{
  bool before = op->unseen;

  op->unseen = true;
  bool more = settle (op, max);
  op->unseen = before;
  return more;
}

/* By nobody else than who revokes it: all has to be over when rmdir returns, also in the eyes of the
 * kernel. */
void
lease_op_revoke (LeaseOp *op, Lease *lease)
{
  if (!lease_is_over (lease, op->now))
    lease->end = LEASE_END_REVOKED;
  lease_queue_update (op->engine->deadlines, &lease->due, op->now);
  start_settling (op, lease, &op->engine->revoking);
  lease->revoking = true;
  lease_op_tell_stale (op, lease->directory, false);
  if (lease_op_settle_revoked (op, lease->directory->id))
    op->revoked = lease->directory->id;
}

bool
lease_op_settle_revoked (LeaseOp *op, uint64_t id)
{
  Lease *lease = lease_of_directory (op->engine, id);

  if (lease == NULL || !lease->revoking)
    return false;
  for (unsigned i = 0; i < REVOKE_SLICE && lease->unsettled != NULL; i++)
    settle_next (op, lease);
  if (lease->unsettled != NULL)
    return true;
  finish_settling (op, lease);
  return false;
}

void
lease_op_unsettle (LeaseOp *op, Lease *lease, LeaseNode *node)
{
  if (lease->unsettled == node)
    return;
  lease_remove_member (lease, node);
  lease_add_member (lease, node);
  if (lease->unsettled == NULL)
    lease->unsettled = node;
  if (!lease->settled)
    return; /* its turn comes, as the last of the members */
  g_queue_unlink (settled_queue (op->engine, lease), &lease->link);
  g_queue_push_tail_link (&op->engine->settling, &lease->link);
  lease->settled = lease->parting = false;
  settle_next (op, lease);
  finish_settling (op, lease);
}

void
lease_op_close (LeaseOp *op, Lease *lease)
{
  if (!lease->settled)
    return;
  g_queue_unlink (&op->engine->closing, &lease->link);
  g_queue_push_tail_link (&op->engine->ended, &lease->link);
  op->ended = true;
}

void
lease_op_free_lease (LeaseOp *op, Lease *lease)
{
  LeaseNode *directory = lease->directory;

  lease_op_count_free (op, lease);
  lease_op_mark_ended (op, directory);
  lease_tree_attach (directory, NULL);
  g_queue_unlink (&op->engine->ended, &lease->link);
  g_free (lease);
  op->engine->bytes_used -= LEASE_COST;
  lease_op_collect (op, directory);
}
