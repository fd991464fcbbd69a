/* SPDX-License-Identifier: MIT */

/* The engine and its journal: what is written when, what a failure leaves behind, and what comes
 * back. */

#include "tests/unit/dump.h"
#include "tests/unit/fixture.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define assert_same(a, b)                                                                          \
  do {                                                                                             \
    g_autofree char *one_ = (a), *other_ = (b);                                                    \
    assert_string_equal (one_, other_);                                                            \
  } while (0)

/* Something of everything. */
static void
furnish (Fixture *fx)
{
  fx_lease (fx, "L", 100 * SECOND);
  fx_lease (fx, "M", 100 * SECOND);
  fx_key (fx, "key", "L");
  fx_put (fx, "other", "value");
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_mkdir (fx, "d/sub"));
  assert_ok (fx_mkdir (fx, "empty"));
  assert_ok (fx_symlink (fx, "symlink", "target"));
  assert_ok (fx_file (fx, "leases/L/within"));
  fx_put (fx, "big", "");
  g_autofree char *text = g_strnfill (20000, 'x');
  assert_ok (fx_write_at (fx, "big", 0, text, 20000));
}

static int
rename_with (Fixture *fx, unsigned flags)
{
  return fx_rename (fx, "key", flags & RENAME_EXCHANGE ? "other" : "d/new", flags);
}

static int
do_create (Fixture *fx)
{
  return fx_file (fx, "new");
}

static int
do_create_attached (Fixture *fx)
{
  return fx_file (fx, "leases/L/new");
}

static int
do_mkdir (Fixture *fx)
{
  return fx_mkdir (fx, "new");
}

static int
do_reserve (Fixture *fx)
{
  return fx_mkdir (fx, "leases/N");
}

static int
do_symlink (Fixture *fx)
{
  return fx_symlink (fx, "new", "elsewhere");
}

static int
do_link (Fixture *fx)
{
  return fx_link (fx, "other", "leases/M/new");
}

static int
do_unlink (Fixture *fx)
{
  return fx_unlink (fx, "key");
}

static int
do_rmdir (Fixture *fx)
{
  return fx_rmdir (fx, "empty");
}

static int
do_rename (Fixture *fx)
{
  return rename_with (fx, 0);
}

static int
do_replace (Fixture *fx)
{
  return fx_rename (fx, "other", "key", 0);
}

static int
do_exchange (Fixture *fx)
{
  return rename_with (fx, RENAME_EXCHANGE);
}

static int
do_whiteout (Fixture *fx)
{
  return rename_with (fx, RENAME_WHITEOUT);
}

static int
do_write (Fixture *fx)
{
  return fx_write_at (fx, "big", 5000, "hello", 5);
}

static int
do_truncate (Fixture *fx)
{
  return fx_set_attr (fx, "big", (LeaseSet){ .mask = LEASE_SET_SIZE, .size = 5000 });
}

static int
do_punch (Fixture *fx)
{
  return lease_engine_allocate (fx->engine, &fx->by, fx_find (fx, "big"),
                                FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 10000);
}

static int
do_copy (Fixture *fx)
{
  LeasePlace from = { fx_find (fx, "big"), 0 }, to = { fx_find (fx, "other"), 3 };
  size_t copied;

  return lease_engine_copy (fx->engine, &fx->by, from, to, 20000, &copied);
}

static int
do_chmod (Fixture *fx)
{
  return fx_set_attr (fx, "other", (LeaseSet){ .mask = LEASE_SET_MODE, .mode = 0600 });
}

static int
do_grant (Fixture *fx)
{
  return fx_grant (fx, "L", 50 * SECOND);
}

static int
do_chmod_file (Fixture *fx)
{
  return lease_engine_chmod_file (fx->engine, &fx->by, fx_find (fx, "leases/L"), LEASE_FILE_KEYS,
                                  0660);
}

static int
do_edit (Fixture *fx)
{
  return fx_edit (fx, "M", "key\nother\nd\nbig\n");
}

static int
do_detach (Fixture *fx)
{
  return fx_edit (fx, "L", "-key\n");
}

