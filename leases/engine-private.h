/* SPDX-License-Identifier: MIT */
#pragma once

#include "leases/backlog.h"
#include "leases/engine.h"
#include "leases/journal.h"
#include "leases/queue.h"
#include "leases/tree.h"
#include "leases/xattrs.h"

#include <pthread.h>

/* What the files of the engine share, and nobody else. */

/* Why a lease ends. */
typedef enum {
  LEASE_END_DUE, /* its deadline comes: so does any, unless something else comes first */
  LEASE_END_REVOKED,
  LEASE_END_OLD, /* it was over before the journal was loaded, and counts no more */
} LeaseEnd;

/* A lease, from its mkdir until the last trace of it has been removed:
 *
 *   state    | queued in             | what it means
 *   ---------+-----------------------+------------------------------------------------------------
 *   reserved | deadlines             | granted_ns is 0
 *   granted  | deadlines             | held while it has `holds`: its deadline never comes then
 *   over     | deadlines             | the deadline has come, and nobody has acted on it yet
 *   settling | settling              | the directories of its keys are being told
 *   revoking | revoking              | the same, by who revoked it, who waits until all is told
 *   closing  | closing               | the journal is to be told of it
 *   ended    | ended                 | its names are being removed, one by one
 *   parting  | parting               | only its directory is left, which who revoked it is about to
 *            |                       | remove
 *
 * From "over" on nothing of it can be seen, and no way leads back. Reserved and granted leases go to
 * "revoking" at once when they are revoked. */
struct Lease {
  LeaseQueueItem due;
  int64_t granted_ns;
  bool ended : 1; /* settling, or any later state */
  bool revoking : 1;
  bool settled : 1; /* closing, ended or parting */
  bool awaited : 1; /* who revoked it will remove the directory: see lease_engine_revoke() */
  bool parting : 1;
  bool end_noted : 1;  /* in LeaseEngine.ends, at some time */
  bool shortening : 1; /* until all has been told that was shown for longer than its new TTL, that
                          does not count, and its deadline is the one that it had */
  bool directory_shown : 1; /* attributes of the directory, since it was last told that these are
                               wrong */
  uint8_t phase;            /* the LeasePhase that it is counted in */
  uint8_t end;              /* LeaseEnd: why it ends */
  uint16_t modes[LEASE_FILE_LAST + 1];
  uint64_t end_batch;    /* with which batch of LeaseEngine.unwritten its end is written; 0: that is
                         not in any yet */
  LeaseTime shown_until; /* no attribute or name of what is attached holds for longer, if it was
                            given out since `shortening` was last set */
  LeaseNode *directory;  /* leases/ID; not one of the members */
  LeaseNode *first_member, *last_member; /* of all else that is attached */
  LeaseNode *unsettled;  /* settling, revoking: the first member whose directories have not been
                           told */
  GList *holds;          /* LeaseHold.of_lease of all that hold it */
  uint64_t keys_size;    /* of the text of `keys`, if it is up to date: see lease_keys_size() */
  uint64_t keys_changed; /* LeaseEngine.generation when something that `keys` shows came or went */
  GList link;            /* in LeaseEngine.settling, .revoking, .closing, .ended or .parting */
};

/* A name of what has ended, taken by something new: engine-ghosts.c. */
typedef struct {
  GList link;        /* in LeaseEngine.ghosts, or .lease_ghosts for the directory of a lease */
  LeaseNode *parent; /* pinned, as is: */
  LeaseNode *node;
  bool shown; /* the kernel has just been told that the name stands for it */
  char text[];
} LeaseGhost;

/* Something outside, such as a process, that keeps leases alive. */
typedef struct {
  uint64_t id;
  pid_t pid;
  GQueue holds; /* LeaseHold.of_holder of all that it holds */
} LeaseHolder;

/* That it holds that lease. */
typedef struct {
  Lease *lease;
  LeaseHolder *holder;
  GList of_lease;
  GList of_holder;
} LeaseHold;

/* A change that is being made. */
typedef struct {
  GArray *rows; /* of LeaseRow */
  char pages[2][LEASE_JOURNAL_PAGE];
  unsigned page_count;  /* of `pages`, that rows point to */
  uint64_t held;        /* the node whose held truncation is among the rows; 0: none */
  uint64_t arrivals[2]; /* directories that something comes into that their lease does not end */
  unsigned arrival_count;
} LeaseChange;

