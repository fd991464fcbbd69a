/* SPDX-License-Identifier: MIT */

/* Handlers for listings. An entry's offset is the cookie of the one before: `.` and `..` come
 * first, then the pseudo-files of a lease, then the names in the engine's order. */

#include "fs/ops.h"
#include "fs/reply.h"

#include <errno.h>

enum {
  OFFSET_DOT = 1,
  OFFSET_DOTDOT = 2, /* the pseudo-files follow it */
};

/* One reply under way. */
typedef struct {
  fuse_req_t req;
  bool plus;
  char *buffer;
  size_t size;
  size_t used;
  GArray *pinned; /* of uint64_t ids; with plus */
} Listing;

void
fs_opendir (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  fs_count (req, FS_REQUEST_OPENDIR);
  /* As for open; and listings may be cached. */
  fuse_reply_err (req, ENOSYS);
}

/* Appends an entry whose attributes are in `entry`; an inode number of 0 there gives the kernel
 * name and type only. Returns whether there was room. */
static bool
append (Listing *listing, const char *name, const struct fuse_entry_param *entry, off_t offset)
{
  char *at = listing->buffer + listing->used;
  size_t left = listing->size - listing->used;
  size_t length = listing->plus
                      ? fuse_add_direntry_plus (listing->req, at, left, name, entry, offset)
                      : fuse_add_direntry (listing->req, at, left, name, &entry->attr, offset);

  if (length > left)
    return false;
  listing->used += length;
  return true;
}

static bool
append_bare (Listing *listing, const char *name, fuse_ino_t ino, mode_t type, off_t offset)
{
  struct fuse_entry_param entry = { .attr.st_ino = ino, .attr.st_mode = type };

  return append (listing, name, &entry, offset);
}

static bool
append_node (const char *name, const LeaseAttr *attr, uint64_t cookie, void *data)
{
  Listing *listing = data;
  struct fuse_entry_param entry;

  fs_reply_entry_param (attr, &entry);
  if (!append (listing, name, &entry, cookie))
    return false;
  if (listing->plus)
    g_array_append_val (listing->pinned, attr->id);
  return true;
}

/* What a listing has besides the names that the engine knows. Returns whether there was room for
 * all of it. */
static bool
append_extra (Listing *listing, fuse_ino_t ino, const LeaseAttr *attr, off_t offset)
{
  if (offset < OFFSET_DOT && !append_bare (listing, ".", ino, S_IFDIR, OFFSET_DOT))
    return false;
  if (offset < OFFSET_DOTDOT &&
      !append_bare (listing, "..", fs_ino (attr->parent, LEASE_FILE_NONE), S_IFDIR, OFFSET_DOTDOT))
    return false;
  for (LeaseFile file = 1; attr->is_lease && file <= LEASE_FILE_LAST; file++)
    if (offset < OFFSET_DOTDOT + (off_t)file &&
        !append_bare (listing, lease_file_name (file), fs_ino (attr->id, file), S_IFREG,
                      OFFSET_DOTDOT + file))
      return false;
  return true;
}

static void
list (fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, bool plus)
{
  LeaseEngine *engine = fs_context (req)->engine;
  FsRequest request = plus ? FS_REQUEST_READDIRPLUS : FS_REQUEST_READDIR;
  LeaseCaller by = fs_caller (req, request);
  g_autofree char *buffer = g_malloc (size);
  g_autoptr (GArray) pinned = g_array_new (FALSE, FALSE, sizeof (uint64_t));
  Listing listing = { .req = req, .plus = plus, .buffer = buffer, .size = size, .pinned = pinned };
  LeaseAttr attr;
  int error = -ENOTDIR;

  if (fs_file (ino) == LEASE_FILE_NONE)
    error = lease_engine_getattr (engine, &by, fs_id (ino), &attr);
  if (error == 0 && append_extra (&listing, ino, &attr, offset))
    error = lease_engine_list (engine, &by, fs_id (ino), offset, plus, append_node, &listing);
  if (error != 0)
    fs_reply_result (req, error);
  else if (fuse_reply_buf (req, buffer, listing.used) == 0)
    return;
  for (unsigned i = 0; i < pinned->len; i++)
    lease_engine_unpin (engine, g_array_index (pinned, uint64_t, i), 1);
}

void
fs_readdir (fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
  list (req, ino, size, offset, false);
}

void
fs_readdirplus (fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                struct fuse_file_info *fi)
{
  list (req, ino, size, offset, true);
}
