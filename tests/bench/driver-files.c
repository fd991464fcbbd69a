/* SPDX-License-Identifier: MIT */

/* Keys that are files. The same calls on leasefs, on the floor and on a tmpfs, where the lease is a
 * directory with two ordinary files; what means nothing there (to attach, to grant and revoke) is
 * left out. The keys that are read and put have the lease, with a deadline far away; those that are
 * listed have one of their own, so that the lease is as small as leases are. */

#include "tests/bench/driver.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TTL "1000000\n"
#define DIR_SIZE 32
#define NAME_SIZE 128
/* Of those that are there beforehand, how many a directory has. */
#define LOAD_PER_DIR 1000

struct BenchClient {
  int root; /* of the mount */
  int reading;
  char dir[DIR_SIZE];
  char key[NAME_SIZE], put[NAME_SIZE], absent[NAME_SIZE], large[NAME_SIZE], list[NAME_SIZE];
  char published[NAME_SIZE];
  char lease[NAME_SIZE], ttl[NAME_SIZE], keys[NAME_SIZE], unpublished[NAME_SIZE];
};

static char large[BENCH_LARGE_SIZE];

static void
put (BenchClient *client, const char *path, int flags, const char *value, size_t size)
{
  int fd = openat (client->root, path, O_WRONLY | flags, 0644);

  bench_must (fd >= 0 && write (fd, value, size) == (ssize_t)size, path);
  close (fd);
}

static void
put_text (BenchClient *client, const char *path, int flags, const char *text)
{
  put (client, path, flags, text, strlen (text));
}

static void
name_new (const BenchClient *client, unsigned i, char name_out[NAME_SIZE])
{
  snprintf (name_out, NAME_SIZE, "%s/" BENCH_NEW "%u", client->dir, i);
}

static void
call_stat (BenchClient *client, unsigned i)
{
  struct stat st;

  bench_must (fstatat (client->root, client->key, &st, 0) == 0, client->key);
}

static void
call_absent (BenchClient *client, unsigned i)
{
  struct stat st;

  bench_must (fstatat (client->root, client->absent, &st, 0) != 0 && errno == ENOENT,
              client->absent);
}

static void
get (BenchClient *client, const char *path)
{
  char value[BENCH_VALUE_SIZE + 1];
  int fd = openat (client->root, path, O_RDONLY);

  bench_must (fd >= 0 && read (fd, value, sizeof value) == BENCH_VALUE_SIZE, path);
  close (fd);
}

static void
call_get (BenchClient *client, unsigned i)
{
  get (client, client->key);
}

static void
call_put (BenchClient *client, unsigned i)
{
  put (client, client->put, O_TRUNC, large, BENCH_VALUE_SIZE);
}

static void
call_get_new (BenchClient *client, unsigned i)
{
  get (client, client->put);
}

static void
call_pread (BenchClient *client, unsigned i)
{
  char value[BENCH_VALUE_SIZE];

  bench_must (pread (client->reading, value, sizeof value, 0) == sizeof value, client->key);
}

static void
call_new (BenchClient *client, unsigned i)
{
  char name[NAME_SIZE];

  name_new (client, i, name);
  put (client, name, O_CREAT | O_EXCL, large, BENCH_VALUE_SIZE);
}

static void
call_large (BenchClient *client, unsigned i)
{
  put (client, client->large, O_TRUNC, large, sizeof large);
}

static void
call_delete (BenchClient *client, unsigned i)
{
  char name[NAME_SIZE];

  name_new (client, i, name);
  bench_must (unlinkat (client->root, name, 0) == 0, name);
}

static void
make_new (BenchClient *client, unsigned calls)
{
  for (unsigned i = 0; i < calls; i++)
    call_new (client, i);
}

static void
delete_new (BenchClient *client, unsigned calls)
{
  for (unsigned i = 0; i < calls; i++)
    call_delete (client, i);
}

static void
call_refresh (BenchClient *client, unsigned i)
{
  bench_must (utimensat (client->root, client->lease, NULL, 0) == 0, client->lease);
}

static void
call_ttl (BenchClient *client, unsigned i)
{
  bench_must (utimensat (client->root, client->ttl, NULL, 0) == 0, client->ttl);
}

static void
call_attach (BenchClient *client, unsigned i)
{
  char name[NAME_SIZE + 1];

  name_new (client, i, name);
  strcat (name, "\n");
  put_text (client, client->keys, 0, name);
}