/* Changes are made one at a time. Who wants to make one waits for its turn, then checks and plans
 * it (engine-plan.c) under the lock. The journal takes it with the lock open, if that may wait;
 * reading, keeping alive and ending go on meanwhile. Then it is applied (engine-apply.c).
 *
 * What comes about without a turn does not disturb a change that has been planned: a lease is kept
 * alive; it ends; a directory that outlives its lease leaves it; what has no name is freed; times
 * move. Of that, the journal gets what it must know as `unwritten` rows, with the next change or by
 * lease_engine_flush(). They mean the same before and after any change that can have been under
 * way when they arose.
 *
 * A million leases may end at once, and no change should have to carry that. So the end of a lease
 * that nobody has been shown waits in `ends`, for lease_engine_flush() to take a few at a time. It
 * goes to `unwritten` at once as soon as somebody is shown it, or something depends on it. The others
 * are written, and cleaned up, in the order of their ids: what was created together lies together in
 * a state file, and in any other order each would have pages of it written for itself alone. */
struct LeaseEngine {
  LeaseEngineConfig config; /* constant */
  LeaseJournal *journal;    /* constant; owned */
  LeaseNotify notify;       /* constant */
  void *notify_data;        /* constant */
  LeaseFound found;         /* constant once loaded */

  pthread_mutex_t lock; /* the only lock; it covers all below, and the tree */
  unsigned at_door;     /* how many operations wait for it; atomic */
  pthread_cond_t turn;  /* on CLOCK_MONOTONIC: it may be somebody else's now */
  bool writing;         /* a change is with the journal, and `change` must stay as it is */
  bool refused;         /* the journal has not taken the last one */
  unsigned waiting;     /* for `turn` */
  LeaseChange change;   /* belongs to who has the turn */
  GArray *unwritten;    /* of LeaseRow, with texts of their own: applied, not yet in the journal */
  LeaseBacklog *ends;   /* of leases: not yet in `unwritten`, or no longer */
  uint64_t batch;       /* number of `unwritten` as it is now */
  uint64_t batches_written;
  GArray *held;          /* of uint64_t: files that were emptied to be written anew. See
                            LEASE_SET_HOLD */
  uint64_t ids_reserved; /* the journal knows that ids below it may be in use */
  bool loading;          /* rows come from the journal */
  LeaseTime loaded;      /* when they came: until lease_engine_start(), clocks stood still then */
  LeaseTree *tree;
  LeaseXattrs *xattrs;   /* of nodes that have not ended */
  LeaseNode *leases_dir; /* constant, but for what is in it */
  LeaseQueue *deadlines;
  GHashTable *holders; /* of LeaseHolder, by id */
  GHashTable *holds;   /* of LeaseHold, by lease and holder */
  GQueue settling;
  GQueue revoking;
  GQueue closing;
  GQueue ended;
  GQueue parting;
  GQueue ghosts;                 /* they go first, */
  GQueue lease_ghosts;           /* but these after the keys of their leases */
  GHashTable *ghost_directories; /* those of both that are directories: LeaseNode to LeaseGhost */
  uint64_t grave; /* the node of the last LeaseGrave: nothing else may the reaper remove */
  GPtrArray *way; /* of LeaseGhost: those on the way to the last LeaseGrave, that itself first */
  LeaseTime
      now; /* the latest that any caller has brought: time never goes back between two operations */
  LeaseTime told;         /* the earliest deadline that the binding knows of */
  uint64_t generation;    /* counts changes that `keys` of any lease may show */
  uint64_t paths_changed; /* its value when those of any number of leases may have changed */
  LeaseCounts counts;     /* `graves` without the ghosts */
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
  GArray *stale; /* of uint64_t ids; NULL while there are none */
  GArray *names; /* the same, of nodes whose names hold for too long */
  GArray *idle;  /* the same, of holders that hold nothing any more */
  bool earlier;
  bool ended;
  bool shrunk;
  bool changes;       /* it has its turn, or has had to give up waiting for it: */
  bool busy;          /* (the reaper only) */
  bool committed;     /* the journal has been given something */
  bool unwritten;     /* it has added to LeaseEngine.unwritten, .ends or .held */
  bool unseen;        /* what it finds to have ended, nobody is shown */
  bool many;          /* it may find very much that has ended */
  bool reveals;       /* it shows that something has ended of which the journal does not know yet */
  bool reveals_many;  /* the same, found while there might be `many` */
  GArray *losers;     /* of uint64_t: nodes that rows have taken something from that kept them */
  GArray *values;     /* of LeaseValue: large ones, freed when the lock is open */
  uint64_t revoked;   /* a lease that this operation revokes and has to go on with; 0: none */
  uint64_t cleared;   /* a lease whose directory alone is left, for who revoked it; 0: none */
  uint64_t shortened; /* a lease that this operation has begun to shorten; 0: none */
} LeaseOp;

