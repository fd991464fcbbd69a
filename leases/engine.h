/* SPDX-License-Identifier: MIT */
#pragma once

#include "leases/clock.h"
#include "leases/journal.h"
#include "leases/keys.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The engine: everything that can be done to keys and leases.
 *
 * Nodes (files, directories, symlinks) are known by an id; the root is LEASE_ROOT. A lease is known
 * by the id of its directory `leases/ID`. Its pseudo-files (`ttl`, `granted`, `keys`, `procs`) are
 * no nodes, and `leases/.metrics` is none: the engine keeps their names from being used and the
 * modes of the former, and the binding computes what they show from lease_engine_info(),
 * lease_engine_keys(), lease_engine_holders() and lease_engine_metrics().
 *
 * Every function may be called from any thread, and takes one lock, for a short time as long as
 * the tree is not absurdly deep. What they return is 0 or a negative errno. Beside the errors named
 * at a function, every one of them can return
 *   -ESTALE   the node does not exist any more, or the lease that it is attached to has ended
 *   -ENOTDIR  a directory was needed
 *
 * What makes a change returns when the journal has taken it, and waits while another change is on
 * its way there. It can also return, and has changed nothing then,
 *   -ENOSPC, -EIO  from the journal
 * Reading, and keeping a lease alive, never waits for the journal, and writes nothing to it.
 *
 * Access is checked only where the kernel's default_permissions cannot know of it: who may attach,
 * detach, and refresh by touching a key, and where the paths written to `keys` lead. That may
 * depend on the caller's supplementary groups, which are costly to find out: see LeaseCaller. */

#define LEASE_ROOT UINT64_C (1)

/* A lease that is not granted this long after its mkdir goes away again. */
#define LEASE_RESERVATION_NS (60 * LEASE_SECOND)

typedef struct LeaseEngine LeaseEngine;

typedef struct {
  int64_t min_ttl_ns;  /* shorter TTLs are raised to it; 0: none are */
  uint64_t max_bytes;  /* memory for values, names and metadata together; above it: -ENOSPC */
  uint64_t max_nodes;  /* files, directories and symlinks, the root and leases/ among them */
  uint64_t max_leases; /* UINT64_MAX in any of the three: no limit */

  /* How much memory the process really has, in bytes, or NULL. malloc() cannot always use again
   * what was given back to it in pieces; above max_bytes and `memory_slack`, nothing more fits.
   * Called with the engine's lock held, now and then. */
  uint64_t (*memory) (void);
  uint64_t memory_slack;

  bool noatime;     /* reading changes no atime */
  bool nodiratime;  /* that of directories at least */
  mode_t root_mode; /* permissions of the root */
  uid_t uid;        /* owner of the root and of leases/ */
  gid_t gid;
} LeaseEngineConfig;

/* Who asks, and when. Both clocks are read once, when the request arrives. Where an answer depends
 * on `groups` and they are not known, nothing happens and the result is -EAGAIN: ask again with
 * them. That can come from lease_engine_link(), lease_engine_rename(), lease_engine_edit_keys(),
 * lease_engine_set_xattr(), lease_engine_remove_xattr(), and lease_engine_setattr() with
 * LEASE_SET_TOUCH. */
typedef struct {
  uid_t uid;
  gid_t gid;
  const gid_t *groups; /* the supplementary groups; the caller's own */
  unsigned group_count;
  bool knows_groups; /* the two above are valid */
  LeaseTime now;
  int64_t wall_ns;
  bool reaper;       /* the one that cleans up: it sees what has ended, and removes nothing else */
  bool clears_setid; /* the kernel leaves it to us to clear setuid bits, and setgid bits of what a
                        group may execute: when anybody but root writes, and at each chown */
} LeaseCaller;

typedef struct {
  uint64_t id;
  uint64_t parent; /* of a directory; its own id if it has none */
  mode_t mode;
  uint32_t nlink;
  uid_t uid;
  gid_t gid;
  dev_t rdev;
  uint64_t size;
  uint64_t footprint; /* bytes of memory that the value takes */
  int64_t atime_ns, mtime_ns, ctime_ns;
  bool is_lease;         /* the directory of a lease */
  LeaseTime fresh_until; /* nothing of this can change by itself before then; LEASE_TIME_NEVER: at
                            no time */
} LeaseAttr;

