/* SPDX-License-Identifier: MIT */
#pragma once

#include "leases/clock.h"
#include "leases/keys.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The engine: everything that can be done to keys and leases.
 *
 * Nodes (files, directories, symlinks) are known by an id; the root is LEASE_ROOT. A lease is known
 * by the id of its directory `leases/ID`. Its pseudo-files (`ttl`, `granted`, `keys`) are no nodes:
 * the engine keeps their names from being used and their modes, and the binding computes what they
 * show from lease_engine_info() and lease_engine_keys().
 *
 * Every function may be called from any thread, and takes one lock, for a short time as long as
 * the tree is not absurdly deep; none of them waits for I/O. What they return is 0 or a negative
 * errno. Beside the errors named at a function, every one of them can return
 *   -ESTALE   the node does not exist any more, or the lease that it is attached to has ended
 *   -ENOTDIR  a directory was needed
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
 * and lease_engine_setattr() with LEASE_SET_TOUCH. */
typedef struct {
  uid_t uid;
  gid_t gid;
  const gid_t *groups; /* the supplementary groups; the caller's own */
  unsigned group_count;
  bool knows_groups; /* the two above are valid */
  LeaseTime now;
  int64_t wall_ns;
  bool reaper; /* the one that cleans up: it sees what has ended, and removes nothing else */
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
  LEASE_EVENT_EARLIER, /* the earliest deadline has moved forward: call lease_engine_earliest()
                          again */
  LEASE_EVENT_ENDED,   /* something has ended: lease_engine_next_grave() has work */
} LeaseEvent;

typedef void (*LeaseNotify) (LeaseEvent event, uint64_t id, void *data);

/* `notify` is called with `data`; NULL if nobody wants to know. */
LeaseEngine *lease_engine_new (const LeaseEngineConfig *config, const LeaseCaller *by,
                               LeaseNotify notify, void *data);

/* No other call may be under way or follow. */
void lease_engine_free (LeaseEngine *engine);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LeaseEngine, lease_engine_free)

/* Names: leases/engine-names.c.
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
 * it is a lease, reserved for LEASE_RESERVATION_NS.
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

/* Calls `each` for up to `max` names of node `id`; none if there is no such node. Under the
 * engine's lock: it only copies. */
void lease_engine_names (LeaseEngine *engine, uint64_t id, unsigned max,
                         void (*each) (uint64_t parent, const char *name, void *data), void *data);

/* Metadata: leases/engine-nodes.c. */

int lease_engine_getattr (LeaseEngine *engine, const LeaseCaller *by, uint64_t id,
                          LeaseAttr *attr_out);

enum {
  LEASE_SET_MODE = 1 << 0,
  LEASE_SET_UID = 1 << 1,
  LEASE_SET_GID = 1 << 2,
  LEASE_SET_SIZE = 1 << 3,
  LEASE_SET_ATIME = 1 << 4,
  LEASE_SET_MTIME = 1 << 5,
  LEASE_SET_CTIME = 1 << 6,
  LEASE_SET_TOUCH =
      1 << 7, /* mtime is "now": of what is attached to a lease, this refreshes the lease, if the
                 caller is its owner, root, or somebody who may write to its `ttl` */
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

/* Leases: leases/engine-leases.c. `id` is the lease's directory; of anything else: -EINVAL. */

typedef enum {
  LEASE_FILE_NONE,
  LEASE_FILE_TTL,
  LEASE_FILE_GRANTED,
  LEASE_FILE_KEYS,
  LEASE_FILE_LAST = LEASE_FILE_KEYS,
} LeaseFile;

/* Which pseudo-file of a lease has that name; LEASE_FILE_NONE if none. And the other way round. */
LeaseFile lease_file_from_name (const char *name);
const char *lease_file_name (LeaseFile file);

typedef struct {
  int64_t granted_ns;                /* 0: only reserved */
  int64_t left_ns;                   /* to the deadline; 0 while only reserved */
  mode_t modes[LEASE_FILE_LAST + 1]; /* permissions of the pseudo-files */
  uint64_t generation;               /* changes whenever what `keys` shows may have changed */
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

/* The paths of all names of what is attached, unsorted: strings, one right behind the other. The
 * lease's own directory is not among them, nor is what lies in directories that the lease's owner
 * may not search. `generation_out`: as in LeaseInfo. -EFBIG: they would
 * take more than `max` bytes. */
int lease_engine_keys (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, size_t max,
                       GByteArray **paths_out, uint64_t *generation_out);

/* The end of leases: leases/engine-ends.c. */

/* The earliest deadline; LEASE_TIME_NEVER if there is none. */
LeaseTime lease_engine_earliest (LeaseEngine *engine);

/* Ends leases whose deadline has come: they are nowhere to be seen since then, and now they are
 * handed over for cleaning up. Does at most about `max` units of work (leases and names). Returns
 * whether there is more to do now. */
bool lease_engine_expire (LeaseEngine *engine, const LeaseCaller *by, unsigned max);

/* A name to be removed because its lease has ended. */
typedef struct {
  uint64_t parent;
  uint64_t node;
  bool is_directory;
  char *directory; /* path of the parent, "." for the root; NULL: no path leads there */
  char *name;
} LeaseGrave;

void lease_grave_clear (LeaseGrave *grave);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (LeaseGrave, lease_grave_clear)

/* The next name to remove: what is in a directory before the directory, keys before their lease. It
 * is the same one again until it has been removed, by lease_engine_unlink() or _rmdir() with a
 * caller who is the reaper, or by lease_engine_bury(). What no path leads to and nobody has pinned
 * is cleaned up on the way, in at most about `max` steps. Returns 0, -ENOENT when nothing is left,
 * or -EAGAIN when the steps ran out. For one thread. */
int lease_engine_next_grave (LeaseEngine *engine, const LeaseCaller *by, unsigned max,
                             LeaseGrave *grave_out);

/* Removes the name if it still stands for that node and is due. Returns whether it did. */
bool lease_engine_bury (LeaseEngine *engine, const LeaseCaller *by, const LeaseGrave *grave);

/* Aborts with g_error() unless every invariant holds. For tests and debug builds. O(everything). */
void lease_engine_check (LeaseEngine *engine);
