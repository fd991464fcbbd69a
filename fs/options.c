/* SPDX-License-Identifier: MIT */

/* The command line, read with libfuse's own parser, so that -o works as for any FUSE file system.
 */

#include "fs/options.h"

#include "leases/ttl.h"

#include <stdlib.h>
#include <string.h>

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
    "  -o allow_other       let other users in\n"
    "  -o fsname=NAME, ...  FUSE's and mount's own options: see fuse(8)\n";

#define OPTION(text, field)                                                                        \
  {                                                                                                \
    text, offsetof (FsOptions, field), 1                                                           \
  }

static const struct fuse_opt option_table[] = {
  OPTION ("-h", help),
  OPTION ("--help", help),
  OPTION ("-V", version),
  OPTION ("--version", version),
  OPTION ("-f", foreground),
  OPTION ("-d", debug),
  OPTION ("debug", debug),
  OPTION ("-s", single_thread),
  OPTION ("min_ttl=%s", min_ttl),
  FUSE_OPT_END,
};

/* What fuse_opt_parse() wants to hear about an argument. */
enum { OPTION_ERROR = -1, OPTION_TAKEN = 0, OPTION_KEEP = 1 };

/* Collects the arguments that are no options: the last is the mountpoint, one before it the source.
 */
static int
on_argument (void *data, const char *argument, int key, struct fuse_args *rest)
{
  FsOptions *options = data;

  if (key != FUSE_OPT_KEY_NONOPT)
    return OPTION_KEEP;
  if (options->source != NULL)
    return OPTION_ERROR;
  options->source = options->mountpoint;
  options->mountpoint = g_strdup (argument);
  return OPTION_TAKEN;
}

static bool
parse_min_ttl (FsOptions *options, GError **error)
{
  if (options->min_ttl == NULL || strcmp (options->min_ttl, "0") == 0 ||
      lease_ttl_parse (options->min_ttl, strlen (options->min_ttl), &options->min_ttl_ns) == 0)
    return true;
  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
               "min_ttl=%s: give a number of seconds, as in -o min_ttl=0.5", options->min_ttl);
  return false;
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
  *options = (FsOptions){ .session_args = FUSE_ARGS_INIT (argc, argv) };
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
  if (!parse_min_ttl (options, error) || !check_source (options, error))
    return false;
  add_session_args (options);
  return true;
}

void
fs_options_clear (FsOptions *options)
{
  g_clear_pointer (&options->source, g_free);
  g_clear_pointer (&options->mountpoint, g_free);
  g_clear_pointer (&options->min_ttl, free);
  fuse_opt_free_args (&options->session_args);
}
