/* SPDX-License-Identifier: MIT */
#pragma once

#include <glib.h>
#include <stdint.h>

/* Other users while much is being cleaned up: processes that go on making calls on keys and
 * leases of their own, in the same directories, and keep how long each call took. */

typedef struct Probes Probes;

typedef enum { PROBE_QUIET, PROBE_BUSY, PROBE_AFTER, PROBE_STOP } ProbePhase;

/* Starts them in each of these directories, of which those after the first are controls: what is
 * slow there as well is not the fault of the first. NULL ends the list; at most 4. */
Probes *probes_start (const char *const *dirs, const char *const *names);

/* What is measured from here on belongs to this phase. */
void probes_enter (Probes *probes, ProbePhase phase);

/* From then on (CLOCK_BOOTTIME) no listing of `leases/` in the first directory may show more
 * than the leases of the probes. */
void probes_expect_none_after (Probes *probes, int64_t boottime_ns);

/* Of the busy phase in one directory. */
typedef struct {
  double p99_us; /* the worst of get, put and refresh */
  double max_us; /* of all calls on keys and refreshes, as below */
  uint64_t slow; /* how many took longer than PROBE_SLOW_NS */
} ProbeWorst;

#define PROBE_SLOW_NS 10000000

typedef struct {
  ProbeWorst here, control; /* of the first and second directory */
  uint64_t wrong;           /* leases that were listed too late */
} ProbeResult;

/* Stops them and says what they found. */
ProbeResult probes_finish (Probes *probes);
