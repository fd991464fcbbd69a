/* SPDX-License-Identifier: MIT */

/* Owns a small table of the texts that were last measured, by inode number. Two files whose numbers
 * share a slot push each other out; then a READ takes a new text, which is as good unless it has
 * just grown. And a table of the same kind for first parts of commands that the kernel has cut in
 * two, which the kernel sends one right after the other. Its
 * lock is never held while the engine is called or a text is made. */

#include "fs/pseudo.h"

#include "leases/ttl.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define SLOTS 256

typedef struct {
  fuse_ino_t ino;
  uint64_t generation; /* LeaseInfo.generation when it was made */
  GBytes *text;
} Slot;

typedef struct {
  fuse_ino_t ino;
  pid_t writer;
  off_t end; /* where the rest begins */
  GBytes *text;
} Part;

struct FsPseudo {
  LeaseEngine *engine;    /* constant */
  size_t page_size;       /* constant */
  pthread_mutex_t making; /* held while a long text is made: one at a time. Before `lock` */
  pthread_mutex_t lock;
  Slot slots[SLOTS]; /* lock */
  Part parts[SLOTS]; /* lock */
  size_t remembered; /* bytes of text in `slots`; lock */
};

FsPseudo *
fs_pseudo_new (LeaseEngine *engine)
{
  FsPseudo *pseudo = g_new0 (FsPseudo, 1);

  pseudo->engine = engine;
  pseudo->page_size = sysconf (_SC_PAGESIZE);
  pthread_mutex_init (&pseudo->making, NULL);
  pthread_mutex_init (&pseudo->lock, NULL);
  return pseudo;
}

void
fs_pseudo_free (FsPseudo *pseudo)
{
  for (unsigned i = 0; i < SLOTS; i++)
    g_clear_pointer (&pseudo->slots[i].text, g_bytes_unref);
  for (unsigned i = 0; i < SLOTS; i++)
    g_clear_pointer (&pseudo->parts[i].text, g_bytes_unref);
  pthread_mutex_destroy (&pseudo->making);
  pthread_mutex_destroy (&pseudo->lock);
  g_free (pseudo);
}

/* The remembered text of `ino`, if there is one; with `generation`, only if it was made then. */
static GBytes *
recall (FsPseudo *pseudo, fuse_ino_t ino, const uint64_t *generation)
{
  Slot *slot = &pseudo->slots[ino % SLOTS];
  GBytes *text = NULL;

  pthread_mutex_lock (&pseudo->lock);
  if (slot->text != NULL && slot->ino == ino &&
      (generation == NULL || slot->generation == *generation))
    text = g_bytes_ref (slot->text);
  pthread_mutex_unlock (&pseudo->lock);
  return text;
}

static void
forget_slot_locked (FsPseudo *pseudo, Slot *slot)
{
  if (slot->text != NULL)
    pseudo->remembered -= g_bytes_get_size (slot->text);
  g_clear_pointer (&slot->text, g_bytes_unref);
}

/* If that becomes too much, all other texts are forgotten. */
static void
remember (FsPseudo *pseudo, fuse_ino_t ino, uint64_t generation, GBytes *text)
{
  Slot *slot = &pseudo->slots[ino % SLOTS];
  size_t size = g_bytes_get_size (text);

  pthread_mutex_lock (&pseudo->lock);
  forget_slot_locked (pseudo, slot);
  for (unsigned i = 0; pseudo->remembered + size > FS_PSEUDO_TEXT_MAX && i < SLOTS; i++)
    forget_slot_locked (pseudo, &pseudo->slots[i]);
  *slot = (Slot){ .ino = ino, .generation = generation, .text = g_bytes_ref (text) };
  pseudo->remembered += size;
  pthread_mutex_unlock (&pseudo->lock);
}

static int
compare_paths (const void *a, const void *b)
{
  return strcmp (*(char *const *)a, *(char *const *)b);
}

/* The sorted and escaped text of `paths`, strings that lie one right behind the other. */
static int
format_keys (const GByteArray *paths, GBytes **text_out)
{
  g_autoptr (GPtrArray) sorted = g_ptr_array_new ();
  g_autoptr (GString) text = g_string_new (NULL);
  const char *end = (const char *)paths->data + paths->len;

  for (const char *path = (const char *)paths->data; path != end; path += strlen (path) + 1)
    g_ptr_array_add (sorted, (void *)path);
  g_ptr_array_sort (sorted, compare_paths);
  for (unsigned i = 0; i < sorted->len; i++) {
    lease_keys_append (text, g_ptr_array_index (sorted, i));
    if (text->len > FS_PSEUDO_TEXT_MAX)
      return -EFBIG;
  }
  *text_out = g_string_free_to_bytes (g_steal_pointer (&text));
  return 0;
}

