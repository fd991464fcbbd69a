/* SPDX-License-Identifier: MIT */

/* The bytes of a key. Invariants: a chunk holds its first `capacity` bytes, and those behind that
 * read as zeros; every byte that is in no written page, or at or behind the value's size, is zero;
 * a chunk has a page that is written or reserved; LeaseValueMore.footprint is the sum of chunk_cost()
 * over its chunks; `more` is NULL when there are none. No lock. */

#include "leases/value.h"

#include <string.h>

/* A chunk number is a key of the tree as it is, in place of a pointer. */
G_STATIC_ASSERT (sizeof (void *) >= sizeof (uint64_t));

#define CAPACITY_MIN ((size_t)16)

/* What a chunk costs besides its capacity, at most: its struct and what malloc() keeps, and all but
 * the first a node of the tree, or a share in that. Constants, so that the footprint is the same
 * whatever the tree looks like. */
#define FIRST_HEADER ((uint64_t)24)
#define CHUNK_HEADER ((uint64_t)96)

#define PAGES (LEASE_VALUE_CHUNK / LEASE_VALUE_PAGE)
#define ALL_PAGES ((1u << PAGES) - 1)

/* Sets of pages are bits, the first page's lowest. */
struct LeaseValueChunk {
  uint32_t capacity; /* of data: a power of two from CAPACITY_MIN to LEASE_VALUE_CHUNK */
  uint8_t written;   /* pages that are no holes */
  uint8_t reserved;  /* pages that are counted as taken, written or not */
  char data[];
};

/* The part of a request that lies in one chunk. */
typedef struct {
  uint64_t number;
  size_t start; /* within the chunk */
  size_t size;
} Part;

static Part
first_part (uint64_t offset, uint64_t size)
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

/* The bytes up to the end of the last page of a set. */
static size_t
end_of_pages (unsigned pages)
{
  return pages == 0 ? 0 : g_bit_storage (pages) * LEASE_VALUE_PAGE;
}

/* The pages that a part touches. */
static unsigned
pages_of (Part part)
{
  size_t first = part.start / LEASE_VALUE_PAGE;
  size_t last = (part.start + part.size - 1) / LEASE_VALUE_PAGE;

  return ALL_PAGES & (~0u << first) & ~(~0u << (last + 1));
}

/* The pages from the first that begins at or behind `start`, up to the last that ends at or before
 * `end`. */
static unsigned
whole_pages (size_t start, size_t end)
{
  size_t first = (start + LEASE_VALUE_PAGE - 1) / LEASE_VALUE_PAGE;

  return ALL_PAGES & (~0u << first) & ~(~0u << (end / LEASE_VALUE_PAGE));
}

static uint64_t
cost_of (uint64_t number, size_t capacity, unsigned reserved)
{
  return (number == 0 ? FIRST_HEADER : CHUNK_HEADER) +
         MAX (capacity, reserved == 0 ? 0 : capacity_for (end_of_pages (reserved)));
}

static uint64_t
chunk_cost (uint64_t number, const LeaseValueChunk *chunk)
{
  return chunk != NULL ? cost_of (number, chunk->capacity, chunk->reserved) : 0;
}

/* The cost of a chunk is about to change, or has changed. */
static void
count_out (LeaseValue *value, uint64_t number, const LeaseValueChunk *chunk)
{
  if (number > 0 && chunk != NULL)
    value->more->footprint -= chunk_cost (number, chunk);
}

static void
count_in (LeaseValue *value, uint64_t number, const LeaseValueChunk *chunk)
{
  if (number > 0)
    value->more->footprint += chunk_cost (number, chunk);
}

uint64_t
lease_value_footprint (const LeaseValue *value)
{
  return chunk_cost (0, value->first) + (value->more == NULL ? 0 : value->more->footprint);
}

static int
compare_numbers (const void *a, const void *b)
{
  return (a > b) - (a < b);
}

static LeaseValueChunk *
find_chunk (const LeaseValue *value, uint64_t number)
{
  if (number == 0)
    return value->first;
  if (value->more == NULL)
    return NULL;
  return g_tree_lookup (value->more->chunks, GSIZE_TO_POINTER (number));
}

