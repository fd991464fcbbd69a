/* SPDX-License-Identifier: MIT */
#pragma once

#include <glib.h>
#include <stdint.h>

#define SCALE_CONTROLS 2
#define SCALE_LEASE "leases/all-keys"

/* What the stages of a scale run have in common. */
typedef struct {
  uint64_t count;
  unsigned workers;
  unsigned pid, idle_pid;               /* of the daemons; 0: not known */
  const char *controls[SCALE_CONTROLS]; /* directories for the probes; NULL: none */
  double inodes;                        /* of FUSE that the kernel had at the start */
  uint64_t *counter;                    /* shared with workers */
} Scale;

/* All leases that `grant` made are given a common end, and probed before and after. */
void scale_end (const Scale *scale);

/* All keys are attached to one lease, under probes. */
void scale_attach (const Scale *scale);

/* The lease that `attach` made is revoked, with all its keys, under probes. */
void scale_revoke (const Scale *scale);

/* Waits until the daemon does nothing. */
void scale_settle (const Scale *scale);
