/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Many leases with a key each, by number, and the calls on them, below the current directory: a
 * leasefs, or a tmpfs on which load_lay_out() has made the same places. What fails, unless it
 * says otherwise, ends the program with a message. */

#define LOAD_KEYS "services"
#define LOAD_VALUE "10.0.0.7:8080 serves" /* 20 bytes */

typedef struct {
  char dir[48]; /* of the lease */
  char ttl[56];
  char part[56]; /* where the key is made, in the lease's directory */
  char key[48];  /* where it is found */
} LoadPaths;

LoadPaths load_paths (uint64_t number);

/* The clock of the deadlines. */
int64_t load_boottime_ns (void);
void load_sleep_until (int64_t boottime_ns);

void load_die (const char *what);

/* The directory of the keys; and `leases/` where there is none. */
void load_lay_out (void);

/* Makes the lease, grants it, and puts its key: made in the lease's directory, and moved to its
 * place. */
void load_grant (uint64_t number, const char *ttl);
void load_grant_bare (const LoadPaths *paths, const char *ttl);

/* Writes a file; `flags` as for open(2). */
void load_put (const char *path, const char *text, int flags);

/* How many bytes the key has; -1 if there is none. */
ssize_t load_get (const char *path);

/* The same, asking the file system for attributes and value, whatever the kernel has of them. */
ssize_t load_get_anew (const char *path);

/* Asks the file system for the attributes. Returns whether it is there. */
bool load_stat_anew (const char *path);

/* Keep-alive. */
void load_touch (const char *path);

/* Gives the lease a TTL that ends at `end_ns` of CLOCK_BOOTTIME. Returns by how much later it
 * can end. */
int64_t load_end_at (const LoadPaths *paths, int64_t end_ns);

/* Does `each` for all numbers below `count`, shared among `workers` processes. Returns how long
 * it took. */
uint64_t load_share (uint64_t count, unsigned workers, void (*each) (uint64_t number, void *data),
                     void *data);

/* A number in a line of /proc/PID/status or the like: what follows `name`. -1 if there is no
 * such line. */
double load_number_in (const char *file, const char *name);

/* Keys and leases that are there, and names of others that are still to be cleaned up. */
uint64_t load_left (void);

/* How many names of the mount in the current directory are gone, and the kernel still has to be
 * told of. */
uint64_t load_untold (void);

/* Shared with child processes, zeroed. */
void *load_shared (size_t size);
