/* SPDX-License-Identifier: MIT */

/* Each number is changed and read by itself, atomically. There is no number for all of them: they
 * add up to one, which so fits them however they were caught. */

#include "leases/histogram.h"

#include "leases/clock.h"

#define US (LEASE_MILLISECOND / 1000)
#define MS LEASE_MILLISECOND
#define S LEASE_SECOND

const int64_t lease_histogram_bounds[LEASE_HISTOGRAM_BOUNDS] = {
  10 * US, 20 * US, 50 * US,  100 * US, 200 * US, 500 * US, 1 * MS, 2 * MS, 5 * MS, 10 * MS,
  20 * MS, 50 * MS, 100 * MS, 200 * MS, 500 * MS, 1 * S,    2 * S,  5 * S,  10 * S,
};

void
lease_histogram_add (LeaseHistogram *histogram, int64_t ns)
{
  unsigned place = 0;

  if (ns < 0)
    ns = 0;
  while (place < LEASE_HISTOGRAM_BOUNDS && ns > lease_histogram_bounds[place])
    place++;
  __atomic_fetch_add (&histogram->sum_ns, (uint64_t)ns, __ATOMIC_RELAXED);
  __atomic_fetch_add (&histogram->counts[place], 1, __ATOMIC_RELAXED);
}

LeaseHistogram
lease_histogram_read (const LeaseHistogram *histogram)
{
  LeaseHistogram copy;

  for (unsigned i = 0; i <= LEASE_HISTOGRAM_BOUNDS; i++)
    copy.counts[i] = __atomic_load_n (&histogram->counts[i], __ATOMIC_RELAXED);
  copy.sum_ns = __atomic_load_n (&histogram->sum_ns, __ATOMIC_RELAXED);
  return copy;
}
