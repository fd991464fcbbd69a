/* SPDX-License-Identifier: MIT */

/* Owns the operations of the reaper, which removes what has ended. */

#include "tests/fuzz/fuzz-engine.h"

#include <errno.h>

#define CLEANING_MAX 100000

static LeaseCaller
as_reaper (const Fuzz *fuzz)
{
  LeaseCaller reaper = fuzz->by;

  reaper.reaper = true;
  return reaper;
}

static int
next_grave (Fuzz *fuzz, unsigned max)
{
  LeaseCaller reaper = as_reaper (fuzz);

  lease_grave_clear (&fuzz->grave);
  int error = lease_engine_next_grave (fuzz->engine, &reaper, max, &fuzz->grave);
  fuzz_trace (" max=%u %" G_GUINT64_FORMAT "/%s", max, error == 0 ? fuzz->grave.parent : 0,
              error == 0 ? fuzz->grave.name : "");
  fuzz_assert (error == -ENOENT || fuzz->told_of_graves);
  if (error == -ENOENT)
    fuzz->told_of_graves = false;
  return error;
}

int
op_expire (Fuzz *fuzz)
{
  LeaseCaller reaper = as_reaper (fuzz);
  unsigned max = fuzz_below (&fuzz->bytes, 5);

  fuzz_trace (" max=%u", max);
  lease_engine_expire (fuzz->engine, &reaper, max);
  fuzz->armed = lease_engine_earliest (fuzz->engine);
  return 0;
}

int
op_next_grave (Fuzz *fuzz)
{
  return next_grave (fuzz, fuzz_below (&fuzz->bytes, 4));
}

/* What has been asked for last, though much may have happened since then. */
int
op_bury (Fuzz *fuzz)
{
  LeaseCaller reaper = as_reaper (fuzz);

  if (fuzz->grave.name != NULL)
    lease_engine_bury (fuzz->engine, &reaper, &fuzz->grave);
  return 0;
}

int
op_remove_grave (Fuzz *fuzz)
{
  LeaseCaller reaper = as_reaper (fuzz);
  const LeaseGrave *grave = &fuzz->grave;

  if (grave->name == NULL)
    return 0;
  fuzz_trace (" %" G_GUINT64_FORMAT "/%s", grave->parent, grave->name);
  LeaseAttr attr;
  int error = lease_engine_lookup (fuzz->engine, &reaper, grave->parent, grave->name, &attr, NULL);
  if (error != 0)
    return error;
  error = grave->is_directory
              ? lease_engine_rmdir (fuzz->engine, &reaper, grave->parent, grave->name)
              : lease_engine_unlink (fuzz->engine, &reaper, grave->parent, grave->name);
  lease_engine_unpin (fuzz->engine, attr.id, 1);
  return error;
}

/* Asks for the next one and removes it at once. */
int
op_reap (Fuzz *fuzz)
{
  LeaseCaller reaper = as_reaper (fuzz);
  unsigned way = fuzz_byte (&fuzz->bytes);
  int error = next_grave (fuzz, 1 + way % 4);

  if (error != 0)
    return error;
  if (way & 0x80)
    fuzz_assert (lease_engine_bury (fuzz->engine, &reaper, &fuzz->grave));
  else
    fuzz_assert (op_remove_grave (fuzz) == 0);
  return 0;
}

/* The reaper may also ask for what nobody told it to remove. */
int
op_reaper_unlink (Fuzz *fuzz)
{
  LeaseCaller reaper = as_reaper (fuzz);
  uint64_t parent = take_id (fuzz);
  const char *name = take_name (fuzz);

  fuzz_trace (" %" G_GUINT64_FORMAT "/%s", parent, name);
  int error = lease_engine_unlink (fuzz->engine, &reaper, parent, name);
  return error == -EISDIR ? lease_engine_rmdir (fuzz->engine, &reaper, parent, name) : error;
}

void
reap_all (Fuzz *fuzz)
{
  LeaseCaller reaper = as_reaper (fuzz);
  unsigned steps = 0;
  int error;

  while (lease_engine_expire (fuzz->engine, &reaper, 3))
    fuzz_assert (steps++ < CLEANING_MAX);
  while ((error = next_grave (fuzz, 3)) != -ENOENT) {
    fuzz_assert (steps++ < CLEANING_MAX && (error == 0 || error == -EAGAIN));
    if (error == 0)
      fuzz_assert (lease_engine_bury (fuzz->engine, &reaper, &fuzz->grave));
    lease_engine_check (fuzz->engine);
  }
}
