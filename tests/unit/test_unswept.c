/* test_unswept.c - who takes memory sweeps his part, though the background thread does nothing: when as much is taken
 * as may be, nothing is left, of whatever kind it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <tricolor.h>

#include "gc/sweep.h"
#include "heap/cache.h"
#include "heap/heap.h"
#include "heap/unswept.h"

enum { SPANS = 400, BYTES = 1 << 20 };

static const size_t sizes[] = {16, 100, 1000, 8000, 100000};

/* A flip without a mark, so that all of it is garbage; what is free of it is on lists, and unswept. */
static size_t make_garbage(void) {
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    for (size_t bytes = 0; bytes < SPANS * TRI_PAGE_SIZE; bytes += sizes[s])
      assert_non_null(tri_alloc_noscan(sizes[s]));
  tri_cache_defer(tri_cache_self);
  tri_sweep_finish();
  atomic_fetch_add(&tri_the_heap.epoch, 1);
  tri_cache_sweep(tri_cache_self);
  return tri_unswept_count();
}

static void let_go(void) {
  tri_sweep_resume();
  tri_cache_undefer(tri_cache_self);
}

static void test_all_is_swept_in_the_end(void **state) {
  (void)state;
  size_t spans = make_garbage();
  assert_true(spans > 3 * SPANS);
  tri_unswept_share_out(spans, BYTES);
  size_t left = spans;
  for (size_t taken = 0; taken < BYTES; taken += TRI_PAGE_SIZE) {
    tri_unswept_pay(TRI_PAGE_SIZE);
    size_t now = tri_unswept_count(), due = (size_t)((double)spans * (double)(taken + TRI_PAGE_SIZE) / BYTES);
    assert_true(now <= spans - due && now + due + 1 >= spans && now <= left);
    left = now;
  }
  assert_int_equal(left, 0);
  let_go();
}

static void test_what_others_sweep_counts(void **state) {
  (void)state;
  size_t spans = make_garbage();
  tri_unswept_share_out(spans, BYTES);
  assert_int_equal(tri_unswept_sweep(spans / 2), spans / 2);
  tri_unswept_pay(BYTES / 2);
  assert_int_equal(tri_unswept_count(), spans - spans / 2);
  while (tri_unswept_sweep(64)) {}
  let_go();
}

static void test_a_payment_is_bounded(void **state) {
  (void)state;
  size_t spans = make_garbage();
  tri_unswept_share_out(spans, 0);
  for (size_t left = spans, before = spans; left; before = left) {
    tri_unswept_pay(1);
    left = tri_unswept_count();
    assert_true(left < before && before - left <= 32);
  }
  let_go();
}

/* By allocation itself: objects of one size pay for garbage of all sizes. */
static void test_allocation_pays(void **state) {
  (void)state;
  size_t spans = make_garbage();
  tri_unswept_share_out(spans, BYTES);
  for (size_t bytes = 0; bytes < 2 * BYTES; bytes += 48) assert_non_null(tri_alloc(48));
  assert_int_equal(tri_unswept_count(), 0);
  let_go();
}

static void test_nothing_is_due(void **state) {
  (void)state;
  size_t spans = make_garbage();
  tri_unswept_share_out(0, BYTES);
  tri_unswept_pay(BYTES);
  assert_int_equal(tri_unswept_count(), spans);
  while (tri_unswept_sweep(64)) {}
  let_go();
}

int main(void) {
  tri_set_gc_percent(-1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_all_is_swept_in_the_end), cmocka_unit_test(test_what_others_sweep_counts),
      cmocka_unit_test(test_a_payment_is_bounded),    cmocka_unit_test(test_allocation_pays),
      cmocka_unit_test(test_nothing_is_due),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
