/* SPDX-License-Identifier: MIT */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The text of a lease's `procs` file: one process a line, by its number. Pure functions; any
 * thread. */

/* One line of a write to `procs`. */
typedef struct {
  bool let_go; /* the line began with '-' */
  pid_t pid;   /* 0: the writer */
} LeaseProcsLine;

/* Splits `len` bytes of `text` into lines, each a decimal number of digits only, with a '-' before
 * it where it lets go. The last line needs no newline. Blanks and tabs around a line are passed
 * over. A number that is too large for any process is read as the largest pid_t, which none has.
 *
 * Returns 0 and in `lines_out` a new array of LeaseProcsLine, which the caller unrefs; or -EINVAL,
 * with `lines_out` untouched: a line is no such number. */
int lease_procs_parse (const char *text, size_t len, GArray **lines_out);

/* Appends `pid` and a newline to `text`. */
void lease_procs_append (GString *text, pid_t pid);
