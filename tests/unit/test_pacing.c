/* test_pacing.c - triggers, limits and assists from figures one can check by hand. The heap is not started: what it
 * tells the pacing, and the pacing it, are two numbers. What the goal itself should be: test_pacer.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gc/pacing.h"
#include "heap/heap.h"

enum { PERCENT = 100 };
static const uint64_t MS = 1000 * 1000;
static const size_t GIB = 1024 * TRI_MIB;

static void set_live(size_t bytes) {
  atomic_store_explicit(&tri_the_heap.live, (ptrdiff_t)bytes, memory_order_relaxed);
}

static size_t trigger(void) { return (size_t)atomic_load_explicit(&tri_the_heap.trigger, memory_order_relaxed); }

/* A full collection has left so many bytes, and the next one stops the program. */
static void end_full(uint64_t time, size_t left) {
  tri_pacing_set_base((tri_pacing_base){.marked = left});
  set_live(left);
  tri_pacing_end(time, left, 0);
}

static int start(void **state) {
  (void)state;
  tri_pacing_init(PERCENT);
  end_full(0, 100 * TRI_MIB);
  return 0;
}

/* ---- triggers ---- */

static void test_the_trigger_is_the_goal_when_the_program_is_stopped(void **state) {
  (void)state;
  assert_int_equal(tri_pacing_goal(), 200 * TRI_MIB);
  assert_int_equal(trigger(), 200 * TRI_MIB);
}

/* 100 MiB in 100 ms, and a mark of 10 ms: a quarter more than 10 MiB before the goal. */
static void test_the_trigger_leaves_room_for_what_is_allocated_meanwhile(void **state) {
  (void)state;
  end_full(1 * MS, 100 * TRI_MIB);
  set_live(200 * TRI_MIB);
  tri_pacing_begin(101 * MS);
  tri_pacing_end(111 * MS, 100 * TRI_MIB, 10 * MS);
  assert_in_range(trigger(), 200 * TRI_MIB - 25 * TRI_MIB / 2 - 1024, 200 * TRI_MIB - 25 * TRI_MIB / 2 + 1024);
}

/* Between 5 and 30 % of the room. */
static void test_the_trigger_has_bounds(void **state) {
  (void)state;
  end_full(1 * MS, 100 * TRI_MIB);
  set_live(200 * TRI_MIB);
  tri_pacing_begin(101 * MS);
  tri_pacing_end(102 * MS, 100 * TRI_MIB, 1);
  assert_in_range(trigger(), 195 * TRI_MIB - 1024, 195 * TRI_MIB + 1024);
  tri_pacing_end(103 * MS, 100 * TRI_MIB, UINT64_MAX / 2);
  assert_in_range(trigger(), 170 * TRI_MIB - 1024, 170 * TRI_MIB + 1024);
}

/* What a young one leaves counts for the next trigger; the goal remains that of the last full one. */
static void test_a_young_one_keeps_the_goal(void **state) {
  (void)state;
  tri_pacing_end(1 * MS, 140 * TRI_MIB, UINT64_MAX / 2);
  assert_int_equal(tri_pacing_goal(), 200 * TRI_MIB);
  assert_in_range(trigger(), 182 * TRI_MIB - 1024, 182 * TRI_MIB + 1024);
  tri_pacing_end(2 * MS, 300 * TRI_MIB, UINT64_MAX / 2); /* beyond the goal: at once */
  assert_int_equal(trigger(), 200 * TRI_MIB);
}

static void test_percentages(void **state) {
  (void)state;
  assert_int_equal(tri_pacing_set_percent(50), PERCENT);
  assert_int_equal(trigger(), 150 * TRI_MIB);
  assert_int_equal(tri_pacing_set_percent(0), 50);
  assert_int_equal(trigger(), 100 * TRI_MIB);
  assert_int_equal(tri_pacing_set_percent(-7), 0);
  assert_int_equal(trigger(), PTRDIFF_MAX);
  assert_int_equal(tri_pacing_set_percent(INT32_MAX), -1);
  assert_in_range(trigger(), 100 * TRI_MIB, PTRDIFF_MAX);
  assert_int_equal(tri_pacing_set_percent(PERCENT), INT32_MAX);
  assert_int_equal(trigger(), 200 * TRI_MIB);
}

static void test_one_that_could_not_be_made_is_put_off(void **state) {
  (void)state;
  set_live(200 * TRI_MIB);
  assert_true(tri_heap_wants_collection());
  tri_pacing_put_off();
  assert_false(tri_heap_wants_collection());
  set_live(310 * TRI_MIB);
  assert_true(tri_heap_wants_collection());
}

/* ---- the limit ---- */

static void test_the_limit_is_a_tenth_and_a_mebibyte_beyond_the_goal(void **state) {
  (void)state;
  set_live(221 * TRI_MIB - 1);
  assert_false(tri_pacing_is_over_limit());
  set_live(221 * TRI_MIB);
  assert_true(tri_pacing_is_over_limit());
}

static void test_no_limit_without_a_goal(void **state) {
  (void)state;
  (void)tri_pacing_set_percent(-1);
  set_live(PTRDIFF_MAX - 1);
  assert_false(tri_pacing_is_over_limit());
  assert_false(tri_heap_wants_collection());
}

/* Frees may be counted before what they free. */
static void test_less_than_nothing_lives(void **state) {
  (void)state;
  atomic_store_explicit(&tri_the_heap.live, -1000, memory_order_relaxed);
  assert_int_equal(tri_pacing_live(), 0);
  assert_false(tri_pacing_is_over_limit());
  assert_false(tri_heap_wants_collection());
}

