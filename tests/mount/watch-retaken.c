/* SPDX-License-Identifier: MIT */

/* What is seen when something new takes the name of what has ended, before that has been cleaned
 * up: the old one goes all the same, and the new one is never the one that goes. The reaper is held
 * up meanwhile, so it always comes too late. */

#include "tests/mount/watch.h"

#include <limits.h>

#define NEW "the new one"

static pid_t holder;

/* Before each case: a lease that is about to end, and two directories, watched like leases/. */
static int
setup (void **state)
{
  if (watch_setup (state) != 0)
    return -1;
  holder = watch_stalling_lease ("a");
  assert_ok (mkdir ("d", 0755));
  assert_ok (mkdir ("e", 0755));
  return 0;
}

static int
teardown (void **state)
{
  if (holder != 0)
    watch_let_go (holder);
  holder = 0;
  return watch_teardown (state);
}

#define RETAKEN_CASE(function)                                                                     \
  {                                                                                                \
#function, function, setup, teardown, NULL                                                     \
  }

static void
watch_all (void)
{
  watch_path ("leases");
  watch_path ("d");
  watch_path ("e");
}

/* Wants the end of the lease, lets the reaper do it, and compares. */
static void
let_go_and_compare (void)
{
  watch_let_go (holder);
  holder = 0;
  watch_want ("DELETE held/first");
  watch_want ("DELETE,ISDIR leases/a");
  watch_compare ();
}

static int
make_new (const char *path)
{
  int fd = calls_open (path, O_RDWR | O_CREAT | O_EXCL);

  calls_pwrite (fd, NEW, strlen (NEW), 0);
  watch_path_as (path, "new");
  return fd;
}

/* Whether the new file is there, and `fd` still leads to it. Closes that. */
static void
check_new (const char *path, int fd)
{
  char text[sizeof NEW];
  struct stat by_path = calls_stat (path), by_fd = calls_fstat (fd);

  assert_text (path, NEW);
  assert_int_equal (by_path.st_ino, by_fd.st_ino);
  assert_int_equal (by_path.st_nlink, by_fd.st_nlink);
  assert_int_equal (by_path.st_nlink, 1);
  calls_pread (fd, text, strlen (NEW), 0);
  assert_memory_equal (text, NEW, strlen (NEW));
  calls_pwrite (fd, "T", 1, 0);
  calls_pwrite (fd, "t", 1, 0);
  close (fd);
}

static void
test_a_file_by_a_file (void **state)
{
  watch_key ("a", "d/key");
  watch_key ("a", "d/other");
  watch_all ();
  watch_path_as ("d/key", "old");
  watch_end_stalled ("a");
  int fd = make_new ("d/key");
  watch_want ("CREATE d/key");
  watch_want ("DELETE d/key");
  watch_want ("DELETE d/other");
  watch_want ("DELETE_SELF old");
  let_go_and_compare ();
  watch_assert_order ("CREATE d/key", "DELETE d/key");
  watch_assert_order ("DELETE d/key", "DELETE,ISDIR leases/a");
  check_new ("d/key", fd);
}

static void
test_a_file_that_is_open_by_a_file (void **state)
{
  watch_key ("a", "d/key");
  int old = calls_open ("d/key", O_RDONLY);
  watch_all ();
  watch_path_as ("d/key", "old");
  watch_end_stalled ("a");
  int fd = make_new ("d/key");
  watch_want ("CREATE d/key");
  watch_want ("DELETE d/key");
  watch_want ("DELETE_SELF old");
  let_go_and_compare ();
  close (old);
  watch_compare ();
  check_new ("d/key", fd);
}

/* What comes by another way than by being made. */
static void
test_a_file_by_moving_and_linking (void **state)
{
  watch_key ("a", "d/moved");
  watch_key ("a", "d/linked");
  watch_key ("a", "d/symlink");
  watch_key ("a", "d/exchanged");
  int fd = make_new ("new");
  calls_put ("partner", "partner");
  watch_all ();
  watch_end_stalled ("a");
  assert_fails (ENOENT, renameat2 (AT_FDCWD, "new", AT_FDCWD, "d/exchanged", RENAME_EXCHANGE));
  assert_ok (link ("partner", "d/linked"));
  assert_ok (symlink ("../partner", "d/symlink"));
  assert_ok (rename ("new", "d/moved"));
  watch_want ("CREATE d/linked");
  watch_want ("CREATE d/symlink");
  watch_want ("MOVED_TO d/moved");
  watch_want ("MOVE_SELF new");
  watch_want ("DELETE d/moved");
  watch_want ("DELETE d/linked");
  watch_want ("DELETE d/symlink");
  watch_want ("DELETE d/exchanged");
  let_go_and_compare ();
  check_new ("d/moved", fd);
  assert_text ("d/linked", "partner");
  assert_text ("d/symlink", "partner");
}