/* The first chunk from `number` on, and its number; NULL if there is none. */
static LeaseValueChunk *
next_chunk (const LeaseValue *value, uint64_t *number)
{
  if (*number == 0 && value->first != NULL)
    return value->first;
  GTreeNode *node = value->more == NULL
                        ? NULL
                        : g_tree_lower_bound (value->more->chunks, GSIZE_TO_POINTER (*number));
  if (node == NULL)
    return NULL;
  *number = GPOINTER_TO_SIZE (g_tree_node_key (node));
  return g_tree_node_value (node);
}

/* Gives the chunk `number`, made if need be, the capacity `capacity`; what it gains is zeros.
 * Returns it: it may have moved. */
static LeaseValueChunk *
resize_chunk (LeaseValue *value, uint64_t number, size_t capacity)
{
  LeaseValueChunk *old = find_chunk (value, number);
  size_t held = old != NULL ? old->capacity : 0;

  count_out (value, number, old);
  LeaseValueChunk *chunk = g_realloc (old, G_STRUCT_OFFSET (LeaseValueChunk, data) + capacity);
  if (held == 0)
    *chunk = (LeaseValueChunk){ 0 };
  chunk->capacity = capacity;
  if (capacity > held)
    memset (chunk->data + held, 0, capacity - held);

  if (number == 0) {
    value->first = chunk;
  } else {
    if (value->more == NULL) {
      value->more = g_new0 (LeaseValueMore, 1);
      value->more->chunks = g_tree_new (compare_numbers);
    }
    g_tree_insert (value->more->chunks, GSIZE_TO_POINTER (number), chunk);
  }
  count_in (value, number, chunk);
  return chunk;
}

static void
free_chunk (LeaseValue *value, uint64_t number)
{
  LeaseValueChunk *chunk = find_chunk (value, number);

  count_out (value, number, chunk);
  if (number == 0) {
    value->first = NULL;
  } else {
    g_tree_remove (value->more->chunks, GSIZE_TO_POINTER (number));
    if (g_tree_nnodes (value->more->chunks) == 0) {
      g_tree_unref (value->more->chunks);
      g_clear_pointer (&value->more, g_free);
    }
  }
  g_free (chunk);
}

/* Makes what the chunk `number` holds from `start` to `end` zeros, and its pages there holes, in no
 * more memory than is needed. */
