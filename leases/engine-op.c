/* SPDX-License-Identifier: MIT */

/* The steps that all operations of the engine are made of: finding, judging what is over, and what
 * happens by itself then, with every count in step. */

#include "leases/engine-private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* How long the lock stays open between two pieces of what is done in many. Who only lets go of it
 * has it again before those who wait for it have woken up. */
#define LET_IN_US 10

/* So often it is left open for that long while somebody still waits: on some machines it takes a
 * thread long to wake up on another processor. */
#define LET_IN_TIMES 4

/* Values of more than this are freed when the lock is open. */
#define LARGE_VALUE LEASE_VALUE_CHUNK

static void
enter (LeaseEngine *engine)
{
  if (pthread_mutex_trylock (&engine->lock) == 0)
    return;
  __atomic_fetch_add (&engine->at_door, 1, __ATOMIC_RELAXED);
  pthread_mutex_lock (&engine->lock);
  __atomic_fetch_sub (&engine->at_door, 1, __ATOMIC_RELAXED);
}

LeaseOp
lease_op_begin (LeaseEngine *engine, const LeaseCaller *by)
{
  enter (engine);
  engine->now = MAX (engine->now, by->now);
  return (LeaseOp){ .engine = engine, .by = by, .now = engine->now };
}

static void
tell_all (LeaseEngine *engine, LeaseEvent event, const GArray *ids)
{
  for (unsigned i = 0; ids != NULL && i < ids->len; i++)
    engine->notify (event, g_array_index (ids, uint64_t, i), engine->notify_data);
}

static void
tell_news (const LeaseOp *op)
{
  LeaseEngine *engine = op->engine;

  if (engine->notify == NULL)
    return;
  tell_all (engine, LEASE_EVENT_STALE, op->stale);
  tell_all (engine, LEASE_EVENT_NAMES, op->names);
  tell_all (engine, LEASE_EVENT_IDLE, op->idle);
  if (op->earlier)
    engine->notify (LEASE_EVENT_EARLIER, 0, engine->notify_data);
  if (op->ended)
    engine->notify (LEASE_EVENT_ENDED, 0, engine->notify_data);
  if (op->cleared != 0)
    engine->notify (LEASE_EVENT_CLEARED, op->cleared, engine->notify_data);
  if (op->committed)
    engine->notify (LEASE_EVENT_COMMITTED, 0, engine->notify_data);
  if (op->shrunk)
    engine->notify (LEASE_EVENT_SHRUNK, 0, engine->notify_data);
  if (op->reveals)
    engine->notify (LEASE_EVENT_REVEALS, 0, engine->notify_data);
  else if (op->unwritten)
    engine->notify (LEASE_EVENT_UNWRITTEN, 0, engine->notify_data);
}

void
lease_op_free_values (LeaseOp *op)
{
  for (unsigned i = 0; op->values != NULL && i < op->values->len; i++)
    lease_value_clear (&g_array_index (op->values, LeaseValue, i));
  g_clear_pointer (&op->values, g_array_unref);
}

static void
leave (LeaseOp *op)
{
  LeaseEngine *engine = op->engine;

  op->shrunk = lease_engine_has_shrunk (engine);
  lease_op_leave (op);
  pthread_mutex_unlock (&engine->lock);
  tell_news (op);
  g_clear_pointer (&op->stale, g_array_unref);
  g_clear_pointer (&op->names, g_array_unref);
  g_clear_pointer (&op->idle, g_array_unref);
  g_clear_pointer (&op->losers, g_array_unref);
  lease_op_free_values (op);
}

void
lease_op_end (LeaseOp *op)
{
  uint64_t revoked = op->revoked, shortened = op->shortened;

  leave (op);
  for (bool more = shortened != 0; more;) {
    LeaseOp next = lease_op_begin (op->engine, op->by);
    more = lease_op_finish_shortening (&next, shortened);
    leave (&next);
  }
  for (bool more = revoked != 0; more;) {
    lease_engine_let_in (op->engine);
    LeaseOp next = lease_op_begin (op->engine, op->by);
    more = lease_op_settle_revoked (&next, revoked);
    leave (&next);
  }
}

void
lease_engine_let_in (LeaseEngine *engine)
{
  unsigned times = 0;

  do
    g_usleep (LET_IN_US);
  while (++times < LET_IN_TIMES && __atomic_load_n (&engine->at_door, __ATOMIC_RELAXED) > 0);
}

bool
lease_is_over (const Lease *lease, LeaseTime now)
{
  return lease->ended || now >= lease->due.deadline;
}

bool
lease_is_directory_of_lease (const LeaseNode *node)
{
  return node->lease != NULL && node->lease->directory == node;
}

Lease *
lease_of_directory (const LeaseEngine *engine, uint64_t id)
{
  const LeaseNode *node = lease_tree_node (engine->tree, id);

  return node != NULL && lease_is_directory_of_lease (node) ? node->lease : NULL;
}

