/* SPDX-License-Identifier: MIT */

/* The engine's invariants, walked one by one. */

#include "leases/engine-private.h"

#include <sys/stat.h>

typedef struct {
  LeaseEngine *engine;
  uint64_t bytes;
  size_t pending;  /* leases with a deadline */
  size_t ended;    /* leases in `settling`, `revoking`, `ended` and `parting` */
  size_t members;  /* nodes that leases list */
  size_t attached; /* nodes that are attached, and no lease's directory */
  size_t over;     /* nodes that have ended */
  LeaseCounts counts;
  size_t holds; /* of leases by holders */
} Sums;

/* Returns how many there are. */
static size_t
check_members (const Lease *lease)
{
  const LeaseNode *previous = NULL;
  size_t count = 0;

  for (const LeaseNode *node = lease->first_member; node != NULL; node = node->next_member) {
    if (node->lease != lease || node->previous_member != previous)
      g_error ("node %" G_GUINT64_FORMAT " is listed by a lease that it is not attached to",
               node->id);
    previous = node;
    count++;
  }
  if (lease->last_member != previous)
    g_error ("a lease does not know the last of what is attached to it");
  return count;
}

static void
check_deadline (const Sums *sums, const Lease *lease)
{
  LeaseTime deadline = lease->due.deadline;

  if ((lease->holds != NULL) != (deadline == LEASE_TIME_NEVER))
    g_error ("a lease must have no deadline exactly while it is held");
  if (lease->holds != NULL)
    deadline = lease_time_after (sums->engine->now, lease->granted_ns);
  if (lease->shown_until > deadline)
    g_error ("what is attached to a lease was shown for longer than it may last");
}

static void
check_lease (Sums *sums, const Lease *lease)
{
  sums->members += check_members (lease);
  if (lease->phase != lease_phase (lease))
    g_error ("a lease is counted in the wrong phase");
  sums->counts.leases[lease->phase]++;
  if (lease->ended == lease_queue_contains (&lease->due))
    g_error ("a lease must be in the queue of deadlines exactly until it ends");
  if (lease->ended)
    sums->ended++;
  else
    sums->pending++;
  if (!lease->ended &&
      (lease->directory->names == NULL ||
       lease->directory->names->parent != sums->engine->leases_dir) &&
      lease->due.deadline > sums->engine->now)
    g_error ("a living lease must be in leases/");
  if (lease->holds != NULL && (lease->ended || lease->granted_ns == 0))
    g_error ("a lease is held that is not granted, or has ended");
  if (!lease->ended && !lease->shortening)
    check_deadline (sums, lease);
  sums->holds += g_list_length (lease->holds);
  lease_engine_check_keys (sums->engine, lease);
}

static void
check_node (LeaseNode *node, void *data)
{
  Sums *sums = data;

  sums->bytes += lease_node_cost (node);
  sums->over += node->ended;
  sums->counts.keys += lease_node_is_key (node);
  sums->counts.attached_keys += lease_node_is_key (node) && node->lease != NULL;
  for (const LeaseName *name = node->names; name != NULL; name = name->next) {
    sums->bytes += lease_name_cost (name->text);
    sums->counts.graves += name->dead;
    if (name->dead && !node->ended)
      g_error ("%s counts as dead, but it lives", name->text);
  }

  if (lease_is_directory_of_lease (node))
    check_lease (sums, node->lease);
  else if (node->lease != NULL)
    sums->attached++;
  if (node->lease != NULL && node->lease->granted_ns == 0 && !lease_is_directory_of_lease (node))
    g_error ("node %" G_GUINT64_FORMAT " is attached to a lease that is not granted", node->id);
  if (node->names == NULL && node->id != LEASE_ROOT && node->pins == 0 &&
      !(S_ISDIR (node->mode) && node->dir->entry_count > 0) && !lease_is_directory_of_lease (node))
    g_error ("node %" G_GUINT64_FORMAT " is kept by nothing", node->id);
}

static void
check_xattr (const LeaseXattr *xattr, void *data)
{
  Sums *sums = data;
  const LeaseNode *node = lease_tree_node (sums->engine->tree, xattr->node);

  if (node == NULL || node->ended)
    g_error ("node %" G_GUINT64_FORMAT " has %s, but it is not there", xattr->node, xattr->name);
  sums->bytes += lease_xattr_cost (xattr->name, xattr->size);
}

static void
check_entry (const Sums *sums, const LeaseName *name)
{
  if (!lease_is_directory_of_lease (name->node))
    g_error ("leases/%s is no lease", name->text);
  if (name->parent != sums->engine->leases_dir)
    g_error ("the lease %s is in the wrong directory", name->text);
}

static void
check_count (const char *what, uint64_t seen, uint64_t counted)
{
  if (seen != counted)
    g_error ("%" G_GUINT64_FORMAT " %s, but %" G_GUINT64_FORMAT " counted", seen, what, counted);
}

static void
check_counts (const LeaseCounts *seen, const LeaseCounts *counted)
{
  for (LeasePhase phase = 0; phase < LEASE_PHASE_COUNT; phase++)
    check_count ("leases in a phase", seen->leases[phase], counted->leases[phase]);
  check_count ("keys", seen->keys, counted->keys);
  check_count ("attached keys", seen->attached_keys, counted->attached_keys);
  check_count ("names to be removed", seen->graves, counted->graves);
}

void
lease_engine_check (LeaseEngine *engine)
{
  Sums sums = { .engine = engine };
  LeaseName *name = NULL;

  pthread_mutex_lock (&engine->lock);
  lease_tree_check (engine->tree);
  lease_queue_check (engine->deadlines);
  lease_tree_foreach (engine->tree, check_node, &sums);
  sums.bytes += lease_ghosts_cost (engine);
  lease_xattrs_foreach (engine->xattrs, check_xattr, &sums);
  while ((name = lease_tree_next (engine->leases_dir, name == NULL ? 0 : name->cookie)) != NULL)
    check_entry (&sums, name);
  sums.bytes += lease_engine_check_holders (engine);
  if (sums.holds != g_hash_table_size (engine->holds))
    g_error ("leases are held by holders that are not known");
  check_count ("bytes are used", sums.bytes, engine->bytes_used);
  check_count ("nodes have ended", sums.over, engine->ended_nodes);
  check_counts (&sums.counts, &engine->counts);
  /* Each that is listed is attached, and has one place in a list. */
  if (sums.members != sums.attached)
    g_error ("something is attached to a lease that does not list it");
  if (sums.pending != lease_queue_length (engine->deadlines))
    g_error ("the queue of deadlines has leases that the tree has not");
  if (sums.ended != engine->settling.length + engine->revoking.length + engine->closing.length +
                        engine->ended.length + engine->parting.length)
    g_error ("the queues of ended leases have leases that the tree has not");
  pthread_mutex_unlock (&engine->lock);
}
