/* SPDX-License-Identifier: MIT */

#include "tests/unit/fixture.h"

#include <errno.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>

#define KEEP FALLOC_FL_KEEP_SIZE
#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define ZERO FALLOC_FL_ZERO_RANGE
#define PAGE 4096

static int
allocate (Fixture *fx, const char *path, int mode, uint64_t offset, uint64_t size)
{
  int error = lease_engine_allocate (fx->engine, &fx->by, fx_find (fx, path), mode, offset, size);

  fx_check (fx);
  return error;
}

static int
copy (Fixture *fx, const char *from, uint64_t from_offset, const char *to, uint64_t to_offset,
      size_t size, size_t *copied)
{
  LeasePlace one = { fx_find (fx, from), from_offset }, other = { fx_find (fx, to), to_offset };
  int error = lease_engine_copy (fx->engine, &fx->by, one, other, size, copied);

  fx_check (fx);
  return error;
}

static uint64_t
seek (Fixture *fx, const char *path, uint64_t offset, bool hole)
{
  uint64_t found = 0;

  assert_ok (lease_engine_seek (fx->engine, &fx->by, fx_find (fx, path), offset, hole, &found));
  return found;
}

static void
test_allocating_reserves_memory_and_sets_the_size (void **state)
{
  Fixture *fx = *state;

  fx_put (fx, "f", "hello");
  assert_ok (allocate (fx, "f", KEEP, 0, 10 * PAGE));
  assert_int_equal (fx_stat_of (fx, "f").size, 5);
  assert_true (fx_stat_of (fx, "f").footprint >= 10 * PAGE);
  assert_ok (allocate (fx, "f", 0, 0, 20 * PAGE));
  assert_int_equal (fx_stat_of (fx, "f").size, 20 * PAGE);
  assert_ok (allocate (fx, "f", 0, 0, PAGE)); /* never makes it smaller */
  assert_int_equal (fx_stat_of (fx, "f").size, 20 * PAGE);
  assert_string_equal (fx_get (fx, "f"), "hello");
  assert_int_equal (seek (fx, "f", 0, true), PAGE);
}

static void
test_punching_and_zeroing_leave_zeros (void **state)
{
  Fixture *fx = *state;
  g_autofree char *data = g_strnfill (3 * PAGE, 'x');

  fx_put (fx, "f", data);
  fx_wait (fx, SECOND);
  assert_ok (allocate (fx, "f", PUNCH, PAGE, PAGE));
  assert_int_equal (fx_stat_of (fx, "f").size, 3 * PAGE);
  assert_int_equal (fx_stat_of (fx, "f").mtime_ns, fx->by.wall_ns);
  assert_int_equal (seek (fx, "f", 0, true), PAGE);
  assert_int_equal (seek (fx, "f", PAGE, false), 2 * PAGE);
  assert_ok (allocate (fx, "f", ZERO, 1, 4 * PAGE));
  assert_int_equal (fx_stat_of (fx, "f").size, 4 * PAGE + 1);
  assert_string_equal (fx_get (fx, "f"), "x");
  assert_ok (allocate (fx, "f", ZERO | KEEP, 0, 100 * PAGE));
  assert_int_equal (fx_stat_of (fx, "f").size, 4 * PAGE + 1);
  assert_string_equal (fx_get (fx, "f"), "");
}

