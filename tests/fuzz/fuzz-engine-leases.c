/* SPDX-License-Identifier: MIT */

/* Owns the operations on leases, and those that change when they end and who acts: the time, the
 * caller. */

#include "tests/fuzz/fuzz-engine.h"

int
op_pass_time (Fuzz *fuzz)
{
  unsigned way = fuzz_byte (&fuzz->bytes);
  LeaseTime next = model_next_deadline (fuzz);

  if (way % 8 <= 3 && next != LEASE_TIME_NEVER) /* just before, at, and after it */
    model_set_time (fuzz, MIN (next, LEASE_TIME_NEVER / 2) + (int64_t)(way % 8) - 1);
  else if (way % 8 == 4) /* a request that was overtaken by others: the engine's clock stands */
    model_set_time (fuzz, fuzz->by.now - way);
  else if (way % 8 == 5)
    fuzz->by.wall_ns -= way * LEASE_SECOND;
  else
    model_set_time (fuzz, fuzz->now + way * (way % 8 == 6 ? LEASE_MILLISECOND : LEASE_SECOND));
  fuzz_trace (" now=%" G_GINT64_FORMAT, fuzz->by.now);
  return 0;
}

int
op_become (Fuzz *fuzz)
{
  static const gid_t groups[] = { 2, 1 };
  unsigned who = fuzz_byte (&fuzz->bytes);

  fuzz->by.uid = fuzz->by.gid = who % 3;
  fuzz->by.groups = groups;
  fuzz->by.knows_groups = who & 0x80;
  fuzz->by.group_count = fuzz->by.knows_groups ? who / 4 % 3 : 0;
  fuzz_trace (" uid=%u, %s groups", fuzz->by.uid, fuzz->by.knows_groups ? "known" : "unknown");
  return 0;
}

int
op_info (Fuzz *fuzz)
{
  uint64_t id = take_id (fuzz);
  LeaseInfo info;
  int error = lease_engine_info (fuzz->engine, &fuzz->by, id, &info);

  fuzz_trace (" %" G_GUINT64_FORMAT, id);
  if (error != 0)
    return error;
  model_see (fuzz, &info.directory);
  const Known *known = model_find (fuzz, id);
  fuzz_assert (known != NULL && info.granted_ns == known->granted_ns);
  fuzz_assert (info.left_ns == (known->granted_ns == 0 || known->holders != 0
                                    ? known->granted_ns
                                    : known->deadline - fuzz->now));
  return 0;
}

int
op_chmod_file (Fuzz *fuzz)
{
  uint64_t id = take_id (fuzz);
  LeaseFile file = LEASE_FILE_TTL + fuzz_below (&fuzz->bytes, LEASE_FILE_LAST);

  fuzz_trace (" %" G_GUINT64_FORMAT "/%s", id, lease_file_name (file));
  return lease_engine_chmod_file (fuzz->engine, &fuzz->by, id, file, 0660);
}

int
op_grant (Fuzz *fuzz)
{
  static const int64_t ttls_ns[] = { 1, 2, LEASE_SECOND, 100 * LEASE_SECOND, 9 * LEASE_SECOND };
  uint64_t id = take_id (fuzz);
  unsigned i = fuzz_byte (&fuzz->bytes);
  int64_t ttl_ns = i < G_N_ELEMENTS (ttls_ns) ? ttls_ns[i] : i * 100 * LEASE_MILLISECOND;

  if (i == 0xff)
    ttl_ns = 9000000000 * LEASE_SECOND;
  fuzz_trace (" %" G_GUINT64_FORMAT " %" G_GINT64_FORMAT " ns", id, ttl_ns);
  int error = lease_engine_grant (fuzz->engine, &fuzz->by, id, ttl_ns);
  if (error == 0)
    model_granted (fuzz, id, ttl_ns);
  return error;
}

int
op_refresh (Fuzz *fuzz)
{
  uint64_t id = take_id (fuzz);
  int error = lease_engine_refresh (fuzz->engine, &fuzz->by, id);

  fuzz_trace (" %" G_GUINT64_FORMAT, id);
  if (error == 0)
    model_refreshed (fuzz, id);
  return error;
}

static void
free_line_path (void *data)
{
  g_free (((LeaseKeysLine *)data)->path);
}

