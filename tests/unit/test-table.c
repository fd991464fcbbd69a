/* SPDX-License-Identifier: MIT */

/* The hash table that grows by a bucket at a time. */

#include "leases/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <cmocka.h>

#define COUNT 3000

typedef struct {
  LeaseTableLink link;
  uint64_t number;
  bool there;
  unsigned seen;
} Entry;

static uint64_t
hash_entry (const LeaseTableLink *link)
{
  return lease_table_hash_number (((const Entry *)(const void *)link)->number);
}

/* All in the same few buckets, whatever the size. */
static uint64_t
hash_badly (const LeaseTableLink *link)
{
  return ((const Entry *)(const void *)link)->number % 3;
}

static Entry *
find (const LeaseTable *table, uint64_t number)
{
  LeaseTableLink *link = lease_table_first (table, lease_table_hash_number (number));

  while (link != NULL && ((Entry *)(void *)link)->number != number)
    link = link->next;
  return (Entry *)(void *)link;
}

static Entry *
new_entries (void)
{
  Entry *entries = g_new0 (Entry, COUNT);

  for (unsigned i = 0; i < COUNT; i++)
    entries[i].number = i;
  return entries;
}

static void
insert (LeaseTable *table, Entry *entry)
{
  lease_table_insert (table, &entry->link, hash_entry);
  entry->there = true;
}

static void
take_out (LeaseTable *table, Entry *entry)
{
  lease_table_remove (table, &entry->link, hash_entry);
  entry->there = false;
}

/* Exactly those that are there are found. */
static void
expect_found (const LeaseTable *table, Entry *entries)
{
  size_t count = 0;

  lease_table_check (table, hash_entry);
  for (unsigned i = 0; i < COUNT; i++) {
    assert_ptr_equal (find (table, i), entries[i].there ? &entries[i] : NULL);
    count += entries[i].there;
  }
  assert_int_equal (table->count, count);
}

static void
test_an_empty_table_has_nothing (void **state)
{
  LeaseTable table = { 0 };

  (void)state;
  assert_null (lease_table_first (&table, 0));
  assert_null (lease_table_first (&table, UINT64_MAX));
  lease_table_check (&table, hash_entry);
  lease_table_clear (&table);
}

static void
test_everything_is_found_at_every_size (void **state)
{
  g_autofree Entry *entries = new_entries ();
  LeaseTable table = { 0 };

  (void)state;
  for (unsigned i = 0; i < COUNT; i++) {
    insert (&table, &entries[i]);
    lease_table_check (&table, hash_entry);
    assert_ptr_equal (find (&table, i / 2), &entries[i / 2]);
    assert_null (find (&table, i + 1));
  }
  expect_found (&table, entries);
  lease_table_clear (&table);
}

static void
test_what_is_removed_while_it_grows_is_gone (void **state)
{
  g_autofree Entry *entries = new_entries ();
  LeaseTable table = { 0 };

  (void)state;
  for (unsigned i = 0; i < COUNT; i++) {
    insert (&table, &entries[i]);
    if (i % 3 == 2)
      take_out (&table, entries[i / 2].there ? &entries[i / 2] : &entries[i]);
    if (i % 100 == 0)
      expect_found (&table, entries);
  }
  expect_found (&table, entries);
  lease_table_clear (&table);
}

static void
test_it_shrinks_with_what_it_holds (void **state)
{
  g_autofree Entry *entries = new_entries ();
  LeaseTable table = { 0 };

  (void)state;
  for (unsigned i = 0; i < COUNT; i++)
    insert (&table, &entries[i]);
  for (unsigned i = 0; i < COUNT; i++) {
    take_out (&table, &entries[i]);
    lease_table_check (&table, hash_entry);
    assert_true (table.room <= 3 * table.count + 8);
    if (i % 100 == 0)
      expect_found (&table, entries);
  }
  assert_int_equal (table.count, 0);
  assert_null (table.buckets);
}

static void
count_up (LeaseTableLink *link, void *data)
{
  unsigned *count = data;

  ((Entry *)(void *)link)->seen++;
  ++*count;
}

