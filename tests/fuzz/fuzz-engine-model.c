/* SPDX-License-Identifier: MIT */

/* Owns the oracle: which leases there are and until when, by what was done to them, what has ended
 * with others, and what the engine has told of its own accord. */

#include "tests/fuzz/fuzz-engine.h"

#include <sys/stat.h>

void
model_hear (LeaseEvent event, uint64_t id, void *data)
{
  Fuzz *fuzz = data;

  fuzz->earlier = fuzz->earlier || event == LEASE_EVENT_EARLIER;
  fuzz->told_of_graves = fuzz->told_of_graves || event == LEASE_EVENT_ENDED;
}

Known *
model_find (Fuzz *fuzz, uint64_t id)
{
  for (unsigned i = 0; i < fuzz->known->len; i++) {
    Known *known = &g_array_index (fuzz->known, Known, i);
    if (known->id == id)
      return known;
  }
  return NULL;
}

void
model_see (Fuzz *fuzz, const LeaseAttr *attr)
{
  fuzz_assert (!g_hash_table_contains (fuzz->doomed, &attr->id));
  fuzz_assert (attr->is_lease == (model_find (fuzz, attr->id) != NULL));
  if (attr->is_lease)
    fuzz_assert (attr->fresh_until <= model_find (fuzz, attr->id)->deadline);
  if (!S_ISDIR (attr->mode))
    fuzz_assert (attr->fresh_until > fuzz->now);
}

void
model_reserved (Fuzz *fuzz, uint64_t id)
{
  Known known = { .id = id, .deadline = fuzz->now + LEASE_RESERVATION_NS };

  g_array_append_val (fuzz->known, known);
}

/* It has its whole TTL from now on. */
static void
run (const Fuzz *fuzz, Known *known)
{
  known->deadline =
      known->holders != 0 ? LEASE_TIME_NEVER : lease_time_after (fuzz->now, known->granted_ns);
}

void
model_granted (Fuzz *fuzz, uint64_t id, int64_t ttl_ns)
{
  Known *known = model_find (fuzz, id);

  fuzz_assert (known != NULL);
  known->granted_ns = MAX (ttl_ns, fuzz->config.min_ttl_ns);
  run (fuzz, known);
}

void
model_refreshed (Fuzz *fuzz, uint64_t id)
{
  Known *known = model_find (fuzz, id);

  fuzz_assert (known != NULL && known->granted_ns > 0);
  run (fuzz, known);
}

void
model_held (Fuzz *fuzz, uint64_t id, unsigned holders)
{
  Known *known = model_find (fuzz, id);

  fuzz_assert (known != NULL && known->granted_ns > 0);
  if (known->holders == holders)
    return;
  known->holders = holders;
  run (fuzz, known);
}

void
model_touched (Fuzz *fuzz, uint64_t id)
{
  unsigned refreshed = 0;

  for (unsigned i = 0; i < fuzz->known->len; i++) {
    Known *known = &g_array_index (fuzz->known, Known, i);
    LeaseTime whole = lease_time_after (fuzz->now, known->granted_ns);
    LeaseInfo info;
    fuzz_assert (lease_engine_info (fuzz->engine, &fuzz->by, known->id, &info) == 0);
    fuzz_assert (info.granted_ns == known->granted_ns);
    if (known->holders != 0) {
      fuzz_assert (info.left_ns == info.granted_ns);
      continue;
    }
    if (known->granted_ns == 0 || fuzz->now + info.left_ns == known->deadline) {
      fuzz_assert (known->id != id || known->granted_ns == 0 || fuzz->by.uid != 0 ||
                   known->deadline == whole);
      continue;
    }
    fuzz_assert (fuzz->now + info.left_ns == whole && refreshed++ == 0);
    known->deadline = whole;
  }
}

void
model_collect (Fuzz *fuzz, uint64_t id, GArray *ids)
{
  g_autoptr (GByteArray) buffer = NULL;
  g_autoptr (GPtrArray) paths = NULL;
  uint64_t node;
  mode_t mode;

  g_array_append_val (ids, id);
  if (!fuzz->watch)
    return;
  fuzz_assert (view_list_keys (fuzz, id, &buffer, &paths) == 0);
  for (unsigned i = 0; i < paths->len; i++) {
    node = view_find_path (fuzz, paths->pdata[i], &mode);
    fuzz_assert (node != 0);
    if (!S_ISDIR (mode))
      g_array_append_val (ids, node);
  }
}

void
model_doom (Fuzz *fuzz, const GArray *ids)
{
  for (unsigned i = 0; i < ids->len; i++) {
    uint64_t id = g_array_index (ids, uint64_t, i);
    g_hash_table_add (fuzz->doomed, g_memdup2 (&id, sizeof id));
  }
}

void
model_forget (Fuzz *fuzz, uint64_t id)
{
  Known *known = model_find (fuzz, id);

  if (known != NULL)
    g_array_remove_index_fast (fuzz->known, known - (Known *)(void *)fuzz->known->data);
}

void
model_set_time (Fuzz *fuzz, LeaseTime now)
{
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (uint64_t));

  now = CLAMP (now, 0, LEASE_TIME_NEVER / 2);
  for (unsigned i = fuzz->known->len; i-- > 0;) {
    Known known = g_array_index (fuzz->known, Known, i);
    if (known.deadline <= now)
      model_collect (fuzz, known.id, ids);
  }
  for (unsigned i = fuzz->known->len; i-- > 0;)
    if (g_array_index (fuzz->known, Known, i).deadline <= now)
      g_array_remove_index_fast (fuzz->known, i);
  fuzz->by.wall_ns += now - fuzz->by.now;
  fuzz->by.now = now;
  fuzz->now = MAX (fuzz->now, now);
  view_is_there (fuzz, LEASE_ROOT); /* from now on the engine knows of this time */
  model_doom (fuzz, ids);
}

LeaseTime
model_next_deadline (const Fuzz *fuzz)
{
  LeaseTime deadline = LEASE_TIME_NEVER;

  for (unsigned i = 0; i < fuzz->known->len; i++)
    deadline = MIN (deadline, g_array_index (fuzz->known, Known, i).deadline);
  return deadline;
}

static void
check_leases (Fuzz *fuzz)
{
  GHashTableIter iter;
  void *id;

  for (unsigned i = 0; i < fuzz->known->len; i++)
    fuzz_assert (view_is_there (fuzz, g_array_index (fuzz->known, Known, i).id));
  g_hash_table_iter_init (&iter, fuzz->doomed);
  while (g_hash_table_iter_next (&iter, &id, NULL))
    fuzz_assert (!view_is_there (fuzz, *(uint64_t *)id));
}

void
model_check (Fuzz *fuzz)
{
  LeaseUsage usage;

  lease_engine_check (fuzz->engine);
  lease_engine_usage (fuzz->engine, &usage);
  fuzz_assert (usage.bytes_used <= usage.bytes_max && usage.nodes_used <= usage.nodes_max);
  check_leases (fuzz);
  lease_engine_check (fuzz->engine);
  if (fuzz->earlier) {
    fuzz->earlier = false;
    fuzz->armed = lease_engine_earliest (fuzz->engine);
  }
  fuzz_assert (model_next_deadline (fuzz) >= fuzz->armed);
}
