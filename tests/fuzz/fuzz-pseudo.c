/* SPDX-License-Identifier: MIT */

/* The pseudo-files: the input is a sequence of writes, stats and reads of `ttl`, `granted`,
 * `keys` and `procs` of three leases, the third of which is only reserved. What must hold:
 *
 *   - a write returns 0 or an error that the README names;
 *   - one that fails, and a first part of one, changes nothing of any lease;
 *   - a lease that a first part and its rest were written to is as if both had come in one piece;
 *   - a read gives what the last stat has measured, and one that is not to read measures the same;
 *   - from its deadline on a lease is stale.
 */

#include "fs/pseudo.h"
#include "leases/procs.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LEASES 3
#define STEPS_MAX 300

/* Two of these are more than one command may have. */
#define LARGE (300 * 1024)

typedef struct {
  FuzzBytes bytes;
  LeaseEngine *engine;
  FsHolders *holders;
  FsPseudo *pseudo;
  LeaseCaller by;
  uint64_t leases[LEASES];
  off_t measured[LEASES][LEASE_FILE_LAST + 1]; /* by the last stat; -1: none */
} Fuzz;

/* What there is. */

static uint64_t
make (Fuzz *fuzz, uint64_t parent, const char *name, mode_t mode)
{
  LeaseNew what = { .mode = mode, .target = S_ISLNK (mode) ? "d" : NULL };
  LeaseAttr attr;

  fuzz_assert (lease_engine_create (fuzz->engine, &fuzz->by, parent, name, &what, &attr) == 0);
  return attr.id;
}

static void
begin (Fuzz *fuzz, unsigned way)
{
  LeaseEngineConfig config = {
    .min_ttl_ns = way & 1 ? LEASE_SECOND : 0,
    .max_bytes = 1 << 20,
    .max_nodes = 100,
    .max_leases = 100,
    .root_mode = 01777,
  };

  fuzz->by.now = 1000 * LEASE_SECOND;
  fuzz->by.wall_ns = 1700000000 * LEASE_SECOND;
  fuzz->engine =
      lease_engine_new (&config, lease_journal_memory_new (), &fuzz->by, NULL, NULL, NULL);
  fuzz->holders = fs_holders_new (fuzz->engine, NULL);
  fuzz->pseudo = fs_pseudo_new (fuzz->engine, fuzz->holders);
  memset (fuzz->measured, -1, sizeof fuzz->measured);

  uint64_t directory = make (fuzz, LEASE_ROOT, "d", S_IFDIR | 0755);
  make (fuzz, directory, "x", S_IFREG | 0644);
  make (fuzz, LEASE_ROOT, "link", S_IFLNK | 0777);
  make (fuzz, LEASE_ROOT, "-new\nline\\", S_IFREG | 0644);
  make (fuzz, LEASE_ROOT, "a", S_IFREG | 0644);
  fuzz->by.uid = 1;
  make (fuzz, LEASE_ROOT, "b", S_IFREG | 0644);
  fuzz->by.uid = 0;
  for (unsigned i = 0; i < LEASES; i++)
    fuzz->leases[i] =
        make (fuzz, LEASE_ROOT + 1, ((const char *[]){ "P", "Q", "R" })[i], S_IFDIR | 0755);
  for (unsigned i = 0; i < LEASES - 1; i++)
    fuzz_assert (
        lease_engine_grant (fuzz->engine, &fuzz->by, fuzz->leases[i], 100 * LEASE_SECOND) == 0);
  make (fuzz, fuzz->leases[0], "own", S_IFREG | 0644);
}

/* Everything about the leases that a write could change, as text. */

static void
look_at (Fuzz *fuzz, uint64_t id, GString *text)
{
  g_autoptr (GByteArray) paths = NULL;
  g_autoptr (GArray) pids = NULL;
  uint64_t generation;
  LeaseInfo info;
  int error = lease_engine_info (fuzz->engine, &fuzz->by, id, &info);

  if (error != 0) {
    fuzz_assert (error == -ESTALE);
    g_string_append (text, "gone\n");
    return;
  }
  fuzz_assert (lease_engine_keys (fuzz->engine, &fuzz->by, id, SIZE_MAX / 2, &paths, &generation) ==
               0);
  fuzz_assert (fs_holders_list (fuzz->holders, &fuzz->by, id, &pids) == 0);
  fuzz_assert (pids->len == 0 || info.left_ns == info.granted_ns);
  g_string_append_printf (text, "%" G_GINT64_FORMAT " %" G_GINT64_FORMAT, info.granted_ns,
                          info.left_ns);
  for (LeaseFile file = 1; file <= LEASE_FILE_LAST; file++)
    g_string_append_printf (text, " %o", info.modes[file]);
  for (unsigned i = 0; i < pids->len; i++)
    g_string_append_printf (text, " %d", g_array_index (pids, pid_t, i));
  for (unsigned i = 0; i < paths->len; i += strlen ((char *)paths->data + i) + 1)
    g_string_append_printf (text, " '%s'", (char *)paths->data + i);
  g_string_append_c (text, '\n');
}

