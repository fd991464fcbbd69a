/* SPDX-License-Identifier: MIT */

/* Owns the texts that were made last, and the first parts of commands that the kernel has cut
 * in two, of which it sends the rest right after. `long_work` is held while the engine is called.
 *
 * Before it reads, the kernel asks for attributes as of an open file (`to_read` below), and then
 * for as many bytes as it was told. For anything else the length alone will do, which the engine
 * knows of `keys` without making its text. Only while somebody reads that is the text made anew
 * with each length that is told to anybody, since the kernel takes the last one for all. */

#include "fs/pseudo.h"

#include "fs/metrics.h"
#include "fs/recent.h"
#include "leases/procs.h"
#include "leases/ttl.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

/* Longer commands to `keys` are carried out one at a time: parsed, they take 30 times as much. */
#define LONG_COMMAND ((size_t)64 * 1024)

/* Many more than requests that can be under way between the two steps of a read or a write. */
#define RECENT 4096

/* After the first of these two steps of a read, the second comes within this time, or what it gets
 * may be cut off. */
#define READING_NS (100 * LEASE_MILLISECOND)

struct FsPseudo {
  LeaseEngine *engine;       /* constant */
  FsMetrics *metrics;        /* constant */
  FsHolders *holders;        /* constant */
  size_t page_size;          /* constant */
  FsRecent *texts;           /* by inode number; with LeaseInfo.generation when they were made */
  FsRecent *reading;         /* `keys` about to be read, by inode number; empty, with the time */
  FsRecent *parts;           /* by inode number and writer; with the offset where the rest begins */
  pthread_mutex_t long_work; /* for what takes much memory: one at a time */
};

FsPseudo *
fs_pseudo_new (LeaseEngine *engine, FsHolders *holders)
{
  FsPseudo *pseudo = g_new0 (FsPseudo, 1);

  pseudo->engine = engine;
  pseudo->metrics = fs_metrics_new (engine);
  pseudo->holders = holders;
  pseudo->page_size = sysconf (_SC_PAGESIZE);
  pseudo->texts = fs_recent_new (RECENT, FS_PSEUDO_TEXT_MAX);
  pseudo->reading = fs_recent_new (RECENT, 0);
  pseudo->parts = fs_recent_new (RECENT, RECENT * pseudo->page_size);
  pthread_mutex_init (&pseudo->long_work, NULL);
  return pseudo;
}

void
fs_pseudo_free (FsPseudo *pseudo)
{
  fs_recent_free (pseudo->texts);
  fs_recent_free (pseudo->reading);
  fs_recent_free (pseudo->parts);
  fs_metrics_free (pseudo->metrics);
  pthread_mutex_destroy (&pseudo->long_work);
  g_free (pseudo);
}

fuse_ino_t
fs_pseudo_take_metrics (FsPseudo *pseudo, const LeaseCaller *by, const FsContext *context,
                        struct stat *stat_out)
{
  fuse_ino_t ino = fs_metrics_take (pseudo->metrics, by, context);

  return fs_metrics_stat (pseudo->metrics, by, ino, stat_out) == 0 ? ino : 0;
}

void
fs_pseudo_forget_metrics (FsPseudo *pseudo, fuse_ino_t ino)
{
  fs_metrics_forget (pseudo->metrics, ino);
}

/* The remembered text of `ino`, if there is one; with `generation`, only if it was made then. */
static GBytes *
recall (FsPseudo *pseudo, fuse_ino_t ino, const uint64_t *generation)
{
  uint64_t made;
  g_autoptr (GBytes) text = fs_recent_get (pseudo->texts, (FsRecentKey){ .ino = ino }, &made);

  if (text != NULL && generation != NULL && made != *generation)
    return NULL;
  return g_steal_pointer (&text);
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

  for (size_t at = 0; at < paths->len; at += strlen ((char *)paths->data + at) + 1)
    g_ptr_array_add (sorted, paths->data + at);
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

  pthread_mutex_lock (&pseudo->long_work);
  int error =
      lease_engine_keys (pseudo->engine, by, id, FS_PSEUDO_TEXT_MAX, &paths, generation_out);
  if (error == 0)
    error = format_keys (paths, text_out);
  pthread_mutex_unlock (&pseudo->long_work);
  return error;
}