int
op_edit_keys (Fuzz *fuzz)
{
  static const char *const paths[] = {
    "a",      "b",          "c",          "a/a",       "a/b",      "a/b/c", "b/a",
    "c/a",    "leases/P/a", "leases/Q/a", "d",         "./b/../a", "/",     "..",
    "leases", "leases/P",   ".",          "a/../../b", "P",        "Q/a",   "leases/P/ttl"
  };
  g_autoptr (GArray) lines = g_array_new (FALSE, FALSE, sizeof (LeaseKeysLine));
  uint64_t id = take_id (fuzz);

  g_array_set_clear_func (lines, free_line_path);
  fuzz_trace (" %" G_GUINT64_FORMAT, id);
  for (unsigned i = fuzz_below (&fuzz->bytes, 4); i > 0; i--) {
    unsigned which = fuzz_byte (&fuzz->bytes);
    LeaseKeysLine line = { .detach = which & 0x80,
                           .path = g_strdup (paths[(which & 0x7f) % G_N_ELEMENTS (paths)]) };
    fuzz_trace (" %s%s", line.detach ? "-" : "", line.path);
    g_array_append_val (lines, line);
  }
  return lease_engine_edit_keys (fuzz->engine, &fuzz->by, id, lines);
}

int
op_keys (Fuzz *fuzz)
{
  g_autoptr (GByteArray) buffer = NULL;
  g_autoptr (GPtrArray) paths = NULL;
  uint64_t id = take_id (fuzz);
  mode_t mode;
  int error = view_list_keys (fuzz, id, &buffer, &paths);

  fuzz_trace (" %" G_GUINT64_FORMAT, id);
  for (unsigned i = 0; error == 0 && i < paths->len; i++)
    fuzz_assert (view_find_path (fuzz, paths->pdata[i], &mode) != 0);
  return error;
}

/* That the counts are right, lease_engine_check() sees. */
int
op_metrics (Fuzz *fuzz)
{
  LeaseMetrics metrics;
  const LeaseCounts *counts = &metrics.counts;

  lease_engine_metrics (fuzz->engine, &fuzz->by, &metrics);
  fuzz_assert (counts->attached_keys <= counts->keys);
  fuzz_assert (counts->keys + counts->leases[LEASE_PHASE_GRANTED] + 2 <= metrics.usage.nodes_used);
  fuzz_assert (counts->leases[LEASE_PHASE_RESERVED] + counts->leases[LEASE_PHASE_GRANTED] <=
               counts->granted + counts->leases[LEASE_PHASE_RESERVED]);
  return 0;
}

int
op_edit_holders (Fuzz *fuzz)
{
  g_autoptr (GArray) lines = g_array_new (FALSE, FALSE, sizeof (LeaseHolderLine));
  uint64_t id = take_id (fuzz);
  const Known *known = model_find (fuzz, id);
  unsigned holders = known == NULL ? 0 : known->holders;

  fuzz_trace (" %" G_GUINT64_FORMAT, id);
  for (unsigned i = fuzz_below (&fuzz->bytes, 4); i > 0; i--) {
    unsigned which = fuzz_byte (&fuzz->bytes);
    unsigned number = which % HOLDERS;
    LeaseHolderLine line = { .let_go = which & 0x80, .holder = 1 + number, .pid = 1 };
    fuzz_trace (" %s%u", line.let_go ? "-" : "", number);
    holders = line.let_go ? holders & ~(1u << number) : holders | 1u << number;
    g_array_append_val (lines, line);
  }
  int error = lease_engine_edit_holders (fuzz->engine, &fuzz->by, id, lines);
  if (error == 0)
    model_held (fuzz, id, holders);
  return error;
}

int
op_drop_holder (Fuzz *fuzz)
{
  unsigned number = fuzz_below (&fuzz->bytes, HOLDERS);

  fuzz_trace (" %u", number);
  while (lease_engine_drop_holder (fuzz->engine, &fuzz->by, 1 + number, 1))
    continue;
  for (unsigned i = 0; i < fuzz->known->len; i++) {
    const Known *known = &g_array_index (fuzz->known, Known, i);
    if (known->holders & 1u << number)
      model_held (fuzz, known->id, known->holders & ~(1u << number));
  }
  return 0;
}

int
op_holders (Fuzz *fuzz)
{
  g_autoptr (GArray) infos = NULL;
  uint64_t id = take_id (fuzz);
  unsigned holders = 0;
  int error = lease_engine_holders (fuzz->engine, &fuzz->by, id, &infos);

  fuzz_trace (" %" G_GUINT64_FORMAT, id);
  if (error != 0)
    return error;
  for (unsigned i = 0; i < infos->len; i++)
    holders |= 1u << (g_array_index (infos, LeaseHolderInfo, i).holder - 1);
  fuzz_assert (model_find (fuzz, id)->holders == holders);
  return 0;
}
