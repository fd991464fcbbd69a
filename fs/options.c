/* SPDX-License-Identifier: MIT */

/* The command line, read with libfuse's own parser, so that -o works as for any FUSE file system.
 */

#include "fs/options.h"

#include "fs/quota.h"
#include "leases/ttl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char fs_options_usage[] =
    "usage: leasefs [SOURCE] MOUNTPOINT [-o OPTION,...] [-f] [-d] [-s]\n"
    "\n"
    "Mounts a file system whose files can be attached to leases: MOUNTPOINT/leases/ID/ttl.\n"
    "SOURCE is where that is kept: 'none' (the default), which is memory, or the path of a state "
    "file,\n"
    "made if need be, which survives restarts, crashes and power cuts.\n"
    "\n"
    "  -f  stay in the foreground, with the log on stderr\n"
    "  -d  log every request to stderr (implies -f)\n"
    "  -s  serve with a single thread\n"
    "  -h  print this text\n"
    "  -V  print the version\n"
    "\n"
    "  -o min_ttl=SECONDS   raise shorter TTLs to this one (default: none is raised)\n"
    "  -o size=BYTES        memory to use, with k, m, g or % (of the RAM) (default: 50%)\n"
    "  -o nr_inodes=COUNT   files and directories (default: half as many as the RAM has pages)\n"
    "  -o max_leases=COUNT  leases (default: no limit; 0 means that for all three)\n"
    "  -o mode=OCTAL        permissions of a new root directory (default: 1777)\n"
    "  -o uid=UID, gid=GID  its owner and group, and those of leases/ (default: yours)\n"
    "  -o xattr             extended attributes, which make puts slower (default: noxattr)\n"
    "  -o allow_other       let other users in\n"
    "  -o fsname=NAME, ...  FUSE's and mount's own options: see fuse(8)\n";

#define CHOICE(text, field, value)                                                                 \
  {                                                                                                \
    text, offsetof (FsOptions, field), value                                                       \
  }

#define OPTION(text, field) CHOICE (text, field, 1)

#define SETTING(name, field)                                                                       \
  {                                                                                                \
    name "=%s", offsetof (FsOptions, field), 0                                                     \
  }

/* Sanitizers keep freed memory, and much of their own: it says nothing then. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define MEMORY NULL
#else
#define MEMORY fs_quota_memory
#endif

enum { KEY_NOATIME, KEY_NODIRATIME };

static const struct fuse_opt option_table[] = {
  OPTION ("-h", help),
  OPTION ("--help", help),
  OPTION ("-V", version),
  OPTION ("--version", version),
  OPTION ("-f", foreground),
  OPTION ("-d", debug),
  OPTION ("debug", debug),
  OPTION ("-s", single_thread),
  CHOICE ("xattr", xattr, 1),
  CHOICE ("noxattr", xattr, 0),
  SETTING ("min_ttl", min_ttl),
  SETTING ("size", size),
  SETTING ("nr_inodes", nr_inodes),
  SETTING ("max_leases", max_leases),
  SETTING ("mode", mode),
  SETTING ("uid", uid),
  SETTING ("gid", gid),
  FUSE_OPT_KEY ("noatime", KEY_NOATIME),
  FUSE_OPT_KEY ("nodiratime", KEY_NODIRATIME),
  FUSE_OPT_KEY ("relatime", FUSE_OPT_KEY_DISCARD), /* the default, and libfuse does not know it */
  FUSE_OPT_END,
};

/* What fuse_opt_parse() wants to hear about an argument. */
enum { OPTION_ERROR = -1, OPTION_TAKEN = 0, OPTION_KEEP = 1 };

/* Collects the arguments that are no options: the last is the mountpoint, one before it the source.
 * Of what goes to the kernel, notes what we have to do ourselves. */
