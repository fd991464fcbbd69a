/* SPDX-License-Identifier: MIT */

/* The journal in a state file: each commit is one transaction.
 *
 * What it costs is mostly the number of statements and of pages of the database that they change.
 * So what several rows in succession say about a node's own row in the table `node` is collected
 * (Update), and written by one statement; and pages of a value and attributes are removed only from
 * nodes that may have some (`paged`, `attributed`).
 *
 * `file->lock` covers everything in Journal but what is atomic. */

#include "leases/journal-sqlite.h"

#include "leases/clock.h"
#include "leases/state-file.h"
#include "leases/state-log.h"
#include "leases/state-rows.h"
#include "leases/state-schema.h"
#include "leases/state-statements.h"
#include "leases/trouble.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* What is still to be written to the row of `node`. */
typedef struct {
  uint64_t node; /* 0: nothing */
  LeaseRowMeta meta;
  bool has_data;
  const char *data; /* NULL: a hole */
  size_t size;
} Update;

typedef struct {
  LeaseJournal base;
  LeaseStateFile *file;
  LeaseStateLog *log;
  sqlite3_stmt *statements[LEASE_STATEMENTS];
  GHashTable *paged; /* ids of the nodes that have rows in the table `page`, and maybe of others */
  GHashTable *attributed; /* the same of the table `xattr` */
  LeaseTrouble keeping;
  LeaseHistogram commits; /* atomic, like the next */
  uint64_t commit_errors;

  /* The commit under way: */
  int code; /* of the first call to SQLite that failed */
  Update update;
} Journal;

/* A node's id is a key of the table as it is, in place of a pointer. */
G_STATIC_ASSERT (sizeof (void *) >= sizeof (uint64_t));
#define KEY(id) ((void *)(uintptr_t)(id))

static void
note_code (Journal *self, int code)
{
  if (self->code == SQLITE_OK)
    self->code = code;
}

static void
bind_number (Journal *self, LeaseStatement which, int place, int64_t value)
{
  note_code (self, sqlite3_bind_int64 (self->statements[which], place, value));
}

static void
bind_null (Journal *self, LeaseStatement which, int place)
{
  note_code (self, sqlite3_bind_null (self->statements[which], place));
}

static void
bind_text (Journal *self, LeaseStatement which, int place, const char *value)
{
  note_code (self, sqlite3_bind_text (self->statements[which], place, value, -1, SQLITE_STATIC));
}

static void
bind_blob (Journal *self, LeaseStatement which, int place, const char *value, size_t size)
{
  note_code (self,
             sqlite3_bind_blob64 (self->statements[which], place, value, size, SQLITE_STATIC));
}

static void
run (Journal *self, LeaseStatement which)
{
  int code;

  if (self->code != SQLITE_OK)
    return;
  code = sqlite3_step (self->statements[which]);
  if (code != SQLITE_DONE)
    self->code = code;
  sqlite3_reset (self->statements[which]);
}

static void
run_with (Journal *self, LeaseStatement which, uint64_t first)
{
  bind_number (self, which, 1, (int64_t)first);
  run (self, which);
}

static void
run_with_two (Journal *self, LeaseStatement which, uint64_t first, int64_t second)
{
  bind_number (self, which, 1, (int64_t)first);
  bind_number (self, which, 2, second);
  run (self, which);
}

/* The row of a node */

static void
write_update (Journal *self)
{
  const Update *update = &self->update;
  const LeaseRowMeta *meta = &update->meta;
  LeaseStatement which =
      update->has_data ? LEASE_STATEMENT_SET_NODE_AND_DATA : LEASE_STATEMENT_SET_NODE;
  const int64_t values[] = { meta->mode,     meta->uid,      meta->gid,     (int64_t)meta->size,
                             meta->atime_ns, meta->mtime_ns, meta->ctime_ns };

  if (update->node == 0)
    return;
  for (int i = 0; i < (int)G_N_ELEMENTS (values); i++)
    if (meta->fields & 1u << i)
      bind_number (self, which, i + 2, values[i]);
    else
      bind_null (self, which, i + 2);
  if (update->has_data)
    bind_blob (self, which, 9, update->data, update->size);
  run_with (self, which, update->node);
  self->update.node = 0;
}

