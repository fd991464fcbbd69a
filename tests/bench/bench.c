/* SPDX-License-Identifier: MIT */

/* Measures what calls cost, in columns that are ready at a place each:
 *
 *     $ bench -c memory=leasefs:/mnt/keys -c Redis=redis:6379 > times.json
 *
 * usage: bench -c NAME=KIND:WHERE... [-n CLIENTS,...] [-r ROUNDS] [-t BATCH_MS] [-k KEYS]
 *             [-R ROW,...]
 *   -c  a column; the KIND is tmpfs, floor, leasefs, redis or etcd, WHERE the folder or the port of
 *       127.0.0.1
 *   -n  how many clients at the same time (default: 1)
 *   -r  how many rounds (default: 11)
 *   -t  how long a batch of calls shall take (default: 10)
 *   -k  how many leases, with a key each, there shall be beforehand in each column of the kind
 *       leasefs (default: 0)
 *   -R  only these rows (default: all)
 *
 * A round is a batch of each row in each column with each number of clients, so that what disturbs
 * the machine for a while disturbs all of them alike; columns come in another order in each. A
 * figure is the median over the rounds of the time that one call takes as a client sees it. Prints
 * one JSON document: "figures" has an object for each row, column and number of clients, with "ns",
 * the median, "least", "low" and "high", the quartiles, and "per_s", calls a second of all clients
 * together. */

#include "tests/bench/clients.h"
#include "tests/bench/times.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_COLUMNS 16
#define MAX_LOADS 8
/* Of a batch: rows that make a key for each call hold them all at once. */
#define MAX_CALLS 1000
#define MIN_CALLS 3
/* What a batch has to take for it to tell how long a call takes. */
#define ENOUGH_NS 500000.0

typedef struct {
  BenchColumn columns[MAX_COLUMNS];
  unsigned n_columns;
  unsigned clients[MAX_LOADS]; /* how many at the same time */
  unsigned n_clients;
  unsigned most_clients;
  unsigned rounds;
  double batch_ns;
  unsigned keys;
  bool rows[BENCH_ROW_COUNT];
} Plan;

/* One row, column and number of clients. */
typedef struct {
  unsigned calls; /* of a batch; 0: there is no such row */
  BenchTimes *times;
} Cell;

#define USAGE                                                                                      \
  "usage: bench -c NAME=KIND:WHERE... [-n CLIENTS,...] [-r ROUNDS] [-t BATCH_MS] [-k KEYS] "       \
  "[-R ROW,...]\n"

static G_GNUC_NORETURN void
refuse (const char *what)
{
  fprintf (stderr, "bench: %s\n" USAGE, what);
  exit (2);
}

static void
add_column (Plan *plan, const char *text)
{
  const char *kind = strchr (text, '='), *where = kind != NULL ? strchr (kind, ':') : NULL;

  if (where == NULL || plan->n_columns == MAX_COLUMNS)
    refuse (text);
  BenchColumn *column = &plan->columns[plan->n_columns++];
  g_autofree char *kind_name = g_strndup (kind + 1, where - kind - 1);
  column->name = g_strndup (text, kind - text);
  column->driver = bench_driver_find (kind_name);
  column->where = g_strdup (where + 1);
  if (column->driver == NULL)
    refuse (kind_name);
}

static void
read_clients (Plan *plan, const char *text)
{
  g_auto (GStrv) numbers = g_strsplit (text, ",", MAX_LOADS);

  plan->n_clients = 0;
  for (char **number = numbers; *number != NULL; number++) {
    unsigned clients = strtoul (*number, NULL, 10);
    if (clients == 0)
      refuse (text);
    plan->clients[plan->n_clients++] = clients;
    plan->most_clients = MAX (plan->most_clients, clients);
  }
}

static void
read_rows (Plan *plan, const char *text)
{
  g_auto (GStrv) names = g_strsplit (text, ",", -1);

  for (BenchRow row = 0; row < BENCH_ROW_COUNT; row++)
    plan->rows[row] = g_strv_contains ((const char *const *)names, bench_row_name (row));
}

static void
read_options (Plan *plan, int argc, char **argv)
{
  int option;

  *plan = (Plan){ .clients = { 1 }, .n_clients = 1, .most_clients = 1, .rounds = 11 };
  plan->batch_ns = 10e6;
  for (BenchRow row = 0; row < BENCH_ROW_COUNT; row++)
    plan->rows[row] = true;
  while ((option = getopt (argc, argv, "c:n:r:t:k:R:")) != -1) {
    if (option == 'c')
      add_column (plan, optarg);
    else if (option == 'n')
      read_clients (plan, optarg);
    else if (option == 'r')
      plan->rounds = strtoul (optarg, NULL, 10);
    else if (option == 't')
      plan->batch_ns = strtod (optarg, NULL) * 1e6;
    else if (option == 'k')
      plan->keys = strtoul (optarg, NULL, 10);
    else if (option == 'R')
      read_rows (plan, optarg);
    else
      refuse ("bad option");
  }
  if (optind != argc || plan->n_columns == 0 || plan->rounds == 0)
    refuse ("give columns, and nothing else");
}

