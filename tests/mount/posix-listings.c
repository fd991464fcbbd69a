/* SPDX-License-Identifier: MIT */

/* Listings of directories, also of ones that change meanwhile. */

#include "tests/mount/posix.h"

#include "tests/mount/calls.h"

#include <limits.h>
#include <sys/syscall.h>

#define MANY 5000

/* How often a listing has shown each of the entries of a kind. */
static unsigned old_seen[2 * MANY], new_seen[2 * MANY], dots_seen;

static void
format_name (char kind, int number, char name_out[32])
{
  snprintf (name_out, 32, "%c-entry-%05d", kind, number);
}

static void
make (char kind, int first, int count)
{
  char name[32];

  for (int i = first; i < first + count; i++) {
    format_name (kind, i, name);
    close (calls_open (name, O_WRONLY | O_CREAT | O_EXCL));
  }
}

static void
drop (char kind, int number)
{
  char name[32];

  format_name (kind, number, name);
  assert_ok (unlink (name));
}

static void
forget_seen (void)
{
  memset (old_seen, 0, sizeof old_seen);
  memset (new_seen, 0, sizeof new_seen);
  dots_seen = 0;
}

static void
note_seen (const char *name)
{
  int number;

  if (strcmp (name, ".") == 0 || strcmp (name, "..") == 0)
    dots_seen++;
  else if (sscanf (name, "o-entry-%d", &number) == 1)
    old_seen[number]++;
  else if (sscanf (name, "n-entry-%d", &number) == 1)
    new_seen[number]++;
  else
    fail_msg ("nobody made %s", name);
}

/* Notes up to `max` entries. Returns how many. */
static int
read_some (DIR *dir, int max)
{
  struct dirent *entry;
  int count = 0;

  while (count < max && (errno = 0, entry = readdir (dir)) != NULL) {
    note_seen (entry->d_name);
    count++;
  }
  assert_int_equal (count < max ? errno : 0, 0);
  return count;
}

static int
count_entries (void)
{
  DIR *dir = opendir (".");
  int count = 0;

  assert_non_null (dir);
  while (readdir (dir) != NULL)
    count++;
  closedir (dir);
  return count - 2;
}

static void
test_an_empty_directory_lists_its_dots (void **state)
{
  struct dirent *entry;
  DIR *dir = opendir (".");

  while ((entry = readdir (dir)) != NULL) {
    struct stat st = calls_stat (entry->d_name);
    note_seen (entry->d_name);
    assert_int_equal (entry->d_type, DT_DIR);
    assert_int_equal (entry->d_ino, st.st_ino);
  }
  assert_int_equal (dots_seen, 2);
  closedir (dir);
  forget_seen ();
}

