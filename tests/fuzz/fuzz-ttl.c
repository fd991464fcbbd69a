/* SPDX-License-Identifier: MIT */

/* TTLs as text: the input is what somebody wrote to `ttl`; its first 8 bytes are taken for a number
 * of nanoseconds as well. */

#include "leases/ttl.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What is formatted is read back as the same. */
static void
check_round_trip (int64_t ns)
{
  char text[LEASE_TTL_TEXT_SIZE];
  int64_t again = -1;
  size_t len = lease_ttl_format (ns, text);

  fuzz_assert (len < sizeof text && len == strlen (text));
  int error = lease_ttl_parse (text, len, &again);
  fuzz_assert (ns == 0 ? error == -EINVAL && again == -1 : error == 0 && again == ns);
}

/* Whole seconds are the same rounded up. */
static void
check_whole (int64_t ns)
{
  char text[LEASE_TTL_TEXT_SIZE];
  int64_t again = 0;
  size_t len = lease_ttl_format_whole (ns, text);

  fuzz_assert (len < sizeof text && len == strlen (text));
  if (ns == 0) {
    fuzz_assert (strcmp (text, "0") == 0);
    return;
  }
  fuzz_assert (lease_ttl_parse (text, len, &again) == 0);
  fuzz_assert (again >= ns && again - ns < 1000000000 && again % 1000000000 == 0);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  char *text = fuzz_copy (data, size);
  int64_t ttl_ns = -1;
  uint64_t number = 0;

  fuzz_setup ();
  int error = lease_ttl_parse (text, size, &ttl_ns);
  if (error == 0) {
    fuzz_assert (ttl_ns >= 1 && ttl_ns <= LEASE_TTL_MAX_NS);
    check_round_trip (ttl_ns);
    check_whole (ttl_ns);
  } else {
    fuzz_assert (error == -EINVAL || error == -ERANGE);
    fuzz_assert (ttl_ns == -1);
  }
  if (size > 0)
    memcpy (&number, data, MIN (size, sizeof number));
  check_round_trip (number % (LEASE_TTL_MAX_NS + 1));
  check_whole (number % (LEASE_TTL_MAX_NS + 1));
  free (text);
  return 0;
}
