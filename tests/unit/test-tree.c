/* SPDX-License-Identifier: MIT */

#include "leases/tree.h"

#include <string.h>
#include <sys/stat.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define DIRECTORY (S_IFDIR | 0755)
#define FILE_MODE (S_IFREG | 0644)

/* A tree and its root. */
typedef struct {
  LeaseTree *tree;
  LeaseNode *root;
} Grove;

static int
plant (void **state)
{
  Grove *grove = g_new (Grove, 1);

  grove->tree = lease_tree_new ();
  grove->root = lease_tree_add (grove->tree, LEASE_TREE_ROOT, DIRECTORY);
  *state = grove;
  return 0;
}

static int
fell (void **state)
{
  Grove *grove = *state;

  lease_tree_check (grove->tree);
  lease_tree_free (grove->tree);
  g_free (grove);
  return 0;
}

static LeaseNode *
add (Grove *grove, mode_t mode)
{
  return lease_tree_add (grove->tree, lease_tree_next_id (grove->tree), mode);
}

/* Behind all other names. */
static LeaseName *
link_last (LeaseNode *parent, const char *text, LeaseNode *node)
{
  return lease_tree_link (parent, text, node, lease_tree_next_cookie (parent));
}

static LeaseName *
grow (Grove *grove, LeaseNode *parent, const char *text, mode_t mode)
{
  LeaseNode *node = add (grove, mode);
  LeaseName *name;

  if (S_ISLNK (mode))
    node->target = g_strdup ("target");
  name = link_last (parent, text, node);
  lease_tree_check (grove->tree);
  return name;
}

static void
prune (Grove *grove, LeaseName *name)
{
  LeaseNode *node = name->node;

  lease_tree_unlink (name);
  lease_tree_collect (grove->tree, node);
  lease_tree_check (grove->tree);
}

static void
expect_path (const LeaseName *name, const char *path)
{
  g_autofree char *found = lease_tree_path (name);

  if (path == NULL)
    assert_null (found);
  else
    assert_string_equal (found, path);
}

static void
test_the_first_node_is_the_root (void **state)
{
  Grove *grove = *state;

  assert_int_equal (grove->root->id, LEASE_TREE_ROOT);
  assert_ptr_equal (lease_tree_node (grove->tree, LEASE_TREE_ROOT), grove->root);
  assert_int_equal (lease_tree_node_count (grove->tree), 1);
  assert_int_equal (lease_tree_link_count (grove->root), 2);
}

static void
test_the_root_is_never_collected (void **state)
{
  Grove *grove = *state;

  assert_false (lease_tree_collect (grove->tree, grove->root));
  assert_int_equal (lease_tree_node_count (grove->tree), 1);
}

static void
test_a_name_is_found_and_gone_again (void **state)
{
  Grove *grove = *state;
  LeaseName *name = grow (grove, grove->root, "a", FILE_MODE);

  assert_ptr_equal (lease_tree_find (grove->root, "a"), name);
  assert_null (lease_tree_find (grove->root, "b"));
  assert_null (lease_tree_find (grove->root, ""));
  prune (grove, name);
  assert_null (lease_tree_find (grove->root, "a"));
  assert_null (lease_tree_next (grove->root, 0));
  assert_null (lease_tree_last (grove->root));
}

static void
test_ids_are_never_used_again (void **state)
{
  Grove *grove = *state;
  LeaseName *name = grow (grove, grove->root, "a", FILE_MODE);
  uint64_t id = name->node->id;

  prune (grove, name);
  assert_null (lease_tree_node (grove->tree, id));
  assert_true (grow (grove, grove->root, "a", FILE_MODE)->node->id > id);
}

