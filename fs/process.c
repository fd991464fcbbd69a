/* SPDX-License-Identifier: MIT */

/* Reads /proc/PID/status, which is open to everybody and says all that is asked here. No state. */

#include "fs/process.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

static int
to_error (int code)
{
  switch (code) {
  case EACCES:
  case EPERM:
    return -EPERM;
  case EMFILE:
  case ENFILE:
  case ENOMEM:
    return -ENOSPC;
  default:
    return -ESRCH;
  }
}

static unsigned
count_numbers (const char *text)
{
  unsigned count = 0;
  char *end;

  for (strtol (text, &end, 10); end != text; strtol (text, &end, 10), count++)
    text = end;
  return count;
}

/* The name of the process, which it chooses, has no newline there: it comes as `\n`. */
static void
read_line (const char *line, FsProcess *process)
{
  sscanf (line, "Tgid: %d", &process->pid);
  sscanf (line, "Uid: %u %u %u", &process->real, &process->effective, &process->saved);
  if (strncmp (line, "NSpid:", 6) == 0)
    process->namespaces = count_numbers (line + 6);
}

int
fs_process_look (pid_t tid, FsProcess *process_out)
{
  char path[32];
  char *line = NULL;
  size_t size = 0;

  *process_out = (FsProcess){ 0 };
  snprintf (path, sizeof path, "/proc/%d/status", tid);
  FILE *file = fopen (path, "re");
  if (file == NULL)
    return to_error (errno);
  while (getline (&line, &size, file) >= 0)
    read_line (line, process_out);
  free (line);
  fclose (file);
  return process_out->pid > 0 && process_out->namespaces > 0 ? 0 : -ESRCH;
}

bool
fs_process_is_shown (void)
{
  FsProcess process;
  char text[32] = "";

  /* In /proc of a namespace above or beside ours, what has our number is somebody else. */
  if (readlink ("/proc/self", text, sizeof text - 1) < 0 || atoi (text) != getpid ())
    return false;
  return fs_process_look (getpid (), &process) == 0 && process.namespaces == 1;
}

int
fs_process_open (pid_t pid)
{
  int fd = pidfd_open (pid, 0);

  return fd >= 0 ? fd : to_error (errno);
}

bool
fs_process_has_exited (int fd)
{
  struct pollfd item = { .fd = fd, .events = POLLIN };
  int count;

  do
    count = poll (&item, 1, 0);
  while (count < 0 && errno == EINTR);
  return count > 0;
}
