/* SPDX-License-Identifier: MIT */

/* What SQLite does at the system's interface for a transaction costs more than all the rest of it:
 * two writes for each page, and six calls to fcntl(2) for locks. Both are spared here.
 *
 * The log: of each page, SQLite writes a header and then the page, one behind the other (see
 * https://www.sqlite.org/walformat.html). What is certain to be continued is kept in `run`: a
 * header, and any page but the last of its transaction, of which the header tells. So nothing is
 * kept when SQLite makes a transaction known. Everything that does not simply continue what was
 * written last goes through at once, behind what is kept.
 *
 * SQLite adds a transaction to the log's index when it is in the log. If there is no room on the
 * disk for that, the transaction fails, and yet who reads the log after a crash finds it. So its
 * place in the index is made before its last frame is written. SQLite makes it by one byte in each
 * 4096, and writes the others through memory: where the disk has smaller blocks and is full, that
 * kills the process (SIGBUS). So all of them get their place before SQLite is given the memory.
 *
 * The locks: the right to write stays where it is (`has_right`). Then the connection that has it is
 * the only one to make a change known, and what others copy into the database is never newer than
 * what it reads itself: its locks for reading would keep nobody from anything, and are not taken.
 * It leaves the marks that tell how much of the log a reader needs to others, if there are any set.
 * Before it begins the log anew it takes all locks of readers, and as ever leaves that if there are
 * any; and the right to copy as well, so that nobody copies by an outdated notion of the log. */

#include "leases/state-vfs.h"

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
  LOG_HEADER_SIZE = 32,
  FRAME_HEADER_SIZE = 24,
  FRAME_HEADER_PAGES = 4, /* of the database after the transaction; 0: it goes on */
};

/* SQLite never writes more at once than the largest page has, and takes 128 KiB for nothing. */
#define RUN_MAX 65536

/* The index comes in regions, and the first one begins with other things. */
enum {
  REGION_SIZE = 32768,
  REGION_FRAMES = 4096,
  FIRST_REGION_FRAMES = 4062,
};

/* The locks, and their places: those of readers are the last. */
enum {
  LOCK_WRITE,
  LOCK_COPY,
  LOCK_RECOVER,
  LOCK_READ,
};

typedef struct File File;
struct File {
  sqlite3_file base;
  sqlite3_file *real;

  GByteArray *run; /* of a log, else NULL: what is still to be written, up to `end` */
  int64_t end;     /* where SQLite is expected to go on; -1: anywhere */
  bool in_frame;   /* that was a header */
  bool in_last;    /* of the last frame of a transaction */
  File *database;  /* whose log it is; NULL: of a connection that need not care for the index */
  int regions;     /* of the index that are known to be there */

  bool keeps_right, has_right;
  unsigned reads;   /* the locks of readers that it has, a bit for each */
  unsigned refused; /* those that it was told to be taken, since it was given one */
};

typedef struct {
  sqlite3_vfs base;
  sqlite3_vfs *real;
} Vfs;

static sqlite3_file *
real_of (sqlite3_file *base)
{
  return ((File *)base)->real;
}

/* The log */

/* What could not be written is of a transaction that fails for it. */
static int
write_run (File *file)
{
  int size = (int)file->run->len, code;

  if (size == 0)
    return SQLITE_OK;
  code = file->real->pMethods->xWrite (file->real, file->run->data, size, file->end - size);
  if (code != SQLITE_OK)
    file->end -= size;
  g_byte_array_set_size (file->run, 0);
  return code;
}

static int
write_rest (sqlite3_file *base)
{
  File *file = (File *)base;

  return file->run != NULL ? write_run (file) : SQLITE_OK;
}

/* Whether what is written at the end of the log is certain to be continued. */
static bool
note_piece (File *file, const unsigned char *data, int size)
{
  bool is_page = file->in_frame;

  file->in_frame = size == FRAME_HEADER_SIZE;
  if (!file->in_frame)
    return is_page && !file->in_last;
  file->in_last = false;
  for (int i = 0; i < 4; i++)
    file->in_last |= data[FRAME_HEADER_PAGES + i] != 0;
  return true;
}

/* Makes the place in the index for a page of the log. */
static int
make_place (File *file, int size, int64_t offset)
{
  sqlite3_file *database = file->database != NULL ? &file->database->base : NULL;
  int64_t before = (offset - LOG_HEADER_SIZE) / (size + FRAME_HEADER_SIZE);
  int region = (int)((before + REGION_FRAMES - FIRST_REGION_FRAMES) / REGION_FRAMES);
  void volatile *memory;
  int code;

  if (database == NULL || region < file->regions)
    return SQLITE_OK;
  code = database->pMethods->xShmMap (database, region, REGION_SIZE, 1, &memory);
  if (code == SQLITE_OK)
    file->regions = region + 1;
  return code;
}

