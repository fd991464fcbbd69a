/* SPDX-License-Identifier: MIT */

/* What the kernel holds is counted exactly: a node is pinned once for each answer that names it and
 * has reached the kernel, and for no other.
 *
 * The kernel is played by the test: it hands requests to a FUSE session that has the real handlers,
 * and receives, or refuses, the answers. How often a node is pinned shows when all its names have
 * been removed: it is gone once that many have been forgotten. */

#include "fs/ops.h"
#include "fs/pseudo.h"
#include "fs/revoker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define assert_ok(call) assert_int_equal (call, 0)

#define NO_ANSWER INT_MAX
#define MAX_PINS 16

typedef struct {
  FsContext context; /* first: it is what libfuse hands to send_answer() */
  struct fuse_session *session;
  FsHolders *holders;
  uint64_t unique;    /* of the last request */
  int refuse;         /* an errno that the kernel answers the next answers with */
  unsigned refusals;  /* how many of them */
  unsigned strays;    /* answers to other requests */
  unsigned answers;   /* to the last request, refused ones too */
  int error;          /* that of the last answer, 0 or negative; NO_ANSWER */
  GByteArray *answer; /* its body */
  LeaseUsage before;
} Wire;

static LeaseCaller
as_root (void)
{
  return (LeaseCaller){ .now = lease_clock_now (), .wall_ns = lease_clock_wall_ns () };
}

static ssize_t
send_answer (int fd, struct iovec *iov, int count, void *data)
{
  Wire *wire = data;
  const struct fuse_out_header *header = iov[0].iov_base;

  /* To an INTERRUPT. */
  if (header->unique != wire->unique) {
    wire->strays++;
    return header->len;
  }
  wire->answers++;
  if (wire->refusals > 0) {
    wire->refusals--;
    errno = wire->refuse;
    return -1;
  }
  wire->error = header->error;
  g_byte_array_set_size (wire->answer, 0);
  for (int i = 0; i < count; i++)
    g_byte_array_append (wire->answer, iov[i].iov_base, iov[i].iov_len);
  assert_int_equal (wire->answer->len, header->len);
  g_byte_array_remove_range (wire->answer, 0, sizeof *header);
  return header->len;
}

/* Requests are not read: they are handed over one by one. */
static ssize_t
read_request (int fd, void *buffer, size_t size, void *data)
{
  return 0;
}

/* Returns the error of the answer, or NO_ANSWER. What follows `size` are the names, up to NULL. */
static int G_GNUC_NULL_TERMINATED
ask (Wire *wire, uint32_t opcode, fuse_ino_t ino, const void *arguments, size_t size, ...)
{
  g_autoptr (GByteArray) request = g_byte_array_new ();
  struct fuse_in_header header = { .opcode = opcode, .unique = wire->unique += 2, .nodeid = ino };
  va_list names;

  g_byte_array_append (request, (const void *)&header, sizeof header);
  if (size > 0)
    g_byte_array_append (request, arguments, size);
  va_start (names, size);
  for (const char *name; (name = va_arg (names, const char *)) != NULL;)
    g_byte_array_append (request, (const void *)name, strlen (name) + 1);
  va_end (names);
  ((struct fuse_in_header *)request->data)->len = request->len;

  wire->answers = 0;
  wire->error = NO_ANSWER;
  fuse_session_process_buf (wire->session,
                            &(struct fuse_buf){ .mem = request->data, .size = request->len });
  lease_engine_check (wire->context.engine);
  return wire->error;
}

static void
note_usage (Wire *wire)
{
  lease_engine_usage (wire->context.engine, &wire->before);
}

static bool
is_usage_as_noted (Wire *wire)
{
  LeaseCaller by = as_root ();
  g_auto (LeaseGrave) grave = { 0 };
  LeaseUsage usage;

  /* What remains of a revoked lease is cleaned up. */
  while (lease_engine_next_grave (wire->context.engine, &by, 1000, &grave) == 0) {
    assert_true (lease_engine_bury (wire->context.engine, &by, &grave));
    lease_grave_clear (&grave);
  }
  lease_engine_usage (wire->context.engine, &usage);
  return usage.nodes_used == wire->before.nodes_used && usage.bytes_used == wire->before.bytes_used;
}

static int
wire_setup (void **state)
{
  static const LeaseEngineConfig config = { .max_bytes = UINT64_MAX / 2,
                                            .max_nodes = UINT64_MAX / 2,
                                            .max_leases = UINT64_MAX,
                                            .root_mode = 01777 };
  static char program[] = "test-replies";
  static char *argv[] = { program, NULL };
  struct fuse_args args = FUSE_ARGS_INIT (1, argv);
  const struct fuse_custom_io io = { .writev = send_answer, .read = read_request };
  struct fuse_init_in init = { .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION };
  Wire *wire = g_new0 (Wire, 1);
  LeaseCaller by = as_root ();

  *state = wire;
  wire->answer = g_byte_array_new ();
  wire->context.engine =
      lease_engine_new (&config, lease_journal_memory_new (), &by, NULL, NULL, NULL);
  wire->holders = fs_holders_new (wire->context.engine, NULL);
  wire->context.pseudo = fs_pseudo_new (wire->context.engine, wire->holders);
  wire->context.revoker = fs_revoker_new (&wire->context);
  wire->session = fuse_session_new (&args, &fs_ops, sizeof fs_ops, wire);
  assert_non_null (wire->session);
  fuse_opt_free_args (&args);
  assert_ok (fuse_session_custom_io (wire->session, &io, open ("/dev/null", O_RDWR | O_CLOEXEC)));
  assert_ok (ask (wire, FUSE_INIT, 0, &init, sizeof init, NULL));
  note_usage (wire);
  return 0;
}

