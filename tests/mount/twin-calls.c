/* SPDX-License-Identifier: MIT */

/* Owns the choice among all kinds of calls, and the kinds that are about neither values nor names
 * nor attributes. A kind has two functions: how its arguments are chosen and how it is made. What
 * is made of several system calls returns what tells the most. */

#include "tests/mount/twin.h"

#include <inttypes.h>
#include <sys/file.h>

#define LISTED_MAX 200
#define LOOSE_SIZE 4096

void
twin_make_bytes (unsigned char *bytes, size_t size, unsigned seed)
{
  for (size_t i = 0; i < size; i++)
    bytes[i] = seed + 7 * i + (i >> 8);
}

int64_t
twin_got (TwinAnswer *answer, ssize_t result)
{
  answer->size = result > 0 ? result : 0;
  return result;
}

/* Listings. */

static void
choose_list (TwinChoices *choices, TwinCall *call)
{
  call->slot = twin_choose_slot (choices, S_IFDIR);
  call->size = twin_random (choices, 20);
}

static int
by_text (const void *a, const void *b)
{
  return strcmp (*(char *const *)a, *(char *const *)b);
}

/* The names in `dir`, sorted, and their types. */
static void
tell_listing (DIR *dir, TwinAnswer *answer)
{
  char *lines[LISTED_MAX];
  size_t count = 0;
  struct dirent *entry;

  while (count < LISTED_MAX && (entry = readdir (dir)) != NULL)
    if (asprintf (&lines[count], "%s %d", entry->d_name, entry->d_type) > 0)
      count++;
  qsort (lines, count, sizeof *lines, by_text);
  for (size_t i = 0; i < count; i++) {
    answer->size += snprintf ((char *)answer->data + answer->size,
                              sizeof answer->data - answer->size, "%s\n", lines[i]);
    free (lines[i]);
  }
}

/* From where it told `steps` entries after the start, the same entry must follow as before. */
static bool
returns_to_place (DIR *dir, unsigned steps)
{
  char name[256] = "";
  struct dirent *entry;
  long place;

  rewinddir (dir);
  for (unsigned i = 0; i < steps; i++)
    readdir (dir);
  place = telldir (dir);
  if ((entry = readdir (dir)) != NULL)
    strcpy (name, entry->d_name);
  while (readdir (dir) != NULL)
    ;
  seekdir (dir, place);
  entry = readdir (dir);
  return strcmp (entry == NULL ? "" : entry->d_name, name) == 0;
}

static int64_t
run_list (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  int fd = fcntl (side->fds[call->slot], F_DUPFD_CLOEXEC, 0), error;
  DIR *dir;
  bool returned;

  if (fd < 0)
    return -1;
  dir = fdopendir (fd);
  if (dir == NULL) {
    error = errno;
    close (fd);
    errno = error;
    return -1;
  }
  rewinddir (dir);
  tell_listing (dir, answer);
  returned = returns_to_place (dir, call->size);
  closedir (dir);
  return returned;
}

/* Locks, of all three kinds; both owners of a conflict are in the one process. */

static void
choose_lock (TwinChoices *choices, TwinCall *call)
{
  static const int commands[] = { F_SETLK, F_GETLK, F_OFD_SETLK, F_OFD_SETLK, F_OFD_GETLK };

  call->slot = twin_choose_slot (choices, S_IFREG);
  call->flags = TWIN_PICK (choices, commands);
  call->mode = twin_random (choices, 3);
  call->offset = twin_random (choices, 10);
  call->size = twin_random (choices, 10);
}

static int64_t
run_fcntl_lock (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  static const short types[] = { F_RDLCK, F_WRLCK, F_UNLCK };
  struct flock lock = { .l_type = types[call->mode], .l_start = call->offset, .l_len = call->size };
  int result = fcntl (side->fds[call->slot], call->flags, &lock);

  answer->size = snprintf ((char *)answer->data, 100, "%d %d %jd %jd", lock.l_type, lock.l_whence,
                           (intmax_t)lock.l_start, (intmax_t)lock.l_len);
  return result;
}

static int64_t
run_flock (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  static const int operations[] = { LOCK_SH, LOCK_EX, LOCK_UN };

  return flock (side->fds[call->slot], operations[call->mode] | LOCK_NB);
}