/* Stands in a new directory that has taken the name, and works there. */
static void
enter_new (const char *path)
{
  assert_ok (mkdir (path, 0755));
  watch_path_as (path, "new");
  assert_ok (chdir (path));
  calls_put ("inner", NEW);
}

static void
check_entered (const char *path)
{
  char where[PATH_MAX], expected[PATH_MAX], root[PATH_MAX];

  assert_non_null (getcwd (where, sizeof where));
  assert_text ("inner", NEW);
  calls_put ("more", "more");
  assert_ok (unlink ("more"));
  assert_int_equal (calls_setup_in_root (NULL), 0);
  assert_non_null (getcwd (root, sizeof root));
  assert_true (snprintf (expected, sizeof expected, "%s/%s", root, path) > 0);
  assert_string_equal (where, expected);
  assert_ok (chdir (path));
  assert_text ("inner", NEW);
  assert_int_equal (calls_setup_in_root (NULL), 0);
}

static void
test_a_file_by_a_directory (void **state)
{
  watch_key ("a", "d/key");
  watch_all ();
  watch_path_as ("d/key", "old");
  watch_end_stalled ("a");
  enter_new ("d/key");
  watch_want ("CREATE,ISDIR d/key");
  watch_want ("CREATE new/inner");
  watch_want ("DELETE d/key");
  watch_want ("DELETE_SELF old");
  let_go_and_compare ();
  check_entered ("d/key");
}

/* An attached directory d/top with top/f and top/e/g; watched as "top" and "deep". */
static void
make_tree (void)
{
  assert_ok (mkdir ("d/top", 0755));
  watch_attach ("a", "d/top");
  calls_put ("d/top/f", "old");
  assert_ok (mkdir ("d/top/e", 0755));
  calls_put ("d/top/e/g", "old");
  watch_path_as ("d/top", "top");
  watch_path_as ("d/top/e", "deep");
  watch_path_as ("d/top/f", "f");
}

static void
want_tree (void)
{
  watch_want ("DELETE top/f");
  watch_want ("DELETE_SELF f");
  watch_want ("DELETE deep/g");
  watch_want ("DELETE_SELF deep");
  watch_want ("DELETE,ISDIR top/e");
  watch_want ("DELETE_SELF top");
  watch_want ("DELETE,ISDIR d/top");
}

static void
check_tree (void)
{
  watch_assert_order ("DELETE deep/g", "DELETE,ISDIR top/e");
  watch_assert_order ("DELETE,ISDIR top/e", "DELETE,ISDIR d/top");
  watch_assert_order ("DELETE,ISDIR d/top", "DELETE,ISDIR leases/a");
}

static void
test_a_directory_by_a_directory (void **state)
{
  make_tree ();
  watch_all ();
  watch_end_stalled ("a");
  enter_new ("d/top");
  calls_put ("f", NEW);
  watch_want ("CREATE,ISDIR d/top");
  watch_want ("CREATE new/inner");
  watch_want ("CREATE new/f");
  want_tree ();
  let_go_and_compare ();
  check_tree ();
  check_entered ("d/top");
  assert_text ("d/top/f", NEW);
}

static void
test_a_directory_by_a_file (void **state)
{
  make_tree ();
  watch_all ();
  watch_end_stalled ("a");
  int fd = make_new ("d/top");
  watch_want ("CREATE d/top");
  want_tree ();
  let_go_and_compare ();
  check_tree ();
  check_new ("d/top", fd);
}

static void
test_a_directory_on_the_way (void **state)
{
  assert_ok (mkdir ("d/top", 0755));
  watch_attach ("a", "d/top");
  assert_ok (mkdir ("d/top/sub", 0755));
  calls_put ("d/top/sub/x", "old");
  watch_all ();
  watch_path_as ("d/top", "top");
  watch_path_as ("d/top/sub", "sub");
  watch_end_stalled ("a");
  assert_ok (mkdir ("d/top", 0755));
  assert_ok (mkdir ("d/top/sub", 0755));
  int fd = make_new ("d/top/sub/x");
  watch_want ("CREATE,ISDIR d/top");
  watch_want ("DELETE sub/x");
  watch_want ("DELETE,ISDIR top/sub");
  watch_want ("DELETE_SELF sub");
  watch_want ("DELETE,ISDIR d/top");
  watch_want ("DELETE_SELF top");
  let_go_and_compare ();
  check_new ("d/top/sub/x", fd);
}

