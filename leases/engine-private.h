/* SPDX-License-Identifier: MIT */
#pragma once

#include "leases/engine.h"
#include "leases/queue.h"
#include "leases/tree.h"

#include <pthread.h>

/* What the files of the engine share, and nobody else. */

/* A lease, from its mkdir until the last trace of it has been removed:
 *
 *   state    | queued in             | what it means
 *   ---------+-----------------------+------------------------------------------------------------
 *   reserved | deadlines             | granted_ns is 0
 *   granted  | deadlines             |
 *   over     | deadlines             | the deadline has come, and nobody has acted on it yet
 *   settling | settling              | the directories of its keys are being told
 *   ended    | ended                 | its names are being removed, one by one
 *
 * From "over" on nothing of it can be seen, and no way leads back. A revoked lease goes to "ended"
 * at once. */
struct Lease {
  LeaseQueueItem due;
  int64_t granted_ns;
  bool ended; /* settling or ended */
  mode_t modes[LEASE_FILE_LAST + 1];
  LeaseNode *directory; /* leases/ID; not one of `members` */
  GQueue members;       /* LeaseNode.member of all else that is attached */
  GList *unsettled;     /* settling: the first member whose directories have not been told */
  GList link;           /* in LeaseEngine.settling or .ended */
};

struct LeaseEngine {
  LeaseEngineConfig config; /* constant */
  LeaseNotify notify;       /* constant */
  void *notify_data;        /* constant */

  pthread_mutex_t lock; /* the only lock; it covers all below, and the tree */
  LeaseTree *tree;
  LeaseNode *leases_dir;
  LeaseQueue *deadlines;
  GQueue settling;
  GQueue ended;
  LeaseTime
      now; /* the latest that any caller has brought: time never goes back between two operations */
  LeaseTime told;      /* the earliest deadline that the binding knows of */
  uint64_t op_count;   /* operations begun */
  uint64_t generation; /* counts changes of names and attachments */
  uint64_t bytes_used;
  uint64_t bytes_peak;  /* the most that was used since memory was given back to the system */
  uint64_t bytes_asked; /* asked for since the last look at LeaseEngineConfig.memory */
  bool crowded;         /* what that look has shown: there is no room */
  LeaseTime trimmed;    /* when memory was given back for that reason */
  uint64_t ended_nodes; /* nodes with `ended` set, which are there but count no more */
};

/* One operation: holds the lock from lease_op_begin() to the end of its scope, and tells its news
 * after that. */
typedef struct {
  LeaseEngine *engine;
  const LeaseCaller *by;
  LeaseTime now;
  uint64_t number; /* of the operation, from 1: each node is told of once in it */
  GArray *stale;   /* of uint64_t ids; NULL while there are none */
  GArray *names;   /* the same, of nodes whose names hold for too long */
  bool earlier;
  bool ended;
} LeaseOp;

LeaseOp lease_op_begin (LeaseEngine *engine, const LeaseCaller *by);
void lease_op_end (LeaseOp *op);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (LeaseOp, lease_op_end)

/* Finding: engine-op.c. The reaper finds what has ended too; others get -ESTALE, -ENOTDIR or
 * -EINVAL as their result, or no name. */
int lease_op_node (LeaseOp *op, uint64_t id, LeaseNode **node_out);
int lease_op_directory (LeaseOp *op, uint64_t id, LeaseNode **directory_out);
int lease_op_regular (LeaseOp *op, uint64_t id, LeaseNode **node_out);
int lease_op_lease (LeaseOp *op, uint64_t id, Lease **lease_out);
LeaseName *lease_op_find (LeaseOp *op, const LeaseNode *parent, const char *text);

/* Whether nothing may be seen of `node` any more. A directory whose lease is over while something
 * live is in it is not: it loses the lease here. */
bool lease_op_is_over (LeaseOp *op, LeaseNode *node);

/* The same of a node in a directory of which that has just been found false: without the way up. */
bool lease_op_is_over_here (LeaseOp *op, LeaseNode *node);
bool lease_is_over (const Lease *lease, LeaseTime now);

/* Whether `directory` is the directory of a lease that is over, or lies in one that has ended, at
 * whatever depth: it goes with it, attached or not. */
bool lease_op_goes_with_parent (LeaseOp *op, LeaseNode *directory);

/* The lease in whose directory, at whatever depth, `directory` lies or which it is; NULL if none.
 */
Lease *lease_enclosing (const LeaseNode *directory);
bool lease_is_directory_of_lease (const LeaseNode *node);

/* What the caller may do: engine-access.c. They return 0, -EACCES, or -EAGAIN where that depends on
 * groups that are not known. */
int lease_op_may_search (const LeaseOp *op, const LeaseNode *directory);

/* As if by a touch of `ttl`. */
int lease_op_may_refresh (const LeaseOp *op, const Lease *lease);

