/* SPDX-License-Identifier: MIT */

/* Keeps tables as leases/journal.h describes their rows. Written apart from the journal in a state
 * file, so that a misunderstanding of the one shows in the other. One lock for all. */

#include "tests/unit/journal-fake.h"

#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#define PAGE LEASE_JOURNAL_PAGE

typedef struct {
  LeaseRowMeta meta;
  uint64_t lease;
  GHashTable *pages;  /* number to GBytes */
  GHashTable *xattrs; /* name to GBytes */
} Node;

typedef struct {
  int64_t granted_ns, left_ns;           /* 0; -1: not known */
  mode_t modes[LEASE_ROW_FILE_LAST + 1]; /* 0: not set */
  bool ended;
} Grant;

typedef struct {
  LeaseRowName name; /* with a text of its own */
  uint64_t node;
} Entry;

struct Fake {
  pthread_mutex_t lock; /* covers the rest */
  GHashTable *nodes;    /* id to Node */
  GHashTable *leases;   /* id to Grant */
  GHashTable *entries;  /* "parent/text" to Entry */
  uint64_t ids;
  unsigned commits, rows, syncs;
  unsigned fail_at; /* counts down; 0: never */
  int error;
  void (*hook) (void *data);
  void *hook_data;
  bool committing;
  bool tells; /* the following: */
  LeaseJournalMetrics metrics;
};

typedef struct {
  LeaseJournal journal;
  Fake *fake;
} FakeJournal;

static Fake *
fake_of (LeaseJournal *journal)
{
  return ((FakeJournal *)journal)->fake;
}

static void
free_node (void *data)
{
  Node *node = data;

  g_free ((char *)node->meta.target);
  g_hash_table_unref (node->pages);
  g_hash_table_unref (node->xattrs);
  g_free (node);
}

static void
free_entry (void *data)
{
  Entry *entry = data;

  g_free ((char *)entry->name.text);
  g_free (entry);
}

Fake *
fake_new (void)
{
  Fake *fake = g_new0 (Fake, 1);

  pthread_mutex_init (&fake->lock, NULL);
  fake->nodes = g_hash_table_new_full (NULL, NULL, NULL, free_node);
  fake->leases = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  fake->entries = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, free_entry);
  return fake;
}

void
fake_free (Fake *fake)
{
  g_hash_table_unref (fake->nodes);
  g_hash_table_unref (fake->leases);
  g_hash_table_unref (fake->entries);
  pthread_mutex_destroy (&fake->lock);
  g_free (fake);
}

static void
keep_node (Fake *fake, const LeaseRow *row)
{
  Node *node = g_new0 (Node, 1);

  g_assert_false (g_hash_table_contains (fake->nodes, GSIZE_TO_POINTER (row->node)));
  node->meta = row->meta;
  node->meta.target = g_strdup (row->meta.target);
  node->pages = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify)g_bytes_unref);
  node->xattrs =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
  g_hash_table_insert (fake->nodes, GSIZE_TO_POINTER (row->node), node);
}

static void
keep_xattr (Node *node, const LeaseRowXattr *xattr)
{
  g_assert_cmpuint (strlen (xattr->name), >, 0);
  if (xattr->value != NULL)
    g_hash_table_insert (node->xattrs, g_strdup (xattr->name),
                         g_bytes_new (xattr->value, xattr->size));
  else
    g_hash_table_remove (node->xattrs, xattr->name);
}

static void
set_node (Node *node, const LeaseRowMeta *meta)
{
  if (meta->fields & LEASE_FIELD_MODE)
    node->meta.mode = (node->meta.mode & S_IFMT) | (meta->mode & 07777);
  if (meta->fields & LEASE_FIELD_UID)
    node->meta.uid = meta->uid;
  if (meta->fields & LEASE_FIELD_GID)
    node->meta.gid = meta->gid;
  if (meta->fields & LEASE_FIELD_SIZE)
    node->meta.size = meta->size;
  if (meta->fields & LEASE_FIELD_ATIME)
    node->meta.atime_ns = meta->atime_ns;
  if (meta->fields & LEASE_FIELD_MTIME)
    node->meta.mtime_ns = meta->mtime_ns;
  if (meta->fields & LEASE_FIELD_CTIME)
    node->meta.ctime_ns = meta->ctime_ns;
}

