/* test_pacer_limit.c - the bucket of the limiter, step by step.
 *
 * The story is that of Go's TestGCCPULimiter (runtime/mgclimit_test.go, Go 1.27.3): times, shares and expectations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gc/pacer.h"
#include "gc/pacer_limit.h"

#define US UINT64_C(1000)
#define MS (1000 * US)
#define SECOND (1000 * MS)
#define HOUR (3600 * SECOND)

enum { PROCESSORS = 14 };

typedef enum action { UPDATE, MARK_STOP, SWEEP_STOP, STOP_END, RESIZE } action;

typedef struct moment {
  int line;
  action action;
  uint64_t wait;  /* wall, before the action */
  double assist;  /* share of all processors, meanwhile */
  int processors; /* for RESIZE */
  uint64_t fill;  /* afterwards; processor time */
  bool limiting;
  uint64_t overflow; /* likewise, since the story began */
} moment;

#define ALL (1 - TRI_PACER_SHARE)    /* with the background share, all processors collect */
#define HALF (0.5 - TRI_PACER_SHARE) /* with it, the bucket does not move */
#define ALL_OF(time) ((time)*PROCESSORS)
#define CAPACITY(processors) (SECOND * (processors))
#define FULL CAPACITY(PROCESSORS)
#define OVER (FULL / 2)

static const moment STORY[] = {
    /* The program's time alone leaves it empty. */
    {__LINE__, UPDATE, 10 * MS, 0, 0, 0, false, 0},
    {__LINE__, UPDATE, SECOND, 0, 0, 0, false, 0},
    {__LINE__, UPDATE, HOUR, 0, 0, 0, false, 0},
    /* A stop is all ours. */
    {__LINE__, MARK_STOP, 109 * MS, 0, 0, 0, false, 0},
    {__LINE__, STOP_END, 2 * MS + US, 0, 0, ALL_OF(2 * MS + US), false, 0},
    /* Without assists a half of all time drains it: a quarter is ours. To the last nanosecond, then to nothing. */
    {__LINE__, UPDATE, 2 * (2 * MS + US - 1), 0, 0, ALL_OF(1), false, 0},
    {__LINE__, UPDATE, 2 * FULL, 0, 0, 0, false, 0},
    {__LINE__, UPDATE, 10 * MS, HALF, 0, 0, false, 0},
    {__LINE__, UPDATE, MS, ALL, 0, ALL_OF(MS), false, 0},
    /* Full, exactly; and it stays limiting at one half, without overflow. */
    {__LINE__, UPDATE, SECOND - MS, ALL, 0, FULL, true, 0},
    {__LINE__, UPDATE, SECOND, HALF, 0, FULL, true, 0},
    {__LINE__, UPDATE, SECOND, 0, 0, FULL / 2, false, 0},
    {__LINE__, UPDATE, SECOND, ALL, 0, FULL, true, OVER},
    /* Assists that were left over when the mark ends, and the last stop. */
    {__LINE__, SWEEP_STOP, MS, ALL, 0, FULL, true, OVER + ALL_OF(MS)},
    {__LINE__, STOP_END, 5 * MS, 0, 0, FULL, true, OVER + ALL_OF(6 * MS)},
    /* More processors, more room; fewer, and it is full, but not by anybody's work. */
    {__LINE__, RESIZE, 0, 0, PROCESSORS + 10, FULL, false, OVER + ALL_OF(6 * MS)},
    {__LINE__, RESIZE, 0, 0, PROCESSORS - 10, CAPACITY(PROCESSORS - 10), true, OVER + ALL_OF(6 * MS)},
    /* Back to nothing. */
    {__LINE__, RESIZE, FULL, 0, PROCESSORS, 0, false, OVER + ALL_OF(6 * MS)},
};

static void act(tri_limiter *limiter, const moment *at, uint64_t now, tri_limiter_times times) {
  switch (at->action) {
  case UPDATE: tri_limiter_update(limiter, now, times); break;
  case MARK_STOP: tri_limiter_stop_begin(limiter, now, times, true); break;
  case SWEEP_STOP: tri_limiter_stop_begin(limiter, now, times, false); break;
  case STOP_END: tri_limiter_stop_end(limiter, now); break;
  case RESIZE: tri_limiter_resize(limiter, now, times, at->processors); break;
  }
}

/* Twice: nothing of the first time is left. */
static void test_the_story(void **state) {
  (void)state;
  uint64_t now = 5, overflow = 0;
  tri_limiter limiter;
  tri_limiter_init(&limiter, now, PROCESSORS);
  for (int round = 0; round < 2; round++, overflow = limiter.overflow) {
    assert_int_equal(limiter.capacity, PROCESSORS * SECOND);
    for (size_t i = 0; i < sizeof STORY / sizeof STORY[0]; i++) {
      const moment *at = &STORY[i];
      now += at->wait;
      tri_limiter_times times = {.assist = (uint64_t)(at->assist * (double)at->wait * PROCESSORS)};
      act(&limiter, at, now, times);
      bool right = limiter.fill == at->fill && limiter.overflow - overflow == at->overflow;
      if (!right || tri_limiter_is_limiting(&limiter) != at->limiting)
        fail_msg("round %d, line %d: fill %llu, overflow %llu, limiting %d; expected %llu, %llu, %d", round, at->line,
                 (unsigned long long)limiter.fill, (unsigned long long)(limiter.overflow - overflow),
                 tri_limiter_is_limiting(&limiter), (unsigned long long)at->fill, (unsigned long long)at->overflow,
                 at->limiting);
    }
  }
}

