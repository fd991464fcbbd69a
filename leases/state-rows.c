/* SPDX-License-Identifier: MIT */

/* From the tables of a state file to rows of the journal. What a value may be for its column is
 * checked here, what it means for the whole by who takes the rows. */

#include "leases/state-rows.h"

#include "leases/state-header.h"

#include <string.h>
#include <sys/stat.h>

#define NUMBER_MAX ((uint64_t)INT64_MAX)

typedef struct {
  LeaseRowEach each;
  void *data;
  sqlite3_stmt *statement;
  bool bad; /* a value of the present row cannot be */
} Reader;

/* Columns are asked for by their place in the statement of the table. */

static bool
is_null (Reader *reader, int column)
{
  return sqlite3_column_type (reader->statement, column) == SQLITE_NULL;
}

static int64_t
number (Reader *reader, int column)
{
  if (sqlite3_column_type (reader->statement, column) != SQLITE_INTEGER)
    reader->bad = true;
  return sqlite3_column_int64 (reader->statement, column);
}

/* A number from `min` to `max`. */
static uint64_t
number_in (Reader *reader, int column, uint64_t min, uint64_t max)
{
  int64_t value = number (reader, column);

  if (value < 0 || (uint64_t)value < min || (uint64_t)value > max)
    reader->bad = true;
  return (uint64_t)value;
}

static uint64_t
id (Reader *reader, int column)
{
  return number_in (reader, column, 1, NUMBER_MAX);
}

static const char *
text (Reader *reader, int column)
{
  const char *value = (const char *)sqlite3_column_text (reader->statement, column);

  if (sqlite3_column_type (reader->statement, column) != SQLITE_TEXT || value == NULL ||
      strlen (value) != (size_t)sqlite3_column_bytes (reader->statement, column)) {
    reader->bad = true;
    return "";
  }
  return value;
}

static bool
give (Reader *reader, const LeaseRow *row)
{
  return !reader->bad && reader->each (row, reader->data);
}

/* What one column of the row at hand says of `node`, if it says anything: `type` and `ns`. */
static bool
give_duration (Reader *reader, uint64_t node, LeaseRowType type, int column)
{
  LeaseRow row = { .type = type, .stored = true, .node = node };

  if (is_null (reader, column))
    return true;
  row.ns = (int64_t)number_in (reader, column, 0, NUMBER_MAX);
  return give (reader, &row);
}

static bool
give_bytes (Reader *reader, uint64_t node, uint64_t page, int column)
{
  LeaseRow row = { .type = LEASE_ROW_WRITE, .stored = true, .node = node };

  if (is_null (reader, column))
    return true;
  if (sqlite3_column_type (reader->statement, column) != SQLITE_BLOB)
    reader->bad = true;
  row.range.offset = page * LEASE_JOURNAL_PAGE;
  row.range.data = sqlite3_column_blob (reader->statement, column);
  row.range.size = (uint64_t)sqlite3_column_bytes (reader->statement, column);
  if (row.range.data == NULL || row.range.size > LEASE_JOURNAL_PAGE)
    reader->bad = true;
  return give (reader, &row);
}

static bool
read_meta (Reader *reader)
{
  LeaseRow row = { .type = LEASE_ROW_IDS, .stored = true };

  if (strcmp (text (reader, 0), "next_node") != 0)
    return !reader->bad;
  row.node = id (reader, 1);
  return give (reader, &row);
}

