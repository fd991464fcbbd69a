/* SPDX-License-Identifier: MIT */

/* Checks that files and directories behave as on any Linux file system, and leases as promised, by
 * the system calls that programs make.
 *
 *     # posix MOUNTPOINT      a leasefs with nothing in it
 *     # posix --plain DIR     the cases that concern no leases: on a tmpfs they hold as well
 */

#include "tests/mount/posix.h"

#include "tests/mount/calls.h"

int
main (int argc, char **argv)
{
  bool plain = argc == 3 && strcmp (argv[1], "--plain") == 0;
  int failed = 0;

  if (argc != 2 && !plain) {
    fprintf (stderr, "usage: posix [--plain] DIRECTORY\n");
    return 2;
  }
  calls_begin (argv[argc - 1]);
  failed += posix_values ();
  failed += posix_names ();
  failed += posix_listings ();
  failed += posix_attributes ();
  if (!plain)
    failed += posix_leases ();
  return failed == 0 ? 0 : 1;
}
