/* SPDX-License-Identifier: MIT */

/* Owns what can be seen: one thing, or all of it as text. */

#include "tests/fuzz/fuzz-engine.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

bool
view_is_there (Fuzz *fuzz, uint64_t id)
{
  g_autofree char *target = NULL;

  return lease_engine_readlink (fuzz->engine, &fuzz->by, id, &target) != -ESTALE;
}

uint64_t
view_find_path (Fuzz *fuzz, const char *path, mode_t *mode_out)
{
  g_auto (GStrv) names = g_strsplit (path, "/", -1);
  LeaseAttr attr = { .id = LEASE_ROOT };

  for (char **name = names; *name != NULL; name++) {
    if (lease_engine_lookup (fuzz->engine, &fuzz->by, attr.id, *name, &attr, NULL) != 0)
      return 0;
    lease_engine_unpin (fuzz->engine, attr.id, 1);
  }
  *mode_out = attr.mode;
  return attr.id;
}

static int
compare_texts (const void *one, const void *other)
{
  return strcmp (*(char *const *)one, *(char *const *)other);
}

int
view_list_keys (Fuzz *fuzz, uint64_t id, GByteArray **buffer_out, GPtrArray **paths_out)
{
  g_autoptr (GByteArray) buffer = NULL;
  uint64_t generation;
  int error = lease_engine_keys (fuzz->engine, &fuzz->by, id, SIZE_MAX / 2, &buffer, &generation);

  if (error != 0)
    return error;
  *paths_out = g_ptr_array_new ();
  for (unsigned i = 0; i < buffer->len; i += strlen ((char *)buffer->data + i) + 1)
    g_ptr_array_add (*paths_out, buffer->data + i);
  g_ptr_array_sort (*paths_out, compare_texts);
  *buffer_out = g_steal_pointer (&buffer);
  return 0;
}

typedef struct {
  GString *text;
  GArray *directories; /* of uint64_t */
  GArray *nodes;       /* the same, of all there is */
} View;

static bool
view_each (const char *name, const LeaseAttr *attr, uint64_t cookie, void *data)
{
  View *view = data;

  g_string_append_printf (view->text, "%s=%" G_GUINT64_FORMAT " %o %u:%u ", name, attr->id,
                          attr->mode, attr->uid, attr->gid);
  g_array_append_val (view->nodes, attr->id);
  if (S_ISDIR (attr->mode))
    g_array_append_val (view->directories, attr->id);
  else /* the times of a directory tell of what has ended in it, and so does a file's link count
          when another name of it goes with its directory */
    g_string_append_printf (view->text, "%" G_GUINT64_FORMAT " %" G_GINT64_FORMAT, attr->size,
                            attr->mtime_ns);
  g_string_append_c (view->text, '\n');
  return true;
}

static void
view_leases (Fuzz *fuzz, GString *text)
{
  for (unsigned i = 0; i < fuzz->known->len; i++) {
    uint64_t id = g_array_index (fuzz->known, Known, i).id;
    g_autoptr (GByteArray) buffer = NULL;
    g_autoptr (GPtrArray) paths = NULL;
    LeaseInfo info;
    fuzz_assert (lease_engine_info (fuzz->engine, &fuzz->by, id, &info) == 0);
    fuzz_assert (view_list_keys (fuzz, id, &buffer, &paths) == 0);
    g_string_append_printf (text,
                            "lease %" G_GUINT64_FORMAT " %" G_GINT64_FORMAT " %" G_GINT64_FORMAT,
                            id, info.granted_ns, info.left_ns);
    for (unsigned j = 0; j < paths->len; j++)
      g_string_append_printf (text, " %s", (char *)paths->pdata[j]);
    g_string_append_c (text, '\n');
  }
}

static void
view_xattrs (Fuzz *fuzz, uint64_t id, GString *text)
{
  g_autoptr (GByteArray) names = NULL;

  fuzz_assert (lease_engine_list_xattrs (fuzz->engine, &fuzz->by, id, SIZE_MAX, &names) == 0);
  for (unsigned i = 0; i < names->len; i += strlen ((char *)names->data + i) + 1) {
    const char *name = (char *)names->data + i;
    g_autofree char *value = NULL;
    size_t size;
    fuzz_assert (lease_engine_get_xattr (fuzz->engine, &fuzz->by, id, name, &value, &size) == 0);
    g_string_append_printf (text, "%" G_GUINT64_FORMAT " %s=%.*s\n", id, name, (int)size, value);
  }
}

char *
view_all (Fuzz *fuzz)
{
  g_autoptr (GArray) nodes = g_array_new (FALSE, FALSE, sizeof (uint64_t));
  g_autoptr (GArray) directories = g_array_new (FALSE, FALSE, sizeof (uint64_t));
  View view = { .text = g_string_new (NULL), .directories = directories, .nodes = nodes };
  uint64_t id = LEASE_ROOT;

  g_array_append_val (directories, id);
  g_array_append_val (nodes, id);
  for (unsigned i = 0; i < directories->len; i++) {
    id = g_array_index (directories, uint64_t, i);
    g_string_append_printf (view.text, "in %" G_GUINT64_FORMAT ":\n", id);
    fuzz_assert (lease_engine_list (fuzz->engine, &fuzz->by, id, 0, false, view_each, &view) == 0);
  }
  for (unsigned i = 0; i < nodes->len; i++)
    view_xattrs (fuzz, g_array_index (nodes, uint64_t, i), view.text);
  view_leases (fuzz, view.text);
  return g_string_free (view.text, FALSE);
}