static void
test_a_directory_that_is_moved_then (void **state)
{
  watch_key ("a", "d/key");
  watch_all ();
  watch_path_as ("d/key", "old");
  watch_end_stalled ("a");
  int fd = make_new ("d/key");
  assert_ok (rename ("d", "e/f"));
  watch_want ("CREATE d/key");
  watch_want ("MOVED_TO,ISDIR e/f");
  watch_want ("MOVE_SELF d");
  watch_want ("DELETE d/key");
  watch_want ("DELETE_SELF old");
  let_go_and_compare ();
  check_new ("e/f/key", fd);
}

/* As who takes the name, and moves the file on to where it belongs. */
static void
test_a_new_file_that_is_moved_then (void **state)
{
  watch_key ("a", "d/key");
  watch_all ();
  watch_path_as ("d/key", "old");
  watch_end_stalled ("a");
  int fd = make_new ("d/key");
  assert_ok (rename ("d/key", "e/key"));
  watch_want ("CREATE d/key");
  watch_want ("MOVED_FROM d/key");
  watch_want ("MOVED_TO e/key");
  watch_want ("MOVE_SELF new");
  watch_want ("DELETE d/key");
  watch_want ("DELETE_SELF old");
  let_go_and_compare ();
  check_new ("e/key", fd);
  assert_false (calls_exists ("d/key"));
}

static void
test_a_new_file_that_is_replaced_then (void **state)
{
  watch_key ("a", "d/key");
  watch_all ();
  watch_path_as ("d/key", "old");
  watch_end_stalled ("a");
  close (make_new ("d/key"));
  calls_put ("d/newer", NEW);
  int fd = calls_open ("d/newer", O_RDWR);
  assert_ok (rename ("d/newer", "d/key"));
  watch_want ("CREATE d/key");
  watch_want ("CREATE d/newer");
  watch_want ("MOVED_FROM d/newer");
  watch_want ("MOVED_TO d/key");
  watch_want ("DELETE_SELF new");
  watch_want ("DELETE d/key");
  watch_want ("DELETE_SELF old");
  let_go_and_compare ();
  check_new ("d/key", fd);
}

static void
test_one_name_of_a_hard_link (void **state)
{
  watch_key ("a", "d/key");
  assert_ok (link ("d/key", "e/link"));
  assert_ok (link ("d/key", "d/third"));
  watch_all ();
  watch_path_as ("d/key", "old");
  watch_end_stalled ("a");
  int fd = make_new ("e/link");
  watch_want ("CREATE e/link");
  watch_want ("DELETE e/link");
  watch_want ("DELETE d/key");
  watch_want ("DELETE d/third");
  watch_want ("DELETE_SELF old");
  let_go_and_compare ();
  check_new ("e/link", fd);
}

static void
test_all_names_of_a_hard_link (void **state)
{
  watch_key ("a", "d/key");
  assert_ok (link ("d/key", "e/link"));
  watch_all ();
  watch_path_as ("d/key", "old");
  watch_end_stalled ("a");
  int fd = make_new ("e/link");
  calls_put ("d/key", "another");
  watch_want ("CREATE e/link");
  watch_want ("CREATE d/key");
  watch_want ("DELETE e/link");
  watch_want ("DELETE d/key");
  watch_want ("DELETE_SELF old");
  let_go_and_compare ();
  check_new ("e/link", fd);
  assert_text ("d/key", "another");
}

static void
test_an_id_by_a_new_lease (void **state)
{
  watch_key ("a", "d/key");
  watch_all ();
  calls_put ("leases/a/x", "old");
  watch_path_as ("leases/a", "old");
  watch_end_stalled ("a");
  watch_lease ("a");
  watch_path_as ("leases/a", "new");
  watch_key ("a", "e/key");
  assert_ok (chdir ("leases/a"));
  calls_put ("inner", NEW);
  watch_want ("CREATE,ISDIR leases/a");
  watch_want ("CREATE e/key");
  watch_want ("CREATE new/inner");
  watch_want ("DELETE d/key");
  watch_want ("DELETE old/x");
  watch_want ("DELETE_SELF old");
  let_go_and_compare ();
  watch_assert_order ("DELETE d/key", "DELETE,ISDIR leases/a");
  watch_assert_order ("DELETE old/x", "DELETE,ISDIR leases/a");
  check_entered ("leases/a");
  assert_text ("leases/a/granted", "1000\n");
  assert_text ("leases/a/keys", "e/key\nleases/a/inner\n");
}

