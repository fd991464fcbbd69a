/* SPDX-License-Identifier: MIT */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

/* The text of a lease's `keys` file: one path a line, with `\` and control bytes as three-digit
 * octal escapes (`\012`), as in /proc/self/mounts. Pure functions; any thread. */

/* One line of a write to `keys`. */
typedef struct {
  bool detach; /* the line began with '-' */
  char *path;  /* unescaped, not empty; relative to the mount's root; may hold any byte but NUL */
} LeaseKeysLine;

/* Splits `len` bytes of `text` into lines and unescapes them. The last line needs no newline.
 * Leading '/'s are taken off (they mean the mount's root; "/" alone becomes "."). Blanks belong to
 * the name.
 *
 * Returns 0 and in `lines_out` a new array of LeaseKeysLine, whose elements it frees with itself;
 * the caller owns it. Or, with `lines_out` untouched:
 *   -EINVAL        a NUL byte (also escaped), or a `\` that is not followed by three octal digits
 *                  up to 377
 *   -ENOENT        an empty line, or '-' with nothing behind it: no key has the empty name
 *   -ENAMETOOLONG  a path of PATH_MAX (4096) bytes or more */
int lease_keys_parse (const char *text, size_t len, GArray **lines_out);

/* Appends `path` and a newline to `text`, escaped so that lease_keys_parse() reads the same path
 * back; a path that begins with '-' gets "./" before it. Bytes from 0x80 on are left as they are
 * (UTF-8 stays readable). */
void lease_keys_append (GString *text, const char *path);

/* How many bytes that appends. */
size_t lease_keys_line_size (const char *path);
