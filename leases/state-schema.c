/* SPDX-License-Identifier: MIT */

/* The tables of a state file. People read them with the sqlite3 program, so what they hold is
 * explained where that program shows it (".schema").
 *
 * How they are cut follows from what a commit costs, which is about 5 us for each page of the
 * database that it changes: the first page of a value, which is all of it for most keys, is kept
 * with the node, so that a put changes one page. The wide column comes last: what stands before it
 * is read without it. */

#include "leases/state-schema.h"

#include <glib.h>

static const char first_tables[] =
    "CREATE TABLE meta ( -- of the state as a whole\n"
    "  name TEXT PRIMARY KEY, -- 'next_node': every node.id so far is below it\n"
    "  value INTEGER NOT NULL\n"
    ") STRICT, WITHOUT ROWID;\n"

    "CREATE TABLE node ( -- files, directories, symlinks: what names stand for\n"
    "  id INTEGER PRIMARY KEY, -- never used again; 1 is the root\n"
    "  mode INTEGER NOT NULL, -- type and permissions, as stat(2) has them\n"
    "  uid INTEGER NOT NULL,\n"
    "  gid INTEGER NOT NULL,\n"
    "  rdev INTEGER NOT NULL,\n"
    "  size INTEGER NOT NULL,\n"
    "  atime INTEGER NOT NULL, -- times are nanoseconds since 1970\n"
    "  mtime INTEGER NOT NULL,\n"
    "  ctime INTEGER NOT NULL,\n"
    "  lease INTEGER, -- the lease.id that it is attached to\n"
    "  target TEXT, -- of a symlink\n"
    "  data BLOB -- the value's first 4096 bytes, less if the rest is zeros; NULL: a hole\n"
    ") STRICT;\n"

    "CREATE TABLE page ( -- the bytes of values behind the first 4096; what is missing is a hole\n"
    "  node INTEGER NOT NULL,\n"
    "  number INTEGER NOT NULL, -- the offset is 4096 times this\n"
    "  data BLOB NOT NULL, -- less than 4096 bytes if the rest is zeros\n"
    "  PRIMARY KEY (node, number)\n"
    ") STRICT, WITHOUT ROWID;\n"

    "CREATE TABLE name ( -- the entries of directories\n"
    "  parent INTEGER NOT NULL, -- the node.id of the directory\n"
    "  name TEXT NOT NULL, -- any bytes, not always UTF-8\n"
    "  node INTEGER NOT NULL, -- the node.id that it stands for\n"
    "  position INTEGER NOT NULL, -- its place in listings\n"
    "  told INTEGER NOT NULL, -- 1: by this name the node was attached\n"
    "  PRIMARY KEY (parent, name)\n"
    ") STRICT, WITHOUT ROWID;\n"

    "CREATE TABLE lease (\n"
    "  id INTEGER PRIMARY KEY, -- the node.id of its directory\n"
    "  granted INTEGER, -- the TTL in nanoseconds; NULL: not granted yet\n"
    "  remaining INTEGER, -- nanoseconds that were left at a clean stop\n"
    "  ended INTEGER NOT NULL DEFAULT 0, -- 1: it has ended, but its keys are not all removed yet\n"
    "  ttl_mode INTEGER, -- permissions of its files `ttl`, `granted` and `keys`, where changed\n"
    "  granted_mode INTEGER,\n"
    "  keys_mode INTEGER\n"
    ") STRICT;\n"

    "CREATE VIEW path (node, path) AS -- every name with the directories that lead to it\n"
    "WITH RECURSIVE below (node, path) AS (\n"
    "  SELECT node, name FROM name WHERE parent = 1\n"
    "  UNION ALL\n"
    "  SELECT name.node, below.path || '/' || name.name\n"
    "    FROM below CROSS JOIN name ON name.parent = below.node\n"
    ")\n"
    "SELECT node, path FROM below;\n"

    "CREATE VIEW key (path, size, lease, value) AS -- files; of long values the first 4096 bytes\n"
    "SELECT path.path, node.size, of_lease.path, CAST (node.data AS TEXT)\n"
    "  FROM path JOIN node ON node.id = path.node\n"
    "  LEFT JOIN path AS of_lease ON of_lease.node = node.lease\n"
    "  WHERE node.mode & 61440 = 32768;\n";

/* `procs` came to stand in the directories of leases: a file of users that has this name there gets
 * another one, under which it can be reached. */
static const char second_tables[] =
    "ALTER TABLE lease ADD COLUMN procs_mode INTEGER;\n"
    "UPDATE OR IGNORE name SET name = 'procs-' || node\n"
    "  WHERE name = 'procs' AND parent IN (SELECT id FROM lease);\n"

    "CREATE TABLE xattr ( -- extended attributes; that of the lease is node.lease\n"
    "  node INTEGER NOT NULL,\n"
    "  name TEXT NOT NULL, -- with its namespace, as in 'user.name'; any bytes, not always UTF-8\n"
    "  value BLOB NOT NULL,\n"
    "  PRIMARY KEY (node, name)\n"
    ") STRICT, WITHOUT ROWID;\n";

/* Step i leads from version i to version i + 1. */
static const char *const steps[] = { first_tables, second_tables };

G_STATIC_ASSERT (G_N_ELEMENTS (steps) == LEASE_STATE_VERSION);

static int
run (sqlite3 *db, const char *sql)
{
  return sqlite3_exec (db, sql, NULL, NULL, NULL);
}

int
lease_state_schema_update (sqlite3 *db, uint32_t version)
{
  g_autofree char *note = g_strdup_printf ("PRAGMA user_version = %u", LEASE_STATE_VERSION);

  for (; version < LEASE_STATE_VERSION; version++) {
    int code = run (db, steps[version]);

    if (code != SQLITE_OK)
      return code;
  }
  return run (db, note);
}

int
lease_state_schema_make (sqlite3 *db)
{
  int code = run (db, "BEGIN IMMEDIATE");

  if (code == SQLITE_OK)
    code = lease_state_schema_update (db, 0);
  if (code == SQLITE_OK)
    code = run (db, "COMMIT");
  if (code != SQLITE_OK && !sqlite3_get_autocommit (db))
    run (db, "ROLLBACK");
  return code;
}
