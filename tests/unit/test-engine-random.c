/* SPDX-License-Identifier: MIT */

/* Random operations, always the same ones: against a model of what they do to names and leases,
 * against the invariants, and against a cache that believes what it is told. */

#include "tests/unit/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static unsigned
below (GRand *rand, unsigned end)
{
  return g_rand_int_range (rand, 0, end);
}

static void
pass_time (Fixture *fx, GRand *rand)
{
  LeaseTime earliest = lease_engine_earliest (fx->engine);

  switch (below (rand, 6)) {
  case 0: /* to the next deadline, or one short of it */
    if (earliest != LEASE_TIME_NEVER && earliest > fx->by.now)
      fx_wait (fx, earliest - fx->by.now - below (rand, 2));
    break;
  case 1:
    if (below (rand, 20) == 0)
      fx_wait (fx, 30 * SECOND);
    break;
  default:
    fx_wait (fx, below (rand, SECOND / 2));
  }
}

/* Cleans up a little, in one of the ways that there are. */
static void
reap_some (Fixture *fx, GRand *rand)
{
  LeaseCaller reaper = fx->by;

  reaper.reaper = true;
  lease_engine_expire (fx->engine, &reaper, below (rand, 4));
  fx_check (fx);
  for (unsigned i = below (rand, 4); i > 0; i--) {
    g_auto (LeaseGrave) grave = { 0 };
    int error = lease_engine_next_grave (fx->engine, &reaper, 1 + below (rand, 3), &grave);
    fx_check (fx);
    if (error != 0)
      continue;
    if (below (rand, 2) == 0)
      assert_true (lease_engine_bury (fx->engine, &reaper, &grave));
    else if (grave.is_directory)
      assert_ok (lease_engine_rmdir (fx->engine, &reaper, grave.parent, grave.name));
    else
      assert_ok (lease_engine_unlink (fx->engine, &reaper, grave.parent, grave.name));
    fx_check (fx);
  }
}

/* The model: files in two directories, and leases. */

#define NAMES 10
#define FILES 64
#define LEASES 4
#define NONE (-1)

typedef struct {
  bool exists;
  int64_t granted_ns;
  LeaseTime deadline;
} ModelLease;

typedef struct {
  Fixture *fx;
  GRand *rand;
  int file_of[NAMES];
  uint64_t id_of[FILES]; /* 0: no such file */
  int lease_of[FILES];
  ModelLease leases[LEASES];
} Model;

static const char *const name_of[NAMES] = { "a",   "b",   "c",   "d",   "e",
                                            "x/a", "x/b", "x/c", "x/d", "x/e" };
static const char *const lease_name_of[LEASES] = { "P", "Q", "R", "S" };

static unsigned
count_names (const Model *model, int file)
{
  unsigned count = 0;

  for (unsigned i = 0; i < NAMES; i++)
    count += model->file_of[i] == file;
  return count;
}

static void
model_point (Model *model, unsigned name, int file)
{
  int old = model->file_of[name];

  model->file_of[name] = file;
  if (old != NONE && count_names (model, old) == 0)
    model->id_of[old] = 0;
}

static void
model_end (Model *model, int lease)
{
  for (unsigned i = 0; i < NAMES; i++)
    if (model->file_of[i] != NONE && model->lease_of[model->file_of[i]] == lease)
      model_point (model, i, NONE);
  model->leases[lease] = (ModelLease){ 0 };
}

static void
model_pass_time (Model *model)
{
  pass_time (model->fx, model->rand);
  for (int i = 0; i < LEASES; i++)
    if (model->leases[i].exists && model->fx->by.now >= model->leases[i].deadline)
      model_end (model, i);
}

static void
model_create (Model *model, unsigned name)
{
  int file = 0;

  while (model->id_of[file] != 0)
    file++;
  if (model->file_of[name] != NONE) {
    assert_fails (EEXIST, fx_file (model->fx, name_of[name]));
    return;
  }
  assert_ok (fx_file (model->fx, name_of[name]));
  model->id_of[file] = fx_find (model->fx, name_of[name]);
  model->lease_of[file] = NONE;
  model->file_of[name] = file;
}