static void
test_a_node_lives_while_it_has_a_name (void **state)
{
  Grove *grove = *state;
  LeaseName *one = grow (grove, grove->root, "one", FILE_MODE);
  LeaseNode *node = one->node;
  LeaseName *two = link_last (grove->root, "two", node);
  LeaseName *three = link_last (grove->root, "three", node);

  lease_tree_check (grove->tree);
  assert_int_equal (lease_tree_link_count (node), 3);
  lease_tree_unlink (two);
  assert_false (lease_tree_collect (grove->tree, node));
  lease_tree_check (grove->tree);
  lease_tree_unlink (one);
  assert_false (lease_tree_collect (grove->tree, node));
  assert_int_equal (lease_tree_link_count (node), 1);
  lease_tree_unlink (three);
  assert_int_equal (lease_tree_link_count (node), 0);
  assert_true (lease_tree_collect (grove->tree, node));
  assert_int_equal (lease_tree_node_count (grove->tree), 1);
}

static void
test_a_node_lives_while_it_is_pinned (void **state)
{
  Grove *grove = *state;
  LeaseName *name = grow (grove, grove->root, "a", FILE_MODE);
  LeaseNode *node = name->node;

  node->pins = 2;
  prune (grove, name);
  assert_ptr_equal (lease_tree_node (grove->tree, node->id), node);
  node->pins = 0;
  assert_true (lease_tree_collect (grove->tree, node));
}

static void
test_a_removed_directory_lives_while_it_has_entries (void **state)
{
  Grove *grove = *state;
  LeaseName *name = grow (grove, grove->root, "d", DIRECTORY);
  LeaseNode *directory = name->node;
  LeaseName *entry = grow (grove, directory, "e", FILE_MODE);

  prune (grove, name);
  assert_ptr_equal (lease_tree_node (grove->tree, directory->id), directory);
  assert_int_equal (lease_tree_link_count (directory), 0);
  expect_path (entry, NULL);
  prune (grove, entry);
  assert_true (lease_tree_collect (grove->tree, directory));
}

static void
test_subdirectories_count_as_links (void **state)
{
  Grove *grove = *state;
  LeaseName *one = grow (grove, grove->root, "one", DIRECTORY);
  LeaseName *file = grow (grove, grove->root, "file", FILE_MODE);

  assert_int_equal (lease_tree_link_count (grove->root), 3);
  assert_int_equal (lease_tree_link_count (one->node), 2);
  lease_tree_repoint (file, add (grove, DIRECTORY));
  assert_int_equal (lease_tree_link_count (grove->root), 4);
  prune (grove, one);
  assert_int_equal (lease_tree_link_count (grove->root), 3);
  /* The file has lost its only name. */
  assert_true (lease_tree_collect (grove->tree, lease_tree_node (grove->tree, 3)));
}

static void
test_a_repointed_name_keeps_its_place (void **state)
{
  Grove *grove = *state;
  LeaseName *first = grow (grove, grove->root, "first", FILE_MODE);
  LeaseName *second = grow (grove, grove->root, "second", S_IFLNK | 0777);
  LeaseName *third = grow (grove, grove->root, "third", FILE_MODE);
  LeaseNode *old = second->node;
  uint64_t cookie = second->cookie;

  lease_tree_repoint (second, third->node);
  assert_true (lease_tree_collect (grove->tree, old));
  lease_tree_check (grove->tree);
  assert_int_equal (second->cookie, cookie);
  assert_int_equal (lease_tree_link_count (third->node), 2);
  assert_ptr_equal (lease_tree_next (grove->root, first->cookie), second);
  assert_ptr_equal (lease_tree_next (grove->root, second->cookie), third);
  assert_null (lease_tree_next (grove->root, third->cookie));
}

static void
test_cookies_rise_and_leave_room_for_others (void **state)
{
  Grove *grove = *state;
  LeaseName *a = grow (grove, grove->root, "a", FILE_MODE);
  uint64_t cookie = a->cookie;

  assert_true (cookie >= LEASE_TREE_FIRST_COOKIE);
  prune (grove, a);
  assert_true (grow (grove, grove->root, "a", FILE_MODE)->cookie > cookie);
}

