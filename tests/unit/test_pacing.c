/* test_pacing.c - triggers, limits and assists from figures one can check by hand. The heap is not started: what it
 * tells the pacing, and the pacing it, are two numbers. What goals, triggers and ratios should be: test_pacer*.c; here
 * is what becomes of them, and that collections of both kinds are kept apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gc/pacing.h"
#include "heap/heap.h"

enum { PERCENT = 100, PROCESSORS = 2 };
static const uint64_t MS = 1000 * 1000;
static const size_t GIB = 1024 * TRI_MIB;
static const tri_pacing_done NOTHING;

static void set_live(size_t bytes) {
  atomic_store_explicit(&tri_the_heap.live, (ptrdiff_t)bytes, memory_order_relaxed);
}

static size_t trigger(void) { return (size_t)atomic_load_explicit(&tri_the_heap.trigger, memory_order_relaxed); }

/* A collection that began at `from` bytes and ended at `to`, of which so many were left; it scanned so much. */
static void collect(bool young, size_t from, size_t to, size_t left, tri_pacer_work scanned, uint64_t duration) {
  set_live(from);
  tri_pacing_begin(young, NOTHING);
  tri_pacing_note_dirty(scanned.remark);
  tri_pacing_end(&(tri_pacing_result){
      .live = to, .left = left, .scanned = scanned, .times = {.duration = duration, .processors = PROCESSORS}});
  set_live(left);
}

/* Full ones that found 100 MiB; the last began at 150 MiB, and the program allocated a tenth of what was scanned. */
static int start(void **state) {
  (void)state;
  tri_pacing_init(PERCENT, 0, PROCESSORS);
  for (int i = 0; i <= TRI_PACER_CYCLES; i++)
    collect(false, 150 * TRI_MIB, 160 * TRI_MIB, 100 * TRI_MIB, (tri_pacer_work){.heap = 100 * TRI_MIB}, MS);
  tri_pacing_expect(false, false);
  return 0;
}

/* ---- triggers ---- */

static void test_the_trigger_is_the_goal_when_the_program_is_stopped(void **state) {
  (void)state;
  assert_int_equal(tri_pacing_goal(), 200 * TRI_MIB);
  assert_int_equal(trigger(), 200 * TRI_MIB);
}

/* What was allocated beside the same work. */
static void test_the_trigger_leaves_room_for_what_is_allocated_meanwhile(void **state) {
  (void)state;
  tri_pacing_expect(false, true);
  assert_in_range(trigger(), 190 * TRI_MIB - 1024, 190 * TRI_MIB + 1024);
}

static void test_what_was_scanned_again_takes_its_time_too(void **state) {
  (void)state;
  tri_pacer_work scanned = {.heap = 100 * TRI_MIB, .remark = 100 * TRI_MIB};
  for (int i = 0; i <= TRI_PACER_CYCLES; i++) collect(false, 150 * TRI_MIB, 162 * TRI_MIB, 100 * TRI_MIB, scanned, MS);
  tri_pacing_expect(false, true);
  assert_in_range(trigger(), 188 * TRI_MIB - 1024, 188 * TRI_MIB + 1024);
  assert_int_equal(tri_pacing_goal(), 200 * TRI_MIB); /* but does not live */
}

/* Of a mark within one stop nothing is learned about what the program allocates beside one. */
static void test_stops_tell_nothing(void **state) {
  (void)state;
  collect(false, 150 * TRI_MIB, 199 * TRI_MIB, 100 * TRI_MIB, (tri_pacer_work){.heap = 100 * TRI_MIB}, 0);
  tri_pacing_expect(false, true);
  assert_in_range(trigger(), 190 * TRI_MIB - 1024, 190 * TRI_MIB + 1024);
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
  tri_pacing_begin(false, NOTHING);
  tri_pacing_drop();
  tri_pacing_put_off();
  assert_false(tri_heap_wants_collection());
  set_live(310 * TRI_MIB);
  assert_true(tri_heap_wants_collection());
}

/* ---- two kinds ---- */

