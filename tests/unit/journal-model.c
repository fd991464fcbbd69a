/* SPDX-License-Identifier: MIT */

#include "tests/unit/journal-model.h"

#include <string.h>
#include <sys/stat.h>

/* In bytewise order, as tables keep them. */
static const char *const texts[MODEL_NAMES] = { "\x01\n", "a", "a'\"b", "b", "\xff\xfe" };

static const char *const xattr_names[MODEL_XATTRS] = { "trusted.\xff", "user.a", "user.a'\"b" };

/* The first ones are in one piece; the last is the farthest that there can be. */
static const uint64_t page_numbers[MODEL_PAGES] = { 0, 1, 2, 1000000,
                                                    INT64_MAX / LEASE_JOURNAL_PAGE };

ModelChange *
model_change_new (void)
{
  ModelChange *change = g_new (ModelChange, 1);

  change->rows = g_array_new (FALSE, FALSE, sizeof (LeaseRow));
  change->bytes = g_ptr_array_new_with_free_func (g_free);
  return change;
}

void
model_change_free (ModelChange *change)
{
  g_array_unref (change->rows);
  g_ptr_array_unref (change->bytes);
  g_free (change);
}

static uint32_t
below (GRand *random, uint32_t end)
{
  return g_rand_int (random) % end;
}

static int64_t
some_time (GRand *random)
{
  static const int64_t times[] = { 0, -1, 1700000000123456789, INT64_MIN, INT64_MAX, 128 };

  return times[below (random, G_N_ELEMENTS (times))];
}

static LeaseRowMeta
some_meta (GRand *random)
{
  return (LeaseRowMeta){
    .mode = S_IFREG | below (random, 07777 + 1),
    .uid = below (random, 2) ? UINT32_MAX : below (random, 100),
    .gid = below (random, 2) ? UINT32_MAX - 1 : below (random, 100),
    .size = below (random, 3) ? below (random, 10000) : INT64_MAX,
    .atime_ns = some_time (random),
    .mtime_ns = some_time (random),
    .ctime_ns = some_time (random),
  };
}

static void
add (ModelChange *change, const LeaseRow *row)
{
  LeaseRow copy = *row;

  copy.stored = true;
  g_array_append_val (change->rows, copy);
}

static uint64_t
some_node (GRand *random)
{
  return 1 + below (random, MODEL_NODES - 1);
}

static void
change_node (Model *model, GRand *random, ModelChange *change)
{
  LeaseRow row = { .node = some_node (random) };
  ModelNode *node = &model->nodes[row.node];

  if (!node->there) {
    row.type = LEASE_ROW_NODE;
    row.meta = some_meta (random);
    if (below (random, 4) == 0) {
      row.meta.mode = S_IFLNK | 0777;
      row.meta.target = "to\xff/../there";
    }
    *node = (ModelNode){ .there = true, .meta = row.meta };
  } else if (below (random, 3) == 0) {
    row.type = LEASE_ROW_GONE;
    *node = (ModelNode){ 0 };
  } else {
    return;
  }
  add (change, &row);
}

static void
set_meta (Model *model, GRand *random, ModelChange *change)
{
  LeaseRow row = { .type = LEASE_ROW_SET, .node = some_node (random) };
  LeaseRowMeta *to = &model->nodes[row.node].meta;

  row.meta = some_meta (random);
  row.meta.fields = below (random, 1 << 7);
  if (model->nodes[row.node].there) {
    row.meta.mode = (to->mode & S_IFMT) | (row.meta.mode & 07777);
    to->mode = row.meta.fields & LEASE_FIELD_MODE ? row.meta.mode : to->mode;
    to->uid = row.meta.fields & LEASE_FIELD_UID ? row.meta.uid : to->uid;
    to->gid = row.meta.fields & LEASE_FIELD_GID ? row.meta.gid : to->gid;
    to->size = row.meta.fields & LEASE_FIELD_SIZE ? row.meta.size : to->size;
    to->atime_ns = row.meta.fields & LEASE_FIELD_ATIME ? row.meta.atime_ns : to->atime_ns;
    to->mtime_ns = row.meta.fields & LEASE_FIELD_MTIME ? row.meta.mtime_ns : to->mtime_ns;
    to->ctime_ns = row.meta.fields & LEASE_FIELD_CTIME ? row.meta.ctime_ns : to->ctime_ns;
  }
  add (change, &row);
}