static void
test_what_cannot_be_allocated_changes_nothing (void **state)
{
  LeaseEngineConfig config = fx_config ();
  LeaseAttr before, after;

  config.max_bytes = 100 * PAGE;
  g_autoptr (Fixture) fx = fx_new (&config);
  fx_put (fx, "f", "hello");
  assert_ok (fx_mkdir (fx, "d"));
  before = fx_stat_of (fx, "f");
  fx_wait (fx, SECOND);
  assert_fails (ENOSPC, allocate (fx, "f", 0, 0, 100 * PAGE));
  assert_fails (ENOSPC, allocate (fx, "f", ZERO, 0, INT64_MAX));
  assert_fails (EFBIG, allocate (fx, "f", 0, 1, INT64_MAX));
  assert_fails (EFBIG, allocate (fx, "f", 0, UINT64_MAX, UINT64_MAX));
  assert_fails (EOPNOTSUPP, allocate (fx, "f", FALLOC_FL_PUNCH_HOLE, 0, 1));
  assert_fails (EOPNOTSUPP, allocate (fx, "f", PUNCH | ZERO, 0, 1));
  assert_fails (EOPNOTSUPP, allocate (fx, "f", FALLOC_FL_COLLAPSE_RANGE, 0, PAGE));
  assert_fails (EISDIR, allocate (fx, "d", 0, 0, 1));
  after = fx_stat_of (fx, "f");
  assert_int_equal (after.size, before.size);
  assert_int_equal (after.footprint, before.footprint);
  assert_int_equal (after.mtime_ns, before.mtime_ns);
  assert_int_equal (after.ctime_ns, before.ctime_ns);
  assert_string_equal (fx_get (fx, "f"), "hello");
  /* What is reserved is there when it is needed. */
  assert_ok (allocate (fx, "f", 0, 0, 80 * PAGE));
  assert_fails (ENOSPC, fx_create (fx, "g", S_IFREG, NULL) ?: allocate (fx, "g", 0, 0, 30 * PAGE));
  g_autofree char *data = g_strnfill (80 * PAGE, 'x');
  assert_ok (fx_write (fx, fx_find (fx, "f"), data));
}

static void
test_seeking_ends_at_the_end (void **state)
{
  Fixture *fx = *state;
  uint64_t found;

  fx_put (fx, "f", "hello");
  assert_ok (fx_mkdir (fx, "d"));
  assert_int_equal (seek (fx, "f", 2, false), 2);
  assert_int_equal (seek (fx, "f", 2, true), 5);
  assert_fails (ENXIO, lease_engine_seek (fx->engine, &fx->by, fx_find (fx, "f"), 5, true, &found));
  assert_fails (ENXIO,
                lease_engine_seek (fx->engine, &fx->by, fx_find (fx, "f"), 5, false, &found));
  assert_fails (EISDIR,
                lease_engine_seek (fx->engine, &fx->by, fx_find (fx, "d"), 0, false, &found));
}

static void
test_copying_goes_up_to_the_end_and_the_limit (void **state)
{
  LeaseEngineConfig config = fx_config ();
  g_autofree char *data = g_strnfill (64 * PAGE, 'x');
  size_t copied;

  config.max_bytes = 100 * PAGE;
  g_autoptr (Fixture) fx = fx_new (&config);
  fx_put (fx, "f", "hello");
  fx_put (fx, "g", "HELLO!");
  assert_ok (copy (fx, "f", 1, "g", 2, 100, &copied));
  assert_int_equal (copied, 4);
  assert_string_equal (fx_get (fx, "g"), "HEello");
  assert_ok (copy (fx, "f", 5, "g", 2, 100, &copied));
  assert_int_equal (copied, 0);
  fx_put (fx, "f", data);
  assert_ok (copy (fx, "f", 0, "g", 3, 64 * PAGE, &copied));
  assert_true (copied >= 16 * PAGE && copied < 36 * PAGE);
  assert_int_equal (fx_stat_of (fx, "g").size, copied + 3);
  assert_fails (ENOSPC, copy (fx, "f", 0, "g", 80 * PAGE, 4 * PAGE, &copied));
  assert_fails (EFBIG, copy (fx, "f", 0, "g", INT64_MAX, PAGE, &copied));
}

/* Of this the kernel lets go by itself, but it would take the attributes of before, which another
 * answer is on its way with, for new ones. */
static void
test_allocating_makes_attributes_stale (void **state)
{
  Fixture *fx = *state;

  fx_put (fx, "f", "hello");
  uint64_t id = fx_pin (fx, "f");
  fx_forget_events (fx);
  assert_ok (allocate (fx, "f", KEEP, 0, PAGE));
  assert_int_equal (fx_count_events (fx, LEASE_EVENT_STALE, id), 1);
  fx_unpin (fx, id);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    fx_test (test_allocating_reserves_memory_and_sets_the_size),
    fx_test (test_punching_and_zeroing_leave_zeros),
    cmocka_unit_test (test_what_cannot_be_allocated_changes_nothing),
    fx_test (test_allocating_makes_attributes_stale),
    fx_test (test_seeking_ends_at_the_end),
    cmocka_unit_test (test_copying_goes_up_to_the_end_and_the_limit),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
