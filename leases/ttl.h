/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* TTLs as text, the way that people write and read them: seconds, with a decimal fraction where one
 * is wanted. Pure functions; any thread. */

/* The longest TTL: 9,000,000,000 s (285 years), the largest round number of seconds whose
 * nanoseconds fit into int64_t. */
#define LEASE_TTL_MAX_S INT64_C (9000000000)
#define LEASE_TTL_MAX_NS (LEASE_TTL_MAX_S * INT64_C (1000000000))

/* Large enough for what the two format functions write, the final NUL included. */
#define LEASE_TTL_TEXT_SIZE 24

/* Reads `len` bytes of `text` (no final NUL needed) as one positive decimal number of seconds:
 * digits with at most one '.' among them and at least one digit ("100", "0.25", ".5", "5.").
 * Blanks, tabs and newlines around it are passed over. What is finer than a nanosecond is rounded
 * up, so that a lease never ends early.
 *
 * Returns 0 and the TTL in nanoseconds, 1 to LEASE_TTL_MAX_NS, in `ttl_ns_out`; or, with
 * `ttl_ns_out` untouched: -EINVAL  not such a number (a sign, an exponent, a second number, a NUL
 * byte, nothing at all), or zero -ERANGE  above LEASE_TTL_MAX_NS, with however many digits */
int lease_ttl_parse (const char *text, size_t len, int64_t *ttl_ns_out);

/* Writes `ns` (0 to LEASE_TTL_MAX_NS) into `out` (LEASE_TTL_TEXT_SIZE bytes) as exactly as it is,
 * with no needless zeros: "100", "0.5", "0". Returns the length. */
size_t lease_ttl_format (int64_t ns, char *out);

/* The same in whole seconds, rounded up: 1 ns is "1", and only 0 is "0". */
size_t lease_ttl_format_whole (int64_t ns, char *out);