static void
write_pages (Node *node, const LeaseRowRange *range)
{
  g_assert_cmpuint (range->offset % PAGE, ==, 0);
  g_assert_cmpuint (range->size, >, 0);
  for (uint64_t done = 0; done < range->size; done += PAGE)
    g_hash_table_insert (node->pages, GSIZE_TO_POINTER ((range->offset + done) / PAGE),
                         g_bytes_new (range->data + done, MIN (PAGE, range->size - done)));
}

/* Removes the pages that lie whole between the two. */
static void
remove_pages (Node *node, uint64_t start, uint64_t end)
{
  GHashTableIter iter;
  void *number;

  g_hash_table_iter_init (&iter, node->pages);
  while (g_hash_table_iter_next (&iter, &number, NULL)) {
    uint64_t offset = GPOINTER_TO_SIZE (number) * PAGE;
    if (offset >= start && offset + PAGE <= end)
      g_hash_table_iter_remove (&iter);
  }
}

static char *
entry_key (const LeaseRowName *name)
{
  return g_strdup_printf ("%" G_GUINT64_FORMAT "/%s", name->parent, name->text);
}

static void
keep_entry (Fake *fake, const LeaseRow *row)
{
  Entry *entry = g_new0 (Entry, 1);

  entry->name = row->name;
  entry->name.text = g_strdup (row->name.text);
  entry->node = row->node;
  g_hash_table_insert (fake->entries, entry_key (&row->name), entry);
}

static void
keep_of_lease (Fake *fake, const LeaseRow *row)
{
  Grant *grant = g_hash_table_lookup (fake->leases, GSIZE_TO_POINTER (row->node));

  if (row->type == LEASE_ROW_LEASE) {
    grant = g_new0 (Grant, 1);
    grant->left_ns = -1;
    g_hash_table_insert (fake->leases, GSIZE_TO_POINTER (row->node), grant);
  }
  if (grant == NULL)
    return;
  if (row->type == LEASE_ROW_GRANT)
    grant->granted_ns = row->ns, grant->left_ns = -1;
  if (row->type == LEASE_ROW_LEFT)
    grant->left_ns = row->ns;
  if (row->type == LEASE_ROW_END)
    grant->ended = true;
  if (row->type == LEASE_ROW_MODE)
    grant->modes[row->mode.file] = row->mode.mode | S_IFREG;
  if (row->type == LEASE_ROW_FREE)
    g_hash_table_remove (fake->leases, GSIZE_TO_POINTER (row->node));
}

static void
run_leases (Fake *fake)
{
  GHashTableIter iter;
  void *grant;

  g_hash_table_iter_init (&iter, fake->leases);
  while (g_hash_table_iter_next (&iter, NULL, &grant))
    ((Grant *)grant)->left_ns = -1;
}

static void
keep_of_node (Fake *fake, const LeaseRow *row)
{
  Node *node = g_hash_table_lookup (fake->nodes, GSIZE_TO_POINTER (row->node));
  const LeaseRowRange *range = &row->range;

  if (node == NULL)
    return;
  if (row->type == LEASE_ROW_SET)
    set_node (node, &row->meta);
  if (row->type == LEASE_ROW_XATTR)
    keep_xattr (node, &row->xattr);
  if (row->type == LEASE_ROW_ATTACH)
    node->lease = row->lease;
  if (row->type == LEASE_ROW_DETACH && node->lease == row->lease)
    node->lease = 0;
  if (row->type == LEASE_ROW_WRITE)
    write_pages (node, range);
  if (row->type == LEASE_ROW_TRUNCATE)
    remove_pages (node, range->offset, UINT64_MAX);
  if (row->type == LEASE_ROW_PUNCH)
    remove_pages (node, range->offset, range->offset + range->size);
}

