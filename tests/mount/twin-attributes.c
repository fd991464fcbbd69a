/* SPDX-License-Identifier: MIT */

/* Owns the calls on modes, owners, times and rights. */

#include "tests/mount/twin.h"

#include <sys/syscall.h>

static void
choose_chmod (TwinChoices *choices, TwinCall *call)
{
  twin_choose_path (choices, call->path, 0);
  call->at = twin_choose_at (choices);
  call->slot = twin_choose_slot (choices, 0);
  call->mode = twin_choose_mode (choices);
}

static int64_t
run_chmod (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  return fchmodat (twin_side_dir (side, call->at), call->path, call->mode, 0);
}

static int64_t
run_fchmod (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  return fchmod (side->fds[call->slot], call->mode);
}

static void
choose_chown (TwinChoices *choices, TwinCall *call)
{
  static const int ids[] = { -1, 0, 1000, 1001 };
  static const int flags[] = { 0, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH };

  choose_chmod (choices, call);
  call->flags = TWIN_PICK (choices, flags);
  if (call->flags == AT_EMPTY_PATH) {
    call->path[0] = '\0';
    call->at = call->slot;
  }
  call->offset = TWIN_PICK (choices, ids);
  call->offset2 = TWIN_PICK (choices, ids);
}

/* A chown of no owner takes S_ISGID away as well, so only the owner may do it. The kernel does not
 * ask that of a FUSE file system if the group may not execute the file; so here anybody may. */
static int64_t
run_chown (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  int dir = twin_side_dir (side, call->at);
  int result = fchownat (dir, call->path, call->offset, call->offset2, call->flags);
  struct stat st;

  if (result != 0 && errno == EPERM && call->offset == -1 && call->offset2 == -1 &&
      fstatat (dir, call->path, &st, call->flags) == 0 && !S_ISDIR (st.st_mode) &&
      (st.st_mode & (S_ISGID | S_IXGRP)) == S_ISGID)
    return 0;
  return result;
}

static void
choose_utimens (TwinChoices *choices, TwinCall *call)
{
  static const int64_t seconds[] = { 0, 1, -1, -86400, INT32_MAX, 1l << 31, 1l << 33, INT32_MIN };
  static const long nanoseconds[] = { 0,         1,         999999999,  123456789,
                                      UTIME_NOW, UTIME_NOW, UTIME_OMIT, 1000000000 };

  choose_chmod (choices, call);
  call->flags = twin_chance (choices, 30) ? AT_SYMLINK_NOFOLLOW : 0;
  for (int i = 0; i < 2; i++) {
    call->times[i].tv_sec = TWIN_PICK (choices, seconds);
    call->times[i].tv_nsec = TWIN_PICK (choices, nanoseconds);
  }
}

static int64_t
run_utimens (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  return utimensat (twin_side_dir (side, call->at), call->path,
                    call->seed % 8 == 0 ? NULL : call->times, call->flags);
}

static int64_t
run_futimens (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  return futimens (side->fds[call->slot], call->times);
}

static void
choose_access (TwinChoices *choices, TwinCall *call)
{
  static const int flags[] = { 0, AT_EACCESS, AT_SYMLINK_NOFOLLOW };

  choose_chmod (choices, call);
  call->mode = twin_random (choices, 8);
  call->flags = TWIN_PICK (choices, flags);
}

static int64_t
run_access (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  return syscall (SYS_faccessat2, twin_side_dir (side, call->at), call->path, call->mode,
                  call->flags);
}

static void
choose_stat (TwinChoices *choices, TwinCall *call)
{
  static const int flags[] = {
    0, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, AT_STATX_FORCE_SYNC, AT_STATX_DONT_SYNC, AT_REMOVEDIR
  };

  choose_chmod (choices, call);
  call->flags = TWIN_PICK (choices, flags);
}

/* What it says is among the sights. */
static int64_t
run_stat (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  struct statx stx;

  return statx (twin_side_dir (side, call->at), call->path, call->flags, STATX_BASIC_STATS, &stx);
}

const TwinKind twin_attribute_kinds[] = {
  { "chmod", 25, choose_chmod, run_chmod },        { "fchmod", 12, choose_chmod, run_fchmod },
  { "chown", 30, choose_chown, run_chown },        { "utimens", 20, choose_utimens, run_utimens },
  { "futimens", 8, choose_utimens, run_futimens }, { "access", 15, choose_access, run_access },
  { "stat", 15, choose_stat, run_stat },           { 0 },
};