static int
do_revoke (Fixture *fx)
{
  return fx_rmdir (fx, "leases/L");
}

static int (*const operations[]) (Fixture *fx) = {
  do_create, do_create_attached, do_mkdir,  do_reserve, do_symlink,  do_link,
  do_unlink, do_rmdir,           do_rename, do_replace, do_exchange, do_whiteout,
  do_write,  do_truncate,        do_punch,  do_copy,    do_chmod,    do_grant,
  do_edit,   do_chmod_file,      do_detach, do_revoke,
};

static void
test_an_operation_that_the_journal_refuses_has_changed_nothing (void **state)
{
  for (unsigned i = 0; i < G_N_ELEMENTS (operations); i++) {
    g_autoptr (Fixture) fx = fx_new (NULL);
    LeaseUsage usage, usage_before;
    furnish (fx);
    g_autofree char *before = dump_engine (fx->engine, &fx->by, true);
    lease_engine_usage (fx->engine, &usage_before);

    fx->by.wall_ns++;
    fake_fail (fx->fake, 1, i % 2 == 0 ? ENOSPC : EIO);
    assert_int_equal (operations[i](fx), i % 2 == 0 ? -ENOSPC : -EIO);
    fake_fail (fx->fake, 0, 0);
    assert_same (dump_engine (fx->engine, &fx->by, true), g_strdup (before));
    lease_engine_usage (fx->engine, &usage);
    assert_int_equal (usage.bytes_used, usage_before.bytes_used);
    assert_int_equal (usage.nodes_used, usage_before.nodes_used);
    fx_check_journal (fx);

    assert_ok (operations[i](fx));
    fx_check_journal (fx);
  }
}

static void
test_every_operation_is_one_commit (void **state)
{
  for (unsigned i = 0; i < G_N_ELEMENTS (operations); i++) {
    g_autoptr (Fixture) fx = fx_new (NULL);
    furnish (fx);
    unsigned before = fake_commits (fx->fake);
    assert_ok (operations[i](fx));
    assert_int_equal (fake_commits (fx->fake), before + 1);
  }
}

static void
test_reading_and_keeping_alive_write_nothing (void **state)
{
  Fixture *fx = *state;
  LeaseInfo info;
  LeaseAttr attr;

  furnish (fx);
  unsigned before = fake_commits (fx->fake);
  fake_fail (fx->fake, 1, EIO);
  fx_wait (fx, SECOND);
  assert_ok (fx_stat (fx, "key", &attr));
  fx_get (fx, "other");
  fx_list (fx, "");
  fx_keys (fx, "L");
  assert_ok (fx_info (fx, "L", &info));
  assert_ok (fx_refresh (fx, "L"));
  assert_ok (fx_touch (fx, "leases/L"));
  assert_ok (fx_touch (fx, "key"));
  assert_ok (fx_grant (fx, "M", 100 * SECOND));
  assert_int_equal (fx_left (fx, "L"), 100 * SECOND);
  assert_int_equal (fx_left (fx, "M"), 100 * SECOND);
  assert_int_equal (fx_mtime (fx, "key"), fx->by.wall_ns);
  assert_ok (lease_engine_flush (fx->engine, &fx->by, true));
  fake_fail (fx->fake, 0, 0);
  assert_int_equal (fake_commits (fx->fake), before);
  /* What a stop writes all the same. */
  int64_t touched = fx->by.wall_ns;
  fx_wait (fx, SECOND);
  fx_restart (fx, true);
  assert_int_equal (fx_mtime (fx, "key"), touched);
  assert_int_equal (fx_mtime (fx, "leases/L"), touched);
}

static void
test_after_a_clean_stop_leases_have_what_they_had_left (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", 100 * SECOND);
  fx_key (fx, "key", "L");
  fx_wait (fx, 40 * SECOND + 5);
  assert_ok (lease_engine_stop (fx->engine, &fx->by));
  fx_wait (fx, 1000 * SECOND); /* nobody could refresh it */
  fx_restart (fx, false);
  assert_int_equal (fx_left (fx, "L"), 60 * SECOND - 5);
  assert_string_equal (fx_keys (fx, "L"), "key");
  fx_wait (fx, 60 * SECOND - 6);
  assert_int_not_equal (fx_find (fx, "key"), 0);
  fx_wait (fx, 1);
  assert_int_equal (fx_find (fx, "key"), 0);
}

