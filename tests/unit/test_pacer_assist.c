/* test_pacer_assist.c - what allocating costs in the middle of a cycle: ratios from figures one can check by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gc/pacer.h"

static const tri_pacer_memory NO_MEMORY;

/* cmocka compares floats only. What is no number is not near. */
static void check_near(double is, double want, int line) {
  if (!(fabs(is - want) <= 1e-9 * fabs(want))) fail_msg("line %d: %.12g, not %.12g", line, is, want);
}
#define assert_near(is, want) check_near(is, want, __LINE__)

static double ratio(const tri_pacer *pacer, tri_pacer_progress progress) {
  tri_pacer_assist assist = tri_pacer_revise(pacer, &progress, NO_MEMORY);
  assert_near(assist.work_per_byte * assist.bytes_per_work, 1.0);
  return assist.work_per_byte;
}

/* 60 MiB lived, the goal is 124 MiB, the cycle started at 100 MiB. 40 MiB are expected to be scanned, and what the last
 * cycle scanned again. */
static tri_pacer in_cycle_after_remarking(size_t remark) {
  tri_pacer pacer;
  tri_pacer_init(&pacer, 100, SIZE_MAX);
  tri_pacer_start_cycle(&pacer, 3 * TRI_MIB);
  tri_pacer_progress last = {.live = 3 * TRI_MIB};
  last.done = (tri_pacer_work){.heap = 36 * TRI_MIB, .stack = 2 * TRI_MIB, .data = 2 * TRI_MIB, .remark = remark};
  last.most = last.done;
  tri_pacer_times times = {.duration = 1000 * 1000, .processors = 1};
  tri_pacer_end_cycle(&pacer, &last, &times, 60 * TRI_MIB);
  tri_pacer_start_cycle(&pacer, 100 * TRI_MIB);
  assert_int_equal(tri_pacer_heap_goal(&pacer, NO_MEMORY), 124 * TRI_MIB);
  return pacer;
}

static tri_pacer in_cycle(void) { return in_cycle_after_remarking(0); }

static tri_pacer_progress progress_at(size_t live, size_t heap_done) {
  tri_pacer_progress progress = {.live = live * TRI_MIB, .done = {.heap = heap_done * TRI_MIB}};
  progress.most = (tri_pacer_work){.heap = 70 * TRI_MIB, .stack = 8 * TRI_MIB, .data = 2 * TRI_MIB};
  return progress;
}

static void test_work_left_by_bytes_left(void **state) {
  (void)state;
  tri_pacer pacer = in_cycle();
  assert_near(ratio(&pacer, progress_at(100, 0)), 40.0 / 24);
  assert_near(ratio(&pacer, progress_at(112, 30)), 10.0 / 12);
  tri_pacer_progress progress = progress_at(112, 10);
  progress.done.stack = 5 * TRI_MIB;
  progress.done.data = 1 * TRI_MIB;
  assert_near(ratio(&pacer, progress), 24.0 / 12);
  progress.most.data = 6 * TRI_MIB; /* an object was loaded */
  assert_near(ratio(&pacer, progress), 28.0 / 12);
}

/* There is always a little to do, and a byte to do it in. */
static void test_never_nothing(void **state) {
  (void)state;
  tri_pacer pacer = in_cycle();
  assert_near(ratio(&pacer, progress_at(112, 40)), 1000.0 / (12 * TRI_MIB));
  tri_pacer_progress progress = progress_at(136, 40);
  progress.live = (size_t)(124 * 1.1 * TRI_MIB) + 1;
  assert_near(ratio(&pacer, progress), 40.0 * TRI_MIB);
}

/* 41 of 40 are done: there may be 80 in all. The runway of 24 grows to 48 beyond the trigger, the goal to 148. */
static void test_a_growing_heap_moves_the_goal(void **state) {
  (void)state;
  tri_pacer pacer = in_cycle();
  assert_near(ratio(&pacer, progress_at(120, 41)), 39.0 / 28);
  tri_pacer_progress progress = progress_at(120, 41);
  progress.most.heap = 990 * TRI_MIB; /* 700 beyond the trigger would be too far: 248 is twice the goal */
  assert_near(ratio(&pacer, progress), 959.0 / 128);
  tri_pacer_set_percent(&pacer, 200);
  tri_pacer_commit(&pacer, 120 * TRI_MIB, true);
  assert_near(ratio(&pacer, progress), 959.0 / (3 * 188 - 120));
  tri_pacer_set_percent(&pacer, 0); /* no growth is granted but the least runway */
  tri_pacer_commit(&pacer, 100 * TRI_MIB, true);
  progress.live = 100 * TRI_MIB;
  assert_near(ratio(&pacer, progress), 959.0 * 16);
}

