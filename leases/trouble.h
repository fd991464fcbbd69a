/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

/* Something that should not fail, and may do so again and again: the log has one line when that
 * begins and one when it is over, not one for each time. Whoever owns it sees to it that only one
 * thread at a time uses it. */
typedef struct {
  const char *begins; /* what the lines say of it, constant: "changes cannot be kept" */
  const char *over;
  bool lasting; /* it has begun, and is not over */
} LeaseTrouble;

/* It has failed, because of `error` (an errno); `path` is the file that it is about, and `detail`
 * says more. */
void lease_trouble_begin (LeaseTrouble *trouble, const char *path, int error, const char *detail);

/* It has not. */
void lease_trouble_end (LeaseTrouble *trouble, const char *path);

/* How the two lines are found in systemd's journal: their MESSAGE_ID. */
#define LEASE_TROUBLE_BEGINS_ID "23eff2635e6b428b8d4830f53035d466"
#define LEASE_TROUBLE_OVER_ID "815a6985888d4b92a1e8907356457b05"