static void
keep_row (Fake *fake, const LeaseRow *row)
{
  g_autofree char *key = NULL;

  switch (row->type) {
  case LEASE_ROW_IDS:
    fake->ids = MAX (fake->ids, row->node);
    break;
  case LEASE_ROW_NODE:
    keep_node (fake, row);
    break;
  case LEASE_ROW_GONE:
    g_hash_table_remove (fake->nodes, GSIZE_TO_POINTER (row->node));
    break;
  case LEASE_ROW_NAME:
    keep_entry (fake, row);
    break;
  case LEASE_ROW_UNNAME:
    key = entry_key (&row->name);
    g_hash_table_remove (fake->entries, key);
    break;
  case LEASE_ROW_RUN:
    run_leases (fake);
    break;
  default:
    keep_of_lease (fake, row);
    keep_of_node (fake, row);
  }
}

static int
commit_rows (LeaseJournal *journal, const LeaseRow *rows, size_t count)
{
  Fake *fake = fake_of (journal);

  if (fake->hook != NULL) {
    fake->committing = true;
    fake->hook (fake->hook_data);
    fake->committing = false;
  }
  pthread_mutex_lock (&fake->lock);
  bool fails = fake->fail_at == 1;
  if (fake->fail_at > 1)
    fake->fail_at--;
  for (size_t i = 0; i < count && !fails; i++)
    if (rows[i].stored)
      keep_row (fake, &rows[i]);
  fake->commits += !fails;
  fake->rows += fails ? 0 : count;
  int error = fails ? -fake->error : 0;
  pthread_mutex_unlock (&fake->lock);
  return error;
}

static int
sync_rows (LeaseJournal *journal)
{
  fake_of (journal)->syncs++;
  return 0;
}

static bool
tend (LeaseJournal *journal)
{
  return false;
}

/* One load under way. */
typedef struct {
  LeaseRowEach each;
  void *data;
  bool fine;
} Load;

static void
load_row (Load *load, LeaseRow row)
{
  row.stored = true;
  load->fine = load->fine && load->each (&row, load->data);
}

static void
load_node (void *id, void *value, void *data)
{
  uint64_t number = GPOINTER_TO_SIZE (id);
  Node *node = value;
  GHashTableIter iter;
  void *page, *bytes;

  load_row (data, (LeaseRow){ .type = LEASE_ROW_NODE, .node = number, .meta = node->meta });
  g_hash_table_iter_init (&iter, node->pages);
  while (g_hash_table_iter_next (&iter, &page, &bytes)) {
    LeaseRowRange range = { .offset = GPOINTER_TO_SIZE (page) * PAGE };
    range.data = g_bytes_get_data (bytes, &range.size);
    load_row (data, (LeaseRow){ .type = LEASE_ROW_WRITE, .node = number, .range = range });
  }
}

static void
load_xattrs (void *id, void *value, void *data)
{
  uint64_t number = GPOINTER_TO_SIZE (id);
  Node *node = value;
  GHashTableIter iter;
  void *name, *bytes;

  g_hash_table_iter_init (&iter, node->xattrs);
  while (g_hash_table_iter_next (&iter, &name, &bytes)) {
    LeaseRowXattr xattr = { .name = name };
    xattr.value = g_bytes_get_data (bytes, &xattr.size);
    if (xattr.size == 0)
      xattr.value = "";
    load_row (data, (LeaseRow){ .type = LEASE_ROW_XATTR, .node = number, .xattr = xattr });
  }
}

