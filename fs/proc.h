/* SPDX-License-Identifier: MIT */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* What /proc tells. Any thread, also one with a table of files of its own. */

/* The text of a file; NULL with errno set. EFBIG: more than 64 MiB. The caller frees it. */
char *fs_proc_read (const char *path);

/* A mount that this process sees. */
typedef struct {
  dev_t device;
  char *root;   /* what of the file system is mounted: "/" is all of it */
  char *point;  /* where */
  bool spreads; /* other mount namespaces may have it as well */
  bool hides;   /* of proc(5): it may leave out processes of others, as if there were none */
} FsMount;

/* All of them, of FsMount, later ones behind those that they cover; NULL with errno set. The caller
 * unrefs it. */
GArray *fs_proc_mounts (void);
