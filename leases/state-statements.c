/* SPDX-License-Identifier: MIT */

#include "leases/state-statements.h"

#define SET_META                                                                                   \
  "UPDATE node SET mode = coalesce (?2, mode), uid = coalesce (?3, uid),"                          \
  " gid = coalesce (?4, gid), size = coalesce (?5, size), atime = coalesce (?6, atime),"           \
  " mtime = coalesce (?7, mtime), ctime = coalesce (?8, ctime)"

static const char *const sql[LEASE_STATEMENTS] = {
  [LEASE_STATEMENT_BEGIN] = "BEGIN IMMEDIATE",
  [LEASE_STATEMENT_COMMIT] = "COMMIT",
  [LEASE_STATEMENT_ROLLBACK] = "ROLLBACK",
  [LEASE_STATEMENT_SET_NEXT_NODE] =
      "INSERT INTO meta (name, value) VALUES ('next_node', ?1)"
      " ON CONFLICT (name) DO UPDATE SET value = max (value, excluded.value)",
  [LEASE_STATEMENT_ADD_NODE] =
      "INSERT INTO node (id, mode, uid, gid, rdev, size, atime, mtime, ctime, target)"
      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
  [LEASE_STATEMENT_SET_NODE] = SET_META " WHERE id = ?1",
  [LEASE_STATEMENT_SET_NODE_AND_DATA] = SET_META ", data = ?9 WHERE id = ?1",
  [LEASE_STATEMENT_REMOVE_NODE] = "DELETE FROM node WHERE id = ?1",
  [LEASE_STATEMENT_PUT_PAGE] = "REPLACE INTO page (node, number, data) VALUES (?1, ?2, ?3)",
  [LEASE_STATEMENT_REMOVE_PAGES] = "DELETE FROM page WHERE node = ?1 AND number BETWEEN ?2 AND ?3",
  [LEASE_STATEMENT_PUT_XATTR] = "REPLACE INTO xattr (node, name, value) VALUES (?1, ?2, ?3)",
  [LEASE_STATEMENT_REMOVE_XATTR] = "DELETE FROM xattr WHERE node = ?1 AND name = ?2",
  [LEASE_STATEMENT_REMOVE_XATTRS] = "DELETE FROM xattr WHERE node = ?1",
  [LEASE_STATEMENT_PUT_NAME] =
      "REPLACE INTO name (parent, name, node, position, told) VALUES (?1, ?2, ?3, ?4, ?5)",
  [LEASE_STATEMENT_REMOVE_NAME] = "DELETE FROM name WHERE parent = ?1 AND name = ?2",
  [LEASE_STATEMENT_ATTACH] = "UPDATE node SET lease = nullif (?2, 0) WHERE id = ?1",
  [LEASE_STATEMENT_DETACH] = "UPDATE node SET lease = NULL WHERE id = ?1 AND lease = ?2",
  [LEASE_STATEMENT_ADD_LEASE] = "INSERT INTO lease (id) VALUES (?1)",
  [LEASE_STATEMENT_GRANT_LEASE] = "UPDATE lease SET granted = ?2, remaining = NULL WHERE id = ?1",
  [LEASE_STATEMENT_SET_TTL_MODE] = "UPDATE lease SET ttl_mode = ?2 WHERE id = ?1",
  [LEASE_STATEMENT_SET_GRANTED_MODE] = "UPDATE lease SET granted_mode = ?2 WHERE id = ?1",
  [LEASE_STATEMENT_SET_KEYS_MODE] = "UPDATE lease SET keys_mode = ?2 WHERE id = ?1",
  [LEASE_STATEMENT_SET_PROCS_MODE] = "UPDATE lease SET procs_mode = ?2 WHERE id = ?1",
  [LEASE_STATEMENT_LEAVE_LEASE] = "UPDATE lease SET remaining = ?2 WHERE id = ?1",
  [LEASE_STATEMENT_RUN_LEASES] = "UPDATE lease SET remaining = NULL WHERE remaining IS NOT NULL",
  [LEASE_STATEMENT_END_LEASE] = "UPDATE lease SET ended = 1 WHERE id = ?1",
  [LEASE_STATEMENT_REMOVE_LEASE] = "DELETE FROM lease WHERE id = ?1",
};

bool
lease_state_statements_prepare (LeaseStateFile *file, sqlite3_stmt *statements[], GError **error)
{
  for (size_t i = 0; i < LEASE_STATEMENTS; i++) {
    int code =
        sqlite3_prepare_v3 (file->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &statements[i], NULL);

    if (code != SQLITE_OK)
      return lease_state_file_fail (file, file->db, code, error);
  }
  return true;
}

void
lease_state_statements_finalize (sqlite3_stmt *statements[])
{
  for (size_t i = 0; i < LEASE_STATEMENTS; i++)
    sqlite3_finalize (statements[i]);
}
