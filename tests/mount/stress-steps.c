/* SPDX-License-Identifier: MIT */

/* What a thread does at random, all of it in one small pool of names. */

#include "tests/mount/random.h"
#include "tests/mount/stress.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LEASES 6
#define MAPPED 65536
#define VALUE_MAX 20000
#define SPARSE (INT64_C (1) << 24)

static const char *const names[] = { "a", "b", "c", "d", "e", "f" };
static const char *const pseudo_files[] = { "ttl", "granted", "keys", "procs" };
static const char *const ttls[] = { "0.001\n", "0.002\n", "0.005\n", "0.02\n",
                                    "0.1\n",   "0.5\n",   "1\n",     "3\n" };

static unsigned
below (StressWorker *worker, unsigned end)
{
  return random_below (&worker->random, end);
}

/* True once in `times`. */
static bool
rarely (StressWorker *worker, unsigned times)
{
  return below (worker, times) == 0;
}

#define ONE_OF(worker, array) ((array)[below ((worker), sizeof (array) / sizeof *(array))])

/* A path from the mount's root or, now and then, from a directory that is held open. */
typedef struct {
  int at;
  char path[64];
} Place;

static void
pick_lease (StressWorker *worker, char *path, size_t size, const char *in_it)
{
  snprintf (path, size, "leases/L%u%s%s", below (worker, LEASES), in_it == NULL ? "" : "/",
            in_it == NULL ? "" : in_it);
}

static void
pick (StressWorker *worker, Place *place)
{
  int directory = ONE_OF (worker, worker->directories);
  unsigned depth = 1 + rarely (worker, 2) + rarely (worker, 4);
  char path[sizeof place->path] = "";

  place->at = AT_FDCWD;
  if (directory >= 0 && rarely (worker, 8))
    place->at = directory;
  else if (rarely (worker, 4))
    pick_lease (worker, path, sizeof path, NULL);
  for (unsigned i = 0; i < depth; i++) {
    size_t length = strlen (path);
    snprintf (path + length, sizeof path - length, "%s%s", length == 0 ? "" : "/",
              ONE_OF (worker, names));
  }
  memcpy (place->path, path, sizeof path);
}

/* As pick(), and sometimes what has rules of its own: leases and pseudo-files. */
static void
pick_any (StressWorker *worker, Place *place)
{
  pick (worker, place);
  if (!rarely (worker, 16))
    return;
  place->at = AT_FDCWD;
  if (rarely (worker, 4))
    strcpy (place->path, "leases");
  else
    pick_lease (worker, place->path, sizeof place->path,
                rarely (worker, 2) ? NULL : ONE_OF (worker, pseudo_files));
}

static void
drop (StressWorker *worker, int *fd)
{
  if (*fd >= 0)
    stress_did (worker, CLOSE, close (*fd));
  *fd = -1;
}

/* Keeps what has been opened, in the place of another one. */
static void
keep (StressWorker *worker, int fd)
{
  struct stat st = { 0 };
  int *slot = NULL;

  if (stress_did (worker, FSTAT, fstat (fd, &st)) && S_ISREG (st.st_mode))
    slot = &ONE_OF (worker, worker->files);
  else if (S_ISDIR (st.st_mode))
    slot = &ONE_OF (worker, worker->directories);
  if (slot == NULL) {
    drop (worker, &fd);
    return;
  }
  drop (worker, slot);
  *slot = fd;
}

/* Steps with a path */

static void
step_open (StressWorker *worker)
{
  static const int choices[] = { O_CREAT, O_CREAT | O_EXCL, O_CREAT | O_TRUNC, O_CREAT | O_APPEND,
                                 O_TRUNC, O_APPEND,         O_NOFOLLOW,        0 };
  Place place;

  pick (worker, &place);
  int fd = openat (place.at, place.path, O_RDWR | O_NONBLOCK | O_CLOEXEC | ONE_OF (worker, choices),
                   0644);
  if (stress_did (worker, OPEN, fd))
    keep (worker, fd);
}

