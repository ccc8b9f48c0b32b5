/* test_pacer.c - goals and triggers from figures one can check by hand. What happens within a cycle:
 * test_pacer_assist.c; over many: test_pacer_scenarios.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gc/pacer.h"

static void test_goal_grows_by_the_percentage(void **state) {
  (void)state;
  assert_int_equal(tri_pacer_goal(100 * TRI_MIB, 0, 0, 100), 200 * TRI_MIB);
  assert_int_equal(tri_pacer_goal(100 * TRI_MIB, 0, 0, 50), 150 * TRI_MIB);
  assert_int_equal(tri_pacer_goal(100 * TRI_MIB, 0, 0, 400), 500 * TRI_MIB);
}

/* Stacks and static data are scanned like what lives, but are not heap. */
static void test_roots_count_as_live(void **state) {
  (void)state;
  assert_int_equal(tri_pacer_goal(100 * TRI_MIB, 10 * TRI_MIB, 20 * TRI_MIB, 100), 230 * TRI_MIB);
  assert_int_equal(tri_pacer_goal(0, 10 * TRI_MIB, 0, 100), 10 * TRI_MIB);
}

static void test_never_below_the_minimum(void **state) {
  (void)state;
  assert_in_range(tri_pacer_goal(0, 0, 0, 100), TRI_PACER_MINIMUM - 100, TRI_PACER_MINIMUM); /* scaled in hundredths */
  assert_in_range(tri_pacer_goal(1000, 10, 10, 200), 2 * TRI_PACER_MINIMUM - 200, 2 * TRI_PACER_MINIMUM);
  assert_in_range(tri_pacer_goal(0, 0, 0, 50), TRI_PACER_MINIMUM / 2 - 100, TRI_PACER_MINIMUM / 2);
  assert_int_equal(tri_pacer_goal(100 * TRI_MIB, 0, 0, 0), 100 * TRI_MIB);
}

/* Go's heapMinimum: 4 MiB * GOGC / 100, in this order. */
static void test_the_minimum_is_exact(void **state) {
  (void)state;
  assert_int_equal(tri_pacer_goal(0, 0, 0, 100), 4 * TRI_MIB);
  assert_int_equal(tri_pacer_goal(0, 0, 0, 50), 2 * TRI_MIB);
  assert_int_equal(tri_pacer_goal(0, 0, 0, 1), 41943);
  assert_int_equal(tri_pacer_goal(0, 0, 0, 33), 1384120);
  assert_int_equal(tri_pacer_goal(0, 0, 0, 150), 6 * TRI_MIB);
  assert_int_equal(tri_pacer_goal(0, 0, 0, INT32_MAX), 90071992505466);
}

static void test_off(void **state) {
  (void)state;
  assert_int_equal(tri_pacer_goal(100, 0, 0, -1), PTRDIFF_MAX);
  assert_int_equal(tri_pacer_goal(SIZE_MAX / 2, 0, 0, -100), PTRDIFF_MAX);
}

static void test_no_overflow(void **state) {
  (void)state;
  assert_int_equal(tri_pacer_goal((size_t)1 << 62, 0, 0, 100), PTRDIFF_MAX);
  assert_int_equal(tri_pacer_goal((size_t)1 << 50, 0, 0, INT32_MAX), PTRDIFF_MAX);
  assert_int_equal(tri_pacer_goal(SIZE_MAX, 1, 0, 1), PTRDIFF_MAX);
  for (size_t marked = 1; marked < (size_t)1 << 62; marked *= 2)
    for (int percent = 0; percent < INT32_MAX / 4; percent = percent * 3 + 1) {
      ptrdiff_t goal = tri_pacer_goal(marked, 4096, 4096, percent);
      assert_true(goal >= (ptrdiff_t)marked);
      assert_true(goal <= tri_pacer_goal(2 * marked, 4096, 4096, percent));
    }
}

/* ---- the pacer ---- */

static const tri_pacer_memory NO_MEMORY;
static const uint64_t SECOND_NS = UINT64_C(1000) * 1000 * 1000;
static const uint64_t MINUTE_NS = 60 * UINT64_C(1000) * 1000 * 1000;

