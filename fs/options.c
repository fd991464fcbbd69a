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
    "SOURCE is 'none' (the default): everything is kept in memory.\n"
    "\n"
    "  -f  stay in the foreground\n"
    "  -d  log every request to stderr (implies -f)\n"
    "  -s  serve with a single thread\n"
    "  -h  print this text\n"
    "  -V  print the version\n"
    "\n"
    "  -o min_ttl=SECONDS   raise shorter TTLs to this one (default: none is raised)\n"
    "  -o size=BYTES        memory to use, with k, m, g or % (of the RAM) (default: 50%)\n"
    "  -o nr_inodes=COUNT   files and directories (default: half as many as the RAM has pages)\n"
    "  -o max_leases=COUNT  leases (default: no limit; 0 means that for all three)\n"
    "  -o mode=OCTAL        permissions of the root directory (default: 1777)\n"
    "  -o uid=UID, gid=GID  its owner and group, and those of leases/ (default: yours)\n"
    "  -o allow_other       let other users in\n"
    "  -o fsname=NAME, ...  FUSE's and mount's own options: see fuse(8)\n";

#define OPTION(text, field)                                                                        \
  {                                                                                                \
    text, offsetof (FsOptions, field), 1                                                           \
  }

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

static bool
check_source (FsOptions *options, GError **error)
{
  if (options->source == NULL)
    options->source = g_strdup ("none");
  if (strcmp (options->source, "none") == 0)
    return true;
  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
               "%s: unknown SOURCE; leave it out, or give 'none', to keep everything in memory",
               options->source);
  return false;
}

/* What libfuse is to hear besides what the user said. A user's own fsname comes later on the line,
 * and wins. */
static void
add_session_args (FsOptions *options)
{
  g_autofree char *fixed =
      g_strdup_printf ("-odefault_permissions,subtype=leasefs,fsname=%s", options->source);

  fuse_opt_insert_arg (&options->session_args, 1, fixed);
  if (options->debug)
    fuse_opt_add_arg (&options->session_args, "-odebug");
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
  if (!parse_settings (options, error) || !check_source (options, error))
    return false;
  add_session_args (options);
  return true;
}

void
fs_options_clear (FsOptions *options)
{
  g_clear_pointer (&options->source, g_free);
  g_clear_pointer (&options->mountpoint, g_free);
  for (unsigned i = 0; i < G_N_ELEMENTS (settings); i++)
    g_clear_pointer (&G_STRUCT_MEMBER (char *, options, settings[i].field), free);
  fuse_opt_free_args (&options->session_args);
}
