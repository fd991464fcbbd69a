/* SPDX-License-Identifier: MIT */

#include "leases/queue.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void
test_an_empty_queue_has_no_earliest (void **state)
{
  g_autoptr (LeaseQueue) queue = lease_queue_new ();

  (void)state;
  assert_null (lease_queue_earliest (queue));
  assert_int_equal (lease_queue_length (queue), 0);
  lease_queue_check (queue);
}

static void
test_a_zeroed_item_is_in_no_queue (void **state)
{
  g_autoptr (LeaseQueue) queue = lease_queue_new ();
  LeaseQueueItem item = { 0 };

  (void)state;
  assert_false (lease_queue_contains (&item));
  lease_queue_remove (queue, &item);
  assert_int_equal (lease_queue_length (queue), 0);
}

static void
test_an_item_knows_whether_it_is_in (void **state)
{
  g_autoptr (LeaseQueue) queue = lease_queue_new ();
  LeaseQueueItem item = { 0 };

  (void)state;
  lease_queue_insert (queue, &item, 5);
  assert_true (lease_queue_contains (&item));
  assert_ptr_equal (lease_queue_earliest (queue), &item);
  assert_int_equal (lease_queue_length (queue), 1);

  lease_queue_remove (queue, &item);
  assert_false (lease_queue_contains (&item));
  assert_null (lease_queue_earliest (queue));
}

static void
test_a_removed_item_keeps_its_deadline (void **state)
{
  g_autoptr (LeaseQueue) queue = lease_queue_new ();
  LeaseQueueItem item = { 0 };

  (void)state;
  lease_queue_insert (queue, &item, 5);
  lease_queue_update (queue, &item, 7);
  lease_queue_remove (queue, &item);
  lease_queue_remove (queue, &item);
  assert_int_equal (item.deadline, 7);
}

static void
test_a_removed_item_can_come_back (void **state)
{
  g_autoptr (LeaseQueue) queue = lease_queue_new ();
  LeaseQueueItem early = { 0 }, late = { 0 };

  (void)state;
  lease_queue_insert (queue, &early, 1);
  lease_queue_insert (queue, &late, 2);
  lease_queue_remove (queue, &early);
  lease_queue_insert (queue, &early, 3);
  assert_ptr_equal (lease_queue_earliest (queue), &late);
  lease_queue_check (queue);
}

static void
test_update_moves_an_item_either_way (void **state)
{
  g_autoptr (LeaseQueue) queue = lease_queue_new ();
  LeaseQueueItem items[3] = { 0 };

  (void)state;
  for (int i = 0; i < 3; i++)
    lease_queue_insert (queue, &items[i], 10 * (i + 1));

  lease_queue_update (queue, &items[2], 5);
  assert_ptr_equal (lease_queue_earliest (queue), &items[2]);
  lease_queue_update (queue, &items[2], LEASE_TIME_NEVER);
  assert_ptr_equal (lease_queue_earliest (queue), &items[0]);
  lease_queue_update (queue, &items[0], 25);
  assert_ptr_equal (lease_queue_earliest (queue), &items[1]);
  lease_queue_check (queue);
}

static void
test_free_leaves_the_items_alone (void **state)
{
  LeaseQueue *queue = lease_queue_new ();
  LeaseQueueItem item = { 0 };

  (void)state;
  lease_queue_insert (queue, &item, 5);
  lease_queue_free (queue);
  assert_int_equal (item.deadline, 5);
}

static void
test_items_come_out_in_order (void **state)
{
  enum { COUNT = 10000 };
  g_autoptr (LeaseQueue) queue = lease_queue_new ();
  g_autofree LeaseQueueItem *items = g_new0 (LeaseQueueItem, COUNT);
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  LeaseTime last = INT64_MIN;

  (void)state;
  for (size_t i = 0; i < COUNT; i++)
    lease_queue_insert (queue, &items[i], g_rand_int_range (rand, 0, COUNT));
  lease_queue_check (queue);

  for (size_t left = COUNT; left > 0; left--) {
    LeaseQueueItem *item = lease_queue_earliest (queue);

    assert_int_equal (lease_queue_length (queue), left);
    assert_true (item->deadline >= last);
    last = item->deadline;
    lease_queue_remove (queue, item);
  }
  assert_null (lease_queue_earliest (queue));
}

/* The model: what the queue should hold, in no order at all. */
enum { ITEMS = 60 };

typedef struct {
  LeaseQueueItem items[ITEMS];
  LeaseTime deadlines[ITEMS];
  bool in[ITEMS];
} Model;