static void
call_grant (BenchClient *client, unsigned i)
{
  char lease[NAME_SIZE / 2], ttl[NAME_SIZE];

  snprintf (lease, sizeof lease, "leases/" BENCH_NEW "%s-%u", client->dir, i);
  snprintf (ttl, sizeof ttl, "%s/ttl", lease);
  bench_must (mkdirat (client->root, lease, 0755) == 0, lease);
  put_text (client, ttl, 0, TTL);
  bench_must (unlinkat (client->root, lease, AT_REMOVEDIR) == 0, lease);
}

static void
call_list (BenchClient *client, unsigned i)
{
  int fd = openat (client->root, client->list, O_RDONLY | O_DIRECTORY);
  DIR *dir = fd >= 0 ? fdopendir (fd) : NULL;
  unsigned entries = 0;

  bench_must (dir != NULL, client->list);
  while (readdir (dir) != NULL)
    entries++;
  closedir (dir);
  bench_must (entries == BENCH_LISTED + 2, client->list);
}

/* Makes the directory another one to whoever caches it. */
static void
change_list (BenchClient *client, unsigned i)
{
  char name[NAME_SIZE + 8];

  snprintf (name, sizeof name, "%s/" BENCH_NEW "x", client->list);
  put (client, name, O_CREAT | O_EXCL, large, BENCH_VALUE_SIZE);
  bench_must (unlinkat (client->root, name, 0) == 0, name);
}

static void
call_publish (BenchClient *client, unsigned i)
{
  put (client, client->unpublished, O_CREAT | O_EXCL, large, BENCH_VALUE_SIZE);
  bench_must (renameat (client->root, client->unpublished, client->root, client->published) == 0,
              client->published);
}

/* On the floor everything is there already. */
static void
make_dir (BenchClient *client, const char *path)
{
  bench_must (mkdirat (client->root, path, 0755) == 0 || errno == EEXIST, path);
}

static void
attach (BenchClient *client, const char *lease, const char *path)
{
  g_autofree char *keys = g_strdup_printf ("%s/keys", lease);
  g_autofree char *line = g_strdup_printf ("%s\n", path);

  put_text (client, keys, 0, line);
}

static void
make_lease (BenchClient *client, const char *lease)
{
  g_autofree char *ttl = g_strdup_printf ("%s/ttl", lease);
  g_autofree char *keys = g_strdup_printf ("%s/keys", lease);

  make_dir (client, lease);
  put_text (client, ttl, O_CREAT, TTL);
  put_text (client, keys, O_CREAT, "");
}

static void
make_key (BenchClient *client, const char *path, size_t size)
{
  put (client, path, O_CREAT | O_TRUNC, large, size);
  attach (client, client->lease, path);
}

static void
make_list (BenchClient *client)
{
  g_autofree char *lease = g_strdup_printf ("%s-list", client->lease);
  char name[NAME_SIZE + 16];
  struct stat st;

  make_lease (client, lease);
  make_dir (client, client->list);
  attach (client, lease, client->list);
  /* On the floor it is full. */
  snprintf (name, sizeof name, "%s/" BENCH_LISTED_NAME, client->list, 0);
  if (fstatat (client->root, name, &st, 0) == 0)
    return;
  for (unsigned i = 0; i < BENCH_LISTED; i++) {
    snprintf (name, sizeof name, "%s/" BENCH_LISTED_NAME, client->list, i);
    put (client, name, O_CREAT | O_EXCL, large, BENCH_VALUE_SIZE);
  }
}

static void
name_all (BenchClient *client, unsigned number)
{
  char *dir = client->dir;

  snprintf (client->dir, DIR_SIZE, "client-%u", number);
  snprintf (client->key, NAME_SIZE, "%s/key", dir);
  snprintf (client->put, NAME_SIZE, "%s/key-put", dir);
  snprintf (client->absent, NAME_SIZE, "%s/" BENCH_NEW "missing", dir);
  snprintf (client->large, NAME_SIZE, "%s/large", dir);
  snprintf (client->list, NAME_SIZE, "%s/list", dir);
  snprintf (client->published, NAME_SIZE, "%s/key-published", dir);
  snprintf (client->lease, NAME_SIZE, "leases/%s", dir);
  snprintf (client->ttl, NAME_SIZE, "leases/%s/ttl", dir);
  snprintf (client->keys, NAME_SIZE, "leases/%s/keys", dir);
  snprintf (client->unpublished, NAME_SIZE, "leases/%s/" BENCH_NEW "x", dir);
}

