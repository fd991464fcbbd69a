/* SPDX-License-Identifier: MIT */

/* The command. */

#include "fs/daemon.h"
#include "fs/log.h"
#include "fs/messages.h"
#include "fs/options.h"
#include "fs/session.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int
fail (const char *message)
{
  fs_log_fail (message);
  return EXIT_FAILURE;
}

/* Where one of the first three descriptors is closed, what is opened next would take its place, and
 * fs_daemon_ready() would close that. */
static void
fill_standard_descriptors (void)
{
  int fd;

  do
    fd = open ("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0)
    close (fd);
}

static int
serve (FsOptions *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (FsSession) session = fs_session_new (options, &error);

  if (session == NULL)
    return fail (error->message);
  /* Relative paths have been resolved: from here on no directory is kept from being unmounted. */
  if (chdir ("/") != 0)
    return fail ("cannot change to the root directory");
  if (!fs_session_run (session, fs_daemon_ready, &error))
    return fail (error->message);
  return fs_session_free (g_steal_pointer (&session)) ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_auto (FsOptions) options = { 0 };

  /* Threads that take turns at one engine gain nothing from heaps of their own, which would keep
   * memory from each other. Before there are any. */
  mallopt (M_ARENA_MAX, 1);
  fill_standard_descriptors ();
  fs_log_open ();
  fs_messages_hold ();
  if (!fs_options_parse (&options, argc, argv, &error))
    return fail (error->message);
  if (options.help) {
    fputs (fs_options_usage, stdout);
    return EXIT_SUCCESS;
  }
  if (options.version) {
    puts ("leasefs " LEASEFS_VERSION);
    return EXIT_SUCCESS;
  }
  if (!options.foreground && !options.debug) {
    fs_log_leave_stderr ();
    if (fs_daemon_start () != 0)
      return fail (g_strerror (errno));
  }
  return serve (&options);
}