static int
make_procs (FsPseudo *pseudo, const LeaseCaller *by, uint64_t id, GBytes **text_out)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GArray) pids = NULL;
  int error = fs_holders_list (pseudo->holders, by, id, &pids);

  if (error != 0)
    return error;
  for (unsigned i = 0; i < pids->len; i++)
    lease_procs_append (text, g_array_index (pids, pid_t, i));
  *text_out = g_string_free_to_bytes (g_steal_pointer (&text));
  return 0;
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

  if (file == LEASE_FILE_PROCS)
    error = make_procs (pseudo, by, id, text_out);
  else if (file != LEASE_FILE_KEYS)
    *text_out = make_number (info, file);
  else if ((*text_out = recall (pseudo, ino, &generation)) == NULL)
    error = make_keys (pseudo, by, id, &generation, text_out);
  if (error == 0)
    fs_recent_put (pseudo->texts, (FsRecentKey){ .ino = ino }, *text_out, generation);
  return error;
}

static void
note_reading (FsPseudo *pseudo, const LeaseCaller *by, fuse_ino_t ino)
{
  g_autoptr (GBytes) nothing = g_bytes_new (NULL, 0);

  fs_recent_put (pseudo->reading, (FsRecentKey){ .ino = ino }, nothing, by->now);
}

static bool
is_read_now (FsPseudo *pseudo, const LeaseCaller *by, fuse_ino_t ino)
{
  uint64_t since;
  g_autoptr (GBytes) nothing = fs_recent_get (pseudo->reading, (FsRecentKey){ .ino = ino }, &since);

  return nothing != NULL && by->now - (LeaseTime)since < READING_NS;
}

/* The length of the text of `keys`, which is not made for that. */
static int
measure_keys (FsPseudo *pseudo, const LeaseCaller *by, const LeaseInfo *info, uint64_t *size_out)
{
  uint64_t id = info->directory.id, generation = info->generation;
  fuse_ino_t ino = fs_ino (id, LEASE_FILE_KEYS);
  g_autoptr (GBytes) text = recall (pseudo, ino, &generation);

  *size_out = text != NULL ? g_bytes_get_size (text) : info->keys_size;
  if (text == NULL)
    fs_recent_drop (pseudo->texts, (FsRecentKey){ .ino = ino });
  return *size_out != LEASE_KEYS_UNKNOWN
             ? 0
             : lease_engine_measure_keys (pseudo->engine, by, id, size_out);
}

/* The length that `file` has. */
static int
measure_text (FsPseudo *pseudo, const LeaseCaller *by, const LeaseInfo *info, LeaseFile file,
              bool to_read, uint64_t *size_out)
{
  fuse_ino_t ino = fs_ino (info->directory.id, file);
  g_autoptr (GBytes) text = NULL;

  if (file == LEASE_FILE_KEYS && to_read)
    note_reading (pseudo, by, ino);
  else if (file == LEASE_FILE_KEYS && !is_read_now (pseudo, by, ino))
    return measure_keys (pseudo, by, info, size_out);
  int error = make_text (pseudo, by, info, file, &text);
  /* Of one that is too long, reading shows the error. */
  *size_out = error == 0 ? g_bytes_get_size (text) : FS_PSEUDO_TEXT_MAX;
  return error == -EFBIG ? 0 : error;
}

int
fs_pseudo_stat (FsPseudo *pseudo, const LeaseCaller *by, uint64_t id, LeaseFile file, bool to_read,
                struct stat *stat_out, LeaseTime *fresh_until_out)
{
  LeaseInfo info;
  uint64_t size;

  if (file == LEASE_FILE_METRICS) {
    if (fresh_until_out != NULL)
      *fresh_until_out = 0;
    return fs_metrics_stat (pseudo->metrics, by, fs_ino (id, file), stat_out);
  }
  int error = lease_engine_info (pseudo->engine, by, id, &info);
  if (error == 0)
    error = measure_text (pseudo, by, &info, file, to_read, &size);
  if (error != 0)
    return error;

