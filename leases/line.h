/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <string.h>

/* The lines of a write(2): each ends with a newline, of which the last one needs none. */

/* Takes the next line off the front of `*text`, of `*len` bytes: it is `*length_out` bytes from
 * what is returned on. NULL: there are no more. */
static inline const char *
lease_line_next (const char **text, size_t *len, size_t *length_out)
{
  const char *line = *text, *newline = *len > 0 ? memchr (line, '\n', *len) : NULL;

  if (*len == 0)
    return NULL;
  *length_out = newline != NULL ? (size_t)(newline - line) : *len;
  size_t used = *length_out + (newline != NULL);
  *text += used;
  *len -= used;
  return line;
}
