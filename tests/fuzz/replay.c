/* SPDX-License-Identifier: MIT */

/* Runs a fuzz target over the files that are named, and over every file in the directories that are
 * named: without libFuzzer, so with any compiler. Fails if there was none. */

#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

static unsigned
replay_file (const char *path)
{
  g_autofree char *content = NULL;
  size_t size;

  if (!g_file_get_contents (path, &content, &size, NULL)) {
    fprintf (stderr, "cannot read %s\n", path);
    exit (2);
  }
  /* Told before it runs: after a crash the last line names the culprit. */
  printf ("%s (%zu bytes)\n", path, size);
  fflush (stdout);
  char *copy = fuzz_copy (content, size);
  LLVMFuzzerTestOneInput ((const uint8_t *)copy, size);
  free (copy);
  return 1;
}

static unsigned
replay_directory (const char *path)
{
  g_autoptr (GDir) directory = g_dir_open (path, 0, NULL);
  unsigned count = 0;
  const char *name;

  while (directory != NULL && (name = g_dir_read_name (directory)) != NULL) {
    g_autofree char *file = g_build_filename (path, name, NULL);
    count += replay_file (file);
  }
  return count;
}

int
main (int argc, char *argv[])
{
  unsigned count = 0;

  for (int i = 1; i < argc; i++)
    count += g_file_test (argv[i], G_FILE_TEST_IS_DIR) ? replay_directory (argv[i])
                                                       : replay_file (argv[i]);
  printf ("%u inputs\n", count);
  return count > 0 ? 0 : 1;
}
