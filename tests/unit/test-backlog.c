/* SPDX-License-Identifier: MIT */

#include "leases/backlog.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void
add (LeaseBacklog *backlog, uint64_t first, uint64_t second, uint64_t third)
{
  lease_backlog_add (backlog, first);
  lease_backlog_add (backlog, second);
  lease_backlog_add (backlog, third);
}

static void
sort (LeaseBacklog *backlog)
{
  GArray *ids = lease_backlog_begin_sort (backlog);

  assert_non_null (ids);
  lease_backlog_sort (ids);
  lease_backlog_end_sort (backlog, ids);
}

static void
expect (LeaseBacklog *backlog, uint64_t expected)
{
  uint64_t id = 0;

  assert_true (lease_backlog_take (backlog, &id));
  assert_int_equal (id, expected);
}

static void
expect_none (LeaseBacklog *backlog)
{
  uint64_t id;

  assert_false (lease_backlog_take (backlog, &id));
}

static void
test_they_are_taken_in_their_order (void **state)
{
  g_autoptr (LeaseBacklog) backlog = lease_backlog_new ();

  assert_true (lease_backlog_is_empty (backlog));
  assert_null (lease_backlog_begin_sort (backlog));
  add (backlog, UINT64_MAX, 1, UINT64_C (1) << 40);
  expect_none (backlog);
  sort (backlog);
  expect (backlog, 1);
  expect (backlog, UINT64_C (1) << 40);
  assert_false (lease_backlog_is_empty (backlog));
  expect (backlog, UINT64_MAX);
  expect_none (backlog);
  assert_true (lease_backlog_is_empty (backlog));
}

/* So that none waits for ever. */
static void
test_who_comes_later_comes_behind (void **state)
{
  g_autoptr (LeaseBacklog) backlog = lease_backlog_new ();

  add (backlog, 6, 5, 4);
  sort (backlog);
  add (backlog, 3, 2, 1);
  assert_null (lease_backlog_begin_sort (backlog));
  expect (backlog, 4);
  expect (backlog, 5);
  expect (backlog, 6);
  expect_none (backlog);
  sort (backlog);
  expect (backlog, 1);
}

static void
test_two_threads_may_sort_at_once (void **state)
{
  g_autoptr (LeaseBacklog) backlog = lease_backlog_new ();

  add (backlog, 3, 2, 1);
  GArray *first = lease_backlog_begin_sort (backlog);
  assert_false (lease_backlog_is_empty (backlog));
  add (backlog, 9, 8, 7);
  sort (backlog);
  lease_backlog_sort (first);
  lease_backlog_end_sort (backlog, first);
  for (uint64_t id = 7; id <= 9; id++)
    expect (backlog, id);
  for (uint64_t id = 1; id <= 3; id++)
    expect (backlog, id);
  assert_true (lease_backlog_is_empty (backlog));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_they_are_taken_in_their_order),
    cmocka_unit_test (test_who_comes_later_comes_behind),
    cmocka_unit_test (test_two_threads_may_sort_at_once),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
