/* SPDX-License-Identifier: MIT */

/* Owns a worker's loop, and how a call gets from the mount into the reference. The mount comes
 * first; what it has acknowledged is then made in the reference, so that this has all that is
 * acknowledged and nothing else. The call under way is in `call`, for whoever asks after the end of
 * the daemon. */

#include "tests/mount/crash.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <time.h>

/* The kernel's clock for times of files moves in ticks. */
#define TICK (CRASH_SECOND / 50)
/* With 1 ms in between. */
#define TRIES 1000
#define END_PATIENCE (10 * CRASH_SECOND)

CrashRun crash_run;

int64_t
crash_boottime (void)
{
  struct timespec now;

  clock_gettime (CLOCK_BOOTTIME, &now);
  return now.tv_sec * CRASH_SECOND + now.tv_nsec;
}

int64_t
crash_wall (void)
{
  struct timespec now;

  clock_gettime (CLOCK_REALTIME, &now);
  return now.tv_sec * CRASH_SECOND + now.tv_nsec;
}

void
crash_fail (const char *format, ...)
{
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  va_list arguments;

  pthread_mutex_lock (&lock);
  va_start (arguments, format);
  vprintf (format, arguments);
  va_end (arguments);
  fflush (stdout);
  atomic_store (&crash_run.failed, true);
  pthread_mutex_unlock (&lock);
}

void
crash_worker_print (const CrashWorker *worker, FILE *out)
{
  uint64_t first = worker->calls > CRASH_PAST ? worker->calls - CRASH_PAST : 0;

  for (uint64_t i = first; i < worker->calls; i++) {
    fprintf (out, "  %ju ", (uintmax_t)i);
    crash_call_print (&worker->past[i % CRASH_PAST], out);
    fprintf (out, "\n");
  }
}

static void
fail_call (const CrashWorker *worker, const char *what, int error)
{
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream (&text, &size);

  crash_worker_print (worker, out);
  fclose (out);
  crash_fail ("worker %u:\n%s%s: %s\n", worker->number, text, what, strerror (error));
  free (text);
}

