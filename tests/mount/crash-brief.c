/* SPDX-License-Identifier: MIT */

/* Owns the leases of fractions of a second, which end just before, during and after the end of the
 * daemon, and what of them may be there then. Of each it is known between which moments its
 * deadline lies. What was seen as gone stays gone; what cannot have ended is there, with all its
 * keys, and has its whole TTL again (after a clean end: what it had left); in between, all of it is
 * there or nothing. IDs are never used again. */

#include "tests/mount/crash.h"
#include "tests/mount/random.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>

#define LEASES 10
#define KEYS 4
/* So long after its deadline the end of a lease is on the disk, though nobody has looked. */
#define CLEANED_UP CRASH_SECOND

typedef enum { NOTHING, GRANT, KEY, REFRESH, REVOKE } Step;

typedef struct {
  bool used;
  char id[24];
  bool granted;
  bool gone; /* somebody has seen it */
  int64_t ttl_ns;
  int64_t earliest, latest; /* its deadline lies in between */
  unsigned keys;
  Step under_way;
} Lease;

struct CrashBrief {
  unsigned number;
  unsigned made;
  uint64_t random;
  int root;
  Lease leases[LEASES];
};

CrashBrief *
crash_brief_new (unsigned number, unsigned seed)
{
  CrashBrief *brief = calloc (1, sizeof *brief);

  brief->number = number;
  brief->random = random_start (seed, 1000 + number);
  return brief;
}

void
crash_brief_free (CrashBrief *brief)
{
  free (brief);
}

static Lease *
find (const CrashBrief *brief, const char *id)
{
  for (unsigned i = 0; i < LEASES; i++)
    if (brief->leases[i].used && strcmp (brief->leases[i].id, id) == 0)
      return (Lease *)&brief->leases[i];
  return NULL;
}

bool
crash_brief_has (const CrashBrief *brief, const char *id)
{
  return find (brief, id) != NULL;
}

static const char *
lease_path (const Lease *lease, const char *file, char *path)
{
  snprintf (path, CRASH_PATH, "leases/%s%s%s", lease->id, *file == '\0' ? "" : "/", file);
  return path;
}

static const char *
key_path (const Lease *lease, unsigned key, char *path)
{
  snprintf (path, CRASH_PATH, "brief/%s.%u", lease->id, key);
  return path;
}

/* A call about the lease has been refused. Returns whether there is still a daemon. */
static bool
refused (Lease *lease, const char *what, int error)
{
  int64_t now = crash_boottime ();

  if (crash_lost (error))
    return false;
  lease->under_way = NOTHING;
  if ((error != ENOENT && error != ESTALE) || now < lease->earliest)
    crash_fail ("leases/%s: %s: %s, %" PRId64 " us before the end\n", lease->id, what,
                strerror (error), (lease->earliest - now) / 1000);
  lease->gone = true;
  return true;
}

/* Writes and closes. */
static bool
write_file (int root, const char *path, int flags, const char *text)
{
  int fd = openat (root, path, O_WRONLY | O_CLOEXEC | flags, 0644);
  ssize_t size = fd < 0 ? -1 : write (fd, text, strlen (text));
  int error = errno;

  if (fd >= 0)
    close (fd);
  errno = error;
  return size >= 0;
}

static bool
make_lease (CrashBrief *brief, Lease *lease)
{
  unsigned ms = 20 + random_below (&brief->random, random_below (&brief->random, 4) ? 280 : 980);
  char path[CRASH_PATH], text[32];

  *lease = (Lease){ .used = true, .ttl_ns = ms * (CRASH_SECOND / 1000) };
  snprintf (lease->id, sizeof lease->id, "b%u-%u", brief->number, brief->made++);
  lease->latest = INT64_MAX;
  if (mkdirat (brief->root, lease_path (lease, "", path), 0755) != 0)
    return refused (lease, "mkdir", errno);
  snprintf (text, sizeof text, "%u.%03u\n", ms / 1000, ms % 1000);
  lease->under_way = GRANT;
  int64_t before = crash_boottime ();
  if (!write_file (brief->root, lease_path (lease, "ttl", path), O_APPEND, text))
    return refused (lease, "grant", errno);
  lease->latest = crash_boottime () + lease->ttl_ns;
  lease->earliest = before + lease->ttl_ns;
  lease->granted = true;
  lease->under_way = NOTHING;
  return true;
}

