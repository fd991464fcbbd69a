/* SPDX-License-Identifier: MIT */

#include "leases/ttl.h"

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define S INT64_C (1000000000)
#define UNTOUCHED INT64_C (-77)

static void
expect_bytes (const char *text, size_t len, int error, int64_t ttl_ns)
{
  /* A copy of exactly this size, so that a sanitizer sees any byte read behind it. */
  g_autofree char *copy = g_malloc (len + 1);
  char *start = copy + 1;
  int64_t got_ns = UNTOUCHED;
  int got;

  memcpy (start, text, len);
  got = lease_ttl_parse (start, len, &got_ns);
  if (got != error || got_ns != ttl_ns)
    print_error ("\"%.*s\": %d, %" G_GINT64_FORMAT " ns\n", (int)len, text, got, got_ns);
  assert_int_equal (got, error);
  assert_int_equal (got_ns, ttl_ns);
}

static void
expect_ns (const char *text, int64_t ttl_ns)
{
  expect_bytes (text, strlen (text), 0, ttl_ns);
}

static void
expect_error (const char *text, int error)
{
  expect_bytes (text, strlen (text), error, UNTOUCHED);
}

static void
expect_text (int64_t ns, const char *exact, const char *whole)
{
  char out[LEASE_TTL_TEXT_SIZE];

  assert_int_equal (lease_ttl_format (ns, out), strlen (exact));
  assert_string_equal (out, exact);
  assert_int_equal (lease_ttl_format_whole (ns, out), strlen (whole));
  assert_string_equal (out, whole);
}

static void
test_whole_seconds_are_read (void **state)
{
  (void)state;
  expect_ns ("1", S);
  expect_ns ("100", 100 * S);
  expect_ns ("007", 7 * S);
  expect_ns ("5.", 5 * S);
  expect_ns ("8999999999", INT64_C (8999999999) * S);
}

static void
test_fractions_are_read_exactly (void **state)
{
  (void)state;
  expect_ns ("0.25", S / 4);
  expect_ns (".5", S / 2);
  expect_ns ("1.000000001", S + 1);
  expect_ns ("0.123456789", 123456789);
  expect_ns ("0.000000001", 1);
  expect_ns ("8999999999.999999999", LEASE_TTL_MAX_NS - 1);
}

static void
test_blanks_around_the_number_are_passed_over (void **state)
{
  (void)state;
  expect_ns ("100\n", 100 * S);
  expect_ns (" \t\n100 \t\n\n", 100 * S);
  expect_ns ("\n.5\n", S / 2);
}

static void
test_finer_than_a_nanosecond_is_rounded_up (void **state)
{
  (void)state;
  expect_ns ("0.0000000001", 1);
  expect_ns ("0.0000000010", 1);
  expect_ns ("0.0000000011", 2);
  expect_ns ("0.00000000100000000000000000000000000000001", 2);
  expect_ns ("0.9999999999", S);
  expect_ns ("1.9999999990000000000000000000", 2 * S - 1);
  expect_ns ("1.9999999990000000000000000001", 2 * S);
  expect_ns ("8999999999.9999999991", LEASE_TTL_MAX_NS);
}

static void
test_zero_is_invalid (void **state)
{
  (void)state;
  expect_error ("0", -EINVAL);
  expect_error ("000", -EINVAL);
  expect_error ("0.", -EINVAL);
  expect_error (".0", -EINVAL);
  expect_error ("0.000000000000000000000000000000", -EINVAL);
  expect_error ("0\n", -EINVAL);
}

