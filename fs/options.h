/* SPDX-License-Identifier: MIT */
#pragma once

#include "fs/context.h"

#include <glib.h>
#include <stdbool.h>

/* The command line: leasefs [SOURCE] MOUNTPOINT [-o OPTION,...] [-f] [-d] [-s] [-h] [-V] */
typedef struct {
  char *source;     /* "none" where it was left out */
  char *mountpoint; /* as given; NULL: none was */
  int foreground;
  int debug;
  int single_thread;
  int xattr;
  int help;
  int version;
  /* As given; NULL: it was not. */
  char *min_ttl, *size, *nr_inodes, *max_leases, *mode, *uid, *gid;
  LeaseEngineConfig config;      /* what follows from them */
  struct fuse_args session_args; /* what is left for libfuse */
  char *passed_on;               /* the -o options among that, with commas between them */
} FsOptions;

/* Reads the command line into `options`, which the caller clears in any case. With -h or -V nothing
 * else is looked at. False with `error` set, one line that says what to do, if something in it is
 * wrong; what libfuse does not know, fuse_session_new() finds. */
bool fs_options_parse (FsOptions *options, int argc, char **argv, GError **error);
void fs_options_clear (FsOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (FsOptions, fs_options_clear)

/* The options in force, as -o takes them: limits whether they were given or not. The caller frees
 * it. */
char *fs_options_describe (const FsOptions *options);

/* What -h prints. */
extern const char fs_options_usage[];
