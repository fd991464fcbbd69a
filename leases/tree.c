/* SPDX-License-Identifier: MIT */

/* Owns every node and name. A directory keeps its names twice: in a hash table to find them, and in
 * an array by rising cookie to list them. A removed name leaves an empty slot behind, so that
 * cookies stay sorted and a listing finds its place again by binary search; once half of the slots
 * are empty, or the array has become much shorter, it is packed. The slot of a name is found the same
 * way. No lock: the engine's covers it. */

#include "leases/tree.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

struct LeaseTree {
  LeaseTable nodes; /* by id */
  uint64_t last_id;
};

/* One place in the order of a directory: its name; or, if that has been removed, its cookie, moved
 * up by one bit with the lowest set, which no pointer has. */
typedef uintptr_t Slot;

G_STATIC_ASSERT (sizeof (Slot) == sizeof (uint64_t));

/* What all directories without names share: most directories are a lease's, and empty. */
static const LeaseDir no_names;

static uint64_t
hash_node (const LeaseTableLink *link)
{
  return lease_table_hash_number (((const LeaseNode *)(const void *)link)->id);
}

static uint64_t
hash_name (const LeaseTableLink *link)
{
  return lease_table_hash_text (((const LeaseName *)(const void *)link)->text);
}

/* What `node` keeps its names in, made if need be. */
static LeaseDir *
own_dir (LeaseNode *node)
{
  if (node->dir == &no_names) {
    node->dir = g_new0 (LeaseDir, 1);
    node->dir->shown_until = INT64_MAX;
    node->dir->order = g_array_new (FALSE, FALSE, sizeof (Slot));
  }
  return node->dir;
}

static void
free_dir (LeaseNode *node)
{
  if (node->dir == &no_names)
    return;
  lease_table_clear (&node->dir->by_text);
  g_array_unref (node->dir->order);
  g_free (node->dir);
  node->dir = (LeaseDir *)&no_names;
}

static void
free_node (LeaseTableLink *link, void *data)
{
  LeaseNode *node = (LeaseNode *)(void *)link;

  while (node->names != NULL) {
    LeaseName *name = node->names;
    node->names = name->next;
    g_free (name);
  }
  if (S_ISREG (node->mode))
    lease_value_clear (&node->value);
  else if (S_ISLNK (node->mode))
    g_free (node->target);
  else if (S_ISDIR (node->mode))
    free_dir (node);
  g_free (node);
}

LeaseTree *
lease_tree_new (void)
{
  return g_new0 (LeaseTree, 1);
}

void
lease_tree_free (LeaseTree *tree)
{
  lease_table_foreach (&tree->nodes, free_node, NULL);
  lease_table_clear (&tree->nodes);
  g_free (tree);
}

uint64_t
lease_tree_next_id (const LeaseTree *tree)
{
  return tree->last_id + 1;
}

void
lease_tree_skip_ids (LeaseTree *tree, uint64_t id)
{
  tree->last_id = MAX (tree->last_id, id - 1);
}

LeaseNode *
lease_tree_add (LeaseTree *tree, uint64_t id, mode_t mode)
{
  LeaseNode *node = g_new0 (LeaseNode, 1);

  node->id = id;
  lease_tree_skip_ids (tree, id + 1);
  node->mode = mode;
  if (S_ISDIR (mode)) {
    node->dir = (LeaseDir *)&no_names;
    node->last_cookie = LEASE_TREE_FIRST_COOKIE - 1;
  }
  lease_table_insert (&tree->nodes, &node->link, hash_node);
  return node;
}

LeaseNode *
lease_tree_node (LeaseTree *tree, uint64_t id)
{
  LeaseTableLink *link = lease_table_first (&tree->nodes, lease_table_hash_number (id));

  while (link != NULL && ((LeaseNode *)(void *)link)->id != id)
    link = link->next;
  return (LeaseNode *)(void *)link;
}

uint64_t
lease_tree_node_count (const LeaseTree *tree)
{
  return tree->nodes.count;
}

bool
lease_tree_collect (LeaseTree *tree, LeaseNode *node)
{
  if (node->id == LEASE_TREE_ROOT || node->names != NULL || node->pins > 0 ||
      (S_ISDIR (node->mode) && node->dir->entry_count > 0))
    return false;
  g_assert (node->lease == NULL);
  lease_table_remove (&tree->nodes, &node->link, hash_node);
  free_node (&node->link, NULL);
  return true;
}

