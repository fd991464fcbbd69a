/* SPDX-License-Identifier: MIT */

#include "tests/unit/fixture.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char *
long_name (size_t length)
{
  char *name = g_malloc (length + 1);

  memset (name, 'x', length);
  name[length] = '\0';
  return name;
}

static void
test_a_new_mount_holds_leases_alone (void **state)
{
  Fixture *fx = *state;
  LeaseAttr attr;

  assert_string_equal (fx_list (fx, ""), "leases");
  assert_string_equal (fx_list (fx, "leases"), "");
  assert_ok (fx_stat (fx, "leases", &attr));
  assert_int_equal (attr.mode, S_IFDIR | S_ISVTX | 0777);
  assert_int_equal (attr.nlink, 2);
  assert_false (attr.is_lease);
  assert_int_equal (attr.fresh_until, LEASE_TIME_NEVER);
  assert_ok (fx_stat (fx, "", &attr));
  assert_int_equal (attr.id, LEASE_ROOT);
  assert_int_equal (attr.mode, S_IFDIR | 0755);
  assert_int_equal (attr.nlink, 3);
}

static void
test_the_root_is_as_configured (void **state)
{
  LeaseEngineConfig config = fx_config ();
  LeaseAttr attr;

  config.root_mode = 0700;
  config.uid = 7;
  config.gid = 8;
  g_autoptr (Fixture) fx = fx_new (&config);
  assert_ok (fx_stat (fx, "", &attr));
  assert_int_equal (attr.mode, S_IFDIR | 0700);
  assert_int_equal (attr.uid, 7);
  assert_int_equal (attr.gid, 8);
  assert_ok (fx_stat (fx, "leases", &attr));
  assert_int_equal (attr.uid, 7);
}

static void
test_leases_cannot_be_removed_renamed_or_replaced (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_file (fx, "f"));
  assert_fails (EPERM, fx_rmdir (fx, "leases"));
  assert_fails (EPERM, fx_unlink (fx, "leases"));
  assert_fails (EPERM, fx_rename (fx, "leases", "other", 0));
  assert_fails (EPERM, fx_rename (fx, "leases", "d/leases", 0));
  assert_fails (EPERM, fx_rename (fx, "leases", "d", RENAME_EXCHANGE));
  assert_fails (EPERM, fx_rename (fx, "d", "leases", RENAME_EXCHANGE));
  assert_fails (EPERM, fx_rename (fx, "d", "leases", 0));
  assert_fails (EPERM, fx_rename (fx, "f", "leases", 0));
  assert_fails (EPERM, fx_link (fx, "leases", "other"));
  assert_fails (EEXIST, fx_mkdir (fx, "leases"));
  assert_fails (EEXIST, fx_link (fx, "f", "leases"));
  /* Elsewhere the name means nothing. */
  assert_ok (fx_mkdir (fx, "d/leases"));
  assert_ok (fx_file (fx, "d/leases/f"));
  assert_ok (fx_unlink (fx, "d/leases/f"));
  assert_ok (fx_rmdir (fx, "d/leases"));
}

static void
test_only_directories_can_be_made_in_leases (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_file (fx, "f"));
  assert_ok (fx_mkdir (fx, "d"));
  assert_fails (EPERM, fx_file (fx, "leases/A"));
  assert_fails (EPERM, fx_symlink (fx, "leases/A", "f"));
  assert_fails (EPERM, fx_link (fx, "f", "leases/A"));
  assert_fails (EPERM, fx_rename (fx, "f", "leases/A", 0));
  assert_fails (EPERM, fx_rename (fx, "d", "leases/A", 0));
  assert_string_equal (fx_list (fx, "leases"), "");
}

static void
test_a_lease_name_does_not_begin_with_a_dot (void **state)
{
  Fixture *fx = *state;

  assert_fails (EINVAL, fx_mkdir (fx, "leases/.A"));
  assert_fails (EINVAL, fx_mkdir (fx, "leases/..."));
  assert_ok (fx_mkdir (fx, "leases/A."));
  assert_ok (fx_mkdir (fx, "leases/ttl"));
  assert_ok (fx_mkdir (fx, "leases/\n"));
  assert_ok (fx_mkdir (fx, "leases/leases"));
}

