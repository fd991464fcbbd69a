/* SPDX-License-Identifier: MIT */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A hash table of structs that carry their own link, so that an entry costs that and one bucket. It
 * grows and shrinks by a bucket at a time: no insertion has to move all that is there, however much
 * that is. Not locked: the caller sees to that. */

typedef struct LeaseTableLink LeaseTableLink;

/* In each entry, as its first member. */
struct LeaseTableLink {
  LeaseTableLink *next; /* in the same bucket */
};

/* The hash of an entry: its lowest bits, however many, should depend on all of the key. */
typedef uint64_t (*LeaseTableHash) (const LeaseTableLink *link);

/* Zero-initialised it is the empty table, which takes no memory. Read `count`; leave the rest
 * alone. */
typedef struct {
  size_t count;
  LeaseTableLink **buckets;
  size_t bucket_count;
  size_t room; /* for buckets */
} LeaseTable;

/* Frees what the table itself holds, and makes it the empty table. The entries are the caller's. */
void lease_table_clear (LeaseTable *table);

/* The first of the entries that may have that hash; LeaseTableLink.next leads to the others. NULL:
 * none has. */
LeaseTableLink *lease_table_first (const LeaseTable *table, uint64_t hash);

/* Adds an entry, which must not be there yet. `hash_of` is the same in all calls. */
void lease_table_insert (LeaseTable *table, LeaseTableLink *link, LeaseTableHash hash_of);

/* Removes an entry, which must be there. */
void lease_table_remove (LeaseTable *table, LeaseTableLink *link, LeaseTableHash hash_of);

/* Calls `each` for every entry, in no order. It may free that entry if the table is not used any
 * more but to be cleared. */
void lease_table_foreach (const LeaseTable *table, void (*each) (LeaseTableLink *link, void *data),
                          void *data);

/* The hash of a number, respectively a text. Numbers in a row are found in buckets that lie close
 * together. */
uint64_t lease_table_hash_number (uint64_t number);
uint64_t lease_table_hash_text (const char *text);

/* Aborts with g_error() unless every entry is where it is looked for. O(n). */
void lease_table_check (const LeaseTable *table, LeaseTableHash hash_of);