static void
clear_part (LeaseValue *value, uint64_t number, size_t start, size_t end)
{
  LeaseValueChunk *chunk = find_chunk (value, number);
  unsigned cleared = whole_pages (start, end);

  if (((chunk->written | chunk->reserved) & ~cleared) == 0) {
    free_chunk (value, number);
    return;
  }
  if (start < chunk->capacity)
    memset (chunk->data + start, 0, MIN (end, chunk->capacity) - start);
  count_out (value, number, chunk);
  chunk->written &= ~cleared;
  chunk->reserved &= ~cleared;
  count_in (value, number, chunk);
  /* Where the end was cleared, what it held is not needed; not even all of a page. */
  size_t needed = end_of_pages (chunk->written);
  if (end >= chunk->capacity)
    needed = MIN (needed, start);
  if (capacity_for (needed) < chunk->capacity)
    resize_chunk (value, number, capacity_for (needed));
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

ssize_t
lease_value_page (const LeaseValue *value, uint64_t number, char *out)
{
  uint64_t offset = number * LEASE_VALUE_PAGE;
  const LeaseValueChunk *chunk = find_chunk (value, offset / LEASE_VALUE_CHUNK);
  size_t start = offset % LEASE_VALUE_CHUNK;

  if (chunk == NULL || (chunk->written & (1u << start / LEASE_VALUE_PAGE)) == 0)
    return -1;
  size_t held = chunk->capacity > start ? chunk->capacity - start : 0;
  held = MIN (MIN (held, LEASE_VALUE_PAGE), value->size > offset ? value->size - offset : 0);
  memcpy (out, chunk->data + start, held);
  memset (out + held, 0, LEASE_VALUE_PAGE - held);
  return held;
}

uint64_t
lease_value_write_cost (const LeaseValue *value, uint64_t offset, size_t size)
{
  uint64_t cost = 0;

  for (size_t done = 0; done < size;) {
    Part part = first_part (offset + done, size - done);
    uint64_t now = chunk_cost (part.number, find_chunk (value, part.number));
    uint64_t then = cost_of (part.number, capacity_for (part.start + part.size), 0);

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
    chunk->written |= pages_of (part);
    done += part.size;
  }

  /* As with write(2), no bytes behind the end do not make it grow. */
  if (size > 0)
    value->size = MAX (value->size, offset + size);
}

void
lease_value_punch (LeaseValue *value, uint64_t offset, uint64_t size)
{
  uint64_t end = size > UINT64_MAX - offset ? UINT64_MAX : offset + size;
  uint64_t number = offset / LEASE_VALUE_CHUNK;

  for (; next_chunk (value, &number) != NULL && number * LEASE_VALUE_CHUNK < end; number++) {
    uint64_t base = number * LEASE_VALUE_CHUNK;
    clear_part (value, number, offset > base ? offset - base : 0,
                MIN (end - base, LEASE_VALUE_CHUNK));
  }
}

void
lease_value_truncate (LeaseValue *value, uint64_t size)
{
  if (size <= value->size)
    lease_value_punch (value, size, UINT64_MAX);
  value->size = size;
}

uint64_t
lease_value_reserve_cost (const LeaseValue *value, uint64_t offset, uint64_t size, uint64_t limit)
{
  uint64_t cost = 0;

  for (uint64_t done = 0; done < size && cost <= limit;) {
    Part part = first_part (offset + done, size - done);
    const LeaseValueChunk *chunk = find_chunk (value, part.number);
    unsigned reserved = pages_of (part) | (chunk != NULL ? chunk->reserved : 0);

    cost += cost_of (part.number, chunk != NULL ? chunk->capacity : CAPACITY_MIN, reserved) -
            chunk_cost (part.number, chunk);
    done += part.size;
  }
  return cost;
}

void
lease_value_reserve (LeaseValue *value, uint64_t offset, uint64_t size)
{
  g_assert (offset <= INT64_MAX && size <= INT64_MAX - offset);

  for (uint64_t done = 0; done < size;) {
    Part part = first_part (offset + done, size - done);
    LeaseValueChunk *chunk = find_chunk (value, part.number);

    if (chunk == NULL)
      chunk = resize_chunk (value, part.number, CAPACITY_MIN);
    count_out (value, part.number, chunk);
    chunk->reserved |= pages_of (part);
    count_in (value, part.number, chunk);
    done += part.size;
  }
}

static uint64_t
next_data (const LeaseValue *value, uint64_t offset)
{
  uint64_t number = offset / LEASE_VALUE_CHUNK;
  const LeaseValueChunk *chunk;

  for (; (chunk = next_chunk (value, &number)) != NULL; number++) {
    uint64_t base = number * LEASE_VALUE_CHUNK;
    size_t skipped = offset > base ? (offset - base) / LEASE_VALUE_PAGE : 0;
    unsigned pages = chunk->written & (~0u << skipped);
    if (pages != 0)
      return MAX (offset, base + g_bit_nth_lsf (pages, -1) * LEASE_VALUE_PAGE);
  }
  return UINT64_MAX;
}

static uint64_t
next_hole (const LeaseValue *value, uint64_t offset)
{
  for (;;) {
    const LeaseValueChunk *chunk = find_chunk (value, offset / LEASE_VALUE_CHUNK);
    unsigned page = offset % LEASE_VALUE_CHUNK / LEASE_VALUE_PAGE;
    if (chunk == NULL || (chunk->written & (1u << page)) == 0)
      return offset;
    offset = (offset / LEASE_VALUE_PAGE + 1) * LEASE_VALUE_PAGE;
  }
}

bool
lease_value_seek (const LeaseValue *value, uint64_t offset, bool hole, uint64_t *offset_out)
{
  if (offset >= value->size)
    return false;
  *offset_out = hole ? MIN (next_hole (value, offset), value->size) : next_data (value, offset);
  return *offset_out < value->size || hole;
}
