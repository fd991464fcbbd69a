/* SPDX-License-Identifier: MIT */

/* Owns the texts that the kernel may still ask for: by inode number, with the time when each was
 * made. */

#include "fs/metrics.h"

#include "fs/exposition.h"
#include "fs/quota.h"
#include "fs/recent.h"

#include <errno.h>

/* How many texts there may be, and how many bytes of them. */
#define TEXTS_MAX 1024
#define BYTES_MAX ((size_t)16 << 20)

struct FsMetrics {
  LeaseEngine *engine; /* constant */
  int64_t started_ns;  /* constant */
  uint64_t taken;      /* how many texts have been made; atomic */
  FsRecent *texts;     /* by inode number; with the wall clock when they were made */
};

FsMetrics *
fs_metrics_new (LeaseEngine *engine)
{
  FsMetrics *metrics = g_new0 (FsMetrics, 1);

  metrics->engine = engine;
  metrics->started_ns = lease_clock_wall_ns ();
  metrics->texts = fs_recent_new (TEXTS_MAX, BYTES_MAX);
  return metrics;
}

void
fs_metrics_free (FsMetrics *metrics)
{
  fs_recent_free (metrics->texts);
  g_free (metrics);
}

fuse_ino_t
fs_metrics_take (FsMetrics *metrics, const LeaseCaller *by, const FsContext *context)
{
  FsExposition now = { .requests = &context->requests,
                       .untold = __atomic_load_n (&context->untold, __ATOMIC_RELAXED),
                       .started_ns = metrics->started_ns,
                       .memory = fs_quota_memory () };
  uint64_t number = __atomic_add_fetch (&metrics->taken, 1, __ATOMIC_RELAXED);
  fuse_ino_t ino = fs_ino (number, LEASE_FILE_METRICS);

  lease_engine_metrics (metrics->engine, by, &now.engine);
  g_autoptr (GBytes) text = fs_exposition_text (&now);
  fs_recent_put (metrics->texts, (FsRecentKey){ .ino = ino }, text, (uint64_t)by->wall_ns);
  return ino;
}

void
fs_metrics_forget (FsMetrics *metrics, fuse_ino_t ino)
{
  fs_recent_drop (metrics->texts, (FsRecentKey){ .ino = ino });
}

int
fs_metrics_stat (FsMetrics *metrics, const LeaseCaller *by, fuse_ino_t ino, struct stat *stat_out)
{
  uint64_t id = lease_engine_leases (metrics->engine), wall_ns;
  g_autoptr (GBytes) text = fs_recent_get (metrics->texts, (FsRecentKey){ .ino = ino }, &wall_ns);
  LeaseAttr directory;

  if (text == NULL)
    return -ESTALE;
  int error = lease_engine_getattr (metrics->engine, by, id, &directory);
  if (error != 0)
    return error;
  struct timespec made = { .tv_sec = wall_ns / LEASE_SECOND, .tv_nsec = wall_ns % LEASE_SECOND };
  *stat_out = (struct stat){
    .st_ino = fs_ino (id, LEASE_FILE_METRICS),
    .st_mode = S_IFREG | 0444,
    .st_nlink = 1,
    .st_uid = directory.uid,
    .st_gid = directory.gid,
    .st_size = g_bytes_get_size (text),
    .st_blksize = 4096,
    .st_atim = made,
    .st_mtim = made,
    .st_ctim = made,
  };
  return 0;
}

int
fs_metrics_text (FsMetrics *metrics, fuse_ino_t ino, GBytes **text_out)
{
  *text_out = fs_recent_get (metrics->texts, (FsRecentKey){ .ino = ino }, NULL);
  return *text_out == NULL ? -ESTALE : 0;
}
