/* SPDX-License-Identifier: MIT */

/* What files hold: reading, writing, truncating, mapping. */

#include "tests/mount/posix.h"

#include "tests/mount/calls.h"

#include <sys/file.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define MIB (1024 * 1024)

static uint32_t
next_random (uint32_t *seed)
{
  *seed = *seed * 1664525 + 1013904223;
  return *seed >> 8;
}

static void
fill (char *bytes, size_t size, uint32_t seed)
{
  for (size_t i = 0; i < size; i++)
    bytes[i] = (char)next_random (&seed);
}

static char *
new_bytes (size_t size, uint32_t seed)
{
  char *bytes = malloc (size);

  fill (bytes, size, seed);
  return bytes;
}

static void
assert_zeros (const char *bytes, size_t size)
{
  for (size_t i = 0; i < size; i++)
    if (bytes[i] != 0)
      fail_msg ("byte %zu is not zero", i);
}

static void
test_a_new_file_is_empty (void **state)
{
  char byte;
  int fd = calls_open ("f", O_RDWR | O_CREAT | O_EXCL);
  struct stat st = calls_fstat (fd);

  assert_int_equal (st.st_mode, S_IFREG | 0644);
  assert_int_equal (st.st_size, 0);
  assert_int_equal (st.st_nlink, 1);
  assert_int_equal (read (fd, &byte, 1), 0);
  assert_int_equal (pread (fd, &byte, 1, 1000), 0);
  close (fd);
  assert_text ("f", "");
}

static void
test_what_is_written_is_read_back (void **state)
{
  char text[16] = "";
  int fd = calls_open ("f", O_RDWR | O_CREAT);

  calls_pwrite (fd, "hello, world", 12, 0);
  calls_pwrite (fd, "W", 1, 7);
  calls_pread (fd, text, 12, 0);
  assert_string_equal (text, "hello, World");
  assert_text ("f", "hello, World");
  calls_drop_cache (fd);
  assert_text ("f", "hello, World");
  assert_int_equal (pread (fd, text, sizeof text, 7), 5);
  assert_int_equal (pread (fd, text, sizeof text, 12), 0);
  assert_int_equal (lseek (fd, 0, SEEK_END), 12);
  assert_int_equal (lseek (fd, -5, SEEK_CUR), 7);
  assert_int_equal (write (fd, "all", 3), 3);
  assert_text ("f", "hello, allld");
  close (fd);
}

static void
test_a_gap_in_front_of_a_write_reads_as_zeros (void **state)
{
  size_t size = MIB + 3 + 5;
  char *bytes = malloc (size);
  int fd = calls_open ("f", O_RDWR | O_CREAT);

  calls_pwrite (fd, "start", 5, 0);
  calls_pwrite (fd, "there", 5, MIB + 3);
  for (int again = 0; again < 2; again++) {
    assert_int_equal (calls_fstat (fd).st_size, size);
    calls_pread (fd, bytes, size, 0);
    assert_memory_equal (bytes, "start", 5);
    assert_zeros (bytes + 5, MIB - 2);
    assert_memory_equal (bytes + MIB + 3, "there", 5);
    calls_drop_cache (fd);
  }
  close (fd);
  free (bytes);
}

static void
test_a_hole_takes_no_memory (void **state)
{
  off_t far = (off_t)1 << 40;
  char byte = 1;
  int fd = calls_open ("f", O_RDWR | O_CREAT);

  assert_ok (ftruncate (fd, far));
  assert_int_equal (calls_fstat (fd).st_size, far);
  calls_pwrite (fd, "x", 1, far - 3);
  calls_pread (fd, &byte, 1, far - 1);
  assert_int_equal (byte, 0);
  calls_pread (fd, &byte, 1, far / 2 + 1);
  assert_int_equal (byte, 0);
  calls_drop_cache (fd);
  calls_pread (fd, &byte, 1, far - 3);
  assert_int_equal (byte, 'x');
  assert_true (calls_fstat (fd).st_blocks * 512 <= MIB);
  close (fd);
}