static bool
read_node (Reader *reader)
{
  enum { ID, MODE, UID, GID, RDEV, SIZE, ATIME, MTIME, CTIME, TARGET, DATA };
  LeaseRow row = { .type = LEASE_ROW_NODE, .stored = true, .node = id (reader, ID) };

  row.meta.mode = (mode_t)number_in (reader, MODE, 0, UINT32_MAX);
  row.meta.uid = (uid_t)number_in (reader, UID, 0, UINT32_MAX);
  row.meta.gid = (gid_t)number_in (reader, GID, 0, UINT32_MAX);
  row.meta.rdev = (dev_t)number (reader, RDEV);
  row.meta.size = number_in (reader, SIZE, 0, NUMBER_MAX);
  row.meta.atime_ns = number (reader, ATIME);
  row.meta.mtime_ns = number (reader, MTIME);
  row.meta.ctime_ns = number (reader, CTIME);
  if (S_ISLNK (row.meta.mode))
    row.meta.target = text (reader, TARGET);
  return give (reader, &row) && give_bytes (reader, row.node, 0, DATA);
}

static bool
read_page (Reader *reader)
{
  uint64_t node = id (reader, 0), page = number_in (reader, 1, 1, NUMBER_MAX / LEASE_JOURNAL_PAGE);

  reader->bad |= is_null (reader, 2);
  return !reader->bad && give_bytes (reader, node, page, 2);
}

/* A value of no bytes is no NULL, though SQLite gives the one for the other. */
static bool
read_xattr (Reader *reader)
{
  enum { NODE, NAME, VALUE };
  LeaseRow row = { .type = LEASE_ROW_XATTR, .stored = true, .node = id (reader, NODE) };

  row.xattr.name = text (reader, NAME);
  row.xattr.size = (size_t)sqlite3_column_bytes (reader->statement, VALUE);
  row.xattr.value = row.xattr.size > 0 ? sqlite3_column_blob (reader->statement, VALUE) : "";
  if (sqlite3_column_type (reader->statement, VALUE) != SQLITE_BLOB || row.xattr.value == NULL)
    reader->bad = true;
  return give (reader, &row);
}

static bool
give_mode (Reader *reader, uint64_t lease, unsigned file, int column)
{
  LeaseRow row = { .type = LEASE_ROW_MODE, .stored = true, .node = lease };

  if (is_null (reader, column))
    return true;
  row.mode.file = file;
  row.mode.mode = (mode_t)number_in (reader, column, 0, UINT32_MAX);
  return give (reader, &row);
}

static bool
read_lease (Reader *reader)
{
  enum { ID, GRANTED, REMAINING, ENDED, FIRST_MODE };
  LeaseRow row = { .type = LEASE_ROW_LEASE, .stored = true, .node = id (reader, ID) };
  LeaseRow end = { .type = LEASE_ROW_END, .stored = true, .node = row.node };
  bool ended = number_in (reader, ENDED, 0, 1) == 1, ok;

  ok = give (reader, &row) && give_duration (reader, row.node, LEASE_ROW_GRANT, GRANTED) &&
       give_duration (reader, row.node, LEASE_ROW_LEFT, REMAINING);
  for (int i = 0; ok && i <= LEASE_ROW_FILE_LAST - LEASE_ROW_FILE_TTL; i++)
    ok = give_mode (reader, row.node, LEASE_ROW_FILE_TTL + i, FIRST_MODE + i);
  return ok && (!ended || give (reader, &end));
}

static bool
read_name (Reader *reader)
{
  enum { PARENT, NAME, NODE, POSITION, TOLD };
  LeaseRow row = { .type = LEASE_ROW_NAME, .stored = true, .node = id (reader, NODE) };

  row.name.parent = id (reader, PARENT);
  row.name.text = text (reader, NAME);
  row.name.position = id (reader, POSITION);
  row.name.told = number_in (reader, TOLD, 0, 1) == 1;
  if (row.name.text[0] == '\0' || strchr (row.name.text, '/') != NULL)
    reader->bad = true;
  return give (reader, &row);
}

static bool
read_attachment (Reader *reader)
{
  LeaseRow row = { .type = LEASE_ROW_ATTACH, .stored = true, .node = id (reader, 0) };

  row.lease = id (reader, 1);
  return give (reader, &row);
}