static void
test_a_lease_cannot_be_renamed_linked_or_unlinked (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", SECOND);
  fx_lease (fx, "B", SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_fails (EPERM, fx_rename (fx, "leases/A", "leases/C", 0));
  assert_fails (EPERM, fx_rename (fx, "leases/A", "leases/B", 0));
  assert_fails (EPERM, fx_rename (fx, "leases/A", "leases/B", RENAME_EXCHANGE));
  assert_fails (EPERM, fx_rename (fx, "leases/A", "a", 0));
  assert_fails (EPERM, fx_rename (fx, "leases/A", "leases/B/a", 0));
  assert_fails (EPERM, fx_rename (fx, "d", "leases/A", 0));
  assert_fails (EPERM, fx_rename (fx, "d", "leases/A", RENAME_EXCHANGE));
  assert_fails (EPERM, fx_link (fx, "leases/A", "a"));
  assert_fails (EISDIR, fx_unlink (fx, "leases/A"));
}

static void
test_pseudo_files_keep_their_names (void **state)
{
  Fixture *fx = *state;
  static const char *const names[] = { "leases/A/ttl", "leases/A/granted", "leases/A/keys",
                                       "leases/.metrics" };

  fx_lease (fx, "A", SECOND);
  assert_ok (fx_file (fx, "f"));
  assert_ok (fx_mkdir (fx, "d"));
  for (unsigned i = 0; i < G_N_ELEMENTS (names); i++) {
    assert_int_equal (fx_find (fx, names[i]), 0); /* they are no nodes */
    assert_fails (EEXIST, fx_file (fx, names[i]));
    assert_fails (EEXIST, fx_mkdir (fx, names[i]));
    assert_fails (EEXIST, fx_link (fx, "f", names[i]));
    assert_fails (EPERM, fx_unlink (fx, names[i]));
    assert_fails (EPERM, fx_rmdir (fx, names[i]));
    assert_fails (EPERM, fx_rename (fx, names[i], "other", 0));
    assert_fails (EPERM, fx_rename (fx, names[i], "f", 0));
    assert_fails (EPERM, fx_rename (fx, "f", names[i], 0));
    assert_fails (EPERM, fx_rename (fx, "d", names[i], RENAME_NOREPLACE));
    assert_fails (EPERM, fx_rename (fx, "f", names[i], RENAME_EXCHANGE));
  }
  assert_string_equal (fx_list (fx, "leases/A"), "");
  assert_string_equal (fx_list (fx, "leases"), "A");
  assert_fails (EINVAL, fx_edit (fx, "A", "leases/A/ttl\n"));
  assert_fails (EINVAL, fx_edit (fx, "A", "leases/.metrics\n"));
}

static void
test_names_of_pseudo_files_are_free_elsewhere (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", SECOND);
  assert_ok (fx_mkdir (fx, "leases/A/d"));
  assert_ok (fx_file (fx, "leases/A/d/ttl"));
  assert_ok (fx_file (fx, "keys"));
  assert_ok (fx_rename (fx, "keys", "granted", 0));
  assert_ok (fx_unlink (fx, "granted"));
  assert_ok (fx_file (fx, ".metrics"));
  assert_ok (fx_file (fx, "leases/A/.metrics"));
  assert_int_equal (lease_file_from_name ("ttl"), LEASE_FILE_TTL);
  assert_int_equal (lease_file_from_name ("granted"), LEASE_FILE_GRANTED);
  assert_int_equal (lease_file_from_name ("keys"), LEASE_FILE_KEYS);
  assert_int_equal (lease_file_from_name ("key"), LEASE_FILE_NONE);
  assert_int_equal (lease_file_from_name (""), LEASE_FILE_NONE);
  for (LeaseFile file = LEASE_FILE_NONE + 1; file <= LEASE_FILE_LAST; file++)
    assert_int_equal (lease_file_from_name (lease_file_name (file)), file);
}

static void
test_a_new_node_belongs_to_who_made_it (void **state)
{
  Fixture *fx = *state;
  LeaseAttr attr;

  fx->by.uid = 5;
  fx->by.gid = 6;
  assert_ok (fx_create (fx, "f", S_IFREG | 0640, NULL));
  assert_ok (fx_stat (fx, "f", &attr));
  assert_int_equal (attr.mode, S_IFREG | 0640);
  assert_int_equal (attr.uid, 5);
  assert_int_equal (attr.gid, 6);
  assert_int_equal (attr.nlink, 1);
  assert_int_equal (attr.size, 0);
  assert_int_equal (attr.mtime_ns, fx->by.wall_ns);
  assert_int_equal (attr.atime_ns, fx->by.wall_ns);
  assert_int_equal (attr.ctime_ns, fx->by.wall_ns);
}

static void
test_a_setgid_directory_hands_its_group_on (void **state)
{
  Fixture *fx = *state;
  LeaseAttr attr;

  fx->by.gid = 6;
  assert_ok (fx_create (fx, "d", S_IFDIR | S_ISGID | 0775, NULL));
  fx->by.gid = 7;
  assert_ok (fx_mkdir (fx, "d/sub"));
  assert_ok (fx_file (fx, "d/f"));
  assert_ok (fx_stat (fx, "d/sub", &attr));
  assert_int_equal (attr.gid, 6);
  assert_true (attr.mode & S_ISGID);
  assert_ok (fx_stat (fx, "d/f", &attr));
  assert_int_equal (attr.gid, 6);
  assert_false (attr.mode & S_ISGID);
}

static void
test_a_directory_knows_its_parent (void **state)
{
  Fixture *fx = *state;
  LeaseAttr attr;
  uint64_t id;

  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_mkdir (fx, "d/e"));
  assert_ok (fx_stat (fx, "d/e", &attr));
  assert_int_equal (attr.parent, fx_find (fx, "d"));
  assert_ok (fx_rename (fx, "d/e", "e", 0));
  assert_ok (fx_stat (fx, "e", &attr));
  assert_int_equal (attr.parent, LEASE_ROOT);
  assert_ok (fx_stat (fx, "", &attr));
  assert_int_equal (attr.parent, LEASE_ROOT);
  id = fx_pin (fx, "e");
  assert_ok (fx_rmdir (fx, "e"));
  assert_ok (lease_engine_getattr (fx->engine, &fx->by, id, &attr));
  assert_int_equal (attr.parent, id);
  fx_unpin (fx, id);
}

static void
test_files_of_all_types_can_be_made (void **state)
{
  static const mode_t types[] = { S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK };
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  for (unsigned i = 0; i < G_N_ELEMENTS (types); i++) {
    LeaseNew what = { .mode = types[i] | 0640, .rdev = 0x1234 };
    LeaseAttr attr;
    assert_ok (
        lease_engine_create (fx->engine, &fx->by, fx_find (fx, "leases/A"), "x", &what, &attr));
    fx_unpin (fx, attr.id);
    assert_ok (fx_stat (fx, "leases/A/x", &attr));
    assert_int_equal (attr.mode, types[i] | 0640);
    assert_int_equal (attr.rdev, 0x1234);
    assert_int_equal (attr.size, 0);
    assert_string_equal (fx_keys (fx, "A"), "leases/A/x");
    assert_fails (EINVAL, fx_write (fx, attr.id, "x"));
    assert_ok (fx_unlink (fx, "leases/A/x"));
    assert_fails (EPERM, fx_create (fx, "leases/x", types[i], NULL));
  }
  assert_fails (EINVAL, fx_create (fx, "x", 0644, NULL));
  assert_fails (EINVAL, fx_create (fx, "x", S_IFMT | 0644, NULL));
}

