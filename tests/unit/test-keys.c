/* SPDX-License-Identifier: MIT */

#include "leases/keys.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static int
parse (const char *text, size_t len, GArray **lines_out)
{
  /* A copy of exactly this size, so that a sanitizer sees any byte read behind it. */
  g_autofree char *copy = g_malloc (len + 1);

  memcpy (copy + 1, text, len);
  return lease_keys_parse (copy + 1, len, lines_out);
}

static void
expect_error_bytes (const char *text, size_t len, int error)
{
  GArray *lines = NULL;

  assert_int_equal (parse (text, len, &lines), error);
  assert_null (lines);
}

static void
expect_error (const char *text, int error)
{
  expect_error_bytes (text, strlen (text), error);
}

/* `expected` names the lines, ended by NULL; a '+' or '-' before each says whether it attaches. */
static void
expect_lines (const char *text, const char *const *expected)
{
  g_autoptr (GArray) lines = NULL;

  assert_int_equal (parse (text, strlen (text), &lines), 0);
  assert_int_equal (lines->len, g_strv_length ((char **)expected));
  for (size_t i = 0; i < lines->len; i++) {
    const LeaseKeysLine *line = &g_array_index (lines, LeaseKeysLine, i);

    assert_int_equal (line->detach, expected[i][0] == '-');
    assert_string_equal (line->path, expected[i] + 1);
  }
}

#define expect(text, ...) expect_lines (text, (const char *const[]){ __VA_ARGS__, NULL })

static void
expect_written (const char *path, const char *text)
{
  g_autoptr (GString) got = g_string_new (NULL);

  lease_keys_append (got, path);
  assert_string_equal (got->str, text);
}

static void
test_each_line_names_a_key (void **state)
{
  (void)state;
  expect ("key1\n", "+key1");
  expect ("a\nb/c\nd\n", "+a", "+b/c", "+d");
  expect ("a\na\n", "+a", "+a");
}

static void
test_the_last_line_needs_no_newline (void **state)
{
  (void)state;
  expect ("key1", "+key1");
  expect ("a\n-b", "+a", "-b");
}

static void
test_no_text_is_no_line (void **state)
{
  (void)state;
  expect_lines ("", (const char *const[]){ NULL });
}

static void
test_a_dash_detaches (void **state)
{
  (void)state;
  expect ("-a\n", "-a");
  expect ("--a\n", "--a");
  expect ("-./-a\n", "-./-a");
  expect ("- a\n", "- a");
  expect ("-/a\n", "-a");
}

static void
test_a_dash_elsewhere_belongs_to_the_name (void **state)
{
  (void)state;
  expect ("./-a\n", "+./-a");
  expect ("a-b\n", "+a-b");
  expect (" -a\n", "+ -a");
  expect ("/-a\n", "+-a");
  expect ("\\055a\n", "+-a");
}

static void
test_leading_slashes_mean_the_root (void **state)
{
  (void)state;
  expect ("/a/b\n", "+a/b");
  expect ("///a//b/\n", "+a//b/");
  expect ("/\n", "+.");
  expect ("-///", "-.");
  expect ("\\057a\n", "+a");
}

static void
test_blanks_belong_to_the_name (void **state)
{
  (void)state;
  expect (" a \n", "+ a ");
  expect (" \n", "+ ");
  expect ("a\tb\r\n", "+a\tb\r");
}

static void
test_escapes_are_read (void **state)
{
  (void)state;
  expect ("a\\012b\n", "+a\nb");
  expect ("\\134\n", "+\\");
  expect ("\\1341\n", "+\\1");
  expect ("\\001\\377\\177", "+\001\377\177");
  expect ("\\0601\n", "+01");
}

static void
test_a_bad_escape_is_invalid (void **state)
{
  static const char *const texts[] = { "\\",       "a\\\n",  "\\1",       "\\12",    "\\12\n",
                                       "\\08a",    "\\n",    "\\\\",      "\\x41",   "\\400",
                                       "\\777",    "\\ 12",  "\\-12",     "\\01\n2", "good\n\\",
                                       "\\1 2bad", "-\\9\n", "\\012\\01", "a\\0",    "\\+12" };

  (void)state;
  for (size_t i = 0; i < G_N_ELEMENTS (texts); i++)
    expect_error (texts[i], -EINVAL);
}