/* ---- assists ---- */

/* What is due for all of the room, claimed in pages, when markers have done nothing. */
static size_t due_for(size_t bytes, size_t done) {
  size_t due = 0;
  for (size_t claimed = 0; claimed < bytes; claimed += 4096) due += tri_pacing_due(4096, done);
  return due;
}

/* All work but the quarter that markers are given. */
static void test_the_mark_is_done_at_the_goal_if_nobody_else_marks(void **state) {
  (void)state;
  set_live(150 * TRI_MIB);
  tri_pacing_set_assists(80 * TRI_MIB, 0);
  size_t work = 91 * TRI_MIB, due = due_for(50 * TRI_MIB, 0);
  assert_in_range(due, work * 3 / 4 - TRI_MIB, work * 3 / 4 + TRI_MIB);
}

static void test_nothing_is_due_while_markers_are_ahead(void **state) {
  (void)state;
  set_live(150 * TRI_MIB);
  for (size_t before = 0; before < 2; before++) { /* markers have done little, or a lot, before this */
    size_t done = before ? SIZE_MAX / 2 : 10;
    tri_pacing_set_assists(80 * TRI_MIB, done);
    assert_int_equal(due_for(TRI_MIB, done), 0);
    assert_int_equal(due_for(49 * TRI_MIB, done + 91 * TRI_MIB), 0);
  }
}

/* The count of what markers have done may come round. */
static void test_the_count_comes_round(void **state) {
  (void)state;
  set_live(150 * TRI_MIB);
  tri_pacing_set_assists(80 * TRI_MIB, SIZE_MAX - 1000);
  assert_int_equal(due_for(49 * TRI_MIB, 91 * TRI_MIB), 0);
}

static void test_who_claims_pays_no_more_than_is_due_for_it(void **state) {
  (void)state;
  set_live(150 * TRI_MIB);
  tri_pacing_set_assists(80 * TRI_MIB, 0);
  (void)due_for(50 * TRI_MIB, 0);
  size_t alone = tri_pacing_due(4096, 0);
  assert_in_range(alone, 7000, 8000); /* 91 / 50 of it */
  assert_int_equal(tri_pacing_due(2 * 4096, 0), 2 * alone);
}

static void test_under_pressure_there_is_no_credit(void **state) {
  (void)state;
  set_live(150 * TRI_MIB);
  tri_pacing_set_assists(0, 0);
  assert_int_equal(tri_pacing_due(4096, 91 * TRI_MIB), 0);
  tri_pacing_press();
  assert_int_equal(tri_pacing_due(4096, 91 * TRI_MIB), 8 * 4096);
  for (int i = 0; i < 9; i++) tri_pacing_press();
  assert_int_equal(tri_pacing_due(4096, 91 * TRI_MIB), 64 * 4096);
  tri_pacing_set_assists(0, 0); /* the next cycle */
  assert_int_equal(tri_pacing_due(4096, 91 * TRI_MIB), 0);
}

static void test_no_assists_without_a_goal(void **state) {
  (void)state;
  (void)tri_pacing_set_percent(-1);
  set_live(150 * TRI_MIB);
  tri_pacing_set_assists(150 * TRI_MIB, 0);
  assert_int_equal(due_for(TRI_MIB, 0), 0);
}

/* Without room, a mebibyte is all that may be allocated. */
static void test_large_heaps(void **state) {
  (void)state;
  end_full(0, 100 * GIB);
  assert_int_equal(tri_pacing_goal(), 200 * GIB);
  set_live(200 * GIB);
  tri_pacing_set_assists(100 * GIB, 0);
  size_t work = 100 * GIB + 100 * GIB / 8 + TRI_MIB, due = due_for(TRI_MIB, 0);
  assert_in_range(due, work * 3 / 4 - GIB, work * 3 / 4 + GIB);
  tri_pacing_press();
  tri_pacing_press();
  assert_in_range(tri_pacing_due(100 * GIB, 0), 100 * GIB, SIZE_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_the_trigger_is_the_goal_when_the_program_is_stopped, start),
      cmocka_unit_test_setup(test_the_trigger_leaves_room_for_what_is_allocated_meanwhile, start),
      cmocka_unit_test_setup(test_the_trigger_has_bounds, start),
      cmocka_unit_test_setup(test_a_young_one_keeps_the_goal, start),
      cmocka_unit_test_setup(test_percentages, start),
      cmocka_unit_test_setup(test_one_that_could_not_be_made_is_put_off, start),
      cmocka_unit_test_setup(test_the_limit_is_a_tenth_and_a_mebibyte_beyond_the_goal, start),
      cmocka_unit_test_setup(test_no_limit_without_a_goal, start),
      cmocka_unit_test_setup(test_less_than_nothing_lives, start),
      cmocka_unit_test_setup(test_the_mark_is_done_at_the_goal_if_nobody_else_marks, start),
      cmocka_unit_test_setup(test_nothing_is_due_while_markers_are_ahead, start),
      cmocka_unit_test_setup(test_the_count_comes_round, start),
      cmocka_unit_test_setup(test_who_claims_pays_no_more_than_is_due_for_it, start),
      cmocka_unit_test_setup(test_under_pressure_there_is_no_credit, start),
      cmocka_unit_test_setup(test_no_assists_without_a_goal, start),
      cmocka_unit_test_setup(test_large_heaps, start),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
