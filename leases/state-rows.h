/* SPDX-License-Identifier: MIT */
#pragma once

#include "leases/journal.h"
#include "leases/state-file.h"

/* Calls `each` for what the tables of a state file hold, as lease_journal_load() does. An older
 * file is brought up to date if all of that was good; else nothing changes. */
bool lease_state_rows_read (LeaseStateFile *file, LeaseRowEach each, void *data, GError **error);
