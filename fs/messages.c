/* SPDX-License-Identifier: MIT */

/* Owns the last message while messages are held back. Used by one thread, before there are others.
 */

#include "fs/messages.h"

#define FUSE_USE_VERSION 312
#include <fcntl.h>
#include <fuse_log.h>
#include <glib.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static GString *last;
static bool complete = true; /* `last` has come to its newline: what follows is another message */
static int own_stderr = -1;  /* while stderr is a file in memory */

static void
strip_program (void)
{
  static const char *const programs[] = { "fuse: ", "fusermount3: " };

  for (unsigned i = 0; i < G_N_ELEMENTS (programs); i++)
    if (g_str_has_prefix (last->str, programs[i]))
      g_string_erase (last, 0, strlen (programs[i]));
}

static void
hold (enum fuse_log_level level, const char *format, va_list arguments)
{
  if (complete)
    g_string_truncate (last, 0);
  g_string_append_vprintf (last, format, arguments);
  complete = g_str_has_suffix (last->str, "\n");
  if (complete)
    g_string_truncate (last, last->len - 1);
  strip_program ();
}

void
fs_messages_hold (void)
{
  last = g_string_new (NULL);
  fuse_set_log_func (hold);
}

void
fs_messages_divert (void)
{
  int file = memfd_create ("stderr", MFD_CLOEXEC);

  if (file < 0)
    return;
  own_stderr = fcntl (STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (own_stderr >= 0)
    dup2 (file, STDERR_FILENO);
  close (file);
}

void
fs_messages_restore (void)
{
  char text[4096];

  if (own_stderr < 0)
    return;
  off_t end = lseek (STDERR_FILENO, 0, SEEK_END);
  ssize_t length =
      pread (STDERR_FILENO, text, sizeof text - 1, MAX (end - (off_t)sizeof text + 1, 0));
  dup2 (own_stderr, STDERR_FILENO);
  close (own_stderr);
  own_stderr = -1;

  text[MAX (length, 0)] = '\0';
  g_strchomp (text);
  if (text[0] == '\0')
    return;
  const char *newline = strrchr (text, '\n');
  g_string_assign (last, newline != NULL ? newline + 1 : text);
  strip_program ();
}

const char *
fs_messages_last (void)
{
  return last->str;
}

/* What -d is for goes to stderr as it is. */
static void
pass_on (enum fuse_log_level level, const char *format, va_list arguments)
{
  if (level >= FUSE_LOG_INFO) {
    vfprintf (stderr, format, arguments);
    return;
  }
  g_autofree char *text = g_strdup_vprintf (format, arguments);
  g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, "MESSAGE", "libfuse: %s", g_strchomp (text));
}

void
fs_messages_release (void)
{
  fuse_set_log_func (pass_on);
  g_string_free (last, TRUE);
  last = NULL;
}