LeaseOp lease_op_begin (LeaseEngine *engine, const LeaseCaller *by);
void lease_op_end (LeaseOp *op);

/* Frees LeaseOp.values. */
void lease_op_free_values (LeaseOp *op);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (LeaseOp, lease_op_end)

/* Making a change: engine-commit.c. */

/* Begins one that makes a change, when it is its turn. The reaper does not wait long for that: it
 * may keep a directory of the kernel's locked. Where it has given up, `busy` is set. */
LeaseOp lease_op_begin_change (LeaseEngine *engine, const LeaseCaller *by);

/* Gives what has been planned to the journal, and applies it. Otherwise nothing has happened:
 * -ENOSPC, -EIO. The lock may have been open meanwhile: what does not have a name may be gone, and
 * anything may have ended. */
int lease_op_commit (LeaseOp *op);

/* Applies what has been planned; the journal will hear of it later. For what can be told again if
 * it gets lost. */
void lease_op_commit_lazily (LeaseOp *op);

/* Frees the texts of the first `count` of LeaseEngine.unwritten. */
void lease_clear_rows (const GArray *rows, unsigned count);

/* The end of an operation, as far as the journal and the next in turn are concerned. */
void lease_op_leave (LeaseOp *op);

/* Notes for the journal that `lease` is over, if it is. Before anybody is told so. */
void lease_op_note_end (LeaseOp *op, Lease *lease);

/* The same of the lease with which `node` has ended. */
void lease_op_note_ended (LeaseOp *op, const LeaseNode *node);

/* Whether the journal knows that `lease` is over. */
bool lease_is_end_written (const LeaseEngine *engine, const Lease *lease);

/* Notes for the journal that `node` has left its lease, because that is over. */
void lease_op_note_detached (LeaseOp *op, const LeaseNode *node);

/* Planning a change, row by row: engine-plan.c. Whatever is to be changed is still as it was, and
 * what is planned first is applied first. */

/* A new node, which must be given a name. Returns its id. */
uint64_t lease_plan_node (LeaseOp *op, const LeaseNew *what, uid_t uid, gid_t gid);

/* Sets what `meta->fields` names. With `stored` false, the journal need not know. */
void lease_plan_set (LeaseOp *op, const LeaseNode *node, const LeaseRowMeta *meta, bool stored);

/* The ctime of `node`, and in the second case the mtime too, is now. */
void lease_plan_touch_status (LeaseOp *op, const LeaseNode *node);
void lease_plan_touch (LeaseOp *op, const LeaseNode *node);

/* `parent` has changed its names: its times move (of a lease's directory the ctime alone, its mtime
 * is the last refresh). */
void lease_plan_touch_names (LeaseOp *op, const LeaseNode *parent);

/* A new name in `parent`, for node `id` that will be attached to `lease`; also moves the times of
 * `parent`. */
void lease_plan_name (LeaseOp *op, const LeaseNode *parent, const char *text, uint64_t id,
                      const Lease *lease);

/* `name` stands for node `id` from now on, which will be attached to `lease`. */
void lease_plan_repoint (LeaseOp *op, const LeaseName *name, uint64_t id, const Lease *lease);

void lease_plan_told (LeaseOp *op, const LeaseName *name, bool told);

/* Takes a name away, and its node where that was the last thing that kept it; unless it `stays`
 * because it gets another one. Moves the times of both, if they have not ended. */
