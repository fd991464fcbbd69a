/* SPDX-License-Identifier: MIT */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the tests through system calls share: assertions on calls, and small steps that must
 * succeed. A step that fails fails the case. */

/* The call must succeed, or fail with `error`. The value is what the call returned. */
#define assert_ok(call) calls_expect_ok ((call), #call, __FILE__, __LINE__)
#define assert_fails(error, call) calls_expect_error ((error), (call), #call, __FILE__, __LINE__)

/* The call must fail with one of the two. */
#define assert_fails_either(error, other, call)                                                    \
  calls_expect_either ((error), (other), (call), #call, __FILE__, __LINE__)

#define assert_text(path, text) calls_expect_text ((path), (text), __FILE__, __LINE__)

long long calls_expect_ok (long long result, const char *call, const char *file, int line);
void calls_expect_error (int error, long long result, const char *call, const char *file, int line);
void calls_expect_either (int error, int other, long long result, const char *call,
                          const char *file, int line);
void calls_expect_text (const char *path, const char *text, const char *file, int line);

/* Cases run in `root`, which holds nothing but perhaps `leases/`: exits if it holds more, or if
 * this is not the superuser. */
void calls_begin (const char *root);

/* Before and after a case: an empty directory of its own as working directory, or the root; then
 * all is removed again, leases too. */
int calls_setup (void **state);
int calls_setup_in_root (void **state);
int calls_teardown (void **state);

#define CASE(function)                                                                             \
  {                                                                                                \
#function, function, calls_setup, calls_teardown, NULL                                         \
  }
#define CASE_IN_ROOT(function)                                                                     \
  {                                                                                                \
#function, function, calls_setup_in_root, calls_teardown, NULL                                 \
  }

/* A new file, or an old one with a new value. */
void calls_put (const char *path, const char *text);

/* One write(2) to what is there already. */
void calls_write (const char *path, const char *text);

/* The value; as a string in new memory. */
char *calls_text (const char *path);

int calls_open (const char *path, int flags);
struct stat calls_stat (const char *path); /* does not follow symlinks */
struct stat calls_fstat (int fd);
bool calls_exists (const char *path);

/* Exactly `size` bytes, at `offset`. */
void calls_pread (int fd, void *bytes, size_t size, off_t offset);
void calls_pwrite (int fd, const void *bytes, size_t size, off_t offset);

/* What is read from `fd` next comes from the file system, where the kernel had it cached. */
void calls_drop_cache (int fd);

/* CLOCK_BOOTTIME. */
int64_t calls_now (void);
void calls_wait_until (int64_t when);
