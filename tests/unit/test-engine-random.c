/* SPDX-License-Identifier: MIT */

/* Random operations, always the same ones, against the invariants, and against a cache that
 * believes what it is told. */

#include "tests/unit/chance.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

/* A lease, in two steps; the second may be to leave it. */
static void
revoke_lease (Fixture *fx, GRand *rand, const char *lease)
{
  uint64_t id;
  int error = lease_engine_revoke (fx->engine, &fx->by, fx_find (fx, "leases"), lease, &id);

  fx_check (fx);
  if (error != -EINPROGRESS)
    return;
  for (unsigned i = below (rand, 3); i > 0; i--) {
    reap_some (fx, rand);
    fx_mkdir (fx, below (rand, 4) == 0 ? "leases/P" : "a");
  }
  if (lease_engine_is_cleared (fx->engine, id))
    assert_int_equal (fx_count_events (fx, LEASE_EVENT_CLEARED, id), 1);
  if (below (rand, 4) == 0)
    lease_engine_abandon (fx->engine, &fx->by, id);
  else if ((error = lease_engine_part (fx->engine, &fx->by, id)) != -EIO && error != -ENOSPC)
    assert_ok (error);
  fx_check (fx);
}

/* The cache: what a kernel knows of some nodes. It asks again only when what it knows is no longer
 * fresh, or when it was told; and a listing it trusts as long as the mtime is the same. */

typedef struct {
  uint64_t id; /* pinned; 0: empty */
  bool is_directory;
  bool stale;
  LeaseTime fresh_until;
  int64_t mtime_ns;
  char *listing;
} Cached;

#define CACHED 12

typedef struct {
  Fixture *fx;
  GRand *rand;
  Cached cached[CACHED];
  uint64_t pins[CACHED];
} Chaos;

static bool
append_id (const char *name, const LeaseAttr *attr, uint64_t cookie, void *data)
{
  g_string_append_printf (data, "%s=%" G_GUINT64_FORMAT " ", name, attr->id);
  return true;
}

