/* SPDX-License-Identifier: MIT */
#pragma once

#include "leases/state-file.h"

/* What is done to the tables of a state file, statement by statement. Their parameters, from ?1 on,
 * are those that their texts have. */
typedef enum {
  LEASE_STATEMENT_BEGIN,
  LEASE_STATEMENT_COMMIT,
  LEASE_STATEMENT_ROLLBACK,
  LEASE_STATEMENT_SET_NEXT_NODE,
  LEASE_STATEMENT_ADD_NODE,
  LEASE_STATEMENT_SET_NODE,
  LEASE_STATEMENT_SET_NODE_AND_DATA,
  LEASE_STATEMENT_REMOVE_NODE,
  LEASE_STATEMENT_PUT_PAGE,
  LEASE_STATEMENT_REMOVE_PAGES,
  LEASE_STATEMENT_PUT_XATTR,
  LEASE_STATEMENT_REMOVE_XATTR,
  LEASE_STATEMENT_REMOVE_XATTRS,
  LEASE_STATEMENT_PUT_NAME,
  LEASE_STATEMENT_REMOVE_NAME,
  LEASE_STATEMENT_ATTACH,
  LEASE_STATEMENT_DETACH,
  LEASE_STATEMENT_ADD_LEASE,
  LEASE_STATEMENT_GRANT_LEASE,
  LEASE_STATEMENT_SET_TTL_MODE,
  LEASE_STATEMENT_SET_GRANTED_MODE,
  LEASE_STATEMENT_SET_KEYS_MODE,
  LEASE_STATEMENT_SET_PROCS_MODE,
  LEASE_STATEMENT_LEAVE_LEASE,
  LEASE_STATEMENT_RUN_LEASES,
  LEASE_STATEMENT_END_LEASE,
  LEASE_STATEMENT_REMOVE_LEASE,
  LEASE_STATEMENTS, /* how many there are */
} LeaseStatement;

/* Prepares all of them for `file->db`, when the tables are those of LEASE_STATE_VERSION. In either
 * case they are to be finalized; those that are NULL are passed over. */
bool lease_state_statements_prepare (LeaseStateFile *file, sqlite3_stmt *statements[],
                                     GError **error);
void lease_state_statements_finalize (sqlite3_stmt *statements[]);
