/* SPDX-License-Identifier: MIT */

/* Opens state files, and keeps the hands off all others. Whether a file is one is decided by its
 * header (state-header.h), which has to say so from the first byte on, whatever happens while a
 * file is made: its first page is written and synced before there are tables, all in the mode with a
 * rollback journal, and only then the file changes to WAL mode.
 *
 * Closing any descriptor of the file drops the locks that SQLite has on it (fcntl(2)), so `fd` is
 * closed last. */

#include "leases/state-file.h"

#include "leases/state-header.h"
#include "leases/state-schema.h"
#include "leases/state-vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* How long to wait for somebody who looks at the file with another program and has locked it. */
#define BUSY_TIMEOUT_MS 5000

/* Who has just been unmounted or killed may take a moment to end. */
#define LOCK_WAIT_MS 3000
#define LOCK_POLL_MS 20

/* Of new files, in bytes. A commit writes and sums up each page that it changes: with 4096 a small
 * one costs a quarter more. Smaller ones cost more where values are large. */
#define PAGE_SIZE "2048"

static bool fail (const LeaseStateFile *file, GError **error, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

static bool
fail (const LeaseStateFile *file, GError **error, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "%s: %s", file->path, what);
  return false;
}

static bool
fail_with_errno (const LeaseStateFile *file, const char *what, GError **error)
{
  return fail (file, error, "%s: %s", what, g_strerror (errno));
}

bool
lease_state_file_fail (const LeaseStateFile *file, sqlite3 *db, int code, GError **error)
{
  bool is_last = db != NULL && sqlite3_extended_errcode (db) == code;
  const char *what = is_last ? sqlite3_errmsg (db) : sqlite3_errstr (code);
  int cause = is_last ? sqlite3_system_errno (db) : 0;

  switch (code & 0xff) {
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
    return fail (file, error, "in use by another program: end that first");
  case SQLITE_CORRUPT:
  case SQLITE_NOTADB:
  case SQLITE_ERROR: /* a table or column is missing */
    return fail (file, error, "damaged: %s: " LEASE_STATE_ADVICE, what);
  case SQLITE_IOERR:
  case SQLITE_CANTOPEN:
    if (cause != 0)
      return fail (file, error, "cannot be used: %s: %s", what, g_strerror (cause));
  }
  return fail (file, error, "cannot be used: %s", what);
}

int
lease_state_file_cause (sqlite3_file *handle)
{
  int cause = 0;

  if (handle == NULL || handle->pMethods == NULL)
    return 0;
  handle->pMethods->xFileControl (handle, SQLITE_FCNTL_LAST_ERRNO, &cause);
  return cause;
}

