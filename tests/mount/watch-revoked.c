/* SPDX-License-Identifier: MIT */

/* What is seen when leases are revoked: rmdir(2) returns when the keys have gone, and the lease
 * goes last. */

#include "tests/mount/watch.h"

#include <signal.h>
#include <sys/wait.h>

#define SECOND INT64_C (1000000000)

/* A lease with two keys in d and one in its own directory. Wants them to go. */
static void
make_lease (const char *id)
{
  char path[64];

  watch_lease (id);
  for (int i = 0; i < 2; i++) {
    snprintf (path, sizeof path, "d/%s-%d", id, i);
    watch_key (id, path);
    watch_want ("DELETE %s", path);
  }
  snprintf (path, sizeof path, "leases/%s", id);
  watch_path (path);
  snprintf (path, sizeof path, "leases/%s/x", id);
  calls_put (path, "old");
  watch_want ("CREATE leases/%s/x", id);
  watch_want ("DELETE leases/%s/x", id);
  watch_want ("DELETE_SELF leases/%s", id);
  watch_want ("DELETE,ISDIR leases/%s", id);
}

static void
assert_order (const char *id)
{
  const char *keys[] = { "DELETE d/%s-0", "DELETE d/%s-1", "DELETE leases/%s/x" };
  char key[64], lease[64];

  snprintf (lease, sizeof lease, "DELETE,ISDIR leases/%s", id);
  for (unsigned i = 0; i < 3; i++) {
    snprintf (key, sizeof key, keys[i], id);
    watch_assert_order (key, lease);
  }
}

static const char *
path_of (const char *id)
{
  static char path[64];

  snprintf (path, sizeof path, "leases/%s", id);
  return path;
}

/* When rmdir returns, all of it has been seen. */
static void
test_by_path (void **state)
{
  const char *ids[] = { "a", "b" };
  char absolute[4200];

  assert_ok (mkdir ("d", 0755));
  for (int i = 0; i < 2; i++)
    make_lease (ids[i]);
  watch_path ("leases");
  watch_path ("d");
  assert_ok (rmdir ("leases/a"));
  assert_int_equal (watch_count ("DELETE,ISDIR leases/a"), 1);
  assert_non_null (realpath ("leases/b", absolute));
  assert_ok (rmdir (absolute));
  assert_int_equal (watch_count ("DELETE,ISDIR leases/b"), 1);
  watch_compare ();
  assert_order ("a");
  assert_order ("b");
}

static void
test_by_bare_name (void **state)
{
  assert_ok (mkdir ("d", 0755));
  make_lease ("a");
  watch_path ("d");
  assert_ok (chdir ("leases"));
  watch_path_as (".", "leases");
  assert_ok (rmdir ("a"));
  watch_compare ();
  assert_order ("a");
}

static void
test_of_an_attached_directory (void **state)
{
  assert_ok (mkdir ("d", 0755));
  watch_lease ("a");
  assert_ok (mkdir ("d/e", 0755));
  watch_attach ("a", "d/e");
  calls_put ("d/e/f", "old");
  watch_path ("leases");
  watch_path ("d");
  watch_path ("d/e");
  watch_path ("d/e/f");
  assert_ok (rmdir ("leases/a"));
  watch_want ("DELETE d/e/f");
  watch_want ("DELETE_SELF d/e/f");
  watch_want ("DELETE,ISDIR d/e");
  watch_want ("DELETE_SELF d/e");
  watch_want ("DELETE,ISDIR leases/a");
  watch_compare ();
  watch_assert_order ("DELETE d/e/f", "DELETE,ISDIR d/e");
  watch_assert_order ("DELETE,ISDIR d/e", "DELETE,ISDIR leases/a");
}

static void
test_without_keys (void **state)
{
  watch_path ("leases");
  watch_lease ("a");
  assert_ok (rmdir ("leases/a"));
  assert_ok (mkdir ("leases/b", 0755));
  assert_ok (rmdir ("leases/b"));
  watch_want ("CREATE,ISDIR leases/a");
  watch_want ("DELETE,ISDIR leases/a");
  watch_want ("CREATE,ISDIR leases/b");
  watch_want ("DELETE,ISDIR leases/b");
  watch_compare ();
}

