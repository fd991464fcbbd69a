/* SPDX-License-Identifier: MIT */

/* The engine's state and its one lock.
 *
 * Invariants (lease_engine_check() walks them):
 *   - a node is attached to a lease exactly if it is one of its members, or is its directory;
 *   - a lease that has not ended is in `deadlines`, one that has is in `settling` or `ended`;
 *   - the directory of a lease lies in leases/ until it is removed, and nothing else does.
 *
 * Whether something has ended is decided by comparing its deadline with the clock, each time that
 * it is met; the queues of ended leases only drive the cleaning up. */

#include "leases/engine-private.h"

#include <string.h>
#include <sys/stat.h>

static const char *const file_names[] = { NULL, "ttl", "granted", "keys" };

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

static LeaseNode *
add_directory (LeaseEngine *engine, mode_t mode, const LeaseCaller *by)
{
  LeaseNode *node = lease_tree_add (engine->tree, S_IFDIR | mode);

  node->uid = engine->config.uid;
  node->gid = engine->config.gid;
  node->atime_ns = node->mtime_ns = node->ctime_ns = by->wall_ns;
  engine->bytes_used += lease_node_cost (node);
  return node;
}

LeaseEngine *
lease_engine_new (const LeaseEngineConfig *config, const LeaseCaller *by, LeaseNotify notify,
                  void *data)
{
  LeaseEngine *engine = g_new0 (LeaseEngine, 1);

  engine->config = *config;
  engine->notify = notify;
  engine->notify_data = data;
  pthread_mutex_init (&engine->lock, NULL);
  engine->tree = lease_tree_new ();
  engine->deadlines = lease_queue_new ();
  engine->now = by->now;
  engine->told = LEASE_TIME_NEVER;

  LeaseNode *root = add_directory (engine, config->root_mode, by);
  engine->leases_dir = add_directory (engine, S_ISVTX | 0777, by);
  uint64_t empty_root = lease_node_cost (root);
  lease_tree_link (root, "leases", engine->leases_dir);
  engine->bytes_used += lease_node_cost (root) - empty_root + lease_name_cost ("leases");
  return engine;
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
  lease_queue_free (engine->deadlines);
  lease_tree_free (engine->tree);
  pthread_mutex_destroy (&engine->lock);
  g_free (engine);
}

void
lease_engine_usage (LeaseEngine *engine, LeaseUsage *usage_out)
{
  pthread_mutex_lock (&engine->lock);
  *usage_out = (LeaseUsage){
    .bytes_used =
        lease_engine_is_crowded (engine, 0) ? engine->config.max_bytes : engine->bytes_used,
    .bytes_max = engine->config.max_bytes,
    .nodes_used = lease_tree_node_count (engine->tree) - engine->ended_nodes,
    .nodes_max = engine->config.max_nodes,
  };
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
