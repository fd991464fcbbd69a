/* SPDX-License-Identifier: MIT */

/* Owns the pidfds. A process is known here from before the engine knows it as a holder until the
 * engine does so no more, nor any request that is about to make it one.
 *
 * While a process has not been reaped nobody else has its number. So the one that is known by a
 * number, and has not exited, is the one that has it.
 *
 * `lock` is taken before the engine's, and never held when the engine may have something to tell.
 */

#include "fs/holders.h"

#include "fs/process.h"
#include "leases/procs.h"

#include <errno.h>
#include <glib-unix.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

/* Descriptors that are left for other things: the mount, the state file, the threads. */
#define RESERVED_FILES 256

/* Exits that are taken from the kernel at a time, and leases that are let go under one lock. */
#define EXITS_MAX 64
#define SLICE 256

typedef struct {
  uint64_t id; /* as a holder */
  pid_t pid;
  int fd;
  unsigned users; /* requests that may make it a holder */
  bool exited;    /* as was noticed: it is in `by_pid` no more */
} Process;

struct FsHolders {
  LeaseEngine *engine; /* constant, like the next four */
  int fd;              /* epoll, with all `fd` of processes that have not exited */
  GSource *source;
  bool works;           /* we see the processes of our PID namespace */
  unsigned max;         /* how many are watched at most */
  pthread_mutex_t lock; /* covers the rest */
  GHashTable *by_id;    /* of Process, owned */
  GHashTable *by_pid;   /* of those that have not exited */
  uint64_t last_id;
};

static void
free_process (void *data)
{
  Process *process = data;

  close (process->fd);
  g_free (process);
}

/* Forgets it if nobody needs it. */
static void
collect_locked (FsHolders *holders, Process *process)
{
  if (process->users > 0 || lease_engine_is_holder (holders->engine, process->id))
    return;
  if (!process->exited)
    g_hash_table_remove (holders->by_pid, &process->pid);
  g_hash_table_remove (holders->by_id, &process->id);
}

/* Whether it has exited; from now on nobody is taken for it. */
static bool
notice_exit_locked (FsHolders *holders, Process *process)
{
  if (process->exited || !fs_process_has_exited (process->fd))
    return process->exited;
  process->exited = true;
  g_hash_table_remove (holders->by_pid, &process->pid);
  epoll_ctl (holders->fd, EPOLL_CTL_DEL, process->fd, NULL);
  return true;
}

/* Lets go of all that a process held which has exited. */
static void
drop (FsHolders *holders, uint64_t id)
{
  bool more = true;

  while (more) {
    LeaseCaller by = { .now = lease_clock_now (), .wall_ns = lease_clock_wall_ns () };
    more = lease_engine_drop_holder (holders->engine, &by, id, SLICE);
  }
  fs_holders_note_idle (holders, id);
}

void
fs_holders_note_idle (FsHolders *holders, uint64_t holder)
{
  pthread_mutex_lock (&holders->lock);
  Process *process = g_hash_table_lookup (holders->by_id, &holder);
  if (process != NULL)
    collect_locked (holders, process);
  pthread_mutex_unlock (&holders->lock);
}

static void
look_at (FsHolders *holders, uint64_t id)
{
  pthread_mutex_lock (&holders->lock);
  Process *process = g_hash_table_lookup (holders->by_id, &id);
  bool exited = process != NULL && notice_exit_locked (holders, process);
  pthread_mutex_unlock (&holders->lock);
  if (exited)
    drop (holders, id);
}

static gboolean
on_exits (int fd, GIOCondition condition, void *data)
{
  struct epoll_event events[EXITS_MAX];
  int count = epoll_wait (fd, events, EXITS_MAX, 0);

  for (int i = 0; i < count; i++)
    look_at (data, events[i].data.u64);
  return G_SOURCE_CONTINUE;
}

/* How many processes may be watched. */
static unsigned
raise_limit (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) != 0)
    return RESERVED_FILES;
  if (limit.rlim_cur < limit.rlim_max) {
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit (RLIMIT_NOFILE, &limit) != 0)
      limit.rlim_cur = before;
  }
  rlim_t reserved = MIN (RESERVED_FILES, limit.rlim_cur / 2);
  return (unsigned)MIN (limit.rlim_cur - reserved, UINT_MAX);
}

