/* SPDX-License-Identifier: MIT */
#pragma once

#include "fs/requests.h"
#include "leases/engine.h"

#include <glib.h>

/* The text of `leases/.metrics`, in the text-based exposition format of Prometheus, version 0.0.4.
 * No state, no lock. */

/* What it tells. */
typedef struct {
  LeaseMetrics engine;
  const FsRequests *requests;
  uint64_t untold;    /* see FsContext */
  int64_t started_ns; /* wall clock when the process began to serve */
  uint64_t memory;    /* of the process, in bytes; 0: not known */
} FsExposition;

/* The caller unrefs it. What has no value, as a limit that is not set, is not in it. */
GBytes *fs_exposition_text (const FsExposition *exposition);
