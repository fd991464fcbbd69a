/* SPDX-License-Identifier: MIT */

#include "fs/source.h"

#include "leases/journal-sqlite.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static bool
is_within (const char *path, const char *directory)
{
  size_t length = strlen (directory);

  return strcmp (directory, "/") == 0 ||
         (strncmp (path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0'));
}

/* The mount would cover the file: after a crash nobody, and we neither, would find it there. */
static bool
check_place (const char *source, const char *mountpoint, GError **error)
{
  g_autofree char *parent = g_path_get_dirname (source);
  char directory[PATH_MAX];

  if (realpath (parent, directory) == NULL) {
    g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (errno), "%s: %s: %s%s", source,
                 parent, g_strerror (errno),
                 errno == ENOENT ? "; make the directory with 'mkdir -p'" : "");
    return false;
  }
  if (is_within (directory, mountpoint)) {
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                 "%s: lies in the mountpoint, which would hide it; keep it somewhere else", source);
    return false;
  }
  return true;
}

bool
fs_source_is_file (const char *source)
{
  return strcmp (source, "none") != 0;
}

LeaseJournal *
fs_source_open (const char *source, const char *mountpoint, bool *had_log_out, GError **error)
{
  LeaseJournal *journal = NULL;

  *had_log_out = false;
  if (!fs_source_is_file (source))
    return lease_journal_memory_new ();
  if (check_place (source, mountpoint, error))
    journal = lease_journal_sqlite_new (source, error);
  if (journal != NULL)
    *had_log_out = lease_journal_sqlite_had_log (journal);
  return journal;
}