LeaseName *
lease_tree_find (const LeaseNode *parent, const char *text)
{
  const LeaseTable *names = &parent->dir->by_text;
  LeaseTableLink *link = lease_table_first (names, lease_table_hash_text (text));

  while (link != NULL && strcmp (((LeaseName *)(void *)link)->text, text) != 0)
    link = link->next;
  return (LeaseName *)(void *)link;
}

static LeaseName *
name_at (const GArray *order, unsigned index)
{
  Slot slot = g_array_index (order, Slot, index);

  return (slot & 1) != 0 ? NULL : (LeaseName *)slot;
}

static uint64_t
cookie_at (const GArray *order, unsigned index)
{
  Slot slot = g_array_index (order, Slot, index);

  return (slot & 1) != 0 ? slot >> 1 : ((LeaseName *)slot)->cookie;
}

static void
append_slot (GArray *order, LeaseName *name)
{
  Slot slot = (Slot)name;

  g_array_append_val (order, slot);
}

/* The index of the first slot whose cookie is above `cookie`. Since cookies rise by at least one
 * from slot to slot, the first and the last one say about where that is; and where no name has been
 * removed, exactly. */
static unsigned
slot_above (const GArray *order, uint64_t cookie)
{
  uint64_t first = cookie_at (order, 0), last = cookie_at (order, order->len - 1);

  if (cookie < first)
    return 0;
  if (cookie >= last)
    return order->len;
  unsigned low = last - cookie < order->len ? order->len - (unsigned)(last - cookie) : 0;
  unsigned high = cookie - first < order->len - 1 ? (unsigned)(cookie - first) + 1 : order->len - 1;
  while (low < high) {
    unsigned middle = low + (high - low) / 2;
    if (cookie_at (order, middle) > cookie)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

/* Into a new array: one that GLib has let grow never gives memory back. No name is looked at for
 * that: a million of them would take a tenth of a second. */
static void
pack_order (LeaseDir *dir)
{
  GArray *packed = g_array_sized_new (FALSE, FALSE, sizeof (Slot), dir->entry_count);

  for (unsigned i = 0; i < dir->order->len; i++) {
    LeaseName *name = name_at (dir->order, i);
    if (name != NULL)
      append_slot (packed, name);
  }
  g_array_unref (dir->order);
  dir->order = packed;
  dir->order_peak = packed->len;
}

static void
forget_slot (LeaseDir *dir, const LeaseName *name)
{
  unsigned index = slot_above (dir->order, name->cookie - 1);

  g_array_index (dir->order, Slot, index) = name->cookie << 1 | 1;
  while (dir->order->len > 0 && name_at (dir->order, dir->order->len - 1) == NULL)
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

uint64_t
lease_tree_next_cookie (const LeaseNode *parent)
{
  return parent->last_cookie + 1;
}

LeaseName *
lease_tree_link (LeaseNode *parent, const char *text, LeaseNode *node, uint64_t cookie)
{
  LeaseDir *dir = own_dir (parent);
  size_t size = strlen (text) + 1;
  LeaseName *name = g_malloc (G_STRUCT_OFFSET (LeaseName, text) + size);

  memcpy (name->text, text, size);
  name->parent = parent;
  name->dead = name->told = false;
  name->cookie = cookie;
  parent->last_cookie = MAX (parent->last_cookie, cookie);
  add_to_node (name, node);

  lease_table_insert (&dir->by_text, &name->link, hash_name);
  append_slot (dir->order, name);
  dir->order_peak = MAX (dir->order_peak, dir->order->len);
  count_entry (dir, node, +1);
  return name;
}

void
lease_tree_unlink (LeaseName *name)
{
  LeaseNode *parent = name->parent;
  LeaseDir *dir = parent->dir;

  count_entry (dir, name->node, -1);
  dir->dead_count -= name->dead;
  lease_table_remove (&dir->by_text, &name->link, hash_name);
  if (dir->entry_count == 0)
    free_dir (parent);
  else
    forget_slot (dir, name);
  take_from_node (name);
  g_free (name);
}

void
lease_tree_repoint (LeaseName *name, LeaseNode *node)
{
  LeaseDir *dir = name->parent->dir;

  count_entry (dir, name->node, -1);
  dir->dead_count -= name->dead;
  take_from_node (name);
  add_to_node (name, node);
  name->dead = node->ended;
  dir->dead_count += name->dead;
  dir->lists_dead |= name->dead;
  count_entry (dir, node, +1);
}

/* Of names that are there. */
static int
compare_slots (const void *a, const void *b)
{
  const LeaseName *one = *(LeaseName *const *)a, *other = *(LeaseName *const *)b;

  return (one->cookie > other->cookie) - (one->cookie < other->cookie);
}

static void
sort_dir (LeaseNode *node, void *data)
{
  if (!S_ISDIR (node->mode) || node->dir->order == NULL)
    return;
  pack_order (node->dir);
  g_array_sort (node->dir->order, compare_slots);
}

void
lease_tree_sort (LeaseTree *tree)
{
  lease_tree_foreach (tree, sort_dir, NULL);
}

LeaseTreeIter
lease_tree_iter (const LeaseNode *parent, uint64_t cookie)
{
  const GArray *order = parent->dir->order;

  return (LeaseTreeIter){ order, order == NULL ? 0 : slot_above (order, cookie) };
}

LeaseName *
lease_tree_iter_next (LeaseTreeIter *iter)
{
  LeaseName *name = NULL;

  while (name == NULL && iter->order != NULL && iter->index < iter->order->len)
    name = name_at (iter->order, iter->index++);
  return name;
}

LeaseName *
lease_tree_next (const LeaseNode *parent, uint64_t cookie)
{
  LeaseTreeIter iter = lease_tree_iter (parent, cookie);

  return lease_tree_iter_next (&iter);
}

LeaseName *
lease_tree_last (const LeaseNode *parent)
{
  const GArray *order = parent->dir->order;

  /* Empty slots at the end are taken off at once, so the last one is never empty. */
  return order == NULL ? NULL : name_at (order, order->len - 1);
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
  LeaseDir *dir = name->parent->dir;

  dir->dead_count += !name->dead;
  dir->lists_dead |= !name->dead;
  name->dead = true;
}

void
lease_tree_note_unlisted (LeaseNode *directory)
{
  directory->dir->lists_dead = false;
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

const char *
lease_tree_put_path (const LeaseName *name, char buffer[PATH_MAX])
{
  char *path = buffer + PATH_MAX;

  for (char end = '\0'; name != NULL; name = name->parent->names, end = '/') {
    size_t length = strlen (name->text);
    if (length + 1 > (size_t)(path - buffer))
      return NULL;
    *--path = end;
    path -= length;
    memcpy (path, name->text, length);
    if (name->parent->id == LEASE_TREE_ROOT)
      return path;
  }
  return NULL;
}

char *
lease_tree_path (const LeaseName *name)
{
  char buffer[PATH_MAX];

  return g_strdup (lease_tree_put_path (name, buffer));
}

bool
lease_tree_is_within (const LeaseNode *node, const LeaseNode *directory)
{
  while (node != directory && node->names != NULL)
    node = node->names->parent;
  return node == directory;
}

typedef struct {
  void (*each) (LeaseNode *node, void *data);
  void *data;
} Foreach;

static void
visit (LeaseTableLink *link, void *data)
{
  const Foreach *foreach = data;

  foreach
    ->each ((LeaseNode *)(void *)link, foreach->data);
}

void
lease_tree_foreach (LeaseTree *tree, void (*each) (LeaseNode *node, void *data), void *data)
{
  Foreach foreach = { each, data };

  lease_table_foreach (&tree->nodes, visit, &foreach);
}

static void
check_dir (const LeaseNode *node)
{
  const LeaseDir *dir = node->dir;
  LeaseDir seen = { 0 };
  uint64_t cookie = 0;

  for (unsigned i = 0; dir->order != NULL && i < dir->order->len; i++) {
    const LeaseName *name = name_at (dir->order, i);
    if (cookie_at (dir->order, i) <= cookie || cookie_at (dir->order, i) > node->last_cookie)
      g_error ("directory %" G_GUINT64_FORMAT ": slots out of order", node->id);
    cookie = cookie_at (dir->order, i);
    if (name == NULL)
      continue;
    if (name->parent != node || lease_tree_find (node, name->text) != name)
      g_error ("directory %" G_GUINT64_FORMAT ": %s is not in its table", node->id, name->text);
    count_entry (&seen, name->node, +1);
    seen.dead_count += name->dead;
  }
  if (seen.entry_count != dir->entry_count || seen.subdir_count != dir->subdir_count ||
      seen.leased_count != dir->leased_count || seen.dead_count != dir->dead_count)
    g_error ("directory %" G_GUINT64_FORMAT ": wrong counts", node->id);
  if ((dir == &no_names) != (dir->entry_count == 0))
    g_error ("directory %" G_GUINT64_FORMAT ": a table, but no names, or none for them", node->id);
  lease_table_check (&dir->by_text, hash_name);
  if (dir->by_text.count != dir->entry_count)
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
  lease_table_check (&tree->nodes, hash_node);
  lease_tree_foreach (tree, check_node, NULL);
}
