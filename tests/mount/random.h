/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* Random numbers, the same again for the same seed: xorshift64, by Marsaglia. */

/* The state that number `which` of several who share a seed begins with; never 0. */
static inline uint64_t
random_start (unsigned seed, unsigned which)
{
  return (seed * UINT64_C (1000003) + which + 1) * UINT64_C (0x9e3779b97f4a7c15);
}

static inline unsigned
random_below (uint64_t *state, unsigned end)
{
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return (*state >> 16) % end;
}
