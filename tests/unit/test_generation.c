/* test_generation.c - which collections look at young objects only, by figures one can check by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gc/generation.h"

/* After many full collections that have left so many bytes: the heap grows no more. */
static tri_generations after_full(size_t left) {
  tri_generations generations = {.can_be_young = false};
  for (int i = 0; i < 64; i++) tri_generations_end_full(&generations, left, true);
  return generations;
}

/* One that marked as much as cannot pay, and none that was left. */
static void end_dear(tri_generations *generations) {
  tri_generations_end_young(generations, generations->left, 0, generations->left);
}

static void end_cheap(tri_generations *generations) { tri_generations_end_young(generations, 0, 0, generations->left); }

/* Full ones until one may be young again. */
static int full_ones_due(tri_generations *generations, size_t goal) {
  int count = 0;
  for (; !tri_generations_next_is_young(generations, goal); count++)
    tri_generations_end_full(generations, generations->full_left, true);
  return count;
}

/* ---- whether one can be ---- */

static void test_the_first_is_full(void **state) {
  (void)state;
  tri_generations generations = {.can_be_young = false};
  assert_false(tri_generations_next_is_young(&generations, 100 * TRI_MIB));
}

static void test_young_after_a_full_one_that_was_watched(void **state) {
  (void)state;
  tri_generations generations = after_full(100 * TRI_MIB);
  assert_true(tri_generations_next_is_young(&generations, 200 * TRI_MIB));
  tri_generations_end_full(&generations, 100 * TRI_MIB, false);
  assert_false(tri_generations_next_is_young(&generations, 200 * TRI_MIB));
}

static void test_full_after_marks_were_lost(void **state) {
  (void)state;
  tri_generations generations = after_full(100 * TRI_MIB);
  end_cheap(&generations);
  tri_generations_forget(&generations);
  assert_false(tri_generations_next_is_young(&generations, 200 * TRI_MIB));
  tri_generations_end_full(&generations, 100 * TRI_MIB, true);
  assert_true(tri_generations_next_is_young(&generations, 200 * TRI_MIB));
}

/* ---- the room that is left to young objects ---- */

static void test_full_when_old_objects_have_taken_half_of_the_room(void **state) {
  (void)state;
  tri_generations generations = after_full(100);
  tri_generations_end_young(&generations, 20, 0, 100);
  generations.left = 149;
  assert_true(tri_generations_next_is_young(&generations, 200));
  generations.left = 150;
  assert_false(tri_generations_next_is_young(&generations, 200));
}

/* Another young one like the last would leave less than half of the room. */
static void test_full_when_old_objects_would_take_half_of_the_room(void **state) {
  (void)state;
  tri_generations generations = after_full(100);
  tri_generations_end_young(&generations, 20, 0, 124);
  assert_true(tri_generations_next_is_young(&generations, 200));
  generations = after_full(100);
  tri_generations_end_young(&generations, 20, 0, 125);
  assert_false(tri_generations_next_is_young(&generations, 200));
  tri_generations_end_young(&generations, 20, 0, 125); /* which left no more than before */
  assert_true(tri_generations_next_is_young(&generations, 200));
}

/* While the heap grows, what is new is what lives. */
static void test_full_while_the_heap_grows(void **state) {
  (void)state;
  tri_generations generations = after_full(2);
  for (size_t left = 4; left < 4000; left *= 2) {
    tri_generations_end_full(&generations, left, true);
    assert_false(tri_generations_next_is_young(&generations, 2 * left));
  }
  tri_generations_end_full(&generations, 2048, true); /* and no more */
  tri_generations_end_full(&generations, 2048, true);
  assert_true(tri_generations_next_is_young(&generations, 4096));
}

/* That the heap was empty before says nothing of what comes. */
static void test_young_after_the_first(void **state) {
  (void)state;
  tri_generations generations = {.can_be_young = false};
  tri_generations_end_full(&generations, 100, true);
  assert_true(tri_generations_next_is_young(&generations, 200));
}

static void test_full_when_there_is_no_room(void **state) {
  (void)state;
  tri_generations generations = after_full(100);
  assert_false(tri_generations_next_is_young(&generations, 100)); /* a percentage of zero */
  assert_false(tri_generations_next_is_young(&generations, 99));  /* the goal was lowered */
  assert_true(tri_generations_next_is_young(&generations, 101));
}

/* Each young one leaves a little more: sooner or later a full one comes, and never is more left than half of the
 * room. */
