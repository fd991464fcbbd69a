/* SPDX-License-Identifier: MIT */

/* What all drivers share. */

#include "tests/bench/driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME(ROW, name) [BENCH_ROW_##ROW] = name,

static const char *const row_names[] = { BENCH_ROWS (NAME) };

static const BenchDriver *const drivers[] = {
  &bench_tmpfs, &bench_floor, &bench_leasefs,
#ifdef HAVE_HIREDIS
  &bench_redis,
#endif
  &bench_etcd,
};

const BenchDriver *
bench_driver_find (const char *kind)
{
  for (unsigned i = 0; i < sizeof drivers / sizeof drivers[0]; i++)
    if (strcmp (drivers[i]->kind, kind) == 0)
      return drivers[i];
  return NULL;
}

const char *
bench_row_name (BenchRow row)
{
  return row_names[row];
}

void
bench_must (bool ok, const char *what)
{
  if (ok)
    return;
  fprintf (stderr, "bench: %s: %s\n", what, strerror (errno));
  exit (EXIT_FAILURE);
}
