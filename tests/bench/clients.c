/* SPDX-License-Identifier: MIT */

/* Each client waits for its semaphore, then for the barrier at which all begin, and posts another
 * when it is done. A task is written by the parent while all of them wait. */

#include "tests/bench/clients.h"

#include "tests/bench/times.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_CLIENTS 64

/* Shared memory. */
typedef struct {
  sem_t go[MAX_CLIENTS];
  sem_t done;
  pthread_barrier_t start;
  bool ends;
  unsigned column;
  BenchRow row;
  unsigned calls;
  double ns[MAX_CLIENTS];
} Shared;

struct BenchClients {
  Shared *shared;
  unsigned count;
  const BenchColumn *columns;
  unsigned n_columns;
  const BenchLoad *load;
  pid_t pids[MAX_CLIENTS];
};

static uint64_t
time_batch (const BenchCalls *row, BenchClient *client, unsigned calls)
{
  uint64_t begun = bench_now_ns ();

  for (unsigned i = 0; i < calls; i++)
    row->call (client, i);
  return bench_now_ns () - begun;
}

static uint64_t
time_each (const BenchCalls *row, BenchClient *client, unsigned calls)
{
  uint64_t sum = 0;

  for (unsigned i = 0; i < calls; i++) {
    row->before (client, i);
    uint64_t begun = bench_now_ns ();
    row->call (client, i);
    sum += bench_now_ns () - begun;
  }
  return sum;
}

/* `start`: where clients meet between what is prepared and what is timed; or NULL. */
static double
run (const BenchCalls *row, BenchClient *client, unsigned calls, pthread_barrier_t *start)
{
  if (row->prepare != NULL)
    row->prepare (client, calls);
  if (row->cached)
    row->call (client, 0);
  if (start != NULL)
    pthread_barrier_wait (start);
  uint64_t ns =
      row->before != NULL ? time_each (row, client, calls) : time_batch (row, client, calls);
  if (row->finish != NULL)
    row->finish (client, calls);
  return (double)ns / calls;
}

double
bench_run (const BenchCalls *row, BenchClient *client, unsigned calls)
{
  return run (row, client, calls, NULL);
}

static void
wait_for (sem_t *semaphore)
{
  while (sem_wait (semaphore) != 0)
    bench_must (errno == EINTR, "sem_wait");
}

static void
serve (const BenchClients *clients, unsigned number)
{
  Shared *shared = clients->shared;
  g_autofree BenchClient **open = g_new (BenchClient *, clients->n_columns);

  for (unsigned i = 0; i < clients->n_columns; i++) {
    const BenchColumn *column = &clients->columns[i];
    open[i] = column->driver->open (column->where, number, clients->load);
  }
  sem_post (&shared->done);
  for (;;) {
    wait_for (&shared->go[number]);
    if (shared->ends)
      break;
    const BenchCalls *row = &clients->columns[shared->column].driver->rows[shared->row];
    shared->ns[number] = run (row, open[shared->column], shared->calls, &shared->start);
    sem_post (&shared->done);
  }
  for (unsigned i = 0; i < clients->n_columns; i++)
    clients->columns[i].driver->close (open[i]);
}

/* It has said why. */
static void
on_client_ended (int number)
{
  _exit (EXIT_FAILURE);
}

BenchClients *
bench_clients_new (unsigned count, const BenchColumn *columns, unsigned n_columns,
                   const BenchLoad *load)
{
  BenchClients *clients = g_new0 (BenchClients, 1);
  Shared *shared =
      mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  bench_must (shared != MAP_FAILED && count <= MAX_CLIENTS, "clients");
  *clients = (BenchClients){ shared, count, columns, n_columns, load, { 0 } };
  sem_init (&shared->done, true, 0);
  signal (SIGCHLD, on_client_ended);
  for (unsigned i = 0; i < count; i++) {
    sem_init (&shared->go[i], true, 0);
    clients->pids[i] = fork ();
    bench_must (clients->pids[i] >= 0, "fork");
    if (clients->pids[i] > 0)
      continue;
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    signal (SIGCHLD, SIG_DFL);
    serve (clients, i);
    exit (EXIT_SUCCESS);
  }
  for (unsigned i = 0; i < count; i++)
    wait_for (&shared->done);
  return clients;
}

void
bench_clients_free (BenchClients *clients)
{
  signal (SIGCHLD, SIG_DFL);
  clients->shared->ends = true;
  for (unsigned i = 0; i < clients->count; i++)
    sem_post (&clients->shared->go[i]);
  for (unsigned i = 0; i < clients->count; i++)
    waitpid (clients->pids[i], NULL, 0);
  munmap (clients->shared, sizeof *clients->shared);
  g_free (clients);
}

static void
init_barrier (pthread_barrier_t *barrier, unsigned count)
{
  pthread_barrierattr_t attributes;

  pthread_barrierattr_init (&attributes);
  pthread_barrierattr_setpshared (&attributes, PTHREAD_PROCESS_SHARED);
  pthread_barrier_init (barrier, &attributes, count);
  pthread_barrierattr_destroy (&attributes);
}

double
bench_clients_run (BenchClients *clients, unsigned active, unsigned column, BenchRow row,
                   unsigned calls)
{
  Shared *shared = clients->shared;
  double sum = 0;

  shared->column = column;
  shared->row = row;
  shared->calls = calls;
  init_barrier (&shared->start, active);
  for (unsigned i = 0; i < active; i++)
    sem_post (&shared->go[i]);
  for (unsigned i = 0; i < active; i++)
    wait_for (&shared->done);
  pthread_barrier_destroy (&shared->start);
  for (unsigned i = 0; i < active; i++)
    sum += shared->ns[i];
  return sum / active;
}
