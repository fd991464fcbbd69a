/* SPDX-License-Identifier: MIT */
#pragma once

#include "fs/options.h"

/* The lines of the log that tell the life of a mount. In systemd's journal they are found by these,
 * their MESSAGE_ID. */
#define FS_STORY_BEGIN_ID "df29c7bf7dfc42e0994b834f1af68e42"
#define FS_STORY_FOUND_ID "7dca6d394bd7447990bfb133e345c745"
#define FS_STORY_END_ID "21fee6fd99c943eca6553cdb0031a659"
#define FS_STORY_ENDED_ID "a27d32355c544b51ae34e8dd5e5103d9"

/* It has begun: `source` on `mountpoint`, by which program, and the options in force. */
void fs_story_begin (const char *source, const char *mountpoint, const FsOptions *options);

/* What was found in the state file `source`; `had_log`: with its log beside it. Reading it has
 * taken `us` microseconds. */
void fs_story_found (const char *source, const LeaseFound *found, bool had_log, int64_t us);

/* It is about to end: `signal` has come, or, if that is 0, the mount has gone; with `error`, an
 * errno, because nothing could be read from the kernel any more. */
void fs_story_end (const char *mountpoint, int signal, int error);

/* It has ended as it should. */
void fs_story_ended (const char *mountpoint);

/* Or it has, but the last of it, with what leases had left, could not be written to `source`: an
 * errno. */
void fs_story_cut_short (const char *source, int error);