static int
on_argument (void *data, const char *argument, int key, struct fuse_args *rest)
{
  FsOptions *options = data;

  if (key == KEY_NOATIME)
    options->config.noatime = true;
  if (key == KEY_NODIRATIME)
    options->config.nodiratime = true;
  if (key != FUSE_OPT_KEY_NONOPT)
    return OPTION_KEEP;
  if (options->source != NULL)
    return OPTION_ERROR;
  options->source = options->mountpoint;
  options->mountpoint = g_strdup (argument);
  return OPTION_TAKEN;
}

static bool
parse_min_ttl (const char *text, LeaseEngineConfig *config)
{
  config->min_ttl_ns = 0;
  return strcmp (text, "0") == 0 || lease_ttl_parse (text, strlen (text), &config->min_ttl_ns) == 0;
}

static bool
parse_size (const char *text, LeaseEngineConfig *config)
{
  return fs_quota_parse_size (text, &config->max_bytes);
}

static bool
parse_nr_inodes (const char *text, LeaseEngineConfig *config)
{
  return fs_quota_parse_count (text, &config->max_nodes);
}

static bool
parse_max_leases (const char *text, LeaseEngineConfig *config)
{
  return fs_quota_parse_count (text, &config->max_leases);
}

static bool
parse_mode (const char *text, LeaseEngineConfig *config)
{
  char *end;
  unsigned long mode = strtoul (text, &end, 8);

  config->root_mode = mode;
  return g_ascii_isdigit (text[0]) && *end == '\0' && mode <= 07777;
}

/* The last number of 32 bits stands for "none" in chown(2). */
static bool
parse_id (const char *text, uint32_t *id)
{
  uint64_t number;

  if (!g_ascii_string_to_unsigned (text, 10, 0, UINT32_MAX - 1, &number, NULL))
    return false;
  *id = number;
  return true;
}

static bool
parse_uid (const char *text, LeaseEngineConfig *config)
{
  return parse_id (text, &config->uid);
}

static bool
parse_gid (const char *text, LeaseEngineConfig *config)
{
  return parse_id (text, &config->gid);
}

static const struct {
  const char *name;
  size_t field; /* in FsOptions, a char * */
  bool (*parse) (const char *text, LeaseEngineConfig *config);
  const char *advice;
} settings[] = {
  { "min_ttl", offsetof (FsOptions, min_ttl), parse_min_ttl,
    "give a number of seconds, as in -o min_ttl=0.5" },
  { "size", offsetof (FsOptions, size), parse_size,
    "give a number of bytes, with k, m, g or % behind it if wanted, as in -o size=512m" },
  { "nr_inodes", offsetof (FsOptions, nr_inodes), parse_nr_inodes,
    "give a whole number, with k, m or g behind it if wanted, as in -o nr_inodes=100k" },
  { "max_leases", offsetof (FsOptions, max_leases), parse_max_leases,
    "give a whole number, with k, m or g behind it if wanted, as in -o max_leases=10k" },
  { "mode", offsetof (FsOptions, mode), parse_mode,
    "give permissions as an octal number, as in -o mode=1777" },
  { "uid", offsetof (FsOptions, uid), parse_uid, "give the number of a user, as in -o uid=1000" },
  { "gid", offsetof (FsOptions, gid), parse_gid, "give the number of a group, as in -o gid=1000" },
};

static bool
parse_settings (FsOptions *options, GError **error)
{
  for (unsigned i = 0; i < G_N_ELEMENTS (settings); i++) {
    const char *text = G_STRUCT_MEMBER (char *, options, settings[i].field);
    if (text == NULL || settings[i].parse (text, &options->config))
      continue;
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s=%s: %s", settings[i].name, text,
                 settings[i].advice);
    return false;
  }
  return true;
}

/* For libfuse, which takes a comma for the end of an option. */
static char *
escape (const char *text)
{
  GString *escaped = g_string_new (NULL);

  for (; *text != '\0'; text++) {
    if (*text == ',' || *text == '\\')
      g_string_append_c (escaped, '\\');
    g_string_append_c (escaped, *text);
  }
  return g_string_free (escaped, FALSE);
}

