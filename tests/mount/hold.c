/* SPDX-License-Identifier: MIT */

/* Holds a directory's lock in the kernel for as long as it lives, as anybody can who may list it:
 * it lists the directory into a page of memory that nobody ever provides.
 *
 *     # hold DIRECTORY        prints a line when it does */

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *page;
static int directory;

static void *
list (void *unused)
{
  syscall (SYS_getdents64, directory, page, 4096);
  return NULL;
}

static void
fail (const char *what)
{
  perror (what);
  exit (1);
}

int
main (int argc, char **argv)
{
  struct uffdio_api api = { .api = UFFD_API };
  struct uffd_msg message;
  pthread_t thread;
  int faults = syscall (SYS_userfaultfd, O_CLOEXEC);

  directory = open (argc == 2 ? argv[1] : "", O_RDONLY | O_DIRECTORY);
  page = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct uffdio_register area = {
    .range = { .start = (unsigned long)page, .len = 4096 },
    .mode = UFFDIO_REGISTER_MODE_MISSING,
  };
  if (directory < 0)
    fail ("directory");
  if (faults < 0 || ioctl (faults, UFFDIO_API, &api) != 0 ||
      ioctl (faults, UFFDIO_REGISTER, &area) != 0)
    fail ("userfaultfd");
  if (pthread_create (&thread, NULL, list, NULL) != 0)
    fail ("thread");
  /* The fault has come: the lock is held. */
  if (read (faults, &message, sizeof message) != sizeof message)
    fail ("read");
  puts ("held");
  fflush (stdout);
  pause ();
  return 0;
}
