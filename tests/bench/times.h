/* SPDX-License-Identifier: MIT */
#pragma once

#include <glib.h>
#include <stdint.h>

/* How long calls took: many figures in nanoseconds, and what is said of them. For one thread at a time. */

typedef struct BenchTimes BenchTimes;

/* On CLOCK_MONOTONIC. */
uint64_t bench_now_ns (void);

BenchTimes *bench_times_new (void);
void bench_times_free (BenchTimes *times);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (BenchTimes, bench_times_free)

void bench_times_add (BenchTimes *times, uint64_t ns);
size_t bench_times_count (const BenchTimes *times);

/* The smallest time that at least `share` (0 to 1) of all do not exceed: 0.5 is the median (the lower one of
 * two), 1 the longest. 0 when there is none. Sorts, so no pointer into the figures is to be had. */
uint64_t bench_times_quantile (BenchTimes *times, double share);