static int
wire_teardown (void **state)
{
  Wire *wire = *state;

  fuse_session_destroy (wire->session);
  fs_pseudo_free (wire->context.pseudo);
  fs_revoker_stop (wire->context.revoker);
  fs_revoker_free (wire->context.revoker);
  fs_holders_free (wire->holders);
  lease_engine_free (wire->context.engine);
  g_byte_array_unref (wire->answer);
  g_free (wire);
  return 0;
}

#define wire_test(f) cmocka_unit_test_setup_teardown (f, wire_setup, wire_teardown)

/* The next answer does not reach the kernel. */
static void
refuse_next (Wire *wire, int error)
{
  wire->refuse = error;
  wire->refusals = 1;
}

static void
forget (Wire *wire, fuse_ino_t ino, uint64_t count)
{
  struct fuse_forget_in arguments = { .nlookup = count };

  ask (wire, FUSE_FORGET, ino, &arguments, sizeof arguments, NULL);
  assert_int_equal (wire->answers, 0);
}

static void
forget_many (Wire *wire, const struct fuse_forget_one *forgets, unsigned count)
{
  struct {
    struct fuse_batch_forget_in head;
    struct fuse_forget_one forgets[MAX_PINS];
  } arguments = { .head.count = count };

  memcpy (arguments.forgets, forgets, count * sizeof *forgets);
  ask (wire, FUSE_BATCH_FORGET, 0, &arguments, sizeof arguments, NULL);
  assert_int_equal (wire->answers, 0);
}

static fuse_ino_t
answered_ino (const Wire *wire)
{
  assert_true (wire->answer->len >= sizeof (struct fuse_entry_out));
  return ((const struct fuse_entry_out *)wire->answer->data)->nodeid;
}

static int
ask_lookup (Wire *wire, fuse_ino_t parent, const char *name)
{
  return ask (wire, FUSE_LOOKUP, parent, NULL, 0, name, NULL);
}

/* What has the name, without pinning it. */
static fuse_ino_t
find (Wire *wire, fuse_ino_t parent, const char *name)
{
  LeaseCaller by = as_root ();
  LeaseAttr attr;

  assert_ok (lease_engine_lookup (wire->context.engine, &by, fs_id (parent), name, &attr, NULL));
  lease_engine_unpin (wire->context.engine, attr.id, 1);
  return fs_ino (attr.id, LEASE_FILE_NONE);
}

/* Makes it without pinning it. */
static fuse_ino_t
make (Wire *wire, fuse_ino_t parent, const char *name, mode_t mode)
{
  LeaseCaller by = as_root ();
  LeaseNew what = { .mode = mode, .target = S_ISLNK (mode) ? "target" : NULL };
  LeaseAttr attr;

  assert_ok (lease_engine_create (wire->context.engine, &by, fs_id (parent), name, &what, &attr));
  lease_engine_unpin (wire->context.engine, attr.id, 1);
  return fs_ino (attr.id, LEASE_FILE_NONE);
}

static fuse_ino_t
make_file (Wire *wire, fuse_ino_t parent, const char *name)
{
  return make (wire, parent, name, S_IFREG | 0644);
}

static fuse_ino_t
leases (Wire *wire)
{
  return find (wire, FUSE_ROOT_ID, "leases");
}

static fuse_ino_t
make_lease (Wire *wire, const char *name)
{
  LeaseCaller by = as_root ();
  fuse_ino_t ino = make (wire, leases (wire), name, S_IFDIR | 0755);

  assert_ok (lease_engine_grant (wire->context.engine, &by, fs_id (ino), 1000 * LEASE_SECOND));
  return ino;
}

static void
remove_name (Wire *wire, fuse_ino_t parent, const char *name)
{
  LeaseCaller by = as_root ();
  LeaseEngine *engine = wire->context.engine;

  if (lease_engine_unlink (engine, &by, fs_id (parent), name) != 0)
    assert_ok (lease_engine_rmdir (engine, &by, fs_id (parent), name));
}

/* How often node `ino`, the one thing left beside what wire_setup() noted, and without a name, is
 * pinned. Unpins it. */
static unsigned
count_pins (Wire *wire, fuse_ino_t ino)
{
  unsigned count = 0;

  for (; !is_usage_as_noted (wire); count++) {
    assert_true (count < MAX_PINS);
    forget (wire, ino, 1);
  }
  return count;
}

