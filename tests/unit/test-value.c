/* SPDX-License-Identifier: MIT */

#include "leases/value.h"

#include <stdbool.h>
#include <string.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define CHUNK LEASE_VALUE_CHUNK
#define END ((uint64_t)INT64_MAX)

/* Writes, and checks that the footprint grew by no more than was said. */
static void
write_checked (LeaseValue *value, uint64_t offset, const char *data, size_t size)
{
  uint64_t cost = lease_value_write_cost (value, offset, size);
  uint64_t before = lease_value_footprint (value);

  lease_value_write (value, offset, data, size);
  assert_true (lease_value_footprint (value) >= before);
  assert_true (lease_value_footprint (value) - before <= cost);
  /* What has just been written can be written again at no cost. */
  assert_int_equal (lease_value_write_cost (value, offset, size), 0);
}

static void
write_text (LeaseValue *value, uint64_t offset, const char *text)
{
  write_checked (value, offset, text, strlen (text));
}

static void
expect_bytes (const LeaseValue *value, uint64_t offset, const char *expected, size_t size)
{
  g_autofree char *out = g_malloc (size + 1);

  memset (out, 0x55, size + 1);
  assert_int_equal (lease_value_read (value, offset, out, size), size);
  assert_memory_equal (out, expected, size);
  assert_int_equal (out[size], 0x55);
}

static void
expect_zeros (const LeaseValue *value, uint64_t offset, size_t size)
{
  g_autofree char *zeros = g_malloc0 (size);

  expect_bytes (value, offset, zeros, size);
}

static void
expect_empty (const LeaseValue *value)
{
  assert_int_equal (value->size, 0);
  assert_int_equal (lease_value_footprint (value), 0);
  assert_null (value->first);
  assert_null (value->more);
}

static void
test_a_zeroed_value_is_empty (void **state)
{
  LeaseValue value = { 0 };
  char out = 'x';

  (void)state;
  assert_int_equal (lease_value_read (&value, 0, &out, 1), 0);
  assert_int_equal (lease_value_read (&value, END, &out, 1), 0);
  assert_int_equal (out, 'x');
  lease_value_clear (&value);
  expect_empty (&value);
}

static void
test_what_was_written_is_read (void **state)
{
  LeaseValue value = { 0 };

  (void)state;
  write_text (&value, 0, "hello");
  assert_int_equal (value.size, 5);
  expect_bytes (&value, 0, "hello", 5);
  expect_bytes (&value, 1, "ell", 3);
  write_text (&value, 3, "p!");
  expect_bytes (&value, 0, "help!", 5);
  lease_value_clear (&value);
  expect_empty (&value);
}

static void
test_reading_stops_at_the_end (void **state)
{
  LeaseValue value = { 0 };
  char out[8] = "xxxxxxx";

  (void)state;
  write_text (&value, 0, "hello");
  assert_int_equal (lease_value_read (&value, 3, out, sizeof out), 2);
  assert_string_equal (out, "loxxxxx");
  assert_int_equal (lease_value_read (&value, 5, out, sizeof out), 0);
  assert_int_equal (lease_value_read (&value, 6, out, sizeof out), 0);
  assert_int_equal (lease_value_read (&value, UINT64_MAX, out, sizeof out), 0);
  assert_int_equal (lease_value_read (&value, 0, out, 0), 0);
  lease_value_clear (&value);
}

static void
test_writing_nothing_changes_nothing (void **state)
{
  LeaseValue value = { 0 };

  (void)state;
  assert_int_equal (lease_value_write_cost (&value, 100, 0), 0);
  lease_value_write (&value, 100, "", 0);
  lease_value_write (&value, END, "", 0);
  expect_empty (&value);
}

static void
test_a_hole_reads_as_zeros (void **state)
{
  LeaseValue value = { 0 };

  (void)state;
  write_text (&value, 10, "a");
  assert_int_equal (value.size, 11);
  expect_bytes (&value, 0, "\0\0\0\0\0\0\0\0\0\0a", 11);
  write_text (&value, 5 * CHUNK, "b");
  expect_zeros (&value, 11, 5 * CHUNK - 11);
  lease_value_clear (&value);
}

