/* SPDX-License-Identifier: MIT */

/* Owns the two processes that make the calls, one in each directory. A process is chrooted there,
 * so that `..` and absolute symlinks stay inside, and takes calls from memory that it shares with
 * twin; one byte through a pipe says that there is something in it. */

#include "tests/mount/twin.h"

#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define ANSWER_WITHIN_MS 30000
/* Two ticks of a kernel of 250 Hz: file systems round times down to a tick. */
#define TICKS_US 8500

struct TwinPlayer {
  pid_t pid;
  int to, from; /* pipes */
  bool with_times;
  struct shared {
    TwinCall call;
    TwinAnswer answer;
  } * shared;
};

const char *const twin_sight_names[TWIN_SIGHTS] = { "fd 0",
                                                    "fd 1",
                                                    "fd 2",
                                                    "fd 3",
                                                    "fd 4",
                                                    "fd 5",
                                                    "fd 6",
                                                    "fd 7",
                                                    "path",
                                                    "path, followed",
                                                    "parent of path",
                                                    "path2",
                                                    "path2, followed",
                                                    "parent of path2" };

/* Two ordinary users, and the first of them as a member of the other's group. */
static const struct user {
  uid_t uid;
  gid_t gid;
  size_t count;
  gid_t groups[2];
} users[TWIN_USERS] = {
  { 0, 0, 0, { 0 } },
  { 1000, 1000, 0, { 0 } },
  { 1001, 1001, 0, { 0 } },
  { 1000, 1000, 2, { 1000, 1001 } },
};

static void
become (unsigned user)
{
  if (setgroups (users[user].count, users[user].groups) != 0 || setegid (users[user].gid) != 0 ||
      seteuid (users[user].uid) != 0)
    _exit (3);
}

static void
become_root_again (void)
{
  if (seteuid (0) != 0 || setegid (0) != 0 || setgroups (0, NULL) != 0)
    _exit (3);
}

int
twin_side_dir (const TwinSide *side, int at)
{
  return at < 0 ? AT_FDCWD : side->fds[at];
}

/* The directory that the last name of `path` is in. */
static void
parent_of (const char *path, char *parent)
{
  size_t length = snprintf (parent, TWIN_PATH, "%s", path);

  while (length > 0 && parent[length - 1] == '/')
    length--;
  while (length > 0 && parent[length - 1] != '/')
    length--;
  strcpy (parent + length, ".");
}