static void
test_the_last_name_is_the_newest (void **state)
{
  Grove *grove = *state;
  LeaseName *names[100];

  for (unsigned i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *text = g_strdup_printf ("%u", i);
    names[i] = grow (grove, grove->root, text, FILE_MODE);
    assert_ptr_equal (lease_tree_last (grove->root), names[i]);
  }
  /* Leave gaps, then take them off from the end. */
  for (unsigned i = 0; i < G_N_ELEMENTS (names); i += 3)
    prune (grove, names[i]);
  for (unsigned i = G_N_ELEMENTS (names); i-- > 0;) {
    if (i % 3 == 0)
      continue;
    assert_ptr_equal (lease_tree_last (grove->root), names[i]);
    prune (grove, names[i]);
  }
  assert_null (lease_tree_last (grove->root));
}

static void
test_removed_names_take_no_room_for_long (void **state)
{
  Grove *grove = *state;

  grow (grove, grove->root, "first", FILE_MODE);
  for (unsigned i = 0; i < 100; i++) {
    LeaseName *name = grow (grove, grove->root, "a", FILE_MODE);
    grow (grove, grove->root, "b", FILE_MODE);
    prune (grove, name);
    prune (grove, lease_tree_find (grove->root, "b"));
    assert_true (grove->root->dir->order->len <= 2);
  }
  for (unsigned i = 0; i < 100; i++) {
    g_autofree char *text = g_strdup_printf ("%u", i);
    grow (grove, grove->root, text, FILE_MODE);
  }
  for (unsigned i = 0; i < 99; i++) {
    g_autofree char *text = g_strdup_printf ("%u", i);
    prune (grove, lease_tree_find (grove->root, text));
    assert_true (grove->root->dir->order->len <= 2 * grove->root->dir->entry_count);
  }
}

static void
test_paths_lead_from_the_root (void **state)
{
  Grove *grove = *state;
  LeaseName *a = grow (grove, grove->root, "a", DIRECTORY);
  LeaseName *b = grow (grove, a->node, "b", DIRECTORY);
  LeaseName *c = grow (grove, b->node, "c", FILE_MODE);
  LeaseName *d = link_last (grove->root, "d", c->node);

  expect_path (a, "a");
  expect_path (b, "a/b");
  expect_path (c, "a/b/c");
  expect_path (d, "d");
}

static void
test_within_means_at_any_depth (void **state)
{
  Grove *grove = *state;
  LeaseNode *a = grow (grove, grove->root, "a", DIRECTORY)->node;
  LeaseNode *b = grow (grove, a, "b", DIRECTORY)->node;
  LeaseNode *c = grow (grove, b, "c", FILE_MODE)->node;
  LeaseNode *other = grow (grove, grove->root, "other", DIRECTORY)->node;

  assert_true (lease_tree_is_within (a, a));
  assert_true (lease_tree_is_within (c, a));
  assert_true (lease_tree_is_within (c, grove->root));
  assert_false (lease_tree_is_within (a, b));
  assert_false (lease_tree_is_within (c, other));
}

/* What a Lease is, the tree does not know; any address will do. */
static Lease *
some_lease (Grove *grove)
{
  return (Lease *)grove;
}

static void
test_directories_count_what_is_leased_in_them (void **state)
{
  Grove *grove = *state;
  LeaseNode *a = grow (grove, grove->root, "a", DIRECTORY)->node;
  LeaseName *b = grow (grove, a, "b", FILE_MODE);
  LeaseName *c = link_last (grove->root, "c", b->node);
  LeaseName *plain = grow (grove, a, "plain", FILE_MODE);

  lease_tree_attach (b->node, some_lease (grove));
  lease_tree_check (grove->tree);
  assert_int_equal (a->dir->leased_count, 1);
  assert_int_equal (grove->root->dir->leased_count, 1);

  lease_tree_repoint (plain, b->node);
  assert_int_equal (a->dir->leased_count, 2);
  lease_tree_unlink (c);
  assert_int_equal (grove->root->dir->leased_count, 0);
  lease_tree_attach (b->node, NULL);
  assert_int_equal (a->dir->leased_count, 0);
  lease_tree_check (grove->tree);
}