static void
test_five_mib_at_odd_offsets (void **state)
{
  size_t size = 5 * MIB, offset = 4097 * 3 + 1;
  char *bytes = new_bytes (size, 1), *found = malloc (size);
  int fd = calls_open ("f", O_RDWR | O_CREAT);

  calls_pwrite (fd, bytes, size, offset);
  for (int again = 0; again < 2; again++) {
    assert_int_equal (calls_fstat (fd).st_size, offset + size);
    calls_pread (fd, found, size, offset);
    assert_memory_equal (found, bytes, size);
    calls_pread (fd, found, 70001, offset + MIB + 13);
    assert_memory_equal (found, bytes + MIB + 13, 70001);
    calls_pread (fd, found, offset, 0);
    assert_zeros (found, offset);
    calls_drop_cache (fd);
  }
  close (fd);
  free (bytes);
  free (found);
}

typedef struct {
  char *bytes;
  size_t size, room;
} Model;

static void
step_write (int fd, Model *model, uint32_t *seed, bool at_end)
{
  char bytes[70000];
  size_t size = 1 + next_random (seed) % sizeof bytes;
  size_t offset = at_end ? model->size : next_random (seed) % (model->room - size);

  if (offset + size > model->room)
    return;
  fill (bytes, size, next_random (seed));
  calls_pwrite (fd, bytes, size, offset);
  memcpy (model->bytes + offset, bytes, size);
  model->size = offset + size > model->size ? offset + size : model->size;
}

static void
step_truncate (int fd, Model *model, uint32_t *seed)
{
  size_t size = next_random (seed) % model->room;

  /* Most of the time not far, lest little is left to look at. */
  if (next_random (seed) % 4 != 0)
    size = model->size - model->size / 100 + size % 5000;
  if (size > model->room)
    return;
  assert_ok (ftruncate (fd, size));
  if (size < model->size)
    memset (model->bytes + size, 0, model->size - size);
  model->size = size;
}

static void
compare (int fd, const Model *model, size_t offset, size_t size)
{
  char *found = malloc (size + 1);
  size_t left = offset < model->size ? model->size - offset : 0;
  size_t expected = size < left ? size : left;

  assert_int_equal (assert_ok (pread (fd, found, size, offset)), expected);
  if (memcmp (found, model->bytes + offset, expected) != 0)
    fail_msg ("%zu bytes at %zu are wrong", expected, offset);
  free (found);
}

static void
test_random_writes_and_truncations_match_a_model (void **state)
{
  Model model = { .room = 5 * MIB + 12345 };
  uint32_t seed = 7;
  int fd = calls_open ("f", O_RDWR | O_CREAT);

  model.bytes = calloc (model.room, 1);
  for (unsigned i = 0; i < 600; i++) {
    uint32_t kind = next_random (&seed) % 10;
    if (kind < 6)
      step_write (fd, &model, &seed, kind < 2);
    else if (kind < 8)
      step_truncate (fd, &model, &seed);
    else if (kind < 9)
      calls_drop_cache (fd);
    compare (fd, &model, next_random (&seed) % model.room, next_random (&seed) % 100000);
    assert_int_equal (calls_fstat (fd).st_size, model.size);
    if (i % 60 == 59)
      compare (fd, &model, 0, model.room);
  }
  calls_drop_cache (fd);
  compare (fd, &model, 0, model.room);
  close (fd);
  free (model.bytes);
}

static void
test_a_vector_is_written_and_read_in_one (void **state)
{
  char one[4] = "", other[8] = "";
  struct iovec out[] = { { "abc", 3 }, { "defghij", 7 } };
  struct iovec in[] = { { one, 3 }, { other, 7 } };
  int fd = calls_open ("f", O_RDWR | O_CREAT);

  assert_int_equal (pwritev (fd, out, 2, 2), 10);
  assert_int_equal (preadv (fd, in, 2, 2), 10);
  assert_string_equal (one, "abc");
  assert_string_equal (other, "defghij");
  close (fd);
}