static void
write_value (Model *model, GRand *random, ModelChange *change)
{
  uint32_t first = below (random, MODEL_PAGES);
  uint32_t count = 1 + (first < 2 ? below (random, 3 - first) : 0);
  size_t last_size = below (random, 2) ? LEASE_JOURNAL_PAGE : 1 + below (random, 300);
  size_t size = (count - 1) * LEASE_JOURNAL_PAGE + last_size;
  LeaseRow row = { .type = LEASE_ROW_WRITE, .node = some_node (random) };
  char byte = (char)g_rand_int (random), *bytes;

  if (!model->nodes[row.node].there)
    return;
  bytes = g_malloc (size);
  memset (bytes, byte, size);
  g_ptr_array_add (change->bytes, bytes);
  row.range = (LeaseRowRange){ page_numbers[first] * LEASE_JOURNAL_PAGE, size, bytes };
  for (uint32_t i = first; i < first + count; i++) {
    model->nodes[row.node].pages[i].byte = byte;
    model->nodes[row.node].pages[i].size = i < first + count - 1 ? LEASE_JOURNAL_PAGE : last_size;
  }
  add (change, &row);
}

static void
remove_pages (ModelNode *node, uint64_t start, uint64_t end)
{
  for (int i = 0; i < MODEL_PAGES; i++) {
    uint64_t page = page_numbers[i] * LEASE_JOURNAL_PAGE;

    if (page >= start && page + LEASE_JOURNAL_PAGE <= end)
      node->pages[i].size = 0;
  }
}

/* On a page's edge or beside it, or far away. */
static uint64_t
some_offset (GRand *random)
{
  uint64_t page = page_numbers[below (random, MODEL_PAGES)] * LEASE_JOURNAL_PAGE;

  switch (below (random, 4)) {
  case 0:
    return page + 1;
  case 1:
    return page + LEASE_JOURNAL_PAGE - 1;
  default:
    return page;
  }
}

static void
cut_value (Model *model, GRand *random, ModelChange *change)
{
  LeaseRow row = { .node = some_node (random) };
  uint64_t start = some_offset (random), end = some_offset (random);

  if (!model->nodes[row.node].there)
    return;
  if (below (random, 2)) {
    row.type = LEASE_ROW_TRUNCATE;
    row.range.offset = start;
    end = UINT64_MAX;
  } else if (start < end) {
    row.type = LEASE_ROW_PUNCH;
    row.range = (LeaseRowRange){ .offset = start, .size = end - start };
  } else {
    return;
  }
  remove_pages (&model->nodes[row.node], start, end);
  add (change, &row);
}

/* A put, as the engine writes it. */
static void
put (Model *model, GRand *random, ModelChange *change)
{
  LeaseRow truncate = { .type = LEASE_ROW_TRUNCATE, .node = some_node (random) };
  LeaseRow write = { .type = LEASE_ROW_WRITE, .node = truncate.node };
  LeaseRow set = { .type = LEASE_ROW_SET, .node = truncate.node };
  ModelNode *node = &model->nodes[truncate.node];

  if (!node->there)
    return;
  write.range = (LeaseRowRange){ 0, 5, "zzzzz" };
  set.meta.fields = LEASE_FIELD_SIZE | LEASE_FIELD_MTIME;
  node->meta.size = set.meta.size = 5;
  node->meta.mtime_ns = set.meta.mtime_ns = some_time (random);
  memset (node->pages, 0, sizeof node->pages);
  node->pages[0].byte = 'z';
  node->pages[0].size = 5;
  add (change, &truncate);
  add (change, &write);
  add (change, &set);
}