static BenchClient *
open_files (const char *where, unsigned number, const BenchLoad *load)
{
  BenchClient *client = g_new0 (BenchClient, 1);

  name_all (client, number);
  client->root = open (where, O_RDONLY | O_DIRECTORY);
  bench_must (client->root >= 0, where);
  make_dir (client, "leases");
  make_lease (client, client->lease);
  make_dir (client, client->dir);
  make_key (client, client->key, BENCH_VALUE_SIZE);
  make_key (client, client->put, BENCH_VALUE_SIZE);
  make_key (client, client->large, BENCH_LARGE_SIZE);
  make_key (client, client->published, BENCH_VALUE_SIZE);
  make_list (client);
  client->reading = openat (client->root, client->key, O_RDONLY);
  bench_must (client->reading >= 0, client->key);
  return client;
}

/* A lease with a key of its own, `load/DIRECTORY/KEY`. */
static void
make_load (BenchClient *client, unsigned i)
{
  char lease[NAME_SIZE], path[NAME_SIZE], to[NAME_SIZE];

  snprintf (lease, sizeof lease, "leases/load-%07u", i);
  make_dir (client, lease);
  snprintf (path, sizeof path, "leases/load-%07u/ttl", i);
  put_text (client, path, 0, TTL);
  snprintf (path, sizeof path, "leases/load-%07u/x", i);
  put (client, path, O_CREAT | O_EXCL, large, BENCH_VALUE_SIZE);
  snprintf (to, sizeof to, "load/%u/key-%07u", i / LOAD_PER_DIR, i);
  bench_must (renameat (client->root, path, client->root, to) == 0, to);
}

static BenchClient *
open_leasefs (const char *where, unsigned number, const BenchLoad *load)
{
  BenchClient *client = open_files (where, number, load);
  char dir[DIR_SIZE];

  if (load->keys > 0)
    make_dir (client, "load");
  for (unsigned first = number * LOAD_PER_DIR; first < load->keys;
       first += load->clients * LOAD_PER_DIR) {
    snprintf (dir, sizeof dir, "load/%u", first / LOAD_PER_DIR);
    make_dir (client, dir);
    for (unsigned i = first; i < load->keys && i < first + LOAD_PER_DIR; i++)
      make_load (client, i);
  }
  return client;
}

static void
close_files (BenchClient *client)
{
  close (client->reading);
  close (client->root);
  g_free (client);
}

/* What a tmpfs has as well. */
#define ORDINARY_ROWS                                                                              \
  [BENCH_ROW_STAT] = { .call = call_stat, .cached = true },                                        \
  [BENCH_ROW_ABSENT] = { .call = call_absent, .cached = true },                                    \
  [BENCH_ROW_GET] = { .call = call_get, .cached = true },                                          \
  [BENCH_ROW_GET_NEW] = { .before = call_put, .call = call_get_new },                              \
  [BENCH_ROW_PREAD] = { .call = call_pread, .cached = true },                                      \
  [BENCH_ROW_PUT] = { .call = call_put },                                                          \
  [BENCH_ROW_NEW] = { .call = call_new, .finish = delete_new },                                    \
  [BENCH_ROW_LARGE] = { .call = call_large },                                                      \
  [BENCH_ROW_DELETE] = { .prepare = make_new, .call = call_delete },                               \
  [BENCH_ROW_REFRESH] = { .call = call_refresh }, [BENCH_ROW_TTL] = { .call = call_ttl },          \
  [BENCH_ROW_LIST] = { .call = call_list, .cached = true },                                        \
  [BENCH_ROW_LIST_NEW] = { .before = change_list, .call = call_list },                             \
  [BENCH_ROW_PUBLISH] = { .call = call_publish }

#define LEASE_ROWS                                                                                 \
  [BENCH_ROW_ATTACH] = { .prepare = make_new, .call = call_attach, .finish = delete_new },         \
  [BENCH_ROW_GRANT] = { .call = call_grant }

const BenchDriver bench_tmpfs = { "tmpfs", open_files, close_files, { ORDINARY_ROWS } };
const BenchDriver bench_floor = { "floor", open_files, close_files, { ORDINARY_ROWS, LEASE_ROWS } };
const BenchDriver bench_leasefs = {
  "leasefs", open_leasefs, close_files, { ORDINARY_ROWS, LEASE_ROWS }
};