static void
test_offsets_end_at_the_largest (void **state)
{
  off_t last = INT64_MAX - 1;
  char bytes[2] = "";
  int fd = calls_open ("f", O_RDWR | O_CREAT);

  assert_fails (EINVAL, pwrite (fd, "x", 1, INT64_MAX));
  assert_fails (EINVAL, pwrite (fd, "x", 1, -1));
  assert_fails (EINVAL, ftruncate (fd, -1));
  assert_int_equal (calls_fstat (fd).st_size, 0);
  assert_fails (EINVAL, pwrite (fd, "xy", 2, last));
  calls_pwrite (fd, "x", 1, last);
  assert_int_equal (calls_fstat (fd).st_size, INT64_MAX);
  calls_pread (fd, bytes, 1, last);
  assert_string_equal (bytes, "x");
  assert_ok (ftruncate (fd, 1));
  assert_text ("f", "");
  close (fd);
}

static void
test_two_appenders_take_turns (void **state)
{
  int one = calls_open ("f", O_WRONLY | O_CREAT | O_APPEND);
  int other = calls_open ("f", O_WRONLY | O_APPEND);

  assert_int_equal (write (one, "a", 1), 1);
  assert_int_equal (write (other, "bb", 2), 2);
  assert_int_equal (write (one, "ccc", 3), 3);
  assert_text ("f", "abbccc");
  assert_ok (ftruncate (other, 1));
  assert_int_equal (write (one, "d", 1), 1);
  assert_text ("f", "ad");
  /* Linux appends even then. */
  calls_pwrite (other, "e", 1, 0);
  assert_text ("f", "ade");
  close (one);
  close (other);
}

#define APPENDERS 4
#define RECORDS 300
#define RECORD_SIZE 17

static void
append_records (int who)
{
  char record[RECORD_SIZE + 1];
  int fd = open ("log", O_WRONLY | O_APPEND | O_CLOEXEC);

  for (int i = 0; i < RECORDS; i++) {
    snprintf (record, sizeof record, "process %d %6d\n", who, i);
    if (write (fd, record, RECORD_SIZE) != RECORD_SIZE)
      _exit (1);
  }
  _exit (0);
}

static void
test_appending_processes_lose_nothing (void **state)
{
  pid_t children[APPENDERS];
  int next[APPENDERS] = { 0 }, status, who, number;
  struct stat st;

  calls_put ("log", "");
  for (int i = 0; i < APPENDERS; i++)
    if ((children[i] = fork ()) == 0)
      append_records (i);
  while (waitpid (children[0], &status, WNOHANG) == 0)
    assert_ok (stat ("log", &st));
  for (int i = 1; i < APPENDERS; i++)
    assert_ok (waitpid (children[i], &status, 0));

  char *text = calls_text ("log");
  assert_int_equal (strlen (text), APPENDERS * RECORDS * RECORD_SIZE);
  for (char *record = text; *record != '\0'; record += RECORD_SIZE) {
    assert_int_equal (sscanf (record, "process %d %d\n", &who, &number), 2);
    assert_int_equal (number, next[who]++);
  }
  free (text);
}

static void
test_truncating_drops_and_grows (void **state)
{
  char bytes[9000];
  int fd = calls_open ("f", O_RDWR | O_CREAT);

  memset (bytes, 'x', sizeof bytes);
  calls_pwrite (fd, bytes, sizeof bytes, 0);
  assert_ok (ftruncate (fd, 3));
  assert_text ("f", "xxx");
  assert_ok (truncate ("f", sizeof bytes));
  calls_pread (fd, bytes, sizeof bytes, 0);
  assert_memory_equal (bytes, "xxx", 3);
  assert_zeros (bytes + 3, sizeof bytes - 3);
  calls_drop_cache (fd);
  calls_pread (fd, bytes, sizeof bytes, 0);
  assert_zeros (bytes + 3, sizeof bytes - 3);
  assert_ok (truncate ("f", 0));
  assert_text ("f", "");
  close (fd);

  assert_ok (mkdir ("d", 0755));
  assert_fails (EISDIR, truncate ("d", 0));
  assert_fails (ENOENT, truncate ("none", 0));
  assert_fails (EINVAL, truncate ("f", -1));
  fd = calls_open ("f", O_RDONLY);
  assert_fails (EINVAL, ftruncate (fd, 0));
  close (fd);
}

