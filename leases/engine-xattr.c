/* SPDX-License-Identifier: MIT */

/* The engine's operations on extended attributes: those that are stored, and the one that stands
 * for the lease. */

#include "leases/engine-private.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

/* Of a file with very many names, only so many are looked at. */
#define NAMES_MAX 64

typedef enum {
  KIND_LEASE,
  KIND_STORED,
  KIND_ABSENT,  /* nobody has it, and nobody can */
  KIND_UNKNOWN, /* no such namespace */
  KIND_WRONG,
} Kind;

static Kind
kind_of (const char *name)
{
  static const struct {
    const char *prefix;
    Kind kind;
  } namespaces[] = {
    { "user.", KIND_STORED },
    { "trusted.", KIND_STORED },
    { "security.", KIND_ABSENT },
  };

  if (strcmp (name, LEASE_XATTR_LEASE) == 0)
    return KIND_LEASE;
  if (strlen (name) > XATTR_NAME_MAX)
    return KIND_WRONG;
  for (unsigned i = 0; i < G_N_ELEMENTS (namespaces); i++)
    if (g_str_has_prefix (name, namespaces[i].prefix))
      return name[strlen (namespaces[i].prefix)] == '\0' ? KIND_WRONG : namespaces[i].kind;
  return KIND_UNKNOWN;
}

bool
lease_is_stored_xattr (const char *name)
{
  return kind_of (name) == KIND_STORED;
}

static int
check_kind (Kind kind, int absent)
{
  switch (kind) {
  case KIND_ABSENT:
    return absent;
  case KIND_UNKNOWN:
    return -EOPNOTSUPP;
  case KIND_WRONG:
    return -EINVAL;
  default:
    return 0;
  }
}

/* The lease that `node` is attached to; NULL if that is none, or is about to be none. */
static Lease *
lease_of (const LeaseOp *op, const LeaseNode *node)
{
  return node->lease == NULL || lease_is_over (node->lease, op->now) ? NULL : node->lease;
}

static void
copy_out (const char *value, size_t size, char **value_out, size_t *size_out)
{
  *value_out = g_malloc (size + 1); /* not NULL */
  memcpy (*value_out, value, size);
  *size_out = size;
}

int
lease_engine_get_xattr (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, const char *name,
                        char **value_out, size_t *size_out)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  Kind kind = kind_of (name);
  LeaseNode *node;
  int error = lease_op_node (&op, id, &node);

  if (error == 0)
    error = check_kind (kind, -ENODATA);
  if (error != 0)
    return error;
  if (kind == KIND_LEASE) {
    const Lease *lease = lease_of (&op, node);
    if (lease == NULL)
      return -ENODATA;
    const char *text = lease->directory->names->text;
    copy_out (text, strlen (text), value_out, size_out);
    return 0;
  }
  const LeaseXattr *xattr = lease_xattrs_find (engine->xattrs, id, name);
  if (xattr == NULL)
    return -ENODATA;
  copy_out (xattr->value, xattr->size, value_out, size_out);
  return 0;
}

static bool
add_name (GByteArray *names, const char *name, size_t max)
{
  if (names->len + strlen (name) + 1 > max)
    return false;
  g_byte_array_append (names, (const guint8 *)name, strlen (name) + 1);
  return true;
}

int
lease_engine_list_xattrs (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, size_t max,
                          GByteArray **names_out)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  g_autoptr (GByteArray) names = g_byte_array_new ();
  const LeaseXattr *xattr;
  LeaseNode *node;
  int error = lease_op_node (&op, id, &node);

  if (error != 0)
    return error;
  if (lease_of (&op, node) != NULL && !lease_is_directory_of_lease (node) &&
      !add_name (names, LEASE_XATTR_LEASE, max))
    return -ERANGE;
  for (const char *at = ""; (xattr = lease_xattrs_next (engine->xattrs, id, at)) != NULL;
       at = xattr->name) {
    if (by->uid != 0 && g_str_has_prefix (xattr->name, "trusted."))
      continue;
    if (!add_name (names, xattr->name, max))
      return -ERANGE;
  }
  *names_out = g_steal_pointer (&names);
  return 0;
}

/* Whether an attribute that is, or is not, there may be set with `flags`. */
static int
check_flags (bool is_there, int flags)
{
  if (is_there && (flags & XATTR_CREATE))
    return -EEXIST;
  return !is_there && (flags & XATTR_REPLACE) ? -ENODATA : 0;
}

/* Where the kernel would not let `user.*` be set. */
static int
check_type (const LeaseNode *node, const char *name)
{
  bool may_have = S_ISREG (node->mode) || S_ISDIR (node->mode);

  return may_have || !g_str_has_prefix (name, "user.") ? 0 : -EPERM;
}

/* Whether one more name would make more of them than listxattr(2) can show: what a node has must
 * not be without bound, since all of it goes at once. */
static bool
has_too_many (const LeaseEngine *engine, uint64_t id, const char *name)
{
  size_t size = strlen (name) + 1;
  const LeaseXattr *xattr;

  for (const char *at = ""; (xattr = lease_xattrs_next (engine->xattrs, id, at)) != NULL;
       at = xattr->name)
    size += strlen (xattr->name) + 1;
  return size > LEASE_XATTR_NAMES_MAX;
}

