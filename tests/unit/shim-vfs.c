/* SPDX-License-Identifier: MIT */

/* Each file's disk is kept as bytes beside a list of what has been done to it since: a sync applies
 * the list to the bytes. The files themselves are the kernel's, as ever.
 *
 * A file that was made is there for good from its first sync on, one that was deleted is gone at
 * once if the call asks for the directory to be synced, else when its successor is synced. */

#include "tests/unit/shim-vfs.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <string.h>

#define SECTOR ((int64_t)512)

typedef enum {
  MAKE,
  WRITE,
  TRUNCATE,
  DELETE,
} Type;

typedef struct {
  Type type;
  int64_t offset; /* TRUNCATE: the new size */
  GBytes *bytes;  /* of WRITE */
} Step;

typedef struct {
  GByteArray *bytes; /* NULL: there is no such file */
  GArray *steps;     /* of Step */
} Disk;

typedef struct {
  sqlite3_file base;
  Disk *disk; /* NULL: of no interest */
  sqlite3_file *real;
  bool is_database;
  int last_errno; /* of a call that failed here; 0: none has */
} File;

typedef struct {
  bool on;
  unsigned good, failed;
  int code, number;
} Fault;

/* Under the lock are all that follow. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static GHashTable *disks; /* path to Disk */
static Fault faults[4];
static void (*before_write) (void *data); /* NULL: nothing */
static void *before_write_data;
static bool cut_set;
static unsigned cut_after;
static GHashTable *cut_disks; /* as they were then, NULL before */

static sqlite3_vfs *real_vfs;
static sqlite3_vfs shim_vfs;
static sqlite3_io_methods methods;

static void
clear_step (void *data)
{
  g_clear_pointer (&((Step *)data)->bytes, g_bytes_unref);
}

static Disk *
disk_new (void)
{
  Disk *disk = g_new0 (Disk, 1);

  disk->steps = g_array_new (FALSE, FALSE, sizeof (Step));
  g_array_set_clear_func (disk->steps, clear_step);
  return disk;
}

static void
disk_free (void *data)
{
  Disk *disk = data;

  g_clear_pointer (&disk->bytes, g_byte_array_unref);
  g_array_unref (disk->steps);
  g_free (disk);
}

static GHashTable *
disks_new (void)
{
  return g_hash_table_new_full (g_str_hash, g_str_equal, g_free, disk_free);
}

static GHashTable *
copy_disks_locked (void)
{
  GHashTable *copies = disks_new ();
  GHashTableIter iter;
  void *path, *value;

  g_hash_table_iter_init (&iter, disks);
  while (g_hash_table_iter_next (&iter, &path, &value)) {
    const Disk *disk = value;
    Disk *copy = disk_new ();

    if (disk->bytes != NULL) {
      copy->bytes = g_byte_array_new ();
      g_byte_array_append (copy->bytes, disk->bytes->data, disk->bytes->len);
    }
    for (guint i = 0; i < disk->steps->len; i++) {
      Step step = g_array_index (disk->steps, Step, i);

      if (step.bytes != NULL)
        g_bytes_ref (step.bytes);
      g_array_append_val (copy->steps, step);
    }
    g_hash_table_insert (copies, g_strdup (path), copy);
  }
  return copies;
}

static void
set_size (GByteArray *bytes, int64_t size)
{
  guint old = bytes->len;

  g_byte_array_set_size (bytes, (guint)size);
  if (size > old)
    memset (bytes->data + old, 0, (guint)size - old);
}

/* Writes those sectors of a step that survive. */
static void
apply_write (GByteArray *bytes, const Step *step, double survival, GRand *random)
{
  size_t size;
  const guint8 *data = g_bytes_get_data (step->bytes, &size);
  int64_t end = step->offset + (int64_t)size;

  for (int64_t at = step->offset; at < end;) {
    int64_t next = MIN (end, at / SECTOR * SECTOR + SECTOR);

    if (survival >= 1 || g_rand_double (random) < survival) {
      if (bytes->len < next)
        set_size (bytes, next);
      memcpy (bytes->data + at, data + (at - step->offset), (size_t)(next - at));
    }
    at = next;
  }
}

