/* SPDX-License-Identifier: MIT */

/* The text of `procs`: the input is what somebody wrote to it. What can be read is written again,
 * as the file would show it, and read once more. */

#include "leases/procs.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void
check_written_again (const GArray *lines)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GArray) again = NULL;

  for (unsigned i = 0; i < lines->len; i++)
    lease_procs_append (text, g_array_index (lines, LeaseProcsLine, i).pid);
  fuzz_assert (lease_procs_parse (text->str, text->len, &again) == 0);
  fuzz_assert (again->len == lines->len);
  for (unsigned i = 0; i < lines->len; i++) {
    const LeaseProcsLine *line = &g_array_index (again, LeaseProcsLine, i);
    fuzz_assert (line->pid >= 0 && line->pid == g_array_index (lines, LeaseProcsLine, i).pid);
    fuzz_assert (!line->let_go);
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  char *text = fuzz_copy (data, size);
  GArray *lines = NULL;

  fuzz_setup ();
  int error = lease_procs_parse (text, size, &lines);
  fuzz_assert (size == 0 || memcmp (text, data, size) == 0);
  if (error == 0) {
    check_written_again (lines);
    g_array_unref (lines);
  } else {
    fuzz_assert (error == -EINVAL && lines == NULL);
  }
  free (text);
  return 0;
}