static int
write_log (File *file, const void *data, int size, int64_t offset)
{
  bool is_page = file->in_frame, at_end = offset == file->end;
  bool goes_on = note_piece (file, data, size);
  bool fits = file->run->len + (guint)size <= RUN_MAX;
  int code = is_page ? make_place (file, size, offset) : SQLITE_OK;

  if (code == SQLITE_OK && !(at_end && fits))
    code = write_run (file);
  if (code != SQLITE_OK)
    return code;
  if (!at_end) {
    code = file->real->pMethods->xWrite (file->real, data, size, offset);
    file->end = code == SQLITE_OK && size == FRAME_HEADER_SIZE ? offset + size : -1;
    return code;
  }
  g_byte_array_append (file->run, data, (guint)size);
  file->end += size;
  return goes_on ? SQLITE_OK : write_run (file);
}

static int
write_file (sqlite3_file *base, const void *data, int size, sqlite3_int64 offset)
{
  File *file = (File *)base;

  return file->run != NULL ? write_log (file, data, size, offset)
                           : file->real->pMethods->xWrite (file->real, data, size, offset);
}

static int
read_file (sqlite3_file *base, void *data, int size, sqlite3_int64 offset)
{
  int code = write_rest (base);

  return code != SQLITE_OK ? code
                           : real_of (base)->pMethods->xRead (real_of (base), data, size, offset);
}

static int
truncate_file (sqlite3_file *base, sqlite3_int64 size)
{
  int code = write_rest (base);

  return code != SQLITE_OK ? code : real_of (base)->pMethods->xTruncate (real_of (base), size);
}

static int
sync_file (sqlite3_file *base, int flags)
{
  int code = write_rest (base);

  return code != SQLITE_OK ? code : real_of (base)->pMethods->xSync (real_of (base), flags);
}

static int
size_of_file (sqlite3_file *base, sqlite3_int64 *size_out)
{
  int code = write_rest (base);

  return code != SQLITE_OK ? code : real_of (base)->pMethods->xFileSize (real_of (base), size_out);
}

/* What is left is of a transaction that was rolled back. */
static int
close_file (sqlite3_file *base)
{
  File *file = (File *)base;
  int code = file->real->pMethods->xClose (file->real);

  g_clear_pointer (&file->run, g_byte_array_unref);
  return code;
}

/* The index */

/* Linux before 5.14 does not know how. */
static int
make_blocks (void volatile *memory, int size)
{
  uintptr_t page_size = (uintptr_t)sysconf (_SC_PAGESIZE);
  uintptr_t begin = (uintptr_t)memory / page_size * page_size;

  if (madvise ((void *)begin, (uintptr_t)memory + (uintptr_t)size - begin, MADV_POPULATE_WRITE) ==
      0)
    return SQLITE_OK;
  return errno == EFAULT ? SQLITE_FULL : errno == EINVAL ? SQLITE_OK : SQLITE_IOERR_SHMMAP;
}

/* That the disk is full SQLite says of writes only. It keeps what is in `memory_out` though this
 * fails. */