/* Past the goal it is a tenth further, and all there is may have to be scanned. */
static void test_past_the_goal(void **state) {
  (void)state;
  tri_pacer pacer = in_cycle();
  assert_near(ratio(&pacer, progress_at(124, 20)), 20.0 * TRI_MIB);
  assert_near(ratio(&pacer, progress_at(125, 20)), 60.0 / (124 * 1.1 - 125));
}

/* 148 is the moved goal; past that, a tenth of it more. */
static void test_past_the_moved_goal(void **state) {
  (void)state;
  tri_pacer pacer = in_cycle();
  assert_near(ratio(&pacer, progress_at(150, 41)), 39.0 / (148 * 1.1 - 150));
}

static void test_first_cycle_without_a_forecast(void **state) {
  (void)state;
  tri_pacer pacer;
  tri_pacer_init(&pacer, 100, SIZE_MAX);
  tri_pacer_start_cycle(&pacer, 3 * TRI_MIB);
  tri_pacer_progress progress = {.live = 3 * TRI_MIB, .most = {.heap = 2 * TRI_MIB}};
  assert_near(ratio(&pacer, progress), 1000.0 / TRI_MIB);
  progress.done.heap = TRI_MIB;
  assert_near(ratio(&pacer, progress), 1.0 / 5); /* the goal is 8 MiB, twice 4 */
}

/* A limit puts the goal, 3 MiB, before the heap that there is; twice that is what a growing heap may have. */
static void test_first_cycle_under_a_limit(void **state) {
  (void)state;
  tri_pacer pacer;
  tri_pacer_init(&pacer, 100, 4 * TRI_MIB);
  tri_pacer_start_cycle(&pacer, 5 * TRI_MIB);
  tri_pacer_progress progress = {.live = 5 * TRI_MIB, .done = {.heap = TRI_MIB}, .most = {.heap = 2 * TRI_MIB}};
  assert_near(ratio(&pacer, progress), 1.0);
}

static void test_percentage_changes_in_a_cycle(void **state) {
  (void)state;
  tri_pacer pacer = in_cycle();
  assert_near(ratio(&pacer, progress_at(100, 0)), 40.0 / 24);
  tri_pacer_set_percent(&pacer, 200);
  tri_pacer_commit(&pacer, 100 * TRI_MIB, true);
  assert_near(ratio(&pacer, progress_at(100, 0)), 40.0 / 88); /* 60 + 64 * 2 */
  tri_pacer_set_percent(&pacer, -1);
  tri_pacer_commit(&pacer, 100 * TRI_MIB, true);
  assert_true(ratio(&pacer, progress_at(100, 0)) < 1e-10);
}

/* Off, but a limit is set: the goal of a cycle of a growing heap may move a thousandfold. */
static void test_forced_cycle_while_off(void **state) {
  (void)state;
  tri_pacer pacer = in_cycle();
  tri_pacer_set_percent(&pacer, -1);
  tri_pacer_set_limit(&pacer, 200 * TRI_MIB); /* the goal is 194 MiB */
  tri_pacer_commit(&pacer, 100 * TRI_MIB, true);
  tri_pacer_progress progress = progress_at(120, 41);
  progress.most.heap = TRI_GIB * 1024;
  double goal = (double)(200 * TRI_MIB - 200 * TRI_MIB / 100 * 3);
  double left = (double)(TRI_GIB * 1024 + 10 * TRI_MIB - 41 * TRI_MIB);
  assert_near(ratio(&pacer, progress), left / (1001 * goal - 120.0 * TRI_MIB));
}

/* ---- re-marking ---- */

static void test_remarking_is_paid_for(void **state) {
  (void)state;
  tri_pacer pacer = in_cycle_after_remarking(8 * TRI_MIB);
  tri_pacer_progress progress = progress_at(112, 30);
  assert_near(ratio(&pacer, progress), 18.0 / 12); /* 10 and the forecast */
  progress.most.remark = 5 * TRI_MIB;
  progress.done.remark = 3 * TRI_MIB;
  assert_near(ratio(&pacer, progress), 15.0 / 12);
  progress.most.remark = 20 * TRI_MIB; /* rounds find more than the last time */
  assert_near(ratio(&pacer, progress), 27.0 / 12);
  progress.done.remark = 20 * TRI_MIB;
  assert_near(ratio(&pacer, progress), 10.0 / 12);
}

