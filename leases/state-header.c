/* SPDX-License-Identifier: MIT */

/* Reads the file, and what lies beside it, and changes nothing. */

#include "leases/state-header.h"

#include "leases/state-schema.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The first page of a file that is being made is not larger. */
#define FIRST_PAGE_MAX 4096

/* The start of an SQLite file: its header, and that of the root of its table of tables. See
 * https://www.sqlite.org/fileformat2.html */
enum {
  HEADER_SIZE = 108,
  HEADER_PAGE_SIZE = 16,
  HEADER_PAGES = 28,
  HEADER_ENCODING = 56, /* of text; 0: not settled yet */
  HEADER_VERSION = 60,
  HEADER_APPLICATION = 68,
  HEADER_ROOT_TYPE = 100,
  HEADER_ROOT_CELLS = 103,
  ROOT_IS_LEAF = 0x0d,
  ENCODING_UTF8 = 1,
};
static const char magic[16] = "SQLite format 3";

typedef struct {
  int fd;
  const char *path;
} Place;

static uint32_t
big_endian (const unsigned char *bytes, size_t size)
{
  uint32_t number = 0;

  for (size_t i = 0; i < size; i++)
    number = number << 8 | bytes[i];
  return number;
}

/* Whether something lies beside the file that may have to be played into it. */
static bool
has_leftovers (const Place *place)
{
  g_autofree char *log = g_strconcat (place->path, "-wal", NULL);
  g_autofree char *journal = g_strconcat (place->path, "-journal", NULL);
  struct stat info;

  return (stat (log, &info) == 0 && info.st_size > 0) ||
         (stat (journal, &info) == 0 && info.st_size > 0);
}

/* Whether an SQLite file without marks of any program has no tables either. */
static bool
is_bare (const Place *place, const unsigned char *header)
{
  return header[HEADER_ROOT_TYPE] == ROOT_IS_LEAF &&
         big_endian (header + HEADER_ROOT_CELLS, 2) == 0 && !has_leftovers (place);
}

/* Whether the file is shorter than it says. With something beside it, it may have to be. SQLite
 * takes a last page that is not all there for one that ends in zeros. */
static bool
is_cut_off (const Place *place, const unsigned char *header)
{
  uint64_t page_size = big_endian (header + HEADER_PAGE_SIZE, 2);
  struct stat info;

  if (page_size == 1)
    page_size = 65536;
  return fstat (place->fd, &info) == 0 && !has_leftovers (place) &&
         (uint64_t)info.st_size < big_endian (header + HEADER_PAGES, 4) * page_size;
}

/* Whether SQLite was about to write the first page of a file that was empty: its journal, whose
 * header has this at its start, says so. */
static bool
has_begun (const Place *place)
{
  static const unsigned char empty[] = { 0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7 };
  enum { PAGES_BEFORE = 16, SIZE = 20 };
  g_autofree char *journal = g_strconcat (place->path, "-journal", NULL);
  unsigned char start[SIZE];
  int fd = open (journal, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  bool read_all = fd >= 0 && pread (fd, start, SIZE, 0) == SIZE;

  if (fd >= 0)
    close (fd);
  return read_all && memcmp (start, empty, sizeof empty) == 0 &&
         big_endian (start + PAGES_BEFORE, 4) == 0;
}

/* Whether a power cut has left nothing of the first page, behind whose header are only zeros. */
static bool
is_torn (const Place *place)
{
  static const char zeros[FIRST_PAGE_MAX];
  char page[FIRST_PAGE_MAX + 1];
  ssize_t size = pread (place->fd, page, sizeof page, 0);

  return size >= 0 && size <= FIRST_PAGE_MAX && memcmp (page, zeros, (size_t)size) == 0 &&
         has_begun (place);
}

/* Names are any bytes. In another encoding, those that are not UTF-8 would come back as others. */
static char *
problem_of_encoding (const unsigned char *header)
{
  if (big_endian (header + HEADER_ENCODING, 4) <= ENCODING_UTF8)
    return NULL;
  return g_strdup (
      "no state file: an SQLite database whose text is not UTF-8: choose another path");
}

static char *
problem_of_database (const Place *place, const unsigned char *header)
{
  uint32_t application = big_endian (header + HEADER_APPLICATION, 4);
  uint32_t version = big_endian (header + HEADER_VERSION, 4);

  if (application == 0 && version == 0 && is_bare (place, header))
    return problem_of_encoding (header);
  if (application != LEASE_STATE_APPLICATION)
    return g_strdup ("the SQLite database of another program: choose another path");
  if (is_cut_off (place, header))
    return g_strdup ("damaged: cut off: " LEASE_STATE_ADVICE);
  if (version > LEASE_STATE_VERSION)
    return g_strdup_printf ("written by a newer leasefs (schema %u, this one knows up to %u): "
                            "use that one",
                            version, LEASE_STATE_VERSION);
  return problem_of_encoding (header);
}

char *
lease_state_header_problem (int fd, const char *path)
{
  const Place place = { fd, path };
  unsigned char header[HEADER_SIZE];
  ssize_t size = pread (fd, header, sizeof header, 0);

  if (size == 0 || is_torn (&place))
    return NULL;
  if (size < 0)
    return g_strdup_printf ("cannot be read: %s", g_strerror (errno));
  if ((size_t)size < sizeof header || memcmp (header, magic, sizeof magic) != 0)
    return g_strdup ("no state file, or damaged (it does not begin like an SQLite database): "
                     "choose another path, or restore a backup");
  return problem_of_database (&place, header);
}
