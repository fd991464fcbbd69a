/* SPDX-License-Identifier: MIT */

/* Owns every node and name. A directory keeps its names twice: in a hash table to find them, and in
 * an array by rising cookie to list them. A removed name leaves an empty slot behind, so that
 * cookies stay sorted and a listing finds its place again by binary search; once half of the slots
 * are empty, or the array has become much shorter, it is packed. No lock: the engine's covers it.
 */

#include "leases/tree.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

struct LeaseTree {
  GHashTable *nodes; /* id to LeaseNode; the key is the node's own id */
  uint64_t last_id;
};

typedef struct {
  uint64_t cookie;
  LeaseName *name; /* NULL: removed */
} Slot;

static void
free_node (void *data)
{
  LeaseNode *node = data;

  while (node->names != NULL) {
    LeaseName *name = node->names;
    node->names = name->next;
    g_free (name);
  }
  if (S_ISREG (node->mode))
    lease_value_clear (&node->value);
  else if (S_ISLNK (node->mode))
    g_free (node->target);
  else if (S_ISDIR (node->mode)) {
    g_clear_pointer (&node->dir->by_text, g_hash_table_unref);
    g_clear_pointer (&node->dir->order, g_array_unref);
    g_free (node->dir);
  }
  g_free (node);
}

LeaseTree *
lease_tree_new (void)
{
  LeaseTree *tree = g_new0 (LeaseTree, 1);
  tree->nodes = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, free_node);
  return tree;
}

void
lease_tree_free (LeaseTree *tree)
{
  g_hash_table_unref (tree->nodes);
  g_free (tree);
}

LeaseNode *
lease_tree_add (LeaseTree *tree, mode_t mode)
{
  LeaseNode *node = g_new0 (LeaseNode, 1);

  node->id = ++tree->last_id;
  node->mode = mode;
  node->member.data = node;
  if (S_ISDIR (mode)) {
    node->dir = g_new0 (LeaseDir, 1);
    node->dir->last_cookie = LEASE_TREE_FIRST_COOKIE - 1;
  }
  g_hash_table_insert (tree->nodes, &node->id, node);
  return node;
}

LeaseNode *
lease_tree_node (LeaseTree *tree, uint64_t id)
{
  return g_hash_table_lookup (tree->nodes, &id);
}

uint64_t
lease_tree_node_count (const LeaseTree *tree)
{
  return g_hash_table_size (tree->nodes);
}

bool
lease_tree_collect (LeaseTree *tree, LeaseNode *node)
{
  if (node->id == LEASE_TREE_ROOT || node->names != NULL || node->pins > 0 ||
      (S_ISDIR (node->mode) && node->dir->entry_count > 0))
    return false;
  g_assert (node->lease == NULL);
  g_hash_table_remove (tree->nodes, &node->id);
  return true;
}

LeaseName *
lease_tree_find (const LeaseNode *parent, const char *text)
{
  if (parent->dir->by_text == NULL)
    return NULL;
  return g_hash_table_lookup (parent->dir->by_text, text);
}

