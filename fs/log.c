/* SPDX-License-Identifier: MIT */

/* Owns the last message of libfuse while it is held back. Used by one thread, before there are
 * others. */

#include "fs/log.h"

#define FUSE_USE_VERSION 312
#include <fuse_log.h>
#include <glib.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#define PREFIX "fuse: "

static GString *last;
static bool complete = true; /* `last` has come to its newline: what follows is another message */

static void
hold (enum fuse_log_level level, const char *format, va_list arguments)
{
  if (complete)
    g_string_truncate (last, 0);
  g_string_append_vprintf (last, format, arguments);
  complete = g_str_has_suffix (last->str, "\n");
  if (complete)
    g_string_truncate (last, last->len - 1);
  if (g_str_has_prefix (last->str, PREFIX))
    g_string_erase (last, 0, strlen (PREFIX));
}

void
fs_log_hold (void)
{
  last = g_string_new (NULL);
  fuse_set_log_func (hold);
}

const char *
fs_log_last (void)
{
  return last->str;
}

void
fs_log_release (void)
{
  fuse_set_log_func (NULL);
  g_string_free (last, TRUE);
  last = NULL;
}
