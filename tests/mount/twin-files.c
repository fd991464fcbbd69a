/* SPDX-License-Identifier: MIT */

/* Owns the calls on descriptors and on values. */

#include "tests/mount/twin.h"

#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#define PAGE 4096

/* Descriptors. */

static int64_t
put_in_slot (TwinSide *side, int slot, int fd)
{
  if (fd < 0)
    return -1;
  if (side->fds[slot] >= 0)
    close (side->fds[slot]);
  side->fds[slot] = fd;
  return 0;
}

static void
choose_open (TwinChoices *choices, TwinCall *call)
{
  static const struct {
    int flag;
    unsigned percent;
  } flags[] = {
    { O_CREAT, 50 },     { O_EXCL, 10 },     { O_TRUNC, 15 }, { O_APPEND, 15 },
    { O_DIRECTORY, 10 }, { O_NOFOLLOW, 12 }, { O_PATH, 5 },   { O_NOATIME, 3 },
  };
  static const int accesses[] = { O_RDONLY, O_WRONLY, O_RDWR, O_RDWR };

  call->flags = TWIN_PICK (choices, accesses);
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
    if (twin_chance (choices, flags[i].percent))
      call->flags |= flags[i].flag;
  if (twin_chance (choices, 20))
    call->flags = O_RDONLY | O_DIRECTORY;
  twin_choose_path (choices, call->path, call->flags & O_DIRECTORY ? S_IFDIR : S_IFREG);
  call->at = twin_choose_at (choices);
  call->mode = twin_choose_mode (choices);
  call->slot = twin_choose_free_slot (choices);
}

static int64_t
run_open (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  /* Not to wait for the other end of a FIFO. */
  int flags = call->flags | O_NONBLOCK | O_CLOEXEC;

  return put_in_slot (side, call->slot,
                      openat (twin_side_dir (side, call->at), call->path, flags, call->mode));
}

static void
choose_slot (TwinChoices *choices, TwinCall *call)
{
  call->slot = twin_choose_slot (choices, 0);
  call->slot2 = twin_choose_free_slot (choices);
}

static void
choose_file_slot (TwinChoices *choices, TwinCall *call)
{
  call->slot = twin_choose_slot (choices, S_IFREG);
}

static int64_t
run_close (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  int result = close (side->fds[call->slot]);

  side->fds[call->slot] = -1;
  return result;
}

static int64_t
run_dup (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  return put_in_slot (side, call->slot2, fcntl (side->fds[call->slot], F_DUPFD_CLOEXEC, 0));
}

static int64_t
run_setfl (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  int flags = O_NONBLOCK | (call->seed % 2 == 0 ? O_APPEND : 0);

  return fcntl (side->fds[call->slot], F_SETFL, flags);
}

static int64_t
run_fsync (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  int fd = side->fds[call->slot];

  return call->seed % 2 == 0 ? fsync (fd) : fdatasync (fd);
}

/* Values. */

static int64_t
choose_size (TwinChoices *choices)
{
  static const unsigned sizes[] = { 0, 1, 100, PAGE, PAGE + 1, 16384, 16385, 40000, TWIN_DATA };

  return twin_chance (choices, 50) ? TWIN_PICK (choices, sizes) : twin_random (choices, 5000);
}

static void
choose_data (TwinChoices *choices, TwinCall *call)
{
  call->slot = twin_choose_slot (choices, S_IFREG);
  call->slot2 = twin_choose_slot (choices, S_IFREG);
  call->offset = twin_choose_offset (choices);
  call->offset2 = twin_choose_offset (choices);
  call->size = choose_size (choices);
}

static int64_t
run_read (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  return twin_got (answer, read (side->fds[call->slot], answer->data, call->size));
}

static int64_t
run_pread (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  return twin_got (answer, pread (side->fds[call->slot], answer->data, call->size, call->offset));
}

static void
split (struct iovec *parts, unsigned char *bytes, size_t size)
{
  size_t first = size / 3, second = size / 2;

  parts[0] = (struct iovec){ bytes, first };
  parts[1] = (struct iovec){ bytes + first, second };
  parts[2] = (struct iovec){ bytes + first + second, size - first - second };
}

