/* SPDX-License-Identifier: MIT */
#pragma once

#include "tests/bench/rows.h"

#include <stdbool.h>

/* What a column is measured with. A client of it is one process's, with keys of its own; whatever
 * fails ends the process with a message. */
typedef struct BenchClient BenchClient;

/* A row of a column. Calls come in batches; only `call` is timed, and may be NULL: there is no such
 * row. The others may be NULL. */
typedef struct {
  void (*prepare) (BenchClient *client, unsigned calls); /* before a batch */
  void (*before) (BenchClient *client, unsigned i);      /* before each call */
  void (*call) (BenchClient *client, unsigned i);        /* the i-th of the batch */
  void (*finish) (BenchClient *client, unsigned calls);  /* after a batch */
  bool cached; /* nothing but caches answers: before a batch they are filled by one call */
} BenchCalls;

/* What there is before anything is measured: `keys` leases with a key each, made by `clients`
 * clients together. */
typedef struct {
  unsigned keys;
  unsigned clients;
} BenchLoad;

typedef struct {
  const char *kind;
  /* `where` is a folder or a port; `number` counts clients from 0. */
  BenchClient *(*open) (const char *where, unsigned number, const BenchLoad *load);
  void (*close) (BenchClient *client);
  BenchCalls rows[BENCH_ROW_COUNT];
} BenchDriver;

extern const BenchDriver bench_tmpfs, bench_floor, bench_leasefs; /* driver-files.c */
extern const BenchDriver bench_redis; /* driver-redis.c; only with HAVE_HIREDIS */
extern const BenchDriver bench_etcd;  /* driver-etcd.c */

/* By its kind; NULL: there is none, or it was not built. */
const BenchDriver *bench_driver_find (const char *kind);

const char *bench_row_name (BenchRow row);

/* Ends the process if `ok` is false, with errno's text. */
void bench_must (bool ok, const char *what);