static void
test_a_whiteout_stays_where_something_was (void **state)
{
  Fixture *fx = *state;
  LeaseAttr attr;

  assert_ok (fx_file (fx, "f"));
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_rename (fx, "f", "g", RENAME_WHITEOUT));
  assert_ok (fx_stat (fx, "f", &attr));
  assert_int_equal (attr.mode, S_IFCHR);
  assert_int_equal (attr.rdev, 0);
  assert_fails (EEXIST, fx_rename (fx, "g", "d", RENAME_WHITEOUT | RENAME_NOREPLACE));
  assert_fails (EINVAL, fx_rename (fx, "g", "d", RENAME_WHITEOUT | RENAME_EXCHANGE));
  assert_ok (fx_rename (fx, "g", "f", RENAME_WHITEOUT));
  assert_ok (fx_stat (fx, "f", &attr));
  assert_true (S_ISREG (attr.mode));
  assert_ok (fx_rename (fx, "d", "e", RENAME_WHITEOUT));
  assert_ok (fx_stat (fx, "d", &attr));
  assert_int_equal (attr.mode, S_IFCHR);
  assert_string_equal (fx_list (fx, ""), "leases f d g e");
}

static void
test_dots_lead_to_a_node_and_its_parent (void **state)
{
  Fixture *fx = *state;
  uint64_t directory, file;
  LeaseAttr attr;

  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_file (fx, "d/f"));
  directory = fx_find (fx, "d");
  file = fx_find (fx, "d/f");
  assert_ok (lease_engine_lookup (fx->engine, &fx->by, directory, ".", &attr, NULL));
  assert_int_equal (attr.id, directory);
  assert_ok (lease_engine_lookup (fx->engine, &fx->by, directory, "..", &attr, NULL));
  assert_int_equal (attr.id, LEASE_ROOT);
  assert_ok (lease_engine_lookup (fx->engine, &fx->by, LEASE_ROOT, "..", &attr, NULL));
  assert_int_equal (attr.id, LEASE_ROOT);
  assert_ok (lease_engine_lookup (fx->engine, &fx->by, file, ".", &attr, NULL));
  assert_int_equal (attr.id, file);
  assert_fails (ENOTDIR, lease_engine_lookup (fx->engine, &fx->by, file, "..", &attr, NULL));
  assert_ok (fx_unlink (fx, "d/f"));
  fx_unpin (fx, file);
  assert_fails (ESTALE, lease_engine_lookup (fx->engine, &fx->by, file, ".", &attr, NULL));
}

static void
test_names_have_255_bytes_at_most (void **state)
{
  Fixture *fx = *state;
  g_autofree char *longest = long_name (NAME_MAX), *longer = long_name (NAME_MAX + 1);

  assert_ok (fx_file (fx, longest));
  assert_ok (fx_rename (fx, longest, "f", 0));
  assert_ok (fx_rename (fx, "f", longest, 0));
  assert_ok (fx_unlink (fx, longest));
  assert_ok (fx_file (fx, "f"));
  assert_ok (fx_file (fx, "g"));
  assert_fails (ENAMETOOLONG, fx_file (fx, longer));
  assert_fails (ENAMETOOLONG, fx_mkdir (fx, longer));
  assert_fails (ENAMETOOLONG, fx_link (fx, "f", longer));
  assert_fails (ENAMETOOLONG, fx_rename (fx, "f", longer, 0));
  assert_fails (ENAMETOOLONG, fx_rename (fx, "f", longer, RENAME_EXCHANGE));

  LeaseAttr attr;
  assert_fails (ENAMETOOLONG, fx_stat (fx, longer, &attr));
}

static void
test_a_taken_name_cannot_be_made_again (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_file (fx, "f"));
  assert_ok (fx_mkdir (fx, "d"));
  assert_fails (EEXIST, fx_file (fx, "f"));
  assert_fails (EEXIST, fx_mkdir (fx, "f"));
  assert_fails (EEXIST, fx_file (fx, "d"));
  assert_fails (EEXIST, fx_symlink (fx, "d", "x"));
  assert_fails (EEXIST, fx_link (fx, "f", "d"));
  assert_fails (EEXIST, fx_link (fx, "f", "f"));
  assert_ok (fx_mkdir (fx, "leases/A"));
  assert_fails (EEXIST, fx_mkdir (fx, "leases/A"));
}

static void
test_a_file_is_no_directory (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_file (fx, "f"));
  assert_ok (fx_symlink (fx, "s", "leases"));
  assert_fails (ENOTDIR, fx_file (fx, "f/x"));
  assert_fails (ENOTDIR, fx_file (fx, "s/x"));
  assert_fails (ENOTDIR, fx_unlink (fx, "f/x"));
  assert_fails (ENOTDIR, fx_rmdir (fx, "f/x"));
  assert_fails (ENOTDIR, fx_rmdir (fx, "f"));
  assert_fails (ENOTDIR, fx_rename (fx, "f/x", "g", 0));
  assert_fails (ENOTDIR, fx_rename (fx, "f", "f/x", 0));
  assert_fails (ENOTDIR, fx_link (fx, "f", "f/x"));
  assert_fails (ENOTDIR,
                lease_engine_list (fx->engine, &fx->by, fx_find (fx, "f"), 0, false, NULL, NULL));
}

static void
test_nothing_is_done_to_a_name_that_is_not_there (void **state)
{
  Fixture *fx = *state;
  LeaseTime fresh_until = 0;
  LeaseAttr attr;

  assert_fails (ENOENT, fx_unlink (fx, "x"));
  assert_fails (ENOENT, fx_rmdir (fx, "x"));
  assert_fails (ENOENT, fx_rename (fx, "x", "y", 0));
  assert_fails (ENOENT, fx_rename (fx, "x", "leases", 0));
  assert_fails (ENOENT, lease_engine_lookup (fx->engine, &fx->by, LEASE_ROOT, "x", &attr, NULL));
  assert_fails (ENOENT,
                lease_engine_lookup (fx->engine, &fx->by, LEASE_ROOT, "x", &attr, &fresh_until));
  assert_int_equal (fresh_until, LEASE_TIME_NEVER);
}