static void
compare (const LeaseQueue *queue, const Model *model)
{
  const LeaseQueueItem *earliest = lease_queue_earliest (queue);
  LeaseTime expected = LEASE_TIME_NEVER;
  size_t count = 0;

  for (size_t i = 0; i < ITEMS; i++) {
    assert_int_equal (lease_queue_contains (&model->items[i]), model->in[i]);
    assert_int_equal (model->items[i].deadline, model->deadlines[i]);
    if (!model->in[i])
      continue;
    count++;
    expected = MIN (expected, model->deadlines[i]);
  }

  assert_int_equal (lease_queue_length (queue), count);
  if (count == 0) {
    assert_null (earliest);
    return;
  }
  assert_true (lease_queue_contains (earliest));
  assert_int_equal (earliest->deadline, expected);
}

/* Near ones, so that many are equal, and now and then one from the ends of the type. */
static LeaseTime
random_deadline (GRand *rand)
{
  switch (g_rand_int_range (rand, 0, 20)) {
  case 0:
    return LEASE_TIME_NEVER;
  case 1:
    return 0;
  default:
    return g_rand_int_range (rand, 0, 40);
  }
}

static void
step (LeaseQueue *queue, Model *model, GRand *rand, int insert_percent)
{
  size_t i = (size_t)g_rand_int_range (rand, 0, ITEMS);
  bool insert = g_rand_int_range (rand, 0, 100) < insert_percent;
  LeaseTime deadline = random_deadline (rand);

  if (model->in[i] && insert) {
    lease_queue_update (queue, &model->items[i], deadline);
    model->deadlines[i] = deadline;
  } else if (insert) {
    lease_queue_insert (queue, &model->items[i], deadline);
    model->deadlines[i] = deadline;
    model->in[i] = true;
  } else {
    lease_queue_remove (queue, &model->items[i]);
    model->in[i] = false;
  }
}

static void
test_random_changes_agree_with_a_model (void **state)
{
  /* Queues that stay nearly empty, about half full, and nearly full. */
  static const int insert_percents[] = { 10, 50, 90 };

  (void)state;
  for (uint32_t seed = 0; seed < 30; seed++) {
    g_autoptr (LeaseQueue) queue = lease_queue_new ();
    g_autoptr (GRand) rand = g_rand_new_with_seed (seed);
    Model model = { 0 };

    for (int i = 0; i < 2000; i++) {
      step (queue, &model, rand, insert_percents[seed % G_N_ELEMENTS (insert_percents)]);
      lease_queue_check (queue);
      compare (queue, &model);
    }
  }
}

/* Runs lease_queue_check() in a child. */
static bool
check_aborts (const LeaseQueue *queue)
{
  pid_t child = fork ();
  int status;

  assert_true (child >= 0);
  if (child == 0) {
    const struct rlimit no_core = { 0 };

    setrlimit (RLIMIT_CORE, &no_core);
    /* The message is expected; it would only confuse whoever reads the log. */
    dup2 (open ("/dev/null", O_WRONLY), STDERR_FILENO);
    lease_queue_check (queue);
    _exit (0);
  }

  assert_int_equal (waitpid (child, &status, 0), child);
  return WIFSIGNALED (status);
}

static void
test_check_sees_a_broken_queue (void **state)
{
  g_autoptr (LeaseQueue) queue = lease_queue_new ();
  LeaseQueueItem items[4] = { 0 };

  (void)state;
  for (int i = 0; i < 4; i++)
    lease_queue_insert (queue, &items[i], i);
  assert_false (check_aborts (queue));

  items[3].deadline = -1;
  assert_true (check_aborts (queue));
  items[3].deadline = 3;

  items[2].place = 2;
  assert_true (check_aborts (queue));
  items[2].place = 3;
  assert_false (check_aborts (queue));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_an_empty_queue_has_no_earliest),
    cmocka_unit_test (test_a_zeroed_item_is_in_no_queue),
    cmocka_unit_test (test_an_item_knows_whether_it_is_in),
    cmocka_unit_test (test_a_removed_item_keeps_its_deadline),
    cmocka_unit_test (test_a_removed_item_can_come_back),
    cmocka_unit_test (test_update_moves_an_item_either_way),
    cmocka_unit_test (test_free_leaves_the_items_alone),
    cmocka_unit_test (test_items_come_out_in_order),
    cmocka_unit_test (test_random_changes_agree_with_a_model),
    cmocka_unit_test (test_check_sees_a_broken_queue),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