static char *
list_by_id (Fixture *fx, uint64_t id)
{
  g_autoptr (GString) text = g_string_new (NULL);

  assert_ok (lease_engine_list (fx->engine, &fx->by, id, 0, false, append_id, text));
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
drop_cached (Fixture *fx, Cached *cached)
{
  if (cached->id != 0)
    fx_unpin (fx, cached->id);
  g_free (cached->listing);
  *cached = (Cached){ 0 };
}

static void
fill_cached (Fixture *fx, Cached *cached, const LeaseAttr *attr)
{
  g_free (cached->listing);
  *cached = (Cached){
    .id = attr->id,
    .is_directory = S_ISDIR (attr->mode),
    .fresh_until = attr->fresh_until,
    .mtime_ns = attr->mtime_ns,
    .listing = S_ISDIR (attr->mode) ? list_by_id (fx, attr->id) : NULL,
  };
}

static void
expect_same_listing (Fixture *fx, const Cached *cached)
{
  g_autofree char *listing = cached->is_directory ? list_by_id (fx, cached->id) : NULL;

  if (listing != NULL)
    assert_string_equal (listing, cached->listing);
}

static void
expect_cached (Fixture *fx, Cached *cached)
{
  LeaseAttr attr;
  int error = lease_engine_getattr (fx->engine, &fx->by, cached->id, &attr);

  if (fx->by.now < cached->fresh_until && !cached->stale) {
    /* A directory that came into a lease with the one above it, not attached itself, tells nothing
     * of its end: no path leads to it any more. */
    if (error == -ESTALE && cached->is_directory) {
      drop_cached (fx, cached);
      return;
    }
    assert_ok (error);
    expect_same_listing (fx, cached);
  } else if (error != 0) {
    assert_int_equal (error, -ESTALE);
    drop_cached (fx, cached);
  } else {
    if (attr.mtime_ns == cached->mtime_ns)
      expect_same_listing (fx, cached);
    fill_cached (fx, cached, &attr);
  }
}

static void
hear_events (Chaos *chaos)
{
  for (unsigned i = 0; i < CACHED; i++)
    if (chaos->cached[i].id != 0 &&
        fx_count_events (chaos->fx, LEASE_EVENT_STALE, chaos->cached[i].id) > 0)
      chaos->cached[i].stale = true;
  fx_forget_events (chaos->fx);
}

/* What this kernel changed itself, it asks for again: the directory `id`, or any that it may have
 * been. */
static void
forget_listings (Chaos *chaos, uint64_t id)
{
  for (unsigned i = 0; i < CACHED; i++) {
    Cached *cached = &chaos->cached[i];
    LeaseAttr attr;
    if (cached->id == 0 || !cached->is_directory || (id != 0 && cached->id != id))
      continue;
    if (lease_engine_getattr (chaos->fx->engine, &chaos->fx->by, cached->id, &attr) != 0)
      drop_cached (chaos->fx, cached);
    else
      fill_cached (chaos->fx, cached, &attr);
  }
}

/* A path of a few names that soon repeat, in a lease or outside. */
static char *
random_path (GRand *rand)
{
  static const char *const tops[] = { "", "", "", "leases/P/", "leases/Q/" };
  g_autoptr (GString) path = g_string_new (tops[below (rand, G_N_ELEMENTS (tops))]);

  for (unsigned i = below (rand, 3); i > 0; i--)
    g_string_append_printf (path, "%c/", 'a' + below (rand, 3));
  g_string_append_c (path, 'a' + below (rand, 3));
  return g_string_free (g_steal_pointer (&path), FALSE);
}

/* One that mostly leads to something. */
static char *
random_existing_path (Chaos *chaos)
{
  LeaseAttr attr;

  for (unsigned tries = 6;; tries--) {
    g_autofree char *path = random_path (chaos->rand);
    if (tries == 0 || fx_stat (chaos->fx, path, &attr) == 0)
      return g_steal_pointer (&path);
  }
}

static void
change_names (Chaos *chaos)
{
  static const unsigned all_flags[] = { 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE };
  Fixture *fx = chaos->fx;
  g_autofree char *path = random_path (chaos->rand), *other = random_path (chaos->rand);
  g_autofree char *existing = random_existing_path (chaos);

  switch (below (chaos->rand, 12)) {
  case 0 ... 2:
    fx_file (fx, path);
    break;
  case 3 ... 5:
    fx_mkdir (fx, path);
    break;
  case 6:
    fx_symlink (fx, path, "a");
    break;
  case 7:
    fx_link (fx, existing, other);
    break;
  case 8:
    fx_unlink (fx, existing);
    break;
  case 9:
    fx_rmdir (fx, existing);
    break;
  default:
    fx_rename (fx, existing, other, all_flags[below (chaos->rand, 5)]);
  }
  hear_events (chaos);
  forget_listings (chaos, 0);
}

static void
edit_some (Chaos *chaos, const char *lease)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (unsigned i = 1 + below (chaos->rand, 2); i > 0; i--) {
    g_autofree char *path = random_existing_path (chaos);
    g_string_append_printf (text, "%s%s\n", below (chaos->rand, 4) == 0 ? "-" : "", path);
  }
  fx_edit (chaos->fx, lease, text->str);
}

static void
change_holders (Chaos *chaos, const char *lease)
{
  unsigned holder = 1 + below (chaos->rand, HOLDERS);

  switch (below (chaos->rand, 4)) {
  case 0:
    fx_hold (chaos->fx, lease, holder);
    break;
  case 1:
    fx_let_go (chaos->fx, lease, holder);
    break;
  case 2:
    fx_edit_holders (chaos->fx, lease, (int[]){ -(int)holder, 1, 0 });
    break;
  default:
    fx_drop (chaos->fx, holder);
  }
}

static void
cache_some (Chaos *chaos)
{
  Cached *cached = &chaos->cached[below (chaos->rand, CACHED)];
  g_autofree char *path = random_existing_path (chaos);
  LeaseAttr attr;

  if (below (chaos->rand, 3) == 0 && strchr (path, '/') != NULL)
    *strrchr (path, '/') = '\0'; /* the directory, of a lease too */
  if (below (chaos->rand, 8) == 0)
    *strchrnul (path, '/') = '\0'; /* leases/ too */
  drop_cached (chaos->fx, cached);
  if (fx_stat (chaos->fx, path, &attr) != 0)
    return;
  attr.id = fx_pin (chaos->fx, path);
  fill_cached (chaos->fx, cached, &attr);
}

static void
pin_some (Chaos *chaos)
{
  uint64_t *pin = &chaos->pins[below (chaos->rand, CACHED)];
  g_autofree char *path = random_existing_path (chaos);
  LeaseAttr attr;

  if (*pin != 0)
    fx_unpin (chaos->fx, *pin);
  *pin = fx_stat (chaos->fx, path, &attr) == 0 ? fx_pin (chaos->fx, path) : 0;
}

