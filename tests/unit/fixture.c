/* SPDX-License-Identifier: MIT */

/* What the tests of the engine share. */

#include "tests/unit/fixture.h"

#include "leases/keys.h"
#include "tests/unit/dump.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static void
record_event (LeaseEvent event, uint64_t id, void *data)
{
  Fixture *fx = data;
  FixtureEvent record = { event, id };

  g_array_append_val (fx->events, record);
  if (fx->on_event != NULL)
    fx->on_event (fx, event, id);
  if (fake_is_committing (fx->fake))
    return;
  if (event == LEASE_EVENT_REVEALS)
    lease_engine_flush (fx->engine, &fx->by, false);
  if (event == LEASE_EVENT_REVEALS_MANY || (event == LEASE_EVENT_UNWRITTEN && !fx->lazy))
    while (lease_engine_flush (fx->engine, &fx->by, false) > 0)
      continue;
}

LeaseEngineConfig
fx_config (void)
{
  return (LeaseEngineConfig){
    .max_bytes = UINT64_C (1) << 40,
    .max_nodes = UINT64_C (1) << 40,
    .max_leases = UINT64_MAX,
    .root_mode = 0755,
  };
}

static LeaseEngine *
load (Fixture *fx)
{
  g_autoptr (GError) error = NULL;
  LeaseEngine *engine =
      lease_engine_new (&fx->config, fake_journal (fx->fake), &fx->by, record_event, fx, &error);

  if (engine == NULL)
    fail_msg ("%s", error->message);
  return engine;
}

Fixture *
fx_new (const LeaseEngineConfig *config)
{
  Fixture *fx = g_new0 (Fixture, 1);

  fx->events = g_array_new (FALSE, FALSE, sizeof (FixtureEvent));
  fx->text = g_string_new (NULL);
  fx->by.now = 1000 * SECOND;
  fx->by.wall_ns = 1700000000 * SECOND;
  fx->config = config != NULL ? *config : fx_config ();
  fx->fake = fake_new ();
  fx->engine = load (fx);
  fx_check (fx);
  return fx;
}

/* The first lines in which two texts differ: whole texts would be too long to be shown. */
static void
fail_at_difference (const char *before, const char *after)
{
  g_auto (GStrv) old_lines = g_strsplit (before, "\n", -1),
                 new_lines = g_strsplit (after, "\n", -1);
  unsigned i = 0;

  while (old_lines[i] != NULL && g_strcmp0 (old_lines[i], new_lines[i]) == 0)
    i++;
  fail_msg ("was '%s', and is '%s' in the journal", old_lines[i], new_lines[i]);
}

/* What is left of an engine in the journal must be what it was. */
static void
expect_same (Fixture *fx, const char *before, bool times)
{
  g_autoptr (LeaseEngine) engine = load (fx);
  g_autofree char *after = dump_engine (engine, &fx->by, times);

  lease_engine_check (engine);
  if (strcmp (before, after) != 0)
    fail_at_difference (before, after);
}

void
fx_check_journal (Fixture *fx)
{
  g_autofree char *before = dump_engine (fx->engine, &fx->by, false);

  expect_same (fx, before, false);
}

void
fx_restart (Fixture *fx, bool clean)
{
  if (clean)
    assert_ok (lease_engine_stop (fx->engine, &fx->by));
  lease_engine_free (fx->engine);
  fx->engine = load (fx);
  assert_ok (lease_engine_resume (fx->engine, &fx->by));
  lease_engine_start (fx->engine, &fx->by);
  fx_check (fx);
}

void
fx_free (Fixture *fx)
{
  if (!fx->unchecked) {
    g_autofree char *before = dump_engine (fx->engine, &fx->by, true);
    assert_ok (lease_engine_stop (fx->engine, &fx->by));
    expect_same (fx, before, true);
  }
  lease_engine_free (fx->engine);
  fake_free (fx->fake);
  g_array_unref (fx->events);
  g_string_free (fx->text, TRUE);
  g_free (fx);
}

