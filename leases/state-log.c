/* SPDX-License-Identifier: MIT */

/* The log of a state file: when it is synced, and how it is kept from growing.
 *
 * A commit appends to the log and does not wait for the disk. Syncing the log makes lasting what is
 * in it; what is no longer in it had been copied into the database, and that synced, before.
 *
 * A sync that failed may have left pages that the kernel takes for clean though they are not on the
 * disk: the next one would succeed and mean nothing. So after a failure, and for a log that a
 * process before has left, the file's bytes are written again, over themselves, before it is synced
 * again. Until then nothing is copied: a database that is ahead of the log on the disk would be
 * spoilt by it after a power cut.
 *
 * Locks: `lock` covers what is in LeaseStateLog except what is atomic, and the use of
 * `file->log_db`, `file->log` and `file->data`, but for asking how long a file is. Under it
 * `file->lock` may be taken, which keeps the log from growing: for as short as possible. */

#include "leases/state-log.h"

#include "leases/clock.h"
#include "leases/trouble.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>

/* The log is emptied when it has pages of this size together. With half of that commits cost a
 * tenth more, twice as much saves a thirtieth and takes longer to read after a crash. */
#define LOG_MAX (16 << 20)

/* Where commits are faster than the disk, they wait from here on. */
#define LOG_FAR (4 * LOG_MAX)

/* Commits wait while the last of it is copied: so much, if they leave any time to get there in a
 * few turns. */
#define LOG_LAST (1 << 20)
#define TURNS_MAX 4

/* What is new in the log takes room in the database when it is copied, which the log itself may have
 * taken by then. So after each LOOK_EVERY of log it is seen to that there is more than for that by
 * LOG_SPARE. */
#define LOOK_EVERY (128 << 10)
#define LOG_SPARE (1 << 20)

/* Where there is no room for more log, and it could not be emptied either, that is tried again after
 * this time: it takes some. */
#define RECLAIM_INTERVAL LEASE_SECOND

/* What nobody asks to be synced is synced this long after it was written: the kernel does not tell
 * filesystems like this one of syncfs(2). */
#define SYNC_INTERVAL LEASE_SECOND

#define COPY_SIZE 65536

typedef struct {
  sqlite3_file *handle;
  bool unsure; /* a sync has failed, or may have before: what the disk has is not known */
} Synced;

struct LeaseStateLog {
  LeaseStateFile *file;
  atomic_uint_fast64_t commits; /* since it was opened; changes under file->lock */
  atomic_int pages;             /* how long the log is, at most; changes under file->lock */
  atomic_bool stuck;            /* the last attempt to empty it has failed */
  int looked_at;                /* `pages` then; of the one who commits */
  LeaseHistogram syncs;         /* atomic */
  atomic_uint_fast64_t sync_errors;

  pthread_mutex_t lock;
  Synced log, data;
  uint64_t synced; /* of `commits` */
  LeaseTrouble syncing, copying;
  LeaseTime synced_at;
  LeaseTime reclaim_at; /* not before */
};

static int
take_length (void *data, sqlite3 *db, const char *name, int pages)
{
  LeaseStateLog *log = data;

  atomic_store_explicit (&log->pages, pages, memory_order_relaxed);
  return SQLITE_OK;
}

/* How many pages there may be in the log, by its size. */
static int
count_pages (const LeaseStateFile *file)
{
  sqlite3_int64 size = 0;

  file->log->pMethods->xFileSize (file->log, &size);
  return (int)MIN (size / file->page_size, INT_MAX);
}

LeaseStateLog *
lease_state_log_new (LeaseStateFile *file)
{
  LeaseStateLog *log = g_new0 (LeaseStateLog, 1);

  log->file = file;
  log->pages = count_pages (file);
  log->log.handle = file->log;
  log->log.unsure = file->had_log;
  log->data.handle = file->data;
  log->syncing.begins = "cannot be synced";
  log->syncing.over = "synced again";
  log->copying.begins = "its log cannot be copied into it, and grows";
  log->copying.over = "its log is copied into it again";
  pthread_mutex_init (&log->lock, NULL);
  sqlite3_wal_hook (file->db, take_length, log);
  return log;
}

void
lease_state_log_free (LeaseStateLog *log)
{
  pthread_mutex_destroy (&log->lock);
  g_free (log);
}

void
lease_state_log_note_commit (LeaseStateLog *log)
{
  atomic_fetch_add (&log->commits, 1);
}

/* Returns what a caller is told. */
static int
note_result_locked (LeaseStateLog *log, int code, int cause)
{
  if (code == SQLITE_OK) {
    lease_trouble_end (&log->syncing, log->file->real_path);
    return 0;
  }
  atomic_fetch_add (&log->sync_errors, 1);
  if (cause == 0)
    cause = code == SQLITE_FULL ? ENOSPC : EIO;
  lease_trouble_begin (&log->syncing, log->file->real_path, cause, sqlite3_errstr (code));
  return code == SQLITE_FULL || cause == ENOSPC || cause == EDQUOT ? -ENOSPC : -EIO;
}