static void
test_what_is_not_a_number_is_invalid (void **state)
{
  static const char *const texts[] = {
    "",     " ",     "\n",      " \t\n ", ".",        " . ",       "..",   "1..2",  "1.2.3",
    ".1.",  "-1",    "+1",      "-0",     "--1",      "1-",        "1e3",  "1E3",   "0x10",
    "10s",  "s10",   "1,5",     "1 000",  "1 2",      "1\n2",      "1 .5", "1. 5",  "inf",
    "nan",  "100\r", "100\r\n", "\v1",    "\f1",      "1_0",       "'1'",  "\"1\"", "1/2",
    "1:00", "1.5e0", "1.x",     "x.1",    "\xd9\xa1", "\302\2401", "9:",   "/1",
  };

  (void)state;
  for (size_t i = 0; i < G_N_ELEMENTS (texts); i++)
    expect_error (texts[i], -EINVAL);
}

static void
test_a_nul_byte_is_invalid (void **state)
{
  (void)state;
  expect_bytes ("\0", 1, -EINVAL, UNTOUCHED);
  expect_bytes ("1\0", 2, -EINVAL, UNTOUCHED);
  expect_bytes ("\0001", 2, -EINVAL, UNTOUCHED);
  expect_bytes ("1\0002", 3, -EINVAL, UNTOUCHED);
  expect_bytes ("1.\0005", 4, -EINVAL, UNTOUCHED);
}

static void
test_no_byte_behind_the_length_is_read (void **state)
{
  (void)state;
  expect_bytes ("1234", 2, 0, 12 * S);
  expect_bytes ("1.9", 2, 0, S);
  expect_bytes ("1x", 1, 0, S);
  expect_bytes ("1", 0, -EINVAL, UNTOUCHED);
}

static void
test_the_longest_ttl_is_in_range_and_more_is_not (void **state)
{
  (void)state;
  expect_ns ("9000000000", LEASE_TTL_MAX_NS);
  expect_ns ("9000000000.", LEASE_TTL_MAX_NS);
  expect_ns ("9000000000.00000000000000000000", LEASE_TTL_MAX_NS);
  expect_ns ("00000000000000000000000009000000000", LEASE_TTL_MAX_NS);
  expect_error ("9000000000.000000001", -ERANGE);
  expect_error ("9000000000.00000000000000000000001", -ERANGE);
  expect_error ("9000000000.9999999999", -ERANGE);
  expect_error ("9000000001", -ERANGE);
  expect_error ("9000000001.9999999999", -ERANGE);
  expect_error ("9223372036", -ERANGE);
  expect_error ("9223372037", -ERANGE);
  expect_error ("18446744073709551616", -ERANGE);
  expect_error ("18446744073709551617.5\n", -ERANGE);
}

static void
test_any_number_of_digits_is_read (void **state)
{
  g_autofree char *nines = g_strnfill (5000, '9');
  g_autofree char *zeros = g_strnfill (5000, '0');
  g_autofree char *one = g_strdup_printf ("%s1", zeros);
  g_autofree char *smallest = g_strdup_printf ("%s.%s1", zeros, zeros);
  g_autofree char *nothing = g_strdup_printf ("%s.%s", zeros, zeros);
  g_autofree char *nearly_two = g_strdup_printf ("1.%s", nines);
  g_autofree char *junk = g_strdup_printf ("%sx", nines);

  (void)state;
  expect_error (nines, -ERANGE);
  expect_error (zeros, -EINVAL);
  expect_ns (one, S);
  expect_ns (smallest, 1);
  expect_error (nothing, -EINVAL);
  expect_ns (nearly_two, 2 * S);
  expect_error (junk, -EINVAL);
}

static void
test_what_is_no_number_is_invalid_however_large (void **state)
{
  (void)state;
  expect_error ("9000000001x", -EINVAL);
  expect_error ("-9000000001", -EINVAL);
  expect_error ("99999999999999999999.1.1", -EINVAL);
  expect_error ("99999999999999999999 1", -EINVAL);
}

static void
test_format_is_exact_without_needless_zeros (void **state)
{
  (void)state;
  expect_text (0, "0", "0");
  expect_text (100 * S, "100", "100");
  expect_text (S / 2, "0.5", "1");
  expect_text (S + S / 4, "1.25", "2");
  expect_text (1000 * S + 10, "1000.00000001", "1001");
  expect_text (LEASE_TTL_MAX_NS, "9000000000", "9000000000");
  expect_text (LEASE_TTL_MAX_NS - 1, "8999999999.999999999", "9000000000");
}

