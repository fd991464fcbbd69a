/* SPDX-License-Identifier: MIT */

/* Owns the random choices. Names and directories are few, so that calls meet; what exists is
 * preferred, so that most of them succeed. */

#include "tests/mount/twin.h"

#include <limits.h>

static const char *const names[] = { "a", "b", "c", "d", "e", "f" };

unsigned
twin_random (TwinChoices *choices, unsigned below)
{
  /* xorshift64*, by Vigna. */
  uint64_t x = choices->random;

  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  choices->random = x;
  return ((x * 2685821657736338717u) >> 33) % below;
}

bool
twin_chance (TwinChoices *choices, unsigned percent)
{
  return twin_random (choices, 100) < percent;
}

/* One of the known paths of the type; "" if there is none. */
static const char *
choose_known (TwinChoices *choices, unsigned type)
{
  const size_t count = sizeof choices->known / sizeof *choices->known;
  size_t first = twin_random (choices, count);

  for (size_t i = 0; i < count; i++) {
    size_t which = (first + i) % count;
    if (choices->known[which].path[0] != '\0' &&
        (type == 0 || (choices->known[which].mode & S_IFMT) == type))
      return choices->known[which].path;
  }
  return "";
}

static void
fill (char *path, const char *prefix, const char *unit, size_t size)
{
  size_t length = snprintf (path, TWIN_PATH, "%s", prefix);

  while (length < size)
    length += snprintf (path + length, TWIN_PATH - length, "%s", unit);
  path[size] = '\0';
}

static void
choose_odd_path (TwinChoices *choices, char *path)
{
  static const char *const dots[] = { "", ".", ".." };
  static const char *const ends[] = { "/", "/", "/.", "/.." };
  char dir[300];
  const char *any = choose_known (choices, 0), *name;
  unsigned way;

  snprintf (dir, sizeof dir, "%s/", choose_known (choices, S_IFDIR));
  switch (way = twin_random (choices, 14)) {
  case 0 ... 2:
    strcpy (path, dots[way]);
    break;
  case 3 ... 6:
    snprintf (path, TWIN_PATH, "%s%s", any, ends[way - 3]);
    break;
  case 7 ... 8: /* the longest name there may be, and a longer one */
    fill (path, dir, "n", strlen (dir) + NAME_MAX + way - 7);
    break;
  case 9:
    name = TWIN_PICK (choices, names);
    snprintf (path, TWIN_PATH, "%s/%s", choose_known (choices, S_IFREG), name);
    break;
  case 10: /* as long as a path may be; the rest of it is what may be cut off */
    fill (path, "", "./", 4094 - strlen (any) % 2);
    memcpy (path + strlen (path) - strlen (any), any, strlen (any));
    break;
  case 11:
    fill (path, "", "./", 4096 + twin_random (choices, 3));
    break;
  case 12:
    snprintf (path, TWIN_PATH, "//%s", any);
    break;
  case 13:
    snprintf (path, TWIN_PATH, "%s%s/", dir, TWIN_PICK (choices, names));
    break;
  }
}

void
twin_choose_free_path (TwinChoices *choices, char *path)
{
  const char *dir = twin_chance (choices, 80) ? choose_known (choices, S_IFDIR) : "";

  if (twin_chance (choices, 8))
    choose_odd_path (choices, path);
  else
    /* Directories must not grow ever deeper. */
    snprintf (path, TWIN_PATH, "%s%s%s", strlen (dir) > 6 ? "" : dir,
              strlen (dir) > 6 || dir[0] == '\0' ? "" : "/", TWIN_PICK (choices, names));
}

void
twin_choose_path (TwinChoices *choices, char *path, unsigned type)
{
  const char *known;

  if (twin_chance (choices, 7)) {
    choose_odd_path (choices, path);
    return;
  }
  known = choose_known (choices, twin_chance (choices, 85) ? type : 0);
  if (known[0] != '\0' && twin_chance (choices, 85))
    snprintf (path, TWIN_PATH, "%s", known);
  else
    twin_choose_free_path (choices, path);
}

int
twin_choose_slot (TwinChoices *choices, unsigned type)
{
  int first = twin_random (choices, TWIN_SLOTS);

  if (twin_chance (choices, 5))
    return first;
  for (int i = 0; i < TWIN_SLOTS; i++) {
    int slot = (first + i) % TWIN_SLOTS;
    if (choices->slot_modes[slot] != 0 &&
        (type == 0 || (choices->slot_modes[slot] & S_IFMT) == type))
      return slot;
  }
  return first;
}

int
twin_choose_free_slot (TwinChoices *choices)
{
  int first = twin_random (choices, TWIN_SLOTS);

  for (int i = 0; i < TWIN_SLOTS; i++)
    if (choices->slot_modes[(first + i) % TWIN_SLOTS] == 0)
      return (first + i) % TWIN_SLOTS;
  return first;
}

unsigned
twin_choose_mode (TwinChoices *choices)
{
  static const unsigned modes[] = { 0644, 0755, 0600, 0666, 0777, 0700, 02755, 04755, 01777, 0444 };

  return twin_chance (choices, 80) ? TWIN_PICK (choices, modes) : twin_random (choices, 010000);
}

int
twin_choose_at (TwinChoices *choices)
{
  return twin_chance (choices, 6) ? twin_choose_slot (choices, S_IFDIR) : -1;
}

int64_t
twin_choose_offset (TwinChoices *choices)
{
  static const int64_t borders[] = { 0, 4096, 8192, 16384, 32768, 65536 };
  static const int64_t far[] = { 1 << 20, INT32_MAX, 1l << 32, 1l << 40 };
  static const int64_t extreme[] = { -1, INT64_MIN, INT64_MAX, INT64_MAX - 1, INT64_MAX - 5000 };
  unsigned kind = twin_random (choices, 100);

  if (kind < 25)
    return 0;
  if (kind < 50)
    return twin_random (choices, 6000);
  if (kind < 80)
    return TWIN_PICK (choices, borders) + twin_random (choices, 3) - (kind % 2);
  if (kind < 92)
    return twin_random (choices, 100000);
  if (kind < 97)
    return TWIN_PICK (choices, far) + twin_random (choices, 3) - 1;
  return TWIN_PICK (choices, extreme);
}

/* Most paths are worth remembering; odd ones would make all later ones odd. */
static void
learn_path (TwinChoices *choices, const char *path, const TwinSight *sight)
{
  const size_t count = sizeof choices->known / sizeof *choices->known;
  size_t length = strlen (path), which;

  if (length == 0 || length > 12 || path[0] == '/' || path[length - 1] == '/' ||
      strchr (path, '.') != NULL || strstr (path, "//") != NULL)
    return;
  for (which = 0; which < count; which++)
    if (strcmp (choices->known[which].path, path) == 0)
      break;
  if (sight->error != 0) {
    if (which < count)
      choices->known[which].path[0] = '\0';
    return;
  }
  if (which == count)
    which = twin_random (choices, count);
  strcpy (choices->known[which].path, path);
  choices->known[which].mode = sight->mode;
}

void
twin_choices_learn (TwinChoices *choices, const TwinCall *call, const TwinAnswer *answer)
{
  for (int i = 0; i < TWIN_SLOTS; i++)
    choices->slot_modes[i] = answer->sights[i].error == 0 ? answer->sights[i].mode : 0;
  if (call->at < 0)
    learn_path (choices, call->path, &answer->sights[TWIN_SLOTS]);
  if (call->at2 < 0)
    learn_path (choices, call->path2, &answer->sights[TWIN_SLOTS + 3]);
}
