/* SPDX-License-Identifier: MIT */

/* What the fuzz targets share. */

#include "tests/fuzz/fuzz.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
fuzz_fail (const char *format, ...)
{
  va_list args;

  va_start (args, format);
  vfprintf (stderr, format, args);
  va_end (args);
  fputc ('\n', stderr);
  abort ();
}

static void
abort_if_fatal (const char *domain, GLogLevelFlags level, const char *message, void *data)
{
  if (level & (G_LOG_FLAG_FATAL | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING))
    fuzz_fail ("%s: %s", domain != NULL ? domain : "", message);
}

void
fuzz_setup (void)
{
  g_log_set_default_handler (abort_if_fatal, NULL);
}

void
fuzz_trace (const char *format, ...)
{
  static int wanted = -1;
  va_list args;

  if (wanted < 0)
    wanted = getenv ("FUZZ_TRACE") != NULL;
  if (!wanted)
    return;
  va_start (args, format);
  vfprintf (stderr, format, args);
  va_end (args);
}

char *
fuzz_copy (const void *data, size_t size)
{
  char *copy = malloc (size);

  if (size > 0)
    memcpy (copy, data, size);
  return copy;
}

uint8_t
fuzz_byte (FuzzBytes *bytes)
{
  if (bytes->size == 0)
    return 0;
  bytes->size--;
  return *bytes->data++;
}

unsigned
fuzz_below (FuzzBytes *bytes, unsigned end)
{
  return fuzz_byte (bytes) % end;
}

uint32_t
fuzz_word (FuzzBytes *bytes)
{
  uint32_t word = 0;

  for (unsigned i = 0; i < sizeof word; i++)
    word = word << 8 | fuzz_byte (bytes);
  return word;
}