static void
test_a_small_value_takes_little (void **state)
{
  LeaseValue value = { 0 };
  char data[100] = { 'x' };
  uint64_t small;

  (void)state;
  write_checked (&value, 0, data, 1);
  small = lease_value_footprint (&value);
  assert_true (small < 64);
  write_checked (&value, 0, data, 16);
  assert_int_equal (lease_value_footprint (&value), small);
  write_checked (&value, 0, data, 17);
  assert_int_equal (lease_value_footprint (&value), small + 16);
  write_checked (&value, 0, data, 65);
  assert_int_equal (lease_value_footprint (&value), small + 112);
  write_checked (&value, 0, data, 100);
  assert_int_equal (lease_value_footprint (&value), small + 112);
  lease_value_clear (&value);
}

static void
test_a_hole_takes_no_memory (void **state)
{
  LeaseValue sparse = { 0 };
  uint64_t little = lease_value_write_cost (&sparse, CHUNK, 1);

  (void)state;
  write_text (&sparse, 1000 * CHUNK, "a");
  assert_int_equal (lease_value_footprint (&sparse), little);
  lease_value_truncate (&sparse, END);
  assert_int_equal (lease_value_footprint (&sparse), little);
  lease_value_clear (&sparse);
}

static void
test_the_cost_is_that_of_the_chunks_touched (void **state)
{
  LeaseValue value = { 0 };
  g_autofree char *data = g_malloc0 (2 * CHUNK + 2);
  uint64_t first = lease_value_write_cost (&value, 0, CHUNK);
  uint64_t other = lease_value_write_cost (&value, CHUNK, CHUNK);
  uint64_t little = lease_value_write_cost (&value, CHUNK, 1);

  (void)state;
  assert_true (first > CHUNK && first < other && other < CHUNK + 200);
  assert_int_equal (lease_value_write_cost (&value, CHUNK - 1, 1), first);
  assert_int_equal (lease_value_write_cost (&value, CHUNK - 1, 2), first + little);
  assert_int_equal (lease_value_write_cost (&value, CHUNK - 1, CHUNK + 2), first + other + little);
  write_checked (&value, CHUNK - 1, data, CHUNK + 2);
  assert_int_equal (lease_value_footprint (&value), first + other + little);
  lease_value_clear (&value);
}

static void
test_what_was_cut_off_never_shows_again (void **state)
{
  LeaseValue value = { 0 };

  (void)state;
  write_text (&value, 0, "secret");
  write_text (&value, CHUNK + 10, "secret");
  write_text (&value, 3 * CHUNK, "secret");

  lease_value_truncate (&value, CHUNK + 12);
  lease_value_truncate (&value, 4 * CHUNK);
  expect_bytes (&value, 0, "secret", 6);
  expect_bytes (&value, CHUNK + 10, "se\0\0\0\0", 6);
  expect_zeros (&value, CHUNK + 12, 3 * CHUNK - 12);

  lease_value_truncate (&value, 1);
  write_text (&value, 5, "x");
  expect_bytes (&value, 0, "s\0\0\0\0x", 6);
  lease_value_clear (&value);
}

static void
test_truncate_frees_what_it_cuts (void **state)
{
  LeaseValue value = { 0 };
  uint64_t first, other = lease_value_write_cost (&value, CHUNK, 1);

  (void)state;
  write_text (&value, 0, "a");
  first = lease_value_footprint (&value);
  write_text (&value, CHUNK, "a");
  write_text (&value, 7 * CHUNK, "a");
  assert_int_equal (lease_value_footprint (&value), first + 2 * other);

  lease_value_truncate (&value, 7 * CHUNK);
  assert_int_equal (lease_value_footprint (&value), first + other);
  assert_non_null (value.more);
  lease_value_truncate (&value, CHUNK);
  assert_int_equal (lease_value_footprint (&value), first);
  assert_null (value.more);
  lease_value_truncate (&value, 0);
  expect_empty (&value);
}

static void
test_a_value_cut_short_takes_little_again (void **state)
{
  LeaseValue value = { 0 };
  g_autofree char *data = g_strnfill (CHUNK, 'x');

  (void)state;
  write_checked (&value, 0, data, CHUNK);
  lease_value_truncate (&value, 100);
  assert_true (lease_value_footprint (&value) < 300);
  expect_bytes (&value, 0, data, 100);
  lease_value_truncate (&value, CHUNK);
  expect_zeros (&value, 100, CHUNK - 100);
  lease_value_clear (&value);
}

