/* SPDX-License-Identifier: MIT */

#include "tests/unit/fixture-holders.h"

#include <stdlib.h>

static int
find_lease (Fixture *fx, const char *lease, uint64_t *id_out)
{
  g_autofree char *path = g_strconcat ("leases/", lease, NULL);
  LeaseAttr attr;
  int error = fx_stat (fx, path, &attr);

  *id_out = attr.id;
  return error;
}

int
fx_edit_holders (Fixture *fx, const char *lease, const int *holders)
{
  g_autoptr (GArray) lines = g_array_new (FALSE, FALSE, sizeof (LeaseHolderLine));
  uint64_t id;
  int error = find_lease (fx, lease, &id);

  for (; *holders != 0; holders++) {
    LeaseHolderLine line = { .let_go = *holders < 0,
                             .holder = (uint64_t)abs (*holders),
                             .pid = 100 + abs (*holders) };
    g_array_append_val (lines, line);
  }
  if (error == 0)
    error = lease_engine_edit_holders (fx->engine, &fx->by, id, lines);
  fx_check (fx);
  return error;
}

int
fx_hold (Fixture *fx, const char *lease, uint64_t holder)
{
  return fx_edit_holders (fx, lease, (int[]){ (int)holder, 0 });
}

int
fx_let_go (Fixture *fx, const char *lease, uint64_t holder)
{
  return fx_edit_holders (fx, lease, (int[]){ -(int)holder, 0 });
}

void
fx_drop (Fixture *fx, uint64_t holder)
{
  while (lease_engine_drop_holder (fx->engine, &fx->by, holder, 1))
    fx_check (fx);
  assert_false (lease_engine_is_holder (fx->engine, holder));
  fx_check (fx);
}

static int
compare_infos (const void *a, const void *b)
{
  return ((const LeaseHolderInfo *)a)->pid - ((const LeaseHolderInfo *)b)->pid;
}

const char *
fx_holders (Fixture *fx, const char *lease)
{
  g_autoptr (GArray) infos = NULL;
  uint64_t id;

  assert_ok (find_lease (fx, lease, &id));
  assert_ok (lease_engine_holders (fx->engine, &fx->by, id, &infos));
  g_array_sort (infos, compare_infos);
  g_string_truncate (fx->text, 0);
  for (unsigned i = 0; i < infos->len; i++) {
    const LeaseHolderInfo *info = &g_array_index (infos, LeaseHolderInfo, i);
    assert_int_equal (info->pid, 100 + info->holder);
    g_string_append_printf (fx->text, "%s%d", i > 0 ? " " : "", info->pid);
  }
  fx_check (fx);
  return fx->text->str;
}
