/* SPDX-License-Identifier: MIT */

/* A binary heap of deadlines. Invariants: no item's deadline is earlier than that of its parent,
 * which for index i is at (i - 1) / 2; and each item's `place` is its index + 1. The items belong
 * to the caller. No lock. */

#include "leases/queue.h"

struct LeaseQueue {
  GPtrArray *items; /* of LeaseQueueItem */
  size_t peak;      /* the most that this `items` has held */
};

static LeaseQueueItem *
item_at (const LeaseQueue *queue, size_t index)
{
  return g_ptr_array_index (queue->items, index);
}

static void
put_at (LeaseQueue *queue, size_t index, LeaseQueueItem *item)
{
  g_ptr_array_index (queue->items, index) = item;
  item->place = index + 1;
}

/* Finds the place of `item` at or above the free place `index`, moving later ones down. */
static void
sift_up (LeaseQueue *queue, size_t index, LeaseQueueItem *item)
{
  while (index > 0) {
    size_t parent = (index - 1) / 2;

    if (item_at (queue, parent)->deadline <= item->deadline)
      break;
    put_at (queue, index, item_at (queue, parent));
    index = parent;
  }
  put_at (queue, index, item);
}

/* Finds the place of `item` at or below the free place `index`, moving earlier ones up. */
static void
sift_down (LeaseQueue *queue, size_t index, LeaseQueueItem *item)
{
  size_t length = queue->items->len;

  for (;;) {
    size_t child = 2 * index + 1;

    if (child >= length)
      break;
    if (child + 1 < length &&
        item_at (queue, child + 1)->deadline < item_at (queue, child)->deadline)
      child++;
    if (item->deadline <= item_at (queue, child)->deadline)
      break;
    put_at (queue, index, item_at (queue, child));
    index = child;
  }
  put_at (queue, index, item);
}

/* Puts `item` where it belongs, given that the place `index` is free. */
static void
settle (LeaseQueue *queue, size_t index, LeaseQueueItem *item)
{
  if (index > 0 && item->deadline < item_at (queue, (index - 1) / 2)->deadline)
    sift_up (queue, index, item);
  else
    sift_down (queue, index, item);
}

LeaseQueue *
lease_queue_new (void)
{
  LeaseQueue *queue = g_new0 (LeaseQueue, 1);

  queue->items = g_ptr_array_new ();
  return queue;
}

void
lease_queue_free (LeaseQueue *queue)
{
  g_ptr_array_unref (queue->items);
  g_free (queue);
}

void
lease_queue_insert (LeaseQueue *queue, LeaseQueueItem *item, LeaseTime deadline)
{
  g_assert (item->place == 0);

  item->deadline = deadline;
  g_ptr_array_add (queue->items, item);
  queue->peak = MAX (queue->peak, queue->items->len);
  sift_up (queue, queue->items->len - 1, item);
}

void
lease_queue_update (LeaseQueue *queue, LeaseQueueItem *item, LeaseTime deadline)
{
  size_t index = item->place - 1;

  g_assert (index < queue->items->len && item_at (queue, index) == item);

  item->deadline = deadline;
  settle (queue, index, item);
}

/* Into a new array: one that GLib has let grow never gives memory back. */
static void
pack_items (LeaseQueue *queue)
{
  GPtrArray *packed = g_ptr_array_sized_new (queue->items->len);

  for (size_t i = 0; i < queue->items->len; i++)
    g_ptr_array_add (packed, item_at (queue, i));
  g_ptr_array_unref (queue->items);
  queue->items = packed;
  queue->peak = packed->len;
}

void
lease_queue_remove (LeaseQueue *queue, LeaseQueueItem *item)
{
  size_t index = item->place - 1;
  LeaseQueueItem *last;

  if (item->place == 0)
    return;
  g_assert (index < queue->items->len && item_at (queue, index) == item);

  item->place = 0;
  last = item_at (queue, queue->items->len - 1);
  g_ptr_array_set_size (queue->items, (int)queue->items->len - 1);
  if (last != item)
    settle (queue, index, last);
  if (queue->items->len < queue->peak / 4)
    pack_items (queue);
}

LeaseQueueItem *
lease_queue_earliest (const LeaseQueue *queue)
{
  return queue->items->len > 0 ? item_at (queue, 0) : NULL;
}

bool
lease_queue_contains (const LeaseQueueItem *item)
{
  return item->place != 0;
}

size_t
lease_queue_length (const LeaseQueue *queue)
{
  return queue->items->len;
}

void
lease_queue_check (const LeaseQueue *queue)
{
  for (size_t i = 0; i < queue->items->len; i++) {
    const LeaseQueueItem *item = item_at (queue, i);

    if (item->place != i + 1)
      g_error ("queue: the item at index %zu has place %zu", i, item->place);
    if (i > 0 && item->deadline < item_at (queue, (i - 1) / 2)->deadline)
      g_error ("queue: the item at index %zu is earlier than its parent", i);
  }
}
