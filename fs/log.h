/* SPDX-License-Identifier: MIT */
#pragma once

/* What libfuse has to say. It writes to stderr, as it likes, in the middle of what we are doing; a
 * failure to start is to be one line. So its messages are held back while starting, and the last of
 * them becomes part of that line. */

/* Holds messages back from now on. Before other threads start. */
void fs_log_hold (void);

/* The last message held back, without its newline and its "fuse: "; "" if there was none. Valid
 * until the next message. */
const char *fs_log_last (void);

/* Lets messages through to stderr again. */
void fs_log_release (void);