bool
lease_is_pseudo_file (const LeaseEngine *engine, const LeaseNode *parent, const char *text)
{
  if (parent == engine->leases_dir)
    return strcmp (text, LEASE_METRICS_NAME) == 0;
  return lease_is_directory_of_lease (parent) && lease_file_from_name (text) != LEASE_FILE_NONE;
}

Lease *
lease_enclosing (const LeaseNode *directory)
{
  for (;;) {
    if (lease_is_directory_of_lease (directory))
      return directory->lease;
    if (directory->names == NULL)
      return NULL;
    directory = directory->names->parent;
  }
}

/* From `directory` up to `top`, all leave their lease: that is over, and they are still in use. */
static void
outlive_up_to (LeaseOp *op, LeaseNode *directory, LeaseNode *top)
{
  for (;; directory = directory->names->parent) {
    if (directory->lease != NULL) {
      lease_op_note_detached (op, directory);
      lease_op_detach (op, directory);
    }
    if (directory == top)
      return;
  }
}

/* Whether something that its lease does not end is on its way into `directory`. */
static bool
is_awaited (const LeaseEngine *engine, const LeaseNode *directory)
{
  const LeaseChange *change = &engine->change;

  for (unsigned i = 0; i < change->arrival_count; i++)
    if (change->arrivals[i] == directory->id)
      return true;
  return false;
}

/* Whether something that has not ended is in `top`, a directory whose lease is over, or in
 * directories below it that are over too. If so, those on the way to it are detached; if not, all
 * of them have ended for good. Not recursive: how deep directories are nested is up to the users.
 */
static bool
keep_if_used (LeaseOp *op, LeaseNode *top)
{
  g_autoptr (GPtrArray) directories = g_ptr_array_new ();

  g_ptr_array_add (directories, top);
  for (unsigned i = 0; i < directories->len; i++) {
    LeaseNode *directory = g_ptr_array_index (directories, i);
    LeaseName *name = NULL;
    if (is_awaited (op->engine, directory)) {
      outlive_up_to (op, directory, top);
      return true;
    }
    while ((name = lease_tree_next (directory, name == NULL ? 0 : name->cookie)) != NULL) {
      LeaseNode *node = name->node;
      if (!node->ended &&
          (node->lease == NULL || node->leaving || !lease_is_over (node->lease, op->now))) {
        outlive_up_to (op, directory, top);
        return true;
      }
      if (S_ISDIR (node->mode) && !node->ended)
        g_ptr_array_add (directories, node);
    }
  }
  for (unsigned i = 0; i < directories->len; i++)
    lease_op_mark_ended (op, g_ptr_array_index (directories, i));
  return false;
}

/* Remembers it for all on the way, which makes the next search short. */
bool
lease_op_goes_with_parent (LeaseOp *op, LeaseNode *directory)
{
  const LeaseNode *top = directory;

  while (!top->ended && !lease_is_directory_of_lease (top)) {
    if (top->names == NULL || top->leaving)
      return false;
    top = top->names->parent;
  }
  if (!top->ended && !lease_is_over (top->lease, op->now))
    return false;
  lease_op_note_ended (op, top);
  for (; directory != top; directory = directory->names->parent)
    lease_op_mark_ended (op, directory);
  return true;
}

bool
lease_op_is_over_here (LeaseOp *op, LeaseNode *node)
{
  if (!node->ended &&
      (node->lease == NULL || node->leaving || !lease_is_over (node->lease, op->now)))
    return false;
  lease_op_note_ended (op, node);
  return node->ended || !S_ISDIR (node->mode) || lease_is_directory_of_lease (node) ||
         !keep_if_used (op, node);
}

bool
lease_op_is_over (LeaseOp *op, LeaseNode *node)
{
  return (S_ISDIR (node->mode) && lease_op_goes_with_parent (op, node)) ||
         lease_op_is_over_here (op, node);
}

int
lease_op_node (LeaseOp *op, uint64_t id, LeaseNode **node_out)
{
  LeaseNode *node = lease_tree_node (op->engine->tree, id);

  if (node == NULL || (!op->by->reaper && lease_op_is_over (op, node)))
    return -ESTALE;
  *node_out = node;
  return 0;
}

int
lease_op_directory (LeaseOp *op, uint64_t id, LeaseNode **directory_out)
{
  int error = lease_op_node (op, id, directory_out);

  if (error == 0 && !S_ISDIR ((*directory_out)->mode))
    error = -ENOTDIR;
  return error;
}

int
lease_op_regular (LeaseOp *op, uint64_t id, LeaseNode **node_out)
{
  int error = lease_op_node (op, id, node_out);

  if (error == 0 && S_ISDIR ((*node_out)->mode))
    return -EISDIR;
  if (error == 0 && !S_ISREG ((*node_out)->mode))
    return -EINVAL;
  return error;
}

int
lease_op_lease (LeaseOp *op, uint64_t id, Lease **lease_out)
{
  LeaseNode *node;
  int error = lease_op_node (op, id, &node);

  if (error != 0)
    return error;
  if (!lease_is_directory_of_lease (node))
    return -EINVAL;
  *lease_out = node->lease;
  return 0;
}

