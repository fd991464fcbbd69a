/* SPDX-License-Identifier: MIT */

/* The floor: what a call costs on a FUSE file system that does nothing. The kernel sends it the
 * same requests as it sends leasefs for the same calls (tests/bench/counts.c compares them, one by
 * one), and it answers each at once. So what leasefs takes more than this is leasefs's own, and the
 * rest is the kernel's, libfuse's, and the price of waking another process.
 *
 *     $ floor MOUNTPOINT [-s] [-o OPTION,...]
 *
 * What is agreed with the kernel, and how long it may keep what it is told, are as in leasefs: see
 * fs/ops.c and fs/reply.h. The session has the same loop, with the same threads.
 *
 * There is no state, and so no lock: everything follows from names, and an inode number says of
 * what kind the inode is. What begins with "new-" is not there when it is looked up, and can be
 * made; it is there then for as long as the kernel knows that it has made it. Everything else is
 * there and cannot go: "key..." holds 100 bytes, "large" 64 KiB, "list" is a directory of 10,000
 * keys, what lies in the directories of leases (`ttl`, `keys`) has attributes that may not be kept,
 * and any other name is a directory.
 *
 * To look up "new-slow..." takes long: many of them at once make libfuse start as many threads as
 * it ever does, which it keeps.
 *
 * Two things are remembered, by a few atomic operations: the counts of requests, shown as leasefs
 * shows them in leases/.metrics; and what is renamed is found by its new name, since the kernel
 * looks that up again. */

#include "fs/requests.h"
#include "tests/bench/rows.h"

#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fuse_lowlevel.h>
#include <glib.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FOREVER_S (365.0 * 24 * 60 * 60)
#define COUNTS_SIZE 4096
#define SLOW_US 300000

/* In the lowest bits of an inode number. */
typedef enum { KIND_DIR = 1, KIND_KEY, KIND_LARGE, KIND_CONTROL, KIND_LIST, KIND_COUNTS } Kind;
#define KIND_BITS 4

static FsRequests requests;
/* What a rename has moved to a name, by that name's number; and what was made last in a directory,
 * by the directory's. */
#define SLOTS 4096
static struct {
  fuse_ino_t place; /* atomic */
  fuse_ino_t ino;   /* atomic */
} moved[SLOTS];
static fuse_ino_t last_made[SLOTS]; /* atomic */

static uint64_t made; /* atomic; how many inodes have been made, which have numbers of their own */

/* Constant. */
static struct timespec begun;
static uid_t uid;
static gid_t gid;

static const char zeros[BENCH_LARGE_SIZE];

static Kind
kind_of (fuse_ino_t ino)
{
  return ino & ((1 << KIND_BITS) - 1);
}

static Kind
kind_of_name (const char *name)
{
  static const struct {
    const char *prefix;
    Kind kind;
  } known[] = {
    { "keys", KIND_CONTROL }, { "ttl", KIND_CONTROL }, { "key", KIND_KEY },
    { "large", KIND_LARGE },  { "list", KIND_LIST },   { ".metrics", KIND_COUNTS },
  };

  for (unsigned i = 0; i < G_N_ELEMENTS (known); i++)
    if (g_str_has_prefix (name, known[i].prefix))
      return known[i].kind;
  return KIND_DIR;
}

/* What is there has the same number each time that it is looked up (FNV-1a). */
static fuse_ino_t
number_of (fuse_ino_t parent, const char *name, Kind kind)
{
  uint64_t hash = UINT64_C (14695981039346656037) ^ parent;

  for (const char *at = name; *at != '\0'; at++)
    hash = (hash ^ (unsigned char)*at) * UINT64_C (1099511628211);
  return (hash << KIND_BITS | kind) & INT64_MAX;
}

static fuse_ino_t
new_number (Kind kind)
{
  uint64_t number = __atomic_add_fetch (&made, 1, __ATOMIC_RELAXED);

  return UINT64_C (1) << 63 | number << KIND_BITS | kind;
}

static unsigned
slot_of (fuse_ino_t ino)
{
  return (ino >> KIND_BITS) % SLOTS;
}

static void
note_move (fuse_ino_t parent, fuse_ino_t place)
{
  fuse_ino_t ino = __atomic_load_n (&last_made[slot_of (parent)], __ATOMIC_RELAXED);

  __atomic_store_n (&moved[slot_of (place)].ino, ino, __ATOMIC_RELAXED);
  __atomic_store_n (&moved[slot_of (place)].place, place, __ATOMIC_RELAXED);
}

/* What is there by the name with that number. */
static fuse_ino_t
find (fuse_ino_t place)
{
  if (__atomic_load_n (&moved[slot_of (place)].place, __ATOMIC_RELAXED) != place)
    return place;
  return __atomic_load_n (&moved[slot_of (place)].ino, __ATOMIC_RELAXED);
}

