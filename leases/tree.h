/* SPDX-License-Identifier: MIT */
#pragma once

#include "leases/table.h"
#include "leases/value.h"

#include <glib.h>
#include <limits.h>
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
  LeaseTableLink link; /* in the directory's table */
  LeaseNode *parent;
  LeaseNode *node;
  LeaseName *previous; /* the node's other names */
  LeaseName *next;
  uint64_t
      cookie; /* its place in the directory's order: rises with every new name, never used again */
  bool dead : 1; /* what it stands for has ended; set by lease_tree_mark_dead() */
  bool told : 1; /* by this name the node was attached: whoever did that knows it */
  char text[];
};

/* There may be millions of them: see lease_new_cost() before adding to it. */
struct LeaseNode {
  LeaseTableLink link; /* in the tree's table */
  uint64_t id;
  uint64_t pins;
  uint16_t mode;                        /* type and permissions; the type never changes */
  bool is_key : 1, is_attached_key : 1; /* it counts as one: see LeaseCounts */
  bool ended : 1; /* ended with its lease: nothing reaches it any more, however long it is pinned */
  bool dirty : 1; /* its times have moved, and the journal does not know */
  bool leaving : 1; /* a change is on its way that takes it from its lease, or from where that
                       reaches */
  bool held : 1;    /* it was emptied, and the journal does not know: in LeaseEngine.held */
  uid_t uid;
  gid_t gid;
  uint32_t name_count;
  int64_t atime_ns, mtime_ns, ctime_ns; /* since 1970 */
  LeaseName *names;
  Lease *lease;                             /* what it is attached to; set by lease_tree_attach() */
  LeaseNode *previous_member, *next_member; /* in the lease's list of attached nodes */
  union {
    LeaseValue value; /* S_ISREG */
    struct {          /* S_ISDIR */
      LeaseDir *dir;  /* its own while there are names; else one for all, not to be written to */
      uint64_t last_cookie;
    };
    char *target; /* S_ISLNK */
    dev_t rdev;   /* all others */
  };
};

struct LeaseDir {
  LeaseTable by_text;  /* of LeaseName */
  GArray *order;       /* of slots, by rising cookie; NULL before the first */
  uint32_t order_peak; /* the most slots that this `order` has had */
  int64_t shown_until; /* the engine's; INT64_MAX at first */
  bool lists_dead;     /* a listing from before an entry died may still be kept somewhere */
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

/* An id that no node has had: the next new node is to have it. */
uint64_t lease_tree_next_id (const LeaseTree *tree);

/* From now on lease_tree_next_id() is at least `id`. */
void lease_tree_skip_ids (LeaseTree *tree, uint64_t id);

/* A new node with no name and no pin: give it one or the other, or lease_tree_collect() it. No node
 * has had that id. LEASE_TREE_ROOT is the root, which is never collected. */
LeaseNode *lease_tree_add (LeaseTree *tree, uint64_t id, mode_t mode);

/* The node with that id, or NULL. */
LeaseNode *lease_tree_node (LeaseTree *tree, uint64_t id);
uint64_t lease_tree_node_count (const LeaseTree *tree);

/* Frees `node` if nothing keeps it alive any more. It must be attached to no lease. Returns whether
 * it did. */
bool lease_tree_collect (LeaseTree *tree, LeaseNode *node);

/* The name `text` in directory `parent`, or NULL. */
LeaseName *lease_tree_find (const LeaseNode *parent, const char *text);

/* The cookie that the next new name in `parent` is to have. */
uint64_t lease_tree_next_cookie (const LeaseNode *parent);

/* Gives `node` the new name `text` in `parent`, where neither that nor the cookie exists yet.
 * Unless cookies rise from call to call, lease_tree_sort() must be called before anything is listed
 * or removed. */
LeaseName *lease_tree_link (LeaseNode *parent, const char *text, LeaseNode *node, uint64_t cookie);

/* Brings the names of all directories into the order of their cookies. */
void lease_tree_sort (LeaseTree *tree);

/* Takes a name away. The node stays: lease_tree_collect() decides on it. */
void lease_tree_unlink (LeaseName *name);

/* Lets a name stand for another node, at the same place in its directory. The node it stood for
 * loses a name. */
void lease_tree_repoint (LeaseName *name, LeaseNode *node);

/* The first name of `parent` whose cookie is above `cookie`; NULL at the end. O(log n). Names that
 * come or go between two calls neither hide nor repeat any other. */
LeaseName *lease_tree_next (const LeaseNode *parent, uint64_t cookie);

/* The same names one after the other, each in O(1), until the first of the directory comes or goes:
 * NULL at the end. */
typedef struct {
  const GArray *order;
  unsigned index;
} LeaseTreeIter;

LeaseTreeIter lease_tree_iter (const LeaseNode *parent, uint64_t cookie);
LeaseName *lease_tree_iter_next (LeaseTreeIter *iter);

/* The newest name of `parent`, NULL if it has none. O(1) over any series of removals. */
LeaseName *lease_tree_last (const LeaseNode *parent);

/* Attaches `node` to `lease`, or to none, and keeps the counts of the directories that it is in.
 * The list of a lease's nodes is the caller's. */
void lease_tree_attach (LeaseNode *node, Lease *lease);

/* Notes, and counts in its directory, that what `name` stands for has ended. */
void lease_tree_mark_dead (LeaseName *name);

/* No listing of `directory` is kept that is older than this. */
void lease_tree_note_unlisted (LeaseNode *directory);

/* st_nlink. */
uint32_t lease_tree_link_count (const LeaseNode *node);

/* The path of a name from the root, without a leading '/'; NULL if no path leads there: because a
 * directory above was removed, or because it would be longer than a system call takes (PATH_MAX).
 * The caller frees it. */
char *lease_tree_path (const LeaseName *name);

/* The same, put into `buffer`, somewhere. */
const char *lease_tree_put_path (const LeaseName *name, char buffer[PATH_MAX]);

/* Whether `node` is `directory` or lies somewhere below it. A file with several names counts by its
 * first. */
bool lease_tree_is_within (const LeaseNode *node, const LeaseNode *directory);

/* Calls `each` for every node. */
void lease_tree_foreach (LeaseTree *tree, void (*each) (LeaseNode *node, void *data), void *data);

/* Aborts with g_error() unless names, counts, orders and tables agree with each other. O(n). */
void lease_tree_check (LeaseTree *tree);
