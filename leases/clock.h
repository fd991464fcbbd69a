/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* A point in time, or a span of it, in nanoseconds. Points count from boot on CLOCK_BOOTTIME:
 * setting the wall clock does not move them, and time spent asleep counts. */
typedef int64_t LeaseTime;

/* A point that never comes. */
#define LEASE_TIME_NEVER INT64_MAX

#define LEASE_SECOND ((LeaseTime)1000000000)
#define LEASE_MILLISECOND ((LeaseTime)1000000)

/* The time since boot. Any thread. */
LeaseTime lease_clock_now (void);

/* The wall clock, in nanoseconds since 1970 (for the times that stat(2) shows, never for
 * deadlines). Any thread. */
int64_t lease_clock_wall_ns (void);

/* `now` + `span_ns`, or LEASE_TIME_NEVER - 1 where that lies beyond what the type can hold.
 * Neither may be negative. */
LeaseTime lease_time_after (LeaseTime now, int64_t span_ns);