static void
test_the_last_byte_of_all_can_be_written (void **state)
{
  LeaseValue value = { 0 };

  (void)state;
  write_text (&value, END - 6, "hello!");
  assert_int_equal (value.size, END);
  expect_bytes (&value, END - 6, "hello!", 6);
  expect_zeros (&value, END - 3 * CHUNK, 3 * CHUNK - 6);
  expect_zeros (&value, 0, CHUNK);
  assert_true (lease_value_footprint (&value) < 2 * CHUNK);

  lease_value_truncate (&value, END - 3);
  lease_value_truncate (&value, END);
  expect_bytes (&value, END - 6, "hel\0\0\0", 6);
  lease_value_truncate (&value, END / 2);
  assert_int_equal (lease_value_footprint (&value), 0);
  assert_null (value.more);
  lease_value_clear (&value);
  expect_empty (&value);
}

static void
test_a_read_that_would_pass_the_end_of_all_is_cut (void **state)
{
  LeaseValue value = { 0 };
  char out[16];

  (void)state;
  lease_value_truncate (&value, END);
  assert_int_equal (lease_value_read (&value, END - 4, out, sizeof out), 4);
  assert_int_equal (lease_value_read (&value, END, out, sizeof out), 0);
  lease_value_clear (&value);
}

static void
test_the_cost_at_the_end_of_all_is_sane (void **state)
{
  LeaseValue value = { 0 };
  uint64_t one = lease_value_write_cost (&value, CHUNK, CHUNK);

  (void)state;
  assert_int_equal (lease_value_write_cost (&value, END - 1, 1), one);
  assert_int_equal (lease_value_write_cost (&value, END, 1), one);
  assert_true (lease_value_write_cost (&value, END, CHUNK) <= 2 * one);
  assert_true (lease_value_write_cost (&value, UINT64_MAX, CHUNK) <= 2 * one);
}

/* Chunk numbers that agree in their lower 32 bits. */
static void
test_far_apart_chunks_do_not_mix (void **state)
{
  const uint64_t stride = (UINT64_C (1) << 32) * CHUNK;
  LeaseValue value = { 0 };

  (void)state;
  for (uint32_t i = 0; i < 1000; i++)
    write_checked (&value, i * stride + CHUNK, (const char *)&i, sizeof i);
  for (uint32_t i = 0; i < 1000; i++)
    expect_bytes (&value, i * stride + CHUNK, (const char *)&i, sizeof i);
  assert_int_equal (g_tree_nnodes (value.more->chunks), 1000);

  lease_value_truncate (&value, 500 * stride);
  assert_int_equal (g_tree_nnodes (value.more->chunks), 500);
  lease_value_clear (&value);
  expect_empty (&value);
}

static void
test_holes_are_known_by_pages (void **state)
{
  LeaseValue value = { 0 };
  uint64_t at;

  (void)state;
  write_text (&value, 3 * LEASE_VALUE_PAGE + 5, "x");
  lease_value_truncate (&value, 1000 * CHUNK);
  write_text (&value, 700 * CHUNK, "x");
  assert_true (lease_value_seek (&value, 0, true, &at));
  assert_int_equal (at, 0);
  assert_true (lease_value_seek (&value, 1, false, &at));
  assert_int_equal (at, 3 * LEASE_VALUE_PAGE);
  assert_true (lease_value_seek (&value, at, true, &at));
  assert_int_equal (at, CHUNK);
  assert_true (lease_value_seek (&value, at, false, &at));
  assert_int_equal (at, 700 * CHUNK);
  assert_false (lease_value_seek (&value, at + LEASE_VALUE_PAGE, false, &at));
  assert_false (lease_value_seek (&value, 1000 * CHUNK, true, &at));
  lease_value_clear (&value);
}

static void
test_what_is_reserved_stays_a_hole_and_is_counted_once (void **state)
{
  g_autofree char *data = g_malloc0 (CHUNK);
  LeaseValue value = { 0 };
  uint64_t at, counted;

  (void)state;
  lease_value_reserve (&value, 0, 10 * CHUNK);
  assert_int_equal (value.size, 0);
  counted = lease_value_footprint (&value);
  assert_true (counted >= 10 * CHUNK);
  write_checked (&value, CHUNK, data, CHUNK);
  assert_int_equal (lease_value_footprint (&value), counted);
  assert_true (lease_value_seek (&value, 0, false, &at));
  assert_int_equal (at, CHUNK);
  lease_value_truncate (&value, 2 * CHUNK);
  assert_true (lease_value_footprint (&value) < 3 * CHUNK);
  lease_value_punch (&value, 0, 2 * CHUNK);
  assert_int_equal (lease_value_footprint (&value), 0);
  assert_int_equal (value.size, 2 * CHUNK);
  lease_value_clear (&value);
  expect_empty (&value);
}