static void
load_lease (void *id, void *value, void *data)
{
  uint64_t number = GPOINTER_TO_SIZE (id);
  const Grant *grant = value;

  load_row (data, (LeaseRow){ .type = LEASE_ROW_LEASE, .node = number });
  if (grant->granted_ns > 0)
    load_row (data, (LeaseRow){ .type = LEASE_ROW_GRANT, .node = number, .ns = grant->granted_ns });
  if (grant->left_ns >= 0)
    load_row (data, (LeaseRow){ .type = LEASE_ROW_LEFT, .node = number, .ns = grant->left_ns });
  for (unsigned file = 1; file <= LEASE_ROW_FILE_LAST; file++)
    if (grant->modes[file] != 0)
      load_row (data, (LeaseRow){ .type = LEASE_ROW_MODE,
                                  .node = number,
                                  .mode = { file, grant->modes[file] & 0777 } });
  if (grant->ended)
    load_row (data, (LeaseRow){ .type = LEASE_ROW_END, .node = number });
}

static void
load_entry (void *key, void *value, void *data)
{
  const Entry *entry = value;

  load_row (data, (LeaseRow){ .type = LEASE_ROW_NAME, .node = entry->node, .name = entry->name });
}

static void
load_attachment (void *id, void *value, void *data)
{
  const Node *node = value;

  if (node->lease != 0)
    load_row (data, (LeaseRow){ .type = LEASE_ROW_ATTACH,
                                .node = GPOINTER_TO_SIZE (id),
                                .lease = node->lease });
}

static bool
load_rows (LeaseJournal *journal, LeaseRowEach each, void *data, GError **error)
{
  Fake *fake = fake_of (journal);
  Load load = { each, data, true };

  pthread_mutex_lock (&fake->lock);
  g_hash_table_foreach (fake->nodes, load_node, &load);
  g_hash_table_foreach (fake->nodes, load_xattrs, &load);
  g_hash_table_foreach (fake->leases, load_lease, &load);
  g_hash_table_foreach (fake->entries, load_entry, &load);
  g_hash_table_foreach (fake->nodes, load_attachment, &load);
  if (fake->ids != 0)
    load_row (&load, (LeaseRow){ .type = LEASE_ROW_IDS, .node = fake->ids });
  pthread_mutex_unlock (&fake->lock);
  if (!load.fine)
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "a row makes no sense");
  return load.fine;
}

static void
tell_metrics (LeaseJournal *journal, LeaseJournalMetrics *metrics_out)
{
  *metrics_out = fake_of (journal)->metrics;
}

static void
close_fake (LeaseJournal *journal)
{
  g_free (journal);
}

#define KIND                                                                                       \
  .waits = true, .load = load_rows, .commit = commit_rows, .sync = sync_rows, .tend = tend,        \
  .close = close_fake

LeaseJournal *
fake_journal (Fake *fake)
{
  static const LeaseJournalKind kind = { KIND }, telling = { KIND, .metrics = tell_metrics };
  FakeJournal *journal = g_new0 (FakeJournal, 1);

  journal->journal.kind = fake->tells ? &telling : &kind;
  journal->fake = fake;
  return &journal->journal;
}

void
fake_fail (Fake *fake, unsigned nth, int error)
{
  pthread_mutex_lock (&fake->lock);
  fake->fail_at = nth;
  fake->error = error;
  pthread_mutex_unlock (&fake->lock);
}

void
fake_hook (Fake *fake, void (*hook) (void *data), void *data)
{
  fake->hook = hook;
  fake->hook_data = data;
}

void
fake_tell (Fake *fake, const LeaseJournalMetrics *metrics)
{
  fake->tells = true;
  fake->metrics = *metrics;
}

bool
fake_is_committing (Fake *fake)
{
  return fake->committing;
}

static unsigned
count (Fake *fake, const unsigned *counter)
{
  pthread_mutex_lock (&fake->lock);
  unsigned value = *counter;
  pthread_mutex_unlock (&fake->lock);
  return value;
}

unsigned
fake_commits (Fake *fake)
{
  return count (fake, &fake->commits);
}

unsigned
fake_rows (Fake *fake)
{
  return count (fake, &fake->rows);
}

unsigned
fake_syncs (Fake *fake)
{
  return count (fake, &fake->syncs);
}
