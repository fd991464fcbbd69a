/* SPDX-License-Identifier: MIT */
#pragma once

#include <glib.h>

/* As much of HTTP/1.1 as etcd's gateway takes: POST over one connection that stays open. */

typedef struct BenchHttp BenchHttp;

/* To a port of 127.0.0.1; NULL and errno if nobody is there. */
BenchHttp *bench_http_new (unsigned port);
void bench_http_free (BenchHttp *http);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (BenchHttp, bench_http_free)

/* The answer's body, which stays until the next call; NULL and errno if there is none, or its
 * status is not 200 (EREMOTEIO). */
const char *bench_http_post (BenchHttp *http, const char *path, const char *body, size_t length);
