/* SPDX-License-Identifier: MIT */

/* Owns where lines go. All of that but `begun` is set while there is one thread. */

#include "fs/log.h"

#include <errno.h>
#include <glib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define IDENTIFIER "leasefs"

static bool stderr_is_journal;
static bool has_reader = true; /* of stderr */
static bool begun;             /* atomic */
static char *source_name;
static char *mountpoint_name;

static const char *
field_value (const GLogField *fields, size_t count, const char *key)
{
  for (size_t i = 0; i < count; i++)
    if (strcmp (fields[i].key, key) == 0 && fields[i].length < 0)
      return fields[i].value;
  return "";
}

/* As in syslog(3). GLib's own choice has no errors. */
static int
priority_of (GLogLevelFlags level)
{
  if (level & (G_LOG_FLAG_FATAL | G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
    return LOG_ERR;
  if (level & G_LOG_LEVEL_WARNING)
    return LOG_WARNING;
  return level & G_LOG_LEVEL_MESSAGE ? LOG_NOTICE : LOG_INFO;
}

/* The message on one line, whatever bytes there are in the names that it mentions; the caller
 * frees it. */
static char *
line_of (const GLogField *fields, size_t count)
{
  char *line = g_strdup (field_value (fields, count, "MESSAGE"));

  for (char *c = line; *c != '\0'; c++)
    if (g_ascii_iscntrl (*c))
      *c = '?';
  return line;
}

/* In one write, so that lines of several threads stay apart. */
static void
write_stderr (const char *line)
{
  g_autofree char *text = g_strdup_printf (IDENTIFIER ": %s\n", line);

  while (write (STDERR_FILENO, text, strlen (text)) < 0 && errno == EINTR)
    continue;
}

static bool
write_journal (GLogLevelFlags level, const GLogField *fields, size_t count)
{
  g_autofree GLogField *all = g_new (GLogField, count + 4);
  g_autofree char *message = g_utf8_make_valid (field_value (fields, count, "MESSAGE"), -1);
  const char priority[] = { (char)('0' + priority_of (level)), '\0' };
  size_t number = 0;

  for (size_t i = 0; i < count; i++)
    if (strcmp (fields[i].key, "PRIORITY") != 0 && strcmp (fields[i].key, "MESSAGE") != 0)
      all[number++] = fields[i];
  all[number++] = (GLogField){ "MESSAGE", message, -1 };
  all[number++] = (GLogField){ "PRIORITY", priority, -1 };
  all[number++] = (GLogField){ "SYSLOG_IDENTIFIER", IDENTIFIER, -1 };
  if (mountpoint_name != NULL) {
    all[number++] = (GLogField){ "LEASEFS_SOURCE", source_name, -1 };
    all[number++] = (GLogField){ "LEASEFS_MOUNTPOINT", mountpoint_name, -1 };
  }
  return g_log_writer_journald (level, all, number, NULL) == G_LOG_WRITER_HANDLED;
}

static GLogWriterOutput
write_entry (GLogLevelFlags level, const GLogField *fields, size_t count, void *data)
{
  bool fatal = level & (G_LOG_FLAG_FATAL | G_LOG_LEVEL_ERROR);
  bool starts = !__atomic_load_n (&begun, __ATOMIC_RELAXED);
  g_autofree char *line = line_of (fields, count);

  if (level & G_LOG_LEVEL_DEBUG)
    return G_LOG_WRITER_HANDLED;
  if (!stderr_is_journal && (has_reader || (fatal && starts))) {
    if (fatal || !starts)
      write_stderr (line);
  } else if (!write_journal (level, fields, count)) {
    syslog (priority_of (level), "%s", line);
  }
  return G_LOG_WRITER_HANDLED;
}

void
fs_log_open (void)
{
  stderr_is_journal = g_log_writer_is_journald (STDERR_FILENO);
  g_log_set_writer_func (write_entry, NULL, NULL);
  openlog (IDENTIFIER, LOG_PID, LOG_DAEMON);
}

void
fs_log_leave_stderr (void)
{
  has_reader = false;
}

void
fs_log_name (const char *source, const char *mountpoint)
{
  g_free (source_name);
  g_free (mountpoint_name);
  source_name = g_strdup (source);
  mountpoint_name = g_strdup (mountpoint);
}

void
fs_log_begin (void)
{
  __atomic_store_n (&begun, true, __ATOMIC_RELAXED);
}

void
fs_log_fail (const char *message)
{
  const GLogField fields[] = { { "MESSAGE", message, -1 } };
  g_autofree char *line = line_of (fields, 1);

  if (!stderr_is_journal || !write_journal (G_LOG_LEVEL_CRITICAL, fields, 1))
    write_stderr (line);
}
