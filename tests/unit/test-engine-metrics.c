/* SPDX-License-Identifier: MIT */

/* What the engine counts. That counts agree with what there is, lease_engine_check() sees to, here
 * and in all other tests: these are about what is counted as what, and when. */

#include "tests/unit/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

static LeaseMetrics
metrics_of (Fixture *fx)
{
  LeaseMetrics metrics;

  lease_engine_metrics (fx->engine, &fx->by, &metrics);
  fx_check (fx);
  return metrics;
}

static LeaseCounts
counts_of (Fixture *fx)
{
  return metrics_of (fx).counts;
}

static void
expect_leases (Fixture *fx, unsigned reserved, unsigned granted, unsigned ended)
{
  LeaseCounts counts = counts_of (fx);

  assert_int_equal (counts.leases[LEASE_PHASE_RESERVED], reserved);
  assert_int_equal (counts.leases[LEASE_PHASE_GRANTED], granted);
  assert_int_equal (counts.leases[LEASE_PHASE_HELD], 0);
  assert_int_equal (counts.leases[LEASE_PHASE_ENDED], ended);
}

static void
expect_keys (Fixture *fx, unsigned keys, unsigned attached)
{
  LeaseCounts counts = counts_of (fx);

  assert_int_equal (counts.keys, keys);
  assert_int_equal (counts.attached_keys, attached);
}

/* How often the lag has been measured, and how much it was in all. */
static void
expect_lag (Fixture *fx, unsigned expected, int64_t sum_ns)
{
  LeaseHistogram lag = counts_of (fx).lag;
  uint64_t count = 0;

  for (unsigned i = 0; i <= LEASE_HISTOGRAM_BOUNDS; i++)
    count += lag.counts[i];
  assert_int_equal (count, expected);
  assert_int_equal (lag.sum_ns, sum_ns);
}

static void
test_a_lease_is_counted_in_each_of_its_states (void **state)
{
  Fixture *fx = *state;

  expect_leases (fx, 0, 0, 0);
  assert_ok (fx_mkdir (fx, "leases/A"));
  assert_ok (fx_mkdir (fx, "leases/B"));
  expect_leases (fx, 2, 0, 0);
  assert_ok (fx_grant (fx, "A", 10 * SECOND));
  expect_leases (fx, 1, 1, 0);
  fx_wait (fx, 10 * SECOND - 1);
  expect_leases (fx, 1, 1, 0);
  fx_wait (fx, 1);
  expect_leases (fx, 1, 0, 1);
  fx_reap (fx);
  expect_leases (fx, 1, 0, 0);
  fx_wait (fx, LEASE_RESERVATION_NS - 10 * SECOND);
  expect_leases (fx, 0, 0, 1);
  fx_reap (fx);
  expect_leases (fx, 0, 0, 0);
}

static void
test_a_revoked_lease_has_ended (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  assert_ok (fx_rmdir (fx, "leases/A"));
  expect_leases (fx, 0, 0, 1);
  assert_int_equal (counts_of (fx).graves, 1);
  fx_reap (fx);
  expect_leases (fx, 0, 0, 0);
  assert_int_equal (counts_of (fx).graves, 0);
}

static void
test_a_name_that_is_taken_again_at_once_has_two_leases_for_a_while (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", SECOND);
  fx_key (fx, "key", "A");
  fx_wait (fx, SECOND);
  fx_lease (fx, "A", SECOND);
  assert_ok (fx_file (fx, "key"));
  expect_leases (fx, 0, 1, 1);
  expect_keys (fx, 1, 0);
  assert_int_equal (counts_of (fx).graves, 2);
  fx_reap (fx);
  expect_leases (fx, 0, 1, 0);
  assert_int_equal (counts_of (fx).graves, 0);
}

/* Totals */

static void
test_the_first_grant_is_one_and_all_others_refresh (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", 10 * SECOND);
  fx_key (fx, "key", "A");
  assert_int_equal (counts_of (fx).granted, 1);
  assert_int_equal (counts_of (fx).refreshed, 0);
  assert_ok (fx_grant (fx, "A", 10 * SECOND));
  assert_ok (fx_grant (fx, "A", 20 * SECOND));
  assert_ok (fx_refresh (fx, "A"));
  assert_ok (fx_touch (fx, "key"));
  assert_ok (fx_touch (fx, "leases/A"));
  assert_int_equal (counts_of (fx).granted, 1);
  assert_int_equal (counts_of (fx).refreshed, 5);
}

