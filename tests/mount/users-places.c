/* SPDX-License-Identifier: MIT */

/* Cases about places: what several users make in, move into and link into the directories of
 * leases and attached directories, and what they replace. */

#include "tests/mount/users.h"

static int
exchange (const char *one, const char *other)
{
  return renameat2 (AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
}

static void
test_others_put_nothing_into_a_lease (void **state)
{
  users_begin_with_lease ();
  calls_put ("leases/a/alices", "value");
  for (int i = 0; i < 3; i++) {
    if (i < MEMBER_LAST)
      users_become_member (BOB, i);
    else
      users_become (BOB);
    assert_fails (EACCES, open ("leases/a/new", O_WRONLY | O_CREAT, 0644));
    assert_fails (EACCES, mkdir ("leases/a/new", 0755));
    assert_fails (EACCES, symlink ("bobs", "leases/a/new"));
    assert_fails (EACCES, rename ("bobs", "leases/a/bobs"));
    assert_fails (EACCES, rename ("bobs", "leases/a/alices"));
    assert_fails (EACCES, exchange ("bobs", "leases/a/alices"));
    assert_fails (EACCES, link ("bobs", "leases/a/bobs"));
    assert_fails (EACCES, unlink ("leases/a/alices"));
    assert_fails (EACCES, rename ("leases/a/alices", "stolen"));
  }
  users_become (ROOT);
  calls_put ("leases/a/roots", "value");
  assert_text ("leases/a/keys", "alices\nleases/a/alices\nleases/a/roots\n");
}

static void
test_what_others_put_into_an_open_lease_goes_with_it (void **state)
{
  users_begin_with_lease ();
  assert_ok (chmod ("leases/a", 0775));
  users_become (BOB);
  assert_fails (EACCES, open ("leases/a/made", O_WRONLY | O_CREAT, 0644));
  users_become_member (BOB, MEMBER_SUPPLEMENTARY);
  calls_put ("leases/a/member", "value");
  users_become (ALICE);
  assert_ok (chmod ("leases/a", 0777));
  users_become (BOB);
  calls_put ("leases/a/made", "value");
  calls_put ("linked", "value");
  assert_fails (EACCES, rename ("bobs", "leases/a/moved"));
  assert_fails (EACCES, link ("linked", "leases/a/linked"));
  users_become (ALICE);
  assert_ok (chmod ("leases/a/keys", 0664));
  users_become_member (BOB, MEMBER_SUPPLEMENTARY);
  assert_ok (rename ("bobs", "leases/a/moved"));
  assert_ok (link ("linked", "leases/a/linked"));
  assert_int_equal (calls_stat ("leases/a/made").st_uid, BOB);
  assert_int_equal (calls_stat ("leases/a/moved").st_uid, BOB);
  assert_text ("leases/a/keys", "alices\nleases/a/linked\nleases/a/made\nleases/a/member\n"
                                "leases/a/moved\nlinked\n");
  assert_ok (rename ("leases/a/made", "made"));
  users_become (ALICE);
  assert_ok (rmdir ("leases/a"));
  assert_false (calls_exists ("made"));
  assert_false (calls_exists ("linked"));
}

static void
test_files_of_others_are_not_brought_into_a_lease (void **state)
{
  users_make_shared (0777);
  users_begin_with_lease ();
  calls_put ("leases/a/mine", "value");
  users_become (BOB);
  calls_put ("shared/bobs", "value");
  assert_ok (chmod ("shared/bobs", 0666));
  assert_ok (symlink ("bobs", "shared/symlink"));
  users_become (ALICE);
  assert_fails (EPERM, rename ("shared/bobs", "leases/a/bobs"));
  assert_fails (EPERM, rename ("shared/bobs", "leases/a/mine"));
  assert_fails (EPERM, rename ("shared/symlink", "leases/a/symlink"));
  assert_fails (EPERM, link ("shared/bobs", "leases/a/bobs"));
  assert_fails (EPERM, exchange ("shared/bobs", "leases/a/mine"));
  assert_fails (EPERM, exchange ("leases/a/mine", "shared/bobs"));
  assert_text ("leases/a/keys", "alices\nleases/a/mine\n");
  assert_ok (rmdir ("leases/a"));
  assert_text ("shared/bobs", "value");
}

/* Not even to the lease of the file's owner. */
static void
test_files_are_not_brought_into_the_lease_of_their_owner (void **state)
{
  users_make_shared (0777);
  users_begin_with_lease ();
  assert_ok (chmod ("leases/a", 0777));
  calls_put ("shared/free", "value");
  users_become (BOB);
  assert_fails (EPERM, rename ("shared/free", "leases/a/free"));
  users_become (ALICE);
  assert_ok (chmod ("shared/free", 0666));
  users_become (BOB);
  assert_fails (EPERM, link ("shared/free", "leases/a/free"));
  assert_text ("leases/a/keys", "alices\n");
}

static void
test_directories_with_files_of_others_are_not_brought_into_a_lease (void **state)
{
  users_begin_with_lease ();
  assert_ok (mkdir ("d", 0755));
  assert_ok (mkdir ("d/d", 0755));
  assert_ok (chmod ("d/d", 0777));
  assert_ok (mkdir ("leases/a/empty", 0755));
  users_become (BOB);
  calls_put ("d/d/bobs", "value");
  users_become (ALICE);
  assert_fails (EPERM, rename ("d", "leases/a/d"));
  assert_fails (EPERM, rename ("d/d", "leases/a/empty"));
  assert_fails (EPERM, exchange ("d", "leases/a/empty"));
  assert_text ("d/d/bobs", "value");
  users_become (BOB);
  assert_ok (unlink ("d/d/bobs"));
  users_become (ALICE);
  assert_ok (rename ("d", "leases/a/d"));
}

static void
test_root_brings_files_of_others_into_a_lease (void **state)
{
  users_begin_with_lease ();
  users_become (ROOT);
  assert_ok (rename ("bobs", "leases/a/bobs"));
  calls_put ("roots", "value");
  assert_ok (link ("roots", "leases/a/roots"));
  assert_text ("leases/a/keys", "alices\nleases/a/bobs\nleases/a/roots\nroots\n");
}

static void
test_what_others_make_in_an_attached_directory_goes_with_it (void **state)
{
  users_begin_with_lease ();
  assert_ok (mkdir ("open", 0755));
  assert_ok (chmod ("open", 0777));
  calls_write ("leases/a/keys", "open\n");
  users_become (BOB);
  calls_put ("open/bobs", "value");
  assert_int_equal (calls_stat ("open/bobs").st_uid, BOB);
  assert_text ("leases/a/keys", "alices\nopen\nopen/bobs\n");
  assert_fails (EACCES, open ("leases/a/keys", O_WRONLY));
  users_become (ALICE);
  users_write_fails (EPERM, "leases/a/keys", "-open/bobs\n");
  assert_ok (chmod ("leases/a/keys", 0646));
  users_become (BOB);
  calls_write ("leases/a/keys", "-open/bobs\n");
  users_write_fails (EPERM, "leases/a/keys", "-open\n");
  calls_put ("open/second", "value");
  users_become (ALICE);
  assert_ok (rmdir ("leases/a"));
  assert_text ("open/bobs", "value");
  assert_false (calls_exists ("open/second"));
}

/* With a lease of one's own: it moves there, and can be detached. */
static void
test_a_maker_frees_his_file_from_a_directory_of_others (void **state)
{
  users_begin_with_lease ();
  assert_ok (mkdir ("open", 0755));
  assert_ok (chmod ("open", 0777));
  calls_write ("leases/a/keys", "open\n");
  users_become (BOB);
  calls_put ("open/bobs", "value");
  assert_ok (rename ("open/bobs", "kept"));
  assert_ok (mkdir ("leases/b", 0755));
  calls_write ("leases/b/ttl", "1000\n");
  calls_write ("leases/b/keys", "kept\n-kept\n");
  assert_text ("leases/b/keys", "");
  users_become (ALICE);
  assert_ok (rmdir ("leases/a"));
  assert_text ("kept", "value");
}

static void
test_only_its_owner_attaches_a_directory (void **state)
{
  users_make_shared (0777);
  users_begin_with_lease ();
  users_write_fails (EPERM, "leases/a/keys", "shared\n");
  users_write_fails (EPERM, "leases/a/keys", "shared/.\n");
  users_write_fails (EINVAL, "leases/a/keys", "shared/..\n");
  users_become (BOB);
  assert_ok (mkdir ("bobs directory", 0755));
  assert_ok (chmod ("bobs directory", 0777));
  users_become (ALICE);
  users_write_fails (EPERM, "leases/a/keys", "bobs directory\n");
  assert_text ("leases/a/keys", "alices\n");
}

static void
test_an_attached_file_keeps_its_lease_with_links_of_others (void **state)
{
  users_begin_with_lease ();
  assert_ok (chmod ("alices", 0666));
  users_become (BOB);
  assert_ok (mkdir ("mine", 0700));
  assert_ok (link ("alices", "mine/link"));
  assert_ok (mkdir ("leases/b", 0755));
  calls_write ("leases/b/ttl", "1000\n");
  users_write_fails (EPERM, "leases/b/keys", "mine/link\n");
  assert_fails (EPERM, link ("alices", "leases/b/link"));
  assert_fails (EPERM, rename ("mine/link", "leases/b/link"));
  users_become (ALICE);
  assert_ok (rmdir ("leases/a"));
  users_become (BOB);
  assert_false (calls_exists ("mine/link"));
  assert_ok (rmdir ("mine"));
}

static void
test_a_file_of_others_takes_over_a_lease_if_it_could_be_attached (void **state)
{
  users_make_shared (0777);
  users_begin_with_lease ();
  assert_ok (chmod ("leases/a/keys", 0664));
  calls_put ("shared/key", "alice's");
  calls_write ("leases/a/keys", "shared/key\n");
  users_become_member (BOB, MEMBER_SUPPLEMENTARY);
  calls_put ("shared/new", "bob's");
  assert_ok (rename ("shared/new", "shared/key"));
  users_become (BOB);
  assert_text ("leases/a/keys", "alices\nshared/key\n");
  int64_t before = users_last_refresh ();
  users_touch ("shared/key");
  assert_true (users_last_refresh () == before);
  users_become (ALICE);
  users_write_fails (EPERM, "leases/a/keys", "-shared/key\n");
  assert_ok (rmdir ("leases/a"));
  assert_false (calls_exists ("shared/key"));
}

/* By a name in a directory that both may write to, alice could else put an end to a file of bob's
 * that has another name elsewhere. */
static void
test_replacing_a_key_attaches_nothing_of_others (void **state)
{
  users_make_shared (0777);
  users_begin_with_lease ();
  users_become (BOB);
  assert_ok (link ("bobs", "shared/bobs"));
  users_become (ALICE);
  assert_ok (link ("alices", "shared/alices"));
  assert_ok (exchange ("shared/bobs", "shared/alices"));
  assert_text ("leases/a/keys", "alices\nshared/bobs\n");
  assert_ok (exchange ("shared/bobs", "shared/alices"));
  users_become (CAROL);
  assert_ok (rename ("shared/bobs", "shared/alices"));
  assert_text ("leases/a/keys", "alices\n");
  users_become (ALICE);
  assert_ok (rmdir ("leases/a"));
  assert_text ("bobs", "value");
  assert_text ("shared/alices", "value");
}

/* Who replaces a file does not know that it was attached. */
static void
test_ones_own_file_takes_over_no_lease_of_others (void **state)
{
  users_make_shared (01777);
  users_begin_with_lease ();
  users_become (ROOT);
  assert_ok (chown ("shared", BOB, -1));
  users_become (ALICE);
  calls_put ("shared/key", "alice's");
  calls_write ("leases/a/keys", "shared/key\n");
  users_become (BOB);
  assert_ok (link ("bobs", "shared/new"));
  assert_ok (rename ("shared/new", "shared/key"));
  users_become (ALICE);
  assert_ok (rmdir ("leases/a"));
  assert_text ("shared/key", "value");
  assert_text ("bobs", "value");
}

static void
test_root_replaces_a_key_by_a_file_of_others (void **state)
{
  users_make_shared (0777);
  users_begin_with_lease ();
  users_become (ROOT);
  assert_ok (rename ("bobs", "alices"));
  assert_text ("leases/a/keys", "");
  users_become (ALICE);
  calls_put ("shared/key", "value");
  calls_write ("leases/a/keys", "shared/key\n");
  users_become (ROOT);
  calls_put ("new", "value");
  assert_ok (chown ("new", ALICE, ALICE)); /* as editors do */
  assert_ok (rename ("new", "shared/key"));
  assert_text ("leases/a/keys", "shared/key\n");
  users_become (ALICE);
  assert_ok (rmdir ("leases/a"));
  assert_int_equal (calls_stat ("alices").st_uid, BOB);
  assert_false (calls_exists ("shared/key"));
}

static void
test_the_root_protects_the_keys_in_it (void **state)
{
  users_begin_with_lease ();
  assert_ok (chmod ("alices", 0666));
  for (Member how = MEMBER_FIRST; how < MEMBER_LAST; how++) {
    users_become_member (BOB, how);
    assert_fails (EPERM, unlink ("alices"));
    assert_fails (EPERM, rename ("alices", "stolen"));
    assert_fails (EPERM, rename ("bobs", "alices"));
    assert_fails (EPERM, exchange ("bobs", "alices"));
    assert_fails (EPERM, exchange ("alices", "bobs"));
    assert_fails (EPERM, renameat2 (AT_FDCWD, "alices", AT_FDCWD, "x", RENAME_WHITEOUT));
  }
  users_become (ALICE);
  assert_fails (EPERM, rename ("alices", "bobs"));
  assert_text ("leases/a/keys", "alices\n");
  assert_text ("bobs", "value");
}

/* Bob's attached directory stays when somebody else's file is in it that he did not attach. */
static void
test_an_attached_directory_spares_what_was_moved_into_it (void **state)
{
  users_begin_with_lease ();
  calls_put ("free", "value");
  users_become (BOB);
  assert_ok (mkdir ("d", 0755));
  assert_ok (chmod ("d", 0777));
  assert_ok (mkdir ("leases/b", 0755));
  calls_write ("leases/b/ttl", "1000\n");
  calls_write ("leases/b/keys", "d\n");
  users_become (ALICE);
  assert_ok (rename ("free", "d/free"));
  assert_ok (rename ("alices", "d/alices"));
  users_become (BOB);
  assert_text ("leases/b/keys", "d\n");
  assert_ok (rmdir ("leases/b"));
  assert_text ("d/free", "value");
  assert_text ("leases/a/keys", "d/alices\n");
}

int
users_run_places (void)
{
  const struct CMUnitTest cases[] = {
    CASE_IN_ROOT (test_others_put_nothing_into_a_lease),
    CASE_IN_ROOT (test_what_others_put_into_an_open_lease_goes_with_it),
    CASE_IN_ROOT (test_files_of_others_are_not_brought_into_a_lease),
    CASE_IN_ROOT (test_files_are_not_brought_into_the_lease_of_their_owner),
    CASE_IN_ROOT (test_directories_with_files_of_others_are_not_brought_into_a_lease),
    CASE_IN_ROOT (test_root_brings_files_of_others_into_a_lease),
    CASE_IN_ROOT (test_what_others_make_in_an_attached_directory_goes_with_it),
    CASE_IN_ROOT (test_a_maker_frees_his_file_from_a_directory_of_others),
    CASE_IN_ROOT (test_only_its_owner_attaches_a_directory),
    CASE_IN_ROOT (test_an_attached_file_keeps_its_lease_with_links_of_others),
    CASE_IN_ROOT (test_a_file_of_others_takes_over_a_lease_if_it_could_be_attached),
    CASE_IN_ROOT (test_replacing_a_key_attaches_nothing_of_others),
    CASE_IN_ROOT (test_ones_own_file_takes_over_no_lease_of_others),
    CASE_IN_ROOT (test_root_replaces_a_key_by_a_file_of_others),
    CASE_IN_ROOT (test_the_root_protects_the_keys_in_it),
    CASE_IN_ROOT (test_an_attached_directory_spares_what_was_moved_into_it),
  };

  return cmocka_run_group_tests_name ("users of places", cases, NULL, NULL);
}
