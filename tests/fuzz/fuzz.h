/* SPDX-License-Identifier: MIT */
#pragma once

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

/* What the fuzz targets share. A target defines LLVMFuzzerTestOneInput(): linked with replay.c it
 * runs over files, linked with libFuzzer it is fuzzed. */

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* Aborts with a message: a target has seen what must never be. */
G_NORETURN void fuzz_fail (const char *format, ...) G_GNUC_PRINTF (1, 2);

#define fuzz_assert(condition)                                                                     \
  do {                                                                                             \
    if (!(condition))                                                                              \
      fuzz_fail ("%s:%d: not so: %s", __FILE__, __LINE__, #condition);                             \
  } while (0)

/* Lets g_error() abort, which libFuzzer reports; by itself it raises a signal that libFuzzer does
 * not know. Call it first. */
void fuzz_setup (void);

/* Says what is done, if the environment has FUZZ_TRACE. */
void fuzz_trace (const char *format, ...) G_GNUC_PRINTF (1, 2);

/* `size` bytes in memory of exactly that size, so that a sanitizer sees who reads beyond its end.
 * free() it. */
char *fuzz_copy (const void *data, size_t size);

/* Reads an input from start to end. Behind the end there are zeros. */
typedef struct {
  const uint8_t *data;
  size_t size;
} FuzzBytes;

uint8_t fuzz_byte (FuzzBytes *bytes);

/* A number from 0 to `end` - 1, out of one byte. */
unsigned fuzz_below (FuzzBytes *bytes, unsigned end);
uint32_t fuzz_word (FuzzBytes *bytes);
