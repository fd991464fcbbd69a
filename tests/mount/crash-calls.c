/* SPDX-License-Identifier: MIT */

/* Owns the calls: how each is made, and how it is printed. */

#include "tests/mount/crash.h"

#include <errno.h>
#include <inttypes.h>

#define PAGE ((size_t)4096)

static const char *const names[CRASH_KINDS] = {
  [CRASH_CREATE] = "create",
  [CRASH_PUT] = "put",
  [CRASH_APPEND] = "append",
  [CRASH_WRITE] = "write",
  [CRASH_TRUNCATE] = "truncate",
  [CRASH_ALLOCATE] = "fallocate",
  [CRASH_COPY] = "copy_file_range",
  [CRASH_RENAME] = "rename",
  [CRASH_LINK] = "link",
  [CRASH_SYMLINK] = "symlink",
  [CRASH_UNLINK] = "unlink",
  [CRASH_MKDIR] = "mkdir",
  [CRASH_RMDIR] = "rmdir",
  [CRASH_CHMOD] = "chmod",
  [CRASH_CHOWN] = "chown",
  [CRASH_TOUCH] = "touch",
  [CRASH_MKNOD] = "mknod",
  [CRASH_SYNC] = "fsync",
  [CRASH_RESERVE] = "reserve",
  [CRASH_GRANT] = "grant",
  [CRASH_REFRESH] = "refresh",
  [CRASH_EDIT] = "edit of keys",
  [CRASH_CHMOD_FILE] = "chmod of a pseudo-file",
  [CRASH_REVOKE] = "revoke",
  [CRASH_END] = "end",
  [CRASH_LOG] = "log",
};

/* Closes `fd`, keeps errno. */
static int64_t
closing (int fd, int64_t result)
{
  int error = errno;

  close (fd);
  errno = error;
  return result;
}

static void
make_bytes (unsigned char *bytes, size_t size, unsigned seed)
{
  for (size_t i = 0; i < size; i++)
    bytes[i] = seed + 7 * i + (i >> 8);
}

/* How much of a write comes before the first page boundary behind its start, if it goes beyond. */
static size_t
first_piece (const CrashCall *call)
{
  size_t piece = PAGE - call->offset % PAGE;

  return piece == PAGE || piece > call->size ? call->size : piece;
}

/* Of the two pieces, those from `from` to `to` - 1, at the offset; all at once at the end, if
 * `appends`. */
static int64_t
write_bytes (int fd, const CrashCall *call, int from, int to, bool appends)
{
  unsigned char bytes[CRASH_SIZE];
  size_t begin = from == 0 ? 0 : first_piece (call);
  size_t end = to == 1 ? first_piece (call) : call->size;

  make_bytes (bytes, call->size, call->seed);
  return appends ? write (fd, bytes, call->size)
                 : pwrite (fd, bytes + begin, end - begin, call->offset + begin);
}

/* A write into the middle of a page and beyond it can come to the daemon as two, see "Limits" in
 * the README. */
static int64_t
make_write (const CrashCall *call, int root, int from, int to, atomic_int *done)
{
  bool appends = call->kind == CRASH_APPEND && done != NULL;
  int flags = O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (appends ? O_APPEND : 0);
  int fd = openat (root, call->path, flags);
  int64_t result;

  if (fd < 0)
    return -1;
  result = closing (fd, write_bytes (fd, call, from, to, appends));
  if (done != NULL && result >= 0)
    *done = result == (int64_t)call->size ? crash_call_steps (call) : 1;
  return result;
}

static int64_t
make_put (const CrashCall *call, int root, int from, int to, atomic_int *done)
{
  int flags = from == 0 ? O_WRONLY | O_CREAT | O_TRUNC : O_WRONLY;
  int fd = openat (root, call->path, flags | O_NOFOLLOW | O_CLOEXEC, call->mode);
  int64_t result = fd;

  if (fd < 0)
    return -1;
  if (from == 0 && done != NULL)
    *done = 1;
  if (to == 2) {
    result = write_bytes (fd, call, 0, 2, false);
    if (result >= 0 && done != NULL)
      *done = 2;
  } else {
    result = 0;
  }
  return closing (fd, result);
}