/* Whether the caller may put the life of `node` in the hands of `lease`. -EPERM: it is somebody
 * else's. */
int lease_op_may_attach (const LeaseOp *op, const Lease *lease, const LeaseNode *node);

/* The same, or `detach` it, by writing to `keys`. -EPERM also: root, for somebody else. */
int lease_op_may_edit (const LeaseOp *op, const Lease *lease, const LeaseNode *node, bool detach);

/* Whether the owner of `lease` may search all directories that lead to `name`. */
bool lease_owner_may_see (const Lease *lease, const LeaseName *name);

/* Changing: engine-op.c. They cannot fail; what can is checked before. */

LeaseNode *lease_op_add_node (LeaseOp *op, const LeaseNew *what, uid_t uid, gid_t gid);
LeaseName *lease_op_add_name (LeaseOp *op, LeaseNode *parent, const char *text, LeaseNode *node);

/* Notes that nothing reaches `node` any more. Its value goes at once. */
void lease_op_mark_ended (LeaseOp *op, LeaseNode *node);

/* Takes a name away, and its node where that was the last thing that kept it. */
void lease_op_drop_name (LeaseOp *op, LeaseName *name);

/* Lets `name` stand for `node`, and drops what it stood for, unless that is kept by something else.
 */
void lease_op_repoint (LeaseOp *op, LeaseName *name, LeaseNode *node);

/* Frees `node` if nothing keeps it. A node without a name is nobody's key any more: it leaves its
 * lease. */
void lease_op_collect (LeaseOp *op, LeaseNode *node);

void lease_op_attach (LeaseOp *op, LeaseNode *node, Lease *lease);
void lease_op_detach (LeaseOp *op, LeaseNode *node);

/* `parent` has changed its names: its times move (of a lease's directory the ctime alone, its mtime
 * is the last refresh). */
void lease_op_touch_names (LeaseOp *op, LeaseNode *parent);

/* Cached attributes of `node` are wrong from now on; with `parents`, also those of the directories
 * that have it. */
void lease_op_tell_stale (LeaseOp *op, LeaseNode *node, bool parents);

/* So are its names, though the kernel looks at the attributes before it trusts them in nearly all
 * calls: to look at them, at the end, it need only be told at leisure. */
void lease_op_tell_names (LeaseOp *op, LeaseNode *node);

/* Room: engine-room.c. */

/* -ENOSPC unless there is room for so much more. What is over makes room first. */
int lease_op_check_room (LeaseOp *op, uint64_t bytes, unsigned nodes);
int lease_op_check_lease_room (LeaseOp *op);

/* Whether the process has too much memory, though less is counted. Looks now and then, when `bytes`
 * are asked for, and while it has, each time. */
bool lease_engine_is_crowded (LeaseEngine *engine, uint64_t bytes);

/* Whether much less memory is used than once was, and malloc() should give it back. Once each time.
 */
bool lease_engine_has_shrunk (LeaseEngine *engine);

/* What things take in memory, at most: malloc()'s own share, and the tables and arrays that they
 * are kept in when these are emptiest (GLib's hash tables hold up to 4 places of 20 bytes for an
 * entry, its arrays twice what they need). `what` is to be created. */
uint64_t lease_new_cost (const LeaseNew *what);
uint64_t lease_node_cost (const LeaseNode *node);
uint64_t lease_name_cost (const char *text);

/* What a name needs in `parent`: its cost, and the tables of a directory that has none yet. */
uint64_t lease_entry_cost (const LeaseNode *parent, const char *text);

/* What being a lease adds to a directory: the struct, and two places in the queue. */
#define LEASE_COST ((uint64_t)sizeof (Lease) + 40)

/* The life of a lease: engine-life.c. */

/* Steps of settling that an operation takes at a time when it depends on what is over. */
#define SETTLE_SLICE 64

/* Makes `directory`, in leases/, a lease that waits to be granted. */
void lease_op_reserve (LeaseOp *op, LeaseNode *directory);

/* Gives `lease` its granted TTL from now on. */
void lease_op_refresh (LeaseOp *op, Lease *lease);

/* Works through leases that are over, in at most about `max` steps. Returns whether some are left.
 */
bool lease_op_settle (LeaseOp *op, unsigned max);

/* Ends `lease` at once. */
void lease_op_revoke (LeaseOp *op, Lease *lease);

/* Frees `lease`, of which nothing but its removed directory is left. */
void lease_op_free_lease (LeaseOp *op, Lease *lease);

/* What stat(2) shows: engine-attr.c. */

/* Somebody has read `node`: its atime may move. */
void lease_op_note_access (LeaseOp *op, LeaseNode *node);

void lease_op_fill_attr (LeaseOp *op, LeaseNode *node, LeaseAttr *attr_out);

/* Whether the name is to be removed because a lease has ended: engine-ends.c. */
bool lease_op_is_due (LeaseOp *op, const LeaseName *name);
