/* SPDX-License-Identifier: MIT */
#pragma once

#include "leases/engine.h"
#include "tests/unit/journal-fake.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

/* An engine on a clock that only the test moves, with what it says recorded, and verbs that take
 * paths from the root ("" is the root) and check every invariant when they are done. At the end, an
 * engine is made from what its journal holds, and must show the same. A verb that
 * returns int returns what the engine did; the others fail the test if the engine refuses. Nothing
 * stays pinned but by fx_pin(). */

#define assert_ok(call) assert_int_equal (call, 0)
#define assert_fails(error, call) assert_int_equal (call, -(error))

#define MS LEASE_MILLISECOND
#define SECOND LEASE_SECOND

typedef struct {
  LeaseEvent event;
  uint64_t id;
} FixtureEvent;

typedef struct Fixture Fixture;
struct Fixture {
  LeaseEngineConfig config;
  Fake *fake;
  LeaseEngine *engine;
  LeaseCaller by; /* who asks with the next verb, and when; tests write to it */
  bool lazy;      /* what has come about by itself is written when the test says so, not at once */
  bool unchecked; /* the tree is too large to be checked after each verb */
  GArray *events; /* of FixtureEvent */
  GString *text;  /* what the last verb that returns text returned */

  /* Called with each event, or NULL. */
  void (*on_event) (Fixture *fx, LeaseEvent event, uint64_t id);
};

/* With the defaults where `config` is NULL: root, nearly no limits. Time begins at 1,000 s. */
Fixture *fx_new (const LeaseEngineConfig *config);
void fx_free (Fixture *fx);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Fixture, fx_free)
LeaseEngineConfig fx_config (void);

/* For cmocka: `*state` is a Fixture. */
int fx_setup (void **state);
int fx_teardown (void **state);
#define fx_test(f) cmocka_unit_test_setup_teardown (f, fx_setup, fx_teardown)

void fx_check (Fixture *fx);

/* What the journal holds makes an engine that shows the same, but for times: so would it after a
 * crash in this moment. */
void fx_check_journal (Fixture *fx);

/* Goes on with an engine made from what the journal holds: after a clean stop, or as if killed. */
void fx_restart (Fixture *fx, bool clean);
void fx_wait (Fixture *fx, int64_t ns);

/* How many there were since the last fx_forget_events(); `id` 0: of any node. */
unsigned fx_count_events (const Fixture *fx, LeaseEvent event, uint64_t id);
void fx_forget_events (Fixture *fx);

/* Names. fx_find() returns 0 where there is nothing, and fails on any other error than -ENOENT. */
int fx_stat (Fixture *fx, const char *path, LeaseAttr *attr_out);
uint64_t fx_find (Fixture *fx, const char *path);
uint64_t fx_pin (Fixture *fx, const char *path);
void fx_unpin (Fixture *fx, uint64_t id);
int fx_create (Fixture *fx, const char *path, mode_t mode, const char *target);
int fx_file (Fixture *fx, const char *path);
int fx_mkdir (Fixture *fx, const char *path);
int fx_symlink (Fixture *fx, const char *path, const char *target);
int fx_link (Fixture *fx, const char *path, const char *new_path);
int fx_unlink (Fixture *fx, const char *path);
int fx_rmdir (Fixture *fx, const char *path);
int fx_rename (Fixture *fx, const char *path, const char *new_path, unsigned flags);
const char *fx_list (Fixture *fx,
                     const char *path); /* names in their order, with blanks between them */

/* Nodes. */
int fx_getattr (Fixture *fx, uint64_t id);
int fx_set_attr (Fixture *fx, const char *path, LeaseSet set);
LeaseAttr fx_stat_of (Fixture *fx, const char *path);
int fx_write_at (Fixture *fx, const char *path, uint64_t offset, const char *data, size_t size);
int fx_touch (Fixture *fx, const char *path);
int fx_touch_id (Fixture *fx, uint64_t id);
int fx_write (Fixture *fx, uint64_t id, const char *text);
void fx_put (Fixture *fx, const char *path,
             const char *text); /* a new file, or from the start of one */
const char *fx_get (Fixture *fx, const char *path);
int64_t fx_mtime (Fixture *fx, const char *path);

/* Extended attributes; values are texts. */
int fx_set_xattr (Fixture *fx, const char *path, const char *name, const char *value, int flags);
int fx_get_xattr (Fixture *fx, const char *path, const char *name); /* the value: in `text` */
int fx_remove_xattr (Fixture *fx, const char *path, const char *name);
const char *fx_xattrs (Fixture *fx, const char *path); /* names, with blanks between them */

#define assert_xattr(fx, path, name, value)                                                        \
  do {                                                                                             \
    assert_ok (fx_get_xattr ((fx), (path), (name)));                                               \
    assert_string_equal ((fx)->text->str, (value));                                                \
  } while (0)

#define assert_lease(fx, path, lease) assert_xattr ((fx), (path), LEASE_XATTR_LEASE, (lease))
#define assert_no_lease(fx, path)                                                                  \
  assert_fails (ENODATA, fx_get_xattr ((fx), (path), LEASE_XATTR_LEASE))

/* Leases, by the name of their directory. */
void fx_lease (Fixture *fx, const char *lease, int64_t ttl_ns); /* reserved and granted */
void fx_key (Fixture *fx, const char *path, const char *lease); /* a new file, attached */
int fx_grant (Fixture *fx, const char *lease, int64_t ttl_ns);
int fx_refresh (Fixture *fx, const char *lease);
int fx_edit (Fixture *fx, const char *lease, const char *lines);
int fx_info (Fixture *fx, const char *lease, LeaseInfo *info_out);
int64_t fx_left (Fixture *fx, const char *lease);
const char *fx_keys (Fixture *fx, const char *lease); /* sorted, with blanks between them */

/* Expires and buries all that is due. Returns how many names that removed. */
unsigned fx_reap (Fixture *fx);
