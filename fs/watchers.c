/* SPDX-License-Identifier: MIT */

/* Goes through /proc once, and then again for the processes that have come meanwhile, until none
 * has: descriptors are handed on when a process forks. Threads count as processes if they have a
 * table of files of their own. What escapes is a descriptor that moves by a message (SCM_RIGHTS)
 * from a process that has not been looked at to one that has, within these milliseconds. */

#include "fs/watchers.h"

#include "fs/proc.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* The inode of the initial PID namespace in /proc/PID/ns (PROC_PID_INIT_INO in the kernel's
 * proc_ns.h): it shows all processes. */
#define INITIAL_PID_NAMESPACE UINT64_C (0xEFFFFFFC)

#define MAX_DESCRIPTORS 1000000
#define MAX_PASSES 10

struct FsWatchers {
  unsigned device;    /* as the kernel writes it */
  bool everything;    /* somebody watches all of it */
  GHashTable *inodes; /* a set */
  GHashTable *looked_at;
  unsigned descriptors; /* that have been looked at */
};

/* What a process that has just gone leaves behind: nobody watches there. */
static bool
is_gone (int error)
{
  return error == ENOENT || error == ESRCH;
}

/* /proc says EACCES too of a thread that has just gone. */
static bool
has_left (const char *files)
{
  g_autofree char *thread = g_path_get_dirname (files);

  return access (thread, F_OK) != 0 && is_gone (errno);
}

static int
is_number (const struct dirent *entry)
{
  return g_ascii_isdigit (entry->d_name[0]);
}

/* Calls `look` with each entry of a folder that is a number. Returns whether all went well. */
static bool
for_each_number (FsWatchers *watchers, const char *folder,
                 bool (*look) (FsWatchers *, const char *folder, int number))
{
  struct dirent **entries;
  int count = scandir (folder, &entries, is_number, NULL);
  bool ok = count >= 0 || is_gone (errno);

  for (int i = 0; i < count; i++) {
    ok = ok && look (watchers, folder, atoi (entries[i]->d_name));
    free (entries[i]);
  }
  if (count >= 0)
    free (entries);
  return ok;
}

/* A line of fdinfo: see "inotify files" and "fanotify files" in the kernel's
 * Documentation/filesystems/proc.rst. */
static void
note_line (FsWatchers *watchers, const char *line)
{
  uint64_t ino;
  unsigned device;

  if (sscanf (line, "inotify wd:%*x ino:%" SCNx64 " sdev:%x", &ino, &device) == 2 ||
      sscanf (line, "fanotify ino:%" SCNx64 " sdev:%x", &ino, &device) == 2) {
    if (device == watchers->device)
      g_hash_table_add (watchers->inodes, GSIZE_TO_POINTER (ino));
  } else if (sscanf (line, "fanotify sdev:%x", &device) == 1) {
    watchers->everything |= device == watchers->device;
  }
}

static bool
look_at_descriptor (FsWatchers *watchers, const char *folder, int fd)
{
  g_autofree char *path = g_strdup_printf ("%s/%d", folder, fd);
  char kind[64] = "";

  if (watchers->descriptors++ >= MAX_DESCRIPTORS)
    return false;
  if (readlink (path, kind, sizeof kind - 1) < 0)
    return is_gone (errno) || has_left (folder);
  if (strcmp (kind, "anon_inode:inotify") != 0 && strcmp (kind, "anon_inode:[fanotify]") != 0)
    return true;

  g_autofree char *info = g_strdup_printf ("%sinfo/%d", folder, fd);
  g_autofree char *text = fs_proc_read (info);
  if (text == NULL)
    return is_gone (errno);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    note_line (watchers, *line);
  return true;
}

/* `folder` is "/proc/PID/task". */
static bool
look_at_thread (FsWatchers *watchers, const char *folder, int tid)
{
  int pid = atoi (folder + strlen ("/proc/"));
  g_autofree char *files = NULL;

  if (tid != pid && syscall (SYS_kcmp, pid, tid, KCMP_FILES, 0, 0) == 0)
    return true;
  files = g_strdup_printf ("%s/%d/fd", folder, tid);
  return for_each_number (watchers, files, look_at_descriptor);
}

static bool
look_at_process (FsWatchers *watchers, const char *folder, int pid)
{
  if (!g_hash_table_add (watchers->looked_at, GINT_TO_POINTER (pid)))
    return true;
  g_autofree char *threads = g_strdup_printf ("%s/%d/task", folder, pid);
  return for_each_number (watchers, threads, look_at_thread);
}

/* Until there is nobody new. */
static bool
look_at_all (FsWatchers *watchers)
{
  for (unsigned pass = 0; pass < MAX_PASSES; pass++) {
    unsigned before = g_hash_table_size (watchers->looked_at);
    if (!for_each_number (watchers, "/proc", look_at_process))
      return false;
    if (g_hash_table_size (watchers->looked_at) == before)
      return true;
  }
  return false;
}

/* Whether no mount of the device is one that other mount namespaces may have as well. */
static bool
is_private (const GArray *mounts, dev_t device)
{
  bool found = false;

  for (unsigned i = 0; i < mounts->len; i++) {
    const FsMount *mount = &g_array_index (mounts, FsMount, i);
    if (mount->device != device)
      continue;
    if (mount->spreads)
      return false;
    found = true;
  }
  return found;
}

/* Whether we see them where /proc is mounted with hidepid. */
static bool
may_see_hidden (void)
{
  struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

  return syscall (SYS_capget, &header, data) == 0 &&
         (data[CAP_TO_INDEX (CAP_SYS_PTRACE)].effective & CAP_TO_MASK (CAP_SYS_PTRACE)) != 0;
}

static bool
may_hide (const GArray *mounts)
{
  bool hides = false;

  for (unsigned i = 0; i < mounts->len; i++) {
    const FsMount *mount = &g_array_index (mounts, FsMount, i);
    hides |= mount->hides && strcmp (mount->root, "/") == 0 && strcmp (mount->point, "/proc") == 0;
  }
  return hides;
}

/* Whether /proc shows all processes that can watch, by the numbers that they have for us. Where it
 * is that of a container, those are whoever is in it; not who reaches in from outside, by nsenter or
 * /proc/PID/root. */
static bool
are_all_shown (dev_t device)
{
  g_autoptr (GArray) mounts = fs_proc_mounts ();
  struct stat st;
  char self[32] = "";

  return mounts != NULL && readlink ("/proc/self", self, sizeof self - 1) > 0 &&
         atoi (self) == getpid () && stat ("/proc/self/ns/pid", &st) == 0 &&
         (may_see_hidden () || !may_hide (mounts)) &&
         (st.st_ino == INITIAL_PID_NAMESPACE || is_private (mounts, device));
}

FsWatchers *
fs_watchers_look (dev_t device)
{
  g_autoptr (FsWatchers) watchers = g_new0 (FsWatchers, 1);

  /* As the kernel keeps it: 20 bits for the minor number. */
  watchers->device = major (device) << 20 | minor (device);
  watchers->inodes = g_hash_table_new (NULL, NULL);
  watchers->looked_at = g_hash_table_new (NULL, NULL);
  return are_all_shown (device) && look_at_all (watchers) ? g_steal_pointer (&watchers) : NULL;
}

void
fs_watchers_free (FsWatchers *watchers)
{
  g_hash_table_unref (watchers->inodes);
  g_hash_table_unref (watchers->looked_at);
  g_free (watchers);
}

bool
fs_watchers_has (const FsWatchers *watchers, uint64_t ino)
{
  return watchers->everything || g_hash_table_contains (watchers->inodes, GSIZE_TO_POINTER (ino));
}