static void
test_a_node_that_is_gone_is_stale (void **state)
{
  Fixture *fx = *state;
  LeaseSet set = { .mask = LEASE_SET_MODE };
  LeaseInfo info;
  LeaseAttr attr;
  g_autofree char *data = NULL;
  size_t size;
  uint64_t id;

  assert_ok (fx_file (fx, "f"));
  id = fx_find (fx, "f");
  assert_ok (fx_unlink (fx, "f"));
  assert_fails (ESTALE, fx_getattr (fx, id));
  assert_fails (ESTALE, lease_engine_lookup (fx->engine, &fx->by, id, "x", &attr, NULL));
  assert_fails (ESTALE, lease_engine_create (fx->engine, &fx->by, id, "x",
                                             &(LeaseNew){ .mode = S_IFREG }, &attr));
  assert_fails (ESTALE, lease_engine_link (fx->engine, &fx->by, id, LEASE_ROOT, "x", &attr));
  assert_fails (ESTALE, lease_engine_unlink (fx->engine, &fx->by, id, "x"));
  assert_fails (ESTALE, lease_engine_rmdir (fx->engine, &fx->by, id, "x"));
  assert_fails (ESTALE, lease_engine_rename (fx->engine, &fx->by, id, "x", LEASE_ROOT, "y", 0));
  assert_fails (ESTALE, lease_engine_rename (fx->engine, &fx->by, LEASE_ROOT, "x", id, "y", 0));
  assert_fails (ESTALE, lease_engine_list (fx->engine, &fx->by, id, 0, false, NULL, NULL));
  assert_fails (ESTALE, lease_engine_setattr (fx->engine, &fx->by, id, &set, &attr));
  assert_fails (ESTALE, lease_engine_read (fx->engine, &fx->by, id, 0, 1, &data, &size));
  assert_fails (ESTALE, lease_engine_write (fx->engine, &fx->by, id, 0, "x", 1));
  assert_fails (ESTALE, lease_engine_readlink (fx->engine, &fx->by, id, &data));
  assert_fails (ESTALE, lease_engine_info (fx->engine, &fx->by, id, &info));
  assert_fails (ESTALE, lease_engine_grant (fx->engine, &fx->by, id, 1));
  assert_fails (ESTALE, lease_engine_refresh (fx->engine, &fx->by, id));
  fx_check (fx);
}

static void
test_nothing_can_be_made_in_a_removed_directory (void **state)
{
  Fixture *fx = *state;
  LeaseAttr attr;
  uint64_t id;

  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_file (fx, "f"));
  id = fx_pin (fx, "d");
  assert_ok (fx_rmdir (fx, "d"));
  assert_ok (fx_getattr (fx, id));
  assert_fails (ENOENT, lease_engine_create (fx->engine, &fx->by, id, "x",
                                             &(LeaseNew){ .mode = S_IFREG }, &attr));
  assert_fails (ENOENT, lease_engine_link (fx->engine, &fx->by, fx_find (fx, "f"), id, "x", &attr));
  assert_fails (ENOENT, lease_engine_rename (fx->engine, &fx->by, LEASE_ROOT, "f", id, "x", 0));
  assert_fails (ENOENT, lease_engine_lookup (fx->engine, &fx->by, id, "x", &attr, NULL));
  fx_unpin (fx, id);
  assert_fails (ESTALE, fx_getattr (fx, id));
}

static void
test_an_unlinked_node_lives_until_it_is_unpinned (void **state)
{
  Fixture *fx = *state;
  LeaseAttr attr;
  uint64_t id;

  fx_put (fx, "f", "hello");
  id = fx_pin (fx, "f");
  assert_int_equal (fx_pin (fx, "f"), id);
  assert_ok (fx_unlink (fx, "f"));
  assert_int_equal (fx_find (fx, "f"), 0);
  assert_ok (fx_write (fx, id, "J"));
  assert_ok (lease_engine_getattr (fx->engine, &fx->by, id, &attr));
  assert_int_equal (attr.nlink, 0);
  assert_int_equal (attr.size, 5);
  assert_fails (ENOENT, lease_engine_link (fx->engine, &fx->by, id, LEASE_ROOT, "g", &attr));
  fx_unpin (fx, id);
  assert_ok (fx_getattr (fx, id));
  fx_unpin (fx, id);
  assert_fails (ESTALE, fx_getattr (fx, id));
}

static void
test_pins_are_given_back_in_any_number (void **state)
{
  Fixture *fx = *state;
  uint64_t id;

  assert_ok (fx_file (fx, "f"));
  for (unsigned i = 0; i < 5; i++)
    id = fx_pin (fx, "f");
  assert_ok (fx_unlink (fx, "f"));
  lease_engine_unpin (fx->engine, id, 4);
  assert_ok (fx_getattr (fx, id));
  lease_engine_unpin (fx->engine, id, 7);
  assert_fails (ESTALE, fx_getattr (fx, id));
  lease_engine_unpin (fx->engine, id, 1);
  lease_engine_unpin (fx->engine, LEASE_ROOT, 1);
  fx_check (fx);
}

static void
test_a_file_may_have_several_names (void **state)
{
  Fixture *fx = *state;
  LeaseAttr attr;

  fx_put (fx, "a", "hello");
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_link (fx, "a", "d/b"));
  assert_int_equal (fx_find (fx, "d/b"), fx_find (fx, "a"));
  assert_ok (fx_stat (fx, "a", &attr));
  assert_int_equal (attr.nlink, 2);
  assert_ok (fx_unlink (fx, "a"));
  assert_string_equal (fx_get (fx, "d/b"), "hello");
  assert_fails (EPERM, fx_link (fx, "d", "e"));
  assert_fails (ENOENT, fx_link (fx, "d/b", "x/y"));
}