static void
test_opening_with_trunc_empties (void **state)
{
  int reader, fd;
  char byte;

  calls_put ("f", "old");
  reader = calls_open ("f", O_RDONLY);
  fd = calls_open ("f", O_WRONLY | O_TRUNC);
  assert_int_equal (calls_fstat (fd).st_size, 0);
  assert_int_equal (pread (reader, &byte, 1, 0), 0);
  close (fd);
  assert_text ("f", "");
  calls_put ("f", "a longer one");
  calls_put ("f", "short");
  assert_text ("f", "short");
  close (calls_open ("f", O_WRONLY | O_CREAT));
  assert_text ("f", "short");
  close (reader);
}

static void
test_exclusive_creation_wants_a_free_name (void **state)
{
  calls_put ("f", "old");
  assert_fails (EEXIST, open ("f", O_WRONLY | O_CREAT | O_EXCL, 0644));
  assert_fails (EEXIST, open ("f", O_WRONLY | O_CREAT | O_EXCL | O_TRUNC, 0644));
  assert_text ("f", "old");
  assert_ok (symlink ("nowhere", "s"));
  assert_fails (EEXIST, open ("s", O_WRONLY | O_CREAT | O_EXCL, 0644));
  assert_false (calls_exists ("nowhere"));
  assert_ok (unlink ("f"));
  close (calls_open ("f", O_WRONLY | O_CREAT | O_EXCL));
}

static void
test_exclusive_creation_has_one_winner (void **state)
{
  int winners = 0, status;

  for (int round = 0; round < 50; round++) {
    pid_t children[3];
    for (int i = 0; i < 3; i++)
      if ((children[i] = fork ()) == 0)
        _exit (open ("lock", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644) >= 0 ? 1
               : errno == EEXIST                                                 ? 0
                                                                                 : 2);
    for (int i = 0; i < 3; i++) {
      assert_ok (waitpid (children[i], &status, 0));
      assert_true (WIFEXITED (status) && WEXITSTATUS (status) <= 1);
      winners += WEXITSTATUS (status);
    }
    assert_ok (unlink ("lock"));
  }
  assert_int_equal (winners, 50);
}

static void
test_an_unlinked_open_file_lives_on (void **state)
{
  char text[16] = "";
  int fd, other;

  calls_put ("f", "value");
  fd = calls_open ("f", O_RDWR);
  ino_t ino = calls_fstat (fd).st_ino;
  assert_ok (unlink ("f"));
  assert_false (calls_exists ("f"));
  assert_int_equal (calls_fstat (fd).st_nlink, 0);
  calls_pread (fd, text, 5, 0);
  assert_string_equal (text, "value");
  calls_pwrite (fd, "V", 1, 0);
  calls_drop_cache (fd);
  calls_pread (fd, text, 5, 0);
  assert_string_equal (text, "Value");
  assert_ok (ftruncate (fd, 10000));
  assert_int_equal (calls_fstat (fd).st_size, 10000);
  assert_ok (fchmod (fd, 0600));
  assert_int_equal (calls_fstat (fd).st_mode, S_IFREG | 0600);

  calls_put ("f", "another");
  other = calls_open ("f", O_RDONLY);
  assert_true (calls_fstat (other).st_ino != ino);
  assert_int_equal (calls_fstat (fd).st_ino, ino);
  assert_int_equal (calls_fstat (fd).st_size, 10000);
  calls_pread (fd, text, 5, 0);
  assert_string_equal (text, "Value");
  assert_text ("f", "another");
  close (other);
  close (fd);
}

static void
test_an_unlinked_file_gets_no_new_name (void **state)
{
  char path[64];
  int fd = calls_open ("f", O_RDWR | O_CREAT);

  snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  assert_ok (unlink ("f"));
  assert_fails (ENOENT, linkat (AT_FDCWD, path, AT_FDCWD, "g", AT_SYMLINK_FOLLOW));
  assert_false (calls_exists ("g"));
  close (fd);
}