static bool
make_key (CrashBrief *brief, Lease *lease)
{
  char path[CRASH_PATH], path2[CRASH_PATH];

  if (lease->keys == KEYS)
    return true;
  if (!write_file (brief->root, lease_path (lease, "x", path), O_CREAT | O_TRUNC, lease->id))
    return refused (lease, "put", errno);
  lease->under_way = KEY;
  if (renameat (brief->root, path, brief->root, key_path (lease, lease->keys, path2)) != 0)
    return refused (lease, "rename", errno);
  lease->keys++;
  lease->under_way = NOTHING;
  return true;
}

static bool
refresh (CrashBrief *brief, Lease *lease)
{
  char path[CRASH_PATH];
  int64_t before = crash_boottime ();
  unsigned kind = random_below (&brief->random, 4);
  bool done;

  lease->under_way = REFRESH;
  lease_path (lease, kind == 0 ? "" : "ttl", path);
  if (kind == 1 && lease->keys > 0)
    key_path (lease, 0, path);
  if (kind == 2)
    done = write_file (brief->root, path, O_APPEND, "\n");
  else
    done = utimensat (brief->root, path, NULL, 0) == 0;
  if (!done)
    return refused (lease, "refresh", errno);
  lease->latest = crash_boottime () + lease->ttl_ns;
  lease->earliest = before + lease->ttl_ns;
  lease->under_way = NOTHING;
  return true;
}

static bool
look (CrashBrief *brief, Lease *lease)
{
  char path[CRASH_PATH];
  struct stat st;
  int64_t before = crash_boottime ();

  if (lease->keys > 0 && random_below (&brief->random, 2))
    key_path (lease, random_below (&brief->random, lease->keys), path);
  else
    lease_path (lease, "", path);
  if (fstatat (brief->root, path, &st, 0) != 0)
    return refused (lease, "stat", errno);
  if (before >= lease->latest)
    crash_fail ("%s: is there %" PRId64 " us after the end\n", path,
                (before - lease->latest) / 1000);
  return true;
}

static bool
revoke_lease (CrashBrief *brief, Lease *lease)
{
  char path[CRASH_PATH];

  lease->under_way = REVOKE;
  if (unlinkat (brief->root, lease_path (lease, "", path), AT_REMOVEDIR) != 0)
    return refused (lease, "revoke", errno);
  lease->under_way = NOTHING;
  lease->gone = true;
  return true;
}

/* Returns whether there is still a daemon. */
static bool
step (CrashBrief *brief)
{
  Lease *lease = &brief->leases[random_below (&brief->random, LEASES)];
  unsigned kind = random_below (&brief->random, 100);

  if (!lease->used)
    return make_lease (brief, lease);
  if (lease->gone) {
    /* What comes back is found by its unknown ID. */
    lease->used = random_below (&brief->random, 4) != 0;
    return true;
  }
  if (kind < 35)
    return make_key (brief, lease);
  if (kind < 55)
    return refresh (brief, lease);
  if (kind < 93)
    return look (brief, lease);
  return revoke_lease (brief, lease);
}

