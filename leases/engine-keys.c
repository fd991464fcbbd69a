/* SPDX-License-Identifier: MIT */

/* What `keys` of a lease shows. The length of that text is kept in step with each name that comes
 * or goes, so that it can be told at once, however many there are. It is unknown where that does
 * not suffice: after a start; when directories have moved or changed their rights, with all that
 * may lie in them; and while something lies in the directory of another lease, whose end depends on
 * the clock. Then the names are counted when somebody asks. */

#include "leases/engine-private.h"

#include "leases/keys.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* Names that are looked at in one go under the lock. */
#define PIECE 2048

/* So often it begins anew where names came or went meanwhile; then it does all of it in one go. */
#define TRIES 4

/* The path by which `lease` shows `name`, leaving aside what is over; NULL: it does not. */
static const char *
shown_path (const Lease *lease, const LeaseName *name, char buffer[PATH_MAX])
{
  const char *path = lease_tree_put_path (name, buffer); /* NULL if that is too long to walk */

  return path != NULL && lease_owner_may_see (lease, name) ? path : NULL;
}

/* Whether the clock may decide on what lies in `directory`, and not the end of `lease` alone. */
static bool
is_elsewhere (const Lease *lease, const LeaseNode *directory)
{
  const Lease *enclosing = lease_enclosing (directory);

  return enclosing != NULL && enclosing != lease;
}

static bool
is_known (const LeaseEngine *engine, const Lease *lease)
{
  return lease->keys_size != LEASE_KEYS_UNKNOWN && lease->keys_changed >= engine->paths_changed;
}

uint64_t
lease_keys_generation (const LeaseEngine *engine, const Lease *lease)
{
  return MAX (lease->keys_changed, engine->paths_changed);
}

uint64_t
lease_keys_size (const LeaseEngine *engine, const Lease *lease)
{
  return is_known (engine, lease) ? lease->keys_size : LEASE_KEYS_UNKNOWN;
}

void
lease_engine_note_key (LeaseEngine *engine, const LeaseName *name, bool comes)
{
  char buffer[PATH_MAX];
  Lease *lease = name->node->lease;

  if (lease == NULL || lease->directory == name->node)
    return;
  bool known = is_known (engine, lease) && !engine->loading && !lease->ended &&
               !is_elsewhere (lease, name->parent);
  lease->keys_changed = ++engine->generation;
  const char *path = known ? shown_path (lease, name, buffer) : NULL;
  size_t size = path == NULL ? 0 : lease_keys_line_size (path);
  if (!known)
    lease->keys_size = LEASE_KEYS_UNKNOWN;
  else
    lease->keys_size += comes ? size : -size;
}

void
lease_engine_note_keys (LeaseEngine *engine, const LeaseNode *node, bool come)
{
  for (const LeaseName *name = node->names; name != NULL; name = name->next)
    lease_engine_note_key (engine, name, come);
}

void
lease_engine_note_moved (LeaseEngine *engine, const LeaseNode *node)
{
  if (S_ISDIR (node->mode) && node->dir->entry_count > 0)
    engine->paths_changed = ++engine->generation;
}

void
lease_engine_note_rights (LeaseEngine *engine, const LeaseNode *node)
{
  lease_engine_note_moved (engine, node);
  if (!lease_is_directory_of_lease (node))
    return;
  node->lease->keys_changed = ++engine->generation;
  node->lease->keys_size = LEASE_KEYS_UNKNOWN;
}

/* A walk over all that a lease shows. */
typedef struct {
  GByteArray *paths; /* NULL: they are only counted */
  size_t max;
  uint64_t generation; /* `at` means something while the lease has that */
  const LeaseName *at; /* the next one to look at */
  bool elsewhere;      /* some lie in the directories of other leases */
  uint64_t size;       /* of the text so far */
} KeysWalk;

/* The first name of `node`, or of the next member that has one. */
static const LeaseName *
first_name (const LeaseNode *node)
{
  while (node != NULL && node->names == NULL)
    node = node->next_member;
  return node == NULL ? NULL : node->names;
}

