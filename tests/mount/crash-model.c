/* SPDX-License-Identifier: MIT */

/* Owns the comparison of a worker's things on the mount with its reference.
 *
 * All has to be the same: names, types, permissions, owners, links, values, targets, the times of
 * what is no directory, and of leases what `granted`, `keys` and the modes of pseudo-files say.
 * Not told exactly are only
 *   - the mtime that the call under way has set, and that of one that was acknowledged when the
 *     daemon was gone before anybody could ask for it: it lies in the time of the call;
 *   - the mtime of what was touched while attached to a lease: that is a refresh, and may be lost;
 *   - a file that has been emptied a moment ago, with nothing done to it since: it may have the
 *     old value, because the new one may come with the next write;
 *   - atime, ctime, and the times of directories. */

#include "tests/mount/crash.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>

#define VALUE_MAX (2 * 1024 * 1024)
#define NODES 4096
#define EMPTIED_FOR (CRASH_SECOND / 10)
#define SLACK (CRASH_SECOND / 50)

CrashMoments crash_moments;

typedef struct {
  CrashWorker *worker;
  bool adopt;
  FILE *out;
  bool differs; /* in anything but names that have yet to be cleaned up */
  struct {
    uint64_t reference, found;
  } nodes[NODES];
  size_t node_count;
} Model;

/* An entry that is to be alike. */
typedef struct {
  int reference, found; /* the directories */
  const char *name;
  struct stat a, b; /* in the reference, on the mount */
} Entry;

static bool
differ (Model *model, const char *format, ...)
{
  va_list arguments;

  model->differs = true;
  va_start (arguments, format);
  vfprintf (model->out, format, arguments);
  va_end (arguments);
  return false;
}

static bool
same_number (Model *model, const char *what, uint64_t a, uint64_t b)
{
  return a == b ||
         differ (model, "%s: %" PRIo64 " (%" PRIu64 ") expected, %" PRIo64 " (%" PRIu64 ") found\n",
                 what, a, a, b, b);
}

/* What went with a lease counts until it has been cleaned up. */
static bool
same_links (Model *model, uint64_t a, uint64_t b)
{
  if (b <= a)
    return same_number (model, "links", a, b);
  fprintf (model->out, "links: %" PRIu64 " expected, %" PRIu64 " found\n", a, b);
  return false;
}

/* Hard links: what is one node here is one there. */
static bool
same_node (Model *model, uint64_t a, uint64_t b)
{
  for (size_t i = 0; i < model->node_count; i++)
    if (model->nodes[i].reference == a || model->nodes[i].found == b)
      return (model->nodes[i].reference == a && model->nodes[i].found == b) ||
             differ (model, "not the same node by all its names\n");
  if (model->node_count < NODES) {
    model->nodes[model->node_count].reference = a;
    model->nodes[model->node_count++].found = b;
  }
  return true;
}

static int64_t
to_ns (struct timespec time)
{
  return time.tv_sec * CRASH_SECOND + time.tv_nsec;
}

static bool
is_during_call (const CrashWorker *worker, int64_t time)
{
  return worker->busy && time >= worker->began && time <= crash_moments.dead_wall + SLACK;
}

