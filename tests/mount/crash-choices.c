/* SPDX-License-Identifier: MIT */

/* Owns the choice of the next call: few names, so that calls meet on them, and mostly such that
 * the call will succeed. */

#include "tests/mount/crash.h"
#include "tests/mount/random.h"

#include <errno.h>

/* A worker has about so many names at most, and then removes some down to so many. */
#define NAMES_MAX 100
#define NAMES_FEW 40
#define LOCKS 6

static unsigned
pick (CrashWorker *worker, unsigned end)
{
  return random_below (&worker->random, end);
}

static bool
chance (CrashWorker *worker, unsigned percent)
{
  return pick (worker, 100) < percent;
}

#define PICK(worker, array) ((array)[pick ((worker), sizeof (array) / sizeof *(array))])

/* Any granted lease; -1: there is none. */
static int
pick_lease (CrashWorker *worker)
{
  unsigned first = pick (worker, CRASH_LEASES);

  for (unsigned i = 0; i < CRASH_LEASES; i++) {
    unsigned lease = (first + i) % CRASH_LEASES;
    if (worker->leases[lease].state == CRASH_GRANTED)
      return lease;
  }
  return -1;
}

static void
pick_path (CrashWorker *worker, char *path, bool is_directory)
{
  int lease = chance (worker, 20) ? pick_lease (worker) : -1;
  char *end = path;

  if (lease >= 0)
    end += sprintf (end, "leases/%s", worker->leases[lease].id);
  else
    end += sprintf (end, "%s", worker->area);
  for (unsigned depth = pick (worker, 3); depth > 0; depth--)
    end += sprintf (end, "/%c", "pq"[pick (worker, 2)]);
  sprintf (end, "/%c", is_directory ? "pq"[pick (worker, 2)] : "abcdef"[pick (worker, 6)]);
}

/* 0: there is nothing. */
static mode_t
type_at (const CrashWorker *worker, const char *path, struct stat *st)
{
  return fstatat (worker->reference, path, st, AT_SYMLINK_NOFOLLOW) == 0 ? st->st_mode & S_IFMT : 0;
}

/* One of the types in `types` is wanted, 0 among them for what is free, or anything that is there
 * if there are none. Returns whether it was found. */
static bool
find_path (CrashWorker *worker, char *path, const mode_t *types, size_t count)
{
  struct stat st;

  for (unsigned tries = 0; tries < 12; tries++) {
    bool is_directory = count == 0 ? chance (worker, 25) : types[0] == S_IFDIR;
    pick_path (worker, path, is_directory);
    mode_t type = type_at (worker, path, &st);
    if (count == 0 && type != 0)
      return true;
    for (size_t i = 0; i < count; i++)
      if (types[i] == type)
        return true;
  }
  return false;
}

#define FIND(worker, path, ...)                                                                    \
  find_path ((worker), (path), (const mode_t[]){ __VA_ARGS__ },                                    \
             sizeof (const mode_t[]){ __VA_ARGS__ } / sizeof (mode_t))

static bool
find_any (CrashWorker *worker, char *path)
{
  return find_path (worker, path, NULL, 0);
}

static bool
find_free_path (CrashWorker *worker, char *path, bool is_directory)
{
  struct stat st;

  for (unsigned tries = 0; tries < 12; tries++) {
    pick_path (worker, path, is_directory);
    if (type_at (worker, path, &st) == 0)
      return true;
  }
  return false;
}

static size_t
pick_size (CrashWorker *worker)
{
  unsigned kind = pick (worker, 100);

  if (kind < 50)
    return 1 + pick (worker, 200);
  if (kind < 80)
    return 1 + pick (worker, 6000);
  if (kind < 92)
    return 4096 * (1 + pick (worker, 4)) + pick (worker, 3) - 1;
  return 1 + pick (worker, CRASH_SIZE);
}

static int64_t
pick_offset (CrashWorker *worker)
{
  unsigned kind = pick (worker, 100);

  if (kind < 25)
    return 0;
  if (kind < 55)
    return pick (worker, 5000);
  if (kind < 85)
    return 4096 * (1 + pick (worker, 6)) + pick (worker, 3) - 1;
  return pick (worker, 60000);
}

static bool
choose_create (CrashWorker *worker, CrashCall *call)
{
  call->mode = PICK (worker, ((const mode_t[]){ 0644, 0600, 0666, 0640, 0755 }));
  return find_free_path (worker, call->path, false) || chance (worker, 20);
}

