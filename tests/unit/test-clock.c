/* SPDX-License-Identifier: MIT */

#include "leases/clock.h"
#include "leases/ttl.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void
test_a_deadline_is_the_sum (void **state)
{
  assert_int_equal (lease_time_after (0, 0), 0);
  assert_int_equal (lease_time_after (5, 7), 12);
  assert_int_equal (lease_time_after (3 * LEASE_SECOND, 250 * LEASE_MILLISECOND), 3250000000);
  assert_int_equal (lease_time_after (0, LEASE_TTL_MAX_NS), LEASE_TTL_MAX_NS);
}

static void
test_the_last_sums_are_exact (void **state)
{
  assert_int_equal (lease_time_after (LEASE_TIME_NEVER - 3, 1), LEASE_TIME_NEVER - 2);
  assert_int_equal (lease_time_after (LEASE_TIME_NEVER - 3, 2), LEASE_TIME_NEVER - 1);
  assert_int_equal (lease_time_after (1, LEASE_TIME_NEVER - 2), LEASE_TIME_NEVER - 1);
  assert_int_equal (lease_time_after (0, LEASE_TIME_NEVER - 1), LEASE_TIME_NEVER - 1);
}

static void
test_a_deadline_is_never_never (void **state)
{
  assert_int_equal (lease_time_after (LEASE_TIME_NEVER - 3, 3), LEASE_TIME_NEVER - 1);
  assert_int_equal (lease_time_after (0, LEASE_TIME_NEVER), LEASE_TIME_NEVER - 1);
  assert_int_equal (lease_time_after (LEASE_TIME_NEVER, 0), LEASE_TIME_NEVER - 1);
  assert_int_equal (lease_time_after (LEASE_TIME_NEVER, LEASE_TIME_NEVER), LEASE_TIME_NEVER - 1);
  assert_int_equal (lease_time_after (LEASE_TIME_NEVER - LEASE_TTL_MAX_NS, LEASE_TTL_MAX_NS),
                    LEASE_TIME_NEVER - 1);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_a_deadline_is_the_sum),
    cmocka_unit_test (test_the_last_sums_are_exact),
    cmocka_unit_test (test_a_deadline_is_never_never),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