/* What is still to be written to the row of `node`, to be added to. */
static Update *
update_of (Journal *self, uint64_t node)
{
  if (self->update.node != node) {
    write_update (self);
    self->update = (Update){ .node = node };
  }
  return &self->update;
}

static void
set_meta (Journal *self, uint64_t node, const LeaseRowMeta *from)
{
  LeaseRowMeta *to = &update_of (self, node)->meta;

  if (from->fields & LEASE_FIELD_MODE)
    to->mode = from->mode;
  if (from->fields & LEASE_FIELD_UID)
    to->uid = from->uid;
  if (from->fields & LEASE_FIELD_GID)
    to->gid = from->gid;
  if (from->fields & LEASE_FIELD_SIZE)
    to->size = from->size;
  if (from->fields & LEASE_FIELD_ATIME)
    to->atime_ns = from->atime_ns;
  if (from->fields & LEASE_FIELD_MTIME)
    to->mtime_ns = from->mtime_ns;
  if (from->fields & LEASE_FIELD_CTIME)
    to->ctime_ns = from->ctime_ns;
  to->fields |= from->fields;
}

static void
set_first_page (Journal *self, uint64_t node, const char *data, size_t size)
{
  Update *update = update_of (self, node);

  update->has_data = true;
  update->data = data;
  update->size = size;
}

static void
add_node (Journal *self, uint64_t node, const LeaseRowMeta *meta)
{
  const int64_t values[] = { meta->mode,          meta->uid,           meta->gid,
                             (int64_t)meta->rdev, (int64_t)meta->size, meta->atime_ns,
                             meta->mtime_ns,      meta->ctime_ns };

  for (int i = 0; i < (int)G_N_ELEMENTS (values); i++)
    bind_number (self, LEASE_STATEMENT_ADD_NODE, i + 2, values[i]);
  bind_text (self, LEASE_STATEMENT_ADD_NODE, 10, meta->target);
  run_with (self, LEASE_STATEMENT_ADD_NODE, node);
}

/* Pages behind the first */

static void
put_page (Journal *self, uint64_t node, uint64_t page, const char *data, size_t size)
{
  g_hash_table_add (self->paged, KEY (node));
  bind_number (self, LEASE_STATEMENT_PUT_PAGE, 2, (int64_t)page);
  bind_blob (self, LEASE_STATEMENT_PUT_PAGE, 3, data, size);
  run_with (self, LEASE_STATEMENT_PUT_PAGE, node);
}

/* From `first` up to, without, `end`. */
static void
remove_pages (Journal *self, uint64_t node, uint64_t first, uint64_t end)
{
  if (first == 0 && end > 0)
    set_first_page (self, node, NULL, 0);
  if (end <= MAX (first, 1) || !g_hash_table_contains (self->paged, KEY (node)))
    return;
  bind_number (self, LEASE_STATEMENT_REMOVE_PAGES, 3, (int64_t)end - 1);
  run_with_two (self, LEASE_STATEMENT_REMOVE_PAGES, node, (int64_t)MAX (first, 1));
}

static void
write_value (Journal *self, uint64_t node, const LeaseRowRange *range)
{
  uint64_t page = range->offset / LEASE_JOURNAL_PAGE;

  for (uint64_t done = 0; done < range->size; done += LEASE_JOURNAL_PAGE, page++) {
    size_t size = MIN (range->size - done, LEASE_JOURNAL_PAGE);

    if (page == 0)
      set_first_page (self, node, range->data, size);
    else
      put_page (self, node, page, range->data + done, size);
  }
}