void
crash_worker_begin (CrashWorker *worker, unsigned number, unsigned seed, int reference)
{
  *worker = (CrashWorker){ .number = number,
                           .random = (seed * UINT64_C (1000003) + number + 1) *
                                     UINT64_C (0x9e3779b97f4a7c15) };
  snprintf (worker->area, sizeof worker->area, "w%u", number);
  mkdirat (reference, worker->area, 0755);
  worker->reference = openat (reference, worker->area, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  mkdirat (worker->reference, worker->area, 0755);
  mkdirat (worker->reference, "leases", 0755);
  mkdirat (worker->reference, "shared", 0755);
  for (unsigned i = 0; i < CRASH_LEASES; i++)
    snprintf (worker->leases[i].id, sizeof worker->leases[i].id, "w%u-%u", number, i);
}

static uint64_t
node_at (const CrashWorker *worker, const char *path)
{
  struct stat st;

  return fstatat (worker->reference, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
}

/* Whether the call does nothing in the reference. */
static bool
is_for_mount (const CrashCall *call)
{
  return call->kind >= CRASH_GRANT;
}

static bool
sets_times (const CrashCall *call)
{
  switch (call->kind) {
  case CRASH_CREATE:
  case CRASH_PUT:
  case CRASH_APPEND:
  case CRASH_WRITE:
  case CRASH_TRUNCATE:
  case CRASH_ALLOCATE:
  case CRASH_COPY:
  case CRASH_SYMLINK:
  case CRASH_TOUCH:
  case CRASH_MKNOD:
    return true;
  default:
    return false;
  }
}

/* What changes most by the call. */
static const char *
main_path (const CrashCall *call)
{
  return call->kind == CRASH_COPY ? call->path2 : call->path;
}

static void
forget_emptied (CrashWorker *worker)
{
  free (worker->emptied.data);
  worker->emptied = (CrashEmptied){ 0 };
}

/* Before a file is truncated to nothing: until something else happens in it, or some time has
 * passed, the old value may still be the one on the disk. */
static void
note_emptied (CrashWorker *worker, const struct stat *st)
{
  int fd = openat (worker->reference, worker->call.path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

  worker->emptied = (CrashEmptied){ .node = st->st_ino,
                                    .data = malloc (st->st_size),
                                    .size = st->st_size,
                                    .mtime = st->st_mtim,
                                    .when = crash_boottime () };
  if (fd < 0 || pread (fd, worker->emptied.data, st->st_size, 0) != st->st_size)
    crash_fail ("worker %u: cannot read %s\n", worker->number, worker->call.path);
  close (fd);
}

/* Touching what is attached refreshes its lease, and writes nothing to the disk. */
static void
note_touched (CrashWorker *worker, const struct stat *st)
{
  size_t i = 0;

  while (i < worker->touched_count && worker->touched[i].node != st->st_ino)
    i++;
  bool refreshes = worker->call.kind == CRASH_TOUCH && worker->call.time.tv_sec == 0 &&
                   crash_leases_of (worker, st->st_ino) >= 0;
  if (refreshes && i == worker->touched_count)
    worker->touched[worker->touched_count++] = (CrashTouched){ st->st_ino, st->st_mtim };
  else if (!refreshes && i < worker->touched_count && sets_times (&worker->call) &&
           worker->call.kind != CRASH_ALLOCATE && worker->call.kind != CRASH_COPY)
    worker->touched[i] = worker->touched[--worker->touched_count];
}

/* Whether the next step empties a file. */
static bool
empties (const CrashWorker *worker)
{
  const CrashCall *call = &worker->call;

  return (call->kind == CRASH_TRUNCATE && call->offset == 0) ||
         (call->kind == CRASH_PUT && worker->applied == 0);
}

/* What is about to happen to the file that the call is about. */
static void
note_before (CrashWorker *worker)
{
  const CrashCall *call = &worker->call;
  uint64_t emptied = worker->emptied.node;
  struct stat st;

  if (emptied != 0 && !empties (worker) &&
      ((call->kind != CRASH_COPY && node_at (worker, call->path) == emptied) ||
       (call->path2[0] != '\0' && node_at (worker, call->path2) == emptied)))
    forget_emptied (worker);
  if (fstatat (worker->reference, main_path (call), &st, AT_SYMLINK_NOFOLLOW) != 0)
    return;
  note_touched (worker, &st);
  if (call->kind == CRASH_TRUNCATE && call->offset == 0 && S_ISREG (st.st_mode)) {
    forget_emptied (worker);
    note_emptied (worker, &st);
  }
}

static int64_t
apply (CrashWorker *worker)
{
  CrashBefore before = crash_leases_before (worker, &worker->call);
  int64_t result = 0;

  note_before (worker);
  if (!is_for_mount (&worker->call))
    result = crash_call_make (&worker->call, worker->reference, worker->applied,
                              worker->applied + 1, NULL);
  int error = errno;
  worker->applied++;
  if (result >= 0)
    crash_leases_after (worker, &worker->call, &before);
  errno = error;
  return result;
}

void
crash_worker_apply (CrashWorker *worker)
{
  /* What would have been refused has no effect, neither here nor there. */
  apply (worker);
}

/* The times that files got are those of the mount. Returns false if that is gone. */
static bool
sync_times (const CrashWorker *worker)
{
  const char *path = main_path (&worker->call);
  struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
  struct stat st;

  if (!sets_times (&worker->call))
    return true;
  if (fstatat (worker->root, path, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return !crash_lost (errno);
  times[1] = st.st_mtim;
  if (!S_ISDIR (st.st_mode))
    utimensat (worker->reference, path, times, AT_SYMLINK_NOFOLLOW);
  return true;
}

/* What is under leases/ follows rules that a tmpfs has not, and others may hold what is shared. */
static bool
follows_other_rules (const CrashCall *call)
{
  static const char *const places[] = { "leases/", "shared/" };

  for (size_t i = 0; i < sizeof places / sizeof *places; i++)
    if (strncmp (call->path, places[i], 7) == 0 || strncmp (call->path2, places[i], 7) == 0)
      return true;
  return is_for_mount (call);
}

/* Whether the call, which the mount has refused with that error, would be so in the reference. */
static bool
is_refused_alike (CrashWorker *worker, int error)
{
  static const int known[] = { EINVAL,  EPERM,  ENOENT, EACCES,       ELOOP,
                               ENOTDIR, EEXIST, EISDIR, ENAMETOOLONG, ENOTEMPTY };
  const CrashCall *call = &worker->call;
  bool plausible = false;

  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    plausible |= known[i] == error;
  if (!plausible || follows_other_rules (call))
    return plausible;
  int steps = crash_call_steps (call);
  return crash_call_make (call, worker->reference, 0, steps, NULL) < 0 && errno == error;
}

/* Until nobody finds the lease any more. Returns false if the daemon is gone. */
static bool
wait_for_end (CrashWorker *worker, int64_t since)
{
  char path[CRASH_PATH];
  double ttl = atof (worker->call.text);
  struct stat st;

  snprintf (path, sizeof path, "leases/%s", worker->leases[worker->call.lease].id);
  while (fstatat (worker->root, path, &st, 0) == 0) {
    if (crash_boottime () > since + END_PATIENCE)
      fail_call (worker, "does not end", 0);
    if (atomic_load (&crash_run.failed))
      return false;
    usleep (500);
  }
  if (crash_lost (errno))
    return false;
  if (errno != ENOENT)
    fail_call (worker, "instead of an end", errno);
  if (crash_boottime () < since + (int64_t)(ttl * CRASH_SECOND))
    fail_call (worker, "ended too early", 0);
  return true;
}

/* Makes in the reference what the mount has acknowledged. */
static void
apply_acknowledged (CrashWorker *worker, int64_t result)
{
  int64_t same = 0, step = 0;

  while (step >= 0 && worker->applied < worker->acknowledged)
    same += step = apply (worker);
  if (step < 0)
    fail_call (worker, "succeeded, but must be refused with", errno);
  else if (!is_for_mount (&worker->call) && same != result)
    fail_call (worker, "another result than in the reference", 0);
}

/* Just after a lease has ended, the kernel may still know names that went with it, and say of a
 * symlink among them that it is one: see "Limits" in the README. Waits until it does not. `keys`
 * are the paths; those in shared/ may be others' already. Returns false if the daemon is gone. */
static bool
wait_for_names (CrashWorker *worker, char *keys)
{
  const char *path;

  while ((path = strsep (&keys, "\n")) != NULL)
    for (unsigned tries = 0; *path == *worker->area && node_at (worker, path) == 0; tries++) {
      int fd = openat (worker->root, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
      if (fd < 0 && crash_lost (errno))
        return false;
      if (fd < 0)
        break;
      close (fd);
      usleep (1000);
      if (tries == TRIES) {
        fail_call (worker, path, EEXIST);
        break;
      }
    }
  return true;
}

/* Makes in the reference the end of a lease that everybody sees. */
static bool
apply_end (CrashWorker *worker, int64_t since)
{
  char *keys;
  bool there = true;

  if (worker->call.kind == CRASH_END && !wait_for_end (worker, since))
    return false;
  keys = crash_leases_keys (worker, worker->call.lease);
  apply (worker);
  there = wait_for_names (worker, keys);
  free (keys);
  return there;
}

/* Returns whether there is still a daemon. */
static bool
make_call (CrashWorker *worker)
{
  int64_t since = crash_boottime (), result;

  worker->acknowledged = 0;
  worker->applied = 0;
  worker->began = crash_wall () - TICK;
  worker->busy = true;
  worker->past[worker->calls++ % CRASH_PAST] = worker->call;
  result = crash_call_make (&worker->call, worker->root, 0, crash_call_steps (&worker->call),
                            &worker->acknowledged);
  if (result < 0 && crash_lost (errno))
    return false;
  /* Half of a write; what comes next would say that there is no daemon. */
  if (result >= 0 && worker->acknowledged < crash_call_steps (&worker->call) &&
      atomic_load (&crash_run.stopping))
    return false;
  if (result < 0) {
    worker->refused++;
    if (worker->acknowledged != 0 || !is_refused_alike (worker, errno))
      fail_call (worker, "refused", errno);
  } else {
    bool ends = worker->call.kind == CRASH_END || worker->call.kind == CRASH_REVOKE;
    if (ends && !apply_end (worker, since))
      return false;
    apply_acknowledged (worker, result);
    if (!sync_times (worker))
      return false;
  }
  worker->busy = false;
  return true;
}

void *
crash_worker_run (void *data)
{
  CrashWorker *worker = data;

  while (!atomic_load (&crash_run.stopping) && !atomic_load (&crash_run.failed)) {
    crash_choose (worker, &worker->call);
    if (!make_call (worker)) {
      if (!atomic_load (&crash_run.stopping) && !atomic_load (&crash_run.failed))
        crash_fail ("worker %u: the daemon has ended\n", worker->number);
      break;
    }
  }
  return NULL;
}