static void
apply_step (Disk *disk, const Step *step, double survival, GRand *random)
{
  bool survives = survival >= 1 || g_rand_double (random) < survival;

  if (step->type == MAKE && survives && disk->bytes == NULL)
    disk->bytes = g_byte_array_new ();
  if (step->type == DELETE)
    g_clear_pointer (&disk->bytes, g_byte_array_unref);
  if (step->type == TRUNCATE && survives && disk->bytes != NULL)
    set_size (disk->bytes, step->offset);
  if (step->type == WRITE && disk->bytes != NULL)
    apply_write (disk->bytes, step, survival, random);
}

/* A deletion that does not survive takes all that came after it along: that happened to another
 * file. */
static void
apply_steps (Disk *disk, double survival, GRand *random)
{
  for (guint i = 0; i < disk->steps->len; i++) {
    const Step *step = &g_array_index (disk->steps, Step, i);

    if (step->type == DELETE && survival < 1 && g_rand_double (random) >= survival)
      break;
    apply_step (disk, step, survival, random);
  }
  g_array_set_size (disk->steps, 0);
}

static void
cut_locked (void)
{
  cut_set = false;
  g_clear_pointer (&cut_disks, g_hash_table_unref);
  cut_disks = copy_disks_locked ();
}

static void
count_call_locked (void)
{
  if (cut_set && cut_after-- == 0)
    cut_locked ();
}

static bool
fails_locked (ShimCall call, sqlite3_file *file)
{
  Fault *fault = &faults[call];

  if (!fault->on || (fault->good > 0 && fault->good-- > 0))
    return false;
  fault->failed++;
  ((File *)file)->last_errno = fault->number;
  return true;
}

static void
add_step_locked (Disk *disk, Step step)
{
  if (disk != NULL)
    g_array_append_val (disk->steps, step);
  else if (step.bytes != NULL)
    g_bytes_unref (step.bytes);
}

static sqlite3_file *
real_of (sqlite3_file *file)
{
  return ((File *)file)->real;
}

static void
call_before_write (void)
{
  void (*function) (void *data);
  void *data;

  pthread_mutex_lock (&lock);
  function = g_steal_pointer (&before_write);
  data = before_write_data;
  pthread_mutex_unlock (&lock);
  if (function != NULL)
    function (data);
}

static bool
makes_longer (sqlite3_file *file, int64_t end)
{
  sqlite3_int64 size = 0;

  return real_of (file)->pMethods->xFileSize (real_of (file), &size) == SQLITE_OK && end > size;
}

static int
write_file (sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
  int code = SQLITE_OK, result;

  if (((File *)file)->is_database)
    call_before_write ();
  pthread_mutex_lock (&lock);
  count_call_locked ();
  if (makes_longer (file, offset + size) && fails_locked (SHIM_GROW, file)) {
    code = faults[SHIM_GROW].code;
    size = 0;
  } else if (fails_locked (SHIM_WRITE, file)) {
    code = faults[SHIM_WRITE].code;
    size /= 2;
  }
  if (size > 0)
    add_step_locked (
        ((File *)file)->disk,
        (Step){ .type = WRITE, .offset = offset, .bytes = g_bytes_new (data, (size_t)size) });
  pthread_mutex_unlock (&lock);
  result =
      size > 0 ? real_of (file)->pMethods->xWrite (real_of (file), data, size, offset) : SQLITE_OK;
  return code != SQLITE_OK ? code : result;
}

static int
truncate_file (sqlite3_file *file, sqlite3_int64 size)
{
  pthread_mutex_lock (&lock);
  count_call_locked ();
  add_step_locked (((File *)file)->disk, (Step){ .type = TRUNCATE, .offset = size });
  pthread_mutex_unlock (&lock);
  return real_of (file)->pMethods->xTruncate (real_of (file), size);
}

static void
lose_writes (Disk *disk)
{
  for (guint i = disk->steps->len; i-- > 0;)
    if (g_array_index (disk->steps, Step, i).type == WRITE)
      g_array_remove_index (disk->steps, i);
}

static int
sync_file (sqlite3_file *file, int flags)
{
  Disk *disk = ((File *)file)->disk;
  int code = SQLITE_OK;

  pthread_mutex_lock (&lock);
  count_call_locked ();
  if (fails_locked (SHIM_SYNC, file)) {
    code = faults[SHIM_SYNC].code;
    if (disk != NULL)
      lose_writes (disk);
  } else if (disk != NULL) {
    apply_steps (disk, 1, NULL);
  }
  pthread_mutex_unlock (&lock);
  return code;
}

