/* SPDX-License-Identifier: MIT */

/* Owns the operations on extended attributes. */

#include "tests/fuzz/fuzz-engine.h"

#include <string.h>

static const char *
take_xattr_name (Fuzz *fuzz)
{
  static const char *const names[] = { LEASE_XATTR_LEASE, LEASE_XATTR_LEASE, "user.a",
                                       "user.b",          "trusted.a",       "security.capability",
                                       "system.a",        "user.",           "user.leases" };

  return names[fuzz_below (&fuzz->bytes, G_N_ELEMENTS (names))];
}

/* What was said to be there is there. */
static void
check_set (Fuzz *fuzz, uint64_t id, const char *name, const char *value, size_t size)
{
  g_autofree char *found = NULL;
  size_t found_size;

  fuzz_assert (lease_engine_get_xattr (fuzz->engine, &fuzz->by, id, name, &found, &found_size) ==
               0);
  fuzz_assert (found_size == size && memcmp (found, value, size) == 0);
}

int
op_set_xattr (Fuzz *fuzz)
{
  uint64_t id = take_id (fuzz);
  const char *name = take_xattr_name (fuzz);
  unsigned flags = fuzz_below (&fuzz->bytes, 4);
  size_t size;
  g_autofree char *value = NULL;

  if (strcmp (name, LEASE_XATTR_LEASE) == 0) {
    value = g_strdup (take_name (fuzz));
    size = strlen (value);
  } else {
    size = take_size (fuzz);
    size = MIN (size, LEASE_XATTR_MAX + 1);
    value = g_malloc (size + 1);
    memset (value, 'a' + fuzz_below (&fuzz->bytes, 26), size);
  }
  fuzz_trace (" %" G_GUINT64_FORMAT " %s size=%zu flags=%u", id, name, size, flags);
  int error = lease_engine_set_xattr (fuzz->engine, &fuzz->by, id, name, value, size, (int)flags);
  if (error == 0)
    check_set (fuzz, id, name, value, size);
  return error;
}

int
op_get_xattr (Fuzz *fuzz)
{
  uint64_t id = take_id (fuzz);
  const char *name = take_xattr_name (fuzz);
  g_autofree char *value = NULL;
  size_t size = 0;

  fuzz_trace (" %" G_GUINT64_FORMAT " %s", id, name);
  int error = lease_engine_get_xattr (fuzz->engine, &fuzz->by, id, name, &value, &size);
  fuzz_assert (size <= LEASE_XATTR_MAX);
  return error;
}

int
op_remove_xattr (Fuzz *fuzz)
{
  uint64_t id = take_id (fuzz);
  const char *name = take_xattr_name (fuzz);

  fuzz_trace (" %" G_GUINT64_FORMAT " %s", id, name);
  return lease_engine_remove_xattr (fuzz->engine, &fuzz->by, id, name);
}

int
op_list_xattrs (Fuzz *fuzz)
{
  uint64_t id = take_id (fuzz);
  size_t max = fuzz_byte (&fuzz->bytes);
  g_autoptr (GByteArray) names = NULL;

  fuzz_trace (" %" G_GUINT64_FORMAT " max=%zu", id, max);
  int error = lease_engine_list_xattrs (fuzz->engine, &fuzz->by, id, max, &names);
  fuzz_assert (error != 0 || names->len <= max);
  return error;
}

void
remove_xattrs (Fuzz *fuzz, uint64_t id)
{
  g_autoptr (GByteArray) names = NULL;

  fuzz_assert (lease_engine_list_xattrs (fuzz->engine, &fuzz->by, id, SIZE_MAX, &names) == 0);
  for (unsigned i = 0; i < names->len; i += strlen ((char *)names->data + i) + 1)
    fuzz_assert (lease_engine_remove_xattr (fuzz->engine, &fuzz->by, id, (char *)names->data + i) ==
                 0);
}
