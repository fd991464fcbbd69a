/* SPDX-License-Identifier: MIT */

/* Who holds leases. A holder and a lease know each other by a LeaseHold, which is in a list of each
 * and in one table, so that to hold, to let go and to end costs the same however many there are.
 * None of it goes to the journal: it comes about without a turn. */

#include "leases/engine-private.h"

#include <errno.h>

static unsigned
hash_hold (const void *key)
{
  const LeaseHold *hold = key;

  return g_direct_hash (hold->lease) * 31 + g_direct_hash (hold->holder);
}

static gboolean
is_same_hold (const void *a, const void *b)
{
  const LeaseHold *one = a, *other = b;

  return one->lease == other->lease && one->holder == other->holder;
}

void
lease_engine_make_holders (LeaseEngine *engine)
{
  engine->holders = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, g_free);
  engine->holds = g_hash_table_new_full (hash_hold, is_same_hold, g_free, NULL);
}

static LeaseHolder *
find_holder (const LeaseEngine *engine, uint64_t id)
{
  return g_hash_table_lookup (engine->holders, &id);
}

static LeaseHold *
find_hold (const LeaseEngine *engine, Lease *lease, uint64_t id)
{
  LeaseHold key = { .lease = lease, .holder = find_holder (engine, id) };

  return key.holder == NULL ? NULL : g_hash_table_lookup (engine->holds, &key);
}

static LeaseHolder *
need_holder (LeaseEngine *engine, const LeaseHolderLine *line)
{
  LeaseHolder *holder = find_holder (engine, line->holder);

  if (holder != NULL)
    return holder;
  holder = g_new0 (LeaseHolder, 1);
  holder->id = line->holder;
  holder->pid = line->pid;
  g_hash_table_insert (engine->holders, &holder->id, holder);
  engine->bytes_used += lease_holder_cost ();
  return holder;
}

static void
hold (LeaseOp *op, Lease *lease, const LeaseHolderLine *line)
{
  LeaseEngine *engine = op->engine;

  if (find_hold (engine, lease, line->holder) != NULL)
    return;
  LeaseHold *hold = g_new0 (LeaseHold, 1);
  hold->lease = lease;
  hold->holder = need_holder (engine, line);
  hold->of_lease.data = hold->of_holder.data = hold;
  lease->holds = g_list_concat (&hold->of_lease, lease->holds);
  g_queue_push_tail_link (&hold->holder->holds, &hold->of_holder);
  g_hash_table_add (engine->holds, hold);
  engine->bytes_used += lease_hold_cost ();
  if (hold->of_lease.next != NULL)
    return;
  lease_op_count_lease (op, lease);
  lease_op_set_deadline (op, lease, LEASE_TIME_NEVER);
}

static void
forget_holder (LeaseOp *op, LeaseHolder *holder)
{
  if (op->idle == NULL)
    op->idle = g_array_new (FALSE, FALSE, sizeof (uint64_t));
  g_array_append_val (op->idle, holder->id);
  g_hash_table_remove (op->engine->holders, &holder->id);
  op->engine->bytes_used -= lease_holder_cost ();
}

static void
let_go (LeaseOp *op, LeaseHold *hold)
{
  Lease *lease = hold->lease;
  LeaseHolder *holder = hold->holder;

  lease->holds = g_list_remove_link (lease->holds, &hold->of_lease);
  g_queue_unlink (&holder->holds, &hold->of_holder);
  g_hash_table_remove (op->engine->holds, hold);
  op->engine->bytes_used -= lease_hold_cost ();
  if (holder->holds.length == 0)
    forget_holder (op, holder);
  if (lease->holds != NULL || lease->ended)
    return;
  lease_op_count_lease (op, lease);
  lease_op_let_run (op, lease);
}

void
lease_op_release (LeaseOp *op, Lease *lease)
{
  while (lease->holds != NULL)
    let_go (op, lease->holds->data);
}

/* Notes in `last` the last line for each holder, by its id: only what comes out in the end is done.
 */
static int
check_lines (const LeaseOp *op, Lease *lease, const GArray *lines, GHashTable *last)
{
  for (unsigned i = 0; i < lines->len; i++) {
    LeaseHolderLine *line = &g_array_index (lines, LeaseHolderLine, i);
    const LeaseHolderLine *before = g_hash_table_lookup (last, &line->holder);
    bool holds =
        before != NULL ? !before->let_go : find_hold (op->engine, lease, line->holder) != NULL;
    if (line->let_go && !holds)
      return -ESRCH;
    g_hash_table_replace (last, &line->holder, line);
  }
  return 0;
}