static void
test_a_stop_that_fails_can_be_tried_again (void **state)
{
  for (unsigned nth = 1; nth <= 2; nth++) {
    g_autoptr (Fixture) fx = fx_new (NULL);

    fx_lease (fx, "ended", SECOND);
    fx_key (fx, "key", "ended");
    fx_lease (fx, "L", 100 * SECOND);
    fx_wait (fx, 40 * SECOND);
    fake_fail (fx->fake, nth, ENOSPC);
    assert_fails (ENOSPC, lease_engine_stop (fx->engine, &fx->by));
    assert_fails (ENOSPC, lease_engine_stop (fx->engine, &fx->by));
    fake_fail (fx->fake, 0, 0);
    fx_restart (fx, true);
    assert_string_equal (fx_list (fx, ""), "leases");
    assert_string_equal (fx_list (fx, "leases"), "L");
    assert_int_equal (fx_left (fx, "L"), 60 * SECOND);
  }
}

static void
test_after_a_crash_leases_have_their_whole_ttl (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", 100 * SECOND);
  fx_key (fx, "key", "L");
  fx_wait (fx, 10 * SECOND);
  fx_restart (fx, true);
  fx_wait (fx, 50 * SECOND);
  fx_restart (fx, false); /* what was left at the stop before does not count any more */
  assert_int_equal (fx_left (fx, "L"), 100 * SECOND);
  assert_ok (fx_grant (fx, "L", 7 * SECOND));
  fx_wait (fx, 6 * SECOND);
  fx_restart (fx, false);
  assert_int_equal (fx_left (fx, "L"), 7 * SECOND);
  assert_string_equal (fx_keys (fx, "L"), "key");
}

static void
test_what_was_found_is_counted (void **state)
{
  Fixture *fx = *state;
  LeaseFound found = lease_engine_found (fx->engine);

  assert_int_equal (found.nodes + found.names + found.leases, 0);
  fx_lease (fx, "L", 100 * SECOND);
  fx_key (fx, "key", "L");
  fx_lease (fx, "over", SECOND);
  assert_ok (fx_mkdir (fx, "leases/reserved"));
  fx_wait (fx, 2 * SECOND);
  for (unsigned clean = 0; clean < 2; clean++) {
    fx_restart (fx, clean);
    found = lease_engine_found (fx->engine);
    assert_int_equal (found.files, 1);
    assert_int_equal (found.attached, 1);
    assert_int_equal (found.names, found.nodes - 1);
    /* After the crash nobody knows that the other one is over, but the next time it is known. */
    assert_int_equal (found.leases, clean ? 1 : 2);
    assert_int_equal (found.resumed, clean ? 1 : 0);
    fx_wait (fx, 2 * SECOND);
  }
}

static void
test_clocks_stand_still_until_resumed (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", 10 * SECOND);
  assert_ok (lease_engine_stop (fx->engine, &fx->by));
  lease_engine_free (fx->engine);
  fx->engine = lease_engine_new (&fx->config, fake_journal (fx->fake), &fx->by, NULL, NULL, NULL);
  assert_non_null (fx->engine);
  fx_wait (fx, 3600 * SECOND); /* such a long time to mount */
  assert_ok (lease_engine_resume (fx->engine, &fx->by));
  fx_wait (fx, 10 * SECOND); /* and then to write that they run */
  lease_engine_start (fx->engine, &fx->by);
  assert_int_equal (fx_left (fx, "L"), 10 * SECOND);
  assert_int_equal (fake_syncs (fx->fake), 2);
}