/* What the engine has to say unasked. Told in the thread of the call that caused it, before that
 * call returns, with no lock held. */
typedef enum {
  LEASE_EVENT_STALE, /* attributes of node `id` that were given out are too old already: drop them
                          from any cache */
  LEASE_EVENT_NAMES, /* names of node `id` that were given out hold for too long: end that soon, see
                          lease_engine_names() */
  LEASE_EVENT_EARLIER,   /* the earliest deadline has moved forward: call lease_engine_earliest()
                          again */
  LEASE_EVENT_ENDED,     /* something has ended: lease_engine_next_grave() has work, or will after
                            lease_engine_flush() */
  LEASE_EVENT_CLEARED,   /* of lease `id`, revoked by lease_engine_revoke(), only the directory is
                            left */
  LEASE_EVENT_COMMITTED, /* the journal has taken something: lease_engine_tend() may have work */
  LEASE_EVENT_UNWRITTEN, /* lease_engine_flush() has work: best within LEASE_HOLD_MS */
  LEASE_EVENT_REVEALS,   /* the same, and what this call returns shows that a lease has ended. A
                            crash would bring it back, as long as that is not written: best before
                            this returns, and the answer gets out */
  LEASE_EVENT_REVEALS_MANY, /* the same, of so many leases that it may take more than one flush: best
                               when lease_engine_flush() says that there is no more */
  LEASE_EVENT_SHRUNK,       /* much less memory is used than once was: see lease_engine_is_busy() */
  LEASE_EVENT_IDLE,         /* holder `id` holds no lease any more */
} LeaseEvent;

/* How long an emptied file may wait for what is written to it: see LEASE_SET_HOLD. */
#define LEASE_HOLD_MS 10

typedef void (*LeaseNotify) (LeaseEvent event, uint64_t id, void *data);

/* With what `journal` holds; if that is new, with an empty root and leases/ in it. Of `config`,
 * what it says of these two counts only then. The journal belongs to the engine from now on, also
 * if this fails. `notify` is called with `data`, not before this returns; NULL if nobody wants to
 * know. On failure NULL, with one line for a person in `error`, and what the journal holds is as it
 * was. */
LeaseEngine *lease_engine_new (const LeaseEngineConfig *config, LeaseJournal *journal,
                               const LeaseCaller *by, LeaseNotify notify, void *data,
                               GError **error);

/* What lease_engine_new() has found in the journal; all 0 if that was new. */
typedef struct {
  uint64_t nodes; /* of every kind, with the root and leases/ */
  uint64_t files; /* of these, regular files */
  uint64_t names;
  uint64_t attached; /* nodes that have a lease, without the leases' own directories */
  uint64_t leases;   /* that were granted, and have not ended */
  uint64_t resumed;  /* of these, those that have what they had left; the others, their whole TTL */
} LeaseFound;

/* Any thread. */
LeaseFound lease_engine_found (const LeaseEngine *engine);

/* Notes in the journal, for good, that the clocks of the leases run: should this come to an end
 * that is no clean stop, they will have their granted TTL again. -ENOSPC, -EIO. */
int lease_engine_resume (LeaseEngine *engine, const LeaseCaller *by);

/* Lets them run from now on: until then nobody could refresh. After a clean stop leases have what
 * they had left, after any other end their granted TTL again; reservations are over. To be called
 * before the first operation, after lease_engine_resume(), if the journal was not new. */
void lease_engine_start (LeaseEngine *engine, const LeaseCaller *by);

/* Writes what the journal has not been told yet, with what leases have left: the clean stop. No
 * operation may be under way, and only lease_engine_free() may follow; or, where it has failed,
 * another attempt. -ENOSPC, -EIO. */
int lease_engine_stop (LeaseEngine *engine, const LeaseCaller *by);

/* Closes the journal too. No other call may be under way or follow. */
void lease_engine_free (LeaseEngine *engine);

