/* SPDX-License-Identifier: MIT */

#include "fs/story.h"

#include <glib.h>
#include <string.h>

#define SAY(level, ...) g_log_structured (G_LOG_DOMAIN, level, "MESSAGE_ID", __VA_ARGS__)

#define CALM G_LOG_LEVEL_MESSAGE
#define GRAVE G_LOG_LEVEL_CRITICAL

void
fs_story_begin (const char *source, const char *mountpoint, const FsOptions *options)
{
  g_autofree char *text = fs_options_describe (options);

  SAY (CALM, FS_STORY_BEGIN_ID, "LEASEFS_VERSION", LEASEFS_VERSION, "LEASEFS_OPTIONS", text,
       "MESSAGE", "%s: leasefs " LEASEFS_VERSION " serves %s", mountpoint, source);
  g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_INFO, "LEASEFS_OPTIONS", text, "MESSAGE",
                    "%s: options: %s", mountpoint, text);
}

/* A clean stop leaves with every lease what it had left. Where there are no leases, a log that was
 * left beside the file tells of another stop. */
static bool
is_clean (const LeaseFound *found, bool had_log)
{
  return found->leases > 0 ? found->resumed == found->leases : !had_log;
}

static char *
number (uint64_t value)
{
  return g_strdup_printf ("%" G_GUINT64_FORMAT, value);
}

void
fs_story_found (const char *source, const LeaseFound *found, bool had_log, int64_t us)
{
  bool clean = is_clean (found, had_log);
  g_autofree char *files = number (found->files), *nodes = number (found->nodes);
  g_autofree char *names = number (found->names), *attached = number (found->attached);
  g_autofree char *leases = number (found->leases), *time = number ((uint64_t)us);

  if (found->nodes == 0) {
    SAY (CALM, FS_STORY_FOUND_ID, "LEASEFS_PATH", source, "MESSAGE", "%s: a new state file",
         source);
    return;
  }
  SAY (clean ? CALM : G_LOG_LEVEL_WARNING, FS_STORY_FOUND_ID, "LEASEFS_PATH", source,
       "LEASEFS_CLEAN", clean ? "1" : "0", "LEASEFS_FILES", files, "LEASEFS_NODES", nodes,
       "LEASEFS_NAMES", names, "LEASEFS_ATTACHED", attached, "LEASEFS_LEASES", leases,
       "LEASEFS_READ_US", time, "MESSAGE",
       "%s: read in %.3f s after a %s: nodes %s, files %s, names %s, attached %s, leases %s%s",
       source, (double)us / G_USEC_PER_SEC, clean ? "clean stop" : "crash", nodes, files, names,
       attached, leases,
       found->leases == 0 ? ""
       : clean            ? " (with what they had left)"
                          : " (with their whole TTL again)");
}

void
fs_story_end (const char *mountpoint, int signal, int error)
{
  g_autofree char *code = g_strdup_printf ("%d", error);

  if (signal != 0)
    SAY (CALM, FS_STORY_END_ID, "LEASEFS_SIGNAL", sigabbrev_np (signal), "MESSAGE",
         "%s: ends: SIG%s", mountpoint, sigabbrev_np (signal));
  else if (error == 0)
    SAY (CALM, FS_STORY_END_ID, "MESSAGE", "%s: ends: unmounted", mountpoint);
  else
    SAY (GRAVE, FS_STORY_END_ID, "ERRNO", code, "MESSAGE", "%s: ends: no requests can be read: %s",
         mountpoint, g_strerror (error));
}

void
fs_story_ended (const char *mountpoint)
{
  SAY (CALM, FS_STORY_ENDED_ID, "LEASEFS_CLEAN", "1", "MESSAGE", "%s: has ended cleanly",
       mountpoint);
}

void
fs_story_cut_short (const char *source, int error)
{
  g_autofree char *code = g_strdup_printf ("%d", error);

  SAY (
      GRAVE, FS_STORY_ENDED_ID, "LEASEFS_CLEAN", "0", "LEASEFS_PATH", source, "ERRNO", code,
      "MESSAGE",
      "%s: the last of it cannot be written: leases will have their whole TTL again, and some that "
      "have ended may come back: %s",
      source, g_strerror (error));
}
