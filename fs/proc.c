/* SPDX-License-Identifier: MIT */

/* By system calls, since the table of files may be another one than the sanitizers believe. No
 * state, no lock. */

#include "fs/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MAX_TEXT ((size_t)64 << 20)

char *
fs_proc_read (const char *path)
{
  g_autoptr (GString) text = g_string_new (NULL);
  char piece[4096];
  int fd = syscall (SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  long size = 0;

  if (fd < 0)
    return NULL;
  while (text->len < MAX_TEXT && (size = syscall (SYS_read, fd, piece, sizeof piece)) > 0)
    g_string_append_len (text, piece, size);
  int error = size == 0 ? 0 : size < 0 ? errno : EFBIG;
  syscall (SYS_close, fd);
  errno = error;
  return error == 0 ? g_string_free (g_steal_pointer (&text), FALSE) : NULL;
}

static void
clear_mount (void *data)
{
  FsMount *mount = data;

  g_free (mount->root);
  g_free (mount->point);
}

/* A line of mountinfo, see proc(5):
 *
 *     36 35 98:0 /root /point options shared:1 master:2 - type source super-options
 */
static void
add_mount (GArray *mounts, const char *line)
{
  g_auto (GStrv) words = g_strsplit (line, " ", -1);
  unsigned count = g_strv_length (words), at = 6, major_number, minor_number;
  FsMount mount = { 0 };

  if (count < 10 || sscanf (words[2], "%u:%u", &major_number, &minor_number) != 2)
    return;
  for (; at < count && strcmp (words[at], "-") != 0; at++)
    mount.spreads |=
        g_str_has_prefix (words[at], "shared:") || g_str_has_prefix (words[at], "master:");
  mount.device = makedev (major_number, minor_number);
  mount.root = g_strcompress (words[3]); /* blanks and the like are octal escapes */
  mount.point = g_strcompress (words[4]);
  mount.hides = at + 3 < count && strstr (words[at + 3], "hidepid=") != NULL;
  g_array_append_val (mounts, mount);
}

GArray *
fs_proc_mounts (void)
{
  g_autofree char *text = fs_proc_read ("/proc/self/mountinfo");

  if (text == NULL)
    return NULL;
  GArray *mounts = g_array_new (FALSE, FALSE, sizeof (FsMount));
  g_array_set_clear_func (mounts, clear_mount);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    add_mount (mounts, *line);
  return mounts;
}