void *
crash_brief_run (void *data)
{
  CrashBrief *brief = data;

  brief->root = open (crash_run.mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  while (!atomic_load (&crash_run.stopping) && !atomic_load (&crash_run.failed)) {
    if (!step (brief)) {
      if (!atomic_load (&crash_run.stopping))
        crash_fail ("brief %u: the daemon has ended\n", brief->number);
      break;
    }
    usleep (random_below (&brief->random, 2000));
  }
  close (brief->root);
  return NULL;
}

static bool
bad (FILE *out, const Lease *lease, const char *what)
{
  fprintf (out,
           "leases/%s (%s%s, ttl %" PRId64 " ms, step %d, %u keys, deadline %" PRId64 " to %" PRId64
           " us after the kill): %s\n",
           lease->id, lease->granted ? "granted" : "reserved", lease->gone ? ", gone" : "",
           lease->ttl_ns / 1000000, lease->under_way, lease->keys,
           (lease->earliest - crash_moments.killed) / 1000,
           (lease->latest - crash_moments.killed) / 1000, what);
  return false;
}

/* All names there that might be of `brief` are of leases that may be there. */
static bool
names_good (const CrashBrief *brief, int root, const char *path, FILE *out)
{
  int directory = openat (root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct dirent **entries;
  int count = scandirat (directory, ".", &entries, NULL, alphasort);
  char mine[16];
  bool good = count >= 0;

  snprintf (mine, sizeof mine, "b%u-", brief->number);
  for (int i = 0; i < count; i++) {
    char *name = entries[i]->d_name;
    char id[256];
    snprintf (id, sizeof id, "%.*s", (int)strcspn (name, "."), name);
    if (strncmp (id, mine, strlen (mine)) == 0 && find (brief, id) == NULL) {
      fprintf (out, "%s/%s: is of a lease that had ended\n", path, name);
      good = false;
    }
    free (entries[i]);
  }
  if (count >= 0)
    free (entries);
  close (directory);
  return good;
}

static bool
exists (const Lease *lease, int root)
{
  char path[CRASH_PATH];
  struct stat st;

  return fstatat (root, lease_path (lease, "", path), &st, 0) == 0;
}

/* What the key's value says; 0: it is not there, -1: something else is. */
static int
look_at_key (const Lease *lease, unsigned key, int root)
{
  char path[CRASH_PATH], text[64] = "";
  int fd = openat (root, key_path (lease, key, path), O_RDONLY | O_CLOEXEC);

  if (fd < 0)
    return errno == ENOENT ? 0 : -1;
  ssize_t size = read (fd, text, sizeof text - 1);
  close (fd);
  return size > 0 && strcmp (text, lease->id) == 0 ? 1 : -1;
}

/* The lease is there: so must its keys be, unless it ends now. */
static bool
keys_good (Lease *lease, int root, FILE *out)
{
  unsigned count = 0;

  while (count < KEYS && look_at_key (lease, count, root) == 1)
    count++;
  bool next = count < KEYS && look_at_key (lease, count, root) != 0;
  if (!exists (lease, root))
    return true;
  if (next)
    return bad (out, lease, "has a key that is not whole");
  if (count != lease->keys && !(lease->under_way == KEY && count == lease->keys + 1))
    return bad (out, lease, "has not all its keys, or more");
  lease->keys = count;
  return true;
}

/* From when to when its deadline lies now. */
static void
restart (Lease *lease)
{
  int64_t least = lease->ttl_ns, most = lease->ttl_ns;

  if (crash_moments.clean) {
    least = lease->granted ? lease->earliest - crash_moments.dead : lease->ttl_ns;
    most = lease->latest - crash_moments.killed;
    if (lease->under_way == GRANT || lease->under_way == REFRESH)
      most = lease->ttl_ns;
    least = least > most ? most : least;
  }
  lease->earliest = crash_moments.spawned + least;
  lease->latest = crash_moments.mounted + most;
  lease->granted = true;
}

/* The lease after the end of one daemon and the start of the next. */
static bool
lease_good (Lease *lease, int root, FILE *out)
{
  Step step = lease->under_way;
  bool renewed = step == GRANT || step == REFRESH;
  bool may_be = (lease->granted || step == GRANT) && !lease->gone &&
                (renewed || lease->latest + CLEANED_UP > crash_moments.killed);
  bool must_be =
      lease->granted && !lease->gone && step != REVOKE && lease->earliest > crash_moments.dead;

  if (exists (lease, root)) {
    if (!may_be)
      return bad (out, lease, "has come back");
    bool good = keys_good (lease, root, out);
    restart (lease);
    lease->under_way = NOTHING;
    return good;
  }
  int64_t now = crash_boottime ();
  for (unsigned key = 0; key < KEYS; key++)
    if (look_at_key (lease, key, root) != 0)
      return bad (out, lease, "is not there, but a key of it");
  if (must_be) {
    restart (lease);
    if (now < lease->earliest)
      return bad (out, lease, "is lost");
  }
  lease->used = false;
  return true;
}

bool
crash_brief_good (CrashBrief *brief, int root, FILE *out)
{
  bool good = true;

  for (unsigned i = 0; i < LEASES && !crash_moments.alive; i++)
    if (brief->leases[i].used)
      good &= lease_good (&brief->leases[i], root, out);
  good &= names_good (brief, root, "leases", out);
  return good & names_good (brief, root, "brief", out);
}