static void
test_a_directory_is_removed_only_when_empty (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_file (fx, "d/f"));
  assert_fails (ENOTEMPTY, fx_rmdir (fx, "d"));
  assert_fails (EISDIR, fx_unlink (fx, "d"));
  assert_ok (fx_unlink (fx, "d/f"));
  assert_ok (fx_rmdir (fx, "d"));
  assert_int_equal (fx_find (fx, "d"), 0);
}

static void
test_changes_of_names_show_in_the_times_of_the_directory (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_mkdir (fx, "e"));
  fx_wait (fx, 1);
  assert_ok (fx_file (fx, "d/f"));
  assert_int_equal (fx_mtime (fx, "d"), fx->by.wall_ns);
  fx_wait (fx, 1);
  assert_ok (fx_link (fx, "d/f", "d/g"));
  assert_int_equal (fx_mtime (fx, "d"), fx->by.wall_ns);
  fx_wait (fx, 1);
  assert_ok (fx_unlink (fx, "d/g"));
  assert_int_equal (fx_mtime (fx, "d"), fx->by.wall_ns);
  fx_wait (fx, 1);
  assert_ok (fx_rename (fx, "d/f", "e/f", 0));
  assert_int_equal (fx_mtime (fx, "d"), fx->by.wall_ns);
  assert_int_equal (fx_mtime (fx, "e"), fx->by.wall_ns);
}

/* Renames: `a` and `b` are files, `d` and `e` empty directories, `full` has a file in it. */
static void
make_rename_scene (Fixture *fx)
{
  fx_put (fx, "a", "1");
  fx_put (fx, "b", "2");
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_mkdir (fx, "e"));
  assert_ok (fx_mkdir (fx, "full"));
  assert_ok (fx_file (fx, "full/f"));
}

static void
test_rename_moves_a_name (void **state)
{
  Fixture *fx = *state;
  uint64_t id;

  make_rename_scene (fx);
  id = fx_find (fx, "a");
  assert_ok (fx_rename (fx, "a", "d/c", 0));
  assert_int_equal (fx_find (fx, "a"), 0);
  assert_int_equal (fx_find (fx, "d/c"), id);
  assert_ok (fx_rename (fx, "d", "full/d", RENAME_NOREPLACE));
  assert_int_equal (fx_find (fx, "full/d/c"), id);
  assert_string_equal (fx_list (fx, "full"), "f d");
}

static void
test_rename_replaces_what_is_of_its_kind (void **state)
{
  Fixture *fx = *state;
  uint64_t file, directory;

  make_rename_scene (fx);
  file = fx_find (fx, "a");
  directory = fx_find (fx, "full");
  assert_ok (fx_rename (fx, "a", "b", 0));
  assert_int_equal (fx_find (fx, "b"), file);
  assert_string_equal (fx_get (fx, "b"), "1");
  assert_ok (fx_rename (fx, "full", "d", 0));
  assert_int_equal (fx_find (fx, "d"), directory);
  assert_string_equal (fx_list (fx, ""), "leases b d e");
}

static void
test_rename_refuses_what_posix_refuses (void **state)
{
  Fixture *fx = *state;

  make_rename_scene (fx);
  assert_fails (EISDIR, fx_rename (fx, "a", "d", 0));
  assert_fails (ENOTDIR, fx_rename (fx, "d", "a", 0));
  assert_fails (ENOTEMPTY, fx_rename (fx, "d", "full", 0));
  assert_fails (ENOTEMPTY, fx_rename (fx, "full/f", "full", 0));
  assert_fails (EINVAL, fx_rename (fx, "full", "full/x", 0));
  assert_ok (fx_mkdir (fx, "full/sub"));
  assert_fails (EINVAL, fx_rename (fx, "full", "full/sub/x", 0));
  assert_fails (EINVAL, fx_rename (fx, "full", "full/sub", 0));
  assert_fails (ENOTEMPTY, fx_rename (fx, "full/sub", "full", 0));
  assert_fails (EEXIST, fx_rename (fx, "a", "b", RENAME_NOREPLACE));
  assert_fails (EEXIST, fx_rename (fx, "a", "a", RENAME_NOREPLACE));
  assert_fails (EINVAL, fx_rename (fx, "a", "x", RENAME_NOREPLACE | RENAME_EXCHANGE));
  assert_fails (EINVAL, fx_rename (fx, "a", "x", 1 << 3));
  assert_fails (ENOENT, fx_rename (fx, "x", "a", 0));
  assert_fails (ENOENT, fx_rename (fx, "a", "x/y", 0));
  assert_string_equal (fx_list (fx, ""), "leases a b d e full");
}

static void
test_rename_to_itself_does_nothing (void **state)
{
  Fixture *fx = *state;

  make_rename_scene (fx);
  assert_ok (fx_link (fx, "a", "c"));
  assert_ok (fx_rename (fx, "a", "a", 0));
  assert_ok (fx_rename (fx, "a", "c", 0));
  assert_ok (fx_rename (fx, "a", "c", RENAME_EXCHANGE));
  assert_ok (fx_rename (fx, "full", "full", 0));
  assert_ok (fx_rename (fx, "full", "full", RENAME_EXCHANGE));
  assert_string_equal (fx_list (fx, ""), "leases a b d e full c");
}