static bool
choose_put (CrashWorker *worker, CrashCall *call)
{
  call->mode = PICK (worker, ((const mode_t[]){ 0644, 0600 }));
  call->size = pick_size (worker);
  return FIND (worker, call->path, S_IFREG, 0);
}

static bool
choose_write (CrashWorker *worker, CrashCall *call)
{
  call->size = pick_size (worker);
  call->offset = pick_offset (worker);
  return FIND (worker, call->path, S_IFREG);
}

static bool
choose_append (CrashWorker *worker, CrashCall *call)
{
  struct stat st;
  bool found = choose_write (worker, call) && type_at (worker, call->path, &st) != 0;

  call->offset = found ? st.st_size : 0;
  return found;
}

static bool
choose_truncate (CrashWorker *worker, CrashCall *call)
{
  call->offset = chance (worker, 35) ? 0 : pick_offset (worker) * (chance (worker, 10) ? 10 : 1);
  return FIND (worker, call->path, S_IFREG);
}

static bool
choose_allocate (CrashWorker *worker, CrashCall *call)
{
  static const int flags[] = { FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, FALLOC_FL_KEEP_SIZE };

  call->flags = PICK (worker, flags);
  return choose_write (worker, call);
}

static bool
choose_copy (CrashWorker *worker, CrashCall *call)
{
  call->offset2 = pick_offset (worker);
  return choose_write (worker, call) && FIND (worker, call->path2, S_IFREG);
}

/* What replaces it is another's, so it must have no other names, and no lease. */
static bool
choose_current (CrashWorker *worker, CrashCall *call)
{
  struct stat st;

  strcpy (call->path2, "shared/current");
  return FIND (worker, call->path, S_IFREG) && type_at (worker, call->path, &st) == S_IFREG &&
         st.st_nlink == 1 && crash_leases_of (worker, st.st_ino) < 0;
}

static bool
choose_rename (CrashWorker *worker, CrashCall *call)
{
  struct stat st;
  unsigned kind = pick (worker, 100);

  if (kind < 6)
    return choose_current (worker, call);
  if (!find_any (worker, call->path))
    return false;
  if (kind < 20) {
    call->flags = RENAME_EXCHANGE;
    return find_any (worker, call->path2);
  }
  if (kind < 30)
    call->flags = RENAME_NOREPLACE;
  bool is_directory = type_at (worker, call->path, &st) == S_IFDIR;
  if (kind < 65)
    return find_free_path (worker, call->path2, is_directory);
  pick_path (worker, call->path2, is_directory);
  return true;
}

static void
pick_lock (CrashWorker *worker, char *path)
{
  sprintf (path, "shared/L%u", pick (worker, LOCKS));
}

static bool
choose_link (CrashWorker *worker, CrashCall *call)
{
  if (chance (worker, 20))
    pick_lock (worker, call->path2);
  else if (!find_free_path (worker, call->path2, false))
    return false;
  return FIND (worker, call->path, S_IFREG, S_IFLNK, S_IFIFO);
}

static bool
choose_symlink (CrashWorker *worker, CrashCall *call)
{
  if (chance (worker, 30)) {
    pick_lock (worker, call->path);
    sprintf (call->text, "w%u.%u", worker->number, pick (worker, 100000));
    return true;
  }
  sprintf (call->text, "%s%c", chance (worker, 30) ? "p/" : "", "abcdef"[pick (worker, 6)]);
  if (chance (worker, 10))
    memset (call->text, 'x', 1 + pick (worker, 3000));
  return find_free_path (worker, call->path, false);
}

/* Locks are given back by those who have them. */
static bool
choose_unlink (CrashWorker *worker, CrashCall *call)
{
  struct stat st;

  if (chance (worker, 40)) {
    pick_lock (worker, call->path);
    return type_at (worker, call->path, &st) != 0;
  }
  return FIND (worker, call->path, S_IFREG, S_IFLNK, S_IFIFO, S_IFSOCK);
}

static bool
choose_mkdir (CrashWorker *worker, CrashCall *call)
{
  call->mode = 0755;
  return find_free_path (worker, call->path, true) || chance (worker, 20);
}

static bool
choose_rmdir (CrashWorker *worker, CrashCall *call)
{
  return FIND (worker, call->path, S_IFDIR);
}

