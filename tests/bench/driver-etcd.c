/* SPDX-License-Identifier: MIT */

/* etcd, through its JSON gateway. A put with a lease is what publishes atomically there; a key has
 * its lease from the put on, so there is nothing to attach. */

#include "tests/bench/driver.h"
#include "tests/bench/http.h"

#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TTL "1000000"

struct BenchClient {
  BenchHttp *http;
  unsigned number;
  unsigned lease; /* an ID that this client has chosen */
  unsigned granted;
  char *value, *large; /* in base64 */
};

static const char *
post (BenchClient *client, const char *path, const char *body)
{
  const char *answer = bench_http_post (client->http, path, body, strlen (body));

  bench_must (answer != NULL, path);
  return answer;
}

static char *
name (BenchClient *client, const char *key, unsigned i)
{
  char plain[64];

  snprintf (plain, sizeof plain, "%s-%u-%u", key, client->number, i);
  return g_base64_encode ((unsigned char *)plain, strlen (plain));
}

static void
put (BenchClient *client, const char *key, unsigned i, const char *value)
{
  g_autofree char *encoded = name (client, key, i);
  g_autofree char *body = g_strdup_printf ("{\"key\":\"%s\",\"lease\":\"%u\",\"value\":\"%s\"}",
                                           encoded, client->lease, value);

  post (client, "/v3/kv/put", body);
}

/* `sign`: what the answer has to contain, or NULL for what tells that there is nothing. */
static void
range (BenchClient *client, const char *key, const char *more, const char *sign)
{
  g_autofree char *encoded = name (client, key, 0);
  g_autofree char *body = g_strdup_printf ("{\"key\":\"%s\"%s}", encoded, more);
  const char *answer = post (client, "/v3/kv/range", body);

  errno = EPROTO;
  if (sign != NULL)
    bench_must (strstr (answer, sign) != NULL, "range");
  else
    bench_must (strstr (answer, "\"count\"") == NULL, "range");
}

static void
call_stat (BenchClient *client, unsigned i)
{
  range (client, "key", ",\"count_only\":true", "\"count\":\"1\"");
}

static void
call_absent (BenchClient *client, unsigned i)
{
  range (client, "missing", ",\"count_only\":true", NULL);
}

static void
call_get (BenchClient *client, unsigned i)
{
  range (client, "key", "", client->value);
}

static void
call_put (BenchClient *client, unsigned i)
{
  put (client, "key", 0, client->value);
}

static void
call_new (BenchClient *client, unsigned i)
{
  put (client, "new", i, client->value);
}

static void
call_large (BenchClient *client, unsigned i)
{
  put (client, "large", 0, client->large);
}

static void
call_delete (BenchClient *client, unsigned i)
{
  g_autofree char *encoded = name (client, "new", i);
  g_autofree char *body = g_strdup_printf ("{\"key\":\"%s\"}", encoded);

  errno = EPROTO;
  bench_must (strstr (post (client, "/v3/kv/deleterange", body), "\"deleted\":\"1\"") != NULL,
              "deleterange");
}

static void
make_new (BenchClient *client, unsigned calls)
{
  for (unsigned i = 0; i < calls; i++)
    call_new (client, i);
}

/* All of them at once: '.' comes after '-'. */
static void
delete_new (BenchClient *client, unsigned calls)
{
  g_autofree char *first = g_strdup_printf ("new-%u-", client->number);
  g_autofree char *end = g_strdup_printf ("new-%u.", client->number);
  g_autofree char *from = g_base64_encode ((unsigned char *)first, strlen (first));
  g_autofree char *to = g_base64_encode ((unsigned char *)end, strlen (end));
  g_autofree char *body = g_strdup_printf ("{\"key\":\"%s\",\"range_end\":\"%s\"}", from, to);

  post (client, "/v3/kv/deleterange", body);
}

static void
call_refresh (BenchClient *client, unsigned i)
{
  char body[64];

  snprintf (body, sizeof body, "{\"ID\":\"%u\"}", client->lease);
  errno = EPROTO;
  bench_must (strstr (post (client, "/v3/lease/keepalive", body), "\"TTL\"") != NULL, "keepalive");
}

static void
grant (BenchClient *client, unsigned id)
{
  char body[64];

  snprintf (body, sizeof body, "{\"TTL\":\"" TTL "\",\"ID\":\"%u\"}", id);
  post (client, "/v3/lease/grant", body);
}

static void
call_grant (BenchClient *client, unsigned i)
{
  unsigned id = client->lease + ++client->granted;
  char body[64];

  grant (client, id);
  snprintf (body, sizeof body, "{\"ID\":\"%u\"}", id);
  post (client, "/v3/lease/revoke", body);
}

static BenchClient *
open_etcd (const char *where, unsigned number, const BenchLoad *load)
{
  static const unsigned char zeros[BENCH_LARGE_SIZE];
  BenchClient *client = g_new0 (BenchClient, 1);

  client->number = number;
  client->http = bench_http_new (atoi (where));
  bench_must (client->http != NULL, "etcd");
  client->value = g_base64_encode (zeros, BENCH_VALUE_SIZE);
  client->large = g_base64_encode (zeros, BENCH_LARGE_SIZE);
  client->lease = (number + 1) * 10000000;
  grant (client, client->lease);
  call_put (client, 0);
  return client;
}

static void
close_etcd (BenchClient *client)
{
  bench_http_free (client->http);
  g_free (client->value);
  g_free (client->large);
  g_free (client);
}

const BenchDriver bench_etcd = {
  "etcd",
  open_etcd,
  close_etcd,
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
      [BENCH_ROW_GRANT] = { .call = call_grant },
      [BENCH_ROW_PUBLISH] = { .call = call_put },
  },
};