static void
test_exchange_swaps_two_names (void **state)
{
  Fixture *fx = *state;
  uint64_t a, full;
  LeaseAttr attr;

  make_rename_scene (fx);
  a = fx_find (fx, "a");
  full = fx_find (fx, "full");
  assert_ok (fx_rename (fx, "a", "full", RENAME_EXCHANGE));
  assert_int_equal (fx_find (fx, "full"), a);
  assert_int_equal (fx_find (fx, "a"), full);
  assert_int_equal (fx_find (fx, "a/f") != 0, true);
  assert_ok (fx_rename (fx, "a", "d", RENAME_EXCHANGE));
  assert_int_equal (fx_find (fx, "d"), full);
  assert_ok (fx_rename (fx, "d/f", "full", RENAME_EXCHANGE));
  assert_int_equal (fx_find (fx, "d/f"), a);
  assert_ok (fx_rename (fx, "e", "d/f", RENAME_EXCHANGE));
  assert_int_equal (fx_find (fx, "e"), a);
  assert_ok (fx_stat (fx, "", &attr));
  assert_int_equal (attr.nlink, 2 + 3); /* leases, a, d */
  assert_ok (fx_stat (fx, "d", &attr));
  assert_int_equal (attr.nlink, 3);
  assert_fails (EINVAL, fx_rename (fx, "d", "d/f", RENAME_EXCHANGE));
  assert_fails (EINVAL, fx_rename (fx, "d/f", "d", RENAME_EXCHANGE));
  assert_fails (ENOENT, fx_rename (fx, "a", "x", RENAME_EXCHANGE));
  assert_fails (ENOENT, fx_rename (fx, "x", "a", RENAME_EXCHANGE));
}

static void
test_rename_onto_a_key_takes_over_its_lease (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_lease (fx, "B", 20 * SECOND);
  fx_key (fx, "a", "A");
  fx_put (fx, "new", "2");
  assert_ok (fx_rename (fx, "new", "a", 0));
  assert_string_equal (fx_keys (fx, "A"), "a");
  assert_string_equal (fx_get (fx, "a"), "2");

  assert_ok (fx_symlink (fx, "s", "x"));
  assert_ok (fx_rename (fx, "s", "a", 0));
  assert_string_equal (fx_keys (fx, "A"), "a");

  /* One with a lease of its own keeps that. */
  fx_key (fx, "b", "B");
  assert_ok (fx_rename (fx, "b", "a", 0));
  assert_string_equal (fx_keys (fx, "A"), "");
  assert_string_equal (fx_keys (fx, "B"), "a");

  fx_wait (fx, 10 * SECOND);
  assert_int_equal (fx_find (fx, "a") != 0, true);
  fx_wait (fx, 10 * SECOND);
  assert_int_equal (fx_find (fx, "a"), 0);
}

static void
test_a_lease_is_taken_over_by_all_names_of_a_file (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "a", "A");
  assert_ok (fx_link (fx, "a", "old"));
  assert_ok (fx_file (fx, "new"));
  assert_ok (fx_link (fx, "new", "other"));
  assert_ok (fx_rename (fx, "new", "a", 0));
  assert_string_equal (fx_keys (fx, "A"), "a old other");
}

static void
test_a_directory_takes_over_no_lease (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_edit (fx, "A", "d"));
  assert_ok (fx_mkdir (fx, "e"));
  assert_ok (fx_rename (fx, "e", "d", 0));
  assert_string_equal (fx_keys (fx, "A"), "");
}

static void
test_no_lease_is_taken_over_from_what_has_ended (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "a", "A");
  assert_ok (fx_file (fx, "new"));
  fx_wait (fx, 10 * SECOND);
  assert_ok (fx_rename (fx, "new", "a", RENAME_NOREPLACE));
  assert_int_equal (fx_find (fx, "a") != 0, true);
  fx_reap (fx);
  assert_string_equal (fx_list (fx, ""), "leases a");
}

static void
test_exchange_takes_over_no_lease (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "a", "A");
  assert_ok (fx_file (fx, "b"));
  assert_ok (fx_rename (fx, "a", "b", RENAME_EXCHANGE));
  assert_string_equal (fx_keys (fx, "A"), "b");
  fx_wait (fx, 10 * SECOND);
  assert_string_equal (fx_list (fx, ""), "leases a");
}

static void
test_a_key_keeps_its_lease_when_it_is_renamed (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "a", "A");
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_rename (fx, "a", "d/b", 0));
  assert_string_equal (fx_keys (fx, "A"), "d/b");
  assert_ok (fx_rename (fx, "d", "e", 0));
  assert_string_equal (fx_keys (fx, "A"), "e/b");
}

static void
test_what_is_created_in_a_lease_is_attached (void **state)
{
  Fixture *fx = *state;
  LeaseAttr attr;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_file (fx, "leases/A/f"));
  assert_ok (fx_mkdir (fx, "leases/A/d"));
  assert_ok (fx_symlink (fx, "leases/A/d/s", "x"));
  assert_string_equal (fx_keys (fx, "A"), "leases/A/d leases/A/d/s leases/A/f");
  assert_ok (fx_stat (fx, "leases/A/d/s", &attr));
  assert_int_equal (attr.fresh_until, fx->by.now + 10 * SECOND);
}

static void
test_what_is_moved_into_a_lease_is_attached (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_lease (fx, "B", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "leases/A/d"));
  assert_ok (fx_file (fx, "f"));
  fx_key (fx, "g", "B");
  assert_ok (fx_rename (fx, "f", "leases/A/f", 0));
  assert_ok (fx_rename (fx, "g", "leases/A/d/g", 0));
  assert_string_equal (fx_keys (fx, "A"), "leases/A/d leases/A/d/g leases/A/f");
  assert_string_equal (fx_keys (fx, "B"), "");

  assert_ok (fx_file (fx, "h"));
  assert_ok (fx_rename (fx, "h", "leases/A/f", RENAME_EXCHANGE));
  assert_string_equal (fx_keys (fx, "A"), "h leases/A/d leases/A/d/g leases/A/f");
  assert_ok (fx_rename (fx, "leases/A/f", "leases/B/f", 0));
  assert_string_equal (fx_keys (fx, "B"), "leases/B/f");
}

static void
test_what_is_linked_into_a_lease_is_attached (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_file (fx, "f"));
  assert_ok (fx_link (fx, "f", "leases/A/f"));
  assert_string_equal (fx_keys (fx, "A"), "f leases/A/f");
  fx_wait (fx, 10 * SECOND);
  assert_int_equal (fx_find (fx, "f"), 0);
}