/* Requests that hand out one node. */

typedef struct {
  const char *what;
  void (*prepare) (Wire *wire);
  int (*ask) (Wire *wire);
  bool in_leases;   /* "x" is there, or in the root */
  const char *also; /* one more name of the node, in the root; or NULL */
} Request;

static void
prepare_nothing (Wire *wire)
{
}

static void
prepare_x (Wire *wire)
{
  make_file (wire, FUSE_ROOT_ID, "x");
}

static void
prepare_old (Wire *wire)
{
  make_file (wire, FUSE_ROOT_ID, "old");
}

static void
prepare_lease (Wire *wire)
{
  make_lease (wire, "x");
}

static int
lookup (Wire *wire)
{
  return ask_lookup (wire, FUSE_ROOT_ID, "x");
}

/* As when a file handle is opened. */
static int
lookup_dot (Wire *wire)
{
  return ask_lookup (wire, find (wire, FUSE_ROOT_ID, "x"), ".");
}

static int
lookup_lease (Wire *wire)
{
  return ask_lookup (wire, leases (wire), "x");
}

static int
create (Wire *wire)
{
  struct fuse_create_in arguments = { .flags = O_WRONLY, .mode = S_IFREG | 0644 };

  return ask (wire, FUSE_CREATE, FUSE_ROOT_ID, &arguments, sizeof arguments, "x", NULL);
}

static int
make_node (Wire *wire)
{
  struct fuse_mknod_in arguments = { .mode = S_IFREG | 0644 };

  return ask (wire, FUSE_MKNOD, FUSE_ROOT_ID, &arguments, sizeof arguments, "x", NULL);
}

static int
make_directory (Wire *wire)
{
  struct fuse_mkdir_in arguments = { .mode = 0755 };

  return ask (wire, FUSE_MKDIR, FUSE_ROOT_ID, &arguments, sizeof arguments, "x", NULL);
}

static int
reserve_lease (Wire *wire)
{
  struct fuse_mkdir_in arguments = { .mode = 0755 };

  return ask (wire, FUSE_MKDIR, leases (wire), &arguments, sizeof arguments, "x", NULL);
}

static int
make_symlink (Wire *wire)
{
  return ask (wire, FUSE_SYMLINK, FUSE_ROOT_ID, NULL, 0, "x", "target", NULL);
}

static int
link_old (Wire *wire)
{
  struct fuse_link_in arguments = { .oldnodeid = find (wire, FUSE_ROOT_ID, "old") };

  return ask (wire, FUSE_LINK, FUSE_ROOT_ID, &arguments, sizeof arguments, "x", NULL);
}

static const Request requests[] = {
  { "LOOKUP", prepare_x, lookup, false, NULL },
  { "LOOKUP of .", prepare_x, lookup_dot, false, NULL },
  { "LOOKUP of a lease", prepare_lease, lookup_lease, true, NULL },
  { "CREATE", prepare_nothing, create, false, NULL },
  { "MKNOD", prepare_nothing, make_node, false, NULL },
  { "MKDIR", prepare_nothing, make_directory, false, NULL },
  { "MKDIR of a lease", prepare_nothing, reserve_lease, true, NULL },
  { "SYMLINK", prepare_nothing, make_symlink, false, NULL },
  { "LINK", prepare_old, link_old, false, "old" },
};

static fuse_ino_t
parent_of_x (Wire *wire, const Request *request)
{
  return request->in_leases ? leases (wire) : FUSE_ROOT_ID;
}

static fuse_ino_t
find_x (Wire *wire, const Request *request)
{
  return find (wire, parent_of_x (wire, request), "x");
}

static void
remove_x (Wire *wire, const Request *request)
{
  remove_name (wire, parent_of_x (wire, request), "x");
  if (request->also != NULL)
    remove_name (wire, FUSE_ROOT_ID, request->also);
}

static void
test_an_answer_that_arrives_pins_once (void **state)
{
  Wire *wire = *state;

  for (unsigned i = 0; i < G_N_ELEMENTS (requests); i++) {
    print_message ("%s\n", requests[i].what);
    requests[i].prepare (wire);
    assert_ok (requests[i].ask (wire));
    fuse_ino_t ino = answered_ino (wire);
    assert_int_equal (ino, find_x (wire, &requests[i]));
    remove_x (wire, &requests[i]);
    assert_int_equal (count_pins (wire, ino), 1);
  }
}

static void
test_an_answer_that_is_refused_pins_nothing (void **state)
{
  static const int errors[] = { ENOENT, EINVAL, ENODEV, EIO };
  Wire *wire = *state;

  for (unsigned i = 0; i < G_N_ELEMENTS (requests); i++) {
    for (unsigned j = 0; j < G_N_ELEMENTS (errors); j++) {
      print_message ("%s, %s\n", requests[i].what, strerror (errors[j]));
      requests[i].prepare (wire);
      refuse_next (wire, errors[j]);
      assert_int_equal (requests[i].ask (wire), NO_ANSWER);
      assert_int_equal (wire->answers, 1);
      fuse_ino_t ino = find_x (wire, &requests[i]);
      remove_x (wire, &requests[i]);
      assert_int_equal (count_pins (wire, ino), 0);
    }
  }
}