static void
model_unlink (Model *model, unsigned name)
{
  assert_int_equal (fx_unlink (model->fx, name_of[name]),
                    model->file_of[name] == NONE ? -ENOENT : 0);
  model_point (model, name, NONE);
}

static void
model_link (Model *model, unsigned name, unsigned other)
{
  int file = model->file_of[name];
  int error = file == NONE ? -ENOENT : model->file_of[other] != NONE ? -EEXIST : 0;

  assert_int_equal (fx_link (model->fx, name_of[name], name_of[other]), error);
  if (error == 0)
    model_point (model, other, file);
}

static void
model_rename (Model *model, unsigned name, unsigned other)
{
  static const unsigned all_flags[] = { 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE };
  unsigned flags = all_flags[below (model->rand, 4)];
  int file = model->file_of[name], target = model->file_of[other];
  int error = 0;

  if (file == NONE || (target == NONE && flags == RENAME_EXCHANGE))
    error = -ENOENT;
  else if (target != NONE && flags == RENAME_NOREPLACE)
    error = -EEXIST;
  assert_int_equal (fx_rename (model->fx, name_of[name], name_of[other], flags), error);
  if (error != 0 || file == target)
    return;
  if (flags == RENAME_EXCHANGE) {
    model->file_of[name] = target;
    model->file_of[other] = file;
    return;
  }
  if (target != NONE && model->lease_of[file] == NONE)
    model->lease_of[file] = model->lease_of[target];
  model_point (model, other, file);
  model_point (model, name, NONE);
}

static void
model_reserve (Model *model, unsigned lease)
{
  g_autofree char *path = g_strconcat ("leases/", lease_name_of[lease], NULL);
  ModelLease *it = &model->leases[lease];

  assert_int_equal (fx_mkdir (model->fx, path), it->exists ? -EEXIST : 0);
  if (!it->exists)
    *it = (ModelLease){ .exists = true, .deadline = model->fx->by.now + 60 * SECOND };
}

static void
model_grant (Model *model, unsigned lease)
{
  ModelLease *it = &model->leases[lease];
  int64_t ttl_ns = 1 + below (model->rand, 8) * SECOND;

  assert_int_equal (fx_grant (model->fx, lease_name_of[lease], ttl_ns), it->exists ? 0 : -ENOENT);
  if (it->exists) {
    it->granted_ns = ttl_ns;
    it->deadline = model->fx->by.now + ttl_ns;
  }
}

static void
model_refresh (Model *model, unsigned lease)
{
  ModelLease *it = &model->leases[lease];
  int error = !it->exists ? -ENOENT : it->granted_ns == 0 ? -EINVAL : 0;

  assert_int_equal (fx_refresh (model->fx, lease_name_of[lease]), error);
  if (error == 0)
    it->deadline = model->fx->by.now + it->granted_ns;
}

static void
model_touch (Model *model, unsigned name)
{
  int file = model->file_of[name];

  assert_int_equal (fx_touch (model->fx, name_of[name]), file == NONE ? -ENOENT : 0);
  if (file != NONE && model->lease_of[file] != NONE) {
    ModelLease *it = &model->leases[model->lease_of[file]];
    it->deadline = model->fx->by.now + it->granted_ns;
  }
}

static void
model_edit (Model *model, unsigned lease)
{
  g_autoptr (GString) text = g_string_new (NULL);
  ModelLease *it = &model->leases[lease];
  int lease_of[FILES];
  int error = !it->exists ? -ENOENT : it->granted_ns == 0 ? -EINVAL : 0;

  memcpy (lease_of, model->lease_of, sizeof lease_of);
  for (unsigned i = below (model->rand, 4); i > 0; i--) {
    unsigned name = below (model->rand, NAMES);
    bool detach = below (model->rand, 4) == 0;
    int file = model->file_of[name];
    g_string_append_printf (text, "%s%s\n", detach ? "-" : "", name_of[name]);
    if (error != 0)
      continue;
    if (file == NONE)
      error = -ENOENT;
    else if (detach && lease_of[file] != (int)lease)
      error = -EINVAL;
    else
      lease_of[file] = detach ? NONE : (int)lease;
  }
  assert_int_equal (fx_edit (model->fx, lease_name_of[lease], text->str), error);
  if (error == 0)
    memcpy (model->lease_of, lease_of, sizeof lease_of);
}