/* Of directories, all can be searched by all: what is in others does not show in `keys`. */
static bool
choose_chmod (CrashWorker *worker, CrashCall *call)
{
  static const mode_t directories[] = { 0755, 0711, 0775, 01777 };
  static const mode_t others[] = { 0644, 0600, 0640, 0444, 0777, 0 };
  int lease = chance (worker, 10) ? pick_lease (worker) : -1;
  struct stat st;

  if (lease >= 0)
    sprintf (call->path, "leases/%s", worker->leases[lease].id);
  else if (!find_any (worker, call->path))
    return false;
  mode_t type = type_at (worker, call->path, &st);
  call->mode = type == S_IFDIR ? PICK (worker, directories) : PICK (worker, others);
  return type != 0 && type != S_IFLNK;
}

static bool
choose_chown (CrashWorker *worker, CrashCall *call)
{
  int lease = chance (worker, 5) ? pick_lease (worker) : -1;

  call->uid = chance (worker, 60) ? 0 : 61000 + pick (worker, 2);
  if (lease >= 0)
    sprintf (call->path, "leases/%s", worker->leases[lease].id);
  return lease >= 0 || find_any (worker, call->path);
}

static bool
choose_touch (CrashWorker *worker, CrashCall *call)
{
  if (chance (worker, 50))
    call->time =
        (struct timespec){ 1000000000 + pick (worker, 500000000), pick (worker, 1000000000) };
  return worker->touched_count < sizeof worker->touched / sizeof *worker->touched &&
         find_any (worker, call->path);
}

static bool
choose_mknod (CrashWorker *worker, CrashCall *call)
{
  call->mode = PICK (worker, ((const mode_t[]){ S_IFIFO | 0600, S_IFIFO | 0666, S_IFSOCK | 0755 }));
  return find_free_path (worker, call->path, false);
}

static bool
choose_sync (CrashWorker *worker, CrashCall *call)
{
  call->flags = pick (worker, 2);
  return chance (worker, 50) ? FIND (worker, call->path, S_IFREG)
                             : FIND (worker, call->path, S_IFDIR);
}

static bool
choose_log (CrashWorker *worker, CrashCall *call)
{
  snprintf (call->text, sizeof call->text, "w%-5u %024ju\n", worker->number,
            (uintmax_t)worker->logged);
  return true;
}

static void
lease_path (const CrashWorker *worker, CrashCall *call, const char *file)
{
  snprintf (call->path, sizeof call->path, "leases/%s%s%s", worker->leases[call->lease].id,
            *file == '\0' ? "" : "/", file);
}

static void
choose_grant (CrashWorker *worker, CrashCall *call)
{
  static const char *const fractions[] = { "", "", ".5", ".25", ".000000001" };

  call->kind = CRASH_GRANT;
  lease_path (worker, call, "ttl");
  sprintf (call->text, "%u%s\n", 3600 + pick (worker, 100000), PICK (worker, fractions));
}

static bool
choose_edit (CrashWorker *worker, CrashCall *call)
{
  unsigned count = 1 + pick (worker, chance (worker, 80) ? 4 : 30);
  size_t size = 0;
  struct stat st;

  call->kind = CRASH_EDIT;
  lease_path (worker, call, "keys");
  while (count-- > 0 && size < CRASH_TEXT - 100) {
    char path[CRASH_PATH];
    if (!find_any (worker, path) || type_at (worker, path, &st) == 0 || strlen (path) > 90)
      continue;
    bool detach = crash_leases_of (worker, st.st_ino) == (int)call->lease && chance (worker, 50);
    size += sprintf (call->text + size, "%s%s\n", detach ? "-" : "", path);
  }
  return size > 0;
}

static bool
choose_for_granted (CrashWorker *worker, CrashCall *call)
{
  unsigned kind = pick (worker, 100);

  if (kind < 50)
    return choose_edit (worker, call);
  if (kind < 66) {
    call->kind = CRASH_REFRESH;
    lease_path (worker, call, chance (worker, 70) ? "ttl" : "");
    if (chance (worker, 30) && strstr (call->path, "/ttl") != NULL)
      strcpy (call->text, "\n");
  } else if (kind < 76) {
    choose_grant (worker, call);
  } else if (kind < 82) {
    call->kind = CRASH_CHMOD_FILE;
    call->flags = pick (worker, 2);
    call->mode = PICK (worker, ((const mode_t[]){ 0644, 0600, 0640, 0664 }));
    lease_path (worker, call, call->flags ? "keys" : "ttl");
  } else if (kind < 94) {
    call->kind = CRASH_REVOKE;
    lease_path (worker, call, "");
  } else {
    call->kind = CRASH_END;
    lease_path (worker, call, "ttl");
    sprintf (call->text, "0.%03u\n", 2 + pick (worker, 20));
  }
  return true;
}