static void test_stale_after_ten_milliseconds(void **state) {
  (void)state;
  tri_limiter limiter;
  tri_limiter_init(&limiter, SECOND, 2);
  assert_false(tri_limiter_is_stale(&limiter, SECOND));
  assert_false(tri_limiter_is_stale(&limiter, SECOND - MS));
  assert_false(tri_limiter_is_stale(&limiter, SECOND + 10 * MS));
  assert_true(tri_limiter_is_stale(&limiter, SECOND + 10 * MS + 1));
  tri_limiter_update(&limiter, SECOND + 15 * MS, (tri_limiter_times){0});
  assert_false(tri_limiter_is_stale(&limiter, SECOND + 16 * MS));
}

/* Of four processors: the workers' share is one, whether or not another is idle, but then the program has less. */
static void test_idle_time_is_nobodys(void **state) {
  (void)state;
  tri_limiter limiter;
  tri_limiter_init(&limiter, 0, 4);
  tri_limiter_stop_begin(&limiter, 0, (tri_limiter_times){0}, true);
  tri_limiter_stop_end(&limiter, 0);
  tri_limiter_update(&limiter, SECOND, (tri_limiter_times){.assist = SECOND / 2, .idle = SECOND});
  assert_int_equal(limiter.fill, 0); /* 1.5 ours, 1.5 the program's */
  tri_limiter_update(&limiter, 2 * SECOND, (tri_limiter_times){.assist = SECOND / 2, .idle = 2 * SECOND});
  assert_int_equal(limiter.fill, SECOND); /* 1.5 ours, 0.5 the program's */
}

static void test_partial_fills_add_up(void **state) {
  (void)state;
  tri_limiter limiter;
  tri_limiter_init(&limiter, 0, 2);
  for (uint64_t i = 1; i <= 5; i++) {
    tri_limiter_update(&limiter, i * MS, (tri_limiter_times){.assist = 2 * MS});
    assert_int_equal(limiter.fill, i * 2 * MS);
  }
}

/* The time before counts for the old number, the time after for the new one; a full bucket of the same size stays
 * so. */
static void test_resize(void **state) {
  (void)state;
  tri_limiter limiter;
  tri_limiter_init(&limiter, 0, 2);
  tri_limiter_update(&limiter, SECOND, (tri_limiter_times){.assist = 2 * SECOND});
  tri_limiter_resize(&limiter, SECOND, (tri_limiter_times){0}, 2);
  assert_true(tri_limiter_is_limiting(&limiter));
  tri_limiter_resize(&limiter, SECOND + 10 * MS, (tri_limiter_times){0}, 4);
  assert_int_equal(limiter.fill, 2 * SECOND - 20 * MS);
  tri_limiter_update(&limiter, SECOND + 20 * MS, (tri_limiter_times){0});
  assert_int_equal(limiter.fill, 2 * SECOND - 60 * MS);
}

/* Times that began before the window may exceed it. The program did not have less than nothing. */
static void test_more_time_than_passed(void **state) {
  (void)state;
  tri_limiter limiter;
  tri_limiter_init(&limiter, 0, 2);
  tri_limiter_update(&limiter, MS, (tri_limiter_times){.idle = 50 * MS});
  assert_int_equal(limiter.fill, 0);
  tri_limiter_update(&limiter, 2 * MS, (tri_limiter_times){.assist = 5 * MS});
  assert_int_equal(limiter.fill, 5 * MS);
}

static void test_an_earlier_time_changes_nothing(void **state) {
  (void)state;
  tri_limiter limiter;
  tri_limiter_init(&limiter, SECOND, 2);
  tri_limiter_update(&limiter, 2 * SECOND, (tri_limiter_times){.assist = 2 * SECOND});
  assert_int_equal(limiter.fill, 2 * SECOND);
  tri_limiter_update(&limiter, SECOND, (tri_limiter_times){.assist = SECOND});
  assert_int_equal(limiter.fill, 2 * SECOND);
  assert_int_equal(limiter.updated, 2 * SECOND);
  tri_limiter_stop_begin(&limiter, 2 * SECOND, (tri_limiter_times){0}, true);
  tri_limiter_stop_end(&limiter, SECOND);
  assert_int_equal(limiter.overflow, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_story),
      cmocka_unit_test(test_stale_after_ten_milliseconds),
      cmocka_unit_test(test_idle_time_is_nobodys),
      cmocka_unit_test(test_partial_fills_add_up),
      cmocka_unit_test(test_resize),
      cmocka_unit_test(test_more_time_than_passed),
      cmocka_unit_test(test_an_earlier_time_changes_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