FsHolders *
fs_holders_new (LeaseEngine *engine, GError **error)
{
  int fd = epoll_create1 (EPOLL_CLOEXEC);

  if (fd < 0) {
    g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (errno), "cannot watch processes: %s",
                 g_strerror (errno));
    return NULL;
  }
  FsHolders *holders = g_new0 (FsHolders, 1);
  holders->engine = engine;
  holders->fd = fd;
  holders->works = fs_process_is_shown ();
  holders->max = raise_limit ();
  pthread_mutex_init (&holders->lock, NULL);
  holders->by_id = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, free_process);
  holders->by_pid = g_hash_table_new (g_int_hash, g_int_equal);
  holders->source = g_unix_fd_source_new (fd, G_IO_IN);
  g_source_set_callback (holders->source, G_SOURCE_FUNC (on_exits), holders, NULL);
  g_source_attach (holders->source, NULL);
  return holders;
}

void
fs_holders_free (FsHolders *holders)
{
  g_source_destroy (holders->source);
  g_source_unref (holders->source);
  g_hash_table_unref (holders->by_pid);
  g_hash_table_unref (holders->by_id);
  close (holders->fd);
  pthread_mutex_destroy (&holders->lock);
  g_free (holders);
}

static int
add_locked (FsHolders *holders, pid_t pid, Process **process_out)
{
  int fd = g_hash_table_size (holders->by_id) < holders->max ? fs_process_open (pid) : -ENOSPC;

  if (fd < 0)
    return fd;
  Process *process = g_new0 (Process, 1);
  *process = (Process){ .id = ++holders->last_id, .pid = pid, .fd = fd };
  struct epoll_event event = { .events = EPOLLIN, .data.u64 = process->id };
  if (epoll_ctl (holders->fd, EPOLL_CTL_ADD, fd, &event) != 0) {
    free_process (process);
    return -ENOSPC;
  }
  g_hash_table_insert (holders->by_id, &process->id, process);
  g_hash_table_insert (holders->by_pid, &process->pid, process);
  *process_out = process;
  return 0;
}

/* The process that has number `pid` now, to be given back with release(). */
static int
find_or_add (FsHolders *holders, pid_t pid, Process **process_out)
{
  uint64_t exited = 0;
  int error = 0;

  pthread_mutex_lock (&holders->lock);
  Process *process = g_hash_table_lookup (holders->by_pid, &pid);
  if (process != NULL && notice_exit_locked (holders, process)) {
    exited = process->id;
    process = NULL;
  }
  if (process == NULL)
    error = add_locked (holders, pid, &process);
  if (error == 0)
    process->users++;
  pthread_mutex_unlock (&holders->lock);
  if (exited != 0)
    drop (holders, exited);
  *process_out = process;
  return error;
}

static void
release (FsHolders *holders, Process *process)
{
  uint64_t id = process->id;

  pthread_mutex_lock (&holders->lock);
  process->users--;
  bool exited = process->exited;
  collect_locked (holders, process);
  pthread_mutex_unlock (&holders->lock);
  /* It may have been made a holder after that was noticed. */
  if (exited)
    drop (holders, id);
}

/* A write under way. */
typedef struct {
  FsHolders *holders;
  const LeaseCaller *by;
  FsProcess writer; /* its `pid` is 0: not known */
  GArray *lines;    /* of LeaseHolderLine */
  GPtrArray *used;  /* of Process, found or added */
} Edit;

/* Whose leases a process keeps alive is its own affair: so the writer has to be all that it is. A
 * program with somebody else's rights (setuid) is not for the user who runs it to use. Root may be
 * made to write a number to what others have opened (`su "$text" 2> leases/ID/procs`); nothing
 * comes of that but that a lease stays, which its owner can have without. */
static int
check_user (const Edit *edit, const FsProcess *process)
{
  uid_t uid = edit->by->uid;

  if (uid == 0 || (uid == process->real && uid == process->effective && uid == process->saved))
    return 0;
  return -EPERM;
}

/* What was found by its number is the process that is watched if that is still there afterwards. */
static int
check_process (const Edit *edit, const Process *process, bool is_writer)
{
  FsProcess now;
  int error = is_writer ? 0 : fs_process_look (process->pid, &now);

  if (error == 0 && fs_process_has_exited (process->fd))
    error = -ESRCH;
  return error == 0 && !is_writer ? check_user (edit, &now) : error;
}

