/* SPDX-License-Identifier: MIT */

/* Redis on a port of loopback, over hiredis. A lease is each key's own time to live there, so a put
 * with one is also what publishes atomically, and there is nothing to attach, grant or revoke. */

#include "tests/bench/driver.h"

#include <errno.h>
#include <glib.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#define TTL 1000000

struct BenchClient {
  redisContext *redis;
  unsigned number;
};

static char large[BENCH_LARGE_SIZE];

/* `type` is what is to come back, and `size` how long it is, or which number. */
static void
check (BenchClient *client, redisReply *reply, int type, long long size, const char *what)
{
  errno = EPROTO;
  bench_must (reply != NULL && reply->type == type, what);
  if (type == REDIS_REPLY_STRING)
    bench_must (reply->len == (size_t)size, what);
  else if (type == REDIS_REPLY_INTEGER)
    bench_must (reply->integer == size, what);
  freeReplyObject (reply);
}

static void
put (BenchClient *client, const char *key, unsigned i, size_t size)
{
  check (client,
         redisCommand (client->redis, "SET %s-%u-%u %b EX %d", key, client->number, i, large, size,
                       TTL),
         REDIS_REPLY_STATUS, 0, "SET");
}

static void
exists (BenchClient *client, const char *key, long long expected)
{
  check (client, redisCommand (client->redis, "EXISTS %s-%u-0", key, client->number),
         REDIS_REPLY_INTEGER, expected, "EXISTS");
}

static void
call_stat (BenchClient *client, unsigned i)
{
  exists (client, "key", 1);
}

static void
call_absent (BenchClient *client, unsigned i)
{
  exists (client, "missing", 0);
}

static void
call_get (BenchClient *client, unsigned i)
{
  check (client, redisCommand (client->redis, "GET key-%u-0", client->number), REDIS_REPLY_STRING,
         BENCH_VALUE_SIZE, "GET");
}

static void
call_put (BenchClient *client, unsigned i)
{
  put (client, "key", 0, BENCH_VALUE_SIZE);
}

static void
call_new (BenchClient *client, unsigned i)
{
  put (client, "new", i, BENCH_VALUE_SIZE);
}

static void
call_large (BenchClient *client, unsigned i)
{
  put (client, "large", 0, BENCH_LARGE_SIZE);
}

static void
call_delete (BenchClient *client, unsigned i)
{
  check (client, redisCommand (client->redis, "DEL new-%u-%u", client->number, i),
         REDIS_REPLY_INTEGER, 1, "DEL");
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
  check (client, redisCommand (client->redis, "EXPIRE key-%u-0 %d", client->number, TTL),
         REDIS_REPLY_INTEGER, 1, "EXPIRE");
}

static BenchClient *
open_redis (const char *where, unsigned number, const BenchLoad *load)
{
  BenchClient *client = g_new0 (BenchClient, 1);

  client->number = number;
  client->redis = redisConnect ("127.0.0.1", atoi (where));
  bench_must (client->redis != NULL && client->redis->err == 0, "Redis");
  call_put (client, 0);
  return client;
}

static void
close_redis (BenchClient *client)
{
  redisFree (client->redis);
  g_free (client);
}

const BenchDriver bench_redis = {
  "redis",
  open_redis,
  close_redis,
  {
      [BENCH_ROW_STAT] = { .call = call_stat },
      [BENCH_ROW_ABSENT] = { .call = call_absent },
      [BENCH_ROW_GET] = { .call = call_get },
      [BENCH_ROW_GET_NEW] = { .before = call_put, .call = call_get },
      [BENCH_ROW_PUT] = { .call = call_put },
      [BENCH_ROW_NEW] = { .call = call_new, .finish = delete_new },
      [BENCH_ROW_LARGE] = { .call = call_large },
      [BENCH_ROW_DELETE] = { .prepare = make_new, .call = call_delete },
      [BENCH_ROW_REFRESH] = { .call = call_refresh },
      [BENCH_ROW_PUBLISH] = { .call = call_put },
  },
};