static void test_what_is_left_is_bounded(void **state) {
  (void)state;
  for (size_t step = 1; step < 50; step++) {
    tri_generations generations = after_full(1000);
    int young = 0;
    for (; tri_generations_next_is_young(&generations, 2000); young++) {
      assert_true(generations.left <= 1500);
      tri_generations_end_young(&generations, step, 0, generations.left + step);
    }
    assert_int_equal(young, 499 / step);
  }
}

/* ---- whether it pays ---- */

/* Marked and scanned again together, held against half of what was old. */
static void test_one_that_costs_half_of_a_full_one_does_not_pay(void **state) {
  (void)state;
  const struct {
    size_t marked, rescanned;
    bool paid;
  } cases[] = {{198, 0, true}, {0, 198, true}, {98, 100, true}, {200, 0, false}, {0, 200, false}, {100, 100, false}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    tri_generations generations = after_full(400);
    tri_generations_end_young(&generations, cases[i].marked, cases[i].rescanned, 400);
    assert_int_equal(tri_generations_next_is_young(&generations, 800), cases[i].paid);
  }
}

static void test_full_ones_after_those_that_did_not_pay(void **state) {
  (void)state;
  static const int due[] = {1, 3, 7, 15, 15, 15};
  tri_generations generations = after_full(100);
  for (size_t i = 0; i < sizeof due / sizeof *due; i++) {
    end_dear(&generations);
    assert_int_equal(full_ones_due(&generations, 200), due[i]);
  }
}

static void test_those_that_pay_are_trusted_again(void **state) {
  (void)state;
  tri_generations generations = after_full(100);
  for (int i = 0; i < 4; i++) { /* up to 15 full ones in a row */
    end_dear(&generations);
    (void)full_ones_due(&generations, 200);
  }
  end_cheap(&generations); /* 7 */
  assert_int_equal(full_ones_due(&generations, 200), 0);
  end_cheap(&generations); /* 3 */
  end_dear(&generations);  /* 7 */
  assert_int_equal(full_ones_due(&generations, 200), 7);
  for (int i = 0; i < 3; i++) end_cheap(&generations);
  end_dear(&generations);
  assert_int_equal(full_ones_due(&generations, 200), 1);
}

/* One for which marks are missing does not make the next one young, however many are due. */
static void test_full_ones_that_were_not_watched_count(void **state) {
  (void)state;
  tri_generations generations = after_full(100);
  end_dear(&generations);
  tri_generations_end_full(&generations, 100, false);
  assert_false(tri_generations_next_is_young(&generations, 200));
  tri_generations_end_full(&generations, 100, true);
  assert_true(tri_generations_next_is_young(&generations, 200));
}

/* ---- extremes ---- */

static void test_extremes(void **state) {
  (void)state;
  const size_t most = PTRDIFF_MAX;
  tri_generations generations = after_full(0);
  assert_true(tri_generations_next_is_young(&generations, most));
  assert_false(tri_generations_next_is_young(&generations, 0));
  end_cheap(&generations); /* of nothing: cannot pay */
  assert_false(tri_generations_next_is_young(&generations, most));

  generations = after_full(most);
  assert_false(tri_generations_next_is_young(&generations, most));
  tri_generations_end_young(&generations, most, most, most);
  assert_int_equal(generations.full_due, 1);

  generations = after_full(100 * 1024 * TRI_MIB);
  assert_true(tri_generations_next_is_young(&generations, 200 * 1024 * TRI_MIB));
  tri_generations_end_young(&generations, TRI_MIB, 40 * 1024 * TRI_MIB, 100 * 1024 * TRI_MIB);
  assert_true(tri_generations_next_is_young(&generations, 200 * 1024 * TRI_MIB));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_first_is_full),
      cmocka_unit_test(test_young_after_a_full_one_that_was_watched),
      cmocka_unit_test(test_full_after_marks_were_lost),
      cmocka_unit_test(test_full_when_old_objects_have_taken_half_of_the_room),
      cmocka_unit_test(test_full_when_old_objects_would_take_half_of_the_room),
      cmocka_unit_test(test_full_while_the_heap_grows),
      cmocka_unit_test(test_young_after_the_first),
      cmocka_unit_test(test_full_when_there_is_no_room),
      cmocka_unit_test(test_what_is_left_is_bounded),
      cmocka_unit_test(test_one_that_costs_half_of_a_full_one_does_not_pay),
      cmocka_unit_test(test_full_ones_after_those_that_did_not_pay),
      cmocka_unit_test(test_those_that_pay_are_trusted_again),
      cmocka_unit_test(test_full_ones_that_were_not_watched_count),
      cmocka_unit_test(test_extremes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