/* A last stop that was abandoned leaves the pages that it scanned to be found again. */
static void test_rounds_that_do_not_shrink_cost_more_and_more(void **state) {
  (void)state;
  tri_pacer pacer = in_cycle_after_remarking(0);
  tri_pacer_progress progress = progress_at(100, 40);
  double before = 0;
  for (size_t live = 101; live < 124; live++) {
    progress.done.remark = progress.most.remark;
    progress.most.remark += 10 * TRI_MIB;
    progress.live = live * TRI_MIB;
    double now = ratio(&pacer, progress);
    assert_near(now, 10.0 / (double)(124 - live));
    assert_true(now > before);
    before = now;
  }
}

static void test_remarking_is_no_growth(void **state) {
  (void)state;
  tri_pacer pacer = in_cycle_after_remarking(0);
  tri_pacer_progress progress = progress_at(112, 40);
  progress.most.remark = 100 * TRI_MIB;
  progress.done.remark = 60 * TRI_MIB;
  assert_near(ratio(&pacer, progress), 40.0 / 12); /* the goal did not move */
  progress.live = 125 * TRI_MIB;
  assert_near(ratio(&pacer, progress), 80.0 / (124 * 1.1 - 125)); /* 40 of the heap's, 40 to scan again */
}

/* 41 of 40 are done, and 8 forecast to be scanned again: the runway of 24 for 48 becomes 44 for 88. */
static void test_remarking_does_not_hide_growth(void **state) {
  (void)state;
  tri_pacer pacer = in_cycle_after_remarking(8 * TRI_MIB);
  assert_near(ratio(&pacer, progress_at(120, 41)), 47.0 / 24);
}

/* A thread that only wrote made the last cycle long. */
static void test_remarking_is_not_forecast_without_bounds(void **state) {
  (void)state;
  tri_pacer pacer = in_cycle_after_remarking(TRI_GIB);
  assert_int_equal(tri_pacer_expected_work(&pacer), 200 * TRI_MIB);
  tri_pacer_progress progress = progress_at(100, 0);
  assert_near(ratio(&pacer, progress), 200.0 / 24);
  progress.most.remark = 300 * TRI_MIB;
  assert_near(ratio(&pacer, progress), 340.0 / 24);
}

/* ---- single assists ---- */

static void test_assist_demand(void **state) {
  (void)state;
  tri_pacer_assist assist = {.work_per_byte = 4, .bytes_per_work = 0.25};
  tri_pacer_demand demand = tri_pacer_assist_demand(assist, 100 * TRI_KIB);
  assert_int_equal(demand.work, 400 * TRI_KIB);
  assert_int_equal(demand.bytes, 100 * TRI_KIB);
  demand = tri_pacer_assist_demand(assist, 100); /* not worth it: work ahead */
  assert_int_equal(demand.work, 64 * TRI_KIB);
  assert_int_equal(demand.bytes, 16 * TRI_KIB);
  assert_int_equal(tri_pacer_assist_credit(assist, 4000), 1001);
  assert_int_equal(tri_pacer_assist_credit(assist, 0), 1);
}

/* The two ratios may come from different revisions; a debt must be paid all the same. */
static void test_skewed_ratios(void **state) {
  (void)state;
  tri_pacer_assist assist = {.work_per_byte = 1e-6, .bytes_per_work = 1e-6};
  assert_int_equal(tri_pacer_assist_demand(assist, TRI_MIB).bytes, TRI_MIB);
  assist = (tri_pacer_assist){.work_per_byte = 1e-300, .bytes_per_work = 1e300};
  assert_int_equal(tri_pacer_assist_demand(assist, 1).bytes, TRI_PACER_NEVER);
  assert_int_equal(tri_pacer_assist_credit(assist, 1), TRI_PACER_NEVER);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_work_left_by_bytes_left),
      cmocka_unit_test(test_never_nothing),
      cmocka_unit_test(test_a_growing_heap_moves_the_goal),
      cmocka_unit_test(test_past_the_goal),
      cmocka_unit_test(test_past_the_moved_goal),
      cmocka_unit_test(test_first_cycle_without_a_forecast),
      cmocka_unit_test(test_first_cycle_under_a_limit),
      cmocka_unit_test(test_percentage_changes_in_a_cycle),
      cmocka_unit_test(test_forced_cycle_while_off),
      cmocka_unit_test(test_remarking_is_paid_for),
      cmocka_unit_test(test_rounds_that_do_not_shrink_cost_more_and_more),
      cmocka_unit_test(test_remarking_is_no_growth),
      cmocka_unit_test(test_remarking_does_not_hide_growth),
      cmocka_unit_test(test_remarking_is_not_forecast_without_bounds),
      cmocka_unit_test(test_assist_demand),
      cmocka_unit_test(test_skewed_ratios),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
