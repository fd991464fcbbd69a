/* SPDX-License-Identifier: MIT */
#pragma once

#include "leases/value.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The tree of names and what they stand for. A node is a file, a directory or a symlink, known by
 * an id that is never used again; a name is an entry of a directory and stands for one node; a node
 * may have several names (hard links), a directory has one.
 *
 * A node lives while it has a name, while somebody has pinned it, or while it is a directory that
 * still has entries (one that was removed together with what it held). No time, no I/O, no rules:
 * those are the engine's. Not locked: the caller sees to that. The structs are open to the engine,
 * which reads them and writes the metadata; names and links change only through the functions
 * below. */

#define LEASE_TREE_ROOT UINT64_C (1)

typedef struct LeaseTree LeaseTree;
typedef struct LeaseNode LeaseNode;
typedef struct LeaseName LeaseName;
typedef struct LeaseDir LeaseDir;
typedef struct Lease Lease;

struct LeaseName {
  LeaseNode *parent;
  LeaseNode *node;
  LeaseName *previous; /* the node's other names */
  LeaseName *next;
  uint64_t
      cookie; /* its place in the directory's order: rises with every new name, never used again */
  bool dead;  /* what it stands for has ended; set by lease_tree_mark_dead() */
  bool told;  /* by this name the node was attached: whoever did that knows it */
  char text[];
};

struct LeaseNode {
  uint64_t id;
  uint64_t pins;
  mode_t mode; /* type and permissions; the type never changes */
  uid_t uid;
  gid_t gid;
  dev_t rdev;
  uint32_t name_count;
  bool ended; /* ended with its lease: nothing reaches it any more, however long it is pinned */
  int64_t atime_ns, mtime_ns, ctime_ns; /* since 1970 */
  LeaseName *names;
  Lease *lease;                /* what it is attached to; set by lease_tree_attach() */
  GList member;                /* the link in the lease's list of attached nodes */
  uint64_t stale_op, names_op; /* the last operations to tell of the node: see LeaseOp */
  union {
    LeaseValue value; /* S_ISREG */
    LeaseDir *dir;    /* S_ISDIR */
    char *target;     /* S_ISLNK */
  };
};

struct LeaseDir {
  GHashTable *by_text; /* text to LeaseName; NULL while there are none */
  GArray *order;       /* of slots, by rising cookie */
  uint32_t order_peak; /* the most slots that this `order` has had */
  uint64_t last_cookie;
  uint32_t entry_count;
  uint32_t subdir_count;
  uint32_t leased_count; /* entries whose node is attached to a lease */
  uint32_t dead_count;   /* entries that are dead, and wait to be removed */
};

/* The first cookie that a name may have; below it the binding numbers what it adds to listings
 * itself. */
#define LEASE_TREE_FIRST_COOKIE 16

LeaseTree *lease_tree_new (void);
void lease_tree_free (LeaseTree *tree);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LeaseTree, lease_tree_free)

/* A new node with no name and no pin: give it one or the other, or lease_tree_collect() it. The
 * first one made is the root, LEASE_TREE_ROOT, which is never collected. */
LeaseNode *lease_tree_add (LeaseTree *tree, mode_t mode);

/* The node with that id, or NULL. */
LeaseNode *lease_tree_node (LeaseTree *tree, uint64_t id);
uint64_t lease_tree_node_count (const LeaseTree *tree);

/* Frees `node` if nothing keeps it alive any more. It must be attached to no lease. Returns whether
 * it did. */
bool lease_tree_collect (LeaseTree *tree, LeaseNode *node);

/* The name `text` in directory `parent`, or NULL. */
LeaseName *lease_tree_find (const LeaseNode *parent, const char *text);

/* Gives `node` the new name `text` in `parent`, where it must not exist yet. */
LeaseName *lease_tree_link (LeaseNode *parent, const char *text, LeaseNode *node);

/* Takes a name away. The node stays: lease_tree_collect() decides on it. */
void lease_tree_unlink (LeaseName *name);

/* Lets a name stand for another node, at the same place in its directory. The node it stood for
 * loses a name. */
void lease_tree_repoint (LeaseName *name, LeaseNode *node);

/* The first name of `parent` whose cookie is above `cookie`; NULL at the end. O(log n). Names that
 * come or go between two calls neither hide nor repeat any other. */
LeaseName *lease_tree_next (const LeaseNode *parent, uint64_t cookie);

/* The newest name of `parent`, NULL if it has none. O(1) over any series of removals. */
LeaseName *lease_tree_last (const LeaseNode *parent);

/* Attaches `node` to `lease`, or to none, and keeps the counts of the directories that it is in.
 * The list of a lease's nodes is the caller's. */
void lease_tree_attach (LeaseNode *node, Lease *lease);

/* Notes, and counts in its directory, that what `name` stands for has ended. */
void lease_tree_mark_dead (LeaseName *name);

/* st_nlink. */
uint32_t lease_tree_link_count (const LeaseNode *node);

/* The path of a name from the root, without a leading '/'; NULL if no path leads there: because a
 * directory above was removed, or because it would be longer than a system call takes (PATH_MAX).
 * The caller frees it. */
char *lease_tree_path (const LeaseName *name);

/* Whether `node` is `directory` or lies somewhere below it. A file with several names counts by its
 * first. */
bool lease_tree_is_within (const LeaseNode *node, const LeaseNode *directory);

/* Calls `each` for every node. */
void lease_tree_foreach (LeaseTree *tree, void (*each) (LeaseNode *node, void *data), void *data);

/* Aborts with g_error() unless names, counts, orders and tables agree with each other. O(n). */
void lease_tree_check (LeaseTree *tree);
