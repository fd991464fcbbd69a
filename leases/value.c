/* SPDX-License-Identifier: MIT */

/* The bytes of a key. Invariants: a chunk holds its first `capacity` bytes, and those behind that
 * read as zeros; every byte at or behind the value's size is zero, so that growing shows a hole;
 * `footprint` is the sum of chunk_cost() over all chunks; `more` is NULL when there is nothing in
 * it. No lock. */

#include "leases/value.h"

#include <stdbool.h>
#include <string.h>

/* A chunk number is a key of the hash table as it is, in place of a pointer. */
G_STATIC_ASSERT (sizeof (void *) >= sizeof (uint64_t));

#define CAPACITY_MIN ((size_t)64)

/* What a chunk costs besides its capacity, at most: its struct, its place in the hash table, and
 * what malloc() keeps. A constant, so that the footprint is the same whatever the table looks like.
 */
#define CHUNK_HEADER ((uint64_t)64)

struct LeaseValueChunk {
  size_t capacity; /* of data: a power of two from CAPACITY_MIN to LEASE_VALUE_CHUNK */
  char data[];
};

/* The part of a request that lies in one chunk. */
typedef struct {
  uint64_t number;
  size_t start; /* within the chunk */
  size_t size;
} Part;

static Part
first_part (uint64_t offset, size_t size)
{
  Part part = { .number = offset / LEASE_VALUE_CHUNK, .start = offset % LEASE_VALUE_CHUNK };

  part.size = MIN (size, LEASE_VALUE_CHUNK - part.start);
  return part;
}

static size_t
capacity_for (size_t bytes)
{
  size_t capacity = CAPACITY_MIN;

  while (capacity < bytes)
    capacity *= 2;
  return capacity;
}

static uint64_t
chunk_cost (const LeaseValueChunk *chunk)
{
  return chunk != NULL ? CHUNK_HEADER + chunk->capacity : 0;
}

/* g_direct_hash() would see the lower half of the number only. */
static unsigned int
hash_number (const void *key)
{
  uint64_t number = GPOINTER_TO_SIZE (key);

  return (unsigned int)((number * UINT64_C (0x9e3779b97f4a7c15)) >> 32);
}

static LeaseValueChunk *
find_chunk (const LeaseValue *value, uint64_t number)
{
  if (number == 0)
    return value->first;
  if (value->more == NULL)
    return NULL;
  return g_hash_table_lookup (value->more, GSIZE_TO_POINTER (number));
}

/* Gives the chunk `number`, made if need be, the capacity `capacity`; what it gains is zeros.
 * Returns it: it may have moved. */
static LeaseValueChunk *
resize_chunk (LeaseValue *value, uint64_t number, size_t capacity)
{
  LeaseValueChunk *chunk = find_chunk (value, number);
  size_t held = chunk != NULL ? chunk->capacity : 0;

  value->footprint -= chunk_cost (chunk);
  chunk = g_realloc (chunk, sizeof *chunk + capacity);
  chunk->capacity = capacity;
  value->footprint += chunk_cost (chunk);
  if (capacity > held)
    memset (chunk->data + held, 0, capacity - held);

  if (number == 0) {
    value->first = chunk;
  } else {
    if (value->more == NULL)
      value->more = g_hash_table_new (hash_number, g_direct_equal);
    g_hash_table_insert (value->more, GSIZE_TO_POINTER (number), chunk);
  }

  return chunk;
}

typedef struct {
  LeaseValue *value;
  uint64_t kept; /* chunks below this number */
} Cut;

static gboolean
free_if_cut (void *key, void *data, void *user_data)
{
  LeaseValueChunk *chunk = data;
  Cut *cut = user_data;

  if (GPOINTER_TO_SIZE (key) < cut->kept)
    return FALSE;

  cut->value->footprint -= chunk_cost (chunk);
  g_free (chunk);
  return TRUE;
}

/* Frees all chunks but those below the number `kept`. */
static void
free_chunks_from (LeaseValue *value, uint64_t kept)
{
  Cut cut = { .value = value, .kept = kept };

  if (kept == 0 && value->first != NULL) {
    value->footprint -= chunk_cost (value->first);
    g_clear_pointer (&value->first, g_free);
  }

  if (value->more == NULL)
    return;
  g_hash_table_foreach_remove (value->more, free_if_cut, &cut);
  if (g_hash_table_size (value->more) == 0)
    g_clear_pointer (&value->more, g_hash_table_unref);
}

void
lease_value_clear (LeaseValue *value)
{
  lease_value_truncate (value, 0);
}

size_t
lease_value_read (const LeaseValue *value, uint64_t offset, char *out, size_t size)
{
  size_t done = 0;

  if (offset >= value->size)
    return 0;
  size = (size_t)MIN (size, value->size - offset);

  while (done < size) {
    Part part = first_part (offset + done, size - done);
    const LeaseValueChunk *chunk = find_chunk (value, part.number);
    size_t held = 0;

    if (chunk != NULL && part.start < chunk->capacity) {
      held = MIN (part.size, chunk->capacity - part.start);
      memcpy (out + done, chunk->data + part.start, held);
    }
    memset (out + done + held, 0, part.size - held);
    done += part.size;
  }

  return size;
}

uint64_t
lease_value_write_cost (const LeaseValue *value, uint64_t offset, size_t size)
{
  uint64_t cost = 0;

  for (size_t done = 0; done < size;) {
    Part part = first_part (offset + done, size - done);
    uint64_t now = chunk_cost (find_chunk (value, part.number));
    uint64_t then = CHUNK_HEADER + capacity_for (part.start + part.size);

    cost += then > now ? then - now : 0;
    done += part.size;
  }

  return cost;
}

void
lease_value_write (LeaseValue *value, uint64_t offset, const char *data, size_t size)
{
  g_assert (offset <= INT64_MAX && size <= INT64_MAX - offset);

  for (size_t done = 0; done < size;) {
    Part part = first_part (offset + done, size - done);
    LeaseValueChunk *chunk = find_chunk (value, part.number);

    if (chunk == NULL || chunk->capacity < part.start + part.size)
      chunk = resize_chunk (value, part.number, capacity_for (part.start + part.size));
    memcpy (chunk->data + part.start, data + done, part.size);
    done += part.size;
  }

  /* As with write(2), no bytes behind the end do not make it grow. */
  if (size > 0)
    value->size = MAX (value->size, offset + size);
}

/* Makes what the chunk `number` holds from `end` on zeros, in no more memory than is needed. */
static void
cut_chunk (LeaseValue *value, uint64_t number, size_t end)
{
  LeaseValueChunk *chunk = find_chunk (value, number);

  if (chunk == NULL || chunk->capacity <= end)
    return;

  if (capacity_for (end) < chunk->capacity)
    chunk = resize_chunk (value, number, capacity_for (end));
  memset (chunk->data + end, 0, chunk->capacity - end);
}

void
lease_value_truncate (LeaseValue *value, uint64_t size)
{
  if (size < value->size) {
    uint64_t whole = size / LEASE_VALUE_CHUNK;
    size_t tail = size % LEASE_VALUE_CHUNK;

    free_chunks_from (value, tail > 0 ? whole + 1 : whole);
    if (tail > 0)
      cut_chunk (value, whole, tail);
  }

  value->size = size;
}