/* With the file open. */
static int64_t
make_with_fd (const CrashCall *call, int root, int fd)
{
  int other;

  switch (call->kind) {
  case CRASH_TRUNCATE:
    return ftruncate (fd, call->offset);
  case CRASH_ALLOCATE:
    return fallocate (fd, call->flags, call->offset, call->size);
  case CRASH_SYNC:
    return call->flags ? fdatasync (fd) : fsync (fd);
  case CRASH_COPY:
    other = openat (root, call->path2, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return other < 0 ? -1
                     : closing (other, copy_file_range (fd, &(off_t){ call->offset }, other,
                                                        &(off_t){ call->offset2 }, call->size, 0));
  default:
    return 0;
  }
}

static int64_t
make_opened (const CrashCall *call, int root)
{
  int flags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  int fd;

  flags |= call->kind == CRASH_COPY || call->kind == CRASH_SYNC ? O_RDONLY : O_WRONLY;
  flags |= call->kind == CRASH_CREATE ? O_CREAT | O_EXCL : 0;
  fd = openat (root, call->path, flags, call->mode);
  return fd < 0 ? -1 : closing (fd, make_with_fd (call, root, fd));
}

/* One command: the whole text in one write. */
static int64_t
write_text (int root, const char *path, const char *text)
{
  int fd = openat (root, path, O_WRONLY | O_CLOEXEC);

  return fd < 0 ? -1 : closing (fd, write (fd, text, strlen (text)));
}

static int64_t
make_log (const CrashCall *call, int root)
{
  int fd = openat (root, "shared/log", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);

  return fd < 0 ? -1 : closing (fd, write (fd, call->text, CRASH_RECORD));
}

static int64_t
touch (const CrashCall *call, int root)
{
  struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_NOW } };

  if (call->time.tv_sec != 0)
    times[0] = times[1] = call->time;
  return utimensat (root, call->path, times, AT_SYMLINK_NOFOLLOW);
}

/* While names of the same file go because their lease has ended, the kernel counts the links that
 * are left on its own, and not always rightly; of what has none, in its eyes, it makes no more. */
static void
refresh_links (int root, const char *path)
{
  struct statx x;

  statx (root, path, AT_SYMLINK_NOFOLLOW | AT_STATX_FORCE_SYNC, STATX_NLINK, &x);
}

static int64_t
make_single (const CrashCall *call, int root)
{
  switch (call->kind) {
  case CRASH_RENAME:
    return renameat2 (root, call->path, root, call->path2, call->flags);
  case CRASH_LINK:
    refresh_links (root, call->path);
    return linkat (root, call->path, root, call->path2, 0);
  case CRASH_SYMLINK:
    return symlinkat (call->text, root, call->path);
  case CRASH_UNLINK:
    return unlinkat (root, call->path, 0);
  case CRASH_MKDIR:
  case CRASH_RESERVE:
    return mkdirat (root, call->path, call->mode);
  case CRASH_RMDIR:
  case CRASH_REVOKE:
    return unlinkat (root, call->path, AT_REMOVEDIR);
  case CRASH_CHMOD:
  case CRASH_CHMOD_FILE:
    return fchmodat (root, call->path, call->mode, 0);
  case CRASH_CHOWN:
    return fchownat (root, call->path, call->uid, call->uid, AT_SYMLINK_NOFOLLOW);
  case CRASH_TOUCH:
    return touch (call, root);
  case CRASH_REFRESH:
    return call->text[0] == '\0' ? touch (call, root) : write_text (root, call->path, call->text);
  case CRASH_MKNOD:
    return mknodat (root, call->path, call->mode, 0);
  case CRASH_GRANT:
  case CRASH_EDIT:
  case CRASH_END:
    return write_text (root, call->path, call->text);
  case CRASH_LOG:
    return make_log (call, root);
  default:
    return make_opened (call, root);
  }
}

int
crash_call_steps (const CrashCall *call)
{
  bool writes = call->kind == CRASH_WRITE || call->kind == CRASH_APPEND;

  return call->kind == CRASH_PUT || (writes && first_piece (call) < call->size) ? 2 : 1;
}

int64_t
crash_call_make (const CrashCall *call, int root, int from, int to, atomic_int *done)
{
  int64_t result;

  if (call->kind == CRASH_PUT)
    return make_put (call, root, from, to, done);
  if (call->kind == CRASH_WRITE || call->kind == CRASH_APPEND)
    return make_write (call, root, from, to, done);
  result = make_single (call, root);
  if (result >= 0 && done != NULL)
    *done = 1;
  return result;
}

void
crash_call_print (const CrashCall *call, FILE *out)
{
  fprintf (out, "%s", names[call->kind]);
  if (call->path[0] != '\0')
    fprintf (out, " '%s'", call->path);
  if (call->path2[0] != '\0')
    fprintf (out, " '%s'", call->path2);
  fprintf (out, " flags=%#x mode=%#o uid=%u offset=%" PRId64 ",%" PRId64 " size=%zu", call->flags,
           call->mode, call->uid, call->offset, call->offset2, call->size);
  if (call->time.tv_sec != 0)
    fprintf (out, " time=%jd", (intmax_t)call->time.tv_sec);
  if (call->text[0] != '\0')
    fprintf (out, " '%.1000s'", call->text);
}

bool
crash_lost (int error)
{
  return error == ENOTCONN || error == ECONNABORTED ||
         (error == EIO && atomic_load (&crash_run.stopping));
}