static void
test_reservations_do_not_survive (void **state)
{
  for (unsigned clean = 0; clean < 2; clean++) {
    g_autoptr (Fixture) fx = fx_new (NULL);
    assert_ok (fx_mkdir (fx, "leases/R"));
    fx_restart (fx, clean);
    assert_int_equal (fx_find (fx, "leases/R"), 0);
    assert_string_equal (fx_list (fx, "leases"), "");
    assert_ok (fx_mkdir (fx, "leases/R"));
    assert_ok (fx_grant (fx, "R", SECOND));
    fx_reap (fx);
    fx_restart (fx, clean);
    assert_int_equal (fx_left (fx, "R"), SECOND);
  }
}

static void
test_what_has_ended_does_not_come_back (void **state)
{
  for (unsigned clean = 0; clean < 2; clean++) {
    g_autoptr (Fixture) fx = fx_new (NULL);
    fx_lease (fx, "L", SECOND);
    fx_lease (fx, "M", SECOND);
    fx_lease (fx, "R", 100 * SECOND);
    fx_key (fx, "l", "L");
    fx_key (fx, "m", "M");
    fx_key (fx, "r", "R");
    fx_wait (fx, SECOND);
    assert_int_equal (fx_find (fx, "l"), 0); /* somebody has seen it */
    assert_string_equal (fx_list (fx, "leases"), "R");
    assert_ok (fx_rmdir (fx, "leases/R"));
    fx_restart (fx, clean); /* before anything has been cleaned up */
    assert_string_equal (fx_list (fx, ""), "leases");
    assert_string_equal (fx_list (fx, "leases"), "");
    assert_true (fx_reap (fx) > 0);
    assert_ok (lease_engine_flush (fx->engine, &fx->by, false));
    fx_restart (fx, clean);
    assert_int_equal (fx_reap (fx), 0);
    assert_ok (fx_file (fx, "l"));
  }
}

static void
test_an_end_that_nobody_saw_is_written_when_it_is_settled (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", SECOND);
  fx_key (fx, "key", "L");
  fx_wait (fx, SECOND);
  lease_engine_expire (fx->engine, &fx->by, 100);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_UNWRITTEN, 0), 1);
  assert_ok (lease_engine_flush (fx->engine, &fx->by, false));
  fx_restart (fx, false);
  assert_int_equal (fx_find (fx, "key"), 0);
}

static void
test_a_change_carries_the_ends_before_it (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", SECOND);
  fx_key (fx, "lock", "L");
  fx_wait (fx, SECOND);
  fx_forget_events (fx);
  assert_ok (fx_file (fx, "lock")); /* the next who wants it */
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_REVEALS, 0), 0);
  fx_restart (fx, false);
  assert_int_not_equal (fx_find (fx, "lock"), 0);
  assert_string_equal (fx_list (fx, "leases"), "");
}

#define MANY 1000

/* MANY leases, "0" and so on, have ended, and nobody has seen that. */
static void
end_many_unseen (Fixture *fx)
{
  char name[16];

  for (unsigned i = 0; i < MANY; i++) {
    g_snprintf (name, sizeof name, "%u", i);
    fx_lease (fx, name, SECOND);
  }
  fx_wait (fx, SECOND);
  fx->lazy = true;
  while (lease_engine_expire (fx->engine, &fx->by, 100))
    continue;
  fx_forget_events (fx);
}

static uint64_t
count_names (Fixture *fx, const char *path)
{
  g_auto (GStrv) names = g_strsplit (fx_list (fx, path), " ", -1);

  return names[0] == NULL || names[0][0] == '\0' ? 0 : g_strv_length (names);
}

static void
test_a_change_does_not_carry_what_nobody_saw (void **state)
{
  Fixture *fx = *state;

  end_many_unseen (fx);
  unsigned before = fake_rows (fx->fake);
  assert_ok (fx_file (fx, "new"));
  assert_true (fake_rows (fx->fake) - before < 10);
  assert_ok (fx_mkdir (fx, "leases/10")); /* of which it takes the name: that, it needs */
  assert_true (fake_rows (fx->fake) - before < 25);
  fx_restart (fx, false);
  assert_int_equal (count_names (fx, "leases"), MANY - 1);
  assert_int_equal (fx_find (fx, "leases/10"), 0); /* a reservation, which does not survive */
}