static int
walk_piece (LeaseOp *op, const Lease *lease, KeysWalk *walk, unsigned count)
{
  char buffer[PATH_MAX];

  for (; walk->at != NULL && count > 0; count--) {
    const LeaseName *name = walk->at;
    const char *path = shown_path (lease, name, buffer);
    bool over = lease_op_goes_with_parent (op, name->parent);
    walk->elsewhere |= over || is_elsewhere (lease, name->parent);
    if (path != NULL && !over) {
      walk->size += lease_keys_line_size (path);
      if (walk->paths != NULL)
        g_byte_array_append (walk->paths, (const guint8 *)path, strlen (path) + 1);
    }
    if (walk->paths != NULL && walk->paths->len > walk->max)
      return -EFBIG;
    walk->at = name->next != NULL ? name->next : first_name (name->node->next_member);
  }
  return 0;
}

/* All names have been looked at. */
static void
end_walk (LeaseOp *op, Lease *lease, const KeysWalk *walk)
{
  LeaseEngine *engine = op->engine;

  lease->keys_size = walk->elsewhere ? LEASE_KEYS_UNKNOWN : walk->size;
  lease->keys_changed = walk->elsewhere ? ++engine->generation : walk->generation;
}

/* The next piece of `walk`, of up to `count` names. Returns whether it has come to an end, or an
 * error; -EAGAIN: something has changed since the last piece. */
static int
walk_on (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, KeysWalk *walk, unsigned count)
{
  g_auto (LeaseOp) op = lease_op_begin (engine, by);
  Lease *lease;
  int error = lease_op_lease (&op, id, &lease);

  if (error != 0)
    return error;
  if (walk->at == NULL) {
    walk->generation = lease_keys_generation (engine, lease);
    walk->at = first_name (lease->first_member);
  } else if (walk->generation != lease_keys_generation (engine, lease)) {
    return -EAGAIN;
  }
  error = walk_piece (&op, lease, walk, count);
  if (error == 0 && walk->at == NULL)
    end_walk (&op, lease, walk);
  return error != 0 ? error : walk->at == NULL;
}

static void
begin_walk (KeysWalk *walk)
{
  if (walk->paths != NULL)
    g_byte_array_set_size (walk->paths, 0);
  *walk = (KeysWalk){ .paths = walk->paths, .max = walk->max };
}

static int
walk_keys (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, KeysWalk *walk)
{
  int result = 0;

  for (unsigned tries = 0; result == 0;) {
    result = walk_on (engine, by, id, walk, tries < TRIES ? PIECE : UINT_MAX);
    if (result == -EAGAIN) {
      begin_walk (walk);
      tries++;
      result = 0;
    }
    if (result == 0)
      lease_engine_let_in (engine);
  }
  return MIN (result, 0);
}

int
lease_engine_keys (LeaseEngine *engine, const LeaseCaller *by, uint64_t id, size_t max,
                   GByteArray **paths_out, uint64_t *generation_out)
{
  g_autoptr (GByteArray) paths = g_byte_array_new ();
  KeysWalk walk = { .paths = paths, .max = max };
  int error = walk_keys (engine, by, id, &walk);

  if (error != 0)
    return error;
  *paths_out = g_steal_pointer (&paths);
  *generation_out = walk.generation;
  return 0;
}

int
lease_engine_measure_keys (LeaseEngine *engine, const LeaseCaller *by, uint64_t id,
                           uint64_t *size_out)
{
  KeysWalk walk = { 0 };
  int error = walk_keys (engine, by, id, &walk);

  *size_out = walk.size;
  return error;
}

void
lease_engine_check_keys (const LeaseEngine *engine, const Lease *lease)
{
  char buffer[PATH_MAX];
  uint64_t size = 0;

  if (!is_known (engine, lease) || lease->ended)
    return;
  for (const LeaseName *name = first_name (lease->first_member); name != NULL;
       name = name->next != NULL ? name->next : first_name (name->node->next_member)) {
    const char *path = shown_path (lease, name, buffer);
    size += path == NULL ? 0 : lease_keys_line_size (path);
    if (is_elsewhere (lease, name->parent))
      g_error ("%s is counted, but lies in the directory of another lease", name->text);
  }
  if (size != lease->keys_size)
    g_error ("`keys` has %" G_GUINT64_FORMAT " bytes, but %" G_GUINT64_FORMAT " are counted", size,
             lease->keys_size);
}
