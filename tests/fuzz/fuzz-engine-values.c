/* SPDX-License-Identifier: MIT */

/* Owns the operations on values and attributes. */

#include "tests/fuzz/fuzz-engine.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

int
op_getattr (Fuzz *fuzz)
{
  uint64_t id = take_id (fuzz);
  LeaseAttr attr;
  int error = lease_engine_getattr (fuzz->engine, &fuzz->by, id, &attr);

  fuzz_trace (" %" G_GUINT64_FORMAT, id);
  if (error == 0) {
    fuzz_assert (attr.id == id);
    model_see (fuzz, &attr);
  }
  return error;
}

int
op_setattr (Fuzz *fuzz)
{
  static const mode_t modes[] = { 0644, 0, 07777, S_IFDIR | 0755 };
  uint64_t id = take_id (fuzz);
  LeaseSet set = { .mask = fuzz_byte (&fuzz->bytes) };
  LeaseAttr attr;

  unsigned more = fuzz_byte (&fuzz->bytes);
  set.mode = modes[more % G_N_ELEMENTS (modes)];
  set.uid = set.gid = set.mode % 3;
  if (set.mask & LEASE_SET_SIZE)
    set.size = take_size (fuzz);
  set.atime_ns = set.mtime_ns = set.ctime_ns = fuzz->by.wall_ns;
  int error = lease_engine_setattr (fuzz->engine, &fuzz->by, id, &set, &attr);
  fuzz_trace (" %" G_GUINT64_FORMAT " mask=%x mode=%o size=%" G_GUINT64_FORMAT, id, set.mask,
              set.mode, set.size);
  if (error != 0)
    return error;
  if (set.mask & LEASE_SET_TOUCH)
    model_touched (fuzz, id);
  model_see (fuzz, &attr);
  fuzz_assert (!(set.mask & LEASE_SET_SIZE) || attr.size == set.size);
  return 0;
}

int
op_read (Fuzz *fuzz)
{
  uint64_t id = take_id (fuzz), offset = take_size (fuzz), size = take_size (fuzz), got = 0;
  g_autofree char *data = NULL;

  size = MIN (size, 1 << 17);
  int error = lease_engine_read (fuzz->engine, &fuzz->by, id, offset, size, &data, &got);
  fuzz_trace (" %" G_GUINT64_FORMAT " at %" G_GUINT64_FORMAT " size=%" G_GUINT64_FORMAT, id, offset,
              size);
  fuzz_assert (got <= size);
  return error;
}

int
op_write (Fuzz *fuzz)
{
  uint64_t id = take_id (fuzz), offset = take_size (fuzz), size = take_size (fuzz), got = 0;
  g_autofree char *again = NULL;

  size = MIN (size, 1 << 17);
  g_autofree char *data = g_malloc (size + 1);
  memset (data, fuzz_byte (&fuzz->bytes), size + 1);
  fuzz_trace (" %" G_GUINT64_FORMAT " at %" G_GUINT64_FORMAT " size=%" G_GUINT64_FORMAT, id, offset,
              size);
  int error = lease_engine_write (fuzz->engine, &fuzz->by, id, offset, data, size);
  if (error != 0)
    return error;
  fuzz_assert (lease_engine_read (fuzz->engine, &fuzz->by, id, offset, size, &again, &got) == 0);
  fuzz_assert (got == size && (size == 0 || memcmp (data, again, size) == 0));
  return 0;
}

int
op_allocate (Fuzz *fuzz)
{
  static const int modes[] = { 0,
                               FALLOC_FL_KEEP_SIZE,
                               FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               FALLOC_FL_ZERO_RANGE,
                               FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
                               FALLOC_FL_PUNCH_HOLE,
                               FALLOC_FL_COLLAPSE_RANGE };
  uint64_t id = take_id (fuzz), offset = take_size (fuzz), size = take_size (fuzz);
  int mode = modes[fuzz_below (&fuzz->bytes, G_N_ELEMENTS (modes))];

  fuzz_trace (" %" G_GUINT64_FORMAT " mode=%d at %" G_GUINT64_FORMAT " size=%" G_GUINT64_FORMAT, id,
              mode, offset, size);
  return lease_engine_allocate (fuzz->engine, &fuzz->by, id, mode, offset, size);
}

int
op_seek (Fuzz *fuzz)
{
  uint64_t id = take_id (fuzz), offset = take_size (fuzz), found = 0;
  bool hole = fuzz_below (&fuzz->bytes, 2);
  LeaseAttr attr;
  int error = lease_engine_seek (fuzz->engine, &fuzz->by, id, offset, hole, &found);

  fuzz_trace (" %" G_GUINT64_FORMAT " %s from %" G_GUINT64_FORMAT, id, hole ? "hole" : "data",
              offset);
  if (error != 0)
    return error;
  fuzz_assert (lease_engine_getattr (fuzz->engine, &fuzz->by, id, &attr) == 0);
  fuzz_assert (found >= offset && (hole ? found <= attr.size : found < attr.size));
  return 0;
}

/* What has been copied is the same in both places. */
static void
check_copied (Fuzz *fuzz, LeasePlace from, LeasePlace to, size_t size)
{
  g_autofree char *one = NULL, *other = NULL;
  size_t one_size, other_size;

  fuzz_assert (lease_engine_read (fuzz->engine, &fuzz->by, from.id, from.offset, size, &one,
                                  &one_size) == 0);
  fuzz_assert (lease_engine_read (fuzz->engine, &fuzz->by, to.id, to.offset, size, &other,
                                  &other_size) == 0);
  fuzz_assert (one_size == size && other_size == size);
  fuzz_assert (size == 0 || memcmp (one, other, size) == 0);
}

int
op_copy (Fuzz *fuzz)
{
  LeasePlace from = { .id = take_id (fuzz) }, to = { .id = take_id (fuzz) };
  uint64_t size;
  size_t copied = 0;

  from.offset = take_size (fuzz);
  to.offset = take_size (fuzz);
  size = take_size (fuzz);
  fuzz_trace (" %" G_GUINT64_FORMAT " at %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
              " at %" G_GUINT64_FORMAT " size=%" G_GUINT64_FORMAT,
              from.id, from.offset, to.id, to.offset, size);
  if (from.id == to.id && MAX (from.offset, to.offset) - MIN (from.offset, to.offset) < size)
    return 0; /* the caller keeps this away */
  int error = lease_engine_copy (fuzz->engine, &fuzz->by, from, to, size, &copied);
  if (error != 0)
    return error;
  fuzz_assert (copied <= size && copied <= LEASE_COPY_MAX);
  check_copied (fuzz, from, to, copied);
  return 0;
}
