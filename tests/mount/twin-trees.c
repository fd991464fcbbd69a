/* SPDX-License-Identifier: MIT */

/* Owns the comparison of both trees as a whole, and what is known of which inode on one side is
 * which on the other. */

#include "tests/mount/twin.h"

#include <inttypes.h>

#define INODES 65536 /* a power of two; more than one run makes */
#define PIECE 65536

/* Both ways: [0] by the reference's number, [1] by the other's. 0 is free: no file has it. */
static struct {
  uint64_t key, value;
} inodes[2][INODES];

/* What belongs to `key`, which is `value` from now on if there was nothing yet. */
static uint64_t
pair (int way, uint64_t key, uint64_t value)
{
  size_t i = (key * 0x9e3779b97f4a7c15u) >> 48;

  while (inodes[way][i].key != 0 && inodes[way][i].key != key)
    i = (i + 1) % INODES;
  if (inodes[way][i].key == 0) {
    inodes[way][i].key = key;
    inodes[way][i].value = value;
  }
  return inodes[way][i].value;
}

bool
twin_trees_same_inode (uint64_t reference, uint64_t found)
{
  return pair (0, reference, found) == found && pair (1, found, reference) == reference;
}

typedef struct {
  struct dirent **entries;
  int count;
  int fd;
} Listing;

static int
by_name (const struct dirent **a, const struct dirent **b)
{
  return strcmp ((*a)->d_name, (*b)->d_name);
}

static bool
list (Listing *listing, int at, const char *name)
{
  listing->fd = openat (at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  listing->count = scandirat (listing->fd, ".", &listing->entries, NULL, by_name);
  if (listing->count < 0)
    listing->entries = NULL;
  return listing->count >= 0;
}

static void
list_clear (Listing *listing)
{
  for (int i = 0; i < listing->count; i++)
    free (listing->entries[i]);
  free (listing->entries);
  close (listing->fd);
}

static bool
alike_in (uint64_t reference, uint64_t found, const char *what, FILE *out)
{
  if (reference == found)
    return true;
  fprintf (out, "%s: %" PRIo64 " (%" PRId64 ") in the reference, %" PRIo64 " (%" PRId64 ") here\n",
           what, reference, reference, found, found);
  return false;
}

/* A file that somebody else writes to or truncates loses S_ISGID even where its group may not
 * execute it. The kernel does not ask that of a FUSE file system that leaves the matter to it. */
static mode_t
tolerated_mode (mode_t reference, mode_t found)
{
  return S_ISREG (found) && (found & (S_ISGID | S_IXGRP)) == S_ISGID && !(reference & S_ISGID)
             ? found & ~S_ISGID
             : found;
}

bool
twin_trees_sight_alike (const struct stat *reference, const struct stat *found, FILE *out)
{
  bool alike = alike_in (reference->st_mode, tolerated_mode (reference->st_mode, found->st_mode),
                         "mode", out);

  alike &= alike_in (reference->st_nlink, found->st_nlink, "links", out);
  alike &= alike_in (reference->st_uid, found->st_uid, "uid", out);
  alike &= alike_in (reference->st_gid, found->st_gid, "gid", out);
  alike &= alike_in (reference->st_rdev, found->st_rdev, "rdev", out);
  /* The size of a directory means nothing. */
  if (!S_ISDIR (reference->st_mode))
    alike &= alike_in (reference->st_size, found->st_size, "size", out);
  if (alike && !twin_trees_same_inode (reference->st_ino, found->st_ino)) {
    fprintf (out, "not the same inode as elsewhere\n");
    alike = false;
  }
  return alike;
}

/* At the places that calls like to write to; files are too sparse to read them all. */
static bool
contents_alike (int reference, int found, off_t size, FILE *out)
{
  static const off_t places[] = { 0,         PIECE,    2 * PIECE, 1 << 20,
                                  INT32_MAX, 1l << 32, 1l << 40,  INT64_MAX };
  static char a[PIECE], b[PIECE];

  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    off_t place = places[i] > size ? size : places[i];
    off_t offset = i < 3 ? places[i] : place > PIECE / 2 ? place - PIECE / 2 : 0;
    ssize_t read_a = pread (reference, a, PIECE, offset), read_b = pread (found, b, PIECE, offset);
    ssize_t same = 0;

    while (same < read_a && same < read_b && a[same] == b[same])
      same++;
    if (read_a != read_b || same < read_a) {
      fprintf (out, "contents differ from byte %jd on (%zd and %zd bytes read at %jd)\n",
               (intmax_t)(offset + same), read_a, read_b, (intmax_t)offset);
      return false;
    }
  }
  return true;
}