/* What a refused answer made is there, and is pinned for who looks it up, as often as that. */
static void
test_after_a_refusal_counting_goes_on (void **state)
{
  Wire *wire = *state;

  for (unsigned i = 0; i < G_N_ELEMENTS (requests); i++) {
    print_message ("%s\n", requests[i].what);
    requests[i].prepare (wire);
    refuse_next (wire, ENOENT);
    assert_int_equal (requests[i].ask (wire), NO_ANSWER);
    for (unsigned j = 0; j < 3; j++)
      assert_ok (ask_lookup (wire, parent_of_x (wire, &requests[i]), "x"));
    fuse_ino_t ino = answered_ino (wire);
    refuse_next (wire, ENOENT);
    assert_int_equal (ask_lookup (wire, parent_of_x (wire, &requests[i]), "x"), NO_ANSWER);
    remove_x (wire, &requests[i]);
    assert_int_equal (count_pins (wire, ino), 3);
  }
}

/* As when the connection has been aborted. */
static void
test_when_every_answer_is_refused_nothing_stays_pinned (void **state)
{
  Wire *wire = *state;

  wire->refuse = ENODEV;
  wire->refusals = UINT_MAX;
  for (unsigned i = 0; i < G_N_ELEMENTS (requests); i++) {
    requests[i].prepare (wire);
    for (unsigned j = 0; j < 3; j++)
      assert_int_equal (requests[i].ask (wire), NO_ANSWER);
    remove_x (wire, &requests[i]);
    assert_true (is_usage_as_noted (wire));
  }
}

static void
test_an_error_pins_nothing (void **state)
{
  Wire *wire = *state;
  fuse_ino_t ino = make_file (wire, FUSE_ROOT_ID, "x");

  for (unsigned refused = 0; refused < 2; refused++) {
    for (unsigned i = 0; i < G_N_ELEMENTS (requests); i++) {
      if (requests[i].in_leases || requests[i].prepare != prepare_nothing)
        continue;
      if (refused)
        refuse_next (wire, ENOENT);
      assert_int_equal (requests[i].ask (wire), refused ? NO_ANSWER : -EEXIST);
    }
  }
  remove_name (wire, FUSE_ROOT_ID, "x");
  assert_int_equal (count_pins (wire, ino), 0);
}

static void
test_a_name_that_is_absent_pins_nothing (void **state)
{
  Wire *wire = *state;

  for (unsigned refused = 0; refused < 2; refused++) {
    if (refused)
      refuse_next (wire, ENOENT);
    assert_int_equal (lookup (wire), refused ? NO_ANSWER : 0);
    if (!refused)
      assert_int_equal (answered_ino (wire), 0);
    assert_true (is_usage_as_noted (wire));
  }
}

static void
test_pseudo_files_are_not_counted (void **state)
{
  Wire *wire = *state;
  fuse_ino_t lease = make_lease (wire, "x");

  for (LeaseFile file = 1; file <= LEASE_FILE_LAST; file++) {
    fuse_ino_t ino = fs_ino (fs_id (lease), file);
    for (unsigned refused = 0; refused < 2; refused++) {
      if (refused)
        refuse_next (wire, ENOENT);
      assert_int_equal (ask_lookup (wire, lease, lease_file_name (file)), refused ? NO_ANSWER : 0);
      if (!refused)
        assert_int_equal (answered_ino (wire), ino);
      if (refused)
        refuse_next (wire, ENOENT);
      assert_int_equal (ask_lookup (wire, ino, "."), refused ? NO_ANSWER : 0);
    }
  }
  /* Forgetting them does not count for the lease. */
  assert_ok (lookup_lease (wire));
  for (LeaseFile file = 1; file <= LEASE_FILE_LAST; file++)
    forget (wire, fs_ino (fs_id (lease), file), 2);
  remove_name (wire, leases (wire), "x");
  assert_int_equal (count_pins (wire, lease), 1);
}

/* What is pinned while its lease ends is pinned just as often afterwards. */
static void
test_the_end_of_a_lease_changes_no_count (void **state)
{
  Wire *wire = *state;
  fuse_ino_t lease = make_lease (wire, "x"), key = make_file (wire, lease, "key");

  for (unsigned i = 0; i < 2; i++) {
    assert_ok (ask_lookup (wire, lease, "key"));
    assert_ok (lookup_lease (wire));
  }
  remove_name (wire, leases (wire), "x");
  assert_ok (lookup_lease (wire));
  assert_int_equal (answered_ino (wire), 0);
  assert_false (is_usage_as_noted (wire));
  forget (wire, key, 2);
  assert_int_equal (count_pins (wire, lease), 2);
}