/* The number of the first page that begins at or behind `offset`. */
static uint64_t
page_behind (uint64_t offset)
{
  return offset / LEASE_JOURNAL_PAGE + (offset % LEASE_JOURNAL_PAGE != 0);
}

/* Rows */

static void
put_name (Journal *self, uint64_t node, const LeaseRowName *name)
{
  bind_text (self, LEASE_STATEMENT_PUT_NAME, 2, name->text);
  bind_number (self, LEASE_STATEMENT_PUT_NAME, 3, (int64_t)node);
  bind_number (self, LEASE_STATEMENT_PUT_NAME, 4, (int64_t)name->position);
  bind_number (self, LEASE_STATEMENT_PUT_NAME, 5, name->told);
  run_with (self, LEASE_STATEMENT_PUT_NAME, name->parent);
}

static void
remove_name (Journal *self, const LeaseRowName *name)
{
  bind_text (self, LEASE_STATEMENT_REMOVE_NAME, 2, name->text);
  run_with (self, LEASE_STATEMENT_REMOVE_NAME, name->parent);
}

static void
write_xattr (Journal *self, uint64_t node, const LeaseRowXattr *xattr)
{
  LeaseStatement which =
      xattr->value != NULL ? LEASE_STATEMENT_PUT_XATTR : LEASE_STATEMENT_REMOVE_XATTR;

  bind_text (self, which, 2, xattr->name);
  if (xattr->value != NULL) {
    g_hash_table_add (self->attributed, KEY (node));
    bind_blob (self, which, 3, xattr->value, xattr->size);
  }
  run_with (self, which, node);
}

static void
remove_node (Journal *self, uint64_t node)
{
  run_with (self, LEASE_STATEMENT_REMOVE_NODE, node);
  remove_pages (self, node, 1, INT64_MAX);
  if (g_hash_table_contains (self->attributed, KEY (node)))
    run_with (self, LEASE_STATEMENT_REMOVE_XATTRS, node);
}

/* Returns whether the row was one that touches nothing in the table `node` but the columns that an
 * Update covers. */
static bool
write_value_row (Journal *self, const LeaseRow *row)
{
  switch (row->type) {
  case LEASE_ROW_SET:
    set_meta (self, row->node, &row->meta);
    return true;
  case LEASE_ROW_WRITE:
    write_value (self, row->node, &row->range);
    return true;
  case LEASE_ROW_TRUNCATE:
    remove_pages (self, row->node, page_behind (row->range.offset), INT64_MAX);
    return true;
  case LEASE_ROW_PUNCH:
    remove_pages (self, row->node, page_behind (row->range.offset),
                  (row->range.offset + row->range.size) / LEASE_JOURNAL_PAGE);
    return true;
  default:
    return false;
  }
}

static void
write_lease_row (Journal *self, const LeaseRow *row)
{
  static const LeaseStatement modes[] = {
    [LEASE_ROW_FILE_TTL] = LEASE_STATEMENT_SET_TTL_MODE,
    [LEASE_ROW_FILE_GRANTED] = LEASE_STATEMENT_SET_GRANTED_MODE,
    [LEASE_ROW_FILE_KEYS] = LEASE_STATEMENT_SET_KEYS_MODE,
    [LEASE_ROW_FILE_PROCS] = LEASE_STATEMENT_SET_PROCS_MODE,
  };

  switch (row->type) {
  case LEASE_ROW_LEASE:
    return run_with (self, LEASE_STATEMENT_ADD_LEASE, row->node);
  case LEASE_ROW_GRANT:
    return run_with_two (self, LEASE_STATEMENT_GRANT_LEASE, row->node, row->ns);
  case LEASE_ROW_MODE:
    g_assert (row->mode.file > 0 && row->mode.file < G_N_ELEMENTS (modes));
    return run_with_two (self, modes[row->mode.file], row->node, row->mode.mode);
  case LEASE_ROW_LEFT:
    return run_with_two (self, LEASE_STATEMENT_LEAVE_LEASE, row->node, row->ns);
  case LEASE_ROW_RUN:
    return run (self, LEASE_STATEMENT_RUN_LEASES);
  case LEASE_ROW_END:
    return run_with (self, LEASE_STATEMENT_END_LEASE, row->node);
  case LEASE_ROW_FREE:
    return run_with (self, LEASE_STATEMENT_REMOVE_LEASE, row->node);
  default:
    return;
  }
}