/* cmocka compares floats only. What is no number is not near. */
static void check_near(double is, double want, int line) {
  if (!(fabs(is - want) <= 1e-9 * fabs(want))) fail_msg("line %d: %.12g, not %.12g", line, is, want);
}
#define assert_near(is, want) check_near(is, want, __LINE__)

/* A pacer after a cycle that did this work, in which the heap grew from live to live + grown, and which left marked
 * bytes. It took a second of one processor, without assists. */
static tri_pacer after_cycle(tri_pacer_work done, size_t grown, size_t marked) {
  tri_pacer pacer;
  tri_pacer_init(&pacer, 100, SIZE_MAX);
  tri_pacer_start_cycle(&pacer, 8 * TRI_MIB);
  tri_pacer_progress progress = {.live = 8 * TRI_MIB + grown, .done = done, .most = done};
  tri_pacer_times times = {.duration = SECOND_NS, .processors = 1};
  tri_pacer_end_cycle(&pacer, &progress, &times, marked);
  return pacer;
}

static tri_pacer after_quiet_cycle(size_t marked) { return after_cycle((tri_pacer_work){.heap = marked}, 0, marked); }

static void test_before_the_first_cycle(void **state) {
  (void)state;
  tri_pacer pacer;
  tri_pacer_init(&pacer, 100, SIZE_MAX);
  tri_pacer_point point = tri_pacer_trigger(&pacer, NO_MEMORY);
  assert_int_equal(point.goal, 4 * TRI_MIB);
  assert_int_equal(point.trigger, 4 * TRI_MIB / 64 * 61);
  tri_pacer_init(&pacer, 0, SIZE_MAX);
  assert_int_equal(tri_pacer_trigger(&pacer, NO_MEMORY).goal, 0); /* nothing waits for the sweeper */
  tri_pacer_init(&pacer, -7, SIZE_MAX);
  assert_int_equal(pacer.percent, -1);
  point = tri_pacer_trigger(&pacer, NO_MEMORY);
  assert_int_equal(point.goal, TRI_PACER_NEVER);
  assert_int_equal(point.trigger, TRI_PACER_NEVER);
}

static void test_goal_counts_roots_but_not_remarking(void **state) {
  (void)state;
  tri_pacer_work done = {.heap = 90 * TRI_MIB, .stack = 10 * TRI_MIB, .data = 20 * TRI_MIB, .remark = 70 * TRI_MIB};
  tri_pacer pacer = after_cycle(done, 0, 100 * TRI_MIB);
  assert_int_equal(tri_pacer_heap_goal(&pacer, NO_MEMORY), 230 * TRI_MIB);
  assert_int_equal(tri_pacer_expected_work(&pacer), 190 * TRI_MIB);
}

/* What has to be scanned of static data is known before all of it was. */
static void test_goal_counts_all_static_data(void **state) {
  (void)state;
  tri_pacer pacer;
  tri_pacer_init(&pacer, 100, SIZE_MAX);
  tri_pacer_start_cycle(&pacer, TRI_MIB);
  tri_pacer_progress progress = {.live = TRI_MIB, .done = {.data = TRI_MIB}, .most = {.data = 20 * TRI_MIB}};
  tri_pacer_times times = {.duration = SECOND_NS, .processors = 1};
  tri_pacer_end_cycle(&pacer, &progress, &times, 100 * TRI_MIB);
  assert_int_equal(tri_pacer_heap_goal(&pacer, NO_MEMORY), 220 * TRI_MIB);
}

/* Between 45/64 and 61/64 of the way, or 4 MiB before the goal if that is later. */
static void test_trigger_bounds(void **state) {
  (void)state;
  tri_pacer pacer = after_quiet_cycle(64 * TRI_MIB);
  assert_int_equal(tri_pacer_trigger(&pacer, NO_MEMORY).goal, 128 * TRI_MIB);
  static const size_t runway_and_trigger[][2] = {{0, 125}, {3, 125}, {4, 124}, {10, 118}, {19, 109}, {20, 109}};
  for (size_t i = 0; i < sizeof runway_and_trigger / sizeof runway_and_trigger[0]; i++) {
    pacer.runway = runway_and_trigger[i][0] * TRI_MIB;
    assert_int_equal(tri_pacer_trigger(&pacer, NO_MEMORY).trigger, runway_and_trigger[i][1] * TRI_MIB);
  }
  pacer.runway = TRI_PACER_NEVER;
  assert_int_equal(tri_pacer_trigger(&pacer, NO_MEMORY).trigger, 109 * TRI_MIB);
  pacer = after_quiet_cycle(640 * TRI_MIB);
  assert_int_equal(tri_pacer_trigger(&pacer, NO_MEMORY).trigger, 1276 * TRI_MIB);
}