/* Set or removed; that of the lease attaches or detaches. */
static void
change_xattr (Chaos *chaos, uint64_t id)
{
  static const char *const names[] = { "user.lease", "user.a", "user.b", "trusted.a" };
  Fixture *fx = chaos->fx;
  const char *name = names[below (chaos->rand, G_N_ELEMENTS (names))];
  const char *value = below (chaos->rand, 2) == 0 ? "P" : "Q";

  if (below (chaos->rand, 4) == 0)
    lease_engine_remove_xattr (fx->engine, &fx->by, id, name);
  else
    lease_engine_set_xattr (fx->engine, &fx->by, id, name, value, 1, below (chaos->rand, 3));
}

/* Something is done to a node that may have lost its names, or ended. */
static void
use_pinned (Chaos *chaos)
{
  Fixture *fx = chaos->fx;
  uint64_t id = chaos->pins[below (chaos->rand, CACHED)];
  uint64_t other = chaos->pins[below (chaos->rand, CACHED)];
  LeaseAttr attr;

  if (id == 0 || other == 0)
    return;
  switch (below (chaos->rand, 8)) {
  case 0:
    fx_touch_id (fx, id);
    break;
  case 6 ... 7:
    change_xattr (chaos, id);
    break;
  case 1:
    fx_write (fx, id, "hello");
    break;
  case 2:
    if (lease_engine_create (fx->engine, &fx->by, id, "a", &(LeaseNew){ .mode = S_IFDIR | 0755 },
                             &attr) == 0)
      fx_unpin (fx, attr.id);
    break;
  case 3:
    if (lease_engine_link (fx->engine, &fx->by, id, other, "b", &attr) == 0)
      fx_unpin (fx, attr.id);
    break;
  case 4:
    lease_engine_rename (fx->engine, &fx->by, id, "a", other, "c", 0);
    break;
  default:
    lease_engine_rmdir (fx->engine, &fx->by, id, "a");
  }
  fx_check (fx);
  hear_events (chaos);
  forget_listings (chaos, 0);
}

static void
chaos_step (Chaos *chaos)
{
  Fixture *fx = chaos->fx;
  const char *lease = below (chaos->rand, 2) == 0 ? "P" : "Q";
  g_autofree char *path = random_path (chaos->rand);
  g_autofree char *lease_path = g_strconcat ("leases/", lease, NULL);
  LeaseAttr attr;

  fx->by.uid = below (chaos->rand, 16) == 0;
  fx_wait (fx, 1); /* no two changes have the same time */
  switch (below (chaos->rand, 45)) {
  case 0 ... 15:
    change_names (chaos);
    break;
  case 16 ... 18:
    fx_mkdir (fx, lease_path);
    hear_events (chaos);
    forget_listings (chaos, fx_find (fx, "leases"));
    if (below (chaos->rand, 8) != 0)
      fx_grant (fx, lease, (1 + below (chaos->rand, 10)) * SECOND);
    break;
  case 19:
    fx_refresh (fx, lease);
    break;
  case 20:
    fx_touch (fx, path);
    break;
  case 21 ... 26:
    edit_some (chaos, lease);
    break;
  case 27:
    if (below (chaos->rand, 2) == 0)
      fx_rmdir (fx, lease_path);
    else
      revoke_lease (fx, chaos->rand, lease);
    hear_events (chaos);
    forget_listings (chaos, fx_find (fx, "leases"));
    break;
  case 28 ... 30:
    cache_some (chaos);
    break;
  case 31:
    pin_some (chaos);
    break;
  case 32 ... 33:
    use_pinned (chaos);
    break;
  case 34:
    reap_some (fx, chaos->rand);
    break;
  case 36 ... 39:
    change_holders (chaos, lease);
    break;
  case 40:
    change_xattr (chaos, fx_stat (fx, path, &attr) == 0 ? attr.id : LEASE_ROOT);
    fx_check (fx);
    hear_events (chaos);
    forget_listings (chaos, 0);
    break;
  case 35:
    fx->by.wall_ns -= below (chaos->rand, 100) * SECOND;
    break;
  default:
    pass_time (fx, chaos->rand);
  }
}

