/* SPDX-License-Identifier: MIT */

/* The text of `keys`: the input is what somebody wrote to it. What can be read is written again, as
 * the file would show it, and read once more. */

#include "leases/keys.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static void
check_line (const LeaseKeysLine *line)
{
  size_t len = strlen (line->path);

  fuzz_assert (len > 0 && len < PATH_MAX && line->path[0] != '/');
}

/* Whether `again` is `path` as it comes back: one that began with '-' has "./" before it. */
static bool
is_same_path (const char *again, const char *path)
{
  if (path[0] == '-') {
    if (!g_str_has_prefix (again, "./"))
      return false;
    again += 2;
  }
  return strcmp (again, path) == 0;
}

static void
check_written_again (const GArray *lines)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GArray) again = NULL;
  bool too_long = false;

  for (unsigned i = 0; i < lines->len; i++) {
    const char *path = g_array_index (lines, LeaseKeysLine, i).path;
    lease_keys_append (text, path);
    too_long = too_long || (path[0] == '-' && strlen (path) + 2 >= PATH_MAX);
  }
  int error = lease_keys_parse (text->str, text->len, &again);
  if (too_long) {
    fuzz_assert (error == -ENAMETOOLONG && again == NULL);
    return;
  }
  fuzz_assert (error == 0 && again->len == lines->len);
  for (unsigned i = 0; i < lines->len; i++) {
    const LeaseKeysLine *line = &g_array_index (again, LeaseKeysLine, i);
    fuzz_assert (!line->detach);
    fuzz_assert (is_same_path (line->path, g_array_index (lines, LeaseKeysLine, i).path));
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  char *text = fuzz_copy (data, size);
  GArray *lines = NULL;

  fuzz_setup ();
  int error = lease_keys_parse (text, size, &lines);
  fuzz_assert (size == 0 || memcmp (text, data, size) == 0);
  if (error == 0) {
    for (unsigned i = 0; i < lines->len; i++)
      check_line (&g_array_index (lines, LeaseKeysLine, i));
    check_written_again (lines);
    g_array_unref (lines);
  } else {
    fuzz_assert (error == -EINVAL || error == -ENOENT || error == -ENAMETOOLONG);
    fuzz_assert (lines == NULL);
  }
  free (text);
  return 0;
}