static void
test_what_has_no_effect_is_not_counted (void **state)
{
  Fixture *fx = *state;
  LeaseCounts before, after;

  assert_ok (fx_mkdir (fx, "leases/R"));
  fx_lease (fx, "A", SECOND);
  before = counts_of (fx);
  assert_fails (EINVAL, fx_refresh (fx, "R"));
  fake_fail (fx->fake, 1, EIO);
  assert_fails (EIO, fx_grant (fx, "R", SECOND));
  assert_fails (EIO, fx_rmdir (fx, "leases/A"));
  fake_fail (fx->fake, 0, 0);
  after = counts_of (fx);
  assert_memory_equal (&before, &after, sizeof before);
  fx_wait (fx, SECOND);
  assert_fails (ENOENT, fx_refresh (fx, "A"));
  assert_fails (ENOENT, fx_rmdir (fx, "leases/A"));
  after = counts_of (fx);
  assert_int_equal (after.refreshed, before.refreshed);
  assert_int_equal (after.revoked, before.revoked);
}

static void
test_each_end_is_counted_once_by_its_cause (void **state)
{
  Fixture *fx = *state;
  LeaseCounts counts;

  fx_lease (fx, "revoked", SECOND);
  fx_lease (fx, "expired", SECOND);
  assert_ok (fx_mkdir (fx, "leases/reserved"));
  assert_ok (fx_mkdir (fx, "leases/revoked reservation"));
  assert_ok (fx_rmdir (fx, "leases/revoked"));
  assert_ok (fx_rmdir (fx, "leases/revoked reservation"));
  fx_wait (fx, SECOND);
  counts = counts_of (fx);
  assert_int_equal (counts.revoked, 2);
  assert_int_equal (counts.expired, 1);
  assert_int_equal (counts.timed_out, 0);
  fx_reap (fx);
  fx_wait (fx, LEASE_RESERVATION_NS);
  fx_reap (fx);
  counts = counts_of (fx);
  assert_int_equal (counts.revoked, 2);
  assert_int_equal (counts.expired, 1);
  assert_int_equal (counts.timed_out, 1);
}

static void
let_end (void *data)
{
  Fixture *fx = data;

  fake_hook (fx->fake, NULL, NULL);
  fx_wait (fx, SECOND);
  lease_engine_expire (fx->engine, &fx->by, 1000);
}

static void
test_a_lease_that_expires_while_it_is_being_revoked_has_expired (void **state)
{
  Fixture *fx = *state;
  LeaseCounts counts;

  fx_lease (fx, "A", SECOND);
  fake_hook (fx->fake, let_end, fx);
  assert_ok (fx_rmdir (fx, "leases/A"));
  counts = counts_of (fx);
  assert_int_equal (counts.revoked, 0);
  assert_int_equal (counts.expired, 1);
}

/* Keys */

static void
test_keys_are_files_with_a_name_whatever_their_type (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", SECOND);
  expect_keys (fx, 0, 0);
  assert_ok (fx_mkdir (fx, "d"));
  assert_ok (fx_file (fx, "d/file"));
  assert_ok (fx_symlink (fx, "link", "nowhere"));
  assert_ok (fx_create (fx, "pipe", S_IFIFO | 0644, NULL));
  expect_keys (fx, 3, 0);
  assert_ok (fx_link (fx, "d/file", "other name"));
  expect_keys (fx, 3, 0);
  assert_ok (fx_unlink (fx, "d/file"));
  expect_keys (fx, 3, 0);
  uint64_t id = fx_pin (fx, "other name");
  assert_ok (fx_unlink (fx, "other name"));
  expect_keys (fx, 2, 0);
  fx_unpin (fx, id);
  assert_ok (fx_rename (fx, "link", "pipe", 0));
  expect_keys (fx, 1, 0);
  assert_int_equal (metrics_of (fx).usage.nodes_used, 5);
}

