/* SPDX-License-Identifier: MIT */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A key's value: a sparse sequence of bytes. It is kept in chunks of up to LEASE_VALUE_CHUNK bytes,
 * found by their number in a balanced tree, with the first one beside it; a hole has no chunk and
 * takes no memory, and a small value only about what it holds. Which parts are holes is known by
 * pages of LEASE_VALUE_PAGE bytes, as on a tmpfs. Not locked: the caller sees to that. */

#define LEASE_VALUE_CHUNK ((size_t)16384)
#define LEASE_VALUE_PAGE ((size_t)4096)

/* One chunk as kept. */
typedef struct LeaseValueChunk LeaseValueChunk;

/* All other chunks. */
typedef struct {
  GTree *chunks; /* by number, from 1 on */
  uint64_t footprint;
} LeaseValueMore;

/* Zero-initialised it is the empty value. Read `size`; leave the rest alone. */
typedef struct {
  uint64_t size;          /* as stat(2) shows it */
  LeaseValueChunk *first; /* chunk 0, or NULL */
  LeaseValueMore *more;   /* or NULL */
} LeaseValue;

/* Bytes of memory taken by chunks or reserved for them. */
uint64_t lease_value_footprint (const LeaseValue *value);

/* Frees what `value` holds and makes it the empty value. */
void lease_value_clear (LeaseValue *value);

/* Copies up to `size` bytes from `offset` on into `out`, holes as zeros. Returns how many; 0 at or
 * behind the end. */
size_t lease_value_read (const LeaseValue *value, uint64_t offset, char *out, size_t size);

/* How many bytes the footprint would grow by, at most, if `size` bytes were written at `offset`. */
uint64_t lease_value_write_cost (const LeaseValue *value, uint64_t offset, size_t size);

/* Writes `size` bytes at `offset`, with a hole before it where it lies behind the end. `offset +
 * size` must not be above INT64_MAX. Memory is taken for the chunks touched and no others. */
void lease_value_write (LeaseValue *value, uint64_t offset, const char *data, size_t size);

/* Copies the page `number` into `out`, LEASE_VALUE_PAGE bytes, and returns how many of them may be
 * other than zero, none of them behind the end of the value. Returns -1 if the page is a hole. */
ssize_t lease_value_page (const LeaseValue *value, uint64_t number, char *out);

/* Cuts the value off, or lets it grow with a hole. What was cut off never shows again: it reads as
 * zeros after growing. What is reserved behind the end goes, unless the value grows. */
void lease_value_truncate (LeaseValue *value, uint64_t size);

/* How many bytes the footprint would grow by if the range were reserved. Gives up, and returns
 * something above `limit`, once it is clear that it would be more than that. */
uint64_t lease_value_reserve_cost (const LeaseValue *value, uint64_t offset, uint64_t size,
                                   uint64_t limit);

/* Counts the pages of the range as taken from now on, so that writing to them costs nothing more.
 * They stay holes, and the size stays. `offset + size` must not be above INT64_MAX. */
void lease_value_reserve (LeaseValue *value, uint64_t offset, uint64_t size);

/* Makes the range read as zeros, and its whole pages holes that are not reserved either. The size
 * stays. */
void lease_value_punch (LeaseValue *value, uint64_t offset, uint64_t size);

/* The first byte from `offset` on that is in a hole or at the end (`hole`), or in none. Returns
 * false if there is none. */
bool lease_value_seek (const LeaseValue *value, uint64_t offset, bool hole, uint64_t *offset_out);