/* Writes to the journal what has come about by itself; with `held`, also that files were emptied
 * which have not been written to since. Waits for it. Where very much has ended, it writes a part:
 * all that anybody has been shown, but for what LEASE_EVENT_REVEALS_MANY was told of, and of the
 * rest so little that who makes a change need not wait long. Returns whether there is more. -ENOSPC,
 * -EIO: it remains to be done. */
int lease_engine_flush (LeaseEngine *engine, const LeaseCaller *by, bool held);

/* Makes all that was done before, and what lease_engine_flush() writes, outlast a power cut.
 * -ENOSPC, -EIO. */
int lease_engine_sync (LeaseEngine *engine, const LeaseCaller *by);

/* The journal's housekeeping, see lease_journal_tend(). */
bool lease_engine_tend (LeaseEngine *engine);

/* Whether the journal keeps anything. */
bool lease_engine_is_kept (const LeaseEngine *engine);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LeaseEngine, lease_engine_free)

/* Names: leases/engine-names.c and, where nothing is changed, engine-lookup.c.
 *
 * Where `attr_out` is filled in by a function that leads to a node by name, the node is pinned once
 * more: it stays, though unlinked, until lease_engine_unpin(). Errors of them all:
 *   -ENOENT        no such name (or what had it has ended)
 *   -EEXIST        the name is taken
 *   -ENAMETOOLONG  above 255 bytes
 *   -EPERM         a rule of leases/ forbids it: only directories can be made there; leases/,
 *                  leases and their pseudo-files are not renamed, linked or removed (a lease by
 *                  lease_engine_rmdir() only)
 *   -ENOSPC        the limits of the configuration */

/* Also for reading a directory's listing entry by entry. `fresh_until_out`, if not NULL, is set
 * when the result is -ENOENT: how long that will stay true unless somebody creates the name (NEVER,
 * or 0 for a name that still waits to be cleaned up). "." is the directory itself, or what else has
 * that id; ".." is its parent. */
int lease_engine_lookup (LeaseEngine *engine, const LeaseCaller *by, uint64_t parent,
                         const char *name, LeaseAttr *attr_out, LeaseTime *fresh_until_out);

/* Gives back `count` pins. */
void lease_engine_unpin (LeaseEngine *engine, uint64_t id, uint64_t count);

/* What is to be created. */
typedef struct {
  mode_t mode;        /* type and permissions */
  dev_t rdev;         /* of S_IFCHR and S_IFBLK */
  const char *target; /* of S_IFLNK */
} LeaseNew;

/* A new file of any type. In an attached directory it is attached from its first moment; in leases/
 * it is a lease, reserved for LEASE_RESERVATION_NS. The reaper makes nothing: -EPERM.
 *   -EINVAL  the name of a lease begins with a dot; no type of file */
int lease_engine_create (LeaseEngine *engine, const LeaseCaller *by, uint64_t parent,
                         const char *name, const LeaseNew *what, LeaseAttr *attr_out);

/* One more name for node `id`. In a lease's directory it attaches the node.
 *   -EPERM  also: a directory, or a node of somebody else where it would be attached
 *   -EACCES  it would be attached, and the caller may not write to `keys` */
int lease_engine_link (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, uint64_t parent,
                       const char *name, LeaseAttr *attr_out);

/*   -EISDIR  a directory */
int lease_engine_unlink (LeaseEngine *engine, const LeaseCaller *by, uint64_t parent,
                         const char *name);

/* A lease's directory: revokes it, whatever is in it. When this returns nothing of it can be found.
 *   -ENOTEMPTY  any other directory that is not empty */
int lease_engine_rmdir (LeaseEngine *engine, const LeaseCaller *by, uint64_t parent,
                        const char *name);

/* As lease_engine_rmdir() for a lease, in two steps where there are keys to be removed, so that
 * these can be before their lease is. After the first one, nothing of it can be found any more
 * either: the result is -EINPROGRESS then, and `id_out` what to go on with. Everything but the
 * directory itself is cleaned up, before all else, and LEASE_EVENT_CLEARED told when that is done;
 * lease_engine_part() removes the directory, whatever is left in it.
 *   -EINVAL  `parent` is not leases/ */