static void
test_of_many_ends_the_one_that_is_seen_is_written_first (void **state)
{
  Fixture *fx = *state;

  end_many_unseen (fx);
  assert_int_equal (fx_find (fx, "leases/900"), 0);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_REVEALS, 0), 1);
  fx_restart (fx, false);
  assert_int_equal (fx_find (fx, "leases/900"), 0);
  assert_true (count_names (fx, "leases") > MANY / 2);
}

static void
test_many_ends_are_written_in_many_flushes (void **state)
{
  Fixture *fx = *state;
  unsigned flushes = 0, last = 0;

  end_many_unseen (fx);
  for (int result = 1; result != 0; flushes++) {
    unsigned before = fake_rows (fx->fake);
    fake_fail (fx->fake, flushes % 2 == 0 ? 1 : 0, ENOSPC);
    result = lease_engine_flush (fx->engine, &fx->by, false);
    if (flushes % 2 == 0)
      assert_int_equal (result, -ENOSPC);
    last = fake_rows (fx->fake) - before;
    assert_true (last < MANY / 4);
  }
  assert_true (flushes > 8);
  fx_restart (fx, false);
  assert_string_equal (fx_list (fx, "leases"), "");
}

static void
test_a_sync_does_not_wait_for_ends_that_nobody_saw (void **state)
{
  Fixture *fx = *state;

  end_many_unseen (fx);
  unsigned before = fake_rows (fx->fake), syncs = fake_syncs (fx->fake);
  assert_ok (lease_engine_sync (fx->engine, &fx->by));
  assert_true (fake_rows (fx->fake) - before < MANY / 4);
  assert_int_equal (fake_syncs (fx->fake), syncs + 1);
}

/* Whatever the order in which they ended. */
static void
test_many_ends_are_cleaned_up_in_the_order_of_their_ids (void **state)
{
  Fixture *fx = *state;
  LeaseCaller reaper = fx->by;
  uint64_t last = 0;
  char name[16];

  for (unsigned i = 0; i < MANY; i++) {
    g_snprintf (name, sizeof name, "%u", i);
    fx_lease (fx, name, 100 * SECOND + i * 7919 % MANY);
  }
  fx_wait (fx, 101 * SECOND);
  fx->lazy = true;
  while (lease_engine_expire (fx->engine, &fx->by, 100))
    continue;
  while (lease_engine_flush (fx->engine, &fx->by, false) > 0)
    continue;
  reaper.reaper = true;
  for (unsigned i = 0; i < MANY; i++) {
    g_auto (LeaseGrave) grave = { 0 };
    assert_ok (lease_engine_next_grave (fx->engine, &reaper, 100, &grave));
    assert_true (grave.node > last);
    last = grave.node;
    assert_true (lease_engine_bury (fx->engine, &reaper, &grave));
  }
}

static void
test_a_listing_that_misses_many_waits_for_all (void **state)
{
  Fixture *fx = *state;

  end_many_unseen (fx);
  assert_string_equal (fx_list (fx, "leases"), "");
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_REVEALS_MANY, 0), 1);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_REVEALS, 0), 0);
  fx_restart (fx, false);
  assert_string_equal (fx_list (fx, "leases"), "");
  fx_forget_events (fx);
  assert_string_equal (fx_list (fx, "leases"), "");
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_REVEALS_MANY, 0), 0);
}

static void
test_a_clean_stop_writes_all_ends (void **state)
{
  Fixture *fx = *state;

  end_many_unseen (fx);
  fx_restart (fx, true);
  assert_string_equal (fx_list (fx, "leases"), "");
}

/* What nobody has attached itself, but what lies in a lease's directory. */
static void
test_a_directory_in_a_lease_reveals_its_end (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", 2 * SECOND);
  fx_wait (fx, SECOND); /* it ends with the others, and comes last */
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_mkdir (fx, "d/e"));
  assert_ok (fx_rename (fx, "d", "leases/L/d", 0));
  assert_ok (fx_edit (fx, "L", "-/leases/L/d\n/leases/L/d/e\n")); /* and settling that ends both */
  uint64_t d = fx_pin (fx, "leases/L/d");
  end_many_unseen (fx);
  for (unsigned i = 1; i <= 2; i++) {
    assert_fails (ESTALE, fx_getattr (fx, d));
    assert_int_equal (fx_count_events (fx, LEASE_EVENT_REVEALS, 0), 1);
  }
  fx_unpin (fx, d);
  fx_restart (fx, false);
  assert_int_equal (fx_find (fx, "leases/L"), 0);
  assert_true (count_names (fx, "leases") > 0);
}