static void
test_attached_keys_follow_every_way_to_attach (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", SECOND);
  fx_lease (fx, "B", 10 * SECOND);
  assert_ok (fx_file (fx, "one"));
  assert_ok (fx_file (fx, "two"));
  assert_ok (fx_mkdir (fx, "d"));
  expect_keys (fx, 2, 0);
  assert_ok (fx_edit (fx, "A", "one\ntwo\nd\n"));
  expect_keys (fx, 2, 2);
  assert_ok (fx_file (fx, "d/three"));
  assert_ok (fx_file (fx, "leases/A/four"));
  expect_keys (fx, 4, 4);
  assert_ok (fx_edit (fx, "B", "two\n"));
  assert_ok (fx_edit (fx, "A", "-one\n"));
  expect_keys (fx, 4, 3);
  assert_ok (fx_rename (fx, "one", "d/three", 0));
  expect_keys (fx, 3, 3);
  fx_wait (fx, SECOND);
  assert_int_equal (fx_find (fx, "d"), 0);
  expect_keys (fx, 1, 1);
  assert_int_equal (counts_of (fx).graves, 4); /* A, A/four, d, d/three */
  fx_reap (fx);
  expect_keys (fx, 1, 1);
  assert_int_equal (counts_of (fx).graves, 0);
}

/* Lag */

static void
test_the_lag_is_from_the_deadline_to_when_nothing_is_left (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", SECOND);
  fx_key (fx, "key", "A");
  fx_wait (fx, SECOND + 3 * MS);
  lease_engine_expire (fx->engine, &fx->by, 1000);
  expect_lag (fx, 0, 0);
  fx_wait (fx, 4 * MS);
  assert_int_equal (fx_reap (fx), 2);
  expect_lag (fx, 1, 7 * MS);

  assert_ok (fx_mkdir (fx, "leases/R"));
  fx_wait (fx, LEASE_RESERVATION_NS + 2 * MS);
  fx_reap (fx);
  expect_lag (fx, 2, 9 * MS);
}

static void
test_what_was_revoked_has_no_lag (void **state)
{
  Fixture *fx = *state;

  fx_lease (fx, "A", SECOND);
  fx_key (fx, "key", "A");
  assert_ok (fx_rmdir (fx, "leases/A"));
  fx_wait (fx, 10 * SECOND);
  fx_reap (fx);
  expect_lag (fx, 0, 0);
}

/* What was before */

static void
test_totals_begin_anew_with_the_engine_and_the_rest_is_as_it_is (void **state)
{
  Fixture *fx = *state;

  for (unsigned clean = 0; clean < 2; clean++) {
    g_autofree char *lease = g_strdup_printf ("lives %u", clean);
    g_autofree char *key = g_strdup_printf ("key %u", clean);
    g_autofree char *ended = g_strdup_printf ("ended %u", clean);
    fx_lease (fx, lease, 1000 * SECOND);
    fx_key (fx, key, lease);
    fx_lease (fx, ended, SECOND);
    assert_ok (fx_file (fx, "free"));
    fx_wait (fx, SECOND);
    lease_engine_expire (fx->engine, &fx->by, 1000);

    fx_restart (fx, clean);
    LeaseCounts counts = counts_of (fx);
    expect_leases (fx, 0, clean + 1, 1);
    expect_keys (fx, clean + 2, clean + 1);
    assert_int_equal (counts.granted, 0);
    assert_int_equal (counts.refreshed, 0);
    assert_int_equal (counts.expired, 0);
    assert_int_equal (counts.revoked, 0);
    fx_reap (fx);
    expect_leases (fx, 0, clean + 1, 0);
    expect_lag (fx, 0, 0);
    assert_ok (fx_unlink (fx, "free"));
  }
}

/* Limits and the journal */

static void
test_limits_are_told (void **state)
{
  LeaseEngineConfig config = fx_config ();

  config.max_leases = 3;
  config.max_nodes = 10;
  config.max_bytes = UINT64_MAX;
  g_autoptr (Fixture) fx = fx_new (&config);
  LeaseMetrics metrics = metrics_of (fx);
  LeaseUsage usage;
  lease_engine_usage (fx->engine, &usage);
  assert_int_equal (metrics.leases_max, 3);
  assert_int_equal (metrics.usage.nodes_max, 10);
  assert_true (metrics.usage.bytes_max == UINT64_MAX);
  assert_int_equal (metrics.usage.nodes_used, 2);
  assert_int_equal (metrics.usage.bytes_used, usage.bytes_used);
}

static void
test_the_journal_tells_for_itself (void **state)
{
  Fixture *fx = *state;
  LeaseJournalMetrics told = { .data_bytes = 4096, .commit_errors = 2 };

  assert_false (metrics_of (fx).kept);
  fake_tell (fx->fake, &told);
  fx_restart (fx, true);
  LeaseMetrics metrics = metrics_of (fx);
  assert_true (metrics.kept);
  assert_memory_equal (&metrics.journal, &told, sizeof told);
}