static void test_the_sweeper_has_room(void **state) {
  (void)state;
  tri_pacer pacer = after_quiet_cycle(8 * TRI_MIB);
  tri_pacer_commit(&pacer, 10 * TRI_MIB, false);
  assert_int_equal(tri_pacer_trigger(&pacer, NO_MEMORY).goal, 16 * TRI_MIB);
  pacer.runway = TRI_PACER_NEVER;
  assert_int_equal(tri_pacer_trigger(&pacer, NO_MEMORY).trigger, 8 * TRI_MIB + 8 * TRI_MIB / 64 * 45);
  tri_pacer_commit(&pacer, 14 * TRI_MIB, false);
  pacer.runway = TRI_PACER_NEVER;
  assert_int_equal(tri_pacer_trigger(&pacer, NO_MEMORY).trigger, 15 * TRI_MIB);
  tri_pacer_commit(&pacer, 20 * TRI_MIB, false);
  assert_int_equal(tri_pacer_trigger(&pacer, NO_MEMORY).goal, 21 * TRI_MIB);
  assert_int_equal(tri_pacer_trigger(&pacer, NO_MEMORY).trigger, 21 * TRI_MIB);
  tri_pacer_commit(&pacer, 20 * TRI_MIB, true);
  assert_int_equal(tri_pacer_trigger(&pacer, NO_MEMORY).goal, 16 * TRI_MIB);
  pacer = after_quiet_cycle(4096); /* a cycle ends with all unswept */
  assert_int_equal(pacer.sweep_trigger, 4096 + TRI_MIB);
}

static void test_a_late_cycle_has_some_runway(void **state) {
  (void)state;
  tri_pacer pacer = after_quiet_cycle(8 * TRI_MIB);
  tri_pacer_start_cycle(&pacer, 16 * TRI_MIB - 100 * TRI_KIB);
  assert_int_equal(tri_pacer_heap_goal(&pacer, NO_MEMORY), 16 * TRI_MIB);
  pacer = after_quiet_cycle(8 * TRI_MIB);
  tri_pacer_start_cycle(&pacer, 30 * TRI_MIB);
  assert_int_equal(tri_pacer_heap_goal(&pacer, NO_MEMORY), 30 * TRI_MIB + 64 * TRI_KIB);
}

static void test_a_cycle_given_up(void **state) {
  (void)state;
  tri_pacer pacer = after_quiet_cycle(8 * TRI_MIB);
  tri_pacer_start_cycle(&pacer, 30 * TRI_MIB);
  tri_pacer_drop_cycle(&pacer);
  assert_int_equal(tri_pacer_heap_goal(&pacer, NO_MEMORY), 16 * TRI_MIB);
  tri_pacer_start_cycle(&pacer, 10 * TRI_MIB);
}

static void test_settings(void **state) {
  (void)state;
  tri_pacer pacer = after_quiet_cycle(100 * TRI_MIB);
  assert_int_equal(tri_pacer_set_percent(&pacer, 50), 100);
  tri_pacer_commit(&pacer, 100 * TRI_MIB, true);
  assert_int_equal(tri_pacer_heap_goal(&pacer, NO_MEMORY), 150 * TRI_MIB);
  assert_int_equal(tri_pacer_set_percent(&pacer, -3), 50);
  assert_int_equal(tri_pacer_set_percent(&pacer, 0), -1);
  assert_int_equal(tri_pacer_set_limit(&pacer, TRI_GIB), TRI_PACER_NEVER);
  assert_int_equal(tri_pacer_set_limit(&pacer, SIZE_MAX), TRI_GIB);
  tri_pacer_commit(&pacer, 100 * TRI_MIB, true);
  assert_int_equal(tri_pacer_trigger(&pacer, NO_MEMORY).trigger, 100 * TRI_MIB); /* no growth at all */
}