static void
model_revoke (Model *model, unsigned lease)
{
  g_autofree char *path = g_strconcat ("leases/", lease_name_of[lease], NULL);
  bool exists = model->leases[lease].exists;

  assert_int_equal (fx_rmdir (model->fx, path), exists ? 0 : -ENOENT);
  if (exists)
    model_end (model, lease);
}

static void
model_step (Model *model)
{
  unsigned name = below (model->rand, NAMES), other = below (model->rand, NAMES);
  unsigned lease = below (model->rand, LEASES);

  switch (below (model->rand, 32)) {
  case 0 ... 5:
    model_create (model, name);
    break;
  case 6 ... 7:
    model_unlink (model, name);
    break;
  case 8 ... 9:
    model_link (model, name, other);
    break;
  case 10 ... 13:
    model_rename (model, name, other);
    break;
  case 14:
    model_reserve (model, lease);
    break;
  case 15:
    model_reserve (model, lease);
    model_grant (model, lease);
    break;
  case 16 ... 18:
    model_grant (model, lease);
    break;
  case 19:
    model_refresh (model, lease);
    break;
  case 20:
    model_touch (model, name);
    break;
  case 21 ... 25:
    model_edit (model, lease);
    break;
  case 26:
    model_revoke (model, lease);
    break;
  case 27 ... 28:
    reap_some (model->fx, model->rand);
    break;
  default:
    model_pass_time (model);
  }
}

static void
expect_model_lease (const Model *model, int lease)
{
  const ModelLease *it = &model->leases[lease];
  g_autoptr (GString) keys = g_string_new (NULL);
  LeaseInfo info;

  if (!it->exists) {
    assert_fails (ENOENT, fx_info (model->fx, lease_name_of[lease], &info));
    return;
  }
  assert_ok (fx_info (model->fx, lease_name_of[lease], &info));
  assert_int_equal (info.granted_ns, it->granted_ns);
  assert_int_equal (info.left_ns, it->granted_ns == 0 ? 0 : it->deadline - model->fx->by.now);
  assert_int_equal (info.directory.fresh_until, it->deadline);
  for (unsigned i = 0; i < NAMES; i++)
    if (model->file_of[i] != NONE && model->lease_of[model->file_of[i]] == lease)
      g_string_append_printf (keys, "%s%s", keys->len > 0 ? " " : "", name_of[i]);
  assert_string_equal (fx_keys (model->fx, lease_name_of[lease]), keys->str);
}

static void
expect_model (const Model *model)
{
  for (unsigned i = 0; i < NAMES; i++) {
    int file = model->file_of[i];
    assert_int_equal (fx_find (model->fx, name_of[i]), file == NONE ? 0 : model->id_of[file]);
  }
  for (int i = 0; i < LEASES; i++)
    expect_model_lease (model, i);
}

static void
test_random_operations_agree_with_a_model (void **state)
{
  for (unsigned seed = 1; seed <= 4; seed++) {
    g_autoptr (Fixture) fx = fx_new (NULL);
    g_autoptr (GRand) rand = g_rand_new_with_seed (seed);
    Model model = { .fx = fx, .rand = rand };

    for (unsigned i = 0; i < NAMES; i++)
      model.file_of[i] = NONE;
    assert_ok (fx_mkdir (fx, "x"));
    for (unsigned i = 0; i < 4000; i++) {
      model_step (&model);
      expect_model (&model);
      fx_forget_events (fx);
    }
  }
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
  switch (below (chaos->rand, 6)) {
  case 0:
    fx_touch_id (fx, id);
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

  fx->by.uid = below (chaos->rand, 16) == 0;
  fx_wait (fx, 1); /* no two changes have the same time */
  switch (below (chaos->rand, 40)) {
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
    fx_rmdir (fx, lease_path);
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
    }
    end_chaos (&chaos, &before);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_random_operations_agree_with_a_model),
    cmocka_unit_test (test_random_operations_keep_the_invariants_and_every_cache_right),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