int lease_engine_revoke (LeaseEngine *engine, const LeaseCaller *by, uint64_t parent,
                         const char *name, uint64_t *id_out);

/* Of a lease with many keys the first step leaves something to do, before what was given out of
 * them is known to be too old, and before they are cleaned up: does a piece of that. Returns whether
 * there is more. Several threads may do pieces side by side: all is known only when each has come
 * back from its own. */
bool lease_engine_settle_revoked (LeaseEngine *engine, const LeaseCaller *by, uint64_t id);

/* Whether LEASE_EVENT_CLEARED has been told of it, or nothing is left at all. */
bool lease_engine_is_cleared (LeaseEngine *engine, uint64_t id);

/* -ENOENT: it is gone already. Where the journal does not take it, the directory is cleaned up like all
 * else: revoked it is. */
int lease_engine_part (LeaseEngine *engine, const LeaseCaller *by, uint64_t id);

/* Nobody will call lease_engine_part(): the directory is cleaned up like all else. */
void lease_engine_abandon (LeaseEngine *engine, const LeaseCaller *by, uint64_t id);

/* The id of leases/; it never changes. */
uint64_t lease_engine_leases (const LeaseEngine *engine);

/* `flags` as for renameat2(2): 0, or RENAME_EXCHANGE, or RENAME_NOREPLACE and RENAME_WHITEOUT in
 * any combination. Errors as there. A node moved into a lease's directory is attached to it. A file
 * without a lease that replaces an attached one takes over its lease if it is the caller's own, and
 * belongs to the same user or the caller could as well attach it by writing to `keys`.
 *   -EPERM, -EACCES  as for lease_engine_link() */
int lease_engine_rename (LeaseEngine *engine, const LeaseCaller *by, uint64_t parent,
                         const char *name, uint64_t new_parent, const char *new_name,
                         unsigned flags);

/* One entry of a listing. Called under the engine's lock: it only copies. Returns false to stop
 * before this entry. */
typedef bool (*LeaseListEach) (const char *name, const LeaseAttr *attr, uint64_t cookie,
                               void *data);

/* Calls `each` for the names of directory `id` behind `cookie` (0: from the start), in a stable
 * order. With `pin`, every node for which `each` returned true is pinned once. */
int lease_engine_list (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, uint64_t cookie,
                       bool pin, LeaseListEach each, void *data);

/* One name, with the path of its directory: "." for the root; NULL: no path leads there. Called
 * under the engine's lock: it only copies. */
typedef void (*LeaseNameEach) (uint64_t parent, const char *directory, const char *name,
                               void *data);

/* Calls `each` for up to `max` names of node `id`; none if there is no such node. */
void lease_engine_names (LeaseEngine *engine, uint64_t id, unsigned max, LeaseNameEach each,
                         void *data);

/* Metadata: leases/engine-nodes.c. */

int lease_engine_getattr (LeaseEngine *engine, const LeaseCaller *by, uint64_t id,
                          LeaseAttr *attr_out);

enum {
  LEASE_SET_MODE = LEASE_FIELD_MODE,
  LEASE_SET_UID = LEASE_FIELD_UID,
  LEASE_SET_GID = LEASE_FIELD_GID,
  LEASE_SET_SIZE = LEASE_FIELD_SIZE,
  LEASE_SET_ATIME = LEASE_FIELD_ATIME,
  LEASE_SET_MTIME = LEASE_FIELD_MTIME,
  LEASE_SET_CTIME = LEASE_FIELD_CTIME,
  LEASE_SET_TOUCH =
      1 << 7, /* mtime is "now": of what is attached to a lease, this refreshes the lease, if the
                 caller is its owner, root, or somebody who may write to its `ttl`. Times that
                 are set with that, and nothing else, are not written to the journal */
  LEASE_SET_HOLD = 1 << 8, /* with a size of 0: the file is likely to be written to now. The journal
                              may hear of both together, so that a crash in between leaves the old
                              value */
};

