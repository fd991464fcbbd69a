/* SPDX-License-Identifier: MIT */

/* Reads limits, and what there is of what they limit. */

#include "fs/quota.h"

#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint64_t
ram_pages (void)
{
  return sysconf (_SC_PHYS_PAGES);
}

static uint64_t
ram_bytes (void)
{
  return ram_pages () * sysconf (_SC_PAGESIZE);
}

uint64_t
fs_quota_default_size (void)
{
  return ram_bytes () / 2;
}

uint64_t
fs_quota_default_count (void)
{
  return ram_pages () / 2;
}

/* What one of the letters behind a number multiplies it with; 0 if it is none of them. */
static uint64_t
unit_of (char letter)
{
  static const char letters[] = "kmgtpe";
  const char *found = strchr (letters, g_ascii_tolower (letter));

  return letter == '\0' || found == NULL ? 0 : UINT64_C (1) << (10 * (found - letters + 1));
}

bool
fs_quota_parse_count (const char *text, uint64_t *count_out)
{
  char *end;
  uint64_t unit = 1;
  uint64_t number = g_ascii_strtoull (text, &end, 10);

  if (!g_ascii_isdigit (text[0]))
    return false;
  if (*end != '\0') {
    unit = unit_of (*end);
    if (unit == 0 || end[1] != '\0')
      return false;
  }
  /* Also what was too large for g_ascii_strtoull(). */
  if (number > INT64_MAX / unit)
    return false;
  *count_out = number == 0 ? FS_QUOTA_NONE : number * unit;
  return true;
}

bool
fs_quota_parse_size (const char *text, uint64_t *bytes_out)
{
  size_t length = strlen (text);
  uint64_t percent;

  if (length < 2 || text[length - 1] != '%')
    return fs_quota_parse_count (text, bytes_out);

  g_autofree char *number = g_strndup (text, length - 1);
  if (!fs_quota_parse_count (number, &percent))
    return false;
  if (percent != FS_QUOTA_NONE && percent > INT64_MAX / ram_bytes ())
    return false;
  *bytes_out = percent == FS_QUOTA_NONE ? FS_QUOTA_NONE : ram_bytes () / 100 * percent;
  return true;
}

uint64_t
fs_quota_memory (void)
{
  unsigned long all, resident;
  char text[128];
  int fd = open ("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  ssize_t size = fd < 0 ? -1 : read (fd, text, sizeof text - 1);

  if (fd >= 0)
    close (fd);
  text[MAX (size, 0)] = '\0';
  /* Without /proc there is only what we count ourselves. */
  return sscanf (text, "%lu %lu", &all, &resident) == 2 ? resident * sysconf (_SC_PAGESIZE) : 0;
}