/* One of the calls on a lease; what the kind says already is no matter. */
static bool
choose_lease (CrashWorker *worker, CrashCall *call)
{
  call->lease = pick (worker, CRASH_LEASES);
  switch (worker->leases[call->lease].state) {
  case CRASH_FREE:
    call->kind = CRASH_RESERVE;
    call->mode = 0755;
    lease_path (worker, call, "");
    return true;
  case CRASH_RESERVED:
    if (chance (worker, 90)) {
      choose_grant (worker, call);
    } else {
      call->kind = CRASH_REVOKE;
      lease_path (worker, call, "");
    }
    return true;
  default:
    return choose_for_granted (worker, call);
  }
}

static const struct {
  CrashKind kind;
  unsigned weight;
  bool (*choose) (CrashWorker *worker, CrashCall *call);
} kinds[] = {
  { CRASH_CREATE, 8, choose_create },     { CRASH_PUT, 20, choose_put },
  { CRASH_APPEND, 8, choose_append },     { CRASH_WRITE, 12, choose_write },
  { CRASH_TRUNCATE, 8, choose_truncate }, { CRASH_ALLOCATE, 6, choose_allocate },
  { CRASH_COPY, 5, choose_copy },         { CRASH_RENAME, 20, choose_rename },
  { CRASH_LINK, 8, choose_link },         { CRASH_SYMLINK, 6, choose_symlink },
  { CRASH_UNLINK, 8, choose_unlink },     { CRASH_MKDIR, 8, choose_mkdir },
  { CRASH_RMDIR, 3, choose_rmdir },       { CRASH_CHMOD, 5, choose_chmod },
  { CRASH_CHOWN, 4, choose_chown },       { CRASH_TOUCH, 6, choose_touch },
  { CRASH_MKNOD, 3, choose_mknod },       { CRASH_SYNC, 1, choose_sync },
  { CRASH_LOG, 6, choose_log },           { CRASH_EDIT, 30, choose_lease },
};
#define KINDS (sizeof kinds / sizeof *kinds)

typedef struct {
  unsigned count;
  const char *area;
  char first[CRASH_PATH]; /* what can be removed first */
  bool is_directory;
} Names;

static void
count_name (int directory, const char *name, const char *path, const struct stat *st, void *data)
{
  Names *names = data;
  const char *slash = strchr (path, '/');
  bool removable = slash != NULL && strncmp (path, "shared/", 7) != 0 &&
                   (strncmp (path, "leases/", 7) != 0 || strchr (slash + 1, '/') != NULL);

  if (removable && names->count++ == 0) {
    strcpy (names->first, path);
    names->is_directory = S_ISDIR (st->st_mode);
  }
}

/* When there are too many names, removes one after the other for a while. */
static bool
choose_removal (CrashWorker *worker, CrashCall *call)
{
  Names names = { .area = worker->area };

  if (!worker->clearing && worker->calls % 16 != 0)
    return false;
  crash_walk (worker->reference, (char[CRASH_PATH]){ "" }, count_name, &names);
  worker->clearing = names.count > (worker->clearing ? NAMES_FEW : NAMES_MAX);
  if (!worker->clearing)
    return false;
  call->kind = names.is_directory ? CRASH_RMDIR : CRASH_UNLINK;
  strcpy (call->path, names.first);
  return true;
}

void
crash_choose (CrashWorker *worker, CrashCall *call)
{
  unsigned total = 0;

  for (size_t i = 0; i < KINDS; i++)
    total += kinds[i].weight;
  for (;;) {
    size_t which = 0;
    memset (call, 0, sizeof *call);
    if (choose_removal (worker, call))
      return;
    for (unsigned place = pick (worker, total); place >= kinds[which].weight; which++)
      place -= kinds[which].weight;
    call->kind = kinds[which].kind;
    if (kinds[which].choose (worker, call))
      return;
  }
}
