/* SPDX-License-Identifier: MIT */

/* Owns the calls on extended attributes. */

#include "tests/mount/twin.h"

#include <limits.h>
#include <sys/xattr.h>

#define LISTED_MAX 65536
#define NAMES_MAX 64

static const char *const names[] = { "user.a",    "user.a", "user.a",    "user.a",
                                     "user.a",    "user.b", "user.b",    "trusted.a",
                                     "trusted.b", "user.",  "user.none", "other.a" };

/* On a path, or on a descriptor. */
static void
choose_place (TwinChoices *choices, TwinCall *call)
{
  twin_choose_path (choices, call->path, twin_chance (choices, 60) ? S_IFREG : 0);
  call->slot = twin_choose_slot (choices, 0);
  call->mode = twin_random (choices, 3);
}

static void
choose_xattr (TwinChoices *choices, TwinCall *call)
{
  static const int flags[] = { 0, 0, 0, XATTR_CREATE, XATTR_REPLACE, 3, 4 };
  static const unsigned sizes[] = { 0, 1, 10, 100, 5000, XATTR_SIZE_MAX, XATTR_SIZE_MAX + 1 };

  choose_place (choices, call);
  call->flags = TWIN_PICK (choices, flags);
  call->size = twin_chance (choices, 80) ? twin_random (choices, 50) : TWIN_PICK (choices, sizes);
  call->offset = twin_random (choices, sizeof names / sizeof *names);
  /* Sometimes the longest name there may be, or a longer one. */
  call->offset2 = twin_chance (choices, 4) ? XATTR_NAME_MAX + twin_random (choices, 2) : 0;
}

static void
make_name (const TwinCall *call, char *name)
{
  strcpy (name, names[call->offset]);
  for (int64_t i = strlen (name); i < call->offset2; i++) {
    name[i] = 'x';
    name[i + 1] = '\0';
  }
}

static int64_t
run_setxattr (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  char name[XATTR_NAME_MAX + 2];

  make_name (call, name);
  twin_make_bytes (answer->data, call->size, call->seed);
  if (call->mode == 0)
    return setxattr (call->path, name, answer->data, call->size, call->flags);
  if (call->mode == 1)
    return lsetxattr (call->path, name, answer->data, call->size, call->flags);
  return fsetxattr (side->fds[call->slot], name, answer->data, call->size, call->flags);
}

static int64_t
run_getxattr (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  char name[XATTR_NAME_MAX + 2];
  ssize_t result;

  make_name (call, name);
  if (call->mode == 0)
    result = getxattr (call->path, name, answer->data, call->size);
  else if (call->mode == 1)
    result = lgetxattr (call->path, name, answer->data, call->size);
  else
    result = fgetxattr (side->fds[call->slot], name, answer->data, call->size);
  if (call->size > 0)
    twin_got (answer, result);
  return result;
}

static int64_t
run_removexattr (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  char name[XATTR_NAME_MAX + 2];

  make_name (call, name);
  if (call->mode == 0)
    return removexattr (call->path, name);
  if (call->mode == 1)
    return lremovexattr (call->path, name);
  return fremovexattr (side->fds[call->slot], name);
}

static int
by_text (const void *a, const void *b)
{
  return strcmp (*(char *const *)a, *(char *const *)b);
}

/* In whatever order they come. */
static void
tell_sorted (char *list, size_t size, TwinAnswer *answer)
{
  char *found[NAMES_MAX];
  size_t count = 0;

  for (size_t at = 0; at < size && count < NAMES_MAX; at += strlen (list + at) + 1)
    found[count++] = list + at;
  qsort (found, count, sizeof *found, by_text);
  for (size_t i = 0; i < count; i++)
    answer->size += snprintf ((char *)answer->data + answer->size,
                              sizeof answer->data - answer->size, "%s\n", found[i]);
}

/* Sometimes with too little room. */
static int64_t
run_listxattr (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  static char list[LISTED_MAX];
  size_t size = call->seed % 3 == 0 ? call->size : LISTED_MAX;
  ssize_t result;

  if (call->mode == 0)
    result = listxattr (call->path, list, size);
  else if (call->mode == 1)
    result = llistxattr (call->path, list, size);
  else
    result = flistxattr (side->fds[call->slot], list, size);
  if (result > 0 && size > 0)
    tell_sorted (list, result, answer);
  return result;
}

const TwinKind twin_xattr_kinds[] = {
  { "setxattr", 30, choose_xattr, run_setxattr },
  { "getxattr", 20, choose_xattr, run_getxattr },
  { "listxattr", 15, choose_xattr, run_listxattr },
  { "removexattr", 12, choose_xattr, run_removexattr },
  { 0 },
};