/* The index of the first slot whose cookie is above `cookie`. */
static unsigned
slot_above (const GArray *order, uint64_t cookie)
{
  unsigned low = 0, high = order->len;

  while (low < high) {
    unsigned middle = low + (high - low) / 2;
    if (g_array_index (order, Slot, middle).cookie > cookie)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

/* Into a new array: one that GLib has let grow never gives memory back. */
static void
pack_order (LeaseDir *dir)
{
  GArray *packed = g_array_sized_new (FALSE, FALSE, sizeof (Slot), dir->entry_count);

  for (unsigned i = 0; i < dir->order->len; i++) {
    Slot slot = g_array_index (dir->order, Slot, i);
    if (slot.name != NULL)
      g_array_append_val (packed, slot);
  }
  g_array_unref (dir->order);
  dir->order = packed;
  dir->order_peak = packed->len;
}

static void
forget_slot (LeaseDir *dir, uint64_t cookie)
{
  unsigned i = slot_above (dir->order, cookie - 1);

  g_array_index (dir->order, Slot, i).name = NULL;
  while (dir->order->len > 0 && g_array_index (dir->order, Slot, dir->order->len - 1).name == NULL)
    g_array_set_size (dir->order, dir->order->len - 1);
  if (dir->order->len > 2 * dir->entry_count || dir->order->len < dir->order_peak / 4)
    pack_order (dir);
}

/* Counts `node` into or out of the directory that has a name for it. */
static void
count_entry (LeaseDir *dir, const LeaseNode *node, int by)
{
  dir->entry_count += by;
  if (S_ISDIR (node->mode))
    dir->subdir_count += by;
  if (node->lease != NULL)
    dir->leased_count += by;
}

static void
add_to_node (LeaseName *name, LeaseNode *node)
{
  name->node = node;
  name->previous = NULL;
  name->next = node->names;
  if (node->names != NULL)
    node->names->previous = name;
  node->names = name;
  node->name_count++;
}

static void
take_from_node (LeaseName *name)
{
  if (name->previous != NULL)
    name->previous->next = name->next;
  else
    name->node->names = name->next;
  if (name->next != NULL)
    name->next->previous = name->previous;
  name->node->name_count--;
}

LeaseName *
lease_tree_link (LeaseNode *parent, const char *text, LeaseNode *node)
{
  LeaseDir *dir = parent->dir;
  size_t size = strlen (text) + 1;
  LeaseName *name = g_malloc (sizeof *name + size);

  memcpy (name->text, text, size);
  name->parent = parent;
  name->dead = name->told = false;
  name->cookie = ++dir->last_cookie;
  add_to_node (name, node);

  if (dir->by_text == NULL) {
    dir->by_text = g_hash_table_new (g_str_hash, g_str_equal);
    dir->order = g_array_new (FALSE, FALSE, sizeof (Slot));
  }
  g_hash_table_insert (dir->by_text, name->text, name);
  g_array_append_val (dir->order, ((Slot){ name->cookie, name }));
  dir->order_peak = MAX (dir->order_peak, dir->order->len);
  count_entry (dir, node, +1);
  return name;
}

void
lease_tree_unlink (LeaseName *name)
{
  LeaseDir *dir = name->parent->dir;

  count_entry (dir, name->node, -1);
  dir->dead_count -= name->dead;
  g_hash_table_remove (dir->by_text, name->text);
  forget_slot (dir, name->cookie);
  if (dir->entry_count == 0) {
    g_clear_pointer (&dir->by_text, g_hash_table_unref);
    g_clear_pointer (&dir->order, g_array_unref);
    dir->order_peak = 0;
  }
  take_from_node (name);
  g_free (name);
}

void
lease_tree_repoint (LeaseName *name, LeaseNode *node)
{
  count_entry (name->parent->dir, name->node, -1);
  take_from_node (name);
  add_to_node (name, node);
  count_entry (name->parent->dir, node, +1);
}

LeaseName *
lease_tree_next (const LeaseNode *parent, uint64_t cookie)
{
  const GArray *order = parent->dir->order;

  if (order == NULL)
    return NULL;
  for (unsigned i = slot_above (order, cookie); i < order->len; i++)
    if (g_array_index (order, Slot, i).name != NULL)
      return g_array_index (order, Slot, i).name;
  return NULL;
}

LeaseName *
lease_tree_last (const LeaseNode *parent)
{
  const GArray *order = parent->dir->order;

  /* Empty slots at the end are taken off at once, so the last one is never empty. */
  return order == NULL ? NULL : g_array_index (order, Slot, order->len - 1).name;
}

void
lease_tree_attach (LeaseNode *node, Lease *lease)
{
  int by = (lease != NULL) - (node->lease != NULL);

  for (LeaseName *name = node->names; name != NULL; name = name->next)
    name->parent->dir->leased_count += by;
  node->lease = lease;
}

void
lease_tree_mark_dead (LeaseName *name)
{
  name->parent->dir->dead_count += !name->dead;
  name->dead = true;
}

uint32_t
lease_tree_link_count (const LeaseNode *node)
{
  if (!S_ISDIR (node->mode))
    return node->name_count;
  if (node->names == NULL && node->id != LEASE_TREE_ROOT)
    return 0;
  return 2 + node->dir->subdir_count;
}

char *
lease_tree_path (const LeaseName *name)
{
  g_autoptr (GPtrArray) texts = g_ptr_array_new ();
  g_autoptr (GString) path = g_string_new (NULL);
  size_t size = 0;

  for (;;) {
    g_ptr_array_add (texts, (void *)name->text);
    size += strlen (name->text) + 1;
    if (size > PATH_MAX)
      return NULL;
    if (name->parent->id == LEASE_TREE_ROOT)
      break;
    name = name->parent->names;
    if (name == NULL)
      return NULL;
  }
  for (unsigned i = texts->len; i-- > 0;) {
    g_string_append (path, g_ptr_array_index (texts, i));
    if (i > 0)
      g_string_append_c (path, '/');
  }
  return g_string_free (g_steal_pointer (&path), FALSE);
}

bool
lease_tree_is_within (const LeaseNode *node, const LeaseNode *directory)
{
  while (node != directory && node->names != NULL)
    node = node->names->parent;
  return node == directory;
}

void
lease_tree_foreach (LeaseTree *tree, void (*each) (LeaseNode *node, void *data), void *data)
{
  GHashTableIter iter;
  void *node;

  g_hash_table_iter_init (&iter, tree->nodes);
  while (g_hash_table_iter_next (&iter, NULL, &node))
    each (node, data);
}

static void
check_dir (const LeaseNode *node)
{
  const LeaseDir *dir = node->dir;
  LeaseDir seen = { 0 };
  uint64_t cookie = 0;

  for (unsigned i = 0; dir->order != NULL && i < dir->order->len; i++) {
    Slot slot = g_array_index (dir->order, Slot, i);
    if (slot.cookie <= cookie || slot.cookie > dir->last_cookie)
      g_error ("directory %" G_GUINT64_FORMAT ": slots out of order", node->id);
    cookie = slot.cookie;
    if (slot.name == NULL)
      continue;
    if (slot.name->parent != node || lease_tree_find (node, slot.name->text) != slot.name)
      g_error ("directory %" G_GUINT64_FORMAT ": %s is not in its table", node->id,
               slot.name->text);
    count_entry (&seen, slot.name->node, +1);
    seen.dead_count += slot.name->dead;
  }
  if (seen.entry_count != dir->entry_count || seen.subdir_count != dir->subdir_count ||
      seen.leased_count != dir->leased_count || seen.dead_count != dir->dead_count)
    g_error ("directory %" G_GUINT64_FORMAT ": wrong counts", node->id);
  if (dir->by_text != NULL && g_hash_table_size (dir->by_text) != dir->entry_count)
    g_error ("directory %" G_GUINT64_FORMAT ": table and order differ", node->id);
}

static void
check_node (LeaseNode *node, void *data)
{
  uint32_t names = 0;

  for (const LeaseName *name = node->names; name != NULL; name = name->next, names++)
    if (name->node != node || lease_tree_find (name->parent, name->text) != name ||
        (name->next != NULL && name->next->previous != name))
      g_error ("node %" G_GUINT64_FORMAT ": broken name %s", node->id, name->text);
  if (names != node->name_count)
    g_error ("node %" G_GUINT64_FORMAT ": wrong name count", node->id);
  if (S_ISDIR (node->mode)) {
    if (names > 1)
      g_error ("directory %" G_GUINT64_FORMAT " has %u names", node->id, names);
    check_dir (node);
  }
}

void
lease_tree_check (LeaseTree *tree)
{
  lease_tree_foreach (tree, check_node, NULL);
}
