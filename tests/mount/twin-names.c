/* SPDX-License-Identifier: MIT */

/* Owns the calls that make, move and remove names. */

#include "tests/mount/twin.h"

#include <sys/sysmacros.h>

static void
choose_new (TwinChoices *choices, TwinCall *call)
{
  twin_choose_free_path (choices, call->path);
  call->at = twin_choose_at (choices);
  call->mode = twin_choose_mode (choices);
}

static int64_t
run_mkdir (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  return mkdirat (twin_side_dir (side, call->at), call->path, call->mode);
}

static void
choose_mknod (TwinChoices *choices, TwinCall *call)
{
  static const unsigned types[] = { S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, S_IFREG, 0, S_IFDIR };
  unsigned minor_number;

  choose_new (choices, call);
  call->mode |= TWIN_PICK (choices, types);
  minor_number = twin_random (choices, 1 << 20);
  call->size = makedev (twin_random (choices, 4096), minor_number);
}

static int64_t
run_mknod (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  return mknodat (twin_side_dir (side, call->at), call->path, call->mode, call->size);
}

static void
choose_symlink (TwinChoices *choices, TwinCall *call)
{
  static const int lengths[] = { 0, 1, 4094, 4095, 4096 };

  twin_choose_free_path (choices, call->path);
  call->at = twin_choose_at (choices);
  if (twin_chance (choices, 70)) {
    twin_choose_path (choices, call->path2, twin_chance (choices, 50) ? S_IFDIR : 0);
  } else {
    int length = TWIN_PICK (choices, lengths);
    memset (call->path2, 't', length);
    call->path2[length] = '\0';
  }
}

static int64_t
run_symlink (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  return symlinkat (call->path2, twin_side_dir (side, call->at), call->path);
}

static void
choose_link_path (TwinChoices *choices, TwinCall *call)
{
  twin_choose_path (choices, call->path, S_IFLNK);
  call->at = twin_choose_at (choices);
  call->size = twin_chance (choices, 80) ? 5000 : twin_random (choices, 3);
}

static int64_t
run_readlink (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  return twin_got (answer, readlinkat (twin_side_dir (side, call->at), call->path,
                                       (char *)answer->data, call->size));
}

static void
choose_link (TwinChoices *choices, TwinCall *call)
{
  static const int flags[] = { 0, 0, 0, AT_SYMLINK_FOLLOW, AT_EMPTY_PATH, AT_REMOVEDIR };

  call->flags = TWIN_PICK (choices, flags);
  twin_choose_path (choices, call->path, twin_chance (choices, 70) ? S_IFREG : 0);
  call->at = twin_choose_at (choices);
  if (call->flags == AT_EMPTY_PATH) {
    call->path[0] = '\0';
    call->at = twin_choose_slot (choices, S_IFREG);
  }
  twin_choose_free_path (choices, call->path2);
  call->at2 = twin_choose_at (choices);
}

static int64_t
run_link (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  return linkat (twin_side_dir (side, call->at), call->path, twin_side_dir (side, call->at2),
                 call->path2, call->flags);
}

static void
choose_unlink (TwinChoices *choices, TwinCall *call)
{
  static const int flags[] = { 0, 0, 0, AT_REMOVEDIR, AT_REMOVEDIR, AT_SYMLINK_FOLLOW };
  static const unsigned types[] = { S_IFREG, 0, S_IFLNK };

  call->flags = TWIN_PICK (choices, flags);
  twin_choose_path (choices, call->path,
                    call->flags == AT_REMOVEDIR ? S_IFDIR : TWIN_PICK (choices, types));
  call->at = twin_choose_at (choices);
}

static int64_t
run_unlink (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  return unlinkat (twin_side_dir (side, call->at), call->path, call->flags);
}

static void
choose_two_paths (TwinChoices *choices, TwinCall *call)
{
  static const unsigned types[] = { S_IFREG, S_IFDIR, S_IFLNK, 0 };
  unsigned type = TWIN_PICK (choices, types);

  twin_choose_path (choices, call->path, type);
  call->at = twin_choose_at (choices);
  if (twin_chance (choices, 50))
    twin_choose_free_path (choices, call->path2);
  else
    twin_choose_path (choices, call->path2, type);
  call->at2 = twin_choose_at (choices);
  if (twin_chance (choices, 4)) {
    snprintf (call->path2, TWIN_PATH, "%.4000s/%s", call->path, "a");
    call->at2 = call->at;
  }
}

static void
choose_rename2 (TwinChoices *choices, TwinCall *call)
{
  static const int flags[] = { RENAME_NOREPLACE,
                               RENAME_NOREPLACE,
                               RENAME_EXCHANGE,
                               RENAME_EXCHANGE,
                               RENAME_EXCHANGE,
                               RENAME_NOREPLACE | RENAME_EXCHANGE,
                               8 /* none */ };

  choose_two_paths (choices, call);
  call->flags = TWIN_PICK (choices, flags);
  if (call->flags == RENAME_EXCHANGE && twin_chance (choices, 80)) {
    twin_choose_path (choices, call->path2, 0);
    call->at2 = -1;
  }
}

static void
choose_whiteout (TwinChoices *choices, TwinCall *call)
{
  static const int flags[] = { RENAME_WHITEOUT, RENAME_WHITEOUT, RENAME_WHITEOUT,
                               RENAME_WHITEOUT | RENAME_NOREPLACE,
                               RENAME_WHITEOUT | RENAME_EXCHANGE };

  choose_two_paths (choices, call);
  call->flags = TWIN_PICK (choices, flags);
}

static int64_t
run_rename (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  return renameat2 (twin_side_dir (side, call->at), call->path, twin_side_dir (side, call->at2),
                    call->path2, call->flags);
}

const TwinKind twin_name_kinds[] = {
  { "mkdir", 40, choose_new, run_mkdir },
  { "mknod", 20, choose_mknod, run_mknod },
  { "symlink", 30, choose_symlink, run_symlink },
  { "readlink", 15, choose_link_path, run_readlink },
  { "link", 35, choose_link, run_link },
  { "unlink", 45, choose_unlink, run_unlink },
  { "rename", 45, choose_two_paths, run_rename },
  { "rename2", 35, choose_rename2, run_rename },
  { "whiteout", 10, choose_whiteout, run_rename },
  { 0 },
};
