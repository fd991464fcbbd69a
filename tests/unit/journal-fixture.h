/* SPDX-License-Identifier: MIT */
#pragma once

#include "leases/journal-sqlite.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

/* State files in a directory of the test's own. */

#define assert_ok(call) assert_int_equal (call, 0)
#define commit_rows(journal, ...)                                                                  \
  lease_journal_commit (journal, (LeaseRow[]){ __VA_ARGS__ },                                      \
                        sizeof ((LeaseRow[]){ __VA_ARGS__ }) / sizeof (LeaseRow))

typedef struct {
  char *directory;
  char *path; /* state.db in it; there is no such file yet */
} Place;

/* For cmocka: `*state` is a Place. What goes to the log is counted and not shown. */
int place_setup (void **state);
int place_teardown (void **state);
#define place_test(f) cmocka_unit_test_setup_teardown (f, place_setup, place_teardown)
unsigned place_warnings (void);

/* The same with a disk that can fail: see tests/unit/shim-vfs.h. */
int shim_place_setup (void **state);
int shim_place_teardown (void **state);
#define shim_test(f) cmocka_unit_test_setup_teardown (f, shim_place_setup, shim_place_teardown)

/* The path of `name` in the directory; the caller frees it. */
char *place_path (const Place *place, const char *name);

/* Names and content of all that is in the directory, and modes; of an index of a log (-shm), which
 * is worth nothing, no content. Not while a journal of this process
 * is open in it: looking would drop its locks. */
char *place_content (const Place *place);

/* Opened, and, for the second one, loaded: what it holds is of no interest. They fail the test with
 * a message if that does not work. */
LeaseJournal *open_journal (const char *path);
LeaseJournal *open_loaded_journal (const char *path);

/* What it holds, as model_text() has it. */
char *journal_text_at (const char *path);

/* Opening or loading the file fails with one line that begins with its path and has `words` in
 * it. */
void assert_refused (const char *path, const char *words);

/* What is left, as that has it, after the cut that was made last; see shim_vfs_leave(). */
char *text_after_cut (const Place *place, double survival, GRand *random);

/* The file, with nobody having it open, is whole. */
void assert_integrity (const char *path);

/* Runs SQL on the file, as another program would. */
void run_sql (const char *path, const char *sql);

/* Runs `function` in a process of its own, which ends without closing anything. */
void in_child (void (*function) (void *data), void *data);

/* So many commits of a page or more make the log so large that it is emptied. */
#define PUTS_TO_EMPTY 8400

/* Rows */
LeaseRow node_row (uint64_t id, mode_t mode);
LeaseRow gone_row (uint64_t id);
LeaseRow name_row (uint64_t parent, const char *text, uint64_t id);
LeaseRow write_row (uint64_t id, uint64_t offset, const char *data, uint64_t size);
LeaseRow xattr_row (uint64_t id, const char *name, const char *value, size_t size);
LeaseRow truncate_row (uint64_t id, uint64_t offset);
LeaseRow size_row (uint64_t id, uint64_t size, int64_t mtime_ns);