int
fx_setup (void **state)
{
  *state = fx_new (NULL);
  return 0;
}

int
fx_teardown (void **state)
{
  fx_free (*state);
  return 0;
}

void
fx_check (Fixture *fx)
{
  if (!fx->unchecked)
    lease_engine_check (fx->engine);
}

static int
checked (Fixture *fx, int error)
{
  fx_check (fx);
  return error;
}

void
fx_wait (Fixture *fx, int64_t ns)
{
  fx->by.now += ns;
  fx->by.wall_ns += ns;
}

unsigned
fx_count_events (const Fixture *fx, LeaseEvent event, uint64_t id)
{
  unsigned count = 0;

  for (unsigned i = 0; i < fx->events->len; i++) {
    FixtureEvent record = g_array_index (fx->events, FixtureEvent, i);
    count += record.event == event && (id == 0 || record.id == id);
  }
  return count;
}

void
fx_forget_events (Fixture *fx)
{
  g_array_set_size (fx->events, 0);
}

/* Walks from the root to the last name of `path`, as the kernel does. */
static int
walk (Fixture *fx, const char *path, uint64_t *parent_out, const char **name_out)
{
  uint64_t parent = LEASE_ROOT;
  const char *slash;

  for (; (slash = strchr (path, '/')) != NULL; path = slash + 1) {
    g_autofree char *name = g_strndup (path, slash - path);
    LeaseAttr attr;
    int error = lease_engine_lookup (fx->engine, &fx->by, parent, name, &attr, NULL);
    if (error != 0)
      return error;
    lease_engine_unpin (fx->engine, attr.id, 1);
    parent = attr.id;
  }
  *parent_out = parent;
  *name_out = path;
  return 0;
}

/* Leaves what it finds pinned. */
static int
find_pinned (Fixture *fx, const char *path, LeaseAttr *attr_out)
{
  uint64_t parent;
  const char *name;
  int error = walk (fx, path, &parent, &name);

  if (error != 0)
    return error;
  return lease_engine_lookup (fx->engine, &fx->by, parent, name, attr_out, NULL);
}

int
fx_stat (Fixture *fx, const char *path, LeaseAttr *attr_out)
{
  if (*path == '\0')
    return checked (fx, lease_engine_getattr (fx->engine, &fx->by, LEASE_ROOT, attr_out));

  int error = find_pinned (fx, path, attr_out);
  if (error == 0)
    lease_engine_unpin (fx->engine, attr_out->id, 1);
  return checked (fx, error);
}

uint64_t
fx_find (Fixture *fx, const char *path)
{
  LeaseAttr attr;
  int error = fx_stat (fx, path, &attr);

  if (error == -ENOENT)
    return 0;
  assert_int_equal (error, 0);
  return attr.id;
}

uint64_t
fx_pin (Fixture *fx, const char *path)
{
  LeaseAttr attr;

  assert_int_equal (find_pinned (fx, path, &attr), 0);
  fx_check (fx);
  return attr.id;
}

void
fx_unpin (Fixture *fx, uint64_t id)
{
  lease_engine_unpin (fx->engine, id, 1);
  fx_check (fx);
}

int
fx_create (Fixture *fx, const char *path, mode_t mode, const char *target)
{
  uint64_t parent;
  const char *name;
  LeaseAttr attr;
  int error = walk (fx, path, &parent, &name);

  if (error == 0)
    error = lease_engine_create (fx->engine, &fx->by, parent, name,
                                 &(LeaseNew){ .mode = mode, .target = target }, &attr);
  fx_check (fx);
  if (error == 0)
    lease_engine_unpin (fx->engine, attr.id, 1);
  return checked (fx, error);
}

int
fx_file (Fixture *fx, const char *path)
{
  return fx_create (fx, path, S_IFREG | 0644, NULL);
}

int
fx_mkdir (Fixture *fx, const char *path)
{
  return fx_create (fx, path, S_IFDIR | 0755, NULL);
}

