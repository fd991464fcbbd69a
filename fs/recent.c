/* SPDX-License-Identifier: MIT */

/* Owns the texts: in a hash table by key, and in a queue by age, oldest first. Its lock covers
 * both, and is held for nothing else. */

#include "fs/recent.h"

#include <pthread.h>

typedef struct {
  FsRecentKey key;
  GBytes *text;
  uint64_t number;
  GList link; /* in FsRecent.by_age */
} Entry;

struct FsRecent {
  unsigned max_count; /* constant */
  size_t max_bytes;   /* constant */
  pthread_mutex_t lock;
  GHashTable *by_key; /* of Entry, which it owns; lock */
  GQueue by_age;      /* lock */
  size_t bytes;       /* of all texts; lock */
};

static unsigned
hash_key (const void *data)
{
  const FsRecentKey *key = data;
  uint64_t hash = (key->ino * 31 + key->thread) * UINT64_C (0x9e3779b97f4a7c15);

  return hash >> 32;
}

static gboolean
equal_keys (const void *one, const void *other)
{
  const FsRecentKey *a = one, *b = other;

  return a->ino == b->ino && a->thread == b->thread;
}

static void
free_entry (void *data)
{
  Entry *entry = data;

  g_bytes_unref (entry->text);
  g_free (entry);
}

FsRecent *
fs_recent_new (unsigned max_count, size_t max_bytes)
{
  FsRecent *recent = g_new0 (FsRecent, 1);

  recent->max_count = max_count;
  recent->max_bytes = max_bytes;
  pthread_mutex_init (&recent->lock, NULL);
  recent->by_key = g_hash_table_new_full (hash_key, equal_keys, NULL, free_entry);
  return recent;
}

void
fs_recent_free (FsRecent *recent)
{
  g_hash_table_unref (recent->by_key);
  pthread_mutex_destroy (&recent->lock);
  g_free (recent);
}

static void
remove_locked (FsRecent *recent, Entry *entry)
{
  recent->bytes -= g_bytes_get_size (entry->text);
  g_queue_unlink (&recent->by_age, &entry->link);
  g_hash_table_remove (recent->by_key, &entry->key);
}

static void
drop_locked (FsRecent *recent, FsRecentKey key)
{
  Entry *entry = g_hash_table_lookup (recent->by_key, &key);

  if (entry != NULL)
    remove_locked (recent, entry);
}

void
fs_recent_put (FsRecent *recent, FsRecentKey key, GBytes *text, uint64_t number)
{
  Entry *entry = g_new0 (Entry, 1);

  *entry = (Entry){ .key = key, .text = g_bytes_ref (text), .number = number };
  entry->link.data = entry;
  pthread_mutex_lock (&recent->lock);
  drop_locked (recent, key);
  recent->bytes += g_bytes_get_size (text);
  g_hash_table_insert (recent->by_key, &entry->key, entry);
  g_queue_push_tail_link (&recent->by_age, &entry->link);
  while (recent->by_age.length > 1 &&
         (recent->by_age.length > recent->max_count || recent->bytes > recent->max_bytes))
    remove_locked (recent, recent->by_age.head->data);
  pthread_mutex_unlock (&recent->lock);
}

GBytes *
fs_recent_get (FsRecent *recent, FsRecentKey key, uint64_t *number_out)
{
  GBytes *text = NULL;

  pthread_mutex_lock (&recent->lock);
  const Entry *entry = g_hash_table_lookup (recent->by_key, &key);
  if (entry != NULL) {
    text = g_bytes_ref (entry->text);
    if (number_out != NULL)
      *number_out = entry->number;
  }
  pthread_mutex_unlock (&recent->lock);
  return text;
}

void
fs_recent_drop (FsRecent *recent, FsRecentKey key)
{
  pthread_mutex_lock (&recent->lock);
  drop_locked (recent, key);
  pthread_mutex_unlock (&recent->lock);
}