static int64_t
run_readv (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  struct iovec parts[3];

  split (parts, answer->data, call->size);
  return twin_got (answer, readv (side->fds[call->slot], parts, 3));
}

/* Moves the times of `path`, or of `fd` itself if that is NULL: as root, who may. */
static void
touch (int fd, const char *path)
{
  uid_t user = geteuid ();

  if (seteuid (0) != 0 ||
      (path == NULL ? futimens (fd, NULL) : utimensat (fd, path, NULL, 0)) != 0 ||
      seteuid (user) != 0)
    abort ();
}

/* What is written to a FIFO moves its mtime; but FUSE is not told of it. So it is moved here. */
static int64_t
run_write (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  int fd = side->fds[call->slot];
  struct stat st;
  ssize_t result;

  twin_make_bytes (answer->data, call->size, call->seed);
  result = write (fd, answer->data, call->size);
  if (result > 0 && fstat (fd, &st) == 0 && S_ISFIFO (st.st_mode))
    touch (fd, NULL);
  return result;
}

static int64_t
run_pwrite (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  twin_make_bytes (answer->data, call->size, call->seed);
  return pwrite (side->fds[call->slot], answer->data, call->size, call->offset);
}

static int64_t
run_pwritev (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  struct iovec parts[3];

  twin_make_bytes (answer->data, call->size, call->seed);
  split (parts, answer->data, call->size);
  return pwritev (side->fds[call->slot], parts, 3, call->offset);
}

static void
choose_lseek (TwinChoices *choices, TwinCall *call)
{
  static const int whences[] = { SEEK_SET, SEEK_CUR, SEEK_END, 9 /* none */ };

  call->slot = twin_choose_slot (choices, S_IFREG);
  call->offset = twin_choose_offset (choices);
  call->flags = TWIN_PICK (choices, whences);
}

static int64_t
run_lseek (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  struct stat st;

  /* Where a directory ends is its own business. */
  if (fstat (side->fds[call->slot], &st) == 0 && S_ISDIR (st.st_mode))
    return lseek (side->fds[call->slot], 0, SEEK_SET);
  return lseek (side->fds[call->slot], call->offset, call->flags);
}

static void
choose_seek (TwinChoices *choices, TwinCall *call)
{
  call->slot = twin_choose_slot (choices, S_IFREG);
  call->offset = twin_choose_offset (choices);
  call->flags = twin_chance (choices, 50) ? SEEK_DATA : SEEK_HOLE;
}

/* Whether what is at `offset` is zeros, up to `end`: as far as one read tells. */
static bool
is_hole (int fd, off_t offset, off_t end, TwinAnswer *answer)
{
  ssize_t size = end - offset < TWIN_DATA ? end - offset : TWIN_DATA;

  size = pread (fd, answer->data, size, offset);
  for (ssize_t i = 0; i < size; i++)
    if (answer->data[i] != 0)
      return false;
  return true;
}

/* A tmpfs has pages, and thus data, wherever a mapping was read; so holes need not be the same, but
 * what is called a hole has to be one. */
static int64_t
run_seek (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  int fd = side->fds[call->slot], error;
  off_t before = lseek (fd, 0, SEEK_CUR), place = lseek (fd, call->offset, call->flags);
  struct stat st;

  error = errno;
  if (before >= 0)
    lseek (fd, before, SEEK_SET);
  errno = error;
  /* The kernel answers for directories of FUSE: as if they were data. */
  if (fstat (fd, &st) == 0 && S_ISDIR (st.st_mode))
    return 0;
  if (fstat (fd, &st) != 0 || !S_ISREG (st.st_mode) || call->offset < 0 ||
      call->offset >= st.st_size)
    return place;
  /* In the last page that a file can have, a tmpfs finds nothing, whatever there is. */
  if (st.st_size > INT64_MAX - PAGE)
    return 0;
  if (call->flags == SEEK_DATA)
    return is_hole (fd, call->offset, place >= 0 ? place : st.st_size, answer);
  return place >= call->offset && is_hole (fd, place, place + 1, answer);
}