void lease_plan_drop_name (LeaseOp *op, LeaseName *name, bool stays);

/* The same of a name of what has ended, because something new takes it: it becomes a ghost. */
void lease_plan_displace (LeaseOp *op, LeaseName *name);

/* `name` stands for `id` from now on, and what it stood for is dropped as above. */
void lease_plan_replace (LeaseOp *op, const LeaseName *name, uint64_t id, const Lease *lease);

/* To `lease`, or to none if that is NULL. */
void lease_plan_attach (LeaseOp *op, uint64_t id, const Lease *lease);

/* Rows that only say what is to be done with `id`, a lease's directory. */
LeaseRow *lease_plan_lease (LeaseOp *op, LeaseRowType type, uint64_t id);

/* What `lease` was attached to is free of it, and it of its directory, which has no name. */
void lease_plan_free_lease (LeaseOp *op, const Lease *lease);

/* Values. `data` must stay until the change is committed. Size and times are set apart. */
void lease_plan_write (LeaseOp *op, const LeaseNode *node, uint64_t offset, const char *data,
                       size_t size);
void lease_plan_truncate (LeaseOp *op, const LeaseNode *node, uint64_t size);
void lease_plan_punch (LeaseOp *op, const LeaseNode *node, uint64_t offset, uint64_t size);
void lease_plan_reserve (LeaseOp *op, const LeaseNode *node, uint64_t offset, uint64_t size);

/* Sets an extended attribute, or, where `value` is NULL, removes it. Both texts must stay until the
 * change is committed. */
void lease_plan_xattr (LeaseOp *op, const LeaseNode *node, const char *name, const char *value,
                       size_t size);

/* Whether the journal has, or with the next change will have, a row for `node`. */
bool lease_node_is_stored (const LeaseNode *node);

/* The truncations that are held back. */
void lease_plan_held (LeaseOp *op);

/* Applies one row to memory: engine-apply.c. Returns false if it does not fit what is there, which
 * of rows that were planned just now means that something has ended meanwhile. */
bool lease_op_apply (LeaseOp *op, const LeaseRow *row);

/* Whether the engine stores attributes of that name: engine-xattr.c. */
bool lease_is_stored_xattr (const char *name);

/* Whether there can be a node of that type. */
bool lease_is_file_type (mode_t mode);

/* After the last row of a change: frees what has lost all that kept it. */
void lease_op_apply_end (LeaseOp *op);

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

/* The lease whose directory `id` is; NULL if that is none, or none any more. */
Lease *lease_of_directory (const LeaseEngine *engine, uint64_t id);

/* Whether `text` stands in `parent` for something that is computed. */
bool lease_is_pseudo_file (const LeaseEngine *engine, const LeaseNode *parent, const char *text);

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

/* The same, by a call on `node` itself. -EACCES also: the caller may not come to `keys`. */
int lease_op_may_set_lease (const LeaseOp *op, const Lease *lease, const LeaseNode *node,
                            bool detach);

/* What becomes of the mode of `node` when the caller writes to it or changes its owner: see
 * LeaseCaller.clears_setid. */
mode_t lease_op_mode_after (const LeaseOp *op, const LeaseNode *node, bool chown);

/* Whether the caller may come to `name`: search all directories that lead to it. */
int lease_op_may_come (const LeaseOp *op, const LeaseName *name);

/* Whether the owner of `lease` may search all directories that lead to `name`. */
bool lease_owner_may_see (const Lease *lease, const LeaseName *name);

/* Changing memory without a turn: engine-op.c. */

/* Notes that nothing reaches `node` any more. Its value and its attributes go at once. */
void lease_op_mark_ended (LeaseOp *op, LeaseNode *node);

/* Frees `node` if nothing keeps it. A node without a name is nobody's key any more: it leaves its
 * lease. */
void lease_op_collect (LeaseOp *op, LeaseNode *node);

void lease_op_detach (LeaseOp *op, LeaseNode *node);

/* Adds `node` to the members of `lease`, as the last; takes it away from those of its own. */
void lease_add_member (Lease *lease, LeaseNode *node);
void lease_remove_member (Lease *lease, LeaseNode *node);

/* Cached attributes of `node` are wrong from now on; with `parents`, also those of the directories
 * that have it. */