static int
check_hold_room (LeaseOp *op, Lease *lease, GHashTable *last)
{
  uint64_t bytes = 0;
  GHashTableIter iter;
  void *value;

  g_hash_table_iter_init (&iter, last);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    const LeaseHolderLine *line = value;
    if (line->let_go || find_hold (op->engine, lease, line->holder) != NULL)
      continue;
    bytes += lease_hold_cost ();
    bytes += find_holder (op->engine, line->holder) == NULL ? lease_holder_cost () : 0;
  }
  return lease_op_check_room (op, bytes, 0);
}

/* Those who let go come last: where others take over, the lease is held all the time. */
static void
follow_lines (LeaseOp *op, Lease *lease, GHashTable *last)
{
  for (int let_goes = 0; let_goes <= 1; let_goes++) {
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init (&iter, last);
    while (g_hash_table_iter_next (&iter, NULL, &value)) {
      const LeaseHolderLine *line = value;
      LeaseHold *held = find_hold (op->engine, lease, line->holder);
      if (!line->let_go && let_goes == 0)
        hold (op, lease, line);
      else if (line->let_go && let_goes == 1 && held != NULL)
        let_go (op, held);
    }
  }
}

int
lease_engine_edit_holders (LeaseEngine *engine, const LeaseCaller *by, uint64_t id,
                           const GArray *lines)
{
  g_autoptr (GHashTable) last = g_hash_table_new (g_int64_hash, g_int64_equal);
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  Lease *lease;
  int error = lease_op_lease (&op, id, &lease);

  if (error == 0 && lease->granted_ns == 0)
    error = -EINVAL;
  if (error == 0)
    error = check_lines (&op, lease, lines, last);
  if (error == 0)
    error = check_hold_room (&op, lease, last);
  if (error == 0)
    follow_lines (&op, lease, last);
  return error;
}

bool
lease_engine_drop_holder (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, unsigned max)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  const LeaseHolder *holder;

  for (; (holder = find_holder (engine, id)) != NULL; max--) {
    if (max == 0)
      return true;
    let_go (&op, holder->holds.head->data);
  }
  return false;
}

bool
lease_engine_is_holder (LeaseEngine *engine, uint64_t id)
{
  pthread_mutex_lock (&engine->lock);
  bool is_holder = find_holder (engine, id) != NULL;
  pthread_mutex_unlock (&engine->lock);
  return is_holder;
}

int
lease_engine_holders (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, GArray **holders_out)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  Lease *lease;
  int error = lease_op_lease (&op, id, &lease);

  if (error != 0)
    return error;
  *holders_out = g_array_new (FALSE, FALSE, sizeof (LeaseHolderInfo));
  for (const GList *link = lease->holds; link != NULL; link = link->next) {
    const LeaseHolder *holder = ((const LeaseHold *)link->data)->holder;
    LeaseHolderInfo info = { holder->id, holder->pid };
    g_array_append_val (*holders_out, info);
  }
  return 0;
}

static void
check_holder (LeaseEngine *engine, LeaseHolder *holder)
{
  if (holder->holds.length == 0)
    g_error ("holder %" G_GUINT64_FORMAT " holds nothing", holder->id);
  for (const GList *link = holder->holds.head; link != NULL; link = link->next) {
    const LeaseHold *hold = link->data;
    if (hold->holder != holder || g_hash_table_lookup (engine->holds, hold) != hold ||
        g_list_position (hold->lease->holds, (GList *)&hold->of_lease) < 0)
      g_error ("holder %" G_GUINT64_FORMAT " and a lease do not know each other", holder->id);
  }
}

uint64_t
lease_engine_check_holders (LeaseEngine *engine)
{
  unsigned count = g_hash_table_size (engine->holds), listed = 0;
  GHashTableIter iter;
  void *holder;

  g_hash_table_iter_init (&iter, engine->holders);
  while (g_hash_table_iter_next (&iter, NULL, &holder)) {
    check_holder (engine, holder);
    listed += ((LeaseHolder *)holder)->holds.length;
  }
  if (listed != count)
    g_error ("%u leases are held, but holders hold %u", count, listed);
  return count * lease_hold_cost () + g_hash_table_size (engine->holders) * lease_holder_cost ();
}