static void
test_what_is_moved_or_linked_out_of_a_lease_stays_attached (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_put (fx, "leases/A/x", "v");
  fx_put (fx, "leases/A/y", "w");
  assert_ok (fx_rename (fx, "leases/A/x", "key1", 0));
  assert_ok (fx_link (fx, "leases/A/y", "lock"));
  assert_fails (EEXIST, fx_link (fx, "leases/A/y", "lock"));
  assert_string_equal (fx_keys (fx, "A"), "key1 leases/A/y lock");
  fx_wait (fx, 10 * SECOND - 1);
  assert_string_equal (fx_get (fx, "key1"), "v");
  fx_wait (fx, 1);
  assert_int_equal (fx_find (fx, "key1"), 0);
  assert_int_equal (fx_find (fx, "lock"), 0);
}

static void
test_what_is_moved_into_another_attached_directory_is_not_attached (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_edit (fx, "A", "d"));
  assert_ok (fx_file (fx, "f"));
  assert_ok (fx_rename (fx, "f", "d/f", 0));
  assert_ok (fx_link (fx, "d/f", "d/g"));
  assert_string_equal (fx_keys (fx, "A"), "d");
}

static void
test_nothing_comes_into_a_lease_that_is_only_reserved (void **state)
{
  Fixture *fx = *state;

  assert_ok (fx_mkdir (fx, "leases/A"));
  assert_ok (fx_file (fx, "f"));
  assert_fails (EINVAL, fx_file (fx, "leases/A/x"));
  assert_fails (EINVAL, fx_mkdir (fx, "leases/A/x"));
  assert_fails (EINVAL, fx_link (fx, "f", "leases/A/x"));
  assert_fails (EINVAL, fx_rename (fx, "f", "leases/A/x", 0));
  assert_ok (fx_rmdir (fx, "leases/A"));
}

static void
test_a_directory_with_others_files_does_not_come_into_a_lease (void **state)
{
  Fixture *fx = *state;

  fx->by.uid = 1;
  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_mkdir (fx, "d/e"));
  fx->by.uid = 2;
  assert_ok (fx_file (fx, "d/e/precious"));
  fx->by.uid = 1;
  assert_fails (EPERM, fx_rename (fx, "d", "leases/A/d", 0));
  fx->by.uid = 2;
  assert_ok (fx_unlink (fx, "d/e/precious"));
  fx->by.uid = 1;
  assert_ok (fx_rename (fx, "d", "leases/A/d", 0));
}

static void
test_only_the_owner_brings_a_file_into_a_lease (void **state)
{
  Fixture *fx = *state;

  fx->by.uid = 1;
  assert_ok (fx_file (fx, "ones"));
  fx->by.uid = 2;
  fx_lease (fx, "A", 10 * SECOND);
  assert_ok (fx_file (fx, "leases/A/own"));
  assert_fails (EPERM, fx_rename (fx, "ones", "leases/A/x", 0));
  assert_fails (EPERM, fx_rename (fx, "ones", "leases/A/own", 0));
  assert_fails (EPERM, fx_rename (fx, "ones", "leases/A/own", RENAME_EXCHANGE));
  assert_fails (EPERM, fx_rename (fx, "leases/A/own", "ones", RENAME_EXCHANGE));
  assert_fails (EPERM, fx_link (fx, "ones", "leases/A/x"));
  assert_string_equal (fx_keys (fx, "A"), "leases/A/own");

  fx->by.uid = 0;
  assert_ok (fx_link (fx, "ones", "leases/A/x"));
  fx->by.uid = 2;
  /* It is attached already. */
  assert_ok (fx_rename (fx, "leases/A/x", "leases/A/y", 0));
}

typedef struct {
  GString *names;
  unsigned left;
  uint64_t cookie;
} Page;

static bool
fill_page (const char *name, const LeaseAttr *attr, uint64_t cookie, void *data)
{
  Page *page = data;

  if (page->left == 0)
    return false;
  page->left--;
  assert_true (cookie > page->cookie);
  page->cookie = cookie;
  g_string_append_printf (page->names, "%s%s", page->names->len > 0 ? " " : "", name);
  return true;
}

static void
test_a_listing_goes_on_behind_its_cookie (void **state)
{
  Fixture *fx = *state;
  g_autoptr (GString) names = g_string_new (NULL);
  Page page = { .names = names };
  uint64_t id;

  assert_ok (fx_mkdir (fx, "d"));
  for (const char *const *name = (const char *const[]){ "d/a", "d/b", "d/c", "d/d", "d/e", NULL };
       *name != NULL; name++)
    assert_ok (fx_file (fx, *name));
  id = fx_find (fx, "d");

  page.left = 2;
  assert_ok (lease_engine_list (fx->engine, &fx->by, id, 0, false, fill_page, &page));
  assert_string_equal (names->str, "a b");
  /* The place is kept though the entry it stands behind has gone, and a new one comes last. */
  assert_ok (fx_unlink (fx, "d/b"));
  assert_ok (fx_unlink (fx, "d/c"));
  assert_ok (fx_file (fx, "d/b"));
  page.left = 10;
  assert_ok (lease_engine_list (fx->engine, &fx->by, id, page.cookie, false, fill_page, &page));
  assert_string_equal (names->str, "a b d e b");
}

static void
test_a_listing_pins_what_it_shows (void **state)
{
  Fixture *fx = *state;
  g_autoptr (GString) names = g_string_new (NULL);
  Page page = { .names = names, .left = 1 };
  uint64_t a, b;

  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_file (fx, "d/a"));
  assert_ok (fx_file (fx, "d/b"));
  a = fx_find (fx, "d/a");
  b = fx_find (fx, "d/b");
  assert_ok (lease_engine_list (fx->engine, &fx->by, fx_find (fx, "d"), 0, true, fill_page, &page));
  assert_ok (fx_unlink (fx, "d/a"));
  assert_ok (fx_unlink (fx, "d/b"));
  assert_ok (fx_getattr (fx, a));
  assert_fails (ESTALE, fx_getattr (fx, b));
  fx_unpin (fx, a);
  assert_fails (ESTALE, fx_getattr (fx, a));
}

