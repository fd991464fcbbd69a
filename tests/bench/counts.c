/* SPDX-License-Identifier: MIT */

/* Which requests of the kernel each row costs, on leasefs and on the floor: exactly those that
 * stand here, on both.
 *
 *     $ counts leasefs:/mnt/keys floor:/mnt/floor
 *
 * Both tell how many requests have come in `leases/.metrics`. What it costs to look there, and what
 * a batch costs however many calls it has, is in every count; so each row is counted for CALLS
 * calls and for twice as many, and the difference is what CALLS calls cost. FORGETs come whenever
 * the kernel likes, and do not count. */

#include "fs/requests.h"
#include "tests/bench/clients.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CALLS 20
#define TRIES 3
#define UNKNOWN "?"

/* In the order of FsRequest. With what goes before a call, where something does: before "get after
 * put" a put, before "ls uncached" a new name and its deletion. GETATTR is for directories, whose
 * attributes the kernel drops when it changes names in them, and for `ttl` and `keys`, whose
 * attributes it may not keep. */
static const char *const expected[BENCH_ROW_COUNT] = {
  [BENCH_ROW_STAT] = "",
  [BENCH_ROW_ABSENT] = "",
  [BENCH_ROW_GET] = "",
  [BENCH_ROW_GET_NEW] = "read write getattr setattr",
  [BENCH_ROW_PREAD] = "",
  [BENCH_ROW_PUT] = "write setattr",
  [BENCH_ROW_NEW] = "lookup create write getattr",
  [BENCH_ROW_LARGE] = "write setattr",
  [BENCH_ROW_DELETE] = "unlink getattr",
  [BENCH_ROW_REFRESH] = "setattr",
  [BENCH_ROW_TTL] = "setattr",
  [BENCH_ROW_ATTACH] = "write getattr",
  [BENCH_ROW_GRANT] = "2xlookup mkdir rmdir write 3xgetattr",
  [BENCH_ROW_LIST] = "",
  [BENCH_ROW_LIST_NEW] = "lookup create unlink write 13xreaddir readdirplus 2xgetattr",
  [BENCH_ROW_PUBLISH] = "2xlookup create rename write 3xgetattr",
};

/* Where leasefs costs more: a refresh through `ttl` moves the mtime of the lease's directory, so the
 * kernel has to ask for that again when it next passes through. */
static const char *const expected_of_leasefs[BENCH_ROW_COUNT] = {
  [BENCH_ROW_TTL] = "getattr setattr",
  /* The reaper makes the kernel look attached names up anew, in its own time. */
  [BENCH_ROW_ATTACH] = UNKNOWN,
};

typedef struct {
  double requests[FS_REQUEST_COUNT];
} Counts;

static void
read_counts (const char *where, Counts *counts)
{
  g_autofree char *path = g_build_filename (where, "leases/.metrics", NULL);
  g_autofree char *text = NULL;

  bench_must (g_file_get_contents (path, &text, NULL, NULL), path);
  for (FsRequest request = 0; request < FS_REQUEST_COUNT; request++) {
    g_autofree char *series =
        g_strdup_printf ("leasefs_requests_total{operation=\"%s\"} ", fs_request_name (request));
    const char *at = strstr (text, series);
    bench_must (at != NULL, series);
    counts->requests[request] = strtod (at + strlen (series), NULL);
  }
}

/* What a batch costs, and what it costs to look. */
static Counts
count_batch (const BenchCalls *row, BenchClient *client, const char *where, unsigned calls)
{
  Counts before, after;

  if (row->prepare != NULL)
    row->prepare (client, calls);
  read_counts (where, &before);
  for (unsigned i = 0; i < calls; i++) {
    if (row->before != NULL)
      row->before (client, i);
    row->call (client, i);
  }
  read_counts (where, &after);
  if (row->finish != NULL)
    row->finish (client, calls);
  for (FsRequest request = 0; request < FS_REQUEST_COUNT; request++)
    after.requests[request] -= before.requests[request];
  return after;
}

/* As in `expected`. */
static char *
describe (const BenchCalls *row, BenchClient *client, const char *where)
{
  GString *text = g_string_new (NULL);

  /* The first calls find less in the kernel's caches. */
  count_batch (row, client, where, CALLS);
  Counts once = count_batch (row, client, where, CALLS);
  Counts twice = count_batch (row, client, where, 2 * CALLS);
  for (FsRequest request = 0; request < FS_REQUEST_COUNT; request++) {
    double per_call = (twice.requests[request] - once.requests[request]) / CALLS;
    if (per_call == 0 || request == FS_REQUEST_FORGET || request == FS_REQUEST_FORGET_MULTI)
      continue;
    if (text->len > 0)
      g_string_append_c (text, ' ');
    if (per_call != 1)
      g_string_append_printf (text, "%gx", per_call);
    g_string_append (text, fs_request_name (request));
  }
  return g_string_free (text, FALSE);
}

/* Tries again: what the kernel drops from its caches when it is short of memory costs requests too,
 * but not each time. */
static bool
check_row (const BenchDriver *driver, BenchRow row, BenchClient *client, const char *where)
{
  const char *wanted = expected[row];
  g_autofree char *seen = NULL;

  if (driver == &bench_leasefs && expected_of_leasefs[row] != NULL)
    wanted = expected_of_leasefs[row];
  if (strcmp (wanted, UNKNOWN) == 0)
    return true;
  for (unsigned i = 0; i < TRIES; i++) {
    g_free (seen);
    seen = describe (&driver->rows[row], client, where);
    if (strcmp (seen, wanted) == 0)
      return true;
  }
  fprintf (stderr, "%s: %s: expected '%s', but it costs '%s'\n", driver->kind, bench_row_name (row),
           wanted, seen);
  return false;
}

static bool
check (const char *place)
{
  g_auto (GStrv) parts = g_strsplit (place, ":", 2);
  const BenchDriver *driver = parts[0] != NULL ? bench_driver_find (parts[0]) : NULL;
  const BenchLoad none = { 0 };
  bool ok = true;

  bench_must (driver != NULL && parts[1] != NULL, place);
  BenchClient *client = driver->open (parts[1], 0, &none);
  for (BenchRow row = 0; row < BENCH_ROW_COUNT; row++)
    ok &= check_row (driver, row, client, parts[1]);
  driver->close (client);
  return ok;
}

int
main (int argc, char **argv)
{
  bool ok = true;

  for (int i = 1; i < argc; i++)
    ok &= check (argv[i]);
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
