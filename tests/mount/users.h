/* SPDX-License-Identifier: MIT */
#pragma once

#include "tests/mount/calls.h"

/* What the files of `users` share: who there is, and steps that must succeed. */

/* Users have a group of the same number each. TEAM is a group of several. */
enum { ROOT = 0, ALICE = 61001, BOB = 61002, CAROL = 61003, TEAM = 61010 };

/* From now on calls are made by `uid`. */
void users_become (uid_t uid);

/* The same with another primary group, and with a supplementary one (0: none). */
void users_become_with_groups (uid_t uid, gid_t gid, gid_t other_group);

/* A member of TEAM: that is his primary group, or a supplementary one. */
typedef enum {
  MEMBER_FIRST,
  MEMBER_PRIMARY = MEMBER_FIRST,
  MEMBER_SUPPLEMENTARY,
  MEMBER_LAST
} Member;
void users_become_member (uid_t uid, Member how);

/* Leaves alice at work, who has the lease leases/a of 1000 s, which is TEAM's, and the key `alices`
 * attached to it. Bob has the key `bobs`. */
void users_begin_with_lease (void);

/* A directory of root's. */
void users_make_shared (mode_t mode);

void users_touch (const char *path);

/* One write(2) of `text` to `path`, which opens, must fail with `error`. */
void users_write_fails (int error, const char *path, const char *text);

/* When leases/a was last refreshed, in ns. */
int64_t users_last_refresh (void);

/* The cases; how many failed. */
int users_run_files (void);
int users_run_leases (void);
int users_run_keys (void);
int users_run_places (void);
int users_run_attacks (void);
