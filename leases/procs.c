/* SPDX-License-Identifier: MIT */

/* The text of a `procs` file, in both directions. No state, no lock. */

#include "leases/procs.h"

#include "leases/line.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define PID_LIMIT INT_MAX

static bool
is_blank (char c)
{
  return c == ' ' || c == '\t';
}

static int
read_number (const char *text, size_t len, pid_t *pid_out)
{
  long number = 0;

  if (len == 0)
    return -EINVAL;
  for (size_t i = 0; i < len; i++) {
    if (!g_ascii_isdigit (text[i]))
      return -EINVAL;
    number = MIN (number * 10 + (text[i] - '0'), PID_LIMIT);
  }
  *pid_out = (pid_t)number;
  return 0;
}

static int
read_line (const char *text, size_t len, LeaseProcsLine *line_out)
{
  for (; len > 0 && is_blank (text[0]); len--)
    text++;
  while (len > 0 && is_blank (text[len - 1]))
    len--;
  line_out->let_go = len > 0 && text[0] == '-';
  return line_out->let_go ? read_number (text + 1, len - 1, &line_out->pid)
                          : read_number (text, len, &line_out->pid);
}

int
lease_procs_parse (const char *text, size_t len, GArray **lines_out)
{
  g_autoptr (GArray) lines = g_array_new (FALSE, FALSE, sizeof (LeaseProcsLine));
  const char *start;
  size_t line_len;

  while ((start = lease_line_next (&text, &len, &line_len)) != NULL) {
    LeaseProcsLine line;
    int error = read_line (start, line_len, &line);

    if (error != 0)
      return error;
    g_array_append_val (lines, line);
  }
  *lines_out = g_steal_pointer (&lines);
  return 0;
}

void
lease_procs_append (GString *text, pid_t pid)
{
  g_string_append_printf (text, "%d\n", (int)pid);
}
