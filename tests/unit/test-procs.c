/* SPDX-License-Identifier: MIT */

#include "leases/procs.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

/* What the lines say, with blanks between them. */
static void
expect_lines (const char *text, const char *expected)
{
  g_autoptr (GArray) lines = NULL;
  g_autoptr (GString) found = g_string_new (NULL);

  assert_int_equal (lease_procs_parse (text, strlen (text), &lines), 0);
  for (unsigned i = 0; i < lines->len; i++) {
    const LeaseProcsLine *line = &g_array_index (lines, LeaseProcsLine, i);
    g_string_append_printf (found, "%s%s%d", i > 0 ? " " : "", line->let_go ? "-" : "", line->pid);
  }
  assert_string_equal (found->str, expected);
}

static void
test_lines_are_numbers (void **state)
{
  expect_lines ("", "");
  expect_lines ("1", "1");
  expect_lines ("1234\n", "1234");
  expect_lines ("0\n-0\n", "0 -0");
  expect_lines ("1\n-22\n333", "1 -22 333");
  expect_lines ("00012\n", "12");
}

static void
test_blanks_around_a_line_are_passed_over (void **state)
{
  expect_lines ("  12\n", "12");
  expect_lines ("12 \t\n\t-3 ", "12 -3");
}

static void
test_what_no_process_has_is_the_largest_number (void **state)
{
  g_autofree char *largest = g_strdup_printf ("%d", INT_MAX);

  expect_lines ("2147483647\n", largest);
  expect_lines ("2147483648\n", largest);
  expect_lines ("99999999999999999999999999999999999999\n", largest);
}

static void
test_anything_else_is_refused (void **state)
{
  static const char *const bad[] = { "\n",   " \n",   "1\n\n", "-\n",  "- 1\n", "--1\n",
                                     "+1\n", "1 2\n", "0x1\n", "1.\n", "a\n",   "1\r\n" };
  GArray *lines = NULL;

  for (unsigned i = 0; i < G_N_ELEMENTS (bad); i++)
    assert_int_equal (lease_procs_parse (bad[i], strlen (bad[i]), &lines), -EINVAL);
  assert_int_equal (lease_procs_parse ("1\0\n", 3, &lines), -EINVAL);
  assert_null (lines);
}

static void
test_what_is_shown_can_be_written (void **state)
{
  g_autoptr (GString) text = g_string_new (NULL);

  lease_procs_append (text, 1);
  lease_procs_append (text, 4194304);
  assert_string_equal (text->str, "1\n4194304\n");
  expect_lines (text->str, "1 4194304");
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_lines_are_numbers),
    cmocka_unit_test (test_blanks_around_a_line_are_passed_over),
    cmocka_unit_test (test_what_no_process_has_is_the_largest_number),
    cmocka_unit_test (test_anything_else_is_refused),
    cmocka_unit_test (test_what_is_shown_can_be_written),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