void lease_op_tell_stale (LeaseOp *op, LeaseNode *node, bool parents);

/* `node` has come to be attached: cached attributes and names of it are wrong, and those of its
 * directories as below. */
void lease_op_tell_attached (LeaseOp *op, LeaseNode *node);

/* Something in the directories that have `node` ends then: cached attributes of those are wrong
 * where what has been given out of them (LeaseDir.shown_until) holds beyond that. */
void lease_op_tell_directories (LeaseOp *op, const LeaseNode *node, LeaseTime deadline);

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

/* Whether much less memory is used than once was. Once each time. */
bool lease_engine_has_shrunk (LeaseEngine *engine);

/* What things take in memory, at most: malloc()'s own share, and the tables and arrays that they
 * are kept in when these are emptiest (tables of ours hold up to 3 buckets of 8 bytes for an entry,
 * GLib's up to 4 places of 20 bytes, its arrays up to 4 times what they need). `what` is to be
 * created. */
uint64_t lease_new_cost (const LeaseNew *what);
uint64_t lease_node_cost (const LeaseNode *node);
uint64_t lease_name_cost (const char *text);

/* What a name needs in `parent`: its cost, and the tables of a directory that has none yet. */
uint64_t lease_entry_cost (const LeaseNode *parent, const char *text);

/* What being a lease adds to a directory: the struct, and two places in the queue. */
#define LEASE_COST ((uint64_t)sizeof (Lease) + 40)

/* What a holder takes, with what watches it, and what each lease that it holds adds to that. */
uint64_t lease_holder_cost (void);
uint64_t lease_hold_cost (void);

/* Fills a new engine with what the journal holds, or makes what there always is: engine-load.c. */
bool lease_engine_load (LeaseEngine *engine, const LeaseCaller *by, GError **error);

/* What `keys` shows: engine-keys.c. */

/* It has changed if this has. */
uint64_t lease_keys_generation (const LeaseEngine *engine, const Lease *lease);

/* How long it is; or LEASE_KEYS_UNKNOWN. */
uint64_t lease_keys_size (const LeaseEngine *engine, const Lease *lease);

/* `name` has come to stand for something attached, or is about to cease to do so; and the same of
 * all names of `node`. Nothing else may change that in between. */
void lease_engine_note_key (LeaseEngine *engine, const LeaseName *name, bool comes);
void lease_engine_note_keys (LeaseEngine *engine, const LeaseNode *node, bool come);

/* The way to `node` has changed; who may search it has. */
void lease_engine_note_moved (LeaseEngine *engine, const LeaseNode *node);
void lease_engine_note_rights (LeaseEngine *engine, const LeaseNode *node);

/* Aborts with g_error() unless what is known is right. */
void lease_engine_check_keys (const LeaseEngine *engine, const Lease *lease);

/* The life of a lease: engine-life.c. */

/* Steps of settling that an operation takes at a time when it depends on what is over. */
#define SETTLE_SLICE 64

/* Makes `directory`, in leases/, a lease that waits to be granted. */
void lease_op_reserve (LeaseOp *op, LeaseNode *directory);

void lease_op_set_deadline (LeaseOp *op, Lease *lease, LeaseTime deadline);

/* Gives `lease` its granted TTL from now on; where it is held, from when it is let go. `answered`:
 * the node that the caller is given attributes of, or NULL. */
void lease_op_refresh (LeaseOp *op, Lease *lease, const LeaseNode *answered);

/* Nobody holds `lease` any more: gives it its granted TTL from now on. */
void lease_op_let_run (LeaseOp *op, Lease *lease);

/* What has been given out for longer than the new TTL of lease `id` has been told to be wrong. The
 * TTL counts from now on. Returns whether it has become shorter still, and this is to be done again
 * when that has been told. */
bool lease_op_finish_shortening (LeaseOp *op, uint64_t id);

/* How long attributes and names of what is attached hold, if they are given out now. */
LeaseTime lease_op_show (LeaseOp *op, Lease *lease);

/* What `ttl` shows, to the nanosecond. */
int64_t lease_left_ns (const Lease *lease, LeaseTime now);

/* Works through leases that are over, in at most about `max` steps. Returns whether some are left.
 */