static bool
remember_attr (const char *name, const LeaseAttr *attr, uint64_t cookie, void *data)
{
  if (strcmp (name, "f") == 0)
    *(LeaseAttr *)data = *attr;
  return true;
}

static void
test_a_listing_brings_attributes (void **state)
{
  Fixture *fx = *state;
  LeaseAttr listed, attr;

  fx_put (fx, "f", "hello");
  assert_ok (lease_engine_list (fx->engine, &fx->by, LEASE_ROOT, 0, false, remember_attr, &listed));
  assert_ok (fx_stat (fx, "f", &attr));
  assert_int_equal (listed.id, attr.id);
  assert_int_equal (listed.size, 5);
  assert_int_equal (listed.mode, attr.mode);
}

static void
test_a_listing_is_stable_while_entries_come_and_go (void **state)
{
  Fixture *fx = *state;
  g_autoptr (GRand) rand = g_rand_new_with_seed (2);
  uint64_t id;

  fx_lease (fx, "A", 1000 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  id = fx_find (fx, "d");
  for (unsigned i = 0; i < 100; i++) {
    g_autofree char *stays = g_strdup_printf ("d/s%u", i), *goes = g_strdup_printf ("d/g%u", i);
    assert_ok (fx_file (fx, stays));
    fx_key (fx, goes, "A");
  }
  for (unsigned round = 0; round < 10; round++) {
    g_autoptr (GString) names = g_string_new (NULL);
    Page page = { .names = names };
    do {
      page.left = g_rand_int_range (rand, 1, 12);
      assert_ok (lease_engine_list (fx->engine, &fx->by, id, page.cookie, false, fill_page, &page));
      for (unsigned i = 0; i < 5; i++) {
        g_autofree char *path = g_strdup_printf ("d/g%d", g_rand_int_range (rand, 0, 150));
        if (fx_file (fx, path) == -EEXIST)
          assert_ok (fx_unlink (fx, path));
      }
      if (round == 5 && page.left == 0)
        fx_wait (fx, 100 * SECOND);
    } while (page.left == 0);

    g_auto (GStrv) listed = g_strsplit (names->str, " ", -1);
    unsigned seen[100] = { 0 };
    for (unsigned i = 0; listed[i] != NULL; i++)
      if (listed[i][0] == 's')
        seen[atoi (listed[i] + 1)]++;
    for (unsigned i = 0; i < 100; i++)
      assert_int_equal (seen[i], 1);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    fx_test (test_a_new_mount_holds_leases_alone),
    cmocka_unit_test (test_the_root_is_as_configured),
    fx_test (test_leases_cannot_be_removed_renamed_or_replaced),
    fx_test (test_only_directories_can_be_made_in_leases),
    fx_test (test_a_lease_name_does_not_begin_with_a_dot),
    fx_test (test_a_lease_cannot_be_renamed_linked_or_unlinked),
    fx_test (test_pseudo_files_keep_their_names),
    fx_test (test_names_of_pseudo_files_are_free_elsewhere),
    fx_test (test_a_new_node_belongs_to_who_made_it),
    fx_test (test_a_setgid_directory_hands_its_group_on),
    fx_test (test_a_directory_knows_its_parent),
    fx_test (test_files_of_all_types_can_be_made),
    fx_test (test_a_whiteout_stays_where_something_was),
    fx_test (test_dots_lead_to_a_node_and_its_parent),
    fx_test (test_names_have_255_bytes_at_most),
    fx_test (test_a_taken_name_cannot_be_made_again),
    fx_test (test_a_file_is_no_directory),
    fx_test (test_nothing_is_done_to_a_name_that_is_not_there),
    fx_test (test_a_node_that_is_gone_is_stale),
    fx_test (test_nothing_can_be_made_in_a_removed_directory),
    fx_test (test_an_unlinked_node_lives_until_it_is_unpinned),
    fx_test (test_pins_are_given_back_in_any_number),
    fx_test (test_a_file_may_have_several_names),
    fx_test (test_a_directory_is_removed_only_when_empty),
    fx_test (test_changes_of_names_show_in_the_times_of_the_directory),
    fx_test (test_rename_moves_a_name),
    fx_test (test_rename_replaces_what_is_of_its_kind),
    fx_test (test_rename_refuses_what_posix_refuses),
    fx_test (test_rename_to_itself_does_nothing),
    fx_test (test_exchange_swaps_two_names),
    fx_test (test_rename_onto_a_key_takes_over_its_lease),
    fx_test (test_a_lease_is_taken_over_by_all_names_of_a_file),
    fx_test (test_a_directory_takes_over_no_lease),
    fx_test (test_no_lease_is_taken_over_from_what_has_ended),
    fx_test (test_exchange_takes_over_no_lease),
    fx_test (test_a_key_keeps_its_lease_when_it_is_renamed),
    fx_test (test_what_is_created_in_a_lease_is_attached),
    fx_test (test_what_is_moved_into_a_lease_is_attached),
    fx_test (test_what_is_linked_into_a_lease_is_attached),
    fx_test (test_what_is_moved_or_linked_out_of_a_lease_stays_attached),
    fx_test (test_what_is_moved_into_another_attached_directory_is_not_attached),
    fx_test (test_nothing_comes_into_a_lease_that_is_only_reserved),
    fx_test (test_a_directory_with_others_files_does_not_come_into_a_lease),
    fx_test (test_only_the_owner_brings_a_file_into_a_lease),
    fx_test (test_a_listing_goes_on_behind_its_cookie),
    fx_test (test_a_listing_pins_what_it_shows),
    fx_test (test_a_listing_brings_attributes),
    fx_test (test_a_listing_is_stable_while_entries_come_and_go),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
