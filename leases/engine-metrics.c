/* SPDX-License-Identifier: MIT */

/* Counts, kept in step with each change, so that to ask for them takes no walk. What is counted
 * remembers as what, which makes counting it anew a matter of comparing. lease_engine_check() walks
 * all that there is, and compares. */

#include "leases/engine-private.h"

#include <sys/stat.h>

LeasePhase
lease_phase (const Lease *lease)
{
  if (lease->ended)
    return LEASE_PHASE_ENDED;
  if (lease->granted_ns == 0)
    return LEASE_PHASE_RESERVED;
  return lease->holds != NULL ? LEASE_PHASE_HELD : LEASE_PHASE_GRANTED;
}

void
lease_op_count_lease (LeaseOp *op, Lease *lease)
{
  uint64_t *leases = op->engine->counts.leases;

  leases[lease->phase]--;
  lease->phase = lease_phase (lease);
  leases[lease->phase]++;
}

bool
lease_node_is_key (const LeaseNode *node)
{
  return !S_ISDIR (node->mode) && node->names != NULL && !node->ended;
}

void
lease_op_count_node (LeaseOp *op, LeaseNode *node)
{
  LeaseCounts *counts = &op->engine->counts;
  bool is_key = lease_node_is_key (node), is_attached = is_key && node->lease != NULL;

  counts->keys += is_key - node->is_key;
  counts->attached_keys += is_attached - node->is_attached_key;
  node->is_key = is_key;
  node->is_attached_key = is_attached;
}

void
lease_op_count_end (LeaseOp *op, Lease *lease)
{
  LeaseCounts *counts = &op->engine->counts;

  lease_op_count_lease (op, lease);
  counts->revoked += lease->end == LEASE_END_REVOKED;
  counts->expired += lease->end == LEASE_END_DUE && lease->granted_ns > 0;
  counts->timed_out += lease->end == LEASE_END_DUE && lease->granted_ns == 0;
}

void
lease_op_count_free (LeaseOp *op, const Lease *lease)
{
  LeaseCounts *counts = &op->engine->counts;

  counts->leases[lease->phase]--;
  if (lease->end == LEASE_END_DUE)
    lease_histogram_add (&counts->lag, op->now - lease->due.deadline);
}

LeaseUsage
lease_engine_count_usage (const LeaseEngine *engine)
{
  const LeaseEngineConfig *config = &engine->config;

  return (LeaseUsage){
    .bytes_used = engine->crowded ? config->max_bytes : engine->bytes_used,
    .bytes_max = config->max_bytes,
    .nodes_used = lease_tree_node_count (engine->tree) - engine->ended_nodes,
    .nodes_max = config->max_nodes,
  };
}

static void
read_counts (LeaseEngine *engine, const LeaseCaller *by, LeaseMetrics *metrics_out)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);

  lease_op_settle (&op, SETTLE_SLICE);
  metrics_out->counts = engine->counts;
  metrics_out->counts.graves += engine->ghosts.length + engine->lease_ghosts.length;
  metrics_out->usage = lease_engine_count_usage (engine);
}

void
lease_engine_metrics (LeaseEngine *engine, const LeaseCaller *by, LeaseMetrics *metrics_out)
{
  read_counts (engine, by, metrics_out);
  metrics_out->leases_max = engine->config.max_leases;
  metrics_out->kept = lease_journal_metrics (engine->journal, &metrics_out->journal);
}