typedef struct {
  unsigned mask; /* of LEASE_SET_*; fields that it does not name are not read */
  mode_t mode;
  uid_t uid;
  gid_t gid;
  uint64_t size;
  int64_t atime_ns, mtime_ns, ctime_ns;
} LeaseSet;

/* Sets all of it or nothing.
 *   -EISDIR, -EINVAL  a size for a directory, for a symlink
 *   -EFBIG   above INT64_MAX bytes */
int lease_engine_setattr (LeaseEngine *engine, const LeaseCaller *by, uint64_t id,
                          const LeaseSet *set, LeaseAttr *attr_out);

/* A copy of a symlink's target, which the caller frees. -EINVAL: no symlink. */
int lease_engine_readlink (LeaseEngine *engine, const LeaseCaller *by, uint64_t id,
                           char **target_out);

/* Values: leases/engine-values.c. All of them: -EISDIR a directory, -EINVAL any other type that has
 * no value. */

/* Up to `size` bytes from `offset` on, in new memory that the caller frees; `size_out` 0 at the
 * end. */
int lease_engine_read (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, uint64_t offset,
                       size_t size, char **data_out, size_t *size_out);

/* All of it or nothing. -EFBIG: beyond INT64_MAX; -ENOSPC. */
int lease_engine_write (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, uint64_t offset,
                        const char *data, size_t size);

/* As fallocate(2), with FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE and FALLOC_FL_ZERO_RANGE in
 * `mode`. All of it or nothing. -EFBIG, -ENOSPC; -EOPNOTSUPP: another mode. */
int lease_engine_allocate (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, int mode,
                           uint64_t offset, uint64_t size);

/* As lseek(2) with SEEK_HOLE (`hole`) or SEEK_DATA. -ENXIO: there is none from `offset` on. */
int lease_engine_seek (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, uint64_t offset,
                       bool hole, uint64_t *offset_out);

/* A piece of a value. */
typedef struct {
  uint64_t id;
  uint64_t offset;
} LeasePlace;

/* The most that one lease_engine_copy() copies. */
#define LEASE_COPY_MAX ((size_t)4 * 1024 * 1024)

/* Copies up to `size` bytes, and no more than LEASE_COPY_MAX, between two files, or within one
 * where the ranges do not overlap. Less where `from` ends or where room runs out. Errors as for
 * reading and writing, if nothing could be copied. */
int lease_engine_copy (LeaseEngine *engine, const LeaseCaller *by, LeasePlace from, LeasePlace to,
                       size_t size, size_t *size_out);

/* What is used, and the limits of the configuration. What has ended is no node any more, and its
 * value is given back at once; its names and metadata are when they have been cleaned up. */
typedef struct {
  uint64_t bytes_used, bytes_max;
  uint64_t nodes_used, nodes_max;
} LeaseUsage;

void lease_engine_usage (LeaseEngine *engine, LeaseUsage *usage_out);

/* Numbers for who watches over all: leases/engine-metrics.c. */

/* What a lease is, from its mkdir until nothing is left of it. */
typedef enum {
  LEASE_PHASE_RESERVED, /* not granted yet */
  LEASE_PHASE_GRANTED,
  LEASE_PHASE_HELD,  /* granted, and held by processes */
  LEASE_PHASE_ENDED, /* to be seen nowhere; its names are being removed */
  LEASE_PHASE_COUNT,
} LeasePhase;

typedef struct {
  uint64_t leases[LEASE_PHASE_COUNT];
  uint64_t keys;          /* files of any type but directories that have a name and have not ended;
                             each once, however many names it has */
  uint64_t attached_keys; /* those that are attached to a lease */
  uint64_t graves; /* names of what has ended, leases among it, that are still to be removed */

  /* Since the engine was made: */
  uint64_t granted;   /* leases, for the first time */
  uint64_t refreshed; /* how often one was given its TTL again, or another one */
  uint64_t revoked;
  uint64_t expired;   /* leases whose time was over */
  uint64_t timed_out; /* reservations that came to be no lease */
  LeaseHistogram lag; /* of each of the last two: from the deadline until nothing was left of it,
                         by the clock of the callers */
} LeaseCounts;

