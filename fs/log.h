/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

/* The log: a line for each thing worth noting, wherever g_log_structured() and GLib's other
 * functions are called. With stderr connected to systemd's journal, lines go there with all their
 * fields; else, in the foreground, to stderr as plain text; else to systemd's journal if there is
 * one, and to syslog(3) if there is none. Debug messages go nowhere.
 *
 * Any thread may write to it but the reaper's, whose table of files lacks the sockets. */

/* Takes over GLib's log. Before other threads start; to be called once. */
void fs_log_open (void);

/* From now on this is a process in the background, which has nobody to read what it says. Before
 * other threads start. */
void fs_log_leave_stderr (void);

/* What it is all about, for the fields of every line from now on. Before other threads start. */
void fs_log_name (const char *source, const char *mountpoint);

/* The start has succeeded. Until then stderr has nothing but the one line of fs_log_fail(). */
void fs_log_begin (void);

/* The start has failed: `message` tells why, on stderr or, if that is the same, in systemd's
 * journal. */
void fs_log_fail (const char *message);