static void
change_xattr (Model *model, GRand *random, ModelChange *change)
{
  static const size_t sizes[] = { 0, 1, 100, 5000, 65536 };
  LeaseRow row = { .type = LEASE_ROW_XATTR, .node = some_node (random) };
  uint32_t which = below (random, MODEL_XATTRS);
  ModelNode *node = &model->nodes[row.node];

  if (!node->there)
    return;
  row.xattr.name = xattr_names[which];
  node->xattrs[which].there = below (random, 4) > 0;
  if (node->xattrs[which].there) {
    size_t size = sizes[below (random, G_N_ELEMENTS (sizes))];
    char byte = (char)g_rand_int (random), *bytes = g_malloc (size + 1);

    memset (bytes, byte, size);
    g_ptr_array_add (change->bytes, bytes);
    row.xattr.value = bytes;
    node->xattrs[which].size = row.xattr.size = size;
    node->xattrs[which].byte = byte;
  }
  add (change, &row);
}

static void
change_name (Model *model, GRand *random, ModelChange *change)
{
  uint32_t parent = 1 + below (random, MODEL_PARENTS - 1), which = below (random, MODEL_NAMES);
  ModelName *name = &model->names[parent][which];
  LeaseRow row = { .type = LEASE_ROW_UNNAME, .node = name->node };

  if (below (random, 3) > 0) {
    row.type = LEASE_ROW_NAME;
    row.node = some_node (random);
    row.name.position = below (random, 2) ? INT64_MAX : 1 + below (random, 1000);
    row.name.told = below (random, 2);
  }
  *name = row.type == LEASE_ROW_UNNAME ? (ModelName){ 0 }
                                       : (ModelName){ row.node, row.name.position, row.name.told };
  row.name.parent = parent;
  row.name.text = texts[which];
  add (change, &row);
}

static void
attach (Model *model, GRand *random, ModelChange *change)
{
  LeaseRow row = { .type = LEASE_ROW_ATTACH, .node = some_node (random) };
  ModelNode *node = &model->nodes[row.node];

  row.lease = below (random, 3);
  if (below (random, 2))
    row.type = LEASE_ROW_DETACH;
  if (row.type == LEASE_ROW_ATTACH)
    node->lease = node->there ? row.lease : 0;
  else if (node->lease == row.lease)
    node->lease = 0;
  add (change, &row);
}

static void
change_life (Model *model, GRand *random, ModelChange *change)
{
  LeaseRow row = { .type = LEASE_ROW_LEASE, .node = some_node (random) };
  ModelLease *lease = &model->leases[row.node];

  if (!lease->there) {
    *lease = (ModelLease){ .there = true, .granted = -1, .left = -1, .modes = { -1, -1, -1, -1 } };
  } else if (below (random, 2)) {
    row.type = LEASE_ROW_FREE;
    lease->there = false;
  } else {
    row.type = LEASE_ROW_END;
    lease->ended = true;
  }
  add (change, &row);
}

static void
change_lease (Model *model, GRand *random, ModelChange *change)
{
  LeaseRow row = { .node = some_node (random) };
  ModelLease *lease = &model->leases[row.node];
  int64_t ns = below (random, 2) ? INT64_MAX : below (random, 1000);

  switch (below (random, 4)) {
  case 0:
    row.type = LEASE_ROW_GRANT;
    row.ns = lease->granted = ns;
    lease->left = -1;
    break;
  case 1:
    row.type = LEASE_ROW_LEFT;
    row.ns = lease->left = ns;
    break;
  case 2:
    row.type = LEASE_ROW_RUN;
    for (int i = 0; i < MODEL_NODES; i++)
      model->leases[i].left = -1;
    break;
  default:
    row.type = LEASE_ROW_MODE;
    row.mode.file = LEASE_ROW_FILE_TTL + below (random, MODEL_FILES);
    row.mode.mode = below (random, 0777 + 1);
    lease->modes[row.mode.file - LEASE_ROW_FILE_TTL] = row.mode.mode;
  }
  add (change, &row);
}

static void
give_ids (Model *model, GRand *random, ModelChange *change)
{
  LeaseRow row = { .type = LEASE_ROW_IDS, .node = model->next_node + 1 + below (random, 1000) };

  model->next_node = row.node;
  add (change, &row);
}

