/* SPDX-License-Identifier: MIT */
#pragma once

/* Results: a line of text for people on stdout, and one of JSON in a file. */

typedef struct {
  enum { SAY_NO_TARGET, SAY_AT_MOST, SAY_AT_LEAST } kind;
  double limit;
} SayTarget;

#define SAY_JUST ((SayTarget){ SAY_NO_TARGET, 0 })
#define SAY_MOST(limit) ((SayTarget){ SAY_AT_MOST, limit })
#define SAY_LEAST(limit) ((SayTarget){ SAY_AT_LEAST, limit })

/* Where the JSON goes, behind what is there; NULL: nowhere. */
void say_to (const char *json_path);

void say_title (const char *stage);
void say (const char *name, double value, const char *unit, SayTarget target);

/* How long calls took, for the JSON alone. */
typedef struct {
  const char *call, *where, *when;
  double count, p50_us, p99_us, max_us;
  double max_at_s; /* when the longest one ended */
} SayCalls;

void say_calls (const SayCalls *calls);