static int
close_file (sqlite3_file *file)
{
  return real_of (file)->pMethods->xClose (real_of (file));
}

static int
read_file (sqlite3_file *file, void *data, int size, sqlite3_int64 offset)
{
  return real_of (file)->pMethods->xRead (real_of (file), data, size, offset);
}

static int
size_of_file (sqlite3_file *file, sqlite3_int64 *size_out)
{
  return real_of (file)->pMethods->xFileSize (real_of (file), size_out);
}

static int
lock_file (sqlite3_file *file, int level)
{
  return real_of (file)->pMethods->xLock (real_of (file), level);
}

static int
unlock_file (sqlite3_file *file, int level)
{
  return real_of (file)->pMethods->xUnlock (real_of (file), level);
}

static int
check_reserved_lock (sqlite3_file *file, int *result_out)
{
  return real_of (file)->pMethods->xCheckReservedLock (real_of (file), result_out);
}

static int
control_file (sqlite3_file *file, int what, void *argument)
{
  if (what == SQLITE_FCNTL_LAST_ERRNO && ((File *)file)->last_errno != 0) {
    *(int *)argument = ((File *)file)->last_errno;
    return SQLITE_OK;
  }
  return real_of (file)->pMethods->xFileControl (real_of (file), what, argument);
}

static int
sector_size (sqlite3_file *file)
{
  return real_of (file)->pMethods->xSectorSize (real_of (file));
}

static int
characteristics (sqlite3_file *file)
{
  return real_of (file)->pMethods->xDeviceCharacteristics (real_of (file));
}

static int
map_shared (sqlite3_file *file, int page, int size, int extend, void volatile **memory_out)
{
  int code = real_of (file)->pMethods->xShmMap (real_of (file), page, size, 0, memory_out);

  if (!extend || code != SQLITE_OK || *memory_out != NULL)
    return code;
  pthread_mutex_lock (&lock);
  if (fails_locked (SHIM_EXTEND, file)) {
    code = faults[SHIM_EXTEND].code;
    errno = faults[SHIM_EXTEND].number;
  }
  pthread_mutex_unlock (&lock);
  if (code != SQLITE_OK)
    return code;
  return real_of (file)->pMethods->xShmMap (real_of (file), page, size, extend, memory_out);
}

static int
lock_shared (sqlite3_file *file, int offset, int count, int flags)
{
  return real_of (file)->pMethods->xShmLock (real_of (file), offset, count, flags);
}

static void
barrier (sqlite3_file *file)
{
  real_of (file)->pMethods->xShmBarrier (real_of (file));
}

static int
unmap_shared (sqlite3_file *file, int remove)
{
  return real_of (file)->pMethods->xShmUnmap (real_of (file), remove);
}

/* What the file holds already is on the disk. */
static void
take_content (Disk *disk, sqlite3_file *real)
{
  sqlite3_int64 size = 0;

  real->pMethods->xFileSize (real, &size);
  disk->bytes = g_byte_array_new ();
  g_byte_array_set_size (disk->bytes, (guint)size);
  if (size > 0)
    real->pMethods->xRead (real, disk->bytes->data, (int)size, 0);
}

/* The disk of a file that has just been opened. */
static Disk *
find_disk_locked (const char *path, sqlite3_file *real, bool existed)
{
  Disk *disk = g_hash_table_lookup (disks, path);

  if (disk == NULL) {
    disk = disk_new ();
    g_hash_table_insert (disks, g_strdup (path), disk);
    if (existed)
      take_content (disk, real);
  }
  if (!existed)
    add_step_locked (disk, (Step){ .type = MAKE });
  return disk;
}

static int
open_file (sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags, int *flags_out)
{
  File *file = (File *)base;
  bool existed = path != NULL && g_file_test (path, G_FILE_TEST_EXISTS);
  int code;

  file->real = (sqlite3_file *)(file + 1);
  file->last_errno = 0;
  file->is_database = flags & SQLITE_OPEN_MAIN_DB;
  code = real_vfs->xOpen (real_vfs, path, file->real, flags, flags_out);
  if (code != SQLITE_OK)
    return code;
  pthread_mutex_lock (&lock);
  file->disk = path != NULL ? find_disk_locked (path, file->real, existed) : NULL;
  pthread_mutex_unlock (&lock);
  base->pMethods = &methods;
  return SQLITE_OK;
}

