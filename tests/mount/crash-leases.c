/* SPDX-License-Identifier: MIT */

/* Owns the rules of leases, as the README has them: what a call attaches to which lease, and what
 * goes when one ends. Nodes are known by their inode numbers in the reference. */

#include "tests/mount/crash.h"

#include <dirent.h>
#include <errno.h>

void
crash_walk (int directory, char *path, CrashEach each, void *data)
{
  size_t length = strlen (path);
  struct dirent **entries;
  int count = scandirat (directory, ".", &entries, NULL, alphasort);

  for (int i = 0; i < count; i++) {
    const char *name = entries[i]->d_name;
    struct stat st;
    if (strcmp (name, ".") != 0 && strcmp (name, "..") != 0 &&
        fstatat (directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
      snprintf (path + length, CRASH_PATH - length, "%s%s", length == 0 ? "" : "/", name);
      int child = S_ISDIR (st.st_mode) ? openat (directory, name, O_RDONLY | O_DIRECTORY) : -1;
      if (child >= 0) {
        crash_walk (child, path, each, data);
        close (child);
      }
      each (directory, name, path, &st, data);
      path[length] = '\0';
    }
    free (entries[i]);
  }
  if (count >= 0)
    free (entries);
}

static CrashAttachment *
find (const CrashWorker *worker, uint64_t node)
{
  for (size_t i = 0; i < worker->attachment_count; i++)
    if (worker->attachments[i].node == node)
      return &worker->attachments[i];
  return NULL;
}

int
crash_leases_of (const CrashWorker *worker, uint64_t node)
{
  const CrashAttachment *found = find (worker, node);

  return found == NULL ? -1 : (int)found->lease;
}

/* A negative lease: detaches. */
static void
attach (CrashWorker *worker, uint64_t node, int lease)
{
  CrashAttachment *found = find (worker, node);

  if (lease < 0) {
    if (found != NULL)
      *found = worker->attachments[--worker->attachment_count];
    return;
  }
  if (found == NULL) {
    worker->attachments = reallocarray (worker->attachments, worker->attachment_count + 1,
                                        sizeof *worker->attachments);
    found = &worker->attachments[worker->attachment_count++];
  }
  *found = (CrashAttachment){ node, lease };
}

static bool
stat_in (const CrashWorker *worker, const char *path, struct stat *st)
{
  return path[0] != '\0' && fstatat (worker->reference, path, st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool
stat_lease (const CrashWorker *worker, unsigned lease, struct stat *st)
{
  char path[CRASH_PATH];

  snprintf (path, sizeof path, "leases/%s", worker->leases[lease].id);
  return stat_in (worker, path, st);
}

/* The lease in whose directory `directory` lies, at any depth. Closes it. */
static int
enclosing (const CrashWorker *worker, int directory)
{
  struct stat st, root, lease;

  fstat (worker->reference, &root);
  while (directory >= 0 && fstat (directory, &st) == 0 && st.st_ino != root.st_ino) {
    for (unsigned i = 0; i < CRASH_LEASES; i++)
      if (stat_lease (worker, i, &lease) && lease.st_ino == st.st_ino) {
        close (directory);
        return i;
      }
    int up = openat (directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close (directory);
    directory = up;
  }
  if (directory >= 0)
    close (directory);
  return -1;
}

/* What a node is attached to that comes to `path`, by a call that created it or moved it. */
static void
look_at_place (const CrashWorker *worker, const char *path, int *created_out, int *moved_out)
{
  char parent[CRASH_PATH];
  struct stat st;
  const char *slash = strrchr (path, '/');
  int directory;

  *created_out = *moved_out = -1;
  if (slash == NULL)
    return;
  snprintf (parent, sizeof parent, "%.*s", (int)(slash - path), path);
  directory = openat (worker->reference, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0 || fstat (directory, &st) != 0)
    return;
  *moved_out = enclosing (worker, directory);
  *created_out = *moved_out >= 0 ? *moved_out : crash_leases_of (worker, st.st_ino);
}

CrashBefore
crash_leases_before (const CrashWorker *worker, const CrashCall *call)
{
  CrashBefore before = { 0 };
  struct stat st;

  if (stat_in (worker, call->path, &st)) {
    before.node = st.st_ino;
    before.uid = st.st_uid;
    before.is_directory = S_ISDIR (st.st_mode);
  }
  if (stat_in (worker, call->path2, &st)) {
    before.node2 = st.st_ino;
    before.uid2 = st.st_uid;
  }
  look_at_place (worker, call->path, &before.created, &before.moved);
  look_at_place (worker, call->path2, &(int){ 0 }, &before.moved2);
  return before;
}

/* Whether root could attach what belongs to `uid` by writing to `keys`. */
static bool
root_may_edit (const CrashWorker *worker, unsigned lease, uid_t uid)
{
  struct stat st;

  return stat_lease (worker, lease, &st) && (st.st_uid == 0 || st.st_uid == uid) &&
         !(worker->leases[lease].modes[1] & 022);
}

static void
after_rename (CrashWorker *worker, const CrashCall *call, const CrashBefore *before)
{
  int inherited = before->node2 == 0 ? -1 : crash_leases_of (worker, before->node2);

  if (before->node == before->node2)
    return;
  if (call->flags & RENAME_EXCHANGE) {
    if (before->moved >= 0)
      attach (worker, before->node2, before->moved);
  } else if (inherited >= 0 && !before->is_directory &&
             crash_leases_of (worker, before->node) < 0 &&
             (before->uid == before->uid2 || root_may_edit (worker, inherited, before->uid))) {
    attach (worker, before->node, inherited);
  }
  if (before->moved2 >= 0)
    attach (worker, before->node, before->moved2);
}

static void
after_edit (CrashWorker *worker, const CrashCall *call)
{
  char text[CRASH_TEXT], *rest = text, *line;
  struct stat st;

  strcpy (text, call->text);
  while ((line = strsep (&rest, "\n")) != NULL && *line != '\0') {
    bool detach = *line == '-';
    if (stat_in (worker, line + detach, &st))
      attach (worker, st.st_ino, detach ? -1 : (int)call->lease);
  }
}

static void
remove_each (int directory, const char *name, const char *path, const struct stat *st, void *data)
{
  unlinkat (directory, name, S_ISDIR (st->st_mode) ? AT_REMOVEDIR : 0);
}

typedef struct {
  CrashWorker *worker;
  int lease;
  char *text; /* lines */
  size_t size;
  FILE *out;
} Leased;

static void
remove_leased (int directory, const char *name, const char *path, const struct stat *st, void *data)
{
  const Leased *leased = data;

  if (crash_leases_of (leased->worker, st->st_ino) == leased->lease)
    remove_each (directory, name, path, st, NULL);
}

/* A directory stays while something that is not attached is in it. */
static void
after_end (CrashWorker *worker, unsigned lease)
{
  Leased leased = { worker, lease };
  char path[CRASH_PATH];

  snprintf (path, sizeof path, "leases/%s", worker->leases[lease].id);
  int directory = openat (worker->reference, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    crash_walk (directory, (char[CRASH_PATH]){ "" }, remove_each, NULL);
    close (directory);
  }
  unlinkat (worker->reference, path, AT_REMOVEDIR);
  crash_walk (worker->reference, (char[CRASH_PATH]){ "" }, remove_leased, &leased);
  for (size_t i = worker->attachment_count; i-- > 0;)
    if (worker->attachments[i].lease == lease)
      worker->attachments[i] = worker->attachments[--worker->attachment_count];
  worker->leases[lease].state = CRASH_FREE;
}

static void
after_lease_call (CrashWorker *worker, const CrashCall *call)
{
  CrashLease *lease = &worker->leases[call->lease];

  switch (call->kind) {
  case CRASH_RESERVE:
    lease->state = CRASH_RESERVED;
    lease->modes[0] = lease->modes[1] = 0644;
    break;
  case CRASH_GRANT:
    lease->state = CRASH_GRANTED;
    snprintf (lease->granted, sizeof lease->granted, "%.20s", call->text);
    lease->granted[strcspn (lease->granted, "\n")] = '\0';
    break;
  case CRASH_EDIT:
    after_edit (worker, call);
    break;
  case CRASH_CHMOD_FILE:
    lease->modes[call->flags] = call->mode;
    break;
  case CRASH_REVOKE:
  case CRASH_END:
    after_end (worker, call->lease);
    break;
  case CRASH_LOG:
    worker->logged++;
    break;
  default:
    break;
  }
}

void
crash_leases_after (CrashWorker *worker, const CrashCall *call, const CrashBefore *before)
{
  struct stat st;

  switch (call->kind) {
  case CRASH_CREATE:
  case CRASH_PUT:
  case CRASH_MKDIR:
  case CRASH_SYMLINK:
  case CRASH_MKNOD:
    if (before->node == 0 && before->created >= 0 && stat_in (worker, call->path, &st))
      attach (worker, st.st_ino, before->created);
    break;
  case CRASH_LINK:
    if (before->moved2 >= 0)
      attach (worker, before->node, before->moved2);
    break;
  case CRASH_RENAME:
    after_rename (worker, call, before);
    break;
  default:
    after_lease_call (worker, call);
    break;
  }
}

static void
note_leased (int directory, const char *name, const char *path, const struct stat *st, void *data)
{
  Leased *leased = data;

  if (crash_leases_of (leased->worker, st->st_ino) == leased->lease)
    fprintf (leased->out, "%s\n", path);
}

static int
by_text (const void *a, const void *b)
{
  return strcmp (*(char *const *)a, *(char *const *)b);
}

static char *
sort_lines (char *text)
{
  char *lines[4096], *sorted = malloc (strlen (text) + 1), *end = sorted, *rest = text, *line;
  size_t count = 0;

  while ((line = strsep (&rest, "\n")) != NULL && *line != '\0' && count < 4096)
    lines[count++] = line;
  qsort (lines, count, sizeof *lines, by_text);
  for (size_t i = 0; i < count; i++)
    end += sprintf (end, "%s\n", lines[i]);
  *end = '\0';
  return sorted;
}

char *
crash_leases_keys (const CrashWorker *worker, unsigned lease)
{
  Leased leased = { .worker = (CrashWorker *)worker, .lease = lease };
  char *sorted;

  leased.out = open_memstream (&leased.text, &leased.size);
  crash_walk (worker->reference, (char[CRASH_PATH]){ "" }, note_leased, &leased);
  fclose (leased.out);
  sorted = sort_lines (leased.text);
  free (leased.text);
  return sorted;
}

static void
mark_found (int directory, const char *name, const char *path, const struct stat *st, void *data)
{
  const Leased *leased = data;
  CrashAttachment *found = find (leased->worker, st->st_ino);

  if (found != NULL)
    found->found = true;
}

void
crash_leases_prune (CrashWorker *worker)
{
  Leased leased = { .worker = worker };

  for (size_t i = 0; i < worker->attachment_count; i++)
    worker->attachments[i].found = false;
  crash_walk (worker->reference, (char[CRASH_PATH]){ "" }, mark_found, &leased);
  for (size_t i = worker->attachment_count; i-- > 0;)
    if (!worker->attachments[i].found)
      worker->attachments[i] = worker->attachments[--worker->attachment_count];
}