/* What young ones take to live counts for the next trigger; the goal remains that of the last full one. */
static void test_young_ones_raise_no_goal(void **state) {
  (void)state;
  for (size_t left = 110; left <= 190; left += 10) {
    collect(true, 195 * TRI_MIB, 195 * TRI_MIB, left * TRI_MIB, (tri_pacer_work){.heap = TRI_MIB}, 0);
    tri_pacing_expect(true, false);
    assert_int_equal(tri_pacing_goal(), 200 * TRI_MIB);
    assert_int_equal(trigger(), 200 * TRI_MIB);
  }
  collect(true, 199 * TRI_MIB, 199 * TRI_MIB, 300 * TRI_MIB, (tri_pacer_work){.heap = TRI_MIB}, 0);
  tri_pacing_expect(false, true); /* beyond the goal: when the sweeper had its chance */
  assert_int_equal(trigger(), 301 * TRI_MIB);
}

/* A young one scans a hundredth and allocates as much beside it: at that rate a full one would never end. */
static void test_what_young_ones_cost_tells_nothing_of_full_ones(void **state) {
  (void)state;
  for (int i = 0; i <= TRI_PACER_CYCLES; i++)
    collect(true, 190 * TRI_MIB, 192 * TRI_MIB, 100 * TRI_MIB, (tri_pacer_work){.heap = TRI_MIB, .remark = TRI_MIB},
            MS);
  tri_pacing_expect(false, true);
  assert_in_range(trigger(), 190 * TRI_MIB - 1024, 190 * TRI_MIB + 1024);
  tri_pacing_expect(true, true); /* 2 MiB, but a trigger is no later than the minimum heap before the goal */
  assert_in_range(trigger(), 196 * TRI_MIB - 1024, 196 * TRI_MIB + 1024);
}

