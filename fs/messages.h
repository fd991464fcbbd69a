/* SPDX-License-Identifier: MIT */
#pragma once

/* What libfuse has to say. It writes to stderr, as it likes, in the middle of what we are doing,
 * and so does fusermount3, which it runs; a failure to start is to be one line. So their messages
 * are held back while starting, and the last of them becomes part of that line. */

/* Holds messages of libfuse back from now on. Before other threads start. */
void fs_messages_hold (void);

/* From here to fs_messages_restore() whatever is written to stderr, by other programs too, is held
 * back. While messages are. */
void fs_messages_divert (void);
void fs_messages_restore (void);

/* The last message held back, without its newline and the name of the program before it; "" if
 * there was none. Valid until the next message. */
const char *fs_messages_last (void);

/* Lets messages through again: what it has to say of requests (-d) to stderr, all else to the log.
 */
void fs_messages_release (void);