static void
write_row (Journal *self, const LeaseRow *row)
{
  if (write_value_row (self, row))
    return;
  write_update (self);
  switch (row->type) {
  case LEASE_ROW_IDS:
    return run_with (self, LEASE_STATEMENT_SET_NEXT_NODE, row->node);
  case LEASE_ROW_NODE:
    return add_node (self, row->node, &row->meta);
  case LEASE_ROW_GONE:
    return remove_node (self, row->node);
  case LEASE_ROW_XATTR:
    return write_xattr (self, row->node, &row->xattr);
  case LEASE_ROW_NAME:
    return put_name (self, row->node, &row->name);
  case LEASE_ROW_UNNAME:
    return remove_name (self, &row->name);
  case LEASE_ROW_ATTACH:
    return run_with_two (self, LEASE_STATEMENT_ATTACH, row->node, (int64_t)row->lease);
  case LEASE_ROW_DETACH:
    return run_with_two (self, LEASE_STATEMENT_DETACH, row->node, (int64_t)row->lease);
  default:
    return write_lease_row (self, row);
  }
}

static void
write_all (Journal *self, const LeaseRow *rows, size_t count)
{
  self->code = SQLITE_OK;
  self->update.node = 0;
  run (self, LEASE_STATEMENT_BEGIN);
  for (size_t i = 0; i < count && self->code == SQLITE_OK; i++)
    if (rows[i].stored)
      write_row (self, &rows[i]);
  write_update (self);
  run (self, LEASE_STATEMENT_COMMIT);
}

/* After a commit that succeeded. */
static void
forget_nodes (Journal *self, const LeaseRow *rows, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (rows[i].stored && rows[i].type == LEASE_ROW_GONE) {
      g_hash_table_remove (self->paged, KEY (rows[i].node));
      g_hash_table_remove (self->attributed, KEY (rows[i].node));
    }
}

static void
note_result (Journal *self)
{
  sqlite3 *db = self->file->db;

  if (self->code == SQLITE_OK)
    lease_trouble_end (&self->keeping, self->file->real_path);
  else
    lease_trouble_begin (&self->keeping, self->file->real_path,
                         lease_state_file_reason (db, self->code), sqlite3_errmsg (db));
}

/* One transaction. Somebody hears of it if it fails, unless it is for want of room and will be tried
 * `again`. */
static int
commit_once (Journal *self, const LeaseRow *rows, size_t count, bool again)
{
  int result = 0;

  pthread_mutex_lock (&self->file->lock);
  write_all (self, rows, count);
  if (self->code != SQLITE_OK)
    result = lease_state_file_errno (self->file->db, self->code);
  if (result != -ENOSPC || !again)
    note_result (self);
  if (result == 0) {
    lease_state_log_note_commit (self->log);
    forget_nodes (self, rows, count);
  } else if (!sqlite3_get_autocommit (self->file->db)) {
    self->code = SQLITE_OK;
    run (self, LEASE_STATEMENT_ROLLBACK);
  }
  pthread_mutex_unlock (&self->file->lock);
  return result;
}

static bool
has_stored (const LeaseRow *rows, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (rows[i].stored)
      return true;
  return false;
}

