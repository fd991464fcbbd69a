/* SPDX-License-Identifier: MIT */

#include "tests/bench/say.h"

#include <stdbool.h>
#include <stdio.h>

static FILE *json;
static const char *stage = "";

void
say_to (const char *json_path)
{
  if (json_path != NULL)
    json = fopen (json_path, "ae");
}

void
say_title (const char *title)
{
  stage = title;
  printf ("\n%s\n", title);
  fflush (stdout);
}

void
say (const char *name, double value, const char *unit, SayTarget target)
{
  bool met = target.kind == SAY_AT_MOST ? value <= target.limit : value >= target.limit;

  printf ("  %-44s %12.*f %-10s", name, value < 100 ? 2 : 0, value, unit);
  if (target.kind != SAY_NO_TARGET)
    printf (" %s %g: %s", target.kind == SAY_AT_MOST ? "at most" : "at least", target.limit,
            met ? "met" : "MISSED");
  printf ("\n");
  fflush (stdout);
  if (json == NULL)
    return;
  fprintf (json, "{\"stage\": \"%s\", \"name\": \"%s\", \"value\": %.9g, \"unit\": \"%s\"", stage,
           name, value, unit);
  if (target.kind != SAY_NO_TARGET)
    fprintf (json, ", \"%s\": %g, \"met\": %s", target.kind == SAY_AT_MOST ? "at_most" : "at_least",
             target.limit, met ? "true" : "false");
  fprintf (json, "}\n");
  fflush (json);
}

void
say_calls (const SayCalls *calls)
{
  if (json == NULL)
    return;
  fprintf (
      json,
      "{\"stage\": \"%s\", \"call\": \"%s\", \"where\": \"%s\", \"when\": \"%s\", \"count\": %.0f, "
      "\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, \"max_at_s\": %.3f}\n",
      stage, calls->call, calls->where, calls->when, calls->count, calls->p50_us, calls->p99_us,
      calls->max_us, calls->max_at_s);
  fflush (json);
}