/* What is to be seen of the leases, and what is used. */
typedef struct {
  char *text;
  LeaseUsage usage;
} View;

static View
look (Fuzz *fuzz)
{
  GString *text = g_string_new (NULL);
  View view;

  for (unsigned i = 0; i < LEASES; i++)
    look_at (fuzz, fuzz->leases[i], text);
  lease_engine_usage (fuzz->engine, &view.usage);
  view.text = g_string_free (text, FALSE);
  return view;
}

static void
clear_view (View *view)
{
  g_free (view->text);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (View, clear_view)

/* Whoever finds on the way that something has ended makes room. */
static void
check_same (const View *before, Fuzz *fuzz, const char *what)
{
  g_auto (View) after = look (fuzz);

  if (strcmp (before->text, after.text) != 0)
    fuzz_fail ("%s changed the leases, from\n%sto\n%s", what, before->text, after.text);
  fuzz_assert (after.usage.bytes_used <= before->usage.bytes_used);
  fuzz_assert (after.usage.nodes_used <= before->usage.nodes_used);
}

/* Operands. */

static LeaseFile
take_file (Fuzz *fuzz, unsigned *lease_out)
{
  unsigned i = fuzz_byte (&fuzz->bytes);

  *lease_out = i % LEASES;
  return LEASE_FILE_TTL + i / LEASES % LEASE_FILE_LAST;
}

static void
append_many (GString *text, char c, size_t count)
{
  size_t len = text->len;

  g_string_set_size (text, len + count);
  memset (text->str + len, c, count);
}

/* Commands in pieces, so that they come together to something that means anything, or bytes as they
 * are. */
static GString *
take_text (Fuzz *fuzz)
{
  static const char *const pieces[] = {
    "a\n",
    "b\n",
    "d/x\n",
    "d\n",
    "-",
    "\n",
    "-a\n",
    "100",
    "0.5",
    "\n",
    "5",
    ".",
    " ",
    "leases/P\n",
    "/",
    "leases/P/own",
    "leases/P/ttl",
    "link\n",
    "d",
    "/x\n",
    "./-new\\012line\\134\n",
    "\\",
    "\\012",
    "9000000000",
    "link/x\n",
    "../",
    "nothing\n",
    "a",
    "-5\n",
    "0\n",
    "-0\n",
    "7\n",
  };
  GString *text = g_string_new (NULL);

  for (unsigned i = fuzz_byte (&fuzz->bytes) % 16; i > 0; i--) {
    unsigned which = fuzz_byte (&fuzz->bytes);
    if (which < G_N_ELEMENTS (pieces))
      g_string_append (text, pieces[which]);
    else if (which >= 0xfe && text->len < 3 * LARGE)
      append_many (text, which == 0xff ? '\n' : 'a', which == 0xff ? LARGE : 1000);
    else
      g_string_append_c (text, fuzz_byte (&fuzz->bytes));
  }
  return text;
}

/* The operations. */

static bool
is_documented (LeaseFile file, int error)
{
  switch (-error) {
  case 0:
  case ESTALE:
  case EINVAL:
  case EMSGSIZE:
  case EAGAIN: /* the caller's groups are wanted */
    return true;
  case ERANGE:
    return file == LEASE_FILE_TTL;
  case EPERM:
    return file != LEASE_FILE_TTL;
  case ESRCH:
  case ENOSPC:
    return file == LEASE_FILE_PROCS;
  case ENOENT:
  case ENOTDIR:
  case ELOOP:
  case ENAMETOOLONG:
  case EACCES:
    return file == LEASE_FILE_KEYS;
  default:
    return false;
  }
}

/* One request. Returns what it returned. */
static int
write_checked (Fuzz *fuzz, unsigned lease, LeaseFile file, const FsPseudoWrite *write)
{
  size_t page = sysconf (_SC_PAGESIZE);
  g_auto (View) before = look (fuzz);
  char *text = fuzz_copy (write->text, write->size);
  FsPseudoWrite exact = *write;
  bool is_first_part = write->size > 0 && write->offset % page != 0 && write->size < page &&
                       (write->offset + write->size) % page == 0 &&
                       write->text[write->size - 1] != '\n' && file != LEASE_FILE_GRANTED;

  exact.text = text;
  int error = fs_pseudo_command (fuzz->pseudo, &fuzz->by, fuzz->leases[lease], file, &exact);
  free (text);
  fuzz_trace ("write to %c/%s by %d at %ld, %zu bytes '%.*s': %s\n", 'P' + lease,
              lease_file_name (file), write->writer, (long)write->offset, write->size,
              (int)MIN (write->size, 200), write->text, g_strerror (-error));
  fuzz_assert (is_documented (file, error));
  fuzz_assert (!is_first_part || error == 0 || error == -ESTALE);
  if (error != 0 || is_first_part)
    check_same (&before, fuzz, error != 0 ? "a failed write" : "a first part");
  return error;
}

static void
do_write (Fuzz *fuzz)
{
  static const off_t offsets[] = { 0, 1, 4095, 4096, 8192, 100 };
  unsigned lease, way;
  LeaseFile file = take_file (fuzz, &lease);
  FsPseudoWrite write = { .writer = 1 + fuzz_byte (&fuzz->bytes) % 2 };

  way = fuzz_byte (&fuzz->bytes);
  g_autoptr (GString) text = take_text (fuzz);
  write.text = text->str;
  write.size = text->len;
  write.offset = offsets[way % G_N_ELEMENTS (offsets)];
  if ((way & 0x80) && text->len < 4096)
    write.offset = 8192 - text->len;
  write_checked (fuzz, lease, file, &write);
}

/* A command that the kernel has cut at the end of a page: both parts come, one after the other. */
static void
do_cut_write (Fuzz *fuzz)
{
  unsigned lease;
  LeaseFile file = take_file (fuzz, &lease);
  g_autoptr (GString) text = take_text (fuzz);
  size_t cut = text->len == 0 ? 0 : fuzz_byte (&fuzz->bytes) % text->len;
  FsPseudoWrite first = { 3, 0, 4096 - (off_t)cut, text->str, cut };
  FsPseudoWrite rest = { 3, 0, 4096, text->str + cut, text->len - cut };

  if (cut == 0 || text->str[cut - 1] == '\n' || file == LEASE_FILE_GRANTED)
    return;
  if (write_checked (fuzz, lease, file, &first) != 0)
    return;
  int error = write_checked (fuzz, lease, file, &rest);
  g_auto (View) after = look (fuzz);
  FsPseudoWrite whole = { 3, 0, 0, text->str, text->len };
  int whole_error = write_checked (fuzz, lease, file, &whole);
  /* A second time it does what it did before, unless that was to detach. */
  if (error != 0)
    fuzz_assert (whole_error == error);
  else if (whole_error == 0)
    check_same (&after, fuzz, "the same command in one piece");
  else
    fuzz_assert (whole_error == (file == LEASE_FILE_PROCS ? -ESRCH : -EINVAL) &&
                 strchr (text->str, '-') != NULL);
}

static void
do_stat (Fuzz *fuzz)
{
  unsigned lease;
  LeaseFile file = take_file (fuzz, &lease);
  LeaseTime fresh_until = 0;
  struct stat st, plain;
  uint64_t id = fuzz->leases[lease];
  int plain_error = fs_pseudo_stat (fuzz->pseudo, &fuzz->by, id, file, false, &plain, NULL);
  int error = fs_pseudo_stat (fuzz->pseudo, &fuzz->by, id, file, true, &st, &fresh_until);

  fuzz_trace ("stat %c/%s: %s\n", 'P' + lease, lease_file_name (file), g_strerror (-error));
  fuzz_assert (error == plain_error && (error == 0 || error == -ESTALE));
  if (error != 0)
    return;
  fuzz_assert (st.st_size == plain.st_size);
  fuzz_assert (S_ISREG (st.st_mode) && fresh_until > fuzz->by.now);
  fuzz->measured[lease][file] = st.st_size;
}

/* What `keys` and `procs` show can be written to them. */
static void
check_text (LeaseFile file, const char *text, size_t size)
{
  g_autoptr (GArray) lines = NULL;

  fuzz_assert (size == 0 || text[size - 1] == '\n');
  if (file == LEASE_FILE_KEYS) {
    fuzz_assert (lease_keys_parse (text, size, &lines) == 0);
    return;
  }
  if (file == LEASE_FILE_PROCS) {
    fuzz_assert (lease_procs_parse (text, size, &lines) == 0);
    return;
  }
  fuzz_assert (size >= 2);
  for (size_t i = 0; i < size - 1; i++)
    fuzz_assert (g_ascii_isdigit (text[i]) || (file == LEASE_FILE_GRANTED && text[i] == '.'));
}

static void
do_read (Fuzz *fuzz)
{
  unsigned lease;
  LeaseFile file = take_file (fuzz, &lease);
  g_autoptr (GBytes) text = NULL;
  size_t size;
  int error = fs_pseudo_text (fuzz->pseudo, &fuzz->by, fuzz->leases[lease], file, &text);

  fuzz_trace ("read %c/%s: %s\n", 'P' + lease, lease_file_name (file), g_strerror (-error));
  fuzz_assert (error == 0 || error == -ESTALE);
  if (error != 0)
    return;
  const char *content = g_bytes_get_data (text, &size);
  if (fuzz->measured[lease][file] >= 0)
    fuzz_assert ((off_t)size == fuzz->measured[lease][file]);
  else
    fuzz->measured[lease][file] = size;
  check_text (file, content, size);
}

static void
do_setattr (Fuzz *fuzz)
{
  unsigned lease;
  LeaseFile file = take_file (fuzz, &lease);
  unsigned to_set = fuzz_word (&fuzz->bytes) & 0xfff;
  unsigned owner = fuzz_byte (&fuzz->bytes);
  struct stat st = { .st_mode = owner << 2, .st_uid = owner % 2, .st_gid = owner / 2 % 2 };
  g_auto (View) before = look (fuzz);
  int error = fs_pseudo_setattr (fuzz->pseudo, &fuzz->by, fuzz->leases[lease], file, &st, to_set);

  fuzz_trace ("setattr %c/%s %x: %s\n", 'P' + lease, lease_file_name (file), to_set,
              g_strerror (-error));
  fuzz_assert (error == 0 || error == -ESTALE || error == -EPERM || error == -EINVAL);
  if (error != 0)
    check_same (&before, fuzz, "a failed setattr");
}

static void
do_pass_time (Fuzz *fuzz)
{
  static const int64_t steps_ns[] = { 1, LEASE_SECOND / 4, LEASE_SECOND, 10 * LEASE_SECOND,
                                      60 * LEASE_SECOND };
  unsigned way = fuzz_byte (&fuzz->bytes);
  LeaseTime earliest = lease_engine_earliest (fuzz->engine);
  int64_t step_ns = steps_ns[way / 2 % G_N_ELEMENTS (steps_ns)];

  if ((way & 1) && earliest != LEASE_TIME_NEVER && earliest > fuzz->by.now)
    step_ns = earliest - fuzz->by.now - way / 2 % 2;
  step_ns = MIN (step_ns, LEASE_TIME_NEVER / 4 - fuzz->by.now);
  fuzz->by.now += step_ns;
  fuzz->by.wall_ns += step_ns;
  fuzz_trace ("now=%" G_GINT64_FORMAT "\n", fuzz->by.now);
}

static void
do_become (Fuzz *fuzz)
{
  fuzz->by.uid = fuzz_byte (&fuzz->bytes) % 3;
  fuzz_trace ("uid=%u\n", fuzz->by.uid);
}

static void (*const operations[]) (Fuzz *fuzz) = {
  do_write, do_cut_write, do_stat, do_read, do_setattr, do_pass_time, do_become, do_write,
};

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  Fuzz fuzz = { .bytes = { data, size } };

  fuzz_setup ();
  begin (&fuzz, fuzz_byte (&fuzz.bytes));
  for (unsigned i = 0; i < STEPS_MAX && fuzz.bytes.size > 0; i++) {
    operations[fuzz_below (&fuzz.bytes, G_N_ELEMENTS (operations))](&fuzz);
    lease_engine_check (fuzz.engine);
  }
  fs_pseudo_free (fuzz.pseudo);
  fs_holders_free (fuzz.holders);
  lease_engine_free (fuzz.engine);
  return 0;
}