static void test_two_minutes(void **state) {
  (void)state;
  tri_pacer pacer;
  tri_pacer_init(&pacer, 100, SIZE_MAX);
  assert_false(tri_pacer_is_due(&pacer, 2 * MINUTE_NS, 5, 5 + 120 * SECOND_NS));
  assert_true(tri_pacer_is_due(&pacer, 2 * MINUTE_NS, 5, 6 + 120 * SECOND_NS));
  assert_false(tri_pacer_is_due(&pacer, 2 * MINUTE_NS, 0, 500 * SECOND_NS));
  assert_false(tri_pacer_is_due(&pacer, 2 * MINUTE_NS, 500 * SECOND_NS, 100 * SECOND_NS));
  tri_pacer_set_percent(&pacer, 0);
  assert_true(tri_pacer_is_due(&pacer, 2 * MINUTE_NS, 5, 6 + 120 * SECOND_NS));
  tri_pacer_set_percent(&pacer, -1);
  assert_false(tri_pacer_is_due(&pacer, 2 * MINUTE_NS, 5, 6 + 120 * SECOND_NS));
}

/* ---- the memory limit ---- */

static size_t limit_goal(size_t limit, size_t mapped, size_t heap_free, size_t heap_alloc, size_t marked) {
  tri_pacer pacer = after_quiet_cycle(marked);
  tri_pacer_set_limit(&pacer, limit);
  tri_pacer_memory memory = {.mapped = mapped, .heap_free = heap_free, .heap_alloc = heap_alloc};
  return tri_pacer_limit_goal(&pacer, memory);
}

static void test_limit_goal(void **state) {
  (void)state;
  const size_t mib = TRI_MIB;
  const size_t room = 90 * mib;
  assert_int_equal(limit_goal(SIZE_MAX, 500 * mib, 0, 0, mib), TRI_PACER_NEVER);
  assert_int_equal(limit_goal(100 * mib, 0, 0, 0, mib), 100 * mib - 100 * mib / 100 * 3);
  assert_int_equal(limit_goal(100 * mib, 60 * mib, 10 * mib, 40 * mib, mib), room - room / 100 * 3);   /* 10 other */
  assert_int_equal(limit_goal(100 * mib, 110 * mib, 10 * mib, 100 * mib, mib), room - room / 100 * 3); /* 10 over */
  assert_int_equal(limit_goal(100 * mib, 40 * mib, 10 * mib, 40 * mib, mib), 100 * mib - 100 * mib / 100 * 3);
  assert_int_equal(limit_goal(10 * mib, 0, 0, 0, mib), 9 * mib); /* at least 1 MiB of headroom */
  assert_int_equal(limit_goal(mib + 1, 0, 0, 0, 4096), mib);     /* and no less for the heap */
  assert_int_equal(limit_goal(4096, 0, 0, 0, 4096), mib);
  assert_int_equal(limit_goal(100 * mib, 120 * mib, 0, 0, 7 * mib), 7 * mib); /* all is other memory */
  assert_int_equal(limit_goal(100 * mib, 100 * mib, 0, 0, 4096), 4096);
  assert_int_equal(limit_goal(100 * mib, 0, 0, 0, 98 * mib), 98 * mib); /* it cannot be kept */
}

/* Nothing that otherwise moves the goal up does so against the limit. */
static void test_the_lower_goal_counts(void **state) {
  (void)state;
  tri_pacer pacer = after_quiet_cycle(90 * TRI_MIB);
  tri_pacer_set_limit(&pacer, 100 * TRI_MIB);
  size_t goal = 100 * TRI_MIB - 100 * TRI_MIB / 100 * 3;
  tri_pacer_commit(&pacer, 99 * TRI_MIB, false);
  assert_int_equal(tri_pacer_trigger(&pacer, NO_MEMORY).goal, goal);
  assert_true(tri_pacer_trigger(&pacer, NO_MEMORY).trigger < goal);
  tri_pacer_start_cycle(&pacer, 99 * TRI_MIB);
  assert_int_equal(tri_pacer_heap_goal(&pacer, NO_MEMORY), goal);
  tri_pacer_set_limit(&pacer, 1000 * TRI_MIB);
  assert_int_equal(tri_pacer_heap_goal(&pacer, NO_MEMORY), 180 * TRI_MIB);
}