static int
rewrite_part (sqlite3_file *handle, int64_t offset, int64_t size)
{
  g_autofree char *bytes = g_malloc ((size_t)size);
  int code = handle->pMethods->xRead (handle, bytes, (int)size, offset);

  return code != SQLITE_OK ? code : handle->pMethods->xWrite (handle, bytes, (int)size, offset);
}

static int
rewrite_all (sqlite3_file *handle)
{
  sqlite3_int64 size = 0;
  int code = handle->pMethods->xFileSize (handle, &size);

  for (int64_t offset = 0; code == SQLITE_OK && offset < size; offset += COPY_SIZE)
    code = rewrite_part (handle, offset, MIN (COPY_SIZE, size - offset));
  return code;
}

/* The same of the database, to which others may copy what is in the log at any time: what they
 * wrote between the reading and the writing of a piece would be lost, and count as copied. */
static int
rewrite_database (sqlite3_file *handle)
{
  enum { LOCK_COPY = 1 };
  int how = SQLITE_SHM_EXCLUSIVE, code;

  code = handle->pMethods->xShmLock (handle, LOCK_COPY, 1, SQLITE_SHM_LOCK | how);
  if (code != SQLITE_OK)
    return code;
  code = rewrite_all (handle);
  handle->pMethods->xShmLock (handle, LOCK_COPY, 1, SQLITE_SHM_UNLOCK | how);
  return code;
}

/* Writes a file's bytes over themselves, while nobody else writes to it. SQLITE_BUSY: somebody
 * does. */