/* The file that took the name has a lease too, which ends as well. */
static void
test_twice (void **state)
{
  watch_lease ("b");
  watch_key ("a", "d/key");
  watch_all ();
  watch_path_as ("d/key", "old");
  watch_end_stalled ("a");
  watch_key ("b", "d/key");
  watch_await ("CREATE d/key");
  watch_path_as ("d/key", "old too");
  watch_end ("b");
  int fd = make_new ("d/key");
  watch_want ("CREATE d/key");
  watch_want ("CREATE d/key");
  watch_want ("DELETE d/key");
  watch_want ("DELETE d/key");
  watch_want ("DELETE_SELF old");
  watch_want ("DELETE_SELF old too");
  watch_want ("DELETE,ISDIR leases/b");
  let_go_and_compare ();
  check_new ("d/key", fd);
}

static void
test_twice_and_not_again (void **state)
{
  watch_lease ("b");
  watch_key ("a", "d/key");
  watch_all ();
  watch_path_as ("d/key", "old");
  watch_end_stalled ("a");
  watch_key ("b", "d/key");
  watch_await ("CREATE d/key");
  watch_path_as ("d/key", "old too");
  watch_end ("b");
  watch_want ("CREATE d/key");
  watch_want ("DELETE d/key");
  watch_want ("DELETE d/key");
  watch_want ("DELETE_SELF old");
  watch_want ("DELETE_SELF old too");
  watch_want ("DELETE,ISDIR leases/b");
  let_go_and_compare ();
  assert_false (calls_exists ("d/key"));
}

static void
test_a_new_file_that_is_deleted_then (void **state)
{
  watch_key ("a", "d/key");
  watch_all ();
  watch_path_as ("d/key", "old");
  watch_end_stalled ("a");
  close (make_new ("d/key"));
  assert_ok (unlink ("d/key"));
  /* The kernel remembers that from now on. */
  assert_false (calls_exists ("d/key"));
  watch_await ("DELETE d/key");
  watch_want ("CREATE d/key");
  watch_want ("DELETE d/key");
  watch_want ("DELETE_SELF new");
  watch_want ("DELETE d/key");
  watch_want ("DELETE_SELF old");
  let_go_and_compare ();
  assert_false (calls_exists ("d/key"));
}

static void
test_a_new_directory_that_is_deleted_then (void **state)
{
  make_tree ();
  watch_all ();
  watch_end_stalled ("a");
  assert_ok (mkdir ("d/top", 0755));
  assert_ok (rmdir ("d/top"));
  assert_false (calls_exists ("d/top"));
  watch_await ("DELETE,ISDIR d/top");
  watch_want ("CREATE,ISDIR d/top");
  watch_want ("DELETE,ISDIR d/top");
  want_tree ();
  let_go_and_compare ();
  assert_false (calls_exists ("d/top"));
}

#define MANY 300

static void
test_many (void **state)
{
  char path[64];

  for (int i = 0; i < MANY; i++) {
    snprintf (path, sizeof path, "d/%d", i);
    watch_key ("a", path);
  }
  watch_all ();
  watch_end_stalled ("a");
  for (int i = 0; i < MANY; i++) {
    snprintf (path, sizeof path, "d/%d", i);
    watch_want ("DELETE %s", path);
    if (i % 3 == 0)
      continue;
    watch_want ("CREATE%s %s", i % 3 == 1 ? "" : ",ISDIR", path);
    if (i % 3 == 1)
      calls_put (path, NEW);
    else
      assert_ok (mkdir (path, 0755));
  }
  let_go_and_compare ();
  for (int i = 0; i < MANY; i++) {
    snprintf (path, sizeof path, "d/%d", i);
    assert_int_equal (calls_exists (path), i % 3 != 0);
  }
}

int
watch_retaken (void)
{
  const struct CMUnitTest cases[] = {
    RETAKEN_CASE (test_a_file_by_a_file),
    RETAKEN_CASE (test_a_file_that_is_open_by_a_file),
    RETAKEN_CASE (test_a_file_by_moving_and_linking),
    RETAKEN_CASE (test_a_file_by_a_directory),
    RETAKEN_CASE (test_a_directory_by_a_directory),
    RETAKEN_CASE (test_a_directory_by_a_file),
    RETAKEN_CASE (test_a_directory_on_the_way),
    RETAKEN_CASE (test_a_directory_that_is_moved_then),
    RETAKEN_CASE (test_a_new_file_that_is_moved_then),
    RETAKEN_CASE (test_a_new_file_that_is_replaced_then),
    RETAKEN_CASE (test_one_name_of_a_hard_link),
    RETAKEN_CASE (test_all_names_of_a_hard_link),
    RETAKEN_CASE (test_an_id_by_a_new_lease),
    RETAKEN_CASE (test_twice),
    RETAKEN_CASE (test_twice_and_not_again),
    RETAKEN_CASE (test_a_new_file_that_is_deleted_then),
    RETAKEN_CASE (test_a_new_directory_that_is_deleted_then),
    RETAKEN_CASE (test_many),
  };

  return cmocka_run_group_tests (cases, NULL, NULL);
}