/* ---- cons/mark ---- */

static void end_cycle(tri_pacer *pacer, size_t grown, size_t scanned, tri_pacer_times times) {
  tri_pacer_start_cycle(pacer, TRI_MIB);
  tri_pacer_progress progress = {.live = TRI_MIB + grown, .done = {.heap = scanned}, .most = {.heap = scanned}};
  tri_pacer_end_cycle(pacer, &progress, &times, TRI_MIB);
}

/* (allocated / program's processor time) / (scanned / collector's processor time). */
static void test_cons_mark(void **state) {
  (void)state;
  const uint64_t s = SECOND_NS;
  static const size_t kib = TRI_KIB;
  tri_pacer pacer;
  tri_pacer_init(&pacer, 100, SIZE_MAX);
  end_cycle(&pacer, 100 * kib, 300 * kib, (tri_pacer_times){.duration = s, .processors = 4});
  assert_near(pacer.cons_mark, 1.0 / 9);
  tri_pacer_init(&pacer, 100, SIZE_MAX);
  end_cycle(&pacer, 100 * kib, 300 * kib, (tri_pacer_times){.duration = s, .assist = s, .processors = 4});
  assert_near(pacer.cons_mark, 1.0 / 3);
  tri_pacer_init(&pacer, 100, SIZE_MAX);
  end_cycle(&pacer, 100 * kib, 300 * kib, (tri_pacer_times){.duration = s, .idle = s, .processors = 4});
  assert_near(pacer.cons_mark, 2.0 / 9);
  tri_pacer_init(&pacer, 100, SIZE_MAX);
  end_cycle(&pacer, 100 * kib, 300 * kib, (tri_pacer_times){.duration = s, .assist = 4 * s, .processors = 4});
  assert_true(pacer.cons_mark > 1 && pacer.cons_mark < 1e6); /* the program had nothing: much, but a number */
}

static void test_all_kinds_of_work_count(void **state) {
  (void)state;
  tri_pacer_work done = {.heap = 100 * TRI_KIB, .stack = 50 * TRI_KIB, .data = 30 * TRI_KIB, .remark = 120 * TRI_KIB};
  tri_pacer pacer = after_cycle(done, 90 * TRI_KIB, TRI_MIB);
  assert_near(pacer.cons_mark, 0.1);
  assert_in_range(pacer.runway, 90 * TRI_KIB - 1, 90 * TRI_KIB); /* what was allocated beside that work */
}

static void test_the_highest_of_five(void **state) {
  (void)state;
  tri_pacer_times times = {.duration = SECOND_NS, .processors = 2};
  tri_pacer pacer;
  tri_pacer_init(&pacer, 100, SIZE_MAX);
  end_cycle(&pacer, 900, 1000, times);
  assert_near(pacer.cons_mark, 0.3);
  for (int i = 0; i < TRI_PACER_CYCLES; i++) {
    end_cycle(&pacer, 300, 1000, times);
    assert_near(pacer.cons_mark, 0.3);
  }
  end_cycle(&pacer, 300, 1000, times);
  assert_near(pacer.cons_mark, 0.1);
  end_cycle(&pacer, 600, 1000, times);
  assert_near(pacer.cons_mark, 0.2);
}

/* A last stop that was abandoned did only part of what it had found. */
static void test_work_not_done_does_not_count(void **state) {
  (void)state;
  tri_pacer pacer;
  tri_pacer_init(&pacer, 100, SIZE_MAX);
  tri_pacer_start_cycle(&pacer, TRI_MIB);
  tri_pacer_progress progress = {.live = TRI_MIB + 900, .done = {.heap = 500, .remark = 500}};
  progress.most = (tri_pacer_work){.heap = 5000, .stack = 5000, .remark = 5000};
  tri_pacer_times times = {.duration = SECOND_NS, .processors = 1};
  tri_pacer_end_cycle(&pacer, &progress, &times, TRI_MIB);
  assert_near(pacer.cons_mark, 0.3);
  assert_int_equal(tri_pacer_expected_work(&pacer), 1000);
}