static size_t
size_of (Kind kind)
{
  switch (kind) {
  case KIND_KEY:
    return BENCH_VALUE_SIZE;
  case KIND_LARGE:
    return BENCH_LARGE_SIZE;
  case KIND_COUNTS:
    return COUNTS_SIZE;
  default:
    return 0;
  }
}

/* About a file the kernel asks only after a change, so it has just been changed. With directories
 * it knows better what it has changed. */
static struct stat
describe (fuse_ino_t ino)
{
  Kind kind = kind_of (ino);
  bool is_dir = kind == KIND_DIR || kind == KIND_LIST;
  struct stat st = {
    .st_ino = ino,
    .st_mode = is_dir ? S_IFDIR | 0755 : S_IFREG | 0644,
    .st_nlink = is_dir ? 2 : 1,
    .st_uid = uid,
    .st_gid = gid,
    .st_size = size_of (kind),
    .st_blksize = 4096,
  };

  if (is_dir)
    st.st_mtim = begun;
  else
    clock_gettime (CLOCK_REALTIME, &st.st_mtim);
  st.st_atim = st.st_ctim = st.st_mtim;
  return st;
}

static double
timeout_of (fuse_ino_t ino)
{
  return kind_of (ino) == KIND_CONTROL ? 0 : FOREVER_S;
}

static struct fuse_entry_param
entry_of (fuse_ino_t ino)
{
  return (struct fuse_entry_param){
    .ino = ino,
    .attr = describe (ino),
    .attr_timeout = timeout_of (ino),
    .entry_timeout = kind_of (ino) == KIND_COUNTS ? 0 : FOREVER_S,
  };
}

static void
count (FsRequest request)
{
  fs_requests_count (&requests, request);
}

static void
floor_init (void *userdata, struct fuse_conn_info *conn)
{
  conn->want &= ~(FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_CACHE_SYMLINKS);
  conn->want |= (FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_EXPORT_SUPPORT) & conn->capable;
  conn->time_gran = 1;
}

static void
floor_lookup (fuse_req_t req, fuse_ino_t parent, const char *name)
{
  struct fuse_entry_param entry = { .entry_timeout = FOREVER_S };
  Kind kind = kind_of_name (name);

  count (FS_REQUEST_LOOKUP);
  if (g_str_has_prefix (name, BENCH_NEW "slow"))
    g_usleep (SLOW_US);
  if (kind == KIND_COUNTS)
    entry = entry_of (new_number (kind));
  else if (!g_str_has_prefix (name, BENCH_NEW))
    entry = entry_of (find (number_of (parent, name, kind)));
  fuse_reply_entry (req, &entry);
}

static void
floor_forget (fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
  count (FS_REQUEST_FORGET);
  fuse_reply_none (req);
}

static void
floor_forget_multi (fuse_req_t req, size_t forgets, struct fuse_forget_data *data)
{
  count (FS_REQUEST_FORGET_MULTI);
  fuse_reply_none (req);
}

static void
floor_create (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
              struct fuse_file_info *fi)
{
  struct fuse_entry_param entry = entry_of (new_number (KIND_KEY));

  count (FS_REQUEST_CREATE);
  __atomic_store_n (&last_made[slot_of (parent)], entry.ino, __ATOMIC_RELAXED);
  entry.attr.st_size = 0;
  fuse_reply_create (req, &entry, fi);
}

static void
floor_mkdir (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
  struct fuse_entry_param entry = entry_of (new_number (KIND_DIR));

  count (FS_REQUEST_MKDIR);
  fuse_reply_entry (req, &entry);
}

static void
floor_unlink (fuse_req_t req, fuse_ino_t parent, const char *name)
{
  count (FS_REQUEST_UNLINK);
  fuse_reply_err (req, 0);
}

static void
floor_rmdir (fuse_req_t req, fuse_ino_t parent, const char *name)
{
  count (FS_REQUEST_RMDIR);
  fuse_reply_err (req, 0);
}

static void
floor_rename (fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
              const char *new_name, unsigned flags)
{
  count (FS_REQUEST_RENAME);
  note_move (parent, number_of (new_parent, new_name, KIND_KEY));
  fuse_reply_err (req, 0);
}

static void
floor_open (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  count (FS_REQUEST_OPEN);
  fuse_reply_err (req, ENOSYS);
}

static void
floor_opendir (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  count (FS_REQUEST_OPENDIR);
  fuse_reply_err (req, ENOSYS);
}

static void
read_counts (fuse_req_t req, size_t size, off_t offset)
{
  char text[COUNTS_SIZE];
  size_t used = 0;

  memset (text, '\n', sizeof text);
  for (FsRequest request = 0; request < FS_REQUEST_COUNT; request++)
    used += snprintf (text + used, sizeof text - used,
                      "leasefs_requests_total{operation=\"%s\"} %" G_GUINT64_FORMAT "\n",
                      fs_request_name (request), fs_requests_get (&requests, request));
  text[used] = '\n';
  fuse_reply_buf (req, text + MIN ((size_t)offset, sizeof text),
                  MIN (size, sizeof text - MIN ((size_t)offset, sizeof text)));
}