static void
test_a_replaced_open_file_lives_on (void **state)
{
  char text[16] = "";
  int fd;

  calls_put ("f", "old");
  calls_put ("new", "new");
  fd = calls_open ("f", O_RDWR);
  assert_ok (rename ("new", "f"));
  assert_text ("f", "new");
  assert_int_equal (calls_fstat (fd).st_nlink, 0);
  calls_pwrite (fd, "OLD", 3, 0);
  calls_pread (fd, text, 3, 0);
  assert_string_equal (text, "OLD");
  assert_text ("f", "new");
  close (fd);
}

static void
test_a_shared_mapping_and_the_file_are_one (void **state)
{
  size_t size = 3 * 4096 + 100;
  char text[16] = "";
  int fd = calls_open ("f", O_RDWR | O_CREAT);

  assert_ok (ftruncate (fd, size));
  char *map = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  assert_ptr_not_equal (map, MAP_FAILED);
  assert_zeros (map, size);
  memcpy (map + 4094, "across", 6);
  calls_pread (fd, text, 6, 4094);
  assert_string_equal (text, "across");
  calls_pwrite (fd, "ACROSS", 6, 8190);
  assert_memory_equal (map + 8190, "ACROSS", 6);
  memcpy (map + size - 4, "last", 4);
  assert_ok (msync (map, size, MS_SYNC));
  calls_drop_cache (fd);
  calls_pread (fd, text, 6, 4094);
  assert_string_equal (text, "across");
  calls_pread (fd, text, 4, size - 4);
  assert_memory_equal (text, "last", 4);
  assert_int_equal (calls_fstat (fd).st_size, size);
  assert_ok (munmap (map, size));
  close (fd);
}

static void
test_a_mapping_outlives_its_descriptor_and_name (void **state)
{
  char text[16] = "";
  int other, status;
  int fd = calls_open ("f", O_RDWR | O_CREAT);

  assert_ok (ftruncate (fd, 4096));
  char *map = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  assert_ptr_not_equal (map, MAP_FAILED);
  close (fd);
  other = calls_open ("f", O_RDONLY);
  pid_t child = fork ();
  if (child == 0) {
    memcpy (map + 10, "child", 5);
    _exit (0);
  }
  assert_ok (waitpid (child, &status, 0));
  calls_pread (other, text, 5, 10);
  assert_string_equal (text, "child");
  assert_ok (unlink ("f"));
  memcpy (map, "still", 5);
  assert_ok (msync (map, 4096, MS_SYNC));
  calls_drop_cache (other);
  calls_pread (other, text, 5, 0);
  assert_string_equal (text, "still");
  assert_ok (munmap (map, 4096));
  close (other);
}