LeaseName *
lease_op_find (LeaseOp *op, const LeaseNode *parent, const char *text)
{
  LeaseName *name = lease_tree_find (parent, text);

  if (name != NULL && !op->by->reaper && lease_op_is_over_here (op, name->node))
    return NULL;
  return name;
}

static void
drop_xattrs (LeaseOp *op, uint64_t node)
{
  LeaseEngine *engine = op->engine;
  uint64_t before = lease_xattrs_footprint (engine->xattrs);

  lease_xattrs_drop (engine->xattrs, node);
  engine->bytes_used += lease_xattrs_footprint (engine->xattrs) - before;
}

static void
discard_value (LeaseOp *op, LeaseValue *value)
{
  if (lease_value_footprint (value) > LARGE_VALUE) {
    if (op->values == NULL)
      op->values = g_array_new (FALSE, FALSE, sizeof (LeaseValue));
    g_array_append_val (op->values, *value);
    *value = (LeaseValue){ 0 };
  } else {
    lease_value_clear (value);
  }
}

void
lease_op_mark_ended (LeaseOp *op, LeaseNode *node)
{
  if (node->ended)
    return;
  drop_xattrs (op, node->id);
  node->ended = true;
  op->engine->ended_nodes++;
  lease_op_count_node (op, node);
  if (S_ISREG (node->mode)) {
    op->engine->bytes_used -= lease_value_footprint (&node->value);
    discard_value (op, &node->value);
  }
}

void
lease_op_collect (LeaseOp *op, LeaseNode *node)
{
  if (node->names != NULL || node->id == LEASE_ROOT || lease_is_directory_of_lease (node) ||
      (S_ISDIR (node->mode) && node->dir->entry_count > 0))
    return;
  lease_op_detach (op, node);

  uint64_t cost = lease_node_cost (node), id = node->id;
  bool ended = node->ended;
  if (S_ISREG (node->mode) && node->pins == 0)
    discard_value (op, &node->value);
  if (lease_tree_collect (op->engine->tree, node)) {
    drop_xattrs (op, id);
    op->engine->bytes_used -= cost;
    op->engine->ended_nodes -= ended;
  }
}

void
lease_add_member (Lease *lease, LeaseNode *node)
{
  node->previous_member = lease->last_member;
  node->next_member = NULL;
  if (lease->last_member != NULL)
    lease->last_member->next_member = node;
  else
    lease->first_member = node;
  lease->last_member = node;
}

void
lease_remove_member (Lease *lease, LeaseNode *node)
{
  if (lease->unsettled == node)
    lease->unsettled = node->next_member;
  if (node->previous_member != NULL)
    node->previous_member->next_member = node->next_member;
  else
    lease->first_member = node->next_member;
  if (node->next_member != NULL)
    node->next_member->previous_member = node->previous_member;
  else
    lease->last_member = node->previous_member;
}

void
lease_op_detach (LeaseOp *op, LeaseNode *node)
{
  if (node->lease == NULL)
    return;
  if (node->lease->revoking)
    lease_op_tell_stale (op, node, true); /* its turn to be told does not come any more */
  lease_engine_note_keys (op->engine, node, false);
  lease_remove_member (node->lease, node);
  lease_tree_attach (node, NULL);
  lease_op_count_node (op, node);
}

/* So many of the last ids in a list are looked through for one that is to be added. What comes up
 * more than once in an operation mostly does so soon; to tell of it twice does no harm. */
#define TOLD_LATELY 8

static void
add_id (GArray **ids, const LeaseNode *node)
{
  /* What nobody has pinned, nobody has attributes or names of. */
  if (node->pins == 0 && node->id != LEASE_ROOT)
    return;
  if (*ids == NULL)
    *ids = g_array_new (FALSE, FALSE, sizeof (uint64_t));
  for (unsigned i = (*ids)->len; i > 0 && i + TOLD_LATELY > (*ids)->len; i--)
    if (g_array_index (*ids, uint64_t, i - 1) == node->id)
      return;
  g_array_append_val (*ids, node->id);
}

void
lease_op_tell_names (LeaseOp *op, LeaseNode *node)
{
  add_id (&op->names, node);
}

void
lease_op_tell_attached (LeaseOp *op, LeaseNode *node)
{
  lease_op_tell_stale (op, node, false);
  lease_op_tell_names (op, node);
  lease_op_tell_directories (op, node, node->lease->due.deadline);
}

void
lease_op_tell_directories (LeaseOp *op, const LeaseNode *node, LeaseTime deadline)
{
  for (const LeaseName *name = node->names; name != NULL; name = name->next) {
    LeaseDir *dir = name->parent->dir;
    if (dir->shown_until > deadline) {
      add_id (&op->stale, name->parent);
      dir->shown_until = 0;
    }
  }
}

void
lease_op_tell_stale (LeaseOp *op, LeaseNode *node, bool parents)
{
  add_id (&op->stale, node);
  for (const LeaseName *name = node->names; parents && name != NULL; name = name->next)
    add_id (&op->stale, name->parent);
}
