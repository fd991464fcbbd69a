/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Limits as they are written on the command line: those of tmpfs, see tmpfs(5). */

/* No limit. */
#define FS_QUOTA_NONE UINT64_MAX

/* A number of bytes: a whole number, with k, m, g, t, p or e (powers of 1024) behind it if wanted,
 * or with % for so many hundredths of the RAM. 0 means no limit. False if it is anything else. */
bool fs_quota_parse_size (const char *text, uint64_t *bytes_out);

/* A number of things, in the same form but for the %. */
bool fs_quota_parse_count (const char *text, uint64_t *count_out);

/* What holds where nothing is said: half of the RAM, and as many files as half of its pages. */
uint64_t fs_quota_default_size (void);
uint64_t fs_quota_default_count (void);

/* The memory that this process has from the system now, in bytes. Any thread. */
uint64_t fs_quota_memory (void);

/* What it may have above the limit of its contents: the program, its threads and their buffers; a
 * `keys` of FS_PSEUDO_TEXT_MAX bytes being put together, three times over, with its index; and what
 * malloc() cannot use again. */
#define FS_QUOTA_MEMORY_SLACK (UINT64_C (192) << 20)