static void
floor_read (fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
  size_t length = size_of (kind_of (ino));

  count (FS_REQUEST_READ);
  if (kind_of (ino) == KIND_COUNTS)
    read_counts (req, size, offset);
  else
    fuse_reply_buf (req, zeros, MIN (size, length - MIN ((size_t)offset, length)));
}

static void
floor_write (fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
             struct fuse_file_info *fi)
{
  count (FS_REQUEST_WRITE);
  fuse_reply_write (req, size);
}

static void
floor_getattr (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  struct stat st = describe (ino);

  count (FS_REQUEST_GETATTR);
  fuse_reply_attr (req, &st, timeout_of (ino));
}

static void
floor_setattr (fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
               struct fuse_file_info *fi)
{
  struct stat st = describe (ino);

  count (FS_REQUEST_SETATTR);
  if (to_set & FUSE_SET_ATTR_SIZE)
    st.st_size = attr->st_size;
  fuse_reply_attr (req, &st, timeout_of (ino));
}

/* `.`, `..`, and then the keys of a list. */
static void
list (fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, bool plus)
{
  g_autofree char *buffer = g_malloc (size);
  off_t last = kind_of (ino) == KIND_LIST ? BENCH_LISTED + 2 : 2;
  size_t used = 0;

  for (off_t at = offset + 1; at <= last; at++) {
    struct fuse_entry_param entry = { .attr.st_ino = ino, .attr.st_mode = S_IFDIR };
    char name[32] = "..";
    if (at <= 2) {
      name[at] = '\0';
    } else {
      snprintf (name, sizeof name, BENCH_LISTED_NAME, (unsigned)(at - 3));
      entry = entry_of (number_of (ino, name, KIND_KEY));
    }
    size_t length =
        plus ? fuse_add_direntry_plus (req, buffer + used, size - used, name, &entry, at)
             : fuse_add_direntry (req, buffer + used, size - used, name, &entry.attr, at);
    if (length > size - used)
      break;
    used += length;
  }
  fuse_reply_buf (req, buffer, used);
}

static void
floor_readdir (fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
  count (FS_REQUEST_READDIR);
  list (req, ino, size, offset, false);
}

static void
floor_readdirplus (fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                   struct fuse_file_info *fi)
{
  count (FS_REQUEST_READDIRPLUS);
  list (req, ino, size, offset, true);
}

static const struct fuse_lowlevel_ops ops = {
  .init = floor_init,
  .lookup = floor_lookup,
  .forget = floor_forget,
  .forget_multi = floor_forget_multi,
  .create = floor_create,
  .mkdir = floor_mkdir,
  .unlink = floor_unlink,
  .rmdir = floor_rmdir,
  .rename = floor_rename,
  .open = floor_open,
  .opendir = floor_opendir,
  .read = floor_read,
  .write = floor_write,
  .getattr = floor_getattr,
  .setattr = floor_setattr,
  .readdir = floor_readdir,
  .readdirplus = floor_readdirplus,
};

static int
loop (struct fuse_session *session, bool single_thread)
{
  struct fuse_loop_config *config = fuse_loop_cfg_create ();
  int result = single_thread ? fuse_session_loop (session) : fuse_session_loop_mt (session, config);

  fuse_loop_cfg_destroy (config);
  return result;
}

static int
serve (struct fuse_args *args, const struct fuse_cmdline_opts *options)
{
  struct fuse_session *session = fuse_session_new (args, &ops, sizeof ops, NULL);
  int result = -1;

  if (session != NULL && fuse_set_signal_handlers (session) == 0 &&
      fuse_session_mount (session, options->mountpoint) == 0) {
    result = loop (session, options->singlethread);
    fuse_session_unmount (session);
  }
  if (session != NULL)
    fuse_session_destroy (session);
  return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
main (int argc, char **argv)
{
  struct fuse_args args = FUSE_ARGS_INIT (argc, argv);
  struct fuse_cmdline_opts options;

  clock_gettime (CLOCK_REALTIME, &begun);
  uid = getuid ();
  gid = getgid ();
  mallopt (M_ARENA_MAX, 1); /* as leasefs does */
  if (fuse_parse_cmdline (&args, &options) != 0 || options.mountpoint == NULL) {
    fprintf (stderr, "usage: floor MOUNTPOINT [-s] [-o OPTION,...]\n");
    return EXIT_FAILURE;
  }
  fuse_opt_insert_arg (&args, 1, "-odefault_permissions,subtype=floor,fsname=none");
  int result = serve (&args, &options);
  free (options.mountpoint);
  fuse_opt_free_args (&args);
  return result;
}
