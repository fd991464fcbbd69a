/* SPDX-License-Identifier: MIT */

/* The text of a `keys` file, in both directions. Paths are bytes: only NUL, newline, `\` and the
 * other control bytes mean anything here, and a path is never normalised beyond its leading
 * slashes. No state, no lock. */

#include "leases/keys.h"

#include "leases/line.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define ESCAPE_LEN 4

/* Reads the byte that `text` begins with, escaped or not. Returns how many bytes of `text` it
 * takes, or -EINVAL. */
static int
read_byte (const char *text, size_t len, char *byte_out)
{
  unsigned int byte = 0;

  if (text[0] != '\\') {
    *byte_out = text[0];
    return text[0] == '\0' ? -EINVAL : 1;
  }

  if (len < ESCAPE_LEN)
    return -EINVAL;
  for (size_t i = 1; i < ESCAPE_LEN; i++) {
    if (text[i] < '0' || text[i] > '7')
      return -EINVAL;
    byte = byte * 8 + (unsigned int)(text[i] - '0');
  }
  if (byte == 0 || byte > 0377)
    return -EINVAL;

  *byte_out = (char)byte;
  return ESCAPE_LEN;
}

/* Unescapes the `len` bytes of a path, which are not none. Returns 0 and a new string in
 * `path_out`, or an error of lease_keys_parse(). */
static int
read_path (const char *text, size_t len, char **path_out)
{
  char path[PATH_MAX];
  size_t path_len = 0;

  for (size_t i = 0; i < len;) {
    char byte;
    int used = read_byte (text + i, len - i, &byte);

    if (used < 0)
      return used;
    i += (size_t)used;

    if (byte == '/' && path_len == 0)
      continue;
    if (path_len == sizeof path - 1)
      return -ENAMETOOLONG;
    path[path_len++] = byte;
  }

  *path_out = path_len > 0 ? g_strndup (path, path_len) : g_strdup (".");
  return 0;
}

static int
read_line (const char *text, size_t len, LeaseKeysLine *line_out)
{
  line_out->detach = len > 0 && text[0] == '-';
  if (line_out->detach) {
    text++;
    len--;
  }
  if (len == 0)
    return -ENOENT;

  return read_path (text, len, &line_out->path);
}

static void
clear_line (void *data)
{
  LeaseKeysLine *line = data;

  g_free (line->path);
}

int
lease_keys_parse (const char *text, size_t len, GArray **lines_out)
{
  g_autoptr (GArray) lines = g_array_new (FALSE, FALSE, sizeof (LeaseKeysLine));
  const char *start;
  size_t line_len;

  g_array_set_clear_func (lines, clear_line);

  while ((start = lease_line_next (&text, &len, &line_len)) != NULL) {
    LeaseKeysLine line;
    int error = read_line (start, line_len, &line);

    if (error != 0)
      return error;
    g_array_append_val (lines, line);
  }

  *lines_out = g_steal_pointer (&lines);
  return 0;
}

static bool
is_escaped (char byte)
{
  return byte == '\\' || g_ascii_iscntrl (byte);
}

size_t
lease_keys_line_size (const char *path)
{
  size_t size = strlen (path) + 1 + (path[0] == '-' ? strlen ("./") : 0);

  for (; *path != '\0'; path++)
    size += is_escaped (*path) ? ESCAPE_LEN - 1 : 0;
  return size;
}

void
lease_keys_append (GString *text, const char *path)
{
  if (path[0] == '-')
    g_string_append (text, "./");

  for (; *path != '\0'; path++) {
    if (is_escaped (*path))
      g_string_append_printf (text, "\\%03o", (unsigned int)*path);
    else
      g_string_append_c (text, *path);
  }

  g_string_append_c (text, '\n');
}
