/* SPDX-License-Identifier: MIT */

/* Owns the operations on names and directories. */

#include "tests/fuzz/fuzz-engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int
op_lookup (Fuzz *fuzz)
{
  uint64_t parent = take_id (fuzz);
  const char *name = take_name (fuzz);
  LeaseAttr attr;
  LeaseTime fresh_until = -1;
  int error = lease_engine_lookup (fuzz->engine, &fuzz->by, parent, name, &attr, &fresh_until);

  fuzz_trace (" %" G_GUINT64_FORMAT "/%s", parent, name);
  if (error == 0)
    keep_pin (fuzz, &attr);
  if (error == -ENOENT)
    fuzz_assert (fresh_until == 0 || fresh_until == LEASE_TIME_NEVER);
  return error;
}

/* ".", which is the node itself, and "..". */
int
op_lookup_dots (Fuzz *fuzz)
{
  uint64_t id = take_id (fuzz);
  const char *name = fuzz_below (&fuzz->bytes, 2) ? ".." : ".";
  LeaseAttr attr;
  int error = lease_engine_lookup (fuzz->engine, &fuzz->by, id, name, &attr, NULL);

  fuzz_trace (" %" G_GUINT64_FORMAT "/%s", id, name);
  if (error != 0)
    return error;
  fuzz_assert (attr.id == id || name[1] == '.');
  keep_pin (fuzz, &attr);
  return 0;
}

int
op_unpin (Fuzz *fuzz)
{
  unsigned slot = fuzz_below (&fuzz->bytes, SLOTS);

  fuzz_trace (" %" G_GUINT64_FORMAT, fuzz->pins[slot]);
  drop_pin (fuzz, slot);
  return 0;
}

static int
create (Fuzz *fuzz, uint64_t parent, const char *name, mode_t mode, LeaseAttr *attr_out)
{
  LeaseNew what = { .mode = mode, .rdev = 7, .target = S_ISLNK (mode) ? "a/b" : NULL };
  int error = lease_engine_create (fuzz->engine, &fuzz->by, parent, name, &what, attr_out);

  fuzz_trace (" %" G_GUINT64_FORMAT "/%s %o", parent, name, mode);
  if (error != 0)
    return error;
  fuzz_trace (" = %" G_GUINT64_FORMAT, attr_out->id);
  fuzz_assert (attr_out->uid == fuzz->by.uid && (attr_out->mode & S_IFMT) == (mode & S_IFMT));
  fuzz_assert (attr_out->is_lease == (parent == LEASE_ROOT + 1));
  if (attr_out->is_lease)
    model_reserved (fuzz, attr_out->id);
  keep_pin (fuzz, attr_out);
  return 0;
}

int
op_create (Fuzz *fuzz)
{
  static const mode_t modes[] = { S_IFREG | 0644, S_IFDIR | 0755, S_IFLNK | 0777,
                                  S_IFREG,        S_IFIFO | 0600, S_IFDIR | 02775,
                                  S_IFSOCK,       S_IFCHR,        0600 };
  uint64_t parent = take_id (fuzz);
  const char *name = take_name (fuzz);
  mode_t mode = modes[fuzz_below (&fuzz->bytes, G_N_ELEMENTS (modes))];
  LeaseAttr attr;

  return create (fuzz, parent, name, mode, &attr);
}

/* A file with a value, or a granted lease, in one step: most of what there is to find needs them.
 */
int
op_put (Fuzz *fuzz)
{
  static const char *const names[] = { "a", "b", "c", "d" };
  const char *name = names[fuzz_below (&fuzz->bytes, G_N_ELEMENTS (names))];
  LeaseAttr attr;
  int error = create (fuzz, LEASE_ROOT, name, S_IFREG | 0644, &attr);

  if (error == 0)
    lease_engine_write (fuzz->engine, &fuzz->by, attr.id, 0, "hello", 5);
  return error;
}

int
op_lease (Fuzz *fuzz)
{
  static const char *const names[] = { "P", "Q", "a" };
  const char *name = names[fuzz_below (&fuzz->bytes, G_N_ELEMENTS (names))];
  LeaseAttr attr;
  int error = create (fuzz, LEASE_ROOT + 1, name, S_IFDIR | 0755, &attr);

  if (error == 0) {
    fuzz_assert (lease_engine_grant (fuzz->engine, &fuzz->by, attr.id, LEASE_SECOND) == 0);
    model_granted (fuzz, attr.id, LEASE_SECOND);
  }
  return error;
}