/* Listings. */

static int
ask_list (Wire *wire, uint32_t opcode, fuse_ino_t ino, uint64_t offset, uint32_t size)
{
  struct fuse_read_in arguments = { .offset = offset, .size = size };

  return ask (wire, opcode, ino, &arguments, sizeof arguments, NULL);
}

/* The nodes that the last answer, to a READDIRPLUS, hands out; `entries_out` counts all entries. */
static GArray *
listed_inos (const Wire *wire, unsigned *entries_out, uint64_t *offset_out)
{
  GArray *inos = g_array_new (FALSE, FALSE, sizeof (fuse_ino_t));
  unsigned entries = 0;

  for (size_t at = 0; at < wire->answer->len; entries++) {
    const struct fuse_direntplus *entry = (const void *)(wire->answer->data + at);
    fuse_ino_t ino = entry->entry_out.nodeid;
    if (ino != 0)
      g_array_append_val (inos, ino);
    *offset_out = entry->dirent.off;
    at += FUSE_DIRENTPLUS_SIZE (entry);
  }
  *entries_out = entries;
  return inos;
}

typedef struct {
  const char *what;
  unsigned files; /* in the directory, named as numbers */
  unsigned links; /* further names of the first */
  bool lease;     /* it is one's */
  uint32_t size;  /* of a READDIRPLUS */
} Directory;

static const Directory directories[] = {
  { "empty", 0, 0, false, 4096 },
  { "one file", 1, 0, false, 4096 },
  { "several files", 9, 0, false, 8192 },
  { "more files than fit", 9, 0, false, 1000 },
  { "no room for a file", 3, 0, false, 400 },
  { "no room for anything", 3, 0, false, 10 },
  { "a file with several names", 3, 3, false, 4096 },
  { "a lease", 0, 0, true, 4096 },
  { "a lease with keys", 3, 0, true, 4096 },
};

static fuse_ino_t
make_directory_as (Wire *wire, const Directory *as)
{
  LeaseCaller by = as_root ();
  fuse_ino_t ino =
      as->lease ? make_lease (wire, "d") : make (wire, FUSE_ROOT_ID, "d", S_IFDIR | 0755);

  for (unsigned i = 0; i < as->files + as->links; i++) {
    g_autofree char *name = g_strdup_printf ("%u", i);
    LeaseAttr attr;
    if (i < as->files) {
      make_file (wire, ino, name);
      continue;
    }
    assert_ok (lease_engine_link (wire->context.engine, &by, fs_id (find (wire, ino, "0")),
                                  fs_id (ino), name, &attr));
    lease_engine_unpin (wire->context.engine, attr.id, 1);
  }
  return ino;
}

static void
remove_directory (Wire *wire, const Directory *as, fuse_ino_t ino)
{
  for (unsigned i = 0; i < as->files + as->links; i++) {
    g_autofree char *name = g_strdup_printf ("%u", i);
    remove_name (wire, ino, name);
  }
  remove_name (wire, as->lease ? leases (wire) : FUSE_ROOT_ID, "d");
}

/* With all names gone, what is left is gone exactly when each of `inos` has been forgotten, in any
 * order. */
static void
forget_exactly (Wire *wire, const GArray *inos)
{
  for (unsigned i = 0; i < inos->len; i++) {
    assert_false (is_usage_as_noted (wire));
    forget (wire, g_array_index (inos, fuse_ino_t, inos->len - 1 - i), 1);
  }
  assert_true (is_usage_as_noted (wire));
}

/* All entries, by as many requests as it takes; every other answer is refused first. */
static void
test_a_listing_pins_each_entry_once (void **state)
{
  Wire *wire = *state;

  for (unsigned i = 0; i < G_N_ELEMENTS (directories); i++) {
    const Directory *as = &directories[i];
    fuse_ino_t ino = make_directory_as (wire, as);
    g_autoptr (GArray) all = g_array_new (FALSE, FALSE, sizeof (fuse_ino_t));
    unsigned entries, total = 0;
    uint64_t offset = 0;

    print_message ("%s\n", as->what);
    do {
      refuse_next (wire, ENOENT);
      assert_int_equal (ask_list (wire, FUSE_READDIRPLUS, ino, offset, as->size), NO_ANSWER);
      assert_ok (ask_list (wire, FUSE_READDIRPLUS, ino, offset, as->size));
      g_autoptr (GArray) inos = listed_inos (wire, &entries, &offset);
      g_array_append_vals (all, inos->data, inos->len);
      total += entries;
    } while (entries > 0);
    if (as->size >= 1000) {
      assert_int_equal (all->len, as->files + as->links);
      assert_int_equal (total, all->len + 2 + (as->lease ? LEASE_FILE_LAST : 0));
    }
    remove_directory (wire, as, ino);
    forget_exactly (wire, all);
  }
}