static int
map_shared (sqlite3_file *base, int page, int size, int extend, void volatile **memory_out)
{
  int code = real_of (base)->pMethods->xShmMap (real_of (base), page, size, extend, memory_out);

  if (code == SQLITE_IOERR_SHMSIZE && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
    return SQLITE_FULL;
  if (code != SQLITE_OK || *memory_out == NULL)
    return code;
  code = make_blocks (*memory_out, size);
  if (code != SQLITE_OK)
    *memory_out = NULL;
  return code;
}

/* The locks */

static int
lock_real (File *file, int place, int count, int flags)
{
  return file->real->pMethods->xShmLock (file->real, place, count, flags);
}

static int
lock_writing (File *file, int flags)
{
  int code = SQLITE_OK;

  if (flags & SQLITE_SHM_LOCK && !file->has_right)
    code = lock_real (file, LOCK_WRITE, 1, flags);
  file->has_right = code == SQLITE_OK;
  return code;
}

/* Whether SQLite does without the lock of this reader. If it is told that all marks are in use, it
 * takes an older one, or, where there is none, asks for all of them again. */
static bool
spares_reading (File *file, unsigned bit, int flags, int *code_out)
{
  bool moves = flags & SQLITE_SHM_EXCLUSIVE;

  *code_out = SQLITE_OK;
  if (flags & SQLITE_SHM_UNLOCK)
    return !(file->reads & bit);
  if (!file->has_right || (moves && file->refused & bit))
    return false;
  file->refused = moves ? file->refused | bit : 0;
  *code_out = moves ? SQLITE_BUSY : SQLITE_OK;
  return true;
}

/* That of one reader; all to itself, to move its mark. */
static int
lock_reading (File *file, int place, int flags)
{
  unsigned bit = 1u << place;
  bool locks = flags & SQLITE_SHM_LOCK;
  int code;

  if (spares_reading (file, bit, flags, &code))
    return code;
  code = lock_real (file, place, 1, flags);
  if (code == SQLITE_OK)
    file->reads = locks ? file->reads | bit : file->reads & ~bit;
  return code;
}

/* Those of all readers, for beginning the log anew. */
static int
lock_readers (File *file, int place, int count, int flags)
{
  bool locks = flags & SQLITE_SHM_LOCK;
  int code = locks ? lock_real (file, LOCK_COPY, 1, flags) : SQLITE_OK, unlocked = SQLITE_OK;

  if (code != SQLITE_OK)
    return code;
  code = lock_real (file, place, count, flags);
  if (!locks || code != SQLITE_OK)
    unlocked = lock_real (file, LOCK_COPY, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
  return code != SQLITE_OK ? code : unlocked;
}

static int
lock_shared (sqlite3_file *base, int place, int count, int flags)
{
  File *file = (File *)base;

  if (place >= LOCK_READ && count == 1)
    return lock_reading (file, place, flags);
  if (place == LOCK_WRITE && count == 1 && file->keeps_right)
    return lock_writing (file, flags);
  if (place > LOCK_READ && file->keeps_right)
    return lock_readers (file, place, count, flags);
  return lock_real (file, place, count, flags);
}

void
lease_state_vfs_keep_right (sqlite3_file *database, sqlite3_file *log)
{
  ((File *)database)->keeps_right = true;
  ((File *)log)->database = (File *)database;
}

void
lease_state_vfs_lend_right (sqlite3_file *database)
{
  File *file = (File *)database;

  if (file->has_right)
    lock_real (file, LOCK_WRITE, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
  file->has_right = false;
}

/* The rest goes through. */

static int
lock_file (sqlite3_file *base, int level)
{
  return real_of (base)->pMethods->xLock (real_of (base), level);
}

static int
unlock_file (sqlite3_file *base, int level)
{
  return real_of (base)->pMethods->xUnlock (real_of (base), level);
}

static int
check_reserved_lock (sqlite3_file *base, int *result_out)
{
  return real_of (base)->pMethods->xCheckReservedLock (real_of (base), result_out);
}

static int
control_file (sqlite3_file *base, int what, void *argument)
{
  return real_of (base)->pMethods->xFileControl (real_of (base), what, argument);
}

static int
sector_size (sqlite3_file *base)
{
  return real_of (base)->pMethods->xSectorSize (real_of (base));
}

static int
characteristics (sqlite3_file *base)
{
  return real_of (base)->pMethods->xDeviceCharacteristics (real_of (base));
}

static void
barrier (sqlite3_file *base)
{
  real_of (base)->pMethods->xShmBarrier (real_of (base));
}

static int
unmap_shared (sqlite3_file *base, int remove)
{
  ((File *)base)->has_right = false;
  ((File *)base)->reads = 0;
  return real_of (base)->pMethods->xShmUnmap (real_of (base), remove);
}

static const sqlite3_io_methods methods = {
  .iVersion = 2,
  .xClose = close_file,
  .xRead = read_file,
  .xWrite = write_file,
  .xTruncate = truncate_file,
  .xSync = sync_file,
  .xFileSize = size_of_file,
  .xLock = lock_file,
  .xUnlock = unlock_file,
  .xCheckReservedLock = check_reserved_lock,
  .xFileControl = control_file,
  .xSectorSize = sector_size,
  .xDeviceCharacteristics = characteristics,
  .xShmMap = map_shared,
  .xShmLock = lock_shared,
  .xShmBarrier = barrier,
  .xShmUnmap = unmap_shared,
};

/* What is neither the database nor its log is opened as ever. */
static int
open_file (sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags, int *flags_out)
{
  sqlite3_vfs *real = ((Vfs *)vfs)->real;
  File *file = (File *)base;
  int code;

  if (!(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)))
    return real->xOpen (real, path, base, flags, flags_out);
  *file = (File){ .real = (sqlite3_file *)(file + 1), .end = -1 };
  code = real->xOpen (real, path, file->real, flags, flags_out);
  if (code != SQLITE_OK)
    return code;
  if (flags & SQLITE_OPEN_WAL)
    file->run = g_byte_array_new ();
  base->pMethods = &methods;
  return SQLITE_OK;
}

sqlite3_vfs *
lease_state_vfs_new (void)
{
  Vfs *vfs = g_new0 (Vfs, 1);

  vfs->real = sqlite3_vfs_find (NULL);
  vfs->base = *vfs->real;
  vfs->base.zName = g_strdup_printf ("leasefs-%p", (void *)vfs);
  vfs->base.pNext = NULL;
  vfs->base.szOsFile = (int)sizeof (File) + vfs->real->szOsFile;
  vfs->base.xOpen = open_file;
  sqlite3_vfs_register (&vfs->base, 0);
  return &vfs->base;
}

void
lease_state_vfs_free (sqlite3_vfs *vfs)
{
  sqlite3_vfs_unregister (vfs);
  g_free ((char *)vfs->zName);
  g_free (vfs);
}
