/* SPDX-License-Identifier: MIT */

/* Who watches, as /proc tells. To be run as root, in PID and mount namespaces of its own, where
 * nobody else can watch, nor be hidden:
 *
 *     # unshare --pid --fork --mount-proc test-watchers */

#include "fs/watchers.h"

#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define assert_ok(call) assert_int_equal (call, 0)

/* On a tmpfs each, of which nobody knows. */
static char here[] = "/tmp/leasefs-watchers.XXXXXX";
static char there[] = "/tmp/leasefs-watchers.XXXXXX";

static struct stat
look_at (const char *directory, const char *name)
{
  g_autofree char *path = g_build_filename (directory, name, NULL);
  struct stat st;

  assert_ok (stat (path, &st));
  return st;
}

/* Whether `name` here is watched. */
static bool
is_watched (const char *name)
{
  struct stat st = look_at (here, name);
  g_autoptr (FsWatchers) watchers = fs_watchers_look (st.st_dev);

  assert_non_null (watchers);
  return fs_watchers_has (watchers, st.st_ino);
}

static void
watch (int fd, const char *directory, const char *name)
{
  g_autofree char *path = g_build_filename (directory, name, NULL);

  assert_true (inotify_add_watch (fd, path, IN_DELETE) >= 0);
}

static void
test_nobody_watches (void **state)
{
  assert_false (is_watched ("a"));
}

static void
test_what_is_watched_is_told_apart (void **state)
{
  int fd = inotify_init1 (IN_CLOEXEC);

  watch (fd, here, "a");
  assert_true (is_watched ("a"));
  assert_false (is_watched ("b"));
  watch (fd, here, "b");
  assert_true (is_watched ("a"));
  assert_true (is_watched ("b"));
  close (fd);
  assert_false (is_watched ("a"));
}

/* Both file systems number their inodes alike. */
static void
test_another_device_does_not_count (void **state)
{
  int fd = inotify_init1 (IN_CLOEXEC);

  assert_int_equal (look_at (here, "a").st_ino, look_at (there, "a").st_ino);
  watch (fd, there, "a");
  assert_false (is_watched ("a"));
  close (fd);
}

static void
test_fanotify_counts (void **state)
{
  int fd = fanotify_init (FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_CLOEXEC, 0);
  g_autofree char *path = g_build_filename (here, "a", NULL);

  assert_true (fd >= 0);
  assert_ok (fanotify_mark (fd, FAN_MARK_ADD, FAN_DELETE | FAN_ONDIR, AT_FDCWD, path));
  assert_true (is_watched ("a"));
  assert_false (is_watched ("b"));
  assert_ok (fanotify_mark (fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_DELETE, AT_FDCWD, path));
  assert_true (is_watched ("b"));
  close (fd);
}

static void
test_another_process_counts (void **state)
{
  int ready[2];
  char byte;

  assert_ok (pipe (ready));
  pid_t child = fork ();
  if (child == 0) {
    watch (inotify_init1 (0), here, "a");
    if (write (ready[1], "", 1) == 1)
      pause ();
    _exit (1);
  }
  assert_int_equal (read (ready[0], &byte, 1), 1);
  assert_true (is_watched ("a"));
  kill (child, SIGKILL);
  assert_int_equal (waitpid (child, NULL, 0), child);
  assert_false (is_watched ("a"));
  close (ready[0]);
  close (ready[1]);
}

static void *
watch_apart (void *data)
{
  pthread_barrier_t *barrier = data;

  assert_ok (unshare (CLONE_FILES));
  watch (inotify_init1 (0), here, "a");
  pthread_barrier_wait (barrier);
  pthread_barrier_wait (barrier);
  return NULL;
}