static void
test_a_listing_that_is_refused_pins_nothing (void **state)
{
  static const int errors[] = { ENOENT, EINVAL, ENODEV };
  Wire *wire = *state;

  for (unsigned i = 0; i < G_N_ELEMENTS (directories); i++) {
    const Directory *as = &directories[i];
    fuse_ino_t ino = make_directory_as (wire, as);
    print_message ("%s\n", as->what);
    for (unsigned j = 0; j < G_N_ELEMENTS (errors); j++) {
      refuse_next (wire, errors[j]);
      assert_int_equal (ask_list (wire, FUSE_READDIRPLUS, ino, 0, as->size), NO_ANSWER);
      assert_int_equal (wire->answers, 1);
    }
    remove_directory (wire, as, ino);
    assert_true (is_usage_as_noted (wire));
  }
}

static void
test_a_listing_without_attributes_pins_nothing (void **state)
{
  Wire *wire = *state;

  for (unsigned i = 0; i < G_N_ELEMENTS (directories); i++) {
    fuse_ino_t ino = make_directory_as (wire, &directories[i]);
    for (unsigned refused = 0; refused < 2; refused++) {
      if (refused)
        refuse_next (wire, ENOENT);
      assert_int_equal (ask_list (wire, FUSE_READDIR, ino, 0, 4096), refused ? NO_ANSWER : 0);
    }
    remove_directory (wire, &directories[i], ino);
    assert_true (is_usage_as_noted (wire));
  }
}

static void
test_what_is_no_directory_lists_nothing (void **state)
{
  Wire *wire = *state;
  fuse_ino_t lease = make_lease (wire, "x"), file = make_file (wire, lease, "key");

  assert_int_equal (ask_list (wire, FUSE_READDIRPLUS, file, 0, 4096), -ENOTDIR);
  assert_int_equal (
      ask_list (wire, FUSE_READDIRPLUS, fs_ino (fs_id (lease), LEASE_FILE_KEYS), 0, 4096),
      -ENOTDIR);
  remove_name (wire, leases (wire), "x");
  assert_int_equal (ask_list (wire, FUSE_READDIRPLUS, lease, 0, 4096), -ESTALE);
  assert_true (is_usage_as_noted (wire));
}

/* INTERRUPT. libfuse keeps those that find no request, in case that comes later, and answers one of
 * them each time when it was another that came. */

static void
interrupt (Wire *wire, uint64_t unique)
{
  struct fuse_interrupt_in arguments = { .unique = unique };

  ask (wire, FUSE_INTERRUPT, 0, &arguments, sizeof arguments, NULL);
}

static void
settle_interrupts (Wire *wire)
{
  unsigned strays;

  do {
    strays = wire->strays;
    assert_ok (ask (wire, FUSE_STATFS, FUSE_ROOT_ID, NULL, 0, NULL));
  } while (wire->strays > strays);
}

static void
test_interrupts_change_no_count (void **state)
{
  Wire *wire = *state;

  for (unsigned i = 0; i < G_N_ELEMENTS (requests); i++) {
    for (unsigned refused = 0; refused < 2; refused++) {
      print_message ("%s%s\n", requests[i].what, refused ? ", refused" : "");
      requests[i].prepare (wire);
      interrupt (wire, UINT64_C (1) << 40);
      interrupt (wire, wire->unique - 2);
      /* It overtakes the request: `ask` gives that the number after this one's own. */
      interrupt (wire, wire->unique + 4);
      if (refused)
        refuse_next (wire, ENOENT);
      assert_int_equal (requests[i].ask (wire), refused ? NO_ANSWER : 0);
      assert_int_equal (wire->answers, 1);
      interrupt (wire, wire->unique);
      fuse_ino_t ino = find_x (wire, &requests[i]);
      interrupt (wire, wire->unique);
      remove_x (wire, &requests[i]);
      assert_int_equal (count_pins (wire, ino), refused ? 0 : 1);
    }
  }
  settle_interrupts (wire);
}

/* FORGET. */

static fuse_ino_t
pin_x (Wire *wire, unsigned count)
{
  fuse_ino_t ino = make_file (wire, FUSE_ROOT_ID, "x");

  for (unsigned i = 0; i < count; i++)
    assert_ok (lookup (wire));
  return ino;
}

static void
test_only_the_right_count_frees (void **state)
{
  Wire *wire = *state;

  for (unsigned batch = 0; batch < 2; batch++) {
    fuse_ino_t ino = pin_x (wire, 7);
    remove_name (wire, FUSE_ROOT_ID, "x");
    if (batch)
      forget_many (wire, (const struct fuse_forget_one[]){ { ino, 2 }, { ino, 1 }, { ino, 3 } }, 3);
    else
      forget (wire, ino, 6);
    assert_false (is_usage_as_noted (wire));
    if (batch)
      forget_many (wire, &(const struct fuse_forget_one){ ino, 1 }, 1);
    else
      forget (wire, ino, 1);
    assert_true (is_usage_as_noted (wire));
  }
}