static void
test_the_cost_of_too_large_a_reservation_is_soon_known (void **state)
{
  LeaseValue value = { 0 };

  (void)state;
  assert_true (lease_value_reserve_cost (&value, 0, INT64_MAX, 1 << 20) > 1 << 20);
}

/* The model: all bytes in one piece. */
#define MODEL_SIZE (5 * CHUNK + 77)

#define PAGE LEASE_VALUE_PAGE
#define MODEL_PAGES (MODEL_SIZE / PAGE + 1)

typedef struct {
  char *bytes; /* MODEL_SIZE of them, zeros behind `size` */
  size_t size;
  bool written[MODEL_PAGES + 1]; /* the last never is */
  bool reserved[MODEL_PAGES];
} Model;

static void
mark_pages (bool *pages, size_t offset, size_t size)
{
  for (size_t page = offset / PAGE; size > 0 && page <= (offset + size - 1) / PAGE; page++)
    pages[page] = true;
}

/* The pages that lie wholly in the range are neither written nor reserved any more. */
static void
clear_pages (Model *model, size_t offset, size_t end)
{
  for (size_t page = (offset + PAGE - 1) / PAGE; page < MODEL_PAGES; page++)
    if ((page + 1) * PAGE <= end)
      model->written[page] = model->reserved[page] = false;
}

/* Often at or beside the border of a chunk or of a capacity. */
static size_t
random_offset (GRand *rand)
{
  size_t grain = (size_t)64 << g_rand_int_range (rand, 0, 9);
  size_t offset = (size_t)g_rand_int_range (rand, 0, (int)MODEL_SIZE);

  if (g_rand_boolean (rand))
    offset = offset / grain * grain + (size_t)g_rand_int_range (rand, 0, 3);
  else if (g_rand_boolean (rand))
    offset %= 300;
  return MIN (offset, MODEL_SIZE);
}

static size_t
random_size (GRand *rand, size_t limit)
{
  size_t size = (size_t)g_rand_int_range (rand, 0, 1 << g_rand_int_range (rand, 1, 17));

  return MIN (size, limit);
}

static void
write_both (LeaseValue *value, Model *model, GRand *rand)
{
  size_t offset = random_offset (rand);
  size_t size = random_size (rand, MODEL_SIZE - offset);
  char fill = (char)g_rand_int_range (rand, 1, 256);

  for (size_t i = 0; i < size; i++)
    model->bytes[offset + i] = (char)(fill + (char)(i % 13));
  if (size > 0)
    model->size = MAX (model->size, offset + size);
  mark_pages (model->written, offset, size);
  write_checked (value, offset, model->bytes + offset, size);
}

static void
truncate_both (LeaseValue *value, Model *model, GRand *rand)
{
  size_t size = random_offset (rand);

  if (size <= model->size) {
    uint64_t before = lease_value_footprint (value);

    memset (model->bytes + size, 0, model->size - size);
    clear_pages (model, size, SIZE_MAX);
    lease_value_truncate (value, size);
    assert_true (lease_value_footprint (value) <= before);
  } else {
    lease_value_truncate (value, size);
  }
  model->size = size;
}

static void
punch_both (LeaseValue *value, Model *model, GRand *rand)
{
  size_t offset = random_offset (rand);
  size_t size = random_size (rand, MODEL_SIZE - offset);
  uint64_t before = lease_value_footprint (value);

  memset (model->bytes + offset, 0, size);
  clear_pages (model, offset, offset + size);
  lease_value_punch (value, offset, size);
  assert_true (lease_value_footprint (value) <= before);
}

static void
reserve_both (LeaseValue *value, Model *model, GRand *rand)
{
  size_t offset = random_offset (rand);
  size_t size = random_size (rand, MODEL_SIZE - offset);
  uint64_t before = lease_value_footprint (value);
  uint64_t cost = lease_value_reserve_cost (value, offset, size, UINT64_MAX);

  mark_pages (model->reserved, offset, size);
  lease_value_reserve (value, offset, size);
  assert_int_equal (lease_value_footprint (value), before + cost);
  assert_int_equal (lease_value_reserve_cost (value, offset, size, 0), 0);
  if (size > 0)
    assert_int_equal (lease_value_write_cost (value, offset, size), 0);
}

