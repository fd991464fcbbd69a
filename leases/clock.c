/* SPDX-License-Identifier: MIT */

/* The clocks. This is the only file that reads one; everything else takes the time as a parameter,
 * so that tests can choose it. No state, no lock. */

#include "leases/clock.h"

#include <errno.h>
#include <glib.h>
#include <time.h>

static int64_t
read_clock_ns (clockid_t clock)
{
  struct timespec now;

  /* Without a clock no promise about a deadline can be kept, so there is nothing to go on with. */
  if (clock_gettime (clock, &now) != 0)
    g_error ("clock_gettime (%d): %s", (int)clock, g_strerror (errno));

  return (int64_t)now.tv_sec * LEASE_SECOND + now.tv_nsec;
}

LeaseTime
lease_clock_now (void)
{
  return read_clock_ns (CLOCK_BOOTTIME);
}

int64_t
lease_clock_wall_ns (void)
{
  return read_clock_ns (CLOCK_REALTIME);
}

LeaseTime
lease_time_after (LeaseTime now, int64_t span_ns)
{
  g_assert (now >= 0 && span_ns >= 0);

  /* The sum must not be LEASE_TIME_NEVER either: what was given a deadline has one. */
  if (span_ns >= LEASE_TIME_NEVER - now)
    return LEASE_TIME_NEVER - 1;

  return now + span_ns;
}
