/* SPDX-License-Identifier: MIT */
#pragma once

#include "leases/engine.h"
#include "tests/fuzz/fuzz.h"

/* What the parts of the engine's fuzz target share. */

#define SLOTS 12
#define FORGOTTEN 4
#define HOLDERS 3

/* What a lease must be, from what was done to it. */
typedef struct {
  uint64_t id;
  int64_t granted_ns; /* 0: only reserved */
  LeaseTime deadline; /* NEVER while it is held */
  unsigned holders;   /* a bit each */
} Known;

typedef struct {
  FuzzBytes bytes;
  LeaseEngine *engine;
  LeaseEngineConfig config;
  LeaseCaller by;
  LeaseTime now; /* the latest that the engine was told */
  bool watch;    /* compare all that can be seen before and after: looking has side effects, so
                    not in each run */
  uint64_t pins[SLOTS]; /* nodes that are pinned once for each time that they are here; 0: none */
  uint64_t forgotten[FORGOTTEN]; /* some that were pinned once */
  unsigned next_slot, next_forgotten;
  GArray *known;      /* of Known: the leases that have not ended */
  GHashTable *doomed; /* ids of nodes that have ended: never to be seen again */
  LeaseTime armed;    /* the earliest deadline, as far as we were told */
  bool earlier, told_of_graves;
  LeaseGrave grave; /* of the reaper, which has been asked for it and has not acted yet */
} Fuzz;

/* fuzz-engine-operands.c: all of them are taken from the input. */
const char *take_name (Fuzz *fuzz);
uint64_t take_id (Fuzz *fuzz);
uint64_t take_size (Fuzz *fuzz);

/* The engine has pinned what it gave out: it stays so until its slot is wanted for another. */
void keep_pin (Fuzz *fuzz, const LeaseAttr *attr);
void drop_pin (Fuzz *fuzz, unsigned slot);
void drop_all_pins (Fuzz *fuzz);

/* fuzz-engine-view.c */
/* Whether a node is there, asked in the one way that moves nothing. */
bool view_is_there (Fuzz *fuzz, uint64_t id);

/* Finds the node at `path`; 0 if there is none any more. */
uint64_t view_find_path (Fuzz *fuzz, const char *path, mode_t *mode_out);

/* The paths that the `keys` of lease `id` shows, sorted; they point into `buffer_out`. */
int view_list_keys (Fuzz *fuzz, uint64_t id, GByteArray **buffer_out, GPtrArray **paths_out);

/* All that can be seen, as text. g_free() it. */
char *view_all (Fuzz *fuzz);

/* fuzz-engine-model.c */
/* For lease_engine_new(); `data` is the Fuzz. */
void model_hear (LeaseEvent event, uint64_t id, void *data);

/* NULL: no lease that has not ended. */
Known *model_find (Fuzz *fuzz, uint64_t id);
LeaseTime model_next_deadline (const Fuzz *fuzz);

/* These attributes were given to somebody who is not the reaper. */
void model_see (Fuzz *fuzz, const LeaseAttr *attr);

/* What was done to a lease. */
void model_reserved (Fuzz *fuzz, uint64_t id);
void model_granted (Fuzz *fuzz, uint64_t id, int64_t ttl_ns);
void model_refreshed (Fuzz *fuzz, uint64_t id);

void model_held (Fuzz *fuzz, uint64_t id, unsigned holders);

/* After a touch of node `id`: at most one lease has its whole TTL again, and `id` if it is one and
 * root did it. */
void model_touched (Fuzz *fuzz, uint64_t id);

/* Adds to `ids` what goes when lease `id` ends: the lease, and its keys (of its directories only
 * those that hold nothing else, which are left out). */
void model_collect (Fuzz *fuzz, uint64_t id, GArray *ids);

/* What was collected has ended. */
void model_doom (Fuzz *fuzz, const GArray *ids);

/* The lease `id`, if it is one, has been revoked. */
void model_forget (Fuzz *fuzz, uint64_t id);

/* All time passes by this. */
void model_set_time (Fuzz *fuzz, LeaseTime now);

/* Whatever must hold between any two operations. */
void model_check (Fuzz *fuzz);

/* The operations. Each takes its operands, does one thing to the engine, and returns what came of
 * it: 0, or a negative error. */
typedef int Operation (Fuzz *fuzz);

/* fuzz-engine-names.c */
Operation op_lookup, op_lookup_dots, op_unpin, op_create, op_put, op_lease, op_link, op_unlink,
    op_rmdir, op_rename, op_list, op_readlink;

/* Also revokes leases. */
int rmdir_as_known (Fuzz *fuzz, uint64_t parent, const char *name);

/* fuzz-engine-values.c */
Operation op_getattr, op_setattr, op_read, op_write, op_allocate, op_seek, op_copy;

/* fuzz-engine-leases.c */
Operation op_pass_time, op_become, op_info, op_chmod_file, op_grant, op_refresh, op_edit_keys,
    op_keys, op_metrics, op_edit_holders, op_drop_holder, op_holders;

/* fuzz-engine-xattr.c */
Operation op_set_xattr, op_get_xattr, op_remove_xattr, op_list_xattrs;

/* Removes all that node `id` has. */
void remove_xattrs (Fuzz *fuzz, uint64_t id);

/* fuzz-engine-reaper.c */
Operation op_expire, op_next_grave, op_bury, op_remove_grave, op_reap, op_reaper_unlink;

/* Cleans up until nothing is left to clean up. */
void reap_all (Fuzz *fuzz);