int
fx_symlink (Fixture *fx, const char *path, const char *target)
{
  return fx_create (fx, path, S_IFLNK | 0777, target);
}

int
fx_link (Fixture *fx, const char *path, const char *new_path)
{
  LeaseAttr attr, new_attr;
  uint64_t parent;
  const char *name;
  int error = find_pinned (fx, path, &attr);

  if (error != 0)
    return error;
  error = walk (fx, new_path, &parent, &name);
  if (error == 0)
    error = lease_engine_link (fx->engine, &fx->by, attr.id, parent, name, &new_attr);
  fx_check (fx);
  lease_engine_unpin (fx->engine, attr.id, error == 0 ? 2 : 1);
  return checked (fx, error);
}

int
fx_unlink (Fixture *fx, const char *path)
{
  uint64_t parent;
  const char *name;
  int error = walk (fx, path, &parent, &name);

  if (error == 0)
    error = lease_engine_unlink (fx->engine, &fx->by, parent, name);
  return checked (fx, error);
}

int
fx_rmdir (Fixture *fx, const char *path)
{
  uint64_t parent;
  const char *name;
  int error = walk (fx, path, &parent, &name);

  if (error == 0)
    error = lease_engine_rmdir (fx->engine, &fx->by, parent, name);
  return checked (fx, error);
}

int
fx_rename (Fixture *fx, const char *path, const char *new_path, unsigned flags)
{
  uint64_t parent, new_parent;
  const char *name, *new_name;
  int error = walk (fx, path, &parent, &name);

  if (error == 0)
    error = walk (fx, new_path, &new_parent, &new_name);
  if (error == 0)
    error = lease_engine_rename (fx->engine, &fx->by, parent, name, new_parent, new_name, flags);
  return checked (fx, error);
}

static bool
append_name (const char *name, const LeaseAttr *attr, uint64_t cookie, void *data)
{
  GString *text = data;

  if (text->len > 0)
    g_string_append_c (text, ' ');
  g_string_append (text, name);
  return true;
}

const char *
fx_list (Fixture *fx, const char *path)
{
  uint64_t id = fx_find (fx, path);

  assert_int_not_equal (id, 0);
  g_string_truncate (fx->text, 0);
  assert_int_equal (lease_engine_list (fx->engine, &fx->by, id, 0, false, append_name, fx->text),
                    0);
  fx_check (fx);
  return fx->text->str;
}

int
fx_getattr (Fixture *fx, uint64_t id)
{
  LeaseAttr attr;

  return checked (fx, lease_engine_getattr (fx->engine, &fx->by, id, &attr));
}

int
fx_touch (Fixture *fx, const char *path)
{
  LeaseAttr attr;
  int error = fx_stat (fx, path, &attr);

  return error == 0 ? fx_touch_id (fx, attr.id) : error;
}

int
fx_touch_id (Fixture *fx, uint64_t id)
{
  LeaseSet set = {
    .mask = LEASE_SET_ATIME | LEASE_SET_MTIME | LEASE_SET_TOUCH,
    .atime_ns = fx->by.wall_ns,
    .mtime_ns = fx->by.wall_ns,
  };
  LeaseAttr attr;

  return checked (fx, lease_engine_setattr (fx->engine, &fx->by, id, &set, &attr));
}

int
fx_set_attr (Fixture *fx, const char *path, LeaseSet set)
{
  LeaseAttr attr;
  int error = fx_stat (fx, path, &attr);

  assert_ok (error);
  error = lease_engine_setattr (fx->engine, &fx->by, attr.id, &set, &attr);
  fx_check (fx);
  return error;
}

LeaseAttr
fx_stat_of (Fixture *fx, const char *path)
{
  LeaseAttr attr;

  assert_ok (fx_stat (fx, path, &attr));
  return attr;
}

