/* test_pacer.c - the goal as a pure function. */
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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_goal_grows_by_the_percentage),
      cmocka_unit_test(test_roots_count_as_live),
      cmocka_unit_test(test_never_below_the_minimum),
      cmocka_unit_test(test_the_minimum_is_exact),
      cmocka_unit_test(test_off),
      cmocka_unit_test(test_no_overflow),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