/* What libfuse is to hear besides what the user said. A user's own fsname comes later on the line,
 * and wins. */
static void
add_session_args (FsOptions *options)
{
  g_autofree char *source = escape (options->source);
  g_autofree char *fixed =
      g_strdup_printf ("-odefault_permissions,subtype=leasefs,fsname=%s", source);

  fuse_opt_insert_arg (&options->session_args, 1, fixed);
  if (options->debug)
    fuse_opt_add_arg (&options->session_args, "-odebug");
}

/* libfuse's parser has put them together. */
static char *
find_passed_on (const struct fuse_args *args)
{
  for (int i = 1; i + 1 < args->argc; i++)
    if (strcmp (args->argv[i], "-o") == 0)
      return g_strdup (args->argv[i + 1]);
  return NULL;
}

bool
fs_options_parse (FsOptions *options, int argc, char **argv, GError **error)
{
  *options = (FsOptions){
    .session_args = FUSE_ARGS_INIT (argc, argv),
    .config = {
      .max_bytes = fs_quota_default_size (),
      .max_nodes = fs_quota_default_count (),
      .max_leases = FS_QUOTA_NONE,
      .memory = MEMORY,
      .memory_slack = FS_QUOTA_MEMORY_SLACK,
      .root_mode = S_ISVTX | 0777,
      .uid = getuid (),
      .gid = getgid (),
    },
  };
  if (fuse_opt_parse (&options->session_args, options, option_table, on_argument) != 0) {
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                 "bad command line; see 'leasefs -h' for what it takes");
    return false;
  }
  if (options->help || options->version)
    return true;
  if (options->mountpoint == NULL) {
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                 "no mountpoint given; say where to mount, as in 'leasefs /mnt/keys'");
    return false;
  }
  if (!parse_settings (options, error))
    return false;
  if (options->source == NULL)
    options->source = g_strdup ("none");
  options->passed_on = find_passed_on (&options->session_args);
  add_session_args (options);
  return true;
}

/* 0 stands for no limit. */
static uint64_t
limit_of (uint64_t max)
{
  return max == FS_QUOTA_NONE ? 0 : max;
}

static void
append_given (GString *text, const char *name, const char *value)
{
  if (value != NULL)
    g_string_append_printf (text, ",%s=%s", name, value);
}

char *
fs_options_describe (const FsOptions *options)
{
  const LeaseEngineConfig *config = &options->config;
  GString *text = g_string_new (NULL);
  char min_ttl[LEASE_TTL_TEXT_SIZE];

  lease_ttl_format (config->min_ttl_ns, min_ttl);
  g_string_append_printf (text,
                          "min_ttl=%s,size=%" G_GUINT64_FORMAT ",nr_inodes=%" G_GUINT64_FORMAT
                          ",max_leases=%" G_GUINT64_FORMAT,
                          min_ttl, limit_of (config->max_bytes), limit_of (config->max_nodes),
                          limit_of (config->max_leases));
  append_given (text, "mode", options->mode);
  append_given (text, "uid", options->uid);
  append_given (text, "gid", options->gid);
  if (options->xattr)
    g_string_append (text, ",xattr");
  if (options->passed_on != NULL)
    g_string_append_printf (text, ",%s", options->passed_on);
  return g_string_free (text, FALSE);
}

void
fs_options_clear (FsOptions *options)
{
  g_clear_pointer (&options->source, g_free);
  g_clear_pointer (&options->mountpoint, g_free);
  g_clear_pointer (&options->passed_on, g_free);
  for (unsigned i = 0; i < G_N_ELEMENTS (settings); i++)
    g_clear_pointer (&G_STRUCT_MEMBER (char *, options, settings[i].field), free);
  fuse_opt_free_args (&options->session_args);
}