/* The number, here, of the process that a line means. */
static int
resolve (const Edit *edit, pid_t pid, pid_t *pid_out)
{
  FsProcess process = edit->writer;
  int error = 0;

  if (edit->writer.pid == 0 || (pid != 0 && edit->writer.namespaces != 1))
    return -ESRCH;
  if (pid != 0)
    error = fs_process_look (pid, &process);
  *pid_out = process.pid;
  return error;
}

static int
plan_hold (Edit *edit, pid_t pid, LeaseHolderLine *line)
{
  Process *process;
  int error = resolve (edit, pid, &line->pid);

  if (error == 0)
    error = find_or_add (edit->holders, line->pid, &process);
  if (error != 0)
    return error;
  g_ptr_array_add (edit->used, process);
  line->holder = process->id;
  return check_process (edit, process, pid == 0);
}

static int
plan_let_go (Edit *edit, pid_t pid, LeaseHolderLine *line)
{
  int error = resolve (edit, pid, &line->pid);

  if (error != 0)
    return error;
  pthread_mutex_lock (&edit->holders->lock);
  const Process *process = g_hash_table_lookup (edit->holders->by_pid, &line->pid);
  line->holder = process == NULL ? 0 : process->id;
  pthread_mutex_unlock (&edit->holders->lock);
  return process == NULL ? -ESRCH : 0;
}

static int
plan (Edit *edit, const GArray *lines)
{
  int error = 0;

  for (unsigned i = 0; error == 0 && i < lines->len; i++) {
    const LeaseProcsLine *from = &g_array_index (lines, LeaseProcsLine, i);
    LeaseHolderLine line = { .let_go = from->let_go };
    error = line.let_go ? plan_let_go (edit, from->pid, &line) : plan_hold (edit, from->pid, &line);
    g_array_append_val (edit->lines, line);
  }
  return error;
}

int
fs_holders_edit (FsHolders *holders, const LeaseCaller *by, uint64_t id, const GArray *lines,
                 pid_t writer)
{
  g_autoptr (GArray) planned = g_array_new (FALSE, FALSE, sizeof (LeaseHolderLine));
  g_autoptr (GPtrArray) used = g_ptr_array_new ();
  Edit edit = { .holders = holders, .by = by, .lines = planned, .used = used };

  if (!holders->works)
    return -EOPNOTSUPP;
  int error = writer == 0 ? 0 : fs_process_look (writer, &edit.writer);
  if (error == 0)
    error = plan (&edit, lines);
  if (error == 0)
    error = lease_engine_edit_holders (holders->engine, by, id, planned);
  for (unsigned i = 0; i < used->len; i++)
    release (holders, used->pdata[i]);
  return error;
}

static int
compare_pids (const void *a, const void *b)
{
  return *(const pid_t *)a - *(const pid_t *)b;
}

int
fs_holders_list (FsHolders *holders, const LeaseCaller *by, uint64_t id, GArray **pids_out)
{
  g_autoptr (GArray) all = NULL;
  int error = lease_engine_holders (holders->engine, by, id, &all);

  if (error != 0)
    return error;
  g_autoptr (GArray) exited = g_array_new (FALSE, FALSE, sizeof (uint64_t));
  GArray *pids = g_array_sized_new (FALSE, FALSE, sizeof (pid_t), all->len);
  pthread_mutex_lock (&holders->lock);
  for (unsigned i = 0; i < all->len; i++) {
    const LeaseHolderInfo *info = &g_array_index (all, LeaseHolderInfo, i);
    Process *process = g_hash_table_lookup (holders->by_id, &info->holder);
    if (process == NULL)
      continue;
    if (notice_exit_locked (holders, process))
      g_array_append_val (exited, info->holder);
    else
      g_array_append_val (pids, info->pid);
  }
  pthread_mutex_unlock (&holders->lock);
  for (unsigned i = 0; i < exited->len; i++)
    drop (holders, g_array_index (exited, uint64_t, i));
  g_array_sort (pids, compare_pids);
  *pids_out = pids;
  return 0;
}