static void
test_an_end_stands_though_the_journal_fails (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", SECOND);
  fx_key (fx, "key", "L");
  fx_wait (fx, SECOND);
  fake_fail (fx->fake, 1, ENOSPC);
  assert_int_equal (fx_find (fx, "key"), 0);
  assert_int_equal (fx_reap (fx), 0); /* what is cleaned up must not come back */
  assert_fails (ENOSPC, lease_engine_flush (fx->engine, &fx->by, false));
  assert_fails (ENOSPC, lease_engine_flush (fx->engine, &fx->by, false));
  fake_fail (fx->fake, 0, 0);
  assert_ok (lease_engine_flush (fx->engine, &fx->by, false));
  assert_true (fx_reap (fx) > 0);
  fx_restart (fx, false);
  assert_string_equal (fx_list (fx, ""), "leases");
  assert_int_equal (fx_reap (fx), 0);
}

static void
test_a_lease_outlives_what_was_attached_to_it_and_ended_with_another (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", SECOND);
  fx_lease (fx, "M", 100 * SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_mkdir (fx, "d/e"));
  fx_key (fx, "key", "M");
  assert_ok (fx_edit (fx, "M", "d/e\n"));
  assert_ok (fx_rename (fx, "d", "leases/L/d", 0));
  uint64_t e = fx_pin (fx, "leases/L/d/e");
  fx_wait (fx, SECOND);
  assert_fails (ESTALE, fx_getattr (fx, e));
  assert_fails (ESTALE, fx_getattr (fx, e));
  fx_unpin (fx, e);
  fx_restart (fx, false);
  assert_int_equal (fx_left (fx, "M"), 100 * SECOND);
  assert_int_not_equal (fx_find (fx, "key"), 0);
}

static void
test_a_directory_outlives_its_lease_also_after_a_crash (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "L", SECOND);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_edit (fx, "L", "d\n"));
  fx_put (fx, "x", "free");
  assert_ok (fx_rename (fx, "x", "d/x", 0));
  fx_wait (fx, SECOND);
  assert_string_equal (fx_list (fx, "d"), "x"); /* seen to be still there */
  assert_ok (fx_unlink (fx, "d/x"));
  fx_restart (fx, false);
  fx_reap (fx);
  assert_int_not_equal (fx_find (fx, "d"), 0);
}

static void
test_writing_nothing_leaves_the_value_as_it_is (void **state)
{
  Fixture *fx = *state;

  fx_put (fx, "a", "v");
  assert_ok (fx_write_at (fx, "a", 5000, "", 0));
  assert_string_equal (fx_get (fx, "a"), "v");
  fx_restart (fx, false);
  assert_string_equal (fx_get (fx, "a"), "v");
}

static void
test_ids_are_never_used_again (void **state)
{
  Fixture *fx = *state;

  fx_put (fx, "a", "1");
  uint64_t id = fx_find (fx, "a");
  assert_ok (fx_unlink (fx, "a"));
  fx_restart (fx, false);
  fx_put (fx, "b", "2");
  assert_true (fx_find (fx, "b") > id);
  id = fx_find (fx, "b");
  assert_ok (fx_unlink (fx, "b"));
  fx_restart (fx, true);
  fx_put (fx, "c", "3");
  assert_true (fx_find (fx, "c") > id);
}

static void
test_an_unlinked_file_does_not_survive (void **state)
{
  Fixture *fx = *state;

  fx_put (fx, "a", "1");
  uint64_t id = fx_pin (fx, "a");
  assert_ok (fx_unlink (fx, "a"));
  unsigned before = fake_commits (fx->fake);
  assert_ok (fx_write (fx, id, "unseen"));
  assert_int_equal (fake_commits (fx->fake), before);
  fx_unpin (fx, id);
}

