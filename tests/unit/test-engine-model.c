/* SPDX-License-Identifier: MIT */

/* Random operations, always the same ones, against a model of what they do to names and leases. */

#include "tests/unit/chance.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

/* The model: files in two directories, and leases. */

#define NAMES 10
#define FILES 64
#define LEASES 4
#define NONE (-1)

typedef struct {
  bool exists;
  int64_t granted_ns;
  LeaseTime deadline; /* NEVER while it is held */
  bool held_by[HOLDERS];
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

static bool
is_held (const ModelLease *it)
{
  for (unsigned i = 0; i < HOLDERS; i++)
    if (it->held_by[i])
      return true;
  return false;
}

/* It has its whole TTL from now on. */
static void
model_run (const Model *model, ModelLease *it)
{
  it->deadline = is_held (it) ? LEASE_TIME_NEVER : model->fx->by.now + it->granted_ns;
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
    model_run (model, it);
  }
}

static void
model_refresh (Model *model, unsigned lease)
{
  ModelLease *it = &model->leases[lease];
  int error = !it->exists ? -ENOENT : it->granted_ns == 0 ? -EINVAL : 0;

  assert_int_equal (fx_refresh (model->fx, lease_name_of[lease]), error);
  if (error == 0)
    model_run (model, it);
}

static void
model_touch (Model *model, unsigned name)
{
  int file = model->file_of[name];

  assert_int_equal (fx_touch (model->fx, name_of[name]), file == NONE ? -ENOENT : 0);
  if (file != NONE && model->lease_of[file] != NONE)
    model_run (model, &model->leases[model->lease_of[file]]);
}

static void
model_hold (Model *model, unsigned lease)
{
  ModelLease *it = &model->leases[lease];
  unsigned holder = below (model->rand, HOLDERS);
  int error = !it->exists ? -ENOENT : it->granted_ns == 0 ? -EINVAL : 0;

  assert_int_equal (fx_hold (model->fx, lease_name_of[lease], 1 + holder), error);
  if (error == 0) {
    it->held_by[holder] = true;
    it->deadline = LEASE_TIME_NEVER;
  }
}

static void
model_let_go (Model *model, unsigned lease)
{
  ModelLease *it = &model->leases[lease];
  unsigned holder = below (model->rand, HOLDERS);
  int error = !it->exists            ? -ENOENT
              : it->granted_ns == 0  ? -EINVAL
              : !it->held_by[holder] ? -ESRCH
                                     : 0;

  assert_int_equal (fx_let_go (model->fx, lease_name_of[lease], 1 + holder), error);
  if (error == 0) {
    it->held_by[holder] = false;
    model_run (model, it);
  }
}

static void
model_drop (Model *model)
{
  unsigned holder = below (model->rand, HOLDERS);

  fx_drop (model->fx, 1 + holder);
  for (int i = 0; i < LEASES; i++) {
    if (!model->leases[i].held_by[holder])
      continue;
    model->leases[i].held_by[holder] = false;
    model_run (model, &model->leases[i]);
  }
}

static void
expect_model_holders (const Model *model, int lease)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (unsigned i = 0; i < HOLDERS; i++)
    if (model->leases[lease].held_by[i])
      g_string_append_printf (text, "%s%u", text->len > 0 ? " " : "", 101 + i);
  assert_string_equal (fx_holders (model->fx, lease_name_of[lease]), text->str);
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

/* Attaching by the attribute. */
static void
model_set_lease (Model *model, unsigned name, unsigned lease)
{
  static const int all_flags[] = { 0, 0, XATTR_CREATE, XATTR_REPLACE };
  int flags = all_flags[below (model->rand, 4)], file = model->file_of[name];
  ModelLease *it = &model->leases[lease];
  bool is_held = file != NONE && model->lease_of[file] != NONE;
  int error = 0;

  if (file == NONE)
    error = -ENOENT;
  else if (is_held && flags == XATTR_CREATE)
    error = -EEXIST;
  else if (!is_held && flags == XATTR_REPLACE)
    error = -ENODATA;
  else if (!it->exists || it->granted_ns == 0)
    error = it->exists ? -EINVAL : -ENOENT;
  assert_int_equal (
      fx_set_xattr (model->fx, name_of[name], LEASE_XATTR_LEASE, lease_name_of[lease], flags),
      error);
  if (error == 0)
    model->lease_of[file] = (int)lease;
}

static void
model_remove_lease (Model *model, unsigned name)
{
  int file = model->file_of[name];
  int error = file == NONE ? -ENOENT : model->lease_of[file] == NONE ? -ENODATA : 0;

  assert_int_equal (fx_remove_xattr (model->fx, name_of[name], LEASE_XATTR_LEASE), error);
  if (error == 0)
    model->lease_of[file] = NONE;
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

  switch (below (model->rand, 36)) {
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
  case 21 ... 23:
    model_edit (model, lease);
    break;
  case 24:
    model_set_lease (model, name, lease);
    break;
  case 25:
    model_remove_lease (model, name);
    break;
  case 26:
    model_revoke (model, lease);
    break;
  case 27 ... 28:
    reap_some (model->fx, model->rand);
    break;
  case 29:
    model_hold (model, lease);
    break;
  case 30 ... 31:
    model_let_go (model, lease);
    break;
  case 32:
    model_drop (model);
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
  assert_int_equal (info.left_ns, it->granted_ns == 0 || is_held (it)
                                      ? it->granted_ns
                                      : it->deadline - model->fx->by.now);
  assert_int_equal (info.directory.fresh_until,
                    is_held (it) ? model->fx->by.now + it->granted_ns : it->deadline);
  for (unsigned i = 0; i < NAMES; i++)
    if (model->file_of[i] != NONE && model->lease_of[model->file_of[i]] == lease)
      g_string_append_printf (keys, "%s%s", keys->len > 0 ? " " : "", name_of[i]);
  assert_string_equal (fx_keys (model->fx, lease_name_of[lease]), keys->str);
  expect_model_holders (model, lease);
}

static void
expect_model (const Model *model)
{
  for (unsigned i = 0; i < NAMES; i++) {
    int file = model->file_of[i];
    int lease = file == NONE ? NONE : model->lease_of[file];
    assert_int_equal (fx_find (model->fx, name_of[i]), file == NONE ? 0 : model->id_of[file]);
    assert_int_equal (fx_get_xattr (model->fx, name_of[i], LEASE_XATTR_LEASE),
                      file == NONE    ? -ENOENT
                      : lease == NONE ? -ENODATA
                                      : 0);
    assert_string_equal (model->fx->text->str, lease == NONE ? "" : lease_name_of[lease]);
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

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_random_operations_agree_with_a_model),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
