/* SPDX-License-Identifier: MIT */

/* A library to be loaded before others (LD_PRELOAD): a disk that fails, or an older kernel.
 *
 * While the file $SPOIL is there, syncing fails with the error whose number is in it, and so does
 * all writing to files, unless " sync" follows the number. If $SPOIL_PRUNE is set, the kernel is
 * one before Linux 6.18, which does not know FUSE_NOTIFY_PRUNE. */

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static bool
is_spoiled (bool writing)
{
  const char *path = getenv ("SPOIL");
  char text[16] = "";
  int fd = path == NULL ? -1 : open (path, O_RDONLY | O_CLOEXEC);

  if (fd < 0)
    return false;
  bool told = read (fd, text, sizeof text - 1) > 0;
  close (fd);
  errno = atoi (text);
  return told && errno != 0 && !(writing && strstr (text, " sync") != NULL);
}

ssize_t
pwrite (int fd, const void *data, size_t size, off_t offset)
{
  return is_spoiled (true) ? -1 : syscall (SYS_pwrite64, fd, data, size, offset);
}

int
ftruncate (int fd, off_t size)
{
  return is_spoiled (true) ? -1 : syscall (SYS_ftruncate, fd, size);
}

int
fdatasync (int fd)
{
  return is_spoiled (false) ? -1 : syscall (SYS_fdatasync, fd);
}

int
fsync (int fd)
{
  return is_spoiled (false) ? -1 : syscall (SYS_fsync, fd);
}

#define NOTIFY_PRUNE 9

ssize_t
writev (int fd, const struct iovec *parts, int count)
{
  const struct fuse_out_header *header = parts[0].iov_base;
  bool notifies = parts[0].iov_len == sizeof *header && header->unique == 0;

  if (notifies && header->error == NOTIFY_PRUNE && getenv ("SPOIL_PRUNE") != NULL) {
    errno = EINVAL;
    return -1;
  }
  return syscall (SYS_writev, fd, parts, count);
}