/* Lists `parent` from behind `cookie` on and counts each name by the number that it is. */
static uint64_t
list_some (const LeaseNode *parent, uint64_t cookie, unsigned max, unsigned *seen)
{
  for (; max > 0; max--) {
    const LeaseName *name = lease_tree_next (parent, cookie);
    if (name == NULL)
      return UINT64_MAX;
    seen[g_ascii_strtoull (name->text + 1, NULL, 10)] += name->text[0] == 's';
    cookie = name->cookie;
  }
  return cookie;
}

static void
come_and_go (Grove *grove, GRand *rand)
{
  for (unsigned i = 0; i < 20; i++) {
    g_autofree char *text = g_strdup_printf ("v%d", g_rand_int_range (rand, 0, 300));
    LeaseName *name = lease_tree_find (grove->root, text);
    if (name == NULL)
      grow (grove, grove->root, text, FILE_MODE);
    else
      prune (grove, name);
  }
}

static void
test_a_listing_is_stable_while_names_come_and_go (void **state)
{
  Grove *grove = *state;
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);

  for (unsigned i = 0; i < 200; i++) {
    g_autofree char *text = g_strdup_printf ("s%u", i);
    grow (grove, grove->root, text, FILE_MODE);
    come_and_go (grove, rand);
  }
  for (unsigned round = 0; round < 5; round++) {
    unsigned seen[300] = { 0 };
    uint64_t cookie = 0;
    while (cookie != UINT64_MAX) {
      cookie = list_some (grove->root, cookie, g_rand_int_range (rand, 1, 20), seen);
      come_and_go (grove, rand);
    }
    for (unsigned i = 0; i < 200; i++)
      assert_int_equal (seen[i], 1);
  }
}

static void
test_a_path_is_as_long_as_a_system_call_takes (void **state)
{
  Grove *grove = *state;
  LeaseNode *parent = grove->root;
  LeaseName *name = NULL;

  for (unsigned i = 0; i < 2048; i++) {
    name = link_last (parent, "d", add (grove, DIRECTORY));
    parent = name->node;
  }
  g_autofree char *path = lease_tree_path (name);
  assert_int_equal (strlen (path), 4095);
  name = link_last (parent, "d", add (grove, DIRECTORY));
  assert_null (lease_tree_path (name));
}

static void
test_a_deep_tree_needs_no_stack (void **state)
{
  Grove *grove = *state;
  LeaseNode *parent = grove->root;
  LeaseName *name = NULL;

  for (unsigned i = 0; i < 100000; i++) {
    name = link_last (parent, "d", add (grove, DIRECTORY));
    parent = name->node;
  }
  assert_null (lease_tree_path (name));
  assert_true (lease_tree_is_within (parent, grove->root));
  lease_tree_check (grove->tree);
}

#define grove_test(f) cmocka_unit_test_setup_teardown (f, plant, fell)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    grove_test (test_the_first_node_is_the_root),
    grove_test (test_the_root_is_never_collected),
    grove_test (test_a_name_is_found_and_gone_again),
    grove_test (test_ids_are_never_used_again),
    grove_test (test_a_node_lives_while_it_has_a_name),
    grove_test (test_a_node_lives_while_it_is_pinned),
    grove_test (test_a_removed_directory_lives_while_it_has_entries),
    grove_test (test_subdirectories_count_as_links),
    grove_test (test_a_repointed_name_keeps_its_place),
    grove_test (test_cookies_rise_and_leave_room_for_others),
    grove_test (test_the_last_name_is_the_newest),
    grove_test (test_removed_names_take_no_room_for_long),
    grove_test (test_paths_lead_from_the_root),
    grove_test (test_within_means_at_any_depth),
    grove_test (test_directories_count_what_is_leased_in_them),
    grove_test (test_a_listing_is_stable_while_names_come_and_go),
    grove_test (test_a_path_is_as_long_as_a_system_call_takes),
    grove_test (test_a_deep_tree_needs_no_stack),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