static void
test_each_entry_is_visited_once (void **state)
{
  g_autofree Entry *entries = new_entries ();
  LeaseTable table = { 0 };
  unsigned count = 0;

  (void)state;
  lease_table_foreach (&table, count_up, &count);
  assert_int_equal (count, 0);
  for (unsigned i = 0; i < COUNT; i++)
    insert (&table, &entries[i]);
  take_out (&table, &entries[17]);
  lease_table_foreach (&table, count_up, &count);
  assert_int_equal (count, COUNT - 1);
  for (unsigned i = 0; i < COUNT; i++)
    assert_int_equal (entries[i].seen, i != 17);
  lease_table_clear (&table);
}

static void
free_entry (LeaseTableLink *link, void *data)
{
  g_free (link);
}

static void
test_entries_can_be_freed_while_they_are_visited (void **state)
{
  LeaseTable table = { 0 };

  (void)state;
  for (unsigned i = 0; i < 100; i++) {
    Entry *entry = g_new0 (Entry, 1);
    entry->number = i;
    insert (&table, entry);
  }
  lease_table_foreach (&table, free_entry, NULL);
  lease_table_clear (&table);
}

static void
test_equal_hashes_do_no_harm (void **state)
{
  g_autofree Entry *entries = new_entries ();
  LeaseTable table = { 0 };

  (void)state;
  for (unsigned i = 0; i < COUNT; i++)
    lease_table_insert (&table, &entries[i].link, hash_badly);
  lease_table_check (&table, hash_badly);
  for (unsigned i = 0; i < COUNT; i += 2)
    lease_table_remove (&table, &entries[i].link, hash_badly);
  lease_table_check (&table, hash_badly);
  assert_int_equal (table.count, COUNT / 2);
  lease_table_clear (&table);
}

/* How many of 1024 buckets `count` numbers fall into, that far apart. */
static unsigned
spread (unsigned count, uint64_t step)
{
  bool hit[1024] = { false };
  unsigned buckets = 0;

  for (uint64_t i = 0; i < count; i++)
    hit[lease_table_hash_number (i * step) % G_N_ELEMENTS (hit)] = true;
  for (unsigned i = 0; i < G_N_ELEMENTS (hit); i++)
    buckets += hit[i];
  return buckets;
}

static void
test_numbers_that_follow_a_pattern_do_not_meet (void **state)
{
  (void)state;
  for (unsigned bit = 0; bit < 54; bit++)
    assert_true (spread (1024, UINT64_C (1) << bit) > 500);
}

static void
test_numbers_in_a_row_are_close (void **state)
{
  (void)state;
  for (uint64_t i = 0; i < 1000; i++)
    assert_true ((lease_table_hash_number (8 * i) ^ lease_table_hash_number (8 * i + i % 8)) < 8);
}

static void
test_texts_have_hashes_of_their_own (void **state)
{
  (void)state;
  assert_true (lease_table_hash_text ("key-1") == lease_table_hash_text ("key-1"));
  assert_true (lease_table_hash_text ("key-1") != lease_table_hash_text ("key-2"));
  assert_true (lease_table_hash_text ("") != lease_table_hash_text ("a"));
  assert_true (lease_table_hash_text ("\377") != lease_table_hash_text ("\177"));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_an_empty_table_has_nothing),
    cmocka_unit_test (test_everything_is_found_at_every_size),
    cmocka_unit_test (test_what_is_removed_while_it_grows_is_gone),
    cmocka_unit_test (test_it_shrinks_with_what_it_holds),
    cmocka_unit_test (test_each_entry_is_visited_once),
    cmocka_unit_test (test_entries_can_be_freed_while_they_are_visited),
    cmocka_unit_test (test_equal_hashes_do_no_harm),
    cmocka_unit_test (test_numbers_that_follow_a_pattern_do_not_meet),
    cmocka_unit_test (test_numbers_in_a_row_are_close),
    cmocka_unit_test (test_texts_have_hashes_of_their_own),
  };
  return cmocka_run_group_tests (tests, NULL, NULL);
}
