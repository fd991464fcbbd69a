/* SPDX-License-Identifier: MIT */
#pragma once

#include "tests/bench/driver.h"

#include <glib.h>
#include <stdint.h>

/* Processes that make calls, all at the same time. */

typedef struct {
  const char *name;
  const BenchDriver *driver;
  char *where;
} BenchColumn;

typedef struct BenchClients BenchClients;

/* Starts `count` of them, each a client of all columns, and returns when all have made their keys.
 * When one of them fails, this process ends too. `columns` and `load` stay the caller's, and must
 * outlive it. */
BenchClients *bench_clients_new (unsigned count, const BenchColumn *columns, unsigned n_columns,
                                 const BenchLoad *load);
void bench_clients_free (BenchClients *clients);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (BenchClients, bench_clients_free)

/* Has the first `active` of them make `calls` calls each, beginning together. Returns what one call
 * took, in nanoseconds: the mean over them. */
double bench_clients_run (BenchClients *clients, unsigned active, unsigned column, BenchRow row,
                          unsigned calls);

/* The same in this process, for one client. */
double bench_run (const BenchCalls *row, BenchClient *client, unsigned calls);
