/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* Counts durations by their length. No lock: each function may be called from any thread, at any
 * time. All zeros is an empty one. */

#define LEASE_HISTOGRAM_BOUNDS 19

/* The longest durations that count in each place, in nanoseconds, rising: from 10 us to 10 s. */
extern const int64_t lease_histogram_bounds[LEASE_HISTOGRAM_BOUNDS];

typedef struct {
  uint64_t counts[LEASE_HISTOGRAM_BOUNDS + 1]; /* durations up to that bound, and above the one
                                                  before; the last: above all bounds */
  uint64_t sum_ns;                             /* of all durations */
} LeaseHistogram;

/* A negative duration counts as 0. */
void lease_histogram_add (LeaseHistogram *histogram, int64_t ns);

/* A copy of one that others may be adding to: what they add meanwhile is in it or not, and may be
 * in the sum or the counts only. */
LeaseHistogram lease_histogram_read (const LeaseHistogram *histogram);
