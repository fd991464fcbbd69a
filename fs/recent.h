/* SPDX-License-Identifier: MIT */
#pragma once

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

/* A bounded table of texts that will be asked for again shortly. When there are too many, the
 * oldest go first, so that it takes much and quick work of others to push one out. Any thread. */
typedef struct FsRecent FsRecent;

typedef struct {
  uint64_t ino;
  uint64_t thread; /* 0 where it does not matter */
} FsRecentKey;

/* Keeps up to `max_count` texts, of up to `max_bytes` together, but always the newest. */
FsRecent *fs_recent_new (unsigned max_count, size_t max_bytes);
void fs_recent_free (FsRecent *recent);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (FsRecent, fs_recent_free)

/* Remembers `text`, in place of what it may have for that key, and a number with it. */
void fs_recent_put (FsRecent *recent, FsRecentKey key, GBytes *text, uint64_t number);

/* The text, which the caller unrefs, and its number (`number_out` may be NULL); NULL if there is
 * none. */
GBytes *fs_recent_get (FsRecent *recent, FsRecentKey key, uint64_t *number_out);

/* Forgets it. */
void fs_recent_drop (FsRecent *recent, FsRecentKey key);