static int
set_stored (LeaseOp *op, const LeaseNode *node, const LeaseXattr *new, int flags)
{
  const LeaseXattr *old = lease_xattrs_find (op->engine->xattrs, node->id, new->name);
  uint64_t cost = lease_xattr_cost (new->name, new->size);
  uint64_t given_back = old == NULL ? 0 : lease_xattr_cost (old->name, old->size);
  int error = check_flags (old != NULL, flags);

  if (error == 0 && new->size > LEASE_XATTR_MAX)
    error = -E2BIG;
  if (error == 0 && old == NULL && has_too_many (op->engine, node->id, new->name))
    error = -ENOSPC;
  if (error == 0)
    error = lease_op_check_room (op, cost - MIN (given_back, cost), 0);
  if (error != 0)
    return error;
  lease_plan_xattr (op, node, new->name, new->size == 0 ? "" : new->value, new->size);
  lease_plan_touch_status (op, node);
  return lease_op_commit (op);
}

static int
find_lease (LeaseOp *op, const LeaseXattr *new, Lease **lease_out)
{
  g_autofree char *text = NULL;

  if (new->size == 0 || new->size > NAME_MAX || memchr (new->value, '\0', new->size) != NULL)
    return -ENOENT;
  text = g_strndup (new->value, new->size);
  const LeaseName *name = lease_op_find (op, op->engine->leases_dir, text);
  if (name == NULL)
    return -ENOENT;
  *lease_out = name->node->lease;
  return 0;
}

/* Whether all names of `node` lie in directories of leases other than `lease`. */
static bool
lies_elsewhere (const LeaseNode *node, const Lease *lease)
{
  const LeaseName *name = node->names;

  for (unsigned i = 0; name != NULL && i < NAMES_MAX; i++, name = name->next) {
    const Lease *owner = lease_enclosing (S_ISDIR (node->mode) ? node : name->parent);
    if (owner == NULL || owner == lease)
      return false;
  }
  return true;
}

/* What could be attached to `lease`, or detached from it, by a line of `keys` can be here. */
static int
check_place (const LeaseOp *op, const LeaseNode *node, const Lease *lease)
{
  if (node->id == LEASE_ROOT || node == op->engine->leases_dir ||
      lease_is_directory_of_lease (node))
    return -EINVAL;
  if (node->names == NULL)
    return -ENOENT;
  return lies_elsewhere (node, lease) ? -EINVAL : 0;
}

/* Whether the one name of what is attached, which `keys` would else not show, is known to whoever
 * attaches it. Of several it cannot be told which one has led here. */
static int
find_told (const LeaseOp *op, const LeaseNode *node, const Lease *lease, bool *told_out)
{
  const LeaseName *name = node->names;

  *told_out = false;
  if (node->name_count != 1 || lease_owner_may_see (lease, name))
    return 0;
  int error = lease_op_may_come (op, name);
  *told_out = error == 0;
  return error == -EAGAIN ? error : 0;
}

static int
attach (LeaseOp *op, LeaseNode *node, const LeaseXattr *new, int flags)
{
  bool told = false;
  Lease *lease;
  int error = check_flags (lease_of (op, node) != NULL, flags);

  if (error == 0)
    error = find_lease (op, new, &lease);
  if (error == 0 && lease->granted_ns == 0)
    error = -EINVAL;
  if (error == 0)
    error = check_place (op, node, lease);
  if (error == 0)
    error = lease_op_may_set_lease (op, lease, node, false);
  if (error == 0)
    error = find_told (op, node, lease, &told);
  if (error != 0)
    return error;
  if (told)
    lease_plan_told (op, node->names, true);
  lease_plan_touch_status (op, node);
  lease_plan_attach (op, node->id, lease);
  return lease_op_commit (op);
}

static int
detach (LeaseOp *op, LeaseNode *node)
{
  const Lease *lease = lease_of (op, node);
  int error = lease == NULL ? -ENODATA : check_place (op, node, lease);

  if (error == 0)
    error = lease_op_may_set_lease (op, lease, node, true);
  if (error != 0)
    return error;
  if (node->name_count == 1 && node->names->told)
    lease_plan_told (op, node->names, false);
  lease_plan_touch_status (op, node);
  lease_plan_attach (op, node->id, NULL);
  return lease_op_commit (op);
}

int
lease_engine_set_xattr (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, const char *name,
                        const char *value, size_t size, int flags)
{
  g_auto (LeaseOp) op = lease_op_begin_change (engine, by);
  const LeaseXattr new = { id, name, value, size };
  Kind kind = kind_of (name);
  LeaseNode *node;
  int error = op.busy ? -EAGAIN : lease_op_node (&op, id, &node);

  if (error == 0)
    error = check_kind (kind, -EOPNOTSUPP);
  if (error == 0)
    error = check_type (node, name);
  if (error != 0)
    return error;
  return kind == KIND_LEASE ? attach (&op, node, &new, flags) : set_stored (&op, node, &new, flags);
}

int
lease_engine_remove_xattr (LeaseEngine *engine, const LeaseCaller *by, uint64_t id,
                           const char *name)
{
  g_auto (LeaseOp) op = lease_op_begin_change (engine, by);
  Kind kind = kind_of (name);
  LeaseNode *node;
  int error = op.busy ? -EAGAIN : lease_op_node (&op, id, &node);

  if (error == 0)
    error = check_kind (kind, -ENODATA);
  if (error == 0)
    error = check_type (node, name);
  if (error != 0)
    return error;
  if (kind == KIND_LEASE)
    return detach (&op, node);
  if (lease_xattrs_find (engine->xattrs, id, name) == NULL)
    return -ENODATA;
  lease_plan_xattr (&op, node, name, NULL, 0);
  lease_plan_touch_status (&op, node);
  return lease_op_commit (&op);
}