static void
test_a_batch_frees_each (void **state)
{
  Wire *wire = *state;
  struct fuse_forget_one forgets[MAX_PINS];

  for (unsigned i = 0; i < MAX_PINS; i++) {
    forgets[i] = (struct fuse_forget_one){ pin_x (wire, i + 1), i };
    remove_name (wire, FUSE_ROOT_ID, "x");
  }
  forget_many (wire, forgets, MAX_PINS);
  for (unsigned i = 0; i < MAX_PINS; i++) {
    assert_false (is_usage_as_noted (wire));
    forget (wire, forgets[i].nodeid, 1);
  }
  assert_true (is_usage_as_noted (wire));
}

static void
test_what_has_a_name_stays_though_forgotten (void **state)
{
  Wire *wire = *state;
  fuse_ino_t ino = pin_x (wire, 2);

  forget (wire, ino, 2);
  assert_int_equal (find (wire, FUSE_ROOT_ID, "x"), ino);
  assert_ok (lookup (wire));
  remove_name (wire, FUSE_ROOT_ID, "x");
  assert_int_equal (count_pins (wire, ino), 1);
}

/* A kernel that forgets too much would be wrong; the count goes to 0, not below. */
static void
test_forgetting_too_much_does_no_harm (void **state)
{
  static const uint64_t counts[] = { 0, 2, 1000, UINT64_MAX - 1, UINT64_MAX };
  Wire *wire = *state;

  for (unsigned i = 0; i < G_N_ELEMENTS (counts); i++) {
    /* While it has a name: what is handed out after that still counts in full. */
    fuse_ino_t ino = pin_x (wire, 1);
    forget (wire, ino, counts[i]);
    if (counts[i] == 0)
      forget (wire, ino, 1);
    assert_ok (lookup (wire));
    assert_ok (lookup (wire));
    remove_name (wire, FUSE_ROOT_ID, "x");
    assert_int_equal (count_pins (wire, ino), 2);
    /* When it is gone. */
    forget (wire, ino, counts[i]);
    assert_true (is_usage_as_noted (wire));
    /* When it has no name any more. */
    ino = pin_x (wire, 1);
    remove_name (wire, FUSE_ROOT_ID, "x");
    forget (wire, ino, counts[i]);
    assert_int_equal (is_usage_as_noted (wire), counts[i] != 0);
    forget (wire, ino, 1);
    assert_true (is_usage_as_noted (wire));
  }
}

static void
test_forgetting_what_was_never_handed_out_does_no_harm (void **state)
{
  Wire *wire = *state;
  fuse_ino_t x = make_file (wire, FUSE_ROOT_ID, "x"), lease = make_lease (wire, "l");
  const fuse_ino_t inos[] = {
    0,
    FUSE_ROOT_ID,
    2,
    3,
    4,
    leases (wire),
    leases (wire) + 1,
    x,
    x + 1,
    x + 2,
    x + 3,
    lease,
    lease + 1,
    lease + 2,
    lease + 3,
    4 * 1000 + 1,
    INT64_MAX,
    UINT64_MAX - 3,
    UINT64_MAX - 2,
    UINT64_MAX,
  };
  static const uint64_t counts[] = { 0, 1, UINT64_MAX };
  LeaseUsage before, after;

  lease_engine_usage (wire->context.engine, &before);
  for (unsigned i = 0; i < G_N_ELEMENTS (inos); i++) {
    for (unsigned j = 0; j < G_N_ELEMENTS (counts); j++) {
      forget (wire, inos[i], counts[j]);
      forget_many (wire, (const struct fuse_forget_one[]){ { inos[i], counts[j] }, { inos[i], 1 } },
                   2);
    }
  }
  lease_engine_usage (wire->context.engine, &after);
  assert_memory_equal (&before, &after, sizeof after);
  assert_int_equal (find (wire, FUSE_ROOT_ID, "x"), x);
  assert_int_equal (find (wire, leases (wire), "l"), lease);
  assert_ok (ask_lookup (wire, lease, "ttl"));

  assert_ok (lookup (wire));
  remove_name (wire, FUSE_ROOT_ID, "x");
  remove_name (wire, leases (wire), "l");
  assert_int_equal (count_pins (wire, x), 1);
}

/* The root is handed out by "..", and is never freed. */
static void
test_the_root_stays_however_often_it_is_forgotten (void **state)
{
  Wire *wire = *state;

  for (unsigned i = 0; i < 3; i++) {
    assert_ok (ask_lookup (wire, leases (wire), ".."));
    assert_int_equal (answered_ino (wire), FUSE_ROOT_ID);
    forget (wire, FUSE_ROOT_ID, 1 + i);
  }
  refuse_next (wire, ENOENT);
  assert_int_equal (ask_lookup (wire, FUSE_ROOT_ID, "."), NO_ANSWER);
  forget (wire, FUSE_ROOT_ID, UINT64_MAX);
  prepare_x (wire);
  assert_ok (lookup (wire));
  fuse_ino_t ino = answered_ino (wire);
  remove_name (wire, FUSE_ROOT_ID, "x");
  assert_int_equal (count_pins (wire, ino), 1);
}