static void
seek_both (const LeaseValue *value, const Model *model, GRand *rand)
{
  size_t offset = random_offset (rand);
  bool hole = g_rand_boolean (rand);
  size_t expected = offset;
  uint64_t found;

  while (expected < model->size && model->written[expected / PAGE] == hole)
    expected = (expected / PAGE + 1) * PAGE;
  expected = MIN (expected, model->size);
  if (offset >= model->size || (!hole && expected == model->size)) {
    assert_false (lease_value_seek (value, offset, hole, &found));
  } else {
    assert_true (lease_value_seek (value, offset, hole, &found));
    assert_int_equal (found, expected);
  }
}

static void
read_both (const LeaseValue *value, const Model *model, GRand *rand)
{
  g_autofree char *out = g_malloc (MODEL_SIZE);
  size_t offset = random_offset (rand);
  size_t size = random_size (rand, MODEL_SIZE);
  size_t expected = offset < model->size ? MIN (size, model->size - offset) : 0;

  memset (out, 0x55, MODEL_SIZE);
  assert_int_equal (lease_value_read (value, offset, out, size), expected);
  assert_memory_equal (out, model->bytes + offset, expected);
  if (expected < MODEL_SIZE)
    assert_int_equal (out[expected], 0x55);
}

static void
compare (const LeaseValue *value, const Model *model)
{
  size_t more = value->more != NULL ? g_tree_nnodes (value->more->chunks) : 0;
  size_t chunks = more + (value->first != NULL ? 1 : 0);

  assert_int_equal (value->size, model->size);
  expect_bytes (value, 0, model->bytes, model->size);
  assert_true (value->more == NULL || more > 0);
  for (size_t first = 0; first < MODEL_PAGES; first += CHUNK / PAGE) {
    bool kept = false;
    for (size_t page = first; page < MIN (first + CHUNK / PAGE, MODEL_PAGES); page++)
      kept = kept || model->written[page] || model->reserved[page];
    chunks -= kept;
  }
  assert_int_equal (chunks, 0);
  chunks = more + (value->first != NULL ? 1 : 0);
  assert_true (lease_value_footprint (value) >= chunks * 40);
  assert_true (lease_value_footprint (value) <= chunks * (CHUNK + 200));
}

static void
test_random_changes_agree_with_a_flat_model (void **state)
{
  (void)state;
  for (uint32_t seed = 0; seed < 40; seed++) {
    g_autoptr (GRand) rand = g_rand_new_with_seed (seed);
    g_autofree char *bytes = g_malloc0 (MODEL_SIZE);
    Model model = { .bytes = bytes };
    LeaseValue value = { 0 };

    for (int i = 0; i < 400; i++) {
      int choice = g_rand_int_range (rand, 0, 100);

      if (choice < 30)
        write_both (&value, &model, rand);
      else if (choice < 45)
        truncate_both (&value, &model, rand);
      else if (choice < 60)
        punch_both (&value, &model, rand);
      else if (choice < 70)
        reserve_both (&value, &model, rand);
      else if (choice < 85)
        seek_both (&value, &model, rand);
      else
        read_both (&value, &model, rand);
      compare (&value, &model);
    }
    lease_value_clear (&value);
    expect_empty (&value);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_a_zeroed_value_is_empty),
    cmocka_unit_test (test_what_was_written_is_read),
    cmocka_unit_test (test_reading_stops_at_the_end),
    cmocka_unit_test (test_writing_nothing_changes_nothing),
    cmocka_unit_test (test_a_hole_reads_as_zeros),
    cmocka_unit_test (test_a_small_value_takes_little),
    cmocka_unit_test (test_a_hole_takes_no_memory),
    cmocka_unit_test (test_the_cost_is_that_of_the_chunks_touched),
    cmocka_unit_test (test_what_was_cut_off_never_shows_again),
    cmocka_unit_test (test_truncate_frees_what_it_cuts),
    cmocka_unit_test (test_a_value_cut_short_takes_little_again),
    cmocka_unit_test (test_the_last_byte_of_all_can_be_written),
    cmocka_unit_test (test_a_read_that_would_pass_the_end_of_all_is_cut),
    cmocka_unit_test (test_the_cost_at_the_end_of_all_is_sane),
    cmocka_unit_test (test_far_apart_chunks_do_not_mix),
    cmocka_unit_test (test_holes_are_known_by_pages),
    cmocka_unit_test (test_what_is_reserved_stays_a_hole_and_is_counted_once),
    cmocka_unit_test (test_the_cost_of_too_large_a_reservation_is_soon_known),
    cmocka_unit_test (test_random_changes_agree_with_a_flat_model),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