static void
test_a_nul_byte_is_invalid (void **state)
{
  (void)state;
  expect_error_bytes ("\0", 1, -EINVAL);
  expect_error_bytes ("a\0b\n", 4, -EINVAL);
  expect_error_bytes ("a\n\0", 3, -EINVAL);
  expect_error ("\\000", -EINVAL);
  expect_error ("a\\000b\n", -EINVAL);
}

static void
test_an_empty_name_does_not_exist (void **state)
{
  (void)state;
  expect_error ("\n", -ENOENT);
  expect_error ("-", -ENOENT);
  expect_error ("-\n", -ENOENT);
  expect_error ("a\n\n", -ENOENT);
  expect_error ("a\n\nb\n", -ENOENT);
  expect_error ("a\n-\nb\n", -ENOENT);
}

static void
test_the_first_bad_line_names_the_error (void **state)
{
  (void)state;
  expect_error ("a\n\n\\\n", -ENOENT);
  expect_error ("a\n\\\n\n", -EINVAL);
}

static void
test_a_path_of_path_max_bytes_is_too_long (void **state)
{
  g_autofree char *longest = g_strnfill (PATH_MAX - 1, 'x');
  g_autofree char *too_long = g_strnfill (PATH_MAX, 'x');
  g_autofree char *much_too_long = g_strnfill (16 * PATH_MAX, 'x');
  g_autofree char *slashes = g_strnfill (2 * PATH_MAX, '/');
  g_autofree char *behind_slashes = g_strconcat (slashes, longest, NULL);
  g_autofree char *expected = g_strconcat ("+", longest, NULL);
  g_autofree char *second_line = g_strconcat ("a\n-", too_long, "\n", NULL);
  g_autoptr (GString) escaped = g_string_new (NULL);

  (void)state;
  expect (longest, expected);
  expect (behind_slashes, expected);
  expect (slashes, "+.");
  expect_error (too_long, -ENAMETOOLONG);
  expect_error (much_too_long, -ENAMETOOLONG);
  expect_error (second_line, -ENAMETOOLONG);

  /* It is the path that has a limit, not its escaped form. */
  for (int i = 0; i < PATH_MAX - 1; i++)
    g_string_append (escaped, "\\170");
  expect (escaped->str, expected);
  g_string_append (escaped, "\\170");
  expect_error (escaped->str, -ENAMETOOLONG);
}

static void
test_control_bytes_and_backslashes_are_written_as_escapes (void **state)
{
  (void)state;
  expect_written ("key1", "key1\n");
  expect_written ("a b/c", "a b/c\n");
  expect_written ("a\nb", "a\\012b\n");
  expect_written ("\\", "\\134\n");
  expect_written ("\\012", "\\134012\n");
  expect_written ("\001\t\037\177", "\\001\\011\\037\\177\n");
  expect_written ("gr\xc3\xbc\xc3\x9f"
                  "e",
                  "gr\xc3\xbc\xc3\x9f"
                  "e\n");
  expect_written ("\x80\xff", "\x80\xff\n");
}

static void
test_a_leading_dash_is_written_behind_a_dot (void **state)
{
  (void)state;
  expect_written ("-a", "./-a\n");
  expect_written ("-", "./-\n");
  expect_written ("./-a", "./-a\n");
  expect_written ("a/-b", "a/-b\n");
}

static void
test_append_keeps_what_was_there (void **state)
{
  g_autoptr (GString) text = g_string_new ("first\n");

  (void)state;
  lease_keys_append (text, "second");
  lease_keys_append (text, "-third");
  assert_string_equal (text->str, "first\nsecond\n./-third\n");
}

/* Any bytes but NUL, special ones often. The first is not '/': paths are relative. */
static char *
random_path (GRand *rand)
{
  static const char special[] = "-/\\\n01 .\177\t";
  size_t len = (size_t)g_rand_int_range (rand, 1, 40);
  char *path = g_malloc0 (len + 1);

  for (size_t i = 0; i < len; i++) {
    do {
      path[i] = g_rand_boolean (rand) ? special[g_rand_int_range (rand, 0, (int)strlen (special))]
                                      : (char)g_rand_int_range (rand, 1, 256);
    } while (i == 0 && path[i] == '/');
  }
  return path;
}

