/* SPDX-License-Identifier: MIT */

/* Owns what the operations are about: names, sizes, and the nodes that are pinned, which most ids
 * are taken from. */

#include "tests/fuzz/fuzz-engine.h"

#include <limits.h>
#include <string.h>

const char *
take_name (Fuzz *fuzz)
{
  static char longest[NAME_MAX + 1], too_long[NAME_MAX + 2];
  static const char *const names[] = { "a", "b", "c", "P",       "Q",      "ttl",
                                       "d", "e", "f", "granted", "leases", "keys" };
  unsigned i = fuzz_byte (&fuzz->bytes);

  memset (longest, 'l', NAME_MAX);
  memset (too_long, 'L', NAME_MAX + 1);
  switch (i) {
  case 0xff:
    return too_long;
  case 0xfe:
    return longest;
  case 0xfd:
    return ".hidden";
  default:
    return names[i % G_N_ELEMENTS (names)];
  }
}

uint64_t
take_id (Fuzz *fuzz)
{
  static const uint64_t wild[] = { 0, 3, UINT64_MAX, 1000 };
  unsigned i = fuzz_byte (&fuzz->bytes) % (2 + SLOTS + FORGOTTEN + G_N_ELEMENTS (wild));

  if (i < 2)
    return LEASE_ROOT + i; /* the second is leases/ */
  if (i < 2 + SLOTS)
    return fuzz->pins[i - 2] != 0 ? fuzz->pins[i - 2] : LEASE_ROOT;
  if (i < 2 + SLOTS + FORGOTTEN)
    return fuzz->forgotten[i - 2 - SLOTS];
  return wild[i - 2 - SLOTS - FORGOTTEN];
}

uint64_t
take_size (Fuzz *fuzz)
{
  static const uint64_t sizes[] = { 0,          1,      10,        4095,
                                    4096,       65536,  INT64_MAX, INT64_MAX - 5,
                                    UINT64_MAX, 1 << 20 };
  unsigned i = fuzz_byte (&fuzz->bytes);

  return i < G_N_ELEMENTS (sizes) ? sizes[i] : i * i;
}

void
drop_pin (Fuzz *fuzz, unsigned i)
{
  uint64_t id = fuzz->pins[i];

  fuzz->pins[i] = 0;
  if (id == 0)
    return;
  lease_engine_unpin (fuzz->engine, id, 1);
  fuzz->forgotten[fuzz->next_forgotten++ % FORGOTTEN] = id;
}

void
keep_pin (Fuzz *fuzz, const LeaseAttr *attr)
{
  unsigned i = fuzz->next_slot++ % SLOTS;

  model_see (fuzz, attr);
  drop_pin (fuzz, i);
  fuzz->pins[i] = attr->id;
}

void
drop_all_pins (Fuzz *fuzz)
{
  for (unsigned i = 0; i < SLOTS; i++)
    drop_pin (fuzz, i);
  lease_engine_check (fuzz->engine);
}