int
fx_write_at (Fixture *fx, const char *path, uint64_t offset, const char *data, size_t size)
{
  int error = lease_engine_write (fx->engine, &fx->by, fx_find (fx, path), offset, data, size);

  fx_check (fx);
  return error;
}

int
fx_write (Fixture *fx, uint64_t id, const char *text)
{
  return checked (fx, lease_engine_write (fx->engine, &fx->by, id, 0, text, strlen (text)));
}

void
fx_put (Fixture *fx, const char *path, const char *text)
{
  int error = fx_file (fx, path);

  assert_true (error == 0 || error == -EEXIST);
  assert_int_equal (fx_write (fx, fx_find (fx, path), text), 0);
}

const char *
fx_get (Fixture *fx, const char *path)
{
  g_autofree char *data = NULL;
  size_t size;
  uint64_t id = fx_find (fx, path);

  assert_int_not_equal (id, 0);
  assert_int_equal (lease_engine_read (fx->engine, &fx->by, id, 0, 4096, &data, &size), 0);
  g_string_truncate (fx->text, 0);
  g_string_append_len (fx->text, data, size);
  fx_check (fx);
  return fx->text->str;
}

int64_t
fx_mtime (Fixture *fx, const char *path)
{
  LeaseAttr attr;

  assert_int_equal (fx_stat (fx, path, &attr), 0);
  return attr.mtime_ns;
}

int
fx_set_xattr (Fixture *fx, const char *path, const char *name, const char *value, int flags)
{
  LeaseAttr attr;
  int error = fx_stat (fx, path, &attr);

  if (error == 0)
    error =
        lease_engine_set_xattr (fx->engine, &fx->by, attr.id, name, value, strlen (value), flags);
  return checked (fx, error);
}

int
fx_get_xattr (Fixture *fx, const char *path, const char *name)
{
  g_autofree char *value = NULL;
  LeaseAttr attr;
  size_t size;
  int error = fx_stat (fx, path, &attr);

  if (error == 0)
    error = lease_engine_get_xattr (fx->engine, &fx->by, attr.id, name, &value, &size);
  g_string_truncate (fx->text, 0);
  if (error == 0)
    g_string_append_len (fx->text, value, size);
  return checked (fx, error);
}

int
fx_remove_xattr (Fixture *fx, const char *path, const char *name)
{
  LeaseAttr attr;
  int error = fx_stat (fx, path, &attr);

  if (error == 0)
    error = lease_engine_remove_xattr (fx->engine, &fx->by, attr.id, name);
  return checked (fx, error);
}

const char *
fx_xattrs (Fixture *fx, const char *path)
{
  g_autoptr (GByteArray) names = NULL;
  LeaseAttr attr;

  assert_ok (fx_stat (fx, path, &attr));
  assert_ok (lease_engine_list_xattrs (fx->engine, &fx->by, attr.id, SIZE_MAX, &names));
  g_string_truncate (fx->text, 0);
  for (size_t at = 0; at < names->len; at += strlen ((char *)names->data + at) + 1)
    g_string_append_printf (fx->text, "%s%s", at > 0 ? " " : "", (char *)names->data + at);
  fx_check (fx);
  return fx->text->str;
}

/* The directory of a lease, or a negative error. */
static int
find_lease (Fixture *fx, const char *lease, uint64_t *id_out)
{
  g_autofree char *path = g_strconcat ("leases/", lease, NULL);
  LeaseAttr attr;
  int error = fx_stat (fx, path, &attr);

  *id_out = error == 0 ? attr.id : 0;
  return error;
}

void
fx_lease (Fixture *fx, const char *lease, int64_t ttl_ns)
{
  g_autofree char *path = g_strconcat ("leases/", lease, NULL);

  assert_int_equal (fx_mkdir (fx, path), 0);
  assert_int_equal (fx_grant (fx, lease, ttl_ns), 0);
}

void
fx_key (Fixture *fx, const char *path, const char *lease)
{
  assert_int_equal (fx_file (fx, path), 0);
  assert_int_equal (fx_edit (fx, lease, path), 0);
}