  /* A time of last change that is always new makes the kernel drop the pages that it has cached. */
  struct timespec now = { .tv_sec = by->wall_ns / 1000000000, .tv_nsec = by->wall_ns % 1000000000 };
  *stat_out = (struct stat){
    .st_ino = fs_ino (id, file),
    .st_mode = S_IFREG | info.modes[file],
    .st_nlink = 1,
    .st_uid = info.directory.uid,
    .st_gid = info.directory.gid,
    .st_size = MIN (size, FS_PSEUDO_TEXT_MAX),
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

  if (file == LEASE_FILE_METRICS)
    return fs_metrics_text (pseudo->metrics, fs_ino (id, file), text_out);
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
edit_keys (FsPseudo *pseudo, const LeaseCaller *by, uint64_t id, const char *text, size_t size)
{
  g_autoptr (GArray) lines = NULL;
  int error = lease_keys_parse (text, size, &lines);

  return error != 0 ? error : lease_engine_edit_keys (pseudo->engine, by, id, lines);
}

static int
command_keys (FsPseudo *pseudo, const LeaseCaller *by, uint64_t id, const char *text, size_t size)
{
  if (size <= LONG_COMMAND)
    return edit_keys (pseudo, by, id, text, size);
  pthread_mutex_lock (&pseudo->long_work);
  int error = edit_keys (pseudo, by, id, text, size);
  pthread_mutex_unlock (&pseudo->long_work);
  return error;
}

static int
command_procs (FsPseudo *pseudo, const LeaseCaller *by, uint64_t id, const GByteArray *text,
               pid_t writer)
{
  g_autoptr (GArray) lines = NULL;

  if (text->len > FS_PSEUDO_PROCS_MAX)
    return -EMSGSIZE;
  int error = lease_procs_parse ((const char *)text->data, text->len, &lines);
  return error != 0 ? error : fs_holders_edit (pseudo->holders, by, id, lines, writer);
}

static bool
is_first_part (const FsPseudo *pseudo, const FsPseudoWrite *write)
{
  /* Threads of another namespace have no number here, and could not be told apart. */
  return write->writer != 0 && write->size > 0 && write->size < pseudo->page_size &&
         (write->offset + write->size) % pseudo->page_size == 0 &&
         write->text[write->size - 1] != '\n';
}

static FsRecentKey
part_key (fuse_ino_t ino, const FsPseudoWrite *write)
{
  return (FsRecentKey){ .ino = ino,
                        .thread = (uint64_t)write->uid << 32 | (uint32_t)write->writer };
}

/* Keeps what was written as the first part of a command to `ino`. */
static void
keep_part (FsPseudo *pseudo, fuse_ino_t ino, const FsPseudoWrite *write)
{
  g_autoptr (GBytes) text = g_bytes_new (write->text, write->size);

  fs_recent_put (pseudo->parts, part_key (ino, write), text, write->offset + write->size);
}

/* The whole command that ends with what was written. */
static GByteArray *
join_parts (FsPseudo *pseudo, fuse_ino_t ino, const FsPseudoWrite *write)
{
  GByteArray *command = g_byte_array_new ();
  uint64_t end;
  g_autoptr (GBytes) first = fs_recent_get (pseudo->parts, part_key (ino, write), &end);

  if (first != NULL && end == (uint64_t)write->offset)
    g_byte_array_append (command, g_bytes_get_data (first, NULL), g_bytes_get_size (first));
  return g_byte_array_append (command, (const guint8 *)write->text, write->size);
}

int
fs_pseudo_command (FsPseudo *pseudo, const LeaseCaller *by, uint64_t id, LeaseFile file,
                   const FsPseudoWrite *write)
{
  fuse_ino_t ino = fs_ino (id, file);
  LeaseInfo info;
  int error;

  if (file == LEASE_FILE_GRANTED || file == LEASE_FILE_METRICS)
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
  if (file == LEASE_FILE_TTL)
    error = command_ttl (pseudo, by, id, text, command->len);
  else if (file == LEASE_FILE_KEYS)
    error = command_keys (pseudo, by, id, text, command->len);
  else
    error = command_procs (pseudo, by, id, command, write->writer);
  if (error == 0)
    fs_recent_drop (pseudo->parts, part_key (ino, write));
  return error;
}

int
fs_pseudo_setattr (FsPseudo *pseudo, const LeaseCaller *by, uint64_t id, LeaseFile file,
                   const struct stat *attr, int to_set)
{
  LeaseInfo info;

  if (file == LEASE_FILE_METRICS)
    return -EPERM;
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