static void
end_chaos (Chaos *chaos, const LeaseUsage *before)
{
  Fixture *fx = chaos->fx;
  LeaseUsage after;

  fx->by.uid = 0;
  for (unsigned i = 0; i < CACHED; i++) {
    drop_cached (fx, &chaos->cached[i]);
    if (chaos->pins[i] != 0)
      fx_unpin (fx, chaos->pins[i]);
  }
  for (unsigned i = 1; i <= HOLDERS; i++)
    fx_drop (fx, i);
  /* Everything goes with one lease. */
  fx_wait (fx, 100 * SECOND);
  fx_reap (fx);
  fx_lease (fx, "Z", SECOND);
  for (const char *name = "abc"; *name != '\0'; name++)
    if (fx_find (fx, (char[]){ *name, '\0' }) != 0)
      assert_ok (fx_rename (fx, (char[]){ *name, '\0' },
                            (char[]){ 'l', 'e', 'a', 's', 'e', 's', '/', 'Z', '/', *name, '\0' },
                            0));
  fx_wait (fx, SECOND);
  fx_reap (fx);
  assert_string_equal (fx_list (fx, ""), "leases");
  g_auto (GStrv) left = g_strsplit (fx_xattrs (fx, ""), " ", -1);
  for (char **name = left; *name != NULL; name++)
    assert_ok (lease_engine_remove_xattr (fx->engine, &fx->by, LEASE_ROOT, *name));
  lease_engine_usage (fx->engine, &after);
  assert_int_equal (after.bytes_used, before->bytes_used);
  assert_int_equal (after.nodes_used, before->nodes_used);
}

static void
test_random_operations_keep_the_invariants_and_every_cache_right (void **state)
{
  for (unsigned seed = 1; seed <= 8; seed++) {
    g_autoptr (Fixture) fx = fx_new (NULL);
    g_autoptr (GRand) rand = g_rand_new_with_seed (seed);
    Chaos chaos = { .fx = fx, .rand = rand };
    LeaseUsage before;

    lease_engine_usage (fx->engine, &before);
    for (unsigned i = 0; i < 8000; i++) {
      chaos_step (&chaos);
      hear_events (&chaos);
      for (unsigned j = 0; j < CACHED; j++)
        if (chaos.cached[j].id != 0)
          expect_cached (fx, &chaos.cached[j]);
      if (i % 16 == 0)
        fx_check_journal (fx);
    }
    end_chaos (&chaos, &before);
  }
}

/* Within a commit: time passes, and somebody looks around. */
static void
let_happen (void *data)
{
  Chaos *chaos = data;
  Fixture *fx = chaos->fx;
  g_autofree char *name = random_path (chaos->rand);
  LeaseAttr attr;

  *strchrnul (name, '/') = '\0';
  LeaseTime next = lease_engine_earliest (fx->engine);
  if (below (chaos->rand, 4) == 0)
    fx->by.now += below (chaos->rand, 3000) * MS;
  else if (below (chaos->rand, 2) == 0 && next != LEASE_TIME_NEVER)
    fx->by.now = MAX (fx->by.now, next);
  if (lease_engine_lookup (fx->engine, &fx->by, LEASE_ROOT, name, &attr, NULL) == 0)
    lease_engine_unpin (fx->engine, attr.id, 1);
  if (below (chaos->rand, 2) == 0)
    lease_engine_expire (fx->engine, &fx->by, 1 + below (chaos->rand, 10));
  if (below (chaos->rand, 8) == 0)
    lease_engine_drop_holder (fx->engine, &fx->by, 1, 10);
  if (below (chaos->rand, 16) == 0)
    fake_fail (fx->fake, 1, EIO);
}

static void
test_what_happens_during_a_commit_leaves_journal_and_memory_the_same (void **state)
{
  for (unsigned seed = 1; seed <= 8; seed++) {
    g_autoptr (Fixture) fx = fx_new (NULL);
    g_autoptr (GRand) rand = g_rand_new_with_seed (seed);
    Chaos chaos = { .fx = fx, .rand = rand };
    LeaseUsage before;

    fx->lazy = seed % 2 == 0;
    lease_engine_usage (fx->engine, &before);
    fake_hook (fx->fake, let_happen, &chaos);
    for (unsigned i = 0; i < 4000; i++) {
      chaos_step (&chaos);
      hear_events (&chaos);
      fake_hook (fx->fake, NULL, NULL);
      fake_fail (fx->fake, 0, 0);
      if (i % 4 == 0)
        fx_check_journal (fx);
      fake_hook (fx->fake, let_happen, &chaos);
    }
    fake_hook (fx->fake, NULL, NULL);
    fx->lazy = false;
    lease_engine_flush (fx->engine, &fx->by, false);
    end_chaos (&chaos, &before);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_random_operations_keep_the_invariants_and_every_cache_right),
    cmocka_unit_test (test_what_happens_during_a_commit_leaves_journal_and_memory_the_same),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
