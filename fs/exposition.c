/* SPDX-License-Identifier: MIT */

/* One family of series after the other: what it means, its type, its values. No name may be one
 * that other programs use, or the collector that puts the files of several together would refuse
 * them: so even what the format has a name for (process_start_time_seconds) begins with ours. Texts
 * and labels are all our own and contain nothing that would have to be escaped. */

#include "fs/exposition.h"

#include "leases/ttl.h"

#define PREFIX "leasefs_"

static void
begin (GString *text, const char *name, const char *type, const char *help)
{
  g_string_append_printf (text, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help,
                          name, type);
}

/* One sample of a family; `label` may be NULL. */
static void
add_sample (GString *text, const char *name, const char *label, const char *value, uint64_t number)
{
  g_string_append_printf (text, PREFIX "%s", name);
  if (label != NULL)
    g_string_append_printf (text, "{%s=\"%s\"}", label, value);
  g_string_append_printf (text, " %" G_GUINT64_FORMAT "\n", number);
}

static void
add_gauge (GString *text, const char *name, const char *help, uint64_t number)
{
  begin (text, name, "gauge", help);
  add_sample (text, name, NULL, NULL, number);
}

static void
add_counter (GString *text, const char *name, const char *help, uint64_t number)
{
  begin (text, name, "counter", help);
  add_sample (text, name, NULL, NULL, number);
}

/* What is used, and what may be if there is a limit. */
static void
add_limited (GString *text, const char *name, const char *help, uint64_t number,
             const char *max_name, const char *max_help, uint64_t max)
{
  add_gauge (text, name, help, number);
  if (max != UINT64_MAX)
    add_gauge (text, max_name, max_help, max);
}

/* A span of time as a number of seconds, exactly. */
static void
format_seconds (uint64_t ns, char *out)
{
  lease_ttl_format ((int64_t)MIN (ns, (uint64_t)LEASE_TTL_MAX_NS), out);
}

static void
add_histogram (GString *text, const char *name, const char *help, const LeaseHistogram *histogram)
{
  char seconds[LEASE_TTL_TEXT_SIZE];
  uint64_t count = 0;

  begin (text, name, "histogram", help);
  for (unsigned i = 0; i <= LEASE_HISTOGRAM_BOUNDS; i++) {
    bool last = i == LEASE_HISTOGRAM_BOUNDS;
    count += histogram->counts[i];
    if (!last)
      format_seconds ((uint64_t)lease_histogram_bounds[i], seconds);
    g_string_append_printf (text, PREFIX "%s_bucket{le=\"%s\"} %" G_GUINT64_FORMAT "\n", name,
                            last ? "+Inf" : seconds, count);
  }
  format_seconds (histogram->sum_ns, seconds);
  g_string_append_printf (text, PREFIX "%s_sum %s\n" PREFIX "%s_count %" G_GUINT64_FORMAT "\n",
                          name, seconds, name, count);
}

static void
add_process (GString *text, const FsExposition *exposition)
{
  char seconds[LEASE_TTL_TEXT_SIZE];

  begin (text, "build_info", "gauge", "Always 1; its label tells the version.");
  add_sample (text, "build_info", "version", LEASEFS_VERSION, 1);
  begin (text, "process_start_time_seconds", "gauge", "When it was mounted, in Unix time.");
  format_seconds ((uint64_t)MAX (exposition->started_ns, 0), seconds);
  g_string_append_printf (text, PREFIX "process_start_time_seconds %s\n", seconds);
  if (exposition->memory != 0)
    add_gauge (text, "process_resident_memory_bytes", "Memory that the process has.",
               exposition->memory);
}