typedef struct {
  LeaseCounts counts;
  LeaseUsage usage;
  uint64_t leases_max;
  bool kept; /* the journal keeps something, and has told: */
  LeaseJournalMetrics journal;
} LeaseMetrics;

/* Costs the same however much there is. Where very many leases end in one moment, those that nobody
 * has acted on yet count as what they were. */
void lease_engine_metrics (LeaseEngine *engine, const LeaseCaller *by, LeaseMetrics *metrics_out);

/* Leases: leases/engine-leases.c. `id` is the lease's directory; of anything else: -EINVAL. */

typedef enum {
  LEASE_FILE_NONE,
  LEASE_FILE_TTL = LEASE_ROW_FILE_TTL,
  LEASE_FILE_GRANTED = LEASE_ROW_FILE_GRANTED,
  LEASE_FILE_KEYS = LEASE_ROW_FILE_KEYS,
  LEASE_FILE_PROCS = LEASE_ROW_FILE_PROCS,
  LEASE_FILE_LAST = LEASE_ROW_FILE_LAST,
  LEASE_FILE_METRICS = 5, /* of no lease, but of leases/ */
} LeaseFile;

/* The name of LEASE_FILE_METRICS in leases/. It is in no listing: what is listed there are leases.
 */
#define LEASE_METRICS_NAME ".metrics"

/* Which pseudo-file of a lease has that name; LEASE_FILE_NONE if none. And the other way round. */
LeaseFile lease_file_from_name (const char *name);
const char *lease_file_name (LeaseFile file);

/* It takes lease_engine_measure_keys() to tell. */
#define LEASE_KEYS_UNKNOWN UINT64_MAX

typedef struct {
  int64_t granted_ns; /* 0: only reserved */
  int64_t left_ns;    /* to the deadline; of a held lease, its TTL; 0 while only reserved */
  mode_t modes[LEASE_FILE_LAST + 1]; /* permissions of the pseudo-files */
  uint64_t generation;               /* changes whenever what `keys` shows may have changed */
  uint64_t keys_size;                /* the length of its text, or LEASE_KEYS_UNKNOWN */
  LeaseAttr directory;
} LeaseInfo;

int lease_engine_info (LeaseEngine *engine, const LeaseCaller *by, uint64_t id,
                       LeaseInfo *info_out);

/* Changes the permissions of a pseudo-file. */
int lease_engine_chmod_file (LeaseEngine *engine, const LeaseCaller *by, uint64_t id,
                             LeaseFile file, mode_t mode);

/* Grants the lease `ttl_ns` (1 to LEASE_TTL_MAX_NS) from now on, for the first time or anew. */
int lease_engine_grant (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, int64_t ttl_ns);

/* Gives the lease its granted TTL again. -EINVAL: not granted yet. */
int lease_engine_refresh (LeaseEngine *engine, const LeaseCaller *by, uint64_t id);

/* Attaches and detaches what `lines` (of LeaseKeysLine) names, in that order, all of it or nothing.
 *   -EINVAL   the lease is not granted yet; the root, leases/, a lease, a pseudo-file or something
 *             in another lease's directory; something to detach that is not attached to this lease
 *   -ENOENT, -ENOTDIR  no such path
 *   -ELOOP    a symlink on the way (at the end of the path it is meant itself)
 *   -EACCES   a directory on the way that the caller may not search
 *   -EACCES   also: the caller may not write to `keys`, whoever opened it
 *   -EPERM    the caller is neither root nor the owner of the node; or root, if others may write
 *             to `keys`, or if neither the node belongs to the owner of the lease nor that to root
 */
int lease_engine_edit_keys (LeaseEngine *engine, const LeaseCaller *by, uint64_t id,
                            const GArray *lines);

/* What `keys` shows: leases/engine-keys.c. */

