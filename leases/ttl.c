/* SPDX-License-Identifier: MIT */

/* TTLs as text. Integers all the way: a double holds only 15 digits, and strtod() follows the
 * locale. No state, no lock. */

#include "leases/ttl.h"

#include <errno.h>
#include <glib.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#define NS_PER_S INT64_C (1000000000)

static bool
is_blank (char c)
{
  return c == ' ' || c == '\t' || c == '\n';
}

/* Reads the digits that `text` begins with. Returns how many; in `seconds_out` their number, or
 * LEASE_TTL_MAX_S + 1 where it is larger than that, however many follow. */
static size_t
read_whole (const char *text, size_t len, int64_t *seconds_out)
{
  int64_t seconds = 0;
  size_t i;

  for (i = 0; i < len && g_ascii_isdigit (text[i]); i++)
    seconds = MIN (seconds * 10 + (text[i] - '0'), LEASE_TTL_MAX_S + 1);

  *seconds_out = seconds;
  return i;
}

/* Reads the digits behind the point. Returns how many; in `ns_out` the nanoseconds, rounded up, so
 * that they can be a whole second. */
static size_t
read_fraction (const char *text, size_t len, int64_t *ns_out)
{
  int64_t ns = 0;
  int64_t unit = NS_PER_S;
  bool finer = false;
  size_t i;

  for (i = 0; i < len && g_ascii_isdigit (text[i]); i++) {
    unit /= 10;
    ns += unit * (text[i] - '0');
    finer = finer || (unit == 0 && text[i] != '0');
  }

  *ns_out = ns + (finer ? 1 : 0);
  return i;
}

int
lease_ttl_parse (const char *text, size_t len, int64_t *ttl_ns_out)
{
  int64_t seconds, ttl_ns, fraction_ns = 0;
  size_t digits, end;

  while (len > 0 && is_blank (text[len - 1]))
    len--;
  for (; len > 0 && is_blank (text[0]); len--)
    text++;

  digits = end = read_whole (text, len, &seconds);
  if (end < len && text[end] == '.') {
    size_t fraction = read_fraction (text + end + 1, len - end - 1, &fraction_ns);

    digits += fraction;
    end += 1 + fraction;
  }
  if (end < len || digits == 0)
    return -EINVAL;

  /* Fits also where `seconds` is LEASE_TTL_MAX_S + 1 and the fraction a whole second. */
  ttl_ns = seconds * NS_PER_S + fraction_ns;
  if (ttl_ns == 0)
    return -EINVAL;
  if (ttl_ns > LEASE_TTL_MAX_NS)
    return -ERANGE;

  *ttl_ns_out = ttl_ns;
  return 0;
}

size_t
lease_ttl_format (int64_t ns, char *out)
{
  size_t len;

  g_assert (ns >= 0 && ns <= LEASE_TTL_MAX_NS);

  len = (size_t)snprintf (out, LEASE_TTL_TEXT_SIZE, "%" PRId64 ".%09" PRId64, ns / NS_PER_S,
                          ns % NS_PER_S);
  while (out[len - 1] == '0')
    len--;
  if (out[len - 1] == '.')
    len--;
  out[len] = '\0';

  return len;
}

size_t
lease_ttl_format_whole (int64_t ns, char *out)
{
  int64_t seconds = ns / NS_PER_S + (ns % NS_PER_S != 0 ? 1 : 0);

  g_assert (ns >= 0 && ns <= LEASE_TTL_MAX_NS);

  return (size_t)snprintf (out, LEASE_TTL_TEXT_SIZE, "%" PRId64, seconds);
}