static void
empty (Fixture *fx, const char *path)
{
  LeaseSet set = { .mask = LEASE_SET_SIZE | LEASE_SET_HOLD, .size = 0 };

  assert_ok (fx_set_attr (fx, path, set));
}

static void
test_an_emptied_file_waits_for_what_is_written_to_it (void **state)
{
  Fixture *fx = *state;

  fx_put (fx, "a", "old");
  fx_forget_events (fx);
  unsigned before = fake_commits (fx->fake);
  empty (fx, "a");
  assert_string_equal (fx_get (fx, "a"), "");
  assert_int_equal (fake_commits (fx->fake), before);
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_UNWRITTEN, 0), 1);
  assert_ok (fx_file (fx, "b")); /* what happens elsewhere does not end the waiting */
  fx_restart (fx, false);
  assert_string_equal (fx_get (fx, "a"), "old");

  empty (fx, "a");
  before = fake_commits (fx->fake);
  assert_ok (fx_write_at (fx, "a", 0, "new", 3));
  assert_int_equal (fake_commits (fx->fake), before + 1);
  fx_restart (fx, false);
  assert_string_equal (fx_get (fx, "a"), "new");
}

static void
test_an_emptied_file_does_not_wait_forever (void **state)
{
  Fixture *fx = *state;

  fx_put (fx, "a", "old");
  fx_put (fx, "b", "old");
  empty (fx, "a");
  empty (fx, "b");
  assert_ok (fx_unlink (fx, "b"));
  fake_fail (fx->fake, 1, EIO);
  assert_fails (EIO, lease_engine_flush (fx->engine, &fx->by, true));
  fake_fail (fx->fake, 0, 0);
  assert_ok (lease_engine_flush (fx->engine, &fx->by, true));
  unsigned before = fake_commits (fx->fake);
  assert_ok (lease_engine_flush (fx->engine, &fx->by, true));
  assert_int_equal (fake_commits (fx->fake), before);
  fx_restart (fx, false);
  assert_string_equal (fx_get (fx, "a"), "");
  assert_int_equal (fx_find (fx, "b"), 0);
}

static void
test_while_the_journal_refuses_nothing_is_emptied (void **state)
{
  Fixture *fx = *state;
  LeaseSet set = { .mask = LEASE_SET_SIZE | LEASE_SET_HOLD, .size = 0 };

  fx_put (fx, "a", "old");
  fake_fail (fx->fake, 1, ENOSPC);
  assert_fails (ENOSPC, fx_file (fx, "b"));
  fake_fail (fx->fake, 1, ENOSPC);
  assert_fails (ENOSPC, fx_set_attr (fx, "a", set));
  fake_fail (fx->fake, 0, 0);
  assert_string_equal (fx_get (fx, "a"), "old");
  assert_ok (fx_set_attr (fx, "a", set)); /* at once, and the next one waits again */
  assert_ok (fx_write_at (fx, "a", 0, "new", 3));
  empty (fx, "a");
  fx_restart (fx, false);
  assert_string_equal (fx_get (fx, "a"), "new");
}

static void
test_what_is_done_to_an_emptied_file_finds_it_empty (void **state)
{
  Fixture *fx = *state;

  fx_put (fx, "a", "old value");
  empty (fx, "a");
  assert_ok (fx_rename (fx, "a", "b", 0));
  fx_restart (fx, false);
  assert_string_equal (fx_get (fx, "b"), "");

  fx_put (fx, "b", "old value");
  empty (fx, "b");
  assert_ok (fx_set_attr (fx, "b", (LeaseSet){ .mask = LEASE_SET_SIZE, .size = 3 }));
  fx_restart (fx, false);
  assert_memory_equal (fx_get (fx, "b"), "\0\0\0", 3);
}

