/* SPDX-License-Identifier: MIT */

/* Checks who may do what, with the rights of several users: alice has a lease, bob is somebody
 * else, and both may be in a group that the lease belongs to.
 *
 *     # users MOUNTPOINT      a leasefs with nothing in it, mounted with -o allow_other
 *     # users --plain DIR     the cases that concern no leases: on a tmpfs they hold as well */

#include "tests/mount/users.h"

#include <grp.h>

void
users_become_with_groups (uid_t uid, gid_t gid, gid_t other_group)
{
  assert_ok (seteuid (ROOT));
  assert_ok (setgroups (other_group == 0 ? 0 : 1, &other_group));
  assert_ok (setegid (gid));
  assert_ok (seteuid (uid));
}

void
users_become (uid_t uid)
{
  users_become_with_groups (uid, uid, 0);
}

void
users_become_member (uid_t uid, Member how)
{
  if (how == MEMBER_PRIMARY)
    users_become_with_groups (uid, TEAM, 0);
  else
    users_become_with_groups (uid, uid, TEAM);
}

void
users_begin_with_lease (void)
{
  users_become (BOB);
  calls_put ("bobs", "value");
  users_become_member (ALICE, MEMBER_SUPPLEMENTARY);
  calls_put ("alices", "value");
  assert_ok (mkdir ("leases/a", 0755));
  assert_ok (chown ("leases/a", -1, TEAM));
  calls_write ("leases/a/ttl", "1000\n");
  calls_write ("leases/a/keys", "alices\n");
  users_become (ALICE);
}

void
users_make_shared (mode_t mode)
{
  users_become (ROOT);
  assert_ok (mkdir ("shared", 0755));
  assert_ok (chmod ("shared", mode));
}

void
users_touch (const char *path)
{
  if (utimensat (AT_FDCWD, path, NULL, 0) != 0)
    fail_msg ("touch %s: %s", path, strerror (errno));
}

void
users_write_fails (int error, const char *path, const char *text)
{
  int fd = calls_open (path, O_WRONLY);
  int found = write (fd, text, strlen (text)) < 0 ? errno : 0;

  close (fd);
  if (found != error)
    fail_msg ("writing '%s' to %s: %s instead of %s", text, path, strerror (found),
              strerror (error));
}

int64_t
users_last_refresh (void)
{
  struct stat st = calls_stat ("leases/a");

  return st.st_mtim.tv_sec * INT64_C (1000000000) + st.st_mtim.tv_nsec;
}

int
main (int argc, char **argv)
{
  bool plain = argc == 3 && strcmp (argv[1], "--plain") == 0;
  int failed;

  if (argc != 2 && !plain) {
    fprintf (stderr, "usage: users [--plain] DIRECTORY\n");
    return 2;
  }
  calls_begin (argv[argc - 1]);
  failed = users_run_files ();
  if (!plain)
    failed += users_run_leases () + users_run_keys () + users_run_places () + users_run_attacks ();
  return failed == 0 ? 0 : 1;
}
