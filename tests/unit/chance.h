/* SPDX-License-Identifier: MIT */
#pragma once

#include "tests/unit/fixture-holders.h"

/* What the tests that do random things have in common. */

/* The holders that there are: 1 to HOLDERS. */
#define HOLDERS 3

/* From 0 to `end` - 1. */
unsigned below (GRand *rand, unsigned end);

/* Some time, often up to the next deadline or just short of it. */
void pass_time (Fixture *fx, GRand *rand);

/* Cleans up a little, in one of the ways that there are. */
void reap_some (Fixture *fx, GRand *rand);