int
op_link (Fuzz *fuzz)
{
  uint64_t id = take_id (fuzz), parent = take_id (fuzz);
  const char *name = take_name (fuzz);
  LeaseAttr attr;
  int error = lease_engine_link (fuzz->engine, &fuzz->by, id, parent, name, &attr);

  fuzz_trace (" %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT "/%s", id, parent, name);
  if (error == 0) {
    fuzz_assert (attr.id == id);
    keep_pin (fuzz, &attr);
  }
  return error;
}

int
op_unlink (Fuzz *fuzz)
{
  uint64_t parent = take_id (fuzz);
  const char *name = take_name (fuzz);

  fuzz_trace (" %" G_GUINT64_FORMAT "/%s", parent, name);
  return lease_engine_unlink (fuzz->engine, &fuzz->by, parent, name);
}

int
rmdir_as_known (Fuzz *fuzz, uint64_t parent, const char *name)
{
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (uint64_t));
  LeaseAttr attr = { .id = 0 };

  if (lease_engine_lookup (fuzz->engine, &fuzz->by, parent, name, &attr, NULL) == 0)
    lease_engine_unpin (fuzz->engine, attr.id, 1);
  if (attr.is_lease)
    model_collect (fuzz, attr.id, ids);
  int error = lease_engine_rmdir (fuzz->engine, &fuzz->by, parent, name);
  if (error == 0) {
    fuzz_assert (attr.id != 0);
    model_forget (fuzz, attr.id);
    model_doom (fuzz, ids);
  }
  return error;
}

int
op_rmdir (Fuzz *fuzz)
{
  uint64_t parent = take_id (fuzz);
  const char *name = take_name (fuzz);

  fuzz_trace (" %" G_GUINT64_FORMAT "/%s", parent, name);
  return rmdir_as_known (fuzz, parent, name);
}

int
op_rename (Fuzz *fuzz)
{
  static const unsigned all_flags[] = {
    0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_NOREPLACE | RENAME_EXCHANGE, RENAME_WHITEOUT
  };
  uint64_t parent = take_id (fuzz);
  const char *name = take_name (fuzz);
  uint64_t new_parent = take_id (fuzz);
  const char *new_name = take_name (fuzz);
  unsigned flags = all_flags[fuzz_below (&fuzz->bytes, G_N_ELEMENTS (all_flags))];

  fuzz_trace (" %" G_GUINT64_FORMAT "/%s to %" G_GUINT64_FORMAT "/%s flags=%u", parent, name,
              new_parent, new_name, flags);
  return lease_engine_rename (fuzz->engine, &fuzz->by, parent, name, new_parent, new_name, flags);
}

typedef struct {
  unsigned left; /* how many more entries fit */
  uint64_t last_cookie;
  GArray *attrs; /* of LeaseAttr */
} Listing;

static bool
list_each (const char *name, const LeaseAttr *attr, uint64_t cookie, void *data)
{
  Listing *listing = data;

  fuzz_assert (cookie > listing->last_cookie);
  if (listing->left == 0)
    return false;
  listing->left--;
  listing->last_cookie = cookie;
  g_array_append_val (listing->attrs, *attr);
  return true;
}

int
op_list (Fuzz *fuzz)
{
  g_autoptr (GArray) attrs = g_array_new (FALSE, FALSE, sizeof (LeaseAttr));
  uint64_t id = take_id (fuzz);
  Listing listing = { .attrs = attrs };
  unsigned cookie = listing.last_cookie = fuzz_below (&fuzz->bytes, 5);

  listing.left = fuzz_below (&fuzz->bytes, 8);
  bool pin = fuzz_below (&fuzz->bytes, 2);
  int error = lease_engine_list (fuzz->engine, &fuzz->by, id, cookie, pin, list_each, &listing);
  fuzz_trace (" %" G_GUINT64_FORMAT " from %u: %u, pin=%d", id, cookie, attrs->len, pin);
  fuzz_assert (error == 0 || attrs->len == 0);
  for (unsigned i = 0; i < attrs->len; i++)
    if (pin)
      keep_pin (fuzz, &g_array_index (attrs, LeaseAttr, i));
    else
      model_see (fuzz, &g_array_index (attrs, LeaseAttr, i));
  return error;
}

int
op_readlink (Fuzz *fuzz)
{
  uint64_t id = take_id (fuzz);
  g_autofree char *target = NULL;
  int error = lease_engine_readlink (fuzz->engine, &fuzz->by, id, &target);

  fuzz_trace (" %" G_GUINT64_FORMAT, id);
  if (error == 0)
    fuzz_assert (strcmp (target, "a/b") == 0);
  return error;
}
