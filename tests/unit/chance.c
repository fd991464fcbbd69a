/* SPDX-License-Identifier: MIT */

#include "tests/unit/chance.h"

#include <sys/stat.h>

unsigned
below (GRand *rand, unsigned end)
{
  return g_rand_int_range (rand, 0, end);
}

void
pass_time (Fixture *fx, GRand *rand)
{
  LeaseTime earliest = lease_engine_earliest (fx->engine);

  switch (below (rand, 6)) {
  case 0: /* to the next deadline, or one short of it */
    if (earliest != LEASE_TIME_NEVER && earliest > fx->by.now)
      fx_wait (fx, earliest - fx->by.now - below (rand, 2));
    break;
  case 1:
    if (below (rand, 20) == 0)
      fx_wait (fx, 30 * SECOND);
    break;
  default:
    fx_wait (fx, below (rand, SECOND / 2));
  }
}

/* As the kernel does it: the reaper is shown what it is to remove, and nothing else. */
static void
remove_grave (Fixture *fx, const LeaseGrave *grave)
{
  LeaseCaller reaper = fx->by;
  LeaseAttr attr;

  reaper.reaper = true;
  assert_ok (lease_engine_lookup (fx->engine, &reaper, grave->parent, grave->name, &attr, NULL));
  assert_int_equal (attr.id, grave->node);
  assert_int_equal (S_ISDIR (attr.mode), grave->is_directory);
  assert_int_equal (attr.fresh_until, 0);
  if (grave->is_directory)
    assert_ok (lease_engine_rmdir (fx->engine, &reaper, grave->parent, grave->name));
  else
    assert_ok (lease_engine_unlink (fx->engine, &reaper, grave->parent, grave->name));
  fx_unpin (fx, attr.id);
}

void
reap_some (Fixture *fx, GRand *rand)
{
  LeaseCaller reaper = fx->by;

  reaper.reaper = true;
  lease_engine_expire (fx->engine, &reaper, below (rand, 4));
  fx_check (fx);
  for (unsigned i = below (rand, 4); i > 0; i--) {
    g_auto (LeaseGrave) grave = { 0 };
    int error = lease_engine_next_grave (fx->engine, &reaper, 1 + below (rand, 3), &grave);
    fx_check (fx);
    if (error != 0)
      continue;
    if (below (rand, 2) == 0)
      assert_true (lease_engine_bury (fx->engine, &reaper, &grave));
    else
      remove_grave (fx, &grave);
    fx_check (fx);
  }
}