/* As one that stands in it, or holds a file of it open. */
static void
test_in_use (void **state)
{
  assert_ok (mkdir ("d", 0755));
  make_lease ("a");
  watch_path ("leases");
  watch_path ("d");
  watch_path_as ("leases/a/x", "file");
  int fd = calls_open ("leases/a/x", O_RDWR);
  assert_ok (chdir ("leases/a"));
  assert_ok (rmdir ("../../leases/a"));
  assert_int_equal (watch_count ("DELETE,ISDIR leases/a"), 1);
  close (fd);
  assert_int_equal (calls_setup_in_root (state), 0);
  watch_want ("DELETE_SELF file");
  watch_compare ();
  assert_order ("a");
}

#define CHILDREN 4
#define EACH 10

static void
name_lease (char id[16], int child, int i)
{
  snprintf (id, 16, "r%d-%d", child, i);
}

static void
wait_for (pid_t child)
{
  int status;

  assert_ok (waitpid (child, &status, 0));
  assert_int_equal (status, 0);
}

/* Several processes, each its own leases; and then all of them the same one. */
static void
test_several_at_once (void **state)
{
  pid_t children[CHILDREN];
  char id[16];

  assert_ok (mkdir ("d", 0755));
  for (int i = 0; i < CHILDREN * EACH; i++) {
    name_lease (id, i / EACH, i % EACH);
    make_lease (id);
  }
  watch_path ("leases");
  watch_path ("d");
  for (int i = 0; i < CHILDREN; i++) {
    children[i] = (pid_t)assert_ok (fork ());
    for (int j = 0; children[i] == 0; j++) {
      name_lease (id, i, j);
      if (j == EACH || rmdir (path_of (id)) != 0)
        _exit (j != EACH);
    }
  }
  for (int i = 0; i < CHILDREN; i++)
    wait_for (children[i]);
  watch_compare ();
  for (int i = 0; i < CHILDREN * EACH; i++) {
    name_lease (id, i / EACH, i % EACH);
    assert_order (id);
  }
}

static void
test_the_same_one_by_several (void **state)
{
  pid_t children[CHILDREN];
  int start[2], status, done = 0;
  char byte;

  assert_ok (mkdir ("d", 0755));
  make_lease ("a");
  watch_path ("leases");
  watch_path ("d");
  assert_ok (pipe (start));
  for (int i = 0; i < CHILDREN; i++) {
    children[i] = (pid_t)assert_ok (fork ());
    if (children[i] == 0) {
      close (start[1]);
      _exit (read (start[0], &byte, 1) != 0 ? 2 : rmdir ("leases/a") == 0 ? 1 : errno != ENOENT);
    }
  }
  close (start[0]);
  close (start[1]);
  for (int i = 0; i < CHILDREN; i++) {
    assert_ok (waitpid (children[i], &status, 0));
    assert_true (WIFEXITED (status) && WEXITSTATUS (status) <= 1);
    done += WEXITSTATUS (status);
  }
  assert_int_equal (done, 1);
  watch_compare ();
  assert_order ("a");
}

#define ENDING 400
#define REVOKED 20

/* Others end by themselves, and are not waited for. */
static void
test_amid_a_mass_expiry (void **state)
{
  static char names[ENDING][16];
  const char *ids[ENDING];
  char id[16], path[64];

  assert_ok (mkdir ("d", 0755));
  assert_ok (mkdir ("e", 0755));
  for (int i = 0; i < REVOKED; i++) {
    name_lease (id, 0, i);
    make_lease (id);
  }
  for (int i = 0; i < ENDING; i++) {
    snprintf (names[i], sizeof names[i], "m%d", i);
    ids[i] = names[i];
    watch_lease (ids[i]);
    snprintf (path, sizeof path, "e/%d", i);
    watch_key (ids[i], path);
    watch_want ("DELETE %s", path);
    watch_want ("DELETE,ISDIR leases/m%d", i);
  }
  watch_path ("leases");
  watch_path ("d");
  watch_path ("e");
  watch_let_end (ids, ENDING);
  while (watch_total () < 100)
    usleep (500);
  for (int i = 0; i < REVOKED; i++) {
    name_lease (id, 0, i);
    assert_ok (rmdir (path_of (id)));
  }
  watch_compare ();
  for (int i = 0; i < REVOKED; i++) {
    name_lease (id, 0, i);
    assert_order (id);
  }
}

/* What cannot be cleaned up in time comes after the lease: rmdir does not wait for ever. */
static void
test_with_a_key_that_is_held (void **state)
{
  pid_t holder = watch_stalling_lease ("a");

  assert_ok (mkdir ("d", 0755));
  watch_key ("a", "d/key");
  watch_path ("leases");
  watch_path ("d");
  int64_t before = calls_now ();
  assert_ok (rmdir ("leases/a"));
  assert_true (calls_now () - before < 30 * SECOND);
  assert_int_equal (watch_count ("DELETE,ISDIR leases/a"), 1);
  assert_int_equal (watch_count ("DELETE held/first"), 0);
  watch_let_go (holder);
  watch_want ("DELETE,ISDIR leases/a");
  watch_want ("DELETE held/first");
  watch_want ("DELETE d/key");
  watch_compare ();
}