/* A file without a name. A side may have none: it is only to be right where it can be made. */
static int64_t
run_loose (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  unsigned char bytes[LOOSE_SIZE], found[LOOSE_SIZE];
  int fd = open (".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  bool right;

  if (fd < 0)
    return errno != EOPNOTSUPP && errno != EACCES;
  twin_make_bytes (bytes, sizeof bytes, call->seed);
  right = write (fd, bytes, sizeof bytes) == sizeof bytes;
  if (fallocate (fd, FALLOC_FL_ZERO_RANGE, 100, 200) == 0)
    memset (bytes + 100, 0, 200);
  right = right && pread (fd, found, sizeof found, 0) == sizeof found &&
          memcmp (bytes, found, sizeof found) == 0;
  close (fd);
  return right ? 0 : 1;
}

/* The process. */

static void
choose_user (TwinChoices *choices, TwinCall *call)
{
  choices->user = twin_chance (choices, 50) ? 0 : twin_random (choices, TWIN_USERS);
  call->user = choices->user;
}

static int64_t
run_nothing (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  return 0;
}

static void
choose_umask (TwinChoices *choices, TwinCall *call)
{
  static const unsigned masks[] = { 022, 022, 0, 077, 002, 0777 };

  call->mode = TWIN_PICK (choices, masks);
}

static int64_t
run_umask (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  return umask (call->mode);
}

static void
choose_none (TwinChoices *choices, TwinCall *call)
{
}

static const TwinKind other_kinds[] = {
  { "list", 20, choose_list, run_list },
  { "lock", 20, choose_lock, run_fcntl_lock },
  { "flock", 12, choose_lock, run_flock },
  { "loose", 3, choose_none, run_loose },
  { "user", 25, choose_user, run_nothing },
  { "umask", 8, choose_umask, run_umask },
  { 0 },
};

static const TwinKind *const tables[] = { twin_file_kinds, twin_name_kinds, twin_attribute_kinds,
                                          other_kinds, twin_xattr_kinds };
#define TABLES (sizeof tables / sizeof *tables)

static bool
is_excluded (const TwinChoices *choices, const char *name)
{
  size_t length = strlen (name);

  for (const char *at = choices->excluded; (at = strstr (at, name)) != NULL; at += length)
    if ((at == choices->excluded || at[-1] == ',') && (at[length] == ',' || at[length] == '\0'))
      return true;
  return false;
}

static unsigned
weigh_kinds (void)
{
  unsigned total = 0;

  for (size_t i = 0; i < TABLES; i++)
    for (const TwinKind *kind = tables[i]; kind->name != NULL; kind++)
      total += kind->weight;
  return total;
}

/* `place` is below the weight of all kinds. */
static const TwinKind *
find_kind (unsigned place)
{
  for (size_t i = 0; i < TABLES; i++)
    for (const TwinKind *kind = tables[i]; kind->name != NULL; kind++) {
      if (place < kind->weight)
        return kind;
      place -= kind->weight;
    }
  abort ();
}

static const TwinKind *
choose_kind (TwinChoices *choices)
{
  const TwinKind *kind;

  do
    kind = find_kind (twin_random (choices, weigh_kinds ()));
  while (is_excluded (choices, kind->name));
  return kind;
}

void
twin_calls_choose (TwinChoices *choices, TwinCall *call)
{
  memset (call, 0, sizeof *call);
  call->at = call->at2 = call->slot = call->slot2 = -1;
  call->seed = twin_random (choices, 1 << 20);
  call->user = choices->user;
  call->kind = choose_kind (choices);
  call->kind->choose (choices, call);
  if (call->slot < 0)
    call->slot = 0;
  if (call->slot2 < 0)
    call->slot2 = 0;
}

static void
print_path (const char *name, int at, const char *path, FILE *out)
{
  if (at >= 0)
    fprintf (out, " %s=[fd %d]", name, at);
  else
    fprintf (out, " %s=", name);
  if (strlen (path) > 100)
    fprintf (out, "'%.20s...%s' (%zu)", path, path + strlen (path) - 20, strlen (path));
  else
    fprintf (out, "'%s'", path);
}

void
twin_calls_print (const TwinCall *call, FILE *out)
{
  fprintf (out, "%-9s user=%u fd %d, %d", call->kind->name, call->user, call->slot, call->slot2);
  print_path ("path", call->at, call->path, out);
  print_path ("path2", call->at2, call->path2, out);
  fprintf (out, " flags=%#x mode=%#o offset=%" PRId64 ",%" PRId64 " size=%" PRId64, call->flags,
           call->mode, call->offset, call->offset2, call->size);
  if (strstr (call->kind->name, "utimens") != NULL)
    fprintf (out, " times=%jd.%ld,%jd.%ld%s", (intmax_t)call->times[0].tv_sec,
             call->times[0].tv_nsec, (intmax_t)call->times[1].tv_sec, call->times[1].tv_nsec,
             call->seed % 8 == 0 ? " or NULL" : "");
  if (strcmp (call->kind->name, "setfl") == 0)
    fprintf (out, " append=%d", call->seed % 2 == 0);
}