static int
make_keys (FsPseudo *pseudo, const LeaseCaller *by, uint64_t id, uint64_t *generation_out,
           GBytes **text_out)
{
  g_autoptr (GByteArray) paths = NULL;

  pthread_mutex_lock (&pseudo->making);
  int error =
      lease_engine_keys (pseudo->engine, by, id, FS_PSEUDO_TEXT_MAX, &paths, generation_out);
  if (error == 0)
    error = format_keys (paths, text_out);
  pthread_mutex_unlock (&pseudo->making);
  return error;
}

static GBytes *
make_number (const LeaseInfo *info, LeaseFile file)
{
  char text[LEASE_TTL_TEXT_SIZE + 1];
  size_t length = file == LEASE_FILE_TTL ? lease_ttl_format_whole (info->left_ns, text)
                                         : lease_ttl_format (info->granted_ns, text);

  text[length++] = '\n';
  return g_bytes_new (text, length);
}

/* The text as it is now. A long list of keys is made anew only if it may have changed. */
static int
make_text (FsPseudo *pseudo, const LeaseCaller *by, const LeaseInfo *info, LeaseFile file,
           GBytes **text_out)
{
  uint64_t id = info->directory.id, generation = info->generation;
  fuse_ino_t ino = fs_ino (id, file);
  int error = 0;

  if (file != LEASE_FILE_KEYS)
    *text_out = make_number (info, file);
  else if ((*text_out = recall (pseudo, ino, &generation)) == NULL)
    error = make_keys (pseudo, by, id, &generation, text_out);
  if (error == 0)
    remember (pseudo, ino, generation, *text_out);
  return error;
}

int
fs_pseudo_stat (FsPseudo *pseudo, const LeaseCaller *by, uint64_t id, LeaseFile file,
                struct stat *stat_out, LeaseTime *fresh_until_out)
{
  g_autoptr (GBytes) text = NULL;
  LeaseInfo info;
  int error = lease_engine_info (pseudo->engine, by, id, &info);

  if (error == 0)
    error = make_text (pseudo, by, &info, file, &text);
  if (error != 0 && error != -EFBIG)
    return error;

  /* A time of last change that is always new makes the kernel drop the pages that it has cached. */
  struct timespec now = { .tv_sec = by->wall_ns / 1000000000, .tv_nsec = by->wall_ns % 1000000000 };
  *stat_out = (struct stat){
    .st_ino = fs_ino (id, file),
    .st_mode = S_IFREG | info.modes[file],
    .st_nlink = 1,
    .st_uid = info.directory.uid,
    .st_gid = info.directory.gid,
    /* Of one that is too long, reading shows the error. */
    .st_size = error == 0 ? g_bytes_get_size (text) : FS_PSEUDO_TEXT_MAX,
    .st_blksize = 4096,
    .st_atim = now,
    .st_mtim = now,
    .st_ctim = now,
  };
  if (fresh_until_out != NULL)
    *fresh_until_out = info.directory.fresh_until;
  return 0;
}

int
fs_pseudo_text (FsPseudo *pseudo, const LeaseCaller *by, uint64_t id, LeaseFile file,
                GBytes **text_out)
{
  LeaseInfo info;
  int error = lease_engine_info (pseudo->engine, by, id, &info);

  if (error != 0)
    return error;
  *text_out = recall (pseudo, fs_ino (id, file), NULL);
  return *text_out != NULL ? 0 : make_text (pseudo, by, &info, file, text_out);
}

static int
command_ttl (FsPseudo *pseudo, const LeaseCaller *by, uint64_t id, const char *text, size_t size)
{
  int64_t ttl_ns;

  if (size == 1 && text[0] == '\n')
    return lease_engine_refresh (pseudo->engine, by, id);

  int error = lease_ttl_parse (text, size, &ttl_ns);
  return error != 0 ? error : lease_engine_grant (pseudo->engine, by, id, ttl_ns);
}