static void
step_open_directory (StressWorker *worker)
{
  Place place;

  pick (worker, &place);
  int fd = openat (place.at, place.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (stress_did (worker, OPEN_DIRECTORY, fd))
    keep (worker, fd);
}

static void
step_open_temporary (StressWorker *worker)
{
  Place place;

  pick (worker, &place);
  int fd = openat (place.at, place.path, O_RDWR | O_TMPFILE | O_CLOEXEC, 0644);
  if (stress_did (worker, OPEN_TEMPORARY, fd))
    keep (worker, fd);
}

static void
step_stat (StressWorker *worker)
{
  struct stat st;
  Place place;

  pick_any (worker, &place);
  stress_did (worker, STAT,
              fstatat (place.at, place.path, &st, rarely (worker, 2) ? AT_SYMLINK_NOFOLLOW : 0));
}

static void
step_statvfs (StressWorker *worker)
{
  struct statvfs st;
  Place place;

  pick (worker, &place);
  if (place.at == AT_FDCWD)
    stress_did (worker, STATVFS, statvfs (place.path, &st));
}

static void
step_mkdir (StressWorker *worker)
{
  Place place;

  pick (worker, &place);
  stress_did (worker, MKDIR, mkdirat (place.at, place.path, 0755));
}

static void
step_mkfifo (StressWorker *worker)
{
  Place place;

  pick (worker, &place);
  stress_did (worker, MKFIFO, mkfifoat (place.at, place.path, 0644));
}

static void
step_symlink (StressWorker *worker)
{
  Place place, target;

  pick (worker, &place);
  pick (worker, &target);
  stress_did (worker, SYMLINK, symlinkat (target.path, place.at, place.path));
}

static void
step_readlink (StressWorker *worker)
{
  char text[256];
  Place place;

  pick (worker, &place);
  stress_did (worker, READLINK, readlinkat (place.at, place.path, text, sizeof text));
}

static void
step_link (StressWorker *worker)
{
  Place from, to;

  pick_any (worker, &from);
  pick_any (worker, &to);
  stress_did (worker, LINK, linkat (from.at, from.path, to.at, to.path, 0));
}

static void
step_rename (StressWorker *worker)
{
  Place from, to;
  unsigned flags = rarely (worker, 3) ? RENAME_NOREPLACE : rarely (worker, 3) ? RENAME_EXCHANGE : 0;

  pick_any (worker, &from);
  pick_any (worker, &to);
  stress_did (worker, flags == RENAME_EXCHANGE ? EXCHANGE : RENAME,
              renameat2 (from.at, from.path, to.at, to.path, flags));
}

static void
step_unlink (StressWorker *worker)
{
  Place place;

  pick_any (worker, &place);
  stress_did (worker, UNLINK, unlinkat (place.at, place.path, 0));
}

static void
step_rmdir (StressWorker *worker)
{
  Place place;

  pick (worker, &place);
  stress_did (worker, RMDIR, unlinkat (place.at, place.path, AT_REMOVEDIR));
}

static void
step_truncate (StressWorker *worker)
{
  Place place;

  pick (worker, &place);
  if (place.at == AT_FDCWD)
    stress_did (worker, TRUNCATE, truncate (place.path, below (worker, VALUE_MAX)));
}

static void
step_chmod (StressWorker *worker)
{
  Place place;

  pick_any (worker, &place);
  stress_did (worker, CHMOD, fchmodat (place.at, place.path, below (worker, 01000), 0));
}

static void
step_touch (StressWorker *worker)
{
  Place place;

  pick (worker, &place);
  stress_did (worker, TOUCH, utimensat (place.at, place.path, NULL, 0));
}

static void
step_xattr (StressWorker *worker)
{
  static const char *const attributes[] = { "user.lease", "user.a", "user.b" };
  const char *name = ONE_OF (worker, attributes);
  char value[1024];
  Place place;

  pick_any (worker, &place);
  if (place.at != AT_FDCWD)
    return;
  int size = snprintf (value, sizeof value, "L%u", below (worker, LEASES));
  stress_did (worker, SET_XATTR, lsetxattr (place.path, name, value, size, (int)below (worker, 3)));
  stress_did (worker, GET_XATTR, lgetxattr (place.path, name, value, sizeof value));
  stress_did (worker, LIST_XATTRS, llistxattr (place.path, value, sizeof value));
  if (rarely (worker, 2))
    stress_did (worker, REMOVE_XATTR, lremovexattr (place.path, name));
}

/* Steps with a descriptor */

static void
step_close (StressWorker *worker)
{
  drop (worker, &ONE_OF (worker, worker->files));
  drop (worker, &ONE_OF (worker, worker->directories));
}

static void
use_read (StressWorker *worker, int fd)
{
  char bytes[VALUE_MAX];

  stress_did (worker, READ,
              rarely (worker, 2) ? read (fd, bytes, sizeof bytes)
                                 : pread (fd, bytes, sizeof bytes, below (worker, 2 * VALUE_MAX)));
}

static void
use_write (StressWorker *worker, int fd)
{
  char bytes[VALUE_MAX];
  off_t offset = rarely (worker, 8) ? SPARSE : below (worker, 2 * VALUE_MAX);
  size_t size = 1 + below (worker, rarely (worker, 4) ? sizeof bytes : 100);

  memset (bytes, 'x', size);
  stress_did (worker, WRITE,
              rarely (worker, 2) ? write (fd, bytes, size) : pwrite (fd, bytes, size, offset));
}

static void
use_ftruncate (StressWorker *worker, int fd)
{
  stress_did (worker, FTRUNCATE, ftruncate (fd, below (worker, 2 * VALUE_MAX)));
}

static void
use_fallocate (StressWorker *worker, int fd)
{
  static const int modes[] = { 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
                               FALLOC_FL_ZERO_RANGE };

  stress_did (worker, FALLOCATE,
              fallocate (fd, ONE_OF (worker, modes), below (worker, VALUE_MAX),
                         1 + below (worker, VALUE_MAX)));
}

static void
use_lseek (StressWorker *worker, int fd)
{
  static const int whences[] = { SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE };

  stress_did (worker, SEEK, lseek (fd, below (worker, VALUE_MAX), ONE_OF (worker, whences)));
}

static void
use_metadata (StressWorker *worker, int fd)
{
  struct stat st;

  stress_did (worker, FSTAT, fstat (fd, &st));
  if (rarely (worker, 2))
    stress_did (worker, FTOUCH, futimens (fd, NULL));
  if (rarely (worker, 4))
    stress_did (worker, FCHMOD, fchmod (fd, below (worker, 01000)));
}

static void
use_fsync (StressWorker *worker, int fd)
{
  stress_did (worker, FSYNC, rarely (worker, 2) ? fsync (fd) : fdatasync (fd));
}

static void
use_flock (StressWorker *worker, int fd)
{
  static const int locks[] = { LOCK_EX, LOCK_SH, LOCK_UN };

  stress_did (worker, FLOCK, flock (fd, ONE_OF (worker, locks) | LOCK_NB));
}

/* By system calls on the other side, so that a page that cannot be had is an error and no signal.
 */
static void
use_mmap (StressWorker *worker, int fd)
{
  void *mapping = mmap (NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

  if (!stress_did (worker, MMAP, (intptr_t)mapping))
    return;
  stress_did (worker, MAPPING_READ, pwrite (worker->memory, mapping, 5000, 0));
  if (rarely (worker, 2))
    stress_did (worker, MAPPING_WRITE, pread (worker->memory, mapping, 5000, 0));
  if (rarely (worker, 2))
    stress_did (worker, MSYNC, msync (mapping, MAPPED, rarely (worker, 2) ? MS_SYNC : MS_ASYNC));
  munmap (mapping, MAPPED);
}

static void
step_use_file (StressWorker *worker)
{
  static void (*const uses[]) (
      StressWorker *, int) = { use_read,  use_write,    use_write, use_ftruncate, use_fallocate,
                               use_lseek, use_metadata, use_fsync, use_flock,     use_mmap };
  int fd = ONE_OF (worker, worker->files);

  if (fd >= 0)
    ONE_OF (worker, uses) (worker, fd);
}

static void
step_copy (StressWorker *worker)
{
  int from = ONE_OF (worker, worker->files), to = ONE_OF (worker, worker->files);
  off_t in = below (worker, VALUE_MAX), out = VALUE_MAX + below (worker, VALUE_MAX);

  /* It cannot append. */
  if (from >= 0 && to >= 0 && from != to && !(fcntl (to, F_GETFL) & O_APPEND))
    stress_did (worker, COPY, copy_file_range (from, &in, to, &out, VALUE_MAX, 0));
}

static void
step_list (StressWorker *worker)
{
  int fd = ONE_OF (worker, worker->directories);
  char entries[1024];
  ssize_t size = 0;

  if (rarely (worker, 8)) {
    fd = open (rarely (worker, 2) ? "." : "leases", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!stress_did (worker, OPEN_DIRECTORY, fd))
      return;
    keep (worker, fd);
  }
  if (fd < 0)
    return;
  lseek (fd, 0, SEEK_SET);
  do
    size = getdents64 (fd, entries, sizeof entries);
  while (stress_did (worker, READDIR, size) && size > 0);
}

/* Steps with a lease */

static void
step_reserve (StressWorker *worker)
{
  char path[64];

  pick_lease (worker, path, sizeof path, NULL);
  stress_did (worker, RESERVE, mkdir (path, 0755));
}

/* Writes a command to a file of a lease. */
static void
tell (StressWorker *worker, StressCall call, const char *path, const char *text)
{
  static const int choices[] = { O_TRUNC, O_APPEND, 0 };
  int fd = open (path, O_WRONLY | O_CLOEXEC | ONE_OF (worker, choices));

  if (!stress_did (worker, OPEN_PSEUDO_FILE, fd))
    return;
  stress_did (worker, call, write (fd, text, strlen (text)));
  drop (worker, &fd);
}

static void
step_grant (StressWorker *worker)
{
  char path[64];

  pick_lease (worker, path, sizeof path, "ttl");
  tell (worker, GRANT, path, ONE_OF (worker, ttls));
}

static void
step_refresh (StressWorker *worker)
{
  bool by_directory = rarely (worker, 3);
  char path[64];

  pick_lease (worker, path, sizeof path, by_directory ? NULL : "ttl");
  if (by_directory)
    stress_did (worker, TOUCH_LEASE, utimensat (AT_FDCWD, path, NULL, 0));
  else if (rarely (worker, 2))
    stress_did (worker, TOUCH_TTL, utimensat (AT_FDCWD, path, NULL, 0));
  else
    tell (worker, REFRESH, path, "\n");
}

static void
step_edit_keys (StressWorker *worker)
{
  char path[64], line[80];
  Place place;

  pick_lease (worker, path, sizeof path, "keys");
  pick (worker, &place);
  snprintf (line, sizeof line, "-%s\n", place.path);
  tell (worker, ATTACH, path, line + 1);
  if (rarely (worker, 2))
    tell (worker, DETACH, path, line);
}

static void
step_ask (StressWorker *worker)
{
  char path[64], text[16384];

  pick_lease (worker, path, sizeof path, ONE_OF (worker, pseudo_files));
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  if (!stress_did (worker, OPEN_PSEUDO_FILE, fd))
    return;
  while (stress_did (worker, READ_PSEUDO_FILE, read (fd, text, sizeof text)) && rarely (worker, 2))
    ;
  drop (worker, &fd);
}

/* The put with a lease in one step. */
static void
step_put (StressWorker *worker)
{
  char path[64];
  Place place;

  pick_lease (worker, path, sizeof path, ONE_OF (worker, names));
  int fd = open (path, O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0644);
  if (!stress_did (worker, OPEN, fd))
    return;
  keep (worker, fd);
  pick (worker, &place);
  if (rarely (worker, 2))
    stress_did (worker, RENAME, renameat (AT_FDCWD, path, place.at, place.path));
  else
    stress_did (worker, LINK, linkat (AT_FDCWD, path, place.at, place.path, 0));
}

static void
step_revoke (StressWorker *worker)
{
  char path[64];

  pick_lease (worker, path, sizeof path, NULL);
  stress_did (worker, REVOKE, rmdir (path));
}

/* What is here twice is done twice as often. */
static void (*const steps[]) (StressWorker *) = {
  step_open,     step_open,     step_open_directory, step_open_temporary, step_stat,
  step_statvfs,  step_mkdir,    step_mkfifo,         step_symlink,        step_readlink,
  step_link,     step_rename,   step_rename,         step_unlink,         step_rmdir,
  step_truncate, step_chmod,    step_touch,          step_close,          step_use_file,
  step_use_file, step_use_file, step_use_file,       step_copy,           step_list,
  step_list,     step_reserve,  step_reserve,        step_grant,          step_grant,
  step_refresh,  step_refresh,  step_edit_keys,      step_edit_keys,      step_ask,
  step_put,      step_put,      step_revoke,         step_xattr,
};

bool
stress_begin (StressWorker *worker)
{
  memset (worker->files, -1, sizeof worker->files);
  memset (worker->directories, -1, sizeof worker->directories);
  worker->memory = memfd_create ("stress", MFD_CLOEXEC);
  return worker->memory >= 0 && ftruncate (worker->memory, MAPPED) == 0;
}

void
stress_step (StressWorker *worker)
{
  ONE_OF (worker, steps) (worker);
}

void
stress_finish (StressWorker *worker)
{
  for (int i = 0; i < STRESS_FILES; i++)
    drop (worker, &worker->files[i]);
  for (int i = 0; i < STRESS_DIRECTORIES; i++)
    drop (worker, &worker->directories[i]);
  close (worker->memory);
}