static int
delete_file (sqlite3_vfs *vfs, const char *path, int sync)
{
  int code = real_vfs->xDelete (real_vfs, path, 0);
  Disk *disk;

  pthread_mutex_lock (&lock);
  count_call_locked ();
  disk = g_hash_table_lookup (disks, path);
  if (code == SQLITE_OK && disk != NULL) {
    add_step_locked (disk, (Step){ .type = DELETE });
    if (sync)
      apply_steps (disk, 1, NULL);
  }
  pthread_mutex_unlock (&lock);
  return code;
}

static void
make_vfs (void)
{
  real_vfs = sqlite3_vfs_find (NULL);
  methods = (sqlite3_io_methods){
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
  shim_vfs = *real_vfs;
  shim_vfs.zName = "shim";
  shim_vfs.szOsFile = (int)sizeof (File) + real_vfs->szOsFile;
  shim_vfs.pNext = NULL;
  shim_vfs.xOpen = open_file;
  shim_vfs.xDelete = delete_file;
}

static void
forget_all (void)
{
  g_clear_pointer (&disks, g_hash_table_unref);
  g_clear_pointer (&cut_disks, g_hash_table_unref);
  memset (faults, 0, sizeof faults);
  before_write = NULL;
  cut_set = false;
}

void
shim_vfs_install (void)
{
  if (real_vfs == NULL)
    make_vfs ();
  forget_all ();
  disks = disks_new ();
  sqlite3_vfs_register (&shim_vfs, 1);
}

void
shim_vfs_remove (void)
{
  sqlite3_vfs_unregister (&shim_vfs);
  sqlite3_vfs_register (real_vfs, 1);
  forget_all ();
}

void
shim_vfs_fail (ShimCall call, unsigned good, int code, int number)
{
  pthread_mutex_lock (&lock);
  faults[call] = (Fault){ .on = code != SQLITE_OK, .good = good, .code = code, .number = number };
  pthread_mutex_unlock (&lock);
}

unsigned
shim_vfs_failed (ShimCall call)
{
  unsigned failed;

  pthread_mutex_lock (&lock);
  failed = faults[call].failed;
  pthread_mutex_unlock (&lock);
  return failed;
}

void
shim_vfs_cut (unsigned calls)
{
  pthread_mutex_lock (&lock);
  g_clear_pointer (&cut_disks, g_hash_table_unref);
  cut_set = calls > 0;
  cut_after = calls;
  if (calls == 0)
    cut_locked ();
  pthread_mutex_unlock (&lock);
}

void
shim_vfs_before_write (void (*function) (void *data), void *data)
{
  pthread_mutex_lock (&lock);
  before_write = function;
  before_write_data = data;
  pthread_mutex_unlock (&lock);
}

bool
shim_vfs_has_cut (void)
{
  bool result;

  pthread_mutex_lock (&lock);
  result = cut_disks != NULL;
  pthread_mutex_unlock (&lock);
  return result;
}

/* Leaves the disk itself as it is, for another time with other sectors. */
static void
leave_file (const char *path, const Disk *disk, double survival, GRand *random)
{
  Disk *left = disk_new ();

  if (disk->bytes != NULL) {
    left->bytes = g_byte_array_new ();
    g_byte_array_append (left->bytes, disk->bytes->data, disk->bytes->len);
  }
  for (guint i = 0; i < disk->steps->len; i++) {
    Step step = g_array_index (disk->steps, Step, i);

    if (step.bytes != NULL)
      g_bytes_ref (step.bytes);
    g_array_append_val (left->steps, step);
  }
  apply_steps (left, survival, random);
  if (left->bytes != NULL &&
      !g_file_set_contents_full (path, (char *)left->bytes->data, left->bytes->len,
                                 G_FILE_SET_CONTENTS_NONE, 0600, NULL))
    g_error ("cannot write %s", path);
  disk_free (left);
}

void
shim_vfs_leave (const char *to, double survival, GRand *random)
{
  GHashTableIter iter;
  void *path, *disk;

  pthread_mutex_lock (&lock);
  g_assert (cut_disks != NULL);
  g_hash_table_iter_init (&iter, cut_disks);
  while (g_hash_table_iter_next (&iter, &path, &disk)) {
    g_autofree char *name = g_path_get_basename (path);
    g_autofree char *copy = g_build_filename (to, name, NULL);

    if (strcmp (path, copy) != 0)
      leave_file (copy, disk, survival, random);
  }
  pthread_mutex_unlock (&lock);
}
