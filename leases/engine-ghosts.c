/* SPDX-License-Identifier: MIT */

/* Names of what has ended that something new took before they were removed. The names are free from
 * the deadline on, so nobody waits for the reaper; but who watches is still to see the old one go.
 * So it is kept, beside the tree, until the reaper has been there: to the reaper, and to nobody
 * else, the name stands for what it stood for before.
 *
 * The kernel may know the name for the new node only, and would take that for the one removed. It
 * is told to look again (-ESTALE) unless it has just been shown the old one: LeaseGhost.shown. */

#include "leases/engine-private.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

static GQueue *
queue_of (LeaseEngine *engine, const LeaseGhost *ghost)
{
  return lease_is_directory_of_lease (ghost->node) ? &engine->lease_ghosts : &engine->ghosts;
}

void
lease_op_displace (LeaseOp *op, const LeaseName *name)
{
  LeaseEngine *engine = op->engine;
  size_t size = strlen (name->text) + 1;
  LeaseGhost *ghost = g_malloc (sizeof *ghost + size);

  *ghost = (LeaseGhost){ .link.data = ghost, .parent = name->parent, .node = name->node };
  memcpy (ghost->text, name->text, size);
  ghost->parent->pins++;
  ghost->node->pins++;
  engine->bytes_used += lease_name_cost (ghost->text);
  g_queue_push_tail_link (queue_of (engine, ghost), &ghost->link);
  if (S_ISDIR (ghost->node->mode))
    g_hash_table_insert (engine->ghost_directories, ghost->node, ghost);
  op->ended = true;
}

void
lease_op_lay (LeaseOp *op, LeaseGhost *ghost)
{
  LeaseEngine *engine = op->engine;
  LeaseNode *parent = ghost->parent, *node = ghost->node;

  g_ptr_array_remove (engine->way, ghost);
  g_hash_table_remove (engine->ghost_directories, node);
  g_queue_unlink (queue_of (engine, ghost), &ghost->link);
  engine->bytes_used -= lease_name_cost (ghost->text);
  g_free (ghost);
  parent->pins--;
  node->pins--;
  lease_op_collect (op, node);
  lease_op_collect (op, parent);
}

LeaseGhost *
lease_ghost_of (const LeaseEngine *engine, const LeaseNode *directory)
{
  return g_hash_table_lookup (engine->ghost_directories, directory);
}

char *
lease_op_way (LeaseOp *op, const LeaseNode *directory)
{
  LeaseEngine *engine = op->engine;
  g_autoptr (GString) path = g_string_new (NULL);

  while (directory->id != LEASE_ROOT) {
    LeaseGhost *ghost = directory->names == NULL ? lease_ghost_of (engine, directory) : NULL;
    if (directory->names == NULL && ghost == NULL)
      return NULL;
    if (ghost != NULL)
      g_ptr_array_add (engine->way, ghost);
    if (path->len > 0)
      g_string_prepend_c (path, '/');
    g_string_prepend (path, ghost != NULL ? ghost->text : directory->names->text);
    if (path->len >= PATH_MAX)
      return NULL;
    directory = ghost != NULL ? ghost->parent : directory->names->parent;
  }
  return path->len > 0 ? g_string_free (g_steal_pointer (&path), FALSE) : g_strdup (".");
}

LeaseGhost *
lease_op_find_ghost (const LeaseOp *op, const LeaseNode *parent, const char *text)
{
  const GPtrArray *way = op->engine->way;

  for (unsigned i = 0; op->by->reaper && i < way->len; i++) {
    LeaseGhost *ghost = g_ptr_array_index (way, i);
    if (ghost->parent == parent && strcmp (ghost->text, text) == 0)
      return ghost;
  }
  return NULL;
}

int
lease_op_remove_ghost (LeaseOp *op, LeaseGhost *ghost, bool is_directory)
{
  const LeaseNode *node = ghost->node;
  bool shown = ghost->shown;

  ghost->shown = false;
  if (!shown)
    return -ESTALE;
  if (S_ISDIR (node->mode) != is_directory)
    return is_directory ? -ENOTDIR : -EISDIR;
  if (is_directory && node->dir->entry_count > 0)
    return -ENOTEMPTY;
  lease_op_lay (op, ghost);
  return 0;
}

uint64_t
lease_ghosts_cost (const LeaseEngine *engine)
{
  const GQueue *queues[] = { &engine->ghosts, &engine->lease_ghosts };
  uint64_t cost = 0;

  for (unsigned i = 0; i < G_N_ELEMENTS (queues); i++)
    for (const GList *link = queues[i]->head; link != NULL; link = link->next)
      cost += lease_name_cost (((const LeaseGhost *)link->data)->text);
  return cost;
}

static void
free_all (GQueue *ghosts)
{
  while (!g_queue_is_empty (ghosts))
    g_free (g_queue_pop_head_link (ghosts)->data);
}

void
lease_ghosts_free (LeaseEngine *engine)
{
  free_all (&engine->ghosts);
  free_all (&engine->lease_ghosts);
  g_hash_table_unref (engine->ghost_directories);
  g_ptr_array_unref (engine->way);
}
