/* SPDX-License-Identifier: MIT */
#pragma once

#include <sqlite3.h>
#include <stdint.h>

/* The tables of a state file, and how older ones become them. */

/* What a state file has in its header as `application_id` ("lsfs") and as `user_version`. */
#define LEASE_STATE_APPLICATION UINT32_C (0x6c736673)
#define LEASE_STATE_VERSION UINT32_C (2)

/* Makes the tables, in one transaction. Returns an SQLITE_ code; if that is not SQLITE_OK, nothing
 * has changed. */
int lease_state_schema_make (sqlite3 *db);

/* Brings the tables from `version` (0: there are none) to LEASE_STATE_VERSION, within the
 * transaction that the caller has begun. Returns an SQLITE_ code. */
int lease_state_schema_update (sqlite3 *db, uint32_t version);