void
model_step (Model *model, GRand *random, ModelChange *change)
{
  static void (*const steps[]) (Model *, GRand *, ModelChange *) = {
    change_node, change_node, set_meta, write_value, write_value,  write_value, cut_value,
    put,         change_name, attach,   change_life, change_lease, give_ids,    change_xattr,
  };
  uint32_t count = 1 + below (random, 6);

  for (uint32_t i = 0; i < count; i++)
    steps[below (random, G_N_ELEMENTS (steps))](model, random, change);
}

static void
append_meta (GString *text, const LeaseRowMeta *meta)
{
  g_string_append_printf (text, " %o %u %u %lu %lu %ld %ld %ld", meta->mode, meta->uid, meta->gid,
                          (unsigned long)meta->rdev, meta->size, meta->atime_ns, meta->mtime_ns,
                          meta->ctime_ns);
  if (meta->target != NULL) {
    g_autofree char *target = g_strescape (meta->target, NULL);

    g_string_append_printf (text, " -> %s", target);
  }
}

static void
append_bytes (GString *text, const LeaseRowRange *range)
{
  for (uint64_t i = 1; i < range->size; i++)
    if (range->data[i] != range->data[0])
      g_string_append_printf (text, " [%lu]", i);
  g_string_append_printf (text, " %lu: %lu x %02x", range->offset, range->size,
                          (unsigned char)range->data[0]);
}

static void
append_xattr (GString *text, const LeaseRowXattr *xattr)
{
  g_autofree char *escaped = g_strescape (xattr->name, NULL);

  for (size_t i = 1; i < xattr->size; i++)
    if (xattr->value[i] != xattr->value[0])
      g_string_append_printf (text, " [%zu]", i);
  g_string_append_printf (text, " \"%s\": %zu x %02x", escaped, xattr->size,
                          xattr->size > 0 ? (unsigned char)xattr->value[0] : 0);
}

static void
append_name (GString *text, const LeaseRowName *name)
{
  g_autofree char *escaped = g_strescape (name->text, NULL);

  g_string_append_printf (text, " in %lu \"%s\" at %lu%s", name->parent, escaped, name->position,
                          name->told ? " told" : "");
}

bool
model_append (const LeaseRow *row, void *data)
{
  static const char *const types[] = {
    [LEASE_ROW_IDS] = "ids",       [LEASE_ROW_NODE] = "node",   [LEASE_ROW_NAME] = "name",
    [LEASE_ROW_ATTACH] = "attach", [LEASE_ROW_LEASE] = "lease", [LEASE_ROW_GRANT] = "grant",
    [LEASE_ROW_MODE] = "mode",     [LEASE_ROW_LEFT] = "left",   [LEASE_ROW_END] = "end",
    [LEASE_ROW_WRITE] = "write",   [LEASE_ROW_XATTR] = "xattr",
  };
  GString *text = data;

  g_string_append_printf (text, "%s %lu", types[row->type], row->node);
  if (row->type == LEASE_ROW_NODE)
    append_meta (text, &row->meta);
  else if (row->type == LEASE_ROW_WRITE)
    append_bytes (text, &row->range);
  else if (row->type == LEASE_ROW_XATTR)
    append_xattr (text, &row->xattr);
  else if (row->type == LEASE_ROW_NAME)
    append_name (text, &row->name);
  else if (row->type == LEASE_ROW_ATTACH)
    g_string_append_printf (text, " to %lu", row->lease);
  else if (row->type == LEASE_ROW_GRANT || row->type == LEASE_ROW_LEFT)
    g_string_append_printf (text, " %ld", row->ns);
  else if (row->type == LEASE_ROW_MODE)
    g_string_append_printf (text, " %u %o", row->mode.file, row->mode.mode);
  g_string_append_c (text, '\n');
  return true;
}

static void
append_page (const ModelNode *node, uint64_t id, int page, GString *text)
{
  char bytes[LEASE_JOURNAL_PAGE];
  LeaseRow row = { .type = LEASE_ROW_WRITE, .node = id };

  if (!node->there || node->pages[page].size == 0)
    return;
  memset (bytes, node->pages[page].byte, sizeof bytes);
  row.range =
      (LeaseRowRange){ page_numbers[page] * LEASE_JOURNAL_PAGE, node->pages[page].size, bytes };
  model_append (&row, text);
}

