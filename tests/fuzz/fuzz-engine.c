/* SPDX-License-Identifier: MIT */

/* The engine: the input is a sequence of operations, on a clock that only the input moves. After
 * each of them every invariant is checked, and what a caller may rely on:
 *
 *   - a call returns 0 or an error that its line in `operations` names;
 *   - a lease is there up to its deadline, and from then on neither it nor a key of it;
 *   - a call that fails changes nothing that can be seen, and neither does whoever cleans up; it
 *     may find out what has ended, so it may lessen the usage, but never adds to it;
 *   - the limits hold;
 *   - nobody has to ask for the earliest deadline, or for graves, without having been told to.
 *
 * At the end all is revoked, removed, cleaned up and unpinned, and nothing may be left.
 *
 * To add an operation, write its function, declare it in fuzz-engine.h, and append a line to
 * `operations`. At the end of the table: the place in it is what the corpus has. */

#include "tests/fuzz/fuzz-engine.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define STEPS_MAX 600

enum {
  CLEANS = 1 << 0, /* may change the usage in any case, but nothing that can be seen */
  PASSES = 1 << 1, /* changes what can be seen, even the clock */
};

#define ERRORS_MAX 11

/* Every operation, with the errors that it may return besides -ESTALE and -ENOTDIR. */
static const struct {
  const char *name;
  Operation *run;
  unsigned flags;
  int errors[ERRORS_MAX + 1];
} operations[] = {
  { "pass-time", op_pass_time, PASSES },
  { "become", op_become },
  { "lookup", op_lookup, 0, { ENOENT, ENAMETOOLONG } },
  { "unpin", op_unpin },
  { "create", op_create, 0, { ENOENT, EEXIST, ENAMETOOLONG, EPERM, ENOSPC, EINVAL } },
  { "link", op_link, 0, { ENOENT, EEXIST, ENAMETOOLONG, EPERM, ENOSPC, EINVAL, EACCES, EAGAIN } },
  { "unlink", op_unlink, 0, { ENOENT, EPERM, EISDIR, ENAMETOOLONG } },
  { "rmdir", op_rmdir, 0, { ENOENT, EPERM, ENOTEMPTY, ENAMETOOLONG } },
  { "rename",
    op_rename,
    0,
    { ENOENT, EEXIST, ENAMETOOLONG, EPERM, ENOSPC, EINVAL, EISDIR, ENOTEMPTY, EACCES, EAGAIN } },
  { "list", op_list },
  { "getattr", op_getattr },
  { "setattr", op_setattr, 0, { EISDIR, EINVAL, EFBIG, EAGAIN } },
  { "readlink", op_readlink, 0, { EINVAL } },
  { "read", op_read, 0, { EISDIR, EINVAL } },
  { "write", op_write, 0, { EISDIR, EINVAL, EFBIG, ENOSPC } },
  { "info", op_info, 0, { EINVAL } },
  { "chmod-file", op_chmod_file, 0, { EINVAL } },
  { "grant", op_grant, 0, { EINVAL } },
  { "refresh", op_refresh, 0, { EINVAL } },
  { "edit-keys", op_edit_keys, 0, { EINVAL, ENOENT, ENAMETOOLONG, ELOOP, EPERM, EACCES, EAGAIN } },
  { "keys", op_keys, 0, { EINVAL } },
  { "expire", op_expire, CLEANS },
  { "next-grave", op_next_grave, CLEANS, { ENOENT, EAGAIN } },
  { "bury", op_bury, CLEANS },
  { "remove-grave", op_remove_grave, CLEANS, { ENOENT, EPERM, EISDIR, ENOTEMPTY } },
  { "reap", op_reap, CLEANS, { ENOENT, EAGAIN } },
  { "reaper-unlink", op_reaper_unlink, CLEANS, { ENOENT, EPERM, EISDIR, ENOTEMPTY, ENAMETOOLONG } },
  { "put", op_put, 0, { EEXIST, ENOSPC } },
  { "lease", op_lease, 0, { EEXIST, ENOSPC } },
  { "allocate", op_allocate, 0, { EISDIR, EINVAL, EFBIG, ENOSPC, EOPNOTSUPP } },
  { "seek", op_seek, 0, { EISDIR, EINVAL, ENXIO } },
  { "copy", op_copy, 0, { EISDIR, EINVAL, EFBIG, ENOSPC } },
  { "lookup-dots", op_lookup_dots, 0, { ENOENT } },
  { "metrics", op_metrics, CLEANS },
  { "edit-holders", op_edit_holders, 0, { EINVAL, ESRCH, ENOSPC } },
  { "drop-holder", op_drop_holder, CLEANS },
  { "holders", op_holders, 0, { EINVAL } },
  { "set-xattr",
    op_set_xattr,
    0,
    { EEXIST, ENODATA, EOPNOTSUPP, EINVAL, EPERM, E2BIG, ENOSPC, ENOENT, EACCES, EAGAIN } },
  { "get-xattr", op_get_xattr, 0, { ENODATA, EOPNOTSUPP, EINVAL } },
  { "remove-xattr",
    op_remove_xattr,
    0,
    { ENODATA, EOPNOTSUPP, EINVAL, EPERM, ENOENT, EACCES, EAGAIN } },
  { "list-xattrs", op_list_xattrs, 0, { ERANGE } },
};

/* The table may grow to this without another meaning for the inputs that there are. */
#define OPERATIONS_MAX 64

static bool
is_allowed (const int *errors, int error)
{
  if (error == 0 || error == -ESTALE || error == -ENOTDIR)
    return true;
  for (; *errors != 0; errors++)
    if (error == -*errors)
      return true;
  return false;
}