static void
test_a_private_mapping_changes_nothing (void **state)
{
  int fd;

  calls_put ("f", "value");
  fd = calls_open ("f", O_RDONLY);
  char *map = mmap (NULL, 5, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  assert_ptr_not_equal (map, MAP_FAILED);
  memcpy (map, "other", 5);
  assert_ok (munmap (map, 5));
  assert_text ("f", "value");
  assert_ptr_equal (mmap (NULL, 5, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
  assert_int_equal (errno, EACCES);
  close (fd);
}

static void
test_syncing_succeeds (void **state)
{
  int fd = calls_open ("f", O_RDWR | O_CREAT);
  int dir = calls_open (".", O_RDONLY | O_DIRECTORY);

  calls_pwrite (fd, "x", 1, 0);
  assert_ok (fsync (fd));
  assert_ok (fdatasync (fd));
  assert_ok (fsync (dir));
  assert_ok (fdatasync (dir));
  assert_ok (syncfs (dir));
  close (fd);
  close (dir);
  fd = calls_open ("f", O_RDWR | O_SYNC);
  calls_pwrite (fd, "y", 1, 0);
  assert_text ("f", "y");
  close (fd);
}

static void
test_copying_within_the_kernel (void **state)
{
  size_t size = 300001;
  char *bytes = new_bytes (size, 3), *found = malloc (size);
  int from = calls_open ("from", O_RDWR | O_CREAT), to = calls_open ("to", O_RDWR | O_CREAT);
  off_t in = 1, out = 2;

  calls_pwrite (from, bytes, size, 0);
  while (in < (off_t)size)
    assert_true (assert_ok (copy_file_range (from, &in, to, &out, size - in, 0)) > 0);
  assert_int_equal (out, size + 1);
  calls_drop_cache (to);
  calls_pread (to, found, size - 1, 2);
  assert_memory_equal (found, bytes + 1, size - 1);
  close (from);
  close (to);
  free (bytes);
  free (found);
}

static void
test_a_program_runs_from_it (void **state)
{
  char bytes[4096];
  ssize_t count;
  int status;
  int from = calls_open ("/bin/true", O_RDONLY), to = calls_open ("program", O_WRONLY | O_CREAT);

  while ((count = assert_ok (read (from, bytes, sizeof bytes))) > 0)
    assert_int_equal (assert_ok (write (to, bytes, count)), count);
  close (from);
  assert_ok (fchmod (to, 0755));
  close (to);
  pid_t child = fork ();
  if (child == 0) {
    execl ("./program", "program", (char *)NULL);
    _exit (127);
  }
  assert_ok (waitpid (child, &status, 0));
  assert_int_equal (status, 0);
}

static void
test_locks_exclude (void **state)
{
  struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
  int one = calls_open ("f", O_RDWR | O_CREAT), other = calls_open ("f", O_RDWR);

  assert_ok (flock (one, LOCK_EX));
  assert_fails (EWOULDBLOCK, flock (other, LOCK_EX | LOCK_NB));
  assert_ok (flock (one, LOCK_UN));
  assert_ok (flock (other, LOCK_EX | LOCK_NB));
  assert_ok (fcntl (one, F_OFD_SETLK, &whole));
  assert_fails (EAGAIN, fcntl (other, F_OFD_SETLK, &whole));
  close (one);
  assert_ok (fcntl (other, F_OFD_SETLK, &whole));
  close (other);
}

static void
test_a_directory_holds_no_bytes (void **state)
{
  char byte;
  int fd;

  assert_ok (mkdir ("d", 0755));
  assert_fails (EISDIR, open ("d", O_WRONLY));
  assert_fails (EISDIR, open ("d", O_RDWR));
  assert_fails (EISDIR, open ("d", O_RDONLY | O_CREAT, 0644));
  fd = calls_open ("d", O_RDONLY);
  assert_fails (EISDIR, read (fd, &byte, 1));
  close (fd);
}

int
posix_values (void)
{
  const struct CMUnitTest cases[] = {
    CASE (test_a_new_file_is_empty),
    CASE (test_what_is_written_is_read_back),
    CASE (test_a_gap_in_front_of_a_write_reads_as_zeros),
    CASE (test_a_hole_takes_no_memory),
    CASE (test_five_mib_at_odd_offsets),
    CASE (test_random_writes_and_truncations_match_a_model),
    CASE (test_a_vector_is_written_and_read_in_one),
    CASE (test_offsets_end_at_the_largest),
    CASE (test_two_appenders_take_turns),
    CASE (test_appending_processes_lose_nothing),
    CASE (test_truncating_drops_and_grows),
    CASE (test_opening_with_trunc_empties),
    CASE (test_exclusive_creation_wants_a_free_name),
    CASE (test_exclusive_creation_has_one_winner),
    CASE (test_an_unlinked_open_file_lives_on),
    CASE (test_an_unlinked_file_gets_no_new_name),
    CASE (test_a_replaced_open_file_lives_on),
    CASE (test_a_shared_mapping_and_the_file_are_one),
    CASE (test_a_mapping_outlives_its_descriptor_and_name),
    CASE (test_a_private_mapping_changes_nothing),
    CASE (test_syncing_succeeds),
    CASE (test_copying_within_the_kernel),
    CASE (test_a_program_runs_from_it),
    CASE (test_locks_exclude),
    CASE (test_a_directory_holds_no_bytes),
  };

  return cmocka_run_group_tests_name ("values", cases, NULL, NULL);
}