static void
test_a_thread_with_files_of_its_own_counts (void **state)
{
  pthread_barrier_t barrier;
  pthread_t thread;

  pthread_barrier_init (&barrier, NULL, 2);
  assert_ok (pthread_create (&thread, NULL, watch_apart, &barrier));
  pthread_barrier_wait (&barrier);
  assert_true (is_watched ("a"));
  pthread_barrier_wait (&barrier);
  pthread_join (thread, NULL);
  pthread_barrier_destroy (&barrier);
}

/* Who is in another mount namespace may watch there. */
static void
test_a_mount_that_others_share_tells_nothing (void **state)
{
  struct stat st = look_at (here, "a");

  assert_ok (mount (NULL, here, NULL, MS_SHARED, NULL));
  assert_null (fs_watchers_look (st.st_dev));
  assert_ok (mount (NULL, here, NULL, MS_PRIVATE, NULL));
}

/* Those of another PID namespace are not shown. */
static void
test_another_proc_tells_nothing (void **state)
{
  struct stat st = look_at (here, "a");
  int status;

  pid_t child = fork ();
  if (child == 0) {
    if (unshare (CLONE_NEWPID) != 0)
      _exit (2);
    pid_t below = fork ();
    if (below == 0)
      _exit (fs_watchers_look (st.st_dev) == NULL ? 0 : 1);
    _exit (waitpid (below, &status, 0) == below && status == 0 ? 0 : 3);
  }
  assert_int_equal (waitpid (child, &status, 0), child);
  assert_int_equal (status, 0);
}

/* /proc leaves out those whom one may not look at. Returns whether that is known: with the rights of
 * root, and of nobody in particular. */
static int
look_without_rights (void)
{
  struct stat st = look_at (here, "a");
  FsWatchers *watchers = fs_watchers_look (st.st_dev);

  if (watchers == NULL)
    return 1;
  fs_watchers_free (watchers);
  /* As who has begun as nobody, its own descriptors are to be seen. */
  if (setgroups (0, NULL) != 0 || setgid (65534) != 0 || setuid (65534) != 0 ||
      prctl (PR_SET_DUMPABLE, 1) != 0)
    return 2;
  return fs_watchers_look (st.st_dev) == NULL ? 0 : 3;
}

static void
test_a_proc_that_hides_processes_tells_nothing (void **state)
{
  int status;

  assert_ok (mount (NULL, "/proc", NULL, MS_REMOUNT, "hidepid=2"));
  pid_t child = fork ();
  if (child == 0)
    _exit (look_without_rights ());
  assert_int_equal (waitpid (child, &status, 0), child);
  assert_ok (mount (NULL, "/proc", NULL, MS_REMOUNT, "hidepid=0"));
  assert_int_equal (status, 0);
}

static void
make_place (char *directory)
{
  assert_non_null (mkdtemp (directory));
  assert_ok (mount ("none", directory, "tmpfs", 0, NULL));
  for (const char *name = "a\0b\0"; *name != '\0'; name += 2) {
    g_autofree char *path = g_build_filename (directory, name, NULL);
    assert_ok (mkdir (path, 0755));
  }
}

static int
set_up (void **state)
{
  make_place (here);
  make_place (there);
  return 0;
}

static int
tear_down (void **state)
{
  for (char *const *place = (char *[]){ here, there, NULL }; *place != NULL; place++) {
    assert_ok (umount (*place));
    assert_ok (rmdir (*place));
  }
  return 0;
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_nobody_watches),
    cmocka_unit_test (test_what_is_watched_is_told_apart),
    cmocka_unit_test (test_another_device_does_not_count),
    cmocka_unit_test (test_fanotify_counts),
    cmocka_unit_test (test_another_process_counts),
    cmocka_unit_test (test_a_thread_with_files_of_its_own_counts),
    cmocka_unit_test (test_a_mount_that_others_share_tells_nothing),
    cmocka_unit_test (test_a_proc_that_hides_processes_tells_nothing),
    cmocka_unit_test (test_another_proc_tells_nothing),
  };

  return cmocka_run_group_tests (tests, set_up, tear_down);
}
