/* SPDX-License-Identifier: MIT */

/* Revoking a lease in two steps. Its end is one change, as in lease_engine_rmdir(); its directory
 * goes with a second one, after its keys have been removed from where they were. */

#include "leases/engine-private.h"

#include <errno.h>

uint64_t
lease_engine_leases (const LeaseEngine *engine)
{
  return engine->leases_dir->id;
}

void
lease_clean_up_first (LeaseEngine *engine, Lease *lease)
{
  g_queue_unlink (&engine->ended, &lease->link);
  g_queue_push_head_link (&engine->ended, &lease->link);
}

bool
lease_has_keys (const Lease *lease)
{
  return lease->first_member != NULL || lease->directory->dir->entry_count > 0;
}

int
lease_engine_revoke (LeaseEngine *engine, const LeaseCaller *by, uint64_t parent_id,
                     const char *text, uint64_t *id_out)
{
  g_auto (LeaseOp) op = lease_op_begin_change (engine, by);
  LeaseNode *parent;
  int error = lease_op_directory (&op, parent_id, &parent);

  if (error == 0 && parent != engine->leases_dir)
    error = -EINVAL;
  if (error != 0)
    return error;
  LeaseName *name = lease_op_find (&op, parent, text);
  if (name == NULL)
    return -ENOENT;
  Lease *lease = name->node->lease;
  lease_plan_lease (&op, LEASE_ROW_END, name->node->id);
  if (!lease_has_keys (lease)) {
    lease_plan_drop_name (&op, name, false);
    return lease_op_commit (&op);
  }
  error = lease_op_commit (&op);
  if (error != 0)
    return error;
  lease->awaited = true;
  if (lease->settled)
    lease_clean_up_first (engine, lease);
  op.revoked = 0;
  *id_out = lease->directory->id;
  return -EINPROGRESS;
}

bool
lease_engine_settle_revoked (LeaseEngine *engine, const LeaseCaller *by, uint64_t id)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);

  return lease_op_settle_revoked (&op, id);
}

void
lease_op_let_part (LeaseOp *op, Lease *lease)
{
  g_queue_unlink (&op->engine->ended, &lease->link);
  g_queue_push_tail_link (&op->engine->parting, &lease->link);
  lease->parting = true;
  op->cleared = lease->directory->id;
}

/* The lease whose directory has that id, revoked and awaited; or NULL. */
static Lease *
find_awaited (LeaseEngine *engine, uint64_t id)
{
  Lease *lease = lease_of_directory (engine, id);

  return lease != NULL && lease->awaited ? lease : NULL;
}

bool
lease_engine_is_cleared (LeaseEngine *engine, uint64_t id)
{
  pthread_mutex_lock (&engine->lock);
  const Lease *lease = find_awaited (engine, id);
  bool cleared = lease == NULL || lease->parting;
  pthread_mutex_unlock (&engine->lock);
  return cleared;
}

static void
abandon (LeaseOp *op, Lease *lease)
{
  lease->awaited = false;
  if (lease->parting) {
    lease->parting = false;
    g_queue_unlink (&op->engine->parting, &lease->link);
    g_queue_push_head_link (&op->engine->ended, &lease->link);
  }
  op->ended = true;
}

int
lease_engine_part (LeaseEngine *engine, const LeaseCaller *by, uint64_t id)
{
  g_auto (LeaseOp) op = lease_op_begin_change (engine, by);
  Lease *lease = find_awaited (engine, id);
  LeaseGhost *ghost = lease == NULL ? NULL : lease_ghost_of (engine, lease->directory);

  if (lease == NULL)
    return -ENOENT;
  if (lease->directory->names != NULL) {
    lease_plan_drop_name (&op, lease->directory->names, false);
    lease_op_commit (&op); /* the revocation is with the journal already */
  } else if (ghost != NULL) {
    lease_op_lay (&op, ghost);
  }
  abandon (&op, lease);
  return 0;
}

void
lease_engine_abandon (LeaseEngine *engine, const LeaseCaller *by, uint64_t id)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  Lease *lease = find_awaited (engine, id);

  if (lease != NULL)
    abandon (&op, lease);
}
