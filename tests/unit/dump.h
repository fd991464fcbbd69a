/* SPDX-License-Identifier: MIT */
#pragma once

#include "leases/engine.h"

/* All that root can see of an engine, as text: names in their order, with what stat(2) shows of
 * them, their extended attributes, values with their holes, leases with their keys. With
 * `fleeting`, also times of files, the time that leases have left, and link counts (which still
 * count names that have ended, until these are cleaned up); never times of directories, which move
 * by themselves, nor atimes. Leases that are only reserved are left out. The caller frees it. */
char *dump_engine (LeaseEngine *engine, const LeaseCaller *by, bool fleeting);