/* Cost */

static int64_t
processor_ns (void)
{
  struct timespec time;

  assert_ok (clock_gettime (CLOCK_THREAD_CPUTIME_ID, &time));
  return time.tv_sec * SECOND + time.tv_nsec;
}

#define MANY 100000

static LeaseEngine *
make_many (const LeaseCaller *by)
{
  LeaseEngineConfig config = fx_config ();
  LeaseEngine *engine =
      lease_engine_new (&config, lease_journal_memory_new (), by, NULL, NULL, NULL);
  uint64_t leases = lease_engine_leases (engine);
  LeaseNew directory = { .mode = S_IFDIR | 0755 }, file = { .mode = S_IFREG | 0644 };

  for (unsigned i = 0; i < MANY; i++) {
    LeaseAttr attr, key;
    char name[16];
    snprintf (name, sizeof name, "%u", i);
    assert_ok (lease_engine_create (engine, by, leases, name, &directory, &attr));
    assert_ok (lease_engine_grant (engine, by, attr.id, (1 + i % 2) * SECOND));
    assert_ok (lease_engine_create (engine, by, attr.id, "x", &file, &key));
  }
  return engine;
}

/* Measured against a walk of the same engine: if reading took one, a hundred would take longer. */
static void
test_reading_takes_no_walk (void **state)
{
  LeaseCaller by = { .now = SECOND };
  g_autoptr (LeaseEngine) engine = make_many (&by);
  LeaseMetrics metrics;
  int64_t start = processor_ns ();

  lease_engine_check (engine);
  int64_t walk_ns = processor_ns () - start;
  start = processor_ns ();
  for (unsigned i = 0; i < 100; i++)
    lease_engine_metrics (engine, &by, &metrics);
  int64_t read_ns = processor_ns () - start;
  print_message ("  a walk takes %" G_GINT64_FORMAT " us, a reading %" G_GINT64_FORMAT " ns\n",
                 walk_ns / 1000, read_ns / 100);
  assert_int_equal (metrics.counts.leases[LEASE_PHASE_GRANTED], MANY);
  assert_int_equal (metrics.counts.attached_keys, MANY);
  assert_true (read_ns < walk_ns);
}

/* When very many end at once, no reading works through all of them. */
static void
test_reading_does_not_clean_up_for_others (void **state)
{
  LeaseCaller by = { .now = SECOND };
  g_autoptr (LeaseEngine) engine = make_many (&by);
  LeaseMetrics metrics;

  by.now += SECOND;
  lease_engine_metrics (engine, &by, &metrics);
  assert_in_range (metrics.counts.leases[LEASE_PHASE_ENDED], 1, 1000);
  lease_engine_check (engine);
  while (lease_engine_expire (engine, &by, 1000))
    continue;
  lease_engine_metrics (engine, &by, &metrics);
  assert_int_equal (metrics.counts.leases[LEASE_PHASE_ENDED], MANY / 2);
  assert_int_equal (metrics.counts.leases[LEASE_PHASE_GRANTED], MANY / 2);
  assert_int_equal (metrics.counts.graves, MANY);
  assert_int_equal (metrics.counts.expired, MANY / 2);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    fx_test (test_a_lease_is_counted_in_each_of_its_states),
    fx_test (test_a_revoked_lease_has_ended),
    fx_test (test_a_name_that_is_taken_again_at_once_has_two_leases_for_a_while),
    fx_test (test_the_first_grant_is_one_and_all_others_refresh),
    fx_test (test_what_has_no_effect_is_not_counted),
    fx_test (test_each_end_is_counted_once_by_its_cause),
    fx_test (test_a_lease_that_expires_while_it_is_being_revoked_has_expired),
    fx_test (test_keys_are_files_with_a_name_whatever_their_type),
    fx_test (test_attached_keys_follow_every_way_to_attach),
    fx_test (test_the_lag_is_from_the_deadline_to_when_nothing_is_left),
    fx_test (test_what_was_revoked_has_no_lag),
    fx_test (test_totals_begin_anew_with_the_engine_and_the_rest_is_as_it_is),
    cmocka_unit_test (test_limits_are_told),
    fx_test (test_the_journal_tells_for_itself),
    cmocka_unit_test (test_reading_takes_no_walk),
    cmocka_unit_test (test_reading_does_not_clean_up_for_others),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
