/* SPDX-License-Identifier: MIT */
#pragma once

/* Going into the background in a way that tells the caller whether it worked. */

/* Forks. The parent does not return: it exits with status 0 once the child has called
 * fs_daemon_ready(), or else with the child's own status when it ends. The child returns, with
 * stderr still open for what goes wrong. Returns -1 if that was impossible, with errno set. Before
 * any thread is started. */
int fs_daemon_start (void);

/* In the child: all is well. Lets the parent go, and leaves the terminal. Does nothing without
 * fs_daemon_start(). */
void fs_daemon_ready (void);
