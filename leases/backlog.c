/* SPDX-License-Identifier: MIT */

#include "leases/backlog.h"

struct LeaseBacklog {
  GArray *added;    /* of uint64_t, as they came */
  GArray *sorted;   /* the same, of some that came earlier */
  unsigned taken;   /* of `sorted`, from the front */
  unsigned sorting; /* so many arrays are being sorted */
};

static GArray *
new_ids (void)
{
  return g_array_new (FALSE, FALSE, sizeof (uint64_t));
}

LeaseBacklog *
lease_backlog_new (void)
{
  LeaseBacklog *backlog = g_new0 (LeaseBacklog, 1);

  backlog->added = new_ids ();
  backlog->sorted = new_ids ();
  return backlog;
}

void
lease_backlog_free (LeaseBacklog *backlog)
{
  g_array_unref (backlog->added);
  g_array_unref (backlog->sorted);
  g_free (backlog);
}

void
lease_backlog_add (LeaseBacklog *backlog, uint64_t id)
{
  g_array_append_val (backlog->added, id);
}

bool
lease_backlog_is_empty (const LeaseBacklog *backlog)
{
  return backlog->added->len == 0 && backlog->taken == backlog->sorted->len &&
         backlog->sorting == 0;
}

bool
lease_backlog_take (LeaseBacklog *backlog, uint64_t *id_out)
{
  if (backlog->taken == backlog->sorted->len)
    return false;
  *id_out = g_array_index (backlog->sorted, uint64_t, backlog->taken++);
  return true;
}

GArray *
lease_backlog_begin_sort (LeaseBacklog *backlog)
{
  GArray *ids;

  if (backlog->taken < backlog->sorted->len || backlog->added->len == 0)
    return NULL;
  ids = backlog->added;
  backlog->added = new_ids ();
  backlog->sorting++;
  return ids;
}

static int
compare_ids (const void *a, const void *b)
{
  uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;

  return (first > second) - (first < second);
}

void
lease_backlog_sort (GArray *ids)
{
  g_array_sort (ids, compare_ids);
}

/* Another thread may have come first. Then these come behind what that has sorted. */
void
lease_backlog_end_sort (LeaseBacklog *backlog, GArray *ids)
{
  backlog->sorting--;
  if (backlog->taken == backlog->sorted->len) {
    GArray *before = backlog->sorted;
    backlog->sorted = ids;
    backlog->taken = 0;
    ids = before;
  } else {
    g_array_append_vals (backlog->sorted, ids->data, ids->len);
  }
  g_array_unref (ids);
}