static void
append_xattrs (const ModelNode *node, uint64_t id, GString *text)
{
  for (int i = 0; i < MODEL_XATTRS; i++) {
    LeaseRow row = { .type = LEASE_ROW_XATTR, .node = id };
    g_autofree char *bytes = g_malloc (node->xattrs[i].size + 1);

    if (!node->there || !node->xattrs[i].there)
      continue;
    memset (bytes, node->xattrs[i].byte, node->xattrs[i].size);
    row.xattr = (LeaseRowXattr){ xattr_names[i], bytes, node->xattrs[i].size };
    model_append (&row, text);
  }
}

static void
append_nodes (const Model *model, GString *text)
{
  for (uint64_t id = 1; id < MODEL_NODES; id++) {
    LeaseRow row = { .type = LEASE_ROW_NODE, .node = id };

    row.meta = model->nodes[id].meta;
    if (model->nodes[id].there)
      model_append (&row, text);
    append_page (&model->nodes[id], id, 0, text);
  }
  for (uint64_t id = 1; id < MODEL_NODES; id++)
    for (int page = 1; page < MODEL_PAGES; page++)
      append_page (&model->nodes[id], id, page, text);
  for (uint64_t id = 1; id < MODEL_NODES; id++)
    append_xattrs (&model->nodes[id], id, text);
}

static void
append_duration (GString *text, uint64_t id, LeaseRowType type, int64_t ns)
{
  LeaseRow row = { .type = type, .node = id };

  row.ns = ns;
  if (ns >= 0)
    model_append (&row, text);
}

static void
append_lease (const ModelLease *lease, uint64_t id, GString *text)
{
  LeaseRow row = { .type = LEASE_ROW_LEASE, .node = id };

  if (!lease->there)
    return;
  model_append (&row, text);
  append_duration (text, id, LEASE_ROW_GRANT, lease->granted);
  append_duration (text, id, LEASE_ROW_LEFT, lease->left);
  row.type = LEASE_ROW_MODE;
  for (unsigned file = 0; file < MODEL_FILES; file++) {
    row.mode.file = LEASE_ROW_FILE_TTL + file;
    row.mode.mode = (mode_t)lease->modes[file];
    if (lease->modes[file] >= 0)
      model_append (&row, text);
  }
  row.type = LEASE_ROW_END;
  if (lease->ended)
    model_append (&row, text);
}

static void
append_names (const Model *model, GString *text)
{
  for (uint64_t parent = 1; parent < MODEL_PARENTS; parent++)
    for (int i = 0; i < MODEL_NAMES; i++) {
      const ModelName *name = &model->names[parent][i];
      LeaseRow row = { .type = LEASE_ROW_NAME, .node = name->node };

      row.name = (LeaseRowName){ parent, texts[i], name->position, name->told };
      if (name->node != 0)
        model_append (&row, text);
    }
}

char *
model_text (const Model *model)
{
  GString *text = g_string_new (NULL);
  LeaseRow ids = { .type = LEASE_ROW_IDS, .node = model->next_node };

  if (model->next_node > 0)
    model_append (&ids, text);
  append_nodes (model, text);
  for (uint64_t id = 1; id < MODEL_NODES; id++)
    append_lease (&model->leases[id], id, text);
  append_names (model, text);
  for (uint64_t id = 1; id < MODEL_NODES; id++) {
    LeaseRow row = { .type = LEASE_ROW_ATTACH, .node = id };

    row.lease = model->nodes[id].lease;
    if (row.lease != 0)
      model_append (&row, text);
  }
  return g_string_free (text, FALSE);
}

char *
model_text_of (LeaseJournal *journal)
{
  g_autoptr (GError) error = NULL;
  GString *text = g_string_new (NULL);

  if (lease_journal_load (journal, model_append, text, &error))
    return g_string_free (text, FALSE);
  g_printerr ("%s\n", error->message);
  g_string_free (text, TRUE);
  return NULL;
}