/* The paths of all names of what is attached, unsorted: strings, one right behind the other. The
 * lease's own directory is not among them, nor is what lies in directories that the lease's owner
 * may not search. `generation_out`: as in LeaseInfo. -EFBIG: they would take more than `max` bytes.
 *
 * It takes time for each of them, but does not keep others waiting for longer than a few
 * milliseconds, unless they keep changing what it looks at. */
int lease_engine_keys (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, size_t max,
                       GByteArray **paths_out, uint64_t *generation_out);

/* The length of the text that lease_keys_append() makes of them. It takes as much time. */
int lease_engine_measure_keys (LeaseEngine *engine, const LeaseCaller *by, uint64_t id,
                               uint64_t *size_out);

/* Leases that are held: leases/engine-holders.c. While a lease has a holder it has no deadline.
 * When the last one lets go it runs for its granted TTL from that moment. To the engine a holder is
 * an id, from 1, which whoever watches it gives to it and never to another, and a process to show.
 * The journal hears nothing of holders: what comes back from it, nobody holds. */

/* What one line of a write to `procs` asks for. */
typedef struct {
  bool let_go;
  uint64_t holder;
  pid_t pid; /* to show; not read with `let_go` */
} LeaseHolderLine;

/* Does what `lines` (of LeaseHolderLine) say, in that order, all of it or nothing; in between,
 * nothing happens. To hold a lease twice is to hold it once.
 *   -EINVAL  the lease is not granted yet
 *   -ESRCH   to let go of what that one does not hold
 *   -ENOSPC  the limits of the configuration */
int lease_engine_edit_holders (LeaseEngine *engine, const LeaseCaller *by, uint64_t id,
                               const GArray *lines);

/* Holder `holder` is no more: lets go of up to `max` of the leases that it holds. Returns whether
 * it holds others. */
bool lease_engine_drop_holder (LeaseEngine *engine, const LeaseCaller *by, uint64_t holder,
                               unsigned max);

/* Whether it holds any. */
bool lease_engine_is_holder (LeaseEngine *engine, uint64_t holder);

typedef struct {
  uint64_t holder;
  pid_t pid;
} LeaseHolderInfo;

/* Who holds the lease, in no order: a new array of LeaseHolderInfo, which the caller unrefs. */
int lease_engine_holders (LeaseEngine *engine, const LeaseCaller *by, uint64_t id,
                          GArray **holders_out);

/* Extended attributes: leases/engine-xattr.c. Names are those that users give, with their
 * namespace. Stored are `user.*` of files and directories, and `trusted.*`, which is for root: the
 * kernel sees to that, and to the rights on the node. */

/* The longest value, and the most that the names of a node may take, each with a NUL behind it. */
#define LEASE_XATTR_MAX ((size_t)64 * 1024)
#define LEASE_XATTR_NAMES_MAX ((size_t)63 * 1024)

/* Is not stored: its value is the name of the lease that the node is attached to, of a lease's
 * directory its own; whoever sets or removes it attaches or detaches the node. */
#define LEASE_XATTR_LEASE "user.lease"

/* The value, in new memory that the caller frees.
 *   -ENODATA     the node has none of that name
 *   -EOPNOTSUPP  a namespace that there is not
 *   -EINVAL      nothing behind that */
int lease_engine_get_xattr (LeaseEngine *engine, const LeaseCaller *by, uint64_t id,
                            const char *name, char **value_out, size_t *size_out);

/* The names, each with a NUL behind it; `user.lease` of what is attached, but not of a lease's
 * directory: for whoever copies all of them that is none that could be set. -ERANGE: they take more
 * than `max` bytes. */
int lease_engine_list_xattrs (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, size_t max,
                              GByteArray **names_out);

/* `flags` as for setxattr(2). The ctime moves.
 *   -EEXIST, -ENODATA    with XATTR_CREATE, with XATTR_REPLACE
 *   -EOPNOTSUPP, -EINVAL as above
 *   -EPERM       `user.*` of something that is neither file nor directory
 *   -E2BIG       above LEASE_XATTR_MAX
 *   -ENOSPC      above LEASE_XATTR_NAMES_MAX, besides the limits of the configuration
 * Of LEASE_XATTR_LEASE:
 *   -ENOENT      no such lease; the node has no name
 *   -EINVAL      the lease is not granted yet; the root, leases/, a lease, or something that lies
 *                in another lease's directory
 *   -EACCES      the caller may not come to the lease's `keys`, or not write to it
 *   -EPERM       the caller is neither root nor the owner of the node; or root, if neither the node
 *                belongs to the owner of the lease nor that to root
 *   -EAGAIN      see LeaseCaller */
