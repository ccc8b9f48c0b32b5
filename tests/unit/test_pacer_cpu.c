/* test_pacer_cpu.c - the workers of a cycle, and the collector's part of the processors' time. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gc/pacer.h"
#include "gc/pacer_cpu.h"

#define assert_near(is, want) assert_true(fabs((is) - (want)) < 1e-12)

/* What runtime/mgcpacer.go:startCycle comes to: fractional workers up to three processors, and at six. */
static const struct {
  int processors, dedicated;
  double fraction;
} SPLITS[] = {
    {1, 0, 0.25}, {2, 0, 0.25}, {3, 0, 0.25}, {4, 1, 0},  {5, 1, 0},  {6, 1, 0.5 / 6}, {7, 2, 0},   {8, 2, 0},
    {9, 2, 0},    {10, 3, 0},   {11, 3, 0},   {12, 3, 0}, {13, 3, 0}, {14, 4, 0},      {64, 16, 0}, {1000, 250, 0},
};

static void test_split(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof SPLITS / sizeof SPLITS[0]; i++) {
    tri_pacer_workers workers = tri_pacer_split(SPLITS[i].processors, false);
    assert_int_equal(workers.dedicated, SPLITS[i].dedicated);
    assert_near(workers.fraction, SPLITS[i].fraction);
    assert_int_equal(workers.idle, SPLITS[i].processors - SPLITS[i].dedicated);
  }
}

/* A periodic cycle leaves idle processors alone, unless there would be no worker to rely on. */
static void test_periodic_split(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof SPLITS / sizeof SPLITS[0]; i++) {
    tri_pacer_workers workers = tri_pacer_split(SPLITS[i].processors, true);
    assert_int_equal(workers.dedicated, SPLITS[i].dedicated);
    assert_near(workers.fraction, SPLITS[i].fraction);
    assert_int_equal(workers.idle, SPLITS[i].dedicated == 0);
  }
}

/* Whole workers come within three tenths of the share, and with fractional ones exactly to it. */
static void test_the_share_is_met(void **state) {
  (void)state;
  for (int processors = 1; processors <= 4096; processors++) {
    tri_pacer_workers workers = tri_pacer_split(processors, false);
    double share = workers.dedicated + workers.fraction * processors, want = processors * TRI_PACER_SHARE;
    if (workers.fraction > 0) assert_near(share, want);
    assert_true(share / want > 0.7 && share / want < 1.3);
  }
}

static void test_fractional_worker(void **state) {
  (void)state;
  assert_true(tri_pacer_fraction_begins(0.25, 0, 0));
  assert_true(tri_pacer_fraction_begins(0.25, 25, 100));
  assert_false(tri_pacer_fraction_begins(0.25, 26, 100));
  assert_true(tri_pacer_fraction_goes_on(0.25, 29, 100));
  assert_false(tri_pacer_fraction_goes_on(0.25, 31, 100));
  assert_false(tri_pacer_fraction_goes_on(0.25, 0, 0));
}

static void test_cpu_fraction(void **state) {
  (void)state;
  tri_pacer_spent spent = {.assist = 10, .workers = 20, .stopped = 5};
  assert_near(tri_pacer_cpu_fraction(&spent, 100, 1), 0.35);
  assert_near(tri_pacer_cpu_fraction(&spent, 100, 4), 0.125); /* a stop takes all four */
  assert_near(tri_pacer_cpu_fraction(&spent, 0, 4), 0);
  assert_near(tri_pacer_cpu_fraction(&spent, 10, 2), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_split),
      cmocka_unit_test(test_periodic_split),
      cmocka_unit_test(test_the_share_is_met),
      cmocka_unit_test(test_fractional_worker),
      cmocka_unit_test(test_cpu_fraction),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