/* Between what is left and the goal. */
static void test_the_trigger_is_above_what_a_young_one_left(void **state) {
  (void)state;
  collect(true, 170 * TRI_MIB, 199 * TRI_MIB, 150 * TRI_MIB, (tri_pacer_work){.heap = TRI_MIB}, MS);
  tri_pacing_expect(true, true); /* 29 MiB were allocated meanwhile */
  assert_in_range(trigger(), 150 * TRI_MIB + 50 * TRI_MIB * 56 / 64 - 1024,
                  150 * TRI_MIB + 50 * TRI_MIB * 56 / 64 + 1024);
  tri_pacing_expect(false, true);
  assert_in_range(trigger(), 193 * TRI_MIB + 768 * TRI_KIB - 1024, 193 * TRI_MIB + 768 * TRI_KIB + 1024);
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
static size_t due_for(size_t bytes, tri_pacing_done done) {
  size_t due = 0;
  for (size_t claimed = 0; claimed < bytes; claimed += 4096) due += tri_pacing_due(4096, done);
  return due;
}

/* A full one, at 150 of 200 MiB: 100 are to be scanned. */
static void begin_full(void) {
  set_live(150 * TRI_MIB);
  tri_pacing_begin(false, NOTHING);
}

static size_t due_alone(void) { return tri_pacing_due(4096, NOTHING); }

static void test_the_mark_is_done_at_the_goal_if_nobody_else_marks(void **state) {
  (void)state;
  begin_full();
  size_t done = 0;
  for (size_t live = 150 * TRI_MIB; live < 200 * TRI_MIB; live += 4096) {
    set_live(live);
    done += tri_pacing_due(4096, (tri_pacing_done){.marked = done});
  }
  assert_in_range(done, 99 * TRI_MIB, 101 * TRI_MIB);
}

/* Half of the work is left, for a quarter of the room. */
static void test_the_ratio_is_revised(void **state) {
  (void)state;
  begin_full();
  assert_in_range(due_alone(), 2 * 4096 - 8, 2 * 4096);
  set_live(187 * TRI_MIB + TRI_MIB / 2);
  (void)due_for(100 * TRI_MIB, (tri_pacing_done){.marked = 50 * TRI_MIB});
  assert_in_range(tri_pacing_due(4096, (tri_pacing_done){.marked = 50 * TRI_MIB}), 4 * 4096 - 8, 4 * 4096);
}

static void test_nothing_is_due_while_markers_are_ahead(void **state) {
  (void)state;
  for (size_t before = 0; before < 2; before++) { /* markers have done little, or a lot, before this */
    size_t done = before ? SIZE_MAX - 1000 : 10;  /* and their count comes round */
    set_live(150 * TRI_MIB);
    tri_pacing_begin(false, (tri_pacing_done){.marked = done});
    assert_int_equal(due_for(TRI_MIB, (tri_pacing_done){.marked = done + 10 * TRI_MIB}), 0);
    assert_int_equal(due_for(40 * TRI_MIB, (tri_pacing_done){.marked = done + 99 * TRI_MIB}), 0);
    tri_pacing_drop();
  }
}

/* What was written is scanned again, and paid for. */
static void test_rounds_are_paid_for(void **state) {
  (void)state;
  begin_full();
  tri_pacing_note_dirty(20 * TRI_MIB);
  tri_pacing_note_dirty(30 * TRI_MIB);
  assert_in_range(due_alone(), 3 * 4096 - 8, 3 * 4096);
  size_t done = 150 * TRI_MIB; /* whoever scans it is credited */
  assert_int_equal(tri_pacing_due(4096, (tri_pacing_done){.marked = 100 * TRI_MIB, .rescanned = 50 * TRI_MIB}), 0);
  (void)due_for(done, NOTHING);
  assert_in_range(due_alone(), 3 * 4096 - 8, 3 * 4096);
}

/* A young one has to scan what was written and what is new; that is not re-marking, of which no more than four times as
 * much is forecast as of other work. */
static void test_a_young_one_begins_with_what_was_written(void **state) {
  (void)state;
  tri_pacer_work scanned = {.remark = 20 * TRI_MIB};
  collect(true, 150 * TRI_MIB, 151 * TRI_MIB, 100 * TRI_MIB, scanned, MS);
  set_live(190 * TRI_MIB);
  tri_pacing_begin(true, NOTHING);
  assert_in_range(due_alone(), 2 * 4096 - 8, 2 * 4096); /* 20 MiB as last time, 10 to go */
  tri_pacing_note_dirty(15 * TRI_MIB);
  assert_in_range(due_alone(), 2 * 4096 - 8, 2 * 4096); /* still expected */
  tri_pacing_note_dirty(10 * TRI_MIB);                  /* a round */
  assert_in_range(due_alone(), 3 * 4096 - 8, 3 * 4096);
}

static void test_under_pressure_there_is_no_credit(void **state) {
  (void)state;
  const tri_pacing_done all = {.marked = 100 * TRI_MIB};
  begin_full();
  assert_int_equal(tri_pacing_due(4096, all), 0);
  tri_pacing_press();
  assert_int_equal(tri_pacing_due(4096, all), 8 * 4096);
  for (int i = 0; i < 9; i++) tri_pacing_press();
  assert_int_equal(tri_pacing_due(4096, all), 64 * 4096);
  tri_pacing_drop();
  begin_full(); /* the next cycle */
  assert_int_equal(tri_pacing_due(4096, all), 0);
}

/* ---- the percentage while a mark is on ---- */

static void test_off_and_on_while_marking(void **state) {
  (void)state;
  begin_full();
  assert_in_range(due_alone(), 2 * 4096 - 8, 2 * 4096);
  (void)tri_pacing_set_percent(-1);
  assert_int_equal(due_for(TRI_MIB, NOTHING), 0);
  set_live(500 * TRI_MIB);
  assert_false(tri_pacing_is_over_limit());
  (void)tri_pacing_set_percent(200); /* up to 300 MiB */
  assert_true(tri_pacing_is_over_limit());
  set_live(250 * TRI_MIB);
  assert_in_range(due_alone(), 2 * 4096 - 8, 2 * 4096);
  assert_false(tri_pacing_is_over_limit());
  (void)tri_pacing_set_percent(10); /* it should have ended long ago */
  assert_true(tri_pacing_is_over_limit());
  assert_true(due_alone() > 1000 * 4096);
}

static void test_the_next_one_goes_by_the_new_percentage(void **state) {
  (void)state;
  begin_full();
  (void)tri_pacing_set_percent(50);
  tri_pacing_end(&(tri_pacing_result){.live = 160 * TRI_MIB, .left = 100 * TRI_MIB});
  tri_pacing_expect(true, false);
  assert_int_equal(tri_pacing_goal(), 150 * TRI_MIB);
  assert_int_equal(trigger(), 150 * TRI_MIB);
}

/* Without room there is hardly anything that may be allocated. */
static void test_large_heaps(void **state) {
  (void)state;
  collect(false, 150 * GIB, 160 * GIB, 100 * GIB, (tri_pacer_work){.heap = 100 * GIB}, MS);
  tri_pacing_expect(false, true);
  assert_int_equal(tri_pacing_goal(), 200 * GIB);
  set_live(200 * GIB);
  tri_pacing_begin(false, NOTHING);
  assert_true(due_alone() > GIB);
  tri_pacing_press();
  tri_pacing_press();
  assert_in_range(tri_pacing_due(100 * GIB, NOTHING), 100 * GIB, SIZE_MAX);
}

/* ---- the limiter and the period ---- */

/* When the collector has had all processors for so long, nobody pays and nobody waits; until the program has had its
 * turn. */
static void test_when_collecting_is_all_there_is(void **state) {
  (void)state;
  begin_full();
  assert_true(due_alone() > 0);
  tri_pacing_stop_begins(MS, (tri_limiter_times){.assist = 0});
  tri_pacing_stop_ends(901 * MS); /* 1.8 of the two seconds that may pass */
  set_live(500 * TRI_MIB);
  assert_true(tri_pacing_is_over_limit());
  tri_pacing_stop_begins(1001 * MS, (tri_limiter_times){.assist = 200 * MS});
  tri_pacing_stop_ends(1002 * MS);
  assert_int_equal(due_alone(), 0);
  assert_false(tri_pacing_is_over_limit());
  tri_pacing_stop_begins(1102 * MS, (tri_limiter_times){.idle = 100 * MS});
  tri_pacing_stop_ends(1103 * MS);
  assert_true(due_alone() > 0);
  assert_true(tri_pacing_is_over_limit());
}

static void test_the_period(void **state) {
  (void)state;
  assert_false(tri_pacing_is_due(10, 5, 15));
  assert_true(tri_pacing_is_due(10, 5, 16));
  (void)tri_pacing_set_percent(-1);
  assert_false(tri_pacing_is_due(10, 5, 16));
}

/* ---- forks ---- */

/* Of a mark that was on there is nothing left, nor of who was at the pacers. */
static void test_a_child_begins_anew(void **state) {
  (void)state;
  begin_full();
  tri_pacing_stop_begins(MS, (tri_limiter_times){.assist = 0});
  tri_pacing_after_fork_child(2 * MS);
  tri_pacing_stop_begins(3 * MS, (tri_limiter_times){.assist = 0});
  tri_pacing_stop_ends(4 * MS);
  begin_full();
  assert_in_range(due_alone(), 2 * 4096 - 8, 2 * 4096);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_the_trigger_is_the_goal_when_the_program_is_stopped, start),
      cmocka_unit_test_setup(test_the_trigger_leaves_room_for_what_is_allocated_meanwhile, start),
      cmocka_unit_test_setup(test_what_was_scanned_again_takes_its_time_too, start),
      cmocka_unit_test_setup(test_stops_tell_nothing, start),
      cmocka_unit_test_setup(test_percentages, start),
      cmocka_unit_test_setup(test_one_that_could_not_be_made_is_put_off, start),
      cmocka_unit_test_setup(test_young_ones_raise_no_goal, start),
      cmocka_unit_test_setup(test_what_young_ones_cost_tells_nothing_of_full_ones, start),
      cmocka_unit_test_setup(test_the_trigger_is_above_what_a_young_one_left, start),
      cmocka_unit_test_setup(test_the_limit_is_a_tenth_and_a_mebibyte_beyond_the_goal, start),
      cmocka_unit_test_setup(test_no_limit_without_a_goal, start),
      cmocka_unit_test_setup(test_less_than_nothing_lives, start),
      cmocka_unit_test_setup(test_the_mark_is_done_at_the_goal_if_nobody_else_marks, start),
      cmocka_unit_test_setup(test_the_ratio_is_revised, start),
      cmocka_unit_test_setup(test_nothing_is_due_while_markers_are_ahead, start),
      cmocka_unit_test_setup(test_rounds_are_paid_for, start),
      cmocka_unit_test_setup(test_a_young_one_begins_with_what_was_written, start),
      cmocka_unit_test_setup(test_under_pressure_there_is_no_credit, start),
      cmocka_unit_test_setup(test_off_and_on_while_marking, start),
      cmocka_unit_test_setup(test_the_next_one_goes_by_the_new_percentage, start),
      cmocka_unit_test_setup(test_large_heaps, start),
      cmocka_unit_test_setup(test_when_collecting_is_all_there_is, start),
      cmocka_unit_test_setup(test_the_period, start),
      cmocka_unit_test_setup(test_a_child_begins_anew, start),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