/* What is read, in this order. The first `keys` columns tell a person which row it is. */
static const struct {
  const char *table, *columns;
  int keys;
  bool (*read) (Reader *reader);
} parts[] = {
  { "meta", "name, value FROM meta", 1, read_meta },
  { "node", "id, mode, uid, gid, rdev, size, atime, mtime, ctime, target, data FROM node", 1,
    read_node },
  { "page", "node, number, data FROM page", 2, read_page },
  { "xattr", "node, name, value FROM xattr", 2, read_xattr },
  { "lease",
    "id, granted, remaining, ended, ttl_mode, granted_mode, keys_mode, procs_mode FROM lease", 1,
    read_lease },
  { "name", "parent, name, node, position, told FROM name", 2, read_name },
  { "node", "id, lease FROM node WHERE lease IS NOT NULL", 2, read_attachment },
};

/* Which row is the bad one. */
static char *
describe (sqlite3_stmt *statement, const char *table, int keys)
{
  GString *words = g_string_new (NULL);

  g_string_append_printf (words, "table %s, row", table);
  for (int i = 0; i < keys; i++) {
    const char *value = (const char *)sqlite3_column_text (statement, i);
    const char *quote = sqlite3_column_type (statement, i) == SQLITE_TEXT ? "\"" : "";
    g_autofree char *escaped = g_strescape (value != NULL ? value : "NULL", NULL);

    g_string_append_printf (words, "%s %s = %s%s%s", i > 0 ? "," : "",
                            sqlite3_column_name (statement, i), quote, escaped, quote);
  }
  return g_string_free (words, FALSE);
}

static bool
read_part (LeaseStateFile *file, Reader *reader, size_t part, GError **error)
{
  g_autofree char *sql = g_strconcat ("SELECT ", parts[part].columns, NULL);
  g_autofree char *row = NULL;
  int code = sqlite3_prepare_v2 (file->db, sql, -1, &reader->statement, NULL);

  if (code == SQLITE_OK) {
    while ((code = sqlite3_step (reader->statement)) == SQLITE_ROW && parts[part].read (reader))
      ;
    if (code == SQLITE_ROW)
      row = describe (reader->statement, parts[part].table, parts[part].keys);
  }
  if (row != NULL)
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_FAILED,
                 "%s: damaged: %s makes no sense: " LEASE_STATE_ADVICE, file->path, row);
  else if (code != SQLITE_DONE)
    lease_state_file_fail (file, file->db, code, error);
  sqlite3_finalize (reader->statement);
  return code == SQLITE_DONE;
}

/* Whether the tables can be read in full and in order; that takes a quarter of a second for
 * 1,000,000 keys. */
static bool
check_pages (LeaseStateFile *file, GError **error)
{
  sqlite3_stmt *statement = NULL;
  int code = sqlite3_prepare_v2 (file->db, "PRAGMA quick_check (1)", -1, &statement, NULL);
  g_autofree char *result = NULL;
  bool ok = false;

  if (code == SQLITE_OK && (code = sqlite3_step (statement)) == SQLITE_ROW)
    result = g_strdup ((const char *)sqlite3_column_text (statement, 0));
  if (result == NULL)
    lease_state_file_fail (file, file->db, code, error);
  else if (strcmp (result, "ok") != 0)
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "%s: damaged: %s: " LEASE_STATE_ADVICE,
                 file->path, g_strdelimit (result, "\n", ' '));
  else
    ok = true;
  sqlite3_finalize (statement);
  return ok;
}

bool
lease_state_rows_read (LeaseStateFile *file, LeaseRowEach each, void *data, GError **error)
{
  Reader reader = { .each = each, .data = data };
  bool ok;

  pthread_mutex_lock (&file->lock);
  ok = lease_state_file_begin_load (file, error);
  if (ok) {
    ok = check_pages (file, error);
    for (size_t i = 0; ok && i < G_N_ELEMENTS (parts); i++)
      ok = read_part (file, &reader, i, error);
    ok = lease_state_file_end_load (file, ok, error) && ok;
  }
  pthread_mutex_unlock (&file->lock);
  return ok;
}