bool lease_op_settle (LeaseOp *op, unsigned max);

/* Ends `lease` at once. What follows from that lease_op_end() does, in pieces, before it returns. */
void lease_op_revoke (LeaseOp *op, Lease *lease);

/* One such piece. Returns whether there are more. */
bool lease_op_settle_revoked (LeaseOp *op, uint64_t id);

/* `node` has come to be attached to `lease`, or stayed so, when that was over: the directories that
 * it is in must be told as well. */
void lease_op_unsettle (LeaseOp *op, Lease *lease, LeaseNode *node);

/* Whether anything is attached to `lease`, or lies in its directory: engine-revoke.c. */
bool lease_has_keys (const Lease *lease);

/* Before all that has ended by itself, of which there may be much. It has been settled. */
void lease_clean_up_first (LeaseEngine *engine, Lease *lease);

/* Only the directory of `lease` is left, and is left to who revoked it. */
void lease_op_let_part (LeaseOp *op, Lease *lease);

/* The journal knows that `lease` is over, since just now. */
void lease_op_close (LeaseOp *op, Lease *lease);

/* Frees `lease`, of which nothing but its removed directory is left. */
void lease_op_free_lease (LeaseOp *op, Lease *lease);

/* Who holds leases: engine-holders.c. */

void lease_engine_make_holders (LeaseEngine *engine);

/* `lease` has ended: nobody holds it any more. */
void lease_op_release (LeaseOp *op, Lease *lease);

/* Aborts with g_error() unless every invariant holds. Returns how much memory all of it takes. */
uint64_t lease_engine_check_holders (LeaseEngine *engine);

/* Keeping LeaseCounts in step: engine-metrics.c. Each looks at how things are now, and may be
 * called once too often. */

/* To be called when something has changed that decides on the phase of `lease`. */
void lease_op_count_lease (LeaseOp *op, Lease *lease);
LeasePhase lease_phase (const Lease *lease);

/* To be called when `node` has got or lost its only name, or its lease, or has ended. */
void lease_op_count_node (LeaseOp *op, LeaseNode *node);
bool lease_node_is_key (const LeaseNode *node);

/* `lease` has just ended, and nothing is left of it, respectively: once each. */
void lease_op_count_end (LeaseOp *op, Lease *lease);
void lease_op_count_free (LeaseOp *op, const Lease *lease);

/* What is used, without a look at what the process has. */
LeaseUsage lease_engine_count_usage (const LeaseEngine *engine);

/* What stat(2) shows: engine-attr.c. */

/* Somebody has read `node`: its atime may move. */
void lease_op_note_access (LeaseOp *op, LeaseNode *node);

void lease_op_fill_attr (LeaseOp *op, LeaseNode *node, LeaseAttr *attr_out);

/* Whether the name is to be removed because a lease has ended: engine-ends.c. */
bool lease_op_is_due (LeaseOp *op, const LeaseName *name);

/* Ghosts: engine-ghosts.c. */

/* Makes one of `name`, which the caller takes away. */
void lease_op_displace (LeaseOp *op, const LeaseName *name);

/* Frees it. */
void lease_op_lay (LeaseOp *op, LeaseGhost *ghost);

/* That of a directory; NULL if it has none. */
LeaseGhost *lease_ghost_of (const LeaseEngine *engine, const LeaseNode *directory);

/* The path of `directory` for the reaper, over ghosts where need be, which it adds to
 * LeaseEngine.way. NULL: none leads there, or it would be longer than a system call takes. The
 * caller frees it. */
char *lease_op_way (LeaseOp *op, const LeaseNode *directory);

/* What the reaper means by that name, if it is a ghost on its way; else NULL. */
LeaseGhost *lease_op_find_ghost (const LeaseOp *op, const LeaseNode *parent, const char *text);

/* The kernel has removed the name. -ESTALE: that of something new, for all it knows; it is to look
 * again. -EISDIR, -ENOTDIR, -ENOTEMPTY. */
int lease_op_remove_ghost (LeaseOp *op, LeaseGhost *ghost, bool is_directory);

/* What all of them take in memory. */
uint64_t lease_ghosts_cost (const LeaseEngine *engine);
void lease_ghosts_free (LeaseEngine *engine);
