/* SPDX-License-Identifier: MIT */

/* A balanced tree, in the order of nodes and names, of attributes that are a block of memory each:
 * the struct, the name, the value. */

#include "leases/xattrs.h"

#include <string.h>

/* What malloc() and the tree add to an attribute, at most. */
#define BLOCK_COST 24
#define ENTRY_COST 64

struct LeaseXattrs {
  GTree *tree; /* LeaseXattr to itself */
  uint64_t footprint;
};

static int
compare (const void *a, const void *b, void *data)
{
  const LeaseXattr *one = a, *other = b;

  if (one->node != other->node)
    return one->node < other->node ? -1 : 1;
  return strcmp (one->name, other->name);
}

LeaseXattrs *
lease_xattrs_new (void)
{
  LeaseXattrs *xattrs = g_new0 (LeaseXattrs, 1);

  xattrs->tree = g_tree_new_full (compare, NULL, NULL, g_free);
  return xattrs;
}

void
lease_xattrs_free (LeaseXattrs *xattrs)
{
  g_tree_unref (xattrs->tree);
  g_free (xattrs);
}

const LeaseXattr *
lease_xattrs_find (const LeaseXattrs *xattrs, uint64_t node, const char *name)
{
  LeaseXattr key = { .node = node, .name = name };

  return g_tree_lookup (xattrs->tree, &key);
}

const LeaseXattr *
lease_xattrs_next (const LeaseXattrs *xattrs, uint64_t node, const char *name)
{
  LeaseXattr key = { .node = node, .name = name };
  GTreeNode *place = g_tree_upper_bound (xattrs->tree, &key);
  const LeaseXattr *xattr = place == NULL ? NULL : g_tree_node_value (place);

  return xattr != NULL && xattr->node == node ? xattr : NULL;
}

uint64_t
lease_xattr_cost (const char *name, size_t size)
{
  return sizeof (LeaseXattr) + strlen (name) + 1 + size + BLOCK_COST + ENTRY_COST;
}

/* What is there, if it is, is about to go. */
static void
forget (LeaseXattrs *xattrs, const LeaseXattr *xattr)
{
  if (xattr != NULL)
    xattrs->footprint -= lease_xattr_cost (xattr->name, xattr->size);
}

void
lease_xattrs_put (LeaseXattrs *xattrs, uint64_t node, const char *name, const char *value,
                  size_t size)
{
  size_t name_size = strlen (name) + 1;
  LeaseXattr *xattr = g_malloc (sizeof *xattr + name_size + size);
  char *bytes = (char *)(xattr + 1);

  memcpy (bytes, name, name_size);
  if (size > 0)
    memcpy (bytes + name_size, value, size);
  *xattr = (LeaseXattr){ node, bytes, bytes + name_size, size };
  forget (xattrs, lease_xattrs_find (xattrs, node, name));
  xattrs->footprint += lease_xattr_cost (name, size);
  g_tree_replace (xattrs->tree, xattr, xattr);
}

void
lease_xattrs_remove (LeaseXattrs *xattrs, uint64_t node, const char *name)
{
  LeaseXattr key = { .node = node, .name = name };

  forget (xattrs, lease_xattrs_find (xattrs, node, name));
  g_tree_remove (xattrs->tree, &key);
}

void
lease_xattrs_drop (LeaseXattrs *xattrs, uint64_t node)
{
  const LeaseXattr *xattr;

  while (xattrs->footprint > 0 && (xattr = lease_xattrs_next (xattrs, node, "")) != NULL) {
    forget (xattrs, xattr);
    g_tree_remove (xattrs->tree, xattr);
  }
}

uint64_t
lease_xattrs_footprint (const LeaseXattrs *xattrs)
{
  return xattrs->footprint;
}

void
lease_xattrs_foreach (const LeaseXattrs *xattrs, void (*each) (const LeaseXattr *xattr, void *data),
                      void *data)
{
  for (GTreeNode *place = g_tree_node_first (xattrs->tree); place != NULL;
       place = g_tree_node_next (place))
    each (g_tree_node_value (place), data);
}