static int
command_keys (FsPseudo *pseudo, const LeaseCaller *by, uint64_t id, const char *text, size_t size)
{
  g_autoptr (GArray) lines = NULL;
  int error = lease_keys_parse (text, size, &lines);

  return error != 0 ? error : lease_engine_edit_keys (pseudo->engine, by, id, lines);
}

static bool
is_first_part (const FsPseudo *pseudo, const FsPseudoWrite *write)
{
  return write->size > 0 && write->size < pseudo->page_size &&
         (write->offset + write->size) % pseudo->page_size == 0 &&
         write->text[write->size - 1] != '\n';
}

/* Keeps what was written as the first part of a command to `ino`. */
static void
keep_part (FsPseudo *pseudo, fuse_ino_t ino, const FsPseudoWrite *write)
{
  Part *part = &pseudo->parts[ino % SLOTS];
  Part kept = {
    .ino = ino,
    .writer = write->writer,
    .end = write->offset + write->size,
    .text = g_bytes_new (write->text, write->size),
  };

  pthread_mutex_lock (&pseudo->lock);
  GBytes *old = part->text;
  *part = kept;
  pthread_mutex_unlock (&pseudo->lock);
  g_clear_pointer (&old, g_bytes_unref);
}

static void
drop_part (FsPseudo *pseudo, fuse_ino_t ino)
{
  Part *part = &pseudo->parts[ino % SLOTS];
  GBytes *old = NULL;

  pthread_mutex_lock (&pseudo->lock);
  if (part->ino == ino)
    old = g_steal_pointer (&part->text);
  pthread_mutex_unlock (&pseudo->lock);
  g_clear_pointer (&old, g_bytes_unref);
}

/* The whole command that ends with what was written. */
static GByteArray *
join_parts (FsPseudo *pseudo, fuse_ino_t ino, const FsPseudoWrite *write)
{
  const Part *part = &pseudo->parts[ino % SLOTS];
  GByteArray *command = g_byte_array_new ();

  pthread_mutex_lock (&pseudo->lock);
  if (part->text != NULL && part->ino == ino && part->writer == write->writer &&
      part->end == write->offset)
    g_byte_array_append (command, g_bytes_get_data (part->text, NULL),
                         g_bytes_get_size (part->text));
  pthread_mutex_unlock (&pseudo->lock);
  return g_byte_array_append (command, (const guint8 *)write->text, write->size);
}

int
fs_pseudo_command (FsPseudo *pseudo, const LeaseCaller *by, uint64_t id, LeaseFile file,
                   const FsPseudoWrite *write)
{
  fuse_ino_t ino = fs_ino (id, file);
  LeaseInfo info;
  int error;

  if (file == LEASE_FILE_GRANTED)
    return -EPERM;
  if (is_first_part (pseudo, write)) {
    error = lease_engine_info (pseudo->engine, by, id, &info);
    if (error == 0)
      keep_part (pseudo, ino, write);
    return error;
  }
  g_autoptr (GByteArray) command = join_parts (pseudo, ino, write);
  const char *text = (const char *)command->data;
  if (command->len > FS_PSEUDO_COMMAND_MAX)
    return -EMSGSIZE;
  error = file == LEASE_FILE_TTL ? command_ttl (pseudo, by, id, text, command->len)
                                 : command_keys (pseudo, by, id, text, command->len);
  if (error == 0)
    drop_part (pseudo, ino);
  return error;
}

int
fs_pseudo_setattr (FsPseudo *pseudo, const LeaseCaller *by, uint64_t id, LeaseFile file,
                   const struct stat *attr, int to_set)
{
  LeaseInfo info;
  int error = lease_engine_info (pseudo->engine, by, id, &info);

  if (error != 0)
    return error;
  if (((to_set & FUSE_SET_ATTR_UID) && attr->st_uid != info.directory.uid) ||
      ((to_set & FUSE_SET_ATTR_GID) && attr->st_gid != info.directory.gid))
    return -EPERM;
  /* A size is what `>` sets before it writes, and means nothing here. */
  if ((to_set & FUSE_SET_ATTR_MTIME_NOW) && file == LEASE_FILE_TTL)
    error = lease_engine_refresh (pseudo->engine, by, id);
  if (error == 0 && (to_set & FUSE_SET_ATTR_MODE))
    error = lease_engine_chmod_file (pseudo->engine, by, id, file, attr->st_mode);
  return error;
}