/* A cycle that ran in a stop, or was too short to tell, leaves the ratio, but what it scanned is known. */
static void test_nothing_to_measure(void **state) {
  (void)state;
  tri_pacer_times times = {.duration = SECOND_NS, .processors = 1};
  tri_pacer pacer;
  tri_pacer_init(&pacer, 100, SIZE_MAX);
  end_cycle(&pacer, 900, 1000, times);
  end_cycle(&pacer, 0, 2000, times);
  assert_near(pacer.cons_mark, 0.3);
  end_cycle(&pacer, 9000, 0, times);
  assert_near(pacer.cons_mark, 0.3);
  end_cycle(&pacer, 9000, 4000, (tri_pacer_times){.processors = 1});
  assert_near(pacer.cons_mark, 0.3);
  assert_near(pacer.recent[TRI_PACER_CYCLES - 1], 0.3);
  assert_int_equal(tri_pacer_expected_work(&pacer), 4000);
}

/* ---- figures out of all bounds ---- */

static void check_extreme(size_t marked, size_t grown, tri_pacer_work work) {
  tri_pacer pacer = after_cycle(work, grown, marked);
  tri_pacer_memory memory = {.mapped = grown, .heap_free = marked, .heap_alloc = work.heap};
  for (size_t limit = 1; limit; limit <<= 9) {
    tri_pacer_set_limit(&pacer, limit);
    tri_pacer_point point = tri_pacer_trigger(&pacer, memory);
    assert_true(point.trigger <= point.goal);
    assert_true(point.goal >= tri_min(marked, TRI_PACER_NEVER));
    assert_true(point.goal <= TRI_PACER_NEVER);
  }
  tri_pacer_start_cycle(&pacer, marked);
  tri_pacer_progress progress = {.live = grown, .done = work, .most = work};
  tri_pacer_assist assist = tri_pacer_revise(&pacer, &progress, memory);
  assert_true(assist.work_per_byte > 0 && assist.work_per_byte < 1e30);
  assert_true(assist.bytes_per_work > 0 && assist.bytes_per_work < 1e30);
}

static void test_extremes(void **state) {
  (void)state;
  static const size_t sizes[] = {0, 1, 63, 5000, TRI_GIB, (size_t)PTRDIFF_MAX - 1, PTRDIFF_MAX, SIZE_MAX / 2 + 9};
  const size_t n = sizeof sizes / sizeof sizes[0];
  for (size_t i = 0; i < n * n * n * n; i++) {
    tri_pacer_work work = {.heap = sizes[i % n], .stack = sizes[i / n % n], .remark = sizes[i / n / n % n]};
    check_extreme(sizes[i / n / n / n], sizes[i % n], work);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_goal_grows_by_the_percentage),
      cmocka_unit_test(test_roots_count_as_live),
      cmocka_unit_test(test_never_below_the_minimum),
      cmocka_unit_test(test_the_minimum_is_exact),
      cmocka_unit_test(test_off),
      cmocka_unit_test(test_no_overflow),
      cmocka_unit_test(test_before_the_first_cycle),
      cmocka_unit_test(test_goal_counts_roots_but_not_remarking),
      cmocka_unit_test(test_goal_counts_all_static_data),
      cmocka_unit_test(test_trigger_bounds),
      cmocka_unit_test(test_the_sweeper_has_room),
      cmocka_unit_test(test_a_late_cycle_has_some_runway),
      cmocka_unit_test(test_a_cycle_given_up),
      cmocka_unit_test(test_settings),
      cmocka_unit_test(test_two_minutes),
      cmocka_unit_test(test_limit_goal),
      cmocka_unit_test(test_the_lower_goal_counts),
      cmocka_unit_test(test_cons_mark),
      cmocka_unit_test(test_all_kinds_of_work_count),
      cmocka_unit_test(test_the_highest_of_five),
      cmocka_unit_test(test_work_not_done_does_not_count),
      cmocka_unit_test(test_nothing_to_measure),
      cmocka_unit_test(test_extremes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