static bool
files_alike (int reference_dir, int dir, const char *name, off_t size, FILE *out)
{
  int reference = openat (reference_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  int found = openat (dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  bool alike = contents_alike (reference, found, size, out);

  close (reference);
  close (found);
  return alike;
}

static bool
links_alike (int reference_dir, int dir, const char *name, FILE *out)
{
  char a[4096], b[4096];
  ssize_t size_a = readlinkat (reference_dir, name, a, sizeof a);
  ssize_t size_b = readlinkat (dir, name, b, sizeof b);

  if (size_a >= 0 && size_a == size_b && memcmp (a, b, size_a) == 0)
    return true;
  fprintf (out, "targets differ\n");
  return false;
}

static bool dirs_alike (int reference_at, int at, const char *name, FILE *out);

static bool
entry_alike (const Listing *reference, const Listing *found, const struct dirent *entry_a,
             const struct dirent *entry_b, FILE *out)
{
  const char *name = entry_a->d_name;
  struct stat a, b;
  bool alike;

  if (strcmp (name, entry_b->d_name) != 0) {
    fprintf (out, "%s is in one only, or %s\n", name, entry_b->d_name);
    return false;
  }
  if (strcmp (name, ".") == 0 || strcmp (name, "..") == 0)
    return true;
  if (fstatat (reference->fd, name, &a, AT_SYMLINK_NOFOLLOW) != 0 ||
      fstatat (found->fd, name, &b, AT_SYMLINK_NOFOLLOW) != 0) {
    fprintf (out, "cannot stat %s: %s\n", name, strerror (errno));
    return false;
  }
  alike = twin_trees_sight_alike (&a, &b, out);
  if (entry_a->d_type != entry_b->d_type || b.st_ino != entry_b->d_ino) {
    fprintf (out, "listed as of another type or inode\n");
    alike = false;
  }
  if (alike && S_ISREG (a.st_mode))
    alike = files_alike (reference->fd, found->fd, name, a.st_size, out);
  else if (alike && S_ISLNK (a.st_mode))
    alike = links_alike (reference->fd, found->fd, name, out);
  else if (alike && S_ISDIR (a.st_mode))
    alike = dirs_alike (reference->fd, found->fd, name, out);
  if (!alike)
    fprintf (out, "  of %.40s\n", name);
  return alike;
}

static bool
dirs_alike (int reference_at, int at, const char *name, FILE *out)
{
  Listing reference = { 0 }, found = { 0 };
  bool alike = list (&reference, reference_at, name);

  alike = list (&found, at, name) && alike;
  if (!alike || reference.count != found.count) {
    fprintf (out, "%d and %d entries\n", reference.count, found.count);
    alike = false;
  }
  for (int i = 0; i < reference.count && i < found.count && alike; i++)
    alike = entry_alike (&reference, &found, reference.entries[i], found.entries[i], out);
  list_clear (&reference);
  list_clear (&found);
  return alike;
}

bool
twin_trees_alike (const char *reference, const char *root, FILE *out)
{
  int reference_fd = open (reference, O_PATH | O_CLOEXEC), fd = open (root, O_PATH | O_CLOEXEC);
  bool alike = dirs_alike (reference_fd, fd, ".", out);

  close (reference_fd);
  close (fd);
  return alike;
}

static bool
empty_dir (int at, const char *name)
{
  Listing listing = { 0 };
  bool done = list (&listing, at, name);

  for (int i = 0; i < listing.count && done; i++) {
    const char *inner = listing.entries[i]->d_name;
    if (strcmp (inner, ".") == 0 || strcmp (inner, "..") == 0 ||
        unlinkat (listing.fd, inner, 0) == 0)
      continue;
    done = errno == EISDIR && empty_dir (listing.fd, inner) &&
           unlinkat (listing.fd, inner, AT_REMOVEDIR) == 0;
  }
  list_clear (&listing);
  return done;
}

bool
twin_trees_empty (const char *root)
{
  return empty_dir (AT_FDCWD, root);
}