static void
test_format_whole_rounds_up (void **state)
{
  (void)state;
  expect_text (1, "0.000000001", "1");
  expect_text (S - 1, "0.999999999", "1");
  expect_text (S, "1", "1");
  expect_text (S + 1, "1.000000001", "2");
  expect_text (2 * S - 1, "1.999999999", "2");
}

static void
test_parse_reads_back_what_format_wrote (void **state)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);

  (void)state;
  for (int i = 0; i < 100000; i++) {
    uint64_t bits = ((uint64_t)g_rand_int (rand) << 32) | g_rand_int (rand);
    /* Shifted, so that short spans come up as often as long ones. */
    int64_t ns = (int64_t)((bits >> g_rand_int_range (rand, 0, 64)) % LEASE_TTL_MAX_NS) + 1;
    char out[LEASE_TTL_TEXT_SIZE];
    size_t len;

    if (i % 4 == 0 && ns >= S)
      ns -= ns % S;
    len = lease_ttl_format (ns, out);
    assert_int_equal (len, strlen (out));
    expect_bytes (out, len, 0, ns);

    len = lease_ttl_format_whole (ns, out);
    assert_int_equal (len, strlen (out));
    expect_bytes (out, len, 0, (ns + S - 1) / S * S);
  }
}

/* What an accepted text must look like is said a second time here, by a regular expression. */
static void
test_random_text_is_accepted_only_if_it_is_a_number (void **state)
{
  static const char alphabet[] = "0159.. \n-e";
  g_autoptr (GRegex) number =
      g_regex_new ("\\A[ \\t\\n]*([0-9]+\\.?[0-9]*|\\.[0-9]+)[ \\t\\n]*\\z", 0, 0, NULL);
  g_autoptr (GRand) rand = g_rand_new_with_seed (2);

  (void)state;
  for (int i = 0; i < 50000; i++) {
    char text[9] = "";
    size_t len = (size_t)g_rand_int_range (rand, 0, 9);
    int64_t ns = UNTOUCHED;
    bool positive;
    int error;

    for (size_t j = 0; j < len; j++)
      text[j] = alphabet[g_rand_int_range (rand, 0, sizeof alphabet - 1)];
    error = lease_ttl_parse (text, len, &ns);

    positive = strpbrk (text, "159") != NULL;
    if (g_regex_match (number, text, 0, NULL) && positive) {
      assert_int_equal (error, 0);
      assert_in_range (ns, 1, LEASE_TTL_MAX_NS);
    } else {
      assert_int_equal (error, -EINVAL);
      assert_int_equal (ns, UNTOUCHED);
    }
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_whole_seconds_are_read),
    cmocka_unit_test (test_fractions_are_read_exactly),
    cmocka_unit_test (test_blanks_around_the_number_are_passed_over),
    cmocka_unit_test (test_finer_than_a_nanosecond_is_rounded_up),
    cmocka_unit_test (test_zero_is_invalid),
    cmocka_unit_test (test_what_is_not_a_number_is_invalid),
    cmocka_unit_test (test_a_nul_byte_is_invalid),
    cmocka_unit_test (test_no_byte_behind_the_length_is_read),
    cmocka_unit_test (test_the_longest_ttl_is_in_range_and_more_is_not),
    cmocka_unit_test (test_any_number_of_digits_is_read),
    cmocka_unit_test (test_what_is_no_number_is_invalid_however_large),
    cmocka_unit_test (test_format_is_exact_without_needless_zeros),
    cmocka_unit_test (test_format_whole_rounds_up),
    cmocka_unit_test (test_parse_reads_back_what_format_wrote),
    cmocka_unit_test (test_random_text_is_accepted_only_if_it_is_a_number),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