static void
compare_entries (const char *path, int expected)
{
  DIR *dir = opendir (path);
  struct dirent *entry;
  int count = 0;

  assert_non_null (dir);
  while ((entry = readdir (dir)) != NULL) {
    struct stat st;
    assert_ok (fstatat (dirfd (dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW));
    assert_int_equal (DTTOIF (entry->d_type), st.st_mode & S_IFMT);
    if (entry->d_ino != st.st_ino)
      fail_msg ("%s/%s: %lu instead of %lu", path, entry->d_name, entry->d_ino, st.st_ino);
    count++;
  }
  assert_int_equal (count, expected);
  closedir (dir);
}

static void
test_entries_have_the_type_and_number_that_stat_has (void **state)
{
  calls_put ("f", "");
  assert_ok (link ("f", "g"));
  assert_ok (mkdir ("d", 0755));
  assert_ok (mkdir ("d/e", 0755));
  assert_ok (symlink ("f", "s"));
  compare_entries (".", 6);
  compare_entries ("d", 3);
  compare_entries ("d/e", 2);
}

static void
test_a_listing_of_many_is_complete (void **state)
{
  forget_seen ();
  make ('o', 0, MANY);
  DIR *dir = opendir (".");
  for (unsigned round = 1; round <= 3; round++) {
    assert_int_equal (read_some (dir, 2 * MANY), MANY + 2);
    assert_int_equal (dots_seen, 2 * round);
    for (int i = 0; i < MANY; i++)
      assert_int_equal (old_seen[i], round);
    assert_int_equal (read_some (dir, 1), 0);
    rewinddir (dir);
  }
  closedir (dir);
}

static void
test_a_small_buffer_sees_all (void **state)
{
  char buffer[100] __attribute__ ((aligned (8)));
  long size;

  forget_seen ();
  make ('o', 0, 100);
  int fd = calls_open (".", O_RDONLY | O_DIRECTORY);
  while ((size = assert_ok (syscall (SYS_getdents64, fd, buffer, sizeof buffer))) > 0)
    for (long at = 0; at < size;) {
      /* The struct is declared with room for the longest name, and does not fit as a whole. */
      unsigned short length;
      memcpy (&length, buffer + at + offsetof (struct dirent64, d_reclen), sizeof length);
      note_seen (buffer + at + offsetof (struct dirent64, d_name));
      at += length;
    }
  for (int i = 0; i < 100; i++)
    assert_int_equal (old_seen[i], 1);
  assert_fails (EINVAL, (lseek (fd, 0, SEEK_SET), syscall (SYS_getdents64, fd, buffer, 8)));
  close (fd);
}

static void
test_what_stays_is_listed_once_while_others_come_and_go (void **state)
{
  static const int firsts[] = { 0, 1, 2, 500, 1777, MANY };

  for (unsigned i = 0; i < sizeof firsts / sizeof *firsts; i++) {
    forget_seen ();
    make ('o', 0, MANY);
    DIR *dir = opendir (".");
    read_some (dir, firsts[i]);
    /* Every third one stays. */
    for (int number = 0; number < MANY; number++)
      if (number % 3 != 0)
        drop ('o', number);
    make ('n', 0, MANY);
    read_some (dir, 3 * MANY);
    closedir (dir);
    assert_int_equal (dots_seen, 2);
    for (int number = 0; number < MANY; number++) {
      assert_in_range (old_seen[number], number % 3 == 0, 1);
      assert_in_range (new_seen[number], 0, 1);
    }
    assert_int_equal (count_entries (), MANY + (MANY + 2) / 3);
    for (int number = 0; number < MANY; number += 3)
      drop ('o', number);
    for (int number = 0; number < MANY; number++)
      drop ('n', number);
    assert_int_equal (count_entries (), 0);
  }
}

static void
test_what_stays_is_listed_once_amid_steady_change (void **state)
{
  char name[32], other[32];

  forget_seen ();
  make ('o', 0, 2000);
  DIR *dir = opendir (".");
  /* Between any two entries: one goes, one comes, and one gets another name. */
  for (int i = 0; i < 999; i++) {
    assert_int_equal (read_some (dir, 1), 1);
    drop ('o', 2 * i + 1);
    format_name ('n', i, name);
    format_name ('n', MANY + i, other);
    make ('n', i, 1);
    assert_ok (rename (name, other));
  }
  read_some (dir, 3 * MANY);
  closedir (dir);
  for (int number = 0; number < 2000; number += 2)
    assert_int_equal (old_seen[number], 1);
  for (int number = 1; number < 2000; number += 2)
    assert_in_range (old_seen[number], 0, 1);
  for (int number = 0; number < 999; number++)
    assert_in_range (new_seen[MANY + number], 0, 1);
}

static void
test_removing_while_listing_empties (void **state)
{
  struct dirent *entry;
  int count = 0;

  make ('o', 0, MANY);
  DIR *dir = opendir (".");
  while ((entry = readdir (dir)) != NULL)
    if (entry->d_name[0] == 'o') {
      assert_ok (unlink (entry->d_name));
      count++;
    }
  closedir (dir);
  assert_int_equal (count, MANY);
  assert_int_equal (count_entries (), 0);
}

static void
test_a_new_listing_shows_each_change (void **state)
{
  DIR *kept = opendir (".");

  for (int i = 0; i < 300; i++) {
    make ('o', i, 1);
    assert_int_equal (count_entries (), i + 1);
    rewinddir (kept);
    forget_seen ();
    assert_int_equal (read_some (kept, MANY), i + 3);
    assert_int_equal (old_seen[i], 1);
  }
  for (int i = 0; i < 300; i++) {
    drop ('o', i);
    assert_int_equal (count_entries (), 299 - i);
    rewinddir (kept);
    forget_seen ();
    assert_int_equal (read_some (kept, MANY), 301 - i);
    assert_int_equal (old_seen[i], 0);
  }
  closedir (kept);
}

static void
test_a_listing_shows_a_rename (void **state)
{
  char name[32], other[32];

  make ('o', 0, 10);
  for (int i = 0; i < 10; i++) {
    format_name ('o', i, name);
    format_name ('n', i, other);
    assert_ok (rename (name, other));
    forget_seen ();
    DIR *dir = opendir (".");
    assert_int_equal (read_some (dir, MANY), 12);
    closedir (dir);
    assert_int_equal (old_seen[i], 0);
    assert_int_equal (new_seen[i], 1);
  }
}

static void
test_a_listing_finds_its_places_again (void **state)
{
  static long places[MANY + 2];
  static char names[MANY + 2][NAME_MAX + 1];
  struct dirent *entry;

  make ('o', 0, MANY);
  DIR *dir = opendir (".");
  for (int i = 0; i < MANY + 2; i++) {
    places[i] = telldir (dir);
    entry = readdir (dir);
    assert_non_null (entry);
    snprintf (names[i], sizeof names[i], "%s", entry->d_name);
  }
  for (int i = 0; i < 500; i++) {
    int place = i * 7919 % (MANY + 2);
    seekdir (dir, places[place]);
    assert_int_equal (telldir (dir), places[place]);
    for (int j = place; j < place + 3 && j < MANY + 2; j++)
      assert_string_equal (readdir (dir)->d_name, names[j]);
  }

  /* Also where others have gone: half of those in front, and half of those behind. */
  for (int i = 2; i < MANY + 2; i++)
    if (i % 2 != 0)
      assert_ok (unlink (names[i]));
  for (int place = 2; place < MANY; place += 501) {
    seekdir (dir, places[place]);
    for (int j = place + place % 2; j < place + 100 && j < MANY; j += 2)
      assert_string_equal (readdir (dir)->d_name, names[j]);
  }
  closedir (dir);
}

static void
test_two_listings_do_not_disturb_each_other (void **state)
{
  make ('o', 0, MANY);
  DIR *one = opendir ("."), *other = opendir (".");

  forget_seen ();
  read_some (one, 1234);
  read_some (other, MANY + 2);
  forget_seen ();
  rewinddir (other);
  read_some (other, 100);
  forget_seen ();
  assert_int_equal (read_some (one, 2 * MANY), MANY + 2 - 1234);
  assert_int_equal (read_some (other, 2 * MANY), MANY + 2 - 100);
  closedir (one);
  closedir (other);
}

int
posix_listings (void)
{
  const struct CMUnitTest cases[] = {
    CASE (test_an_empty_directory_lists_its_dots),
    CASE (test_entries_have_the_type_and_number_that_stat_has),
    CASE (test_a_listing_of_many_is_complete),
    CASE (test_a_small_buffer_sees_all),
    CASE (test_what_stays_is_listed_once_while_others_come_and_go),
    CASE (test_what_stays_is_listed_once_amid_steady_change),
    CASE (test_removing_while_listing_empties),
    CASE (test_a_new_listing_shows_each_change),
    CASE (test_a_listing_shows_a_rename),
    CASE (test_a_listing_finds_its_places_again),
    CASE (test_two_listings_do_not_disturb_each_other),
  };

  return cmocka_run_group_tests_name ("listings", cases, NULL, NULL);
}