/* Whether the call under way is about that node, and may or may not set its mtime. */
static bool
may_set_time (const CrashWorker *worker, uint64_t node)
{
  const CrashCall *call = &worker->call;
  const char *path = call->kind == CRASH_COPY ? call->path2 : call->path;
  struct stat st;

  return (call->kind == CRASH_ALLOCATE || call->kind == CRASH_COPY) &&
         fstatat (worker->reference, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == node;
}

static bool
same_time (Model *model, const Entry *entry)
{
  const CrashWorker *worker = model->worker;
  int64_t a = to_ns (entry->a.st_mtim), b = to_ns (entry->b.st_mtim);

  if (a == b)
    return true;
  if (is_during_call (worker, b) && (a >= worker->began || may_set_time (worker, entry->a.st_ino)))
    return true;
  for (size_t i = 0; i < worker->touched_count; i++) {
    int64_t before = to_ns (worker->touched[i].before);
    if (worker->touched[i].node == entry->a.st_ino && b >= (a < before ? a : before) &&
        b <= (a < before ? before : a))
      return true;
  }
  return differ (model, "mtime: %" PRId64 " expected, %" PRId64 " found (call began %" PRId64 ")\n",
                 a, b, worker->began);
}

/* Whether the file on the mount is the one of before a moment ago. */
static bool
is_not_yet_empty (const Model *model, const Entry *entry)
{
  const CrashEmptied *emptied = &model->worker->emptied;

  return entry->a.st_size == 0 && emptied->node == entry->a.st_ino &&
         crash_moments.killed - emptied->when < EMPTIED_FOR &&
         (size_t)entry->b.st_size == emptied->size &&
         to_ns (entry->b.st_mtim) == to_ns (emptied->mtime);
}

static ssize_t
read_value (int directory, const char *name, char *data)
{
  int fd = openat (directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  ssize_t total = 0, got;

  if (fd < 0)
    return -1;
  while ((got = read (fd, data + total, VALUE_MAX - total)) > 0)
    total += got;
  close (fd);
  return got < 0 ? got : total;
}

static bool
same_value (Model *model, const Entry *entry)
{
  static char a[VALUE_MAX], b[VALUE_MAX];
  ssize_t size_a = read_value (entry->reference, entry->name, a);
  ssize_t size_b = read_value (entry->found, entry->name, b), same = 0;

  if (is_not_yet_empty (model, entry)) {
    memcpy (a, model->worker->emptied.data, model->worker->emptied.size);
    size_a = model->worker->emptied.size;
  }
  while (same < size_a && same < size_b && a[same] == b[same])
    same++;
  return (size_a == size_b && same == size_a) ||
         differ (model, "value: %zd bytes expected, %zd found, different from byte %zd on\n",
                 size_a, size_b, same);
}

static bool
same_target (Model *model, const Entry *entry)
{
  char a[CRASH_TEXT], b[CRASH_TEXT];
  ssize_t size_a = readlinkat (entry->reference, entry->name, a, sizeof a);
  ssize_t size_b = readlinkat (entry->found, entry->name, b, sizeof b);

  return (size_a >= 0 && size_a == size_b && memcmp (a, b, size_a) == 0) ||
         differ (model, "target: '%.*s' expected, '%.*s' found\n", (int)size_a, a, (int)size_b, b);
}

static void
adopt (const Model *model, const Entry *entry)
{
  struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, entry->b.st_mtim };

  if (S_ISREG (entry->a.st_mode) && is_not_yet_empty (model, entry)) {
    int fd = openat (entry->reference, entry->name, O_WRONLY | O_CLOEXEC);
    if (pwrite (fd, model->worker->emptied.data, model->worker->emptied.size, 0) < 0)
      crash_fail ("worker %u: cannot write\n", model->worker->number);
    close (fd);
  }
  if (!S_ISDIR (entry->a.st_mode))
    utimensat (entry->reference, entry->name, times, AT_SYMLINK_NOFOLLOW);
}

static bool directories_alike (Model *model, int reference, int found, bool is_lease);

static bool
sub_directories_alike (Model *model, const Entry *entry, bool is_lease)
{
  int a = openat (entry->reference, entry->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int b = openat (entry->found, entry->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool alike = b >= 0 ? directories_alike (model, a, b, is_lease)
                      : differ (model, "cannot be opened: %s\n", strerror (errno));

  close (a);
  if (b >= 0)
    close (b);
  return alike;
}

static bool
attributes_alike (Model *model, const Entry *entry)
{
  const struct stat *a = &entry->a, *b = &entry->b;
  bool alike = same_number (model, "mode", a->st_mode, b->st_mode);

  alike &= same_number (model, "uid", a->st_uid, b->st_uid);
  alike &= same_number (model, "gid", a->st_gid, b->st_gid);
  alike &= same_links (model, a->st_nlink, b->st_nlink);
  if (!S_ISDIR (a->st_mode) && !is_not_yet_empty (model, entry)) {
    alike &= same_number (model, "size", a->st_size, b->st_size);
    alike &= same_time (model, entry);
  }
  return alike & same_node (model, a->st_ino, b->st_ino);
}

/* What the daemon itself says: the link count of what has just lost a name to the end of a lease is
 * not always right in the kernel's cache. */
static bool
ask (int directory, const char *name, struct stat *st)
{
  struct statx x;

  if (statx (directory, name, AT_SYMLINK_NOFOLLOW | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &x) !=
      0)
    return false;
  *st = (struct stat){ .st_mode = x.stx_mode,
                       .st_uid = x.stx_uid,
                       .st_gid = x.stx_gid,
                       .st_nlink = x.stx_nlink,
                       .st_size = x.stx_size,
                       .st_ino = x.stx_ino,
                       .st_mtim = { x.stx_mtime.tv_sec, x.stx_mtime.tv_nsec } };
  return true;
}

static bool
entries_alike (Model *model, int reference, int found, const char *name, bool is_lease)
{
  Entry entry = { reference, found, name };
  bool alike;

  if (fstatat (reference, name, &entry.a, AT_SYMLINK_NOFOLLOW) != 0)
    alike = differ (model, "is there, but must not be\n");
  else if (!ask (found, name, &entry.b))
    alike = differ (model, "is not there: %s\n", strerror (errno));
  else
    alike = attributes_alike (model, &entry);
  if (alike && S_ISREG (entry.a.st_mode))
    alike = same_value (model, &entry);
  else if (alike && S_ISLNK (entry.a.st_mode))
    alike = same_target (model, &entry);
  else if (alike && S_ISDIR (entry.a.st_mode))
    alike = sub_directories_alike (model, &entry, is_lease);
  if (alike && model->adopt)
    adopt (model, &entry);
  if (!alike)
    fprintf (model->out, "  of %s\n", name);
  return alike;
}

static bool
is_ordinary (const char *name, bool is_lease)
{
  static const char *const others[] = { ".", "..", "ttl", "granted", "keys", "procs" };

  for (size_t i = 0; i < (is_lease ? 6 : 2); i++)
    if (strcmp (name, others[i]) == 0)
      return false;
  return true;
}

/* Compares what the names in `a` stand for; of those in `found`, only those that are new. */
static bool
directories_alike (Model *model, int reference, int found, bool is_lease)
{
  bool alike = true;

  for (int side = 0; side < 2; side++) {
    struct dirent **entries;
    int count = scandirat (side == 0 ? reference : found, ".", &entries, NULL, alphasort);
    if (count < 0)
      return differ (model, "cannot be listed: %s\n", strerror (errno));
    for (int i = 0; i < count; i++) {
      const char *name = entries[i]->d_name;
      if (is_ordinary (name, is_lease) &&
          (side == 0 || faccessat (reference, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0))
        alike &= entries_alike (model, reference, found, name, false);
      free (entries[i]);
    }
    free (entries);
  }
  return alike;
}

/* What the pseudo-file says, in new memory; NULL: it cannot be read. */
static char *
read_file (int root, const char *id, const char *file)
{
  char path[CRASH_PATH], *text = calloc (1, 65536);
  ssize_t size;

  snprintf (path, sizeof path, "leases/%s/%s", id, file);
  int fd = openat (root, path, O_RDONLY | O_CLOEXEC);
  size = read (fd, text, 65535);
  close (fd);
  if (size < 0) {
    free (text);
    return NULL;
  }
  return text;
}

static bool
file_says (Model *model, const CrashLease *lease, const char *file, const char *expected)
{
  char *found = read_file (model->worker->root, lease->id, file);
  bool alike = found != NULL && strcmp (found, expected) == 0;

  if (!alike)
    differ (model, "leases/%s/%s: '%s' expected, '%s' found\n", lease->id, file, expected,
            found == NULL ? "(nothing)" : found);
  free (found);
  return alike;
}

/* All of it since the start, or less by no more than the time since then. */
static bool
ttl_good (Model *model, const CrashLease *lease)
{
  int64_t since = crash_moments.since;
  double granted = atof (lease->granted);
  char *text = read_file (model->worker->root, lease->id, "ttl");
  double gone = (double)(crash_boottime () - since) / CRASH_SECOND;
  bool good = text != NULL && atof (text) >= ceil (granted - gone) && atof (text) <= ceil (granted);

  if (!good)
    differ (model, "leases/%s/ttl: %s, with %s granted and %f s gone\n", lease->id, text,
            lease->granted, gone);
  free (text);
  return good;
}

static bool
mode_good (Model *model, const CrashLease *lease, const char *file, mode_t mode)
{
  char path[CRASH_PATH];
  struct stat st = { 0 };

  snprintf (path, sizeof path, "leases/%s/%s", lease->id, file);
  fstatat (model->worker->root, path, &st, 0);
  return (st.st_mode & 0777) == mode ||
         differ (model, "%s: mode %o expected, %o found\n", path, mode, st.st_mode);
}

static bool
leases_alike (Model *model, unsigned which, int reference, int found)
{
  const CrashLease *lease = &model->worker->leases[which];
  CrashLeaseState state = lease->state;
  char *keys, granted[32];
  bool alike;

  if (state == CRASH_RESERVED && !crash_moments.alive)
    state = CRASH_FREE; /* reservations do not survive */
  if (state == CRASH_FREE)
    return faccessat (found, lease->id, F_OK, AT_SYMLINK_NOFOLLOW) != 0 ||
           differ (model, "leases/%s: is there, but must not be\n", lease->id);
  if (!entries_alike (model, reference, found, lease->id, true) || state == CRASH_RESERVED)
    return state == CRASH_RESERVED;
  snprintf (granted, sizeof granted, "%s\n", lease->granted);
  keys = crash_leases_keys (model->worker, which);
  alike = file_says (model, lease, "granted", granted);
  alike &= file_says (model, lease, "keys", keys);
  alike &= ttl_good (model, lease);
  alike &= mode_good (model, lease, "ttl", lease->modes[0]);
  alike &= mode_good (model, lease, "keys", lease->modes[1]);
  free (keys);
  return alike;
}

/* Of what is shared: what the worker has of it. */
static bool
shared_alike (Model *model, int reference, int found)
{
  struct dirent **entries;
  int count = scandirat (found, ".", &entries, NULL, alphasort);
  char mine[16], target[CRASH_TEXT] = "";
  bool alike = count >= 0;

  snprintf (mine, sizeof mine, "w%u.", model->worker->number);
  for (int i = 0; i < count; i++) {
    const char *name = entries[i]->d_name;
    if (name[0] == 'L' && faccessat (reference, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0 &&
        readlinkat (found, name, target, sizeof target - 1) > 0 &&
        strncmp (target, mine, strlen (mine)) == 0)
      alike = differ (model, "shared/%s: is there, but must not be\n", name);
    free (entries[i]);
  }
  free (entries);
  count = scandirat (reference, ".", &entries, NULL, alphasort);
  for (int i = 0; i < count; i++) {
    if (entries[i]->d_name[0] == 'L')
      alike &= entries_alike (model, reference, found, entries[i]->d_name, false);
    free (entries[i]);
  }
  free (entries);
  return alike;
}

bool
crash_model_alike (CrashWorker *worker, bool adopting, FILE *out, bool *later_out)
{
  static Model model;
  bool alike;
  int a, b;

  model = (Model){ .worker = worker, .adopt = adopting, .out = out };
  alike = entries_alike (&model, worker->reference, worker->root, worker->area, false);
  a = openat (worker->reference, "leases", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  b = openat (worker->root, "leases", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (unsigned i = 0; i < CRASH_LEASES; i++)
    alike &= leases_alike (&model, i, a, b);
  close (a);
  close (b);
  a = openat (worker->reference, "shared", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  b = openat (worker->root, "shared", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  alike &= shared_alike (&model, a, b);
  close (a);
  close (b);
  *later_out = !alike && !model.differs;
  return alike;
}
