/* SPDX-License-Identifier: MIT */

/* The engine's invariants, walked one by one. */

#include "leases/engine-private.h"

#include <sys/stat.h>

typedef struct {
  LeaseEngine *engine;
  uint64_t bytes;
  size_t pending;  /* leases with a deadline */
  size_t ended;    /* leases in `settling` and `ended` */
  size_t members;  /* nodes that leases list */
  size_t attached; /* nodes that are attached, and no lease's directory */
  size_t over;     /* nodes that have ended */
} Sums;

static void
check_members (const Lease *lease)
{
  unsigned count = 0;

  for (const GList *link = lease->members.head; link != NULL; link = link->next, count++) {
    const LeaseNode *node = link->data;
    if (node->lease != lease || &node->member != link)
      g_error ("node %" G_GUINT64_FORMAT " is listed by a lease that it is not attached to",
               node->id);
  }
  if (count != lease->members.length)
    g_error ("a lease counts what is attached to it wrongly");
}

static void
check_lease (Sums *sums, const Lease *lease)
{
  check_members (lease);
  sums->members += lease->members.length;
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
}

static void
check_node (LeaseNode *node, void *data)
{
  Sums *sums = data;

  sums->bytes += lease_node_cost (node);
  sums->over += node->ended;
  for (const LeaseName *name = node->names; name != NULL; name = name->next)
    sums->bytes += lease_name_cost (name->text);

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
check_entry (const Sums *sums, const LeaseName *name)
{
  if (!lease_is_directory_of_lease (name->node))
    g_error ("leases/%s is no lease", name->text);
  if (name->parent != sums->engine->leases_dir)
    g_error ("the lease %s is in the wrong directory", name->text);
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
  while ((name = lease_tree_next (engine->leases_dir, name == NULL ? 0 : name->cookie)) != NULL)
    check_entry (&sums, name);
  if (sums.bytes != engine->bytes_used)
    g_error ("%" G_GUINT64_FORMAT " bytes are used, but %" G_GUINT64_FORMAT " counted", sums.bytes,
             engine->bytes_used);
  if (sums.over != engine->ended_nodes)
    g_error ("%zu nodes have ended, but %" G_GUINT64_FORMAT " counted", sums.over,
             engine->ended_nodes);
  /* Each that is listed is attached, and has one place in a list. */
  if (sums.members != sums.attached)
    g_error ("something is attached to a lease that does not list it");
  if (sums.pending != lease_queue_length (engine->deadlines))
    g_error ("the queue of deadlines has leases that the tree has not");
  if (sums.ended != engine->settling.length + engine->ended.length)
    g_error ("the queues of ended leases have leases that the tree has not");
  pthread_mutex_unlock (&engine->lock);
}
