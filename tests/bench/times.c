/* SPDX-License-Identifier: MIT */

/* A growing array, sorted when a quantile is asked for. */

#include "tests/bench/times.h"

#include <math.h>
#include <time.h>

struct BenchTimes {
  GArray *ns;
};

uint64_t
bench_now_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

BenchTimes *
bench_times_new (void)
{
  BenchTimes *times = g_new (BenchTimes, 1);

  times->ns = g_array_new (FALSE, FALSE, sizeof (uint64_t));
  return times;
}

void
bench_times_free (BenchTimes *times)
{
  g_array_unref (times->ns);
  g_free (times);
}

void
bench_times_add (BenchTimes *times, uint64_t ns)
{
  g_array_append_val (times->ns, ns);
}

size_t
bench_times_count (const BenchTimes *times)
{
  return times->ns->len;
}

static int
compare_ns (const void *a, const void *b)
{
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

  return (x > y) - (x < y);
}

uint64_t
bench_times_quantile (BenchTimes *times, double share)
{
  size_t n = times->ns->len;

  if (n == 0)
    return 0;
  g_array_sort (times->ns, compare_ns);
  size_t rank = (size_t)ceil (share * (double)n);
  return g_array_index (times->ns, uint64_t, CLAMP (rank, 1, n) - 1);
}
