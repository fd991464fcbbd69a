/* SPDX-License-Identifier: MIT */

/* The engine's state and its one lock.
 *
 * Invariants (lease_engine_check() walks them):
 *   - a node is attached to a lease exactly if it is one of its members, or is its directory;
 *   - a lease that has not ended is in `deadlines`, one that has is in `settling` or `ended`;
 *   - the directory of a lease lies in leases/ until it is removed, and nothing else does;
 *   - a lease has holders exactly if its deadline is LEASE_TIME_NEVER, and it has not ended then;
 *   - a holder is known exactly while it holds a lease.
 *
 * Whether something has ended is decided by comparing its deadline with the clock, each time that
 * it is met; the queues of ended leases only drive the cleaning up. */

#include "leases/engine-private.h"

#include <string.h>
#include <sys/stat.h>

static const char *const file_names[] = { NULL, "ttl", "granted", "keys", "procs" };

G_STATIC_ASSERT (G_N_ELEMENTS (file_names) == LEASE_FILE_LAST + 1);

LeaseFile
lease_file_from_name (const char *name)
{
  for (unsigned i = 1; i < G_N_ELEMENTS (file_names); i++)
    if (strcmp (name, file_names[i]) == 0)
      return i;
  return LEASE_FILE_NONE;
}

const char *
lease_file_name (LeaseFile file)
{
  return file_names[file];
}

LeaseEngine *
lease_engine_new (const LeaseEngineConfig *config, LeaseJournal *journal, const LeaseCaller *by,
                  LeaseNotify notify, void *data, GError **error)
{
  g_autoptr (LeaseEngine) engine = g_new0 (LeaseEngine, 1);
  pthread_condattr_t monotonic;

  engine->config = *config;
  engine->journal = journal;
  pthread_mutex_init (&engine->lock, NULL);
  pthread_condattr_init (&monotonic);
  pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init (&engine->turn, &monotonic);
  pthread_condattr_destroy (&monotonic);
  engine->change.rows = g_array_new (FALSE, TRUE, sizeof (LeaseRow));
  engine->unwritten = g_array_new (FALSE, TRUE, sizeof (LeaseRow));
  engine->ends = lease_backlog_new ();
  engine->held = g_array_new (FALSE, FALSE, sizeof (uint64_t));
  engine->ghost_directories = g_hash_table_new (NULL, NULL);
  engine->way = g_ptr_array_new ();
  engine->batches_written = 1;
  engine->batch = 2;
  engine->tree = lease_tree_new ();
  engine->xattrs = lease_xattrs_new ();
  engine->deadlines = lease_queue_new ();
  lease_engine_make_holders (engine);
  engine->now = by->now;
  engine->told = LEASE_TIME_NEVER;
  if (!lease_engine_load (engine, by, error))
    return NULL;
  engine->notify = notify;
  engine->notify_data = data;
  return g_steal_pointer (&engine);
}

static void
collect_lease (LeaseNode *node, void *data)
{
  if (lease_is_directory_of_lease (node))
    g_ptr_array_add (data, node->lease);
}

void
lease_engine_free (LeaseEngine *engine)
{
  /* What is attached to a lease points to it, so none is freed before all have been found. */
  g_autoptr (GPtrArray) leases = g_ptr_array_new_with_free_func (g_free);

  lease_tree_foreach (engine->tree, collect_lease, leases);
  lease_journal_close (engine->journal);
  g_hash_table_unref (engine->holds);
  g_hash_table_unref (engine->holders);
  lease_queue_free (engine->deadlines);
  lease_ghosts_free (engine);
  lease_tree_free (engine->tree);
  lease_xattrs_free (engine->xattrs);
  g_array_unref (engine->change.rows);
  lease_clear_rows (engine->unwritten, engine->unwritten->len);
  g_array_unref (engine->unwritten);
  lease_backlog_free (engine->ends);
  g_array_unref (engine->held);
  pthread_cond_destroy (&engine->turn);
  pthread_mutex_destroy (&engine->lock);
  g_free (engine);
}

void
lease_engine_usage (LeaseEngine *engine, LeaseUsage *usage_out)
{
  pthread_mutex_lock (&engine->lock);
  lease_engine_is_crowded (engine, 0); /* looks whether it is */
  *usage_out = lease_engine_count_usage (engine);
  pthread_mutex_unlock (&engine->lock);
}

LeaseTime
lease_engine_earliest (LeaseEngine *engine)
{
  pthread_mutex_lock (&engine->lock);
  const LeaseQueueItem *item = lease_queue_earliest (engine->deadlines);
  LeaseTime earliest = item == NULL ? LEASE_TIME_NEVER : item->deadline;
  engine->told = earliest;
  pthread_mutex_unlock (&engine->lock);
  return earliest;
}
