/* SPDX-License-Identifier: MIT */

/* Linear hashing. There are between 4/5 and as many buckets as entries, but never fewer than
 * BUCKETS_MIN. Let `size` be the power of two that is not below their number: an entry is in the
 * bucket that its hash names modulo `size`, or, as long as that one does not exist, modulo half of
 * it. So a new bucket takes its entries from a single other one, and gives them back to that when
 * it goes. Large arrays of buckets grow without being copied: realloc() has their pages moved. */

#include "leases/table.h"

#define BUCKETS_MIN ((size_t)4)

/* So many numbers in a row have buckets in a row: as many as there are in a line of the processor's
 * cache. */
#define NEIGHBOURS 8

/* How many buckets before its turn an entry is fetched into that cache. */
#define AHEAD 16

/* The number of the bucket half a table below: there is one for each but the first two. */
static size_t
lower_bucket (size_t number)
{
  return number & ~((size_t)1 << (g_bit_storage (number) - 1));
}

static size_t
bucket_of (const LeaseTable *table, uint64_t hash)
{
  size_t number = hash & (((size_t)1 << g_bit_storage (table->bucket_count - 1)) - 1);

  return number < table->bucket_count ? number : lower_bucket (number);
}

static void
set_room (LeaseTable *table, size_t room)
{
  table->buckets = g_renew (LeaseTableLink *, table->buckets, room);
  table->room = room;
}

static void
push (LeaseTable *table, size_t number, LeaseTableLink *link)
{
  link->next = table->buckets[number];
  table->buckets[number] = link;
}

/* Adds a bucket, and moves into it what belongs there. */
static void
add_bucket (LeaseTable *table, LeaseTableHash hash_of)
{
  size_t number = table->bucket_count;
  LeaseTableLink *link;

  if (number == table->room)
    set_room (table, number + number / 8 + BUCKETS_MIN);
  table->buckets[number] = NULL;
  table->bucket_count++;
  if (number < BUCKETS_MIN)
    return; /* there are no entries yet */
  link = table->buckets[lower_bucket (number)];
  table->buckets[lower_bucket (number)] = NULL;
  while (link != NULL) {
    LeaseTableLink *next = link->next;
    push (table, bucket_of (table, hash_of (link)), link);
    link = next;
  }
}

static void
remove_bucket (LeaseTable *table)
{
  size_t number = --table->bucket_count;
  LeaseTableLink *link = table->buckets[number];

  while (link != NULL) {
    LeaseTableLink *next = link->next;
    push (table, lower_bucket (number), link);
    link = next;
  }
  if (number < table->room / 2)
    set_room (table, number + number / 8);
}

void
lease_table_clear (LeaseTable *table)
{
  g_free (table->buckets);
  *table = (LeaseTable){ 0 };
}

LeaseTableLink *
lease_table_first (const LeaseTable *table, uint64_t hash)
{
  return table->count == 0 ? NULL : table->buckets[bucket_of (table, hash)];
}

void
lease_table_insert (LeaseTable *table, LeaseTableLink *link, LeaseTableHash hash_of)
{
  while (table->bucket_count < BUCKETS_MIN || table->bucket_count == table->count)
    add_bucket (table, hash_of);
  push (table, bucket_of (table, hash_of (link)), link);
  table->count++;
}

void
lease_table_remove (LeaseTable *table, LeaseTableLink *link, LeaseTableHash hash_of)
{
  LeaseTableLink **place = &table->buckets[bucket_of (table, hash_of (link))];

  while (*place != link)
    place = &(*place)->next;
  *place = link->next;
  table->count--;
  while (table->bucket_count > BUCKETS_MIN && table->bucket_count > table->count + table->count / 4)
    remove_bucket (table);
  if (table->count == 0)
    lease_table_clear (table);
}

void
lease_table_foreach (const LeaseTable *table, void (*each) (LeaseTableLink *link, void *data),
                     void *data)
{
  for (size_t i = 0; i < table->bucket_count; i++) {
    LeaseTableLink *link = table->buckets[i];
    if (i + AHEAD < table->bucket_count)
      __builtin_prefetch (table->buckets[i + AHEAD]);
    while (link != NULL) {
      LeaseTableLink *next = link->next;
      each (link, data);
      link = next;
    }
  }
}

/* The finalizer of MurmurHash3. */
static uint64_t
mix (uint64_t number)
{
  number ^= number >> 33;
  number *= UINT64_C (0xff51afd7ed558ccd);
  number ^= number >> 33;
  number *= UINT64_C (0xc4ceb9fe1a85ec53);
  return number ^ number >> 33;
}

uint64_t
lease_table_hash_number (uint64_t number)
{
  return mix (number / NEIGHBOURS) ^ number % NEIGHBOURS;
}

/* FNV-1a. */
uint64_t
lease_table_hash_text (const char *text)
{
  uint64_t hash = UINT64_C (0xcbf29ce484222325);

  for (; *text != '\0'; text++)
    hash = (hash ^ (unsigned char)*text) * UINT64_C (0x100000001b3);
  return mix (hash);
}

void
lease_table_check (const LeaseTable *table, LeaseTableHash hash_of)
{
  size_t count = 0;

  for (size_t i = 0; i < table->bucket_count; i++)
    for (const LeaseTableLink *link = table->buckets[i]; link != NULL; link = link->next, count++)
      if (bucket_of (table, hash_of (link)) != i)
        g_error ("an entry is in bucket %zu and not in %zu", i, bucket_of (table, hash_of (link)));
  if (count != table->count)
    g_error ("a table counts %zu entries, and has %zu", table->count, count);
  if (table->bucket_count > table->room ||
      (table->bucket_count > BUCKETS_MIN &&
       (table->bucket_count < count || table->bucket_count > count + count / 4)))
    g_error ("a table has %zu buckets for %zu entries", table->bucket_count, count);
}