/* The cells lie row by row, and there column by column. */
static Cell *
cell_of (const Plan *plan, Cell *cells, BenchRow row, unsigned column, unsigned load)
{
  return &cells[(row * plan->n_columns + column) * plan->n_clients + load];
}

/* How many calls make a batch. The faster of two counts: one may have been held up. */
static unsigned
calibrate (const Plan *plan, BenchClients *clients, unsigned active, unsigned column, BenchRow row)
{
  unsigned calls = MIN_CALLS;

  for (;;) {
    double first = bench_clients_run (clients, active, column, row, calls);
    double ns = MIN (first, bench_clients_run (clients, active, column, row, calls));
    if (ns * calls >= ENOUGH_NS || calls == MAX_CALLS)
      return CLAMP (plan->batch_ns / ns, MIN_CALLS, MAX_CALLS);
    calls = MIN (calls * 8, MAX_CALLS);
  }
}

static Cell *
make_cells (const Plan *plan, BenchClients *clients)
{
  Cell *cells = g_new0 (Cell, BENCH_ROW_COUNT * plan->n_columns * plan->n_clients);

  for (BenchRow row = 0; row < BENCH_ROW_COUNT; row++)
    for (unsigned column = 0; plan->rows[row] && column < plan->n_columns; column++)
      for (unsigned load = 0; load < plan->n_clients; load++) {
        if (plan->columns[column].driver->rows[row].call == NULL)
          continue;
        Cell *cell = cell_of (plan, cells, row, column, load);
        cell->calls = calibrate (plan, clients, plan->clients[load], column, row);
        cell->times = bench_times_new ();
      }
  return cells;
}

static void
measure (const Plan *plan, BenchClients *clients, Cell *cells, unsigned round)
{
  for (BenchRow row = 0; row < BENCH_ROW_COUNT; row++)
    for (unsigned load = 0; load < plan->n_clients; load++)
      for (unsigned i = 0; i < plan->n_columns; i++) {
        unsigned column = (i + round) % plan->n_columns;
        Cell *cell = cell_of (plan, cells, row, column, load);
        if (cell->calls > 0)
          bench_times_add (cell->times, bench_clients_run (clients, plan->clients[load], column,
                                                           row, cell->calls));
      }
}

static void
print_figures (const Plan *plan, Cell *cells)
{
  const char *separator = "\n";

  for (BenchRow row = 0; row < BENCH_ROW_COUNT; row++)
    for (unsigned column = 0; column < plan->n_columns; column++)
      for (unsigned load = 0; load < plan->n_clients; load++) {
        const Cell *cell = cell_of (plan, cells, row, column, load);
        if (cell->calls == 0)
          continue;
        uint64_t median = bench_times_quantile (cell->times, 0.5);
        printf ("%s    {\"row\": \"%s\", \"column\": \"%s\", \"clients\": %u, \"ns\": %" PRIu64
                ", \"least\": %" PRIu64 ", \"low\": %" PRIu64 ", \"high\": %" PRIu64
                ", \"per_s\": %.0f, \"calls\": %u}",
                separator, bench_row_name (row), plan->columns[column].name, plan->clients[load],
                median, bench_times_quantile (cell->times, 0),
                bench_times_quantile (cell->times, 0.25), bench_times_quantile (cell->times, 0.75),
                1e9 * plan->clients[load] / median, cell->calls);
        separator = ",\n";
      }
}

static void
print (const Plan *plan, Cell *cells)
{
  printf ("{\n  \"rounds\": %u,\n  \"keys\": %u,\n  \"clients\": [", plan->rounds, plan->keys);
  for (unsigned i = 0; i < plan->n_clients; i++)
    printf ("%s%u", i > 0 ? ", " : "", plan->clients[i]);
  printf ("],\n  \"columns\": [");
  for (unsigned i = 0; i < plan->n_columns; i++)
    printf ("%s\"%s\"", i > 0 ? ", " : "", plan->columns[i].name);
  printf ("],\n  \"rows\": [");
  for (BenchRow row = 0; row < BENCH_ROW_COUNT; row++)
    printf ("%s\"%s\"", row > 0 ? ", " : "", bench_row_name (row));
  printf ("],\n  \"figures\": [");
  print_figures (plan, cells);
  printf ("\n  ]\n}\n");
}

static void
free_cells (const Plan *plan, Cell *cells)
{
  for (unsigned i = 0; i < BENCH_ROW_COUNT * plan->n_columns * plan->n_clients; i++)
    g_clear_pointer (&cells[i].times, bench_times_free);
  g_free (cells);
}

int
main (int argc, char **argv)
{
  Plan plan;

  read_options (&plan, argc, argv);
  BenchLoad load = { .keys = plan.keys, .clients = plan.most_clients };
  g_autoptr (BenchClients) clients =
      bench_clients_new (plan.most_clients, plan.columns, plan.n_columns, &load);
  Cell *cells = make_cells (&plan, clients);
  for (unsigned round = 0; round < plan.rounds; round++)
    measure (&plan, clients, cells, round);
  print (&plan, cells);
  free_cells (&plan, cells);
  for (unsigned i = 0; i < plan.n_columns; i++) {
    g_free ((char *)plan.columns[i].name);
    g_free (plan.columns[i].where);
  }
  return EXIT_SUCCESS;
}