static void
add_leases (GString *text, const FsExposition *exposition)
{
  static const char *const phases[] = {
    [LEASE_PHASE_RESERVED] = "reserved",
    [LEASE_PHASE_GRANTED] = "granted",
    [LEASE_PHASE_HELD] = "held",
    [LEASE_PHASE_ENDED] = "ended",
  };
  const LeaseMetrics *metrics = &exposition->engine;
  const LeaseCounts *counts = &metrics->counts;

  begin (text, "leases", "gauge", "Leases by state; ended ones wait to be cleaned up.");
  for (LeasePhase phase = 0; phase < LEASE_PHASE_COUNT; phase++)
    add_sample (text, "leases", "state", phases[phase], counts->leases[phase]);
  if (metrics->leases_max != UINT64_MAX)
    add_gauge (text, "max_leases", "Leases that there may be, ended ones not counted.",
               metrics->leases_max);
  add_counter (text, "leases_granted_total", "Leases granted for the first time.", counts->granted);
  add_counter (text, "leases_refreshed_total", "Times that a lease was given its whole TTL again.",
               counts->refreshed);
  add_counter (text, "leases_revoked_total", "Leases and reservations that were revoked.",
               counts->revoked);
  add_counter (text, "leases_expired_total", "Leases whose TTL ran out.", counts->expired);
  add_counter (text, "reservations_timed_out_total", "Leases that were not granted in time.",
               counts->timed_out);
  add_histogram (text, "expiry_lag_seconds",
                 "Time from the deadline of a lease until all of its names were removed.",
                 &counts->lag);
  add_gauge (text, "reaper_backlog", "Names of ended leases and keys that wait to be removed.",
             counts->graves);
  add_gauge (text, "notifier_backlog",
             "Names that were removed, and that the kernel is still to be told of.",
             exposition->untold);
}

static void
add_contents (GString *text, const LeaseMetrics *metrics)
{
  const LeaseUsage *usage = &metrics->usage;

  add_gauge (text, "keys", "Files that have a name, of any type but directories.",
             metrics->counts.keys);
  add_gauge (text, "attached_keys", "Those of them that are attached to a lease.",
             metrics->counts.attached_keys);
  add_limited (text, "used_bytes", "Memory that names, values and leases take.", usage->bytes_used,
               "max_bytes", "Memory that they may take.", usage->bytes_max);
  add_limited (text, "used_inodes", "Files and directories.", usage->nodes_used, "max_inodes",
               "Files and directories that there may be.", usage->nodes_max);
}

static void
add_journal (GString *text, const LeaseJournalMetrics *journal)
{
  begin (text, "journal_size_bytes", "gauge", "Sizes of the state file and of the log beside it.");
  add_sample (text, "journal_size_bytes", "part", "data", journal->data_bytes);
  add_sample (text, "journal_size_bytes", "part", "log", journal->log_bytes);
  add_histogram (text, "journal_commit_seconds", "Time that it took to write a change.",
                 &journal->commits);
  add_counter (text, "journal_commit_errors_total", "Changes that could not be written.",
               journal->commit_errors);
  add_histogram (text, "journal_sync_seconds",
                 "Time that it took to make what was written to a file outlast a power cut.",
                 &journal->syncs);
  add_counter (text, "journal_sync_errors_total", "Times that this failed.", journal->sync_errors);
}

static void
add_requests (GString *text, const FsRequests *requests)
{
  begin (text, "requests_total", "counter", "FUSE requests that came from the kernel.");
  for (FsRequest request = 0; request < FS_REQUEST_COUNT; request++)
    add_sample (text, "requests_total", "operation", fs_request_name (request),
                fs_requests_get (requests, request));
}

GBytes *
fs_exposition_text (const FsExposition *exposition)
{
  const LeaseMetrics *metrics = &exposition->engine;
  g_autoptr (GString) text = g_string_sized_new (16384);

  add_process (text, exposition);
  add_leases (text, exposition);
  add_contents (text, metrics);
  if (metrics->kept)
    add_journal (text, &metrics->journal);
  add_requests (text, exposition->requests);
  return g_bytes_new (text->str, text->len);
}