static int
rewrite_locked (LeaseStateLog *log, sqlite3_file *handle)
{
  sqlite3 *db = log->file->db;
  int code;

  pthread_mutex_lock (&log->file->lock);
  code = sqlite3_exec (db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
  if (code == SQLITE_OK) {
    code = handle == log->file->data ? rewrite_database (handle) : rewrite_all (handle);
    sqlite3_exec (db, "ROLLBACK", NULL, NULL, NULL);
  }
  pthread_mutex_unlock (&log->file->lock);
  return code;
}

static int
sync_file_locked (LeaseStateLog *log, Synced *file)
{
  LeaseTime start = lease_clock_now ();
  int code = file->unsure ? rewrite_locked (log, file->handle) : SQLITE_OK, cause;

  if (code == SQLITE_OK)
    code = file->handle->pMethods->xSync (file->handle, SQLITE_SYNC_NORMAL);
  lease_histogram_add (&log->syncs, lease_clock_now () - start);
  file->unsure = code != SQLITE_OK;
  cause = (code & 0xff) == SQLITE_BUSY ? EBUSY : lease_state_file_cause (file->handle);
  return note_result_locked (log, code, cause);
}

/* Sees to it that the first `wanted` commits are synced. */
static int
sync_locked (LeaseStateLog *log, uint64_t wanted)
{
  uint64_t commits = atomic_load (&log->commits);
  int result;

  if (log->synced >= wanted && !log->log.unsure)
    return 0;
  log->synced_at = lease_clock_now ();
  result = sync_file_locked (log, &log->log);
  if (result == 0)
    log->synced = commits;
  return result;
}

int
lease_state_log_sync (LeaseStateLog *log)
{
  uint64_t wanted = atomic_load (&log->commits);
  int result;

  pthread_mutex_lock (&log->lock);
  result = sync_locked (log, wanted);
  pthread_mutex_unlock (&log->lock);
  return result;
}

/* After an attempt to copy. Somebody who reads the file is no trouble here, and syncing that fails
 * is told of elsewhere. */
static void
note_copied_locked (LeaseStateLog *log, int code)
{
  sqlite3 *db = log->file->log_db;
  int cause = (code & 0xff) == SQLITE_FULL ? ENOSPC : sqlite3_system_errno (db);

  if (code == SQLITE_OK)
    lease_trouble_end (&log->copying, log->file->real_path);
  else if ((code & 0xff) != SQLITE_BUSY && code != SQLITE_IOERR_FSYNC)
    lease_trouble_begin (&log->copying, log->file->real_path, cause != 0 ? cause : EIO,
                         sqlite3_errstr (code));
}

/* Copies what the log holds into the database, as far as nobody reads what was there before.
 * Returns an SQLITE_ code, and in `left_out` how many pages are left that were in the log when it
 * began. */
static int
checkpoint_locked (LeaseStateLog *log, int mode, int *left_out)
{
  int length = 0, copied = 0, code;

  code = sqlite3_wal_checkpoint_v2 (log->file->log_db, NULL, mode, &length, &copied);
  if (code == SQLITE_IOERR_FSYNC) {
    log->log.unsure = log->data.unsure = true;
    note_result_locked (log, code, sqlite3_system_errno (log->file->log_db));
  }
  *left_out = atomic_load_explicit (&log->pages, memory_order_relaxed) - copied;
  return code != SQLITE_OK ? code : copied < length ? SQLITE_BUSY : SQLITE_OK;
}

/* Both files are synced apart from the copying, so that the last part has little to sync. (SQLite
 * does not sync the database unless it has copied all.) Returns an SQLITE_ code; it is worth going
 * on with SQLITE_OK only. */
static int
copy_locked (LeaseStateLog *log, int *left_out)
{
  int code;

  if (sync_locked (log, atomic_load (&log->commits)) != 0)
    return SQLITE_IOERR_FSYNC;
  if (log->data.unsure && sync_file_locked (log, &log->data) != 0)
    return SQLITE_IOERR_FSYNC;
  code = checkpoint_locked (log, SQLITE_CHECKPOINT_PASSIVE, left_out);
  if (code != SQLITE_OK && code != SQLITE_BUSY)
    return code;
  return sync_file_locked (log, &log->data) == 0 ? SQLITE_OK : SQLITE_IOERR_FSYNC;
}

/* Whether the log is of this size at least, in bytes. */
static bool
has_grown_to (LeaseStateLog *log, int size)
{
  return atomic_load_explicit (&log->pages, memory_order_relaxed) >= size / log->file->page_size;
}

/* Returns SQLITE_OK if the log has been emptied. SQLite begins it anew at the first commit that finds
 * all of it copied. While one commit follows the other, none would: so the last part is copied
 * while they wait. */
static int
try_to_empty_locked (LeaseStateLog *log)
{
  int left = LOG_MAX / log->file->page_size, code = SQLITE_OK;

  for (int turn = 0; turn < TURNS_MAX && left > LOG_LAST / log->file->page_size; turn++) {
    code = copy_locked (log, &left);
    if (code != SQLITE_OK)
      return code;
  }
  pthread_mutex_lock (&log->file->lock);
  code = checkpoint_locked (log, SQLITE_CHECKPOINT_PASSIVE, &left);
  if (code == SQLITE_OK)
    atomic_store_explicit (&log->pages, 0, memory_order_relaxed);
  pthread_mutex_unlock (&log->file->lock);
  return code;
}

static void
empty_locked (LeaseStateLog *log)
{
  int code = try_to_empty_locked (log);

  atomic_store_explicit (&log->stuck, code != SQLITE_OK, memory_order_relaxed);
  note_copied_locked (log, code);
}

/* That it fails is nothing to be told of: whoever finds no room then will be. */
void
lease_state_log_reclaim (LeaseStateLog *log)
{
  pthread_mutex_lock (&log->lock);
  if (has_grown_to (log, log->file->page_size) && lease_clock_now () >= log->reclaim_at &&
      try_to_empty_locked (log) != SQLITE_OK)
    log->reclaim_at = lease_clock_now () + RECLAIM_INTERVAL;
  pthread_mutex_unlock (&log->lock);
}

/* Whether the log may soon have taken what the database needs. */
static bool
is_short_of_room (LeaseStateLog *log)
{
  int pages = atomic_load_explicit (&log->pages, memory_order_relaxed);
  int64_t growth;

  if (pages >= log->looked_at && pages - log->looked_at < LOOK_EVERY / log->file->page_size)
    return false;
  log->looked_at = pages;
  growth = lease_state_file_growth (log->file);
  return growth > 0 && lease_state_file_room (log->file) < growth + LOG_SPARE;
}

void
lease_state_log_make_room (LeaseStateLog *log)
{
  if (is_short_of_room (log))
    lease_state_log_reclaim (log);
  if (!has_grown_to (log, LOG_FAR) || atomic_load_explicit (&log->stuck, memory_order_relaxed))
    return;
  pthread_mutex_lock (&log->lock);
  if (has_grown_to (log, LOG_FAR))
    empty_locked (log);
  pthread_mutex_unlock (&log->lock);
}

bool
lease_state_log_tend (LeaseStateLog *log)
{
  uint64_t commits = atomic_load (&log->commits);

  pthread_mutex_lock (&log->lock);
  if (lease_clock_now () - log->synced_at >= SYNC_INTERVAL)
    sync_locked (log, commits);
  if (has_grown_to (log, LOG_MAX))
    empty_locked (log);
  bool more = log->synced < commits || log->log.unsure;
  pthread_mutex_unlock (&log->lock);
  return more;
}

void
lease_state_log_metrics (LeaseStateLog *log, LeaseJournalMetrics *metrics_out)
{
  sqlite3_file *handle = log->file->log;
  sqlite3_int64 size = 0;

  metrics_out->syncs = lease_histogram_read (&log->syncs);
  metrics_out->sync_errors = atomic_load (&log->sync_errors);
  /* This is fstat(2), and touches nothing of the connection. */
  if (handle->pMethods->xFileSize (handle, &size) == SQLITE_OK)
    metrics_out->log_bytes = (uint64_t)size;
}

void
lease_state_log_finish (LeaseStateLog *log)
{
  int left, code;

  pthread_mutex_lock (&log->lock);
  code = copy_locked (log, &left);
  if (code == SQLITE_OK) {
    lease_state_file_lend_right (log->file);
    code = checkpoint_locked (log, SQLITE_CHECKPOINT_TRUNCATE, &left);
  }
  note_copied_locked (log, code);
  if (log->log.unsure || log->data.unsure)
    lease_state_file_keep_log (log->file);
  pthread_mutex_unlock (&log->lock);
}