static void
choose_truncate (TwinChoices *choices, TwinCall *call)
{
  twin_choose_path (choices, call->path, S_IFREG);
  call->slot = twin_choose_slot (choices, S_IFREG);
  call->size = twin_choose_offset (choices);
}

/* To a FUSE file system that is not told of opens, O_TRUNC looks like truncate(2) to nothing; but
 * of an empty file only the former moves mtime. So here it is moved after either. */
static int64_t
run_truncate (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  if (truncate (call->path, call->size) != 0)
    return -1;
  if (call->size == 0)
    touch (AT_FDCWD, call->path);
  return 0;
}

static int64_t
run_ftruncate (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  return ftruncate (side->fds[call->slot], call->size);
}

static void
choose_fallocate (TwinChoices *choices, TwinCall *call)
{
  static const int modes[] = { 0,
                               0,
                               FALLOC_FL_KEEP_SIZE,
                               FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               FALLOC_FL_PUNCH_HOLE };

  choose_data (choices, call);
  call->flags = TWIN_PICK (choices, modes);
}

static int64_t
run_fallocate (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  return fallocate (side->fds[call->slot], call->flags, call->offset, call->size);
}

static int64_t
run_copy_range (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  off64_t from = call->offset, to = call->offset2;
  bool own = call->seed % 4 == 0;

  return copy_file_range (side->fds[call->slot], own ? NULL : &from, side->fds[call->slot2],
                          own ? NULL : &to, call->size, call->seed % 32 == 1);
}

static int64_t
run_sendfile (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  off_t from = call->offset;
  struct stat a, b;

  /* From a file into itself, what is sent may be what was just received. */
  if (fstat (side->fds[call->slot], &a) == 0 && fstat (side->fds[call->slot2], &b) == 0 &&
      a.st_ino == b.st_ino)
    return 0;
  return sendfile (side->fds[call->slot2], side->fds[call->slot], &from, call->size);
}

/* Writes through a shared mapping, up to the end of the file: beyond it there is a signal. By POSIX
 * that moves mtime; but not on tmpfs. So it is moved here. */
static int64_t
run_mmap (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  off_t offset = call->offset / PAGE * PAGE;
  int fd = side->fds[call->slot];
  struct stat st;
  size_t size;
  void *map = mmap (NULL, call->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);

  if (map == MAP_FAILED)
    return -1;
  if (fstat (fd, &st) != 0 || st.st_size <= offset)
    size = 0;
  else
    size = st.st_size - offset < call->size ? st.st_size - offset : call->size;
  memcpy (answer->data, map, size);
  answer->size = size;
  twin_make_bytes (map, size / 2, call->seed);
  if (msync (map, call->size, MS_SYNC) != 0 || munmap (map, call->size) != 0)
    return -1;
  touch (fd, NULL);
  return size;
}

const TwinKind twin_file_kinds[] = {
  { "open", 90, choose_open, run_open },
  { "close", 40, choose_slot, run_close },
  { "dup", 8, choose_slot, run_dup },
  { "setfl", 8, choose_file_slot, run_setfl },
  { "fsync", 6, choose_slot, run_fsync },
  { "read", 25, choose_data, run_read },
  { "pread", 25, choose_data, run_pread },
  { "readv", 10, choose_data, run_readv },
  { "write", 40, choose_data, run_write },
  { "pwrite", 40, choose_data, run_pwrite },
  { "pwritev", 12, choose_data, run_pwritev },
  { "lseek", 20, choose_lseek, run_lseek },
  { "seek", 12, choose_seek, run_seek },
  { "truncate", 15, choose_truncate, run_truncate },
  { "ftruncate", 20, choose_truncate, run_ftruncate },
  { "fallocate", 25, choose_fallocate, run_fallocate },
  { "copy", 15, choose_data, run_copy_range },
  { "sendfile", 10, choose_data, run_sendfile },
  { "mmap", 20, choose_data, run_mmap },
  { 0 },
};
