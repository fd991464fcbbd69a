/* SPDX-License-Identifier: MIT */
#pragma once

#include "tests/unit/fixture.h"

/* Verbs about who holds leases, which are given by the name of their directory; holders have an id,
 * and show 100 more than that. */

int fx_hold (Fixture *fx, const char *lease, uint64_t holder);
int fx_let_go (Fixture *fx, const char *lease, uint64_t holder);

/* Several lines at once: what is negative lets go. Up to a 0. */
int fx_edit_holders (Fixture *fx, const char *lease, const int *holders);

/* The holder is no more. */
void fx_drop (Fixture *fx, uint64_t holder);

/* What they show, sorted, with blanks between them. */
const char *fx_holders (Fixture *fx, const char *lease);