/* What is open without a name can be read as long as it is pinned, and no longer. */
static void
test_a_pin_keeps_a_value_readable (void **state)
{
  Wire *wire = *state;
  LeaseCaller by = as_root ();
  struct fuse_read_in arguments = { .size = 100 };
  fuse_ino_t ino = pin_x (wire, 1);

  assert_ok (lease_engine_write (wire->context.engine, &by, fs_id (ino), 0, "hello", 5));
  remove_name (wire, FUSE_ROOT_ID, "x");
  assert_ok (ask (wire, FUSE_READ, ino, &arguments, sizeof arguments, NULL));
  assert_int_equal (wire->answer->len, 5);
  assert_memory_equal (wire->answer->data, "hello", 5);
  forget (wire, ino, 1);
  assert_int_equal (ask (wire, FUSE_READ, ino, &arguments, sizeof arguments, NULL), -ESTALE);
  assert_true (is_usage_as_noted (wire));
}

/* The text of `.metrics` under that number, which the caller frees; NULL if there is none. */
static char *
read_metrics (Wire *wire, fuse_ino_t ino)
{
  struct fuse_read_in arguments = { .size = 65536 };
  int error = ask (wire, FUSE_READ, ino, &arguments, sizeof arguments, NULL);

  assert_true (error == 0 || error == -ESTALE);
  return error == 0 ? g_strndup ((const char *)wire->answer->data, wire->answer->len) : NULL;
}

static fuse_ino_t
look_up_metrics (Wire *wire)
{
  assert_ok (ask_lookup (wire, leases (wire), LEASE_METRICS_NAME));
  return answered_ino (wire);
}

static void
test_metrics_are_a_file_of_their_own_each_time (void **state)
{
  Wire *wire = *state;
  fuse_ino_t one = look_up_metrics (wire), other = look_up_metrics (wire);
  g_autofree char *text = read_metrics (wire, one), *other_text = read_metrics (wire, other);
  g_autofree char *again = read_metrics (wire, one);

  assert_true (one != other);
  assert_string_equal (text, again);
  assert_string_not_equal (text, other_text); /* that tells of one look-up more */
  assert_ok (ask_lookup (wire, one, "."));
  assert_int_equal (answered_ino (wire), one);
  forget (wire, one, 2);
  assert_null (read_metrics (wire, one));
  g_autofree char *still = read_metrics (wire, other);
  assert_string_equal (still, other_text);
  assert_int_equal (ask_lookup (wire, FUSE_ROOT_ID, LEASE_METRICS_NAME), 0);
  assert_int_equal (answered_ino (wire), 0);
}

static void
test_metrics_that_do_not_arrive_are_dropped (void **state)
{
  Wire *wire = *state;
  fuse_ino_t one = look_up_metrics (wire);

  refuse_next (wire, ENOENT);
  assert_int_equal (ask_lookup (wire, leases (wire), LEASE_METRICS_NAME), NO_ANSWER);
  assert_null (read_metrics (wire, fs_ino (fs_id (one) + 1, LEASE_FILE_METRICS)));
}

/* Whoever never lets go of any must not take all memory. */
static void
test_metrics_that_nobody_forgets_are_bounded (void **state)
{
  Wire *wire = *state;
  fuse_ino_t first = look_up_metrics (wire), last = 0;

  for (unsigned i = 0; i < 2000; i++)
    last = look_up_metrics (wire);
  assert_null (read_metrics (wire, first));
  g_autofree char *text = read_metrics (wire, last);
  assert_non_null (text);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    wire_test (test_an_answer_that_arrives_pins_once),
    wire_test (test_an_answer_that_is_refused_pins_nothing),
    wire_test (test_after_a_refusal_counting_goes_on),
    wire_test (test_when_every_answer_is_refused_nothing_stays_pinned),
    wire_test (test_an_error_pins_nothing),
    wire_test (test_a_name_that_is_absent_pins_nothing),
    wire_test (test_pseudo_files_are_not_counted),
    wire_test (test_the_end_of_a_lease_changes_no_count),
    wire_test (test_a_listing_pins_each_entry_once),
    wire_test (test_a_listing_that_is_refused_pins_nothing),
    wire_test (test_a_listing_without_attributes_pins_nothing),
    wire_test (test_what_is_no_directory_lists_nothing),
    wire_test (test_interrupts_change_no_count),
    wire_test (test_only_the_right_count_frees),
    wire_test (test_a_batch_frees_each),
    wire_test (test_what_has_a_name_stays_though_forgotten),
    wire_test (test_forgetting_too_much_does_no_harm),
    wire_test (test_forgetting_what_was_never_handed_out_does_no_harm),
    wire_test (test_the_root_stays_however_often_it_is_forgotten),
    wire_test (test_a_pin_keeps_a_value_readable),
    wire_test (test_metrics_are_a_file_of_their_own_each_time),
    wire_test (test_metrics_that_do_not_arrive_are_dropped),
    wire_test (test_metrics_that_nobody_forgets_are_bounded),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
