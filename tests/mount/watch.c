/* SPDX-License-Identifier: MIT */

/* Checks what is seen through inotify(7) when leases end: every event exactly once, in order.
 *
 *     # watch MOUNTPOINT            a leasefs with nothing in it; HOLD is the program hold
 *     # watch --brief MOUNTPOINT    the same, but for a few cases that take seconds
 *     # watch --races MOUNTPOINT    names are retaken at random for some seconds
 *     # watch --delay MOUNTPOINT    how long it takes
 */

#include "tests/mount/watch.h"

int
main (int argc, char **argv)
{
  const char *what = argc == 3 ? argv[1] : "";
  bool brief = strcmp (what, "--brief") == 0;

  if (argc != 2 && !brief && strcmp (what, "--races") != 0 && strcmp (what, "--delay") != 0) {
    fprintf (stderr, "usage: watch [--brief|--races|--delay] MOUNTPOINT\n");
    return 2;
  }
  calls_begin (argv[argc - 1]);
  if (strcmp (what, "--races") == 0)
    return watch_races () == 0 ? 0 : 1;
  if (strcmp (what, "--delay") == 0)
    return watch_delay () == 0 ? 0 : 1;
  int failed = watch_ends ();
  failed += watch_revoked (brief);
  failed += watch_retaken ();
  return failed == 0 ? 0 : 1;
}
