/* SPDX-License-Identifier: MIT */

/* Owns the pipe over which the child says that it is ready. */

#include "fs/daemon.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int ready_fd = -1;

static void __attribute__ ((noreturn)) wait_for_child (pid_t child, int fd)
{
  char byte;
  int status;

  if (read (fd, &byte, 1) == 1)
    _exit (EXIT_SUCCESS);
  if (waitpid (child, &status, 0) == child && WIFEXITED (status))
    _exit (WEXITSTATUS (status));
  _exit (EXIT_FAILURE);
}

int
fs_daemon_start (void)
{
  int fds[2];

  if (pipe2 (fds, O_CLOEXEC) != 0)
    return -1;
  pid_t child = fork ();
  if (child < 0)
    return -1;
  if (child > 0) {
    close (fds[1]);
    wait_for_child (child, fds[0]);
  }
  close (fds[0]);
  ready_fd = fds[1];
  setsid ();
  return 0;
}

void
fs_daemon_ready (void)
{
  if (ready_fd < 0)
    return;
  int null = open ("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
    dup2 (null, fd);
  if (null > STDERR_FILENO)
    close (null);
  /* The parent exits, and whoever waits for it goes on, at this byte: all else has to be done. */
  if (write (ready_fd, "", 1) != 1)
    abort ();
  close (ready_fd);
  ready_fd = -1;
}