static void
test_a_failed_put_leaves_the_file_empty_and_tries_again (void **state)
{
  Fixture *fx = *state;

  fx_put (fx, "a", "old");
  empty (fx, "a");
  fake_fail (fx->fake, 1, ENOSPC);
  assert_fails (ENOSPC, fx_write_at (fx, "a", 0, "new", 3));
  fake_fail (fx->fake, 0, 0);
  assert_string_equal (fx_get (fx, "a"), "");
  assert_ok (fx_write_at (fx, "a", 0, "new", 3));
  fx_restart (fx, false);
  assert_string_equal (fx_get (fx, "a"), "new");
}

static void
test_a_first_start_that_fails_can_be_repeated (void **state)
{
  for (unsigned nth = 1; nth <= 3; nth++) {
    g_autoptr (Fake) fake = fake_new ();
    LeaseEngineConfig config = fx_config ();
    LeaseCaller by = { .now = SECOND };
    g_autoptr (LeaseEngine) engine = NULL;

    fake_fail (fake, nth, ENOSPC);
    engine = lease_engine_new (&config, fake_journal (fake), &by, NULL, NULL, NULL);
    assert_true ((engine == NULL) == (nth == 1));
    g_clear_pointer (&engine, lease_engine_free);
    fake_fail (fake, 0, 0);
    engine = lease_engine_new (&config, fake_journal (fake), &by, NULL, NULL, NULL);
    assert_non_null (engine);
  }
}

static void
test_a_flush_is_told_to_be_tended (void **state)
{
  Fixture *fx = *state;

  fx->lazy = true;
  fx_lease (fx, "L", SECOND);
  fx_wait (fx, SECOND);
  lease_engine_expire (fx->engine, &fx->by, 100);
  fx_forget_events (fx);
  assert_ok (lease_engine_flush (fx->engine, &fx->by, false));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_COMMITTED, 0), 1);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_an_operation_that_the_journal_refuses_has_changed_nothing),
    cmocka_unit_test (test_every_operation_is_one_commit),
    fx_test (test_reading_and_keeping_alive_write_nothing),
    fx_test (test_after_a_clean_stop_leases_have_what_they_had_left),
    cmocka_unit_test (test_a_stop_that_fails_can_be_tried_again),
    fx_test (test_after_a_crash_leases_have_their_whole_ttl),
    fx_test (test_what_was_found_is_counted),
    fx_test (test_clocks_stand_still_until_resumed),
    cmocka_unit_test (test_reservations_do_not_survive),
    cmocka_unit_test (test_what_has_ended_does_not_come_back),
    fx_test (test_an_end_that_nobody_saw_is_written_when_it_is_settled),
    fx_test (test_a_change_carries_the_ends_before_it),
    fx_test (test_a_change_does_not_carry_what_nobody_saw),
    fx_test (test_of_many_ends_the_one_that_is_seen_is_written_first),
    fx_test (test_many_ends_are_written_in_many_flushes),
    fx_test (test_a_sync_does_not_wait_for_ends_that_nobody_saw),
    fx_test (test_many_ends_are_cleaned_up_in_the_order_of_their_ids),
    fx_test (test_a_listing_that_misses_many_waits_for_all),
    fx_test (test_a_clean_stop_writes_all_ends),
    fx_test (test_a_directory_in_a_lease_reveals_its_end),
    fx_test (test_an_end_stands_though_the_journal_fails),
    fx_test (test_a_lease_outlives_what_was_attached_to_it_and_ended_with_another),
    fx_test (test_a_directory_outlives_its_lease_also_after_a_crash),
    fx_test (test_writing_nothing_leaves_the_value_as_it_is),
    fx_test (test_ids_are_never_used_again),
    fx_test (test_an_unlinked_file_does_not_survive),
    fx_test (test_an_emptied_file_waits_for_what_is_written_to_it),
    fx_test (test_an_emptied_file_does_not_wait_forever),
    fx_test (test_while_the_journal_refuses_nothing_is_emptied),
    fx_test (test_what_is_done_to_an_emptied_file_finds_it_empty),
    fx_test (test_a_failed_put_leaves_the_file_empty_and_tries_again),
    cmocka_unit_test (test_a_first_start_that_fails_can_be_repeated),
    fx_test (test_a_flush_is_told_to_be_tended),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