int
fx_grant (Fixture *fx, const char *lease, int64_t ttl_ns)
{
  uint64_t id;
  int error = find_lease (fx, lease, &id);

  if (error == 0)
    error = lease_engine_grant (fx->engine, &fx->by, id, ttl_ns);
  return checked (fx, error);
}

int
fx_refresh (Fixture *fx, const char *lease)
{
  uint64_t id;
  int error = find_lease (fx, lease, &id);

  if (error == 0)
    error = lease_engine_refresh (fx->engine, &fx->by, id);
  return checked (fx, error);
}

int
fx_edit (Fixture *fx, const char *lease, const char *text)
{
  g_autoptr (GArray) lines = NULL;
  uint64_t id;
  int error = find_lease (fx, lease, &id);

  assert_int_equal (lease_keys_parse (text, strlen (text), &lines), 0);
  if (error == 0)
    error = lease_engine_edit_keys (fx->engine, &fx->by, id, lines);
  return checked (fx, error);
}

int
fx_info (Fixture *fx, const char *lease, LeaseInfo *info_out)
{
  uint64_t id;
  int error = find_lease (fx, lease, &id);

  if (error == 0)
    error = lease_engine_info (fx->engine, &fx->by, id, info_out);
  return checked (fx, error);
}

int64_t
fx_left (Fixture *fx, const char *lease)
{
  LeaseInfo info;

  assert_int_equal (fx_info (fx, lease, &info), 0);
  return info.left_ns;
}

static int
compare_paths (const void *one, const void *other)
{
  return strcmp (*(char *const *)one, *(char *const *)other);
}

const char *
fx_keys (Fixture *fx, const char *lease)
{
  g_autoptr (GByteArray) bytes = NULL;
  g_autoptr (GPtrArray) paths = g_ptr_array_new ();
  uint64_t id, generation, size = 0, measured;
  LeaseInfo before, after;

  assert_int_equal (find_lease (fx, lease, &id), 0);
  assert_int_equal (lease_engine_info (fx->engine, &fx->by, id, &before), 0);
  assert_int_equal (lease_engine_measure_keys (fx->engine, &fx->by, id, &measured), 0);
  assert_int_equal (lease_engine_keys (fx->engine, &fx->by, id, SIZE_MAX, &bytes, &generation), 0);
  assert_int_equal (lease_engine_info (fx->engine, &fx->by, id, &after), 0);
  for (size_t at = 0; at < bytes->len; at += strlen ((char *)bytes->data + at) + 1) {
    g_ptr_array_add (paths, bytes->data + at);
    size += lease_keys_line_size ((char *)bytes->data + at);
  }
  assert_int_equal (measured, size);
  assert_true (before.keys_size == size || before.keys_size == LEASE_KEYS_UNKNOWN);
  assert_true (after.keys_size == size || after.keys_size == LEASE_KEYS_UNKNOWN);
  g_ptr_array_sort (paths, compare_paths);
  g_ptr_array_add (paths, NULL);
  g_autofree char *joined = g_strjoinv (" ", (char **)paths->pdata);
  g_string_assign (fx->text, joined);
  fx_check (fx);
  return fx->text->str;
}

unsigned
fx_reap (Fixture *fx)
{
  LeaseCaller reaper = fx->by;
  unsigned count = 0;
  int error;

  reaper.reaper = true;
  while (lease_engine_expire (fx->engine, &reaper, 8))
    fx_check (fx);
  for (;;) {
    g_auto (LeaseGrave) grave = { 0 };
    error = lease_engine_next_grave (fx->engine, &reaper, 8, &grave);
    fx_check (fx);
    if (error == -EAGAIN)
      continue;
    if (error != 0)
      break;
    assert_true (lease_engine_bury (fx->engine, &reaper, &grave));
    fx_check (fx);
    count++;
  }
  assert_true (error == -ENOENT || error == -EBUSY);
  return count;
}