/* What is there before the call, held, so that it can be looked at again after it. */
static void
open_sights (const TwinSide *side, const TwinCall *call, int *fds)
{
  char parent[TWIN_PATH];

  for (int i = 0; i < TWIN_SLOTS; i++)
    fds[i] = side->fds[i] < 0 ? -1 : fcntl (side->fds[i], F_DUPFD_CLOEXEC, 100);
  for (int i = 0; i < 2; i++) {
    const char *path = i == 0 ? call->path : call->path2;
    int dir = twin_side_dir (side, i == 0 ? call->at : call->at2);
    int *to = fds + TWIN_SLOTS + 3 * i;

    parent_of (path, parent);
    to[0] = openat (dir, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    to[1] = openat (dir, path, O_PATH | O_CLOEXEC);
    to[2] = openat (dir, parent, O_PATH | O_CLOEXEC);
  }
}

static void
close_sights (const int *fds)
{
  for (int i = 0; i < TWIN_SIGHTS; i++)
    if (fds[i] >= 0)
      close (fds[i]);
}

static void
set_sight (TwinSight *sight, const struct stat *st)
{
  *sight = (TwinSight){ 0,
                        st->st_ino,
                        st->st_nlink,
                        st->st_uid,
                        st->st_gid,
                        st->st_mode,
                        st->st_size,
                        st->st_rdev,
                        { st->st_atim, st->st_mtim, st->st_ctim },
                        0 };
}

static void
see (const TwinSide *side, const TwinCall *call, TwinSight *sights)
{
  char parent[TWIN_PATH];
  struct stat st;

  for (int i = 0; i < TWIN_SIGHTS; i++) {
    bool second = i >= TWIN_SLOTS + 3;
    const char *path = second ? call->path2 : call->path;
    int dir = twin_side_dir (side, second ? call->at2 : call->at);
    int result;

    if (i < TWIN_SLOTS) {
      result = fstat (side->fds[i], &st);
    } else if ((i - TWIN_SLOTS) % 3 == 2) {
      parent_of (path, parent);
      result = fstatat (dir, parent, &st, 0);
    } else {
      result = fstatat (dir, path, &st, (i - TWIN_SLOTS) % 3 == 0 ? AT_SYMLINK_NOFOLLOW : 0);
    }
    memset (&sights[i], 0, sizeof sights[i]);
    if (result != 0)
      sights[i].error = errno;
    else
      set_sight (&sights[i], &st);
  }
}

static void
see_held (const int *fds, TwinSight *sights)
{
  struct stat st;

  for (int i = 0; i < TWIN_SIGHTS; i++)
    if (fds[i] >= 0 && fstat (fds[i], &st) == 0)
      set_sight (&sights[i], &st);
}

static void
note_moved (const TwinSight *before, const TwinSight *after, TwinSight *sights)
{
  for (int i = 0; i < TWIN_SIGHTS; i++)
    for (int which = 0; which < 3; which++)
      if (memcmp (&before[i].times[which], &after[i].times[which], sizeof (struct timespec)) != 0)
        sights[i].moved |= 1u << which;
}

static void
make_call (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  answer->size = 0;
  answer->error = 0;
  become (call->user);
  errno = 0;
  answer->value = call->kind->run (side, call, answer);
  if (answer->value == -1)
    answer->error = errno;
  become_root_again ();
}

static void
make_timed_call (TwinSide *side, const TwinCall *call, TwinAnswer *answer)
{
  TwinSight before[TWIN_SIGHTS] = { 0 }, after[TWIN_SIGHTS] = { 0 };
  int held[TWIN_SIGHTS];

  open_sights (side, call, held);
  see_held (held, before);
  usleep (TICKS_US);
  make_call (side, call, answer);
  see_held (held, after);
  close_sights (held);
  see (side, call, answer->sights);
  note_moved (before, after, answer->sights);
}

static void
play (const TwinPlayer *player, const char *root, int from, int to)
{
  TwinSide side;
  char byte;

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  signal (SIGPIPE, SIG_IGN);
  signal (SIGXFSZ, SIG_IGN);
  memset (side.fds, -1, sizeof side.fds);
  umask (022);
  if (chroot (root) != 0 || chdir ("/") != 0 || chown ("/", 0, 0) != 0 || chmod ("/", 0777) != 0)
    _exit (3);
  while (read (from, &byte, 1) == 1) {
    const TwinCall *call = &player->shared->call;
    TwinAnswer *answer = &player->shared->answer;

    if (player->with_times) {
      make_timed_call (&side, call, answer);
    } else {
      make_call (&side, call, answer);
      see (&side, call, answer->sights);
    }
    if (write (to, &byte, 1) != 1)
      break;
  }
  _exit (0);
}

TwinPlayer *
twin_player_new (const char *root, bool with_times)
{
  TwinPlayer *player = calloc (1, sizeof *player);
  int to[2], from[2];

  player->with_times = with_times;
  player->shared = mmap (NULL, sizeof *player->shared, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (player->shared == MAP_FAILED || pipe2 (to, O_CLOEXEC) != 0 || pipe2 (from, O_CLOEXEC) != 0 ||
      (player->pid = fork ()) < 0) {
    perror ("twin");
    exit (2);
  }
  if (player->pid == 0) {
    close (to[1]);
    close (from[0]);
    play (player, root, to[0], from[1]);
  }
  close (to[0]);
  close (from[1]);
  player->to = to[1];
  player->from = from[0];
  return player;
}

void
twin_player_begin (TwinPlayer *player, const TwinCall *call)
{
  player->shared->call = *call;
  if (write (player->to, "", 1) != 1) {
    perror ("twin: a player has gone");
    exit (2);
  }
}

const TwinAnswer *
twin_player_answer (TwinPlayer *player)
{
  struct pollfd poll_fd = { .fd = player->from, .events = POLLIN };
  char byte;

  if (poll (&poll_fd, 1, ANSWER_WITHIN_MS) != 1 || read (player->from, &byte, 1) != 1)
    return NULL;
  return &player->shared->answer;
}

void
twin_player_free (TwinPlayer *player)
{
  close (player->to);
  close (player->from);
  /* Closing the pipe does not end it: the other player has inherited a copy. */
  kill (player->pid, SIGKILL);
  waitpid (player->pid, NULL, 0);
  munmap (player->shared, sizeof *player->shared);
  free (player);
}