/* Where there is no room, that of the log is used again. */
static int
commit (LeaseJournal *journal, const LeaseRow *rows, size_t count)
{
  Journal *self = (Journal *)journal;
  LeaseTime start;
  int result;

  if (!has_stored (rows, count))
    return 0;
  start = lease_clock_now ();
  lease_state_log_make_room (self->log);
  result = commit_once (self, rows, count, true);
  if (result == -ENOSPC) {
    lease_state_log_reclaim (self->log);
    result = commit_once (self, rows, count, false);
  }
  lease_histogram_add (&self->commits, lease_clock_now () - start);
  if (result != 0)
    __atomic_fetch_add (&self->commit_errors, 1, __ATOMIC_RELAXED);
  return result;
}

/* The rest of the interface */

typedef struct {
  Journal *journal;
  LeaseRowEach each;
  void *data;
} Load;

static bool
take_row (const LeaseRow *row, void *data)
{
  Load *load = data;

  if (row->type == LEASE_ROW_WRITE && row->range.offset > 0)
    g_hash_table_add (load->journal->paged, KEY (row->node));
  if (row->type == LEASE_ROW_XATTR)
    g_hash_table_add (load->journal->attributed, KEY (row->node));
  return load->each (row, load->data);
}

/* The new version of an older file is left in the file itself, not in its log only, for the next
 * one who reads the header. */
static bool
load (LeaseJournal *journal, LeaseRowEach each, void *data, GError **error)
{
  Journal *self = (Journal *)journal;
  Load load = { self, each, data };
  bool older = self->file->version < LEASE_STATE_VERSION;

  if (!lease_state_rows_read (self->file, take_row, &load, error) ||
      !lease_state_statements_prepare (self->file, self->statements, error))
    return false;
  lease_state_file_approve (self->file);
  if (older) {
    lease_state_log_note_commit (self->log);
    lease_state_log_finish (self->log);
  }
  return true;
}

static int
sync_log (LeaseJournal *journal)
{
  return lease_state_log_sync (((Journal *)journal)->log);
}

static bool
tend (LeaseJournal *journal)
{
  return lease_state_log_tend (((Journal *)journal)->log);
}

static void
metrics (LeaseJournal *journal, LeaseJournalMetrics *metrics_out)
{
  Journal *self = (Journal *)journal;
  struct stat info;

  *metrics_out = (LeaseJournalMetrics){
    .data_bytes = fstat (self->file->fd, &info) == 0 ? (uint64_t)info.st_size : 0,
    .commits = lease_histogram_read (&self->commits),
    .commit_errors = __atomic_load_n (&self->commit_errors, __ATOMIC_RELAXED),
  };
  lease_state_log_metrics (self->log, metrics_out);
}

static void
close_journal (LeaseJournal *journal)
{
  Journal *self = (Journal *)journal;

  lease_state_statements_finalize (self->statements);
  if (self->file->approved)
    lease_state_log_finish (self->log);
  lease_state_log_free (self->log);
  lease_state_file_close (self->file);
  g_hash_table_destroy (self->paged);
  g_hash_table_destroy (self->attributed);
  g_free (self);
}

LeaseJournal *
lease_journal_sqlite_new (const char *path, GError **error)
{
  static const LeaseJournalKind kind = { .waits = true,
                                         .load = load,
                                         .commit = commit,
                                         .sync = sync_log,
                                         .tend = tend,
                                         .metrics = metrics,
                                         .close = close_journal };
  LeaseStateFile *file = lease_state_file_open (path, error);
  Journal *self;

  if (file == NULL)
    return NULL;
  self = g_new0 (Journal, 1);
  self->base.kind = &kind;
  self->file = file;
  self->log = lease_state_log_new (file);
  self->paged = g_hash_table_new (NULL, NULL);
  self->attributed = g_hash_table_new (NULL, NULL);
  self->keeping.begins = "changes cannot be kept";
  self->keeping.over = "changes are kept again";
  return &self->base;
}

bool
lease_journal_sqlite_had_log (const LeaseJournal *journal)
{
  return ((const Journal *)journal)->file->had_log;
}
