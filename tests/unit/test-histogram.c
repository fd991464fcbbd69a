/* SPDX-License-Identifier: MIT */

#include "leases/histogram.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void
test_bounds_rise (void **state)
{
  assert_true (lease_histogram_bounds[0] > 0);
  for (unsigned i = 1; i < LEASE_HISTOGRAM_BOUNDS; i++)
    assert_true (lease_histogram_bounds[i] > lease_histogram_bounds[i - 1]);
}

/* Where the one duration that it has is counted. */
static unsigned
place_of (int64_t ns)
{
  LeaseHistogram histogram = { 0 };
  unsigned place = LEASE_HISTOGRAM_BOUNDS + 1;

  lease_histogram_add (&histogram, ns);
  for (unsigned i = 0; i <= LEASE_HISTOGRAM_BOUNDS; i++) {
    assert_in_range (histogram.counts[i], 0, 1);
    if (histogram.counts[i] > 0) {
      assert_int_equal (place, LEASE_HISTOGRAM_BOUNDS + 1);
      place = i;
    }
  }
  return place;
}

static void
test_a_bound_belongs_to_its_own_place (void **state)
{
  for (unsigned i = 0; i < LEASE_HISTOGRAM_BOUNDS; i++) {
    assert_int_equal (place_of (lease_histogram_bounds[i]), i);
    assert_int_equal (place_of (lease_histogram_bounds[i] + 1), i + 1);
  }
  assert_int_equal (place_of (0), 0);
  assert_int_equal (place_of (INT64_MAX), LEASE_HISTOGRAM_BOUNDS);
}

static void
test_the_sum_is_exact_and_never_falls (void **state)
{
  LeaseHistogram histogram = { 0 };

  lease_histogram_add (&histogram, 3);
  lease_histogram_add (&histogram, -5);
  lease_histogram_add (&histogram, INT64_C (4000000000));
  assert_int_equal (lease_histogram_read (&histogram).sum_ns, INT64_C (4000000003));
  assert_int_equal (lease_histogram_read (&histogram).counts[0], 2);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_bounds_rise),
    cmocka_unit_test (test_a_bound_belongs_to_its_own_place),
    cmocka_unit_test (test_the_sum_is_exact_and_never_falls),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