static void
step (Fuzz *fuzz, unsigned which)
{
  g_autofree char *before = fuzz->watch ? view_all (fuzz) : NULL;
  unsigned flags = operations[which].flags;
  LeaseUsage usage, usage_after;

  fuzz_trace ("%s", operations[which].name);
  lease_engine_usage (fuzz->engine, &usage);
  int error = operations[which].run (fuzz);
  fuzz_trace (": %s\n", g_strerror (-error));
  if (!is_allowed (operations[which].errors, error))
    fuzz_fail ("%s: unexpected: %s", operations[which].name, g_strerror (-error));
  model_check (fuzz);
  lease_engine_usage (fuzz->engine, &usage_after);
  if (error != 0 && !(flags & CLEANS))
    fuzz_assert (usage_after.bytes_used <= usage.bytes_used &&
                 usage_after.nodes_used <= usage.nodes_used);
  if (!fuzz->watch || (flags & PASSES) || (error == 0 && !(flags & CLEANS)))
    return;
  g_autofree char *after = view_all (fuzz);
  if (strcmp (before, after) != 0)
    fuzz_fail ("%s changed what can be seen, from\n%sto\n%s", operations[which].name, before,
               after);
}

typedef struct {
  char *name;
  LeaseAttr attr;
} First;

static bool
take_first (const char *name, const LeaseAttr *attr, uint64_t cookie, void *data)
{
  First *first = data;

  if (first->name != NULL || attr->id == LEASE_ROOT + 1)
    return first->name == NULL;
  first->name = g_strdup (name);
  first->attr = *attr;
  return true;
}

/* Removes everything that can be seen: always the deepest first. */
static void
remove_all (Fuzz *fuzz, uint64_t top)
{
  for (;;) {
    g_autofree char *name = NULL;
    uint64_t parent = top;
    LeaseAttr attr = { .id = top };
    for (;;) {
      First first = { 0 };
      fuzz_assert (
          lease_engine_list (fuzz->engine, &fuzz->by, attr.id, 0, false, take_first, &first) == 0);
      if (first.name == NULL)
        break;
      g_free (name);
      name = first.name;
      parent = attr.id;
      attr = first.attr;
      if (!S_ISDIR (attr.mode) || attr.is_lease)
        break;
    }
    if (name == NULL)
      return;
    int error = S_ISDIR (attr.mode) ? rmdir_as_known (fuzz, parent, name)
                                    : lease_engine_unlink (fuzz->engine, &fuzz->by, parent, name);
    fuzz_assert (error == 0);
    model_check (fuzz);
  }
}

/* All is revoked (or left to end), removed and cleaned up, before or after it is unpinned. */
static void
finish (Fuzz *fuzz, unsigned way, const LeaseUsage *fresh)
{
  LeaseUsage usage;

  fuzz_trace ("finish: way=%u\n", way);
  fuzz->by.uid = 0;
  if (way & 1)
    drop_all_pins (fuzz);
  if (way & 2)
    model_set_time (fuzz, LEASE_TIME_NEVER / 2);
  remove_all (fuzz, LEASE_ROOT + 1);
  if (way & 4)
    reap_all (fuzz);
  remove_all (fuzz, LEASE_ROOT);
  remove_xattrs (fuzz, LEASE_ROOT);
  remove_xattrs (fuzz, LEASE_ROOT + 1);
  reap_all (fuzz);
  drop_all_pins (fuzz);
  reap_all (fuzz);
  model_check (fuzz);
  lease_engine_usage (fuzz->engine, &usage);
  fuzz_assert (memcmp (&usage, fresh, sizeof usage) == 0);
  fuzz_assert (lease_engine_earliest (fuzz->engine) == LEASE_TIME_NEVER);
}

static void
begin (Fuzz *fuzz, unsigned way)
{
  fuzz->config = (LeaseEngineConfig){
    .min_ttl_ns = way & 1 ? 3 * LEASE_SECOND : 0,
    .max_bytes = way & 2 ? 8192 : 1 << 20,
    .max_nodes = way & 4 ? 8 : 10000,
    .max_leases = way & 32 ? 2 : 10000,
    .noatime = way & 64,
    .nodiratime = way & 128,
    .root_mode = way & 8 ? 02777 : 01777,
  };
  fuzz->watch = way & 16;
  fuzz->by.now = fuzz->now = 1000 * LEASE_SECOND;
  fuzz->by.wall_ns = 1700000000 * LEASE_SECOND;
  fuzz->armed = LEASE_TIME_NEVER;
  fuzz->known = g_array_new (FALSE, FALSE, sizeof (Known));
  fuzz->doomed = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  fuzz->engine = lease_engine_new (&fuzz->config, lease_journal_memory_new (), &fuzz->by,
                                   model_hear, fuzz, NULL);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  Fuzz fuzz = { .bytes = { data, size } };
  LeaseUsage fresh;

  fuzz_setup ();
  begin (&fuzz, fuzz_byte (&fuzz.bytes));
  unsigned way = fuzz_byte (&fuzz.bytes);
  lease_engine_usage (fuzz.engine, &fresh);
  for (unsigned i = 0; i < STEPS_MAX && fuzz.bytes.size > 0; i++) {
    unsigned which = fuzz_byte (&fuzz.bytes) % OPERATIONS_MAX;
    if (which < G_N_ELEMENTS (operations))
      step (&fuzz, which);
  }
  finish (&fuzz, way, &fresh);
  lease_grave_clear (&fuzz.grave);
  lease_engine_free (fuzz.engine);
  g_array_unref (fuzz.known);
  g_hash_table_unref (fuzz.doomed);
  return 0;
}