static void
test_parse_reads_back_what_append_wrote (void **state)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);

  (void)state;
  for (int round = 0; round < 5000; round++) {
    g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);
    g_autoptr (GString) text = g_string_new (NULL);
    g_autoptr (GArray) lines = NULL;

    for (int count = g_rand_int_range (rand, 0, 6); count > 0; count--) {
      g_ptr_array_add (paths, random_path (rand));
      lease_keys_append (text, g_ptr_array_index (paths, paths->len - 1));
    }

    assert_int_equal (parse (text->str, text->len, &lines), 0);
    assert_int_equal (lines->len, paths->len);
    for (size_t i = 0; i < lines->len; i++) {
      const LeaseKeysLine *line = &g_array_index (lines, LeaseKeysLine, i);
      const char *path = g_ptr_array_index (paths, i);

      assert_false (line->detach);
      assert_string_equal (line->path + (path[0] == '-' ? strlen ("./") : 0), path);
    }
  }
}

static void
test_every_written_line_can_be_read_as_a_detach (void **state)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (2);

  (void)state;
  for (int round = 0; round < 5000; round++) {
    g_autofree char *path = random_path (rand);
    g_autoptr (GString) text = g_string_new ("-");
    g_autoptr (GArray) lines = NULL;
    const LeaseKeysLine *line;

    lease_keys_append (text, path);
    assert_int_equal (parse (text->str, text->len, &lines), 0);
    assert_int_equal (lines->len, 1);
    line = &g_array_index (lines, LeaseKeysLine, 0);
    assert_true (line->detach);
    assert_string_equal (line->path + (path[0] == '-' ? strlen ("./") : 0), path);
  }
}

static void
test_whatever_is_written_yields_lines_or_an_error (void **state)
{
  static const char special[] = "-/\\\n0127a\0";
  g_autoptr (GRand) rand = g_rand_new_with_seed (3);
  int accepted = 0;

  (void)state;
  for (int round = 0; round < 100000; round++) {
    char text[12];
    size_t len = (size_t)g_rand_int_range (rand, 0, sizeof text + 1);
    g_autoptr (GArray) lines = NULL;
    int error;

    for (size_t i = 0; i < len; i++)
      text[i] = special[g_rand_int_range (rand, 0, sizeof special - 1)];

    error = parse (text, len, &lines);
    if (error != 0) {
      assert_true (error == -EINVAL || error == -ENOENT);
      assert_null (lines);
      continue;
    }
    accepted++;
    for (size_t i = 0; i < lines->len; i++) {
      const LeaseKeysLine *line = &g_array_index (lines, LeaseKeysLine, i);

      assert_true (line->path[0] != '\0' && line->path[0] != '/');
    }
  }
  assert_true (accepted > 1000);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_each_line_names_a_key),
    cmocka_unit_test (test_the_last_line_needs_no_newline),
    cmocka_unit_test (test_no_text_is_no_line),
    cmocka_unit_test (test_a_dash_detaches),
    cmocka_unit_test (test_a_dash_elsewhere_belongs_to_the_name),
    cmocka_unit_test (test_leading_slashes_mean_the_root),
    cmocka_unit_test (test_blanks_belong_to_the_name),
    cmocka_unit_test (test_escapes_are_read),
    cmocka_unit_test (test_a_bad_escape_is_invalid),
    cmocka_unit_test (test_a_nul_byte_is_invalid),
    cmocka_unit_test (test_an_empty_name_does_not_exist),
    cmocka_unit_test (test_the_first_bad_line_names_the_error),
    cmocka_unit_test (test_a_path_of_path_max_bytes_is_too_long),
    cmocka_unit_test (test_control_bytes_and_backslashes_are_written_as_escapes),
    cmocka_unit_test (test_a_leading_dash_is_written_behind_a_dot),
    cmocka_unit_test (test_append_keeps_what_was_there),
    cmocka_unit_test (test_parse_reads_back_what_append_wrote),
    cmocka_unit_test (test_every_written_line_can_be_read_as_a_detach),
    cmocka_unit_test (test_whatever_is_written_yields_lines_or_an_error),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
