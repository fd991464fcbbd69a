/* SPDX-License-Identifier: MIT */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The extended attributes of all nodes, in one table: few nodes have any, and those that have none
 * take no memory here. Not locked: the caller sees to that. */
typedef struct LeaseXattrs LeaseXattrs;

/* One of them: read it, and no longer than until the table is changed. */
typedef struct {
  uint64_t node;
  const char *name;
  const char *value;
  size_t size;
} LeaseXattr;

LeaseXattrs *lease_xattrs_new (void);
void lease_xattrs_free (LeaseXattrs *xattrs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LeaseXattrs, lease_xattrs_free)

/* The attribute `name` of `node`, or NULL. All of these are O(log n) in all that there are. */
const LeaseXattr *lease_xattrs_find (const LeaseXattrs *xattrs, uint64_t node, const char *name);

/* The first attribute of `node` behind `name` ("": of all), by their bytes; NULL if none is. */
const LeaseXattr *lease_xattrs_next (const LeaseXattrs *xattrs, uint64_t node, const char *name);

/* Sets it, whether or not it is there. */
void lease_xattrs_put (LeaseXattrs *xattrs, uint64_t node, const char *name, const char *value,
                       size_t size);

/* Removes it, if it is there; and all of a node. */
void lease_xattrs_remove (LeaseXattrs *xattrs, uint64_t node, const char *name);
void lease_xattrs_drop (LeaseXattrs *xattrs, uint64_t node);

/* How much memory such an attribute takes, at most, in bytes; and how much all do. */
uint64_t lease_xattr_cost (const char *name, size_t size);
uint64_t lease_xattrs_footprint (const LeaseXattrs *xattrs);

/* Calls `each` for every attribute. */
void lease_xattrs_foreach (const LeaseXattrs *xattrs,
                           void (*each) (const LeaseXattr *xattr, void *data), void *data);