static pid_t
start_revoking (const char *path)
{
  pid_t child = (pid_t)assert_ok (fork ());

  if (child == 0)
    _exit (rmdir (path) != 0);
  return child;
}

static void
kill_and_wait (pid_t child)
{
  kill (child, SIGKILL);
  waitpid (child, NULL, 0);
}

/* The rmdir that is killed has ended the lease, and nobody comes back for its directory. */
static void
test_by_a_process_that_is_killed (void **state)
{
  pid_t holder = watch_stalling_lease ("a");

  assert_ok (mkdir ("d", 0755));
  watch_key ("a", "d/key");
  watch_path ("leases");
  watch_path ("d");
  pid_t child = start_revoking ("leases/a");
  watch_await_hold_up ();
  while (calls_exists ("d/key"))
    usleep (1000);
  kill_and_wait (child);
  watch_let_go (holder);
  watch_want ("DELETE held/first");
  watch_want ("DELETE d/key");
  watch_want ("DELETE,ISDIR leases/a");
  watch_compare ();
}

#define KILLED 12

/* The same at any moment. */
static void
test_by_processes_that_are_killed (void **state)
{
  char id[16];

  assert_ok (mkdir ("d", 0755));
  for (int i = 0; i < KILLED * 3; i++) {
    name_lease (id, i / 3, i % 3);
    make_lease (id);
  }
  watch_path ("leases");
  watch_path ("d");
  for (int i = 0; i < KILLED; i++) {
    pid_t child = (pid_t)assert_ok (fork ());
    for (int j = 0; child == 0; j++) {
      name_lease (id, i, j);
      if (j == 3 || rmdir (path_of (id)) != 0)
        _exit (0);
    }
    usleep (150 * i);
    kill_and_wait (child);
  }
  for (int i = 0; i < KILLED * 3; i++) {
    name_lease (id, i / 3, i % 3);
    if (rmdir (path_of (id)) != 0)
      assert_int_equal (errno, ENOENT);
  }
  watch_compare ();
}

/* Somebody makes a lease of that ID at once. */
static void
test_with_an_id_that_is_taken_again (void **state)
{
  pid_t holder = watch_stalling_lease ("a");
  int status;

  watch_path ("leases");
  watch_path_as ("leases/a", "old");
  pid_t child = start_revoking ("leases/a");
  watch_await_hold_up ();
  watch_lease ("a");
  assert_ok (mkdir ("d", 0755));
  watch_key ("a", "d/key");
  watch_path_as ("leases/a", "new");
  calls_put ("leases/a/x", "new");
  watch_let_go (holder);
  assert_ok (waitpid (child, &status, 0));
  assert_int_equal (status, 0);
  watch_want ("CREATE,ISDIR leases/a");
  watch_want ("CREATE new/x");
  watch_want ("DELETE held/first");
  watch_want ("DELETE,ISDIR leases/a");
  watch_want ("DELETE_SELF old");
  watch_compare ();
  watch_assert_order ("DELETE held/first", "DELETE,ISDIR leases/a");
  assert_text ("leases/a/x", "new");
  assert_text ("leases/a/granted", "1000\n");
  assert_text ("leases/a/keys", "d/key\nleases/a/x\n");
}

int
watch_revoked (bool brief)
{
  const struct CMUnitTest cases[] = {
    WATCH_CASE (test_by_path),
    WATCH_CASE (test_by_bare_name),
    WATCH_CASE (test_of_an_attached_directory),
    WATCH_CASE (test_without_keys),
    WATCH_CASE (test_in_use),
    WATCH_CASE (test_several_at_once),
    WATCH_CASE (test_the_same_one_by_several),
    WATCH_CASE (test_amid_a_mass_expiry),
    WATCH_CASE (test_with_an_id_that_is_taken_again),
  };
  const struct CMUnitTest long_cases[] = {
    WATCH_CASE (test_with_a_key_that_is_held),
    WATCH_CASE (test_by_a_process_that_is_killed),
    WATCH_CASE (test_by_processes_that_are_killed),
  };
  int failed = cmocka_run_group_tests (cases, NULL, NULL);

  return failed + (brief ? 0 : cmocka_run_group_tests (long_cases, NULL, NULL));
}