int
lease_state_file_reason (sqlite3 *db, int code)
{
  sqlite3_file *log = NULL;
  int cause = 0;

  if ((code & 0xff) == SQLITE_FULL)
    return ENOSPC;
  sqlite3_file_control (db, NULL, SQLITE_FCNTL_JOURNAL_POINTER, &log);
  if (code == SQLITE_IOERR_WRITE || code == SQLITE_IOERR_FSYNC)
    cause = lease_state_file_cause (log);
  else if ((code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN)
    cause = sqlite3_system_errno (db);
  return cause != 0 ? cause : EIO;
}

int
lease_state_file_errno (sqlite3 *db, int code)
{
  int reason = lease_state_file_reason (db, code);

  return reason == ENOSPC || reason == EDQUOT || reason == EFBIG ? -ENOSPC : -EIO;
}

static int
run (sqlite3 *db, const char *sql)
{
  return sqlite3_exec (db, sql, NULL, NULL, NULL);
}

/* The number that `sql` comes to. */
static int
ask (sqlite3 *db, const char *sql, int64_t *number_out)
{
  sqlite3_stmt *statement = NULL;
  int code = sqlite3_prepare_v2 (db, sql, -1, &statement, NULL);

  if (code == SQLITE_OK) {
    code = sqlite3_step (statement);
    *number_out = sqlite3_column_int64 (statement, 0);
  }
  sqlite3_finalize (statement);
  return code == SQLITE_ROW ? SQLITE_OK : code == SQLITE_DONE ? SQLITE_ERROR : code;
}

/* So that the name of a new file outlasts a power cut. */
static bool
sync_directory (const LeaseStateFile *file, GError **error)
{
  g_autofree char *directory = g_path_get_dirname (file->path);
  int fd = open (directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool ok = fd >= 0 && fsync (fd) == 0;

  if (!ok)
    fail_with_errno (file, "its directory cannot be synced", error);
  if (fd >= 0)
    close (fd);
  return ok;
}

static bool
make_file (LeaseStateFile *file, GError **error)
{
  file->fd = open (file->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file->fd < 0)
    return fail_with_errno (file, "cannot be made", error);
  file->made = true;
  if (fsync (file->fd) != 0)
    return fail_with_errno (file, "cannot be made", error);
  return sync_directory (file, error);
}

static bool
open_file (LeaseStateFile *file, GError **error)
{
  struct stat info;

  file->fd = open (file->path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (file->fd < 0 && errno == ENOENT && !make_file (file, error))
    return false;
  if (file->fd < 0 && errno != EISDIR)
    return fail_with_errno (file, "cannot be opened for writing", error);
  if (file->fd < 0 || fstat (file->fd, &info) != 0 || !S_ISREG (info.st_mode))
    return fail (file, error, "no regular file: choose another path");
  return true;
}

static bool
lock_file (LeaseStateFile *file, GError **error)
{
  struct stat info;

  for (unsigned waited = 0; flock (file->fd, LOCK_EX | LOCK_NB) != 0; waited += LOCK_POLL_MS) {
    if (errno != EWOULDBLOCK)
      return fail_with_errno (file, "cannot be locked", error);
    if (waited >= LOCK_WAIT_MS)
      return fail (file, error,
                   "in use by another leasefs: unmount that first and let it end, or choose "
                   "another path");
    g_usleep (LOCK_POLL_MS * 1000);
  }
  if (fstat (file->fd, &info) != 0)
    return fail_with_errno (file, "cannot be read", error);
  if (info.st_nlink > 1)
    return fail (file, error,
                 "has several names (hard links), and its log lies beside only one of "
                 "them: copy it, or remove the other names");
  return true;
}

/* Whether something else is mounted around it than it is itself: then it has another name, in a
 * directory that cannot be seen from here, and its log would lie beside only one of them. */
static bool
is_mounted_alone (const LeaseStateFile *file)
{
  g_autofree char *directory = g_path_get_dirname (file->real_path);
  struct statx own, around;

  return statx (AT_FDCWD, file->real_path, 0, STATX_MNT_ID, &own) == 0 &&
         statx (AT_FDCWD, directory, 0, STATX_MNT_ID, &around) == 0 &&
         (own.stx_mask & around.stx_mask & STATX_MNT_ID) && own.stx_mnt_id != around.stx_mnt_id;
}

static bool
find_paths (LeaseStateFile *file, GError **error)
{
  struct stat info, real_info;
  char *real_path = realpath (file->path, NULL);

  if (real_path == NULL)
    return fail_with_errno (file, "cannot be found", error);
  file->real_path = g_strdup (real_path);
  file->log_path = g_strconcat (real_path, "-wal", NULL);
  free (real_path);
  if (fstat (file->fd, &info) != 0 || stat (file->real_path, &real_info) != 0 ||
      info.st_dev != real_info.st_dev || info.st_ino != real_info.st_ino)
    return fail (file, error, "has just been replaced: try again");
  if (is_mounted_alone (file))
    return fail (file, error,
                 "is mounted by itself, and its log would not lie beside its other name: mount the "
                 "directory that it lies in instead");
  file->had_log = access (file->log_path, F_OK) == 0;
  return true;
}

static bool
check_header (const LeaseStateFile *file, GError **error)
{
  g_autofree char *problem = lease_state_header_problem (file->fd, file->real_path);

  return problem == NULL || fail (file, error, "%s", problem);
}

static bool
connect (const LeaseStateFile *file, sqlite3 **db_out, GError **error)
{
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
  int code = sqlite3_open_v2 (file->real_path, db_out, flags, file->vfs->zName);
  sqlite3 *db = *db_out;

  if (code != SQLITE_OK)
    return lease_state_file_fail (file, db, code, error);
  sqlite3_extended_result_codes (db, 1);
  sqlite3_busy_timeout (db, BUSY_TIMEOUT_MS);
  sqlite3_db_config (db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
  sqlite3_db_config (db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
  if (file->had_log)
    sqlite3_db_config (db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  code = run (db, "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0;"
                  "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192;"
                  "PRAGMA journal_size_limit = 67108864; PRAGMA secure_delete = FAST;"
                  "PRAGMA cell_size_check = ON");
  return code == SQLITE_OK || lease_state_file_fail (file, db, code, error);
}

/* Step by step; whatever step is the last one done, the file can be opened again. */
static bool
make_tables (const LeaseStateFile *file, GError **error)
{
  g_autofree char *mark =
      g_strdup_printf ("PRAGMA journal_mode = DELETE; PRAGMA page_size = " PAGE_SIZE ";"
                       "PRAGMA synchronous = EXTRA; PRAGMA application_id = %u",
                       LEASE_STATE_APPLICATION);
  int64_t tables = 0;
  int code = ask (file->db, "SELECT count(*) FROM sqlite_schema", &tables);

  if (code == SQLITE_OK && tables > 0)
    return fail (file, error, "damaged: it has tables, but no schema version: restore a backup");
  if (fchmod (file->fd, 0600) != 0)
    return fail_with_errno (file, "cannot be kept from others (chmod 600)", error);
  if (code == SQLITE_OK)
    code = run (file->db, mark);
  if (code == SQLITE_OK)
    code = lease_state_schema_make (file->db);
  return code == SQLITE_OK || lease_state_file_fail (file, file->db, code, error);
}

static bool
prepare_tables (LeaseStateFile *file, GError **error)
{
  int64_t version = 0;
  int code = ask (file->db, "PRAGMA user_version", &version);

  if (code != SQLITE_OK)
    return lease_state_file_fail (file, file->db, code, error);
  file->version = version == 0 ? LEASE_STATE_VERSION : (uint32_t)version;
  if (version == 0)
    return make_tables (file, error);
  if (version < 0 || version > LEASE_STATE_VERSION)
    return fail (file, error,
                 "written by a newer leasefs (schema %ld, this one knows up to %u): "
                 "use that one",
                 (long)version, LEASE_STATE_VERSION);
  return true;
}

static sqlite3_file *
database_of (sqlite3 *db)
{
  sqlite3_file *database = NULL;

  sqlite3_file_control (db, NULL, SQLITE_FCNTL_FILE_POINTER, &database);
  return database;
}

bool
lease_state_file_begin_load (LeaseStateFile *file, GError **error)
{
  sqlite3_file *log = NULL;
  int code;

  sqlite3_file_control (file->db, NULL, SQLITE_FCNTL_JOURNAL_POINTER, &log);
  lease_state_vfs_keep_right (database_of (file->db), log);
  code = run (file->db, "BEGIN IMMEDIATE");
  if (code == SQLITE_OK && file->version < LEASE_STATE_VERSION)
    code = lease_state_schema_update (file->db, file->version);
  if (code == SQLITE_OK)
    return true;
  lease_state_file_fail (file, file->db, code, error);
  lease_state_file_end_load (file, false, NULL);
  return false;
}

bool
lease_state_file_end_load (LeaseStateFile *file, bool good, GError **error)
{
  int code = SQLITE_OK;

  if (good && file->version < LEASE_STATE_VERSION)
    code = run (file->db, "COMMIT");
  if (code != SQLITE_OK)
    lease_state_file_fail (file, file->db, code, error);
  else if (good)
    file->version = LEASE_STATE_VERSION;
  if (!sqlite3_get_autocommit (file->db))
    run (file->db, "ROLLBACK");
  return code == SQLITE_OK;
}

/* A new file is in another mode, and so is a copy that was made with VACUUM. Else this does
 * nothing. */
static bool
enter_wal_mode (const LeaseStateFile *file, GError **error)
{
  int code = run (file->db, "PRAGMA synchronous = EXTRA; PRAGMA journal_mode = WAL;"
                            "PRAGMA synchronous = NORMAL");

  return code == SQLITE_OK || lease_state_file_fail (file, file->db, code, error);
}

/* The WAL of a connection. It is opened at the first look into the database, and its directory at
 * the first sync: both are done here, since later the path may lead elsewhere. */
static bool
open_log (const LeaseStateFile *file, sqlite3 *db, sqlite3_file **log_out, GError **error)
{
  int64_t tables;
  int code = ask (db, "SELECT count(*) FROM sqlite_schema", &tables);
  sqlite3_file *log = NULL;

  if (code == SQLITE_OK)
    code = sqlite3_file_control (db, NULL, SQLITE_FCNTL_JOURNAL_POINTER, &log);
  if (code != SQLITE_OK)
    return lease_state_file_fail (file, db, code, error);
  if (log == NULL || log->pMethods == NULL)
    return fail (file, error,
                 "SQLite cannot keep a log (WAL) here: choose a path on another "
                 "filesystem");
  code = log->pMethods->xSync (log, SQLITE_SYNC_NORMAL);
  *log_out = log;
  return code == SQLITE_OK || lease_state_file_fail (file, NULL, code, error);
}

/* All that is done with the help of SQLite. */
static bool
open_database (LeaseStateFile *file, GError **error)
{
  sqlite3_file *log;
  int64_t page_size = 0;
  int code;

  if (!connect (file, &file->db, error) || !prepare_tables (file, error) ||
      !enter_wal_mode (file, error) || !open_log (file, file->db, &log, error) ||
      !connect (file, &file->log_db, error) || !open_log (file, file->log_db, &file->log, error))
    return false;
  code = ask (file->db, "PRAGMA page_size", &page_size);
  file->page_size = (int)page_size;
  if (code == SQLITE_OK)
    code = sqlite3_file_control (file->log_db, NULL, SQLITE_FCNTL_FILE_POINTER, &file->data);
  return code == SQLITE_OK || lease_state_file_fail (file, file->log_db, code, error);
}

static void
close_databases (LeaseStateFile *file)
{
  sqlite3_close (g_steal_pointer (&file->log_db));
  sqlite3_close (g_steal_pointer (&file->db));
}

/* Of a file that was made, but did not become a state file, all traces. */
static void
remove_files (const LeaseStateFile *file)
{
  static const char *const suffixes[] = { "", "-journal", "-wal", "-shm" };

  for (size_t i = 0; i < G_N_ELEMENTS (suffixes); i++) {
    g_autofree char *path = g_strconcat (file->path, suffixes[i], NULL);

    unlink (path);
  }
}

LeaseStateFile *
lease_state_file_open (const char *path, GError **error)
{
  LeaseStateFile *file = g_new0 (LeaseStateFile, 1);

  file->path = g_strdup (path);
  file->fd = -1;
  file->vfs = lease_state_vfs_new ();
  pthread_mutex_init (&file->lock, NULL);
  if (open_file (file, error) && lock_file (file, error) && find_paths (file, error) &&
      check_header (file, error) && open_database (file, error))
    return file;

  close_databases (file);
  if (file->made)
    remove_files (file);
  lease_state_file_close (file);
  return NULL;
}

void
lease_state_file_lend_right (LeaseStateFile *file)
{
  pthread_mutex_lock (&file->lock);
  lease_state_vfs_lend_right (database_of (file->db));
  pthread_mutex_unlock (&file->lock);
}

int64_t
lease_state_file_growth (LeaseStateFile *file)
{
  int64_t pages = 0;
  struct stat info;
  int code;

  pthread_mutex_lock (&file->lock);
  code = ask (file->db, "PRAGMA page_count", &pages);
  pthread_mutex_unlock (&file->lock);
  if (code != SQLITE_OK || fstat (file->fd, &info) != 0)
    return 0;
  return MAX (pages * file->page_size - info.st_size, 0);
}

int64_t
lease_state_file_room (const LeaseStateFile *file)
{
  struct statvfs info;

  if (fstatvfs (file->fd, &info) != 0 || info.f_blocks == 0)
    return INT64_MAX;
  return (int64_t)MIN (info.f_bavail, INT64_MAX / MAX (info.f_frsize, 1)) * (int64_t)info.f_frsize;
}

static void
set_keep_log (LeaseStateFile *file, int keep)
{
  sqlite3_db_config (file->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep, NULL);
  sqlite3_db_config (file->log_db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep, NULL);
}

void
lease_state_file_approve (LeaseStateFile *file)
{
  file->approved = true;
  set_keep_log (file, 0);
}

void
lease_state_file_keep_log (LeaseStateFile *file)
{
  set_keep_log (file, 1);
}

void
lease_state_file_close (LeaseStateFile *file)
{
  close_databases (file);
  if (file->fd >= 0)
    close (file->fd);
  lease_state_vfs_free (file->vfs);
  pthread_mutex_destroy (&file->lock);
  g_free (file->path);
  g_free (file->real_path);
  g_free (file->log_path);
  g_free (file);
}
