/* SPDX-License-Identifier: MIT */

/* Every request is counted, once, as what it is. The kernel is played by the test: it hands one
 * request of each kind, about a node that does not exist, to a FUSE session that has the real
 * handlers. */

#include "fs/ops.h"
#include "fs/pseudo.h"
#include "fs/revoker.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/uio.h>

#define assert_ok(call) assert_int_equal (call, 0)

#define NO_NODE fs_ino (1000000, LEASE_FILE_NONE)

/* What asks for each operation. */
static const uint32_t opcodes[FS_REQUEST_COUNT] = {
  [FS_REQUEST_LOOKUP] = FUSE_LOOKUP,
  [FS_REQUEST_FORGET] = FUSE_FORGET,
  [FS_REQUEST_FORGET_MULTI] = FUSE_BATCH_FORGET,
  [FS_REQUEST_CREATE] = FUSE_CREATE,
  [FS_REQUEST_MKNOD] = FUSE_MKNOD,
  [FS_REQUEST_MKDIR] = FUSE_MKDIR,
  [FS_REQUEST_SYMLINK] = FUSE_SYMLINK,
  [FS_REQUEST_LINK] = FUSE_LINK,
  [FS_REQUEST_UNLINK] = FUSE_UNLINK,
  [FS_REQUEST_RMDIR] = FUSE_RMDIR,
  [FS_REQUEST_RENAME] = FUSE_RENAME2,
  [FS_REQUEST_OPEN] = FUSE_OPEN,
  [FS_REQUEST_READ] = FUSE_READ,
  [FS_REQUEST_WRITE] = FUSE_WRITE,
  [FS_REQUEST_FALLOCATE] = FUSE_FALLOCATE,
  [FS_REQUEST_LSEEK] = FUSE_LSEEK,
  [FS_REQUEST_COPY_FILE_RANGE] = FUSE_COPY_FILE_RANGE,
  [FS_REQUEST_READLINK] = FUSE_READLINK,
  [FS_REQUEST_FSYNC] = FUSE_FSYNC,
  [FS_REQUEST_FSYNCDIR] = FUSE_FSYNCDIR,
  [FS_REQUEST_OPENDIR] = FUSE_OPENDIR,
  [FS_REQUEST_READDIR] = FUSE_READDIR,
  [FS_REQUEST_READDIRPLUS] = FUSE_READDIRPLUS,
  [FS_REQUEST_GETATTR] = FUSE_GETATTR,
  [FS_REQUEST_SETATTR] = FUSE_SETATTR,
  [FS_REQUEST_STATFS] = FUSE_STATFS,
  [FS_REQUEST_GETXATTR] = FUSE_GETXATTR,
  [FS_REQUEST_SETXATTR] = FUSE_SETXATTR,
  [FS_REQUEST_LISTXATTR] = FUSE_LISTXATTR,
  [FS_REQUEST_REMOVEXATTR] = FUSE_REMOVEXATTR,
};

/* Answers are of no interest. */
static ssize_t
swallow_answer (int fd, struct iovec *iov, int count, void *data)
{
  return ((const struct fuse_out_header *)iov[0].iov_base)->len;
}

/* Requests are not read: they are handed over one by one. */
static ssize_t
read_request (int fd, void *buffer, size_t size, void *data)
{
  return 0;
}

/* What its arguments are does not matter: zeros, and so empty names. */
static void
ask (struct fuse_session *session, uint32_t opcode)
{
  struct {
    struct fuse_in_header header;
    union {
      struct fuse_init_in init;
      char zeros[256];
    };
  } request = { .header = { .opcode = opcode, .unique = 2, .nodeid = NO_NODE } };

  if (opcode == FUSE_INIT)
    request.init =
        (struct fuse_init_in){ .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION };
  request.header.len = sizeof request;
  fuse_session_process_buf (session, &(struct fuse_buf){ .mem = &request, .size = sizeof request });
}

static struct fuse_session *
begin (FsContext *context)
{
  static const LeaseEngineConfig config = { .max_bytes = UINT64_MAX,
                                            .max_nodes = UINT64_MAX,
                                            .max_leases = UINT64_MAX };
  static const struct fuse_custom_io io = { .writev = swallow_answer, .read = read_request };
  static char program[] = "test-requests";
  static char *argv[] = { program, NULL };
  struct fuse_args args = FUSE_ARGS_INIT (1, argv);
  LeaseCaller by = { .now = lease_clock_now () };

  context->engine = lease_engine_new (&config, lease_journal_memory_new (), &by, NULL, NULL, NULL);
  context->pseudo = fs_pseudo_new (context->engine, NULL);
  context->revoker = fs_revoker_new (context);
  struct fuse_session *session = fuse_session_new (&args, &fs_ops, sizeof fs_ops, context);
  assert_non_null (session);
  fuse_opt_free_args (&args);
  assert_ok (fuse_session_custom_io (session, &io, open ("/dev/null", O_RDWR | O_CLOEXEC)));
  ask (session, FUSE_INIT);
  return session;
}

static void
test_each_request_is_counted_once_as_what_it_is (void **state)
{
  FsContext context = { 0 };
  struct fuse_session *session = begin (&context);
  FsRequests expected = context.requests;

  for (FsRequest request = 0; request < FS_REQUEST_COUNT; request++) {
    assert_int_not_equal (opcodes[request], 0);
    for (unsigned i = 0; i <= request; i++)
      ask (session, opcodes[request]);
    expected.counts[request] += request + 1;
    assert_memory_equal (&context.requests, &expected, sizeof expected);
  }
  fs_revoker_stop (context.revoker);
  fuse_session_destroy (session);
  fs_revoker_free (context.revoker);
  fs_pseudo_free (context.pseudo);
  lease_engine_free (context.engine);
}

/* The table has no handler besides. It is one of pointers to functions only. */
static void
test_every_handler_is_in_the_list (void **state)
{
  const size_t size = sizeof (void (*) (void));
  const char *table = (const char *)&fs_ops;
  static const char none[sizeof (void (*) (void))];
  unsigned handlers = 0;

  for (size_t at = 0; at + size <= sizeof fs_ops; at += size)
    handlers += memcmp (table + at, none, size) != 0;
  assert_int_equal (handlers, FS_REQUEST_COUNT + 1); /* `init` is no request of a user's */
}

static void
test_names_are_those_of_labels (void **state)
{
  for (FsRequest request = 0; request < FS_REQUEST_COUNT; request++) {
    const char *name = fs_request_name (request);
    assert_int_equal (strspn (name, "abcdefghijklmnopqrstuvwxyz_"), strlen (name));
    for (FsRequest other = 0; other < request; other++)
      assert_string_not_equal (name, fs_request_name (other));
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_each_request_is_counted_once_as_what_it_is),
    cmocka_unit_test (test_every_handler_is_in_the_list),
    cmocka_unit_test (test_names_are_those_of_labels),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
