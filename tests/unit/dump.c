/* SPDX-License-Identifier: MIT */

#include "tests/unit/dump.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
  LeaseEngine *engine;
  const LeaseCaller *by;
  bool fleeting;
  GString *text;
} Dump;

typedef struct {
  char *path;
  LeaseAttr attr;
} Entry;

static void
clear_entry (void *data)
{
  g_free (((Entry *)data)->path);
}

static bool
add_entry (const char *name, const LeaseAttr *attr, uint64_t cookie, void *data)
{
  Entry entry = { g_strdup (name), *attr };

  g_array_append_val ((GArray *)data, entry);
  return true;
}

static void
dump_value (Dump *dump, const LeaseAttr *attr)
{
  uint64_t start, end = 0;

  while (lease_engine_seek (dump->engine, dump->by, attr->id, end, false, &start) == 0) {
    g_assert_cmpint (lease_engine_seek (dump->engine, dump->by, attr->id, start, true, &end), ==,
                     0);
    g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_MD5);
    for (uint64_t at = start; at < end;) {
      g_autofree char *data = NULL;
      size_t size;
      g_assert_cmpint (lease_engine_read (dump->engine, dump->by, attr->id, at,
                                          MIN (end - at, 1 << 20), &data, &size),
                       ==, 0);
      g_checksum_update (sum, (guchar *)data, size);
      at += size;
    }
    g_string_append_printf (dump->text, " [%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT ") %s", start,
                            end, g_checksum_get_string (sum));
  }
}

static int
compare_texts (const void *a, const void *b)
{
  return strcmp (*(char *const *)a, *(char *const *)b);
}

static void
dump_keys (Dump *dump, uint64_t id)
{
  g_autoptr (GByteArray) paths = NULL;
  g_autoptr (GPtrArray) sorted = g_ptr_array_new ();
  uint64_t generation;

  g_assert_cmpint (
      lease_engine_keys (dump->engine, dump->by, id, SIZE_MAX / 2, &paths, &generation), ==, 0);
  for (size_t at = 0; at < paths->len; at += strlen ((char *)paths->data + at) + 1)
    g_ptr_array_add (sorted, paths->data + at);
  g_ptr_array_sort (sorted, compare_texts);
  for (unsigned i = 0; i < sorted->len; i++)
    g_string_append_printf (dump->text, " %s", (char *)g_ptr_array_index (sorted, i));
}

static void
dump_lease (Dump *dump, const LeaseInfo *info)
{
  g_string_append_printf (dump->text, " granted %" G_GINT64_FORMAT " modes", info->granted_ns);
  for (LeaseFile file = 1; file <= LEASE_FILE_LAST; file++)
    g_string_append_printf (dump->text, " %o", info->modes[file]);
  if (dump->fleeting)
    g_string_append_printf (dump->text, " left %" G_GINT64_FORMAT, info->left_ns);
  dump_keys (dump, info->directory.id);
}

static void
dump_xattrs (Dump *dump, const LeaseAttr *attr)
{
  g_autoptr (GByteArray) names = NULL;

  g_assert_cmpint (lease_engine_list_xattrs (dump->engine, dump->by, attr->id, SIZE_MAX, &names),
                   ==, 0);
  for (size_t at = 0; at < names->len; at += strlen ((char *)names->data + at) + 1) {
    const char *name = (char *)names->data + at;
    g_autofree char *value = NULL;
    size_t size;
    g_assert_cmpint (lease_engine_get_xattr (dump->engine, dump->by, attr->id, name, &value, &size),
                     ==, 0);
    g_autofree char *sum =
        g_compute_checksum_for_data (G_CHECKSUM_MD5, (const guchar *)value, size);
    g_string_append_printf (dump->text, " %s=%zu:%s", name, size, sum);
  }
}

static void
dump_node (Dump *dump, const char *path, const LeaseAttr *attr, const LeaseInfo *info)
{
  GString *text = dump->text;
  g_autofree char *target = NULL;

  g_string_append_printf (text, "%s #%" G_GUINT64_FORMAT " %o %u:%u %" G_GUINT64_FORMAT, path,
                          attr->id, attr->mode, attr->uid, attr->gid, (uint64_t)attr->rdev);
  if (!S_ISDIR (attr->mode))
    g_string_append_printf (text, " %" G_GUINT64_FORMAT, attr->size);
  if (!S_ISDIR (attr->mode) && dump->fleeting)
    g_string_append_printf (text, " x%u %" G_GINT64_FORMAT " %" G_GINT64_FORMAT, attr->nlink,
                            attr->mtime_ns, attr->ctime_ns);
  if (S_ISREG (attr->mode))
    dump_value (dump, attr);
  if (S_ISLNK (attr->mode) &&
      lease_engine_readlink (dump->engine, dump->by, attr->id, &target) == 0)
    g_string_append_printf (text, " -> %s", target);
  dump_xattrs (dump, attr);
  if (info != NULL)
    dump_lease (dump, info);
  g_string_append_c (text, '\n');
}

static void
dump_directory (Dump *dump, uint64_t id, const char *path)
{
  g_autoptr (GArray) entries = g_array_new (FALSE, FALSE, sizeof (Entry));

  g_array_set_clear_func (entries, clear_entry);
  g_assert_cmpint (lease_engine_list (dump->engine, dump->by, id, 0, false, add_entry, entries), ==,
                   0);
  for (unsigned i = 0; i < entries->len; i++) {
    const Entry *entry = &g_array_index (entries, Entry, i);
    g_autofree char *below = g_strdup_printf ("%s/%s", path, entry->path);
    LeaseInfo info = { 0 };
    bool is_lease = lease_engine_info (dump->engine, dump->by, entry->attr.id, &info) == 0;
    if (is_lease && info.granted_ns == 0)
      continue;
    dump_node (dump, below, &entry->attr, is_lease ? &info : NULL);
    if (S_ISDIR (entry->attr.mode))
      dump_directory (dump, entry->attr.id, below);
  }
}

char *
dump_engine (LeaseEngine *engine, const LeaseCaller *by, bool fleeting)
{
  LeaseCaller root = { .now = by->now, .wall_ns = by->wall_ns };
  Dump dump = { engine, &root, fleeting, g_string_new (NULL) };
  LeaseAttr attr;

  g_assert_cmpint (lease_engine_getattr (engine, &root, LEASE_ROOT, &attr), ==, 0);
  dump_node (&dump, "", &attr, NULL);
  dump_directory (&dump, LEASE_ROOT, "");
  return g_string_free (dump.text, FALSE);
}