int lease_engine_set_xattr (LeaseEngine *engine, const LeaseCaller *by, uint64_t id,
                            const char *name, const char *value, size_t size, int flags);

/* -ENODATA, and the others, as above; root may detach anything. */
int lease_engine_remove_xattr (LeaseEngine *engine, const LeaseCaller *by, uint64_t id,
                               const char *name);

/* The end of leases: leases/engine-ends.c. */

/* The earliest deadline; LEASE_TIME_NEVER if there is none. */
LeaseTime lease_engine_earliest (LeaseEngine *engine);

/* Ends leases whose deadline has come: they are nowhere to be seen since then, and now they are
 * handed over for cleaning up. Does at most about `max` units of work (leases and names). Returns
 * whether there is more to do now. */
bool lease_engine_expire (LeaseEngine *engine, const LeaseCaller *by, unsigned max);

/* Waits a moment, for whoever else waits for the engine: between two calls of the kind that leave
 * more to do. */
void lease_engine_let_in (LeaseEngine *engine);

/* Whether very much has ended that is not cleaned up yet, or is still pinned: not the time to give
 * memory back to the system. malloc_trim() takes some 0.1 s where a million things have gone and as
 * many among them are still to go, and who allocates or frees waits. */
bool lease_engine_is_busy (LeaseEngine *engine);

/* A name to be removed because its lease has ended. */
typedef struct {
  uint64_t parent;
  uint64_t node;
  bool is_directory;
  bool retaken;     /* something new has taken the name */
  bool detour;      /* and a name on the way there */
  bool other_names; /* has the node */
  bool last;       /* nothing else that has ended waits in the parent, which has not ended itself */
  LeaseTime since; /* when it ended */
  uint64_t waiting; /* as many names are to be removed, this among them */
  char *directory;  /* path of the parent, "." for the root; NULL: no path leads there */
  char *name;
} LeaseGrave;

void lease_grave_clear (LeaseGrave *grave);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (LeaseGrave, lease_grave_clear)

/* In the calls of the reaper, -EAGAIN also means that it is not its turn to change something, since
 * another change has been on its way for long. */

/* The next name to remove: what is in a directory before the directory, keys before their lease. It
 * is the same one again until it has been removed, by lease_engine_unlink() or _rmdir() with a
 * caller who is the reaper, or by lease_engine_bury(). Anything else that such a caller would
 * remove is refused: -ESTALE. To such a caller a retaken name stands for what has ended until then,
 * in lease_engine_lookup() too; to remove it without having looked it up since the last call of
 * this, or the last attempt, is refused: -ESTALE. What no path leads to and nobody has pinned is
 * cleaned up on the way, in at most about `max` steps. Returns 0; -ENOENT when nothing is left,
 * -EAGAIN when the steps ran out; -EBUSY: that the lease has ended must be written first, or what
 * is gone would come back after a crash: call lease_engine_flush(). For one thread. */
int lease_engine_next_grave (LeaseEngine *engine, const LeaseCaller *by, unsigned max,
                             LeaseGrave *grave_out);

/* Removes the name if it still stands for that node and is due. Returns whether it did. */
bool lease_engine_bury (LeaseEngine *engine, const LeaseCaller *by, const LeaseGrave *grave);

/* Whether anything has that name in that directory now, be it over or not. */
bool lease_engine_is_taken (LeaseEngine *engine, uint64_t parent, const char *name);

/* Whether the node, which may have been removed, is still pinned. */
bool lease_engine_is_pinned (LeaseEngine *engine, uint64_t id);

/* Aborts with g_error() unless every invariant holds. For tests and debug builds. O(everything). */
void lease_engine_check (LeaseEngine *engine);
